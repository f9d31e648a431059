//! Which files are the documents of a set that is judged by spans?

use std::path::Path;

use cento_core::Document;
use cento_ingest::{Chunking, prepare};

use crate::EvalError;
use crate::text_file::{read_bytes, unreadable};

/// Folders deeper than this are not looked into.
const MAX_DEPTH: usize = 16;

/// A file of a set's documents.
pub(super) struct CorpusFile {
    /// Its path below the folder of documents, with `/` between the parts.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads all files below `root`, or below the folder `within` of it, in order
/// of their names. Hidden files and symbolic links are left out.
pub(super) fn read(root: &Path, within: Option<&str>) -> Result<Vec<CorpusFile>, EvalError> {
    let mut files = vec![];
    let prefix = within.map_or(String::new(), |name| format!("{name}/"));
    let dir = within.map_or(root.to_owned(), |name| root.join(name));
    walk(&dir, &prefix, MAX_DEPTH, &mut files)?;
    if files.is_empty() {
        return Err(EvalError::Empty {
            path: dir,
            what: "documents",
        });
    }
    Ok(files)
}

fn walk(
    dir: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<CorpusFile>,
) -> Result<(), EvalError> {
    let wrong = |source| unreadable(dir, source);
    let mut entries = vec![];
    for entry in std::fs::read_dir(dir).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let kind = entry.file_type().map_err(wrong)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !name.starts_with('.') {
            entries.push((name, kind));
        }
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, kind) in entries {
        let path = dir.join(&name);
        let name = format!("{prefix}{name}");
        if kind.is_dir() && depth > 0 {
            walk(&path, &format!("{name}/"), depth - 1, files)?;
        } else if kind.is_file() {
            let bytes = read_bytes(&path)?;
            files.push(CorpusFile { name, bytes });
        }
    }
    Ok(())
}

/// The documents as ingestion makes them; what fails is left out here and told
/// by the ingestion itself.
pub(super) fn documents(files: &[CorpusFile]) -> Vec<Document> {
    let made = files
        .iter()
        .flat_map(|file| prepare(&file.name, &file.bytes, Chunking::Whole));
    made.flatten().map(|prepared| prepared.document).collect()
}

/// The hash of all files, by name and content.
pub(super) fn digest(files: &[CorpusFile]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        for part in [file.name.as_bytes(), &file.bytes] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize()
}

/// A file or folder that a layout demands.
pub(super) fn present(dir: &Path, name: &str) -> Result<std::path::PathBuf, EvalError> {
    let path = dir.join(name);
    if path.exists() {
        return Ok(path);
    }
    let folder = path.parent().unwrap_or(dir);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut known: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    known.sort();
    let most = 12;
    if known.len() > most {
        known.truncate(most);
        known.push("…".to_owned());
    }
    Err(EvalError::MissingFile {
        path,
        known: if known.is_empty() {
            "nothing".to_owned()
        } else {
            known.join(", ")
        },
    })
}
