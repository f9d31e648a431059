//! Does the engine lose nothing, wherever its process dies?
//!
//! A child, this test's own program, writes and keeps house in a collection of
//! small segments until it dies: at a point that is named, or at any moment.
//! Then the collection is opened again, now and then with a second death while
//! it is mended, and compared with what was acknowledged. A collection lives on
//! for some rounds, so that segments, snapshots and generations gather.
//!
//! `CENTO_CRASH_ROUNDS` sets the number of rounds, `CENTO_CRASH_SEED` the first
//! collection; a failure says how to repeat it, and where it left its files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it prints its seed and figures")]

mod check;
mod child;
#[path = "../engine/corpus.rs"]
#[allow(dead_code, reason = "other tests ask more questions")]
mod corpus;
mod model;
mod points;
mod random;

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use check::check;
use child::{Chore, Life, live, told};
use model::{Model, Op};
use points::{Coverage, Death, Draw};
use random::Random;

const LIFE: &str = "CENTO_CRASH_LIFE";
const SIGKILL: i32 = 9;
/// So many rounds a collection lives.
const ROUNDS: u64 = 25;

/// Only in a child.
#[test]
fn what_a_child_does() {
    if let Ok(life) = std::env::var(LIFE) {
        live(&serde_json::from_str(&life).unwrap());
    }
}

/// Lets a child live; says whether it was killed. One that fails in another way
/// fails the test.
fn run(life: &Life, death: Option<&Death>, log: &Path, usual: Duration) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "what_a_child_does", "--nocapture"])
        .env(LIFE, serde_json::to_string(life).unwrap())
        .env("CENTO_FAILPOINT_LOG", log)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(Death::At(point, nth)) = death {
        command.env("CENTO_FAILPOINT", format!("{point}:{nth}"));
    }
    let mut child = command.spawn().unwrap();
    if let Some(Death::Anywhen(part)) = death {
        std::thread::sleep(usual * *part as u32 / 1000);
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    let was_killed = output.status.signal() == Some(SIGKILL);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        was_killed || output.status.success(),
        "{}: {told}",
        output.status
    );
    was_killed
}

/// The chores that lead past a point.
fn chores_to(point: &str) -> &'static [Chore] {
    match point {
        "disk.link" => &[Chore::Snapshot],
        "disk.half_removed" => &[Chore::Twin, Chore::Purge],
        "generation.resumed" => &[Chore::Reindex, Chore::Rollback],
        "generation.given_up" => &[Chore::Abandon],
        "snapshot.doomed" => &[Chore::Snapshot, Chore::DropSnapshot],
        "vectors.rewritten" | "vectors.listed" => &[Chore::Checkpoint, Chore::Checkpoint],
        _ => match point.split('.').next().unwrap_or_default() {
            "collection" => &[Chore::Snapshot, Chore::Twin],
            "log" if point.contains("first") => &[Chore::Twin],
            "snapshot" => &[Chore::Snapshot],
            "restore" => &[Chore::Snapshot, Chore::Restore],
            "compaction" => &[Chore::Compact],
            "generation" => &[Chore::Reindex],
            "purge" => &[Chore::Reindex, Chore::Purge],
            _ => &[Chore::Checkpoint],
        },
    }
}

/// How often a point is passed at most before the process dies at it.
fn times(point: &str, random: &mut Random) -> u64 {
    let most = match point.split('.').next().unwrap_or_default() {
        // Rarer than writing.
        "disk" if ["disk.link", "disk.mkdir", "disk.half_removed"].contains(&point) => 3,
        "disk" => 100,
        "commit" | "projection" | "log" if point.contains("segment") => 4,
        "commit" | "projection" | "log" => 40,
        "manifest" => 12,
        "text" | "view" => 6,
        _ => 1,
    };
    1 + random.below(most)
}

struct Run {
    points: Vec<String>,
    coverage: Coverage,
    /// How long a life takes that comes to its end.
    usual: Duration,
    acknowledged: u64,
    mended: u64,
}

