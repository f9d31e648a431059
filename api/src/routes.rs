//! What does each path answer?

pub(crate) mod collections;
pub(crate) mod documents;
pub(crate) mod queries;
pub(crate) mod stream;
pub(crate) mod system;
pub(crate) mod upkeep;
