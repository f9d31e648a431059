//! What does the writer keep of a generation that follows the log?

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};

use cento_core::{GenerationNo, Sequence};
use roaring::RoaringTreemap;

use crate::catalog::{Retired, Standing};
use crate::disk::remove_dir;
use crate::log::{Log, Logged, Segments};
use crate::log_record::Record;
use crate::manifest::{GenerationEntry, Manifest};
use crate::projections::{Projection, Projections, Recovery, Stored, generation_dir};
use crate::settings::StoreOptions;
use crate::vectors::Allowed;
use crate::view::{View, ViewParts};
use crate::{CollectionSettings, IndexError, fault};

/// A generation that is open: its projections, and what follows from them.
pub(crate) struct OpenGeneration {
    pub(crate) number: GenerationNo,
    pub(crate) settings: Arc<CollectionSettings>,
    pub(crate) projections: Projections,
    /// The chunks of all documents, as of the last write.
    pub(crate) live: RoaringTreemap,
    documents: u64,
    retired: Vec<Retired>,
    views: Vec<Weak<View>>,
}

fn follow_log(
    projections: &mut Projections,
    log: &Log,
    follow: &Follow,
) -> Result<Recovery, IndexError> {
    let from = projections.least_applied();
    let acknowledged = projections.most_applied();
    let segments = log.segments();
    let mut mended = Recovery::default();
    let visit = |logged: Logged<'_>| projections.replay(&logged, &segments, &mut mended);
    match follow {
        Follow::Recover => {
            mended.cut_bytes = log.recover(from, acknowledged, visit)?;
            let (last, end) = log.end();
            projections.advance(last, end)?;
        }
        Follow::Scan => {
            let start = segments.start_after(from.sequence, from.position);
            let end = segments.scan(start, visit)?;
            // Not the log's end: it may have grown since.
            projections.advance(end.last.unwrap_or(from.sequence), end.position)?;
        }
    }
    Ok(mended)
}

/// How a generation comes to the log's end.
pub(crate) enum Follow {
    /// It is the first to be opened: it finds the end for all.
    Recover,
    /// The log is open already.
    Scan,
}

impl OpenGeneration {
    /// Opens a generation and brings it to the end of the log. A projection
    /// that cannot follow is thrown away, once, and made anew.
    pub(crate) fn open(
        collection: &Path,
        entry: &GenerationEntry,
        manifest: &Manifest,
        log: &Log,
        follow: &Follow,
        options: &StoreOptions,
        recovery: &mut Recovery,
    ) -> Result<Self, IndexError> {
        let dir = generation_dir(collection, entry.folder);
        let mut thrown_away = BTreeSet::new();
        loop {
            let opened = catch_unwind(AssertUnwindSafe(|| {
                Self::try_open(&dir, entry, manifest, log, follow, options, recovery)
            }));
            let broken = match opened {
                Ok(Err(IndexError::Projection { projection, .. }))
                    if !thrown_away.contains(projection) =>
                {
                    vec![projection]
                }
                // A library panicked on bytes that it did not write; which of
                // the three, nobody can tell.
                Err(_) if thrown_away.len() < Projection::ALL.len() => {
                    Projection::ALL.map(Projection::name).to_vec()
                }
                Err(_) => {
                    return Err(IndexError::Projection {
                        projection: "generation",
                        reason: "a library panicked while opening it".to_owned(),
                    });
                }
                Ok(opened) => return opened,
            };
            for projection in broken {
                remove_dir(&dir.join(projection))?;
                thrown_away.insert(projection);
                recovery.remade.push(projection);
            }
        }
    }

    fn try_open(
        dir: &Path,
        entry: &GenerationEntry,
        manifest: &Manifest,
        log: &Log,
        follow: &Follow,
        options: &StoreOptions,
        recovery: &mut Recovery,
    ) -> Result<Self, IndexError> {
        let (mut projections, remade) = Projections::open(dir, entry, manifest, options)?;
        for name in remade {
            if !recovery.remade.contains(&name) {
                recovery.remade.push(name);
            }
        }
        let mended = follow_log(&mut projections, log, follow)?;
        recovery.cut_bytes += mended.cut_bytes;
        recovery.replayed += mended.replayed;
        recovery.skipped.extend(mended.skipped);
        let (live, documents) = projections.catalog.sweep()?;
        Ok(Self {
            number: entry.number,
            settings: Arc::new(entry.settings.clone()),
            projections,
            live,
            documents,
            retired: Vec::new(),
            views: Vec::new(),
        })
    }

