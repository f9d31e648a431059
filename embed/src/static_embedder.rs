//! How does a static model keep an embedder's promises?

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::fitted::{Fitted, fit};
use crate::local::file_size;
use crate::static_model::StaticModel;
use crate::{Bundled, Contract, EmbedError, Embedder, Standout};

/// The best mean nDCG@10 of the bundled model on the sets kept for tuning (decision
/// 0005); on each of them it is above the better leg. `cargo bench --bench fusion`
/// shows it.
const COSINE_WEIGHT: f32 = 0.4;

/// The same once it has learned from the collection (decision 0020).
const FITTED_COSINE_WEIGHT: f32 = 0.6;

/// The same where it is looked at what a query's cosines say (decision 0024).
const FITTED_STANDOUT: Standout = Standout {
    at: 0.3,
    weight: FITTED_COSINE_WEIGHT,
};

/// A static model, whose queries can be fitted to collections.
pub(crate) struct Static {
    pub(crate) model: Arc<StaticModel>,
    contract: Contract,
}

impl Static {
    /// The model that is called so.
    pub(crate) fn new(called: String, model: StaticModel) -> Self {
        let contract = Contract {
            model: called,
            fingerprint: model.fingerprint().to_owned(),
            dimensions: model.dimensions(),
            max_tokens: None,
            cosine_weight: COSINE_WEIGHT,
            standout: None,
            is_quantised: true,
            query_prefix: String::new(),
            document_prefix: String::new(),
        };
        Self {
            model: Arc::new(model),
            contract,
        }
    }

    /// Opens the model in a folder.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what its name says.
    pub(crate) fn open(folder: &Path) -> Result<Self, EmbedError> {
        let wrong = |path: &Path, reason: String| EmbedError::ModelFile {
            path: path.to_path_buf(),
            reason,
        };
        let folder = folder
            .canonicalize()
            .map_err(|error| wrong(folder, error.to_string()))?;
        let Some(called) = folder.to_str() else {
            return Err(wrong(&folder, "its path is not UTF-8".to_owned()));
        };
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| wrong(&path, error.to_string()))
        };
        let name = folder.file_name().and_then(|name| name.to_str());
        let model = StaticModel::new(
            name.unwrap_or("static"),
            &read(TOKENIZER)?,
            Cow::Owned(read(TABLE)?),
        );
        let model = model.map_err(|error| match error {
            EmbedError::Format { file, reason } => wrong(&folder.join(file), reason),
            error => error,
        })?;
        Ok(Self::new(called.to_owned(), model))
    }
}

const TOKENIZER: &str = "tokenizer.json";
const TABLE: &str = "model.safetensors";

/// Whether a folder holds a static model, as Model2Vec writes it.
pub(crate) fn is_static(folder: &Path) -> bool {
    let config = fs::read(folder.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    config["model_type"] == "model2vec" && folder.join(TABLE).is_file()
}

/// How large a folder's table and tokenizer are.
pub(crate) fn size(folder: &Path) -> Option<u64> {
    Some(file_size(&folder.join(TABLE))? + file_size(&folder.join(TOKENIZER))?)
}

impl Embedder for Static {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        Ok(self.model.embed(text))
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(self.model.embed_all(texts))
    }

    fn can_fit(&self) -> bool {
        true
    }

    fn fit(&self, texts: &[String]) -> Option<Vec<u8>> {
        fit(&self.model, texts)
    }

    fn fitted(&self, artefact: Vec<u8>) -> Result<Box<dyn Embedder>, EmbedError> {
        let model = Arc::clone(&self.model);
        let contract = Contract {
            cosine_weight: FITTED_COSINE_WEIGHT,
            // It was measured of the bundled table alone.
            standout: (self.contract.model == Bundled::NAME).then_some(FITTED_STANDOUT),
            ..self.contract.clone()
        };
        let fitted = Fitted::new(model, contract, artefact)?;
        Ok(Box::new(fitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundled, open};

    const FOLDER: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../data/models/",
        "cento-static-en-v2"
    );

    #[test]
    fn the_bundled_model_says_the_same_from_its_folder() {
        let bundled = Bundled::new().expect("the bundled model is whole");
        let opened = open(FOLDER).expect("it is there");
        assert_eq!(
            opened.contract().fingerprint,
            bundled.contract().fingerprint
        );
        assert!(opened.contract().model.ends_with(Bundled::NAME));
        let text = "How do I rotate an API key?";
        assert_eq!(
            opened.embed_query(text).expect("embedded"),
            bundled.embed_query(text).expect("embedded")
        );
    }

    #[test]
    fn a_folder_whose_files_are_no_static_model_is_refused_by_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            fs::write(folder.path().join(name), bytes).expect("written");
        };
        let error = || match open(folder.path().to_str().expect("a path")) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it was opened"),
        };
        write("config.json", br#"{"model_type": "model2vec"}"#);
        write(TABLE, b"no table");
        assert!(error().contains(TOKENIZER), "{}", error());
        let tokenizer = fs::read(Path::new(FOLDER).join(TOKENIZER)).expect("read");
        write(TOKENIZER, &tokenizer);
        assert!(error().contains(TABLE), "{}", error());
    }
}
