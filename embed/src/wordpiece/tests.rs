//! Are words and tokens those of the `tokenizers` crate?

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer};

use super::*;

const JSON: &[u8] = include_bytes!("../../../data/models/cento-static-en-v2/tokenizer.json");

static OURS: LazyLock<WordPiece> =
    LazyLock::new(|| WordPiece::of(JSON).expect("the bundled recipe is ours"));
static THEIRS: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_bytes(JSON).expect("a tokenizer"));

/// Keeps words as they are.
#[derive(Default)]
struct Kept(Vec<String>);

impl Words for Kept {
    fn short(&mut self, word: Key) {
        self.0.push(word.text());
    }

    fn any(&mut self, word: &str) {
        assert!(!word.is_empty());
        self.0.push(word.to_owned());
    }

    fn added(&mut self, id: u32) {
        self.0.push(format!("added {id}"));
    }
}

fn our_words(text: &str) -> Vec<String> {
    let mut kept = Kept::default();
    OURS.words(text, &mut kept);
    kept.0
}

fn their_words(text: &str) -> Vec<String> {
    let mut split: PreTokenizedString = THEIRS
        .get_added_vocabulary()
        .extract_and_normalize(THEIRS.get_normalizer(), text);
    let cut = THEIRS
        .get_pre_tokenizer()
        .expect("one")
        .pre_tokenize(&mut split);
    cut.expect("cut");
    split
        .get_splits(OffsetReferential::Normalized, OffsetType::None)
        .into_iter()
        .map(|(word, _, tokens)| match tokens {
            Some(tokens) => format!("added {}", tokens[0].id),
            None => word.to_owned(),
        })
        .collect()
}

fn our_tokens(text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    OURS.tokens(text, |id| tokens.push(id));
    tokens
}

fn their_tokens(text: &str) -> Vec<u32> {
    let encoding = THEIRS.encode_fast(text, false).expect("an encoding");
    encoding.get_ids().to_vec()
}

/// Words are compared too: two different words may both be unknown.
fn agree(text: &str) {
    assert_eq!(our_words(text), their_words(text), "words of {text:?}");
    assert_eq!(our_tokens(text), their_tokens(text), "tokens of {text:?}");
}

#[test]
fn words_are_cut_and_folded_as_the_recipe_says() {
    for (text, words) in [
        ("", &[][..]),
        (" \t\r\n\u{a0}\u{2028}\u{3000}", &[]),
        (
            "\0\u{b}\u{c}\u{1f}\u{7f}\u{85}\u{200b}\u{feff}\u{fffd}",
            &[],
        ),
        ("Hey, YOU!", &["hey", ",", "you", "!"]),
        ("a\u{b}b\0c", &["abc"]),
        ("a\u{200b}b a\u{200b} b", &["ab", "a", "b"]),
        ("café CAFE\u{301} Ångström", &["cafe", "cafe", "angstrom"]),
        ("İstanbul ΟΔΟΣ straße", &["istanbul", "οδοσ", "straße"]),
        (
            "“quoted” — l’été…",
            &["“", "quoted", "”", "—", "l", "’", "ete", "…"],
        ),
        ("ab安装cd", &["ab", "安", "装", "cd"]),
        ("安\u{301}装", &["安", "装"]),
        ("が ハ\u{3099} 한국", &["か", "ハ", "한국"]),
        ("x\u{37e}y", &["x", ";", "y"]),
        ("\u{212a}elvin", &["kelvin"]),
        ("🙂x 👍🏽", &["🙂x", "👍🏽"]),
        ("\u{301}a\u{302e}\u{302f}", &["a\u{302e}\u{302f}"]),
        ("sixteen_letters1", &["sixteen", "_", "letters1"]),
        ("abcdefgh", &["abcdefgh"]),
        ("abcdefghIJKLMNOP", &["abcdefghijklmnop"]),
        ("abcdefghIJKLMNOPq", &["abcdefghijklmnopq"]),
        ("abcdefghIJKLMNOPqÄ.", &["abcdefghijklmnopqa", "."]),
        (
            "[CLS]a[[SEP]]é[cls][UNK",
            &[
                "added 101",
                "a",
                "[",
                "added 102",
                "]",
                "e",
                "[",
                "cls",
                "]",
                "[",
                "unk",
            ],
        ),
        ("e[MASK]\u{301}x", &["e", "added 103", "x"]),
    ] {
        let words: Vec<String> = words
            .iter()
            // What is not decomposed here is, there: Hangul.
            .map(|word| word.replace("한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"))
            .collect();
        assert_eq!(our_words(text), words, "{text:?}");
        agree(text);
    }
}

