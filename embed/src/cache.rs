//! Which texts have been embedded before, and what did they give?
//!
//! A neural model takes milliseconds a text, a remote one money. What it said is
//! kept in a file, under the model's fingerprint and the text, so that a document
//! that comes again, a collection made anew, or one cut in another way pay only for
//! texts that were never embedded. The file is a convenience: whatever is wrong
//! with it, texts are embedded as if it were not there.
//!
//! It is bounded. Vectors are written to one table, and what was asked for and
//! found in the other moves there; when the first has its half of the space, the
//! other one is dropped and they change places. So what goes is what nobody has
//! asked for longest.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use redb::{Database, Error, ReadableDatabase, ReadableTable, TableDefinition, TableError};

type Vectors = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;

/// Which vectors belong to is written into the key, so that tables need no more.
const TABLES: [Vectors; 2] = [TableDefinition::new("a"), TableDefinition::new("b")];
/// Which of the tables is written to, and how many bytes that has.
const STATE: TableDefinition<'static, (), (u8, u64)> = TableDefinition::new("state");

/// Its name in a data directory.
const FILE: &str = "embeddings.redb";

/// What tells keys of this format from those of any other.
const CONTEXT: &str = "cento embedding cache 1";

/// What an entry takes beside its vector: its key, and where it is.
const ENTRY: u64 = 40;

/// Keys come in no order, so that pages are a little more than half full, and those
/// of a dropped table are free only after the next write.
const PAGES: u64 = 2;

/// Pages kept in memory: a lookup reads each vector once.
const PAGES_BYTES: usize = 16 << 20;

/// Vectors of texts that were embedded before, in a file.
#[derive(Debug)]
pub struct EmbeddingCache {
    path: PathBuf,
    most_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// It is opened when a model is used that is worth it.
    Unopened,
    Open(Database),
    /// Something was wrong with it: it is left alone until the next start.
    Unusable,
}

/// A vector that was kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) vector: Vec<f32>,
    /// Whether it will be dropped next unless it is kept again.
    pub(crate) is_old: bool,
}

/// What a text is kept under.
pub(crate) type Key = [u8; 32];

/// The key of a document's text and a model.
pub(crate) fn key(fingerprint: &str, text: &str) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&(fingerprint.len() as u64).to_le_bytes());
    hasher.update(fingerprint.as_bytes());
    hasher.update(text.as_bytes());
    *hasher.finalize().as_bytes()
}

impl EmbeddingCache {
    /// How much it holds unless something else is said.
    pub const DEFAULT_BYTES: u64 = 1 << 30;

    /// The cache of a data directory. One that may hold nothing can be cleared of what
    /// it held before.
    pub fn of_directory(dir: &Path, most_bytes: u64) -> Self {
        Self::new(dir.join(FILE), most_bytes)
    }

    /// A cache in this file, which is made when it is first needed, of about so many
    /// bytes at most: what it holds takes no more on the disk, though the file's
    /// length, which grows by doubling, may say twice as much.
    pub fn new(path: impl Into<PathBuf>, most_bytes: u64) -> Self {
        Self {
            path: path.into(),
            most_bytes,
            state: Mutex::new(State::Unopened),
        }
    }

    /// Whether it may hold nothing.
    pub(crate) fn is_off(&self) -> bool {
        self.most_bytes == 0
    }

