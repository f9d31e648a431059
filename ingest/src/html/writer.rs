//! How does a stream of words and breaks become Markdown?
//!
//! Words are written as they are: no character inside a line is escaped, so
//! that a quote of the result is a quote of the page. Only what would turn a
//! whole line into something else at its beginning gets a backslash.

/// The deepest indentation, in bytes; lists nested deeper stay there.
const MAX_INDENT: usize = 24;

/// What stands between what was written and what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
    Block,
}

/// Whether a code span is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeSpan {
    No,
    /// Its first word will open it.
    Pending,
    Open,
}

/// A mark at the beginning of a line that waits for its first word: an item or
/// a heading without words leaves no trace.
#[derive(Debug)]
struct Marker {
    text: String,
    indent: usize,
}

/// Writes Markdown.
#[derive(Debug)]
pub(super) struct Writer {
    out: String,
    gap: Gap,
    /// Put in front of every line.
    indent: String,
    /// The shortest that `indent` has been since the last word: blank lines
    /// have that.
    shallow: usize,
    marker: Option<Marker>,
    code: CodeSpan,
    /// Whether breaks are spaces, as in a heading.
    one_line: bool,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            out: String::new(),
            gap: Gap::None,
            indent: String::new(),
            shallow: 0,
            marker: None,
            code: CodeSpan::No,
            one_line: false,
        }
    }

    /// How many bytes stand written.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Writes words; runs of white space become one space.
    pub(super) fn text(&mut self, text: &str) {
        for (at, c) in text.char_indices() {
            match c {
                ' ' | '\t' | '\n' | '\r' | '\x0C' | '\u{A0}' => self.gap = self.gap.max(Gap::Space),
                // Hints for hyphenation and line breaking, invisible on the page.
                '\u{AD}' | '\u{200B}' | '\u{FEFF}' => {}
                // Not allowed in HTML; NUL was replaced by the tokenizer.
                c if c.is_control() => {}
                c => {
                    let at_line_start = self.close_gap();
                    if self.code == CodeSpan::Pending {
                        self.out.push('`');
                        self.code = CodeSpan::Open;
                    } else if at_line_start && opens_a_construct(&text[at..]) {
                        self.out.push('\\');
                    }
                    self.out.push(c);
                }
            }
        }
    }

    /// Writes the gap; true if what comes next stands first in its line and
    /// behind no marker.
    fn close_gap(&mut self) -> bool {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        let first = self.out.is_empty();
        if let Some(marker) = self.marker.take() {
            if first {
                self.out.push_str(&self.indent[..marker.indent]);
                self.shallow = self.indent.len();
            } else {
                let lines = if gap == Gap::Block { 2 } else { 1 };
                self.new_lines(lines, marker.indent);
            }
            self.out.push_str(&marker.text);
            return false;
        }
        match gap {
            _ if first => {
                self.out.push_str(&self.indent);
                self.shallow = self.indent.len();
                return true;
            }
            Gap::None => return false,
            Gap::Space => {
                self.out.push(' ');
                return false;
            }
            Gap::Line => self.new_lines(1, self.indent.len()),
            Gap::Block => self.new_lines(2, self.indent.len()),
        }
        true
    }

    fn new_lines(&mut self, count: usize, indent: usize) {
        for line in 1..=count {
            self.out.push('\n');
            if line == count {
                self.out.push_str(&self.indent[..indent]);
            } else {
                self.out.push_str(self.indent[..self.shallow].trim_end());
            }
        }
        self.shallow = self.indent.len();
    }

    fn widen_gap(&mut self, gap: Gap) {
        if self.code == CodeSpan::Open {
            if gap > Gap::Space && !self.one_line {
                self.out.push('`');
                self.code = CodeSpan::Pending;
            } else {
                self.gap = self.gap.max(Gap::Space);
                return;
            }
        }
        // Behind a marker the block has only just begun.
        if self.marker.is_none() || self.one_line {
            self.gap = self.gap.max(if self.one_line { Gap::Space } else { gap });
        }
    }

    /// Ends the block.
    pub(super) fn block(&mut self) {
        self.widen_gap(Gap::Block);
    }

    /// Ends the line.
    pub(super) fn line(&mut self) {
        self.widen_gap(Gap::Line);
    }

    pub(super) fn begin_code(&mut self) {
        if self.code == CodeSpan::No {
            self.code = CodeSpan::Pending;
        }
    }

    pub(super) fn end_code(&mut self) {
        if self.code == CodeSpan::Open {
            self.out.push('`');
        }
        self.code = CodeSpan::No;
    }

    /// Begins a heading: until its end everything stays in one line. Inside
    /// lists and quotes it is a block of words.
    pub(super) fn begin_heading(&mut self, level: u8) {
        self.block();
        if self.indent.is_empty() && self.marker.is_none() {
            self.marker = Some(Marker {
                text: format!("{} ", "#".repeat(level.into())),
                indent: 0,
            });
        }
        self.one_line = true;
    }

    pub(super) fn end_heading(&mut self) {
        self.one_line = false;
        if self
            .marker
            .as_ref()
            .is_some_and(|m| m.text.starts_with('#'))
        {
            self.marker = None;
        }
        self.block();
    }

    /// Begins an item; returns what [`Writer::end_indent`] takes.
    pub(super) fn begin_item(&mut self, marker: String) -> usize {
        self.marker = None;
        self.line();
        let before = self.indent.len();
        let width = marker.len();
        self.marker = Some(Marker {
            text: marker,
            indent: before,
        });
        if before + width <= MAX_INDENT {
            self.indent.push_str(&" ".repeat(width));
        }
        before
    }

    /// Begins a quote; returns what [`Writer::end_indent`] takes.
    pub(super) fn begin_quote(&mut self) -> usize {
        self.block();
        let before = self.indent.len();
        if before + 2 <= MAX_INDENT && self.marker.is_none() {
            self.indent.push_str("> ");
        }
        before
    }

    /// Ends an item or a quote.
    pub(super) fn end_indent(&mut self, before: usize) {
        if self.marker.as_ref().is_some_and(|m| m.indent >= before) {
            self.marker = None;
        }
        self.indent.truncate(before);
        self.shallow = self.shallow.min(before);
        self.line();
    }

    /// Writes code, in a fence that it does not hold itself.
    pub(super) fn code_block(&mut self, code: &str, language: &str) {
        let code = code.trim_matches(['\n', '\r']).replace('\r', "");
        if !code.trim().is_empty() {
            let fence = "`".repeat(longest_run(&code, '`').max(2) + 1);
            self.raw_block(&format!("{fence}{language}\n{code}\n{fence}"));
        }
    }

    /// Writes lines as they are, as a block of their own.
    pub(super) fn raw_block(&mut self, block: &str) {
        self.block();
        for (at, line) in block.trim_matches('\n').split('\n').enumerate() {
            if at == 0 {
                self.close_gap();
            } else {
                let indent = if line.is_empty() {
                    self.indent.trim_end()
                } else {
                    &self.indent
                };
                self.out.push('\n');
                self.out.push_str(indent);
            }
            self.out.push_str(line);
        }
        self.block();
    }
}

/// Whether a line that begins so would be read as a heading, a fence, an
/// underline or markup, though it is words.
fn opens_a_construct(rest: &str) -> bool {
    let word = rest.split_ascii_whitespace().next().unwrap_or_default();
    let of_only = |c: char| word.chars().all(|w| w == c);
    match word.as_bytes().first() {
        Some(b'#') => of_only('#') && word.len() <= 6,
        Some(b'`') => word.starts_with("```"),
        Some(b'~') => word.starts_with("~~~"),
        Some(b'=') => of_only('='),
        Some(b'-') => of_only('-') && word.len() > 1,
        Some(b'<') => true,
        _ => false,
    }
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
