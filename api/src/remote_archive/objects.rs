//! How does an archive stream into an object, and out of it?
//!
//! Through `object_store`, on a small runtime of its own that lives as long as
//! the transfer. An archive longer than a part goes up as a multipart upload:
//! the object is not there before the last request, and what has been sent is
//! taken back when something fails. It comes down in ranges, each with retries
//! of its own, and all of the same version of the object.

use std::error::Error as _;
use std::io::{self, Read, Write};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig,
    WriteMultipart,
};
use tokio::runtime::{Builder, Runtime};

use crate::Problem;
use crate::archive_place;

/// The least length of a part; all but the last have the same, which some
/// stores insist on.
const PART: u64 = 8 << 20;
/// Stores take 10,000 parts; the rest is for an estimate that was too low.
const MOST_PARTS: u64 = 9_000;
/// How many parts are on their way at once. Memory is one more.
const AT_ONCE: usize = 4;
/// How much is asked for at once.
const RANGE: u64 = 64 << 20;
/// How long a store may be silent while it sends.
const SILENCE: &str = "60s";
/// How long a request may take, with what is sent and received; and the slowest
/// line, in bytes a second, over which longer parts go.
const REQUEST_SECONDS: u64 = 300;
const SLOWEST: u64 = 64 << 10;

/// A store that can be asked, and the object asked for.
struct Connection {
    store: AmazonS3,
    key: Path,
    place: String,
    runtime: Runtime,
}

