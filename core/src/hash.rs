//! When are two texts, or two sources, the same?
//!
//! Both hashes are BLAKE3: identities that are written to disk must not change
//! between releases or be forged by a hostile document.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a chunk's text: the first 16 bytes of its BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TextHash([u8; 16]);

impl TextHash {
    /// Hashes a text.
    pub fn of(text: &str) -> Self {
        let full = blake3::hash(text.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&full.as_bytes()[..16]);
        Self(short)
    }

    /// The first eight bytes in hexadecimal, as public chunk ids carry them.
    pub fn short(&self) -> String {
        self.0[..8].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextHash({}…)", self.short())
    }
}

/// The identity of what a document was made from: equal hashes mean that
/// ingesting again would change nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Hashes parts, each length-prefixed so that moving a byte from one part
    /// to the next changes the hash.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The hash in hexadecimal.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({})", self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_parts_changes_the_hash() {
        let one = ContentHash::of([b"ab".as_slice(), b"c"]);
        let other = ContentHash::of([b"a".as_slice(), b"bc"]);
        assert_ne!(one, other);
    }

    #[test]
    fn a_text_hash_never_changes_between_releases() {
        // The first test vector of the BLAKE3 specification.
        assert_eq!(TextHash::of("").short(), "af1349b9f5f9a1a6");
    }
}