#[test]
fn marks_that_stay_are_sorted_over_what_vanishes_between_them() {
    assert_eq!(our_words("\u{302e}\u{1d16e}"), ["\u{1d16e}\u{302e}"]);
    assert_eq!(our_words("\u{302e}\0\u{1d165}"), ["\u{1d165}\u{302e}"]);
    assert_eq!(our_words("\u{302e}x\u{1d165}"), ["\u{302e}x\u{1d165}"]);
    for text in [
        "\u{302e}\u{1d16e}",
        "\u{302e}\0\u{1d165}",
        "\u{302e}x\u{1d165}",
    ] {
        agree(text);
        agree(&format!("a{text}é"));
    }
}

#[test]
fn words_are_the_longest_entries_or_unknown() {
    let named = |text: &str| -> Vec<String> {
        let name = |id| THEIRS.id_to_token(id).expect("an entry");
        our_tokens(text).into_iter().map(name).collect()
    };
    assert_eq!(named("unaffable"), ["una", "##ffa", "##ble"]);
    assert_eq!(named("telecommunications x"), ["telecommunications", "x"]);
    assert_eq!(named("##ing"), ["#", "#", "ing"]);
    assert_eq!(named("a🙂 🙂a"), ["[UNK]", "[UNK]"]);
    assert_eq!(named("[PAD][UNK]"), ["[PAD]", "[UNK]"]);
    assert_eq!(named(&"a".repeat(101)), ["[UNK]"]);
    assert_eq!(named(&"é".repeat(100)), named(&"e".repeat(100)));
    assert_ne!(named(&"e".repeat(100)), ["[UNK]"]);
    // Characters are counted, not bytes.
    let cyrillic = "да".repeat(50);
    assert_ne!(named(&cyrillic), ["[UNK]"]);
    assert_eq!(named(&format!("{cyrillic}а")), ["[UNK]"]);
}

#[test]
fn every_entry_of_the_vocabulary_agrees_as_a_text() {
    for entry in THEIRS.get_vocab(true).into_keys() {
        agree(&entry);
        agree(entry.trim_start_matches('#'));
    }
}

#[test]
fn every_character_agrees_alone_and_among_others() {
    // Of planes without a character, or with private ones alone, the edges.
    let is_looked_at = |character: &char| {
        let (plane, place) = (u32::from(*character) >> 16, u32::from(*character) & 0xffff);
        plane < 4 || plane == 14 || !(0x100..0xff00).contains(&place)
    };
    let all: Vec<char> = ('\0'..=char::MAX).filter(is_looked_at).collect();
    for characters in all.chunks(64) {
        for (before, behind) in [("", ""), ("x", "y "), ("\u{301}", ""), ("ü", "é\u{302e}")] {
            let text: String = characters
                .iter()
                .map(|character| format!("{before}{character}{behind}"))
                .collect();
            agree(&text);
        }
    }
}

#[test]
fn words_around_the_longest_allowed_agree() {
    for part in [
        "a",
        "ab",
        "é",
        "е\u{301}",
        "ا",
        "\u{302e}",
        "e\0",
        "İ",
        "한",
    ] {
        for count in [
            7, 8, 9, 15, 16, 17, 24, 33, 49, 50, 51, 99, 100, 101, 102, 300,
        ] {
            let word = part.repeat(count);
            agree(&word);
            agree(&format!("x {word}. {word}[SEP]{word}"));
        }
    }
}

