//! `cento`, the command line: parse the arguments, then act.
//!
//! Exit codes: 0 all is well; 1 an error, told on standard error; 2 arguments
//! that make no sense; 3 the command ran, but some documents failed under
//! `--strict`, or `doctor` found differences; 130 interrupted.

mod args;
mod commands;
mod filter;
mod output;
mod progress;
mod session;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json;
    let outcome = match args.command {
        Command::Demo => commands::demo::run(json),
        Command::Ingest(options) => commands::ingest::run(&args.data, &options, json),
        Command::Search(options) => commands::search::run(&args.data, &options, json),
        Command::Context(options) => commands::context::run(&args.data, &options, json),
        Command::List(options) => commands::list::run(&args.data, &options, json),
        Command::Show(options) => commands::show::run(&args.data, &options, json),
        Command::Delete(options) => commands::delete::run(&args.data, &options, json),
        Command::Doctor(options) => commands::doctor::run(&args.data, &options, json),
        Command::Rebuild(options) => commands::rebuild::run(&args.data, &options, json),
        Command::Eval(options) => commands::eval::run(&options, json),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => output::fail(&error, json),
    }
}
