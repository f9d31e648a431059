//! `cento serve`: how is a data directory opened to others?

use std::net::SocketAddr;
use std::process::ExitCode;

use cento_api::{Problem, ServerConfig, run as serve};
use tracing_subscriber::EnvFilter;

use super::Outcome;
use crate::args::ServeArgs;
use crate::output;
use crate::target::Place;

pub(crate) fn run(place: &Place, args: &ServeArgs, json: bool) -> Outcome {
    if place.url.is_some() {
        let detail = "a server serves a data directory, not another server";
        return Err(Problem::new("invalid_url", 400, detail).with_help("leave --url out"));
    }
    begin_log(json);
    let config = ServerConfig {
        bind: args.bind,
        allow_remote: args.allow_remote,
        allowed_hosts: args.allowed_hosts.clone(),
        allowed_models: args.embedders.clone(),
        max_document_bytes: args.max_document_bytes,
        reranker: args.reranker.clone(),
        embedding_cache_bytes: place.embedding_cache_bytes,
        store: place.options.clone(),
        compact_at: args.compact_at.0,
        ..ServerConfig::new(&place.data)
    };
    serve(config, announce)?;
    Ok(ExitCode::SUCCESS)
}

/// Says where the server listens: the one line on standard output.
pub(super) fn announce(address: SocketAddr) {
    output::line(format_args!("listening on http://{address}"));
}

/// Sends what the server has to tell to standard error: warnings and errors,
/// or what `CENTO_LOG` asks for, e.g. `info` for a line a request.
pub(super) fn begin_log(json: bool) {
    let filter = EnvFilter::try_from_env("CENTO_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber in one process would be a defect of ours; the server
    // works without.
    let _ = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}
