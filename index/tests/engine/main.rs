//! The engine's promises, kept on real files.

mod corpus;
mod filters;
mod graph;
mod recovery;
mod writes;
