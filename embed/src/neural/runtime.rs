//! Where is ONNX Runtime, and is it new enough?
//!
//! It is loaded when the first neural model is opened, so that a binary without
//! it serves the bundled model. Looked for in this order:
//! 1. `ORT_DYLIB_PATH`: the library or its folder. If it is set, nothing else
//!    is looked at: a mistake in it should show.
//! 2. beside the binary, and in `lib` there;
//! 3. the loader's and the system's library folders;
//! 4. Python's packages, as `pip install onnxruntime` leaves them: those of the
//!    active environment, of the user, of each Python on `PATH`, of pyenv.
//!
//! Folders are listed; no process is started. The first that is new enough is
//! taken. A version is told by the library's name or the package it is in, and
//! where neither says it, by the library itself when `ort` asks it. Once loaded
//! it stays for the life of the process; after a failure the next call searches
//! again.

use std::env;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::{Environment, EnvironmentBuilder};
use ort::logging::LogLevel;

use crate::EmbedError;

/// The oldest version that has what the compiled bindings ask for.
const NEEDED: &str = "1.24";
const NEEDED_NUMBERS: (u64, u64) = (1, 24);

/// What the search depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// `ORT_DYLIB_PATH`.
    pub(crate) named: Option<PathBuf>,
    /// Folders that may hold the library itself.
    pub(crate) folders: Vec<PathBuf>,
    /// Roots of Python installations and environments.
    pub(crate) pythons: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    fn of_this_process() -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let listed = |name| {
            let value = variable(name).unwrap_or_default();
            // A relative one means the working directory, which is anybody's.
            let folders = env::split_paths(&value).filter(|folder| folder.is_absolute());
            folders.collect::<Vec<_>>()
        };
        let mut folders = Vec::new();
        if let Some(beside) = env::current_exe().ok().as_deref().and_then(Path::parent) {
            folders.extend([beside.to_path_buf(), beside.join("lib")]);
        }
        folders.extend(listed("LD_LIBRARY_PATH"));
        folders.extend(listed("DYLD_LIBRARY_PATH"));
        let arch = env::consts::ARCH;
        folders.extend(
            [
                "/usr/local/lib",
                "/usr/lib",
                &format!("/usr/lib/{arch}-linux-gnu"),
                "/usr/lib64",
                "/opt/onnxruntime/lib",
                "/opt/homebrew/lib",
            ]
            .map(PathBuf::from),
        );

        let mut pythons: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
            .into_iter()
            .filter_map(variable)
            .map(PathBuf::from)
            .collect();
        let home = env::home_dir();
        pythons.extend(home.as_ref().map(|home| home.join(".local")));
        for folder in listed("PATH") {
            let python = ["python3", "python", "python.exe"]
                .into_iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_file());
            let Some(python) = python else { continue };
            pythons.extend(folder.parent().map(Path::to_path_buf));
            // A link leads to the installation it was made from.
            let real = python.canonicalize().ok();
            let root = real
                .as_deref()
                .and_then(Path::parent)
                .and_then(Path::parent);
            pythons.extend(root.map(Path::to_path_buf));
        }
        if let Some(home) = &home {
            pythons.extend(entries(&home.join(".pyenv/versions")));
        }
        pythons.extend(["/usr/local", "/usr"].map(PathBuf::from));
        Self {
            named: variable("ORT_DYLIB_PATH").map(PathBuf::from),
            folders,
            pythons,
        }
    }
}

/// What a search came to.
#[derive(Debug, Default)]
struct Search {
    /// Libraries that may do, best first.
    candidates: Vec<PathBuf>,
    /// Libraries known to be too old, with their versions.
    too_old: Vec<(PathBuf, String)>,
    /// Every place looked in.
    looked_in: Vec<PathBuf>,
}

impl Search {
    fn of(surroundings: &Surroundings) -> Self {
        let mut search = Self::default();
        if let Some(named) = &surroundings.named {
            if named.is_dir() {
                search.look_in(named);
                return search;
            }
            search.looked_in.push(named.clone());
            if named.is_file() {
                search.offer(named.clone());
            } else if named.components().count() == 1 {
                // A bare name is the loader's to find.
                search.candidates.push(named.clone());
            }
            return search;
        }
        for folder in &surroundings.folders {
            search.look_in(folder);
        }
        for root in &surroundings.pythons {
            for packages in packages_of(root) {
                search.look_in(&packages.join("onnxruntime").join("capi"));
            }
        }
        search
    }

    fn look_in(&mut self, folder: &Path) {
        if self.looked_in.iter().any(|seen| seen == folder) {
            return;
        }
        self.looked_in.push(folder.to_path_buf());
        let mut libraries: Vec<PathBuf> = entries(folder)
            .into_iter()
            .filter(|path| is_library(path))
            .collect();
        libraries.sort_by_key(|path| std::cmp::Reverse(version(path).map(|text| numbers(&text))));
        for library in libraries {
            self.offer(library);
        }
    }

    fn offer(&mut self, library: PathBuf) {
        match version(&library) {
            Some(found) if numbers(&found) < NEEDED_NUMBERS => self.too_old.push((library, found)),
            _ => self.candidates.push(library),
        }
    }
}

