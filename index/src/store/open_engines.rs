//! Which engines are open, and whose turn is it with a collection?
//!
//! Opening may take minutes, and so may closing. Whoever does either claims the
//! collection's name for so long; the others go on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cento_core::CollectionName;

use crate::{Engine, IndexError};

/// The engines that are open.
#[derive(Default)]
pub(super) struct OpenEngines {
    state: Mutex<State>,
    /// A claim was given up.
    given_up: Condvar,
}

#[derive(Default)]
struct State {
    by_name: HashMap<CollectionName, OpenEngine>,
    claimed: HashSet<CollectionName>,
    /// Counts the times that an engine was asked for.
    clock: u64,
}

struct OpenEngine {
    engine: Arc<Engine>,
    /// When it was asked for last.
    asked: u64,
}

impl OpenEngine {
    /// Whether somebody holds the engine or one of its views: the view's files
    /// would stay open, and sled's lock with them.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.engine) > 1 || self.engine.is_read()
    }
}

/// While it lives, nobody else makes, opens, closes or deletes the collection.
pub(super) struct Claim<'a> {
    engines: &'a OpenEngines,
    name: CollectionName,
}

impl OpenEngines {
    /// The engine, if it is open.
    pub(super) fn get(&self, name: &CollectionName) -> Option<Arc<Engine>> {
        let mut state = self.state();
        state.clock += 1;
        let now = state.clock;
        let open = state.by_name.get_mut(name)?;
        open.asked = now;
        Some(Arc::clone(&open.engine))
    }

    /// Waits for the turn with a collection.
    pub(super) fn claim(&self, name: &CollectionName) -> Claim<'_> {
        let mut state = self.state();
        while state.claimed.contains(name) {
            let waited = self.given_up.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.claimed.insert(name.clone());
        Claim {
            engines: self,
            name: name.clone(),
        }
    }

    /// Closes engines that nobody holds, those first that were not asked for
    /// longest, until no more than `most` are open, opened or closed.
    pub(super) fn make_room(&self, most: usize) {
        while let Some((claim, engine)) = self.take_idle(most) {
            // So that opening it again is quick; it loses nothing if not.
            let _ = engine.checkpoint();
            drop(engine);
            drop(claim);
        }
    }

    fn take_idle(&self, most: usize) -> Option<(Claim<'_>, Arc<Engine>)> {
        let mut state = self.state();
        if state.by_name.len() + state.claimed.len() <= most {
            return None;
        }
        let idle = (state.by_name.iter())
            .filter(|(name, open)| !open.is_held() && !state.claimed.contains(*name))
            .min_by_key(|(_, open)| open.asked)
            .map(|(name, _)| name.clone())?;
        let open = state.by_name.remove(&idle)?;
        state.claimed.insert(idle.clone());
        let claim = Claim {
            engines: self,
            name: idle,
        };
        Some((claim, open.engine))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// The collection's name.
    pub(super) fn name(&self) -> &CollectionName {
        &self.name
    }

    /// Its engine, if another opened it meanwhile.
    pub(super) fn engine(&self) -> Option<Arc<Engine>> {
        self.engines.get(&self.name)
    }

    /// Hands out an engine from now on.
    pub(super) fn opened(&self, engine: &Arc<Engine>) {
        let mut state = self.engines.state();
        state.clock += 1;
        let open = OpenEngine {
            engine: Arc::clone(engine),
            asked: state.clock,
        };
        state.by_name.insert(self.name.clone(), open);
    }

    /// Closes the engine, which nobody else may hold: two engines must never
    /// write to one log.
    ///
    /// # Errors
    /// [`IndexError::CollectionInUse`] if somebody does.
    pub(super) fn close(&self) -> Result<(), IndexError> {
        let closed = {
            let mut state = self.engines.state();
            let open = state.by_name.get(&self.name);
            if open.is_some_and(OpenEngine::is_held) {
                let name = self.name.clone();
                return Err(IndexError::CollectionInUse { name });
            }
            state.by_name.remove(&self.name)
        };
        drop(closed);
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.engines.state().claimed.remove(&self.name);
        self.engines.given_up.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_at_a_time_has_a_collection_and_others_are_not_kept_from_theirs() {
        let engines = OpenEngines::default();
        let name = |text: &str| CollectionName::new(text).unwrap();
        let held = engines.claim(&name("slow"));
        drop(engines.claim(&name("other")));
        let (told, hears) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let claim = engines.claim(&name("slow"));
                told.send(claim.name().clone()).unwrap();
            });
            assert!(hears.recv_timeout(Duration::from_millis(50)).is_err());
            drop(held);
            assert_eq!(hears.recv(), Ok(name("slow")));
        });
    }
}
