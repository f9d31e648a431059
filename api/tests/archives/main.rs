//! An archive's way to a file or a bucket and back: whole, or not at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
#[cfg(feature = "s3")]
mod objects;
#[cfg(feature = "s3")]
mod store;
