//! What does a small collection on the real engine look like?

use std::sync::{Arc, LazyLock};

use cento_core::{
    ByteSpan, Chunk, CollectionName, ContentHash, Document, DocumentId, FieldTypes, Metadata,
    TextKind,
};
use cento_embed::{Bundled, Embedder};
use cento_index::{CollectionSettings, Condition, NewDocument, Precision, PutOutcome, Store, View};
use serde_json::json;
use tempfile::TempDir;

use crate::common::cut;

pub(crate) static EMBEDDER: LazyLock<Bundled> =
    LazyLock::new(|| Bundled::new().expect("the bundled model"));

/// A collection on disk; the folder and the store live as long as it does.
pub(crate) struct Collection {
    pub(crate) view: Arc<View>,
    _store: Store,
    _dir: TempDir,
}

fn document(place: usize, title: &str, text: &str, size: usize) -> Option<NewDocument> {
    let spans = cut(text, size);
    if spans.is_empty() {
        return None;
    }
    let (mut chunks, mut texts) = (vec![], vec![]);
    for (number, (start, end)) in spans.into_iter().enumerate() {
        texts.push(text[start..end].to_owned());
        let line = text[..start].matches('\n').count() + 1;
        chunks.push(Chunk {
            span: ByteSpan {
                start: start as u64,
                end: end as u64,
            },
            heading_path: vec![title.to_owned(), format!("Part {}", number / 3)],
            line: u32::try_from(line).expect("a short text"),
        });
    }
    let metadata = json!({"shelf": place % 3});
    Some(NewDocument {
        document: Document {
            id: DocumentId::new(format!("shelf/{place}.md")).expect("valid"),
            title: title.to_owned(),
            source: place
                .is_multiple_of(2)
                .then(|| format!("file:///shelf/{place}.md")),
            metadata: Metadata::from_json(metadata.as_object().expect("an object")).expect("valid"),
            text: text.to_owned(),
            kind: TextKind::Prose,
            content_hash: ContentHash::of([text.as_bytes()]),
        },
        vectors: EMBEDDER.embed_documents(&texts).expect("embedded"),
        chunks,
        condition: Condition::Always,
    })
}

impl Collection {
    /// Puts each text as the document `shelf/N.md` with the field `shelf`, N
    /// modulo 3, cut into chunks of about a size; titles and sizes go round.
    pub(crate) fn of(texts: &[String], titles: &[String], sizes: &[usize]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(dir.path()).expect("a new store");
        let contract = EMBEDDER.contract();
        let settings = CollectionSettings {
            model: contract.model.clone(),
            embedder: contract.fingerprint.clone(),
            dimensions: contract.dimensions,
            precision: Precision::I8,
            chunking: "naive".to_owned(),
            fields: FieldTypes::default(),
        };
        let name = CollectionName::new("shelves").expect("valid");
        let engine = store.create(&name, &settings).expect("a new collection");
        let batch: Vec<NewDocument> = (texts.iter().enumerate())
            .filter_map(|(place, text)| {
                let title = &titles[place % titles.len()];
                document(place, title, text, sizes[place % sizes.len()])
            })
            .collect();
        for outcome in engine
            .put(engine.view().generation(), batch)
            .expect("written")
        {
            assert!(matches!(outcome, PutOutcome::Stored(_)), "{outcome:?}");
        }
        Self {
            view: engine.refresh().expect("visible"),
            _store: store,
            _dir: dir,
        }
    }
}
