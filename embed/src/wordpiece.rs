//! Which tokens of a WordPiece vocabulary is a text made of, at once?
//!
//! The `tokenizers` crate answers the same question for every kind of
//! tokenizer, keeps for every byte where it came from, and pays for both. Here
//! is the one recipe of BERT's uncased models, and its answers are the crate's,
//! token by token: `tests` compares them.
//!
//! - Added tokens such as `[CLS]` are found in the text as it was given.
//! - Between them letters are folded (`folding`) and cut into words at white
//!   space and around punctuation.
//! - A word is an entry of the vocabulary, or the longest entries that it can
//!   be made of from its beginning on (`vocabulary`), or unknown.
//!
//! Almost every word is ASCII and short. Such a word is folded, ended and
//! packed into a number eight bytes at a time, and looked up as that number.

mod folding;
mod recipe;
#[cfg(test)]
mod tests;
mod vocabulary;

use folding::Folding;
use vocabulary::{Key, Vocabulary};

/// A tokenizer of one recipe: BERT's, without case and accents.
pub(crate) struct WordPiece {
    folding: Folding,
    vocabulary: Vocabulary,
    added: Vec<(String, u32)>,
}

/// Who gets the words of a text, in their order.
trait Words {
    /// A word of at most [`Key::LONGEST`] bytes.
    fn short(&mut self, word: Key);
    /// A word of any length, not empty.
    fn any(&mut self, word: &str);
    /// A token that stands in the text as it is.
    fn added(&mut self, id: u32);
}

impl WordPiece {
    /// Reads a `tokenizer.json`, or says what in it is not of this recipe.
    /// Padding and truncation are no part of it: every token of a text is
    /// wanted, and nothing else.
    pub(crate) fn of(json: &[u8]) -> Result<Self, String> {
        let (vocabulary, added) = recipe::read(json)?;
        Ok(Self {
            folding: Folding::default(),
            vocabulary,
            added,
        })
    }

    /// The token that a word without an answer becomes.
    pub(crate) fn unknown(&self) -> u32 {
        self.vocabulary.unknown()
    }

    /// The largest number of a token.
    pub(crate) fn largest_id(&self) -> u32 {
        self.vocabulary.largest_id()
    }

    /// Hands over the tokens of a text, in their order.
    pub(crate) fn tokens(&self, text: &str, each: impl FnMut(u32)) {
        let mut sink = Tokens {
            vocabulary: &self.vocabulary,
            pieces: Vec::new(),
            each,
        };
        self.words(text, &mut sink);
    }

    /// Hands over the words of a text and the added tokens between them.
    fn words(&self, text: &str, sink: &mut impl Words) {
        let bytes = text.as_bytes();
        let mut buffer = String::new();
        let mut at = 0;
        while let Some(&first) = bytes.get(at) {
            let (low, mut length) = ascii_word(load(bytes, at));
            if length == 0 {
                at = match kind(first) {
                    Kind::Space => at + 1,
                    // An added token begins with punctuation, or the recipe is
                    // refused, so this is the only place to look for one.
                    Kind::Punctuation => match self.added_at(&bytes[at..]) {
                        Some((length, id)) => {
                            sink.added(id);
                            at + length
                        }
                        None => {
                            sink.short(Key::of_halves(first.into(), 0));
                            at + 1
                        }
                    },
                    Kind::Part | Kind::Other => self.folded(text, at, &mut buffer, sink),
                };
                continue;
            }
            let mut high = 0;
            if length == 8 {
                let more;
                (high, more) = ascii_word(load(bytes, at + 8));
                if more == 8 {
                    at = self.long(text, at, &mut buffer, sink);
                    continue;
                }
                length += more;
            }
            let end = at + length;
            at = match bytes.get(end) {
                Some(b' ') | None => {
                    sink.short(Key::of_halves(low, high));
                    end + 1
                }
                Some(&next) if kind(next) == Kind::Other => {
                    self.folded(text, at, &mut buffer, sink)
                }
                Some(_) => {
                    sink.short(Key::of_halves(low, high));
                    end
                }
            };
        }
    }

    /// The longest added token that a text begins with, and its length.
    fn added_at(&self, text: &[u8]) -> Option<(usize, u32)> {
        self.added
            .iter()
            .filter(|(token, _)| text.starts_with(token.as_bytes()))
            .map(|(token, id)| (token.len(), *id))
            .max()
    }

