//! How much of a context says again what it has said already?
//!
//! The *shingles* of a quote are its runs of five consecutive words; they do
//! not reach from one quote into the next. Redundancy is the share of all
//! shingles of a context, in its order, that have occurred before in it: 0 if
//! every run of five words is new, near 1 if the context repeats itself over
//! and over. A word is a run of letters and digits, lower-cased; where words
//! are not parted by blanks (Chinese, Japanese, Korean) a character is a word.
//! Quotes of fewer than five words have no shingle, and a context without one
//! has redundancy 0.

use std::collections::HashSet;

/// Long enough that common phrases seldom repeat, short enough that a repeated
/// sentence shows.
const SHINGLE: usize = 5;

/// The share of shingles that have occurred before.
pub fn redundancy<'a>(quotes: impl IntoIterator<Item = &'a str>) -> f64 {
    let mut seen: HashSet<u64> = HashSet::new();
    let (mut all, mut again) = (0_usize, 0_usize);
    for quote in quotes {
        let words: Vec<u64> = words(quote)
            .iter()
            .map(|word| hash(word.as_bytes()))
            .collect();
        for shingle in words.windows(SHINGLE) {
            let bytes: Vec<u8> = shingle.iter().flat_map(|word| word.to_le_bytes()).collect();
            all += 1;
            again += usize::from(!seen.insert(hash(&bytes)));
        }
    }
    if all == 0 {
        0.0
    } else {
        crate::documents::as_f64(again) / crate::documents::as_f64(all)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    for c in text.chars() {
        if is_a_word_alone(c) {
            end(&mut word);
            word.push(c);
            end(&mut word);
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        } else {
            end(&mut word);
        }
    }
    end(&mut word);
    words
}

/// Kana, Han and Hangul.
fn is_a_word_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_quote_makes_half_of_a_context_redundant() {
        let quote = "One two, three; four five six seven.";
        assert_eq!(redundancy([quote]), 0.0);
        assert_eq!(
            redundancy([quote, "one TWO three four five six seven"]),
            0.5
        );
    }

    #[test]
    fn shingles_end_with_their_quote() {
        // Three new shingles, then one that is new and two that are not.
        let quotes = ["a b c d e f g", "x b c d e f", "e f g x b"];
        assert_eq!(redundancy(quotes), 1.0 / 6.0);
        assert_eq!(redundancy(["a b c d", "a b c d"]), 0.0);
        assert_eq!(redundancy([]), 0.0);
    }

    #[test]
    fn characters_are_words_where_nothing_parts_words() {
        assert_eq!(words("Ünï安装a1 ok"), ["ünï", "安", "装", "a1", "ok"]);
        assert_eq!(redundancy(["安装指南说明", "安装指南说"]), 1.0 / 3.0);
    }
}
