//! Ingest, search, context, list, show, delete, doctor, rebuild.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::run::*;

fn corpus(root: &Path) {
    write(
        root,
        "policies/refunds.md",
        "# Refunds\n\nA refund is paid within five days.\n\n## Exceptions\n\nProbes that were opened cannot be returned.\n",
    );
    write(
        root,
        "runbooks/gateway.html",
        "<html><head><title>Gateway</title><script>ignored()</script></head><body><h1>Gateway offline</h1><p>Hold the reset key for five seconds.</p></body></html>",
    );
    write(
        root,
        "notes.txt",
        "The warehouse opens at seven.\nIt closes at five.\n",
    );
    write(
        root,
        "products.jsonl",
        "{\"id\":\"s3\",\"title\":\"Fjord S3\",\"text\":\"A sensor for freezers.\",\"price\":120,\"metadata\":{\"team\":\"cold\"}}\n{\"id\":\"g2\",\"title\":\"Skerry G2\",\"text\":\"A gateway with a relay.\",\"price\":480}\n",
    );
    write(root, ".gitignore", "build/\n");
    write(
        root,
        "build/generated.md",
        "# Generated\n\nMust not be found.\n",
    );
}

fn ingested() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    corpus(&dir.path().join("docs"));
    let data = dir.path().join("data");
    let docs = dir.path().join("docs");
    let ran = cento_json(&data, &["ingest", docs.to_str().unwrap()]).ok();
    let report = &ran.last_json()["report"];
    assert_eq!(report["added"], 5, "{report}");
    assert_eq!(report["failed"], 0, "{report}");
    (dir, data)
}

