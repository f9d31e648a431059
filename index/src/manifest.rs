//! Which files make up a collection?
//!
//! The manifest is the root: a file of a collection's folder that it does not
//! name is not there. It is replaced as a whole, so that a change of many
//! files (a segment closed, a generation switched, a snapshot restored) comes
//! about in one moment. It stands in two files that are alike; the copy is
//! renamed into place first, so that a damaged manifest can be taken from it.
//!
//! ```text
//! cento-manifest 1 CRC-32C-of-the-rest\n
//! JSON
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use cento_core::{ChunkNo, FieldTypes, GenerationNo, Sequence};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskFile};
use crate::{CollectionSettings, IndexError, fault, random};

/// The manifest's name in a collection's folder.
const FILE_NAME: &str = "manifest.json";
const COPY_NAME: &str = "manifest.copy.json";

/// Which log this is: a number of its own, drawn when a collection is made,
/// restored or salvaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    /// One that no log has had.
    pub(crate) fn fresh() -> Self {
        // 0 stands for a projection that has followed no log yet.
        Self(random::number().max(1))
    }
}

/// What a collection's folder holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Counts the changes.
    pub(crate) revision: u64,
    pub(crate) epoch: Epoch,
    /// The number that the next segment or folder gets; none is given twice.
    pub(crate) next_file: u64,
    pub(crate) next_generation: GenerationNo,
    /// The last deletion that compaction has dropped: a projection that has not
    /// followed so far cannot be brought forward, only made anew.
    pub(crate) forgotten: Sequence,
    /// Counts the times that generations were given up: what the log has of them
    /// is not needed since.
    #[serde(default)]
    pub(crate) given_up: u64,
    /// The log, in order. Only the last one is open.
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) generations: Vec<GenerationEntry>,
}

/// One segment of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentEntry {
    pub(crate) number: u64,
    /// The file's salt: another file under this name is noticed.
    pub(crate) salt: u64,
    /// The first write that it may hold.
    pub(crate) first: Sequence,
    /// How it ended, unless it is the one that is written to.
    pub(crate) sealed: Option<Sealed>,
    /// Where the table of its records begins, if compaction wrote it.
    pub(crate) table: Option<u64>,
    /// How often generations had been given up when it was begun: of one given
    /// up since it may hold what nobody needs.
    #[serde(default)]
    pub(crate) given_up: u64,
    /// Bytes that compaction has kept in it for something else than the newest
    /// state of the serving generation.
    #[serde(default)]
    pub(crate) kept: u64,
}

impl SegmentEntry {
    /// That of a segment that is open.
    pub(crate) fn open(number: u64, salt: u64, first: Sequence) -> Self {
        Self {
            number,
            salt,
            first,
            sealed: None,
            table: None,
            given_up: 0,
            kept: 0,
        }
    }
}

/// How a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// The last write of its time; compaction may have dropped it.
    pub(crate) last: Sequence,
    pub(crate) bytes: u64,
}

/// One configuration built over the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GenerationEntry {
    pub(crate) number: GenerationNo,
    /// The folder of its projections.
    pub(crate) folder: u64,
    pub(crate) state: GenerationState,
    /// When it was begun, in seconds since 1970.
    pub(crate) created: u64,
    /// The last write that a former generation has followed.
    pub(crate) left_at: Option<Sequence>,
    /// No chunk gets a smaller number: compaction may have dropped those that
    /// had greater ones.
    pub(crate) next_chunk: ChunkNo,
    /// Types that fields had when compaction dropped what gave them.
    pub(crate) fields: FieldTypes,
    pub(crate) settings: CollectionSettings,
}

/// What a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum GenerationState {
    /// It answers queries, and writes are made for it.
    Serving,
    /// It is being built beside the serving one.
    Building,
    /// It has served and is kept for a rollback.
    Former,
}

impl Manifest {
    /// That of a new collection, with no segment yet.
    pub(crate) fn new(settings: &CollectionSettings) -> Self {
        let mut manifest = Self {
            revision: 0,
            epoch: Epoch::fresh(),
            next_file: 1,
            next_generation: GenerationNo(1),
            forgotten: Sequence(0),
            given_up: 0,
            segments: Vec::new(),
            generations: Vec::new(),
        };
        manifest.add_generation(settings, GenerationState::Serving);
        manifest
    }

