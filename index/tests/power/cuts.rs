//! Does every disk that a power cut can leave open, and hold what it must?

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cento_core::Sequence;
use cento_index::fault::{Cut, Journal, Loss};
use cento_index::{Engine, PutOutcome, Store};
use tempfile::TempDir;

use crate::catalogs::{self, Copy, Kind};
use crate::corpus;
use crate::script::{self, Life, PROBE};
use crate::state::{State, observe};

const LOSSES: [Loss; 5] = [
    Loss::DropUnsynced,
    Loss::KeepAll,
    Loss::ZeroUnsynced,
    Loss::Torn { seed: 1 },
    Loss::Torn { seed: 2 },
];

/// About how many disks `cargo test` looks at.
const SAMPLE: usize = 300;

/// One disk that a cut can leave.
#[derive(Debug, Clone, Copy)]
struct Disk {
    cut: Cut,
    loss: Loss,
    kind: Kind,
    /// Decides what is left to chance.
    draw: usize,
}

/// Points know no directories: what arms them runs alone.
pub(crate) static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn what_was_acknowledged_outlasts_the_power() {
    let _alone = ALONE.lock();
    let dir = fast_dir();
    let life = script::live(dir.path());
    let disks = chosen(all_disks(&life));
    let failures = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(8) {
            scope.spawn(|| {
                while let Some(disk) = disks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(reason) = look(|| look_at(&life, *disk)) {
                        failures.lock().unwrap().push((*disk, reason));
                    }
                }
            });
        }
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for disk in &disks {
        *counts.entry(format!("{:?}", disk.kind)).or_default() += 1;
        *counts.entry(format!("{:?}", disk.loss)).or_default() += 1;
    }
    println!(
        "{} steps, {} sync points, {} cuts, {} copies of the catalogs; {} disks: {counts:?}",
        life.steps.len(),
        life.journal.sync_points(),
        life.journal.cuts().len(),
        life.copies.len(),
        disks.len(),
    );
    let mut failures = failures.into_inner().unwrap();
    failures.sort_by_key(|(disk, _)| disk.draw);
    let first: Vec<_> = failures.iter().take(10).collect();
    assert!(
        failures.is_empty(),
        "{} of {} disks are wrong: {first:#?}",
        failures.len(),
        disks.len()
    );
}

/// Every disk, in an order in which neighbours differ in all that they can.
fn all_disks(life: &Life) -> Vec<Disk> {
    let mut disks = Vec::new();
    for (at, cut) in life.journal.cuts().into_iter().enumerate() {
        for (by, loss) in LOSSES.into_iter().enumerate() {
            for turn in 0..Kind::ALL.len() {
                // So that the first of a cut's disks go through all kinds too.
                let kind = Kind::ALL[(at + by + turn) % Kind::ALL.len()];
                disks.push(Disk {
                    cut,
                    loss,
                    kind,
                    draw: disks.len(),
                });
            }
        }
    }
    disks
}

/// How many disks are asked for, if somebody has.
pub(crate) fn wanted() -> Option<usize> {
    match std::env::var("CENTO_POWER_CUTS").as_deref() {
        Ok("all") => Some(usize::MAX),
        Ok(number) => Some(number.parse().expect("CENTO_POWER_CUTS: a number, or all")),
        Err(_) => None,
    }
}

/// The sample that is asked for.
fn chosen(disks: Vec<Disk>) -> Vec<Disk> {
    let wanted = wanted().unwrap_or(SAMPLE);
    // Odd and no multiple of five, so that every loss and kind comes by.
    let mut stride = (disks.len() / wanted.max(1)).max(1);
    while stride > 1 && (stride.is_multiple_of(2) || stride.is_multiple_of(5)) {
        stride += 1;
    }
    disks.into_iter().step_by(stride).collect()
}

