//! Does a page become the text that a person reads, and a hostile one no harm?

use std::time::{Duration, Instant};

use super::*;

fn markdown(html: &str) -> String {
    to_markdown(html).markdown
}

#[test]
fn structure_becomes_markdown() {
    let html = "<h1>T<b>it</b>le</h1><p>One &amp; <a href='x'>two</a>,\n three.<p>Four<br>five
        <ul><li>a<li><p>b</p><ol start=3><li>c</ol></ul><blockquote><p>q<p>r</blockquote>
        <pre><code class='language-sh'>ls -l\n  x</code></pre><p>See <code>a_b</code>.";
    let expected = "# Title\n\nOne & two, three.\n\nFour\nfive\n\n- a\n- b\n\n  3. c\n\n> q\n>\n> r\n\n```sh\nls -l\n  x\n```\n\nSee `a_b`.";
    assert_eq!(markdown(html), expected);
}

#[test]
fn a_definition_stands_below_its_term() {
    let html = "<dl>\n<dt>Europe</dt>\n<dd><code>eu</code></dd>\n<dt>China<dd>cn</dl>x";
    assert_eq!(markdown(html), "Europe\n`eu`\n\nChina\ncn\n\nx");
}

#[test]
fn a_data_table_is_rows_and_a_layout_table_is_blocks() {
    let data = "<table><caption>Caps</caption><thead><tr><th>City<th>EUR</thead>
        <tr><td>Oslo<td>190</tr><tr><td>a|b<td><p>x</p><p>y</p></table>";
    assert_eq!(
        markdown(data),
        "Caps\n\n| City | EUR |\n| --- | --- |\n| Oslo | 190 |\n| a\\|b | x y |"
    );
    let spaced = "<table><tr><td>a<td> <td>b<tr><td>c<td><td>d</table>";
    assert_eq!(markdown(spaced), "| a | b |\n| --- | --- |\n| c | d |");
    let layout = "<table><tr><td><h2>Menu</h2>a<td><p>One.<p>Two.</table>";
    assert_eq!(markdown(layout), "## Menu\n\na\n\nOne.\n\nTwo.");
}

#[test]
fn what_is_not_the_text_is_left_out() {
    let html = "<head><title>T</title><style>p{}</style></head><body><nav>menu</nav>
        <div hidden>secret</div><p style='color: red; display : none'>x</p><script>x < y</script><p>text</p><select><option>o</select>
        <footer>foot</footer><svg><text>s</text></svg></body>";
    let article = to_markdown(html);
    assert_eq!(article.markdown, "text");
    assert_eq!(article.title.as_deref(), Some("T"));
}

#[test]
fn the_main_part_is_taken_when_it_holds_the_text() {
    let html = "<title>Site</title><h1>Logo</h1><div>side</div><main><h1>Real</h1><p>All the words are here.</main>";
    let article = to_markdown(html);
    assert_eq!(article.markdown, "# Real\n\nAll the words are here.");
    assert_eq!(article.title.as_deref(), Some("Real"));
    let banner = "<main>hi</main><p>All the words of this page are outside of it.";
    assert!(markdown(banner).contains("outside"));
}

#[test]
fn words_that_look_like_markdown_stay_words() {
    assert_eq!(
        markdown("<p># not a heading<p>a_b *c* [d]"),
        "\\# not a heading\n\na_b *c* [d]"
    );
    assert_eq!(
        markdown("<p>text<br>---<p>&lt;!-- x"),
        "text\n\\---\n\n\\<!-- x"
    );
}

#[test]
fn empty_items_and_headings_leave_no_trace() {
    assert_eq!(
        markdown("<h2> </h2><ul><li></li><li>a</li></ul><h3></h3>b"),
        "- a\n\nb"
    );
}

/// Every page made to break a parser ends in time that is linear in its size,
/// on a small stack.
#[test]
fn hostile_pages_are_harmless() {
    let n = 30_000;
    let pages = [
        "<div>".repeat(100_000),
        format!("{}x{}", "<div>".repeat(100_000), "</div>".repeat(100_000)),
        "<ul><li>".repeat(n),
        "<ol><li>x".repeat(n),
        "<blockquote>".repeat(n) + "x",
        "<table><tr><td>".repeat(n) + "x",
        "<table>x".repeat(n),
        "<table><tr>".repeat(n),
        "<td>x".repeat(n),
        "<b><i><p><font a>".repeat(n) + "x",
        "<a><h1><code><pre>".repeat(n) + "x",
        format!("<p {}>x", "a=1 ".repeat(n)),
        format!(
            "<p {}>x",
            (0..n).map(|i| format!("a{i} ")).collect::<String>()
        ),
        format!("<p title='{}'>x", "y".repeat(4 * n)),
        "</p></li></table></td>".repeat(n),
        "<![CDATA[".repeat(n),
        "<!--".repeat(n),
        "<".repeat(n),
        "&".repeat(n),
        "&notit;".repeat(n),
        "<nav>".repeat(n) + "</nav>",
        "<h1>".repeat(n) + "x",
        "<pre>`".repeat(n),
        format!(
            "<table><tr>{}<tr>{}",
            "<td>x".repeat(n),
            "<tr><td>y".repeat(n)
        ),
        format!(
            "<table><tr><td>{}{}",
            "w".repeat(n),
            "<tr><td>y<td>z".repeat(n)
        ),
        "<main><article>".repeat(n) + "x",
        "<li>x".repeat(n),
    ];
    let worker = move || {
        for (at, page) in pages.iter().enumerate() {
            let begun = Instant::now();
            let text = markdown(page);
            let took = begun.elapsed();
            let start = page.chars().take(20).collect::<String>();
            assert!(
                took < Duration::from_secs(10),
                "page {at} ({start}) took {took:?}"
            );
            assert!(
                text.len() <= 40 * page.len() + 100,
                "page {at} ({start}) grew to {}",
                text.len()
            );
        }
    };
    let small_stack = std::thread::Builder::new().stack_size(256 * 1024);
    small_stack
        .spawn(worker)
        .expect("spawns")
        .join()
        .expect("no panic");
}
