//! What the world outside sees of cento.