/// A directory in memory, where there is one: nothing here waits for a disk.
pub(crate) fn fast_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Makes a panic a reason.
pub(crate) fn look(at: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let looked = catch_unwind(AssertUnwindSafe(at));
    looked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn look_at(life: &Life, disk: Disk) -> Result<(), String> {
    let into = fast_dir();
    let (done, copies) = life.before(disk.cut);
    (life.journal.state_at(disk.cut, disk.loss, into.path())).map_err(|e| e.to_string())?;
    catalogs::place(disk.kind, &life.copies[..copies], disk.draw, into.path());
    // Half of the disks lose the power once more, while they are mended.
    let again = disk.draw % 2 == 1;
    let second = again.then(|| Second::begin(into.path()));
    let found = open(life, done, into.path(), second.as_ref())
        .map_err(|reason| format!("after {}: {reason}", after(life, done)))?;
    match second {
        None => reopen(into.path(), &found, true),
        Some(second) => {
            let cuts = second.journal.cuts();
            let cut = cuts[disk.draw / 2 % cuts.len()];
            let last = fast_dir();
            let state = second.journal.state_at(cut, disk.loss, last.path());
            state.map_err(|e| e.to_string())?;
            let marks = second.journal.marks_before(cut);
            let copies = second.copies.into_inner().unwrap();
            catalogs::place(disk.kind, &copies[..=marks.len()], disk.draw, last.path());
            if done == 0 && marks.is_empty() && is_empty(last.path()) {
                // The second life's first answer was still to come.
                return Ok(());
            }
            reopen(
                last.path(),
                &found,
                marks.iter().any(|mark| mark == WRITTEN),
            )
            .map_err(|reason| format!("mended, cut again at {cut:?}: {reason}"))
        }
    }
}

fn is_empty(dir: &Path) -> bool {
    Store::open(dir).is_ok_and(|store| store.collections().is_ok_and(|all| all.is_empty()))
}

/// What is noted while a disk is mended.
struct Second {
    journal: Journal,
    copies: Mutex<Vec<Copy>>,
}

const OPENED: &str = "opened";
const WRITTEN: &str = "written";

impl Second {
    fn begin(dir: &Path) -> Self {
        Self {
            journal: Journal::start(dir).unwrap(),
            copies: Mutex::new(vec![catalogs::copy(dir)]),
        }
    }

    fn mark(&self, label: &str, dir: &Path) {
        self.copies.lock().unwrap().push(catalogs::copy(dir));
        self.journal.mark(label);
    }
}

fn after(life: &Life, done: usize) -> String {
    let name = |at: usize| life.steps.get(at).map(|step| step.name.as_str());
    let before = done.checked_sub(1).and_then(name);
    format!(
        "{:?}, before {:?}",
        before.unwrap_or(""),
        name(done).unwrap_or("")
    )
}

/// What was there when a disk was opened, and what when it had been written to.
struct Found {
    before: State,
    written: State,
}

/// Opens a disk, looks at it and writes to it.
fn open(life: &Life, done: usize, dir: &Path, second: Option<&Second>) -> Result<Found, String> {
    let store = Store::open_with(dir, script::options()).map_err(|e| e.to_string())?;
    let engine = match store.collection(&corpus::name()) {
        Ok(engine) => engine,
        // Not promised yet, but then it must be as if it had never been.
        Err(_) if done == 0 && store.collections().is_ok_and(|all| all.is_empty()) => (store)
            .create(&corpus::name(), &corpus::settings())
            .map_err(|e| e.to_string())?,
        Err(error) => return Err(error.to_string()),
    };
    let (before, sequence) = observe(&engine).map_err(|e| e.to_string())?;
    is_allowed(life, done, &before, sequence)?;
    is_clean(&engine)?;
    if let Some(second) = second {
        second.mark(OPENED, dir);
    }
    let outcomes = engine.put(engine.view().generation(), vec![script::probe()]);
    match outcomes.map_err(|e| e.to_string())?[0] {
        PutOutcome::Stored(Sequence(number)) if number > sequence => {}
        ref other => return Err(format!("after write {sequence}: {other:?}")),
    }
    if let Some(second) = second {
        second.mark(WRITTEN, dir);
    }
    engine.checkpoint().map_err(|e| e.to_string())?;
    is_clean(&engine)?;
    let (written, _) = observe(&engine).map_err(|e| e.to_string())?;
    let mut expected = before.documents.clone();
    expected.insert(PROBE.to_owned(), script::probe_kept());
    is_same("documents", &expected, &written.documents)?;
    is_same("snapshots", &before.snapshots, &written.snapshots)?;
    Ok(Found { before, written })
}

/// Opens a disk once more.
fn reopen(dir: &Path, found: &Found, is_written: bool) -> Result<(), String> {
    let store = Store::open_existing_with(dir, script::options()).map_err(|e| e.to_string())?;
    let engine = (store.collection(&corpus::name())).map_err(|e| e.to_string())?;
    let (state, _) = observe(&engine).map_err(|e| e.to_string())?;
    if is_written || state != found.before {
        is_same("state when opened again", &found.written, &state)?;
    }
    is_clean(&engine)
}

/// Whether a disk holds what was acknowledged, and of the step that was under
/// way all or nothing.
fn is_allowed(life: &Life, done: usize, state: &State, sequence: u64) -> Result<(), String> {
    let nothing = State {
        // A collection just made has its generation.
        generations: life.steps[0].after.generations.clone(),
        ..State::default()
    };
    let before = done.checked_sub(1).map(|at| &life.steps[at]);
    let promised = before.map_or(0, |step| step.sequence);
    if sequence < promised {
        return Err(format!(
            "write {promised} was promised, {sequence} is the last"
        ));
    }
    let next = life.steps.get(done);
    let allowed = [before.map_or(&nothing, |step| &step.after)]
        .into_iter()
        .chain(
            next.into_iter()
                .flat_map(|step| step.between.iter().chain([&step.after])),
        );
    let allowed: Vec<_> = allowed.collect();
    if allowed.contains(&state) {
        return Ok(());
    }
    Err(format!(
        "one of {allowed:#?} was expected, found {state:#?}"
    ))
}

pub(crate) fn is_clean(engine: &Engine) -> Result<(), String> {
    let report = engine.audit().map_err(|e| format!("the audit: {e}"))?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(format!("the audit: {report:?}"))
    }
}

fn is_same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:#?}, found {found:#?}"))
    }
}
