//! How does a server say which texts answer a query?
//!
//! Over the API that Cohere's reranking has and that vLLM, Jina and others serve:
//! `URL/rerank` with a query and texts, which answers with a score for each.

use std::time::{Duration, Instant};

use super::address::Address;
use super::client::Client;
use super::{Options, error};
use crate::{EmbedError, Reranker};

/// A reranking model that a server runs.
pub(crate) struct RemoteReranker {
    client: Client,
    options: Options,
    fingerprint: String,
}

/// Less time than this is not worth a request.
const LEAST: Duration = Duration::from_millis(1);

impl RemoteReranker {
    /// A model of a server, which is not asked yet.
    ///
    /// # Errors
    /// [`EmbedError::RemoteName`], and what is wrong with the settings of this process.
    pub(crate) fn new(name: &str, options: Options) -> Result<Self, EmbedError> {
        let client = Client::new(Address::parse(name)?, &options)?;
        Ok(Self {
            fingerprint: format!("{}/rerank", client.address().identity()),
            client,
            options,
        })
    }
}

impl Reranker for RemoteReranker {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn rerank(
        &self,
        query: &str,
        texts: &[&str],
        deadline: Instant,
    ) -> Result<Vec<f32>, EmbedError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < LEAST || texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut patience = self.options.queries;
        patience.deadline = patience.deadline.min(left);
        patience.request = patience.request.min(left);
        patience.connect = patience.connect.min(left);
        let scores = self.client.rerank(query, texts, &patience);
        scores.map_err(|failure| error(&self.client, query, failure))
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
