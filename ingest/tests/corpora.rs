//! Do real and hostile files from elsewhere go through without a panic, and do
//! their chunks hold the invariants?
//!
//! The files are found by `CENTO_SHARED`, else beside the checkout; without
//! them these tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cento_core::chunk::check_chunks;
use cento_ingest::{Chunking, ProblemCode, prepare};
use proptest::prelude::*;

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CENTO_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED: {} is not there; set CENTO_SHARED to the shared folder",
        path.display()
    );
    None
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Prepares a file and checks everything that must hold of it; says whether it
/// became a document.
fn check(name: &str, bytes: &[u8]) -> Result<usize, ProblemCode> {
    let mut all = 0;
    for result in prepare(name, bytes, Chunking::default()) {
        let prepared = result.map_err(|failure| failure.code)?;
        let text = &prepared.document.text;
        check_chunks(text, &prepared.chunks).expect("chunks hold");
        for (chunk, input) in prepared.chunks.iter().zip(prepared.embedding_inputs()) {
            let slice = chunk.span.slice(text).expect("a span");
            assert_eq!(slice, slice.trim());
            assert!(input.ends_with(slice));
        }
        all += prepared.chunks.len();
    }
    Ok(all)
}

#[test]
fn documents_of_other_projects_go_through() {
    let Some(root) = shared("datasets/ingest-docs") else {
        return;
    };
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let (mut documents, mut refused) = (0, 0);
    for path in paths {
        let name = path.strip_prefix(&root).expect("below").to_string_lossy();
        let bytes = fs::read(&path).expect("a file");
        let begun = Instant::now();
        let result = check(&name, &bytes);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        match result {
            Ok(_) => documents += 1,
            Err(code) => {
                refused += 1;
                assert_ne!(code, ProblemCode::ParseFailed, "{name}");
                if matches!(
                    extension,
                    "pdf" | "docx" | "xlsx" | "pptx" | "epub" | "doc" | "xls" | "ppt"
                ) {
                    assert_eq!(code, ProblemCode::UnsupportedFormat, "{name}");
                }
            }
        }
        println!("{name}: {result:?}");
    }
    assert!(documents > 20, "{documents} documents, {refused} refused");
}

#[test]
fn naughty_strings_go_through_in_every_format() {
    let Some(root) = shared("datasets/ingest-docs/blns") else {
        return;
    };
    let mut paths = Vec::new();
    files(&root, &mut paths);
    assert!(!paths.is_empty());
    for path in paths {
        let bytes = fs::read(&path).expect("a file");
        for line in bytes.split(|&b| b == b'\n').chain([bytes.as_slice()]) {
            for name in ["a.txt", "a.md", "a.html", "a.csv", "a.jsonl", "a"] {
                let result = check(name, line);
                assert_ne!(result, Err(ProblemCode::ParseFailed), "{name}: {line:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn noise_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        name in prop::sample::select(vec!["a.txt", "a.md", "a.html", "a.csv", "a.jsonl", "a", "a.docx"]),
    ) {
        prop_assert_ne!(check(name, &bytes), Err(ProblemCode::ParseFailed));
    }

    #[test]
    fn tag_soup_never_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<p>", "</p>", "<li>", "<ul>", "</ul>", "<ol>", "<table>", "</table>", "<tr>", "<td>", "</td>",
            "<th>", "<caption>", "</caption>", "<h1>", "</h1>", "<pre>", "</pre>", "<code>", "</code>",
            "<blockquote>", "</blockquote>", "<main>", "</main>", "<article>", "</article>", "<br>", "<nav>",
            "</nav>", "<title>", "</title>", "<script>", "</script>", "<div hidden>", "</div>", "<img alt='a b'>",
            "word. ", "`", "# ", "&amp;", " ", "\n", "é", "---",
        ]), 0..80),
    ) {
        let page = format!("<html>{}", parts.concat());
        prop_assert_ne!(check("a.html", page.as_bytes()), Err(ProblemCode::ParseFailed));
    }
}
