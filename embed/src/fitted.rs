//! What does a static model learn from a collection, so that its queries find
//! more there?
//!
//! A table knows what a word means in general. What it means *here* the texts say
//! that it stands in: their vectors' sum. So a query's words are weighed by how
//! rare they are in the collection, and each is moved towards the texts that have
//! it. Texts' own vectors stay as they are: learning costs no text embedded anew,
//! and can be done again at any time.
//!
//! With u the vectors of n texts, μ and C their mean and covariance, df the number
//! of texts that have a token, k the first 64 of these at most, s the sum of their
//! vectors and E the token's row:
//!
//! ```text
//! W = (C + 0.1 · tr C ÷ dimensions · I)^(-1/2)    V = W · √(tr C ÷ tr(W · C · W))
//! a = (s − k · μ) ÷ |s − k · μ|
//! idf = ln(1 + (n − df + 0.5) ÷ (df + 0.5))      w = idf · |E|
//! query = Σ w · E ÷ |E| + 1.4 · (Σ w · k ÷ (k + 1) · a) · V      over its tokens
//! ```
//!
//! idf is BM25's; the constants were chosen on sets kept for tuning (decision
//! 0020). What is learned is kept as bytes, numbers little-endian:
//!
//! ```text
//! "centofit" | version u32 | length u32 | fingerprint of the model | dimensions u32
//!   | texts u64 | tokens u32 | V f32 × dimensions²
//!   | tokens × (token u32, df u32, scale f32, codes i8 × dimensions)
//! ```

use std::sync::Arc;

use rayon::prelude::*;

use crate::linear::{moments, product, whitening};
use crate::static_model::StaticModel;
use crate::{Contract, EmbedError, Embedder};

const KIND: &[u8; 8] = b"centofit";
const VERSION: u32 = 1;

/// How much of the mean variance is added to each direction's before it is
/// divided by: directions in which texts hardly differ say little.
const SHRINKAGE: f64 = 0.1;

/// So many texts say what a token means: what is said by more of them is about
/// everything.
const MEANING: usize = 64;

/// The covariance is that of so many texts.
const VARYING: usize = 5_000;

/// How far tokens are moved towards the texts that have them.
const MOVED: f32 = 1.4;

/// What was learned of one token.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TokenRow<'a> {
    texts: u32,
    scale: f32,
    codes: &'a [u8],
}

/// What was learned of a collection.
pub(crate) struct Artefact {
    bytes: Vec<u8>,
    /// Where the tokens begin.
    at: usize,
    dimensions: usize,
    texts: u64,
    whitening: Vec<f32>,
}

/// Learns from texts of a collection; nothing if there is nothing to learn from.
pub(crate) fn fit(model: &StaticModel, texts: &[String]) -> Option<Vec<u8>> {
    let dimensions = model.dimensions();
    let read: Vec<(Vec<f32>, Vec<u32>)> = texts
        .par_iter()
        .map(|text| {
            let mut tokens = Vec::new();
            model.tokens(text, |token| tokens.push(token));
            tokens.sort_unstable();
            tokens.dedup();
            (model.embed(text), tokens)
        })
        .filter(|(_, tokens)| !tokens.is_empty())
        .collect();
    if read.is_empty() {
        return None;
    }
    let (vectors, tokens): (Vec<Vec<f32>>, Vec<Vec<u32>>) = read.into_iter().unzip();
    let (mean, covariance) = moments(&vectors, VARYING, dimensions);
    let whitening = whitening(&covariance, dimensions, SHRINKAGE)?;
    let mut having: Vec<(u32, u32)> = (tokens.iter().zip(0_u32..))
        .flat_map(|(tokens, text)| tokens.iter().map(move |&token| (token, text)))
        .collect();
    having.par_sort_unstable();
    let by_token: Vec<&[(u32, u32)]> = having.chunk_by(|a, b| a.0 == b.0).collect();
    let rows: Vec<Vec<u8>> = by_token
        .par_iter()
        .map(|having| {
            let few = &having[..having.len().min(MEANING)];
            let count = few.len() as f32;
            let mut sum: Vec<f32> = mean.iter().map(|mean| -count * mean).collect();
            for &(_, text) in few {
                for (sum, x) in sum.iter_mut().zip(&vectors[text as usize]) {
                    *sum += x;
                }
            }
            let mut row = Vec::with_capacity(12 + dimensions);
            row.extend_from_slice(&having[0].0.to_le_bytes());
            row.extend_from_slice(&(having.len() as u32).to_le_bytes());
            quantise(&sum, &mut row);
            row
        })
        .collect();
    let fingerprint = model.fingerprint().as_bytes();
    let mut bytes = Vec::with_capacity(64 + fingerprint.len() + rows.len() * (12 + dimensions));
    bytes.extend_from_slice(KIND);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(fingerprint.len() as u32).to_le_bytes());
    bytes.extend_from_slice(fingerprint);
    bytes.extend_from_slice(&(dimensions as u32).to_le_bytes());
    bytes.extend_from_slice(&(vectors.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    bytes.extend(whitening.iter().flat_map(|x| x.to_le_bytes()));
    bytes.extend(rows.into_iter().flatten());
    Some(bytes)
}

/// Appends the scale and the codes of a vector of unit length, or zeros.
fn quantise(vector: &[f32], out: &mut Vec<u8>) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let largest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let is_some = length.is_normal() && largest.is_normal();
    let (scale, step) = if is_some {
        (largest / 127.0 / length, 127.0 / largest)
    } else {
        (0.0, 0.0)
    };
    out.extend_from_slice(&scale.to_le_bytes());
    let code = |x: &f32| ((x * step).round() as i8).cast_unsigned();
    out.extend(vector.iter().map(code));
}

