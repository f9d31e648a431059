//! Who answers a command: the data directory, or a server?
//!
//! `--url` names a server. Without it the data directory is opened here, unless
//! a running server owns it: the lock says where that one can be asked, and it
//! gives the same answers.

mod keeping;

use std::path::{Path, PathBuf};

use cento_api::types::{
    AuditResult, CollectionInfo, CollectionList, ContextQuery, DeleteDocuments, DeleteResults,
    DocumentDetail, DocumentPage, NewCollection, PageQuery, RebuildResult, SearchQuery, Wait,
};
use cento_api::{Problem, Service, ServiceOptions};
use cento_core::{CollectionName, DocumentId};
use cento_index::{IndexError, Projection, SalvageReport, Store, StoreOptions};
use cento_retrieve::{ContextResponse, SearchResponse, Tokenizer};
use serde_json::{Value, json};

pub(crate) use keeping::Exported;

use crate::args::RerankArgs;
use crate::client::{Client, segment};
use crate::output;

/// Where the user said that documents are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// A server, which then counts.
    pub(crate) url: Option<String>,
    /// How the engine works, if the directory is opened or served here.
    pub(crate) options: StoreOptions,
    /// How many bytes of vectors are kept for texts that come again.
    pub(crate) embedding_cache_bytes: u64,
    /// A model that is to look at the best candidates again, if this process asks.
    pub(crate) reranker: Option<String>,
}

impl Place {
    /// The same, with the reranking model that a question names; a server has its own.
    pub(crate) fn reranking(&self, args: &RerankArgs) -> Self {
        Self {
            reranker: args.model().map(str::to_owned),
            ..self.clone()
        }
    }
}

/// Who answers.
pub(crate) enum Target {
    /// The data directory, opened by this process.
    Here(Box<Service>),
    /// A server.
    There(Client),
}

impl Target {
    /// Whoever answers for a place that must be there.
    pub(crate) fn existing(place: &Place) -> Result<Self, Problem> {
        Self::of(place, Store::open_existing_with)
    }

    /// Whoever answers for a place; a data directory is made if need be.
    pub(crate) fn any(place: &Place) -> Result<Self, Problem> {
        Self::of(place, Store::open_with)
    }

    fn of(
        place: &Place,
        open: impl Fn(&Path, StoreOptions) -> Result<Store, IndexError>,
    ) -> Result<Self, Problem> {
        let there = |url: &str| match place.reranker {
            None => Ok(Self::There(Client::new(url)?)),
            Some(_) => {
                let detail = format!(
                    "{url} answers, and a server reranks only with a model that it was started with"
                );
                Err(Problem::new("needs_directory", 409, detail)
                    .with_help("say --rerank without a model; `cento serve --reranker MODEL` names the server's"))
            }
        };
        if let Some(url) = &place.url {
            return there(url);
        }
        match open(&place.data, place.options.clone()) {
            Ok(store) => {
                let options = ServiceOptions {
                    embedding_cache_bytes: place.embedding_cache_bytes,
                    reranker: place.reranker.clone().or_else(usual_reranker),
                    ..ServiceOptions::default()
                };
                let service = Service::over(store, options)?;
                Ok(Self::Here(Box::new(service)))
            }
            Err(IndexError::DirectoryInUse {
                address: Some(url), ..
            }) => there(&url),
            Err(error) => Err(error.into()),
        }
    }

    /// Says what opening a collection had to mend, if anything. A server has
    /// told it to its log.
    pub(crate) fn tell_recovery(&self, name: &CollectionName) -> Result<(), Problem> {
        let Self::Here(service) = self else {
            return Ok(());
        };
        let engine = service.engine(name)?;
        let recovery = engine.recovery();
        for projection in &recovery.remade {
            output::note(format_args!(
                "note: the {projection} of '{name}' could not be used and was made anew from the log"
            ));
        }
        if recovery.cut_bytes > 0 {
            output::note(format_args!(
                "note: a write to '{name}' that was never acknowledged was cut off ({})",
                output::bytes(recovery.cut_bytes)
            ));
        }
        if recovery.manifest_healed {
            output::note(format_args!(
                "note: the manifest of '{name}' was damaged and taken from its copy"
            ));
        }
        for (sequence, why) in &recovery.skipped {
            output::note(format_args!(
                "note: write {sequence} of '{name}' could not be applied: {why}"
            ));
        }
        Ok(())
    }

