//! Bytes in, documents and chunks in the index.
