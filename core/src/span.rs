//! Which bytes of a canonical text are meant?

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// A half-open range of bytes, `start..end`, of a document's canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ByteSpan {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteSpan {
    /// Checks that the span does not run backwards.
    pub fn new(start: u64, end: u64) -> Result<Self, CoreError> {
        if start <= end {
            Ok(Self { start, end })
        } else {
            Err(CoreError::Span {
                start,
                end,
                reason: "it ends before it begins",
            })
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether the span holds no byte.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The text at this span, or an error if it runs past the end or cuts a
    /// character.
    pub fn slice<'a>(&self, text: &'a str) -> Result<&'a str, CoreError> {
        let in_bounds = usize::try_from(self.start)
            .ok()
            .zip(usize::try_from(self.end).ok());
        in_bounds
            .and_then(|(start, end)| text.get(start..end))
            .ok_or(CoreError::Span {
                start: self.start,
                end: self.end,
                reason: "it runs past the end or cuts a character",
            })
    }

    /// How many bytes both spans hold.
    pub fn overlap(&self, other: &Self) -> u64 {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        end.saturating_sub(start)
    }
}

impl fmt::Display for ByteSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_never_cuts_a_character() {
        let text = "aé";
        assert_eq!(ByteSpan::new(0, 3).expect("ok").slice(text), Ok("aé"));
        assert!(ByteSpan::new(0, 2).expect("ok").slice(text).is_err());
        assert!(ByteSpan::new(0, 4).expect("ok").slice(text).is_err());
        assert!(ByteSpan::new(2, 1).is_err());
    }

    #[test]
    fn overlap_counts_shared_bytes() {
        let span = |start, end| ByteSpan { start, end };
        assert_eq!(span(0, 10).overlap(&span(5, 20)), 5);
        assert_eq!(span(0, 5).overlap(&span(5, 9)), 0);
        assert_eq!(span(9, 12).overlap(&span(0, 2)), 0);
    }
}
