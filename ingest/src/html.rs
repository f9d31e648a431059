//! What does an HTML page say, as Markdown?
//!
//! The canonical text of a page keeps headings, paragraphs, lists, tables,
//! quotes and code, and leaves out scripts, styles, navigation, footers and
//! form controls. Of links and emphasis only the words are kept: where a link
//! leads is in the page that a citation names, and a context pays for every
//! token.

mod attributes;
mod convert;
mod open;
mod table;
mod tags;
mod writer;

use tags::Region;

/// A page without its wrapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Article {
    pub(crate) markdown: String,
    /// The first heading of level one, else `<title>`.
    pub(crate) title: Option<String>,
}

/// The main part is taken for the page if it holds this share of its text, in
/// percent. Some pages mark only a banner as their main part.
const MAIN_PERCENT: usize = 25;
/// The same for a page's only article, which is a weaker sign.
const ARTICLE_PERCENT: usize = 40;

/// Converts a page.
pub(crate) fn to_markdown(html: &str) -> Article {
    let page = convert::convert(html);
    let whole = page.markdown.trim();
    let markdown = match main_part(&page) {
        Some(part) => page.markdown[part].trim(),
        None => whole,
    };
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let title = words(&page.title);
    let title = first_heading(markdown)
        .map(str::to_owned)
        .or((!title.is_empty()).then_some(title))
        .or_else(|| first_heading(whole).map(str::to_owned));
    Article {
        markdown: markdown.to_owned(),
        title,
    }
}

/// The largest main part, or the only article, if it is not too small.
fn main_part(page: &convert::Page) -> Option<std::ops::Range<usize>> {
    let of = |kind: Region| {
        let parts = page
            .regions
            .iter()
            .filter(move |(region, _)| *region == kind);
        parts.map(|(_, part)| part.clone())
    };
    let holds =
        |part: &std::ops::Range<usize>, percent| part.len() * 100 >= page.markdown.len() * percent;
    let main = of(Region::Main).max_by_key(std::ops::Range::len);
    if let Some(main) = main.filter(|part| holds(part, MAIN_PERCENT)) {
        return Some(main);
    }
    let mut articles = of(Region::Article);
    match (articles.next(), articles.next()) {
        (Some(only), None) => Some(only).filter(|part| holds(part, ARTICLE_PERCENT)),
        _ => None,
    }
}

fn first_heading(markdown: &str) -> Option<&str> {
    // A line of code that begins so is taken for a heading only where the page
    // has neither a heading nor a title before it.
    markdown.lines().find_map(|line| line.strip_prefix("# "))
}

#[cfg(test)]
mod tests;
