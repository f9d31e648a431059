//! Is what a server acknowledged still there after `kill -9`?
//!
//! Each round starts the served binary, lets several clients stream documents
//! into it at once, kills it at a random moment, and checks as the other test
//! of this suite does.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cento_embed::Bundled;
use serde_json::{Value, json};
use ureq::Agent;

use crate::serving::Server;
use crate::{DOCUMENTS, Moments, check_round, line, open, seed, setting};

/// How many clients stream at once.
const CLIENTS: usize = 4;
/// How many documents a request has: few, so that a round is killed between
/// and within requests.
const REQUEST: usize = 75;

/// A client that takes every status as an answer.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .new_agent()
}

/// Streams this client's share of a round's documents; returns the ids that
/// were acknowledged.
fn stream(url: &str, client: usize, round: u64, stop: &AtomicBool) -> HashSet<String> {
    let agent = agent();
    let url = format!("{url}/v1/collections/crash/documents");
    let share: Vec<usize> = (0..DOCUMENTS).filter(|d| d % CLIENTS == client).collect();
    let mut acknowledged = HashSet::new();
    for documents in share.chunks(REQUEST) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let body: String = documents
            .iter()
            .map(|&d| format!("{}\n", line(d, round)))
            .collect();
        let request = agent.post(&url).content_type("application/x-ndjson");
        let Ok(answer) = request.send(body.as_str()) else {
            break;
        };
        assert!(answer.status().is_success(), "{}", answer.status());
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            // The server is gone, or a line was cut: not acknowledged.
            let Some(event) = line
                .ok()
                .and_then(|line| serde_json::from_str::<Value>(&line).ok())
            else {
                break;
            };
            assert_ne!(event["event"], "failed", "{event}");
            if event["event"] == "committed" {
                let ids = event["documents"].as_array().unwrap();
                acknowledged.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
            }
        }
    }
    acknowledged
}

/// One round; without a limit it runs to its end. Returns the acknowledged ids
/// and how long the clients streamed.
fn round(data: &Path, number: u64, wait: Option<Duration>) -> (HashSet<String>, Duration) {
    let mut server = Server::start(data);
    let answer = agent()
        .post(format!("{}/v1/collections", server.url))
        .send_json(json!({ "name": "crash" }))
        .unwrap();
    assert!([201, 409].contains(&answer.status().as_u16()), "{answer:?}");
    let stop = AtomicBool::new(false);
    let url = server.url.clone();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (url, stop) = (&url, &stop);
                scope.spawn(move || stream(url, client, number, stop))
            })
            .collect();
        if let Some(wait) = wait {
            std::thread::sleep(wait);
            server.kill();
            stop.store(true, Ordering::Relaxed);
        }
        let acknowledged: HashSet<String> = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        let streamed = begun.elapsed();
        if wait.is_none() {
            assert!(server.terminate(), "it ends in order");
        }
        (acknowledged, streamed)
    })
}

#[test]
fn what_a_server_acknowledged_survives_kill_9() {
    let rounds = setting("CENTO_CRASH_ROUNDS", 4);
    let mut moments = Moments(seed("server"));
    let embedder = Bundled::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // How long a whole round takes, so that the moments cover all of it.
    let (all, whole) = round(&data, 0, None);
    assert_eq!(all.len(), DOCUMENTS);
    let mut versions = vec![0; DOCUMENTS];
    let (mut kills, mut acknowledged_in_killed) = (0, 0);
    for number in 1..=rounds {
        let wait = Duration::from_micros(moments.below(whole.as_micros() as u64));
        let (acknowledged, _) = round(&data, number, Some(wait));
        let killed = acknowledged.len() < DOCUMENTS;
        kills += u64::from(killed);
        acknowledged_in_killed += if killed { acknowledged.len() } else { 0 };
        let (_store, engine) = open(&data).expect("the collection is there");
        check_round(&engine, &embedder, number, &acknowledged, &mut versions);
    }
    println!(
        "{kills} of {rounds} rounds of a server were killed before their end, with {acknowledged_in_killed} documents acknowledged in them; none lost"
    );
    assert!(
        rounds < 4 || kills > 0,
        "no round was killed before its end"
    );
}
