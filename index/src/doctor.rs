//! Do the projections say what the log says?
//!
//! The audit reads the whole log, checking every checksum, and compares each
//! document that stands in it with the catalog, the text projection and the
//! vector projection; then it counts what they hold beyond that.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cento_core::{ChunkNo, Comparison, DocumentId, FieldRef, Filter, Scalar, Sequence};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::log::Position;
use crate::log_record::{Change, Put, Record, split};
use crate::projections::check_order;
use crate::view::View;
use crate::{Engine, IndexError};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// The last write of the log.
    pub sequence: Sequence,
    /// Documents that stand in the log.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Where a projection says something else; empty when all is well.
    pub differences: Vec<Difference>,
}

/// One place where a projection does not say what the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// `catalog`, `text` or `vectors`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub projection: Cow<'static, str>,
    /// The document, if the difference is about one.
    pub document: Option<DocumentId>,
    /// What is different.
    pub what: String,
}

impl AuditReport {
    /// Whether every projection says what the log says.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    fn note(&mut self, projection: &'static str, document: Option<&DocumentId>, what: String) {
        self.differences.push(Difference {
            projection: projection.into(),
            document: document.cloned(),
            what,
        });
    }
}

impl Engine {
    /// Compares every projection with the log, document by document.
    ///
    /// Writing waits while it runs. An error means that the audit could not be
    /// made, e.g. because the log itself is damaged; a projection that differs
    /// is no error but stands in the report.
    pub fn audit(&self) -> Result<AuditReport, IndexError> {
        self.with_writes_held(|log, catalog, view| {
            let mut standing: BTreeMap<DocumentId, (Sequence, Position, usize)> = BTreeMap::new();
            let mut last = None;
            let (end, broken) = log.scan(Position::default(), |at, payload, _| {
                let damaged = || log.damaged(at, "a commit cannot be decoded");
                for (offset, bytes) in split(payload).ok_or_else(damaged)? {
                    let place = Position {
                        segment: at.segment,
                        offset: at.offset + offset,
                    };
                    let record = Record::decode(bytes).ok_or_else(damaged)?;
                    check_order(&mut last, &record, log, at)?;
                    match record.change {
                        Change::Put(put) => {
                            let entry = (record.sequence, place, bytes.len());
                            standing.insert(put.outline.id, entry);
                        }
                        Change::Delete(id) => {
                            standing.remove(&id);
                        }
                    }
                }
                Ok(())
            })?;
            if let Some(reason) = broken {
                return Err(log.damaged(end, reason));
            }
            let mut report = AuditReport {
                sequence: last.unwrap_or_default(),
                documents: standing.len() as u64,
                chunks: 0,
                differences: Vec::new(),
            };
            let mut expected_chunks = Vec::new();
            for (id, (sequence, place, bytes)) in &standing {
                let record = Record::decode(&log.read(*place, *bytes)?);
                let Some(Change::Put(put)) = record.map(|record| record.change) else {
                    return Err(log.damaged(*place, "a put cannot be decoded"));
                };
                let first = put.outline.first_chunk.0;
                let numbers = (0..put.outline.chunks.len() as u64).map(|i| ChunkNo(first + i));
                expected_chunks.extend(numbers);
                compare_catalog(&mut report, catalog, id, *sequence, *place, &put)?;
                compare_legs(&mut report, view, id, &put)?;
            }
            expected_chunks.sort_unstable();
            report.chunks = expected_chunks.len() as u64;
            count_what_is_beyond(&mut report, catalog, view, &expected_chunks)?;
            Ok(report)
        })
    }
}

fn compare_catalog(
    report: &mut AuditReport,
    catalog: &Catalog,
    id: &DocumentId,
    sequence: Sequence,
    place: Position,
    put: &Put,
) -> Result<(), IndexError> {
    let what = match catalog.version(id, Sequence(u64::MAX))? {
        None => "the document is missing".to_owned(),
        Some(version) if version.sequence != sequence => format!(
            "it shows write {}, the log's last is {sequence}",
            version.sequence
        ),
        Some(version)
            if version.record != place
                || version.outline_bytes != put.outline_bytes
                || version.first_chunk != put.outline.first_chunk
                || version.chunks as usize != put.outline.chunks.len()
                || version.content_hash != put.outline.content_hash =>
        {
            "its row differs from the log's record".to_owned()
        }
        Some(_) => return Ok(()),
    };
    report.note("catalog", Some(id), what);
    Ok(())
}

fn compare_legs(
    report: &mut AuditReport,
    view: &View,
    id: &DocumentId,
    put: &Put,
) -> Result<(), IndexError> {
    let first = put.outline.first_chunk.0;
    let numbers = first..first + put.outline.chunks.len() as u64;
    let by_id = Filter::Compare {
        field: FieldRef::DocumentId,
        comparison: Comparison::Eq,
        value: Scalar::Text(id.as_str().to_owned()),
    };
    let found = view.text_view().allowed(&by_id)?;
    if !found.iter().eq(numbers.clone()) {
        let what = format!(
            "{} chunks stand under its id, the log has {}",
            found.len(),
            put.outline.chunks.len()
        );
        report.note("text", Some(id), what);
    }
    for (row, number) in numbers.enumerate() {
        let what = match view.vectors().codes(ChunkNo(number)) {
            None => "has no vector",
            Some(codes) if codes != put.codes.row(row) => "has another vector than the log",
            Some(_) => continue,
        };
        report.note("vectors", Some(id), format!("chunk {number} {what}"));
    }
    Ok(())
}

fn count_what_is_beyond(
    report: &mut AuditReport,
    catalog: &Catalog,
    view: &View,
    expected: &[ChunkNo],
) -> Result<(), IndexError> {
    let in_text = view.text_view().chunks()?;
    if in_text != expected {
        let what = format!(
            "it holds {} chunks, the log {}",
            in_text.len(),
            expected.len()
        );
        report.note("text", None, what);
    }
    let live = view.live();
    if !live.iter().eq(expected.iter().map(|number| number.0)) {
        let what = format!(
            "it shows {} live chunks, the log {}",
            live.len(),
            expected.len()
        );
        report.note("catalog", None, what);
    }
    let counted = view.counts().documents;
    if counted != report.documents {
        let what = format!(
            "it counts {counted} documents, the log {}",
            report.documents
        );
        report.note("catalog", None, what);
    }
    let rows = catalog.version_rows() as u64;
    if rows < report.documents {
        let what = format!(
            "it has {rows} version rows for {} documents",
            report.documents
        );
        report.note("catalog", None, what);
    }
    Ok(())
}
