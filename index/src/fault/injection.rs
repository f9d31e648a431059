//! Which operation on the disk fails, and with which error?
//!
//! A rule is written `OP[@PATHPART]:ERROR[:AFTER]`: from the operation
//! number AFTER + 1 on whose path contains PATHPART, it fails. In PATHPART,
//! `*` stands for anything. ERROR is a name as in `errno.h`.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use nix::errno::Errno;

use super::failpoint::{add_line, open_log};
use super::op::Op;

/// The errors that a disk or the system gives in practice.
const ERRORS: [(&str, Errno); 12] = [
    ("EACCES", Errno::EACCES),
    ("EBUSY", Errno::EBUSY),
    ("EDQUOT", Errno::EDQUOT),
    ("EFBIG", Errno::EFBIG),
    ("EINTR", Errno::EINTR),
    ("EIO", Errno::EIO),
    ("EMFILE", Errno::EMFILE),
    ("EMLINK", Errno::EMLINK),
    ("ENFILE", Errno::ENFILE),
    ("ENOMEM", Errno::ENOMEM),
    ("ENOSPC", Errno::ENOSPC),
    ("EROFS", Errno::EROFS),
];

struct Rule {
    op: Op,
    path_part: String,
    error_name: &'static str,
    error: Errno,
    after: u64,
    met: AtomicU64,
}

struct Rules {
    active: RwLock<Vec<Arc<Rule>>>,
    log: Option<File>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let value = setting("CENTO_FAULT").unwrap_or_default();
    let rules = value.split(',').filter(|rule| !rule.is_empty());
    let active = rules.map(|rule| match parse(rule) {
        Ok(rule) => Arc::new(rule),
        Err(reason) => panic!("CENTO_FAULT={value}: {reason}"),
    });
    Rules {
        active: RwLock::new(active.collect()),
        log: setting("CENTO_FAULT_LOG").map(|path| open_log("CENTO_FAULT_LOG", &path)),
    }
});

/// A variable of the environment, if it says anything.
pub(super) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn parse(text: &str) -> Result<Rule, String> {
    let form = || format!("'{text}' is not OP[@PATHPART]:ERROR[:AFTER]");
    // Read from the end: a path may contain a colon.
    let (rest, last) = text.rsplit_once(':').ok_or_else(form)?;
    let (subject, error, after) = match last.parse() {
        Ok(after) => {
            let (subject, error) = rest.rsplit_once(':').ok_or_else(form)?;
            (subject, error, after)
        }
        Err(_) => (rest, last, 0),
    };
    let (op, path_part) = subject.split_once('@').unwrap_or((subject, ""));
    let known = ERRORS.into_iter().find(|(name, _)| *name == error);
    let (error_name, error) = known.ok_or_else(|| {
        let names = ERRORS.map(|(name, _)| name).join(", ");
        format!("no error '{error}'; there is: {names}")
    })?;
    Ok(Rule {
        op: op.parse()?,
        path_part: path_part.to_owned(),
        error_name,
        error,
        after,
        met: AtomicU64::new(0),
    })
}

impl Rule {
    fn concerns(&self, op: Op, path: &Path) -> bool {
        self.op == op && contains_in_order(&path.to_string_lossy(), &self.path_part)
    }
}

/// Whether all parts between the pattern's stars stand in the text, one behind
/// the other.
fn contains_in_order(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Lets an operation pass, or says how it fails.
pub(super) fn check(op: Op, path: &Path, other: Option<&Path>) -> io::Result<()> {
    let rules = &*RULES;
    let active = rules.active.read().unwrap_or_else(PoisonError::into_inner);
    if active.is_empty() && rules.log.is_none() {
        return Ok(());
    }
    let mut failing = None;
    for rule in active.iter() {
        let concerned = rule.concerns(op, path) || other.is_some_and(|to| rule.concerns(op, to));
        if concerned && rule.met.fetch_add(1, Ordering::SeqCst) >= rule.after {
            failing = failing.or(Some(rule));
        }
    }
    if let Some(log) = &rules.log {
        let mut line = format!("{op} {}", path.display());
        if let Some(other) = other {
            line = format!("{line} {}", other.display());
        }
        if let Some(rule) = failing {
            line = format!("{line} {}", rule.error_name);
        }
        add_line(log, line);
    }
    failing.map_or(Ok(()), |rule| {
        Err(io::Error::from_raw_os_error(rule.error as i32))
    })
}

/// Makes operations fail, as `CENTO_FAULT` does, until the answer is dropped.
/// Name the test's own directory in PATHPART: other tests run beside it.
///
/// # Errors
/// What is wrong with the rule.
pub fn fail(rule: &str) -> Result<Failure, String> {
    let rule = Arc::new(parse(rule)?);
    let mut active = RULES.active.write().unwrap_or_else(PoisonError::into_inner);
    active.push(Arc::clone(&rule));
    Ok(Failure { rule })
}

/// Operations that fail as long as this is there.
#[must_use = "operations fail only as long as it is there"]
pub struct Failure {
    rule: Arc<Rule>,
}

impl Failure {
    /// How often it has struck: a test that fails the first operation, then
    /// the second, and so on, has come to the end when this is 0.
    pub fn hits(&self) -> u64 {
        let met = self.rule.met.load(Ordering::SeqCst);
        met.saturating_sub(self.rule.after)
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        let mut active = RULES.active.write().unwrap_or_else(PoisonError::into_inner);
        active.retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}
