//! What will a reindexing cost?
//!
//! A sample of the documents is cut and embedded for real, for about two
//! seconds; everything else follows from the lengths of all texts.

use std::time::{Duration, Instant};

use cento_core::DocumentId;
use cento_embed::Embedder;
use cento_index::Engine;
use serde::{Deserialize, Serialize};

use super::{cut, target};
use crate::{Chunking, IngestError};

/// What a reindexing will cost, before it is begun. Where `is_sampled`, all but
/// documents and bytes is reckoned from a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Documents to cut and embed.
    pub documents: u64,
    /// The bytes of their texts.
    pub bytes: u64,
    /// Chunks that will be embedded.
    pub chunks: u64,
    /// About how many tokens the model will look at: a token is taken for four
    /// bytes of ASCII or one other character.
    pub tokens: u64,
    /// About how long it will take, as measured with the model on this machine
    /// just now.
    pub seconds: f64,
    /// About how many bytes on disk it will need beside what is there.
    pub disk_bytes: u64,
    /// Whether only some of the documents were looked at.
    pub is_sampled: bool,
    /// Whether the collection is embedded and cut in this way already.
    pub is_unchanged: bool,
}

/// How many documents are looked at, at most, and how many bytes of them.
const SAMPLE_DOCUMENTS: u64 = 256;
const SAMPLE_BYTES: u64 = 4 << 20;
/// Leads once to each of so many documents: a prime above their number.
const STRIDE: usize = 7919;
/// How long the model is measured.
const SAMPLE_TIME: Duration = Duration::from_secs(2);
/// How many documents are listed in one go.
const PAGE: usize = 1000;

/// Estimates what [`reindex`](crate::reindex) with this embedder and this
/// chunking will cost, from what queries see now.
///
/// # Errors
/// Errors of the embedder and the engine.
pub fn estimate(
    engine: &Engine,
    embedder: &dyn Embedder,
    chunking: Chunking,
) -> Result<Estimate, IngestError> {
    let view = engine.refresh()?;
    let settings = target(engine, embedder, chunking);
    let documents = view.counts().documents;
    let every = documents.div_ceil(SAMPLE_DOCUMENTS).max(1);
    let mut bytes = 0;
    let mut chosen: Vec<DocumentId> = Vec::new();
    let mut after: Option<DocumentId> = None;
    let mut number = 0;
    loop {
        let page = view.documents(after.as_ref(), PAGE)?;
        for document in &page {
            bytes += document.text_bytes;
            if number % every == 0 {
                chosen.push(document.id.clone());
            }
            number += 1;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.id.clone()),
            _ => break,
        }
    }
    let mut sample = Sample::default();
    // Not in order: there may be enough before the last.
    for i in 0..chosen.len() {
        let id = &chosen[i * STRIDE % chosen.len()];
        if sample.bytes >= SAMPLE_BYTES {
            break;
        }
        if let Some(stored) = view.document(id)? {
            sample.bytes += stored.outline.text_bytes;
            sample.documents += 1;
            let begun = Instant::now();
            let (prepared, _) = cut(stored.document, chunking);
            sample.inputs.extend(prepared.embedding_inputs());
            sample.cutting += begun.elapsed();
        }
    }
    let is_sampled = sample.documents < documents;
    let scale = if is_sampled && sample.bytes > 0 {
        bytes as f64 / sample.bytes as f64
    } else {
        1.0
    };
    let seconds = sample.seconds(embedder)? * scale;
    let chunks = (sample.inputs.len() as f64 * scale).round() as u64;
    let tokens = sample.inputs.iter().map(|input| tokens(input));
    let tokens = (tokens.sum::<u64>() as f64 * scale).round() as u64;
    Ok(Estimate {
        documents,
        bytes,
        chunks,
        tokens,
        seconds,
        disk_bytes: disk_bytes(documents, bytes, chunks, &settings),
        is_sampled,
        is_unchanged: settings == **view.settings(),
    })
}

/// Documents that were looked at.
#[derive(Default)]
struct Sample {
    documents: u64,
    bytes: u64,
    inputs: Vec<String>,
    cutting: Duration,
}

impl Sample {
    /// How long it takes to cut and embed the sample, of which only so much is
    /// embedded as there is time.
    fn seconds(&self, embedder: &dyn Embedder) -> Result<f64, IngestError> {
        let length = |inputs: &[String]| inputs.iter().map(String::len).sum::<usize>();
        let Some(first) = self.inputs.first() else {
            return Ok(0.0);
        };
        // As if no text were known from before: how many are is not known either.
        // What is only done the first time is not what is measured.
        embedder.embed_documents(std::slice::from_ref(first))?;
        let begun = Instant::now();
        let (mut done, mut batch) = (0, 8);
        while done < self.inputs.len() && begun.elapsed() < SAMPLE_TIME {
            let end = (done + batch).min(self.inputs.len());
            embedder.embed_documents(&self.inputs[done..end])?;
            done = end;
            batch = (batch * 2).min(1024);
        }
        let share = length(&self.inputs) as f64 / length(&self.inputs[..done]).max(1) as f64;
        Ok(self.cutting.as_secs_f64() + begun.elapsed().as_secs_f64() * share)
    }
}

/// About how many tokens a text has.
fn tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    (ascii.div_ceil(4) + others) as u64
}

/// The vectors once in the log, once as codes; outlines and rows; and of the
/// words about as much as of the text.
fn disk_bytes(
    documents: u64,
    bytes: u64,
    chunks: u64,
    settings: &cento_index::CollectionSettings,
) -> u64 {
    const OUTLINE: u64 = 64;
    const ROW: u64 = 256;
    let dimensions = settings.dimensions as u64;
    let in_log = match settings.precision {
        cento_index::Precision::I8 => dimensions + 4,
        cento_index::Precision::F32 => dimensions * 4,
    };
    chunks * (in_log + dimensions + 2 * OUTLINE) + documents * ROW + bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_character_is_a_token_and_a_word_of_four_letters_is_one() {
        assert_eq!(tokens("word"), 1);
        assert_eq!(tokens("安装"), 2);
        assert_eq!(tokens(""), 0);
    }
}
