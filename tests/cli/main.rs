//! The real binary, as a person or a program uses it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod eval;
mod everyday;
mod keeping;
mod models;
mod run;
mod salvage;
