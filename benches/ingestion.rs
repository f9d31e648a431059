//! How fast does a corpus come in, with how much memory, and how large does it
//! get on the disk?
//!
//! `CENTO_SHARED=DIR cargo bench --bench ingestion`: the release binary, three
//! runs each of BEIR's SciFact (JSONL) and of a folder of Markdown and HTML
//! pages; median and range. Peak memory is the kernel's own high-water mark.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const RUNS: usize = 3;

struct Run {
    documents: u64,
    chunks: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
    peak_bytes: u64,
    disk_bytes: u64,
}

fn main() {
    let Some(shared) = shared() else {
        eprintln!("SKIPPED: set CENTO_SHARED to the folder that holds datasets/");
        return;
    };
    let datasets = shared.join("datasets");
    measure(
        "SciFact, JSONL",
        &datasets.join("beir/scifact/corpus.jsonl"),
    );
    let pages = tempfile::tempdir().unwrap();
    let copied = copy_pages(&datasets, pages.path());
    measure(&format!("{copied} Markdown and HTML files"), pages.path());
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("CENTO_SHARED").map_or(beside, PathBuf::from);
    shared.join("datasets").is_dir().then_some(shared)
}

fn measure(name: &str, source: &Path) {
    let mut runs: Vec<Run> = (0..RUNS).map(|_| ingest(source)).collect();
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let median = &runs[RUNS / 2];
    let (fastest, slowest) = (&runs[0], &runs[RUNS - 1]);
    println!(
        "{name}: {} documents ({} failed), {} chunks, {:.2} MB",
        median.documents,
        median.failed,
        median.chunks,
        median.bytes as f64 / 1e6
    );
    println!(
        "  {:.0} documents/s, {:.2} MB/s ({:.2} s; {:.2} to {:.2} s in {RUNS} runs)",
        median.documents as f64 / median.seconds,
        median.bytes as f64 / 1e6 / median.seconds,
        median.seconds,
        fastest.seconds,
        slowest.seconds
    );
    println!(
        "  peak memory {:.0} MB, on disk {:.1} MB ({:.0} bytes a chunk)",
        median.peak_bytes as f64 / 1e6,
        median.disk_bytes as f64 / 1e6,
        median.disk_bytes as f64 / median.chunks as f64
    );
}

fn ingest(source: &Path) -> Run {
    let data = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_cento"))
        .args(["--json", "--data"])
        .arg(data.path())
        .arg("ingest")
        .arg(source)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let mut peak_bytes = 0;
    while child.try_wait().unwrap().is_none() {
        peak_bytes = high_water_mark(&status).unwrap_or(peak_bytes);
        std::thread::sleep(Duration::from_millis(2));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let output = reader.join().unwrap();
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    let report = &last["report"];
    let count = |key: &str| report[key].as_u64().unwrap();
    Run {
        documents: count("added"),
        chunks: count("chunks"),
        failed: count("failed"),
        bytes: count("bytes_read"),
        seconds,
        peak_bytes,
        disk_bytes: size_of(data.path()),
    }
}

fn high_water_mark(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn size_of(path: &Path) -> u64 {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| size_of(&entry.unwrap().path())).sum()
    } else {
        fs::metadata(path).unwrap().len()
    }
}

/// Copies every Markdown and HTML page below a folder side by side.
fn copy_pages(from: &Path, to: &Path) -> usize {
    let mut copied = 0;
    let mut folders = vec![from.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if let Some(ending @ ("md" | "html" | "htm")) = ending {
                fs::copy(&path, to.join(format!("{copied}.{ending}"))).unwrap();
                copied += 1;
            }
        }
    }
    copied
}
