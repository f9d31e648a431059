//! What the world outside sees of cento.
//!
//! This crate answers: *how does cento speak to those who are not part of it?*
//! [`Problem`] is how it says that something went wrong, [`Service`] all that
//! can be asked of a data directory, and [`run`] the HTTP server over it.

#![deny(missing_docs)]

mod archive_place;
mod config;
mod cpu_pool;
mod http;
mod metrics;
mod openapi;
mod problem;
mod remote_archive;
mod router;
mod routes;
mod server;
mod service;
mod state;
pub mod types;

pub use archive_place::{ArchivePlace, archive_name};
pub use config::ServerConfig;
pub use problem::Problem;
pub use remote_archive::{Download, download, upload};
pub use server::{run, serve};
pub use service::{Export, Models, Service, ServiceOptions, open_reranker};

/// The description of the API in OpenAPI 3.1, as `GET /openapi.json` gives it.
pub fn openapi_json() -> String {
    openapi::json()
}
