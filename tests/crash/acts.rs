//! What do the clients do to a server that is going to die?

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Answer, Event, Model, Moment, Op, text};
use crate::random::Random;
use crate::served::Client;

pub(crate) const WRITERS: u64 = 3;
/// How many documents there are at most.
pub(crate) const DOCUMENTS: u64 = 90;
/// Documents of a stream are acknowledged one by one: each has an actor.
const STREAMED: u64 = 1000;

/// One thing that keeps house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chore {
    Snapshot,
    DropSnapshot,
    Restore,
    Compact,
    Purge,
    Reindex,
    Drop,
    Rollback,
    /// A second collection: made, rebuilt, deleted.
    Twin,
    Rebuild,
}

/// The server died: nothing more can be asked.
pub(crate) struct Died;

/// Those who ask a server, and what they know.
pub(crate) struct Clients<'a> {
    pub(crate) url: &'a str,
    pub(crate) model: &'a Mutex<Model>,
    pub(crate) seed: u64,
    pub(crate) versions: &'a AtomicU64,
    pub(crate) acknowledged: &'a AtomicU64,
    /// Held by everybody while acting, and by some chores alone.
    pub(crate) acting: &'a RwLock<()>,
}

/// A document as it is put.
pub(crate) fn document(document: u64, version: u64) -> Value {
    json!({
        "id": format!("d{document}"),
        "text": text(document, version),
        "metadata": { "document": document, "version": version },
    })
}

