//! Where in the canonical text does judged evidence stand?
//!
//! The sets count Unicode code points of the decoded file. Canonical text is
//! that file without a byte order mark, so a mark shifts all offsets by one
//! where the set has counted it; the quote says whether it has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cento_core::{ByteSpan, Document, DocumentId};

use super::Question;
use super::files::{CorpusFile, documents};
use crate::EvalError;

/// What a layout with judged spans yields.
pub(super) struct SpanSet {
    pub(super) files: Vec<CorpusFile>,
    /// The file of the questions.
    pub(super) path: PathBuf,
    pub(super) questions: Vec<Question>,
    pub(super) digest: blake3::Hash,
}

/// A piece of evidence as a set gives it.
pub(super) struct Snippet<'a> {
    pub(super) document: &'a str,
    /// Code points of the decoded file, `start..end`.
    pub(super) start: u64,
    pub(super) end: u64,
    /// What should stand there.
    pub(super) quote: &'a str,
}

/// A document with the places of its characters.
struct Text {
    id: DocumentId,
    text: String,
    /// Whether the file begins with a byte order mark.
    has_mark: bool,
    /// The byte at which each character begins, and the end of the last one.
    places: Vec<usize>,
}

/// The canonical texts of a set's files, by name.
pub(super) struct Texts(HashMap<String, Text>);

impl Texts {
    pub(super) fn of(files: &[CorpusFile]) -> Self {
        let marked = |id: &str| {
            let file = files.iter().find(|file| file.name == id);
            file.is_some_and(|file| file.bytes.starts_with(b"\xEF\xBB\xBF"))
        };
        let texts = documents(files).into_iter();
        Self(
            texts
                .map(|Document { id, text, .. }| {
                    let places = text.char_indices().map(|(at, _)| at);
                    let places = places.chain([text.len()]).collect();
                    let has_mark = marked(id.as_str());
                    let name = id.as_str().to_owned();
                    let text = Text {
                        id,
                        text,
                        has_mark,
                        places,
                    };
                    (name, text)
                })
                .collect(),
        )
    }

    /// The bytes of a piece of evidence, its quote checked.
    pub(super) fn find(
        &self,
        path: &Path,
        query: &str,
        snippet: &Snippet<'_>,
    ) -> Result<(DocumentId, ByteSpan), EvalError> {
        let wrong = |reason: String| EvalError::Evidence {
            path: path.to_owned(),
            query: query.to_owned(),
            document: snippet.document.to_owned(),
            reason,
        };
        let text = self.0.get(snippet.document);
        let text =
            text.ok_or_else(|| wrong("there is no such document, or it has no text".to_owned()))?;
        let shifts = if text.has_mark { &[1, 0][..] } else { &[0] };
        let mut reason = String::new();
        for &shift in shifts {
            match text.span(snippet, shift) {
                Ok(span) => return Ok((text.id.clone(), span)),
                Err(said) => reason = said,
            }
        }
        Err(wrong(reason))
    }
}

impl Text {
    fn span(&self, snippet: &Snippet<'_>, shift: u64) -> Result<ByteSpan, String> {
        let Snippet {
            start, end, quote, ..
        } = *snippet;
        let place = |point: u64| {
            let point = usize::try_from(point.saturating_sub(shift)).ok();
            point.and_then(|point| self.places.get(point)).copied()
        };
        let bytes = place(start).zip(place(end));
        let Some((from, to)) = bytes.filter(|(from, to)| from < to) else {
            let characters = self.places.len() - 1;
            return Err(format!(
                "{start}..{end} is no range of its {characters} characters, or is empty"
            ));
        };
        let found = &self.text[from..to];
        if found != quote.strip_prefix('\u{FEFF}').unwrap_or(quote) {
            return Err(format!(
                "at characters {start}..{end} stands {:?}, but the quote is {:?}",
                shorten(found),
                shorten(quote)
            ));
        }
        Ok(ByteSpan {
            start: from as u64,
            end: to as u64,
        })
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    let kept: String = text.chars().take(59).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(bytes: &str, start: u64, end: u64, quote: &str) -> Result<ByteSpan, String> {
        let files = [CorpusFile {
            name: "a.txt".to_owned(),
            bytes: bytes.as_bytes().to_vec(),
        }];
        let snippet = Snippet {
            document: "a.txt",
            start,
            end,
            quote,
        };
        let found = Texts::of(&files).find(Path::new("set"), "q", &snippet);
        found
            .map(|(_, span)| span)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn code_points_become_bytes() {
        let text = "é\r\n中文 ok";
        assert_eq!(find(text, 3, 5, "中文"), Ok(ByteSpan { start: 4, end: 10 }));
        assert_eq!(find(text, 0, 8, text), Ok(ByteSpan { start: 0, end: 13 }));
    }

    #[test]
    fn a_byte_order_mark_may_have_been_counted_or_not() {
        let text = "\u{FEFF}abc";
        for (start, end, quote) in [(1, 4, "abc"), (0, 3, "abc"), (0, 4, "\u{FEFF}abc")] {
            assert_eq!(
                find(text, start, end, quote),
                Ok(ByteSpan { start: 0, end: 3 })
            );
        }
    }

    #[test]
    fn a_span_that_does_not_hold_its_quote_is_told() {
        let said = find("one two", 0, 3, "two").expect_err("another text");
        assert!(
            said.contains("query 'q'") && said.contains("stands \"one\""),
            "{said}"
        );
        for (start, end) in [(3, 3), (5, 2), (0, 99), (u64::MAX, u64::MAX)] {
            let said = find("one two", start, end, "one").expect_err("no range");
            assert!(said.contains("no range of its 7 characters"), "{said}");
        }
    }
}
