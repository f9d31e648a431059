//! Which files do the given sources hold, and in which order?

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;

use crate::IngestError;
use crate::problem::{Failure, Problem, ProblemCode};

/// Where documents come from.
pub enum Source {
    /// A file, or a folder with everything below it. In folders, hidden files,
    /// symbolic links and what `.gitignore` or `.ignore` name are skipped. A
    /// file's document id is its path relative to the folder, with `/` between
    /// its parts, or its name.
    Path(PathBuf),
    /// A file in memory.
    Memory {
        /// Its document id and source, and a hint at its format.
        name: String,
        /// What it holds.
        bytes: Cow<'static, [u8]>,
    },
    /// Documents from a program, one JSON object a line, whatever the first line
    /// looks like. They have no source but the one they give themselves.
    Records {
        /// The lines.
        reader: Box<dyn Read + Send>,
    },
    /// What can be read once, such as standard input: one document or JSONL.
    Stream {
        /// Its document id and source.
        name: String,
        /// What it holds.
        reader: Box<dyn Read + Send>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.place())
    }
}

impl Source {
    /// What people call it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Records { .. } => "the records given".to_owned(),
            Self::Memory { name, .. } | Self::Stream { name, .. } => name.clone(),
        }
    }
}

/// A file to be read.
pub(crate) struct Input {
    /// Its path relative to the given root.
    pub(crate) name: String,
    /// Its path as it was given.
    pub(crate) source: Arc<str>,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    File(PathBuf),
    Memory(Cow<'static, [u8]>),
    Stream(Box<dyn Read + Send>),
    Records(Box<dyn Read + Send>),
}

/// What was given as a path.
pub(crate) struct Root {
    source: String,
    folder: bool,
}

impl Root {
    /// Whether a document with that source was read from here.
    pub(crate) fn holds(&self, source: &str) -> bool {
        match source.strip_prefix(self.source.as_str()) {
            Some(rest) if self.folder => rest.starts_with('/') || self.source.ends_with('/'),
            Some(rest) => rest.is_empty() || rest.starts_with("#L"),
            None => false,
        }
    }
}

/// Everything that the sources hold.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) inputs: Vec<Input>,
    pub(crate) roots: Vec<Root>,
    /// Files and folders that could not be looked into, with their sources.
    pub(crate) unreadable: Vec<(String, Failure)>,
    /// The size of all files, as far as it is known.
    pub(crate) bytes: u64,
}

/// Looks for the files of all sources. The order is that of the sources, and
/// by name within a folder.
pub(crate) fn find(sources: Vec<Source>, exclude: &[PathBuf]) -> Result<Found, IngestError> {
    let places: Vec<String> = sources.iter().map(Source::place).collect();
    let exclude: Vec<PathBuf> = exclude
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let mut found = Found::default();
    for source in sources {
        match source {
            Source::Path(path) => find_path(&path, &exclude, &mut found)?,
            Source::Memory { name, bytes } => {
                found.bytes += bytes.len() as u64;
                found.inputs.push(Input {
                    source: name.as_str().into(),
                    name,
                    content: Content::Memory(bytes),
                });
            }
            Source::Records { reader } => found.inputs.push(Input {
                source: "".into(),
                name: String::new(),
                content: Content::Records(reader),
            }),
            Source::Stream { name, reader } => found.inputs.push(Input {
                source: name.as_str().into(),
                name,
                content: Content::Stream(reader),
            }),
        }
    }
    if found.inputs.is_empty() && found.unreadable.is_empty() {
        return Err(IngestError::NothingToIngest {
            places: places.join(", "),
        });
    }
    Ok(found)
}

