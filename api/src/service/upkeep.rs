//! How does the house stay in order while it is used?
//!
//! A write that does not wait to be seen is seen after the next
//! [`Service::refresh`], which a server calls every second. What opening would
//! have to replay is written down by [`Service::checkpoint`].

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use cento_core::CollectionName;
use cento_index::{Counts, Engine, Freezing, Projection, SalvageReport};
use cento_ingest::fit_if_due;

use super::{Service, locked};
use crate::Problem;
use crate::types::{AuditResult, RebuildResult, Recovered, Wait};

/// What is known of a collection that was opened.
pub(super) struct Upkeep {
    /// The engine that this was noted of: another one is noted anew.
    engine: Weak<Engine>,
    pub(super) counts: Counts,
    /// Whether something was written that may not be seen yet.
    is_unseen: bool,
    /// Whether something was written since the last checkpoint.
    is_unchecked: bool,
    /// Whether its files are still to be read through.
    is_unread: bool,
    /// Whether something was written, or it was opened, since it was last
    /// looked at whether its log is to be compacted.
    is_uncompacted: bool,
    /// Whether something was written since it was last looked at whether its model
    /// is to be fitted to it.
    is_unfitted: bool,
    /// Why it takes no writes any more.
    stopped: Option<String>,
}

/// Something that is to be done for a collection.
type Mark = fn(&mut Upkeep) -> &mut bool;

const UNSEEN: Mark = |upkeep| &mut upkeep.is_unseen;
const UNCHECKED: Mark = |upkeep| &mut upkeep.is_unchecked;
const UNREAD: Mark = |upkeep| &mut upkeep.is_unread;
const UNCOMPACTED: Mark = |upkeep| &mut upkeep.is_uncompacted;
const UNFITTED: Mark = |upkeep| &mut upkeep.is_unfitted;

/// How long a refresh tries to get at writers that are busy. Commits that follow
/// each other leave room between them soon; a purge does not.
const BUSY_PATIENCE: Duration = Duration::from_millis(100);

impl Service {
    /// Compares a collection's projections with its log. Writing waits while it
    /// runs.
    ///
    /// # Errors
    /// `unknown_collection`; `log_damaged` if the log itself cannot be read.
    pub fn audit(&self, name: &CollectionName) -> Result<AuditResult, Problem> {
        let engine = self.engine(name)?;
        let report = engine.audit()?;
        Ok(AuditResult {
            collection: name.clone(),
            clean: report.is_clean(),
            recovered: Recovered::from(engine.recovery()),
            report,
        })
    }

