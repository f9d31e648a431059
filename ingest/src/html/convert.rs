//! How does a stream of tags become Markdown, whatever the tags are?
//!
//! One pass over the tokens, with a stack of at most [`MAX_DEPTH`] elements and
//! no recursion: time is linear in the page, and a page can neither overflow
//! the stack nor grow in memory. That is why no tree is built: the tree that
//! the HTML standard describes takes quadratic time, or more nodes than there
//! are tags, on pages made for it.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::attributes::{self, is_hidden, language_of};
use super::open::Open;
use super::table::{Cell, Table};
use super::tags::{Region, Role, is_void, role};
use super::writer::Writer;

/// Elements nested deeper are blocks without meaning.
const MAX_DEPTH: usize = 256;
/// Tables nested deeper are blocks without meaning: every level copies its
/// text once.
const MAX_TABLES: usize = 16;
/// A heading that goes on for more bytes than this was never closed.
const MAX_HEADING_BYTES: usize = 400;

/// What a page says.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Everything, as Markdown.
    pub(super) markdown: String,
    /// What `<title>` says.
    pub(super) title: String,
    /// Where in `markdown` the main parts and the articles stand.
    pub(super) regions: Vec<(Region, std::ops::Range<usize>)>,
}

/// Reads a page.
pub(super) fn convert(html: &str) -> Page {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut converter = Converter {
        writers: vec![Writer::new()],
        stack: Vec::new(),
        tables: 0,
        skipping: None,
        in_title: false,
        page: Page::default(),
    };
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => converter.start(&tag),
            Token::EndTag(tag) => converter.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) => converter.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    converter.finish()
}

struct Converter {
    /// The page's, and one for each open cell.
    writers: Vec<Writer>,
    stack: Vec<Open>,
    /// How many of the stack are tables.
    tables: usize,
    /// The element that is left out, and how many of its name are open.
    skipping: Option<(String, usize)>,
    in_title: bool,
    page: Page,
}

impl Converter {
    fn writer(&mut self) -> &mut Writer {
        // The page's own writer is never popped before the end.
        let last = self.writers.len() - 1;
        &mut self.writers[last]
    }

    fn start(&mut self, tag: &StartTag<()>) {
        let name = String::from_utf8_lossy(&tag.name);
        let role = role(&name);
        if let Some((skipped, depth)) = &mut self.skipping {
            if *skipped == *name && !is_void(&name) && !tag.self_closing {
                *depth += 1;
            }
            // A page's main part is never inside its navigation: that was not
            // closed.
            if role != Role::Region(Region::Main) {
                return;
            }
            self.skipping = None;
        }
        if name == "title" {
            self.in_title = true;
            return;
        }
        if role == Role::Skip || is_hidden(tag) {
            if !is_void(&name) && !tag.self_closing {
                self.skipping = Some((name.into_owned(), 1));
            }
            return;
        }
        if let Some(Open::Pre { text, language }) = self.stack.last_mut() {
            let own_line = !matches!(role, Role::Inline | Role::Code | Role::Image);
            if own_line && (role == Role::Break || !text.is_empty() && !text.ends_with('\n')) {
                text.push('\n');
            }
            if role == Role::Code && language.is_empty() {
                *language = language_of(tag);
            }
            return;
        }
        self.leave_endless_heading(role);
        self.begin(role, tag);
    }

