//! What did the legs find, before it is reranked and shown?
//!
//! [`search`](crate::search()) and [`context`](crate::context()) do all at once. Whoever
//! has threads for computing and others for waiting takes the steps one by one: finding
//! and answering compute, reranking may wait for somebody else's machine.

use cento_embed::Embedder;
use cento_index::View;

use crate::candidates::Candidates;
use crate::{Query, Ranking, Reranked, RetrieveError};

/// The candidates of a query, in an order.
#[derive(Debug)]
pub struct Found {
    pub(crate) query: Query,
    pub(crate) candidates: Candidates,
}

impl Found {
    /// Asks the legs and fuses what they say.
    ///
    /// # Errors
    /// A query that [`Query::new`] refuses, a filter that does not fit the collection,
    /// or an error of the engine.
    pub fn find(
        view: &View,
        embedder: &dyn Embedder,
        query: &str,
        ranking: &Ranking<'_>,
    ) -> Result<Self, RetrieveError> {
        let query = Query::new(query)?;
        let candidates = Candidates::find(view, embedder, &query, ranking)?;
        Ok(Self { query, candidates })
    }

    /// How reranking went, if it was wanted.
    pub fn rerank(&self) -> Option<&Reranked> {
        self.candidates.reranked.as_ref()
    }

    /// Has the best candidates judged again, if that is wanted.
    #[must_use]
    pub fn reranked(mut self, ranking: &Ranking<'_>) -> Self {
        if let Some(rerank) = &ranking.rerank {
            let told = rerank.apply(&self.query, &mut self.candidates.ranked);
            self.candidates.reranked = Some(told);
        }
        self
    }
}