    /// Enters a generation with a folder of its own.
    pub(crate) fn add_generation(
        &mut self,
        settings: &CollectionSettings,
        state: GenerationState,
    ) -> GenerationNo {
        let number = self.next_generation;
        self.next_generation = GenerationNo(number.0 + 1);
        let entry = GenerationEntry {
            number,
            folder: self.take_file(),
            state,
            created: now(),
            left_at: None,
            next_chunk: ChunkNo(0),
            fields: settings.fields.clone(),
            settings: settings.clone(),
        };
        self.generations.push(entry);
        number
    }

    /// Gives generations up; returns them.
    pub(crate) fn give_up(
        &mut self,
        is_given_up: impl Fn(&GenerationEntry) -> bool,
    ) -> Vec<GenerationEntry> {
        let gone: Vec<_> = (self.generations)
            .extract_if(.., |entry| is_given_up(entry))
            .collect();
        self.given_up += u64::from(!gone.is_empty());
        gone
    }

    /// A number for a file or folder.
    pub(crate) fn take_file(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }

    /// The generation that answers queries.
    pub(crate) fn serving(&self) -> Option<&GenerationEntry> {
        self.in_state(GenerationState::Serving).next()
    }

    /// The generation that is being built.
    pub(crate) fn building(&self) -> Option<&GenerationEntry> {
        self.in_state(GenerationState::Building).next()
    }

    fn in_state(&self, state: GenerationState) -> impl Iterator<Item = &GenerationEntry> {
        self.generations
            .iter()
            .filter(move |entry| entry.state == state)
    }

    /// One generation.
    pub(crate) fn generation(&self, number: GenerationNo) -> Option<&GenerationEntry> {
        self.generations.iter().find(|entry| entry.number == number)
    }

    /// One generation, to be changed.
    pub(crate) fn generation_mut(&mut self, number: GenerationNo) -> Option<&mut GenerationEntry> {
        self.generations
            .iter_mut()
            .find(|entry| entry.number == number)
    }

    /// Reads a manifest file.
    fn read(path: &Path) -> Result<Self, IndexError> {
        let manifest: Self = FILE.read(path)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    /// Refuses one that says what cannot be.
    fn check(&self, path: &Path) -> Result<(), IndexError> {
        let count = |state| self.in_state(state).count();
        if count(GenerationState::Serving) != 1 || count(GenerationState::Building) > 1 {
            let found = "not exactly one serving generation, or two being built";
            return Err(damaged(path, found));
        }
        Ok(())
    }

    /// Reads a folder's manifest, or its copy.
    pub(crate) fn read_in(dir: &Path) -> Result<Self, IndexError> {
        let path = dir.join(FILE_NAME);
        Self::read(&path).or_else(|error| {
            if FILE.is_later(&path) {
                return Err(error);
            }
            Self::read(&dir.join(COPY_NAME)).map_err(|_| error)
        })
    }

    /// Whether a later version has written a folder's manifest.
    pub(crate) fn is_later_in(dir: &Path) -> bool {
        FILE.is_later(&dir.join(FILE_NAME))
    }

    /// Writes a folder's manifest and its copy.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), IndexError> {
        Ok(write(dir, self)?)
    }
}

/// A small file of JSON that says what it is and carries a checksum.
#[derive(Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) kind: &'static str,
    pub(crate) version: u32,
}

const FILE: Checked = Checked {
    kind: "cento-manifest",
    version: 1,
};

