//! How is a file of lines read, so that every complaint names its line?

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::EvalError;

/// A line longer than this is no line of a judged set: the limit keeps a file
/// without line ends from filling the memory.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// The lines of a UTF-8 file with their numbers from 1. A byte order mark, line
/// ends of either kind and blank lines are left out.
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
    /// What all bytes of the file hash to, so far.
    hasher: blake3::Hasher,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, EvalError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 16, file),
            number: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// The hash of all that was read.
    pub(crate) fn digest(&self) -> blake3::Hash {
        self.hasher.finalize()
    }

    /// The next line that is not blank.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, String)>, EvalError> {
        loop {
            let mut bytes = Vec::new();
            let limited = &mut std::io::Read::take(&mut self.reader, MAX_LINE_BYTES as u64);
            let read = (limited.read_until(b'\n', &mut bytes))
                .map_err(|source| unreadable(&self.path, source))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.hasher.update(&bytes);
            if read == MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
                return Err(self.wrong("the line has more than 64 MiB"));
            }
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if self.number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
                bytes.drain(..3);
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let line = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to() + 1;
                self.wrong(format!("byte {at} is not UTF-8"))
            })?;
            return Ok(Some((self.number, line)));
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> EvalError {
        wrong_line(&self.path, self.number, reason)
    }
}

/// A complaint about a line.
pub(crate) fn wrong_line(path: &Path, line: usize, reason: impl Into<String>) -> EvalError {
    EvalError::Line {
        path: path.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// A complaint about JSON on a line; it keeps the column, and leaves out the
/// parser's own line number, which counts from the line itself.
pub(crate) fn wrong_json(path: &Path, line: usize, error: &serde_json::Error) -> EvalError {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let reason = match error.column() {
        0 => what.to_owned(),
        column => format!("column {column}: {what}"),
    };
    wrong_line(path, line, reason)
}

/// Reads a whole file of UTF-8; a byte order mark is left in.
pub(crate) fn read_text(path: &Path) -> Result<String, EvalError> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        wrong_line(path, line, "it is not UTF-8")
    })
}

/// Reads a whole file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, EvalError> {
    std::fs::read(path).map_err(|source| unreadable(path, source))
}

pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> EvalError {
    EvalError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Result<Vec<(usize, String)>, EvalError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lines");
        std::fs::write(&path, bytes).expect("writable");
        let mut lines = Lines::open(&path)?;
        let mut found = vec![];
        while let Some(line) = lines.next()? {
            found.push(line);
        }
        assert_eq!(lines.digest(), blake3::hash(bytes));
        Ok(found)
    }

    #[test]
    fn marks_line_ends_and_blank_lines_are_left_out() {
        let found = lines(b"\xEF\xBB\xBFa\r\n\n \nb").expect("lines");
        assert_eq!(found, [(1, "a".to_owned()), (4, "b".to_owned())]);
        assert_eq!(lines(b"").expect("none"), []);
    }

    #[test]
    fn what_is_not_text_is_told_with_its_place() {
        let error = lines(b"a\nb\xFF").expect_err("not UTF-8").to_string();
        assert!(error.ends_with("line 2: byte 2 is not UTF-8"), "{error}");
    }
}
