//! Starts `cento serve` on a free port and asks it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running server; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts one over a data directory and waits until it listens.
    pub(crate) fn start(data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
        command.arg("--data").arg(data);
        Self::of(command.args(["serve", "--bind", "127.0.0.1:0"]))
    }

    /// Starts a command that ends in a server.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("CENTO_DATA")
            .env_remove("CENTO_URL")
            .env_remove("CENTO_BIND")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| Some(line.ok()?.strip_prefix("listening on ")?.to_owned()))
            .expect("it says where it listens");
        // What else it prints is read and let go, so that it never waits.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, and says whether it ended well.
    pub(crate) fn terminate(&mut self) -> bool {
        let sent = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