impl Artefact {
    /// Reads what a model of this fingerprint has learned.
    pub(crate) fn read(bytes: Vec<u8>, model: &StaticModel) -> Result<Self, EmbedError> {
        let wrong = |reason: String| EmbedError::Artefact { reason };
        let short = || wrong("it ends too early".to_owned());
        let mut rest = bytes.as_slice();
        let mut take = |count: usize| -> Result<&[u8], EmbedError> {
            let (head, tail) = rest.split_at_checked(count).ok_or_else(short)?;
            rest = tail;
            Ok(head)
        };
        if take(8)? != KIND {
            return Err(wrong("it is none".to_owned()));
        }
        let version = u32_of(take(4)?);
        if version != VERSION {
            return Err(wrong(format!("it is of version {version}, not {VERSION}")));
        }
        let length = u32_of(take(4)?) as usize;
        let fingerprint = String::from_utf8_lossy(take(length)?).into_owned();
        if fingerprint != model.fingerprint() {
            let found = model.fingerprint();
            let reason = format!("it was made with {fingerprint}, not with {found}");
            return Err(wrong(reason));
        }
        let dimensions = u32_of(take(4)?) as usize;
        let (low, high) = (u32_of(take(4)?), u32_of(take(4)?));
        let texts = u64::from(low) | u64::from(high) << 32;
        let count = u32_of(take(4)?) as usize;
        if dimensions != model.dimensions() {
            return Err(wrong("its lengths do not fit one another".to_owned()));
        }
        let (words, _) = take(4 * dimensions * dimensions)?.as_chunks::<4>();
        let whitening: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let left = rest.len();
        if count.checked_mul(12 + dimensions) != Some(left) {
            return Err(wrong("its lengths do not fit one another".to_owned()));
        }
        let artefact = Self {
            at: bytes.len() - left,
            bytes,
            dimensions,
            texts,
            whitening,
        };
        let tokens = || artefact.rows().map(u32_of);
        let is_sound = |row: &[u8]| {
            let learned = TokenRow::of(row);
            learned.scale.is_finite() && u64::from(learned.texts) <= artefact.texts
        };
        let is_finite = artefact.whitening.iter().all(|x| x.is_finite());
        if !is_finite || !tokens().is_sorted_by(|a, b| a < b) || !artefact.rows().all(is_sound) {
            return Err(wrong(
                "its tokens are not in order, or have no number".to_owned(),
            ));
        }
        Ok(artefact)
    }

    fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.bytes[self.at..].chunks_exact(12 + self.dimensions)
    }

    /// What was learned of a token, if a text had it.
    fn of(&self, token: u32) -> Option<TokenRow<'_>> {
        let rows = self.rows();
        let row = |at: usize| rows.clone().nth(at);
        let (mut low, mut high) = (0, rows.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let found = row(middle)?;
            match u32_of(found).cmp(&token) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(TokenRow::of(found)),
            }
        }
        None
    }

    /// BM25's weight of a token that so many texts have.
    fn idf(&self, texts: u32) -> f32 {
        let (all, having) = (self.texts as f64, f64::from(texts));
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln() as f32
    }

    /// The vector of a query.
    fn embed(&self, model: &StaticModel, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0_f32; self.dimensions];
        let mut moved = vec![0.0_f32; self.dimensions];
        model.tokens(text, |token| {
            let (codes, weight) = model.row(token);
            let squares = codes
                .iter()
                .map(|&code| i32::from(code.cast_signed()).pow(2));
            let length = weight.abs() * (squares.sum::<i32>() as f32).sqrt();
            let learned = self.of(token);
            let idf = self.idf(learned.map_or(0, |learned| learned.texts));
            add(&mut sum, codes, idf * weight);
            if let Some(learned) = learned {
                let count = (learned.texts as usize).min(MEANING) as f32;
                let share = idf * length * count / (count + 1.0);
                add(&mut moved, learned.codes, share * learned.scale);
            }
        });
        for (sum, moved) in sum.iter_mut().zip(product(&moved, &self.whitening)) {
            *sum += MOVED * moved;
        }
        crate::static_model::unit(sum)
    }
}

