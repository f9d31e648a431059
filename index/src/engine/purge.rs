//! How is deleted content removed for good, and who still holds it?
//!
//! Deleting a document makes it unfindable; its bytes stay in the log until
//! compaction, in tantivy's segments until a merge, in sled's file until it is
//! overwritten. Purging rewrites the log without them, gives up the other
//! generations, and builds the projections anew in a folder of their own. Then
//! every frame, term and row is read to prove it.

use std::collections::HashSet;
use std::sync::Arc;

use cento_core::{ChunkNo, Sequence};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use super::compaction::Which;
use super::salvage::DAMAGED;
use super::{CompactionReport, Engine, Follow, OpenGeneration, Writer, remove_leftovers};
use crate::disk::{remove_dir, sync_dir};
use crate::log::Position;
use crate::log::segments::Segments;
use crate::log_record::{Change, Record};
use crate::manifest::{GenerationEntry, GenerationState, Manifest};
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

/// When a purge began: what stood then is no leftover, if it is deleted since.
struct Moment {
    sequence: Sequence,
    live: RoaringTreemap,
    next_chunk: ChunkNo,
}

impl Moment {
    fn of(writer: &Writer) -> Self {
        Self {
            sequence: writer.log.end().0,
            live: writer.serving.live.clone(),
            next_chunk: writer.serving.projections.state.next_chunk,
        }
    }

