//! How does a command speak to a running server?
//!
//! Plain HTTP with JSON bodies, one request after the other. Whatever comes
//! back that is not the answer is a [`Problem`]: the server's own where it
//! sent one, else one that says what is between here and there.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use cento_api::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body, SendBody};

use crate::transfer::Watched;

/// A server that can be asked.
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

/// Long enough for a rebuild of a large collection; a server that is gone is
/// noticed by the connection, not by this.
const ANSWER_WITHIN: Duration = Duration::from_secs(3600);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

impl Client {
    /// A client of the server at a URL such as `http://127.0.0.1:7878`.
    pub(crate) fn new(url: &str) -> Result<Self, Problem> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Option<Uri> = base.parse().ok();
        let host = uri.as_ref().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        let Some(host) = host.and_then(Uri::host) else {
            let detail = format!("'{url}' is not the URL of a server");
            return Err(Problem::new("invalid_url", 400, detail)
                .with_help("give it as http://HOST:PORT, with nothing after it"));
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("cento/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_recv_response(Some(ANSWER_WITHIN));
        if ["127.0.0.1", "localhost", "[::1]"].contains(&host) {
            // What listens on this machine is not behind a proxy.
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base,
        })
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Gets an answer; `path` begins with a slash.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let answer = self.agent.get(self.url(path)).call();
        self.read(answer)
    }

    /// Posts a question and gets its answer.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> Result<T, Problem> {
        let answer = self.agent.post(self.url(path)).send_json(question);
        self.read(answer)
    }

    /// Posts a body of one's own and gets the answer's lines.
    pub(crate) fn post_lines(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<String, Problem> {
        let request = self.agent.post(self.url(path)).content_type(content_type);
        let mut answer = self.checked(request.send(body))?;
        let config = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        config.read_to_string().map_err(|error| self.lost(&error))
    }

    /// Posts a question and gives each line of its answer to `take`, as they
    /// come, until it wants no more.
    pub(crate) fn post_events<T: DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
        take: &mut dyn FnMut(T) -> bool,
    ) -> Result<(), Problem> {
        let answer = self.agent.post(self.url(path)).send_json(question);
        let mut answer = self.checked(answer)?;
        let config = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        for line in BufReader::new(config.reader()).lines() {
            let line = line.map_err(|error| self.lost(&error))?;
            let event = serde_json::from_str(&line).map_err(|error| self.lost(&error))?;
            if !take(event) {
                break;
            }
        }
        Ok(())
    }

    /// Gets a body of any length, and its length.
    pub(crate) fn download(&self, path: &str) -> Result<(u64, impl Read + use<>), Problem> {
        let answer = self.checked(self.agent.get(self.url(path)).call())?;
        let length = answer.headers().get("content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.ok_or_else(|| self.lost(&"it does not say how long it is"))?;
        let body = answer.into_body().into_with_config().limit(u64::MAX);
        Ok((length, body.reader()))
    }

    /// Posts a body of any length as it is read, and gets the answer.
    ///
    /// Who ends the connection before the body is sent may have answered, but
    /// that answer cannot be read any more.
    pub(crate) fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: &mut (dyn Read + Send),
    ) -> Result<T, Problem> {
        let request = self.agent.post(self.url(path)).content_type(content_type);
        let mut body = Watched::new(body);
        let answer = request.send(SendBody::from_reader(&mut body));
        let is_begun = body.is_begun();
        match (answer, body.into_failure()) {
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) if is_begun => {
                let detail = format!("{} did not take all that was sent: {error}", self.base);
                Err(Problem::new("server_unreachable", 502, detail)
                    .with_help("it may have refused it: with CENTO_LOG=info its log says so"))
            }
            (answer, _) => self.read(answer),
        }
    }

    /// Deletes what is there.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Problem> {
        self.checked(self.agent.delete(self.url(path)).call())?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Problem> {
        let mut answer = self.checked(answer)?;
        let config = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        config.read_json().map_err(|error| self.lost(&error))
    }

    fn checked(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Problem> {
        let mut answer = answer.map_err(|error| {
            let detail = format!("no answer from {}: {error}", self.base);
            Problem::new("server_unreachable", 503, detail)
                .with_help("check the URL, and that `cento serve` runs there")
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(answer
            .body_mut()
            .read_json()
            .unwrap_or_else(|_| self.not_cento(status)))
    }

    fn not_cento(&self, status: StatusCode) -> Problem {
        let detail = format!("{} answered {status} and no problem of cento's", self.base);
        Problem::new("server_unreachable", 502, detail)
            .with_help("check the URL: something else may be listening there")
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Problem {
        let detail = format!("the answer of {} could not be read: {error}", self.base);
        Problem::new("server_unreachable", 502, detail)
            .with_help("it may have been ended, or it is of another version")
    }
}

/// A part of a path, with everything escaped that would not be of it.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    // A path's parts `.` and `..` would be taken as steps.
    if matches!(text, "." | "..") {
        escaped = escaped.replace('.', "%2E");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_servers_url_is_refused() {
        for url in [
            "",
            "127.0.0.1:7878",
            "ftp://x",
            "http://",
            "http://x/v1",
            "http://x?a=b",
        ] {
            assert!(Client::new(url).is_err(), "{url}");
        }
        for url in [
            "http://127.0.0.1:7878",
            "https://cento.example/",
            "http://[::1]:1",
        ] {
            assert!(Client::new(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_told_as_a_server_that_cannot_be_reached() {
        struct Denied;
        impl Read for Denied {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                let problem = Problem::new("object_store_forbidden", 403, "the store refuses");
                Err(std::io::Error::other(problem))
            }
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let stream = listener.accept().map(|(stream, _)| stream);
            let _ = stream.and_then(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()));
        });
        let client = Client::new(&url).expect("a client");
        let sent = client.send::<serde_json::Value>("/import", "application/x-tar", &mut Denied);
        assert_eq!(sent.expect_err("refused").code, "object_store_forbidden");
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("a/b c.md"), "a%2Fb%20c.md");
        assert_eq!(segment("网"), "%E7%BD%91");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