    fn begin(&mut self, role: Role, tag: &StartTag<()>) {
        let deep =
            self.stack.len() >= MAX_DEPTH || (role == Role::Table && self.tables >= MAX_TABLES);
        match role {
            Role::Inline | Role::Skip => {}
            Role::Image => {
                self.text(&attributes::value(tag, "alt"));
            }
            Role::Break | Role::Line => self.writer().line(),
            Role::Block => self.writer().block(),
            _ if deep => self.writer().block(),
            Role::Heading(level) => {
                self.mark_cell_rich();
                self.writer().begin_heading(level);
                let written = self.writer().len();
                self.stack.push(Open::Heading { written });
            }
            Role::List { ordered } => {
                self.begin_list_like();
                let next = attributes::first_number(tag);
                self.stack.push(Open::List { ordered, next });
            }
            Role::Item => self.begin_item(),
            Role::Quote => {
                let indent = self.writer().begin_quote();
                self.stack.push(Open::Quote { indent });
            }
            Role::Pre => {
                self.mark_cell_rich();
                self.writer().block();
                self.stack.push(Open::Pre {
                    text: String::new(),
                    language: language_of(tag),
                });
            }
            Role::Code => {
                self.writer().begin_code();
                self.stack.push(Open::Code);
            }
            Role::Table => {
                self.mark_cell_rich();
                self.writer().block();
                self.tables += 1;
                self.stack.push(Open::Table(Table::default()));
            }
            Role::Row => {
                self.pop_to_table();
                if self.tables > 0 {
                    self.stack.push(Open::Row(Vec::new()));
                }
            }
            Role::Cell => self.begin_cell(),
            Role::Caption => {
                self.writer().block();
                if self.tables > 0 {
                    self.pop_to_table();
                    self.stack.push(Open::Caption);
                    self.writers.push(Writer::new());
                }
            }
            Role::Region(region) => {
                self.writer().block();
                if self.writers.len() == 1 {
                    let start = self.writer().len();
                    self.stack.push(Open::Region(region, start));
                }
            }
        }
    }

    /// A list inside an item continues it, elsewhere it is a block.
    fn begin_list_like(&mut self) {
        if self
            .stack
            .iter()
            .any(|open| matches!(open, Open::Item { .. }))
        {
            self.writer().line();
        } else {
            self.writer().block();
        }
    }

    fn begin_item(&mut self) {
        // An item ends the one before it, up to its list or cell.
        let boundary =
            |open: &Open| matches!(open, Open::List { .. } | Open::Cell { .. } | Open::Table(_));
        if let Some(at) = self.stack.iter().rposition(boundary) {
            self.close_down_to(at + 1);
        }
        let marker = match self.stack.last_mut() {
            Some(Open::List {
                ordered: true,
                next,
            }) => {
                let marker = format!("{next}. ");
                *next += 1;
                marker
            }
            _ => "- ".to_owned(),
        };
        let indent = self.writer().begin_item(marker);
        self.stack.push(Open::Item { indent });
    }

    fn begin_cell(&mut self) {
        if self.tables == 0 {
            self.writer().block();
            return;
        }
        let row = |open: &Open| matches!(open, Open::Row(_) | Open::Table(_));
        if let Some(at) = self.stack.iter().rposition(row) {
            self.close_down_to(at + 1);
            if matches!(self.stack[at], Open::Table(_)) {
                self.stack.push(Open::Row(Vec::new()));
            }
        }
        self.stack.push(Open::Cell { rich: false });
        self.writers.push(Writer::new());
    }

    fn pop_to_table(&mut self) {
        let table = |open: &Open| matches!(open, Open::Table(_));
        match self.stack.iter().rposition(table) {
            Some(at) => self.close_down_to(at + 1),
            None => self.writer().block(),
        }
    }

    fn mark_cell_rich(&mut self) {
        for open in self.stack.iter_mut().rev() {
            if let Open::Cell { rich } = open {
                *rich = true;
                break;
            }
        }
    }

