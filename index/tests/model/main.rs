//! Does the engine do what a map in memory would, whatever is asked of it in
//! whatever order, and whoever asks at the same time?
//!
//! `machine` draws a life of operations and lives it twice: in the engine and
//! in a model that is a few maps. After each operation both must answer alike.
//! proptest's own vectors of operations are enough for that, without a crate
//! for state machines: an operation names documents and snapshots by small
//! numbers and means something in every state, if only a refusal that the
//! model foretells, so any part of a failing life is a life, and shrinks.
//! `PROPTEST_CASES=1000` draws more of them.
//!
//! `stress` lets threads do the same at once and looks at what each may see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compare;
#[allow(dead_code, reason = "each test uses its part of it")]
#[path = "../engine/corpus.rs"]
mod corpus;
mod ground;
mod machine;
mod operation;
mod stress;
mod texts;
mod world;
