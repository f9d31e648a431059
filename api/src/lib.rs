//! What the world outside sees of cento.
//!
//! This crate answers: *how does cento speak to those who are not part of it?*
//! So far that is how it says that something went wrong: [`Problem`].

#![deny(missing_docs)]

mod problem;

pub use problem::Problem;
