//! How does a server begin, and how does it end?
//!
//! It ends in order: no new connections; every request under way is answered,
//! for as long as the settings allow; streams that are still going on then are
//! told so; what was written is made quick to open; the directory's lock is
//! released. Whatever comes in between, what was acknowledged is safe.

mod client_io;
mod connection;
mod upkeep;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cpu_pool::Lane;
use crate::router::router;
use crate::state::{App, AppState, Phase};
use crate::{Models, Problem, ServerConfig, Service, ServiceOptions};
use upkeep::Upkeep;

/// How long streams that were told to end may take for their last batch.
const LAST_BATCH: Duration = Duration::from_secs(10);

/// Runs a server until the process is asked to end (SIGTERM or Ctrl-C); a
/// second time ends it at once. `ready` is called when it listens, with its
/// address.
///
/// # Errors
/// `unsafe_bind`, `cannot_listen`, `directory_in_use`, and errors of opening.
pub fn run(
    config: ServerConfig,
    ready: impl FnOnce(SocketAddr) + Send + 'static,
) -> Result<(), Problem> {
    config.check_bind()?;
    let options = ServiceOptions {
        models: Models::Named(config.allowed_models.clone()),
        query_threads: config.queries_running(),
        embedding_cache_bytes: config.embedding_cache_bytes,
        reranker: config.reranker.clone(),
        store: config.store.clone(),
    };
    let service = Service::open(&config.data, options)?;
    service.open_reranker()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
    let result = runtime.block_on(async {
        let asked = asked_to_end()?;
        serve(config, service, ready, asked).await
    });
    // What still blocks a thread has had its time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Serves until `shutdown` comes, and then ends in order.
///
/// # Errors
/// `unsafe_bind`, `cannot_listen`.
pub async fn serve(
    config: ServerConfig,
    service: Service,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Problem> {
    config.check_bind()?;
    let bind = config.bind;
    let cannot_listen = |error: std::io::Error| {
        Problem::new(
            "cannot_listen",
            500,
            format!("cannot listen on {bind}: {error}"),
        )
        .with_help("another program may listen there: choose another port, or 0 for a free one")
    };
    let listener = TcpListener::bind(bind).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let app = App::new(Arc::new(service), config)?;
    app.service.store().record_address(&local_url(address))?;
    let upkeep = Upkeep::begin(&app)?;
    tracing::info!(%address, "listening");
    ready(address);
    let connections = accept(&app, listener, shutdown).await;
    end(&app, &connections).await;
    let limit = app.config.shutdown_timeout;
    write_down(Arc::clone(&app.service), upkeep, limit).await;
    tracing::info!("ended");
    Ok(())
}

/// Ends what happens beside the requests and writes down what the next opening
/// would have to replay. Nothing is lost without it, so a collection whose writer
/// is busy, with a purge that was not waited for, keeps no server from its end.
async fn write_down(service: Arc<Service>, upkeep: Upkeep, limit: Duration) {
    let work = tokio::task::spawn_blocking(move || {
        upkeep.end();
        service.checkpoint();
    });
    match timeout(limit, work).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => {
            tracing::error!("the checkpoint failed; opening will take longer, nothing is lost");
        }
        Err(_) => {
            tracing::warn!("the checkpoint is not waited for; opening will take longer");
        }
    }
}

/// The connections of a server.
struct Connections {
    tasks: TaskTracker,
    /// Cancelled when each is to end after the request under way.
    closing: CancellationToken,
    /// Cancelled when each is to end now.
    dropping: CancellationToken,
}

/// Takes connections until the shutdown comes.
async fn accept(
    app: &AppState,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Connections {
    let connections = Connections {
        tasks: TaskTracker::new(),
        closing: CancellationToken::new(),
        dropping: CancellationToken::new(),
    };
    let places = Arc::new(Semaphore::new(app.config.connections.max(1)));
    let service = router(Arc::clone(app));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // Who finds no place waits in the system's own queue.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut shutdown => return connections,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = connection::serve(
                    stream,
                    service.clone(),
                    app.config.clone(),
                    connections.closing.clone(),
                );
                let dropping = connections.dropping.clone();
                connections.tasks.spawn(async move {
                    let _place = place;
                    dropping.run_until_cancelled(served).await;
                });
            }
            Err(error) => {
                // Of the connection, or of a limit of the system; neither is
                // mended by asking again at once.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Lets what is under way come to its end.
async fn end(app: &AppState, connections: &Connections) {
    tracing::info!("ending: requests under way are finished");
    app.enter(Phase::Stopping);
    connections.closing.cancel();
    connections.tasks.close();
    if timeout(app.config.shutdown_timeout, connections.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("requests under way are cut off");
        app.ending.cancel();
        let _ = timeout(LAST_BATCH, connections.tasks.wait()).await;
        connections.dropping.cancel();
        connections.tasks.wait().await;
    }
    let last = Instant::now() + LAST_BATCH;
    for lane in Lane::ALL {
        if timeout_at(last, app.pool.drain(lane)).await.is_err() {
            tracing::warn!(lane = lane.name(), "work is still under way");
        }
    }
}

/// Where this machine reaches the server.
fn local_url(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return format!("http://{address}");
    }
    let local = if address.is_ipv4() {
        "127.0.0.1"
    } else {
        "[::1]"
    };
    format!("http://{local}:{}", address.port())
}

/// Comes when the process is asked to end. The second time it ends without
/// waiting, which is safe: what is not acknowledged is cut off at the next
/// opening.
fn asked_to_end() -> Result<impl Future<Output = ()>, Problem> {
    let listen =
        |kind| signal(kind).map_err(|error| Problem::new("internal", 500, error.to_string()));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut sender = Some(sender);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match sender.take() {
                Some(sender) => drop(sender.send(())),
                None => std::process::exit(130),
            }
        }
    });
    Ok(async {
        let _ = receiver.await;
    })
}