    /// All collections.
    pub(crate) fn collections(&self) -> Result<CollectionList, Problem> {
        match self {
            Self::Here(service) => service.collections(),
            Self::There(client) => client.get("/v1/collections"),
        }
    }

    /// One collection.
    pub(crate) fn collection(&self, name: &CollectionName) -> Result<CollectionInfo, Problem> {
        match self {
            Self::Here(service) => service.collection(name),
            Self::There(client) => client.get(&path(name, "")),
        }
    }

    /// Makes a collection unless it is there; says whether it was made.
    pub(crate) fn ensure_collection(&self, new: &NewCollection) -> Result<bool, Problem> {
        let client = match self {
            Self::Here(service) => return service.ensure_collection(new),
            Self::There(client) => client,
        };
        match self.collection(&new.name) {
            Ok(_) => Ok(false),
            Err(problem) if problem.code == "unknown_collection" => {
                match client.post::<Value>("/v1/collections", new) {
                    Ok(_) => Ok(true),
                    // Somebody was faster.
                    Err(problem) if problem.code == "collection_exists" => Ok(false),
                    Err(problem) => Err(problem),
                }
            }
            Err(problem) => Err(problem),
        }
    }

    /// Deletes a collection.
    pub(crate) fn delete_collection(&self, name: &CollectionName) -> Result<(), Problem> {
        match self {
            Self::Here(service) => service.delete_collection(name),
            Self::There(client) => client.delete(&path(name, "")),
        }
    }

    /// Takes back a collection that was made for documents that did not come.
    pub(crate) fn withdraw_if_empty(&self, name: &CollectionName) -> Result<(), Problem> {
        match self {
            Self::Here(service) => service.withdraw_if_empty(name).map(|_| ()),
            Self::There(_) => {
                let info = self.collection(name)?;
                if info.sequence.0 == 0 {
                    self.delete_collection(name)?;
                }
                Ok(())
            }
        }
    }

    /// A page of documents.
    pub(crate) fn documents(
        &self,
        name: &CollectionName,
        page: &PageQuery,
    ) -> Result<DocumentPage, Problem> {
        match self {
            Self::Here(service) => service.documents(name, page),
            Self::There(client) => {
                let mut asked = path(name, "/documents");
                let mut sign = '?';
                if let Some(after) = &page.after {
                    asked.push_str(&format!("{sign}after={}", segment(after.as_str())));
                    sign = '&';
                }
                if let Some(limit) = page.limit {
                    asked.push_str(&format!("{sign}limit={limit}"));
                }
                client.get(&asked)
            }
        }
    }

    /// One document.
    pub(crate) fn document(
        &self,
        name: &CollectionName,
        id: &DocumentId,
    ) -> Result<DocumentDetail, Problem> {
        match self {
            Self::Here(service) => service.document(name, id),
            Self::There(client) => {
                let document = format!("/documents/{}", segment(id.as_str()));
                client.get(&path(name, &document))
            }
        }
    }

    /// Deletes documents; the next query does not find them.
    pub(crate) fn delete_documents(
        &self,
        name: &CollectionName,
        which: &DeleteDocuments,
    ) -> Result<DeleteResults, Problem> {
        match self {
            Self::Here(service) => {
                let deleted = service.delete_documents(name, which, Wait::Visible)?;
                service.engine(name)?.checkpoint()?;
                Ok(deleted)
            }
            Self::There(client) => {
                client.post(&path(name, "/documents/delete?wait=visible"), which)
            }
        }
    }

