//! At which moment does the process die, and how?

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::injection::setting;

/// What happens at a point.
#[derive(Clone)]
pub enum Action {
    /// The process dies at once, as by `kill -9`: nothing is flushed, dropped
    /// or unwound.
    Die,
    /// The thread that came there runs this first: a test waits in it, or
    /// copies the directory as it stands.
    Run(Arc<dyn Fn() + Send + Sync>),
}

struct Armed {
    name: String,
    nth: u64,
    reached: AtomicU64,
    action: Action,
}

struct Points {
    /// Whether there is anything to do at all: points stand in hot loops.
    is_awake: AtomicBool,
    armed: RwLock<Vec<Arc<Armed>>>,
    log: Option<File>,
}

static POINTS: LazyLock<Points> = LazyLock::new(|| {
    let mut armed = Vec::new();
    if let Some(value) = setting("CENTO_FAILPOINT") {
        match parse(&value) {
            Ok((name, nth)) => armed.push(Arc::new(Armed::new(name, nth, Action::Die))),
            Err(reason) => panic!("CENTO_FAILPOINT={value}: {reason}"),
        }
    }
    let log = setting("CENTO_FAILPOINT_LOG").map(|path| open_log("CENTO_FAILPOINT_LOG", &path));
    Points {
        is_awake: AtomicBool::new(log.is_some() || !armed.is_empty()),
        armed: RwLock::new(armed),
        log,
    }
});

impl Armed {
    fn new(name: &str, nth: u64, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            nth: nth.max(1),
            reached: AtomicU64::new(0),
            action,
        }
    }
}

fn parse(value: &str) -> Result<(&str, u64), String> {
    match value.split_once(':') {
        None => Ok((value, 1)),
        Some((name, nth)) => match nth.parse() {
            Ok(nth) if nth > 0 => Ok((name, nth)),
            _ => Err(format!("'{nth}' is not a number from 1 on")),
        },
    }
}

/// A file that lines are added to; a test that asked for it must get it.
pub(super) fn open_log(variable: &str, path: &str) -> File {
    match OpenOptions::new().append(true).create(true).open(path) {
        Ok(file) => file,
        Err(error) => panic!("{variable}={path}: {error}"),
    }
}

/// One whole line in one write, so that threads and processes do not mix.
pub(super) fn add_line(mut log: &File, mut line: String) {
    line.push('\n');
    if let Err(error) = log.write_all(line.as_bytes()) {
        panic!("the log of faults cannot be written: {error}");
    }
}

/// Does what is to be done at a point.
pub(super) fn reached(name: &'static str) {
    for action in due(name) {
        match action {
            Action::Die => die(),
            Action::Run(run) => run(),
        }
    }
}

/// A point in the middle of a step: does half of it first if the process dies
/// there, and nothing otherwise.
pub(super) fn reached_halfway(name: &'static str, half: impl FnOnce()) {
    let due = due(name);
    if due.iter().any(|action| matches!(action, Action::Die)) {
        half();
        die();
    }
    for action in due {
        if let Action::Run(run) = action {
            run();
        }
    }
}

/// What is to be done at a point that is reached.
fn due(name: &'static str) -> Vec<Action> {
    let points = &*POINTS;
    if !points.is_awake.load(Ordering::Relaxed) {
        return Vec::new();
    }
    if let Some(log) = &points.log {
        add_line(log, name.to_owned());
    }
    let armed = points.armed.read().unwrap_or_else(PoisonError::into_inner);
    // Not done here: what a test runs may arm or disarm points itself.
    armed
        .iter()
        .filter(|armed| armed.name == name)
        .filter(|armed| armed.reached.fetch_add(1, Ordering::SeqCst) + 1 == armed.nth)
        .map(|armed| armed.action.clone())
        .collect()
}

/// Does something when a point is reached the `nth` time from now on (from 1).
///
/// Points know no directories: what runs beside the test in the same process
/// reaches them too. A test that cannot bear that runs in a process of its own.
pub fn arm(name: &str, nth: u64, action: Action) {
    let armed = Arc::new(Armed::new(name, nth, action));
    let mut all = POINTS.armed.write().unwrap_or_else(PoisonError::into_inner);
    all.push(armed);
    POINTS.is_awake.store(true, Ordering::Relaxed);
}

/// Makes every point harmless again.
pub fn disarm_all() {
    let mut all = POINTS.armed.write().unwrap_or_else(PoisonError::into_inner);
    all.clear();
    POINTS
        .is_awake
        .store(POINTS.log.is_some(), Ordering::Relaxed);
}

/// SIGKILL rather than an abort: no handler of anybody's sees it, and no core
/// is dumped.
fn die() -> ! {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    // Only a process that may not be killed, as a container's first one.
    std::process::abort()
}
