//! Paths of snapshots, and of giving space back.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Json as Answer;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cento_core::CollectionName;
use cento_index::{CompactionReport, PurgeReport, SnapshotInfo};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::archive_name;
use crate::cpu_pool::{Lane, shutting_down};
use crate::http::body::StreamReader;
use crate::http::extract::{
    InCollection, Json, MediaType, OfSnapshot, media_type, unsupported_media_type,
};
use crate::state::AppState;
use crate::types::{Archive, CollectionInfo, NewSnapshot, Purge, SnapshotList};

/// The media type of an archive.
const TAR: &str = "application/x-tar";

/// A collection's snapshots.
#[utoipa::path(
    get, path = "/v1/collections/{name}/snapshots", tag = "snapshots", operation_id = "list_snapshots",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 200, description = "The snapshots, oldest first.", body = SnapshotList)),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<Answer<SnapshotList>, Problem> {
    let found = app
        .work(Lane::Query, move |service| service.snapshots(&name))
        .await?;
    Ok(Answer(found))
}

/// Keep this moment of a collection.
///
/// Every write that was acknowledged before is in it. It costs no space until
/// compaction drops what it still holds.
#[utoipa::path(
    post, path = "/v1/collections/{name}/snapshots", tag = "snapshots", operation_id = "create_snapshot",
    params(("name" = CollectionName, Path, description = "The collection.")),
    request_body = NewSnapshot,
    responses((
        status = 201, description = "It is kept.", body = SnapshotInfo,
        headers(("location" = String, description = "The path of the snapshot.")),
    )),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Json(new): Json<NewSnapshot>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Answer<SnapshotInfo>), Problem> {
    let path = format!("/v1/collections/{name}/snapshots/");
    let made = app
        .long_work(Lane::Upkeep, move |service| {
            service.create_snapshot(&name, &new)
        })
        .await?;
    let location = format!("{path}{}", made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Answer(made),
    ))
}

/// Delete a snapshot. Its space returns with the next compaction.
#[utoipa::path(
    delete, path = "/v1/collections/{name}/snapshots/{id}", tag = "snapshots", operation_id = "delete_snapshot",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = String, Path, description = "The snapshot."),
    ),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn delete(
    State(app): State<AppState>,
    OfSnapshot(name, id): OfSnapshot,
) -> Result<StatusCode, Problem> {
    app.long_work(Lane::Upkeep, move |service| {
        service.delete_snapshot(&name, &id)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Go back to a snapshot.
///
/// What was written since is gone, and so are other generations. Queries are
/// answered all the while.
#[utoipa::path(
    post, path = "/v1/collections/{name}/snapshots/{id}/restore", tag = "snapshots", operation_id = "restore_snapshot",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = String, Path, description = "The snapshot."),
    ),
    responses((status = 200, description = "The collection is what it was then.", body = SnapshotInfo)),
)]
pub(crate) async fn restore(
    State(app): State<AppState>,
    OfSnapshot(name, id): OfSnapshot,
) -> Result<Answer<SnapshotInfo>, Problem> {
    let restored = app
        .long_work(Lane::Upkeep, move |service| {
            service.restore_snapshot(&name, &id)
        })
        .await?;
    Ok(Answer(restored))
}

