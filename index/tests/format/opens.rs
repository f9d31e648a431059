//! Does this version open the fixture, and find in it what was put in?

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::answers::{self, FILE};
use crate::files::{folder, tree};
use crate::fixture::ready;

#[test]
fn what_format_1_holds_is_found_restored_rolled_back_and_imported() {
    ready();
    let golden = fs::read_to_string(folder().join(FILE)).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let found = answers::all();
    for (part, expected) in golden.as_object().unwrap() {
        assert_eq!(&found[part], expected, "{part}");
    }
}

#[test]
fn the_fixture_is_small_and_has_what_it_is_for() {
    ready();
    let files = tree(&folder());
    let bytes: usize = files.values().map(Vec::len).sum();
    assert!(bytes < 300_000, "{bytes} bytes");
    let names: Vec<String> = files
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    let count = |part: &str| names.iter().filter(|name| name.contains(part)).count();
    assert!(count("store/collections/docs/log/") >= 3, "{names:?}");
    assert!(
        count("store/collections/docs/snapshots/first/log/") >= 2,
        "{names:?}"
    );
    assert_eq!(count("generations/"), 0, "{names:?}");
    let manifest = &files[Path::new("store/collections/docs/manifest.json")];
    let manifest = String::from_utf8_lossy(manifest);
    let json: Value = serde_json::from_str(manifest.split_once('\n').unwrap().1).unwrap();
    let segments = json["segments"].as_array().unwrap();
    assert!(segments.iter().any(|segment| !segment["table"].is_null()));
    assert!(segments.iter().any(|segment| segment["table"].is_null()));
    let states: Vec<_> = (json["generations"].as_array().unwrap().iter())
        .map(|generation| {
            let settings = &generation["settings"];
            (
                generation["state"].as_str().unwrap(),
                settings["precision"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(states, [("former", "i8"), ("serving", "f32")]);
}

/// What each kind of file begins with.
const BEGINNINGS: [(&str, &str, &[u8]); 6] = [
    ("docs/log/", "centolog 2", b"centolog\x02\0\0\0"),
    ("first/log/", "centolog 2", b"centolog\x02\0\0\0"),
    ("manifest.json", "cento-manifest 1", b"cento-manifest 1 "),
    (
        "manifest.copy.json",
        "cento-manifest 1",
        b"cento-manifest 1 ",
    ),
    ("snapshot.json", "cento-snapshot 1", b"cento-snapshot 1 "),
    ("archive.tar", "cento-archive 1", b"cento-archive.json\0"),
];

#[test]
fn every_file_begins_as_the_page_on_formats_says() {
    ready();
    let page = fs::read_to_string(folder().join("../../../docs/format.md")).unwrap();
    let mut met = [0; BEGINNINGS.len()];
    for (path, bytes) in tree(&folder()) {
        let name = path.display().to_string();
        if name == "README.md" || name == FILE {
            continue;
        }
        let kind = BEGINNINGS.iter().position(|(part, ..)| name.contains(part));
        let kind = kind.unwrap_or_else(|| panic!("{name} is of no known kind"));
        let (_, title, beginning) = BEGINNINGS[kind];
        assert!(bytes.starts_with(beginning), "{name}");
        assert!(
            page.contains(&format!("`{title}`")),
            "docs/format.md lacks `{title}`"
        );
        met[kind] += 1;
    }
    assert!(met.iter().all(|count| *count > 0), "{met:?}");
    let archive = fs::read(folder().join("archive.tar")).unwrap();
    let text = String::from_utf8_lossy(&archive[512..1024]);
    assert!(text.contains("\"format\": \"cento-archive\""), "{text}");
    assert!(text.contains("\"version\": 1"), "{text}");
}