    /// Forgets everything, and removes the file.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub fn clear(&self) -> io::Result<()> {
        let mut state = self.lock();
        *state = State::Unopened;
        remove(&self.path)
    }

    /// What is known of each.
    pub(crate) fn get(&self, keys: &[Key], dimensions: usize) -> Vec<Option<Found>> {
        let found = self.with(|database| find(database, keys, dimensions));
        found.unwrap_or_else(|| vec![None; keys.len()])
    }

    /// Keeps what was embedded.
    pub(crate) fn put(&self, vectors: &BTreeMap<Key, &[f32]>) {
        // What takes more than the whole has no place in it.
        let bytes: u64 = vectors.values().map(|vector| entry_bytes(vector)).sum();
        if !vectors.is_empty() && bytes <= self.most_bytes / 2 {
            self.with(|database| keep(database, vectors, self.most_bytes / 2));
        }
    }

    /// Runs what may fail, and goes on without a cache if it does.
    fn with<R>(&self, work: impl FnOnce(&Database) -> Result<R, Error>) -> Option<R> {
        let mut state = self.lock();
        let attempt = || {
            if let State::Unopened = *state {
                *state = State::Open(open(&self.path)?);
            }
            match &*state {
                State::Open(database) => work(database).map(Some),
                _ => Ok(None),
            }
        };
        // The library is sure of what it reads and panics where that is wrong.
        let result = catch_unwind(AssertUnwindSafe(attempt));
        let damaged = || Error::Corrupted("it is not what was written".to_owned());
        match result.unwrap_or_else(|_| Err(damaged())) {
            Ok(result) => result,
            Err(error) => {
                *state = State::Unusable;
                self.tell(&error);
                None
            }
        }
    }

    /// What is no cache any more would be no use at the next start either.
    fn tell(&self, error: &Error) {
        let path = self.path.display();
        tracing::warn!(%path, %error, "texts are embedded without the cache of embeddings, which cannot be used");
        let is_damage = match error {
            Error::Corrupted(_) | Error::UpgradeRequired(_) | Error::TableTypeMismatch { .. } => {
                true
            }
            // What it says of a file that was never its own.
            Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
        };
        if is_damage && let Err(error) = remove(&self.path) {
            tracing::warn!(%path, %error, "the damaged cache of embeddings cannot be removed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Result<Database, Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut builder = Database::builder();
    builder.set_cache_size(PAGES_BYTES);
    builder.set_check_integrity_on_open(true);
    Ok(builder.create(path)?)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn entry_bytes(vector: &[f32]) -> u64 {
    (ENTRY + size_of_val(vector) as u64) * PAGES
}

fn find(database: &Database, keys: &[Key], dimensions: usize) -> Result<Vec<Option<Found>>, Error> {
    let reading = database.begin_read()?;
    let mut found = vec![None; keys.len()];
    let filled = match reading.open_table(STATE) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(found),
        state => state?.get(())?.map_or(0, |state| state.value().0.min(1)),
    };
    for is_old in [false, true] {
        let table = TABLES[usize::from(filled) ^ usize::from(is_old)];
        let table = match reading.open_table(table) {
            Err(TableError::TableDoesNotExist(_)) => continue,
            table => table?,
        };
        for (key, found) in keys.iter().zip(&mut found) {
            if found.is_none()
                && let Some(bytes) = table.get(key)?
            {
                let numbers = bytes.value().as_chunks::<4>().0;
                let vector: Vec<f32> = numbers
                    .iter()
                    .map(|&four| f32::from_le_bytes(four))
                    .collect();
                // Another length is of no use to this model.
                *found = (vector.len() == dimensions).then_some(Found { vector, is_old });
            }
        }
    }
    Ok(found)
}

/// Writes to the table that is filled, and begins anew with the other one when it is
/// full.
fn keep(database: &Database, vectors: &BTreeMap<Key, &[f32]>, most: u64) -> Result<(), Error> {
    let writing = database.begin_write()?;
    {
        let mut state = writing.open_table(STATE)?;
        let (mut filled, mut bytes) = state.get(())?.map_or((0, 0), |state| state.value());
        let added: u64 = vectors.values().map(|vector| entry_bytes(vector)).sum();
        if bytes + added > most {
            filled = 1 - filled.min(1);
            bytes = 0;
            writing.delete_table(TABLES[usize::from(filled)])?;
        }
        let mut table = writing.open_table(TABLES[usize::from(filled)])?;
        for (key, vector) in vectors {
            let value: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            let is_new = table.insert(key, value.as_slice())?.is_none();
            bytes += if is_new { entry_bytes(vector) } else { 0 };
        }
        state.insert((), (filled, bytes))?;
    }
    Ok(writing.commit()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn cache(folder: &Path, most_bytes: u64) -> EmbeddingCache {
        EmbeddingCache::new(folder.join("below/embeddings.redb"), most_bytes)
    }

    fn keys(numbers: std::ops::Range<usize>) -> Vec<Key> {
        numbers.map(|i| key("m", &format!("text {i}"))).collect()
    }

    fn put(cache: &EmbeddingCache, keys: &[Key], vector: &[f32]) {
        cache.put(&keys.iter().map(|&key| (key, vector)).collect());
    }

    fn known(cache: &EmbeddingCache, keys: &[Key]) -> usize {
        cache.get(keys, 3).iter().flatten().count()
    }

    #[test]
    fn what_was_kept_is_found_at_the_next_start_with_all_its_bits() {
        let folder = tempfile::tempdir().expect("a folder");
        let vector = [0.1, -f32::MIN_POSITIVE, 1.0];
        let keys = keys(0..4);
        {
            let cache = cache(folder.path(), 1 << 20);
            assert_eq!(known(&cache, &keys), 0);
            put(&cache, &keys[..2], &vector);
            assert_eq!(known(&cache, &keys), 2);
        }
        let cache = cache(folder.path(), 1 << 20);
        let found = cache.get(&keys, 3);
        let expected = Some(Found {
            vector: vector.to_vec(),
            is_old: false,
        });
        assert_eq!(found, [expected.clone(), expected, None, None]);
        // A model with as many dimensions asks for its own.
        assert_ne!(key("m", "text 0"), key("mt", "ext 0"));
        assert_eq!(cache.get(&keys[..1], 4), [None]);
        cache.clear().expect("removed");
        assert_eq!(known(&cache, &keys), 0);
    }

    #[test]
    fn what_nobody_asks_for_goes_first_and_the_file_stays_within_bounds() {
        const MOST: u64 = 4 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path(), MOST);
        let vector = vec![0.5; 384];
        let wanted = keys(0..10);
        put(&cache, &wanted, &vector);
        for round in 1..80 {
            put(&cache, &keys(round * 100..(round + 1) * 100), &vector);
            let found = cache.get(&wanted, 384);
            let old: Vec<Key> = (wanted.iter().zip(&found))
                .filter(|(_, found)| found.as_ref().is_some_and(|found| found.is_old))
                .map(|(&key, _)| key)
                .collect();
            assert_eq!(found.iter().flatten().count(), 10, "round {round}");
            put(&cache, &old, &vector);
        }
        let kept = cache.get(&keys(0..8000), 384);
        let kept = kept.iter().flatten().count() as u64;
        let most = MOST / entry_bytes(&vector);
        assert!(kept <= most && kept > most / 3, "{kept} of {most}");
        assert_eq!(cache.get(&keys(100..200), 384), vec![None; 100]);
        let about = fs::metadata(&cache.path).expect("it is there");
        let header = 1 << 16;
        let (length, on_disk) = (about.len(), about.blocks() * 512);
        assert!(
            length <= 2 * MOST + header && on_disk <= MOST + header,
            "{length} {on_disk}"
        );
        // More at once than there is room for.
        put(&cache, &keys(8000..10_000), &vector);
        assert_eq!(cache.get(&keys(8000..8001), 384), [None]);
    }

    #[test]
    fn a_file_that_is_no_cache_any_more_is_thrown_away_and_nothing_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = keys(0..2000);
        let path = cache(folder.path(), 1 << 20).path;
        let fill = || {
            let cache = cache(folder.path(), 1 << 20);
            put(&cache, &keys, &[1.0, 2.0, 3.0]);
            cache
        };
        drop(fill());
        let whole = fs::read(&path).expect("read");
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let mut damaged = vec![vec![], b"no cache".to_vec(), whole[..5000].to_vec()];
        damaged.extend((0..40).map(|i| flipped(whole.len() * i / 40)));
        for bytes in damaged {
            fs::write(&path, &bytes).expect("written");
            // Whatever it says, it says nothing false, and the next start is well.
            for found in cache(folder.path(), 1 << 20).get(&keys, 3).iter().flatten() {
                assert_eq!(found.vector, [1.0, 2.0, 3.0]);
            }
            if known(&fill(), &keys) != keys.len() {
                assert_eq!(known(&fill(), &keys), keys.len());
            }
        }
    }

    #[test]
    fn where_no_file_can_be_nothing_is_kept_and_nothing_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("below"), "a file").expect("written");
        let cache = cache(folder.path(), 1 << 20);
        let keys = keys(0..3);
        put(&cache, &keys, &[1.0, 2.0, 3.0]);
        assert_eq!(known(&cache, &keys), 0);
    }
}
