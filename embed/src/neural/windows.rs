//! What becomes of a text that is longer than the model looks?
//!
//! It is cut into windows of about the same length, each as long as the model looks
//! at most, and its vector is the mean of theirs, each counted by its tokens. So all
//! of a long text counts, if in less detail, where cutting it off would leave the rest
//! out unseen. Windows end where a word does, if one does near there.

use std::ops::Range;

use tokenizers::Tokenizer;

/// So many bytes are made tokens at once, which bounds memory for texts of any length.
pub(super) const PART: usize = 1 << 16;

/// Tokens left free in a window: a word that begins one may be cut otherwise there
/// than in the middle of a text.
const SLACK: usize = 2;

/// Models that look at fewer tokens have none to leave free.
const SPARE: usize = 8;

/// A part of a text, and how many tokens it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) bytes: Range<usize>,
    pub(super) tokens: usize,
}

/// The windows of a text, of so many tokens each at most, without what is put in
/// front or around. The tokenizer must cut nothing off.
pub(super) fn windows(
    tokenizer: &Tokenizer,
    text: &str,
    most: usize,
) -> Result<Vec<Window>, tokenizers::Error> {
    let most = match most {
        0..=SPARE => most.max(1),
        _ => most - SLACK,
    };
    let mut windows = Vec::new();
    let mut begin = 0;
    while begin < text.len() {
        let part = part(&text[begin..]);
        let encoding = tokenizer.encode(part, false)?;
        let offsets = encoding.get_offsets();
        let mut first = 0;
        while first < offsets.len() {
            let left = offsets.len() - first;
            let end = end(
                part,
                offsets,
                first,
                first + left.div_ceil(left.div_ceil(most)),
            );
            windows.push(Window {
                bytes: begin + offsets[first].0..begin + offsets[end - 1].1,
                tokens: end - first,
            });
            first = end;
        }
        begin += part.len();
    }
    Ok(windows)
}

/// The beginning of a text that is looked at at once: it ends behind white space, if
/// there is some.
fn part(text: &str) -> &str {
    if text.len() <= PART {
        return text;
    }
    let most = &text[..text.floor_char_boundary(PART)];
    match most.rfind(char::is_whitespace) {
        Some(at) if at > 0 => &most[..at],
        _ => most,
    }
}

/// Where a window ends that should end at `wanted`: before the last token up to there
/// that begins a word, if that leaves at least half of it.
fn end(text: &str, offsets: &[(usize, usize)], first: usize, wanted: usize) -> usize {
    if wanted >= offsets.len() {
        return offsets.len();
    }
    let begins_word = |token: usize| {
        let (begin, _) = offsets[token];
        // Some tokenizers take the white space in front of a word for its beginning.
        let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
        is_space(text[..begin].chars().next_back()) || is_space(text[begin..].chars().next())
    };
    let least = first + (wanted - first).div_ceil(2);
    let found = (least..=wanted).rev().find(|&token| begins_word(token));
    found.unwrap_or(wanted)
}

/// The mean of windows' vectors, each counted by its tokens, of unit length; zeros if
/// they cancel each other out.
pub(super) fn mean(vectors: &[(Vec<f32>, usize)], dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for (vector, tokens) in vectors {
        for (sum, x) in sum.iter_mut().zip(vector) {
            *sum += *tokens as f32 * x;
        }
    }
    crate::static_model::unit(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let json = include_bytes!("../../../data/models/cento-static-en-v2/tokenizer.json");
        Tokenizer::from_bytes(json).expect("a tokenizer")
    }

    #[track_caller]
    fn cut(text: &str, most: usize) -> Vec<Window> {
        let tokenizer = tokenizer();
        let windows = windows(&tokenizer, text, most).expect("cut");
        let mut end = 0;
        for window in &windows {
            // Nothing but white space is between windows.
            assert!(text[end..window.bytes.start].trim().is_empty());
            end = window.bytes.end;
            let slice = &text[window.bytes.clone()];
            let alone = tokenizer.encode_fast(slice, false).expect("tokens");
            assert_eq!(alone.len(), window.tokens, "{slice:.60}");
            assert!(window.tokens <= most, "{} of {most}", window.tokens);
        }
        assert!(text[end..].trim().is_empty());
        windows
    }

    #[test]
    fn windows_hold_all_of_a_text_and_end_where_words_do() {
        let text = "The gateway buffers readings for unbelievably long, incontrovertible hours. ";
        let windows = cut(&text.repeat(40), 100);
        assert!(windows.len() > 3);
        let lengths = windows.iter().map(|window| window.tokens);
        assert!(lengths.min() > Some(40));
        assert_eq!(cut(text, 100).len(), 1);
        assert!(cut("  \n ", 100).is_empty());
        assert!(cut("", 100).is_empty());
        assert_eq!(cut("one two three", 1).len(), 3);
    }

    #[test]
    fn texts_without_spaces_and_texts_without_end_are_cut_too() {
        let dense = "温度传感器的粘贴面".repeat(300);
        assert!(cut(&dense, 64).len() > 30);
        let long = "reading 17 of sensor S3, ".repeat(20_000);
        assert!(long.len() > 5 * PART);
        assert!(cut(&long, 256).len() > 400);
    }

    #[test]
    fn a_mean_counts_windows_by_their_tokens() {
        let (east, north) = (vec![1.0, 0.0], vec![0.0, 1.0]);
        let found = mean(&[(east.clone(), 3), (north, 1)], 2);
        assert!((found[0] / found[1] - 3.0).abs() < 1e-6);
        let west = vec![-1.0, 0.0];
        assert_eq!(mean(&[(east, 2), (west, 2)], 2), [0.0, 0.0]);
    }
}
