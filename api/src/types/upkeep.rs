//! What is said of the house itself?

use cento_core::{CollectionName, Sequence};
use cento_index::{AuditReport, Recovery};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an audit of a collection found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditResult {
    /// The collection.
    pub collection: CollectionName,
    /// Whether every projection says what the log says.
    pub clean: bool,
    /// What had to be mended when the collection was opened.
    pub recovered: Recovered,
    /// Every difference.
    pub report: AuditReport,
}

/// What opening a collection found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recovered {
    /// How many writes were replayed from the log.
    pub replayed: u64,
    /// How many bytes of a write that was never acknowledged were cut off.
    pub cut_bytes: u64,
    /// The projections that were made anew.
    pub remade: Vec<String>,
    /// Writes of the log that no projection could take.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Whether the manifest was damaged and taken from its copy.
    #[serde(default)]
    pub manifest_healed: bool,
}

impl From<&Recovery> for Recovered {
    fn from(recovery: &Recovery) -> Self {
        let skipped = recovery.skipped.iter().map(|(sequence, why)| Skipped {
            sequence: *sequence,
            why: why.clone(),
        });
        Self {
            replayed: recovery.replayed,
            cut_bytes: recovery.cut_bytes,
            remade: recovery.remade.iter().map(|&p| p.to_owned()).collect(),
            skipped: skipped.collect(),
            manifest_healed: recovery.manifest_healed,
        }
    }
}

/// A write that no projection could take; it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// The write.
    pub sequence: Sequence,
    /// Why.
    pub why: String,
}

/// A collection whose projections were made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RebuildResult {
    /// The collection.
    pub collection: CollectionName,
    /// How many documents it has.
    pub documents: u64,
    /// How many chunks.
    pub chunks: u64,
    /// How many writes were replayed from the log.
    pub writes: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// What the root answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Welcome {
    /// Always `cento`.
    pub service: String,
    /// The version of the server.
    pub version: String,
    /// Where to go from here, by name.
    pub links: std::collections::BTreeMap<String, String>,
}

/// Whether the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// Whether requests are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Always `ready`.
    pub status: String,
}
