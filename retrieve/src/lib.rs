//! A query in, a cited context within an exact budget out.
