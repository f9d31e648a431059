//! Does the text projection hold of each chunk what the log says?
//!
//! tantivy stores no texts here, so what it holds is summed up: every posting,
//! field length and metadata value of a chunk is hashed, and the hashes are
//! added. The same sum is made from the log. A posting that is missing, of
//! another chunk, or said another number of times changes it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use cento_core::{ChunkNo, FieldTypes, Scalar};
use tantivy::columnar::DynamicColumn;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::Postings;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{DocSet, SegmentReader, TERMINATED, TantivyError};

use super::filter::column_name;
use super::{Fields, TextView, analyzer, chunk_column, failed};
use crate::IndexError;
use crate::log_record::{DerivedOutline, DocumentOutline};

/// The sum of what is held of each chunk.
pub(crate) type Digests = HashMap<ChunkNo, u64>;

fn hash(of: impl Hash) -> u64 {
    // With fixed keys: two sums of one process are compared, nothing is kept.
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A posting: a term stands so many times in a field.
fn posting(term: u64, times: u32) -> u64 {
    hash((term, times))
}

fn term(field: Field, text: &[u8]) -> u64 {
    hash((b't', field.field_id(), text))
}

/// The length of a field, as exactly as BM25 knows it.
fn length(field: Field, id: u8) -> u64 {
    hash((b'l', field.field_id(), id))
}

fn value(name: &str, scalar: &Scalar) -> u64 {
    match scalar {
        Scalar::Boolean(value) => hash((b'b', name, value)),
        Scalar::Number(value) => hash((b'n', name, value.to_bits())),
        Scalar::Text(value) => hash((b's', name, value)),
    }
}

impl TextView {
    /// Sums up what the index holds of each chunk that is there.
    pub(crate) fn digests(&self, types: &FieldTypes) -> Result<Digests, IndexError> {
        let mut digests = Digests::new();
        for segment in self.searcher.segment_readers() {
            let sums = self.sums(segment, types).map_err(failed)?;
            let chunks = chunk_column(segment).map_err(failed)?;
            for doc in segment.doc_ids_alive() {
                let sum = sums.get(doc as usize).copied().unwrap_or_default();
                if let Some(number) = chunks.first(doc) {
                    // A chunk that is there twice gets another sum than once.
                    let held = digests.entry(ChunkNo(number)).or_default();
                    *held = held.wrapping_add(sum);
                }
            }
        }
        Ok(digests)
    }

    fn sums(&self, segment: &SegmentReader, types: &FieldTypes) -> tantivy::Result<Vec<u64>> {
        let mut sums = vec![0_u64; segment.max_doc() as usize];
        let mut add = |doc: u32, hash: u64| {
            if let Some(sum) = sums.get_mut(doc as usize) {
                *sum = sum.wrapping_add(hash);
            }
        };
        let Fields {
            document,
            body,
            title,
            headings,
            ..
        } = self.fields;
        for field in [document, body, title, headings] {
            let index = segment.inverted_index(field)?;
            let mut stream = index.terms().stream()?;
            while stream.advance() {
                let term = term(field, stream.key());
                let info = stream.value().clone();
                let mut postings =
                    index.read_postings_from_terminfo(&info, IndexRecordOption::WithFreqs)?;
                while postings.doc() != TERMINATED {
                    add(postings.doc(), posting(term, postings.term_freq()));
                    postings.advance();
                }
            }
            let lengths = segment.get_fieldnorms_reader(field)?;
            for doc in 0..segment.max_doc() {
                add(doc, length(field, lengths.fieldnorm_id(doc)));
            }
        }
        for (name, _) in types.iter() {
            let columns = segment.fast_fields();
            for handle in columns.dynamic_column_handles(&column_name(name))? {
                let column = handle.open().map_err(TantivyError::from)?;
                for doc in 0..segment.max_doc() {
                    values(&column, doc, |scalar| add(doc, value(name, &scalar)))?;
                }
            }
        }
        Ok(sums)
    }
}

fn values(column: &DynamicColumn, doc: u32, mut each: impl FnMut(Scalar)) -> tantivy::Result<()> {
    match column {
        DynamicColumn::Bool(column) => {
            (column.values_for_doc(doc)).for_each(|value| each(Scalar::Boolean(value)));
        }
        DynamicColumn::F64(column) => {
            (column.values_for_doc(doc)).for_each(|value| each(Scalar::Number(value)));
        }
        DynamicColumn::I64(column) => {
            (column.values_for_doc(doc)).for_each(|value| each(Scalar::Number(value as f64)));
        }
        DynamicColumn::U64(column) => {
            (column.values_for_doc(doc)).for_each(|value| each(Scalar::Number(value as f64)));
        }
        DynamicColumn::Str(column) => {
            for ordinal in column.term_ords(doc) {
                let mut text = String::new();
                column.ord_to_str(ordinal, &mut text)?;
                each(Scalar::Text(text));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Sums up what the index should hold of chunks, from what the log says.
pub(crate) struct Expected {
    analyzer: TextAnalyzer,
    fields: Fields,
}

impl Expected {
    pub(crate) fn new(view: &TextView) -> Self {
        Self {
            analyzer: analyzer::analyzer(),
            fields: view.fields,
        }
    }

    /// The sum of each chunk of a document.
    pub(crate) fn of(
        &mut self,
        document: &DocumentOutline,
        text: &str,
        derived: &DerivedOutline,
    ) -> Result<Vec<(ChunkNo, u64)>, IndexError> {
        let mut common = posting(
            term(self.fields.document, document.id.as_str().as_bytes()),
            1,
        );
        let one = FieldNormReader::fieldnorm_to_id(1);
        common = common.wrapping_add(length(self.fields.document, one));
        for (name, held) in document.metadata.iter() {
            for scalar in held.scalars() {
                common = common.wrapping_add(value(name, scalar));
            }
        }
        common = common.wrapping_add(self.words(self.fields.title, &[&document.title]));
        let mut sums = Vec::with_capacity(derived.chunks.len());
        for (number, entry) in derived.numbers().zip(&derived.chunks) {
            let body = self.words(self.fields.body, &[entry.span.slice(text)?]);
            let headings = derived.heading_path(entry).iter().map(String::as_str);
            let headings: Vec<&str> = headings.filter(|text| *text != document.title).collect();
            let headings = self.words(self.fields.headings, &headings);
            let sum = common.wrapping_add(body).wrapping_add(headings);
            sums.push((ChunkNo(number), sum));
        }
        Ok(sums)
    }

    /// The sum of a field's postings and its length.
    fn words(&mut self, field: Field, texts: &[&str]) -> u64 {
        let mut times: HashMap<String, u32> = HashMap::new();
        let mut tokens = 0;
        for text in texts {
            for (word, count) in analyzer::terms(&mut self.analyzer, text) {
                tokens += count;
                *times.entry(word).or_default() += count;
            }
        }
        let id = FieldNormReader::fieldnorm_to_id(tokens);
        times.iter().fold(length(field, id), |sum, (word, count)| {
            sum.wrapping_add(posting(term(field, word.as_bytes()), *count))
        })
    }
}
