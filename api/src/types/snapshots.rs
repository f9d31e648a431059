//! What is said of snapshots, and of giving space back?

use cento_index::{Projection, SnapshotInfo};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A snapshot to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "before-upgrade"}))]
pub struct NewSnapshot {
    /// Its name: 1 to 64 letters, digits, `-`, `_` and `.`; after the time and
    /// the last write if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
    pub id: Option<String>,
}

/// The snapshots of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotList {
    /// Each of them, oldest first.
    pub snapshots: Vec<SnapshotInfo>,
}

/// What is to be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"snapshots": false}))]
pub struct Purge {
    /// Whether the collection's snapshots are deleted: one is kept whole or not
    /// at all.
    #[serde(default)]
    pub snapshots: bool,
}

/// What may stand behind `?` of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RebuildQuery {
    /// The one projection to make anew; all three if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline, required = false)]
    pub only: Option<Projection>,
}
