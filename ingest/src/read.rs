//! How are files read so that memory stays bounded?
//!
//! A file that is one document is read whole, up to the limit; a JSONL file of
//! any length is read line by line, and a line over the limit is passed over
//! without being kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;

use crate::format::{Format, SNIFF_BYTES, detect};
use crate::problem::{Problem, ProblemCode};
use crate::walk::{Content, Input};

/// Where a document stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Arc<str>,
    pub(crate) line: Option<u64>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) if self.source.is_empty() => write!(f, "line {line}"),
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// What was read of one document.
pub(crate) struct Raw {
    pub(crate) place: Place,
    /// How many bytes were read for it.
    pub(crate) size: usize,
    pub(crate) content: Result<Bytes, Problem>,
    /// A file's path relative to its root; empty for a line.
    pub(crate) name: String,
}

/// The bytes of a document.
pub(crate) enum Bytes {
    File(Format, Vec<u8>),
    Line(Vec<u8>),
}

/// Reads one document after the other.
pub(crate) struct Reader {
    inputs: std::vec::IntoIter<Input>,
    lines: Option<Lines>,
    limit: usize,
}

impl Reader {
    pub(crate) fn new(inputs: Vec<Input>, max_document_bytes: u64) -> Self {
        Self {
            inputs: inputs.into_iter(),
            lines: None,
            limit: usize::try_from(max_document_bytes).unwrap_or(usize::MAX),
        }
    }

    fn open(&mut self, input: Input) -> Option<Raw> {
        let Input {
            name,
            source,
            content,
        } = input;
        let place = Place { source, line: None };
        match self.read_file(&name, &place, content) {
            Ok(None) => None,
            Ok(Some((format, bytes))) => Some(Raw {
                size: bytes.len(),
                content: Ok(Bytes::File(format, bytes)),
                place,
                name,
            }),
            Err(problem) => Some(Raw {
                size: 0,
                content: Err(problem),
                place,
                name,
            }),
        }
    }

    /// The whole file, or nothing if it will be read line by line.
    fn read_file(
        &mut self,
        name: &str,
        place: &Place,
        content: Content,
    ) -> Result<Option<(Format, Vec<u8>)>, Problem> {
        let mut size = None;
        let mut reader: Box<dyn Read + Send> = match content {
            Content::Memory(bytes) => Box::new(Cursor::new(bytes)),
            Content::Stream(reader) => reader,
            Content::Records(reader) => {
                self.lines = Some(Lines::new(reader, place.source.clone()));
                return Ok(None);
            }
            Content::File(path) => {
                let metadata = path.metadata().map_err(unreadable)?;
                if !metadata.is_file() {
                    return Err(Problem::new(
                        ProblemCode::Unreadable,
                        "it is neither a file nor a folder",
                    ));
                }
                size = Some(metadata.len());
                Box::new(File::open(&path).map_err(unreadable)?)
            }
        };
        let mut bytes = Vec::new();
        let head = SNIFF_BYTES as u64;
        reader
            .by_ref()
            .take(head)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let format = detect(name, &bytes)?;
        if format == Format::Jsonl {
            let whole = Box::new(Cursor::new(bytes).chain(reader));
            self.lines = Some(Lines::new(whole, place.source.clone()));
            return Ok(None);
        }
        if size.is_none_or(|size| size <= self.limit as u64) {
            let rest = (self.limit as u64)
                .saturating_add(1)
                .saturating_sub(bytes.len() as u64);
            reader
                .take(rest)
                .read_to_end(&mut bytes)
                .map_err(unreadable)?;
        }
        if bytes.len() > self.limit || size.is_some_and(|size| size > self.limit as u64) {
            return Err(too_large(self.limit));
        }
        Ok(Some((format, bytes)))
    }
}

impl Iterator for Reader {
    type Item = Raw;