impl Connection {
    /// Says how to reach the store; nothing is asked of it yet.
    fn new(object: &archive_place::Object, at_once: u64) -> Result<Self, Problem> {
        let place = format!("s3://{}/{}", object.bucket, object.key);
        // TLS by the library that is in the program anyway. Whoever was first
        // has chosen it already.
        let _ = rustls::crypto::ring::default_provider().install_default();

        let seconds = REQUEST_SECONDS + at_once / SLOWEST;
        let mut builder = AmazonS3Builder::new()
            .with_config(client(ClientConfigKey::Timeout), format!("{seconds}s"));
        for (name, value) in &object.settings {
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let retry = RetryConfig {
            max_retries: 6,
            retry_timeout: Duration::from_secs(60),
            ..RetryConfig::default()
        };
        let store = builder
            .with_bucket_name(&object.bucket)
            .with_retry(retry)
            .build()
            .map_err(|error| {
                let detail = format!("{place}: {}", innermost(&error));
                Problem::new("object_store_settings", 400, detail)
                    .with_help("check the AWS_ variables of the environment")
            })?;
        let key = Path::parse(&object.key)
            .map_err(|error| Problem::new("invalid_place", 400, format!("{place}: {error}")))?;
        // Two threads: sending goes on while the archive is being read.
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("cento-objects")
            .enable_all()
            .build()
            .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
        Ok(Self {
            store,
            key,
            place,
            runtime,
        })
    }

    fn problem(&self, error: &Error) -> Problem {
        problem(&self.place, error)
    }
}

fn client(key: ClientConfigKey) -> AmazonS3ConfigKey {
    AmazonS3ConfigKey::Client(key)
}

/// An object on its way up.
pub(super) struct Upload {
    /// What has not filled a part yet, as long as there is no other part.
    first: Vec<u8>,
    /// The upload in parts, once there is more than one.
    parts: Option<WriteMultipart>,
    part: usize,
    connection: Connection,
}

impl Upload {
    pub(super) fn begin(object: &archive_place::Object, bytes: u64) -> Result<Self, Problem> {
        let part = bytes
            .div_ceil(MOST_PARTS)
            .next_multiple_of(1 << 20)
            .max(PART);
        let connection = Connection::new(object, part.saturating_mul(AT_ONCE as u64))?;
        let Ok(part) = usize::try_from(part) else {
            let detail = format!("{}: {bytes} bytes are too many", connection.place);
            return Err(Problem::new("archive_too_large", 422, detail));
        };
        Ok(Self {
            first: Vec::new(),
            parts: None,
            part,
            connection,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Connection {
            store,
            key,
            runtime,
            ..
        } = &self.connection;
        let taken = &bytes[..bytes.len().min(self.part)];
        if self.parts.is_none() {
            if self.first.len() + taken.len() <= self.part {
                self.first.extend_from_slice(taken);
                return Ok(taken.len());
            }
            let upload = runtime.block_on(store.put_multipart(key))?;
            let parts = WriteMultipart::new_with_chunk_size(upload, self.part);
            let parts = self.parts.insert(parts);
            let _inside = runtime.enter();
            parts.write(&std::mem::take(&mut self.first));
        }
        if let Some(parts) = &mut self.parts {
            runtime.block_on(parts.wait_for_capacity(AT_ONCE))?;
            let _inside = runtime.enter();
            parts.write(taken);
        }
        Ok(taken.len())
    }

    /// Makes the object appear.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let first = std::mem::take(&mut self.first);
        let parts = self.parts.take();
        let Connection {
            store,
            key,
            runtime,
            ..
        } = &self.connection;
        let done = match parts {
            // It takes the parts back itself if it fails.
            Some(parts) => runtime.block_on(parts.finish()),
            None => runtime.block_on(store.put(key, first.into())),
        };
        done.map(|_| ())
            .map_err(|error| self.connection.problem(&error))
    }

    /// Takes back what has been sent.
    pub(super) fn abort(mut self) {
        self.take_back();
    }

    fn take_back(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        if let Err(error) = self.connection.runtime.block_on(parts.abort()) {
            let place = &self.connection.place;
            // The failure that led here is the one to tell the caller.
            tracing::warn!(%place, %error, "parts of an abandoned upload may be left in the bucket");
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes)
            .map_err(|error| io::Error::other(self.connection.problem(&error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        // A part cannot be shorter than the others; the end sends the last.
        Ok(())
    }
}

/// Whoever writes may panic.
impl Drop for Upload {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// An object on its way down.
pub(super) struct Object {
    stream: BoxStream<'static, object_store::Result<bytes::Bytes>>,
    /// What has come and is not read yet.
    come: bytes::Bytes,
    /// Where the stream has come to, and where the range ends.
    at: u64,
    range_end: u64,
    total: u64,
    version: Option<String>,
    connection: Connection,
}

impl Object {
    pub(super) fn open(object: &archive_place::Object) -> Result<Self, Problem> {
        let mut object = object.clone();
        // First, so that the user's own word goes before it.
        let silence = ("AWS_READ_TIMEOUT".to_owned(), SILENCE.to_owned());
        object.settings.insert(0, silence);
        let connection = Connection::new(&object, RANGE)?;
        let mut opened = Self {
            stream: futures_util::stream::empty().boxed(),
            come: bytes::Bytes::new(),
            at: 0,
            range_end: 0,
            total: u64::MAX,
            version: None,
            connection,
        };
        opened
            .ask()
            .map_err(|error| opened.connection.problem(&error))?;
        Ok(opened)
    }

    /// Asks for the next range.
    fn ask(&mut self) -> Result<(), Error> {
        let Connection {
            store,
            key,
            runtime,
            ..
        } = &self.connection;
        let end = self.total.min(self.at.saturating_add(RANGE));
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.at..end)),
            if_match: self.version.clone(),
            ..GetOptions::default()
        };
        let answer = runtime.block_on(store.get_opts(key, options))?;
        self.total = answer.meta.size;
        self.range_end = answer.range.end;
        self.version = answer.meta.e_tag.clone();
        self.stream = answer.into_stream();
        Ok(())
    }

    /// Waits for more; false at the object's end.
    fn more(&mut self) -> Result<bool, Error> {
        loop {
            match self.connection.runtime.block_on(self.stream.next()) {
                Some(come) => {
                    self.come = come?;
                    self.at += self.come.len() as u64;
                }
                None if self.at >= self.total => return Ok(false),
                None if self.at < self.range_end => {
                    let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(Error::Generic {
                        store: "S3",
                        source: ended.into(),
                    });
                }
                None => self.ask()?,
            }
            if !self.come.is_empty() {
                return Ok(true);
            }
        }
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.come.is_empty() && !buffer.is_empty() {
            let more = self.more();
            if !more.map_err(|error| io::Error::other(self.connection.problem(&error)))? {
                return Ok(0);
            }
        }
        let read = buffer.len().min(self.come.len());
        buffer[..read].copy_from_slice(&self.come.split_to(read));
        Ok(read)
    }
}

/// What a store's failure is, in words that lead further.
fn problem(place: &str, error: &Error) -> Problem {
    let text = error.to_string();
    let code = between(&text, "<Code>", "</Code>");
    let says = match (code, between(&text, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        (Some(code), None) => code.to_owned(),
        _ => innermost(error),
    };
    let new =
        |name, status, what: &str| Problem::new(name, status, format!("{place}: {what}: {says}"));
    if text.contains("/latest/api/token") || text.contains("/latest/meta-data/") {
        return Problem::new(
            "no_object_store_credentials",
            403,
            format!("{place}: there are no credentials for this store"),
        )
        .with_help("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket set AWS_SKIP_SIGNATURE=true");
    }
    match (error, code) {
        (_, Some("NoSuchBucket")) => new("bucket_not_found", 404, "the bucket is not there")
            .with_help("check its name, AWS_ENDPOINT_URL and AWS_REGION"),
        (_, Some("InvalidRange")) => new("archive_invalid", 422, "the object is empty"),
        (Error::NotFound { .. }, _) => new("archive_not_found", 404, "there is no such object"),
        (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => {
            new("object_store_forbidden", 403, "the store refuses")
                .with_help("check the keys in the AWS_ variables, and what they may do")
        }
        (Error::Precondition { .. }, _) => new(
            "archive_changed",
            409,
            "the object was replaced while it was read",
        )
        .retryable(),
        _ if is_unreachable(error) => new(
            "object_store_unreachable",
            502,
            "the store cannot be reached",
        )
        .with_help("check AWS_ENDPOINT_URL and the network; plain http needs AWS_ALLOW_HTTP=true")
        .retryable(),
        _ => new("object_store_failed", 502, "the store failed").retryable(),
    }
}

fn is_unreachable(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            let kind = http.kind();
            return matches!(kind, HttpErrorKind::Connect | HttpErrorKind::Timeout);
        }
        cause = inner.source();
    }
    false
}

/// The cause of the causes: the layers above it repeat one another.
fn innermost(error: &Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    let mut text = inner.to_string();
    if let Some((end, _)) = text.char_indices().nth(500) {
        text.truncate(end);
    }
    text
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}
