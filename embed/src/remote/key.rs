//! How is a key kept from being seen?
//!
//! It is shown by nothing but the header that it is made for: not by `Debug`,
//! not in an error, not where a server repeats it.

use std::fmt;

use ureq::http::HeaderValue;

/// A longer one is no key, but a wrong file.
const MAX_BYTES: usize = 16 * 1024;

/// What proves to a server who asks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Takes a key, without the white space around it; else says what is wrong
    /// with it, without repeating it.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("it holds no key");
        }
        if text.len() > MAX_BYTES {
            return Err("it is too long to be a key");
        }
        // Quotes and backslashes would look different in a server's answer.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !br#""\"#.contains(&byte);
        if !text.bytes().all(is_plain) {
            return Err("a key is one word of visible ASCII characters without quotes");
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The same text without the key.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_itself_in_its_header_alone() {
        let key = Key::new(" s3cret-key\n").expect("a key");
        assert_eq!(format!("{key:?} {key:#?}"), "Key(…) Key(…)");
        let header = key.header().expect("a header");
        assert_eq!(header.as_bytes(), b"Bearer s3cret-key");
        assert!(!format!("{header:?}").contains("s3cret"));
        assert_eq!(key.hidden_in("no s3cret-key here"), "no … here");
    }

    #[test]
    fn what_cannot_be_a_header_is_no_key() {
        for text in [
            "",
            " \n",
            "two words",
            "a\"b",
            "a\r\nX-Evil: b",
            "schlüssel",
        ] {
            let reason = Key::new(text).expect_err("refused");
            assert!(text.trim().is_empty() || !reason.contains(text));
        }
        assert!(Key::new(&"k".repeat(MAX_BYTES + 1)).is_err());
    }
}