    /// A heading ends where a new block of another kind begins.
    fn leave_endless_heading(&mut self, role: Role) {
        let Some(Open::Heading { written }) = self.stack.last() else {
            return;
        };
        let long = self
            .writers
            .last()
            .is_some_and(|w| w.len() > written + MAX_HEADING_BYTES);
        let ends = match role {
            Role::Heading(_)
            | Role::List { .. }
            | Role::Item
            | Role::Quote
            | Role::Pre
            | Role::Table => true,
            Role::Block | Role::Line | Role::Break => long,
            _ => false,
        };
        if ends {
            self.close_down_to(self.stack.len() - 1);
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skipping {
            if skipped == name {
                *depth -= 1;
            }
            // What was never closed ends with the page's body.
            if *depth == 0 || matches!(name, "body" | "html") {
                self.skipping = None;
            }
            return;
        }
        if name == "title" {
            self.in_title = false;
            return;
        }
        let role = role(name);
        match role {
            Role::Inline | Role::Skip | Role::Image | Role::Break => return,
            Role::Block | Role::Line => {
                match self.stack.last_mut() {
                    Some(Open::Pre { text, .. }) if text.ends_with('\n') => {}
                    Some(Open::Pre { text, .. }) => text.push('\n'),
                    _ if name == "thead" || name == "tbody" => {}
                    // What is defined stands below its term.
                    _ if name == "dt" => self.writer().line(),
                    _ => self.writer().block(),
                }
                return;
            }
            _ => {}
        }
        let in_table = matches!(role, Role::Table | Role::Row | Role::Cell | Role::Caption);
        for at in (0..self.stack.len()).rev() {
            if self.stack[at].is_ended_by(role) {
                self.close_down_to(at);
                return;
            }
            // What stands in a cell cannot end what stands around its table.
            let wall = matches!(self.stack[at], Open::Table(_))
                || (!in_table && matches!(self.stack[at], Open::Cell { .. } | Open::Caption));
            if wall {
                return;
            }
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_title {
            if self.page.title.len() < MAX_HEADING_BYTES {
                self.page.title.push_str(text);
            }
            return;
        }
        if self.skipping.is_some() {
            return;
        }
        match self.stack.last_mut() {
            Some(Open::Pre { text: pre, .. }) => pre.push_str(text),
            // Words between a table's cells belong to a cell that was not opened.
            Some(Open::Table(_) | Open::Row(_)) if !text.trim().is_empty() => {
                self.begin_cell();
                self.writer().text(text);
            }
            Some(Open::Table(_) | Open::Row(_)) => {}
            _ => self.writer().text(text),
        }
    }

    fn close_down_to(&mut self, length: usize) {
        while self.stack.len() > length {
            if let Some(open) = self.stack.pop() {
                self.close(open);
            }
        }
    }

    fn close(&mut self, open: Open) {
        match open {
            Open::Heading { .. } => self.writer().end_heading(),
            Open::List { .. } => self.begin_list_like(),
            Open::Item { indent } => self.writer().end_indent(indent),
            Open::Quote { indent } => {
                self.writer().end_indent(indent);
                self.writer().block();
            }
            Open::Pre { text, language } => {
                self.writer().code_block(&text, &language);
            }
            Open::Code => self.writer().end_code(),
            Open::Row(cells) => {
                if let Some(Open::Table(table)) = self.stack.last_mut() {
                    table.rows.push(cells);
                }
            }
            Open::Cell { rich } => {
                let markdown = self.pop_writer();
                if let Some(Open::Row(cells)) = self.stack.last_mut() {
                    cells.push(Cell { markdown, rich });
                }
            }
            Open::Caption => {
                let markdown = self.pop_writer();
                self.write_blocks(&markdown);
            }
            Open::Table(table) => {
                self.tables -= 1;
                if table.is_data() {
                    let markdown = table.to_markdown();
                    self.write_blocks(&markdown);
                } else {
                    for cell in table.rows.iter().flatten() {
                        self.write_blocks(&cell.markdown);
                    }
                }
            }
            Open::Region(region, start) => {
                let end = self.writer().len();
                self.page.regions.push((region, start..end));
                self.writer().block();
            }
        }
    }

    fn pop_writer(&mut self) -> String {
        self.writers.pop().map(Writer::finish).unwrap_or_default()
    }

    fn write_blocks(&mut self, markdown: &str) {
        if !markdown.trim().is_empty() {
            self.writer().raw_block(markdown);
        }
    }

    fn finish(mut self) -> Page {
        self.close_down_to(0);
        self.page.markdown = self.pop_writer();
        self.page
    }
}
