//! A small store that speaks S3, and fails when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use cento_api::ArchivePlace;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the store holds, what it has seen, and what it is to do.
#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) objects: HashMap<String, Vec<u8>>,
    /// Uploads that are neither completed nor aborted.
    pub(crate) uploads: HashMap<String, BTreeMap<u32, Bytes>>,
    pub(crate) requests: Vec<String>,
    pub(crate) most_parts_at_once: usize,
    parts_now: usize,
    /// Refuses this part.
    pub(crate) refuse_part: Option<u32>,
    /// Answers this part, the first time, as a store that is overloaded does.
    pub(crate) stumble_at_part: Option<u32>,
    pub(crate) refuse_completion: bool,
    /// Breaks the connection after so many bytes of a body, once.
    pub(crate) break_body_at: Option<usize>,
    /// Replaces an object when it has been read from once.
    pub(crate) replace_while_read: bool,
    /// Never answers.
    pub(crate) hang: bool,
}

pub(crate) struct Store {
    address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    _runtime: Runtime,
}

impl Store {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(inside.clone());
        runtime.spawn(serve(listener, router));
        Self {
            address,
            inside,
            _runtime: runtime,
        }
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// A place in this store, with more variables.
    pub(crate) fn place_with(&self, text: &str, more: &[(&str, &str)]) -> ArchivePlace {
        let endpoint = format!("http://{}", self.address);
        let own = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "KEY"),
            ("AWS_SECRET_ACCESS_KEY", "SECRET"),
            ("AWS_REGION", "us-east-1"),
        ];
        let all = own.iter().chain(more);
        let owned = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ArchivePlace::parse_with(text, owned).unwrap()
    }

    pub(crate) fn place(&self, text: &str) -> ArchivePlace {
        self.place_with(text, &[])
    }
}

async fn serve(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

type Answer = Response<Body>;

fn xml(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer
}

fn refusal(status: StatusCode, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>told by the store</Message></Error>");
    xml(status, body)
}

/// Like the hashes that stores give: another one for other bytes.
fn tag(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(bytes.len() as u64, |sum, byte| {
        sum.rotate_left(5) ^ u64::from(*byte)
    });
    format!("\"{sum:016x}\"")
}

async fn answer(
    State(inside): State<Arc<Mutex<Inside>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let query: HashMap<&str, &str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let part = query.get("partNumber").map(|n| n.parse::<u32>().unwrap());
    let hang = {
        let mut inside = inside.lock().unwrap();
        let kind = query.keys().copied().min().unwrap_or_default();
        inside.requests.push(format!("{method} {kind}"));
        inside.parts_now += usize::from(part.is_some());
        inside.most_parts_at_once = inside.most_parts_at_once.max(inside.parts_now);
        inside.hang
    };
    if hang {
        std::future::pending::<()>().await;
    }
    if part.is_some() {
        // Long enough for the other parts to be seen beside it.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut inside = inside.lock().unwrap();
    inside.parts_now -= usize::from(part.is_some());

    let signed = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=KEY/") {
        return refusal(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    let Some(key) = uri.path().strip_prefix("/bucket/") else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
    };
    let upload = query.get("uploadId").copied();
    match (method, upload, part) {
        (Method::PUT, Some(upload), Some(part)) => inside.take_part(upload, part, body),
        (Method::PUT, ..) => {
            let mut answer = xml(StatusCode::OK, String::new());
            answer
                .headers_mut()
                .insert("etag", tag(&body).parse().unwrap());
            inside.objects.insert(key.to_owned(), body.to_vec());
            answer
        }
        (Method::POST, None, _) => {
            let id = format!("upload-{}", inside.requests.len());
            inside.uploads.insert(id.clone(), BTreeMap::new());
            let of = format!("<Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
            let begun =
                format!("<InitiateMultipartUploadResult>{of}</InitiateMultipartUploadResult>");
            xml(StatusCode::OK, begun)
        }
        (Method::POST, Some(upload), _) => inside.complete(key, upload, &body),
        (Method::DELETE, Some(upload), _) => {
            inside.uploads.remove(upload);
            xml(StatusCode::NO_CONTENT, String::new())
        }
        (Method::GET, ..) => inside.give(key, &headers),
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

impl Inside {
    fn take_part(&mut self, upload: &str, part: u32, body: Bytes) -> Answer {
        if self.refuse_part == Some(part) {
            return refusal(StatusCode::FORBIDDEN, "AccessDenied");
        }
        if self.stumble_at_part == Some(part) {
            self.stumble_at_part = None;
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        let Some(parts) = self.uploads.get_mut(upload) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let mut answer = xml(StatusCode::OK, String::new());
        answer
            .headers_mut()
            .insert("etag", tag(&body).parse().unwrap());
        parts.insert(part, body);
        answer
    }

    fn complete(&mut self, key: &str, upload: &str, body: &[u8]) -> Answer {
        if self.refuse_completion {
            return refusal(StatusCode::FORBIDDEN, "AccessDenied");
        }
        let Some(parts) = self.uploads.remove(upload) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(body.matches("<PartNumber>").count(), parts.len());
        // As R2 wants it: all but the last are of one length.
        let lengths: Vec<usize> = parts.values().map(Bytes::len).collect();
        let (last, others) = lengths.split_last().unwrap();
        assert!(
            others
                .iter()
                .all(|length| *length == others[0] && length >= last)
        );
        let whole: Vec<u8> = parts.values().flat_map(|part| part.to_vec()).collect();
        let tag = tag(&whole);
        self.objects.insert(key.to_owned(), whole);
        let done = format!("<ETag>{tag}</ETag>");
        let done = format!("<CompleteMultipartUploadResult>{done}</CompleteMultipartUploadResult>");
        xml(StatusCode::OK, done)
    }

    fn give(&mut self, key: &str, headers: &HeaderMap) -> Answer {
        let Some(object) = self.objects.get(key) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let tag = tag(object);
        if headers
            .get("if-match")
            .is_some_and(|wanted| *wanted != *tag)
        {
            return refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        let range = headers.get("range").unwrap().to_str().unwrap();
        let (from, to) = range
            .strip_prefix("bytes=")
            .unwrap()
            .split_once('-')
            .unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if from >= object.len() {
            return refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
        }
        let to = to.min(object.len() - 1);
        let bytes = Bytes::copy_from_slice(&object[from..=to]);
        let length = bytes.len();
        let body = match self.break_body_at.take() {
            Some(at) => {
                let pieces = [Ok(bytes.slice(..at)), Err(io::Error::other("broken"))];
                Body::from_stream(futures_util::stream::iter(pieces))
            }
            None => Body::from(bytes),
        };
        let answer = Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header("etag", tag)
            .header("last-modified", "Wed, 01 Jul 2026 00:00:00 GMT")
            .header("content-length", length)
            .header(
                "content-range",
                format!("bytes {from}-{to}/{}", object.len()),
            )
            .body(body)
            .unwrap();
        if self.replace_while_read {
            self.objects.entry(key.to_owned()).or_default().reverse();
        }
        answer
    }
}
