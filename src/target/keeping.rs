//! Who keeps a collection: its snapshots, its generations and its space?

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use cento_api::types::{
    CollectionInfo, GenerationList, NewSnapshot, Purge, Reindex, ReindexEvent, SnapshotList,
};
use cento_api::{ArchivePlace, Problem, archive_name, upload};
use cento_core::{CollectionName, GenerationNo};
use cento_index::archive::ArchiveAbout;
use cento_index::{CompactionReport, IndexError, PurgeReport, SnapshotInfo};
use cento_ingest::{Estimate, ReindexReport, ReindexStep};
use serde_json::json;

use super::{Target, path};
use crate::client::segment;
use crate::transfer::{self, Stoppable, cut_off};

/// Where an archive went.
pub(crate) struct Exported {
    pub(crate) snapshot: String,
    pub(crate) to: ArchivePlace,
    pub(crate) bytes: u64,
}

impl Target {
    /// Keeps this moment of a collection.
    pub(crate) fn create_snapshot(
        &self,
        name: &CollectionName,
        new: &NewSnapshot,
    ) -> Result<SnapshotInfo, Problem> {
        match self {
            Self::Here(service) => service.create_snapshot(name, new),
            Self::There(client) => client.post(&path(name, "/snapshots"), new),
        }
    }

    /// A collection's snapshots.
    pub(crate) fn snapshots(&self, name: &CollectionName) -> Result<SnapshotList, Problem> {
        match self {
            Self::Here(service) => service.snapshots(name),
            Self::There(client) => client.get(&path(name, "/snapshots")),
        }
    }

    /// Goes back to a snapshot.
    pub(crate) fn restore_snapshot(
        &self,
        name: &CollectionName,
        id: &str,
    ) -> Result<SnapshotInfo, Problem> {
        match self {
            Self::Here(service) => service.restore_snapshot(name, id),
            Self::There(client) => {
                let below = format!("/snapshots/{}/restore", segment(id));
                client.post(&path(name, &below), &json!({}))
            }
        }
    }

    /// Deletes a snapshot.
    pub(crate) fn delete_snapshot(&self, name: &CollectionName, id: &str) -> Result<(), Problem> {
        match self {
            Self::Here(service) => service.delete_snapshot(name, id),
            Self::There(client) => {
                client.delete(&path(name, &format!("/snapshots/{}", segment(id))))
            }
        }
    }

    /// Writes a snapshot's archive to a place: the newest one's if none is
    /// named. What comes from a server goes there directly.
    pub(crate) fn export_snapshot(
        &self,
        name: &CollectionName,
        id: Option<&str>,
        to: &ArchivePlace,
        stop: &AtomicBool,
    ) -> Result<Exported, Problem> {
        let client = match self {
            Self::Here(service) => {
                let export = service.export_snapshot(name, id)?;
                let to = to.or_below(&archive_name(&export.about));
                let summary = upload(&to, export.bytes, |inner| {
                    export.write(&mut Stoppable { inner, stop })
                })?;
                return Ok(Exported {
                    snapshot: export.about.snapshot,
                    to,
                    bytes: summary.archive_bytes,
                });
            }
            Self::There(client) => client,
        };
        let list = self.snapshots(name)?.snapshots;
        let known = match id {
            Some(id) => list.into_iter().find(|info| info.id == id),
            None => list.into_iter().next_back(),
        };
        // The server says what there is if it is not there.
        let about = ArchiveAbout {
            collection: name.clone(),
            created: known.as_ref().map_or(0, |info| info.created),
            snapshot: match (known, id) {
                (Some(info), _) => info.id,
                (None, id) => id.unwrap_or("newest").to_owned(),
            },
        };
        let below = format!("/snapshots/{}/archive", segment(&about.snapshot));
        let (bytes, mut archive) = client.download(&path(name, &below))?;
        let to = to.or_below(&archive_name(&about));
        let written = upload(&to, bytes, |inner| {
            let copied = io::copy(&mut archive, &mut Stoppable { inner, stop });
            match copied {
                Ok(copied) if copied == bytes => Ok(copied),
                Ok(copied) => Err(cut_off(format_args!(
                    "it ended after {copied} of {bytes} bytes"
                ))),
                Err(error) => Err(transfer::problem(&error)),
            }
        })?;
        Ok(Exported {
            snapshot: about.snapshot,
            to,
            bytes: written,
        })
    }

    /// Makes a collection from the archive of a snapshot.
    pub(crate) fn import_collection(
        &self,
        name: &CollectionName,
        archive: &mut (dyn Read + Send),
    ) -> Result<CollectionInfo, Problem> {
        match self {
            Self::Here(service) => service.import_collection(name, archive),
            Self::There(client) => {
                // A server that refuses at once does not read what is still
                // sent, and its answer is then lost on the way.
                match self.collection(name) {
                    Err(problem) if problem.code == "unknown_collection" => {}
                    Err(problem) => return Err(problem),
                    Ok(_) => {
                        return Err(IndexError::CollectionExists { name: name.clone() }.into());
                    }
                }
                client.send(&path(name, "/import"), "application/x-tar", archive)
            }
        }
    }

    /// A collection's configurations.
    pub(crate) fn generations(&self, name: &CollectionName) -> Result<GenerationList, Problem> {
        match self {
            Self::Here(service) => service.generations(name),
            Self::There(client) => client.get(&path(name, "/generations")),
        }
    }

