//! How much may a context hold, and how much does it hold?
//!
//! A count means nothing without its tokenizer; whoever holds one of these
//! holds the tokenizer's name beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CoreError;

/// A number of tokens, as one tokenizer counts them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenCount(pub usize);

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The most tokens that a rendered context may hold: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = usize, minimum = 1, example = 2000))]
#[serde(try_from = "usize", into = "usize")]
pub struct TokenBudget(usize);

impl TokenBudget {
    /// Refuses zero.
    pub fn new(tokens: usize) -> Result<Self, CoreError> {
        if tokens == 0 {
            Err(CoreError::ZeroBudget)
        } else {
            Ok(Self(tokens))
        }
    }

    /// The budget as a count.
    pub fn limit(self) -> TokenCount {
        TokenCount(self.0)
    }

    /// Whether a text of so many tokens may stand.
    pub fn holds(self, count: TokenCount) -> bool {
        count.0 <= self.0
    }
}

impl TryFrom<usize> for TokenBudget {
    type Error = CoreError;
    fn try_from(tokens: usize) -> Result<Self, CoreError> {
        Self::new(tokens)
    }
}

impl From<TokenBudget> for usize {
    fn from(budget: TokenBudget) -> Self {
        budget.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_budget_is_refused() {
        assert_eq!(TokenBudget::new(0), Err(CoreError::ZeroBudget));
        let one = TokenBudget::new(1).expect("one is a budget");
        assert!(one.holds(TokenCount(1)));
        assert!(!one.holds(TokenCount(2)));
    }
}
