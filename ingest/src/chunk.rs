//! Into which pieces is a document cut for the index?
//!
//! Small ones that end where sentences, items and rows end, and never reach
//! across a heading. Small chunks leave room for more evidence in a context;
//! overlap would only spend its budget. Title and headings are kept beside the
//! text, where they help to find it and cost nothing in the context.

mod pack;

use std::ops::Range;

use cento_core::{ByteSpan, Chunk};

use crate::blocks::{Block, Kind};
use crate::sentences::sentences;

/// The size that chunks are filled up to. A wide character (Chinese, Japanese,
/// Korean) counts as two, because it says as much as two or three letters.
const TARGET: usize = 500;
/// The largest chunk: a sentence or row up to this size stays whole.
const CAP: usize = 800;
/// Smaller chunks are joined to a neighbour under the same heading.
const SMALL: usize = 120;

/// A document may be cut into this many chunks, and one more for every
/// [`BYTES_PER_CHUNK`] bytes. A text of nothing but headings would else become
/// millions of chunks, each with a vector a hundred times its size.
const FREE_CHUNKS: usize = 20_000;
const BYTES_PER_CHUNK: usize = 128;

/// A range of text that should not be cut, and its size.
#[derive(Debug, Clone)]
struct Piece {
    start: usize,
    end: usize,
    size: usize,
    /// Whether a block begins here.
    begins_block: bool,
    /// Up to which size pieces of the same block fill a chunk: less than
    /// [`TARGET`] where the block's last chunk would else be a scrap.
    fill: usize,
}

/// Cuts a text, whose blocks these are, into chunks: in order, apart, without
/// white space at their ends; together they hold every other character that is
/// not in a heading.
pub(crate) fn chunks(text: &str, mut blocks: Vec<Block>) -> Vec<Chunk> {
    let chunks = cut(text, &blocks);
    if chunks.len() <= FREE_CHUNKS + text.len() / BYTES_PER_CHUNK {
        return chunks;
    }
    for block in &mut blocks {
        block.kind = Kind::Prose;
    }
    cut(text, &blocks)
}

fn cut(text: &str, blocks: &[Block]) -> Vec<Chunk> {
    let mut cutter = Cutter {
        text,
        path: Vec::new(),
        bare_heading: None,
        pieces: Vec::new(),
        chunks: Vec::new(),
        counted: 0,
        line: 1,
    };
    for block in blocks {
        let trimmed = trim(text, block.start..block.end);
        match &block.kind {
            Kind::Heading { level, title } => cutter.heading(trimmed, *level, title),
            _ if trimmed.is_empty() => {}
            Kind::FrontMatter => {
                cutter.lines(trimmed);
                cutter.flush();
            }
            Kind::Prose => cutter.prose(trimmed),
            Kind::Lines => cutter.lines(trimmed),
        }
    }
    cutter.finish()
}

/// A block that is being cut into pieces.
struct CutBlock {
    /// Whether its first piece is still to come.
    begins: bool,
    fill: usize,
}

impl CutBlock {
    /// Shares the block out evenly, with a fifth of room because pieces are not
    /// of one size.
    fn of(size: usize) -> Self {
        let even = size.div_ceil(size.div_ceil(TARGET));
        Self {
            begins: true,
            fill: (even + even / 5).min(TARGET),
        }
    }
}

struct Cutter<'a> {
    text: &'a str,
    /// The headings above, with their levels.
    path: Vec<(u8, String)>,
    /// The last heading, while nothing has followed it, and its level.
    bare_heading: Option<(Range<usize>, u8)>,
    /// What stands under the present heading and is not packed yet.
    pieces: Vec<Piece>,
    chunks: Vec<Chunk>,
    /// Up to where lines are counted, and the line there.
    counted: usize,
    line: u32,
}

