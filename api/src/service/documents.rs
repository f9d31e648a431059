//! How do documents come in, how are they shown, and how do they leave?

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;

use cento_core::{CollectionName, DocumentId, Filter, MetadataPatch, Sequence};
use cento_index::{
    Condition, DeleteOutcome, IndexError, NewPatch, PatchOutcome, StoredDocument, StoredOutline,
};
use cento_ingest::{Event, Failure, IngestError, Options, ProblemCode, Report, Source, ingest};
use serde_json::{Map, Value};

use super::{Opened, Service};
use crate::Problem;
use crate::types::{
    ChunkInfo, DeleteDocuments, DeleteResults, DocumentDetail, DocumentPage, DocumentSummary,
    PageQuery, PatchResult, PutDocuments, PutResult, PutResults, Wait,
};

impl Service {
    /// Ingests everything that the sources hold.
    ///
    /// # Errors
    /// `unknown_collection`, `model_mismatch`, and what [`ingest`] says.
    pub fn ingest(
        &self,
        name: &CollectionName,
        sources: Vec<Source>,
        options: &Options<'_>,
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, Problem> {
        self.ingest_into(&self.opened(name)?, sources, options, progress)
    }

    /// The same for a collection that is held already.
    pub(crate) fn ingest_into(
        &self,
        opened: &Opened,
        sources: Vec<Source>,
        options: &Options<'_>,
        progress: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report, Problem> {
        // Noted with each commit, and first too: what is committed is found while
        // a long stream goes on, and even if it fails.
        self.note_written(&opened.name);
        let mut noted = |event: Event<'_>| {
            if matches!(event, Event::Committed { .. }) {
                self.note_written(&opened.name);
            }
            progress(event);
        };
        let result = ingest(
            &opened.engine,
            &*opened.embedder,
            sources,
            options,
            &mut noted,
        );
        self.note_written(&opened.name);
        let is_changed = || opened.engine.view().generation() != opened.view.generation();
        match result {
            // Another generation came to serve in between.
            Err(IngestError::ModelMismatch { .. } | IngestError::ChunkingMismatch { .. })
                if is_changed() =>
            {
                let changed = IndexError::GenerationChanged {
                    made_for: opened.view.generation(),
                    serving: opened.engine.view().generation(),
                };
                Err(changed.into())
            }
            result => Ok(result?),
        }
    }

    /// Puts documents that are in memory; says of each what became of it.
    ///
    /// # Errors
    /// As [`Service::ingest`]. What was stored before an error stays.
    pub fn put_documents(
        &self,
        name: &CollectionName,
        put: &PutDocuments,
        max_document_bytes: u64,
        wait: Wait,
        stop: &AtomicBool,
    ) -> Result<PutResults, Problem> {
        let mut stored = HashMap::new();
        let mut once = || self.put_once(name, put, max_document_bytes, stop, &mut stored);
        let results = match once() {
            // They are at hand, to be made for the one that serves now.
            Err(problem) if problem.code == "generation_changed" => once(),
            result => result,
        }?;
        self.finish_write(name, &self.engine(name)?, wait)?;
        Ok(results)
    }

    /// `stored` has what this request stored before, and what it stores now.
    fn put_once(
        &self,
        name: &CollectionName,
        put: &PutDocuments,
        max_document_bytes: u64,
        stop: &AtomicBool,
        stored: &mut HashMap<DocumentId, Sequence>,
    ) -> Result<PutResults, Problem> {
        if put.documents.is_empty() {
            self.engine(name)?;
            return Ok(PutResults {
                stored: 0,
                unchanged: 0,
                failed: 0,
                results: Vec::new(),
            });
        }
        let mut lines = Vec::new();
        for document in &put.documents {
            serde_json::to_writer(&mut lines, document)
                .map_err(|error| Problem::new("internal", 500, error.to_string()))?;
            lines.push(b'\n');
        }
        let source = Source::Records {
            reader: Box::new(std::io::Cursor::new(lines)),
        };
        let options = Options {
            max_document_bytes,
            // Whoever waits for a few documents waits for no more than to see them.
            refresh: false,
            stop,
            ..Options::default()
        };
        let mut failures: HashMap<usize, Failure> = HashMap::new();
        let report = self.ingest(name, vec![source], &options, &mut |event| match event {
            Event::Committed { ids, sequence } => {
                // One batch is one write of consecutive sequences.
                let first = sequence.0 + 1 - ids.len() as u64;
                let numbered = (first..).zip(ids);
                stored.extend(numbered.map(|(number, id)| (id.clone(), Sequence(number))));
            }
            Event::Failed(failure) => {
                if let Some(line) = line_of(failure) {
                    failures.insert(line, failure.clone());
                }
            }
            _ => {}
        })?;
        if report.interrupted {
            return Err(interrupted());
        }
        let results = (1..).zip(&put.documents).map(|(line, document)| {
            let id = DocumentId::new(document.id.as_str());
            let sequence = id.as_ref().ok().and_then(|id| stored.get(id));
            match failures.remove(&line) {
                // Its condition held when it was stored, and another client has
                // replaced it since.
                Some(failure)
                    if failure.code == ProblemCode::VersionConflict && sequence.is_some() => {}
                Some(failure) => {
                    return Ok(PutResult::Failed {
                        id: document.id.clone(),
                        code: failure.code,
                        detail: failure.message,
                    });
                }
                None => {}
            }
            let id = id?;
            Ok(match sequence {
                Some(&sequence) => PutResult::Stored { id, sequence },
                None => PutResult::Unchanged { id },
            })
        });
        let results = results.collect::<Result<Vec<_>, Problem>>()?;
        let count = |is_one: fn(&PutResult) -> bool| {
            results.iter().filter(|result| is_one(result)).count() as u64
        };
        Ok(PutResults {
            stored: count(|result| matches!(result, PutResult::Stored { .. })),
            unchanged: count(|result| matches!(result, PutResult::Unchanged { .. })),
            failed: count(|result| matches!(result, PutResult::Failed { .. })),
            results,
        })
    }

    /// One document, as queries see it.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_document`.
    pub fn document(
        &self,
        name: &CollectionName,
        id: &DocumentId,
    ) -> Result<DocumentDetail, Problem> {
        let engine = self.engine(name)?;
        let found = engine.view().document(id)?;
        let stored = found.ok_or_else(|| IndexError::UnknownDocument { id: id.clone() })?;
        Ok(detail(stored))
    }

    /// A page of the documents, in order of id.
    ///
    /// # Errors
    /// `unknown_collection`; `invalid_limit` for a page of none or of more than
    /// [`PageQuery::MAX`].
    pub fn documents(
        &self,
        name: &CollectionName,
        page: &PageQuery,
    ) -> Result<DocumentPage, Problem> {
        let limit = within(
            "limit",
            page.limit.unwrap_or(PageQuery::DEFAULT),
            PageQuery::MAX,
        )?;
        let engine = self.engine(name)?;
        // One more, to know whether there is a next page.
        let mut found = engine.view().documents(page.after.as_ref(), limit + 1)?;
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let last = found.last().map(|outline| outline.id.clone());
        Ok(DocumentPage {
            documents: found.into_iter().map(summary).collect(),
            next: last.filter(|_| !is_last),
        })
    }

    /// Deletes one document if one of the conditions holds.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_document`; `version_conflict` if none of
    /// them does.
    pub fn delete_document(
        &self,
        name: &CollectionName,
        id: &DocumentId,
        conditions: &[Condition],
        wait: Wait,
    ) -> Result<(), Problem> {
        let engine = self.engine(name)?;
        self.note_written(name);
        under_any(id, conditions, |condition| {
            let outcomes = engine.delete_if(vec![(id.clone(), condition)])?;
            match outcomes.into_iter().next() {
                Some(DeleteOutcome::Deleted(_)) => Ok(Tried::Done(())),
                Some(DeleteOutcome::Conflict { found }) => Ok(Tried::Conflict(found)),
                _ => Err(IndexError::UnknownDocument { id: id.clone() }.into()),
            }
        })?;
        self.finish_write(name, &engine, wait)
    }

    /// Deletes documents by their ids or by a filter. A filter sees every write
    /// that was acknowledged before.
    ///
    /// # Errors
    /// `unknown_collection`; `invalid_request` unless either ids or a filter
    /// are given; errors of the filter.
    pub fn delete_documents(
        &self,
        name: &CollectionName,
        which: &DeleteDocuments,
        wait: Wait,
    ) -> Result<DeleteResults, Problem> {
        match (&which.ids, &which.filter) {
            (Some(ids), None) => {
                let mut seen = HashSet::new();
                let distinct = ids.iter().filter(|id| seen.insert(*id)).cloned().collect();
                self.delete_ids(name, distinct, wait)
            }
            (None, Some(filter)) => {
                let filter = Filter::from_json(filter)?;
                let engine = self.engine(name)?;
                let ids = engine.refresh()?.matching(&filter)?;
                self.delete_ids(name, ids, wait)
            }
            _ => {
                let detail = "say which documents: give either \"ids\" or a \"filter\"";
                Err(Problem::new("invalid_request", 422, detail))
            }
        }
    }

    fn delete_ids(
        &self,
        name: &CollectionName,
        ids: Vec<DocumentId>,
        wait: Wait,
    ) -> Result<DeleteResults, Problem> {
        let engine = self.engine(name)?;
        self.note_written(name);
        let were_there = engine.delete(&ids)?;
        self.finish_write(name, &engine, wait)?;
        let unknown = ids.into_iter().zip(&were_there).filter(|(_, was)| !**was);
        Ok(DeleteResults {
            unknown: unknown.map(|(id, _)| id).collect(),
            deleted: were_there.iter().filter(|was| **was).count() as u64,
        })
    }

    /// Changes a document's metadata by a JSON merge patch if one of the
    /// conditions holds.
    ///
    /// # Errors
    /// `unknown_collection`, `unknown_document`; `version_conflict` if none of
    /// them does; and what is wrong with the fields.
    pub fn patch_document(
        &self,
        name: &CollectionName,
        id: &DocumentId,
        metadata: &Map<String, Value>,
        conditions: &[Condition],
        wait: Wait,
    ) -> Result<PatchResult, Problem> {
        let patch = MetadataPatch::from_json(metadata)?;
        let engine = self.engine(name)?;
        self.note_written(name);
        let sequence = under_any(id, conditions, |condition| {
            let outcomes = engine.patch_metadata(vec![NewPatch {
                id: id.clone(),
                patch: patch.clone(),
                condition,
            }])?;
            match outcomes.into_iter().next() {
                Some(PatchOutcome::Stored(sequence)) => Ok(Tried::Done(sequence)),
                Some(PatchOutcome::Refused(error)) => Err(error.into()),
                Some(PatchOutcome::Conflict { found }) => Ok(Tried::Conflict(found)),
                _ => Err(IndexError::UnknownDocument { id: id.clone() }.into()),
            }
        })?;
        self.finish_write(name, &engine, wait)?;
        let id = id.clone();
        Ok(PatchResult { id, sequence })
    }
}

/// What became of a change under one condition.
enum Tried<T> {
    Done(T),
    /// It did not hold; this version stands.
    Conflict(Option<Sequence>),
}

/// Makes a change if one of the conditions holds. The writer looks at one at a
/// time and says what stands: if that is asked for, too, it is tried again.
fn under_any<T>(
    id: &DocumentId,
    conditions: &[Condition],
    mut attempt: impl FnMut(Condition) -> Result<Tried<T>, Problem>,
) -> Result<T, Problem> {
    // No write has the number 0: of no conditions none holds.
    const NEVER: Condition = Condition::Version(Sequence(0));
    let mut condition = conditions.first().copied().unwrap_or(NEVER);
    loop {
        let found = match attempt(condition)? {
            Tried::Done(done) => return Ok(done),
            Tried::Conflict(found) => found,
        };
        let standing = found.map(Condition::Version);
        match standing.filter(|standing| conditions.contains(standing)) {
            Some(standing) => condition = standing,
            None => return Err(version_conflict(id, found)),
        }
    }
}

/// What a write is told whose condition does not hold.
fn version_conflict(id: &DocumentId, found: Option<Sequence>) -> Problem {
    let detail = match found {
        Some(found) => format!("document '{id}' is of version {found}"),
        None => format!("there is no document '{id}'"),
    };
    Problem::new("version_conflict", 412, detail).with_help("read it again, and decide anew")
}

/// The line of a stream of records that a failure is about.
fn line_of(failure: &Failure) -> Option<usize> {
    failure.place.strip_prefix("line ")?.parse().ok()
}

fn interrupted() -> Problem {
    let detail = "the request was ended before all documents were stored";
    Problem::new("interrupted", 503, detail)
        .with_help("send it again: documents that are stored already count as unchanged")
        .retryable()
}

/// A number from 1 to a greatest one.
pub(super) fn within(what: &str, number: usize, most: usize) -> Result<usize, Problem> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    let detail = format!("\"{what}\" must be from 1 to {most}, but it is {number}");
    Err(Problem::new("invalid_limit", 400, detail))
}

