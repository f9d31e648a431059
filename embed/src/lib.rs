//! Texts in, vectors out.
