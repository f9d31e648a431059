//! Does a fetch give a model or a clear error, whatever the hub does?
//!
//! The hub is a listener of this process that knows a few files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::super::onnx_outline::tests as onnx;
use super::*;

const SHA: &str = "0123456789abcdef";

/// How the hub behaves.
#[derive(Clone, Default)]
struct Manners {
    files: BTreeMap<String, Vec<u8>>,
    /// Answers everything with this status.
    status: Option<u16>,
    /// Cuts bodies of this file off after half of them.
    cut: Option<String>,
    /// Takes connections and says nothing.
    silent: bool,
    token: Option<String>,
}

struct TestHub {
    hub: Hub,
    asked: Arc<Mutex<Vec<String>>>,
    cache: TempDir,
}

impl TestHub {
    fn new(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                if manners.silent {
                    held.push(stream);
                    continue;
                }
                let (manners, log) = (manners.clone(), Arc::clone(&log));
                thread::spawn(move || answer(stream, &manners, &log));
            }
        });
        let cache = TempDir::new().expect("a folder");
        Self {
            hub: Hub {
                endpoint: Some(format!("http://127.0.0.1:{port}")),
                cache: cache.path().join("hub"),
                token: None,
                offline: false,
                patience: Duration::from_secs(20),
            },
            asked,
            cache,
        }
    }

    fn fetch(&self, name: &str) -> Result<PathBuf, EmbedError> {
        fetch(&Name::parse(name).expect("a name"), &self.hub)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a list").clone()
    }
}

fn answer(mut stream: TcpStream, manners: &Manners, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
    let (mut path, mut range, mut token) = (String::new(), String::new(), None);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        let lower = line.to_lowercase();
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some(rest) = lower.strip_prefix("range: bytes=") {
            range = rest.trim().to_owned();
        } else if let Some(at) = lower.strip_prefix("authorization: bearer ") {
            token = Some(at.trim().to_owned());
        }
        line.clear();
    }
    log.lock().expect("a list").push(path.clone());
    let mut send = |status: u16, headers: &str, body: &[u8], sent: usize| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body[..sent.min(length)]);
    };
    if let Some(status) = manners.status {
        return send(status, "", b"", 0);
    }
    if manners.token.is_some() && manners.token != token {
        return send(401, "", b"", 0);
    }
    if path.starts_with("/api/models/owner/name/revision/") {
        let files: Vec<_> = manners
            .files
            .keys()
            .map(|name| serde_json::json!({ "rfilename": name }))
            .collect();
        let body = serde_json::json!({ "sha": SHA, "siblings": files }).to_string();
        return send(
            200,
            "Content-Type: application/json\r\n",
            body.as_bytes(),
            usize::MAX,
        );
    }
    let name = path.strip_prefix(&format!("/owner/name/resolve/{SHA}/"));
    let Some((name, file)) = name.and_then(|name| manners.files.get_key_value(name)) else {
        return send(404, "", b"", 0);
    };
    let (from, to) = range.split_once('-').unwrap_or(("0", ""));
    let from: usize = from.parse().unwrap_or(0).min(file.len());
    let to = to
        .parse()
        .map_or(file.len(), |to: usize| (to + 1).min(file.len()));
    let headers = format!(
        "X-Repo-Commit: {SHA}\r\nETag: \"{}\"\r\nContent-Range: bytes {from}-{}/{}\r\n",
        name.replace('/', "-"),
        to.saturating_sub(1),
        file.len()
    );
    let body = &file[from..to];
    let cut = manners.cut.as_ref() == Some(name) && body.len() > 1;
    send(
        206,
        &headers,
        body,
        if cut { body.len() / 2 } else { usize::MAX },
    );
}

fn graph() -> Vec<u8> {
    onnx::file(
        &["input_ids"],
        &[("last_hidden_state", &[None, None, Some(3)])],
    )
}

fn files(names: &[&str]) -> BTreeMap<String, Vec<u8>> {
    names
        .iter()
        .map(|name| {
            let content = if name.ends_with(".onnx") {
                graph()
            } else {
                b"{\"a\": 1}".to_vec()
            };
            ((*name).to_owned(), content)
        })
        .collect()
}

fn hub_with(names: &[&str]) -> TestHub {
    TestHub::new(Manners {
        files: files(names),
        ..Manners::default()
    })
}

#[test]
fn names_are_told_from_paths() {
    let shown = |text: &str| Name::parse(text).map(|name| name.to_string());
    for sound in [
        "owner/name",
        "o/n.v1.5@main",
        "owner/name/onnx/model_q.onnx",
        "o/n@abc/model.onnx",
    ] {
        assert_eq!(shown(sound).as_deref(), Some(sound));
    }
    for other in [
        "name",
        "/owner/name",
        "./model",
        "../model",
        "owner/",
        "o/n/folder",
        "o/n/../x.onnx",
        "o/n@",
        "~/model",
        "o n/m",
        "o/n/.x.onnx",
        "",
    ] {
        assert_eq!(shown(other), None, "{other}");
    }
}