    /// The best chunks for a question.
    pub(crate) fn search(
        &self,
        name: &CollectionName,
        asked: &SearchQuery,
    ) -> Result<SearchResponse, Problem> {
        match self {
            Self::Here(service) => service.search(name, asked),
            Self::There(client) => client.post(&path(name, "/search"), asked),
        }
    }

    /// What should stand in the prompt. The tokenizer is a built-in one's name
    /// or a file; a server is not sent files.
    pub(crate) fn context(
        &self,
        asked: &ContextQuery,
        tokenizer: &str,
    ) -> Result<ContextResponse, Problem> {
        let file = Path::new(tokenizer);
        let is_file = file.is_file() || file.extension().is_some_and(|ending| ending == "json");
        match self {
            Self::Here(service) if is_file => {
                service.context_counted_by(&Tokenizer::from_file(file)?, asked)
            }
            Self::There(client) if is_file => {
                let detail = format!(
                    "{tokenizer} is a file, and {} counts with built-in tokenizers only",
                    client.base()
                );
                Err(Problem::new("unknown_tokenizer", 400, detail)
                    .with_help("name o200k or cl100k, or end the server and ask the directory"))
            }
            Self::Here(service) => service.context(&named(asked, tokenizer)),
            Self::There(client) => client.post("/v1/context", &named(asked, tokenizer)),
        }
    }

    /// Compares a collection's projections with its log.
    pub(crate) fn audit(&self, name: &CollectionName) -> Result<AuditResult, Problem> {
        match self {
            Self::Here(service) => service.audit(name),
            Self::There(client) => client.post(&path(name, "/audit"), &json!({})),
        }
    }

    /// Saves what is whole of a collection's damaged log.
    pub(crate) fn salvage(&self, name: &CollectionName) -> Result<SalvageReport, Problem> {
        match self {
            Self::Here(service) => service.salvage(name),
            Self::There(_) => {
                let detail = "a log is salvaged where it lies, with nobody else at it";
                Err(Problem::new("needs_directory", 409, detail)
                    .with_help("stop the server, and run this with --data"))
            }
        }
    }

    /// Makes a collection's projections anew, or one of them.
    pub(crate) fn rebuild(
        &self,
        name: &CollectionName,
        only: Option<Projection>,
    ) -> Result<RebuildResult, Problem> {
        match self {
            Self::Here(service) => service.rebuild(name, only),
            Self::There(client) => {
                let only = only.map(|one| format!("?only={}", one.name()));
                let below = format!("/rebuild{}", only.unwrap_or_default());
                client.post(&path(name, &below), &json!({}))
            }
        }
    }

    /// The collections that a command is about: one, or all.
    pub(crate) fn names(&self, one: Option<&String>) -> Result<Vec<CollectionName>, Problem> {
        if let Some(collection) = one {
            return Ok(vec![name(collection)?]);
        }
        match self {
            Self::Here(service) => Ok(service.store().collections()?),
            Self::There(_) => {
                let list = self.collections()?;
                let unusable = list.unusable.into_iter().map(|unusable| unusable.name);
                let usable = list.collections.into_iter().map(|usable| usable.name);
                let mut names: Vec<_> = usable.chain(unusable).collect();
                names.sort();
                Ok(names)
            }
        }
    }
}

/// The reranking model of who asks a directory and names none.
fn usual_reranker() -> Option<String> {
    let model = std::env::var("CENTO_RERANKER").ok();
    model.filter(|model| !model.is_empty())
}

/// Checks a collection's name.
pub(crate) fn name(collection: &str) -> Result<CollectionName, Problem> {
    Ok(CollectionName::new(collection)?)
}

/// A path below a collection; a name needs no escaping.
pub(crate) fn path(name: &CollectionName, below: &str) -> String {
    format!("/v1/collections/{name}{below}")
}

fn named(asked: &ContextQuery, tokenizer: &str) -> ContextQuery {
    ContextQuery {
        tokenizer: Some(tokenizer.to_owned()),
        ..asked.clone()
    }
}
