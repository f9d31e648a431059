//! Which elements are open, and what ends them?

use super::table::{Cell, Table};
use super::tags::{Region, Role};

/// An element that has begun and not ended.
pub(super) enum Open {
    Heading { written: usize },
    List { ordered: bool, next: usize },
    Item { indent: usize },
    Quote { indent: usize },
    Pre { text: String, language: String },
    Code,
    Table(Table),
    Row(Vec<Cell>),
    Cell { rich: bool },
    Caption,
    Region(Region, usize),
}

impl Open {
    /// Whether this is what the end tag of an element with that role ends.
    pub(super) fn is_ended_by(&self, role: Role) -> bool {
        matches!(
            (self, role),
            (Self::Heading { .. }, Role::Heading(_))
                | (Self::List { .. }, Role::List { .. })
                | (Self::Item { .. }, Role::Item)
                | (Self::Quote { .. }, Role::Quote)
                | (Self::Pre { .. }, Role::Pre)
                | (Self::Code, Role::Code)
                | (Self::Table(_), Role::Table)
                | (Self::Row(_), Role::Row)
                | (Self::Cell { .. }, Role::Cell)
                | (Self::Caption, Role::Caption)
        ) || matches!((self, role), (Self::Region(a, _), Role::Region(b)) if *a == b)
    }
}
