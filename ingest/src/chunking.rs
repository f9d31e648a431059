//! Which ways of cutting are there, and by what are they known?

use std::fmt;
use std::str::FromStr;

use cento_core::{ByteSpan, Chunk};
use serde::{Deserialize, Serialize};

use crate::IngestError;
use crate::blocks::Block;
use crate::chunk::chunks;

/// A way of cutting documents; one for all documents of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Chunking {
    /// Small pieces that end where sentences, items and rows end, and never
    /// reach across a heading.
    #[default]
    #[serde(rename = "default")]
    Structural,
    /// None: a document is one chunk. For passages that were cut before, and
    /// for measuring documents as wholes.
    #[serde(rename = "none")]
    Whole,
}

impl Chunking {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Structural, Self::Whole];

    /// Its name: `default` or `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structural => "default",
            Self::Whole => "none",
        }
    }

    /// Its identity: chunks of collections with the same fingerprint are cut
    /// alike.
    pub fn fingerprint(self) -> &'static str {
        match self {
            Self::Structural => "structural-500/1",
            Self::Whole => "none/1",
        }
    }

    /// The one with that fingerprint.
    ///
    /// # Errors
    /// [`IngestError::ChunkingMismatch`] if there is none.
    pub fn of_fingerprint(fingerprint: &str) -> Result<Self, IngestError> {
        let found = (Self::ALL.into_iter()).find(|way| way.fingerprint() == fingerprint);
        found.ok_or_else(|| IngestError::ChunkingMismatch {
            expected: fingerprint.to_owned(),
            known: Self::ALL.map(Self::fingerprint).join(", "),
        })
    }

    /// A text as one chunk, whatever is in it; none if it is empty.
    pub(crate) fn uncut(text: &str) -> Vec<Chunk> {
        let all = Chunk {
            span: ByteSpan {
                start: 0,
                end: text.len() as u64,
            },
            line: 1,
            heading_path: Vec::new(),
        };
        let all = (!text.is_empty()).then_some(all);
        whole(text).or(all).into_iter().collect()
    }

    /// Cuts a text, whose blocks these are.
    pub(crate) fn cut(self, text: &str, blocks: Vec<Block>) -> Vec<Chunk> {
        match self {
            Self::Structural => chunks(text, blocks),
            Self::Whole => whole(text).into_iter().collect(),
        }
    }
}

/// All of a text but the white space around it, if there is anything else.
fn whole(text: &str) -> Option<Chunk> {
    let start = text.len() - text.trim_start().len();
    let end = start + text.trim().len();
    if start == end {
        return None;
    }
    let lines = text[..start].bytes().filter(|&byte| byte == b'\n').count();
    Some(Chunk {
        span: ByteSpan {
            start: start as u64,
            end: end as u64,
        },
        line: u32::try_from(lines + 1).unwrap_or(u32::MAX),
        heading_path: Vec::new(),
    })
}

impl fmt::Display for Chunking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Chunking {
    type Err = IngestError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|way| way.name() == name);
        found.ok_or_else(|| IngestError::UnknownChunking {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_document_is_one_chunk_without_white_space_around_it() {
        let found = whole(" \n\n  one\n\n# two\n ").expect("a chunk");
        assert_eq!(found.span, ByteSpan { start: 5, end: 15 });
        assert_eq!(found.line, 3);
        assert_eq!(whole(" \n\t"), None);
    }

    #[test]
    fn names_and_fingerprints_lead_back() {
        for way in Chunking::ALL {
            assert_eq!(way.name().parse::<Chunking>().ok(), Some(way));
            assert_eq!(Chunking::of_fingerprint(way.fingerprint()).ok(), Some(way));
        }
        assert!("small".parse::<Chunking>().is_err());
        assert!(Chunking::of_fingerprint("structural-500/0").is_err());
    }
}
