//! The command line: glue between arguments and the library. Results go to standard output, progress and errors to
//! standard error.
//!
//! Exit status: 0 done, 1 the data or the run is at fault, 2 the call or the recipe is wrong.

mod allocator;
mod curate;
mod draft;
mod init;
mod inspect;
mod log;
mod look;
mod stream;

use arable_loader::{Error, Result, report::ProgressMode};
use clap::{Args, Parser, Subcommand};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Streams, cleans, values and weights training data; shows what a stream would do.
#[derive(Parser)]
#[command(name = "arable", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a commented recipe from a look at the data.
    Init(init::Init),
    /// Shows schema, shards, blocks, rows, bytes, some rows, and a quick profile of the dirt.
    Inspect(inspect::Inspect),
    /// Cleans and scores a dataset into Parquet, with a verdict on every row and a report.
    Curate(curate::Curate),
    /// Walks a recipe's stream without a model: rows/s, bytes/s, accounting, where the time went.
    Stream(stream::Walk),
}

impl Command {
    const fn output(&self) -> Output {
        match self {
            Self::Init(init) => init.output,
            Self::Inspect(inspect) => inspect.output,
            Self::Curate(curate) => curate.output,
            Self::Stream(walk) => walk.output,
        }
    }

    fn run(self) -> Result<()> {
        log::start(self.output().quiet)?;
        match self {
            Self::Init(init) => init.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::Curate(curate) => curate.run(),
            Self::Stream(walk) => walk.run(),
        }
    }
}

/// What every command takes.
#[derive(Args, Clone, Copy)]
struct Output {
    /// Print the result as one JSON object, last on standard output.
    #[arg(long)]
    json: bool,
    /// Show no progress, and no result but JSON.
    #[arg(long)]
    quiet: bool,
}

impl Output {
    const fn progress(self) -> ProgressMode {
        if self.quiet { ProgressMode::Quiet } else { ProgressMode::Auto }
    }

    /// Says something to a person, beside the result.
    #[expect(clippy::print_stderr, reason = "this is where what is no result goes")]
    fn say(self, what: &str) {
        eprintln!("{what}");
    }

    /// Prints the result: text unless it is not wanted, JSON where it is.
    fn print(self, text: &str, json: &serde_json::Value) -> Result<()> {
        let mut out = io::stdout().lock();
        let printed = match (self.json, self.quiet) {
            (true, _) => writeln!(out, "{json}"),
            (false, true) => Ok(()),
            (false, false) => write!(out, "{text}"),
        };
        printed.and_then(|()| out.flush()).map_err(Error::io("write", "standard output"))
    }
}

#[expect(clippy::print_stderr, reason = "this is where errors go")]
fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has heard enough; that is no fault.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}
