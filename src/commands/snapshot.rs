//! `cento snapshot`: how is a moment kept, gone back to, and carried elsewhere?

use std::process::ExitCode;

use cento_api::types::{CollectionInfo, NewSnapshot};
use cento_api::{ArchivePlace, Problem, download};
use cento_core::CollectionName;
use cento_index::SnapshotInfo;
use serde_json::json;

use super::Outcome;
use crate::args::SnapshotCommand;
use crate::target::{Exported, Place, Target, name};
use crate::transfer::{INTERRUPTED, Stoppable};
use crate::{interrupt, output};

pub(crate) fn run(place: &Place, command: SnapshotCommand, json: bool) -> Outcome {
    match command {
        SnapshotCommand::Create { id, collection } => {
            let (target, name) = existing(place, &collection.collection)?;
            let made = target.create_snapshot(&name, &NewSnapshot { id })?;
            tell(&made, "kept", json);
        }
        SnapshotCommand::List { collection } => {
            let (target, name) = existing(place, &collection.collection)?;
            let list = target.snapshots(&name)?;
            if json {
                output::json(&list);
                return Ok(ExitCode::SUCCESS);
            }
            if list.snapshots.is_empty() {
                output::note("no snapshots; `cento snapshot create` makes one");
            }
            for info in &list.snapshots {
                output::line(line(info));
            }
        }
        SnapshotCommand::Restore { id, collection } => {
            let (target, name) = existing(place, &collection.collection)?;
            let restored = target.restore_snapshot(&name, &id)?;
            tell(&restored, "restored", json);
        }
        SnapshotCommand::Delete { id, collection } => {
            let (target, name) = existing(place, &collection.collection)?;
            target.delete_snapshot(&name, &id)?;
            if json {
                output::json(&json!({ "snapshot": id, "deleted": true }));
            } else {
                output::line(format_args!("deleted snapshot {id} of '{name}'"));
            }
        }
        SnapshotCommand::Export { id, collection, to } => {
            let to = ArchivePlace::parse(&to)?;
            let (target, name) = existing(place, &collection.collection)?;
            let stop = interrupt::listen();
            let exported = target.export_snapshot(&name, id.as_deref(), &to, stop);
            return told(exported, json, |exported| {
                tell_export(&name, &exported, json);
            });
        }
        SnapshotCommand::Import { collection, from } => {
            let inner = download(&ArchivePlace::parse(&from)?)?;
            let name = name(&collection.collection)?;
            let target = Target::any(place)?;
            let stop = interrupt::listen();
            let made = target.import_collection(&name, &mut Stoppable { inner, stop });
            return told(made, json, |made| imported(&made, json));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn existing(place: &Place, collection: &str) -> Result<(Target, CollectionName), Problem> {
    let target = Target::existing(place)?;
    let name = name(collection)?;
    target.tell_recovery(&name)?;
    Ok((target, name))
}

/// Tells what became of a transfer. One that was ended from outside has taken
/// back what it had done, and ends as other interrupted commands do.
fn told<T>(result: Result<T, Problem>, json: bool, tell: impl FnOnce(T)) -> Outcome {
    match result {
        Ok(done) => {
            tell(done);
            Ok(ExitCode::SUCCESS)
        }
        Err(problem) if problem.code == INTERRUPTED => {
            output::fail(&problem, json);
            Ok(output::interrupted())
        }
        Err(problem) => Err(problem),
    }
}

fn tell_export(name: &CollectionName, exported: &Exported, json: bool) {
    if json {
        output::json(&json!({
            "snapshot": exported.snapshot,
            "to": exported.to.to_string(),
            "bytes": exported.bytes,
        }));
    } else {
        output::line(format_args!(
            "exported snapshot {} of '{name}' to {} ({})",
            exported.snapshot,
            exported.to,
            output::bytes(exported.bytes)
        ));
    }
}

fn imported(made: &CollectionInfo, json: bool) {
    if json {
        return output::json(made);
    }
    output::line(format_args!(
        "imported '{}': {} documents, {} chunks, log at {}",
        made.name, made.documents, made.chunks, made.sequence
    ));
}

fn tell(info: &SnapshotInfo, what: &str, json: bool) {
    if json {
        output::json(info);
    } else {
        output::line(format_args!("{what}: {}", line(info)));
    }
}

fn line(info: &SnapshotInfo) -> String {
    format!(
        "{}  log at {}, {} documents, {} chunks, {}",
        info.id,
        info.sequence,
        info.documents,
        info.chunks,
        output::bytes(info.bytes)
    )
}
