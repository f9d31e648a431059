//! The text projection: which chunks share words with a query, and which pass
//! a filter?
//!
//! A tantivy index with one document a chunk. Title and heading path are
//! fields of their own with a low weight: inside the body they would give
//! boilerplate a premium. Metadata is one JSON fast field. Nothing is stored,
//! only indexed; tantivy's own document ids never leave this file.

mod analyzer;
pub(crate) mod digest;
mod directory;
mod filter;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cento_core::{Bm25Score, ChunkNo, DocumentId, Filter, Metadata, Scalar};
use roaring::RoaringTreemap;
use tantivy::collector::TopDocs;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::indexer::LogMergePolicy;
use tantivy::query::doc_predicate_query::{DocPredicateQuery, FunctionPredicate};
use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, TermQuery, TermSetQuery,
};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, OwnedValue, STRING, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::{
    DocSet, Index, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, SegmentReader,
    TERMINATED, TantivyDocument, Term,
};

use crate::IndexError;
use crate::applied::Applied;
use crate::disk::{self, create_dir, remove_dir};
use crate::log_record::{DerivedOutline, DocumentOutline};

/// What a match in the title or a heading counts, against 1 in the body.
/// Chosen low by the reasons of decision 0004; not tuned yet.
const TITLE_BOOST: f32 = 0.3;
const HEADINGS_BOOST: f32 = 0.3;

/// tantivy's least memory of an indexing thread.
const LEAST_ARENA_BYTES: usize = 15_000_000;
/// Segments with a larger share of deleted documents are merged.
const DELETED_RATIO: f32 = 0.25;

#[derive(Clone, Copy)]
struct Fields {
    chunk: Field,
    document: Field,
    body: Field,
    title: Field,
    headings: Field,
    metadata: Field,
}

/// The writer's side of the projection.
pub(crate) struct Text {
    dir: PathBuf,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    /// Memory of one indexing thread.
    arena_bytes: usize,
    /// Made at the first write: readers need no threads and no arenas.
    writer: Option<IndexWriter>,
}

impl Text {
    /// Opens the projection in `dir`. One that tantivy cannot open, or with
    /// another schema, is thrown away, to be filled again from the log; says
    /// whether that was so.
    pub(crate) fn open(dir: &Path, arena_bytes: usize) -> Result<(Self, bool), IndexError> {
        if let Ok(text) = Self::try_open(dir, arena_bytes) {
            return Ok((text, false));
        }
        remove_dir(dir)?;
        Ok((Self::try_open(dir, arena_bytes)?, true))
    }

    fn try_open(dir: &Path, arena_bytes: usize) -> Result<Self, IndexError> {
        create_dir(dir)?;
        let (schema, fields) = schema();
        let directory = directory::open(dir).map_err(failed)?;
        let index = Index::open_or_create(directory, schema).map_err(failed)?;
        remove_strays(&index, dir)?;
        index
            .tokenizers()
            .register(analyzer::ANALYZER, analyzer::analyzer());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(failed)?;
        Ok(Self {
            dir: dir.to_owned(),
            index,
            reader,
            fields,
            arena_bytes,
            writer: None,
        })
    }

    /// How far the index has followed the log, as its last commit says.
    pub(crate) fn applied(&self) -> Applied {
        self.index
            .load_metas()
            .ok()
            .and_then(|metas| metas.payload)
            .and_then(|payload| serde_json::from_str(&payload).ok())
            .unwrap_or_default()
    }

    /// Throws everything away, to be filled again from the log.
    pub(crate) fn reset(&mut self) -> Result<(), IndexError> {
        self.finish_merges()?;
        remove_dir(&self.dir)?;
        *self = Self::try_open(&self.dir, self.arena_bytes)?;
        Ok(())
    }

