//! How fast, how exact and how large is this engine on a vector set?
//!
//! `cargo bench --bench vectors -- PART [SET] [--cache DIR] [--builder hnsw_rs]
//! [--mapped] [--flood]`,
//! beside `benches/vectors/peers.py`, on the same sets and in the same way:
//!
//! - `search SET`: builds with all processors, asks the 1,000 queries on one
//!   thread for each ef, five times over, and by target recall. Writes
//!   `SET/results/cento.json`, which `peers.py report` shows beside the peers.
//! - `filters SET`: the same under each filter of the set, by target recall.
//! - `raw SET`: hnsw_rs by itself, as `SET/results/hnsw_rs.json`.
//! - `churn SET`: 5 of 100 vectors replaced a round, 40 rounds: recall and space
//!   once what is to be frozen is, and how long queries took meanwhile. With
//!   `--flood` the next round does not wait for that.
//! - `growth SET`: its first 10,000, 100,000 and 1,000,000 vectors: speed at recall
//!   .99, building, bytes, opening.
//! - `embed SET`: `base.f32` and `query.f32` from `base.txt` and `query.txt`, a
//!   text a line, by the bundled model; `data.py` calls it.
//!
//! The engine is asked through its public interface, with a document for each
//! vector. DIR is where `data.py` keeps its sets (`target/vectors`).

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cento_core::{ChunkNo, Filter};
use cento_embed::{Bundled, Embedder};
use cento_index::{Effort, Engine, GraphBuilder, NewDocument, Residence, Store, View};
use hnsw_rs::prelude::{DistDot, Hnsw};
use serde_json::{Value, json};

mod set;

use set::{Set, build, document, field, name, options, truth};

const K: usize = 10;
const EFS: [usize; 14] = [10, 12, 14, 16, 20, 24, 32, 40, 48, 64, 80, 128, 200, 400];
const TARGETS: [f32; 4] = [0.9, 0.95, 0.98, 0.99];
/// The recall at which sizes are compared.
const COMPARED_AT: f64 = 0.99;
const REPETITIONS: usize = 5;
const ROUNDS: usize = 40;

fn main() {
    let mut words = Vec::new();
    let (mut cache, mut builder) = (PathBuf::from("target/vectors"), GraphBuilder::Own);
    let mut residence = Residence::Memory;
    let (mut most, mut is_flood) = (1_000_000, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--cache" => cache = arguments.next().unwrap().into(),
            "--builder" => {
                builder = match arguments.next().as_deref() {
                    Some("hnsw_rs") => GraphBuilder::HnswRs,
                    Some("own") => GraphBuilder::Own,
                    other => panic!("--builder own or hnsw_rs, not {other:?}"),
                }
            }
            "--mapped" => residence = Residence::Mapped,
            "--flood" => is_flood = true,
            "--most" => most = arguments.next().unwrap().parse().unwrap(),
            "--bench" => {}
            word => words.push(word.to_owned()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["search", set] => search(&Set::read(&cache, set), builder, residence),
        ["filters", set] => filters(&Set::read(&cache, set)),
        ["raw", set] => raw(&Set::read(&cache, set)),
        ["churn", set] => churn(&Set::read(&cache, set), is_flood),
        ["growth", set] => growth(Set::read(&cache, set), most),
        ["embed", set] => embed(&cache.join(set)),
        _ => eprintln!("say what to measure: search, filters, raw, churn or growth, and a set"),
    }
}

fn search(set: &Set, builder: GraphBuilder, residence: Residence) {
    let dir = tempfile::tempdir_in(&set.folder).unwrap();
    let load = load_average();
    let build_seconds = build(dir.path(), set, &[], builder);
    println!("built in {build_seconds:.1} s");
    let before = resident_bytes();
    let begun = Instant::now();
    let mut options = options(builder);
    options.vectors.residence = residence;
    let store = Store::open_with(dir.path(), options).unwrap();
    let engine = store.collection(&name()).unwrap();
    let opened = begun.elapsed();
    let view = engine.view();
    view.dense(&set.queries[0], None, K).unwrap();
    let first = begun.elapsed();
    let points = points(&view, &set.queries, &set.truth, None, &efforts());
    let resident = resident_bytes() - before;
    let shape = view.vector_shape();
    println!(
        "opened in {:.1} ms, first answer after {:.1} ms; {:.0} bytes a vector on disk, {:.0} resident",
        opened.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        shape.bytes as f64 / set.base.len() as f64,
        resident as f64 / set.base.len() as f64
    );
    for point in &points {
        println!("{}", told(point));
    }
    let by_ef = points.iter().filter(|point| point["ef"].is_u64());
    let by_ef: Vec<&Value> = by_ef.collect();
    let by_target = points.iter().filter(|point| point["target"].is_number());
    let by_target: Vec<&Value> = by_target.collect();
    let peer = match (builder, residence) {
        (GraphBuilder::HnswRs, _) => "cento-hnsw_rs",
        (GraphBuilder::Own, Residence::Mapped) => "cento-mapped",
        (GraphBuilder::Own, Residence::Memory) => "cento",
    };
    set.write(
        peer,
        None,
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "build_seconds": build_seconds,
            "index_bytes": shape.bytes,
            "resident_bytes": resident,
            "search_threads": 1,
            "load_average": [load, load_average()],
            "points": by_ef,
            "by_target": by_target,
        }),
    );
}

