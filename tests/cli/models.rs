//! Models are named, verified and measured.

use crate::run::{cento, cento_json};

const BUNDLED: &str = "cento-static-en-v2";

#[test]
fn models_are_listed_with_the_collections_that_they_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let docs = dir.path().join("a.txt");
    std::fs::write(&docs, "The pump leaks.").unwrap();
    let listed = cento_json(&data, &["models", "list"]).ok().json();
    assert_eq!(listed["models"][0]["model"], BUNDLED);
    assert_eq!(listed["models"][0]["collections"], serde_json::json!([]));
    assert!(!data.exists(), "naming models makes no data directory");
    cento(&data, &["ingest", docs.to_str().unwrap(), "-c", "docs"]).ok();
    let listed = cento(&data, &["models", "list"]).ok().stdout;
    let line = listed.lines().find(|line| line.starts_with(BUNDLED));
    assert!(line.unwrap().ends_with("used by docs"), "{listed}");
}

#[test]
fn a_model_is_verified_against_the_collections_that_it_embedded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let docs = dir.path().join("a.txt");
    std::fs::write(&docs, "The pump leaks.").unwrap();
    // A folder whose model can be changed.
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let bundled = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/models/cento-static-en-v2"
    );
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(format!("{bundled}/{file}"), model.join(file)).unwrap();
    }
    let model = model.to_str().unwrap();
    let docs = docs.to_str().unwrap();
    cento(&data, &["ingest", docs, "--embedder", model]).ok();
    let verified = cento_json(&data, &["models", "verify"]).ok().json();
    assert_eq!(verified["models"][0]["well"], true, "{verified}");
    // A space more in the tokenizer is another model.
    let tokenizer = format!("{model}/tokenizer.json");
    let mut changed = std::fs::read_to_string(&tokenizer).unwrap();
    changed.push(' ');
    std::fs::write(&tokenizer, changed).unwrap();
    let ran = cento_json(&data, &["models", "verify"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let verified: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let problem = &verified["models"][0]["problem"];
    assert_eq!(problem["code"], "model_mismatch", "{problem}");
    // Named in another way it is the same one.
    let ran = cento_json(&data, &["models", "verify", &format!("{model}/../model")]);
    assert_eq!(ran.code, Some(3), "{}", ran.stdout);
    // What no collection uses is looked at by itself.
    let ran = cento(&data, &["models", "verify", BUNDLED, "no-such-model"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stdout.contains(&format!("{BUNDLED}: well")),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("[unknown_model]"), "{}", ran.stdout);
}

#[test]
fn a_model_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let measured = cento_json(dir.path(), &["models", "bench", "--seconds", "1"]);
    let measured = measured.ok().json();
    assert_eq!(measured["model"], BUNDLED);
    assert_eq!(measured["dimensions"], 256);
    for figure in [
        "passages_per_second",
        "fit_ms",
        "query_median_us",
        "open_ms",
    ] {
        assert!(measured[figure].as_f64().unwrap() > 0.0, "{measured}");
    }
}

#[test]
fn what_is_no_name_on_a_hub_is_not_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let ran = cento_json(dir.path(), &["models", "pull", "no-such-model"]);
    ran.failed_with("unknown_model");
    assert!(ran.stderr.contains("owner/name"), "{}", ran.stderr);
}
