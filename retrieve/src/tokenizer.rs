//! How many tokens does a text cost the caller?

use std::fmt;
use std::path::{Path, PathBuf};

use cento_core::TokenCount;

use crate::RetrieveError;

/// The encodings that are built in, with the names they are known by.
const KNOWN: [(&str, &[&str]); 2] = [
    ("cl100k", &["cl100k", "cl100k_base"]),
    ("o200k", &["o200k", "o200k_base"]),
];

/// A text that no vocabulary covers: a tokenizer that cannot count this could
/// fail in the middle of a context.
const PROBE: &str = "Aa1 \u{e9}\u{4e2d}\u{1f600}\u{10ffff}\u{1}\n";

/// The caller's tokenizer: what a budget is counted in.
pub struct Tokenizer {
    name: String,
    kind: Kind,
}

enum Kind {
    OpenAi(&'static bpe_openai::Tokenizer),
    // Boxed: it is 50 times as large as the reference above.
    File(Box<tokenizers::Tokenizer>),
}

impl Tokenizer {
    /// The name of the tokenizer that counts when the caller names none.
    pub const DEFAULT: &'static str = "o200k";

    /// A built-in tokenizer: `cl100k` (GPT-4, GPT-3.5) or `o200k` (GPT-4o and
    /// later), also by their full names `cl100k_base` and `o200k_base`.
    ///
    /// # Errors
    /// [`RetrieveError::UnknownTokenizer`], which lists the names there are.
    pub fn named(name: &str) -> Result<Self, RetrieveError> {
        let known = KNOWN.iter().find(|(_, names)| names.contains(&name));
        let Some(&(name, _)) = known else {
            return Err(RetrieveError::UnknownTokenizer {
                name: name.to_owned(),
                known: KNOWN.map(|(name, _)| name).join(", "),
            });
        };
        let encoding = match name {
            "cl100k" => bpe_openai::cl100k_base(),
            _ => bpe_openai::o200k_base(),
        };
        Ok(Self {
            name: name.to_owned(),
            kind: Kind::OpenAi(encoding),
        })
    }

    /// A tokenizer from a `tokenizer.json` of the Hugging Face format. What
    /// the file says of truncation and padding is left out, because a budget
    /// counts the text that is there; special tokens are not added, because
    /// they belong to the prompt around the context.
    ///
    /// # Errors
    /// [`RetrieveError::TokenizerRead`] if the file cannot be read,
    /// [`RetrieveError::TokenizerFormat`] if it is not a tokenizer or refuses
    /// characters outside its vocabulary.
    pub fn from_file(path: &Path) -> Result<Self, RetrieveError> {
        let wrong = |reason: String| RetrieveError::TokenizerFormat {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|source| RetrieveError::TokenizerRead {
            path: PathBuf::from(path),
            source,
        })?;
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| wrong(error.to_string()))?;
        tokenizer
            .with_truncation(None)
            .map_err(|error| wrong(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.encode_fast(PROBE, false).map_err(|error| {
            wrong(format!(
                "it cannot encode characters outside its vocabulary: {error}"
            ))
        })?;
        Ok(Self {
            name: path.display().to_string(),
            kind: Kind::File(Box::new(tokenizer)),
        })
    }

    /// `cl100k`, `o200k`, or the path of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many tokens a text is.
    pub fn count(&self, text: &str) -> TokenCount {
        TokenCount(match &self.kind {
            Kind::OpenAi(encoding) => encoding.count(text),
            // The probe at loading makes a refusal all but impossible. Should
            // one come, the number of bytes is safe: no token is empty.
            Kind::File(tokenizer) => tokenizer
                .encode_fast(text, false)
                .map_or(text.len(), |encoding| encoding.len()),
        })
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokenizer").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_common::tokenizer_files;

    #[test]
    fn built_in_encodings_count_as_their_makers_do() {
        // From OpenAI's cookbook, "How to count tokens with tiktoken".
        let cl100k = Tokenizer::named("cl100k_base").expect("built in");
        let o200k = Tokenizer::named(Tokenizer::DEFAULT).expect("built in");
        for (text, in_cl100k, in_o200k) in [
            ("", 0, 0),
            ("tiktoken is great!", 6, 6),
            ("antidisestablishmentarianism", 6, 6),
            ("2 + 2 = 4", 7, 7),
            ("お誕生日おめでとう", 9, 8),
        ] {
            assert_eq!(cl100k.count(text), TokenCount(in_cl100k), "{text}");
            assert_eq!(o200k.count(text), TokenCount(in_o200k), "{text}");
        }
        assert_eq!((cl100k.name(), o200k.name()), ("cl100k", "o200k"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Tokenizer::named("gpt2").expect_err("unknown");
        assert!(error.to_string().contains("cl100k, o200k"), "{error}");
    }

    #[test]
    fn a_file_counts_the_text_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in tokenizer_files(dir.path()) {
            let tokenizer = Tokenizer::from_file(&path).expect("a tokenizer");
            assert_eq!(tokenizer.count(""), TokenCount(0), "{tokenizer:?}");
            assert_eq!(tokenizer.name(), path.display().to_string());
        }
        let count = |name: &str, text: &str| {
            let path = dir.path().join(name);
            Tokenizer::from_file(&path)
                .expect("a tokenizer")
                .count(text)
        };
        // Neither truncated to 5, nor padded to 512, nor with a [CLS].
        assert_eq!(count("bytes.json", "twelve bytes"), TokenCount(12));
        assert_eq!(count("words.json", "one two three"), TokenCount(3));
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tokenizer.json");
        let error = Tokenizer::from_file(&path).expect_err("missing");
        assert!(matches!(error, RetrieveError::TokenizerRead { .. }));
        for content in ["", "{}", "not json", "\u{0}"] {
            std::fs::write(&path, content).expect("writable");
            let error = Tokenizer::from_file(&path).expect_err("not a tokenizer");
            assert!(error.to_string().contains("tokenizer.json"), "{error}");
            assert!(matches!(error, RetrieveError::TokenizerFormat { .. }));
        }
    }

    #[test]
    fn a_tokenizer_that_would_refuse_a_text_is_refused_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tokenizer.json");
        let model = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}
        });
        std::fs::write(&path, model.to_string()).expect("writable");
        let error = Tokenizer::from_file(&path).expect_err("cannot encode");
        assert!(
            error.to_string().contains("outside its vocabulary"),
            "{error}"
        );
    }
}
