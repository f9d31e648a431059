//! Do the projections say what the log says?
//!
//! The audit reads the whole log, checking every checksum, and compares each
//! document that stands in it with the catalog, the text projection and the
//! vector projection; then it counts what they hold beyond that.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cento_core::{ChunkNo, DocumentId, GenerationNo, Sequence};
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Version};
use crate::engine::dead_bytes;
use crate::log::{Place, Position, Segments};
use crate::log_record::{Change, Derivation, Layout, Put, Record};
use crate::text::digest::{Digests, Expected};
use crate::view::View;
use crate::{Engine, IndexError};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// The last write of the log.
    pub sequence: Sequence,
    /// The configuration that serves, and was compared.
    pub generation: GenerationNo,
    /// Documents that stand in the log.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// Records of the log that were read, with every checksum.
    pub records: u64,
    /// The length of the log.
    pub log_bytes: u64,
    /// How much of its closed segments nothing needs any more.
    pub dead_bytes: u64,
    /// Where a projection says something else; empty when all is well.
    pub differences: Vec<Difference>,
}

/// One place where a projection does not say what the log says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// `catalog`, `text`, `vectors`, or `log` for a record that replay skips.
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

/// A document as the log has it.
struct Logged {
    document: Place,
    derived: Option<Place>,
}

impl Engine {
    /// Compares every projection with the log, document by document.
    ///
    /// Writing waits while it runs. An error means that the audit could not be
    /// made, e.g. because the log itself is damaged; a projection that differs
    /// is no error but stands in the report.
    pub fn audit(&self) -> Result<AuditReport, IndexError> {
        self.with_writes_held(|log, catalog, view| {
            let segments = log.segments();
            let mut report = AuditReport {
                sequence: view.sequence(),
                generation: view.generation(),
                documents: 0,
                chunks: 0,
                records: 0,
                log_bytes: segments.bytes(),
                dead_bytes: 0,
                differences: Vec::new(),
            };
            let (standing, last) = standing(&segments, view.generation(), &mut report)?;
            report.documents = standing.len() as u64;
            if last != view.sequence() {
                let what = format!(
                    "it shows write {}, the log's last is {last}",
                    view.sequence()
                );
                report.note("catalog", None, what);
            }
            for path in view.text_view().damaged_files()? {
                let what = format!("the checksum of {} does not match", path.display());
                report.note("text", None, what);
            }
            for path in view.vectors().damaged_files() {
                let what = format!("the checksum of {} does not match", path.display());
                report.note("vectors", None, what);
            }
            let digests = view.text_view().digests(view.fields())?;
            let mut expected_digests = Expected::new(view.text_view());
            let mut expected_chunks = Vec::new();
            for (id, logged) in &standing {
                let Some(derived) = &logged.derived else {
                    let what = "the serving generation has no chunks of it".to_owned();
                    report.note("catalog", Some(id), what);
                    continue;
                };
                let (put, document_layout) = read(&segments, &logged.document)?;
                let (derived_record, layout) = read(&segments, derived)?;
                let derivation = match (&derived_record.change, &put.change) {
                    (Change::Derive(derive), _) => Some(&derive.derivation),
                    (Change::Put(put), _) => put.derivation.as_ref(),
                    _ => None,
                };
                let Some(derivation) = derivation else {
                    return Err(segments.damaged(derived, "a derivation cannot be decoded"));
                };
                let Change::Put(put) = &put.change else {
                    return Err(segments.damaged(&logged.document, "a put cannot be decoded"));
                };
                expected_chunks.extend(derivation.outline.numbers().map(ChunkNo));
                let expected = Version {
                    sequence: derived.sequence,
                    document: logged.document,
                    derived: *derived,
                    layout: Layout {
                        document_bytes: document_layout.document_bytes,
                        ..layout
                    },
                    first_chunk: derivation.outline.first_chunk,
                    chunks: derivation.outline.count(),
                    content_hash: put.document.content_hash,
                };
                compare_catalog(&mut report, catalog, id, &expected)?;
                compare_vectors(&mut report, view, put, derivation);
                let outline = &derivation.outline;
                let expected = expected_digests.of(&put.document, &put.text, outline)?;
                compare_text(&mut report, put, &expected, &digests);
            }
            expected_chunks.sort_unstable();
            report.chunks = expected_chunks.len() as u64;
            count_what_is_beyond(&mut report, catalog, view, &expected_chunks)?;
            // Last, because it rests on the catalog's rows.
            match dead_bytes(&self.manifest(), &segments, catalog, view.sequence()) {
                Ok((dead, _)) => report.dead_bytes = dead,
                Err(error) => report.note("catalog", None, error.to_string()),
            }
            Ok(report)
        })
    }
}