    /// Gives up a former or a half-built generation.
    pub(crate) fn drop_generation(
        &self,
        name: &CollectionName,
        number: GenerationNo,
    ) -> Result<(), Problem> {
        match self {
            Self::Here(service) => service.drop_generation(name, number),
            Self::There(client) => client.delete(&path(name, &format!("/generations/{number}"))),
        }
    }

    /// What a reindexing will cost.
    pub(crate) fn estimate(
        &self,
        name: &CollectionName,
        asked: &Reindex,
    ) -> Result<Estimate, Problem> {
        match self {
            Self::Here(service) => service.estimate(name, asked),
            Self::There(client) => client.post(&path(name, "/reindex/estimate"), asked),
        }
    }

    /// Embeds and cuts a collection anew.
    pub(crate) fn reindex(
        &self,
        name: &CollectionName,
        asked: &Reindex,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&ReindexEvent),
    ) -> Result<ReindexReport, Problem> {
        match self {
            Self::Here(service) => {
                let report = service.reindex(name, asked, stop, &mut |step| told(&step, tell))?;
                service.engine(name)?.checkpoint()?;
                Ok(report)
            }
            Self::There(client) => {
                let mut follow = Follow::new(stop, tell);
                client.post_events(&path(name, "/reindex"), asked, &mut |event| {
                    follow.take(event)
                })?;
                follow.end(client.base())
            }
        }
    }

    /// Goes back to a former generation.
    pub(crate) fn rollback(
        &self,
        name: &CollectionName,
        number: GenerationNo,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&ReindexEvent),
    ) -> Result<ReindexReport, Problem> {
        match self {
            Self::Here(service) => {
                let mut tell = |step: ReindexStep<'_>| told(&step, tell);
                let report = service.rollback(name, Some(number), stop, &mut tell)?;
                service.engine(name)?.checkpoint()?;
                Ok(report)
            }
            Self::There(client) => {
                let mut follow = Follow::new(stop, tell);
                let below = format!("/generations/{number}/rollback");
                let nothing = json!({});
                client.post_events(&path(name, &below), &nothing, &mut |event| {
                    follow.take(event)
                })?;
                follow.end(client.base())
            }
        }
    }

    /// Gives back the space of what was replaced and deleted.
    pub(crate) fn compact(&self, name: &CollectionName) -> Result<CompactionReport, Problem> {
        match self {
            Self::Here(service) => service.compact(name, 0.0),
            Self::There(client) => client.post(&path(name, "/compact"), &json!({})),
        }
    }

    /// Removes deleted content for good.
    pub(crate) fn purge(&self, name: &CollectionName, what: Purge) -> Result<PurgeReport, Problem> {
        match self {
            Self::Here(service) => service.purge(name, what),
            Self::There(client) => client.post(&path(name, "/purge"), &what),
        }
    }
}

/// A step here, as a server would tell it.
fn told(step: &ReindexStep<'_>, tell: &mut dyn FnMut(&ReindexEvent)) {
    match step {
        ReindexStep::Started {
            generation,
            pending,
        } => tell(&ReindexEvent::Started {
            generation: *generation,
            pending: *pending,
        }),
        ReindexStep::Progress { report, pending } => tell(&ReindexEvent::Progress {
            documents: report.documents,
            chunks: report.chunks,
            pending: *pending,
        }),
        ReindexStep::Whole(failure) => tell(&ReindexEvent::Whole {
            failure: (*failure).clone(),
        }),
        _ => {}
    }
}

/// What a server has told so far.
struct Follow<'a> {
    stop: &'a AtomicBool,
    tell: &'a mut dyn FnMut(&ReindexEvent),
    report: ReindexReport,
    last: Option<Result<(), Problem>>,
}

impl<'a> Follow<'a> {
    fn new(stop: &'a AtomicBool, tell: &'a mut dyn FnMut(&ReindexEvent)) -> Self {
        Self {
            stop,
            tell,
            report: ReindexReport::default(),
            last: None,
        }
    }

    /// Takes an event; says whether to read on.
    fn take(&mut self, event: ReindexEvent) -> bool {
        (self.tell)(&event);
        match event {
            ReindexEvent::Started { generation, .. } => self.report.generation = generation,
            ReindexEvent::Progress {
                documents, chunks, ..
            } => {
                (self.report.documents, self.report.chunks) = (documents, chunks);
            }
            ReindexEvent::Whole { failure } => self.report.whole.push(failure),
            ReindexEvent::Done { report, .. } => {
                self.report = report;
                self.last = Some(Ok(()));
            }
            ReindexEvent::Error { problem } => self.last = Some(Err(problem.into())),
        }
        // The server notices that nobody reads any more, and stops.
        self.report.interrupted =
            self.last.is_none() && self.stop.load(std::sync::atomic::Ordering::Relaxed);
        !self.report.interrupted
    }

    fn end(self, base: &str) -> Result<ReindexReport, Problem> {
        match self.last {
            Some(Err(problem)) => Err(problem),
            Some(Ok(())) => Ok(self.report),
            None if self.report.interrupted => Ok(self.report),
            None => {
                let detail = format!("{base} ended before it was done");
                Err(Problem::new("server_unreachable", 502, detail)
                    .with_help("run it again to go on where it ended")
                    .retryable())
            }
        }
    }
}
