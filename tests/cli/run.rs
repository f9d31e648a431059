//! Runs `cento` and looks at what it said.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run said and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The run must have gone well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok().stdout).unwrap()
    }

    /// The last line of standard output as JSON.
    #[track_caller]
    pub(crate) fn last_json(&self) -> Value {
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }

    /// The run must have failed with this code, told as JSON.
    #[track_caller]
    pub(crate) fn failed_with(&self, code: &str) {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let error: Value = serde_json::from_str(self.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], code, "{error}");
        assert!(!error["error"]["detail"].as_str().unwrap().is_empty());
    }
}

/// A `cento` that works on `data`, in a folder of its own, with no variable of
/// this process's environment that it would heed.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
    command
        .env_remove("CENTO_DATA")
        .env_remove("CENTO_COLLECTION")
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null());
    command
}

/// Runs `cento` with text output.
pub(crate) fn cento(data: &Path, args: &[&str]) -> Ran {
    command(data).args(args).output().unwrap().into()
}

/// Runs `cento` with JSON output.
pub(crate) fn cento_json(data: &Path, args: &[&str]) -> Ran {
    command(data)
        .arg("--json")
        .args(args)
        .output()
        .unwrap()
        .into()
}

/// Writes a file below a folder, with the folders in between.
pub(crate) fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
