//! What need not be embedded again?
//!
//! A costly embedder with a memory: of documents' texts in an [`EmbeddingCache`],
//! which outlasts the process, of queries in memory alone, as they come again
//! within minutes or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::cache::{Key, key};
use crate::{Contract, EmbedError, Embedder, EmbeddingCache, Recalled};

/// About so many bytes of queries are kept in memory.
const QUERIES_BYTES: usize = 16 << 20;

/// A longer query is not kept: it is hardly asked twice.
const LONGEST_QUERY: usize = 1024;

/// The embedder with a memory, if embedding costs enough to be worth it.
pub fn cached(embedder: Box<dyn Embedder>, cache: Arc<EmbeddingCache>) -> Box<dyn Embedder> {
    if !embedder.is_costly() {
        return embedder;
    }
    let entry = LONGEST_QUERY + size_of::<f32>() * embedder.contract().dimensions;
    let most = NonZeroUsize::new(QUERIES_BYTES / entry).unwrap_or(NonZeroUsize::MIN);
    Box::new(Cached {
        embedder,
        documents: cache,
        queries: Mutex::new(LruCache::new(most)),
    })
}

struct Cached {
    embedder: Box<dyn Embedder>,
    documents: Arc<EmbeddingCache>,
    queries: Mutex<LruCache<String, Vec<f32>>>,
}

impl Cached {
    fn queries(&self) -> MutexGuard<'_, LruCache<String, Vec<f32>>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Embedder for Cached {
    fn contract(&self) -> &Contract {
        self.embedder.contract()
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        if let Some(vector) = self.queries().get(text) {
            return Ok(vector.clone());
        }
        let vector = self.embedder.embed_query(text)?;
        if text.len() <= LONGEST_QUERY {
            self.queries().put(text.to_owned(), vector.clone());
        }
        Ok(vector)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.embedder.embed_documents(texts)
    }

    fn embed_or_recall(&self, texts: &[String]) -> Result<Recalled, EmbedError> {
        let cache = &self.documents;
        if cache.is_off() {
            return self.embedder.embed_or_recall(texts);
        }
        let contract = self.contract();
        let keys: Vec<Key> = (texts.iter())
            .map(|text| key(&contract.fingerprint, text))
            .collect();
        let found = cache.get(&keys, contract.dimensions);
        let mut known = BTreeMap::new();
        let mut old = BTreeSet::new();
        for (&key, found) in keys.iter().zip(found) {
            if let Some(found) = found {
                if found.is_old {
                    old.insert(key);
                }
                known.insert(key, found.vector);
            }
        }
        // A text that stands there twice is embedded once.
        let mut met = BTreeSet::new();
        let (new_keys, new_texts): (Vec<Key>, Vec<String>) = (keys.iter().zip(texts))
            .filter(|(key, _)| !known.contains_key(*key) && met.insert(**key))
            .map(|(&key, text)| (key, text.clone()))
            .unzip();
        let embedded = new_texts.len();
        if embedded > 0 {
            known.extend(
                new_keys
                    .iter()
                    .copied()
                    .zip(self.embedder.embed_documents(&new_texts)?),
            );
        }
        let kept = new_keys.iter().chain(&old);
        let kept = kept.filter_map(|key| Some((*key, known.get(key)?.as_slice())));
        cache.put(&kept.collect());
        let vectors = keys.iter().filter_map(|key| known.get(key).cloned());
        Ok(Recalled {
            vectors: vectors.collect(),
            embedded,
        })
    }

    fn can_fit(&self) -> bool {
        self.embedder.can_fit()
    }

    fn fit(&self, texts: &[String]) -> Option<Vec<u8>> {
        self.embedder.fit(texts)
    }

    fn fitted(&self, artefact: Vec<u8>) -> Result<Box<dyn Embedder>, EmbedError> {
        self.embedder.fitted(artefact)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Bundled;

    /// The bundled model, which costs nothing, counting as if it did.
    struct Costly {
        model: Bundled,
        documents: Arc<AtomicUsize>,
        queries: Arc<AtomicUsize>,
        is_costly: bool,
    }

    impl Embedder for Costly {
        fn contract(&self) -> &Contract {
            self.model.contract()
        }

        fn is_costly(&self) -> bool {
            self.is_costly
        }

        fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
            self.queries.fetch_add(1, Ordering::Relaxed);
            self.model.embed_query(text)
        }

        fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
            self.documents.fetch_add(texts.len(), Ordering::Relaxed);
            self.model.embed_documents(texts)
        }
    }

    struct Tried {
        embedder: Box<dyn Embedder>,
        documents: Arc<AtomicUsize>,
        queries: Arc<AtomicUsize>,
    }

    fn tried(cache: EmbeddingCache, is_costly: bool) -> Tried {
        let (documents, queries) = (Arc::default(), Arc::default());
        let costly = Costly {
            model: Bundled::new().expect("the bundled model is whole"),
            documents: Arc::clone(&documents),
            queries: Arc::clone(&queries),
            is_costly,
        };
        Tried {
            embedder: cached(Box::new(costly), Arc::new(cache)),
            documents,
            queries,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_text_is_embedded_once_for_all_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let bundled = Bundled::new().expect("the bundled model is whole");
        let path = folder.path().join("embeddings.redb");
        let mut embedded = Vec::new();
        for batch in [
            texts(&["one pump", "two valves", "one pump"]),
            texts(&["three hoses", "two valves", ""]),
            texts(&["one pump", "", "three hoses"]),
        ] {
            // As if the process had been begun anew.
            let cache = EmbeddingCache::new(&path, 1 << 20);
            let tried = tried(cache, true);
            let recalled = tried.embedder.embed_or_recall(&batch).expect("embedded");
            let expected = bundled.embed_documents(&batch).expect("embedded");
            assert_eq!(recalled.vectors, expected);
            assert_eq!(recalled.embedded, tried.documents.load(Ordering::Relaxed));
            // Who asks for it gets it embedded all the same.
            tried.embedder.embed_documents(&batch).expect("embedded");
            assert_eq!(
                tried.documents.load(Ordering::Relaxed),
                recalled.embedded + batch.len()
            );
            embedded.push(recalled.embedded);
        }
        assert_eq!(embedded, [2, 2, 0]);
    }

    #[test]
    fn a_query_that_was_just_asked_is_not_embedded_again() {
        let tried = tried(EmbeddingCache::new("nowhere", 0), true);
        let long = "long ".repeat(LONGEST_QUERY);
        for query in ["a pump", "a valve", "a pump", &long, &long] {
            let vector = tried.embedder.embed_query(query).expect("embedded");
            let again = tried.embedder.embed_query(query).expect("embedded");
            assert_eq!(vector, again);
        }
        assert_eq!(tried.queries.load(Ordering::Relaxed), 2 + 4);
    }

    #[test]
    fn what_costs_nothing_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("embeddings.redb");
        let cache = EmbeddingCache::new(&path, 1 << 20);
        let tried = tried(cache, false);
        for _ in 0..2 {
            let batch = texts(&["one pump"]);
            tried.embedder.embed_or_recall(&batch).expect("embedded");
        }
        assert_eq!(tried.documents.load(Ordering::Relaxed), 2);
        assert!(!path.exists());
    }
}