fn filters(set: &Set) {
    let filters = set.filters();
    let dir = tempfile::tempdir_in(&set.folder).unwrap();
    let build_seconds = build(dir.path(), set, &filters, GraphBuilder::Own);
    let store = Store::open_with(dir.path(), options(GraphBuilder::Own)).unwrap();
    let engine = store.collection(&name()).unwrap();
    let view = engine.view();
    for (filter, bits) in &filters {
        let rows: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        let truth = truth(
            &set.folder.join(format!("filters/{filter}.truth.u32")),
            set.queries.len(),
        );
        let wanted = json!({"type": "eq", "key": field(filter), "value": true});
        let wanted = Filter::from_json(&wanted).unwrap();
        let efforts = TARGETS.map(Effort::Recall);
        let points = points(&view, &set.queries, &truth, Some(&wanted), &efforts);
        println!("{filter}: {rows} rows");
        for point in &points {
            println!("{}", told(point));
        }
        set.write(
            "cento",
            Some(filter),
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "build_seconds": build_seconds,
                "index_bytes": view.vector_shape().bytes,
                "resident_bytes": resident_bytes(),
                "filter_rows": rows,
                "load_average": [load_average(), load_average()],
                "points": points,
            }),
        );
    }
}

/// Each ef, then each recall that is asked for.
fn efforts() -> Vec<Effort> {
    (EFS.map(Effort::Ef).into_iter())
        .chain(TARGETS.map(Effort::Recall))
        .collect()
}

/// Queries a second at a recall, as `compare.py` reckons it: straight in the
/// logarithm between the two ef around it; of the first if that is enough.
fn speed_at(points: &[Value], recall: f64) -> Option<f64> {
    let by_ef = points.iter().filter(|point| point["ef"].is_u64());
    let mut before: Option<(f64, f64)> = None;
    for point in by_ef {
        let number = |name: &str| point[name].as_f64();
        let (found, speed) = (number("recall_at_10")?, number("qps_median")?.ln());
        if found >= recall {
            let straight = |(less, faster): (f64, f64)| {
                let share = (recall - less) / (found - less);
                faster + share * (speed - faster)
            };
            return Some(before.map_or(speed, straight).exp());
        }
        before = Some((found, speed));
    }
    None
}

