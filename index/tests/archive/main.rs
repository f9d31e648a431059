//! A snapshot's way to another machine: all of it arrives, or none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod hostile;
mod round_trip;
mod sample;
