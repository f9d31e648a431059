//! Is what was acknowledged still there after `kill -9`?
//!
//! Each round starts the real binary on new versions of the same documents,
//! kills it at a random moment, opens the store again and checks: every
//! acknowledged document shows its new version and is found by each leg when
//! filtered to its id; every other one is wholly old or wholly new; the audit
//! finds no difference.
//!
//! `CENTO_CRASH_ROUNDS` sets the number of rounds, `CENTO_CRASH_SEED` repeats
//! a run's moments.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it prints its seed and figures")]

mod server;
#[path = "../serve/server.rs"]
mod serving;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cento_core::{CollectionName, Comparison, DocumentId, FieldRef, Filter, Scalar};
use cento_embed::{Bundled, Embedder};
use cento_index::{Engine, Store, View};
use serde_json::{Value, json};

const DOCUMENTS: usize = 1500;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// A small generator; the rounds need moments, not quality.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// Words that stand in one document and round only, and a body around them.
fn text(document: usize, round: u64) -> String {
    format!(
        "Marker{document}x{round} opens the valve report. It was written in round{round} and says little. \
         The pump ran, the gauge fell, and unit {document} was closed again at the end of the shift."
    )
}

fn write_corpus(path: &Path, round: u64) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for document in 0..DOCUMENTS {
        writeln!(file, "{}", line(document, round)).unwrap();
    }
    file.flush().unwrap();
}

fn line(document: usize, round: u64) -> Value {
    json!({
        "id": format!("d{document}"),
        "title": format!("Report {document}"),
        "text": text(document, round),
        "round": round,
    })
}

/// Starts an ingestion and kills it after `wait`; without a limit it runs to
/// its end. Returns the acknowledged ids and whether it was killed.
fn ingest(data: &Path, corpus: &Path, wait: Option<Duration>) -> (HashSet<String>, bool) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cento"))
        .args(["--json", "--data"])
        .arg(data)
        .args(["ingest", "-c", "crash"])
        .arg(corpus)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = HashSet::new();
        let mut ended = false;
        for line in BufReader::new(stdout).lines() {
            // A line cut by the kill was never whole: not acknowledged.
            let Ok(event) = serde_json::from_str::<Value>(&line.unwrap()) else {
                continue;
            };
            if event["event"] == "committed" {
                let ids = event["documents"].as_array().unwrap();
                acknowledged.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
            }
            ended |= event["event"] == "report";
        }
        (acknowledged, ended)
    });
    if let Some(wait) = wait {
        std::thread::sleep(wait);
        // SIGKILL; an error means that it has ended by itself.
        let _ = child.kill();
    }
    child.wait().unwrap();
    let (acknowledged, ended) = reader.join().unwrap();
    (acknowledged, !ended)
}

fn version_of(view: &View, document: usize) -> Option<u64> {
    let id = DocumentId::new(format!("d{document}")).unwrap();
    let stored = view.document(&id).unwrap()?;
    let round = stored.document.metadata.to_json()["round"]
        .as_u64()
        .unwrap();
    assert_eq!(
        stored.document.text,
        text(document, round),
        "half a document"
    );
    Some(round)
}

fn assert_found_by_each_leg(view: &View, embedder: &dyn Embedder, document: usize, round: u64) {
    let filter = Filter::Compare {
        field: FieldRef::DocumentId,
        comparison: Comparison::Eq,
        value: Scalar::Text(format!("d{document}")),
    };
    let allowed = view.allowed(&filter).unwrap();
    let query = format!("Marker{document}x{round} valve report");
    let lexical = view.lexical(&query, Some(&allowed), 5).unwrap();
    let dense = view
        .dense(&embedder.embed_query(&query).unwrap(), Some(&allowed), 5)
        .unwrap();
    for hits in [
        lexical.hits.iter().map(|hit| hit.0).collect::<Vec<_>>(),
        dense.hits.iter().map(|hit| hit.0).collect(),
    ] {
        let chunks = view.chunks(&hits).unwrap();
        assert!(
            chunks
                .iter()
                .any(|chunk| chunk.text.contains(&format!("Marker{document}x{round}"))),
            "d{document} is not found"
        );
    }
}

fn open(data: &Path) -> Option<(Store, std::sync::Arc<Engine>)> {
    // A kill before the collection was made leaves nothing, which is right.
    let store = Store::open_existing(data).ok()?;
    let name = CollectionName::new("crash").unwrap();
    if !store.collections().unwrap().contains(&name) {
        return None;
    }
    let engine = store.collection(&name).unwrap();
    Some((store, engine))
}

/// The seed of a run's moments, told so that it can be repeated.
fn seed(what: &str) -> u64 {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let seed = setting("CENTO_CRASH_SEED", clock as u64);
    println!("{what}: seed {seed}");
    seed
}

/// Checks what a killed round left behind, document by document.
fn check_round(
    engine: &Engine,
    embedder: &dyn Embedder,
    round: u64,
    acknowledged: &HashSet<String>,
    versions: &mut [u64],
) {
    let report = engine.audit().unwrap();
    assert!(report.is_clean(), "round {round}: {report:?}");
    let view = engine.view();
    for (document, before) in versions.iter_mut().enumerate() {
        let found = version_of(&view, document).expect("every document was once there");
        if acknowledged.contains(&format!("d{document}")) {
            assert_eq!(found, round, "d{document} lost its acknowledged version");
            assert_found_by_each_leg(&view, embedder, document, round);
        } else {
            assert!(
                found == *before || found == round,
                "d{document} is of round {found}"
            );
        }
        *before = found;
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = setting("CENTO_CRASH_ROUNDS", 4);
    let mut moments = Moments(seed("command"));
    let embedder = Bundled::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let corpus = dir.path().join("corpus.jsonl");
    // How long a whole ingestion takes, so that the moments cover all of it.
    write_corpus(&corpus, 0);
    let begun = Instant::now();
    let (all, killed) = ingest(&data, &corpus, None);
    let whole = begun.elapsed();
    assert!(!killed && all.len() == DOCUMENTS);
    let mut versions = vec![0; DOCUMENTS];
    let (mut kills, mut acknowledged_in_killed) = (0, 0);
    for round in 1..=rounds {
        write_corpus(&corpus, round);
        let wait = Duration::from_micros(moments.below(whole.as_micros() as u64));
        let (acknowledged, killed) = ingest(&data, &corpus, Some(wait));
        kills += u64::from(killed);
        acknowledged_in_killed += if killed { acknowledged.len() } else { 0 };
        let (_store, engine) = open(&data).expect("the collection is there");
        check_round(&engine, &embedder, round, &acknowledged, &mut versions);
    }
    println!(
        "{kills} of {rounds} rounds were killed before their end, with {acknowledged_in_killed} documents acknowledged in them; none lost"
    );
    assert!(
        rounds < 4 || kills > 0,
        "no round was killed before its end"
    );
}