/// Recall and speed on one thread for each effort.
fn points(
    view: &View,
    queries: &[Vec<f32>],
    truth: &[Vec<u32>],
    filter: Option<&Filter>,
    efforts: &[Effort],
) -> Vec<Value> {
    let allowed = filter.map(|filter| view.allowed(filter).unwrap());
    let allowed = allowed.as_ref();
    let ask = |query: &Vec<f32>, effort| view.dense_with(query, allowed, K, effort).unwrap();
    let mut points: Vec<Value> = efforts
        .iter()
        .map(|&effort| {
            let (mut found, mut wanted, mut compared) = (0, 0, 0);
            let mut ways = [0_u64; 3];
            for (query, truth) in queries.iter().zip(truth) {
                let answer = ask(query, effort);
                let truth = &truth[..K.min(truth.len())];
                let is_true = |hit: &(ChunkNo, _)| truth.contains(&(hit.0.0 as u32));
                found += answer.hits.iter().filter(|hit| is_true(hit)).count();
                wanted += truth.iter().filter(|row| **row != u32::MAX).count();
                compared += answer.searched.compared;
                let way = answer.searched;
                for (sum, count) in ways
                    .iter_mut()
                    .zip([way.scanned, way.walked, way.walked_among])
                {
                    *sum += u64::from(count);
                }
            }
            let (ef, target) = match effort {
                Effort::Ef(ef) => (json!(ef), Value::Null),
                Effort::Recall(recall) => (json!(format!("recall {recall}")), json!(recall)),
                Effort::Exact => (json!("exact"), Value::Null),
            };
            json!({
                "ef": ef,
                "target": target,
                "recall_at_10": found as f64 / f64::from(wanted.max(1) as u32),
                "compared": compared as f64 / queries.len() as f64,
                "scanned": ways[0], "walked": ways[1], "walked_among": ways[2],
            })
        })
        .collect();
    let mut speeds = vec![Vec::new(); efforts.len()];
    // Round after round over all, so that a slow while falls on all alike.
    for _ in 0..REPETITIONS {
        for (speeds, &effort) in speeds.iter_mut().zip(efforts) {
            let begun = Instant::now();
            for query in queries {
                std::hint::black_box(ask(query, effort));
            }
            speeds.push(queries.len() as f64 / begun.elapsed().as_secs_f64());
        }
    }
    for (point, mut speeds) in points.iter_mut().zip(speeds) {
        speeds.sort_by(f64::total_cmp);
        let point = point.as_object_mut().unwrap();
        point.insert("qps_median".to_owned(), json!(speeds[REPETITIONS / 2]));
        point.insert("qps_min".to_owned(), json!(speeds[0]));
        point.insert("qps_max".to_owned(), json!(speeds[REPETITIONS - 1]));
    }
    points
}

fn told(point: &Value) -> String {
    let number = |name: &str| point[name].as_f64().unwrap_or(0.0);
    format!(
        "  {:>16}: recall {:.4}, {:.0} queries/s ({:.0} to {:.0}), {:.0} compared; {} scans, {} walks, {} among some",
        point["ef"].to_string(),
        number("recall_at_10"),
        number("qps_median"),
        number("qps_min"),
        number("qps_max"),
        number("compared"),
        point["scanned"],
        point["walked"],
        point["walked_among"]
    )
}

/// hnsw_rs by itself, with the parameters of the peers.
fn raw(set: &Set) {
    const M: usize = 16;
    const EF_CONSTRUCTION: usize = 200;
    let load = load_average();
    let before = resident_bytes();
    let begun = Instant::now();
    let hnsw = Hnsw::<f32, DistDot>::new(M, set.base.len(), 16, EF_CONSTRUCTION, DistDot);
    let data: Vec<(&Vec<f32>, usize)> = set.base.iter().zip(0..).collect();
    hnsw.parallel_insert(&data);
    let build_seconds = begun.elapsed().as_secs_f64();
    println!("hnsw_rs: built in {build_seconds:.1} s");
    let mut points = Vec::new();
    for ef in EFS {
        let mut speeds = Vec::new();
        let mut found = 0;
        for _ in 0..REPETITIONS {
            found = 0;
            let begun = Instant::now();
            for (query, truth) in set.queries.iter().zip(&set.truth) {
                let hits = hnsw.search(query, K, ef);
                found += hits
                    .iter()
                    .filter(|hit| truth[..K].contains(&(hit.d_id as u32)))
                    .count();
            }
            speeds.push(set.queries.len() as f64 / begun.elapsed().as_secs_f64());
        }
        speeds.sort_by(f64::total_cmp);
        let recall = found as f64 / (K * set.queries.len()) as f64;
        println!(
            "  ef {ef:3}: recall {recall:.4}, {:.0} queries/s",
            speeds[REPETITIONS / 2]
        );
        points.push(json!({
            "ef": ef, "recall_at_10": recall, "qps_median": speeds[REPETITIONS / 2],
            "qps_min": speeds[0], "qps_max": speeds[REPETITIONS - 1],
        }));
    }
    set.write(
        "hnsw_rs",
        None,
        json!({
            "version": "0.3", "build_seconds": build_seconds,
            "index_bytes": 0, "resident_bytes": resident_bytes() - before,
            "load_average": [load, load_average()], "points": points,
        }),
    );
}

