//! The engine's promises, kept on real files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod corpus;
mod failures;
mod filters;
mod graph;
mod lifecycle;
mod limits;
mod patches;
mod recovery;
mod salvage;
mod writes;