    /// Whether a chunk stood then, or came later.
    fn counts(&self, chunk: ChunkNo) -> bool {
        chunk >= self.next_chunk || self.live.contains(chunk.0)
    }
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
        let (moment, formers) = {
            let writer = self.writer()?;
            writer.expect_none_building()?;
            writer.log.roll()?;
            let is_former = |entry: &GenerationEntry| entry.state == GenerationState::Former;
            let formers = (self.root).update(|manifest| manifest.give_up(is_former))?;
            let moment = Moment::of(&writer);
            (moment, formers)
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
        // Files that salvaging put aside hold what was deleted too.
        remove_dir(&self.root.dir().join(DAMAGED))?;
        sync_dir(self.root.dir())?;
        let compaction = self.compact_alone(Which::All)?;
        self.build_anew()?;
        {
            // Former generations, and what this or an earlier change could not
            // remove or left half made: nothing that is not named may hold it.
            let _writer = self.writer()?;
            remove_leftovers(self.root.dir(), &self.root.manifest())?;
        }
        let (held, proven) = self.prove(&moment)?;
        Ok(PurgeReport {
            sequence: moment.sequence,
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
        // Most of it beside writes, the rest between two.
        fresh.publish(&log.segments())?;
        fresh.checkpoint()?;
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
        // What is left of it goes before the proof is made.
        let _ = remove_dir(&self.generation_dir(former));
        Ok(())
    }

    /// Reads everything and counts what does not stand any more. Writes that
    /// came since the purge began do not count. Writes go on while it reads.
    fn prove(&self, since: &Moment) -> Result<(Vec<Held>, Proven), IndexError> {
        let mut held = Vec::new();
        let mut note = |place: String, count: u64| {
            if count > 0 {
                held.push(Held { place, count });
            }
        };
        let mut proven = Proven::default();
        let (segments, catalog, view) = {
            let writer = self.published()?;
            let catalog = Arc::clone(&writer.serving.projections.catalog);
            (writer.log.segments(), catalog, self.view())
        };
        let mut deleted_since = HashSet::new();
        let mut dead = Vec::new();
        let is_dead = |record: &Record| -> Result<bool, IndexError> {
            // What a model has learned is of no document.
            let Some(id) = record.id() else {
                return Ok(false);
            };
            let newest = catalog.newest_put(id)?;
            let stands = match &record.change {
                Change::Put(_) => newest == Some(record.sequence),
                Change::Derive(derive) => newest == Some(derive.of),
                Change::Delete(_) | Change::Fit(_) => false,
            };
            // A put that was replaced after the purge began is no leftover.
            let is_newer = newest.is_some_and(|newest| newest > since.sequence);
            Ok(!stands && !is_newer && record.sequence <= since.sequence)
        };
        let start = |segments: &Segments| segments.start_after(Sequence(0), Position::default());
        segments.scan(start(&segments), |logged| {
            proven.records += 1;
            if let Some((record, _)) = Record::decode(logged.bytes) {
                if is_dead(&record)? {
                    dead.extend(record.id().cloned());
                } else if let Change::Delete(id) = record.change {
                    deleted_since.insert(id);
                }
            }
            Ok(())
        })?;
        // Neither is one that was deleted since.
        dead.retain(|id| !deleted_since.contains(id));
        note("log".to_owned(), dead.len() as u64);
        let (terms, left) = view.text_view().proof(&|chunk| since.counts(chunk))?;
        proven.terms = terms;
        note("text".to_owned(), left);
        let numbers = view.vectors().numbers();
        let left = numbers.filter(|chunk| !since.counts(*chunk)).count();
        note("vectors".to_owned(), left as u64);
        let mut left = 0;
        let versions = catalog.for_each_version_row(|version| {
            left += u64::from(version.chunks > 0 && !since.counts(version.first_chunk));
        })?;
        note("catalog".to_owned(), left);
        proven.rows = view.vectors().rows() + versions;
        for info in self.snapshots()? {
            let dir = self.snapshot_path(&info.id)?;
            let kept = Manifest::read_in(&dir)?;
            let segments = Segments::open(&dir, &kept)?;
            let mut dead = 0;
            segments.scan(start(&segments), |logged| {
                if let Some((record, _)) = Record::decode(logged.bytes) {
                    let is_deleted = record.id().is_some_and(|id| deleted_since.contains(id));
                    dead += u64::from(is_dead(&record)? && !is_deleted);
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
    use crate::engine::tests::new_document;
    use cento_core::DocumentId;

    #[test]
    fn the_proof_names_what_a_deletion_leaves_behind_and_nothing_after_a_purge() {
        let dir = tempfile::tempdir().unwrap();
        let settings = crate::CollectionSettings::for_tests();
        Engine::create(dir.path(), &settings).unwrap();
        let engine = Engine::open(dir.path(), &crate::StoreOptions::default()).unwrap();
        let all = vec![
            new_document("kept", "green pumps", vec![1.0, 0.0, 0.0]),
            new_document("gone", "secret valves", vec![1.0, 0.0, 0.0]),
        ];
        engine.put(engine.view().generation(), all).unwrap();
        let held = || {
            engine.refresh().unwrap();
            let moment = Moment::of(&engine.writer().unwrap());
            let (held, _) = engine.prove(&moment).unwrap();
            let places = held.into_iter().map(|held| (held.place, held.count));
            places.collect::<Vec<_>>()
        };
        assert_eq!(held(), []);
        let view = engine.view();
        let proof = |last: u64| {
            let stands = |chunk: ChunkNo| view.live().contains(chunk.0) && chunk.0 <= last;
            view.text_view().proof(&stands).unwrap()
        };
        let last = view.live().max().unwrap();
        let (terms, left) = proof(last);
        assert!(terms >= 8 && left == 0, "{terms} terms, {left} left");
        // A row that does not stand: it, its two words, its id and its number.
        assert_eq!(proof(last - 1).1, 5);
        let before = Moment::of(&engine.writer().unwrap());
        engine.delete(&[DocumentId::new("gone").unwrap()]).unwrap();
        // The put and the deletion; its vector; its version, which a view may
        // still ask for. Whether its row is still there is for tantivy's merges.
        let mut left = held();
        left.retain(|(place, _)| place != "text");
        let expected = [("log", 2), ("vectors", 1), ("catalog", 1)];
        assert_eq!(left, expected.map(|(place, left)| (place.to_owned(), left)));
        // What was deleted since is none of it.
        assert_eq!(engine.prove(&before).unwrap().0, []);
        drop(view);
        assert_eq!(engine.purge(false).unwrap().held, []);
        assert_eq!(held(), []);
    }
}
