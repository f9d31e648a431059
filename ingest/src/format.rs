//! What kind of document do these bytes hold?
//!
//! Content decides; the name only chooses between kinds that content cannot
//! tell apart (Markdown and text are both text).

use crate::decode::utf16_without_mark;
use crate::problem::{Problem, ProblemCode};

/// A kind of document that can be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Running text in paragraphs.
    Text,
    /// Text whose lines are units: code, tables, configuration, logs.
    Lines,
    Markdown,
    Html,
    /// One document a line, each a JSON object.
    Jsonl,
}

impl Format {
    /// The value of the metadata field `format`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Lines => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Jsonl => "jsonl",
        }
    }
}

/// How many bytes are looked at to recognise a format.
pub(crate) const SNIFF_BYTES: usize = 64 * 1024;

/// The share of control characters, in percent, from which text is not text.
const MAX_CONTROL_PERCENT: usize = 5;

/// Recognises a file by its name and its beginning (`head`, at most
/// [`SNIFF_BYTES`] of it are looked at).
pub(crate) fn detect(name: &str, head: &[u8]) -> Result<Format, Problem> {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    let extension = extension(name);
    if matches!(extension.as_str(), "jsonl" | "ndjson") {
        // Whatever is wrong with it is said line by line.
        return Ok(Format::Jsonl);
    }
    if let Some(kind) = document_in_text_disguise(head) {
        return Err(unsupported(kind));
    }
    let utf16 = head.starts_with(b"\xFF\xFE")
        || head.starts_with(b"\xFE\xFF")
        || utf16_without_mark(&head[..head.len() & !1]).is_some();
    if !utf16 && !is_text(head) {
        return Err(binary(&extension, head));
    }
    Ok(text_format(&extension, head))
}

/// The part of a name after its last dot, in lower case; empty for `Makefile`
/// and `.profile`.
fn extension(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// Documents that may consist of printable characters only.
fn document_in_text_disguise(head: &[u8]) -> Option<&'static str> {
    let front = &head[..head.len().min(1024)];
    if front.windows(5).any(|w| w == b"%PDF-") && front.trim_ascii_start().starts_with(b"%") {
        Some("PDF")
    } else if head.starts_with(b"{\\rtf") {
        Some("RTF")
    } else {
        None
    }
}

/// Text has no NUL and hardly a control character.
fn is_text(head: &[u8]) -> bool {
    let control = |b: &u8| matches!(b, 0x01..=0x08 | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F);
    !head.contains(&0)
        && head.iter().filter(|b| control(b)).count() * 100 <= head.len() * MAX_CONTROL_PERCENT
}

/// Names what is not text. Only asked when the bytes are not text, because
/// some of the signatures are two letters long.
fn binary(extension: &str, head: &[u8]) -> Problem {
    let office = [
        "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "odp", "epub", "msg",
    ];
    let named = office.contains(&extension).then_some(extension);
    // The old Office formats look alike from outside: the name tells them apart.
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        let name = named.map(str::to_ascii_uppercase);
        return unsupported(name.as_deref().unwrap_or("this Office document"));
    }
    let kind = infer::get(head);
    let found = kind
        .map(|kind| kind.extension())
        .filter(|e| office.contains(e));
    // Not every one of the new ones is more than an archive to the signatures.
    let zipped = named.filter(|_| kind.is_some_and(|kind| kind.extension() == "zip"));
    if let Some(name) = found.or(zipped) {
        return unsupported(&name.to_ascii_uppercase());
    }
    let what = match kind {
        Some(kind) => format!("it is {}", kind.mime_type()),
        None => "it is not text".to_owned(),
    };
    Problem::new(
        ProblemCode::BinaryFile,
        format!("{what}: only text, Markdown, HTML and JSONL can be ingested"),
    )
}

fn unsupported(kind: &str) -> Problem {
    Problem::new(
        ProblemCode::UnsupportedFormat,
        format!("{kind} is not yet supported: convert it to Markdown, HTML or text first"),
    )
}

fn text_format(extension: &str, head: &[u8]) -> Format {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{FEFF}');
    match extension {
        "html" | "htm" | "xhtml" => Format::Html,
        "md" | "markdown" | "mdx" | "mkd" => {
            if begins_as_page(text) {
                Format::Html
            } else {
                Format::Markdown
            }
        }
        "" | "txt" | "text" => {
            if begins_as_page(text) {
                Format::Html
            } else if holds_json_documents(text) {
                Format::Jsonl
            } else if looks_like_markdown(text) {
                Format::Markdown
            } else if extension.is_empty() && text.starts_with("#!") {
                Format::Lines
            } else {
                Format::Text
            }
        }
        "json" if holds_json_documents(text) => Format::Jsonl,
        "rst" | "adoc" | "org" | "tex" => Format::Text,
        _ if begins_as_page(text) && !is_program(extension) => Format::Html,
        _ => Format::Lines,
    }
}

