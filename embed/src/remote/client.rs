//! How is a server asked, and asked again?
//!
//! One request for a batch of texts, tried again where that may help: with
//! doubling waits of random length, so that clients do not come back all at
//! once, or when the server says. Everything has a deadline.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use ureq::http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use super::address::Address;
use super::answer::{self, Flaw};
use super::key::Key;
use super::options::{ALLOW_HTTP_KEY, Options, Patience, unusable};
use super::turns::{Turns, pause};
use crate::EmbedError;

/// What an answer may have beside its numbers.
const ANSWER_BYTES: usize = 1 << 20;
/// The most bytes that a number of an answer takes, and its comma.
const NUMBER_BYTES: usize = 32;
/// The most components that are read while it is not known how many there are.
const UNKNOWN_DIMENSIONS: usize = 1 << 17;
/// How much of a refusal is read.
const REFUSAL_BYTES: usize = 64 << 10;

/// For whom texts are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Somebody waits for the answer.
    Query,
    /// A batch of many.
    Documents,
}

/// Why there are no vectors.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The texts are too many, or one of them is too long.
    TooMuch { status: u16, message: String },
    /// It was not needed any more.
    Stopped,
    /// Anything else.
    Error(EmbedError),
}

/// What one request came to.
enum Attempt<T> {
    Answer(T),
    Failed(Failure),
    /// It may help to try again, not before so long.
    Again(EmbedError, Option<Duration>),
}

/// What is asked of a server.
struct Ask<'a, T> {
    url: &'a str,
    body: &'a [u8],
    /// The most bytes that its answer may have.
    most: usize,
    read: &'a dyn Fn(&[u8]) -> Result<T, Flaw>,
}

/// A server that can be asked for vectors.
pub(crate) struct Client {
    agent: Agent,
    address: Address,
    /// Only if this server may have it.
    key: Option<Key>,
    /// What is asked of the model; `None` is whatever it gives.
    asked_dimensions: Option<usize>,
    turns: Turns,
}

