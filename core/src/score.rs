//! How good is a match, and by whose measure?
//!
//! Each measure is a type of its own, so that a BM25 score is never compared
//! with a cosine. Within a measure the order is total (`f32::total_cmp`).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

macro_rules! score {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name(pub f32);

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other) == Ordering::Equal
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.total_cmp(&other.0)
            }
        }
    };
}

score!(
    /// Okapi BM25 (k1 = 1.2, b = 0.75) summed over the query's terms and the
    /// text projection's fields; 0 and above, without an upper bound.
    Bm25Score
);
score!(
    /// The cosine of the angle between a query's and a chunk's vector, from -1
    /// to 1.
    CosineScore
);
score!(
    /// What fusion makes of the legs' scores; its scale depends on the fusion.
    FusedScore
);
score!(
    /// What a model says that reads a query and a text together; comparable only
    /// with what the same model says of the same query.
    RerankScore
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_a_total_order() {
        let mut scores = [Bm25Score(2.0), Bm25Score(-1.0), Bm25Score(0.5)];
        scores.sort();
        assert_eq!(scores, [Bm25Score(-1.0), Bm25Score(0.5), Bm25Score(2.0)]);
    }
}