fn summary(outline: StoredOutline) -> DocumentSummary {
    DocumentSummary {
        metadata: outline.metadata.to_json(),
        content_hash: outline.content_hash.to_hex(),
        id: outline.id,
        title: outline.title,
        source: outline.source,
        sequence: outline.sequence,
        bytes: outline.text_bytes,
        chunks: outline.chunks,
    }
}

fn detail(stored: StoredDocument) -> DocumentDetail {
    let StoredDocument {
        outline,
        document,
        chunks,
    } = stored;
    DocumentDetail {
        id: document.id,
        title: document.title,
        source: document.source,
        metadata: document.metadata.to_json(),
        sequence: outline.sequence,
        bytes: outline.text_bytes,
        content_hash: document.content_hash.to_hex(),
        text: document.text,
        chunks: chunks
            .into_iter()
            .map(|chunk| ChunkInfo {
                id: chunk.id,
                span: chunk.span,
                line: chunk.line,
                heading_path: chunk.heading_path,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ServiceOptions;

    #[test]
    fn what_a_request_stored_before_it_was_begun_anew_counts_as_stored() {
        let dir = tempfile::tempdir().expect("a folder");
        let service = Service::open(dir.path(), ServiceOptions::default()).expect("opens");
        let new = serde_json::from_value(json!({"name": "docs"})).expect("a collection");
        service.create_collection(&new).expect("is made");
        let name = CollectionName::new("docs").expect("a name");
        let stop = AtomicBool::new(false);
        let mut stored = HashMap::new();
        let mut put = |documents: Value| {
            let put = serde_json::from_value(json!({ "documents": documents }));
            let put = put.expect("documents");
            let put = service.put_once(&name, &put, 1 << 20, &stop, &mut stored);
            put.expect("is put")
        };
        let first = json!({"id": "a", "text": "one", "if_version": 0});
        assert_eq!(put(json!([first])).stored, 1);
        // As if the generation had been switched after the first document, and
        // another client had replaced it since.
        let other = json!({"id": "a", "text": "another"});
        let other = serde_json::from_value(json!({"documents": [other]})).expect("documents");
        let other = service.put_documents(&name, &other, 1 << 20, Wait::Durable, &stop);
        assert_eq!(other.expect("is put").stored, 1);
        let all = put(json!([first, {"id": "b", "text": "two"}, {"id": "a", "text": "again"}]));
        assert_eq!((all.stored, all.unchanged, all.failed), (2, 0, 1));
        let told: Vec<_> = (all.results.iter())
            .map(|result| match result {
                PutResult::Stored { sequence, .. } => sequence.0,
                _ => 0,
            })
            .collect();
        assert_eq!(told, [1, 3, 0]);
        // What stands just so and was stored by this request is no less stored.
        let again = put(json!([{"id": "b", "text": "two"}]));
        assert_eq!((again.stored, again.unchanged), (1, 0));
    }
}