/// The entries of a folder, in order; none if it cannot be listed.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The folders of packages below a Python's root, newest Python first.
fn packages_of(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"] {
        let mut pythons: Vec<PathBuf> = entries(&root.join(lib))
            .into_iter()
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("python3"))
            })
            .collect();
        pythons.sort_by_key(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let version = name.and_then(|name| name.strip_prefix("python"));
            std::cmp::Reverse(numbers(version.unwrap_or_default()))
        });
        for python in pythons {
            found.extend([python.join("site-packages"), python.join("dist-packages")]);
        }
    }
    found.push(root.join("Lib").join("site-packages"));
    found.retain(|folder| folder.is_dir());
    found
}

fn file_name(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

fn is_library(path: &Path) -> bool {
    let name = file_name(path);
    let named = match env::consts::OS {
        "windows" => name == "onnxruntime.dll",
        "macos" => name.starts_with("libonnxruntime.") && name.ends_with(".dylib"),
        _ => name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so."),
    };
    named && path.is_file()
}

/// The version of a library, as far as its name or its package says it.
fn version(library: &Path) -> Option<String> {
    let real = library.canonicalize().ok()?;
    let name = file_name(&real).strip_prefix("libonnxruntime.")?;
    let in_name = name
        .strip_prefix("so.")
        .or_else(|| name.strip_suffix(".dylib"))
        .filter(|version| {
            version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit())
        });
    if let Some(version) = in_name {
        return Some(version.to_owned());
    }
    let package = real.parent()?.parent()?.join("__init__.py");
    let text = fs::read_to_string(package).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    let version = line.split(['"', '\'']).nth(1)?;
    Some(version.to_owned())
}

/// Major and minor number of a version.
fn numbers(version: &str) -> (u64, u64) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The environment of the one runtime that this process has loaded.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// The runtime, loaded at the first call that finds one.
pub(crate) fn environment() -> Result<Environment, EmbedError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let environment = load(&Surroundings::of_this_process())?;
    *loaded = Some(environment.clone());
    Ok(environment)
}

fn load(surroundings: &Surroundings) -> Result<Environment, EmbedError> {
    let builder = load_library(surroundings)?;
    // Tokenizers would share a batch's texts through rayon. A rayon worker that
    // waits for them while it holds a session may take up work that wants that
    // very session, and would wait for itself for ever.
    tokenizers::utils::parallelism::set_parallelism(false);
    let environment =
        builder
            .with_telemetry(false)
            .build()
            .map_err(|error| EmbedError::RuntimeUnusable {
                path: surroundings.named.clone().unwrap_or_default(),
                reason: error.to_string(),
            })?;
    // Whatever goes wrong comes back as an error; a library writes to nobody's
    // standard error.
    if env::var_os("ORT_LOG").is_none() {
        environment.set_log_level(LogLevel::Fatal);
    }
    Ok(environment)
}

/// Loads the first library that will do.
fn load_library(surroundings: &Surroundings) -> Result<EnvironmentBuilder, EmbedError> {
    let Search {
        candidates,
        mut too_old,
        looked_in,
    } = Search::of(surroundings);
    let mut unusable = None;
    for path in candidates {
        match try_library(&path) {
            Ok(builder) => return Ok(builder),
            Err(EmbedError::RuntimeTooOld { path, found, .. }) => too_old.push((path, found)),
            Err(error) => {
                unusable.get_or_insert(error);
            }
        }
    }
    // One that should do and cannot be loaded says more than an old one.
    if let Some(error) = unusable {
        return Err(error);
    }
    match too_old.into_iter().next() {
        Some((path, found)) => Err(EmbedError::RuntimeTooOld {
            path,
            found,
            needed: NEEDED,
        }),
        None => Err(EmbedError::RuntimeMissing { looked_in }),
    }
}

fn try_library(path: &Path) -> Result<EnvironmentBuilder, EmbedError> {
    let unusable = |reason: String| EmbedError::RuntimeUnusable {
        path: path.to_path_buf(),
        reason,
    };
    // `ort` takes a relative path as relative to the binary.
    let absolute = match path.components().count() {
        1 => path.to_path_buf(),
        _ => std::path::absolute(path).map_err(|error| unusable(error.to_string()))?,
    };
    // `ort` asserts, rather than reports, what a library should not do.
    let tried = catch_unwind(|| ort::init_from(&absolute));
    match tried {
        Ok(Ok(builder)) => Ok(builder),
        Ok(Err(LoadDynamicError::BadVersion { version_str, .. })) => {
            Err(EmbedError::RuntimeTooOld {
                path: path.to_path_buf(),
                found: version_str,
                needed: NEEDED,
            })
        }
        Ok(Err(LoadDynamicError::Dlopen { error, .. })) => Err(unusable(error.to_string())),
        Ok(Err(error)) => Err(unusable(error.to_string())),
        Err(_) => Err(unusable(
            "it does not answer as ONNX Runtime does".to_owned(),
        )),
    }
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
