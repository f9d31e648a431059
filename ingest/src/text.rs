//! Where do the headings and paragraphs of a plain text begin?

use crate::blocks::{Block, Blocks, Kind};

/// The longest line, in bytes, that is taken for a heading.
const MAX_HEADING_BYTES: usize = 100;

/// The blocks of running text: paragraphs, and such headings as people make
/// without markup: underlined, in capitals, or with a number of several parts.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Blocks::default();
    let mut lines = lines(text).peekable();
    let mut previous_blank = true;
    let mut in_paragraph = false;
    while let Some((start, line)) = lines.next() {
        if line.trim().is_empty() {
            previous_blank = true;
            in_paragraph = false;
            continue;
        }
        let next = lines.peek().map_or("", |(_, next)| next.trim());
        let level = if previous_blank {
            heading_level(line, next, start == 0)
        } else {
            None
        };
        if let Some(level) = level {
            let title = line.split_whitespace().collect::<Vec<_>>().join(" ");
            blocks.begin(start, Kind::Heading { level, title });
            let mut end = start + line.trim_end().len();
            if underline(next).is_some()
                && let Some((start, line)) = lines.next()
            {
                end = start + line.trim_end().len();
            }
            blocks.begin(end, Kind::Prose);
            in_paragraph = false;
        } else if !in_paragraph {
            blocks.begin(start, Kind::Prose);
            in_paragraph = true;
        }
        previous_blank = false;
    }
    blocks.finish(text)
}

/// The paragraphs of a text, without a search for headings.
pub(crate) fn paragraphs(text: &str, kind: Kind) -> Vec<Block> {
    let mut blocks = Blocks::default();
    let mut previous_blank = true;
    for (start, line) in lines(text) {
        let blank = line.trim().is_empty();
        if previous_blank && !blank {
            blocks.begin(start, kind.clone());
        }
        previous_blank = blank;
    }
    blocks.finish(text)
}

/// Lines with their first byte.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = start;
        start += line.len();
        (at, line)
    })
}

/// The level of a line that follows a blank one, if it is a heading.
fn heading_level(line: &str, next: &str, first: bool) -> Option<u8> {
    let line = line.trim_end();
    let letters = || line.chars().filter(|c| c.is_alphabetic());
    if line.len() > MAX_HEADING_BYTES || line.starts_with([' ', '\t']) || letters().nth(2).is_none()
    {
        return None;
    }
    if let Some(level) = underline(next) {
        return Some(level);
    }
    // Without an underline it stands alone; the first line may have a line of
    // particulars below it.
    if line.ends_with(['.', ',', ';', ':', '!', '?']) || !(next.is_empty() || first) {
        return None;
    }
    let capitals = letters().all(|c| !c.is_lowercase()) && letters().any(char::is_uppercase);
    if capitals {
        return Some(1);
    }
    let number = line
        .split(' ')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let parts = number.split('.').count();
    let numbered = number.split('.').all(|part| {
        !part.is_empty() && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit())
    });
    (numbered && (2..=6).contains(&parts)).then_some(parts as u8)
}

/// The level that a line gives to the line above it.
fn underline(line: &str) -> Option<u8> {
    let all = |c: u8| line.len() >= 3 && line.bytes().all(|b| b == c);
    if all(b'=') {
        Some(1)
    } else if all(b'-') {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(text: &str) -> Vec<(u8, String)> {
        let heading = |block: Block| match block.kind {
            Kind::Heading { level, title } => Some((level, title)),
            _ => None,
        };
        blocks(text).into_iter().filter_map(heading).collect()
    }

    #[test]
    fn headings_without_markup_are_found() {
        let text = "THE HANDBOOK\nEffective today.\n\n1. SHORT VERSION\n\nDo it.\n\n1.2 Rail and air\n\nGo.\n\nNotes\n-----\nx";
        let expected = [
            (1, "THE HANDBOOK"),
            (1, "1. SHORT VERSION"),
            (2, "1.2 Rail and air"),
            (2, "Notes"),
        ];
        assert_eq!(headings(text), expected.map(|(l, t)| (l, t.to_owned())));
    }

    #[test]
    fn ordinary_lines_are_no_headings() {
        let text = "He said so.\n\nIT WAS LATE.\n\n2.5 kg of flour, 3 eggs and\nmilk\n\n    CODE\n\n----\n\nAB";
        assert!(headings(text).is_empty());
    }

    #[test]
    fn paragraphs_are_apart() {
        let text = "one\ntwo\n\n \nthree\r\n\r\nfour";
        let found: Vec<&str> = blocks(text)
            .iter()
            .map(|b| text[b.start..b.end].trim())
            .collect();
        assert_eq!(found, ["one\ntwo", "three", "four"]);
    }
}
