//! The embedded engine: one log and three projections of it.
