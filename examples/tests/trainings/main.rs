//! The trainings that the examples run, small: they end, they add up, and what is wrong with a call is said.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod digits;
mod language_model;
mod own;
mod tabular;
mod text_classification;

use clap::Parser;
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// burn's CPU device has one random generator for the whole process, so that trainings take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call of an example with `arguments`, split at blanks, whose files go to `folder`.
fn call<A: Parser>(arguments: &str, folder: &Path) -> A {
    let runs = format!("--runs={}", folder.display());
    let words = ["example"].into_iter().chain(arguments.split_whitespace()).chain(["--quiet", &runs]);
    A::try_parse_from(words).unwrap()
}

/// What is said of a call that the command line refuses.
fn refused<A: Parser + std::fmt::Debug>(arguments: &str) -> String {
    A::try_parse_from(["example"].into_iter().chain(arguments.split_whitespace())).unwrap_err().to_string()
}

/// Writes `text` to a file in `folder`, and gives its path.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