impl Run {
    /// One round in a collection.
    fn round(&mut self, dir: &Path, model: &mut Model, seed: u64, number: u64) {
        let mut random = Random::new(seed);
        let draw = Draw::new(&self.points, seed, &mut random, times);
        let death = &draw.death;
        let all = [
            Chore::Checkpoint,
            Chore::Snapshot,
            Chore::DropSnapshot,
            Chore::Restore,
            Chore::Compact,
            Chore::Purge,
            Chore::Reindex,
            Chore::Abandon,
            Chore::Rollback,
            Chore::Twin,
        ];
        let mut chores = match death {
            Death::At(point, _) => chores_to(point).to_vec(),
            Death::Anywhen(_) => Vec::new(),
        };
        chores.extend((0..2 + random.below(3)).filter_map(|_| random.of(&all)));
        let life = Life {
            data: dir.join("data"),
            told: dir.join(format!("told-{number}")),
            seed,
            first: 1 + number * 100_000,
            acts: if draw.point.starts_with("vectors.re") {
                300
            } else {
                10 + random.below(30)
            },
            chores,
        };
        let log = dir.join("points");
        let _ = std::fs::remove_file(&log);
        let begun = Instant::now();
        let was_killed = run(&life, Some(death), &log, self.usual);
        if !was_killed {
            self.usual = begun.elapsed();
        }
        self.coverage.reached(&log);
        self.coverage.ended(death, was_killed);
        for event in told(&life.told) {
            if matches!(event.moment, model::Moment::Answered(_)) {
                self.acknowledged += 1;
            }
            model.follow(event).unwrap();
        }
        let under_way: Vec<Op> = model.under_way().cloned().collect();
        assert!(was_killed || under_way.is_empty());
        if let Some(death) = draw.second(&mut random) {
            let opening = Life {
                acts: 0,
                chores: Vec::new(),
                ..life
            };
            let _ = std::fs::remove_file(&log);
            let was_killed = run(&opening, Some(&death), &log, self.usual);
            self.coverage.reached(&log);
            self.coverage.ended(&death, was_killed);
            self.mended += u64::from(was_killed);
        }
        if let Err(wrong) = check(&dir.join("data"), model) {
            panic!("{death:?}, while {under_way:?}: {wrong:#?}");
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn what_was_acknowledged_survives_death_at_every_point() {
    let rounds = setting("CENTO_CRASH_ROUNDS").unwrap_or(30);
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 8;
    let first = setting("CENTO_CRASH_SEED").unwrap_or(clock);
    println!("engine: {rounds} rounds from seed {first} on");
    let points = points::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut run = Run {
        coverage: Coverage::new(&points),
        points,
        usual: Duration::from_millis(500),
        acknowledged: 0,
        mended: 0,
    };
    let begun = Instant::now();
    for collection in 0..rounds.div_ceil(ROUNDS) {
        let seed = first + collection;
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new("sentences");
        let here = ROUNDS.min(rounds - collection * ROUNDS);
        for number in 0..here {
            let round = || run.round(dir.path(), &mut model, seed * ROUNDS + number, number);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(round)) {
                println!(
                    "round {number} of seed {seed} failed; its files are in {}\n\
                     again: CENTO_CRASH_SEED={seed} CENTO_CRASH_ROUNDS={} cargo test -p cento-index --test crash -- --nocapture",
                    dir.keep().display(),
                    number + 1,
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{}", run.coverage.table());
    println!(
        "{rounds} rounds, {:.0} a minute: {} acts acknowledged, none lost; {} died once more while they were mended",
        rounds as f64 / minutes,
        run.acknowledged,
        run.mended
    );
    let missing = run.coverage.missing();
    println!("not died at: {missing:?}");
    let missing = missing.iter().filter(|point| !points::is_elsewhere(point));
    assert!(
        rounds < 1000 || missing.count() == 0,
        "a point at which nothing died"
    );
}
