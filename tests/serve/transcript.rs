//! Does what the guide shows happen?
