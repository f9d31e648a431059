//! Bad input at every edge: a clear error with a stable code, nothing half
//! written, no panic.

use std::collections::BTreeMap;

use crate::run::*;

#[test]
fn paths_that_hold_nothing_are_told_and_make_no_collection() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    cento_json(
        &data,
        &["ingest", dir.path().join("nowhere").to_str().unwrap()],
    )
    .failed_with("path_not_found");
    assert!(!data.exists());
    cento_json(&data, &["ingest", empty.to_str().unwrap()]).failed_with("nothing_to_ingest");
    assert_eq!(
        cento_json(&data, &["list"]).json()["collections"],
        serde_json::json!([])
    );
}

#[test]
fn each_bad_document_is_named_with_its_reason_and_the_good_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    let data = dir.path().join("data");
    write(&docs, "good.md", "# Good\n\nThis one is fine.\n");
    write(
        &docs,
        "binary.dat",
        [0, 159, 146, 150, 0, 0, 1, 2, 3, 4, 5, 0],
    );
    write(&docs, "picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0");
    write(&docs, "paper.pdf", b"%PDF-1.7\n1 0 obj\n");
    write(&docs, "empty.md", "");
    write(&docs, "blank.txt", "  \n\t\n");
    write(&docs, "large.txt", "word ".repeat(3000));
    write(
        &docs,
        "lines.jsonl",
        b"{\"id\":\"ok\",\"text\":\"Fine.\"}\nnot json\n{\"id\":\"ok\",\"text\":\"Twice.\"}\n{\"text\":\"no id\"}\n{\"id\":\"bad\xff\",\"text\":\"x\"}\n{\"id\":\"y\",\"text\":\"Year.\",\"year\":2024}\n{\"id\":\"z\",\"text\":\"Year.\",\"year\":\"MMXXIV\"}\n",
    );
    let path = docs.to_str().unwrap();
    let args = ["ingest", path, "--max-document-bytes", "10000", "--strict"];
    let ran = cento_json(&data, &args);
    assert_eq!(ran.code, Some(3), "strict: {}", ran.stderr);
    let report = ran.last_json()["report"].clone();
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    for failure in report["failures"].as_array().unwrap() {
        let place = failure["place"].as_str().unwrap();
        let name = place.rsplit('/').next().unwrap().to_owned();
        assert!(!failure["message"].as_str().unwrap().is_empty());
        codes.insert(name, failure["code"].as_str().unwrap().to_owned());
    }
    let expected = [
        ("binary.dat", "binary_file"),
        ("blank.txt", "empty_document"),
        ("empty.md", "empty_document"),
        ("large.txt", "too_large"),
        ("lines.jsonl:2", "invalid_jsonl"),
        ("lines.jsonl:3", "duplicate_id"),
        ("lines.jsonl:4", "invalid_jsonl"),
        ("lines.jsonl:5", "invalid_jsonl"),
        ("lines.jsonl:7", "field_type_conflict"),
        ("paper.pdf", "unsupported_format"),
        ("picture.png", "binary_file"),
    ];
    let expected: BTreeMap<String, String> = expected
        .into_iter()
        .map(|(place, code)| (place.to_owned(), code.to_owned()))
        .collect();
    assert_eq!(codes, expected);
    assert_eq!(report["added"], 3, "{report}");
    // Without --strict the same is no failure of the command.
    cento_json(&data, &args[..4]).ok();
    cento(&data, &["doctor"]).ok();
}

#[test]
fn text_in_another_encoding_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    let data = dir.path().join("data");
    let latin1 = "Die Kündigungsfrist beträgt drei Monate. Für Käufer gilt die übliche Gewähr. "
        .repeat(4)
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect::<Vec<u8>>();
    write(&docs, "latin1.txt", latin1);
    let mut utf16 = vec![0xFF, 0xFE];
    utf16.extend("Grüße aus Köln.".encode_utf16().flat_map(u16::to_le_bytes));
    write(&docs, "utf16.txt", utf16);
    cento_json(&data, &["ingest", docs.to_str().unwrap(), "--strict"]).ok();
    let shown = cento_json(&data, &["show", "latin1.txt"]).json();
    assert!(
        shown["text"]
            .as_str()
            .unwrap()
            .starts_with("Die Kündigungsfrist")
    );
    let shown = cento_json(&data, &["show", "utf16.txt"]).json();
    assert_eq!(shown["text"], "Grüße aus Köln.");
}