#[test]
fn what_is_not_the_recipe_is_refused_by_name() {
    type Change = (&'static str, Value, &'static str);
    let added = |change: Value| {
        let mut token = json!({"id": 101, "content": "[CLS]", "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
        for (name, value) in change.as_object().expect("an object") {
            token[name] = value.clone();
        }
        json!([token])
    };
    let changes: [Change; 17] = [
        ("/version", json!("2.0"), "version"),
        ("/normalizer", Value::Null, "normalizer"),
        ("/normalizer/lowercase", json!(false), "normalizer"),
        ("/normalizer/strip_accents", json!(false), "normalizer"),
        (
            "/pre_tokenizer",
            json!({"type": "Whitespace"}),
            "pre_tokenizer",
        ),
        (
            "/post_processor",
            json!({"type": "ByteLevel"}),
            "post_processor",
        ),
        ("/model/type", json!("WordLevel"), "model"),
        ("/model/unk_token", json!("[PAD]"), "unk_token"),
        (
            "/model/continuing_subword_prefix",
            json!("@@"),
            "continuing_subword_prefix",
        ),
        (
            "/model/max_input_chars_per_word",
            json!(15),
            "max_input_chars_per_word",
        ),
        ("/model/vocab", json!({"a": 0}), "[UNK]"),
        ("/model", json!({}), "missing field"),
        (
            "/added_tokens",
            added(json!({"normalized": true})),
            "literally",
        ),
        ("/added_tokens", added(json!({"lstrip": true})), "literally"),
        (
            "/added_tokens",
            added(json!({"content": "mask"})),
            "no punctuation",
        ),
        (
            "/added_tokens",
            added(json!({"id": 5})),
            "number of its own",
        ),
        (
            "/added_tokens",
            added(json!({"content": "[NEW]"})),
            "number of its own",
        ),
    ];
    let whole: Value = serde_json::from_slice(JSON).expect("JSON");
    for (place, value, reason) in changes {
        let mut changed = whole.clone();
        *changed.pointer_mut(place).expect("a place") = value.clone();
        let json = serde_json::to_vec(&changed).expect("JSON");
        let refusal = WordPiece::of(&json).err();
        let refusal = refusal.unwrap_or_else(|| panic!("{place} may not be {value}"));
        assert!(refusal.contains(reason), "{refusal}");
    }
    assert!(WordPiece::of(b"{}").is_err());
    let mut same = whole;
    same["normalizer"]["strip_accents"] = json!(true);
    assert!(WordPiece::of(&serde_json::to_vec(&same).expect("JSON")).is_ok());
}

fn corpora() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("CENTO_SHARED").map_or(beside, PathBuf::from);
    let Ok(sets) = std::fs::read_dir(shared.join("datasets/beir")) else {
        eprintln!("SKIPPED: set CENTO_SHARED to the folder that holds datasets/");
        return Vec::new();
    };
    sets.map(|set| set.expect("an entry").path().join("corpus.jsonl"))
        .collect()
}

#[test]
fn every_text_of_the_judged_sets_agrees() {
    for path in corpora() {
        let corpus = std::fs::read_to_string(&path).expect("a corpus");
        let mut texts = 0;
        for line in corpus.lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            for part in ["title", "text"] {
                agree(row[part].as_str().unwrap_or_default());
                texts += 1;
            }
        }
        assert!(texts > 0, "{}", path.display());
    }
}

