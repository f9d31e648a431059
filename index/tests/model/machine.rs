//! Do engine and model answer alike through a whole life?

use proptest::prelude::*;

use crate::operation::operation;
use crate::world::World;

/// Lives in `cargo test`, where nobody asks for more.
const CASES: u32 = 64;

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    // A life that fails is printed whole, and short.
    config.failure_persistence = None;
    config.max_shrink_iters = 400;
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_does_what_a_map_in_memory_would(
        life in prop::collection::vec((operation(), 0_usize..6, -3_i64..4), 1..50)
    ) {
        let mut world = World::new();
        for (operation, word, n) in life {
            world.apply(&operation);
            world.compare(word, n);
        }
        world.end();
    }
}
