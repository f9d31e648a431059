//! How does a server say which texts answer a query?
//!
//! Over the API that Cohere's reranking has and that vLLM, Jina and others serve:
//! `URL/rerank` with a query and texts, which answers with a score for each.

use std::time::{Duration, Instant};

use super::address::Address;
use super::client::{Client, Failure};
use super::options::called_for_reranking;
use super::{Options, batches, error};
use crate::{EmbedError, Reranker};

/// A reranking model that a server runs.
pub(crate) struct RemoteReranker {
    client: Client,
    options: Options,
    fingerprint: String,
}

/// Less time than this is not worth a request.
const LEAST: Duration = Duration::from_millis(1);

/// A text that is still too long when it has been cut to so many characters is not the
/// reason why a server refuses.
const LEAST_CHARACTERS: usize = 200;

impl RemoteReranker {
    /// A model of a server, which is not asked yet.
    ///
    /// # Errors
    /// [`EmbedError::RemoteName`], and what is wrong with the settings of this process.
    pub(crate) fn new(name: &str, options: Options) -> Result<Self, EmbedError> {
        let client = Client::new(Address::parse(name)?, &options).map_err(called_for_reranking)?;
        Ok(Self {
            fingerprint: format!("{}/rerank", client.address().identity()),
            client,
            options,
        })
    }

    /// The scores of some texts; in halves, and at last cut, where they are too much at
    /// once. `None` if there was no answer before the deadline.
    fn together(
        &self,
        query: &str,
        texts: &[&str],
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, EmbedError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < LEAST {
            return Ok(None);
        }
        // Whoever asks decides how long it may take.
        let mut patience = self.options.queries;
        patience.deadline = left;
        patience.request = left.min(self.options.documents.request);
        patience.connect = patience.connect.min(left);
        match self.client.rerank(query, texts, &patience) {
            Ok(scores) => Ok(Some(scores)),
            Err(Failure::TooMuch { .. }) if texts.len() > 1 => {
                let (first, second) = texts.split_at(texts.len() / 2);
                let Some(mut scores) = self.together(query, first, deadline)? else {
                    return Ok(None);
                };
                if let Some(others) = self.together(query, second, deadline)? {
                    scores.extend(others);
                }
                Ok(Some(scores))
            }
            Err(failure @ Failure::TooMuch { .. }) => {
                let text = texts.first().copied().unwrap_or_default();
                let characters = text.chars().count();
                if characters / 2 < LEAST_CHARACTERS {
                    return Err(error(&self.client, text, failure));
                }
                self.together(query, &[cut(text, characters / 2)], deadline)
            }
            // It was asked for as long as there was time.
            Err(_) if Instant::now() + LEAST >= deadline => Ok(None),
            Err(failure) => Err(error(&self.client, query, failure)),
        }
    }
}

/// The first characters of a text, so many.
fn cut(text: &str, characters: usize) -> &str {
    match text.char_indices().nth(characters) {
        Some((end, _)) => &text[..end],
        None => text,
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
        let most = self.options.max_characters.unwrap_or(usize::MAX);
        let texts: Vec<&str> = texts.iter().map(|text| cut(text, most)).collect();
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let mut scores = Vec::with_capacity(texts.len());
        for batch in batches(&lengths, self.options.batch_texts, self.options.batch_bytes) {
            let whole = batch.len();
            let Some(judged) = self.together(query, &texts[batch], deadline)? else {
                break;
            };
            let is_whole = judged.len() == whole;
            scores.extend(judged);
            if !is_whole {
                break;
            }
        }
        Ok(scores)
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
