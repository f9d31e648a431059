//! How does a server embed a text?
//!
//! Over the API that OpenAI's embeddings have and that vLLM, Text Embeddings
//! Inference, Ollama and others serve. What comes back is checked and scaled to
//! unit length; what cannot be sent or used is an error that says why.
//!
//! A server's model cannot be hashed. Its fingerprint is where it is and what
//! it is called, so that a server that changes the model behind a name is not
//! noticed, unless the vectors have another length.

mod address;
mod answer;
mod client;
mod key;
mod options;
mod rerank;
mod turns;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

pub(crate) use self::options::Options;
pub(crate) use self::rerank::RemoteReranker;

use self::address::Address;
use self::client::{Client, Failure, For};
use crate::{Contract, EmbedError, Embedder};

/// What is embedded to see whether a server does, and how.
const PROBE: &str = "A text made wholly of quotations from other texts.";

/// A model that a server runs.
pub(crate) struct Remote {
    client: Client,
    options: Options,
    contract: Contract,
}

impl Remote {
    /// Asks a server once, to see that it embeds and how many dimensions there
    /// are.
    ///
    /// # Errors
    /// [`EmbedError::RemoteName`], and those of embedding.
    pub(crate) fn open(name: &str, options: Options) -> Result<Self, EmbedError> {
        let client = Client::new(Address::parse(name)?, &options)?;
        let probe = client.embed(
            &[PROBE],
            For::Query,
            None,
            &options.opening,
            &AtomicBool::new(false),
        );
        let probe = probe.map_err(|failure| error(&client, PROBE, failure))?;
        let dimensions = probe.first().map_or(0, Vec::len);
        let contract = Contract {
            model: name.to_owned(),
            fingerprint: fingerprint(client.address(), dimensions, &options),
            dimensions,
            max_tokens: None,
            cosine_weight: 1.0,
            standout: None,
            is_quantised: false,
            query_prefix: options.query_prefix.clone(),
            document_prefix: options.document_prefix.clone(),
        };
        Ok(Self {
            client,
            options,
            contract,
        })
    }

    fn zero(&self) -> Vec<f32> {
        vec![0.0; self.contract.dimensions]
    }

    /// What is sent of a text.
    fn input(&self, prefix: &str, text: &str) -> String {
        let mut input = format!("{prefix}{text}");
        let most = self.options.max_characters.unwrap_or(usize::MAX);
        if let Some((end, _)) = input.char_indices().nth(most) {
            input.truncate(end);
        }
        input
    }

    /// Embeds texts together; where that is too much, in halves.
    fn together(
        &self,
        inputs: &[&str],
        whom: For,
        stop: &AtomicBool,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let patience = match whom {
            For::Query => &self.options.queries,
            For::Documents => &self.options.documents,
        };
        let dimensions = Some(self.contract.dimensions);
        match self.client.embed(inputs, whom, dimensions, patience, stop) {
            Err(Failure::TooMuch { .. }) if inputs.len() > 1 => {
                let (first, second) = inputs.split_at(inputs.len() / 2);
                let mut vectors = self.together(first, whom, stop)?;
                vectors.extend(self.together(second, whom, stop)?);
                Ok(vectors)
            }
            Err(failure @ Failure::TooMuch { .. }) => {
                let text = inputs.first().copied().unwrap_or_default();
                Err(Failure::Error(error(&self.client, text, failure)))
            }
            other => other,
        }
    }
}

impl Embedder for Remote {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        if text.trim().is_empty() {
            return Ok(self.zero());
        }
        let input = self.input(&self.contract.query_prefix, text);
        let vectors = self.together(&[&input], For::Query, &AtomicBool::new(false));
        let vectors = vectors.map_err(|failure| error(&self.client, &input, failure))?;
        Ok(vectors.into_iter().next().unwrap_or_else(|| self.zero()))
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        // What holds nothing keeps its zero vector.
        let held: Vec<usize> = (0..texts.len())
            .filter(|&text| !texts[text].trim().is_empty())
            .collect();
        let inputs: Vec<String> = held
            .iter()
            .map(|&text| self.input(&self.contract.document_prefix, &texts[text]))
            .collect();
        let lengths: Vec<usize> = inputs.iter().map(String::len).collect();
        let batches = batches(&lengths, self.options.batch_texts, self.options.batch_bytes);
        let sending = Sending {
            model: self,
            inputs: &inputs,
            batches: &batches,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            done: Mutex::new(Done {
                vectors: vec![None; batches.len()],
                error: None,
            }),
        };
        sending.run();
        let done = sending.done.into_inner();
        let Done {
            vectors: found,
            error,
        } = done.unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = error {
            return Err(error);
        }
        let mut vectors = vec![self.zero(); texts.len()];
        for (text, vector) in held.into_iter().zip(found.into_iter().flatten().flatten()) {
            vectors[text] = vector;
        }
        Ok(vectors)
    }
}

