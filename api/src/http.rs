//! How is HTTP read and written, whatever the request is about?

pub(crate) mod body;
pub(crate) mod extract;
pub(crate) mod guard;
pub(crate) mod observe;
pub(crate) mod respond;
