//! How is a remote model asked, as the environment of this process says?
//!
//! What changes a vector (prefixes, dimensions, where texts are cut) becomes
//! part of the fingerprint, so that a process with other settings is refused
//! rather than answered from another space.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, parse_pem};

use super::key::Key;
use crate::EmbedError;

const KEY: &str = "CENTO_EMBED_KEY";
const KEY_FILE: &str = "CENTO_EMBED_KEY_FILE";
const KEY_HOST: &str = "CENTO_EMBED_KEY_HOST";
pub(crate) const ALLOW_HTTP_KEY: &str = "CENTO_EMBED_ALLOW_HTTP_KEY";
const CA_FILE: &str = "CENTO_EMBED_CA_FILE";
const QUERY_PREFIX: &str = "CENTO_EMBED_QUERY_PREFIX";
const DOCUMENT_PREFIX: &str = "CENTO_EMBED_DOCUMENT_PREFIX";
const DIMENSIONS: &str = "CENTO_EMBED_DIMENSIONS";
const MAX_CHARACTERS: &str = "CENTO_EMBED_MAX_CHARACTERS";
const BATCH_TEXTS: &str = "CENTO_EMBED_BATCH_TEXTS";
const BATCH_BYTES: &str = "CENTO_EMBED_BATCH_BYTES";
const CONCURRENCY: &str = "CENTO_EMBED_CONCURRENCY";
const TIMEOUT: &str = "CENTO_EMBED_TIMEOUT";
const QUERY_TIMEOUT: &str = "CENTO_EMBED_QUERY_TIMEOUT";
const REQUESTS_PER_MINUTE: &str = "CENTO_EMBED_REQUESTS_PER_MINUTE";

/// No model has vectors of more components.
pub(crate) const MAX_DIMENSIONS: usize = 65_536;
/// A file that holds more is none of keys or certificates.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How long and how often one thing is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For one connection.
    pub(crate) connect: Duration,
    /// For one request, from its first byte to the answer's last.
    pub(crate) request: Duration,
    /// For all requests about the same texts, and the time between them.
    pub(crate) deadline: Duration,
    /// The most requests about the same texts.
    pub(crate) tries: u32,
    /// The longest time before the second try; it doubles with each.
    pub(crate) first_wait: Duration,
    /// The longest time before any try, whatever the server asks for.
    pub(crate) longest_wait: Duration,
}

impl Patience {
    /// Who asks a query waits for it: a server that is gone is told at once.
    fn of_queries(timeout: Duration) -> Self {
        Self {
            connect: timeout.min(Duration::from_secs(3)),
            request: timeout,
            deadline: timeout,
            tries: 3,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(2),
        }
    }

    /// As a query, but the first one may have to wait until a server has read
    /// its model.
    fn of_opening(timeout: Duration) -> Self {
        Self {
            request: timeout * 3,
            deadline: timeout * 3,
            ..Self::of_queries(timeout)
        }
    }

    /// Long enough for a server that is started again meanwhile.
    fn of_documents(timeout: Duration) -> Self {
        Self {
            connect: timeout.min(Duration::from_secs(10)),
            request: timeout,
            deadline: timeout * 3,
            tries: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) key: Option<Key>,
    /// The only host, with its port where that is not the usual one, that gets
    /// the key; `None` is any.
    pub(crate) key_host: Option<String>,
    /// Whether a key may be sent where others can read it.
    pub(crate) allows_http_key: bool,
    /// Who vouches for servers, instead of those whom all trust.
    pub(crate) authorities: Option<Vec<Certificate<'static>>>,
    pub(crate) query_prefix: String,
    pub(crate) document_prefix: String,
    /// What is asked for; `None` is the model's own.
    pub(crate) dimensions: Option<usize>,
    /// Of a longer text, prefix included, only the beginning is sent.
    pub(crate) max_characters: Option<usize>,
    /// The most texts of a request.
    pub(crate) batch_texts: usize,
    /// The most bytes of texts of a request; one text may have more.
    pub(crate) batch_bytes: usize,
    /// The most requests with documents at once.
    pub(crate) concurrency: usize,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) opening: Patience,
    pub(crate) queries: Patience,
    pub(crate) documents: Patience,
}

impl Options {
    /// As the environment of this process says.
    pub(crate) fn of_this_process() -> Result<Self, EmbedError> {
        Self::read(env::var_os)
    }

    /// As the environment says of reranking: the same variables, called
    /// `CENTO_RERANK_…`. What is for embedding, above all a key, is not for others.
    pub(crate) fn of_reranking() -> Result<Self, EmbedError> {
        Self::read_of_reranking(env::var_os)
    }

