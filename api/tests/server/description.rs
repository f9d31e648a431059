//! Is the API described as it is?

use std::path::Path;

use serde_json::{Value, json};

use crate::server::Server;

/// `CENTO_BLESS=1 cargo test -p cento-api the_description` writes it anew.
#[test]
fn the_description_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let generated = cento_api::openapi_json();
    if std::env::var_os("CENTO_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        generated == checked_in,
        "the API has changed: see whether clients still understand it, then write api/openapi.json anew with\n  CENTO_BLESS=1 cargo test -p cento-api the_description"
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_says_what_can_go_wrong() {
    let description: Value = serde_json::from_str(&cento_api::openapi_json()).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.push(target.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 50);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{target}");
    }
    let mut ids = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(!ids.contains(&id.to_owned()), "{id} stands twice");
            ids.push(id.to_owned());
            let responses = operation["responses"].as_object().unwrap();
            if path.starts_with("/v1") {
                for status in ["400", "404", "429", "500", "503", "504"] {
                    assert!(responses.contains_key(status), "{method} {path}: {status}");
                }
            }
            for (status, response) in responses {
                if status.starts_with(['4', '5']) {
                    let content = &response["content"]["application/problem+json"];
                    let schema = &content["schema"]["$ref"];
                    assert_eq!(
                        schema, "#/components/schemas/ProblemBody",
                        "{method} {path}"
                    );
                }
            }
        }
    }
    assert!(ids.len() >= 17, "{ids:?}");
}

#[test]
fn the_root_leads_to_the_description_and_probes_answer() {
    let server = Server::start();
    let client = server.client();
    let root = client.get("/").json();
    assert_eq!(root["service"], "cento");
    assert_eq!(root["version"], env!("CARGO_PKG_VERSION"));
    let described = client.get(root["links"]["openapi"].as_str().unwrap());
    assert_eq!(described.header("content-type"), Some("application/json"));
    assert_eq!(described.text(), cento_api::openapi_json());
    assert_eq!(client.get("/healthz").json(), json!({"status": "ok"}));
    assert_eq!(client.get("/readyz").json(), json!({"status": "ready"}));
}
