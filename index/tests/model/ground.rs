//! On which ground does a life go on?

use std::path::Path;

use cento_index::{StoreOptions, VectorOptions};

/// Small segments, of the log and of vectors, and one former generation.
pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_bytes: 1_000,
        text_arena_bytes: 15_000_000,
        former_generations: 1,
        vectors: VectorOptions {
            seal_rows: 5,
            freezes_beside: false,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    }
}

/// Removes a projection of every generation.
pub(crate) fn lose(dir: &Path, projection: &str) {
    let generations = dir.join("collections/docs/generations");
    for generation in std::fs::read_dir(generations).unwrap() {
        let folder = generation.unwrap().path().join(projection);
        if folder.exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