/// Characters and strings at which the steps differ from each other.
fn tricky() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        " ",
        "\t",
        "\n",
        "\u{b}",
        "\u{c}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{3000}",
        "\u{1680}",
        "\0",
        "\u{1}",
        "\u{1f}",
        "\u{7f}",
        "\u{ad}",
        "\u{200b}",
        "\u{200d}",
        "\u{200f}",
        "\u{feff}",
        "\u{fffd}",
        "\u{e000}",
        "\u{180e}",
        "a",
        "Z",
        "0",
        "9",
        "the",
        "THE",
        "ing",
        "un",
        "[CLS]",
        "[UNK]",
        "[SEP]",
        "[PAD]",
        "[MASK]",
        "[",
        "]",
        "[CLS",
        "CLS]",
        "[cls]",
        "##",
        "#",
        "##s",
        "[unused1]",
        "_",
        "-",
        "'",
        "`",
        "~",
        "$",
        "^",
        "<",
        "|",
        "+",
        "é",
        "e\u{301}",
        "Å",
        "ö",
        "ß",
        "ẞ",
        "İ",
        "ı",
        "ſ",
        "ς",
        "Σ",
        "Ǆ",
        "ǅ",
        "ﬁ",
        "ﬃ",
        "\u{212a}",
        "\u{2126}",
        "\u{37e}",
        "\u{1fef}",
        "\u{387}",
        "ᾳ",
        "ΐ",
        "\u{300}",
        "\u{301}",
        "\u{327}",
        "\u{345}",
        "\u{344}",
        "\u{302e}",
        "\u{302f}",
        "\u{3099}",
        "\u{f71}",
        "\u{f73}",
        "\u{f75}",
        "\u{f74}",
        "\u{1d165}",
        "\u{1d16d}",
        "\u{1d15e}",
        "\u{93e}",
        "\u{94d}",
        "क",
        "ড়",
        "安",
        "装",
        "𠀀",
        "\u{2b81f}",
        "\u{2b820}",
        "\u{2b920}",
        "\u{f900}",
        "\u{2f800}",
        "\u{9fff}",
        "\u{4dbf}",
        "が",
        "ガ",
        "ｶﾞ",
        "，",
        "。",
        "한",
        "각",
        "\u{1100}",
        "שָׁ",
        "ש",
        "ا",
        "لا",
        "ﷺ",
        "؟",
        "۔",
        "🙂",
        "👍🏽",
        "👩‍👩‍👧",
        "🇩🇪",
        "\u{fe0f}",
        "“",
        "…",
        "—",
        "«",
        "¿",
        "€",
        "№",
        "½",
        "²",
        "abcdefg",
        "abcdefgh",
        "ABCDEFGHIJKLMNOP",
        "internationali",
        "zation",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ]);
    proptest::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// What is sorted, or nearly.
fn marks() -> impl Strategy<Value = String> {
    let ranges = prop_oneof![
        proptest::char::range('\u{300}', '\u{36f}'),
        proptest::char::range('\u{590}', '\u{6ff}'),
        proptest::char::range('\u{900}', '\u{e50}'),
        proptest::char::range('\u{f00}', '\u{fff}'),
        proptest::char::range('\u{1ab0}', '\u{1b80}'),
        proptest::char::range('\u{1e00}', '\u{20ff}'),
        proptest::char::range('\u{3000}', '\u{30ff}'),
        proptest::char::range('\u{a800}', '\u{d7ff}'),
        proptest::char::range('\u{f900}', '\u{ffff}'),
        proptest::char::range('\u{11000}', '\u{11fff}'),
        proptest::char::range('\u{1d150}', '\u{1d250}'),
        proptest::char::range('\0', '\u{ff}'),
    ];
    proptest::collection::vec(ranges, 0..40).prop_map(String::from_iter)
}

/// Words of letters, in vocabulary's order of likelihood.
fn letters() -> impl Strategy<Value = String> {
    "([a-zA-Z]{1,20}[ ,.]?|[a-z]{95,105} |[a-zéüß0-9]{1,12}[ -]|[0-9.,]{1,9}){0,12}"
}

proptest! {
    #[test]
    fn any_text_agrees(text in any::<String>()) {
        agree(&text);
    }

    #[test]
    fn text_of_any_characters_agrees(text in proptest::collection::vec(any::<char>(), 0..60)) {
        agree(&String::from_iter(text));
    }

    #[test]
    fn tricky_text_agrees(text in tricky()) {
        agree(&text);
    }

    #[test]
    fn text_with_marks_agrees(text in marks()) {
        agree(&text);
    }

    #[test]
    fn text_of_letters_agrees(text in letters()) {
        agree(&text);
    }
}
