//! Does this version open what every version from the first fixed one on has
//! written, and refuse what a later one writes?
//!
//! `data/format/v1` holds a small data directory and an archive, with what they
//! must answer. `docs/format.md` says what is promised. Until a version is
//! released that writes it, `CENTO_BLESS=1 cargo test -p cento-index --test
//! format` makes them anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
#[allow(dead_code, reason = "each test uses its part of it")]
#[path = "../engine/corpus.rs"]
mod corpus;
mod files;
mod fixture;
mod opens;
mod refused;