impl Checked {
    fn encode<T: Serialize>(self, path: &Path, value: &T) -> Result<Vec<u8>, IndexError> {
        let json = serde_json::to_vec_pretty(value);
        let mut json = json.map_err(|error| self.wrong(path, &error.to_string()))?;
        json.push(b'\n');
        let Self { kind, version } = self;
        let mut bytes = format!("{kind} {version} {:08x}\n", crc32c::crc32c(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    /// Writes a value, whole or not at all.
    pub(crate) fn write<T: Serialize>(self, path: &Path, value: &T) -> Result<(), IndexError> {
        disk::write_atomically(path, &self.encode(path, value)?)
    }

    /// Reads a value.
    pub(crate) fn read<T: DeserializeOwned>(self, path: &Path) -> Result<T, IndexError> {
        let bytes = disk::read(path)?;
        let newline = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        let (head, rest) = bytes.split_at(newline);
        let json = rest.get(1..).unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let expected = format!("{} {} ", self.kind, self.version);
        let Some(crc) = head.strip_prefix(expected.as_str()) else {
            let found: String = head.chars().take(40).collect();
            return Err(self.wrong(path, &format!("'{found}'")));
        };
        if crc != format!("{:08x}", crc32c::crc32c(json)) {
            return Err(self.wrong(path, "bytes that do not match their checksum"));
        }
        serde_json::from_slice(json).map_err(|error| self.wrong(path, &error.to_string()))
    }

    /// Whether a file says that a later version has written it: such a one is
    /// not damaged, and no older copy takes its place.
    fn is_later(self, path: &Path) -> bool {
        let head = disk::read(path).unwrap_or_default();
        let head = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next().unwrap_or(&[]))
            .into_owned();
        let mut words = head.split(' ');
        let version = |word: &str| word.parse::<u32>().ok();
        words.next() == Some(self.kind)
            && (words.next().and_then(version)).is_some_and(|found| found > self.version)
    }

    fn wrong(self, path: &Path, found: &str) -> IndexError {
        IndexError::Format {
            path: path.to_owned(),
            expected: format!("{} version {}", self.kind, self.version),
            found: found.to_owned(),
        }
    }
}

/// A manifest that says what cannot be.
pub(crate) fn damaged(path: &Path, found: &str) -> IndexError {
    FILE.wrong(path, found)
}

/// Whether a folder is a collection's: one of the two files is enough.
pub(crate) fn is_in(dir: &Path) -> bool {
    [FILE_NAME, COPY_NAME]
        .iter()
        .any(|name| dir.join(name).is_file())
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// The manifest of an open collection.
pub(crate) struct Root {
    dir: PathBuf,
    held: Mutex<Held>,
    /// Whether the manifest had to be taken from its copy.
    pub(crate) healed: bool,
    /// Why what was read may not outlast the power, if that is so.
    pub(crate) unsettled: Option<String>,
}

struct Held {
    manifest: Manifest,
    /// Why it cannot be changed any more: nobody knows which one is on disk.
    failure: Option<String>,
}

impl Root {
    /// Writes the manifest of a folder that has none.
    pub(crate) fn create(dir: &Path, manifest: Manifest) -> Result<Self, IndexError> {
        write(dir, &manifest)?;
        Ok(Self::holding(dir, manifest, false, None))
    }

    /// Reads a folder's manifest; takes a damaged one from its copy.
    ///
    /// Whoever wrote it may have been killed before it was durable. Nothing may
    /// be built on it, and nothing removed that it does not name, before it is.
    pub(crate) fn open(dir: &Path) -> Result<Self, IndexError> {
        // Above it stands the collection's own name.
        let parent = dir.parent().map_or(Ok(()), disk::sync_dir);
        let settled = parent.and_then(|()| disk::sync_dir(dir));
        let unsettled = settled.err().map(|error| error.to_string());
        let copy = Manifest::read(&dir.join(COPY_NAME));
        let (manifest, healed) = match Manifest::read(&dir.join(FILE_NAME)) {
            Ok(manifest) => (manifest, false),
            Err(error) => match &copy {
                Ok(copy) if !FILE.is_later(&dir.join(FILE_NAME)) => (copy.clone(), true),
                _ => return Err(error),
            },
        };
        if unsettled.is_none() && (healed || copy.ok().as_ref() != Some(&manifest)) {
            // Where this fails, as on a disk that cannot be written to, reading
            // goes on and the next change says so.
            let _ = write(dir, &manifest);
        }
        Ok(Self::holding(dir, manifest, healed, unsettled))
    }

    fn holding(dir: &Path, manifest: Manifest, healed: bool, unsettled: Option<String>) -> Self {
        let held = Held {
            manifest,
            failure: unsettled.clone(),
        };
        Self {
            dir: dir.to_owned(),
            held: Mutex::new(held),
            healed,
            unsettled,
        }
    }

    /// The collection's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// As it stands.
    pub(crate) fn manifest(&self) -> Manifest {
        self.held().manifest.clone()
    }

    /// A number for a new file that nobody else is given. It is not written
    /// down before the next change: a file that no manifest names is removed
    /// when the collection is opened, and its number may be given out again.
    pub(crate) fn take_file(&self) -> u64 {
        self.held().manifest.take_file()
    }

    /// Why nobody knows which manifest is on the disk, if that is so. Nothing may
    /// be acknowledged then: it could be in a log that is not there any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.held().failure.clone()
    }

    /// Changes the manifest; it is on the disk when this returns. On an error
    /// nothing has changed, or nothing can be changed any more.
    pub(crate) fn update<T>(
        &self,
        change: impl FnOnce(&mut Manifest) -> T,
    ) -> Result<T, IndexError> {
        let mut held = self.held();
        if let Some(reason) = &held.failure {
            return Err(IndexError::WriterStopped {
                reason: reason.clone(),
            });
        }
        let mut manifest = held.manifest.clone();
        manifest.revision += 1;
        let result = change(&mut manifest);
        manifest.check(&self.dir.join(FILE_NAME))?;
        match write(&self.dir, &manifest) {
            Ok(()) => {
                held.manifest = manifest;
                Ok(result)
            }
            Err(Unwritten::Before(error)) => Err(error),
            Err(Unwritten::Unknown(error)) => {
                held.failure = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A manifest that was not written.
enum Unwritten {
    /// The former one stands.
    Before(IndexError),
    /// Nobody knows which one stands.
    Unknown(IndexError),
}

impl From<Unwritten> for IndexError {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Before(error) | Unwritten::Unknown(error) => error,
        }
    }
}

fn write(dir: &Path, manifest: &Manifest) -> Result<(), Unwritten> {
    let [path, copy] = [FILE_NAME, COPY_NAME].map(|name| dir.join(name));
    let [fresh, fresh_copy] = [&path, &copy].map(|path| path.with_extension("tmp"));
    let bytes = FILE.encode(&path, manifest).map_err(Unwritten::Before)?;
    for temporary in [&fresh, &fresh_copy] {
        write_synced(temporary, &bytes).map_err(Unwritten::Before)?;
    }
    fault::point("manifest.written");
    disk::rename(&fresh_copy, &copy).map_err(Unwritten::Unknown)?;
    fault::point("manifest.copy_renamed");
    disk::rename(&fresh, &path).map_err(Unwritten::Unknown)?;
    fault::point("manifest.renamed");
    disk::sync_dir(dir).map_err(Unwritten::Unknown)?;
    fault::point("manifest.synced");
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), IndexError> {
    let file = DiskFile::create(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::new(&CollectionSettings::for_tests())
    }

    #[test]
    fn a_flipped_byte_is_noticed_and_healed_from_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let written = Root::create(dir.path(), manifest()).unwrap().manifest();
        let path = dir.path().join(FILE_NAME);
        let good = std::fs::read(&path).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 0x20;
            std::fs::write(&path, &bad).unwrap();
            assert!(Manifest::read(&path).is_err(), "byte {byte}");
        }
        let root = Root::open(dir.path()).unwrap();
        assert!(root.healed);
        assert_eq!(root.manifest(), written);
        assert_eq!(std::fs::read(&path).unwrap(), good);
    }

    #[test]
    fn a_manifest_damaged_twice_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        Root::create(dir.path(), manifest()).unwrap();
        for name in [FILE_NAME, COPY_NAME] {
            std::fs::write(dir.path().join(name), "nonsense").unwrap();
        }
        let error = Root::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(FILE_NAME), "{error}");
    }

    #[test]
    fn a_change_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::create(dir.path(), manifest()).unwrap();
        let file = root.update(Manifest::take_file).unwrap();
        drop(root);
        let root = Root::open(dir.path()).unwrap();
        assert!(!root.healed);
        assert_eq!(root.manifest().next_file, file + 1);
        assert_eq!(root.manifest().revision, 1);
    }
}
