//! In which encoding is this text, and what does it say?

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::problem::{Problem, ProblemCode};

/// A decoded text; a byte order mark is not part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) text: String,
    /// The encoding's name as the WHATWG standard writes it, e.g. `UTF-8`.
    pub(crate) encoding: &'static str,
}

/// How many of a hundred characters may be undecodable: a damaged byte in a
/// long text is no reason to lose the text, a text of damaged bytes is none.
const TOLERATED_PERCENT: usize = 1;

/// How much of an HTML page is searched for its declared encoding, as in
/// browsers.
const DECLARATION_BYTES: usize = 1024;

/// Decodes the bytes of a file. The order is: byte order mark, UTF-16 by
/// its pattern of zero bytes, valid UTF-8, UTF-8 with little damage, what an HTML
/// page declares (`html`), a guess from the byte frequencies.
pub(crate) fn decode(bytes: &[u8], html: bool) -> Result<Decoded, Problem> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return decode_as(encoding, &bytes[mark..]);
    }
    // Before UTF-8: in UTF-16, ASCII letters are valid UTF-8 with NULs between.
    if let Some(encoding) = utf16_without_mark(bytes) {
        return decode_as(encoding, bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Decoded {
            text: text.to_owned(),
            encoding: UTF_8.name(),
        });
    }
    let damage = Utf8Damage::of(bytes);
    if damage.multibyte >= damage.broken {
        return decode_as(UTF_8, bytes);
    }
    if html && let Some(encoding) = declared(bytes) {
        return decode_as(encoding, bytes);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    decode_as(detector.guess(None, Utf8Detection::Deny), bytes)
}

fn decode_as(encoding: &'static Encoding, bytes: &[u8]) -> Result<Decoded, Problem> {
    let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
    if had_errors {
        let replaced = text.chars().filter(|&c| c == '\u{FFFD}').count();
        if replaced * 100 > text.chars().count() * TOLERATED_PERCENT {
            return Err(Problem::new(
                ProblemCode::InvalidEncoding,
                format!(
                    "it looks like {}, but {replaced} characters of it cannot be decoded: save it as UTF-8",
                    encoding.name()
                ),
            ));
        }
    }
    Ok(Decoded {
        text: text.into_owned(),
        encoding: encoding.name(),
    })
}

/// UTF-16 of mostly Latin text has a zero in every second byte and hardly one
/// in the others.
pub(crate) fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4096)];
    if !bytes.len().is_multiple_of(2) || sample.len() < 4 {
        return None;
    }
    let zeros_from = |offset| {
        sample
            .iter()
            .skip(offset)
            .step_by(2)
            .filter(|&&b| b == 0)
            .count()
    };
    let (even, odd, half) = (zeros_from(0), zeros_from(1), sample.len() / 2);
    let mostly = |zeros: usize| zeros * 10 >= half * 7;
    let hardly = |zeros: usize| zeros * 100 <= half;
    if mostly(odd) && hardly(even) {
        Some(UTF_16LE)
    } else if mostly(even) && hardly(odd) {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// How much of a text is UTF-8 beyond ASCII, and how much is broken.
struct Utf8Damage {
    multibyte: usize,
    broken: usize,
}

impl Utf8Damage {
    fn of(bytes: &[u8]) -> Self {
        let mut damage = Self {
            multibyte: 0,
            broken: 0,
        };
        for chunk in bytes.utf8_chunks() {
            damage.multibyte += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            damage.broken += usize::from(!chunk.invalid().is_empty());
        }
        damage
    }
}

/// What `<meta charset=…>` or `<?xml encoding=…?>` declares.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(DECLARATION_BYTES)].to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head);
    ["charset", "encoding"].iter().find_map(|key| {
        head.match_indices(key).find_map(|(at, _)| {
            let value = head[at + key.len()..].trim_start().strip_prefix('=')?;
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let end = value
                .find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)))
                .unwrap_or(value.len());
            // A page that says UTF-8 or UTF-16 here is neither: both were tried.
            Encoding::for_label(&value.as_bytes()[..end])
                .filter(|&e| e != UTF_8 && e != UTF_16LE && e != UTF_16BE)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (String, &'static str) {
        let decoded = decode(bytes, false).expect("decodes");
        (decoded.text, decoded.encoding)
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        assert_eq!(decoded(b"\xEF\xBB\xBFabc"), ("abc".into(), "UTF-8"));
        assert_eq!(decoded(b"\xFF\xFEa\0b\0"), ("ab".into(), "UTF-16LE"));
        assert_eq!(decoded(b"\xFE\xFF\0a\0b"), ("ab".into(), "UTF-16BE"));
    }

    #[test]
    fn utf16_is_recognised_without_a_mark() {
        let bytes: Vec<u8> = "plain words"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(decoded(&bytes), ("plain words".into(), "UTF-16LE"));
        assert_eq!(utf16_without_mark(b"plain words in ASCII"), None);
    }

    #[test]
    fn legacy_encodings_are_guessed() {
        let german = "Die Größe der Tür überrascht. Schöne Grüße aus München und Köln.";
        let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(german);
        assert_eq!(decoded(&bytes).0, german);
        let japanese = "これは日本語の文章です。文字コードを推定します。";
        let (bytes, ..) = encoding_rs::SHIFT_JIS.encode(japanese);
        assert_eq!(decoded(&bytes), (japanese.into(), "Shift_JIS"));
        let chinese = "本指南面向现场安装人员。欧洲版设备使用的频段，不得在中国大陆安装。";
        let (bytes, ..) = encoding_rs::GBK.encode(chinese);
        assert_eq!(decoded(&bytes).0, chinese);
    }

    #[test]
    fn a_page_says_its_encoding() {
        let page = "<html><meta charset='windows-1251'><p>Привет</p>";
        let (bytes, ..) = encoding_rs::WINDOWS_1251.encode(page);
        let decoded = decode(&bytes, true).expect("decodes");
        assert_eq!(
            (decoded.text.as_str(), decoded.encoding),
            (page, "windows-1251")
        );
    }

    #[test]
    fn little_damage_is_tolerated_and_much_is_refused() {
        let mut bytes = "Größe und Maß ".repeat(100).into_bytes();
        bytes[3] = 0xFF;
        let (text, encoding) = decoded(&bytes);
        assert_eq!(encoding, "UTF-8");
        assert!(text.contains('\u{FFFD}'));
        let broken = ["é".as_bytes(), b" a\xFF"].concat().repeat(50);
        let error = decode(&broken, false).expect_err("refused");
        assert_eq!(error.code, ProblemCode::InvalidEncoding);
    }
}