impl<'a> TokenRow<'a> {
    fn of(row: &'a [u8]) -> Self {
        let (numbers, codes) = row.split_at(12);
        Self {
            texts: u32_of(&numbers[4..]),
            scale: f32::from_bits(u32_of(&numbers[8..])),
            codes,
        }
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |word| u32::from_le_bytes(*word))
}

/// Adds codes, each times a weight.
fn add(sum: &mut [f32], codes: &[u8], weight: f32) {
    for (sum, &code) in sum.iter_mut().zip(codes) {
        *sum += weight * f32::from(code.cast_signed());
    }
}

/// A static model whose queries are fitted to a collection.
pub(crate) struct Fitted {
    model: Arc<StaticModel>,
    artefact: Artefact,
    contract: Contract,
}

impl Fitted {
    /// With what was learned, and what it promises then.
    pub(crate) fn new(
        model: Arc<StaticModel>,
        contract: Contract,
        artefact: Vec<u8>,
    ) -> Result<Self, EmbedError> {
        Ok(Self {
            artefact: Artefact::read(artefact, &model)?,
            model,
            contract,
        })
    }
}

impl Embedder for Fitted {
    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        Ok(self.artefact.embed(&self.model, text))
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(self.model.embed_all(texts))
    }

    fn can_fit(&self) -> bool {
        true
    }

    fn fit(&self, texts: &[String]) -> Option<Vec<u8>> {
        fit(&self.model, texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bundled;
    use crate::linear::dot;

    fn texts() -> Vec<String> {
        let topics = [
            "The pump of the boiler has a valve that leaks at high pressure.",
            "A refund is paid to the account within ten days.",
            "Zorblax is our name for the pump controller of the second boiler.",
            "Holidays are to be asked for two weeks before.",
            "Every invoice names the account and the day of payment.",
        ];
        let numbered = (0..40).map(|i| format!("{} Note {i}.", topics[i % topics.len()]));
        numbered.collect()
    }

    #[test]
    fn a_word_means_what_the_texts_say_that_have_it() {
        let plain = Bundled::new().expect("the bundled model is whole");
        let artefact = plain.fit(&texts()).expect("there is text");
        let fitted = plain.fitted(artefact).expect("its own");
        assert_eq!(fitted.contract().fingerprint, plain.contract().fingerprint);
        let pump = texts().swap_remove(2);
        let vector = plain
            .embed_documents(std::slice::from_ref(&pump))
            .expect("embedded");
        assert_eq!(fitted.embed_documents(&[pump]).expect("embedded"), vector);
        let near = |embedder: &dyn Embedder| {
            let query = embedder.embed_query("zorblax").expect("embedded");
            assert!((dot(&query, &query) - 1.0).abs() < 1e-5);
            dot(&query, &vector[0])
        };
        let (before, after) = (near(&plain), near(&*fitted));
        assert!(after > before + 0.2, "{before} {after}");
        let nothing = fitted.embed_query("").expect("embedded");
        assert!(nothing.iter().all(|&x| x == 0.0));
    }

    #[test]
    fn the_same_texts_teach_the_same_and_none_teach_nothing() {
        let model = Bundled::new().expect("the bundled model is whole");
        assert_eq!(model.fit(&texts()), model.fit(&texts()));
        for nothing in [vec![], vec![String::new()], vec!["one text".to_owned()]] {
            assert_eq!(model.fit(&nothing), None);
        }
    }

    #[test]
    fn bytes_that_no_model_has_learned_are_refused_with_the_reason() {
        let model = Bundled::new().expect("the bundled model is whole");
        let whole = model.fit(&texts()).expect("there is text");
        let refused = |bytes: Vec<u8>| match model.fitted(bytes) {
            Err(error @ EmbedError::Artefact { .. }) => error.to_string(),
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it was taken"),
        };
        for cut in [0, 7, 11, 20, 60, 100, whole.len() - 1] {
            refused(whole[..cut].to_vec());
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(refused(longer).contains("lengths"));
        let mut later = whole.clone();
        later[8] = 9;
        assert!(refused(later).contains("version 9"));
        let mut other = whole.clone();
        other[17] ^= 1;
        assert!(refused(other).contains("it was made with"));
        let mut unordered = whole;
        let end = unordered.len();
        unordered[end - 268..][..4].copy_from_slice(&[0; 4]);
        assert!(refused(unordered).contains("order"));
    }
}
