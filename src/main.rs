//! `cento`, the command line: parse the arguments, then act.
//!
//! Exit codes: 0 all is well; 1 an error, told on standard error; 2 arguments
//! that make no sense; 3 the command ran, but some documents failed under
//! `--strict`, `doctor` found differences, salvaging lost something, or a purge
//! left something; 130 interrupted.

mod args;
mod client;
mod commands;
mod filter;
mod interrupt;
mod output;
mod progress;
mod target;
mod transfer;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;
use target::Place;

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    let place = Place {
        data: args.data,
        url: args.url,
        reranker: None,
        embedding_cache_bytes: args.engine.embedding_cache_mb << 20,
        options: args.engine.options(args.verify.into()),
    };
    let outcome = match args.command {
        Command::Demo(options) => commands::demo::run(&options, json),
        Command::Ingest(options) => commands::ingest::run(&place, &options, json),
        Command::Search(options) => commands::search::run(&place, &options, json),
        Command::Context(options) => commands::context::run(&place, &options, json),
        Command::List(options) => commands::list::run(&place, &options, json),
        Command::Show(options) => commands::show::run(&place, &options, json),
        Command::Delete(options) => commands::delete::run(&place, &options, json),
        Command::Serve(options) => commands::serve::run(&place, &options, json),
        Command::Doctor(options) => commands::doctor::run(&place, &options, json),
        Command::Rebuild(options) => commands::rebuild::run(&place, &options, json),
        Command::Snapshot(command) => commands::snapshot::run(&place, command, json),
        Command::Reindex(options) => commands::reindex::run(&place, &options, json),
        Command::Generation(command) => commands::generation::run(&place, command, json),
        Command::Compact(options) => commands::compact::run(&place, &options, json),
        Command::Purge(options) => commands::purge::run(&place, &options, json),
        Command::Models(command) => commands::models::run(&place, &command, json),
        Command::Eval(options) => commands::eval::run(&place, &options, json),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => output::fail(&error, json),
    }
}
