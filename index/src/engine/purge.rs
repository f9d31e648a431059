//! How is deleted content removed for good, and who still holds it?
//!
//! Deleting a document makes it unfindable; its bytes stay in the log until
//! compaction, in tantivy's segments until a merge, in sled's file until it is
//! overwritten. Purging rewrites the log without them, gives up the other
//! generations, and builds the projections anew in a folder of their own. Then
//! every frame, term and row is read to prove it.

use std::collections::HashSet;
use std::sync::Arc;

use cento_core::Sequence;
use serde::{Deserialize, Serialize};

use super::salvage::DAMAGED;
use super::{CompactionReport, Engine, Follow, OpenGeneration};
use crate::disk::remove_dir;
use crate::log::Position;
use crate::log::segments::Segments;
use crate::log_record::{Change, Record};
use crate::manifest::{GenerationState, Manifest};
use crate::projections::Recovery;
use crate::{IndexError, fault};

/// What a purge did, and what still holds deleted content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeReport {
    /// The last write that was there when it began: what was deleted or
    /// replaced up to it is gone.
    pub sequence: Sequence,
    /// What became of the log.
    pub compaction: CompactionReport,
    /// Former generations that were given up.
    pub generations: u64,
    /// Snapshots that were deleted.
    pub deleted_snapshots: Vec<String>,
    /// What still holds deleted content; empty when all of it is gone.
    pub held: Vec<Held>,
    /// Records, terms and rows that were read to prove it.
    pub proven: Proven,
}

/// A place that still holds deleted content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Held {
    /// `snapshot ID`, `log`, `text`, `vectors` or `catalog`.
    pub place: String,
    /// How many versions of documents, terms or rows.
    pub count: u64,
}

/// What was read to prove that nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proven {
    /// Records of the log.
    pub records: u64,
    /// Terms of the text projection.
    pub terms: u64,
    /// Rows of the catalog and the vector projection.
    pub rows: u64,
}

impl Engine {
    /// Removes what was deleted or replaced until now from the log and the
    /// projections, and from the snapshots if told so: they are deleted, since
    /// a snapshot is kept whole or not at all. Queries are answered meanwhile,
    /// and writes go on but for the moment of the switch.
    ///
    /// A query under way holds the files of its time until it ends. Disk blocks
    /// are given back to the file system, not overwritten.
    ///
    /// # Errors
    /// [`IndexError::GenerationBuilding`]: let it finish, or drop it, first.
    pub fn purge(&self, snapshots: bool) -> Result<PurgeReport, IndexError> {
        let _alone = self.maintenance();
        let (sequence, formers) = {
            let writer = self.writer()?;
            writer.expect_none_building()?;
            writer.log.roll()?;
            let formers = self.root.update(|manifest| {
                let mut formers = std::mem::take(&mut manifest.generations);
                let is_former =
                    |e: &crate::manifest::GenerationEntry| e.state == GenerationState::Former;
                manifest.generations = formers.extract_if(.., |e| !is_former(e)).collect();
                formers
            })?;
            (writer.log.end().0, formers)
        };
        let deleted_snapshots = if snapshots {
            let all = self.snapshots()?;
            for info in &all {
                self.delete_snapshot_alone(&info.id)?;
            }
            all.into_iter().map(|info| info.id).collect()
        } else {
            Vec::new()
        };
        fault::point("purge.formers_dropped");
        for former in &formers {
            remove_dir(&self.generation_dir(former.folder))?;
        }
        // Files that salvaging put aside hold what was deleted too.
        remove_dir(&self.root.dir().join(DAMAGED))?;
        let compaction = self.compact_alone(0.0)?;
        self.build_anew()?;
        let (held, proven) = self.prove(sequence)?;
        Ok(PurgeReport {
            sequence,
            compaction,
            generations: formers.len() as u64,
            deleted_snapshots,
            held,
            proven,
        })
    }

    /// Builds the serving generation's projections anew, in another folder, and
    /// lets them serve.
    fn build_anew(&self) -> Result<(), IndexError> {
        let (mut entry, log) = {
            let writer = self.writer()?;
            let manifest = self.root.manifest();
            let entry = manifest.generation(writer.serving.number).cloned();
            let entry = entry.ok_or_else(|| IndexError::UnknownGeneration {
                number: writer.serving.number,
                known: "none".to_owned(),
            })?;
            (entry, Arc::clone(&writer.log))
        };
        let former = entry.folder;
        entry.folder = self.root.update(Manifest::take_file)?;
        // Types of fields are known from what stands, and from nothing else.
        entry.fields = entry.settings.fields.clone();
        let mut fresh = OpenGeneration::open(
            self.root.dir(),
            &entry,
            &self.root.manifest(),
            &log,
            &Follow::Scan,
            &self.options,
            &mut Recovery::default(),
        )?;
        fault::point("purge.built");
        let mut writer = self.writer()?;
        fresh.follow(&writer.log, &Follow::Scan)?;
        fresh.publish(&writer.log.segments())?;
        fresh.checkpoint()?;
        self.root.update(|manifest| {
            if let Some(standing) = manifest.generation_mut(entry.number) {
                *standing = entry.clone();
            }
        })?;
        fault::point("purge.switched");
        writer.serving = fresh;
        self.publish(&mut writer)?;
        drop(writer);
        remove_dir(&self.generation_dir(former))
    }

