//! How is a moment of a collection kept, and gone back to?
//!
//! A snapshot is a folder with second names of the log's closed segments and a
//! manifest of its own: it costs no space until compaction drops what it still
//! holds. Restoring gives the segments names in the log again, builds
//! projections for them beside the serving ones, and changes the manifest in
//! one moment. Sequences go on where they were: none is ever given twice.
//!
//! ```text
//! snapshots/ID/snapshot.json, manifest.json, manifest.copy.json, log/00000001.log …
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::Sequence;
use serde::{Deserialize, Serialize};

use super::{Engine, Follow, OpenGeneration};
use crate::disk::{self, create_dir, remove_dir, sync_dir};
use crate::log::{Log, SegmentWriter, create_segment, log_dir, segment_path};
use crate::manifest::{self, Checked, Epoch, GenerationState, Manifest, SegmentEntry};
use crate::projections::Recovery;
use crate::{CollectionSettings, IndexError, fault};

/// A snapshot as its folder describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotInfo {
    /// Its name.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The last write that it holds.
    pub sequence: Sequence,
    /// Documents in it.
    pub documents: u64,
    /// Their chunks.
    pub chunks: u64,
    /// The length of its segments; on disk they are shared with the log and
    /// with other snapshots.
    pub bytes: u64,
    /// The configuration that served.
    pub settings: CollectionSettings,
}

const INFO: Checked = Checked {
    kind: "cento-snapshot",
    version: 1,
};
const INFO_NAME: &str = "snapshot.json";
/// The ending of one that is being made; no name has it.
const NEW: &str = ".new";

impl Engine {
    /// Keeps this moment: every write that was acknowledged before is in it.
    /// Without a name it is called after the time and the last write.
    ///
    /// # Errors
    /// [`IndexError::SnapshotName`] if the name is taken or cannot be a folder's.
    pub fn create_snapshot(&self, id: Option<&str>) -> Result<SnapshotInfo, IndexError> {
        let _alone = self.maintenance();
        let (manifest, view) = {
            let writer = self.published()?;
            writer.log.roll()?;
            let mut manifest = self.root.manifest();
            manifest.segments.retain(|segment| segment.sealed.is_some());
            manifest
                .generations
                .retain(|entry| entry.number == writer.serving.number);
            writer.serving.note_in(&mut manifest);
            (manifest, self.view())
        };
        fault::point("snapshot.rolled");
        let sequence = view.sequence();
        let created = manifest::now();
        let id = match id {
            Some(id) => id.to_owned(),
            None => format!("{created}-{sequence}"),
        };
        let dir = self.snapshot_dir(&id)?;
        if dir.exists() {
            let reason = "there is one of this name";
            return Err(IndexError::SnapshotName { id, reason });
        }
        let fresh = self.snapshots_dir().join(format!("{id}{NEW}"));
        remove_dir(&fresh)?;
        create_dir(&log_dir(&fresh))?;
        let from = log_dir(self.root.dir());
        for segment in &manifest.segments {
            let number = segment.number;
            disk::hard_link(
                &segment_path(&from, number),
                &segment_path(&log_dir(&fresh), number),
            )?;
        }
        sync_dir(&log_dir(&fresh))?;
        fault::point("snapshot.linked");
        let counts = view.counts();
        let bytes = manifest.segments.iter().filter_map(|s| s.sealed);
        let info = SnapshotInfo {
            id,
            created,
            sequence,
            documents: counts.documents,
            chunks: counts.chunks,
            bytes: bytes.map(|sealed| sealed.bytes).sum(),
            settings: (**view.settings()).clone(),
        };
        INFO.write(&fresh.join(INFO_NAME), &info)?;
        manifest.write(&fresh)?;
        fault::point("snapshot.described");
        disk::rename(&fresh, &dir)?;
        sync_dir(&self.snapshots_dir())?;
        fault::point("snapshot.made");
        Ok(info)
    }