impl Clients<'_> {
    fn tell(&self, actor: u64, moment: Moment) {
        if matches!(moment, Moment::Answered(_)) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        let mut model = self.model.lock().unwrap();
        model.follow(Event { actor, moment }).unwrap();
    }

    /// Does something; tells what was answered, if anything was.
    fn act(
        &self,
        actor: u64,
        op: &Op,
        act: impl Fn() -> Option<(u16, Value)>,
    ) -> Result<Value, Died> {
        self.tell(actor, Moment::Begun(op.clone()));
        let is_write = matches!(op, Op::Put(_) | Op::Delete(_) | Op::Patch(..));
        for _ in 0..200 {
            let (status, told) = act().ok_or(Died)?;
            let code = told["code"].as_str().unwrap_or_default().to_owned();
            let answer = match status {
                200..300 => Answer::Done,
                404 if is_write => Answer::Unknown,
                // Later, it says; the same again.
                409 | 429 | 503 if is_write && told["retry"] == true => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                404 | 409 | 503 if !is_write => Answer::Refused(code),
                _ => panic!("{op:?}: {status} {told}"),
            };
            self.tell(actor, Moment::Answered(answer));
            return Ok(told);
        }
        panic!("{op:?} is never taken");
    }

    pub(crate) fn write(&self, writer: u64, acts: u64) -> Result<(), Died> {
        let client = Client::new(self.url);
        let mut random = Random::new(self.seed.wrapping_mul(31) ^ writer);
        for _ in 0..acts {
            let _acting = self.acting.read().unwrap();
            let mut mine = || random.below(DOCUMENTS / WRITERS) * WRITERS + writer;
            let mut some = vec![mine(), mine(), mine(), mine()];
            let version = || self.versions.fetch_add(1, Ordering::Relaxed);
            let wait = if random.one_in(4) {
                "?wait=visible"
            } else {
                ""
            };
            match random.below(10) {
                0..5 => {
                    some.truncate(1 + random.below(4) as usize);
                    some.sort_unstable();
                    some.dedup();
                    let put: Vec<_> = some.into_iter().map(|d| (d, version())).collect();
                    let documents: Vec<_> = put.iter().map(|&(d, v)| document(d, v)).collect();
                    let body = json!({ "documents": documents });
                    let path = format!("/crash/documents{wait}");
                    let told = self.act(writer, &Op::Put(put.clone()), || {
                        client.json("POST", &path, &body)
                    })?;
                    assert_eq!(told["stored"], put.len(), "{told}");
                }
                5 => {
                    some.sort_unstable();
                    some.dedup();
                    let put = some.into_iter().map(|d| (d, version())).collect();
                    self.stream(&client, put)?;
                }
                6..8 => {
                    let (document, patch) = (some[0], version());
                    let body = json!({ "metadata": { "patch": patch } });
                    let path = format!("/crash/documents/d{document}{wait}");
                    self.act(writer, &Op::Patch(document, patch), || {
                        client.json("PATCH", &path, &body)
                    })?;
                }
                _ => {
                    let path = format!("/crash/documents/d{}{wait}", some[0]);
                    self.act(writer, &Op::Delete(some[0]), || {
                        client.json("DELETE", &path, &Value::Null)
                    })?;
                }
            }
        }
        Ok(())
    }

    fn stream(&self, client: &Client, mut put: Vec<(u64, u64)>) -> Result<(), Died> {
        self.begin_streamed(&put);
        for _ in 0..200 {
            let lines = put.iter().map(|&(d, v)| format!("{}\n", document(d, v)));
            let asked = client.ask(
                "POST",
                "/crash/documents",
                "application/x-ndjson",
                lines.collect(),
            );
            let (status, events) = asked.ok_or(Died)?;
            let mut is_to_come_again = status != 200 && events.iter().any(|e| e["retry"] == true);
            assert!(status == 200 || is_to_come_again, "{status}: {events:?}");
            let mut is_done = false;
            for event in events {
                assert_ne!(event["event"], "failed", "{event}");
                let committed = self.committed(&event);
                put.retain(|(document, _)| !committed.contains(document));
                is_done |= event["event"] == "done";
                if event["event"] == "error" {
                    assert_eq!(event["problem"]["retry"], true, "{event}");
                    is_to_come_again = true;
                }
            }
            if is_done {
                assert!(put.is_empty(), "{put:?} were neither taken nor refused");
                return Ok(());
            }
            if !is_to_come_again {
                return Err(Died);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{put:?} is never taken");
    }

    /// Tells what a line of an ingestion says is on the disk.
    pub(crate) fn committed(&self, event: &Value) -> Vec<u64> {
        let mut committed = Vec::new();
        if event["event"] == "committed" {
            for id in event["documents"].as_array().unwrap() {
                let document: u64 = id.as_str().unwrap()[1..].parse().unwrap();
                self.tell(STREAMED + document, Moment::Answered(Answer::Done));
                committed.push(document);
            }
        }
        committed
    }

    pub(crate) fn begin_streamed(&self, put: &[(u64, u64)]) {
        for &(d, v) in put {
            self.tell(STREAMED + d, Moment::Begun(Op::Put(vec![(d, v)])));
        }
    }

    pub(crate) fn keep_house(&self, chores: &[Chore]) -> Result<(), Died> {
        let client = Client::new(self.url);
        let mut random = Random::new(self.seed ^ 0xC0FFEE);
        for &chore in chores {
            // A rebuild refuses all others meanwhile, and waits for them.
            let is_alone = chore == Chore::Rebuild || (chore == Chore::Restore && random.one_in(2));
            let _alone = is_alone.then(|| self.acting.write().unwrap());
            self.chore(&client, chore, &mut random)?;
        }
        Ok(())
    }

    fn chore(&self, client: &Client, chore: Chore, random: &mut Random) -> Result<(), Died> {
        let post = |op: &Op, path: String, body: Value| -> Result<(), Died> {
            self.act(WRITERS, op, || client.json("POST", &path, &body))?;
            Ok(())
        };
        let upkeep = |what: &str| Op::Upkeep(what.to_owned());
        let list = |what: &str| {
            let path = format!("/crash/{what}");
            let (_, found) = client.json("GET", &path, &Value::Null).ok_or(Died)?;
            Ok(found[what].as_array().cloned().unwrap_or_default())
        };
        match chore {
            Chore::Snapshot => {
                let id = format!("s{}", self.versions.fetch_add(1, Ordering::Relaxed));
                let body = json!({ "id": id });
                post(&Op::Snapshot(id), "/crash/snapshots".to_owned(), body)?;
            }
            Chore::DropSnapshot | Chore::Restore => {
                let known: Vec<Value> = list("snapshots")?;
                let Some(found) = random.of(&known) else {
                    return Ok(());
                };
                let id = found["id"].as_str().unwrap().to_owned();
                let path = format!("/crash/snapshots/{id}");
                if chore == Chore::Restore {
                    let path = format!("{path}/restore");
                    post(&Op::Restore(id), path, json!({}))?;
                } else {
                    self.act(WRITERS, &Op::DropSnapshot(id), || {
                        client.json("DELETE", &path, &Value::Null)
                    })?;
                }
            }
            Chore::Compact => post(
                &upkeep("compaction"),
                "/crash/compact".to_owned(),
                json!({}),
            )?,
            Chore::Purge => {
                let snapshots = random.one_in(3);
                let body = json!({ "snapshots": snapshots });
                post(&Op::Purge { snapshots }, "/crash/purge".to_owned(), body)?;
            }
            Chore::Rebuild => post(&upkeep("rebuild"), "/crash/rebuild".to_owned(), json!({}))?,
            Chore::Twin => {
                let body = json!({ "name": "twin" });
                post(&upkeep("twin"), String::new(), body)?;
                post(
                    &upkeep("twin rebuilt"),
                    "/twin/rebuild".to_owned(),
                    json!({}),
                )?;
                self.act(WRITERS, &upkeep("twin deleted"), || {
                    client.json("DELETE", "/twin", &Value::Null)
                })?;
            }
            Chore::Reindex | Chore::Rollback | Chore::Drop => {
                let known: Vec<Value> = list("generations")?;
                self.generation(client, chore, &known)?;
            }
        }
        Ok(())
    }

    fn generation(&self, client: &Client, chore: Chore, known: &[Value]) -> Result<(), Died> {
        let of = |state: &str| known.iter().find(|g| g["state"] == state);
        let cut = |g: &Value| g["settings"]["chunking"].as_str().unwrap().to_owned();
        let switch = |path: String, to: String, body: Value| {
            let op = Op::Switch(to);
            self.act(WRITERS, &op, || {
                let (status, told) = client.json("POST", &path, &body)?;
                match told["event"].as_str() {
                    None | Some("done") => Some((status, told)),
                    Some("error") => Some((409, told["problem"].clone())),
                    // Cut off.
                    Some(_) => None,
                }
            })?;
            Ok(())
        };
        match (chore, of("building"), of("former")) {
            (Chore::Drop, Some(other), _) | (Chore::Drop, None, Some(other)) => {
                let path = format!("/crash/generations/{}", other["number"]);
                let op = Op::Upkeep("a generation is given up".to_owned());
                self.act(WRITERS, &op, || client.json("DELETE", &path, &Value::Null))?;
                Ok(())
            }
            (Chore::Rollback, None, Some(former)) => {
                let path = format!("/crash/generations/{}/rollback", former["number"]);
                switch(path, cut(former), json!({}))
            }
            (_, building, _) => {
                let to = match building {
                    Some(building) => cut(building),
                    None if cut(of("serving").unwrap()) == NONE => DEFAULT.to_owned(),
                    None => NONE.to_owned(),
                };
                let name = if to == NONE { "none" } else { "default" };
                let body = json!({ "chunking": name, "force": true });
                switch("/crash/reindex".to_owned(), to, body)
            }
        }
    }
}

/// Ways of cutting, as generations name them.
pub(crate) const DEFAULT: &str = "structural-500/1";
const NONE: &str = "none/1";