    /// Replaces a document's chunks.
    pub(crate) fn put(
        &mut self,
        document: &DocumentOutline,
        text: &str,
        derived: &DerivedOutline,
    ) -> Result<(), IndexError> {
        let fields = self.fields;
        let metadata = metadata_value(&document.metadata);
        self.delete(&document.id)?;
        let writer = self.writer()?;
        for (number, entry) in derived.numbers().zip(&derived.chunks) {
            let body = entry.span.slice(text)?;
            let mut row = TantivyDocument::new();
            row.add_u64(fields.chunk, number);
            row.add_text(fields.document, document.id.as_str());
            row.add_text(fields.body, body);
            row.add_text(fields.title, &document.title);
            // The first heading of a page is often its title: counted once.
            let headings = derived.heading_path(entry);
            for heading in headings.iter().filter(|text| **text != document.title) {
                row.add_text(fields.headings, heading);
            }
            if let Some(metadata) = &metadata {
                row.add_field_value(fields.metadata, metadata);
            }
            writer.add_document(row).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes a document's chunks.
    pub(crate) fn delete(&mut self, id: &DocumentId) -> Result<(), IndexError> {
        let term = Term::from_field_text(self.fields.document, id.as_str());
        self.writer()?.delete_term(term);
        Ok(())
    }

    /// Commits what was written and returns what a query may see from now on.
    pub(crate) fn publish(&mut self, applied: Applied) -> Result<TextView, IndexError> {
        if let Some(writer) = &mut self.writer {
            let payload = serde_json::to_string(&applied).map_err(failed)?;
            let mut commit = writer.prepare_commit().map_err(failed)?;
            commit.set_payload(&payload);
            crate::fault::point("text.prepared");
            commit.commit().map_err(failed)?;
            crate::fault::point("text.committed");
            self.reader.reload().map_err(failed)?;
        }
        Ok(TextView {
            searcher: self.reader.searcher(),
            fields: self.fields,
            analyzer: Arc::new(Mutex::new(analyzer::analyzer())),
        })
    }

    /// Writes down how far it has come, even where that took no change of it,
    /// and ends the writer's threads.
    pub(crate) fn checkpoint(&mut self, applied: Applied) -> Result<(), IndexError> {
        if self.applied() != applied {
            self.writer()?;
            self.publish(applied)?;
        }
        self.finish_merges()?;
        // tantivy syncs what it renames, and not the names.
        disk::sync_dir(&self.dir)
    }

    /// Ends the writer's threads, waiting for merges under way.
    fn finish_merges(&mut self) -> Result<(), IndexError> {
        match self.writer.take() {
            Some(writer) => writer.wait_merging_threads().map_err(failed),
            None => Ok(()),
        }
    }

    fn writer(&mut self) -> Result<&mut IndexWriter, IndexError> {
        if self.writer.is_none() {
            let threads =
                std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
            let arena_bytes = self.arena_bytes.max(LEAST_ARENA_BYTES);
            let writer = self
                .index
                .writer_with_num_threads(threads, threads * arena_bytes)
                .map_err(failed)?;
            let mut policy = LogMergePolicy::default();
            policy.set_del_docs_ratio_before_merge(DELETED_RATIO);
            writer.set_merge_policy(Box::new(policy));
            self.writer = Some(writer);
        }
        self.writer
            .as_mut()
            .ok_or_else(|| failed("it has no writer"))
    }
}

impl Drop for Text {
    /// tantivy's threads outlive its writer: one that still merges would write
    /// and remove files below whoever opens the directory next.
    fn drop(&mut self) {
        let _ = self.finish_merges();
    }
}

/// What a query sees of the texts.
#[derive(Clone)]
pub(crate) struct TextView {
    searcher: Searcher,
    fields: Fields,
    analyzer: Arc<Mutex<tantivy::tokenizer::TextAnalyzer>>,
}

/// The weight of a query's words.
pub(crate) struct Information(pub(crate) f32);

impl TextView {
    /// The `depth` best allowed chunks by BM25, ties by chunk number, and the
    /// summed idf of the query's terms.
    pub(crate) fn best(
        &self,
        text: &str,
        allowed: Option<&Arc<RoaringTreemap>>,
        depth: usize,
    ) -> Result<(Vec<(ChunkNo, Bm25Score)>, Information), IndexError> {
        let terms = self.terms(text);
        let information = self.information(&terms)?;
        if terms.is_empty() || depth == 0 {
            return Ok((Vec::new(), information));
        }
        let words = self.words_query(&terms);
        let query: Box<dyn Query> = match allowed {
            None => words,
            Some(allowed) => {
                let gate = BoostQuery::new(Box::new(gate(allowed)), 0.0);
                Box::new(BooleanQuery::new(vec![
                    (Occur::Must, words),
                    (Occur::Must, Box::new(gate)),
                ]))
            }
        };
        Ok((self.top(query.as_ref(), depth)?, information))
    }

    /// BM25 of given chunks, by number; chunks that share no word are absent.
    pub(crate) fn scores(
        &self,
        text: &str,
        chunks: &[ChunkNo],
    ) -> Result<BTreeMap<ChunkNo, Bm25Score>, IndexError> {
        let terms = self.terms(text);
        if terms.is_empty() || chunks.is_empty() {
            return Ok(BTreeMap::new());
        }
        let numbers = chunks
            .iter()
            .map(|number| Term::from_field_u64(self.fields.chunk, number.0));
        let these = ConstScoreQuery::new(Box::new(TermSetQuery::new(numbers)), 0.0);
        let query = BooleanQuery::new(vec![
            (Occur::Must, Box::new(these)),
            (Occur::Must, self.words_query(&terms)),
        ]);
        Ok(self.top(&query, chunks.len())?.into_iter().collect())
    }

    /// The numbers of the chunks that pass a validated filter.
    pub(crate) fn allowed(&self, filter: &Filter) -> Result<RoaringTreemap, IndexError> {
        let mut numbers = RoaringTreemap::new();
        for segment in self.searcher.segment_readers() {
            let passing =
                filter::evaluate(filter, segment, self.fields.document).map_err(failed)?;
            let chunk = chunk_column(segment).map_err(failed)?;
            for doc in passing.iter().filter(|&doc| !segment.is_deleted(doc)) {
                numbers.extend(chunk.values_for_doc(doc));
            }
        }
        Ok(numbers)
    }

    /// The numbers of all chunks in the index, for the audit.
    pub(crate) fn chunks(&self) -> Result<Vec<ChunkNo>, IndexError> {
        let mut numbers = Vec::new();
        for segment in self.searcher.segment_readers() {
            let chunk = chunk_column(segment).map_err(failed)?;
            for doc in segment.doc_ids_alive() {
                numbers.extend(chunk.values_for_doc(doc).map(ChunkNo));
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// How many terms there are, and how many rows and terms are left of chunks that
    /// do not stand: a term is left if no chunk has it that stands.
    pub(crate) fn proof(&self, stands: &dyn Fn(ChunkNo) -> bool) -> Result<(u64, u64), IndexError> {
        let (mut terms, mut left) = (0, 0);
        for segment in self.searcher.segment_readers() {
            let (in_segment, dead) = proof(segment, stands).map_err(failed)?;
            terms += in_segment;
            left += dead;
        }
        Ok((terms, left))
    }

    /// Files whose bytes do not match the checksums that tantivy wrote.
    pub(crate) fn damaged_files(&self) -> Result<Vec<PathBuf>, IndexError> {
        let damaged = self.searcher.index().validate_checksum();
        let mut damaged: Vec<_> = damaged.map_err(failed)?.into_iter().collect();
        damaged.sort();
        Ok(damaged)
    }

    fn terms(&self, text: &str) -> Vec<(String, u32)> {
        let mut analyzer = self.analyzer.lock().unwrap_or_else(PoisonError::into_inner);
        analyzer::terms(&mut analyzer, text)
    }

    /// Σ ln(1 + (N - n + 0.5) / (n + 0.5)), the idf of BM25 as tantivy and
    /// Lucene have it, over the body; a term that no chunk has counts most.
    fn information(&self, terms: &[(String, u32)]) -> Result<Information, IndexError> {
        let documents: u64 = self
            .searcher
            .segment_readers()
            .iter()
            .map(|segment| u64::from(segment.max_doc()))
            .sum();
        let mut sum = 0.0;
        for (term, times) in terms {
            let term = Term::from_field_text(self.fields.body, term);
            let with_term = self.searcher.doc_freq(&term).map_err(failed)?;
            let without = documents.saturating_sub(with_term) as f32;
            let idf = (1.0 + (without + 0.5) / (with_term as f32 + 0.5)).ln();
            sum += *times as f32 * idf;
        }
        Ok(Information(sum))
    }

    /// A word that the query says twice counts twice, as in BM25 with a large
    /// k3 and in Lucene: long questions repeat what they are about.
    fn words_query(&self, terms: &[(String, u32)]) -> Box<dyn Query> {
        let weighed = [
            (self.fields.body, 1.0),
            (self.fields.title, TITLE_BOOST),
            (self.fields.headings, HEADINGS_BOOST),
        ];
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (text, times) in terms {
            for (field, boost) in weighed {
                let boost = boost * *times as f32;
                let term = Term::from_field_text(field, text);
                let query: Box<dyn Query> =
                    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
                let query = if boost == 1.0 {
                    query
                } else {
                    Box::new(BoostQuery::new(query, boost))
                };
                clauses.push((Occur::Should, query));
            }
        }
        Box::new(BooleanQuery::new(clauses))
    }

    /// The `depth` best documents of a query, ties by chunk number.
    ///
    /// By score alone tantivy skips blocks that cannot win, but breaks ties by
    /// its own document ids, which change with every merge. So some more are
    /// asked for: where the score falls behind the last place, the set is
    /// settled and only its order has to be made; where it ties to the end, the
    /// slower way decides.
    fn top(
        &self,
        query: &dyn Query,
        depth: usize,
    ) -> Result<Vec<(ChunkNo, Bm25Score)>, IndexError> {
        /// Equal texts are seldom more.
        const MORE: usize = 16;
        let by_score = TopDocs::with_limit(depth + MORE).order_by_score();
        let found = self.searcher.search(query, &by_score).map_err(failed)?;
        if let [.., last] = found[..]
            && found.len() == depth + MORE
            && settled(found[depth - 1].0) == settled(last.0)
        {
            return self.top_of_ties(query, depth);
        }
        let mut hits = Vec::with_capacity(found.len());
        let columns: Vec<_> = self
            .searcher
            .segment_readers()
            .iter()
            .map(chunk_column)
            .collect::<tantivy::Result<_>>()
            .map_err(failed)?;
        for (score, address) in found {
            let number = columns[address.segment_ord as usize].first(address.doc_id);
            hits.extend(number.map(|number| (ChunkNo(number), settled(score))));
        }
        hits.sort_by(best_first);
        hits.truncate(depth);
        Ok(hits)
    }

    fn top_of_ties(
        &self,
        query: &dyn Query,
        depth: usize,
    ) -> Result<Vec<(ChunkNo, Bm25Score)>, IndexError> {
        let by_chunk = SortByStaticFastValue::<u64>::for_field("chunk");
        let collector = TopDocs::with_limit(depth)
            .order_by(((SortBySimilarityScore, Order::Desc), (by_chunk, Order::Asc)));
        let found = self.searcher.search(query, &collector).map_err(failed)?;
        let hits = found.into_iter();
        let hits = hits.filter_map(|((score, number), _)| Some((ChunkNo(number?), settled(score))));
        let mut hits: Vec<_> = hits.collect();
        hits.sort_by(best_first);
        Ok(hits)
    }
}

fn best_first(a: &(ChunkNo, Bm25Score), b: &(ChunkNo, Bm25Score)) -> Ordering {
    b.1.cmp(&a.1).then(a.0.cmp(&b.0))
}

/// A score to 14 binary digits. Sums that are made in another order, as in another
/// index of the same texts, differ in their last ones, which must not decide between
/// equal texts.
fn settled(score: f32) -> Bm25Score {
    const NOISE: u32 = 10;
    let half = 1 << (NOISE - 1);
    Bm25Score(f32::from_bits((score.to_bits() + half) >> NOISE << NOISE))
}

/// Removes files that no commit names: what a crash left of one that was not
/// finished. tantivy names the next commit's deletions alike after a replay,
/// and refuses to write over a file that is there.
fn remove_strays(index: &Index, dir: &Path) -> Result<(), IndexError> {
    let named = index.load_metas().map_err(failed)?.list_segment_files();
    for path in disk::list(dir)? {
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let shown = name.to_string_lossy();
        // Its lists and locks; a temporary file is a list that was not finished.
        let is_own = shown == "meta.json" || (shown.starts_with('.') && !shown.starts_with(".tmp"));
        if !is_own && !named.contains(&name) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

fn proof(segment: &SegmentReader, stands: &dyn Fn(ChunkNo) -> bool) -> tantivy::Result<(u64, u64)> {
    let chunks = chunk_column(segment)?;
    let stands: Vec<bool> = (0..segment.max_doc())
        .map(|doc| {
            let mut numbers = chunks.values_for_doc(doc);
            numbers.all(|number| stands(ChunkNo(number)))
        })
        .collect();
    let mut left = stands.iter().filter(|stands| !**stands).count() as u64;
    let mut terms = 0;
    for (field, entry) in segment.schema().fields() {
        if !entry.is_indexed() {
            continue;
        }
        let index = segment.inverted_index(field)?;
        let mut stream = index.terms().stream()?;
        while stream.advance() {
            terms += 1;
            let info = stream.value().clone();
            let mut postings =
                index.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            let mut is_held = false;
            while postings.doc() != TERMINATED && !is_held {
                is_held = stands
                    .get(postings.doc() as usize)
                    .is_some_and(|stands| *stands);
                postings.advance();
            }
            left += u64::from(!is_held);
        }
    }
    Ok((terms, left))
}

/// A query that lets allowed chunks through.
fn gate(allowed: &Arc<RoaringTreemap>) -> DocPredicateQuery {
    let allowed = Arc::clone(allowed);
    DocPredicateQuery::from(FunctionPredicate::from(move |segment: &SegmentReader| {
        let chunk = chunk_column(segment)?;
        let allowed = Arc::clone(&allowed);
        Ok(move |doc: tantivy::DocId| {
            chunk
                .values_for_doc(doc)
                .any(|number| allowed.contains(number))
        })
    }))
}

fn chunk_column(segment: &SegmentReader) -> tantivy::Result<tantivy::columnar::Column<u64>> {
    segment.fast_fields().u64("chunk")
}

fn schema() -> (Schema, Fields) {
    let words = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(analyzer::ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqs),
    );
    let mut schema = Schema::builder();
    let fields = Fields {
        chunk: schema.add_u64_field("chunk", FAST | INDEXED),
        document: schema.add_text_field("document", STRING),
        body: schema.add_text_field("body", words.clone()),
        title: schema.add_text_field("title", words.clone()),
        headings: schema.add_text_field("headings", words),
        metadata: schema.add_json_field("metadata", JsonObjectOptions::default().set_fast("raw")),
    };
    (schema.build(), fields)
}

/// Metadata as tantivy's JSON value; numbers always as doubles, so that a
/// field has one column type.
fn metadata_value(metadata: &Metadata) -> Option<OwnedValue> {
    if metadata.is_empty() {
        return None;
    }
    let scalar = |scalar: &Scalar| match scalar {
        Scalar::Boolean(value) => OwnedValue::Bool(*value),
        Scalar::Number(value) => OwnedValue::F64(*value),
        Scalar::Text(value) => OwnedValue::Str(value.clone()),
    };
    let fields = metadata.iter().map(|(field, value)| {
        let values = value.scalars().iter().map(scalar).collect();
        (field.to_owned(), OwnedValue::Array(values))
    });
    Some(OwnedValue::Object(fields.collect()))
}

fn failed(reason: impl ToString) -> IndexError {
    IndexError::Projection {
        projection: "text",
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_made_in_another_order_is_the_same_score() {
        let parts = [5.864_f32, 7.099, 0.845, 0.255, 7.522, 3.895];
        let forwards: f32 = parts.iter().sum();
        let backwards: f32 = parts.iter().rev().sum();
        assert_ne!(forwards, backwards);
        assert_eq!(settled(forwards), settled(backwards));
        assert!(settled(forwards) > settled(forwards - 0.01));
        let small = forwards / 1e6;
        assert!(settled(small) > settled(small * 0.999));
        assert_eq!(settled(0.0), Bm25Score(0.0));
    }
}
