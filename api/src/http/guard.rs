//! Who may speak to a server without authentication?
//!
//! A web page can make its visitor's browser send requests to this machine. Two
//! checks keep it out. `Host` must be a name of ours: a page whose own name was
//! made to point here (DNS rebinding) still sends its own. And a request that a
//! browser says comes from another origin is refused, because some requests are
//! sent without asking first. No CORS header is ever sent.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::state::AppState;
use crate::{Problem, ServerConfig};

/// Which names requests may call this server.
pub(crate) struct Hosts {
    /// None: every name.
    allowed: Option<Vec<String>>,
}

impl Hosts {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let is_open = !config.bind.ip().is_loopback() && config.allowed_hosts.is_empty();
        let local = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let named = config.allowed_hosts.iter().map(|name| name.to_lowercase());
        Self {
            allowed: (!is_open).then(|| local.into_iter().chain(named).collect()),
        }
    }

    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let authority = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => text(headers, header::HOST).ok_or_else(|| {
                Problem::new("missing_host", 400, "the header Host must be given, once")
            })?,
        };
        let name = without_port(authority).to_lowercase();
        if let Some(allowed) = &self.allowed
            && !allowed.contains(&name)
        {
            let detail = format!("this server is not called '{name}'");
            return Err(Problem::new("host_not_allowed", 403, detail)
                .with_help("use the address it listens on, or start it with that name allowed"));
        }
        let origin = headers
            .get(header::ORIGIN)
            .map(|value| value.to_str().unwrap_or(""));
        let is_foreign = origin.is_some_and(|origin| {
            let own = origin.split_once("://").map(|(_, rest)| rest);
            !own.is_some_and(|own| own.eq_ignore_ascii_case(authority))
        });
        if is_foreign {
            let detail = "requests of web pages from elsewhere are not taken";
            return Err(Problem::new("cross_origin", 403, detail));
        }
        Ok(())
    }
}

/// A header's text, if it stands there once.
fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// `localhost:7878` and `[::1]:7878` without their ports.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Lets only those requests in that call this server by its name.
pub(crate) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    match app.hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn code(config: &ServerConfig, headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        match Hosts::new(config).check(&request) {
            Ok(()) => "ok".to_owned(),
            Err(problem) => problem.code.into_owned(),
        }
    }

    #[test]
    fn only_our_names_are_taken_on_a_local_address() {
        let mut config = ServerConfig::new("unused");
        config.allowed_hosts = vec!["Cento.Internal".to_owned()];
        for (host, expected) in [
            ("localhost", "ok"),
            ("LOCALHOST:7878", "ok"),
            ("127.0.0.1:1", "ok"),
            ("[::1]:7878", "ok"),
            ("[::1]", "ok"),
            ("cento.internal", "ok"),
            ("evil.example:7878", "host_not_allowed"),
            ("localhost.evil.example", "host_not_allowed"),
            ("", "host_not_allowed"),
        ] {
            assert_eq!(code(&config, &[("host", host)]), expected, "{host}");
        }
        assert_eq!(code(&config, &[]), "missing_host");
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(code(&config, &twice), "missing_host");
        config.bind = "0.0.0.0:7878".parse().expect("an address");
        assert_eq!(code(&config, &[("host", "other")]), "host_not_allowed");
        config.allowed_hosts.clear();
        assert_eq!(code(&config, &[("host", "other")]), "ok");
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let config = ServerConfig::new("unused");
        for (origin, expected) in [
            ("http://localhost:7878", "ok"),
            ("http://localhost:3000", "cross_origin"),
            ("https://evil.example", "cross_origin"),
            ("null", "cross_origin"),
        ] {
            let headers = [("host", "localhost:7878"), ("origin", origin)];
            assert_eq!(code(&config, &headers), expected, "{origin}");
        }
    }
}