impl Cutter<'_> {
    fn heading(&mut self, span: Range<usize>, level: u8, title: &str) {
        self.flush();
        // A heading with headings below it is found by their paths; one with
        // nothing below it would not be found at all.
        self.keep_bare_heading(level);
        self.path.retain(|(above, _)| *above < level);
        if !title.is_empty() {
            self.path.push((level, title.to_owned()));
        }
        self.bare_heading = (!span.is_empty()).then_some((span, level));
    }

    /// Makes a chunk of the last heading if nothing follows it before a heading
    /// of `next_level`.
    fn keep_bare_heading(&mut self, next_level: u8) {
        if let Some((span, level)) = self.bare_heading.take()
            && next_level <= level
        {
            self.path.retain(|(above, _)| *above < level);
            self.push(span);
        }
    }

    /// A paragraph: whole if it fits, else sentence by sentence.
    fn prose(&mut self, span: Range<usize>) {
        let size = size(&self.text[span.clone()]);
        if size <= TARGET {
            self.piece(span, size, true, TARGET);
            return;
        }
        let mut cut = CutBlock::of(size);
        for sentence in sentences(&self.text[span.clone()]) {
            let sentence = trim(
                self.text,
                span.start + sentence.start..span.start + sentence.end,
            );
            self.unit(sentence, &mut cut);
        }
    }

    /// A table or code: whole if it fits or nearly does, else line by line.
    fn lines(&mut self, span: Range<usize>) {
        let size = size(&self.text[span.clone()]);
        if size <= TARGET + SMALL {
            self.piece(span, size, true, TARGET);
            return;
        }
        let mut cut = CutBlock::of(size);
        let mut start = span.start;
        for line in self.text[span.clone()].split_inclusive('\n') {
            // Indentation belongs to its line, but no chunk begins with it.
            self.unit(trim(self.text, start..start + line.len()), &mut cut);
            start += line.len();
        }
    }

    /// A sentence or line: whole up to the cap, else in parts.
    fn unit(&mut self, span: Range<usize>, cut: &mut CutBlock) {
        if span.is_empty() {
            return;
        }
        let unit_size = size(&self.text[span.clone()]);
        if unit_size <= CAP {
            self.piece(span, unit_size, std::mem::take(&mut cut.begins), cut.fill);
            return;
        }
        for part in parts(self.text, span) {
            let part_size = size(&self.text[part.clone()]);
            self.piece(part, part_size, std::mem::take(&mut cut.begins), cut.fill);
        }
    }

    fn piece(&mut self, span: Range<usize>, size: usize, begins_block: bool, fill: usize) {
        self.bare_heading = None;
        self.pieces.push(Piece {
            start: span.start,
            end: span.end,
            size,
            begins_block,
            fill,
        });
    }

    /// Packs what stands under the present heading.
    fn flush(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        for span in pack::pack(self.text, &pieces) {
            self.push(span);
        }
    }

    fn push(&mut self, span: Range<usize>) {
        let newlines = self.text[self.counted..span.start]
            .bytes()
            .filter(|&b| b == b'\n')
            .count();
        self.line = self
            .line
            .saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
        self.counted = span.start;
        self.chunks.push(Chunk {
            span: ByteSpan {
                start: span.start as u64,
                end: span.end as u64,
            },
            heading_path: self.path.iter().map(|(_, title)| title.clone()).collect(),
            line: self.line,
        });
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.flush();
        self.keep_bare_heading(0);
        self.chunks
    }
}

/// A range without the white space at its ends.
fn trim(text: &str, span: Range<usize>) -> Range<usize> {
    let part = &text[span.clone()];
    let start = span.start + part.len() - part.trim_start().len();
    let end = span.start + part.trim_end().len();
    start.min(end)..end
}

/// How much room a text takes: its characters, wide ones counted twice.
fn size(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    if matches!(c, '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FF60}' | '\u{20000}'..='\u{3FFFD}')
    {
        2
    } else {
        1
    }
}

/// Cuts what is too long for a chunk: at the end of a line, else of a clause,
/// else at white space, else between characters; never in the first half, so
/// that parts are not tiny.
fn parts(text: &str, span: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut rest = trim(text, span);
    while !rest.is_empty() {
        let window = &text[rest.clone()];
        let end = rest.start + cut_point(window);
        parts.push(trim(text, rest.start..end));
        rest = trim(text, end..rest.end);
    }
    parts
}

/// Where a text is cut so that the first part has at most [`TARGET`] size.
fn cut_point(window: &str) -> usize {
    // Kinds of places from good to bad; the last place of the best kind wins.
    let mut places = [None; 3];
    let mut used = 0;
    let mut before = ' ';
    for (at, c) in window.char_indices() {
        if used + width(c) > TARGET {
            let fallback = if at == 0 { c.len_utf8() } else { at };
            return places.into_iter().flatten().next().unwrap_or(fallback);
        }
        if used > TARGET / 2 {
            if c == '\n' {
                places[0] = Some(at);
            } else if matches!(before, '，' | '；' | '、' | '：')
                || c.is_whitespace() && ",;:".contains(before)
            {
                places[1] = Some(at);
            } else if c.is_whitespace() {
                places[2] = Some(at);
            }
        }
        used += width(c);
        before = c;
    }
    window.len()
}

#[cfg(test)]
mod tests;
