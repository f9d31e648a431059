//! Does the command line say the same through a server as on a directory?

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::Server;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo/corpus")
}

pub(crate) fn cento(args: &[&str], extra: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cento"))
        .env_remove("CENTO_DATA")
        .env_remove("CENTO_URL")
        .env_remove("CENTO_COLLECTION")
        .args(args)
        .args(extra)
        .output()
        .unwrap()
}

#[track_caller]
pub(crate) fn json(args: &[&str], extra: &[&str]) -> Value {
    let output = cento(args, extra);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&last)
        .or_else(|_| serde_json::from_str(last.lines().last().unwrap()))
        .unwrap()
}

/// What differs from run to run, and nothing else, is taken out.
fn without_times(mut value: Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("elapsed_ms");
                map.values_mut().for_each(clean);
            }
            Value::Array(list) => list.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut value);
    value
}

/// Names the first place where two answers differ.
#[track_caller]
fn assert_same(found: &Value, expected: &Value, at: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let names = |map: &serde_json::Map<String, Value>| -> Vec<String> {
                map.keys().cloned().collect()
            };
            assert_eq!(names(found), names(expected), "{at}");
            for (name, value) in found {
                assert_same(value, &expected[name], &format!("{at}.{name}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{at}");
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_same(found, expected, &format!("{at}[{i}]"));
            }
        }
        // Two stores may have merged their segments differently, and a sum in
        // another order differs in its last bit.
        (Value::Number(found), Value::Number(expected)) if found.is_f64() => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                "{at}: {found}, {expected}"
            );
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}

#[test]
fn a_server_answers_every_command_as_its_directory_would() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("here");
    let there = dir.path().join("there");
    let mut server = Server::start(&there);
    let corpus = corpus();
    let corpus = corpus.to_str().unwrap();
    let here = ["--json", "--data", here.to_str().unwrap()];
    let by_url = ["--json", "--url", &server.url];
    // The lock says where the server is.
    let by_lock = ["--json", "--data", there.to_str().unwrap()];
    let ingest = ["ingest", corpus, "-c", "handbook"];
    assert_eq!(
        without_times(json(&here, &ingest)),
        without_times(json(&by_url, &ingest))
    );
    let again = json(&by_url, &ingest);
    assert_eq!(
        again["report"]["unchanged"],
        json(&here, &ingest)["report"]["unchanged"]
    );
    let questions: [&[&str]; 9] = [
        &["list"],
        &["list", "-c", "handbook", "-n", "7"],
        &["show", "-c", "handbook"],
        &["show", "-c", "handbook", "policies/refunds.md"],
        &["show", "-c", "handbook", "zh/安装指南.md"],
        &[
            "search",
            "-c",
            "handbook",
            "E-17",
            "--filter",
            "format=markdown",
        ],
        &[
            "search",
            "-c",
            "handbook",
            "firmware update",
            "--legs",
            "dense",
        ],
        &[
            "context",
            "-c",
            "handbook",
            "how long does a refund take",
            "-t",
            "800",
        ],
        &["doctor", "-c", "handbook"],
    ];
    for question in questions {
        let expected = json(&here, question);
        for asked in [&by_url, &by_lock] {
            assert_same(&json(asked, question), &expected, &format!("{question:?}"));
        }
    }
    let delete = ["delete", "-c", "handbook", "changelog.txt", "nowhere"];
    assert_eq!(json(&here, &delete), json(&by_lock, &delete));
    let many = ["delete", "-c", "handbook", "--filter", "format=html"];
    assert_eq!(json(&here, &many), json(&by_url, &many));
    let rebuild = ["rebuild", "-c", "handbook"];
    assert_eq!(
        json(&here, &rebuild)["rebuilt"][0]["chunks"],
        json(&by_url, &rebuild)["rebuilt"][0]["chunks"]
    );
    assert!(server.terminate(), "it ends in order");
    // What the server wrote is what the directory holds.
    assert_eq!(
        json(&here, &["list", "-c", "handbook"]),
        json(&by_lock, &["list", "-c", "handbook"])
    );
}

#[test]
fn errors_are_the_same_through_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let by_url = ["--json", "--url", &server.url];
    for (args, code) in [
        (vec!["show", "-c", "none"], "unknown_collection"),
        (vec!["search", "x", "-c", "none"], "unknown_collection"),
        (vec!["ingest", "/nowhere/at/all"], "path_not_found"),
        (
            vec!["context", "x", "--tokenizer", "t.json"],
            "unknown_tokenizer",
        ),
        (
            vec!["ingest", "--embedder", "/etc", "-"],
            "model_not_allowed",
        ),
    ] {
        let output = cento(&by_url, &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        assert_eq!(told["error"]["code"], code, "{told}");
    }
    let url = server.url.clone();
    drop(server);
    let output = cento(&["--json", "--url", &url], &["list"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("server_unreachable"), "{told}");
}

#[test]
fn the_demo_can_be_served() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
    let mut server = Server::of(command.args(["demo", "--serve", "--bind", "127.0.0.1:0"]));
    let found = json(
        &["--json", "--url", &server.url],
        &["search", "-c", "handbook", "E-17", "-n", "3"],
    );
    assert_eq!(found["hits"].as_array().unwrap().len(), 3);
    assert!(server.terminate());
}
