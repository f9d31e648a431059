//! What an enemy may send is refused, and told what it is.

use std::io::{self, Read};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::sample::{about, archive, refusal, refusal_of, try_import};

/// A forger: whatever it is told, with every header and hash made to fit.
struct Forged {
    contents: Value,
    entries: Vec<(Header, Vec<u8>)>,
}

fn plain(name: &str, bytes: &[u8]) -> (Header, Vec<u8>) {
    let mut header = Header::new_ustar();
    // Written by hand: the library refuses the names that matter here.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    header.set_mtime(about().created);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    (header, bytes.to_vec())
}

fn listed(path: &str, bytes: &[u8]) -> Value {
    let hash = blake3::hash(bytes).to_hex();
    json!({"path": path, "bytes": bytes.len(), "blake3": hash.as_str()})
}

impl Forged {
    /// An archive of these files that is in order, but for their names.
    fn of(paths: &[&str]) -> Self {
        let files: Vec<Value> = paths.iter().map(|path| listed(path, b"abc")).collect();
        let entry = |path: &&str| plain(&format!("snapshot/{path}"), b"abc");
        Self {
            contents: json!({
                "format": "cento-archive",
                "version": 1,
                "collection": "handbook",
                "snapshot": "s1",
                "created": about().created,
                "files": files,
            }),
            entries: paths.iter().map(entry).collect(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let contents = serde_json::to_vec_pretty(&self.contents).unwrap();
        let files = self.contents["files"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let lengths = files.iter().map(|file| file["bytes"].as_u64().unwrap_or(0));
        let last = json!({
            "format": "cento-archive-end",
            "files": files.len(),
            "bytes": lengths.fold(0, u64::wrapping_add),
            "contents": blake3::hash(&contents).to_hex().as_str(),
        });
        let mut builder = Builder::new(Vec::new());
        let mut append = |(header, bytes): &(Header, Vec<u8>)| {
            builder.append(header, &**bytes).unwrap();
        };
        append(&plain("cento-archive.json", &contents));
        self.entries.iter().for_each(&mut append);
        let last = serde_json::to_vec_pretty(&last).unwrap();
        append(&plain("cento-archive.end", &last));
        builder.into_inner().unwrap()
    }

    fn refusal(&self) -> String {
        refusal(&self.bytes())
    }
}

#[test]
fn the_forger_can_forge() {
    try_import(&Forged::of(&["a", "b/c"]).bytes()).unwrap();
}

#[test]
fn a_path_that_leaves_the_folder_is_refused() {
    for path in [
        "../up",
        "a/../../up",
        "..",
        ".",
        "a/./b",
        "/etc/passwd",
        "a//b",
        "a/",
        "",
        "a\\..\\b",
        "C:\\x",
        "a b",
        "a\nb",
        "a\u{0}b",
        "\u{1b}[2J",
        "ü",
        "~/x",
        "a/..",
    ] {
        let reason = Forged::of(&[path]).refusal();
        assert!(
            reason.contains("is not made of names"),
            "{path:?}: {reason}"
        );
        assert!(!reason.contains(|c: char| c.is_control()), "{reason:?}");
    }
    let deep = ["d"; 9].join("/");
    assert!(Forged::of(&[&deep]).refusal().contains("deep"));
}

#[test]
fn a_path_that_is_too_long_is_refused() {
    let long = [
        "n".repeat(99).as_str(),
        "o".repeat(99).as_str(),
        "p".repeat(99).as_str(),
    ]
    .join("/");
    let mut forged = Forged::of(&["a"]);
    forged.contents["files"][0]["path"] = long.into();
    assert!(forged.refusal().contains("too long"));
}

#[test]
fn a_link_or_device_under_a_listed_name_is_refused() {
    for (kind, says) in [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a pipe"),
        (EntryType::Directory, "a directory"),
        (EntryType::GNUSparse, "a header of GNU tar"),
        (EntryType::GNULongName, "a header of GNU tar"),
        (EntryType::XHeader, "an extended header"),
        (EntryType::XGlobalHeader, "an extended header"),
        (EntryType::Continuous, "an entry of unknown kind"),
        (EntryType::new(b'?'), "an entry of unknown kind"),
    ] {
        let mut forged = Forged::of(&["a"]);
        forged.entries[0].0.set_entry_type(kind);
        forged.entries[0]
            .0
            .set_link_name_literal("/etc/passwd")
            .unwrap();
        forged.entries[0].0.set_cksum();
        let reason = forged.refusal();
        let expected = format!("'snapshot/a' is {says} where");
        assert!(reason.starts_with(&expected), "{reason}");
    }
}

#[test]
fn a_file_that_is_not_listed_is_refused() {
    for at in 0..=2 {
        let mut forged = Forged::of(&["a", "b"]);
        forged.entries.insert(at, plain("snapshot/extra", b"abc"));
        let reason = forged.refusal();
        assert!(
            reason.starts_with("'snapshot/extra' stands where"),
            "{reason}"
        );
    }
}

#[test]
fn a_listed_file_that_is_missing_is_named() {
    let mut forged = Forged::of(&["a", "b"]);
    forged.entries.pop();
    let reason = forged.refusal();
    assert_eq!(
        reason,
        "'cento-archive.end' stands where 'snapshot/b' should"
    );

    // Cut off and closed again, as a tool that mends archives would.
    let mut ended = archive();
    let first = ended.windows(9).position(|name| name == b"snapshot/");
    ended.truncate(first.unwrap());
    ended.extend([0; 1024]);
    let reason = refusal(&ended);
    assert!(reason.starts_with("it ends where 'snapshot/"), "{reason}");
}

#[test]
fn a_file_listed_twice_or_out_of_order_is_refused() {
    assert_eq!(Forged::of(&["a", "a"]).refusal(), "'a' is listed twice");
    let reason = Forged::of(&["b", "a"]).refusal();
    assert_eq!(reason, "'a' is listed after 'b', out of order");
}

#[test]
fn a_file_that_is_also_a_folder_is_refused() {
    for paths in [&["a", "a/b"][..], &["a", "a-b", "a/b"], &["x/a", "x/a/b/c"]] {
        let reason = Forged::of(paths).refusal();
        assert!(
            reason.ends_with("listed as a file and as a folder"),
            "{reason}"
        );
    }
}

#[test]
fn a_claimed_length_is_not_believed() {
    for claim in [4, 1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
        let mut forged = Forged::of(&["a"]);
        forged.contents["files"][0]["bytes"] = claim.into();
        let reason = forged.refusal();
        assert!(reason.contains("claims 3 bytes instead of"), "{reason}");

        forged.entries[0].0.set_size(claim);
        forged.entries[0].0.set_cksum();
        let reason = forged.refusal();
        assert!(
            reason.contains("it ends after") || reason.contains("not those"),
            "{reason}"
        );
    }
    let mut forged = Forged::of(&["a", "b"]);
    forged.contents["files"][0]["bytes"] = u64::MAX.into();
    assert!(forged.refusal().contains("more bytes than can be counted"));
}

#[test]
fn a_table_of_contents_of_gigabytes_is_refused_unread() {
    let (mut header, _) = plain("cento-archive.json", b"");
    header.set_size(8 << 30);
    header.set_cksum();
    // A stream that would never end.
    let mut endless = header.as_bytes().chain(io::repeat(b' '));
    let reason = refusal_of(&mut endless);
    assert!(
        reason.contains("claims more than 33554432 bytes"),
        "{reason}"
    );
}

#[test]
fn more_files_than_any_snapshot_has_are_refused() {
    let paths: Vec<String> = (0..70_000).map(|n| format!("{n:06}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut forged = Forged::of(&paths);
    forged.entries.clear();
    let reason = forged.refusal();
    assert_eq!(reason, "it has 70000 files; at most 65536 can be");
}

#[test]
fn a_table_of_contents_that_is_not_understood_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 9] = [
        ("version 2", |c| c["version"] = 2.into()),
        ("not a table of contents", |c| c["format"] = "zip".into()),
        ("cannot be understood", |c| c["version"] = "1".into()),
        ("cannot be understood", |c| c["more"] = 1.into()),
        ("cannot be understood", |c| c["collection"] = "../up".into()),
        ("cannot be understood", |c| {
            c["files"][0]["blake3"] = "00".into();
        }),
        ("cannot be understood", |c| {
            c["files"][0]["bytes"] = (-1).into();
        }),
        ("no files", |c| c["files"] = json!([])),
        ("cannot be a snapshot's id", |c| c["snapshot"] = "..".into()),
    ];
    for (says, change) in cases {
        let mut forged = Forged::of(&["a"]);
        change(&mut forged.contents);
        let reason = forged.refusal();
        assert!(reason.contains(says), "{says}: {reason}");
    }
    let mut nested = Forged::of(&["a"]);
    nested.contents = Value::String("[".repeat(100_000));
    assert!(nested.refusal().contains("cannot be understood"));
    for text in ["[".repeat(100_000), String::new(), "\u{0}".repeat(512)] {
        let (header, bytes) = plain("cento-archive.json", text.as_bytes());
        let mut builder = Builder::new(Vec::new());
        builder.append(&header, &*bytes).unwrap();
        let reason = refusal(&builder.into_inner().unwrap());
        assert!(reason.contains("cannot be understood"), "{reason}");
    }
}

#[test]
fn what_is_no_archive_is_called_so() {
    for bytes in [&b"PK\x03\x04"[..], b"{\"format\": 1}"] {
        let reason = refusal(&[bytes, &[1; 600]].concat());
        assert_eq!(reason, "it does not begin with cento-archive.json");
    }
}

#[test]
fn names_that_a_file_system_takes_for_one_do_not_overwrite_each_other() {
    // Two files here; one refused where 'A' and 'a' are the same.
    if let Err(error) = try_import(&Forged::of(&["A", "a"]).bytes()) {
        assert!(error.to_string().contains("cannot create"), "{error}");
    }
}
