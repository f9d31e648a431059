//! How is a whole number read?
//!
//! JSON has one kind of number, and `99.0` is a whole one to JSON Schema and to
//! languages that have no other kind. So it is here.

use cento_core::TokenBudget;
use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde_json::Number;

/// A whole number of 0 and above.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        let is_whole = float.fract() == 0.0 && (0.0..MOST).contains(&float);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and in range"
        )]
        is_whole.then_some(float as u64)
    });
    whole
        .and_then(|whole| usize::try_from(whole).ok())
        .ok_or_else(|| {
            let found = number.to_string();
            let expected = &"a whole number of 0 and above";
            D::Error::invalid_value(Unexpected::Other(&found), expected)
        })
}

/// The same, or none.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    #[derive(serde::Deserialize)]
    struct Whole(#[serde(deserialize_with = "number")] usize);
    let whole = Option::<Whole>::deserialize(deserializer)?;
    Ok(whole.map(|Whole(number)| number))
}

/// 2^53: below it a double is exact.
const MOST: f64 = 9_007_199_254_740_992.0;

/// A budget.
pub(super) fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenBudget, D::Error> {
    TokenBudget::new(number(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let read = |json: &str| number(&mut serde_json::Deserializer::from_str(json)).ok();
        assert_eq!(read("99"), Some(99));
        assert_eq!(read("99.0"), Some(99));
        assert_eq!(read("1e2"), Some(100));
        for wrong in ["-1", "0.5", "1e300", "\"9\"", "true", "null"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
