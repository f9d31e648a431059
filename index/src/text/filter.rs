//! Which documents of a segment pass a filter?
//!
//! A filter is evaluated column by column into a bitmap of a segment's
//! documents, then turned into chunk numbers by the caller.

use cento_core::{Comparison, FieldRef, Filter, Membership, Scalar};
use roaring::RoaringBitmap;
use tantivy::columnar::{Column, DynamicColumn, StrColumn};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, SegmentReader, TERMINATED, TantivyError, Term};

/// Evaluates a validated filter on one segment, deleted documents included.
pub(super) fn evaluate(
    filter: &Filter,
    segment: &SegmentReader,
    document: Field,
) -> tantivy::Result<RoaringBitmap> {
    let all = || RoaringBitmap::from_iter(0..segment.max_doc());
    let any = |field: &FieldRef, test: &Test| match field {
        FieldRef::DocumentId => with_id(segment, document, test),
        FieldRef::Metadata(name) => with_metadata(segment, name, test),
    };
    Ok(match filter {
        Filter::Compare {
            field,
            comparison: Comparison::Ne,
            value,
        } => all() - any(field, &Test::Compare(Comparison::Eq, value))?,
        Filter::Compare {
            field,
            comparison,
            value,
        } => any(field, &Test::Compare(*comparison, value))?,
        Filter::Member {
            field,
            membership,
            values,
        } => {
            let found = any(field, &Test::In(values))?;
            match membership {
                Membership::In => found,
                Membership::Nin => all() - found,
            }
        }
        Filter::Exists { field } => any(field, &Test::Exists)?,
        Filter::And(filters) => {
            let mut passing = all();
            for filter in filters {
                passing &= evaluate(filter, segment, document)?;
            }
            passing
        }
        Filter::Or(filters) => {
            let mut passing = RoaringBitmap::new();
            for filter in filters {
                passing |= evaluate(filter, segment, document)?;
            }
            passing
        }
        Filter::Not(filter) => all() - evaluate(filter, segment, document)?,
    })
}

/// What one value of a field must satisfy.
enum Test<'a> {
    Compare(Comparison, &'a Scalar),
    In(&'a [Scalar]),
    Exists,
}

impl Test<'_> {
    fn holds(&self, found: &Scalar) -> bool {
        match self {
            Test::Compare(comparison, value) => comparison.holds(found, value),
            Test::In(values) => values
                .iter()
                .any(|value| Comparison::Eq.holds(found, value)),
            Test::Exists => true,
        }
    }

    /// The texts that can pass, where only equality is asked for.
    fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Test::Compare(Comparison::Eq, value) => Some(text_of(value).into_iter().collect()),
            Test::In(values) => Some(values.iter().filter_map(text_of).collect()),
            _ => None,
        }
    }
}

fn text_of(scalar: &Scalar) -> Option<&str> {
    match scalar {
        Scalar::Text(text) => Some(text),
        _ => None,
    }
}

fn with_id(segment: &SegmentReader, field: Field, test: &Test) -> tantivy::Result<RoaringBitmap> {
    let mut passing = RoaringBitmap::new();
    let Some(ids) = test.texts() else {
        // Every document has an id; an order on ids is refused before this.
        passing.insert_range(0..segment.max_doc());
        return Ok(passing);
    };
    let index = segment.inverted_index(field)?;
    for id in ids {
        let term = Term::from_field_text(field, id);
        if let Some(mut postings) = index.read_postings(&term, IndexRecordOption::Basic)? {
            while postings.doc() != TERMINATED {
                passing.insert(postings.doc());
                postings.advance();
            }
        }
    }
    Ok(passing)
}

fn with_metadata(
    segment: &SegmentReader,
    name: &str,
    test: &Test,
) -> tantivy::Result<RoaringBitmap> {
    let mut passing = RoaringBitmap::new();
    for handle in segment
        .fast_fields()
        .dynamic_column_handles(&column_name(name))?
    {
        passing |= match handle.open().map_err(TantivyError::from)? {
            DynamicColumn::Bool(column) => scan(&column, segment, |value| {
                test.holds(&Scalar::Boolean(value))
            }),
            DynamicColumn::F64(column) => {
                scan(&column, segment, |value| test.holds(&Scalar::Number(value)))
            }
            DynamicColumn::I64(column) => scan(&column, segment, |value| {
                test.holds(&Scalar::Number(value as f64))
            }),
            DynamicColumn::U64(column) => scan(&column, segment, |value| {
                test.holds(&Scalar::Number(value as f64))
            }),
            DynamicColumn::Str(column) => scan_texts(&column, segment, test)?,
            // Metadata is written as booleans, numbers and texts alone.
            _ => RoaringBitmap::new(),
        };
    }
    Ok(passing)
}

/// The name of a metadata field's column: dots are part of a field's name, and
/// a backslash keeps tantivy from splitting there.
pub(super) fn column_name(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('.', "\\.");
    format!("metadata.{escaped}")
}

fn scan<T: PartialOrd + Copy + std::fmt::Debug + Send + Sync + 'static>(
    column: &Column<T>,
    segment: &SegmentReader,
    passes: impl Fn(T) -> bool,
) -> RoaringBitmap {
    (0..segment.max_doc())
        .filter(|&doc| column.values_for_doc(doc).any(&passes))
        .collect()
}

/// Texts stand in a sorted dictionary: the test is asked once a distinct text,
/// or answered by look-up where only equality is asked for.
fn scan_texts(
    column: &StrColumn,
    segment: &SegmentReader,
    test: &Test,
) -> tantivy::Result<RoaringBitmap> {
    let dictionary = column.dictionary();
    let mut ordinals = RoaringBitmap::new();
    let mut take = |ordinal: u64| ordinals.insert(u32::try_from(ordinal).unwrap_or(u32::MAX));
    match test.texts() {
        Some(texts) => {
            for text in texts {
                if let Some(ordinal) = dictionary.term_ord(text.as_bytes())? {
                    take(ordinal);
                }
            }
        }
        None => {
            let mut stream = dictionary.stream()?;
            while stream.advance() {
                let text = String::from_utf8_lossy(stream.key()).into_owned();
                if test.holds(&Scalar::Text(text)) {
                    take(stream.term_ord());
                }
            }
        }
    }
    let passes = |ordinal: u64| u32::try_from(ordinal).is_ok_and(|ord| ordinals.contains(ord));
    Ok((0..segment.max_doc())
        .filter(|&doc| column.term_ords(doc).any(passes))
        .collect())
}
