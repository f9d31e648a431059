//! Which collections does a data directory hold, and who owns it?
//!
//! ```text
//! DIR/lock                      held by the owning process; says who it is
//! DIR/.gitignore                keeps it out of repositories and ingestions
//! DIR/collections/NAME/         manifest.json, log/, generations/, snapshots/
//! ```
//!
//! One process owns a data directory, readers included. The lock is the
//! operating system's, so no crash leaves it behind.

mod open_engines;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cento_core::CollectionName;
use open_engines::{Claim, OpenEngines};

use crate::archive::{ArchiveAbout, import};
use crate::disk::{self, create_dir, remove_dir, sync_dir, write_atomically};
use crate::engine::salvage::salvage;
use crate::engine::snapshot::found_on;
use crate::error::IoContext;
use crate::settings::StoreOptions;
use crate::{
    CollectionSettings, Engine, IndexError, Projection, SalvageReport, fault, manifest, projections,
};

/// A data directory, owned by this process while it is open.
pub struct Store {
    dir: PathBuf,
    options: StoreOptions,
    engines: OpenEngines,
    /// Holds the lock until it is dropped.
    lock: Lock,
}

impl Store {
    /// Opens a data directory, creating it if it is not there, and takes its
    /// lock.
    ///
    /// # Errors
    /// [`IndexError::DirectoryInUse`] if another process owns it.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        Self::open_with(dir, StoreOptions::default())
    }

    /// As [`Store::open`], with options.
    pub fn open_with(dir: &Path, options: StoreOptions) -> Result<Self, IndexError> {
        create_dir(&dir.join("collections"))?;
        let lock = take_lock(dir)?;
        let store = Self {
            dir: dir.to_owned(),
            options: options.unless_tested(),
            engines: OpenEngines::default(),
            lock,
        };
        store.remove_leftovers()?;
        let ignore = dir.join(".gitignore");
        if !ignore.exists() {
            write_atomically(&ignore, IGNORE.as_bytes())?;
        }
        Ok(store)
    }

    /// Opens a data directory that must be there.
    ///
    /// # Errors
    /// [`IndexError::NoDataDirectory`] if it is not, and as [`Store::open`].
    pub fn open_existing(dir: &Path) -> Result<Self, IndexError> {
        Self::open_existing_with(dir, StoreOptions::default())
    }

    /// As [`Store::open_existing`], with options.
    pub fn open_existing_with(dir: &Path, options: StoreOptions) -> Result<Self, IndexError> {
        if dir.join("collections").is_dir() {
            Self::open_with(dir, options)
        } else {
            Err(IndexError::NoDataDirectory {
                path: dir.to_owned(),
            })
        }
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates a collection.
    pub fn create(
        &self,
        name: &CollectionName,
        settings: &CollectionSettings,
    ) -> Result<Arc<Engine>, IndexError> {
        self.make(name, |fresh| Engine::create(fresh, settings))
    }

    /// Creates a collection that holds what a snapshot's folder holds: of
    /// another collection here, or one that was brought from elsewhere onto
    /// this file system.
    pub fn create_from(
        &self,
        name: &CollectionName,
        snapshot: &Path,
    ) -> Result<Arc<Engine>, IndexError> {
        self.make(name, |fresh| found_on(snapshot, fresh))
    }

    /// Creates a collection from the archive of a snapshot, wherever that was
    /// made, and says what the archive says of itself. `check` is asked about
    /// the configurations in it before there is a collection.
    ///
    /// # Errors
    /// [`IndexError::CollectionExists`]; [`IndexError::Archive`] if it is not
    /// one whole archive; what opening it says; and what `check` says. Nothing
    /// is left of it then.
    pub fn import<E: From<IndexError>>(
        &self,
        name: &CollectionName,
        archive: &mut (impl Read + ?Sized),
        check: impl FnOnce(&[CollectionSettings]) -> Result<(), E>,
    ) -> Result<(Arc<Engine>, ArchiveAbout), E> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if self.collection_dir(name).exists() {
            return Err(IndexError::CollectionExists { name: name.clone() }.into());
        }
        // Beside the others, so that links can be made, under a name that no
        // other import has and that goes when a crash leaves it behind.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let unpacked = format!("{name}.{number}{NEW}");
        let unpacked = self.dir.join("collections").join(unpacked);
        let about = import(archive, &unpacked)?;
        let made = settings_in(&unpacked)
            .map_err(E::from)
            .and_then(|settings| check(&settings))
            .and_then(|()| Ok(self.create_from(name, &unpacked)?));
        // What became of the collection is to be told; a folder that cannot be
        // removed now goes when the store is opened again.
        let _ = remove_dir(&unpacked);
        Ok((made?, about))
    }

    /// Makes a collection beside its place, then renames it: it is there whole
    /// or not at all.
    fn make(
        &self,
        name: &CollectionName,
        fill: impl FnOnce(&Path) -> Result<(), IndexError>,
    ) -> Result<Arc<Engine>, IndexError> {
        let claim = self.engines.claim(name);
        let dir = self.collection_dir(name);
        if dir.exists() {
            return Err(IndexError::CollectionExists { name: name.clone() });
        }
        let fresh = self.dir.join("collections").join(format!("{name}{NEW}"));
        remove_dir(&fresh)?;
        let made = create_dir(&fresh)
            .and_then(|()| fill(&fresh))
            .and_then(|()| self.put_in_place(&claim, &fresh));
        if made.is_err() {
            // One that cannot be opened must not be listed, nor keep its name
            // from another. The first error is the one to tell.
            let _ = remove_dir(&fresh);
            if dir.exists() {
                let _ = self.remove(name);
            }
        }
        made
    }

    fn put_in_place(&self, claim: &Claim<'_>, fresh: &Path) -> Result<Arc<Engine>, IndexError> {
        fault::point("collection.made");
        disk::rename(fresh, &self.collection_dir(claim.name()))?;
        sync_dir(&self.dir.join("collections"))?;
        fault::point("collection.renamed");
        self.open_engine(claim)
    }

    /// Opens a collection, or hands out the open one.
    pub fn collection(&self, name: &CollectionName) -> Result<Arc<Engine>, IndexError> {
        if let Some(engine) = self.engines.get(name) {
            return Ok(engine);
        }
        self.existing_dir(name)?;
        let claim = self.engines.claim(name);
        if let Some(engine) = claim.engine() {
            return Ok(engine);
        }
        self.open_engine(&claim)
    }

    /// A collection's engine if it is open; it is not opened for this.
    pub fn open_collection(&self, name: &CollectionName) -> Option<Arc<Engine>> {
        self.engines.get(name)
    }

    /// How many collections stay open.
    pub fn most_open(&self) -> usize {
        self.options.open_collections.max(1)
    }

    fn open_engine(&self, claim: &Claim<'_>) -> Result<Arc<Engine>, IndexError> {
        let dir = self.existing_dir(claim.name())?;
        self.engines.make_room(self.most_open());
        let engine = Arc::new(Engine::open(&dir, &self.options)?);
        claim.opened(&engine);
        Ok(engine)
    }

    /// The names of all collections, in order.
    pub fn collections(&self) -> Result<Vec<CollectionName>, IndexError> {
        let dir = self.dir.join("collections");
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).on("cannot list", &dir)? {
            let entry = entry.on("cannot list", &dir)?;
            if let Ok(name) = CollectionName::new(entry.file_name().to_string_lossy())
                && manifest::is_in(&entry.path())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Writes down in the lock file where this process can be asked, so that
    /// others that want the directory know.
    pub fn record_address(&self, address: &str) -> Result<(), IndexError> {
        write_note(&self.lock.0, Some(address)).on("cannot write", &self.dir.join(LOCK))
    }

    /// Deletes a collection and everything in it.
    ///
    /// # Errors
    /// [`IndexError::CollectionInUse`] if somebody holds its engine.
    pub fn delete(&self, name: &CollectionName) -> Result<(), IndexError> {
        let claim = self.engines.claim(name);
        self.existing_dir(name)?;
        claim.close()?;
        self.remove(name)
    }

    /// Removes a collection's folder, which nobody has open.
    fn remove(&self, name: &CollectionName) -> Result<(), IndexError> {
        let doomed = self.dir.join("collections").join(format!("{name}{OLD}"));
        remove_dir(&doomed)?;
        disk::rename(&self.collection_dir(name), &doomed)?;
        sync_dir(&self.dir.join("collections"))?;
        remove_dir(&doomed)
    }

    /// Throws projections of the collection away and makes them anew from the
    /// log.
    ///
    /// # Errors
    /// [`IndexError::CollectionInUse`] if somebody holds its engine.
    pub fn rebuild(
        &self,
        name: &CollectionName,
        which: &[Projection],
    ) -> Result<Arc<Engine>, IndexError> {
        let claim = self.engines.claim(name);
        let dir = self.existing_dir(name)?;
        claim.close()?;
        let manifest = manifest::Root::open(&dir)?.manifest();
        for entry in &manifest.generations {
            let folder = projections::generation_dir(&dir, entry.folder);
            for projection in which {
                remove_dir(&folder.join(projection.name()))?;
            }
        }
        self.open_engine(&claim)
    }

    /// Saves what is whole of a damaged log, and opens the collection.
    ///
    /// A collection that can be opened and audited needs no salvage: check that
    /// first. Projections are made anew from what is left.
    ///
    /// # Errors
    /// [`IndexError::CollectionInUse`] if somebody holds its engine.
    pub fn salvage(
        &self,
        name: &CollectionName,
    ) -> Result<(Arc<Engine>, SalvageReport), IndexError> {
        let claim = self.engines.claim(name);
        let dir = self.existing_dir(name)?;
        claim.close()?;
        let report = salvage(&dir)?;
        Ok((self.open_engine(&claim)?, report))
    }

    fn collection_dir(&self, name: &CollectionName) -> PathBuf {
        self.dir.join("collections").join(name.as_str())
    }

    fn existing_dir(&self, name: &CollectionName) -> Result<PathBuf, IndexError> {
        let dir = self.collection_dir(name);
        if manifest::is_in(&dir) {
            return Ok(dir);
        }
        if dir.join("collection.json").is_file() {
            return Err(IndexError::Format {
                path: dir.join("collection.json"),
                expected: "a collection with a manifest".to_owned(),
                found: "one of before the format was fixed: ingest its documents again".to_owned(),
            });
        }
        let known = self.collections()?;
        let known: Vec<&str> = known.iter().map(CollectionName::as_str).collect();
        Err(IndexError::UnknownCollection {
            name: name.clone(),
            known: if known.is_empty() {
                "none yet".to_owned()
            } else {
                known.join(", ")
            },
        })
    }

    /// Removes what a crash left of a collection half made or half deleted.
    fn remove_leftovers(&self) -> Result<(), IndexError> {
        let dir = self.dir.join("collections");
        // Whoever renamed one may have been killed before its name was durable:
        // the former name must not come back to a folder that is half empty.
        sync_dir(&dir)?;
        for entry in fs::read_dir(&dir).on("cannot list", &dir)? {
            let path = entry.on("cannot list", &dir)?.path();
            let name = path.to_string_lossy();
            if name.ends_with(NEW) || name.ends_with(OLD) {
                remove_dir(&path)?;
            }
        }
        Ok(())
    }
}

