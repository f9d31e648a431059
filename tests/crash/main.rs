//! Does the binary lose nothing, wherever and whenever it dies?
//!
//! Several clients put, stream, replace, patch and delete documents at a server
//! of small log segments while another makes snapshots and goes back to them,
//! reindexes, compacts, purges and rebuilds; or a file is ingested by a
//! command. The process dies at a point that is named, or by `kill -9` at any
//! moment; then it is served again, now and then after a second death while it
//! was mended, and compared with what was acknowledged. A collection lives on
//! for some rounds, so that segments, snapshots and generations gather.
//!
//! `CENTO_CRASH_ROUNDS` sets the number of rounds, `CENTO_CRASH_SEED` the first
//! collection; a failure says how to repeat it and how to go on behind it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it prints its seed and figures")]

mod acts;
mod check;
#[path = "../../index/tests/crash/model.rs"]
mod model;
#[path = "../../index/tests/crash/points.rs"]
mod points;
#[path = "../../index/tests/crash/random.rs"]
mod random;
mod served;

use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use acts::{Chore, Clients, DEFAULT, DOCUMENTS, WRITERS, document};
use check::check;
use model::{Model, Op};
use points::{Coverage, Death, Draw};
use random::Random;
use serde_json::{Value, json};
use served::{Client, Served, command};

/// So many rounds a collection lives.
const ROUNDS: u64 = 20;
/// One in so many rounds ingests by a command, drawn: counted off, they could
/// fall on the same points again and again.
const COMMANDS: u64 = 8;

/// The chores that lead past a point.
fn chores_to(point: &str) -> &'static [Chore] {
    match point {
        "disk.link" | "snapshot.doomed" => &[Chore::Snapshot, Chore::DropSnapshot],
        "disk.half_removed" => &[Chore::Twin],
        "disk.mkdir" => &[Chore::Snapshot, Chore::Twin],
        "generation.resumed" => &[Chore::Reindex, Chore::Rollback],
        "generation.given_up" => &[Chore::Reindex, Chore::Drop],
        _ => match point.split('.').next().unwrap_or_default() {
            "collection" => &[Chore::Twin],
            // The twin's points are passed while it is made.
            "log" if point.contains("first") => &[Chore::Twin],
            // Snapshots roll the log.
            "log" if point.contains("next") => &[Chore::Snapshot],
            "snapshot" => &[Chore::Snapshot],
            "restore" => &[Chore::Snapshot, Chore::Restore],
            "compaction" => &[Chore::Compact],
            "generation" => &[Chore::Reindex],
            "purge" => &[Chore::Reindex, Chore::Purge],
            "checkpoint" | "vectors" => &[Chore::Compact],
            _ => &[],
        },
    }
}

/// How often a point is passed at most before the process dies at it.
fn times(point: &str, random: &mut Random) -> u64 {
    let most = match point.split('.').next().unwrap_or_default() {
        // Rarer than writing.
        "disk" if ["disk.link", "disk.mkdir", "disk.half_removed"].contains(&point) => 3,
        "disk" => 60,
        "commit" | "projection" | "log" if point.contains("segment") => 2,
        "commit" | "projection" | "log" => 20,
        "manifest" | "text" | "view" => 5,
        _ => 1,
    };
    1 + random.below(most)
}

/// How often each client acts: vectors are written anew where many are dead.
fn acts_to(point: &str, random: &mut Random) -> u64 {
    if point.starts_with("vectors.re") {
        200
    } else {
        8 + random.below(16)
    }
}

struct Run {
    points: Vec<String>,
    coverage: Coverage,
    /// How long the work of a life takes that comes to its end.
    usual: Duration,
    acknowledged: AtomicU64,
    mended: u64,
}

/// What a round is about.
struct Plan<'a> {
    dir: &'a Path,
    seed: u64,
    number: u64,
    death: &'a Death,
    chores: Vec<Chore>,
    acts: u64,
}

impl Plan<'_> {
    fn log(&self) -> std::path::PathBuf {
        self.dir.join("points")
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.join("data")
    }
}

impl Run {
    fn round(&mut self, dir: &Path, model: &Mutex<Model>, seed: u64, number: u64) {
        let mut random = Random::new(seed);
        let draw = Draw::new(&self.points, seed, &mut random, times);
        let all = [
            Chore::Snapshot,
            Chore::DropSnapshot,
            Chore::Restore,
            Chore::Compact,
            Chore::Purge,
            Chore::Reindex,
            Chore::Drop,
            Chore::Rollback,
            Chore::Twin,
            Chore::Rebuild,
        ];
        let mut chores = match &draw.death {
            Death::At(point, _) => chores_to(&point[..]).to_vec(),
            Death::Anywhen(_) => Vec::new(),
        };
        let is_command = chores.is_empty() && random.one_in(COMMANDS);
        chores.extend((0..1 + random.below(3)).filter_map(|_| random.of(&all)));
        let plan = Plan {
            dir,
            seed,
            number,
            death: &draw.death,
            chores,
            acts: acts_to(&draw.point, &mut random),
        };
        let _ = std::fs::remove_file(plan.log());
        let was_killed = if is_command {
            self.ingest(&plan, model)
        } else {
            self.serve(&plan, model)
        };
        self.coverage.reached(&plan.log());
        self.coverage.ended(plan.death, was_killed);
        let under_way: Vec<Op> = model.lock().unwrap().under_way().cloned().collect();
        assert!(was_killed || under_way.is_empty(), "{under_way:?}");
        if let Some(death) = draw.second(&mut random) {
            self.mend(&plan, &death);
        }
        if let Err(wrong) = check(&plan.data(), &mut model.lock().unwrap(), seed) {
            panic!("{:?}, while {under_way:?}: {wrong:#?}", plan.death);
        }
    }

