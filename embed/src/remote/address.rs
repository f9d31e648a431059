//! Which server is asked for which model?
//!
//! A remote model is called `URL#MODEL`: the base of an API, which mostly ends
//! in `/v1`, and the name that the server knows the model by. The name is kept
//! with a collection and appears in messages, so that nothing secret may be in
//! it: credentials and queries are refused, and not repeated.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::EmbedError;

/// The longest name of a model that is believed to be one.
const MAX_MODEL_BYTES: usize = 256;

/// A server's API and a model of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// As it was asked for.
    pub(crate) name: String,
    /// The API's base, without a slash at its end.
    pub(crate) server: String,
    /// The model, as the server knows it.
    pub(crate) model: String,
    /// Host and port, the port only where it is not the scheme's own.
    pub(crate) authority: String,
    host: String,
    path: String,
    is_encrypted: bool,
}

impl Address {
    /// Reads `URL#MODEL`.
    ///
    /// # Errors
    /// [`EmbedError::RemoteName`].
    pub(crate) fn parse(name: &str) -> Result<Self, EmbedError> {
        let refused = |reason: &str| EmbedError::RemoteName {
            model: shown(name),
            reason: reason.to_owned(),
        };
        let (url, model) = name.split_once('#').unwrap_or((name, ""));
        if url.contains('@') {
            return Err(refused(
                "an address with a user or a password would be kept and logged with them; give a key by CENTO_EMBED_KEY",
            ));
        }
        if url.contains('?') {
            return Err(refused(
                "an address with a query would be kept and logged with it; leave it out",
            ));
        }
        if model.is_empty() {
            return Err(refused(
                "it does not say which model; call it URL#MODEL, for example http://localhost:11434/v1#nomic-embed-text",
            ));
        }
        if model.len() > MAX_MODEL_BYTES || model.chars().any(char::is_control) {
            return Err(refused(
                "what follows the # is no name of a model: it is too long, or has control characters",
            ));
        }
        // What is no URL may hold a password that ends where nobody sees it.
        let no_url = |reason: &str| EmbedError::RemoteName {
            model: "…".to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| no_url("this is no URL"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused("only http:// and https:// are spoken")),
        };
        let written_host = uri.host().unwrap_or_default();
        let host = written_host.to_ascii_lowercase();
        if host.is_empty() || host == "[]" {
            return Err(refused("its URL has no host"));
        }
        let written = uri.authority().map_or("", |authority| authority.as_str());
        let port = match (written.strip_prefix(written_host), uri.port_u16()) {
            (Some(""), _) => None,
            (_, Some(port)) if port != 0 => Some(port),
            _ => return Err(no_url("its URL has no port that there could be")),
        };
        let usual = if is_encrypted { 443 } else { 80 };
        let authority = match port.filter(|&port| port != usual) {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        // Who copies the address of the endpoint itself means its API.
        let path = uri.path().trim_end_matches('/');
        let path = ["/embeddings", "/rerank"]
            .into_iter()
            .find_map(|endpoint| path.strip_suffix(endpoint))
            .unwrap_or(path);
        let path = path.trim_end_matches('/').to_owned();
        let scheme = if is_encrypted { "https" } else { "http" };
        Ok(Self {
            name: name.to_owned(),
            server: format!("{scheme}://{authority}{path}"),
            model: model.to_owned(),
            authority,
            host,
            path,
            is_encrypted,
        })
    }

    /// Where texts are sent to.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/embeddings", self.server)
    }

    /// Where queries are sent to with texts that may answer them.
    pub(crate) fn rerank_endpoint(&self) -> String {
        format!("{}/rerank", self.server)
    }

    /// What tells it from other models, however it is reached.
    pub(crate) fn identity(&self) -> String {
        format!("{}{}#{}", self.authority, self.path, self.model)
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = bare.parse().ok();
        bare == "localhost" || address.is_some_and(|address| address.is_loopback())
    }

    /// Whether nobody on the way can read what is sent.
    pub(crate) fn is_private(&self) -> bool {
        self.is_encrypted || self.is_loopback()
    }
}

/// A name as it may be told: without a query, and without a URL that has an `@`,
/// for what of it is a password is anybody's guess.
fn shown(name: &str) -> String {
    let url = name.split('#').next().unwrap_or_default();
    let model = &name[url.len()..];
    let url = if url.contains('@') {
        "…".to_owned()
    } else {
        match url.split_once('?') {
            Some((url, _)) => format!("{url}?…"),
            None => url.to_owned(),
        }
    };
    format!("{url}{model}")
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(2 * MAX_MODEL_BYTES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Address {
        Address::parse(name).expect("a name of a remote model")
    }

    fn refusal(name: &str) -> String {
        match Address::parse(name) {
            Err(error @ EmbedError::RemoteName { .. }) => error.to_string(),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_name_says_server_and_model() {
        let address = parsed("http://localhost:11434/v1#nomic-embed-text:v1.5");
        assert_eq!(address.endpoint(), "http://localhost:11434/v1/embeddings");
        assert_eq!(address.model, "nomic-embed-text:v1.5");
        assert!(address.is_loopback() && address.is_private());
        let address = parsed("https://api.example.com/v1#org/model#2");
        assert_eq!(address.model, "org/model#2");
        assert!(!address.is_loopback() && address.is_private());
        for open in ["http://10.0.0.7:8000/v1#m", "http://localhost.example/v1#m"] {
            assert!(!parsed(open).is_private(), "{open}");
        }
        for here in ["http://127.0.0.2#m", "http://[::1]:80/v1#m"] {
            assert!(parsed(here).is_loopback(), "{here}");
        }
    }

    #[test]
    fn one_api_has_one_identity_however_its_address_is_written() {
        for name in [
            "http://host/v1#m",
            "http://HOST:80/v1/#m",
            "HTTP://host/v1/embeddings#m",
            "https://host:443/v1/embeddings/#m",
        ] {
            assert_eq!(parsed(name).identity(), "host/v1#m", "{name}");
            assert_eq!(parsed(name).name, name);
        }
        assert_eq!(parsed("http://host:8080#m").identity(), "host:8080#m");
    }

    #[test]
    fn what_is_no_address_or_names_no_model_is_refused_with_the_reason() {
        for (name, reason) in [
            ("http://localhost:11434/v1", "URL#MODEL"),
            ("http://localhost:11434/v1#", "URL#MODEL"),
            ("http://#m", "no URL"),
            ("http:///v1#m", "no URL"),
            ("http://host:99999/v1#m", "URL"),
            ("http://host:0/v1#m", "no port"),
            ("http://ho st/v1#m", "no URL"),
            ("http://host/v1#a\nb", "no name of a model"),
        ] {
            let told = refusal(name);
            assert!(told.contains(reason), "{name:?}: {told}");
        }
        let long = format!("http://host/v1#{}", "m".repeat(300));
        assert!(refusal(&long).contains("too long"));
    }

    #[test]
    fn secrets_in_an_address_are_refused_and_not_repeated() {
        for name in [
            "https://user:s3cret@host/v1#m",
            "https://s3cret@host#m",
            "https://a@s3cret@host/v1#m",
            "https://host/v1?key=s3cret#m",
            "https://host?key=s3cret",
            "https://s3cret@host",
            "https://user:s3/cret@host/v1#m",
            "https://user:s3?cret@host/v1#m",
        ] {
            let told = refusal(name);
            assert!(!told.contains("s3") && !told.contains("cret"), "{told}");
        }
        assert!(!refusal("https://user:s3#cret@host/v1#m").contains("cret"));
    }
}