/// Several requests at once for batches of one call.
struct Sending<'a> {
    model: &'a Remote,
    inputs: &'a [String],
    batches: &'a [Range<usize>],
    /// The batch that is taken next.
    next: AtomicUsize,
    /// Set by the first failure: what comes now would be thrown away.
    stop: AtomicBool,
    done: Mutex<Done>,
}

struct Done {
    /// Those of each batch.
    vectors: Vec<Option<Vec<Vec<f32>>>>,
    /// Of the first batch that failed.
    error: Option<(usize, EmbedError)>,
}

impl Sending<'_> {
    fn run(&self) {
        let threads = self.batches.len().min(self.model.options.concurrency);
        thread::scope(|scope| {
            for _ in 1..threads {
                let helper = thread::Builder::new().name("embedding".to_owned());
                // This thread sends what a helper that cannot be had would.
                if helper.spawn_scoped(scope, || self.work()).is_err() {
                    break;
                }
            }
            self.work();
        });
    }

    /// Sends batches until there are no more.
    fn work(&self) {
        let turns = self.model.client.turns();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = self.batches.get(number) else {
                return;
            };
            let Some(turn) = turns.take(&self.stop) else {
                return;
            };
            let inputs: Vec<&str> = self.inputs[batch.clone()]
                .iter()
                .map(String::as_str)
                .collect();
            let vectors = self.model.together(&inputs, For::Documents, &self.stop);
            drop(turn);
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            match vectors {
                Ok(vectors) => done.vectors[number] = Some(vectors),
                Err(Failure::Stopped) => return,
                Err(failure) => {
                    self.stop.store(true, Ordering::Relaxed);
                    let begins = inputs.first().copied().unwrap_or_default();
                    let error = error(&self.model.client, begins, failure);
                    if done.error.as_ref().is_none_or(|(first, _)| number < *first) {
                        done.error = Some((number, error));
                    }
                    return;
                }
            }
        }
    }
}

/// Texts that are sent together, in order: no more than so many, and no more
/// than so many bytes, unless one alone has more.
fn batches(lengths: &[usize], texts: usize, bytes: usize) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (text, &length) in lengths.iter().enumerate() {
        match batches.last_mut() {
            Some(batch) if batch.len() < texts && sum + length <= bytes => {
                batch.end = text + 1;
                sum += length;
            }
            _ => {
                batches.push(text..text + 1);
                sum = length;
            }
        }
    }
    batches
}

/// What is told of a failure; `text` is the one that was sent, if it was one.
fn error(client: &Client, text: &str, failure: Failure) -> EmbedError {
    /// As much of a text as shows which it is.
    const BEGINS: usize = 80;
    match failure {
        Failure::Error(error) => error,
        Failure::Stopped => client.unreachable("it was not asked any more".to_owned()),
        Failure::TooMuch { status, message } => EmbedError::RemoteTextTooLong {
            server: client.address().server.clone(),
            model: client.address().model.clone(),
            status,
            begins: text.chars().take(BEGINS).collect(),
            characters: text.chars().count(),
            message,
        },
    }
}

/// Identity of everything that is known to change a vector.
fn fingerprint(address: &Address, dimensions: usize, options: &Options) -> String {
    let mut fingerprint = format!("{}/{dimensions}/unit", address.identity());
    let Options {
        query_prefix,
        document_prefix,
        max_characters,
        ..
    } = options;
    if !query_prefix.is_empty() || !document_prefix.is_empty() || max_characters.is_some() {
        let treatment = json!({
            "query_prefix": query_prefix,
            "document_prefix": document_prefix,
            "max_characters": max_characters,
        });
        let hash = blake3::hash(treatment.to_string().as_bytes()).to_hex();
        fingerprint.push_str(&format!("/{}", &hash[..16]));
    }
    fingerprint
}

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;