    /// Opens what was left, and lets the process die while it does.
    fn mend(&mut self, plan: &Plan<'_>, death: &Death) {
        let _ = std::fs::remove_file(plan.log());
        let mut doctor = command(&plan.data(), Some(death), Some(&plan.log()));
        let output = doctor.arg("doctor").output().unwrap();
        let was_killed = output.status.code().is_none();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(was_killed || output.status.success(), "{told}");
        self.coverage.reached(&plan.log());
        self.coverage.ended(death, was_killed);
        self.mended += u64::from(was_killed);
    }

    /// A life of a server; says whether it was killed.
    fn serve(&mut self, plan: &Plan<'_>, model: &Mutex<Model>) -> bool {
        let served = Served::start(&plan.data(), Some(plan.death), Some(&plan.log()));
        let Some(url) = served.url.clone() else {
            return served.end();
        };
        let begun = Instant::now();
        let versions = AtomicU64::new(1 + plan.number * 100_000);
        let clients = Clients {
            url: &url,
            model,
            seed: plan.seed,
            versions: &versions,
            acknowledged: &self.acknowledged,
            acting: &RwLock::default(),
        };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let clients = &clients;
                scope.spawn(move || clients.write(writer, plan.acts).is_ok());
            }
            scope.spawn(|| clients.keep_house(&plan.chores).is_ok());
            if let Death::Anywhen(part) = plan.death {
                std::thread::sleep(self.usual * *part as u32 / 1000);
                served.kill();
            }
        });
        if !matches!(plan.death, Death::Anywhen(_)) {
            self.usual = (self.usual + begun.elapsed()) / 2;
        }
        served.end()
    }

    /// A life of an ingestion by command; says whether it was killed.
    fn ingest(&mut self, plan: &Plan<'_>, model: &Mutex<Model>) -> bool {
        let versions = AtomicU64::new(1 + plan.number * 100_000);
        let clients = Clients {
            url: "",
            model,
            seed: plan.seed,
            versions: &versions,
            acknowledged: &self.acknowledged,
            acting: &RwLock::default(),
        };
        let corpus = plan.dir.join("corpus.jsonl");
        let mut file = std::fs::File::create(&corpus).unwrap();
        let mut put = Vec::new();
        for d in 0..DOCUMENTS {
            let version = versions.fetch_add(1, Ordering::Relaxed);
            writeln!(file, "{}", document(d, version)).unwrap();
            put.push((d, version));
        }
        clients.begin_streamed(&put);
        let mut child = command(&plan.data(), Some(plan.death), Some(&plan.log()))
            .args(["ingest", "-c", "crash"])
            .arg(&corpus)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for line in lines {
                    // A line that was cut off was never said.
                    if let Ok(event) = serde_json::from_str::<Value>(&line.unwrap_or_default()) {
                        clients.committed(&event);
                    }
                }
            });
            if let Death::Anywhen(part) = plan.death {
                std::thread::sleep(self.usual * *part as u32 / 1000);
                let _ = child.kill();
            }
        });
        let output = child.wait_with_output().unwrap();
        let was_killed = output.status.code().is_none();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(was_killed || output.status.success(), "{told}");
        was_killed
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// Makes the collection, which every round takes for granted.
fn begin(data: &Path) {
    let served = Served::start(data, None, None);
    let client = Client::new(served.url.as_ref().unwrap());
    let (status, told) = client
        .json("POST", "", &json!({ "name": "crash" }))
        .unwrap();
    assert_eq!(status, 201, "{told}");
    assert!(!served.end());
}

#[test]
fn what_was_acknowledged_survives_death_anywhere_and_anywhen() {
    let rounds = setting("CENTO_CRASH_ROUNDS").unwrap_or(5);
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 60;
    let first = setting("CENTO_CRASH_SEED").unwrap_or(clock);
    println!("binary: {rounds} rounds from seed {first} on");
    let points = points::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("index/src"));
    let mut run = Run {
        coverage: Coverage::new(&points),
        points,
        usual: Duration::from_secs(1),
        acknowledged: AtomicU64::new(0),
        mended: 0,
    };
    let begun = Instant::now();
    for collection in 0..rounds.div_ceil(ROUNDS) {
        let seed = first + collection;
        let dir = tempfile::tempdir().unwrap();
        begin(&dir.path().join("data"));
        let model = Mutex::new(Model::new(DEFAULT));
        let here = ROUNDS.min(rounds - collection * ROUNDS);
        for number in 0..here {
            let round = || run.round(dir.path(), &model, seed * ROUNDS + number, number);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(round)) {
                let command = "cargo test --release --package cento --test crash -- --nocapture";
                println!(
                    "round {number} of seed {seed} failed; its files are in {}\n\
                     again:  CENTO_CRASH_SEED={seed} CENTO_CRASH_ROUNDS={} {command}\n\
                     go on:  CENTO_CRASH_SEED={} CENTO_CRASH_ROUNDS={} {command}",
                    dir.keep().display(),
                    number + 1,
                    seed + 1,
                    rounds.saturating_sub((collection + 1) * ROUNDS),
                );
                std::panic::resume_unwind(panic);
            }
        }
        if rounds > ROUNDS {
            let done = collection * ROUNDS + here;
            let seconds = begun.elapsed().as_secs();
            println!(
                "{done} rounds, {seconds} s; to go on: CENTO_CRASH_SEED={}",
                seed + 1
            );
        }
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    println!("{}", run.coverage.table());
    println!(
        "{rounds} rounds, {:.0} a minute: {} acts acknowledged, none lost; {} died once more while they were mended",
        rounds as f64 / minutes,
        run.acknowledged.into_inner(),
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
