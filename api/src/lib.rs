//! What the world outside sees of cento.
//!
//! This crate answers: *how does cento speak to those who are not part of it?*
//! [`Problem`] is how it says that something went wrong, [`Service`] all that
//! can be asked of a data directory, and [`run`] the HTTP server over it.

#![deny(missing_docs)]

mod config;
mod problem;
mod server;
mod service;
pub mod types;

pub use config::ServerConfig;
pub use problem::Problem;
pub use server::run;
pub use service::{Models, Service, ServiceOptions};
