//! How is a moment kept, gone back to, and carried elsewhere; and how does
//! space return?

use std::io::{Read, Write};
use std::path::PathBuf;

use cento_core::CollectionName;
use cento_index::archive::{self, ArchiveAbout, ArchiveSummary};
use cento_index::{CompactionReport, PurgeReport, SnapshotInfo};
use cento_ingest::fit_anew;

use super::Service;
use super::collections::info;
use crate::Problem;
use crate::types::{CollectionInfo, NewSnapshot, Purge, SnapshotList};

/// A snapshot that is to be exported.
pub struct Export {
    dir: PathBuf,
    /// What the archive will say of itself.
    pub about: ArchiveAbout,
    /// How long it will be.
    pub bytes: u64,
}

impl Export {
    /// Writes the archive.
    ///
    /// # Errors
    /// `snapshot_not_exportable`, and what the other side says.
    pub fn write(&self, out: &mut dyn Write) -> Result<ArchiveSummary, Problem> {
        Ok(archive::export(&self.dir, &self.about, out)?)
    }
}

impl Service {
    /// Keeps this moment of a collection: every write that was acknowledged
    /// before is in it.
    ///
    /// # Errors
    /// `unknown_collection`; `invalid_snapshot_name` if there is one of this
    /// name, or none can be called so.
    pub fn create_snapshot(
        &self,
        name: &CollectionName,
        new: &NewSnapshot,
    ) -> Result<SnapshotInfo, Problem> {
        Ok(self.engine(name)?.create_snapshot(new.id.as_deref())?)
    }

    /// A collection's snapshots, oldest first.
    ///
    /// # Errors
    /// `unknown_collection`.
    pub fn snapshots(&self, name: &CollectionName) -> Result<SnapshotList, Problem> {
        Ok(SnapshotList {
            snapshots: self.engine(name)?.snapshots()?,
        })
    }

    /// Goes back to a snapshot: what was written since is gone, and so are
    /// other generations.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_snapshot`; `log_damaged` if a file of it
    /// is not what was kept, and then nothing has changed.
    pub fn restore_snapshot(
        &self,
        name: &CollectionName,
        id: &str,
    ) -> Result<SnapshotInfo, Problem> {
        let engine = self.engine(name)?;
        let restored = engine.restore_snapshot(id)?;
        self.note_written(name);
        Ok(restored)
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_snapshot`.
    pub fn delete_snapshot(&self, name: &CollectionName, id: &str) -> Result<(), Problem> {
        Ok(self.engine(name)?.delete_snapshot(id)?)
    }

    /// A snapshot, ready to be written as one archive; the newest if none is
    /// named.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_snapshot`, `snapshot_not_exportable`.
    pub fn export_snapshot(
        &self,
        name: &CollectionName,
        id: Option<&str>,
    ) -> Result<Export, Problem> {
        let engine = self.engine(name)?;
        let snapshots = engine.snapshots()?;
        let info = match id {
            Some(id) => snapshots.iter().find(|info| info.id == id),
            None => snapshots.last(),
        };
        if snapshots.is_empty() {
            return Err(no_snapshots(name));
        }
        let Some(info) = info else {
            // The engine says what there is.
            let problem = engine.snapshot_path(id.unwrap_or("newest")).err();
            return Err(problem.map_or_else(gone, Problem::from));
        };
        let dir = engine.snapshot_path(&info.id)?;
        let about = ArchiveAbout {
            collection: name.clone(),
            snapshot: info.id.clone(),
            created: info.created,
        };
        let bytes = archive::archive_bytes(&dir, &about)?;
        Ok(Export { dir, about, bytes })
    }

    /// Makes a collection from the archive of a snapshot: whole, or not at all.
    ///
    /// # Errors
    /// `collection_exists`; `archive_invalid` if it is not one whole archive;
    /// `model_not_allowed` if it was embedded by a model that is not offered
    /// here.
    pub fn import_collection(
        &self,
        name: &CollectionName,
        archive: &mut dyn Read,
    ) -> Result<CollectionInfo, Problem> {
        // The name of a model may be a path: it must not come from elsewhere,
        // and no query may see the collection before that is known.
        let (engine, about) = self.store.import(name, archive, |generations| {
            let mut models = generations.iter().map(|settings| &settings.model);
            models.try_for_each(|model| self.embedders.models.allow(model))
        })?;
        tracing::info!(collection = %name, from = %about.collection, snapshot = about.snapshot, "imported");
        self.note_opened(name, &engine);
        Ok(info(name, &engine))
    }

    /// Gives back the space of what was replaced and deleted, where at least
    /// this share (0 to 1) of a closed segment of the log is dead.
    ///
    /// # Errors
    /// `unknown_collection`.
    pub fn compact(&self, name: &CollectionName, dead: f64) -> Result<CompactionReport, Problem> {
        Ok(self.engine(name)?.compact(dead)?)
    }

    /// Removes deleted content for good, and says what still holds some.
    ///
    /// # Errors
    /// `unknown_collection`; `generation_building`: let it finish, or drop it.
    pub fn purge(&self, name: &CollectionName, what: Purge) -> Result<PurgeReport, Problem> {
        let engine = self.engine(name)?;
        // What was learned from texts that are gone goes, too; all of it, if the model
        // is not there to learn anew.
        let embedder = self
            .embedders
            .of_settings(name, engine.refresh()?.settings());
        fit_anew(&engine, embedder.ok().as_deref())?;
        // Vectors of texts say much of them: it is not known whose they are, so all go.
        self.embedders.forget_texts()?;
        let report = engine.purge(what.snapshots)?;
        self.note_written(name);
        Ok(report)
    }
}

fn no_snapshots(name: &CollectionName) -> Problem {
    let detail = format!("collection '{name}' has no snapshots");
    Problem::new("unknown_snapshot", 404, detail).with_help("`cento snapshot create` makes one")
}

fn gone() -> Problem {
    Problem::new(
        "unknown_snapshot",
        404,
        "there is no such snapshot any more",
    )
}
