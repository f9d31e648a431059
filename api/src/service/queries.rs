//! How are questions answered?

use cento_core::{CollectionName, Filter};
use cento_retrieve::{
    ContextRequest, ContextResponse, Ranking, RetrieveError, SearchRequest, SearchResponse,
    Tokenizer, context, effort, search,
};
use serde_json::Value;

use super::Service;
use super::documents::within;
use super::reranking::note_failure;
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
            let answer = || search(&opened.view, &*opened.embedder, &request);
            let found = self.on_query_threads(answer)?;
            note_failure(found.rerank.as_ref());
            Ok(found)
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
            let answer = || context(&opened.view, &*opened.embedder, &request);
            let found = self.on_query_threads(answer)?;
            note_failure(found.receipt.rerank.as_ref());
            Ok(found)
        })
    }
}

fn filter(written: Option<&Value>) -> Result<Option<Filter>, Problem> {
    Ok(written.map(Filter::from_json).transpose()?)
}
