//! Which files make a neural model, and where in its folder do they stand?
//!
//! A folder as an export leaves it: `tokenizer.json` at its root, the graph
//! beside it or in `onnx/`, weights that the graph keeps outside beside the
//! graph. Everything else is optional and read by `settings`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::EmbedError;

/// Where a model's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFiles {
    /// The folder with the tokenizer and the settings.
    pub(crate) root: PathBuf,
    /// The graph.
    pub(crate) graph: PathBuf,
}

/// Where a graph is looked for if none is named, in this order.
pub(crate) const GRAPHS: [&str; 4] = [
    "model.onnx",
    "onnx/model.onnx",
    "model_optimized.onnx",
    "onnx/model_optimized.onnx",
];

pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// Finds a model's files in a folder, or beside a graph that is named itself.
pub(crate) fn find(path: &Path) -> Result<ModelFiles, EmbedError> {
    if path.is_file() {
        let graph = in_real_folder(path)?;
        let beside = graph.ancestors().skip(1).take(2);
        let root = beside
            .filter(|folder| folder.join(TOKENIZER).is_file())
            .map(Path::to_path_buf)
            .next();
        return match root {
            Some(root) => Ok(ModelFiles { root, graph }),
            None => Err(missing(
                graph.parent().unwrap_or(path),
                format!("{TOKENIZER} is neither there nor in the folder above"),
            )),
        };
    }
    let root = path
        .canonicalize()
        .map_err(|source| unreadable(path, source))?;
    let graph = match GRAPHS
        .iter()
        .map(|name| root.join(name))
        .find(|path| path.is_file())
    {
        Some(graph) => graph,
        None => only_graph(&root)?,
    };
    if !root.join(TOKENIZER).is_file() {
        return Err(missing(&root, format!("{TOKENIZER} is not there")));
    }
    Ok(ModelFiles { root, graph })
}

/// A file with its folder resolved, itself not: a hub's cache keeps links to
/// files whose own names and neighbours mean nothing.
fn in_real_folder(file: &Path) -> Result<PathBuf, EmbedError> {
    let absolute = std::path::absolute(file).map_err(|source| unreadable(file, source))?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(missing(file, "it is no file".to_owned()));
    };
    let folder = folder.canonicalize();
    Ok(folder
        .map_err(|source| unreadable(file, source))?
        .join(name))
}

/// The one graph of a folder in which none has a usual name.
fn only_graph(root: &Path) -> Result<PathBuf, EmbedError> {
    let mut graphs = Vec::new();
    let mut weights = false;
    for folder in [root.to_path_buf(), root.join("onnx")] {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(unreadable(&folder, source)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            weights |= matches!(ending, Some("safetensors" | "bin" | "pt" | "gguf"));
            if ending == Some("onnx") && path.is_file() {
                graphs.push(path);
            }
        }
    }
    graphs.sort();
    if let [graph] = &graphs[..] {
        return Ok(graph.clone());
    }
    let what = if graphs.is_empty() && weights {
        "it has weights, but no ONNX export of them; `optimum-cli export onnx --model FOLDER OUT` makes one".to_owned()
    } else if graphs.is_empty() {
        "model.onnx is not there".to_owned()
    } else {
        let names: Vec<String> = graphs
            .iter()
            .map(|graph| {
                graph
                    .strip_prefix(root)
                    .unwrap_or(graph)
                    .display()
                    .to_string()
            })
            .collect();
        format!(
            "none of its graphs is called model.onnx; name one itself: {}",
            names.join(", ")
        )
    };
    Err(missing(root, what))
}

/// Reads a file that a model cannot do without.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EmbedError> {
    match fs::read(path) {
        Ok(bytes) if bytes.starts_with(b"version https://git-lfs") => Err(EmbedError::ModelFile {
            path: path.to_path_buf(),
            reason: "it is a pointer of Git LFS, not the file itself; `git lfs pull` fetches it"
                .to_owned(),
        }),
        Ok(bytes) => Ok(bytes),
        Err(source) => Err(unreadable(path, source)),
    }
}

/// Reads a JSON file that may be absent.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, EmbedError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |reason: String| EmbedError::ModelFile {
        path: path.to_path_buf(),
        reason,
    };
    let value: Value = serde_json::from_slice(&read(path)?)
        .map_err(|error| wrong(format!("it is not JSON: {error}")))?;
    Ok(Some(value))
}

/// Reads the files in which a graph keeps weights. A graph may name only files
/// of its own folder.
pub(crate) fn read_external(
    graph: &Path,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<(String, Vec<u8>)>, EmbedError> {
    let folder = graph.parent().unwrap_or(graph);
    let mut files = Vec::new();
    for name in names {
        let inside = Path::new(&name)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || name.is_empty() {
            return Err(EmbedError::ModelFile {
                path: graph.to_path_buf(),
                reason: format!("it keeps weights outside its folder, in {name:?}"),
            });
        }
        let path = folder.join(&name);
        if !path.is_file() {
            return Err(missing(
                folder,
                format!("the graph keeps weights in {name}, which is not there"),
            ));
        }
        let bytes = read(&path)?;
        files.push((name, bytes));
    }
    Ok(files)
}

fn missing(directory: &Path, missing: String) -> EmbedError {
    EmbedError::ModelFilesMissing {
        directory: directory.to_path_buf(),
        missing,
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> EmbedError {
    EmbedError::ModelUnreadable {
        path: path.to_path_buf(),
        source,
    }
}
