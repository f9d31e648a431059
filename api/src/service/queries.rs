//! How are questions answered?

use cento_core::{CollectionName, Filter};
use cento_retrieve::{
    ContextRequest, ContextResponse, Found, Ranking, RetrieveError, SearchRequest, SearchResponse,
    Tokenizer, effort,
};
use serde_json::Value;

use super::documents::within;
use super::reranking::note_failure;
use super::{Opened, Service};
use crate::Problem;
use crate::types::{ContextQuery, SearchQuery};

impl Service {
    /// The chunks that answer a question best.
    ///
    /// # Errors
    /// `unknown_collection`, `model_mismatch`, `no_reranker`, and what is wrong with
    /// the query or its filter.
    pub fn search(
        &self,
        name: &CollectionName,
        asked: &SearchQuery,
    ) -> Result<SearchResponse, Problem> {
        let filter = filter(asked.filter.as_ref())?;
        let limit = within("limit", asked.limit, SearchQuery::MAX_LIMIT)?;
        let opened = self.opened(name)?;
        let effort = effort(asked.recall, asked.ef, asked.exact)?;
        self.with_rerank(asked.rerank.as_ref(), |rerank| {
            let request = SearchRequest {
                query: &asked.query,
                ranking: Ranking {
                    filter: filter.as_ref(),
                    legs: asked.legs,
                    fusion: asked.fusion,
                    effort,
                    rerank,
                    ..Ranking::default()
                },
                limit,
            };
            let found = self.found(&opened, request.query, &request.ranking)?;
            Ok(self.on_query_threads(|| found.search(&request)))
        })
    }

    /// What should stand in the prompt, counted by a built-in tokenizer.
    ///
    /// # Errors
    /// As [`Service::search`], and `unknown_tokenizer`.
    pub fn context(&self, asked: &ContextQuery) -> Result<ContextResponse, Problem> {
        let name = asked.tokenizer.as_deref().unwrap_or(Tokenizer::DEFAULT);
        let tokenizer = Tokenizer::named(name).map_err(|error| match error {
            // Its own words offer a path, which nobody else may name here.
            RetrieveError::UnknownTokenizer { name, known } => {
                let detail = format!("no tokenizer is called '{name}'; there is: {known}");
                Problem::new("unknown_tokenizer", 400, detail)
            }
            other => other.into(),
        })?;
        self.context_counted_by(&tokenizer, asked)
    }

    /// The same, counted by a tokenizer of the caller's own, whatever the
    /// question names.
    ///
    /// # Errors
    /// As [`Service::search`].
    pub fn context_counted_by(
        &self,
        tokenizer: &Tokenizer,
        asked: &ContextQuery,
    ) -> Result<ContextResponse, Problem> {
        let filter = filter(asked.filter.as_ref())?;
        let opened = self.opened(&asked.collection)?;
        let effort = effort(asked.recall, asked.ef, asked.exact)?;
        self.with_rerank(asked.rerank.as_ref(), |rerank| {
            let request = ContextRequest {
                query: &asked.query,
                ranking: Ranking {
                    filter: filter.as_ref(),
                    legs: asked.legs,
                    fusion: asked.fusion,
                    effort,
                    rerank,
                    ..Ranking::default()
                },
                budget: asked.max_tokens,
                tokenizer,
            };
            let found = self.found(&opened, request.query, &request.ranking)?;
            Ok(self.on_query_threads(|| found.context(&opened.view, &request))?)
        })
    }
}

impl Service {
    /// What is found, on the threads that queries have, and reranked on this one:
    /// another machine may have to be waited for.
    fn found(&self, opened: &Opened, query: &str, ranking: &Ranking<'_>) -> Result<Found, Problem> {
        let find = || Found::find(&opened.view, &*opened.embedder, query, ranking);
        let found = self.on_query_threads(find)?.reranked(ranking);
        note_failure(found.rerank());
        Ok(found)
    }
}

fn filter(written: Option<&Value>) -> Result<Option<Filter>, Problem> {
    Ok(written.map(Filter::from_json).transpose()?)
}
