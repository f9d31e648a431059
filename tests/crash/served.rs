//! How is the binary started, asked, and seen to die?

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};

use crate::points::Death;

const SIGKILL: i32 = 9;

/// The binary over a data directory, with a death to die or none.
pub(crate) fn command(data: &Path, death: Option<&Death>, log: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
    for variable in ["CENTO_DATA", "CENTO_URL", "CENTO_BIND", "CENTO_COLLECTION"] {
        command.env_remove(variable);
    }
    // Small segments, so that there are many.
    command.env("CENTO_TEST_SEGMENT_BYTES", "8000");
    command.env("CENTO_SEAL_ROWS", "40");
    if let Some(Death::At(point, nth)) = death {
        command.env("CENTO_FAILPOINT", format!("{point}:{nth}"));
    }
    if let Some(log) = log {
        command.env("CENTO_FAILPOINT_LOG", log);
    }
    command.arg("--data").arg(data).arg("--json");
    command
}

/// A served data directory.
pub(crate) struct Served {
    child: Mutex<Child>,
    /// `None` if it died before it listened.
    pub(crate) url: Option<String>,
    told: std::path::PathBuf,
}

impl Served {
    pub(crate) fn start(data: &Path, death: Option<&Death>, log: Option<&Path>) -> Self {
        let told = data.with_extension("stderr");
        let mut child = command(data, death, log)
            .args(["serve", "--bind", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&told).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.strip_prefix("listening on ")?.to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child: Mutex::new(child),
            url,
            told,
        }
    }

    pub(crate) fn kill(&self) {
        let _ = self.child.lock().unwrap().kill();
    }

    /// Asks it to end if it still lives; says whether it was killed.
    ///
    /// # Panics
    /// If it ended in another way.
    pub(crate) fn end(self) -> bool {
        let mut child = self.child.into_inner().unwrap();
        if child.try_wait().unwrap().is_none() {
            let id = child.id().to_string();
            let _ = Command::new("kill").arg(id).status();
        }
        let status = child.wait().unwrap();
        let was_killed = status.signal() == Some(SIGKILL);
        let told = std::fs::read_to_string(&self.told).unwrap_or_default();
        assert!(was_killed || status.success(), "{status}: {told}");
        was_killed
    }
}

/// Somebody who asks a server.
pub(crate) struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Self {
            agent,
            url: format!("{url}/v1/collections"),
        }
    }

    /// The status and the lines of the answer, or `None` if the server died.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: String,
    ) -> Option<(u16, Vec<Value>)> {
        let request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(format!("{}{path}", self.url));
        let answer = if body.is_empty() {
            self.agent.run(request.body(()).unwrap())
        } else {
            let request = request.header("content-type", kind);
            self.agent.run(request.body(body).unwrap())
        };
        let answer = answer.ok()?;
        let status = answer.status().as_u16();
        let mut answers = Vec::new();
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            // A line that was cut off was never said.
            match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
                Some(value) => answers.push(value),
                None => break,
            }
        }
        Some((status, answers))
    }

    /// The same of JSON.
    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let (status, answers) = self.ask(method, path, "application/json", body)?;
        match answers.into_iter().next_back() {
            Some(answer) => Some((status, answer)),
            None if status == 204 => Some((status, Value::Null)),
            None => None,
        }
    }

    /// What is there.
    ///
    /// # Panics
    /// If it is not.
    pub(crate) fn get(&self, path: &str) -> Value {
        let request = self.agent.get(format!("{}{path}", self.url)).call();
        let mut answer = request.unwrap();
        let status = answer.status();
        let body: Value = answer.body_mut().read_json().unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }
}
