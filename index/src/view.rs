//! What does one query see, from beginning to end?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cento_core::chunk::chunk_ids;
use cento_core::{
    Bm25Score, ByteSpan, ChunkId, ChunkNo, ContentHash, CosineScore, Document, DocumentId,
    FieldTypes, Filter, GenerationNo, Metadata, Sequence, TextHash, TextKind,
};
use rayon::prelude::*;
use roaring::RoaringTreemap;

use crate::catalog::{Catalog, Fitted, Version};
use crate::log::Segments;
use crate::log_record::{
    Change, DerivedOutline, DocumentOutline, OUTLINE_HEAD_BYTES, RECORD_HEAD_BYTES, Record,
    decode_outline,
};
use crate::text::TextView;
use crate::vectors::{Allowed as AllowedChunks, Effort, Searched, VectorSet, VectorShape};
use crate::{CollectionSettings, IndexError};

/// The chunks that a filter lets through, at one view.
#[derive(Debug, Clone)]
pub struct Allowed(Arc<AllowedChunks>);

impl Allowed {
    /// How many chunks pass.
    pub fn len(&self) -> u64 {
        self.0.chunks.len()
    }

    /// Whether none passes.
    pub fn is_empty(&self) -> bool {
        self.0.chunks.is_empty()
    }
}

/// How much a view holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Live documents.
    pub documents: u64,
    /// Live chunks.
    pub chunks: u64,
}

/// What the lexical leg found.
#[derive(Debug, Clone)]
pub struct LexicalHits {
    /// Best first; ties by ChunkNo. A chunk that shares no term is absent.
    pub hits: Vec<(ChunkNo, Bm25Score)>,
    /// The sum of the idf of the query's terms, unseen ones included: how much information the
    /// query carries. 0 for a query without a term.
    pub information: f32,
}

/// What the dense leg found.
#[derive(Debug, Clone)]
pub struct DenseHits {
    /// Best first; ties by ChunkNo.
    pub hits: Vec<(ChunkNo, CosineScore)>,
    /// Whether every allowed vector was compared.
    pub exact: bool,
    /// By which way they were found.
    pub searched: Searched,
}

/// When a model has learned from a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitInfo {
    /// By which write.
    pub sequence: Sequence,
    /// How many chunks there were then.
    pub chunks: u64,
    /// What tells it from anything else that was learned: its CRC-32C.
    pub checksum: u32,
}

/// What the log keeps of a document beside its text.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredOutline {
    /// Its id.
    pub id: DocumentId,
    /// The write that put this version: its number changes whenever the
    /// document is replaced or its metadata changes, and only then.
    pub sequence: Sequence,
    /// Its title.
    pub title: String,
    /// Where it came from.
    pub source: Option<String>,
    /// Its metadata.
    pub metadata: Metadata,
    /// Identity of what it was made from.
    pub content_hash: ContentHash,
    /// Length of its canonical text in bytes.
    pub text_bytes: u64,
    /// How many chunks it has.
    pub chunks: u32,
}

/// A document with its text and chunks.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    /// Everything but text and chunks.
    pub outline: Arc<StoredOutline>,
    /// The document as it was put.
    pub document: Document,
    /// Its chunks, in order.
    pub chunks: Vec<StoredChunk>,
}

/// A chunk as the log keeps it; its text has been checked against its hash.
#[derive(Debug, Clone)]
pub struct StoredChunk {
    /// Its number in the engine.
    pub number: ChunkNo,
    /// Its public id.
    pub id: ChunkId,
    /// Its document.
    pub document: Arc<StoredOutline>,
    /// Its place among the document's chunks, from 0.
    pub ordinal: u32,
    /// Its bytes in the canonical text.
    pub span: ByteSpan,
    /// 1-based line of the canonical text on which it begins.
    pub line: u32,
    /// Headings above it, outermost first.
    pub heading_path: Vec<String>,
    /// Identity of its text.
    pub hash: TextHash,
    /// Its text.
    pub text: String,
}

/// One consistent state of a collection: text, vectors, catalog and deletions
/// at one sequence. Holding it keeps that state readable.
pub struct View {
    parts: ViewParts,
    /// Filters evaluated so far, by their written form.
    filters: Mutex<HashMap<String, Allowed>>,
}

/// What a view is made of.
pub(crate) struct ViewParts {
    pub(crate) sequence: Sequence,
    pub(crate) generation: GenerationNo,
    pub(crate) settings: Arc<CollectionSettings>,
    pub(crate) fields: FieldTypes,
    pub(crate) fitted: Option<Fitted>,
    pub(crate) documents: u64,
    pub(crate) live: Arc<AllowedChunks>,
    pub(crate) text: TextView,
    pub(crate) vectors: VectorSet,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) segments: Arc<Segments>,
}

