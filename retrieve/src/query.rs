//! What is a question that can be asked?

use crate::RetrieveError;

/// The most characters (Unicode scalar values) of a query. A pasted paragraph
/// fits; a pasted document is refused, because its thousands of terms would
/// cost seconds and mean nothing.
pub const MAX_QUERY_CHARS: usize = 8_192;

/// A query's text: not blank, not longer than [`MAX_QUERY_CHARS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// Checks and wraps a text; white space around it is taken off.
    ///
    /// # Errors
    /// [`RetrieveError::EmptyQuery`] for a blank text,
    /// [`RetrieveError::QueryTooLong`] for a long one, counted as given.
    pub fn new(text: &str) -> Result<Self, RetrieveError> {
        let chars = text.chars().count();
        if chars > MAX_QUERY_CHARS {
            return Err(RetrieveError::QueryTooLong {
                chars,
                max: MAX_QUERY_CHARS,
            });
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(RetrieveError::EmptyQuery);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_query_is_refused() {
        for blank in ["", " ", "\t\n\u{3000}"] {
            assert!(
                matches!(Query::new(blank), Err(RetrieveError::EmptyQuery)),
                "{blank:?}"
            );
        }
        assert_eq!(Query::new("  why? \n").expect("a query").as_str(), "why?");
    }

    #[test]
    fn a_query_of_100_000_characters_is_refused_with_both_numbers() {
        let error = Query::new(&"ä".repeat(100_000)).expect_err("too long");
        let said = error.to_string();
        assert!(said.contains("100000") && said.contains("8192"), "{said}");
        assert!(Query::new(&"ä".repeat(MAX_QUERY_CHARS)).is_ok());
    }
}
