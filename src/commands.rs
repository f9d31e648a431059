//! What does each command do?

pub(crate) mod compact;
pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod generation;
pub(crate) mod ingest;
pub(crate) mod list;
pub(crate) mod models;
pub(crate) mod purge;
pub(crate) mod rebuild;
pub(crate) mod reindex;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod snapshot;

use std::process::ExitCode;

use cento_api::Problem;

/// What every command ends with.
pub(crate) type Outcome = Result<ExitCode, Problem>;
