//! One byte-level transformer on several texts, trained with burn's own loader and with Arable's stream.
//!
//! `cargo run --release -p arable-examples --example language_model`
//!
//! `cargo run --release -p arable-examples --example language_model -- --text plays=shakespeare.txt --text terms=terms.jsonl.zst`

use arable_examples::{language_model::Arguments, outcome::finish, seeds};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(seeds::run(&arguments.common, |common| arguments.with(common).run()))
}