    /// The snapshots of this collection, oldest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, IndexError> {
        let mut found = Vec::new();
        for path in disk::list(&self.snapshots_dir())? {
            if !path.to_string_lossy().ends_with(NEW) {
                found.push(INFO.read::<SnapshotInfo>(&path.join(INFO_NAME))?);
            }
        }
        found.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
        Ok(found)
    }

    /// Where a snapshot's files are.
    ///
    /// # Errors
    /// [`IndexError::UnknownSnapshot`].
    pub fn snapshot_path(&self, id: &str) -> Result<PathBuf, IndexError> {
        let dir = self.snapshot_dir(id)?;
        if dir.join(INFO_NAME).is_file() {
            return Ok(dir);
        }
        let known: Vec<String> = self.snapshots()?.into_iter().map(|info| info.id).collect();
        Err(IndexError::UnknownSnapshot {
            id: id.to_owned(),
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        })
    }

    /// Removes a snapshot. Space returns with the next compaction.
    ///
    /// # Errors
    /// [`IndexError::UnknownSnapshot`].
    pub fn delete_snapshot(&self, id: &str) -> Result<(), IndexError> {
        let _alone = self.maintenance();
        self.delete_snapshot_alone(id)
    }

    /// The same, while nothing else changes which files there are.
    pub(super) fn delete_snapshot_alone(&self, id: &str) -> Result<(), IndexError> {
        let dir = self.snapshot_path(id)?;
        // Renamed first: a crash leaves it whole, or for the next opening.
        let doomed = self.snapshots_dir().join(format!("{id}{NEW}"));
        remove_dir(&doomed)?;
        disk::rename(&dir, &doomed)?;
        sync_dir(&self.snapshots_dir())?;
        fault::point("snapshot.doomed");
        remove_dir(&doomed)
    }

    /// Goes back to a snapshot: what was written since is gone, and so are
    /// other generations. Queries are answered all the while, from the former
    /// state until the moment of the switch. Snapshots stay.
    ///
    /// # Errors
    /// [`IndexError::UnknownSnapshot`]; [`IndexError::LogDamaged`] if a file of
    /// the snapshot is not what was kept, and then nothing has changed.
    pub fn restore_snapshot(&self, id: &str) -> Result<SnapshotInfo, IndexError> {
        let _alone = self.maintenance();
        let dir = self.snapshot_path(id)?;
        let info: SnapshotInfo = INFO.read(&dir.join(INFO_NAME))?;
        let kept = Manifest::read_in(&dir)?;
        let count = kept.segments.len() as u64;
        // Numbers for its segments, one for what is gone, an open one, a folder.
        let first = self.root.update(|manifest| {
            let first = manifest.next_file;
            manifest.next_file += count + 3;
            first
        })?;
        fault::point("restore.numbered");
        let mut restored = kept.clone();
        restored.epoch = Epoch::fresh();
        for (number, segment) in (first..).zip(&mut restored.segments) {
            disk::hard_link(
                &segment_path(&log_dir(&dir), segment.number),
                &segment_path(&log_dir(self.root.dir()), number),
            )?;
            segment.number = number;
        }
        sync_dir(&log_dir(self.root.dir()))?;
        fault::point("restore.linked");
        let Some(entry) = restored.generations.first_mut() else {
            return Err(manifest::damaged(&dir, "no generation"));
        };
        entry.state = GenerationState::Serving;
        entry.folder = first + count + 2;
        let entry = entry.clone();
        // Built beside the serving one, over a log that ends with the snapshot.
        let (gap, open) = (first + count, first + count + 1);
        let mut built = {
            let mut trial = restored.clone();
            let last = last_of(&restored.segments);
            let log = log_dir(self.root.dir());
            (trial.segments).push(create_segment(&log, open, last.next())?.0);
            let log = Log::over(Arc::clone(&self.root), &trial, self.options.segment_bytes)?;
            let mut recovery = Recovery::default();
            let mut built = OpenGeneration::open(
                self.root.dir(),
                &entry,
                &trial,
                &log,
                &Follow::Recover,
                &self.options,
                &mut recovery,
            )?;
            built.publish(&log.segments())?;
            built.checkpoint()?;
            built
        };
        fault::point("restore.built");
        let mut writer = self.writer()?;
        // What was written since keeps its numbers: they are gone, not free.
        let last = writer.log.end().0;
        let log_folder = log_dir(self.root.dir());
        let from = last_of(&restored.segments).next();
        if last >= from {
            let gap = SegmentWriter::begin(&log_folder, gap, from)?;
            restored.segments.push(gap.finish(last)?);
        }
        let (open_entry, ..) = create_segment(&log_folder, open, last.max(info.sequence).next())?;
        restored.segments.push(open_entry);
        let mut entry = entry;
        if writer.serving.number == entry.number {
            // No number of a chunk is given twice, of those gone neither.
            let state = &mut built.projections.state;
            let next = writer.serving.projections.state.next_chunk;
            state.next_chunk = state.next_chunk.max(next);
            entry.next_chunk = state.next_chunk;
        }
        let install = |manifest: &mut Manifest| {
            manifest.epoch = restored.epoch;
            manifest.segments.clone_from(&restored.segments);
            manifest.give_up(|_| true);
            manifest.generations = vec![entry.clone()];
            manifest.next_generation = manifest.next_generation.max(restored.next_generation);
            // What was forgotten of another epoch no projection of this one lacks.
            manifest.forgotten = restored.forgotten;
        };
        // Opened before it is in force: whatever fails from then on must stop the
        // writer, which would go on in segments that nobody names.
        let mut manifest = self.root.manifest();
        install(&mut manifest);
        let log = Log::over(
            Arc::clone(&self.root),
            &manifest,
            self.options.segment_bytes,
        )?;
        fault::point("restore.ready");
        self.root.update(install)?;
        fault::point("restore.switched");
        writer.serving = built;
        writer.building = None;
        writer.log = Arc::new(log);
        writer.guarded(|writer| writer.serving.follow(&writer.log, &Follow::Recover))?;
        self.publish(&mut writer)?;
        // Its projections stand where the snapshot ended: without this they
        // would be made anew by the next opening.
        writer.guarded(|writer| writer.serving.checkpoint())?;
        // What is left here goes when the collection is opened again. The writer
        // is held, so that no segment is new and not in this manifest.
        let _ = super::remove_leftovers(self.root.dir(), &self.root.manifest());
        drop(writer);
        Ok(info)
    }

    fn snapshots_dir(&self) -> PathBuf {
        snapshots_dir(self.root.dir())
    }

    fn snapshot_dir(&self, id: &str) -> Result<PathBuf, IndexError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let reason = if id.is_empty() || id.len() > 64 {
            "it must have 1 to 64 characters"
        } else if !id.chars().all(is_allowed) || id.starts_with('.') {
            "only letters, digits, '-', '_' and '.' may stand in it, and no '.' in front"
        } else if id.ends_with(NEW) {
            "it must not end in '.new'"
        } else {
            return Ok(self.snapshots_dir().join(id));
        };
        Err(IndexError::SnapshotName {
            id: id.to_owned(),
            reason,
        })
    }
}

