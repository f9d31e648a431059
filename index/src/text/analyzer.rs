//! Which terms does a text have?
//!
//! Runs of letters and digits, lower-cased, folded to ASCII where a Latin
//! letter has an accent, without English stop words, reduced by the English
//! Snowball stemmer. Runs of Chinese, Japanese or Korean characters, which
//! have no spaces, become overlapping pairs (as Lucene's CJKBigramFilter does;
//! a lone character stays as it is).

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, Stemmer, StopWordFilter, TextAnalyzer, Token,
    TokenStream, Tokenizer,
};

/// The name under which the analyzer is registered; it stands in the schema,
/// so another analysis takes another name.
pub(super) const ANALYZER: &str = "cento-words-1";

/// No term is longer, in bytes; longer runs are cut into several.
const MAX_TERM_BYTES: usize = 256;

/// The analyzer of texts and queries.
pub(super) fn analyzer() -> TextAnalyzer {
    let words = TextAnalyzer::builder(WordTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter);
    match StopWordFilter::new(Language::English) {
        Some(stop_words) => words
            .filter(stop_words)
            .filter(Stemmer::new(Language::English))
            .build(),
        None => words.filter(Stemmer::new(Language::English)).build(),
    }
}

/// The distinct terms of a query, in order of first appearance, each with how
/// often it stands there.
pub(super) fn terms(analyzer: &mut TextAnalyzer, text: &str) -> Vec<(String, u32)> {
    let mut terms: Vec<(String, u32)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    analyzer.token_stream(text).process(&mut |token| {
        let place = *places.entry(token.text.clone()).or_insert(terms.len());
        match terms.get_mut(place) {
            Some((_, times)) => *times += 1,
            None => terms.push((token.text.clone(), 1)),
        }
    });
    terms
}

#[derive(Clone, Default)]
struct WordTokenizer {
    token: Token,
}

struct WordStream<'a> {
    text: &'a str,
    /// Where the next run is looked for.
    at: usize,
    /// The end of the run of CJK characters that `at` stands in.
    cjk_end: usize,
    token: &'a mut Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            text,
            at: 0,
            cjk_end: 0,
            token: &mut self.token,
        }
    }
}

impl WordStream<'_> {
    fn emit(&mut self, from: usize, to: usize) {
        self.token.text.clear();
        self.token.text.push_str(&self.text[from..to]);
        self.token.offset_from = from;
        self.token.offset_to = to;
        self.token.position = self.token.position.wrapping_add(1);
    }

    fn char_at(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next()
    }

    /// The end of the run from `start` in which every character passes.
    fn run_end(&self, start: usize, passes: impl Fn(char) -> bool) -> usize {
        self.text[start..]
            .char_indices()
            .find(|&(_, c)| !passes(c))
            .map_or(self.text.len(), |(i, _)| start + i)
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let Some(c) = self.char_at(self.at) else {
                return false;
            };
            let start = self.at;
            if is_cjk(c) {
                let is_first = start >= self.cjk_end;
                if is_first {
                    self.cjk_end = self.run_end(start, is_cjk);
                }
                let second = start + c.len_utf8();
                if second < self.cjk_end {
                    let third = second + self.char_at(second).map_or(0, char::len_utf8);
                    self.emit(start, third);
                    self.at = if third < self.cjk_end { second } else { third };
                    return true;
                }
                self.emit(start, second);
                self.at = second;
                return true;
            }
            if c.is_alphanumeric() {
                let run = self.run_end(start, |c| c.is_alphanumeric() && !is_cjk(c));
                let mut end = run.min(start + MAX_TERM_BYTES);
                while !self.text.is_char_boundary(end) {
                    end -= 1;
                }
                self.emit(start, end);
                self.at = end;
                return true;
            }
            self.at = start + c.len_utf8();
        }
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Han, kana and hangul: scripts written without spaces, or whose words are
/// too long to match whole.
fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x3040..=0x30FF      // hiragana, katakana
        | 0x3400..=0x4DBF    // Han, extension A
        | 0x4E00..=0x9FFF    // Han
        | 0xAC00..=0xD7AF    // hangul syllables
        | 0xF900..=0xFAFF    // Han, compatibility
        | 0x20000..=0x323AF  // Han, extensions B to H
    ) && c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let terms = terms(&mut analyzer(), text);
        terms.into_iter().map(|(term, _)| term).collect()
    }

    #[test]
    fn a_querys_term_counts_as_often_as_it_is_said() {
        let counted = terms(&mut analyzer(), "pump pumps and valve");
        assert_eq!(counted, [("pump".to_owned(), 2), ("valv".to_owned(), 1)]);
    }

    #[test]
    fn words_are_folded_stemmed_and_stopped() {
        assert_eq!(of("The Gateways ARE running"), ["gateway", "run"]);
        assert_eq!(of("Zugänge prüfen"), of("zugange prufen"));
    }

    #[test]
    fn identifiers_fall_apart_at_their_signs() {
        assert_eq!(of("E-1042 max_tokens"), ["e", "1042", "max", "token"]);
    }

    #[test]
    fn scripts_without_spaces_become_pairs() {
        assert_eq!(of("安装指南"), ["安装", "装指", "指南"]);
        assert_eq!(of("用API调用"), ["用", "api", "调用"]);
        assert_eq!(of("水"), ["水"]);
    }

    #[test]
    fn hostile_text_is_cut_not_kept_whole() {
        let long = "é".repeat(10_000);
        assert!(of(&long).iter().all(|term| term.len() <= MAX_TERM_BYTES));
        assert!(of("\u{0} \u{feff} ---").is_empty());
    }
}
