//! What a person does when bytes on the disk have changed.

use serde_json::{Value, json};

use crate::run::*;

#[test]
fn a_damaged_log_is_named_by_doctor_and_salvaged_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for i in 0..5 {
        write(
            dir.path(),
            &format!("in/{i}.md"),
            format!("# Page {i}\n\nThe pump of page {i} is green.\n"),
        );
        // A commit each, so that one can be lost without the others.
        let page = dir.path().join(format!("in/{i}.md"));
        cento(&data, &["ingest", page.to_str().unwrap()]);
    }
    // Nothing is done to what is whole.
    let salvage = ["doctor", "--collection", "default", "--salvage"];
    cento_json(&data, &salvage).failed_with("not_damaged");
    assert!(!data.join("collections/default/damaged").exists());
    let log = data.join("collections/default/log");
    let segment = std::fs::read_dir(log).unwrap().next().unwrap();
    let segment = segment.unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let needle = b"The pump of page 2";
    let at = bytes.windows(needle.len()).position(|w| w == needle);
    bytes[at.unwrap()] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let refused = cento_json(&data, &["doctor"]);
    refused.failed_with("log_damaged");
    assert!(refused.stderr.contains("--salvage"), "{}", refused.stderr);

    let salvaged = cento_json(&data, &salvage);
    assert_eq!(salvaged.code, Some(3), "something is lost");
    let salvaged: Value = serde_json::from_str(&salvaged.stdout).unwrap();
    assert_eq!(salvaged["salvaged"]["kept"], 4, "{salvaged}");
    assert_eq!(salvaged["salvaged"]["missing"], json!([[3, 3]]));
    let audit = cento_json(&data, &["doctor"]).json();
    assert_eq!(audit["clean"], true, "{audit}");
    let found = cento_json(&data, &["search", "green pump"]).json();
    assert!(found.to_string().contains("4.md"), "{found}");
    // What was lost comes again from where it came.
    let again = dir.path().join("in");
    let ran = cento_json(&data, &["ingest", again.to_str().unwrap()]).ok();
    let report = ran.last_json();
    assert_eq!(report["report"]["added"], 1, "{report}");
}