fn churn(set: &Set, is_flood: bool) {
    let dir = tempfile::tempdir_in(&set.folder).unwrap();
    build(dir.path(), set, &[], GraphBuilder::Own);
    let store = Store::open(dir.path()).unwrap();
    let engine = store.collection(&name()).unwrap();
    let fresh_bytes = vector_bytes(dir.path());
    let rows = set.base.len();
    let mut state = 7_u64;
    let (mut worst, mut most) = (1.0_f64, 0_u64);
    let (stop, rests) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let mut times = Vec::new();
            for query in set.queries.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(500));
                // Measuring recall takes all processors.
                if rests.load(Ordering::Relaxed) {
                    continue;
                }
                let begun = Instant::now();
                std::hint::black_box(engine.view().dense(query, None, K).unwrap());
                times.push(begun.elapsed());
            }
            times
        });
        for round in 1..=ROUNDS {
            let new: Vec<NewDocument> = (0..rows / 20)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let row = (state >> 33) as usize % rows;
                    let text = format!("w{row} r{round}");
                    document(row, text, set.base[row].clone(), &json!({}))
                })
                .collect();
            let begun = Instant::now();
            engine.put(engine.view().generation(), new).unwrap();
            let put = begun.elapsed();
            engine.refresh().unwrap();
            let seen = begun.elapsed();
            if is_flood {
                engine.checkpoint().unwrap();
            } else {
                assert_eq!(engine.settle().unwrap(), None);
            }
            let frozen = begun.elapsed() - seen;
            let view = engine.view();
            rests.store(true, Ordering::Relaxed);
            let recall = recall_now(&view, set);
            rests.store(false, Ordering::Relaxed);
            worst = worst.min(recall);
            let bytes = vector_bytes(dir.path());
            most = most.max(bytes);
            let shape = view.vector_shape();
            println!(
                "round {round:2}: put {:.2} s, seen after {:.2} s, then {:.2} s; recall {recall:.4}; {} segments, {} frozen, {} fresh; {:.2} of a fresh build's bytes",
                put.as_secs_f64(),
                seen.as_secs_f64(),
                frozen.as_secs_f64(),
                shape.segments,
                shape.frozen,
                shape.fresh,
                bytes as f64 / fresh_bytes as f64
            );
        }
        stop.store(true, Ordering::Relaxed);
        asker.join().unwrap()
    });
    assert_eq!(engine.settle().unwrap(), None);
    let settled = vector_bytes(dir.path());
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "worst recall {worst:.4}; at most {:.2} of a fresh build's bytes, {:.2} at the end; {} queries meanwhile: median {:.3} ms, p99 {:.3} ms, slowest {:.1} ms",
        most as f64 / fresh_bytes as f64,
        settled as f64 / fresh_bytes as f64,
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// The share of the ten nearest that is found now, of those that stand.
fn recall_now(view: &View, set: &Set) -> f64 {
    let queries: Vec<_> = set.queries.iter().step_by(5).cloned().collect();
    let ask = |effort| view.dense_batch(&queries, None, K, effort).unwrap();
    let (exact, found) = (ask(Effort::Exact), ask(Effort::default()));
    let pairs = exact.iter().zip(&found);
    let hits = pairs.map(|(exact, found)| {
        let is_found = |hit: &&(ChunkNo, _)| found.hits.iter().any(|other| other.0 == hit.0);
        exact.hits.iter().filter(is_found).count()
    });
    hits.sum::<usize>() as f64 / (K * queries.len()) as f64
}

