//! Of which blocks is a canonical text made?

/// What a block is, as far as cutting it is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A heading; it ends where its line ends.
    Heading { level: u8, title: String },
    /// Sentences: a paragraph, a list item, a quote.
    Prose,
    /// Lines that are units: table rows, code, records.
    Lines,
    /// What describes the document, before its text; shares no chunk with it.
    FrontMatter,
}

/// A block. Blocks tile the text: each reaches to the beginning of the next,
/// so that no byte can be lost between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

/// Collects blocks by their beginnings.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    blocks: Vec<Block>,
}

impl Blocks {
    /// Begins a block, and ends the one before. One that does not begin behind
    /// the one before is left out: its bytes stay with that one.
    pub(crate) fn begin(&mut self, start: usize, kind: Kind) {
        if let Some(last) = self.blocks.last_mut() {
            if start <= last.start {
                return;
            }
            last.end = start;
        }
        self.blocks.push(Block {
            start,
            end: start,
            kind,
        });
    }

    /// Where the last block begins.
    pub(crate) fn last_start(&self) -> Option<usize> {
        self.blocks.last().map(|block| block.start)
    }

    /// Ends the last block at the end of the text, and gives what stands before
    /// the first block to a block of its own.
    pub(crate) fn finish(mut self, text: &str) -> Vec<Block> {
        if let Some(last) = self.blocks.last_mut() {
            last.end = text.len();
        }
        let first = self.blocks.first().map_or(text.len(), |block| block.start);
        if !text[..first].trim().is_empty() {
            let lead = Block {
                start: 0,
                end: first,
                kind: Kind::Prose,
            };
            self.blocks.insert(0, lead);
        }
        self.blocks
    }
}

/// The longest heading, in bytes. What is longer is a paragraph that happens
/// to be underlined; as a heading it would not be found.
pub(crate) const MAX_HEADING_BYTES: usize = 300;
