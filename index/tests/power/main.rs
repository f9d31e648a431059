//! What is left of a collection when the power goes, at any moment of its life?
//!
//! A script takes a collection through all that it can live through, while a
//! journal notes every step on the disk and every answer that the caller got.
//! Then the disk is made as it could be if the power had gone before and after
//! each sync, with everything lost that was not synced, or nothing, or only
//! bytes, or some of it; with sled's folder, which no journal sees, as it was
//! at some earlier moment, cut short, or gone. Each such disk must open, hold
//! what was acknowledged, and be written to again.
//!
//! `cargo test` takes a sample of the disks. `CENTO_POWER_CUTS=all` takes every
//! one, `CENTO_POWER_CUTS=500` about so many. Add `-- --nocapture` to see the
//! counts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod catalogs;
#[allow(dead_code, reason = "each test uses its part of it")]
#[path = "../engine/corpus.rs"]
mod corpus;
mod cuts;
mod kills;
mod script;
mod state;
