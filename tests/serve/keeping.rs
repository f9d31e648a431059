//! Are collections kept through a server as on a directory?

use serde_json::{Value, json};

use crate::beside::{cento, json};
use crate::server::Server;

#[test]
fn snapshots_generations_and_space_are_kept_through_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data);
    let url = ["--json", "--url", &server.url];
    let ask = |args: &[&str]| json(&url, args);
    let file = dir.path().join("pump.md");
    std::fs::write(
        &file,
        "# Pumps\n\nThe pump was seen to.\n\n# Hoses\n\nNot the hose.\n",
    )
    .unwrap();
    ask(&["ingest", file.to_str().unwrap()]);
    assert_eq!(ask(&["snapshot", "create", "s"])["id"], "s");
    assert_eq!(ask(&["snapshot", "list"])["snapshots"][0]["documents"], 1);

    // The archive goes where the command line says, not the server.
    let archive = dir.path().join("pump.tar");
    let archive = archive.to_str().unwrap();
    let exported = ask(&["snapshot", "export", "s", "--to", archive]);
    assert_eq!(exported["bytes"], std::fs::metadata(archive).unwrap().len());
    let import = ["snapshot", "import", "-c", "copy", "--from", archive];
    assert_eq!(ask(&import)["documents"], 1);
    let refused = |args: &[&str]| -> Value {
        let output = cento(&url, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        told["error"]["code"].clone()
    };
    assert_eq!(refused(&import), "collection_exists");
    let unknown = ["snapshot", "export", "x", "--to", archive];
    assert_eq!(refused(&unknown), "unknown_snapshot");

    let cost = ask(&["reindex", "--chunking", "none", "--estimate"]);
    assert_eq!(cost["estimate"]["chunks"], 1, "{cost}");
    ask(&["reindex", "--chunking", "none", "-y"]);
    assert_eq!(ask(&["show"])["generation"], 2);
    assert_eq!(refused(&["reindex", "-y"]), "nothing_to_change");
    assert_eq!(
        refused(&["reindex", "-y", "--embedder", "/etc"]),
        "model_not_allowed"
    );
    ask(&["generation", "rollback"]);
    let listed = ask(&["generation", "list"]);
    assert_eq!(listed["generations"][0]["state"], "serving", "{listed}");
    ask(&["generation", "drop", "2"]);

    ask(&["delete", "pump.md"]);
    ask(&["snapshot", "restore", "s"]);
    assert_eq!(ask(&["list"])["collections"][1]["documents"], 1);
    ask(&["snapshot", "delete", "s"]);
    ask(&["compact"]);
    assert_eq!(ask(&["purge"])["report"]["held"], json!([]));
    ask(&["rebuild", "--only", "vectors", "-c", "copy"]);
    assert_eq!(ask(&["doctor"])["clean"], true);
    let salvage = ["doctor", "-c", "default", "--salvage"];
    assert_eq!(refused(&salvage), "needs_directory");
    assert!(server.terminate());
}