/// The configurations that a collection or a snapshot in this folder has.
fn settings_in(dir: &Path) -> Result<Vec<CollectionSettings>, IndexError> {
    let generations = manifest::Manifest::read_in(dir)?.generations.into_iter();
    Ok(generations.map(|entry| entry.settings).collect())
}

/// Keeps a data directory out of repositories, and out of an ingestion of the
/// folder that it lies in.
const IGNORE: &str = "# cento-data 1: made by cento, not to be versioned or ingested\n*\n";

/// Endings that no collection's name can have.
const NEW: &str = ".new";
const OLD: &str = ".old";

/// A data directory's lock, as long as it is held.
struct Lock(File);

impl Drop for Lock {
    /// A process that was begun meanwhile has the file as well until it runs its
    /// own program, and would hold the lock for so long.
    fn drop(&mut self) {
        // If it fails, the lock goes with the file.
        let _ = self.0.unlock();
    }
}

fn take_lock(dir: &Path) -> Result<Lock, IndexError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .on("cannot open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            return Err(in_use(dir, &holder));
        }
        Err(TryLockError::Error(source)) => return Err(source).on("cannot lock", &path),
    }
    write_note(&file, None).on("cannot write", &path)?;
    Ok(Lock(file))
}

/// The lock file's name in a data directory.
const LOCK: &str = "lock";
/// What stands before the address in the lock file.
const ADDRESS: &str = " at ";

/// Says in the lock file who holds it. The whole note is written at once, so
/// that a reader sees the old one or the new one.
fn write_note(mut lock: &File, address: Option<&str>) -> io::Result<()> {
    let mut note = format!("cento-lock 1: process {}", std::process::id());
    if let Some(address) = address {
        note.push_str(ADDRESS);
        note.push_str(address);
    }
    note.push('\n');
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(note.as_bytes())?;
    lock.set_len(note.len() as u64)
}

/// Who holds a directory, as the lock file's note says.
fn in_use(dir: &Path, note: &str) -> IndexError {
    let note = note.lines().next().unwrap_or_default().trim();
    let address = note.split_once(ADDRESS).map(|(_, address)| address);
    IndexError::DirectoryInUse {
        path: dir.to_owned(),
        holder: if note.is_empty() {
            "another process".to_owned()
        } else {
            note.to_owned()
        },
        address: address.map(str::to_owned),
    }
}
