//! Which neighbouring pieces share a chunk?

use std::ops::Range;

use super::{CAP, Piece, SMALL, TARGET, size};

/// A chunk in the making.
#[derive(Debug, Clone)]
struct Pack {
    start: usize,
    end: usize,
    size: usize,
}

impl Pack {
    /// The size with `next` behind it, white space between them included.
    fn size_with(&self, text: &str, next: &Pack) -> usize {
        self.size + size(&text[self.end..next.start]) + next.size
    }

    fn join(&mut self, text: &str, next: &Pack) {
        self.size = self.size_with(text, next);
        self.end = next.end;
    }
}

/// Packs the pieces that stand under one heading into chunks: a block begins a
/// new chunk rather than be torn, sentences of a long block fill theirs, and
/// what is left over small joins a neighbour.
pub(super) fn pack(text: &str, pieces: &[Piece]) -> Vec<Range<usize>> {
    let mut packs: Vec<Pack> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let next = Pack {
            start: piece.start,
            end: piece.end,
            size: piece.size,
        };
        let torn = piece.begins_block && is_long_block(pieces, at);
        let room = if piece.begins_block {
            TARGET
        } else {
            piece.fill
        };
        match packs.last_mut() {
            // A block that must be cut anyway begins its own chunk, unless what
            // stands before it is only its introduction.
            Some(last) if last.size_with(text, &next) <= room && (!torn || last.size < SMALL) => {
                last.join(text, &next);
            }
            _ => packs.push(next),
        }
    }
    join_small(text, packs)
        .into_iter()
        .map(|pack| pack.start..pack.end)
        .collect()
}

/// Whether the block that begins at this piece has several.
fn is_long_block(pieces: &[Piece], at: usize) -> bool {
    pieces.get(at + 1).is_some_and(|next| !next.begins_block)
}

/// Joins what is small to the chunk before it, or else to the one behind it.
fn join_small(text: &str, packs: Vec<Pack>) -> Vec<Pack> {
    let mut joined: Vec<Pack> = Vec::with_capacity(packs.len());
    for pack in packs {
        match joined.last_mut() {
            Some(last)
                if (pack.size < SMALL || last.size < SMALL)
                    && last.size_with(text, &pack) <= CAP.min(TARGET + 2 * SMALL) =>
            {
                last.join(text, &pack);
            }
            _ => joined.push(pack),
        }
    }
    joined
}
