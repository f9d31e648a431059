//! Is this table data, or is it layout?

/// A cell's words as Markdown blocks.
#[derive(Debug, Default)]
pub(super) struct Cell {
    pub(super) markdown: String,
    /// Whether it holds a heading, a code block or another table.
    pub(super) rich: bool,
}

/// A table while it is read.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell with more characters than this is a part of a page, not a value.
const MAX_CELL_CHARS: usize = 1000;

impl Table {
    /// Whether every row is one line of a Markdown table. Older pages are laid
    /// out by tables; their cells are blocks of text.
    pub(super) fn is_data(&self) -> bool {
        let columns = self.used_columns().into_iter().filter(|&used| used).count();
        let small = |cell: &Cell| !cell.rich && cell.markdown.len() <= MAX_CELL_CHARS;
        columns >= 2 && self.rows.iter().flatten().all(small)
    }

    /// The table as Markdown. Cells are not padded, because a context pays for
    /// every token.
    pub(super) fn to_markdown(&self) -> String {
        let mut out = String::new();
        let rows = self
            .rows
            .iter()
            .filter(|row| row.iter().any(|cell| !cell.markdown.is_empty()));
        let used = self.used_columns();
        for (at, row) in rows.enumerate() {
            out.push('|');
            for cell in row
                .iter()
                .zip(&used)
                .filter(|(_, used)| **used)
                .map(|(cell, _)| cell)
            {
                for word in cell.markdown.split_ascii_whitespace() {
                    out.push(' ');
                    out.push_str(&word.replace('|', "\\|"));
                }
                out.push_str(" |");
            }
            out.push('\n');
            if at == 0 {
                out.push('|');
                let columns = used.iter().take(row.len()).filter(|used| **used).count();
                out.push_str(&" --- |".repeat(columns));
                out.push('\n');
            }
        }
        out
    }

    /// Which columns hold anything: some tables are spaced out by empty ones.
    fn used_columns(&self) -> Vec<bool> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut used = vec![false; columns];
        for row in &self.rows {
            for (used, cell) in used.iter_mut().zip(row) {
                *used |= !cell.markdown.is_empty();
            }
        }
        used
    }
}
