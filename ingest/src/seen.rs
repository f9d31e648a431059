//! What has an ingestion met so far, and what is gone?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cento_core::DocumentId;

use crate::problem::{Problem, ProblemCode};
use crate::read::Place;

/// What an ingestion has met so far.
#[derive(Default)]
pub(crate) struct Seen {
    ids: HashMap<DocumentId, Place>,
    /// Files that are one document, whatever became of them.
    files: HashSet<Arc<str>>,
    /// Sources below which something could not be read, so that nothing is
    /// known to be gone there.
    unsure: HashSet<String>,
}

impl Seen {
    /// Refuses an id that was met before. The first to have it keeps it, so
    /// that the outcome does not depend on which of them is read faster.
    pub(crate) fn admit(&mut self, id: &DocumentId, place: &Place) -> Result<(), Problem> {
        if let Some(first) = self.ids.get(id) {
            return Err(Problem::new(
                ProblemCode::DuplicateId,
                format!(
                    "its id '{id}' is taken by {first}, which stays: give each document an id of its own"
                ),
            ));
        }
        self.ids.insert(id.clone(), place.clone());
        Ok(())
    }

    /// Notes what was read, and what was wrong with it.
    pub(crate) fn note(&mut self, place: &Place, problem: Option<&Problem>) {
        if place.line.is_none() {
            self.files.insert(place.source.clone());
        } else if problem.is_some_and(|problem| problem.code != ProblemCode::DuplicateId) {
            // The line may hold a document that the collection has.
            self.doubt(&place.source);
        }
    }

    pub(crate) fn doubt(&mut self, source: &str) {
        self.unsure.insert(source.to_owned());
    }

    /// Whether a document of the collection was met, or may be there unread.
    pub(crate) fn accounts_for(&self, id: &DocumentId, source: &str) -> bool {
        let below = |parent: &str| {
            source.strip_prefix(parent).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || rest.starts_with("#L")
            })
        };
        self.ids.contains_key(id)
            || self.files.contains(source)
            || self.unsure.iter().any(|s| below(s))
    }
}