    /// A word at `begin` that fits no key; returns where to go on.
    fn long(&self, text: &str, begin: usize, buffer: &mut String, sink: &mut impl Words) -> usize {
        let end = position(text, begin, |kind| kind != Kind::Part);
        if text.as_bytes().get(end).copied().map(kind) == Some(Kind::Other) {
            return self.folded(text, begin, buffer, sink);
        }
        buffer.clear();
        buffer.push_str(&text[begin..end]);
        buffer.make_ascii_lowercase();
        sink.any(buffer);
        end
    }

    /// Whatever stands from `begin` to the next ASCII space or punctuation,
    /// where it can be cut: neither takes part in any folding, and no added
    /// token begins before it. Returns where to go on.
    fn folded(
        &self,
        text: &str,
        begin: usize,
        buffer: &mut String,
        sink: &mut impl Words,
    ) -> usize {
        let end = position(text, begin, |kind| {
            matches!(kind, Kind::Space | Kind::Punctuation)
        });
        self.folding.words(&text[begin..end], buffer, sink);
        end
    }
}

/// Where the first byte from `begin` on is of a kind; the text's end if none.
fn position(text: &str, begin: usize, is_wanted: impl Fn(Kind) -> bool) -> usize {
    let rest = &text.as_bytes()[begin..];
    let length = rest.iter().position(|&byte| is_wanted(kind(byte)));
    begin + length.unwrap_or(rest.len())
}

/// Looks words up.
struct Tokens<'v, F> {
    vocabulary: &'v Vocabulary,
    /// Of one long word, kept for the next.
    pieces: Vec<u32>,
    each: F,
}

impl<F: FnMut(u32)> Words for Tokens<'_, F> {
    #[inline]
    fn short(&mut self, word: Key) {
        self.vocabulary.short(word, &mut self.each);
    }

    fn any(&mut self, word: &str) {
        match Key::of(word.as_bytes()) {
            Some(key) => self.vocabulary.short(key, &mut self.each),
            None => self.vocabulary.long(word, &mut self.pieces, &mut self.each),
        }
    }

    fn added(&mut self, id: u32) {
        (self.each)(id);
    }
}

/// What a byte means where it stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An ASCII letter or digit.
    Part,
    /// ASCII white space that is kept as such; other ASCII white space counts
    /// as control characters.
    Space,
    /// ASCII punctuation, each a word.
    Punctuation,
    /// A control character, which vanishes, or a byte of what is not ASCII.
    Other,
}

/// The kind of each byte.
const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        kinds[byte as usize] = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => Kind::Space,
            _ if byte.is_ascii_alphanumeric() => Kind::Part,
            _ if byte.is_ascii_punctuation() => Kind::Punctuation,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
};

fn kind(byte: u8) -> Kind {
    KINDS[usize::from(byte)]
}

/// Eight bytes of a text; spaces where it ends before.
#[inline]
fn load(bytes: &[u8], at: usize) -> [u8; 8] {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(eight) = rest.first_chunk() {
        return *eight;
    }
    let mut eight = [b' '; 8];
    for (to, from) in eight.iter_mut().zip(rest) {
        *to = *from;
    }
    eight
}

/// The ASCII letters and digits that eight bytes begin with, letters in lower
/// case and zeros behind, and how many they are. All eight bytes are looked at
/// in one number: sums with seven of their bits set the eighth where a byte is
/// large enough, and carry into no other byte.
#[inline]
fn ascii_word(bytes: [u8; 8]) -> (u64, usize) {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    const TOP: u64 = each(0x80);
    let word = u64::from_le_bytes(bytes);
    let low = word & !TOP;
    let lower = low | each(0x20);
    let is_letter = (lower + each(0x80 - b'a')) & !(lower + each(0x7f - b'z')) & !word & TOP;
    let is_digit = (low + each(0x80 - b'0')) & !(low + each(0x7f - b'9')) & !word & TOP;
    let length = ((is_letter | is_digit) ^ TOP).trailing_zeros() / 8;
    // A letter's bit, two to the right, is what small letters have and
    // capitals lack.
    let folded = word | is_letter >> 2;
    let kept = u64::MAX.checked_shr(64 - 8 * length).unwrap_or_default();
    (folded & kept, length as usize)
}
