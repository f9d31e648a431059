//! What does each path answer?

pub(crate) mod collections;
pub(crate) mod documents;
mod events;
pub(crate) mod generations;
pub(crate) mod queries;
pub(crate) mod snapshots;
pub(crate) mod stream;
pub(crate) mod system;
pub(crate) mod upkeep;