/// The documents that stand in the log, and its last write.
fn standing(
    segments: &Segments,
    generation: GenerationNo,
    report: &mut AuditReport,
) -> Result<(BTreeMap<DocumentId, Logged>, Sequence), IndexError> {
    let mut standing: BTreeMap<DocumentId, Logged> = BTreeMap::new();
    let mut records = 0;
    let end = segments.scan(
        segments.start_after(Sequence(0), Position::default()),
        |logged| {
            records += 1;
            let Some((record, _)) = Record::decode(logged.bytes) else {
                let what = format!(
                    "write {} is no record; replay skips it",
                    logged.place.sequence
                );
                report.note("log", None, what);
                return Ok(());
            };
            let place = logged.place;
            let is_mine = |derivation: &Derivation| derivation.outline.generation == generation;
            match record.change {
                Change::Put(put) => {
                    let derived = put.derivation.filter(is_mine).map(|_| place);
                    let document = place;
                    standing.insert(put.document.id, Logged { document, derived });
                }
                Change::Delete(id) => {
                    standing.remove(&id);
                }
                Change::Derive(derive) => {
                    if is_mine(&derive.derivation)
                        && let Some(logged) = standing.get_mut(&derive.id)
                        && logged.document.sequence == derive.of
                    {
                        logged.derived = Some(place);
                    }
                }
                Change::Fit(_) => {}
            }
            Ok(())
        },
    )?;
    report.records = records;
    match end.broken {
        Some(reason) => Err(segments.damaged_at(end.position, reason)),
        None => Ok((standing, end.last.unwrap_or_default())),
    }
}

fn read(segments: &Segments, place: &Place) -> Result<(Record, Layout), IndexError> {
    let found = Record::decode(&segments.record(place)?);
    found.ok_or_else(|| segments.damaged(place, "a record cannot be decoded"))
}

fn compare_catalog(
    report: &mut AuditReport,
    catalog: &Catalog,
    id: &DocumentId,
    expected: &Version,
) -> Result<(), IndexError> {
    let what = match catalog.version(id, Sequence(u64::MAX))? {
        None => "the document is missing".to_owned(),
        Some(version) if version.sequence != expected.sequence => format!(
            "it shows write {}, the log's last is {}",
            version.sequence, expected.sequence
        ),
        Some(version) if !is_same(&version, expected) => {
            "its row differs from the log's record".to_owned()
        }
        Some(_) => return Ok(()),
    };
    report.note("catalog", Some(id), what);
    Ok(())
}

/// Whether a row leads to what the log has. Compaction moves records and
/// leaves rows as they are: then their numbers alone are to be compared.
fn is_same(row: &Version, expected: &Version) -> bool {
    let same_place = |row: &Place, expected: &Place| {
        row.sequence == expected.sequence
            && (row.position.segment != expected.position.segment || row == expected)
    };
    same_place(&row.document, &expected.document)
        && same_place(&row.derived, &expected.derived)
        && row.layout == expected.layout
        && row.first_chunk == expected.first_chunk
        && row.chunks == expected.chunks
        && row.content_hash == expected.content_hash
}

fn compare_vectors(report: &mut AuditReport, view: &View, put: &Put, derivation: &Derivation) {
    let expected = derivation.vectors.codes();
    let dimensions = derivation.outline.dimensions as usize;
    let mut originals = derivation.vectors.originals().chunks(dimensions);
    for (row, number) in derivation.outline.numbers().enumerate() {
        let original = originals.next().unwrap_or_default();
        let what = match view.vectors().row(ChunkNo(number)) {
            None => "has no vector",
            Some((codes, vector)) if codes.values() != expected.row(row) || vector != original => {
                "has another vector than the log"
            }
            Some(_) => continue,
        };
        let id = Some(&put.document.id);
        report.note("vectors", id, format!("chunk {number} {what}"));
    }
}

fn compare_text(report: &mut AuditReport, put: &Put, expected: &[(ChunkNo, u64)], found: &Digests) {
    for (number, digest) in expected {
        let what = match found.get(number) {
            None => "is missing",
            Some(found) if found != digest => "has other words or metadata than the log",
            Some(_) => continue,
        };
        let id = Some(&put.document.id);
        report.note("text", id, format!("chunk {number} {what}"));
    }
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
    let rows = catalog.for_each_version_row(|_| ())?;
    if rows < report.documents {
        let what = format!(
            "it has {rows} version rows for {} documents",
            report.documents
        );
        report.note("catalog", None, what);
    }
    Ok(())
}