    fn next(&mut self) -> Option<Raw> {
        loop {
            if let Some(lines) = &mut self.lines {
                if let Some(raw) = lines.next(self.limit) {
                    return Some(raw);
                }
                self.lines = None;
            }
            let input = self.inputs.next()?;
            if let Some(raw) = self.open(input) {
                return Some(raw);
            }
        }
    }
}

/// The lines of a JSONL file.
struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    source: Arc<str>,
    number: u64,
}

impl Lines {
    fn new(reader: Box<dyn Read + Send>, source: Arc<str>) -> Self {
        Self {
            reader: BufReader::with_capacity(SNIFF_BYTES, reader),
            source,
            number: 0,
        }
    }

    /// The next line that is not empty.
    fn next(&mut self, limit: usize) -> Option<Raw> {
        loop {
            self.number += 1;
            let (size, content) = match read_line(&mut self.reader, limit) {
                Ok(Line::End) => return None,
                Ok(Line::Whole(line)) if line.trim_ascii().is_empty() => continue,
                Ok(Line::Whole(line)) => (line.len(), Ok(Bytes::Line(line))),
                Ok(Line::TooLong(size)) => (size, Err(too_large(limit))),
                Err(error) => {
                    // What follows an error of the disk cannot be trusted to
                    // be the next line.
                    self.reader = BufReader::new(Box::new(io::empty()));
                    (0, Err(unreadable(error)))
                }
            };
            return Some(Raw {
                place: Place {
                    source: self.source.clone(),
                    line: Some(self.number),
                },
                size,
                content,
                name: String::new(),
            });
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    /// It was passed over; so many bytes.
    TooLong(usize),
    End,
}

/// Reads up to the next line feed, keeping at most `limit` bytes.
fn read_line(reader: &mut impl BufRead, limit: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut size = 0;
    let mut any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|&b| b == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        size += part.len();
        if size <= limit {
            line.extend_from_slice(part);
        } else {
            line = Vec::new();
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match any {
        false => Line::End,
        true if size > limit => Line::TooLong(size),
        true => Line::Whole(line),
    })
}

fn unreadable(error: io::Error) -> Problem {
    Problem::new(
        ProblemCode::Unreadable,
        format!("it cannot be read: {error}; check that it is there and its permissions"),
    )
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        ProblemCode::TooLarge,
        format!(
            "it has more than {limit} bytes, the largest document allowed: split it, or raise the limit"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8], limit: u64) -> Vec<String> {
        let input = Input {
            name: name.into(),
            source: name.into(),
            content: Content::Stream(Box::new(Cursor::new(bytes.to_vec()))),
        };
        Reader::new(vec![input], limit)
            .map(|raw| match raw.content {
                Ok(Bytes::File(format, bytes)) => {
                    format!("{} {} {}", raw.place, format.name(), bytes.len())
                }
                Ok(Bytes::Line(line)) => {
                    format!("{} {}", raw.place, String::from_utf8_lossy(&line))
                }
                Err(problem) => format!("{} {}", raw.place, problem.code),
            })
            .collect()
    }

    #[test]
    fn lines_are_read_one_by_one_and_long_ones_passed_over() {
        let found = read("x.jsonl", b"{}\n\n0123456789\n{1}", 5);
        assert_eq!(
            found,
            ["x.jsonl:1 {}", "x.jsonl:3 too_large", "x.jsonl:4 {1}"]
        );
    }

    #[test]
    fn a_document_over_the_limit_is_refused() {
        assert_eq!(read("a.txt", b"12345", 5), ["a.txt text 5"]);
        assert_eq!(read("a.txt", b"123456", 5), ["a.txt too_large"]);
    }

    #[test]
    fn standard_input_may_be_jsonl_or_text() {
        let jsonl = b"{\"id\":\"1\",\"text\":\"x\"}\n";
        assert!(read("stdin", jsonl, 100)[0].starts_with("stdin:1 "));
        assert_eq!(read("stdin", b"hello", 100), ["stdin text 5"]);
    }
}
