//! Do the judged quotes stand where the judgement says?

use cento_core::{ByteSpan, DocumentId};

use crate::{Evidence, JudgedQuery};

/// A judged query whose evidence has been found in the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gold {
    /// The query's name.
    pub id: String,
    /// The question.
    pub query: String,
    /// The passages that answer it together, as bytes of canonical texts.
    pub spans: Vec<(DocumentId, ByteSpan)>,
}

/// Why a judgement does not fit the documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("query '{query}', evidence in '{document}': {reason}")]
pub struct VerifyError {
    /// The query's name.
    pub query: String,
    /// The document that the evidence names.
    pub document: DocumentId,
    /// What is wrong.
    pub reason: String,
}

/// Checks that every quote is the canonical text at its span, and finds the
/// spans that are missing where the quote occurs exactly once (occurrences
/// that overlap count as several). `lookup` gives a document's canonical text.
///
/// # Errors
/// The first piece of evidence whose document is unknown, whose text at its
/// span is another, or whose quote is absent or ambiguous.
pub fn verify<'a>(
    query: &JudgedQuery,
    lookup: impl Fn(&DocumentId) -> Option<&'a str>,
) -> Result<Gold, VerifyError> {
    let find = |evidence: &Evidence| {
        let text = lookup(&evidence.document).ok_or("there is no such document")?;
        match evidence.span {
            Some(span) => check(text, span, &evidence.quote),
            None => find_once(text, &evidence.quote),
        }
    };
    let spans = (query.evidence.iter())
        .map(|evidence| match find(evidence) {
            Ok(span) => Ok((evidence.document.clone(), span)),
            Err(reason) => Err(VerifyError {
                query: query.id.clone(),
                document: evidence.document.clone(),
                reason,
            }),
        })
        .collect::<Result<_, _>>()?;
    Ok(Gold {
        id: query.id.clone(),
        query: query.query.clone(),
        spans,
    })
}

fn check(text: &str, span: ByteSpan, quote: &str) -> Result<ByteSpan, String> {
    let found = span.slice(text).map_err(|error| error.to_string())?;
    if found == quote {
        return Ok(span);
    }
    Err(format!(
        "at bytes {span} stands {found:?}, but the quote is {quote:?}"
    ))
}

fn find_once(text: &str, quote: &str) -> Result<ByteSpan, String> {
    let first = (text.find(quote)).ok_or_else(|| format!("{quote:?} does not occur"))?;
    let next_char = quote.chars().next().map_or(1, char::len_utf8);
    if let Some(second) = text[first + next_char..].find(quote) {
        let second = first + next_char + second;
        return Err(format!(
            "{quote:?} occurs more than once, at bytes {first} and {second}: give its \"start\" and \"end\""
        ));
    }
    Ok(ByteSpan {
        start: first as u64,
        end: (first + quote.len()) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(quote: &str, span: Option<(u64, u64)>) -> JudgedQuery {
        JudgedQuery {
            id: "q1".to_owned(),
            query: "why?".to_owned(),
            language: "en".to_owned(),
            evidence: vec![Evidence {
                document: DocumentId::new("a.md").expect("valid"),
                quote: quote.to_owned(),
                span: span.map(|(start, end)| ByteSpan { start, end }),
            }],
        }
    }

    fn spans(quote: &str, span: Option<(u64, u64)>) -> Result<ByteSpan, String> {
        let lookup = |id: &DocumentId| (id.as_str() == "a.md").then_some("ä, b and aaa, b.");
        verify(&judged(quote, span), lookup)
            .map(|gold| gold.spans[0].1)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_quote_must_stand_at_its_span() {
        assert_eq!(
            spans("and", Some((6, 9))),
            Ok(ByteSpan { start: 6, end: 9 })
        );
        let error = spans("and", Some((5, 8))).expect_err("elsewhere");
        assert!(
            error.contains("query 'q1'") && error.contains("\" an\""),
            "{error}"
        );
        assert!(spans("and", Some((1, 4))).is_err(), "cuts a character");
        assert!(spans("and", Some((90, 93))).is_err(), "past the end");
    }

    #[test]
    fn a_missing_span_is_found_where_the_quote_occurs_once() {
        assert_eq!(spans("ä", None), Ok(ByteSpan { start: 0, end: 2 }));
        assert_eq!(spans("aaa", None), Ok(ByteSpan { start: 10, end: 13 }));
        assert!(
            spans("c", None)
                .expect_err("absent")
                .contains("does not occur")
        );
        let error = spans(", b", None).expect_err("ambiguous");
        assert!(error.contains("bytes 2 and 13"), "{error}");
        assert!(spans("aa", None).is_err(), "overlapping occurrences");
    }

    #[test]
    fn an_unknown_document_is_named() {
        let error = verify(&judged("x", None), |_| None).expect_err("unknown");
        assert!(
            error
                .to_string()
                .contains("'a.md': there is no such document")
        );
    }
}
