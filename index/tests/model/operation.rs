//! What can be asked of an engine?

use proptest::prelude::*;

/// One thing to do. Documents, snapshots and words are small numbers.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Puts or replaces.
    Put(Vec<Put>),
    /// Changes metadata.
    Patch {
        document: u8,
        change: Change,
        condition: If,
    },
    Delete {
        document: u8,
        condition: If,
    },
    /// What a model has learned.
    Fit(u8),
    Refresh,
    /// Keeps a view to look at later.
    Hold,
    LetGo,
    Checkpoint,
    Snapshot(u8),
    Restore(u8),
    DeleteSnapshot(u8),
    Begin,
    /// Derives about so many bytes; meanwhile a document is replaced.
    Derive {
        bytes: u64,
        replaced: Option<u8>,
    },
    /// With what is left to be derived, or only if nothing is.
    Switch {
        with_last: bool,
    },
    GiveUp,
    Resume,
    Compact {
        dead_percent: u8,
    },
    Purge {
        snapshots: bool,
    },
    /// Opens the directory anew.
    Reopen {
        checkpoint: bool,
        lost: Option<u8>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) document: u8,
    pub(crate) sentences: Vec<Vec<u8>>,
    pub(crate) n: i64,
    pub(crate) unit: Option<u8>,
    pub(crate) condition: If,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    N(i64),
    NoUnit,
    Unit(u8),
    Open(bool),
}

/// What must stand there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum If {
    Always,
    Absent,
    /// The version that stands, if there is one.
    Current,
    /// One that has stood before, or never.
    Stale,
}

pub(crate) const DOCUMENTS: u8 = 7;
pub(crate) const WORDS: u8 = 6;

fn condition() -> impl Strategy<Value = If> {
    prop_oneof![
        6 => Just(If::Always),
        1 => Just(If::Absent),
        1 => Just(If::Current),
        1 => Just(If::Stale),
    ]
}

fn put() -> impl Strategy<Value = Put> {
    let sentence = prop::collection::vec(0..WORDS, 1..4);
    (
        0..DOCUMENTS,
        prop::collection::vec(sentence, 1..4),
        -3_i64..4,
        prop::option::of(0_u8..3),
        condition(),
    )
        .prop_map(|(document, sentences, n, unit, condition)| Put {
            document,
            sentences,
            n,
            unit,
            condition,
        })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (-3_i64..4).prop_map(Change::N),
        Just(Change::NoUnit),
        (0_u8..3).prop_map(Change::Unit),
        any::<bool>().prop_map(Change::Open),
    ]
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let document = || 0..DOCUMENTS;
    prop_oneof![
        10 => prop::collection::vec(put(), 1..4).prop_map(Operation::Put),
        4 => (document(), change(), condition()).prop_map(|(document, change, condition)| {
            Operation::Patch { document, change, condition }
        }),
        4 => (document(), condition())
            .prop_map(|(document, condition)| Operation::Delete { document, condition }),
        2 => (0_u8..9).prop_map(Operation::Fit),
        3 => Just(Operation::Refresh),
        2 => Just(Operation::Hold),
        1 => Just(Operation::LetGo),
        2 => Just(Operation::Checkpoint),
        2 => (0_u8..2).prop_map(Operation::Snapshot),
        2 => (0_u8..2).prop_map(Operation::Restore),
        1 => (0_u8..2).prop_map(Operation::DeleteSnapshot),
        3 => Just(Operation::Begin),
        3 => (0_u64..300, prop::option::weighted(0.3, document()))
            .prop_map(|(bytes, replaced)| Operation::Derive { bytes, replaced }),
        3 => any::<bool>().prop_map(|with_last| Operation::Switch { with_last }),
        1 => Just(Operation::GiveUp),
        2 => Just(Operation::Resume),
        2 => (0_u8..80).prop_map(|dead_percent| Operation::Compact { dead_percent }),
        1 => any::<bool>().prop_map(|snapshots| Operation::Purge { snapshots }),
        3 => (any::<bool>(), prop::option::of(0_u8..3))
            .prop_map(|(checkpoint, lost)| Operation::Reopen { checkpoint, lost }),
    ]
}