/// A snapshot as one archive, to be kept elsewhere.
///
/// A tar file that says of each file in it how long it is and what its hash is;
/// importing it refuses one that is not whole.
#[utoipa::path(
    get, path = "/v1/collections/{name}/snapshots/{id}/archive", tag = "snapshots", operation_id = "export_snapshot",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = String, Path, description = "The snapshot."),
    ),
    responses((
        status = 200, description = "The archive.", body = Archive, content_type = "application/x-tar",
        headers(("content-disposition" = String, description = "The name that its file has by default.")),
    )),
)]
pub(crate) async fn export(
    State(app): State<AppState>,
    OfSnapshot(name, id): OfSnapshot,
    method: Method,
) -> Result<Response, Problem> {
    // Who asks for the head alone gets no bytes, for which all of them would
    // have to be hashed, and takes no stream's place.
    let admission = match method {
        Method::HEAD => None,
        _ => Some(app.admit(Lane::Stream).await?),
    };
    let export = app
        .work(Lane::Query, move |service| {
            service.export_snapshot(&name, Some(&id))
        })
        .await?;
    let headers = [
        (header::CONTENT_TYPE, TAR.to_owned()),
        (header::CONTENT_LENGTH, export.bytes.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", archive_name(&export.about)),
        ),
    ];
    let Some(admission) = admission else {
        return Ok((headers, Body::empty()).into_response());
    };
    let (sender, pieces) = mpsc::channel(PIECES);
    let open = sender.clone();
    let ending = app.ending.clone();
    tokio::spawn(async move {
        let work = move || {
            let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces { sender, ending });
            let written = export.write(&mut out).map(|_| ());
            let written = written.and_then(|()| out.flush().map_err(cut_off));
            if let Err(problem) = written {
                tracing::warn!(%problem, "an archive was not sent to its end");
                // The client must not take it for whole.
                let (out, _) = out.into_parts();
                let _ = out.sender.blocking_send(Err(io::Error::other(problem)));
            }
        };
        if let Err(problem) = app.pool.run(admission, work).await {
            tracing::error!(%problem, "an archive could not be sent");
        }
        drop(open);
    });
    Ok((headers, Body::new(PieceBody(pieces))).into_response())
}

/// Make a collection from the archive of a snapshot: whole, or not at all.
#[utoipa::path(
    post, path = "/v1/collections/{name}/import", tag = "snapshots", operation_id = "import_collection",
    params(("name" = CollectionName, Path, description = "The collection to be made.")),
    request_body(content = Archive, content_type = "application/x-tar"),
    responses((status = 201, description = "It is there.", body = CollectionInfo)),
)]
pub(crate) async fn import(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    request: Request,
) -> Result<(StatusCode, Answer<CollectionInfo>), Problem> {
    if media_type(request.headers())? != Some(MediaType::Tar) {
        return Err(unsupported_media_type(TAR));
    }
    let admission = app.admit(Lane::Stream).await?;
    let idle = app.config.idle_timeout;
    let mut reader = StreamReader::new(request.into_body(), idle, app.ending.clone());
    let service = Arc::clone(&app.service);
    let made = app
        .pool
        .run(admission, move || {
            service.import_collection(&name, &mut reader)
        })
        .await??;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// Give back the space of what was replaced and deleted.
///
/// What snapshots hold stays with them. Writing and answering go on.
#[utoipa::path(
    post, path = "/v1/collections/{name}/compact", tag = "upkeep", operation_id = "compact_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 200, description = "What became of the log.", body = CompactionReport)),
)]
pub(crate) async fn compact(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<Answer<CompactionReport>, Problem> {
    let done = app
        .long_work(Lane::Upkeep, move |service| service.compact(&name, 0.0))
        .await?;
    Ok(Answer(done))
}

/// Remove deleted content for good.
///
/// Rewrites the log without it, gives up former generations, builds the
/// projections anew, and then reads everything to prove it. What still holds
/// some is named: snapshots, unless they are to be deleted.
#[utoipa::path(
    post, path = "/v1/collections/{name}/purge", tag = "upkeep", operation_id = "purge_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    request_body = Purge,
    responses((status = 200, description = "What was done, and what still holds deleted content.", body = PurgeReport)),
)]
pub(crate) async fn purge(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Json(what): Json<Purge>,
) -> Result<Answer<PurgeReport>, Problem> {
    let done = app
        .long_work(Lane::Upkeep, move |service| service.purge(&name, what))
        .await?;
    Ok(Answer(done))
}

/// So many pieces of an archive wait to be read by the client.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 64 << 10;

/// Sends what is written in pieces, waiting for whoever reads them.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    ending: CancellationToken,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ending.is_cancelled() {
            return Err(io::Error::other(shutting_down()));
        }
        let piece = Bytes::copy_from_slice(bytes);
        match self.sender.blocking_send(Ok(piece)) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn cut_off(error: io::Error) -> Problem {
    Problem::new("archive_transfer_failed", 502, error.to_string()).retryable()
}

/// An archive as a body; an error in it cuts the connection.
struct PieceBody(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for PieceBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = self.0.poll_recv(context);
        next.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
