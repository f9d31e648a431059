//! What do an element's attributes say that its name does not?

use html5gum::StartTag;

/// The value of an attribute as text; empty if it is absent.
pub(super) fn value(tag: &StartTag<()>, name: &str) -> String {
    let value = tag.attributes.get(name.as_bytes());
    value
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

/// The number of an ordered list's first item.
pub(super) fn first_number(tag: &StartTag<()>) -> usize {
    let start: Option<usize> = value(tag, "start").trim().parse().ok();
    start.filter(|&number| number < 1_000_000).unwrap_or(1)
}

/// Whether an element says of itself that it is not read.
pub(super) fn is_hidden(tag: &StartTag<()>) -> bool {
    let attribute = |name: &str| tag.attributes.get(name.as_bytes());
    attribute("hidden").is_some_and(|v| v.as_slice() != b"until-found")
        || attribute("aria-hidden").is_some_and(|v| v.eq_ignore_ascii_case(b"true"))
        || attribute("style").is_some_and(|v| hides(v))
        || attribute("role").is_some_and(|v| {
            [&b"navigation"[..], b"search", b"contentinfo"]
                .iter()
                .any(|role| v.eq_ignore_ascii_case(role))
        })
}

/// Whether a style takes its element off the page; only its beginning is
/// looked at, where such a style says so.
fn hides(style: &[u8]) -> bool {
    let short = |b: &&u8| !b.is_ascii_whitespace();
    let style: Vec<u8> = style
        .iter()
        .filter(short)
        .take(200)
        .map(u8::to_ascii_lowercase)
        .collect();
    style.windows(12).any(|w| w == b"display:none")
}

/// The programming language that a code block's class names, as in
/// `language-rust`.
pub(super) fn language_of(tag: &StartTag<()>) -> String {
    let class = tag.attributes.get(b"class".as_slice());
    let class = class
        .map(|c| String::from_utf8_lossy(c))
        .unwrap_or_default();
    class
        .split_ascii_whitespace()
        .filter_map(|c| c.strip_prefix("language-"))
        .find(|l| {
            l.len() <= 20
                && l.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+#-_".contains(c))
        })
        .unwrap_or_default()
        .to_owned()
}