    /// Reads everything and counts what does not stand any more. Writes that
    /// came since `sequence` do not count.
    fn prove(&self, sequence: Sequence) -> Result<(Vec<Held>, Proven), IndexError> {
        let mut held = Vec::new();
        let mut note = |place: String, count: u64| {
            if count > 0 {
                held.push(Held { place, count });
            }
        };
        let mut proven = Proven::default();
        let writer = self.published()?;
        let catalog = &writer.serving.projections.catalog;
        let mut deleted_since = HashSet::new();
        let mut dead = Vec::new();
        let is_dead = |record: &Record| -> Result<bool, IndexError> {
            let newest = catalog.newest_put(record.id())?;
            let stands = match &record.change {
                Change::Put(_) => newest == Some(record.sequence),
                Change::Derive(derive) => newest == Some(derive.of),
                Change::Delete(_) => false,
            };
            // A put that was replaced after the purge began is no leftover.
            let is_newer = newest.is_some_and(|newest| newest > sequence);
            Ok(!stands && !is_newer && record.sequence <= sequence)
        };
        let start = |segments: &Segments| segments.start_after(Sequence(0), Position::default());
        let segments = writer.log.segments();
        segments.scan(start(&segments), |logged| {
            proven.records += 1;
            if let Some((record, _)) = Record::decode(logged.bytes) {
                if is_dead(&record)? {
                    dead.push(record.id().clone());
                } else if let Change::Delete(id) = record.change {
                    deleted_since.insert(id);
                }
            }
            Ok(())
        })?;
        // Neither is one that was deleted since.
        dead.retain(|id| !deleted_since.contains(id));
        note("log".to_owned(), dead.len() as u64);
        let view = self.view();
        let (terms, deleted) = view.text_view().proof(view.live())?;
        proven.terms = terms;
        note("text".to_owned(), deleted);
        let rows = view.vectors().rows();
        note(
            "vectors".to_owned(),
            rows.saturating_sub(view.counts().chunks),
        );
        let versions = catalog.version_rows() as u64;
        proven.rows = rows + versions;
        note(
            "catalog".to_owned(),
            versions.saturating_sub(view.counts().documents),
        );
        for info in self.snapshots()? {
            let dir = self.snapshot_path(&info.id)?;
            let kept = Manifest::read_in(&dir)?;
            let segments = Segments::open(&dir, &kept)?;
            let mut dead = 0;
            segments.scan(start(&segments), |logged| {
                if let Some((record, _)) = Record::decode(logged.bytes) {
                    let is_dead = is_dead(&record)? && !deleted_since.contains(record.id());
                    dead += u64::from(is_dead);
                }
                Ok(())
            })?;
            note(format!("snapshot {}", info.id), dead);
        }
        Ok((held, proven))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Condition, NewDocument};
    use cento_core::{ByteSpan, Chunk, ContentHash, Document, DocumentId, Metadata, TextKind};

    fn document(id: &str, text: &str) -> NewDocument {
        NewDocument {
            document: Document {
                id: DocumentId::new(id).unwrap(),
                title: String::new(),
                source: None,
                metadata: Metadata::default(),
                text: text.to_owned(),
                kind: TextKind::Prose,
                content_hash: ContentHash::of([text.as_bytes()]),
            },
            chunks: vec![Chunk {
                span: ByteSpan {
                    start: 0,
                    end: text.len() as u64,
                },
                heading_path: Vec::new(),
                line: 1,
            }],
            vectors: vec![vec![1.0, 0.0, 0.0]],
            condition: Condition::Always,
        }
    }

    #[test]
    fn the_proof_names_what_a_deletion_leaves_behind_and_nothing_after_a_purge() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::CollectionSettings::for_tests();
        Engine::create(dir.path(), &settings).unwrap();
        let engine = Engine::open(dir.path(), &crate::StoreOptions::default()).unwrap();
        let all = vec![
            document("kept", "green pumps"),
            document("gone", "secret valves"),
        ];
        engine.put(engine.view().generation(), all).unwrap();
        let held = || {
            let sequence = engine.refresh().unwrap().sequence();
            let (held, _) = engine.prove(sequence).unwrap();
            let places = held.into_iter().map(|held| (held.place, held.count));
            places.collect::<Vec<_>>()
        };
        assert_eq!(held(), []);
        let view = engine.view();
        let (terms, left) = view.text_view().proof(view.live()).unwrap();
        assert!(terms >= 8 && left == 0, "{terms} terms, {left} left");
        // A row that does not stand: it, its two words, its id and its number.
        let gone = view.live().max().unwrap();
        let mut kept = view.live().clone();
        kept.remove(gone);
        assert_eq!(view.text_view().proof(&kept).unwrap().1, 5);
        engine.delete(&[DocumentId::new("gone").unwrap()]).unwrap();
        // The put and the deletion; its vector; its version, which a view may
        // still ask for. Whether its row is still there is for tantivy's merges.
        let mut left = held();
        left.retain(|(place, _)| place != "text");
        let expected = [("log", 2), ("vectors", 1), ("catalog", 1)];
        assert_eq!(left, expected.map(|(place, left)| (place.to_owned(), left)));
        drop(view);
        assert_eq!(engine.purge(false).unwrap().held, []);
        assert_eq!(held(), []);
    }
}
