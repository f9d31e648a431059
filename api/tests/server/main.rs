//! Does the server do what its description says, to friend and foe?
//!
//! A real server on a port of its own, and clients that may be hostile: they
//! write bytes, not requests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod collections;
mod description;
mod documents;
mod hostile;
mod keeping;
mod load;
mod queries;
mod server;
mod shutdown;
mod streams;
mod upkeep;
