//! Do chunks keep every promise, on any text?

use std::time::{Duration, Instant};

use cento_core::chunk::check_chunks;
use proptest::prelude::*;

use super::*;

fn of_markdown(text: &str) -> Vec<Chunk> {
    chunks(text, crate::markdown::blocks(text).0)
}

fn of_text(text: &str) -> Vec<Chunk> {
    chunks(text, crate::text::blocks(text))
}

fn texts<'a>(text: &'a str, chunks: &[Chunk]) -> Vec<&'a str> {
    chunks
        .iter()
        .map(|c| c.span.slice(text).expect("a span"))
        .collect()
}

/// What every chunking of every text must be.
fn check(text: &str, blocks: &[Block], chunks: &[Chunk]) {
    check_chunks(text, chunks).expect("ordered, apart, not empty");
    let mut covered = vec![false; text.len()];
    for chunk in chunks {
        let slice = chunk.span.slice(text).expect("a span");
        assert_eq!(slice, slice.trim(), "white space at an end");
        assert!(size(slice) <= CAP, "{} is too large", size(slice));
        covered[chunk.span.start as usize..chunk.span.end as usize].fill(true);
        let line = text[..chunk.span.start as usize].matches('\n').count() + 1;
        assert_eq!(chunk.line as usize, line);
    }
    for block in blocks {
        if matches!(block.kind, Kind::Heading { .. }) {
            covered[block.start..block.end].fill(true);
        }
    }
    for (at, c) in text.char_indices() {
        assert!(
            covered[at] || c.is_whitespace(),
            "{c:?} at {at} is in no chunk"
        );
    }
    for block in blocks {
        if let Kind::Heading { .. } = block.kind {
            let crossing = chunks.iter().find(|c| {
                let (start, end) = (c.span.start as usize, c.span.end as usize);
                start < block.start && end > block.start
            });
            assert!(crossing.is_none(), "a chunk crosses a heading");
        }
    }
}

#[test]
fn headings_stand_beside_the_text() {
    let text = "# A\n\nOne.\n\n## B\n\nTwo.\n\n## C\n\nThree.\n";
    let chunks = of_markdown(text);
    assert_eq!(texts(text, &chunks), ["One.", "Two.", "Three."]);
    assert_eq!(chunks[2].heading_path, ["A", "C"]);
    assert_eq!(chunks[2].line, 11);
}

#[test]
fn a_heading_with_nothing_below_it_can_be_found() {
    let text = "# A\n## Empty\n## B\ntext\n# Last";
    let chunks = of_markdown(text);
    assert_eq!(texts(text, &chunks), ["## Empty", "text", "# Last"]);
    assert_eq!(chunks[0].heading_path, ["A"]);
    assert_eq!(texts("# Only", &of_markdown("# Only")), ["# Only"]);
}

#[test]
fn short_blocks_share_a_chunk_and_long_ones_end_with_a_sentence() {
    let list = "- one\n- two\n- three\n";
    assert_eq!(texts(list, &of_markdown(list)), ["- one\n- two\n- three"]);
    let long = "This sentence has exactly fifty characters in all. ".repeat(30);
    let chunks = of_text(&long);
    let lengths: Vec<usize> = texts(&long, &chunks).iter().map(|t| t.len()).collect();
    assert_eq!(lengths, [458, 458, 458, 152]);
    assert!(texts(&long, &chunks).iter().all(|t| t.ends_with("all.")));
}

#[test]
fn a_table_is_cut_between_rows() {
    let row = |n| format!("| {n} | {} |\n", "value ".repeat(15));
    let text = format!(
        "| a | b |\n|---|---|\n{}",
        (0..20).map(row).collect::<String>()
    );
    let chunks = of_markdown(&text);
    assert!(chunks.len() > 2);
    for part in texts(&text, &chunks) {
        assert!(part.starts_with('|') && part.ends_with('|'), "{part}");
    }
}

#[test]
fn an_endless_line_ends_as_many_chunks() {
    for unit in ["x", "漢", "word ", "{\"k\":1},"] {
        let text = unit.repeat(1_000_000 / unit.len());
        let begun = Instant::now();
        let blocks = crate::text::blocks(&text);
        let chunks = chunks(&text, blocks.clone());
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(chunks.len() > 1000);
        check(&text, &blocks, &chunks);
    }
}

#[test]
fn a_text_of_headings_does_not_become_millions_of_chunks() {
    let text = "# a\n\nb\n\n".repeat(50_000);
    let chunks = of_markdown(&text);
    assert!(chunks.len() <= FREE_CHUNKS + text.len() / BYTES_PER_CHUNK);
}

#[test]
fn hostile_markdown_takes_linear_time() {
    let n = 50_000;
    for text in [
        ">".repeat(n),
        "> ".repeat(n),
        "- ".repeat(n),
        "* a\n".repeat(n),
        "[".repeat(n),
        "[a](".repeat(n),
        "`".repeat(n),
        "<".repeat(n),
        "<!--".repeat(n),
        "| a ".repeat(n) + "\n" + &"|---".repeat(n),
        format!("{}\n", "|a".repeat(300)).repeat(300),
        "***a ".repeat(n),
        "[a]: b\n".repeat(n),
        "# ".repeat(n),
        "a\n---\n".repeat(n),
        "---\n".repeat(n),
        (1..500)
            .map(|i| format!("{}- a\n", " ".repeat(2 * i)))
            .collect(),
        (1..500)
            .map(|i| format!("{} a\n", "> ".repeat(i)))
            .collect(),
        (1..3000).map(|i| "`".repeat(i) + " ").collect(),
    ] {
        let begun = Instant::now();
        let (blocks, _) = crate::markdown::blocks(&text);
        let chunks = chunks(&text, blocks.clone());
        let took = begun.elapsed();
        let start = text.chars().take(12).collect::<String>();
        assert!(took < Duration::from_secs(10), "{start:?}… took {took:?}");
        // With more blocks headings are given up.
        if blocks.len() < FREE_CHUNKS {
            check(&text, &blocks, &chunks);
        }
    }
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z ,.]{0,200}",
        "(\\PC){0,60}",
        "[一-龥，。！？]{0,300}",
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        "\n#{1,6} [a-z]{0,8}\n",
        "\n[-*+>] [a-z. ]{0,40}\n",
        "\n\\| [a-z]{1,5} \\| b \\|\n\\|---\\|---\\|\n\\| c \\| d \\|\n",
        "\n```\n[a-z\n]{0,80}\n```\n",
        "---\n[a-z: \n]{0,30}\n---\n",
        "\n[a-z ]{1,20}\n(=|-){3,5}\n",
        "[.!?…\"'()«»\u{200B}\u{A0}\u{FEFF}\r\t ]{0,20}",
        "[A-Z ]{3,20}\n\n",
        "[a-z0-9]{0,1200}",
    ]
}

proptest! {
    #[test]
    fn chunks_hold_every_character_once(parts in prop::collection::vec(fragment(), 0..12)) {
        let text = parts.concat();
        for blocks in [
            crate::markdown::blocks(&text).0,
            crate::text::blocks(&text),
            crate::text::paragraphs(&text, Kind::Lines),
        ] {
            check(&text, &blocks, &chunks(&text, blocks.clone()));
        }
    }
}