/// Templates and programs may begin with `<html>` and yet be no page.
fn is_program(extension: &str) -> bool {
    matches!(
        extension,
        "php"
            | "jsp"
            | "asp"
            | "aspx"
            | "erb"
            | "vue"
            | "svelte"
            | "js"
            | "jsx"
            | "ts"
            | "tsx"
            | "j2"
            | "tmpl"
            | "hbs"
    )
}

/// Whether the first thing that is no comment or XML declaration opens a page.
fn begins_as_page(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let end = if rest.starts_with("<!--") {
            rest.find("-->").map(|at| at + 3)
        } else if rest.starts_with("<?xml") {
            rest.find("?>").map(|at| at + 2)
        } else {
            break;
        };
        let Some(end) = end else { return false };
        rest = rest[end..].trim_start();
    }
    ["<!doctype html", "<html", "<head>", "<body"]
        .iter()
        .any(|tag| {
            rest.get(..tag.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(tag))
        })
}

/// Whether the first whole lines are objects with an id and a text. Lines of
/// JSON without them (structured logs) are text.
fn holds_json_documents(text: &str) -> bool {
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim().is_empty())
        .take(4)
        .collect();
    // The last line of four may be cut by the end of the sample.
    let whole = lines.len().min(3);
    whole > 0
        && lines[..whole].iter().all(|line| {
            line.trim_start().starts_with('{')
                && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line)
                    .is_ok_and(|o| {
                        o.contains_key("text") && (o.contains_key("id") || o.contains_key("_id"))
                    })
        })
}

/// Whether a text without a telling name is Markdown: two headings that stand
/// between blank lines, one of them below the first level. A script's comments
/// are not that.
fn looks_like_markdown(text: &str) -> bool {
    if text.starts_with("#!") {
        return false;
    }
    let lines: Vec<&str> = text.lines().collect();
    let blank = |at: Option<usize>| {
        at.and_then(|at| lines.get(at))
            .is_none_or(|line| line.trim().is_empty())
    };
    let mut levels = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let level = line.bytes().take_while(|&b| b == b'#').count();
        if (1..=6).contains(&level)
            && line[level..].starts_with(' ')
            && blank(at.checked_sub(1))
            && blank(Some(at + 1))
        {
            levels.push(level);
        }
    }
    levels.len() >= 2 && levels.iter().any(|&level| level >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str, bytes: &[u8]) -> ProblemCode {
        detect(name, bytes).expect_err(name).code
    }

    #[test]
    fn content_goes_before_the_name() {
        assert_eq!(detect("a.txt", b"<!DOCTYPE html><p>x"), Ok(Format::Html));
        assert_eq!(detect("a", b"<!-- c -->\n<html>"), Ok(Format::Html));
        assert_eq!(
            code("notes.md", b"%PDF-1.7\nabc"),
            ProblemCode::UnsupportedFormat
        );
        assert_eq!(
            code("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            ProblemCode::BinaryFile
        );
        assert_eq!(
            detect("a.txt", b"{\"_id\":\"1\",\"text\":\"x\"}\n"),
            Ok(Format::Jsonl)
        );
    }

    #[test]
    fn other_text_is_lines_and_prose_is_text() {
        assert_eq!(detect("a.csv", b"a,b\n1,2"), Ok(Format::Lines));
        assert_eq!(detect("main.rs", b"fn main() {}"), Ok(Format::Lines));
        assert_eq!(
            detect("a.log", b"{\"level\":\"info\"}\n"),
            Ok(Format::Lines)
        );
        assert_eq!(detect("README", b"Hello there"), Ok(Format::Text));
        assert_eq!(
            detect("BMW.txt", b"BMW is a maker of cars"),
            Ok(Format::Text)
        );
    }

    #[test]
    fn markdown_without_its_name_needs_strong_signs() {
        assert_eq!(
            detect("README", b"# A\n\ntext\n\n## B\n\nmore"),
            Ok(Format::Markdown)
        );
        assert_eq!(
            detect("Makefile", b"# build\nall:\n\tcc\n# test\n"),
            Ok(Format::Text)
        );
    }

    #[test]
    fn office_files_are_named_as_not_yet_supported() {
        let mut docx = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0".to_vec();
        docx.resize(100, 0);
        assert_eq!(code("a.docx", &docx), ProblemCode::UnsupportedFormat);
        assert_eq!(code("a.zip", &docx), ProblemCode::BinaryFile);
        assert_eq!(
            code("a.rtf", b"{\\rtf1 hello}"),
            ProblemCode::UnsupportedFormat
        );
        let mut old = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
        old.resize(600, 0);
        assert_eq!(code("a", &old), ProblemCode::UnsupportedFormat);
        let error = detect("a.xls", &old).expect_err("not supported");
        assert!(error.message.starts_with("XLS is"), "{}", error.message);
    }

    #[test]
    fn utf16_is_not_binary() {
        let bytes: Vec<u8> = "plain words"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(detect("a.txt", &bytes), Ok(Format::Text));
        assert_eq!(code("a.txt", b"words\0and\0zeros"), ProblemCode::BinaryFile);
    }
}
