//! What does an HTML element mean for a text without layout?

/// What the converter does when an element begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The element and everything in it is left out.
    Skip,
    /// It stands in a line, and leaves no trace: links, emphasis, spans.
    Inline,
    /// It stands on its own: a block of text around it ends.
    Block,
    /// A block that continues the one before it on a new line.
    Line,
    /// A line break.
    Break,
    /// A picture, of which its description is kept.
    Image,
    Heading(u8),
    List {
        ordered: bool,
    },
    Item,
    Quote,
    Pre,
    Code,
    Table,
    Row,
    Cell,
    Caption,
    Region(Region),
}

/// A part of a page that may hold what the page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    Main,
    Article,
}

/// The meaning of an element, by its name in lower case.
pub(super) fn role(name: &str) -> Role {
    match name {
        // Not text, or text that is the same on every page of a site.
        "script" | "style" | "noscript" | "template" | "svg" | "math" | "nav" | "footer"
        | "iframe" | "object" | "embed" | "applet" | "audio" | "video" | "canvas" | "map"
        | "button" | "input" | "select" | "textarea" | "option" | "datalist" | "label"
        | "noframes" | "noembed" => Role::Skip,
        "h1" => Role::Heading(1),
        "h2" => Role::Heading(2),
        "h3" => Role::Heading(3),
        "h4" => Role::Heading(4),
        "h5" => Role::Heading(5),
        "h6" => Role::Heading(6),
        "ul" | "menu" | "dir" => Role::List { ordered: false },
        "ol" => Role::List { ordered: true },
        "li" => Role::Item,
        "blockquote" => Role::Quote,
        "pre" | "listing" | "xmp" => Role::Pre,
        "code" | "kbd" | "samp" | "tt" => Role::Code,
        "table" => Role::Table,
        "tr" => Role::Row,
        "td" | "th" => Role::Cell,
        "caption" => Role::Caption,
        "main" => Role::Region(Region::Main),
        "article" => Role::Region(Region::Article),
        "br" => Role::Break,
        "img" => Role::Image,
        "dd" => Role::Line,
        "address" | "aside" | "body" | "center" | "details" | "dialog" | "div" | "dl" | "dt"
        | "fieldset" | "figcaption" | "figure" | "form" | "frameset" | "head" | "header"
        | "hgroup" | "hr" | "html" | "legend" | "p" | "search" | "section" | "summary"
        | "tbody" | "tfoot" | "thead" => Role::Block,
        _ => Role::Inline,
    }
}

/// Elements without content, which have no end tag.
pub(super) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}