fn growth(mut set: Set, most: usize) {
    let all = std::mem::take(&mut set.base);
    let mut measured: Vec<(f64, [f64; 4])> = Vec::new();
    for rows in [10_000, 100_000, 1_000_000] {
        if rows > most.min(all.len()) {
            break;
        }
        set.base = all[..rows].to_vec();
        let dir = tempfile::tempdir_in(&set.folder).unwrap();
        let build_seconds = build(dir.path(), &set, &[], GraphBuilder::Own);
        let queries = &set.queries;
        let before = resident_bytes();
        let begun = Instant::now();
        let store = Store::open(dir.path()).unwrap();
        let engine: Arc<Engine> = store.collection(&name()).unwrap();
        let view = engine.view();
        let opened = begun.elapsed();
        view.dense(&queries[0], None, K).unwrap();
        let first = begun.elapsed();
        let exact = view.dense_batch(queries, None, K, Effort::Exact).unwrap();
        let truth: Vec<Vec<u32>> = exact
            .iter()
            .map(|answer| answer.hits.iter().map(|hit| hit.0.0 as u32).collect())
            .collect();
        let points = points(&view, queries, &truth, None, &efforts());
        let speed = speed_at(&points, COMPARED_AT).expect("no ef finds so much");
        let shape = view.vector_shape();
        let bytes = shape.bytes as f64;
        println!(
            "{rows} rows: built in {build_seconds:.1} s; opened in {:.1} ms, first answer after {:.1} ms; {:.0} bytes a vector on disk, {:.0} resident; {} segments",
            opened.as_secs_f64() * 1e3,
            first.as_secs_f64() * 1e3,
            bytes / rows as f64,
            (resident_bytes() - before) as f64 / rows as f64,
            shape.segments
        );
        for point in &points {
            println!("{}", told(point));
        }
        println!("  {speed:.0} queries/s at recall {COMPARED_AT}");
        measured.push((
            rows as f64,
            [speed, build_seconds, bytes, first.as_secs_f64()],
        ));
    }
    for pair in measured.windows(2) {
        let exponent = |at: usize| {
            let (from, to) = (&pair[0], &pair[1]);
            (to.1[at] / from.1[at]).ln() / (to.0 / from.0).ln()
        };
        println!(
            "from {} to {} rows, exponents: queries/s {:.2}, building {:.2}, bytes {:.2}, first answer {:.2}",
            pair[0].0,
            pair[1].0,
            exponent(0),
            exponent(1),
            exponent(2),
            exponent(3)
        );
    }
}

fn embed(folder: &Path) {
    let embedder = Bundled::new().unwrap();
    for name in ["base", "query"] {
        let texts = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let texts: Vec<String> = texts.lines().map(str::to_owned).collect();
        let file = fs::File::create(folder.join(format!("{name}.f32"))).unwrap();
        let mut file = std::io::BufWriter::new(file);
        for part in texts.chunks(10_000) {
            for vector in embedder.embed_documents(part).unwrap() {
                for value in vector {
                    file.write_all(&value.to_le_bytes()).unwrap();
                }
            }
        }
        file.flush().unwrap();
    }
}

fn vector_bytes(dir: &Path) -> u64 {
    let generations = dir.join("collections/bench/generations");
    let of = |folder: PathBuf| -> u64 {
        let files = fs::read_dir(folder.join("vectors")).unwrap();
        // A file may go while they are counted.
        files
            .filter_map(|file| Some(file.unwrap().metadata().ok()?.len()))
            .sum()
    };
    fs::read_dir(generations)
        .unwrap()
        .map(|entry| of(entry.unwrap().path()))
        .sum()
}

/// Pages of this process that are in memory, mapped files' included.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}

fn load_average() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}
