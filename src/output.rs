//! How does a command speak to the terminal, a pipe or a program?
//!
//! Answers go to standard output, everything about them to standard error. A
//! reader that has gone away, as in `cento … | head`, ends the output quietly.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use cento_api::Problem;
use cento_retrieve::{Reranked, RerankedFrom};
use serde::Serialize;

/// Prints a line to standard output.
pub(crate) fn line(text: impl Display) {
    // A closed pipe is the reader's wish to hear no more.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a line to standard error.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value as one line of JSON, at once.
pub(crate) fn json_line(value: &impl Serialize) {
    let mut out = io::stdout().lock();
    if serde_json::to_writer(&mut out, value).is_ok() {
        let _ = writeln!(out);
        let _ = out.flush();
    }
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) {
    let mut out = io::stdout().lock();
    if serde_json::to_writer_pretty(&mut out, value).is_ok() {
        let _ = writeln!(out);
    }
}

/// Tells an error, and says with which code to end.
pub(crate) fn fail(problem: &Problem, json: bool) -> ExitCode {
    let mut err = io::stderr().lock();
    if json {
        let told = serde_json::json!({ "error": problem });
        let _ = writeln!(err, "{told}");
    } else {
        let _ = writeln!(err, "error: {problem}");
        if !problem.help.is_empty() {
            let _ = writeln!(err, "  help: {}", problem.help);
        }
    }
    ExitCode::FAILURE
}

/// The code for "it ran, but not all is well".
pub(crate) fn not_all_well() -> ExitCode {
    ExitCode::from(3)
}

/// The code for an interruption, as shells have it.
pub(crate) fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// How many chunks, and how many of them a model had to embed, if not all.
pub(crate) fn chunks(chunks: u64, embedded: u64) -> String {
    let counted = count(chunks, "chunk");
    if embedded < chunks {
        format!("{counted} ({embedded} embedded, the others were known)")
    } else {
        counted
    }
}

/// How reranking went, in one line.
pub(crate) fn reranked(told: &Reranked) -> String {
    let Reranked {
        model,
        head,
        judged,
        deadline_ms,
        failed,
    } = told;
    match failed {
        Some(failure) => format!(
            "not reranked, the fused order stands: {} [{}]",
            failure.detail, failure.code
        ),
        None if judged < head => {
            format!("reranked {judged} of {head} candidates within {deadline_ms} ms, by {model}")
        }
        None => format!("reranked {} by {model}", count(*head as u64, "candidate")),
    }
}

/// What reranking says of a candidate, behind its other scores.
pub(crate) fn judged(of: Option<&RerankedFrom>) -> String {
    of.map_or(String::new(), |of| {
        format!("  reranked {:.3} from #{}", of.score.0, of.fused_rank)
    })
}

/// A count with its noun.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Text on one line, cut after so many characters.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= most {
        return one_line;
    }
    let kept: String = one_line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