#[test]
fn questions_that_make_no_sense_are_refused_with_their_code() {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    let data = dir.path().join("data");
    cento_json(&data, &["search", "x"]).failed_with("no_data_directory");
    assert!(!data.exists(), "looking makes no directory");
    write(
        &docs,
        "a.jsonl",
        "{\"id\":\"a\",\"text\":\"Words.\",\"year\":2024}\n",
    );
    cento_json(&data, &["ingest", docs.to_str().unwrap()]).ok();
    let long = "word ".repeat(20_000);
    for (args, code) in [
        (vec!["search", "x", "-c", "other"], "unknown_collection"),
        (
            vec!["search", "x", "-c", "No/Name"],
            "invalid_collection_name",
        ),
        (vec!["search", ""], "empty_query"),
        (vec!["context", " \n "], "empty_query"),
        (vec!["search", &long], "query_too_long"),
        (vec!["context", &long], "query_too_long"),
        (vec!["context", "x", "-t", "0"], "invalid_budget"),
        (
            vec!["context", "x", "--tokenizer", "gpt"],
            "unknown_tokenizer",
        ),
        (
            vec!["context", "x", "--tokenizer", "nowhere.json"],
            "tokenizer_unreadable",
        ),
        (
            vec!["search", "x", "-f", "yeer=2024"],
            "unknown_filter_field",
        ),
        (
            vec!["search", "x", "-f", "year=soon"],
            "filter_type_mismatch",
        ),
        (vec!["search", "x", "-f", "id>a"], "invalid_filter_operator"),
        (
            vec!["search", "x", "-f", "{\"type\":\"like\"}"],
            "invalid_filter",
        ),
        (vec!["search", "x", "-f", "nonsense"], "invalid_filter"),
        (vec!["search", "x", "--recall", "2"], "invalid_effort"),
        (vec!["show", "b"], "unknown_document"),
        (vec!["list", "-c", "other"], "unknown_collection"),
        (vec!["delete", "a", "-c", "other"], "unknown_collection"),
        (vec!["doctor", "-c", "other"], "unknown_collection"),
        (vec!["rebuild", "-c", "other"], "unknown_collection"),
    ] {
        let ran = cento_json(&data, &args);
        ran.failed_with(code);
        // The same for people: the code stands in the text.
        let ran = cento(&data, &args);
        assert!(ran.stderr.contains(&format!("[{code}]")), "{}", ran.stderr);
    }
    let ran = cento(&data, &["search", "x", "--fusion", "sum"]);
    assert_eq!(ran.code, Some(2), "arguments are checked by the parser");
    assert!(ran.stderr.contains("absolute"), "{}", ran.stderr);
    let ran = cento(&data, &["search", "x", "--ef", "10", "--exact"]);
    assert_eq!(ran.code, Some(2), "one of them, not two");
}

#[test]
fn a_data_directory_in_use_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let _store = cento_index::Store::open(dir.path()).unwrap();
    let ran = cento_json(dir.path(), &["list"]);
    ran.failed_with("directory_in_use");
    assert!(
        ran.stderr.contains(&std::process::id().to_string()),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_pipe_closed_early_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path())
        .arg("demo")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// A disk that is full: a small file system in memory, filled by the
/// ingestion itself. Needs the right to mount; says so where it has none.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_what_was_acknowledged_stays() {
    use std::process::Command;
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(&small)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!(
            "SKIPPED a_full_disk_is_told_and_what_was_acknowledged_stays: mounting a tmpfs is not allowed here"
        );
        return;
    }
    let lines: String = (0..40_000)
        .map(|i| format!("{{\"id\":\"d{i}\",\"text\":\"Entry {i} about pumps and valves, number {i} of very many.\"}}\n"))
        .collect();
    write(dir.path(), "many.jsonl", lines);
    let data = small.join("data");
    let corpus = dir.path().join("many.jsonl");
    let ran = cento_json(&data, &["ingest", corpus.to_str().unwrap()]);
    let acknowledged: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["event"] == "committed")
        .flat_map(|event| event["documents"].as_array().unwrap().clone())
        .collect();
    let grown = Command::new("mount")
        .args(["-o", "remount,size=400m"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(grown.success());
    let audit = cento_json(&data, &["doctor"]);
    let listed = cento_json(&data, &["list", "-c", "default", "-n", "100000"]);
    Command::new("umount").arg(&small).status().unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    let error: serde_json::Value =
        serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap();
    let code = error["error"]["code"].as_str().unwrap();
    assert!(
        ["disk_full", "projection_failed", "writer_stopped"].contains(&code),
        "{error}"
    );
    assert_eq!(audit.json()["clean"], true);
    let listed = listed.json();
    let there: std::collections::HashSet<&str> = listed["documents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    assert!(acknowledged.len() > 100, "some fitted");
    for id in &acknowledged {
        assert!(
            there.contains(id.as_str().unwrap()),
            "{id} was acknowledged"
        );
    }
}