    fn read_of_reranking(
        variable: impl Fn(String) -> Option<OsString>,
    ) -> Result<Self, EmbedError> {
        Self::read(|name| variable(of_reranking(name))).map_err(called_for_reranking)
    }

    /// As variables say, whose values are found by their names.
    pub(crate) fn read(
        variable: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, EmbedError> {
        let text = |name: &'static str| match variable(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(unusable(name, "it is not UTF-8")),
        };
        let seconds = |name, usual: u64| {
            let value = number(name, text(name)?, 1..=86_400)?;
            Ok(Duration::from_secs(value.unwrap_or(usual)))
        };
        let timeout = seconds(TIMEOUT, 120)?;
        let query_timeout = seconds(QUERY_TIMEOUT, 10)?;
        Ok(Self {
            key: key(text(KEY)?, text(KEY_FILE)?)?,
            key_host: text(KEY_HOST)?.map(|host| host.trim().to_ascii_lowercase()),
            allows_http_key: is_set(ALLOW_HTTP_KEY, text(ALLOW_HTTP_KEY)?)?,
            authorities: text(CA_FILE)?.map(authorities).transpose()?,
            query_prefix: text(QUERY_PREFIX)?.unwrap_or_default(),
            document_prefix: text(DOCUMENT_PREFIX)?.unwrap_or_default(),
            dimensions: number(DIMENSIONS, text(DIMENSIONS)?, 1..=MAX_DIMENSIONS)?,
            max_characters: number(MAX_CHARACTERS, text(MAX_CHARACTERS)?, 16..=usize::MAX)?,
            // Text Embeddings Inference takes no more texts unless told to.
            batch_texts: number(BATCH_TEXTS, text(BATCH_TEXTS)?, 1..=4096)?.unwrap_or(32),
            batch_bytes: number(BATCH_BYTES, text(BATCH_BYTES)?, 1..=64 << 20)?
                .unwrap_or(256 << 10),
            concurrency: number(CONCURRENCY, text(CONCURRENCY)?, 1..=256)?.unwrap_or(4),
            requests_per_minute: number(
                REQUESTS_PER_MINUTE,
                text(REQUESTS_PER_MINUTE)?,
                1..=1_000_000,
            )?,
            opening: Patience::of_opening(query_timeout),
            queries: Patience::of_queries(query_timeout),
            documents: Patience::of_documents(timeout),
        })
    }
}

/// What a setting of embedding is called for reranking.
fn of_reranking(name: &str) -> String {
    name.replace("CENTO_EMBED_", "CENTO_RERANK_")
}

/// The same error, with the variables' names of reranking.
pub(crate) fn called_for_reranking(error: EmbedError) -> EmbedError {
    match error {
        EmbedError::RemoteSetting { variable, reason } => EmbedError::RemoteSetting {
            variable: of_reranking(&variable).into(),
            reason: of_reranking(&reason),
        },
        other => other,
    }
}

pub(crate) fn unusable(variable: &'static str, reason: impl Into<String>) -> EmbedError {
    EmbedError::RemoteSetting {
        variable: variable.into(),
        reason: reason.into(),
    }
}

fn number<N: FromStr + PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: Option<String>,
    range: std::ops::RangeInclusive<N>,
) -> Result<Option<N>, EmbedError> {
    let Some(value) = value else { return Ok(None) };
    let found: Option<N> = value.trim().parse().ok();
    match found.filter(|found| range.contains(found)) {
        Some(found) => Ok(Some(found)),
        None => {
            let (least, most) = (range.start(), range.end());
            let reason = format!("it is a whole number from {least} to {most}, not {value:?}");
            Err(unusable(name, reason))
        }
    }
}

fn is_set(name: &'static str, value: Option<String>) -> Result<bool, EmbedError> {
    match value.as_deref().map(str::trim) {
        None | Some("0" | "no" | "off" | "false") => Ok(false),
        Some("1" | "yes" | "on" | "true") => Ok(true),
        Some(_) => Err(unusable(name, "it is 1 or 0")),
    }
}

fn key(value: Option<String>, file: Option<String>) -> Result<Option<Key>, EmbedError> {
    let (name, text) = match (value, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(unusable(KEY, format!("{KEY_FILE} is set, too"))),
        (Some(value), None) => (KEY, value),
        (None, Some(file)) => (KEY_FILE, contents(KEY_FILE, file)?),
    };
    Key::new(&text)
        .map(Some)
        .map_err(|reason| unusable(name, reason))
}

fn authorities(file: String) -> Result<Vec<Certificate<'static>>, EmbedError> {
    let pem = contents(CA_FILE, file)?;
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unusable(CA_FILE, format!("its file is broken: {error}"))),
        }
    }
    if found.is_empty() {
        return Err(unusable(CA_FILE, "its file holds no certificate (PEM)"));
    }
    Ok(found)
}

