//! Is what a crash left what may be there, as the binary itself says?

use std::path::Path;

use serde_json::{Value, json};

use crate::acts::DOCUMENTS;
use crate::model::{Found, Model, Standing, marker, text};
use crate::random::Random;
use crate::served::{Client, Served, command};

/// Serves what was left, compares it with what may be there, lets the doctor
/// look at it, and serves nothing else than before.
pub(crate) fn check(data: &Path, model: &mut Model, seed: u64) -> Result<(), Vec<String>> {
    let served = Served::start(data, None, None);
    let url = served.url.clone().expect("it is served again");
    let client = Client::new(&url);
    let found = found(&client).map_err(|reason| vec![reason])?;
    let gone = model.look(&found)?;
    let mut wrong = Vec::new();
    let mut random = Random::new(seed);
    let standing: Vec<_> = found.documents.iter().collect();
    for _ in 0..20 {
        if let Some((document, standing)) = random.of(&standing) {
            wrong.extend(check_search(&client, **document, **standing).err());
        }
    }
    for _ in 0..20 {
        let Some(&(document, version)) = random.of(&gone) else {
            break;
        };
        let mark = marker(document, version);
        let hits = search(&client, &json!({ "query": mark, "legs": "lexical" }));
        if !hits.is_empty() {
            wrong.push(format!("{mark}, which was replaced, finds {hits:?}"));
        }
    }
    served.kill();
    served.end();
    let audit = doctor(data)?;
    let documents = &audit["report"]["documents"];
    if *documents != found.documents.len() {
        wrong.push(format!("the doctor counts {documents} documents: {audit}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn doctor(data: &Path) -> Result<Value, Vec<String>> {
    let output = command(data, None, None).arg("doctor").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let audits: Value = serde_json::from_str(told.trim()).unwrap_or_default();
    if !output.status.success() || audits["clean"] != true {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(vec![format!("the doctor says {told}{error}")]);
    }
    let all = audits["collections"].as_array().unwrap();
    let mut named = all.iter().filter(|audit| audit["collection"] == "crash");
    Ok(named.next().cloned().unwrap_or_default())
}

fn found(client: &Client) -> Result<Found, String> {
    let mut found = Found::default();
    for generation in client.get("/crash/generations")["generations"]
        .as_array()
        .unwrap()
    {
        if generation["state"] == "serving" {
            let cut = generation["settings"]["chunking"].as_str().unwrap();
            found.configuration.push_str(cut);
        }
    }
    for snapshot in client.get("/crash/snapshots")["snapshots"]
        .as_array()
        .unwrap()
    {
        let id = snapshot["id"].as_str().unwrap();
        found.snapshots.insert(id.to_owned());
    }
    let page = client.get(&format!("/crash/documents?limit={}", DOCUMENTS + 1));
    for outline in page["documents"].as_array().unwrap() {
        let id = outline["id"].as_str().unwrap();
        let document: u64 = id[1..].parse().unwrap();
        let stored = client.get(&format!("/crash/documents/{id}"));
        let metadata = &stored["metadata"];
        let standing = Standing {
            version: metadata["version"].as_u64().unwrap(),
            patch: metadata["patch"].as_u64(),
        };
        let mut expected = json!({ "document": document, "version": standing.version });
        if let Some(patch) = standing.patch {
            expected["patch"] = patch.into();
        }
        // The order of fields says nothing.
        let sorted = |value: &Value| -> std::collections::BTreeMap<String, Value> {
            serde_json::from_value(value.clone()).unwrap()
        };
        if sorted(metadata) != sorted(&expected)
            || stored["text"] != text(document, standing.version)
        {
            return Err(format!("half a document: {stored}"));
        }
        found.documents.insert(document, standing);
    }
    Ok(found)
}

fn search(client: &Client, asked: &Value) -> Vec<Value> {
    let (status, answer) = client.json("POST", "/crash/search", asked).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["hits"].as_array().unwrap().clone()
}

/// Whether words, vectors and filters find this version of a document alone.
fn check_search(client: &Client, document: u64, standing: Standing) -> Result<(), String> {
    let mark = marker(document, standing.version);
    let id = format!("d{document}");
    let by_words = json!({ "query": mark, "legs": "lexical", "limit": 50 });
    let hits = search(client, &by_words);
    let is_right = |hit: &Value| {
        let text = hit["text"].as_str().unwrap();
        hit["document"] == id && text.contains(&mark)
    };
    if hits.is_empty() || !hits.iter().all(is_right) {
        return Err(format!("{mark} finds {hits:?}"));
    }
    let (key, value) = match standing.patch {
        Some(patch) => ("patch", patch),
        None => ("version", standing.version),
    };
    let filtered = json!({
        "query": format!("report {mark}"), "legs": "dense", "limit": 50,
        "filter": { "type": "eq", "key": key, "value": value },
    });
    let hits = search(client, &filtered);
    let whole = text(document, standing.version);
    let is_right = |hit: &Value| {
        let text = hit["text"].as_str().unwrap();
        hit["document"] == id && whole.contains(text)
    };
    if hits.is_empty() || !hits.iter().all(is_right) {
        return Err(format!("{filtered} finds {hits:?}"));
    }
    Ok(())
}