/// A view remembers so many filters; one more empties the memory.
const MAX_FILTERS: usize = 64;

impl View {
    pub(crate) fn new(parts: ViewParts) -> Self {
        Self {
            parts,
            filters: Mutex::default(),
        }
    }

    /// The last write that the view shows.
    pub fn sequence(&self) -> Sequence {
        self.parts.sequence
    }

    /// The configuration that it shows.
    pub fn generation(&self) -> GenerationNo {
        self.parts.generation
    }

    /// What that configuration is: the embedder whose vectors it compares, and
    /// how documents were cut.
    pub fn settings(&self) -> &Arc<CollectionSettings> {
        &self.parts.settings
    }

    /// When the model has learned last from this collection, if it has.
    pub fn fitted(&self) -> Option<FitInfo> {
        self.parts.fitted.map(|fitted| FitInfo {
            sequence: fitted.place.sequence,
            chunks: fitted.chunks,
            checksum: fitted.checksum,
        })
    }

    /// What it has learned, as [`Engine::fit`](crate::Engine::fit) was given it.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn artefact(&self) -> Result<Option<Vec<u8>>, IndexError> {
        let Some(Fitted { place, .. }) = self.parts.fitted else {
            return Ok(None);
        };
        let segments = &self.parts.segments;
        let record = Record::decode(&segments.record(&place)?);
        match record.map(|(record, _)| record.change) {
            Some(Change::Fit(fit)) => Ok(Some(fit.artefact)),
            _ => Err(segments.damaged(&place, "what a model has learned was expected here")),
        }
    }

    /// The metadata fields and their types.
    pub fn fields(&self) -> &FieldTypes {
        &self.parts.fields
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        Counts {
            documents: self.parts.documents,
            chunks: self.parts.live.chunks.len(),
        }
    }

    /// Validates and evaluates a filter; the answer is kept for the next time.
    ///
    /// # Errors
    /// [`IndexError::Invalid`] for an unknown field, a value of another type,
    /// or an operator that the field has not.
    pub fn allowed(&self, filter: &Filter) -> Result<Allowed, IndexError> {
        filter.validate(&self.parts.fields)?;
        let key = format!("{filter:?}");
        let known = {
            let filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
            filters.get(&key).cloned()
        };
        if let Some(allowed) = known {
            return Ok(allowed);
        }
        let allowed = self.parts.text.allowed(filter)?;
        let allowed = Allowed(Arc::new(AllowedChunks::new(allowed)));
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if filters.len() >= MAX_FILTERS {
            filters.clear();
        }
        filters.insert(key, allowed.clone());
        Ok(allowed)
    }

    /// The lexical leg: the `depth` best chunks by BM25.
    pub fn lexical(
        &self,
        query: &str,
        allowed: Option<&Allowed>,
        depth: usize,
    ) -> Result<LexicalHits, IndexError> {
        let allowed = allowed.map(|allowed| &allowed.0.chunks);
        let (hits, information) = self.parts.text.best(query, allowed, depth)?;
        Ok(LexicalHits {
            hits,
            information: information.0,
        })
    }

    /// BM25 of given chunks, in their order; 0 where no term is shared.
    pub fn lexical_scores(
        &self,
        query: &str,
        chunks: &[ChunkNo],
    ) -> Result<Vec<Bm25Score>, IndexError> {
        let scores = self.parts.text.scores(query, chunks)?;
        Ok(chunks
            .iter()
            .map(|number| scores.get(number).copied().unwrap_or(Bm25Score(0.0)))
            .collect())
    }

    /// The dense leg: about the `depth` nearest chunks by cosine to a query vector
    /// of unit length, 99 of 100 on average. A zero vector finds nothing, and a
    /// chunk without a direction is not found.
    pub fn dense(
        &self,
        vector: &[f32],
        allowed: Option<&Allowed>,
        depth: usize,
    ) -> Result<DenseHits, IndexError> {
        self.dense_with(vector, allowed, depth, Effort::default())
    }

    /// As [`dense`](Self::dense), with more effort or less.
    pub fn dense_with(
        &self,
        vector: &[f32],
        allowed: Option<&Allowed>,
        depth: usize,
        effort: Effort,
    ) -> Result<DenseHits, IndexError> {
        let is_zero = vector.iter().all(|&x| x == 0.0);
        let allowed = allowed.map_or(&self.parts.live, |allowed| &allowed.0);
        let (hits, searched) = if is_zero {
            Default::default()
        } else {
            self.parts.vectors.nearest(vector, allowed, depth, effort)
        };
        Ok(DenseHits {
            hits,
            exact: searched.is_exact(),
            searched,
        })
    }

    /// The dense leg for many queries, by all processors.
    pub fn dense_batch(
        &self,
        vectors: &[Vec<f32>],
        allowed: Option<&Allowed>,
        depth: usize,
        effort: Effort,
    ) -> Result<Vec<DenseHits>, IndexError> {
        let each = |vector: &Vec<f32>| self.dense_with(vector, allowed, depth, effort);
        vectors.par_iter().map(each).collect()
    }

    /// How its vectors are made up.
    pub fn vector_shape(&self) -> VectorShape {
        self.parts.vectors.shape()
    }

    /// Cosines of given chunks, in their order; 0 for a chunk without a
    /// direction.
    pub fn dense_scores(
        &self,
        vector: &[f32],
        chunks: &[ChunkNo],
    ) -> Result<Vec<CosineScore>, IndexError> {
        let cosine = |&number| self.parts.vectors.cosine(vector, number);
        Ok(chunks
            .iter()
            .map(|number| cosine(number).unwrap_or(CosineScore(0.0)))
            .collect())
    }

    /// At most so many of the chunks that can be found, or of those that pass, from all
    /// over.
    pub fn sample(&self, among: Option<&Allowed>, most: u64) -> Vec<ChunkNo> {
        let live = among.map_or(self.live(), |allowed| &allowed.0.chunks);
        let (all, taken) = (live.len(), live.len().min(most));
        let at = |i: u64| (u128::from(i) * u128::from(all) / u128::from(taken)) as u64;
        (0..taken)
            .filter_map(|i| live.select(at(i)).map(ChunkNo))
            .collect()
    }

    /// Chunks with their texts, in the order asked for.
    ///
    /// # Errors
    /// [`IndexError::LogDamaged`] if a text is not what was indexed.
    pub fn chunks(&self, numbers: &[ChunkNo]) -> Result<Vec<StoredChunk>, IndexError> {
        let mut opened: HashMap<Sequence, OpenedDocument> = HashMap::new();
        numbers
            .iter()
            .map(|&number| {
                let version = self.version_of(number)?;
                let document = match opened.entry(version.sequence) {
                    std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        entry.insert(self.open(&version)?)
                    }
                };
                let ordinal = number.0 - version.first_chunk.0;
                self.chunk(document, ordinal as usize)
            })
            .collect()
    }

    /// The canonical text at a span of the document that `chunk` belongs to.
    pub fn text(&self, chunk: &StoredChunk, span: ByteSpan) -> Result<String, IndexError> {
        let version = self.version_of(chunk.number)?;
        if span.end > chunk.document.text_bytes {
            return Err(IndexError::Invalid(cento_core::CoreError::Span {
                start: span.start,
                end: span.end,
                reason: "it runs past the end of the document",
            }));
        }
        self.read_text(&version, span)
    }

    /// One document, with its text and chunks.
    pub fn document(&self, id: &DocumentId) -> Result<Option<StoredDocument>, IndexError> {
        let Some(version) = self.parts.catalog.version(id, self.parts.sequence)? else {
            return Ok(None);
        };
        let opened = self.open(&version)?;
        let chunks = (0..opened.derived.chunks.len())
            .map(|ordinal| self.chunk(&opened, ordinal))
            .collect::<Result<_, _>>()?;
        let whole = ByteSpan {
            start: 0,
            end: opened.stored.text_bytes,
        };
        let text = self.read_text(&version, whole)?;
        let stored = opened.stored;
        let document = Document {
            id: stored.id.clone(),
            title: stored.title.clone(),
            source: stored.source.clone(),
            metadata: stored.metadata.clone(),
            content_hash: stored.content_hash,
            kind: opened.kind,
            text,
        };
        Ok(Some(StoredDocument {
            outline: stored,
            document,
            chunks,
        }))
    }

    /// Documents in order of id, after a given one, `limit` of them at most.
    pub fn documents(
        &self,
        after: Option<&DocumentId>,
        limit: usize,
    ) -> Result<Vec<StoredOutline>, IndexError> {
        let page = self
            .parts
            .catalog
            .documents(self.parts.sequence, after, limit)?;
        page.iter()
            .map(|(_, version)| Ok(Arc::unwrap_or_clone(self.open(version)?.stored)))
            .collect()
    }

    /// The documents that pass a filter, in order of their chunk numbers.
    ///
    /// # Errors
    /// As [`View::allowed`].
    pub fn matching(&self, filter: &Filter) -> Result<Vec<DocumentId>, IndexError> {
        let allowed = self.allowed(filter)?;
        let mut found = Vec::new();
        let mut next = 0;
        for number in allowed.0.chunks.iter() {
            if number < next {
                continue;
            }
            let version = self.version_of(ChunkNo(number))?;
            next = version.numbers().end;
            found.push(self.open(&version)?.stored.id.clone());
        }
        Ok(found)
    }

    pub(crate) fn text_view(&self) -> &TextView {
        &self.parts.text
    }

    pub(crate) fn vectors(&self) -> &VectorSet {
        &self.parts.vectors
    }

    /// Which chunks it shows, and what is known of their rows.
    pub(crate) fn shown(&self) -> &AllowedChunks {
        &self.parts.live
    }

    pub(crate) fn live(&self) -> &RoaringTreemap {
        &self.parts.live.chunks
    }

    fn version_of(&self, number: ChunkNo) -> Result<Version, IndexError> {
        let found = self.parts.catalog.version_of(number)?;
        found.ok_or_else(|| IndexError::Projection {
            projection: "catalog",
            reason: format!("it does not know chunk {number}; rebuild it"),
        })
    }

    fn open(&self, version: &Version) -> Result<OpenedDocument, IndexError> {
        let segments = &self.parts.segments;
        let layout = version.layout;
        let damaged = |place| segments.damaged(place, "an outline does not match its checksum");
        let bytes = segments.read(
            &version.document,
            RECORD_HEAD_BYTES,
            (OUTLINE_HEAD_BYTES + u64::from(layout.document_bytes)) as usize,
        )?;
        let document: DocumentOutline =
            decode_outline(&bytes).ok_or_else(|| damaged(&version.document))?;
        let bytes = segments.read(
            &version.derived,
            layout.derived_at,
            (OUTLINE_HEAD_BYTES + u64::from(layout.derived_bytes)) as usize,
        )?;
        let derived: DerivedOutline =
            decode_outline(&bytes).ok_or_else(|| damaged(&version.derived))?;
        let hashes: Vec<TextHash> = derived.chunks.iter().map(|entry| entry.hash).collect();
        Ok(OpenedDocument {
            version: *version,
            ids: chunk_ids(&document.id, &hashes),
            stored: Arc::new(StoredOutline {
                id: document.id,
                sequence: version.document.sequence,
                title: document.title,
                source: document.source,
                metadata: document.metadata,
                content_hash: document.content_hash,
                text_bytes: document.text_bytes,
                chunks: version.chunks,
            }),
            kind: document.kind,
            derived,
        })
    }

    fn chunk(&self, document: &OpenedDocument, ordinal: usize) -> Result<StoredChunk, IndexError> {
        let version = &document.version;
        let wrong = |reason| self.parts.segments.damaged(&version.document, reason);
        let (entry, id) = document
            .derived
            .chunks
            .get(ordinal)
            .zip(document.ids.get(ordinal))
            .ok_or_else(|| wrong("a document's outline lacks a chunk"))?;
        let text = self.read_text(version, entry.span)?;
        if TextHash::of(&text) != entry.hash {
            return Err(wrong("a chunk's text does not match its hash"));
        }
        Ok(StoredChunk {
            number: ChunkNo(version.first_chunk.0 + ordinal as u64),
            id: id.clone(),
            document: Arc::clone(&document.stored),
            ordinal: ordinal as u32,
            span: entry.span,
            line: entry.line,
            heading_path: document.derived.heading_path(entry).to_vec(),
            hash: entry.hash,
            text,
        })
    }

    fn read_text(&self, version: &Version, span: ByteSpan) -> Result<String, IndexError> {
        let before =
            RECORD_HEAD_BYTES + OUTLINE_HEAD_BYTES + u64::from(version.layout.document_bytes);
        let segments = &self.parts.segments;
        let place = &version.document;
        let bytes = segments.read(place, before + span.start, span.len() as usize)?;
        String::from_utf8(bytes)
            .map_err(|_| segments.damaged(place, "a document's text is no UTF-8"))
    }
}

/// A document's outlines, read from the log.
struct OpenedDocument {
    version: Version,
    derived: DerivedOutline,
    kind: TextKind,
    stored: Arc<StoredOutline>,
    ids: Vec<ChunkId>,
}