/// Makes a collection's files in an empty folder from those of a snapshot.
pub(crate) fn found_on(snapshot: &Path, fresh: &Path) -> Result<(), IndexError> {
    let mut manifest = Manifest::read_in(snapshot)?;
    let log = log_dir(fresh);
    create_dir(&log)?;
    manifest.epoch = Epoch::fresh();
    manifest.next_file = 1;
    for segment in &mut manifest.segments {
        let number = manifest.next_file;
        manifest.next_file += 1;
        let from = segment_path(&log_dir(snapshot), segment.number);
        disk::hard_link(&from, &segment_path(&log, number))?;
        segment.number = number;
    }
    for entry in &mut manifest.generations {
        entry.state = GenerationState::Serving;
        entry.folder = manifest.next_file;
        manifest.next_file += 1;
    }
    let number = manifest.take_file();
    let last = last_of(&manifest.segments);
    let (open, ..) = create_segment(&log, number, last.next())?;
    manifest.segments.push(open);
    sync_dir(&log)?;
    manifest.write(fresh)
}

fn last_of(segments: &[SegmentEntry]) -> Sequence {
    let sealed = segments.iter().rev().find_map(|segment| segment.sealed);
    sealed.map_or(Sequence(0), |sealed| sealed.last)
}

/// The folder of a collection's snapshots.
pub(crate) fn snapshots_dir(collection: &Path) -> PathBuf {
    collection.join("snapshots")
}

/// Removes what a crash left of snapshots half made or half removed.
pub(crate) fn remove_unfinished(collection: &Path) -> Result<(), IndexError> {
    let dir = snapshots_dir(collection);
    if !dir.is_dir() {
        return Ok(());
    }
    // Whoever renamed one may have been killed before its name was durable: the
    // former name must not come back to a folder that is half empty.
    sync_dir(&dir)?;
    for path in disk::list(&dir)? {
        if path.to_string_lossy().ends_with(NEW) {
            remove_dir(&path)?;
        }
    }
    Ok(())
}
