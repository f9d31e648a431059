//! Which vectors are measured, and how does the engine come to hold them?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cento_core::{
    ByteSpan, Chunk, CollectionName, ContentHash, Document, DocumentId, FieldTypes, Metadata,
    TextKind,
};
use cento_index::{
    CollectionSettings, Condition, Engine, GraphBuilder, NewDocument, Precision, Store,
    StoreOptions, VectorOptions,
};
use serde_json::{Value, json};

/// A set that data.py has made.
pub(crate) struct Set {
    pub(crate) folder: PathBuf,
    pub(crate) about: Value,
    pub(crate) dimensions: usize,
    pub(crate) base: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
    pub(crate) truth: Vec<Vec<u32>>,
}

impl Set {
    pub(crate) fn read(cache: &Path, name: &str) -> Self {
        let folder = cache.join(name);
        let about = fs::read(folder.join("about.json")).unwrap_or_else(|_| {
            panic!("no set {}: see benches/vectors/README.md", folder.display())
        });
        let about: Value = serde_json::from_slice(&about).unwrap();
        let dimensions = about["dimensions"].as_u64().unwrap() as usize;
        let rows = |name: &str| -> Vec<Vec<f32>> {
            let bytes = fs::read(folder.join(name)).unwrap();
            let (words, _) = bytes.as_chunks::<4>();
            let floats: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            floats.chunks(dimensions).map(<[f32]>::to_vec).collect()
        };
        let queries = rows("query.f32");
        Self {
            base: rows("base.f32"),
            truth: truth(&folder.join("truth.u32"), queries.len()),
            queries,
            dimensions,
            about,
            folder,
        }
    }

    pub(crate) fn settings(&self) -> CollectionSettings {
        settings(self.dimensions, Precision::F32)
    }

    /// The filters of the set: names, and which rows each lets through.
    pub(crate) fn filters(&self) -> Vec<(String, Vec<u8>)> {
        let mut names: Vec<String> = fs::read_dir(self.folder.join("filters"))
            .unwrap_or_else(|_| panic!("no filters: see benches/vectors/README.md"))
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().to_string_lossy().into_owned();
                Some(name.strip_suffix(".bits")?.to_owned())
            })
            .collect();
        names.sort();
        let bits = |name: &String| fs::read(self.folder.join(format!("filters/{name}.bits")));
        names
            .into_iter()
            .map(|name| (name.clone(), bits(&name).unwrap()))
            .collect()
    }

    pub(crate) fn write(&self, peer: &str, filter: Option<&str>, mut told: Value) {
        let whole = told.as_object_mut().unwrap();
        whole.insert("peer".to_owned(), json!(peer));
        whole.insert(
            "base_sha256".to_owned(),
            self.about["files"]["base.f32"]["sha256"].clone(),
        );
        if let Some(filter) = filter {
            whole.insert("filter".to_owned(), json!(filter));
        }
        let name = filter.map_or_else(|| peer.to_owned(), |filter| format!("{peer}--{filter}"));
        let path = self.folder.join("results").join(format!("{name}.json"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, serde_json::to_vec_pretty(&told).unwrap()).unwrap();
    }
}

pub(crate) fn truth(path: &Path, queries: usize) -> Vec<Vec<u32>> {
    let bytes = fs::read(path).unwrap();
    let (words, _) = bytes.as_chunks::<4>();
    let rows: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    rows.chunks((rows.len() / queries).max(1))
        .map(<[u32]>::to_vec)
        .collect()
}

pub(crate) fn settings(dimensions: usize, precision: Precision) -> CollectionSettings {
    CollectionSettings {
        model: "given".to_owned(),
        embedder: "given".to_owned(),
        dimensions,
        precision,
        chunking: "given".to_owned(),
        fields: FieldTypes::default(),
    }
}

/// Nothing is frozen before all are there, so that one graph is built.
pub(crate) fn options(builder: GraphBuilder) -> StoreOptions {
    StoreOptions {
        vectors: VectorOptions {
            builder,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    }
}

pub(crate) fn name() -> CollectionName {
    CollectionName::new("bench").unwrap()
}

pub(crate) fn document(
    row: usize,
    text: String,
    vector: Vec<f32>,
    metadata: &Value,
) -> NewDocument {
    let end = text.len() as u64;
    NewDocument {
        document: Document {
            id: DocumentId::new(format!("row/{row}")).unwrap(),
            title: String::new(),
            source: None,
            metadata: Metadata::from_json(metadata.as_object().unwrap()).unwrap(),
            content_hash: ContentHash::of([text.as_bytes()]),
            kind: TextKind::Prose,
            text,
        },
        chunks: vec![Chunk {
            span: ByteSpan { start: 0, end },
            heading_path: vec![],
            line: 1,
        }],
        vectors: vec![vector],
        condition: Condition::Always,
    }
}

/// Puts a set's vectors, each as a document; chunks get the numbers of rows.
pub(crate) fn fill(engine: &Engine, set: &Set, filters: &[(String, Vec<u8>)]) {
    let rows: Vec<usize> = (0..set.base.len()).collect();
    for part in rows.chunks(2000) {
        let new = part.iter().map(|&row| {
            let passes = |bits: &[u8]| bits[row / 8] >> (row % 8) & 1 == 1;
            let fields = filters
                .iter()
                .map(|(name, bits)| (field(name), json!(passes(bits))));
            document(
                row,
                format!("w{row}"),
                set.base[row].clone(),
                &Value::Object(fields.collect()),
            )
        });
        engine
            .put(engine.view().generation(), new.collect())
            .unwrap();
    }
}

pub(crate) fn field(filter: &str) -> String {
    filter.replace(['-', '.'], "_")
}

/// Builds the engine's segment of a set, all at once; says how long that took.
pub(crate) fn build(
    dir: &Path,
    set: &Set,
    filters: &[(String, Vec<u8>)],
    builder: GraphBuilder,
) -> f64 {
    let store = Store::open_with(dir, options(builder)).unwrap();
    let engine = store.create(&name(), &set.settings()).unwrap();
    fill(&engine, set, filters);
    // Words and metadata first: they are no part of it.
    let begun = Instant::now();
    engine.refresh().unwrap();
    let shown = begun.elapsed();
    assert_eq!(engine.settle().unwrap(), None);
    let seconds = begun.elapsed() - shown;
    assert_eq!(engine.view().vector_shape().segments, 1);
    seconds.as_secs_f64()
}