fn find_path(path: &Path, exclude: &[PathBuf], found: &mut Found) -> Result<(), IngestError> {
    let Ok(kind) = path.metadata() else {
        return Err(IngestError::PathNotFound {
            path: path.to_owned(),
        });
    };
    let root = slashed(path);
    found.roots.push(Root {
        source: root.clone(),
        folder: kind.is_dir(),
    });
    if !kind.is_dir() {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        add_file(
            path,
            name.unwrap_or_else(|| root.clone()),
            root,
            kind.len(),
            found,
        );
        return Ok(());
    }
    let excluded = exclude.to_vec();
    let entries = WalkBuilder::new(path)
        // A .gitignore counts outside of a clone too; what is set for one user
        // only does not, so that the same folder gives the same documents.
        .require_git(false)
        .git_global(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            excluded.is_empty()
                || !is_folder
                || !entry.path().canonicalize().is_ok_and(|path| excluded.contains(&path))
        })
        .build();
    for entry in entries {
        match entry {
            Ok(entry) => {
                if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                    continue;
                }
                let relative = entry.path().strip_prefix(path).unwrap_or(entry.path());
                let name = slashed(relative);
                let source = if root.ends_with('/') {
                    format!("{root}{name}")
                } else {
                    format!("{root}/{name}")
                };
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                add_file(entry.path(), name, source, bytes, found);
            }
            Err(error) => {
                let place = place_of(&error).unwrap_or(path);
                let place = slashed(place);
                let problem = Problem::new(
                    ProblemCode::Unreadable,
                    format!("it cannot be looked into: {error}; check its permissions"),
                );
                found.unreadable.push((place.clone(), problem.at(place)));
            }
        }
    }
    Ok(())
}

fn add_file(path: &Path, name: String, source: String, bytes: u64, found: &mut Found) {
    // A name that is no text would lose its difference from others.
    if path.to_str().is_none() {
        let problem = Problem::new(
            ProblemCode::InvalidDocument,
            "its path is not UTF-8, so it cannot be a document's id: rename it",
        );
        found.unreadable.push((source.clone(), problem.at(source)));
        return;
    }
    found.bytes += bytes;
    found.inputs.push(Input {
        name,
        source: source.into(),
        content: Content::File(path.to_owned()),
    });
}

/// The path that an error of the walk is about.
fn place_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place_of(err)
        }
        ignore::Error::Partial(errors) => errors.iter().find_map(place_of),
        _ => None,
    }
}

/// A path with `/` between its parts and nothing needless, so that `./docs/`
/// and `docs` are the same source.
fn slashed(path: &Path) -> String {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    let mut rooted = false;
    for component in path.components() {
        match component {
            Component::RootDir => rooted = true,
            Component::CurDir => {}
            other => parts.push(other.as_os_str().to_string_lossy()),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn found(sources: Vec<Source>) -> Result<Vec<(String, String)>, IngestError> {
        let found = find(sources, &[])?;
        Ok(found
            .inputs
            .into_iter()
            .map(|i| (i.name, i.source.to_string()))
            .collect())
    }

    #[test]
    fn a_folder_is_walked_in_order_without_what_git_ignores() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("b/c")).expect("dir");
        for name in ["b/c/2.md", "b/1.md", "a.md", "z.log", ".hidden"] {
            fs::write(at(name), "x").expect("write");
        }
        fs::write(at(".gitignore"), "*.log").expect("write");
        std::os::unix::fs::symlink(at("a.md"), at("link.md")).expect("link");
        let names: Vec<String> = found(vec![Source::Path(dir.path().into())])
            .expect("found")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["a.md", "b/1.md", "b/c/2.md"]);
        let excluded = find(vec![Source::Path(dir.path().into())], &[at("b")]).expect("found");
        assert_eq!(excluded.inputs.len(), 1);
    }

    #[test]
    fn a_single_file_is_named_by_its_file_name() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.log");
        fs::write(&path, "x").expect("write");
        let only = found(vec![Source::Path(path.clone())]).expect("found");
        assert_eq!(only, [("x.log".to_owned(), path.display().to_string())]);
    }

    #[test]
    fn nothing_and_missing_are_told_apart() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(matches!(
            found(vec![Source::Path(dir.path().into())]),
            Err(IngestError::NothingToIngest { .. })
        ));
        let missing = dir.path().join("missing");
        assert!(matches!(
            found(vec![Source::Path(missing)]),
            Err(IngestError::PathNotFound { .. })
        ));
    }

    #[test]
    fn a_root_holds_its_files_and_lines_only() {
        let folder = Root {
            source: "docs".into(),
            folder: true,
        };
        assert!(folder.holds("docs/a.md") && folder.holds("docs/x.jsonl#L3"));
        assert!(!folder.holds("docs2/a.md") && !folder.holds("docs"));
        let file = Root {
            source: "x.jsonl".into(),
            folder: false,
        };
        assert!(file.holds("x.jsonl#L3") && file.holds("x.jsonl"));
        assert!(!file.holds("x.jsonl.bak"));
        assert_eq!(slashed(Path::new("./docs/./a/")), "docs/a");
        assert_eq!(slashed(Path::new(".")), ".");
        assert_eq!(slashed(Path::new("/a/../b")), "/a/../b");
    }
}