#[test]
fn a_model_is_fetched_once_and_only_what_it_needs() {
    let hub = hub_with(&[
        "README.md",
        "config.json",
        "tokenizer.json",
        "modules.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    ]);
    assert_eq!(present(&hub.hub), []);
    let folder = hub.fetch("owner/name").expect("fetched");
    let name = Name::parse("owner/name").expect("a name");
    assert_eq!(present(&hub.hub), [(name, folder.clone())]);
    let found = model_files::find(&folder).expect("a model");
    assert_eq!(fs::read(&found.graph).expect("read"), graph());
    assert!(folder.join("1_Pooling/config.json").is_file());
    assert!(!folder.join("model.safetensors").exists());
    assert!(!folder.join("onnx/model_quantized.onnx").exists());

    let asked = hub.asked().len();
    assert_eq!(hub.fetch("owner/name").expect("cached"), folder);
    assert_eq!(hub.asked().len(), asked, "the hub was asked again");
    let offline = Hub {
        offline: true,
        ..hub.hub.clone()
    };
    let name = Name::parse("owner/name").expect("a name");
    assert_eq!(fetch(&name, &offline).expect("cached"), folder);

    let graph = hub
        .fetch("owner/name/onnx/model_quantized.onnx")
        .expect("fetched");
    assert_eq!(graph, folder.join("onnx/model_quantized.onnx"));
}

#[test]
fn weights_outside_the_graph_are_fetched_with_it() {
    let location = [
        onnx::bytes(1, b"location"),
        onnx::bytes(2, b"model.onnx_data"),
    ]
    .concat();
    let weights = onnx::bytes(7, &onnx::bytes(5, &onnx::bytes(13, &location)));
    let mut files = files(&["tokenizer.json", "onnx/model.onnx_data"]);
    files.insert("onnx/model.onnx".to_owned(), [graph(), weights].concat());
    let hub = TestHub::new(Manners {
        files,
        ..Manners::default()
    });
    let folder = hub.fetch("owner/name").expect("fetched");
    assert!(folder.join("onnx/model.onnx_data").is_file());
}

#[test]
fn a_fetch_that_was_cut_off_is_no_model_and_goes_on_where_it_stopped() {
    let names = ["tokenizer.json", "model.onnx"];
    let mut cut = hub_with(&names);
    let broken = TestHub::new(Manners {
        files: files(&names),
        cut: Some("model.onnx".to_owned()),
        ..Manners::default()
    });
    let error = broken.fetch("owner/name").expect_err("cut off");
    assert!(
        matches!(error, EmbedError::HubUnreachable { .. }),
        "{error}"
    );
    cut.hub.cache = broken.cache.path().join("hub");
    let folder = cut.fetch("owner/name").expect("the rest");
    assert_eq!(fs::read(folder.join("model.onnx")).expect("read"), graph());
}

#[test]
fn what_a_hub_lacks_is_said() {
    for (names, model, expected) in [
        (
            &["tokenizer.json", "model.safetensors"][..],
            "owner/name",
            "no graph in ONNX",
        ),
        (&["model.onnx"], "owner/name", "no tokenizer.json"),
        (
            &["tokenizer.json", "a.onnx", "b.onnx"],
            "owner/name",
            "a.onnx, b.onnx",
        ),
        (
            &["tokenizer.json", "model.onnx"],
            "owner/name/q.onnx",
            "no q.onnx, but model.onnx",
        ),
        (
            &["tokenizer.json", "model.onnx"],
            "owner/other",
            "no such model",
        ),
    ] {
        let error = hub_with(names).fetch(model).expect_err("refused");
        assert!(matches!(error, EmbedError::HubNotFound { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn statuses_are_told_apart() {
    let error = |status| {
        let manners = Manners {
            status: Some(status),
            ..Manners::default()
        };
        TestHub::new(manners)
            .fetch("owner/name")
            .expect_err("refused")
    };
    assert!(matches!(error(404), EmbedError::HubNotFound { .. }));
    assert!(matches!(error(401), EmbedError::HubForbidden { .. }));
    assert!(matches!(error(403), EmbedError::HubForbidden { .. }));
    assert!(matches!(error(429), EmbedError::HubUnreachable { .. }));
    assert!(matches!(error(503), EmbedError::HubUnreachable { .. }));
    assert!(matches!(error(200), EmbedError::HubUnreachable { .. }));
}

#[test]
fn a_token_opens_what_is_not_for_everybody() {
    let mut hub = TestHub::new(Manners {
        files: files(&["tokenizer.json", "model.onnx"]),
        token: Some("secret".to_owned()),
        ..Manners::default()
    });
    assert!(matches!(
        hub.fetch("owner/name"),
        Err(EmbedError::HubForbidden { .. })
    ));
    hub.hub.token = Some("secret".to_owned());
    hub.fetch("owner/name").expect("fetched");
}

#[test]
fn a_hub_that_is_not_there_or_says_nothing_is_given_up() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let mut silent = TestHub::new(Manners {
        silent: true,
        ..Manners::default()
    });
    silent.hub.patience = Duration::from_millis(300);
    let refused = Hub {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        ..silent.hub.clone()
    };
    let offline = Hub {
        offline: true,
        ..silent.hub.clone()
    };
    for (hub, expected) in [
        (&silent.hub, "nothing came"),
        (&refused, "refused"),
        (&offline, "HF_HUB_OFFLINE"),
    ] {
        let name = Name::parse("owner/name").expect("a name");
        let error = fetch(&name, hub).expect_err("unreachable");
        assert!(
            matches!(error, EmbedError::HubUnreachable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let mut hub = hub_with(&["tokenizer.json", "model.onnx"]);
    let file = hub.cache.path().join("a-file");
    fs::write(&file, "in the way").expect("written");
    hub.hub.cache = file;
    let error = hub.fetch("owner/name").expect_err("refused");
    assert!(matches!(error, EmbedError::HubCache { .. }), "{error:?}");
}
