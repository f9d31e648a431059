//! Where do a Markdown text's headings, paragraphs, items, tables and code
//! begin?

use std::ops::Range;

use pulldown_cmark::{Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use crate::blocks::{Block, Blocks, Kind, MAX_HEADING_BYTES};

/// Quotes and lists nested deeper than any person writes are not parsed as
/// Markdown: time and memory of a parser grow with every level.
const MAX_NESTING: usize = 64;

/// The blocks of a Markdown text and the title that its front matter gives.
pub(crate) fn blocks(text: &str) -> (Vec<Block>, Option<String>) {
    if nests_too_deep(text) {
        return (crate::text::paragraphs(text, Kind::Prose), None);
    }
    let mut reader = Reader {
        text,
        blocks: Blocks::default(),
        heading: None,
        containers: 0,
        front_matter: None,
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    for (event, span) in Parser::new_ext(text, options).into_offset_iter() {
        reader.read(&event, span);
    }
    let title = reader.front_matter.as_deref().and_then(front_matter_title);
    (reader.blocks.finish(text), title)
}

struct Reader<'a> {
    text: &'a str,
    blocks: Blocks,
    /// The heading that is being read: level, words, end.
    heading: Option<(u8, String, Range<usize>)>,
    /// How many quotes and items are open.
    containers: usize,
    front_matter: Option<String>,
}

impl Reader<'_> {
    fn read(&mut self, event: &Event<'_>, span: Range<usize>) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                if self.containers == 0 {
                    self.heading = Some((*level as u8, String::new(), span));
                } else {
                    self.begin(span.start, Kind::Prose);
                }
            }
            Event::End(TagEnd::Heading(_)) => self.end_heading(),
            Event::Text(words) | Event::Code(words) => {
                if let Some((_, title, _)) = &mut self.heading {
                    title.push_str(words);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, title, _)) = &mut self.heading {
                    title.push(' ');
                }
            }
            Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => {
                self.front_matter = Some(self.text[span.clone()].to_owned());
                self.begin(span.start, Kind::FrontMatter);
            }
            Event::Start(Tag::Item) => {
                self.containers += 1;
                self.begin(span.start, Kind::Prose);
            }
            Event::Start(Tag::BlockQuote(_)) => self.containers += 1,
            Event::End(TagEnd::Item | TagEnd::BlockQuote(_)) => self.containers -= 1,
            Event::Start(Tag::Paragraph | Tag::HtmlBlock) | Event::Rule => {
                self.begin(span.start, Kind::Prose);
            }
            Event::Start(Tag::Table(_) | Tag::CodeBlock(_)) => self.begin(span.start, Kind::Lines),
            _ => {}
        }
    }

    /// Begins a block with its line, so that the marks of lists and quotes
    /// around it belong to it, unless something else has begun in that line.
    fn begin(&mut self, start: usize, kind: Kind) {
        let line = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        if self.blocks.last_start().is_none_or(|last| last < line) {
            self.blocks.begin(line, kind);
        }
    }

    fn end_heading(&mut self) {
        let Some((level, title, span)) = self.heading.take() else {
            return;
        };
        let line = self.text[span.clone()].trim_end();
        // Lines above a rule that lacks its blank line are no heading either.
        if line.len() > MAX_HEADING_BYTES || line.lines().count() > 2 {
            self.begin(span.start, Kind::Prose);
            return;
        }
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        self.begin(span.start, Kind::Heading { level, title });
        // What follows a heading and is no block of its own (the definition of
        // a link, say) is not a part of it.
        self.blocks.begin(span.start + line.len(), Kind::Prose);
    }
}

/// Whether a line opens more containers than [`MAX_NESTING`].
fn nests_too_deep(text: &str) -> bool {
    text.lines().any(|line| {
        let bytes = line.as_bytes();
        let opens = |at: usize| match bytes[at] {
            b'>' => true,
            b'-' | b'*' | b'+' | b'.' | b')' => matches!(bytes.get(at + 1), Some(b' ' | b'\t')),
            _ => false,
        };
        let marks = bytes
            .iter()
            .take_while(|b| b" \t>-*+.)0123456789".contains(b))
            .count();
        (0..marks).filter(|&at| opens(at)).count() > MAX_NESTING
    })
}

/// The scalar at the key `title` of YAML front matter.
fn front_matter_title(yaml: &str) -> Option<String> {
    let value = yaml
        .lines()
        .find_map(|line| line.strip_prefix("title:"))?
        .trim();
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value).trim();
    let scalar = !value.is_empty() && !value.starts_with(['|', '>', '[', '{', '&', '*']);
    (scalar && value.len() <= MAX_HEADING_BYTES).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, &str)> {
        let kind = |kind: &Kind| match kind {
            Kind::Heading { level, title } => format!("h{level} {title}"),
            other => format!("{other:?}"),
        };
        let (blocks, _) = blocks(text);
        blocks
            .iter()
            .map(|b| (kind(&b.kind), text[b.start..b.end].trim()))
            .filter(|(_, text)| !text.is_empty())
            .collect()
    }

    #[test]
    fn a_text_is_tiled_by_its_blocks() {
        let text = "# A `b`\nPara one\nstill.\n\n- item\n\n  more\n- two\n  - deep\n\n> quote\n> on\n\n| a |\n|---|\n| b |\n\n```sh\nls\n```\nSub\n---\nEnd.\n\n[l]: http://x\n";
        let prose = |text| ("Prose".to_owned(), text);
        let expected = vec![
            ("h1 A b".to_owned(), "# A `b`"),
            prose("Para one\nstill."),
            prose("- item"),
            prose("more"),
            prose("- two"),
            prose("- deep"),
            prose("> quote\n> on"),
            ("Lines".to_owned(), "| a |\n|---|\n| b |"),
            ("Lines".to_owned(), "```sh\nls\n```"),
            ("h2 Sub".to_owned(), "Sub\n---"),
            prose("End.\n\n[l]: http://x"),
        ];
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn front_matter_is_no_heading_and_gives_the_title() {
        let text = "---\ntitle: \"A: b\"\ndate: 2024-01-01\n---\n\n## Sub\n\ntext";
        let (_, title) = blocks(text);
        assert_eq!(title.as_deref(), Some("A: b"));
        assert_eq!(shown(text)[0].0, "FrontMatter");
        assert_eq!(shown(text)[1].0, "h2 Sub");
    }

    #[test]
    fn an_underlined_paragraph_is_no_heading() {
        let text = format!("{}\n---\nmore", "long line of words ".repeat(40));
        assert!(shown(&text).iter().all(|(kind, _)| kind == "Prose"));
    }

    #[test]
    fn a_heading_in_a_quote_is_a_part_of_the_quote() {
        assert_eq!(shown("> # Not ours\n> x")[0].0, "Prose");
    }
}
