//! Where do sentences end?

use std::ops::Range;

/// Longer blocks are looked at in parts of about this many bytes: the
/// sentence splitter takes quadratic time where quotation marks run on.
const WINDOW_BYTES: usize = 2048;

/// The sentences of a block, as byte ranges that tile it.
pub(crate) fn sentences(block: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < block.len() {
        let end = window_end(block, start);
        let window = &block[start..end];
        let mut spans = split(window);
        // The last sentence of a window may go on in the next one.
        if end < block.len() && spans.len() > 1 {
            spans.pop();
        }
        let next = start + spans.last().map_or(window.len(), |span| span.end);
        found.extend(
            spans
                .into_iter()
                .map(|span| start + span.start..start + span.end),
        );
        start = next;
    }
    found
}

/// The end of the part that begins at `start`: white space where there is any.
fn window_end(block: &str, start: usize) -> usize {
    if block.len() - start <= WINDOW_BYTES {
        return block.len();
    }
    let end = block.floor_char_boundary(start + WINDOW_BYTES);
    let window = &block[start..end];
    match window.rfind(char::is_whitespace) {
        Some(at) if at > WINDOW_BYTES / 2 => start + at,
        _ => end,
    }
}

/// The sentences of one part, tiling it.
fn split(window: &str) -> Vec<Range<usize>> {
    if window.is_ascii() && !window.contains(['.', '!', '?', '\n']) {
        return std::iter::once(0..window.len()).collect();
    }
    let language = if window.chars().take(200).any(is_cjk) {
        "ja"
    } else {
        "en"
    };
    let spans: Vec<Range<usize>> = sentencex::get_sentence_boundaries(language, window)
        .into_iter()
        .map(|boundary| boundary.start_byte..boundary.end_byte)
        .collect();
    if tiles(&spans, window) {
        spans
    } else {
        by_terminators(window)
    }
}

/// Whether spans cover a text from end to end, each beginning where the one
/// before ends.
fn tiles(spans: &[Range<usize>], text: &str) -> bool {
    let mut at = 0;
    for span in spans {
        if span.start != at || span.end <= at || !text.is_char_boundary(span.end) {
            return false;
        }
        at = span.end;
    }
    at == text.len()
}

/// Sentences by their last character alone.
fn by_terminators(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut ended = false;
    for (at, c) in text.char_indices() {
        if ended && !c.is_whitespace() {
            spans.push(start..at);
            start = at;
            ended = false;
        }
        ended |= matches!(c, '。' | '！' | '？') || (ended && c.is_whitespace());
        if matches!(c, '.' | '!' | '?') {
            ended = text[at + c.len_utf8()..].starts_with(char::is_whitespace);
        }
    }
    if start < text.len() {
        spans.push(start..text.len());
    }
    spans
}

/// Whether a character is of Chinese, Japanese or their punctuation.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FFEF}')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        sentences(text)
            .into_iter()
            .map(|span| text[span].trim())
            .collect()
    }

    #[test]
    fn abbreviations_do_not_end_a_sentence() {
        let text = "Dr. Smith paid 3.50 EUR, e.g. for tea. Then he left! Did he?";
        let expected = [
            "Dr. Smith paid 3.50 EUR, e.g. for tea.",
            "Then he left!",
            "Did he?",
        ];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn chinese_sentences_end_without_a_space() {
        assert_eq!(
            shown("第一句。第二句！第三句？"),
            ["第一句。", "第二句！", "第三句？"]
        );
    }

    #[test]
    fn the_fallback_tiles_too() {
        let text = "One. Two!  三。四 end";
        let spans = by_terminators(text);
        assert!(tiles(&spans, text));
        assert_eq!(spans.len(), 4);
    }

    #[test]
    fn hostile_blocks_take_linear_time() {
        let n = 200_000;
        for text in [
            ". ".repeat(n),
            "(".repeat(n),
            "\"a. ".repeat(n),
            "a".repeat(n),
            "1. a\n".repeat(n / 4),
            "。".repeat(n),
            "「".repeat(n),
            "a@b.".repeat(n / 2),
        ] {
            let begun = Instant::now();
            assert!(tiles(&sentences(&text), &text));
            let took = begun.elapsed();
            assert!(
                took < Duration::from_secs(10),
                "{:?}… took {took:?}",
                &text[..8.min(text.len())]
            );
        }
    }

    proptest! {
        #[test]
        fn sentences_tile_any_block(text in "(\\PC|[.!?。 \n\"'(]){0,300}") {
            prop_assert!(tiles(&sentences(&text), &text));
        }
    }
}
