//! What does each command do?

pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod ingest;
pub(crate) mod list;
pub(crate) mod rebuild;
pub(crate) mod search;
pub(crate) mod show;

use std::process::ExitCode;

use cento_api::Problem;

/// What every command ends with.
pub(crate) type Outcome = Result<ExitCode, Problem>;

/// Turns an error of any room into what the world is told.
pub(crate) fn told<E>(error: E) -> Problem
where
    for<'a> Problem: From<&'a E>,
{
    Problem::from(&error)
}
