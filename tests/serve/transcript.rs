//! Does what the README shows of the server happen?
//!
//! The commands of its transcript are run against the served binary, and what
//! is shown behind each must be printed. A line that ends in `…` is shown in
//! part.

use std::path::Path;
use std::process::Command;

use crate::server::Server;

/// Where the README's server listens.
const SHOWN: &str = "127.0.0.1:7878";

/// A command with the lines that it prints.
struct Step {
    command: String,
    printed: Vec<String>,
}

/// The steps of the block that begins by serving.
fn steps(readme: &str) -> Vec<Step> {
    let block = (readme.split("```console\n"))
        .find(|block| block.starts_with("$ cento serve"))
        .and_then(|block| block.split("\n```").next())
        .expect("a transcript of the server");
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    // As the shell sees it: after a backslash, or within quotes.
    let is_open = |command: &str| command.ends_with('\\') || command.matches('\'').count() % 2 == 1;
    for line in block.lines() {
        let command = line.strip_prefix("$ ");
        if let (true, Some(last)) = (goes_on, steps.last_mut()) {
            last.command.push('\n');
            last.command.push_str(line);
        } else if let Some(command) = command {
            steps.push(Step {
                command: command.to_owned(),
                printed: Vec::new(),
            });
        } else if let Some(last) = steps.last_mut() {
            last.printed.push(line.to_owned());
            continue;
        }
        goes_on = steps.last().is_some_and(|step| is_open(&step.command));
    }
    steps
}

#[test]
fn the_readme_shows_what_the_server_answers() {
    let found = Command::new("curl").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: the README's transcript needs curl, which is not here");
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let steps = steps(&std::fs::read_to_string(readme).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let address = server.url.strip_prefix("http://").unwrap();
    let mut curls = 0;
    for step in &steps[1..] {
        let command = step.command.replace(SHOWN, address);
        let output = Command::new("sh").arg("-c").arg(&command).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(printed.len(), step.printed.len(), "{command}\n{printed:#?}");
        for (printed, shown) in printed.iter().zip(&step.printed) {
            match shown.strip_suffix('…') {
                Some(beginning) => assert!(printed.starts_with(beginning), "{command}\n{printed}"),
                None => assert_eq!(printed, shown, "{command}"),
            }
        }
        curls += usize::from(command.contains("curl"));
    }
    assert!(curls >= 5, "the transcript goes from create to context");
}