    /// Follows a log once more, when it has grown while nobody applied it here.
    pub(crate) fn follow(&mut self, log: &Log, follow: &Follow) -> Result<(), IndexError> {
        follow_log(&mut self.projections, log, follow)?;
        (self.live, self.documents) = self.projections.catalog.sweep()?;
        self.retired.clear();
        Ok(())
    }

    /// Notes in the manifest what the log may not tell any more once compaction
    /// has dropped what does not stand: the types of fields, and the numbers
    /// that chunks have had, of which the other projections may still hold rows.
    pub(crate) fn note_in(&self, manifest: &mut Manifest) {
        if let Some(entry) = manifest.generation_mut(self.number) {
            let state = &self.projections.state;
            entry.next_chunk = state.next_chunk;
            entry.fields = state.fields.clone();
        }
    }

    /// Enters a record that is on the disk.
    pub(crate) fn apply(
        &mut self,
        record: &Record,
        stored: &Stored,
        segments: &Segments,
    ) -> Result<(), IndexError> {
        let Some(id) = record.id() else {
            self.projections.apply(record, stored, segments)?;
            return Ok(());
        };
        let catalog = Arc::clone(&self.projections.catalog);
        let newest = || catalog.newest(id, Sequence(u64::MAX));
        let before = newest()?;
        let former = match before {
            Some((_, Standing::Version(first))) => catalog.version_of(first)?,
            _ => None,
        };
        self.projections.apply(record, stored, segments)?;
        let after = newest()?;
        if after == before {
            return Ok(());
        }
        if let Some(version) = former {
            self.live.remove_range(version.numbers());
            self.documents -= 1;
        }
        if let Some((sequence, standing)) = before {
            self.retired.push(Retired {
                id: id.clone(),
                sequence,
                standing,
                by: record.sequence,
            });
        }
        if let Some((_, Standing::Version(first))) = after
            && let Some(version) = catalog.version_of(first)?
        {
            self.live.insert_range(version.numbers());
            self.documents += 1;
        }
        Ok(())
    }

    /// Makes every write so far visible.
    pub(crate) fn publish(&mut self, segments: &Arc<Segments>) -> Result<Arc<View>, IndexError> {
        let applied = self.projections.applied();
        let text = self.projections.text.publish(applied)?;
        let vectors = self.projections.vectors.publish(&self.live);
        let former = self.views.iter().rev().find_map(Weak::upgrade);
        let mut live = match former {
            Some(former) => Allowed::after(former.shown(), self.live.clone()),
            None => Allowed::new(self.live.clone()),
        };
        live.keep(|identity| vectors.has(identity));
        let view = Arc::new(View::new(ViewParts {
            sequence: applied.sequence,
            generation: self.number,
            settings: Arc::clone(&self.settings),
            fields: self.projections.state.fields.clone(),
            fitted: self.projections.state.fitted,
            documents: self.documents,
            text,
            vectors,
            live: Arc::new(live),
            catalog: Arc::clone(&self.projections.catalog),
            segments: Arc::clone(segments),
        }));
        self.views.retain(|view| view.strong_count() > 0);
        self.views.push(Arc::downgrade(&view));
        Ok(view)
    }

    /// Whether somebody holds a view of it, beside the engine itself.
    pub(crate) fn is_read(&self, current: &Arc<View>) -> bool {
        let mut held = self.views.iter().filter_map(Weak::upgrade);
        // The engine's own, the caller's, and the one just made to count.
        held.any(|view| !Arc::ptr_eq(&view, current) || Arc::strong_count(&view) > 3)
    }

    /// Erases the catalog's rows that no living view can ask for.
    pub(crate) fn erase_unseen(&mut self) -> Result<(), IndexError> {
        let oldest = self
            .views
            .iter()
            .filter_map(Weak::upgrade)
            .map(|view| view.sequence())
            .min();
        let (unseen, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|row| oldest.is_none_or(|oldest| row.by <= oldest));
        self.retired = kept;
        self.projections.catalog.erase(&unseen)
    }

    /// Writes down all that opening would otherwise have to replay.
    pub(crate) fn checkpoint(&mut self) -> Result<(), IndexError> {
        let applied = self.projections.applied();
        self.projections.vectors.checkpoint(applied, &self.live)?;
        fault::point("checkpoint.vectors_saved");
        self.projections.text.checkpoint(applied)?;
        fault::point("checkpoint.merges_ended");
        self.projections.catalog.flush()?;
        fault::point("checkpoint.catalog_flushed");
        Ok(())
    }
}
