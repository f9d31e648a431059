//! The served binary, as a program beside it uses it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod keeping;
mod reranking;
mod server;
mod transcript;
mod transfers;