    /// Throws a collection's projections away, or one of them, and makes them
    /// anew from its log. Requests for it are turned away meanwhile.
    ///
    /// # Errors
    /// `unknown_collection`; `collection_in_use` if a request is under way that
    /// does not end soon.
    pub fn rebuild(
        &self,
        name: &CollectionName,
        only: Option<Projection>,
    ) -> Result<RebuildResult, Problem> {
        let begun = Instant::now();
        let which = only.map_or(Projection::ALL.to_vec(), |one| vec![one]);
        let engine = self.alone(name, || {
            let engine = self.store.rebuild(name, &which)?;
            engine.checkpoint()?;
            Ok(engine)
        })?;
        self.note_closed(name);
        self.note_opened(name, &engine);
        let counts = engine.view().counts();
        Ok(RebuildResult {
            collection: name.clone(),
            documents: counts.documents,
            chunks: counts.chunks,
            writes: engine.recovery().replayed,
            elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Opens collections, as many as stay open, so that the first query need
    /// not. What cannot be opened is told to the log.
    pub fn warm_up(&self) {
        let names = self.store.collections().unwrap_or_default();
        for name in names.into_iter().take(self.store.most_open()) {
            let warmed = self
                .engine(&name)
                .and_then(|engine| self.embedders.of_view(&name, &engine.view()).map(|_| ()));
            if let Err(problem) = warmed {
                tracing::error!(collection = %name, %problem, "a collection cannot be opened");
            }
        }
    }

    /// Makes what was written since the last time visible. A collection whose
    /// writer is busy for long is left for the next time, so that it does not
    /// keep the others' writes from being seen.
    pub fn refresh(&self) {
        let mut busy = self.take_open(UNSEEN);
        let deadline = Instant::now() + BUSY_PATIENCE;
        loop {
            busy.retain(|(name, engine)| {
                let was_freezing = engine.is_freezing();
                match engine.try_refresh() {
                    Ok(None) => true,
                    result => {
                        self.note_state(name, engine, result.map(drop));
                        // What is being frozen is seen and written down in its turn.
                        if was_freezing || engine.is_freezing() {
                            self.mark(name, UNCHECKED);
                        }
                        if engine.is_freezing() {
                            self.mark(name, UNSEEN);
                        }
                        false
                    }
                }
            });
            if busy.is_empty() {
                return;
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        for (name, _) in busy {
            self.mark(&name, UNSEEN);
        }
    }

    /// Writes down what opening would otherwise have to replay, for every
    /// collection written to since the last time.
    pub fn checkpoint(&self) {
        for (name, engine) in self.take_open(UNCHECKED) {
            let result = engine.checkpoint();
            tell_failure(&name, engine.freezing_failure());
            self.note_state(&name, &engine, result);
        }
    }

    /// Waits until new vectors of a collection are frozen, as far as they are to
    /// be, and writes all down. `goes_on` is told now and then how far it is, and ends
    /// the waiting by returning false.
    pub fn settle(
        &self,
        name: &CollectionName,
        goes_on: impl FnMut(Freezing) -> bool,
    ) -> Result<(), Problem> {
        tell_failure(name, self.engine(name)?.settle_while(goes_on)?);
        Ok(())
    }

    /// Reads through the files of every collection that was opened since the
    /// last time, and tells the log which bytes are not what was written. `rest`
    /// is called with the bytes that were read, may sleep, and ends it by
    /// returning false.
    pub fn scrub(&self, rest: &mut dyn FnMut(u64) -> bool) {
        for name in self.take(UNREAD) {
            let Some(engine) = self.engine_or_mark(&name, UNREAD) else {
                continue;
            };
            let mut is_cut_off = false;
            let scrubbed = engine.scrub(|bytes| {
                // Whoever wants the collection for himself does not wait.
                is_cut_off = !rest(bytes) || self.is_closed(&name);
                !is_cut_off
            });
            if is_cut_off {
                self.mark(&name, UNREAD);
            }
            match scrubbed {
                Ok(report) if report.damaged.is_empty() => {
                    let (segments, bytes) = (report.segments, report.bytes);
                    tracing::debug!(collection = %name, segments, bytes, "read through");
                }
                Ok(report) => {
                    tracing::error!(collection = %name, files = ?report.damaged, "the text projection is damaged: rebuild it");
                }
                Err(error) => {
                    tracing::error!(collection = %name, %error, "bytes on the disk have changed: go back to a snapshot, or stop the server and salvage");
                }
            }
        }
    }

    /// Saves what is whole of a collection's damaged log.
    ///
    /// # Errors
    /// `unknown_collection`; `collection_in_use` if a request is under way that
    /// does not end soon.
    pub fn salvage(&self, name: &CollectionName) -> Result<SalvageReport, Problem> {
        let (engine, report) = self.alone(name, || self.store.salvage(name))?;
        self.note_closed(name);
        self.note_opened(name, &engine);
        Ok(report)
    }

    /// Collections that take no writes any more, and why, as of the last
    /// refresh.
    pub fn stopped(&self) -> Vec<(CollectionName, String)> {
        let upkeep = locked(&self.upkeep);
        let stopped = upkeep.iter().filter_map(|(name, upkeep)| {
            let reason = upkeep.stopped.clone()?;
            Some((name.clone(), reason))
        });
        stopped.collect()
    }

    /// Compacts every collection written to since the last time, where at least
    /// this share of the closed part of its log is dead and that part is this
    /// long. What fails is told to the log.
    pub fn compact_where_due(&self, dead: f64, bytes: u64) {
        for name in self.take(UNCOMPACTED) {
            let Some(engine) = self.engine_or_mark(&name, UNCOMPACTED) else {
                continue;
            };
            let compacted = engine.is_compactable(dead, bytes).and_then(|is_due| {
                // The open segment can wait until it is closed.
                is_due.then(|| engine.compact_closed(dead)).transpose()
            });
            match compacted {
                Ok(None) => {}
                Ok(Some(report)) => tracing::info!(
                    collection = %name,
                    before = report.bytes_before,
                    after = report.bytes_after,
                    "a log was compacted"
                ),
                Err(error) => {
                    tracing::warn!(collection = %name, %error, "a log could not be compacted");
                }
            }
        }
    }

    /// Fits the models of collections to them, where that is due, of every one written
    /// to since the last time. What fails is told to the log, and tried again after
    /// the next write.
    pub fn fit_where_due(&self) {
        for (name, engine) in self.take_open(UNFITTED) {
            let fit = || -> Result<bool, Problem> {
                // What was written is looked at, or the next time.
                if engine.try_refresh()?.is_none() {
                    self.mark(&name, UNFITTED);
                    return Ok(false);
                }
                let embedder = self.embedders.of_settings(&name, &engine.settings())?;
                Ok(fit_if_due(&engine, &*embedder)?.is_some())
            };
            match fit() {
                Ok(false) => {}
                Ok(true) => {
                    self.note_written(&name);
                    tracing::info!(collection = %name, "its model was fitted to it");
                }
                Err(problem) => {
                    tracing::warn!(collection = %name, %problem, "its model could not be fitted to it");
                }
            }
        }
    }

    /// The collections that are marked; they are not from then on.
    fn take(&self, mark: Mark) -> Vec<CollectionName> {
        let mut upkeep = locked(&self.upkeep);
        let marked = upkeep
            .iter_mut()
            .filter_map(|(name, upkeep)| std::mem::take(mark(upkeep)).then_some(name));
        marked.cloned().collect()
    }

    /// The same with their engines, where they are open: opening and closing see
    /// to what is to be done otherwise.
    fn take_open(&self, mark: Mark) -> Vec<(CollectionName, Arc<Engine>)> {
        let marked = self.take(mark).into_iter().filter_map(|name| {
            if self.is_closed(&name) {
                // If that comes to nothing, it is still to be done.
                self.mark(&name, mark);
                return None;
            }
            let engine = self.store.open_collection(&name)?;
            Some((name, engine))
        });
        marked.collect()
    }

    /// A collection's engine; the collection is marked again if it is being
    /// deleted or rebuilt, which may come to nothing.
    fn engine_or_mark(&self, name: &CollectionName, mark: Mark) -> Option<Arc<Engine>> {
        let engine = self.engine(name);
        if let Err(problem) = &engine
            && problem.code == "collection_in_use"
        {
            self.mark(name, mark);
        }
        engine.ok()
    }

    fn mark(&self, name: &CollectionName, mark: Mark) {
        if let Some(upkeep) = locked(&self.upkeep).get_mut(name) {
            *mark(upkeep) = true;
        }
    }

    /// Forgets a collection whose engine was closed, unless another one was
    /// opened under its name meanwhile.
    pub(super) fn note_closed(&self, name: &CollectionName) {
        let mut upkeep = locked(&self.upkeep);
        let is_gone = |upkeep: &Upkeep| upkeep.engine.strong_count() == 0;
        if upkeep.get(name).is_some_and(is_gone) {
            upkeep.remove(name);
        }
    }

    /// Notes a collection that was opened, and tells the log what had to be
    /// mended, once for each opening.
    pub(super) fn note_opened(&self, name: &CollectionName, engine: &Arc<Engine>) {
        let mut upkeep = locked(&self.upkeep);
        let before = upkeep.get(name);
        if before.is_some_and(|before| std::ptr::eq(before.engine.as_ptr(), &**engine)) {
            return;
        }
        // Opened again because it had to make room for others: its files were
        // read through, and looked at, when it was opened first.
        let is_unread = before.is_none_or(|before| before.is_unread);
        let is_uncompacted = before.is_none_or(|before| before.is_uncompacted);
        let recovery = engine.recovery();
        for projection in &recovery.remade {
            tracing::warn!(collection = %name, projection, "a projection could not be used and was made anew from the log");
        }
        if recovery.cut_bytes > 0 {
            tracing::warn!(collection = %name, bytes = recovery.cut_bytes, "a write that was never acknowledged was cut off");
        }
        if recovery.manifest_healed {
            tracing::warn!(collection = %name, "the manifest was damaged and taken from its copy");
        }
        for (sequence, why) in &recovery.skipped {
            tracing::error!(collection = %name, %sequence, why, "a write of the log could not be applied");
        }
        let counts = engine.view().counts();
        upkeep.insert(
            name.clone(),
            Upkeep {
                engine: Arc::downgrade(engine),
                counts,
                is_unseen: engine.is_freezing(),
                is_unchecked: false,
                is_unread,
                is_uncompacted,
                is_unfitted: true,
                stopped: None,
            },
        );
    }

    /// Notes that a collection is written to.
    pub(super) fn note_written(&self, name: &CollectionName) {
        if let Some(upkeep) = locked(&self.upkeep).get_mut(name) {
            upkeep.is_unseen = true;
            upkeep.is_unchecked = true;
            upkeep.is_uncompacted = true;
            upkeep.is_unfitted = true;
        }
    }

    /// Ends a write: now, or when it can be seen.
    pub(super) fn finish_write(
        &self,
        name: &CollectionName,
        engine: &Arc<Engine>,
        wait: Wait,
    ) -> Result<(), Problem> {
        self.note_written(name);
        if wait == Wait::Visible {
            engine.refresh()?;
        }
        Ok(())
    }

    fn note_state<E: std::fmt::Display>(
        &self,
        name: &CollectionName,
        engine: &Engine,
        result: Result<(), E>,
    ) {
        let counts = engine.view().counts();
        let stopped = result.err().map(|error| error.to_string());
        let mut upkeep = locked(&self.upkeep);
        let Some(upkeep) = upkeep.get_mut(name) else {
            return;
        };
        if let Some(reason) = &stopped
            && upkeep.stopped.is_none()
        {
            tracing::error!(collection = %name, reason, "a collection takes no writes any more");
        }
        upkeep.counts = counts;
        upkeep.stopped = stopped;
    }
}

/// Nothing is lost by it, but queries take longer.
fn tell_failure(name: &CollectionName, failure: Option<String>) {
    if let Some(reason) = failure {
        tracing::warn!(collection = %name, reason, "vectors could not be frozen; they are compared one by one");
    }
}
