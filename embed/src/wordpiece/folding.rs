//! Which words stand in a text that is not all ASCII, without case and accents?
//!
//! The steps are those of the `tokenizers` crate's `BertNormalizer` and
//! `BertPreTokenizer`, by the same tables of Unicode: control characters
//! vanish, white space becomes spaces, Chinese characters stand alone, letters
//! are decomposed, marks vanish, letters become small; then words end at white
//! space and around punctuation.
//!
//! Decomposing sorts what follows a letter, so the steps are defined on a whole
//! text. Nearly every character folds to one character or none, whatever stands
//! beside it; those are looked up, and only what lies between them takes the
//! long way.

use std::sync::OnceLock;

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_normalization_alignments::char::canonical_combining_class;

use super::Words;

/// What a character becomes, whatever stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folded {
    /// Nothing.
    Gone,
    /// The end of a word.
    Space,
    /// A character within a word.
    Part(char),
    /// A character that is a word.
    Alone(char),
    /// That depends, or is more than one character.
    Open,
}

/// How many characters are worked out together.
const BLOCK: usize = 256;

/// How many blocks there are: Unicode's basic plane.
const BLOCKS: usize = 256;

/// What characters become, worked out in blocks when first asked for.
pub(super) struct Folding {
    blocks: Vec<OnceLock<Box<[Folded]>>>,
}

impl Default for Folding {
    fn default() -> Self {
        Self {
            blocks: (0..BLOCKS).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Folding {
    /// Hands over the words of a text in which no added token stands. The
    /// buffer's content does not matter.
    pub(super) fn words(&self, text: &str, word: &mut String, sink: &mut impl Words) {
        word.clear();
        let mut rest = text.chars();
        loop {
            let here = rest.as_str();
            let Some(character) = rest.next() else { break };
            match self.of(character) {
                Folded::Gone => {}
                Folded::Open => {
                    let (open, behind) = here.split_at(self.open(here));
                    for character in small(decomposed(open)) {
                        add(alone(character), word, sink);
                    }
                    rest = behind.chars();
                }
                folded => add(folded, word, sink),
            }
        }
        add(Folded::Space, word, sink);
    }

    /// How far what cannot be looked up goes: to the next character that leaves
    /// one which is never sorted behind another. Those that vanish do not end
    /// it, for what stands around them meets.
    fn open(&self, text: &str) -> usize {
        text.char_indices()
            .skip(1)
            .find(|&(_, character)| !matches!(self.of(character), Folded::Open | Folded::Gone))
            .map_or(text.len(), |(at, _)| at)
    }

    /// What a character becomes.
    fn of(&self, character: char) -> Folded {
        let number = character as usize;
        let Some(block) = self.blocks.get(number / BLOCK) else {
            return Folded::Open;
        };
        block.get_or_init(|| block_of(number / BLOCK))[number % BLOCK]
    }
}

#[cold]
fn block_of(block: usize) -> Box<[Folded]> {
    (block * BLOCK..(block + 1) * BLOCK)
        .map(|number| {
            let character = u32::try_from(number).ok().and_then(char::from_u32);
            character.map_or(Folded::Open, fold)
        })
        .collect()
}

/// What a character becomes by the steps, if that does not depend.
fn fold(character: char) -> Folded {
    let mut bytes = [0; 4];
    let text: &str = character.encode_utf8(&mut bytes);
    let whole: Vec<char> = decomposed(text).collect();
    if is_chinese(character) {
        // With a space on either side.
        return match whole[..] {
            [' ', one, ' '] => Folded::Alone(one),
            _ => Folded::Open,
        };
    }
    // A mark that does not vanish is sorted among its neighbours.
    if whole
        .iter()
        .any(|&part| canonical_combining_class(part) != 0)
    {
        return Folded::Open;
    }
    let mut parts = small(whole.into_iter());
    match (parts.next(), parts.next()) {
        (None, _) => Folded::Gone,
        (Some(one), None) => alone(one),
        (Some(_), Some(_)) => Folded::Open,
    }
}

/// What a character means once it is folded.
fn alone(character: char) -> Folded {
    if character.is_whitespace() {
        Folded::Space
    } else if character.is_ascii_punctuation() || character.is_punctuation() {
        Folded::Alone(character)
    } else {
        Folded::Part(character)
    }
}

/// Adds a folded character to the word, or ends it.
fn add(folded: Folded, word: &mut String, sink: &mut impl Words) {
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            sink.any(word);
            word.clear();
        }
    };
    match folded {
        Folded::Part(character) => word.push(character),
        Folded::Alone(character) => {
            end(word);
            word.push(character);
            end(word);
        }
        Folded::Space => end(word),
        Folded::Gone | Folded::Open => {}
    }
}

/// A text cleaned, Chinese characters spaced, and decomposed without marks.
fn decomposed(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|&character| !is_removed(character))
        .map(|character| if is_space(character) { ' ' } else { character })
        .flat_map(|character| {
            let space = is_chinese(character).then_some(' ');
            [space, Some(character), space].into_iter().flatten()
        })
        .nfd()
        .map(|(character, _)| character)
        .filter(|character| !character.is_mark_nonspacing())
}

fn small(characters: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    characters.flat_map(char::to_lowercase)
}

fn is_space(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r') || character.is_whitespace()
}

fn is_removed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => false,
        '\0' | char::REPLACEMENT_CHARACTER => true,
        _ => character.is_other(),
    }
}

/// The ranges are the crate's, with its gap before U+2B920.
fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x2_0000..=0x2_a6df
            | 0x2_a700..=0x2_b73f
            | 0x2_b740..=0x2_b81f
            | 0x2_b920..=0x2_ceaf
            | 0xf900..=0xfaff
            | 0x2_f800..=0x2_fa1f
    )
}
