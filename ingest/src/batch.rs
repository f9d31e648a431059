//! Which documents of a batch must be written, and with which chunks and
//! vectors?

use cento_core::{ContentHash, DocumentId};
use cento_embed::Embedder;
use cento_index::{Condition, Engine, NewDocument};
use rayon::prelude::*;

use crate::IngestError;
use crate::chunking::Chunking;
use crate::format::Format;
use crate::jsonl::{self, Record};
use crate::prepare::{
    Prepared, file_hash, file_id, guarded, line_source, prepare_file, prepare_record, record_hash,
    without_mark,
};
use crate::problem::{Failure, Problem};
use crate::read::{Bytes, Place, Raw};
use crate::seen::Seen;

/// A batch, ready to be written.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) documents: Vec<NewDocument>,
    /// For each document where it stands, and whether it replaces an older one.
    pub(crate) places: Vec<(Place, bool)>,
    pub(crate) unchanged: u64,
    pub(crate) failures: Vec<Failure>,
    pub(crate) bytes_read: u64,
    pub(crate) embedded: u64,
}

/// A document whose id is known.
struct Identified {
    id: DocumentId,
    hash: ContentHash,
    payload: Payload,
}

impl Identified {
    /// What must stand under its id for it to be written.
    fn condition(&self) -> Condition {
        match &self.payload {
            Payload::File(..) => Condition::Always,
            Payload::Record(record) => record.condition,
        }
    }
}

enum Payload {
    File(Format, Vec<u8>),
    Record(Box<Record>),
}

/// What a document needs.
enum Need {
    Nothing,
    Writing {
        prepared: Box<Prepared>,
        condition: Condition,
        replaces: bool,
    },
}

/// Parses, cuts and embeds what was read, in parallel; skips what the engine
/// has already and what has been met before.
pub(crate) fn make(
    raws: Vec<Raw>,
    engine: &Engine,
    embedder: &dyn Embedder,
    chunking: Chunking,
    seen: &mut Seen,
) -> Result<Batch, IngestError> {
    let mut batch = Batch {
        bytes_read: raws.iter().map(|raw| raw.size as u64).sum(),
        ..Batch::default()
    };
    let identified: Vec<(Place, Result<Identified, Problem>)> = raws
        .into_par_iter()
        .map(|raw| (raw.place.clone(), identify(raw)))
        .collect();
    let mut wanted = Vec::with_capacity(identified.len());
    for (place, result) in identified {
        let result = result.and_then(|document| {
            seen.admit(&document.id, &place)?;
            Ok(document)
        });
        seen.note(&place, result.as_ref().err());
        match result {
            Ok(document) => wanted.push((place, document)),
            Err(problem) => batch.failures.push(problem.at(place.to_string())),
        }
    }
    let needs: Vec<(Place, Result<Need, Problem>)> = wanted
        .into_par_iter()
        .map(|(place, document)| {
            let known = engine.content_hash(&document.id)?;
            let condition = document.condition();
            let need = if known == Some(document.hash) {
                Ok(Need::Nothing)
            } else {
                let prepared = prepare(document, &place, chunking);
                prepared.map(|prepared| Need::Writing {
                    prepared: Box::new(prepared),
                    condition,
                    replaces: known.is_some(),
                })
            };
            Ok((place, need))
        })
        .collect::<Result<_, IngestError>>()?;
    let mut prepared = Vec::with_capacity(needs.len());
    for (place, need) in needs {
        match need {
            Ok(Need::Nothing) => batch.unchanged += 1,
            Ok(Need::Writing {
                prepared: document,
                condition,
                replaces,
            }) => {
                batch.places.push((place, replaces));
                prepared.push((*document, condition));
            }
            Err(problem) => batch.failures.push(problem.at(place.to_string())),
        }
    }
    let (documents, embedded) = embed(prepared, embedder)?;
    batch.documents = documents;
    batch.embedded = embedded as u64;
    Ok(batch)
}

/// Finds out which document this is.
fn identify(raw: Raw) -> Result<Identified, Problem> {
    match raw.content? {
        Bytes::File(format, bytes) => {
            let id = file_id(&raw.name)?;
            Ok(Identified {
                hash: file_hash(&id, &raw.place.source, &bytes),
                payload: Payload::File(format, bytes),
                id,
            })
        }
        Bytes::Line(line) => {
            let line = without_mark(raw.place.line.unwrap_or_default(), &line);
            let record = guarded(|| jsonl::read(line))?;
            Ok(Identified {
                id: record.id.clone(),
                hash: record_hash(&raw.place.source, &record),
                payload: Payload::Record(Box::new(record)),
            })
        }
    }
}

fn prepare(document: Identified, place: &Place, chunking: Chunking) -> Result<Prepared, Problem> {
    let Identified { id, hash, payload } = document;
    guarded(|| match payload {
        Payload::File(format, bytes) => {
            prepare_file(id, Some(&place.source), format, &bytes, hash, chunking)
        }
        Payload::Record(record) => {
            let source = line_source(&place.source, place.line.unwrap_or_default());
            prepare_record(*record, source.as_deref(), hash, chunking)
        }
    })
}

/// Embeds all chunks of a batch at once, so that the embedder can share them
/// out over the processors. Says how many it had to embed.
fn embed(
    prepared: Vec<(Prepared, Condition)>,
    embedder: &dyn Embedder,
) -> Result<(Vec<NewDocument>, usize), IngestError> {
    let inputs: Vec<String> = prepared
        .par_iter()
        .flat_map_iter(|(prepared, _)| prepared.embedding_inputs())
        .collect();
    let recalled = embedder.embed_or_recall(&inputs)?;
    let mut vectors = recalled.vectors.into_iter();
    let documents = prepared
        .into_iter()
        .map(|(Prepared { document, chunks }, condition)| NewDocument {
            vectors: vectors.by_ref().take(chunks.len()).collect(),
            document,
            chunks,
            condition,
        })
        .collect();
    Ok((documents, recalled.embedded))
}