#[test]
fn the_demo_answers_with_checked_citations() {
    let dir = tempfile::tempdir().unwrap();
    let ran = cento(dir.path(), &["demo"]).ok();
    assert!(ran.stdout.contains("<passage id=\"1\""), "{}", ran.stdout);
    assert!(ran.stdout.contains("Try it on your own documents"));
    let told = cento_json(dir.path(), &["demo"]).json();
    let answers = told["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    // What a person would look for in each answer.
    for (answer, evidence) in answers.iter().zip([
        &["port 8883 is blocked"][..],
        &["powered by anything but the adapter", "free of charge"],
        &["粘贴面温度低于 5 ℃ 时"],
    ]) {
        let context = answer["context"].as_str().unwrap();
        for words in evidence {
            assert!(context.contains(words), "{words} is missing in {context}");
        }
    }
    for answer in answers {
        let used = answer["receipt"]["tokens"].as_u64().unwrap();
        assert!(used > 0 && used <= answer["receipt"]["budget"].as_u64().unwrap());
        assert!(!answer["citations"].as_array().unwrap().is_empty());
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn a_folder_is_ingested_searched_and_quoted() {
    let (dir, data) = ingested();
    let found = cento_json(&data, &["search", "when is money refunded"]).json();
    assert_eq!(found["hits"][0]["document"], "policies/refunds.md");
    assert_eq!(found["hits"][0]["title"], "Refunds");
    let all = cento_json(&data, &["search", "generated", "-n", "100"]).json();
    for hit in all["hits"].as_array().unwrap() {
        assert_ne!(hit["document"], "build/generated.md", "gitignored");
    }
    let told = cento_json(
        &data,
        &["context", "returning an opened probe", "-t", "200"],
    )
    .json();
    assert!(told["receipt"]["tokens"].as_u64().unwrap() <= 200);
    let citation = &told["citations"][0];
    assert_eq!(citation["document"], "policies/refunds.md");
    let file = std::fs::read_to_string(dir.path().join("docs/policies/refunds.md")).unwrap();
    let (start, end) = (&citation["span"]["start"], &citation["span"]["end"]);
    let quoted = &file[start.as_u64().unwrap() as usize..end.as_u64().unwrap() as usize];
    assert_eq!(
        quoted,
        citation["quote"].as_str().unwrap(),
        "bytes of the file itself"
    );
}

#[test]
fn the_context_alone_goes_to_standard_output() {
    let (_dir, data) = ingested();
    let ran = cento(&data, &["context", "reset key", "-t", "300"]).ok();
    assert!(
        ran.stdout.starts_with("<passage id=\"1\""),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.trim_end().ends_with("</passage>"));
    assert!(ran.stderr.contains("of 300 tokens"), "{}", ran.stderr);
}

#[test]
fn a_budget_too_small_for_any_passage_gives_an_empty_context_and_says_so() {
    let (_dir, data) = ingested();
    let told = cento_json(&data, &["context", "refund", "-t", "3"]).json();
    assert_eq!(told["context"], "");
    assert_eq!(told["receipt"]["tokens"], 0);
    let candidates = told["receipt"]["candidates"].as_array().unwrap();
    assert!(!candidates.is_empty());
    for candidate in candidates {
        assert_eq!(candidate["decision"]["kind"], "dropped", "{candidate}");
    }
}

#[test]
fn ingesting_again_skips_replaces_and_names_what_is_gone() {
    let (dir, data) = ingested();
    let docs = dir.path().join("docs");
    write(&docs, "notes.txt", "The warehouse now opens at eight.\n");
    std::fs::remove_file(docs.join("policies/refunds.md")).unwrap();
    let ran = cento_json(&data, &["ingest", docs.to_str().unwrap()]).ok();
    let report = ran.last_json()["report"].clone();
    assert_eq!(
        [&report["added"], &report["replaced"], &report["unchanged"]],
        [&json!(0), &json!(1), &json!(3)],
        "{report}"
    );
    assert_eq!(report["gone"], json!(["policies/refunds.md"]));
    let found = cento_json(&data, &["search", "warehouse opens"]).json();
    assert_eq!(
        found["hits"][0]["text"],
        "The warehouse now opens at eight."
    );
    cento(&data, &["doctor"]).ok();
}

#[test]
fn a_data_directory_is_never_taken_for_documents() {
    let dir = tempfile::tempdir().unwrap();
    let docs = dir.path().join("docs");
    corpus(&docs);
    for data in [docs.join("cento-data"), dir.path().join("other")] {
        let ran = cento_json(&data, &["ingest", docs.to_str().unwrap()]).ok();
        let report = &ran.last_json()["report"];
        assert_eq!(report["added"], 5, "{report}");
        assert_eq!(report["failed"], 0, "{report}");
    }
}

#[test]
fn filters_narrow_both_legs() {
    let (_dir, data) = ingested();
    let documents = |args: &[&str]| -> Vec<String> {
        let mut all = vec!["search", "sensor gateway refund warehouse", "-n", "100"];
        all.extend_from_slice(args);
        let found = cento_json(&data, &all).json();
        let mut ids: Vec<String> = found["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["document"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(documents(&["-f", "price>=200"]), ["g2"]);
    assert_eq!(documents(&["-f", "team=cold"]), ["s3"]);
    assert_eq!(documents(&["-f", "id=notes.txt"]), ["notes.txt"]);
    assert_eq!(documents(&["-f", "price>0", "-f", "team!=cold"]), ["g2"]);
    let either = r#"{"type":"or","filters":[{"type":"eq","key":"id","value":"g2"},{"type":"exists","key":"team"}]}"#;
    assert_eq!(documents(&["-f", either]), ["g2", "s3"]);
}

#[test]
fn standard_input_is_a_document_or_many() {
    let dir = tempfile::tempdir().unwrap();
    let feed = |input: &str| -> Value {
        let mut child = command(dir.path())
            .args(["--json", "ingest", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let ran: Ran = child.wait_with_output().unwrap().into();
        ran.ok().last_json()["report"].clone()
    };
    assert_eq!(feed("Just some words.")["added"], 1);
    let lines = "{\"id\":\"a\",\"text\":\"One.\"}\n{\"id\":\"b\",\"text\":\"Two.\"}\n";
    assert_eq!(feed(lines)["added"], 2);
    let listed = cento_json(dir.path(), &["list", "-c", "default"]).json();
    assert_eq!(listed["documents"].as_array().unwrap().len(), 3);
}

#[test]
fn collections_and_documents_are_listed_and_shown() {
    let (_dir, data) = ingested();
    let collections = cento_json(&data, &["list"]).json();
    assert_eq!(collections["collections"][0]["name"], "default");
    assert_eq!(collections["collections"][0]["documents"], 5);
    let page = cento_json(&data, &["list", "-c", "default", "-n", "2"]).json();
    assert_eq!(page["documents"].as_array().unwrap().len(), 2);
    let next = page["next"].as_str().unwrap();
    let rest = cento_json(&data, &["list", "-c", "default", "--after", next]).json();
    assert_eq!(rest["documents"].as_array().unwrap().len(), 3);
    let shown = cento_json(&data, &["show", "policies/refunds.md"]).json();
    assert_eq!(shown["title"], "Refunds");
    assert_eq!(
        shown["chunks"][1]["heading_path"],
        json!(["Refunds", "Exceptions"])
    );
    let collection = cento_json(&data, &["show"]).json();
    assert_eq!(collection["fields"]["price"], "number");
    for args in [
        &["list"][..],
        &["list", "-c", "default"],
        &["show"],
        &["show", "s3"],
    ] {
        assert!(!cento(&data, args).ok().stdout.is_empty());
    }
}

#[test]
fn deleted_documents_are_gone_and_a_rebuild_keeps_them_gone() {
    let (_dir, data) = ingested();
    let told = cento_json(&data, &["delete", "s3", "nowhere"]).json();
    assert_eq!(told, json!({"deleted": 1, "unknown": ["nowhere"]}));
    let rebuilt = cento_json(&data, &["rebuild"]).json();
    assert_eq!(rebuilt["rebuilt"][0]["documents"], 4);
    let audit = cento_json(&data, &["doctor"]).json();
    assert_eq!(audit["clean"], true);
    cento_json(&data, &["show", "s3"]).failed_with("unknown_document");
    cento(&data, &["delete", "--all"]).ok();
    assert_eq!(
        cento_json(&data, &["list"]).json(),
        json!({"collections": []})
    );
}

#[test]
fn a_lost_projection_is_noticed_or_healed_and_answers_stay() {
    let (_dir, data) = ingested();
    let before = cento_json(&data, &["context", "reset key"]).json();
    for projection in ["catalog", "text", "vectors"] {
        let generations = std::fs::read_dir(data.join("collections/default/generations")).unwrap();
        for generation in generations {
            std::fs::remove_dir_all(generation.unwrap().path().join(projection)).unwrap();
        }
        let audit = cento_json(&data, &["doctor"]).json();
        assert_eq!(audit["clean"], true, "{projection}: {audit}");
    }
    assert_eq!(cento_json(&data, &["context", "reset key"]).json(), before);
}

#[test]
fn the_same_question_gives_the_same_bytes() {
    let (_dir, data) = ingested();
    let ask = || {
        cento_json(&data, &["context", "gateway sensor refund", "-t", "500"])
            .ok()
            .stdout
    };
    let first = ask();
    for _ in 0..3 {
        assert_eq!(ask(), first);
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_an_ingestion_cleanly_with_what_is_committed() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..20_000)
        .map(|i| {
            json!({"id": format!("d{i}"), "text": format!("Entry {i} on pumps.")}).to_string()
                + "\n"
        })
        .collect();
    write(dir.path(), "many.jsonl", lines);
    let data = dir.path().join("data");
    let mut child = command(&data)
        .args(["--json", "ingest"])
        .arg(dir.path().join("many.jsonl"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut committed = 0;
    let mut report = Value::Null;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["event"] == "committed" {
            if committed == 0 {
                let pid = child.id().to_string();
                std::process::Command::new("kill")
                    .args(["-INT", &pid])
                    .status()
                    .unwrap();
            }
            committed += event["documents"].as_array().unwrap().len();
        } else if event["event"] == "report" {
            report = event["report"].clone();
        }
    }
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["added"], committed);
    assert!(committed < 20_000, "it was stopped before its end");
    let audit = cento_json(&data, &["doctor"]).json();
    assert_eq!(audit["clean"], true);
    assert_eq!(audit["collections"][0]["report"]["documents"], committed);
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let shown = readme.split("````text\n").nth(1).unwrap();
    let shown = shown.split("\n````\n").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let printed = cento(dir.path(), &["demo"]).ok().stdout;
    let mut compared = 0;
    // Times differ from run to run; everything else must not.
    for line in shown
        .lines()
        .filter(|line| !line.ends_with("ms") && !line.ends_with("ms."))
    {
        assert!(
            printed.lines().any(|other| other == line),
            "not printed: {line}"
        );
        compared += 1;
    }
    assert!(compared > 20, "{shown}");
}