/// What a file holds that a variable names.
fn contents(variable: &'static str, file: String) -> Result<String, EmbedError> {
    let path = PathBuf::from(file);
    let mut text = String::new();
    let opened = File::open(&path).map(|file| file.take(MAX_FILE_BYTES));
    match opened.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => Ok(text),
        Err(error) => {
            let reason = format!("{} cannot be read: {error}", path.display());
            Err(unusable(variable, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&'static str, &str)]) -> Result<Options, EmbedError> {
        Options::read(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    fn refusal(set: &[(&'static str, &str)]) -> String {
        match read(set) {
            Err(error @ EmbedError::RemoteSetting { .. }) => error.to_string(),
            other => panic!("{set:?}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_set_has_a_usual_value() {
        let options = read(&[(KEY, ""), (DIMENSIONS, "")]).expect("options");
        assert!(options.key.is_none() && options.dimensions.is_none());
        let limits = (
            options.batch_texts,
            options.batch_bytes,
            options.concurrency,
        );
        assert_eq!(limits, (32, 256 << 10, 4));
        assert!(options.queries.deadline < options.opening.deadline);
        assert!(options.opening.deadline < options.documents.deadline);
    }

    #[test]
    fn every_setting_is_read() {
        let options = read(&[
            (KEY, " s3cret\n"),
            (KEY_HOST, "Api.Example.com"),
            (ALLOW_HTTP_KEY, "1"),
            (QUERY_PREFIX, "query: "),
            (DOCUMENT_PREFIX, "passage: "),
            (DIMENSIONS, "256"),
            (MAX_CHARACTERS, "2000"),
            (BATCH_TEXTS, "8"),
            (BATCH_BYTES, "1000"),
            (CONCURRENCY, "2"),
            (TIMEOUT, "30"),
            (QUERY_TIMEOUT, "5"),
            (REQUESTS_PER_MINUTE, "60"),
        ]);
        let options = options.expect("options");
        assert_eq!(options.key, Key::new("s3cret").ok());
        assert_eq!(options.key_host.as_deref(), Some("api.example.com"));
        assert!(options.allows_http_key);
        // Blanks at the end of a prefix are part of it.
        assert_eq!(options.query_prefix, "query: ");
        assert_eq!(options.document_prefix, "passage: ");
        assert_eq!(options.dimensions, Some(256));
        assert_eq!(options.max_characters, Some(2000));
        let limits = (
            options.batch_texts,
            options.batch_bytes,
            options.concurrency,
        );
        assert_eq!(limits, (8, 1000, 2));
        assert_eq!(options.documents.request, Duration::from_secs(30));
        assert_eq!(options.queries.deadline, Duration::from_secs(5));
        assert_eq!(options.requests_per_minute, Some(60));
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        for (name, value) in [
            (DIMENSIONS, "0"),
            (DIMENSIONS, "many"),
            (CONCURRENCY, "-1"),
            (BATCH_TEXTS, "1e3"),
            (TIMEOUT, "0"),
            (ALLOW_HTTP_KEY, "perhaps"),
            (KEY_FILE, "/no/such/file"),
            (CA_FILE, "/no/such/file"),
        ] {
            assert!(refusal(&[(name, value)]).starts_with(name), "{name}");
        }
        let told = refusal(&[(KEY, "two words")]);
        assert!(!told.contains("two words"), "{told}");
        assert!(refusal(&[(KEY, "a"), (KEY_FILE, "b")]).contains(KEY_FILE));
    }

    #[test]
    fn reranking_has_variables_of_its_own() {
        let read = |set: &'static [&str]| {
            Options::read_of_reranking(|name| {
                let is_set = set.contains(&&name[..]);
                is_set.then(|| OsString::from("s3cret"))
            })
        };
        assert!(read(&[KEY, KEY_FILE]).expect("options").key.is_none());
        let options = read(&["CENTO_RERANK_KEY"]).expect("options");
        assert_eq!(options.key, Key::new("s3cret").ok());
        let error = read(&["CENTO_RERANK_KEY", "CENTO_RERANK_KEY_FILE"]);
        let told = error.expect_err("two").to_string();
        assert!(told.starts_with("CENTO_RERANK_KEY "), "{told}");
        assert!(told.contains("CENTO_RERANK_KEY_FILE"), "{told}");
    }

    #[test]
    fn a_key_is_read_from_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").expect("written");
        let path = path.to_str().expect("a path");
        let options = read(&[(KEY_FILE, path)]).expect("options");
        assert_eq!(options.key, Key::new("s3cret").ok());
        assert!(refusal(&[(CA_FILE, path)]).contains("no certificate"));
    }
}