impl Client {
    /// A client of a model's server.
    ///
    /// # Errors
    /// A key that would be sent where others can read it.
    pub(crate) fn new(address: Address, options: &Options) -> Result<Self, EmbedError> {
        let is_its = |host: &String| *host == address.authority;
        let key = match &options.key_host {
            Some(host) if !is_its(host) => None,
            _ => options.key.clone(),
        };
        if key.is_some() && !address.is_private() && !options.allows_http_key {
            let reason = format!(
                "it is not set, and the key would go to {} where others can read it: use https://, or set it to 1",
                address.server
            );
            return Err(unusable(ALLOW_HTTP_KEY, reason));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Neither the key nor texts go to whom the server names.
            .max_redirects(0)
            .user_agent(concat!("cento/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections_per_host(options.concurrency + 1);
        if address.is_loopback() {
            // What listens on this machine is not behind a proxy.
            config = config.proxy(None);
        }
        if let Some(authorities) = &options.authorities {
            let roots = RootCerts::new_with_certs(authorities);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            address,
            key,
            asked_dimensions: options.dimensions,
            turns: Turns::new(options.concurrency, options.requests_per_minute),
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The vectors of some texts, of unit length, in order.
    pub(crate) fn embed(
        &self,
        texts: &[&str],
        whom: For,
        dimensions: Option<usize>,
        patience: &Patience,
        stop: &AtomicBool,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let numbers = texts.len() * dimensions.unwrap_or(UNKNOWN_DIMENSIONS);
        let known = dimensions.or(self.asked_dimensions);
        let ask = Ask {
            url: &self.address.endpoint(),
            body: &self.body(texts),
            most: ANSWER_BYTES + numbers * NUMBER_BYTES,
            read: &|body| answer::vectors(body, texts.len(), known, self.key.as_ref()),
        };
        self.ask(&ask, whom, patience, stop)
    }

    /// How well each text answers a query, in order.
    pub(crate) fn rerank(
        &self,
        query: &str,
        texts: &[&str],
        patience: &Patience,
    ) -> Result<Vec<f32>, Failure> {
        let body = json!({
            "model": self.address.model,
            "query": query,
            "documents": texts,
        });
        let body = body.to_string();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let ask = Ask {
            url: &self.address.rerank_endpoint(),
            body: body.as_bytes(),
            // Some send the texts back all the same, escaped.
            most: ANSWER_BYTES + 6 * bytes,
            read: &|body| answer::scores(body, texts.len(), self.key.as_ref()),
        };
        self.ask(&ask, For::Query, patience, &AtomicBool::new(false))
    }

    /// Asks, and asks again where that may help.
    fn ask<T>(
        &self,
        ask: &Ask<'_, T>,
        whom: For,
        patience: &Patience,
        stop: &AtomicBool,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let mut deadline = begun + patience.deadline;
        let mut tries = 0;
        loop {
            match whom {
                For::Query => {
                    let held = self.turns.count_query();
                    if Instant::now() + held >= deadline {
                        let wait = shown(held);
                        let reason = format!("it wants to be left alone for {wait} more");
                        return Err(Failure::Error(self.unreachable(reason)));
                    }
                    pause(held, stop);
                }
                // Waiting for a turn says nothing against the server.
                For::Documents => {
                    let waiting = Instant::now();
                    self.turns.wait_to_send(stop);
                    deadline += waiting.elapsed();
                }
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::Stopped);
            }
            tries += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let request = patience.request.min(left).max(Duration::from_millis(1));
            let (error, after) = match self.attempt(ask, patience, request) {
                Attempt::Answer(answer) => return Ok(answer),
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Again(error, after) => (error, after),
            };
            let wait = wait(tries, after, patience);
            if after.is_some() {
                self.turns.hold(wait);
            }
            if tries >= patience.tries || Instant::now() + wait >= deadline {
                let error = given_up(error, tries, begun.elapsed());
                return Err(Failure::Error(error));
            }
            pause(wait, stop);
        }
    }

    fn body(&self, texts: &[&str]) -> Vec<u8> {
        let mut body = json!({
            "model": self.address.model,
            "input": texts,
            "encoding_format": "float",
        });
        if let Some(dimensions) = self.asked_dimensions {
            body["dimensions"] = dimensions.into();
        }
        body.to_string().into_bytes()
    }

    /// Sends one request.
    fn attempt<T>(&self, ask: &Ask<'_, T>, patience: &Patience, request: Duration) -> Attempt<T> {
        let mut post = self
            .agent
            .post(ask.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json");
        if let Some(header) = self.key.as_ref().and_then(Key::header) {
            post = post.header(AUTHORIZATION, header);
        }
        let sent = post
            .config()
            .timeout_global(Some(request))
            .timeout_connect(Some(patience.connect.min(request)))
            .build()
            .send(ask.body);
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return self.lost(&error, patience, request),
        };
        let status = answer.status();
        if !status.is_success() {
            return self.refused(answer);
        }
        let most = ask.most;
        let body = match read(answer, most) {
            Ok(body) => body,
            Err(error) => return self.lost(&error, patience, request),
        };
        if body.len() > most {
            let reason = format!("it is longer than {most} bytes");
            return Attempt::Failed(Failure::Error(self.unusable(reason)));
        }
        match (ask.read)(&body) {
            Ok(answer) => Attempt::Answer(answer),
            Err(flaw) if flaw.is_passing => Attempt::Again(self.unusable(flaw.reason), None),
            Err(flaw) => Attempt::Failed(Failure::Error(self.unusable(flaw.reason))),
        }
    }

    /// What an answer that is no success means.
    fn refused<T>(&self, answer: Response<Body>) -> Attempt<T> {
        let status = answer.status().as_u16();
        let after = retry_after(answer.headers(), SystemTime::now());
        let location = answer.headers().get(LOCATION).cloned();
        // What it said before it was cut off is better than nothing.
        let body = read(answer, REFUSAL_BYTES).unwrap_or_default();
        let key = self.key.as_ref();
        let mut message = answer::message(&body, key);
        if (300..400).contains(&status) {
            let location = location.as_ref().map_or_else(String::new, |location| {
                let location = String::from_utf8_lossy(location.as_bytes());
                let location = location.split(['?', '#']).next().unwrap_or_default();
                let location = location.rsplit('@').next().unwrap_or_default();
                answer::clean(location, 200, key)
            });
            message = format!(
                "it leads to '{location}', and is not followed there: name that address instead"
            );
        }
        if answer::is_too_much(status, &message) {
            return Attempt::Failed(Failure::TooMuch { status, message });
        }
        // A quota that is used up is told as if it came back in a moment.
        let is_used_up = String::from_utf8_lossy(&body).contains("insufficient_quota");
        let error = EmbedError::RemoteRefused {
            server: self.address.server.clone(),
            model: self.address.model.clone(),
            status,
            message,
        };
        if error.is_passing() && !is_used_up {
            Attempt::Again(error, after)
        } else {
            Attempt::Failed(Failure::Error(error))
        }
    }

    /// What it means that no answer came, or no whole one.
    fn lost<T>(&self, error: &ureq::Error, patience: &Patience, request: Duration) -> Attempt<T> {
        use std::io::ErrorKind as Kind;
        use ureq::Error as E;
        let again = |reason: String| Attempt::Again(self.unreachable(reason), None);
        match error {
            E::Timeout(Timeout::Connect | Timeout::Resolve) => {
                let within = shown(patience.connect.min(request));
                again(format!("no connection within {within}"))
            }
            E::Timeout(_) => again(format!("no answer within {}", shown(request))),
            E::HostNotFound => again("its host is not known".to_owned()),
            // Certificates that do not fit do not fit the next time either.
            E::Io(io) if matches!(io.kind(), Kind::InvalidData | Kind::InvalidInput) => {
                Attempt::Failed(Failure::Error(self.unreachable(io.to_string())))
            }
            E::Io(io) => again(io.to_string()),
            E::ConnectionFailed | E::Protocol(_) | E::ConnectProxyFailed(_) | E::BodyStalled => {
                again(error.to_string())
            }
            _ => Attempt::Failed(Failure::Error(self.unreachable(error.to_string()))),
        }
    }

    pub(crate) fn unreachable(&self, reason: String) -> EmbedError {
        EmbedError::RemoteUnreachable {
            server: self.address.server.clone(),
            reason: answer::clean(&reason, 300, self.key.as_ref()),
        }
    }

    fn unusable(&self, reason: String) -> EmbedError {
        EmbedError::RemoteAnswer {
            server: self.address.server.clone(),
            model: self.address.model.clone(),
            reason,
        }
    }
}

/// The body of an answer, and a byte more than what may be read if there is.
fn read(answer: Response<Body>, most: usize) -> Result<Vec<u8>, ureq::Error> {
    let config = answer.into_body().into_with_config().limit(u64::MAX);
    let mut body = Vec::new();
    match config.reader().take(most as u64 + 1).read_to_end(&mut body) {
        Ok(_) => Ok(body),
        Err(error) => Err(ureq::Error::from(error)),
    }
}

/// How long to wait after so many tries: a random part of a time that doubles,
/// or as long as the server asks for; and not too long in any case.
fn wait(tries: u32, after: Option<Duration>, patience: &Patience) -> Duration {
    let doubled = patience.first_wait * 2u32.pow(tries.saturating_sub(1).min(16));
    let random = RandomState::new().hash_one(tries) as f64 / u64::MAX as f64;
    let own = doubled.min(patience.longest_wait).mul_f64(random);
    own.max(after.unwrap_or_default())
        .min(patience.longest_wait)
}

/// What a server asks for: a number of seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The error of the last of several tries.
fn given_up(error: EmbedError, tries: u32, took: Duration) -> EmbedError {
    if tries < 2 {
        return error;
    }
    let took = format!("tried {tries} times in {}", shown(took));
    match error {
        EmbedError::RemoteUnreachable { server, reason } => EmbedError::RemoteUnreachable {
            server,
            reason: format!("{reason}; {took}"),
        },
        EmbedError::RemoteRefused {
            server,
            model,
            status,
            message,
        } => EmbedError::RemoteRefused {
            server,
            model,
            status,
            message: format!("{message}; {took}"),
        },
        EmbedError::RemoteAnswer {
            server,
            model,
            reason,
        } => EmbedError::RemoteAnswer {
            server,
            model,
            reason: format!("{reason}; {took}"),
        },
        other => other,
    }
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        connect: Duration::from_secs(1),
        request: Duration::from_secs(1),
        deadline: Duration::from_secs(1),
        tries: 8,
        first_wait: Duration::from_millis(100),
        longest_wait: Duration::from_secs(2),
    };

    #[test]
    fn waits_double_are_random_and_end_at_the_longest() {
        let waits = |tries| (0..200).map(move |_| wait(tries, None, &PATIENCE));
        assert!(waits(1).all(|wait| wait <= Duration::from_millis(100)));
        assert!(waits(3).all(|wait| wait <= Duration::from_millis(400)));
        assert!(waits(3).any(|wait| wait > Duration::from_millis(200)));
        assert!(waits(3).any(|wait| wait < Duration::from_millis(200)));
        assert!(waits(u32::MAX).all(|wait| wait <= Duration::from_secs(2)));
    }

    #[test]
    fn a_server_is_waited_for_as_it_asks_but_not_for_ever() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert!(wait(1, asked(1), &PATIENCE) >= Duration::from_secs(1));
        assert_eq!(wait(1, asked(1_000_000), &PATIENCE), PATIENCE.longest_wait);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_470);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers, now)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let date = read("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(date, Some(Duration::from_secs(10)));
        // What is past is now.
        let past = read("Wed, 21 Oct 2015 07:20:00 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        for nothing in ["soon", "-1", "", "1.5"] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
