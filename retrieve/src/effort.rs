//! How hard does the dense leg look, as a caller says it?

use cento_index::Effort;

use crate::RetrieveError;

/// The largest `ef` that is taken; who wants more compares everything.
pub const MAX_EF: usize = 10_000;

/// The effort that a question asks for by one of three: the share of the nearest
/// vectors that is to be found, above 0 and up to 1; the `ef` of HNSW; or that
/// every vector is compared. The default of [`Effort`] if by none of them.
///
/// # Errors
/// [`RetrieveError::Effort`] for a number out of its bounds, or for two of them
/// at once.
pub fn effort(
    recall: Option<f32>,
    ef: Option<usize>,
    exact: bool,
) -> Result<Effort, RetrieveError> {
    let wrong = |reason: String| Err(RetrieveError::Effort { reason });
    match (recall, ef, exact) {
        (None, None, false) => Ok(Effort::default()),
        (None, None, true) => Ok(Effort::Exact),
        (Some(recall), None, false) if recall > 0.0 && recall <= 1.0 => Ok(Effort::Recall(recall)),
        (Some(recall), None, false) => {
            wrong(format!("recall is above 0 and at most 1, not {recall}"))
        }
        (None, Some(ef), false) if (1..=MAX_EF).contains(&ef) => Ok(Effort::Ef(ef)),
        (None, Some(ef), false) => wrong(format!(
            "ef is from 1 to {MAX_EF}, not {ef}; exact compares everything"
        )),
        _ => wrong("recall, ef and exact are three ways to say one thing: give one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_is_taken_within_its_bounds() {
        assert_eq!(effort(None, None, false).ok(), Some(Effort::default()));
        assert_eq!(effort(None, None, true).ok(), Some(Effort::Exact));
        assert_eq!(
            effort(Some(0.5), None, false).ok(),
            Some(Effort::Recall(0.5))
        );
        assert_eq!(effort(None, Some(64), false).ok(), Some(Effort::Ef(64)));
        for recall in [0.0, -0.1, 1.01, f32::NAN, f32::INFINITY] {
            assert!(effort(Some(recall), None, false).is_err(), "{recall}");
        }
        for ef in [0, MAX_EF + 1] {
            assert!(effort(None, Some(ef), false).is_err(), "{ef}");
        }
        for two in [
            effort(Some(0.9), Some(10), false),
            effort(Some(0.9), None, true),
            effort(None, Some(10), true),
        ] {
            let said = two.expect_err("two at once").to_string();
            assert!(said.contains("give one"), "{said}");
        }
    }
}
