//! What is wrong with a table, and where in it, as a person reads it.
//!
//! serde hands what it expected, found and knows to the error type and to nothing else, so the error is where the
//! messages are made.

use crate::{
    Error,
    spelling::{advice, cut},
};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// One step on the way from the root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    /// Counted from 0; shown counted from 1.
    Item(usize),
}

/// What is wrong with a table, and where in it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Innermost step first: steps are added as the error travels outwards.
    steps: Vec<Step>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    UnknownKey { key: String, known: Vec<&'static str> },
    MissingKey(String),
    Value(String),
}

impl Fault {
    /// The key that is missing, with the keys of the tables around it, outermost first.
    pub(crate) fn missing(&self) -> Option<String> {
        let What::MissingKey(key) = &self.what else { return None };
        let mut keys: Vec<&str> = Vec::new();
        for step in self.steps.iter().rev() {
            match step {
                Step::Key(key) => keys.push(key),
                Step::Item(_) => return None,
            }
        }
        keys.push(key);
        Some(keys.join("."))
    }

    /// The fault as an error whose message begins with `path`.
    pub(crate) fn at(&self, path: &str) -> Error {
        Error::recipe(format!("{path}: {self}"))
    }

    /// The fault of a reader that takes the keys `shared` out of the outermost table before: they are known there too.
    pub(crate) fn beside(mut self, shared: &[&'static str]) -> Self {
        if let What::UnknownKey { known, .. } = &mut self.what
            && self.steps.is_empty()
        {
            known.extend(shared);
        }
        self
    }

    pub(super) fn inside(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn value(what: String) -> Self {
        Self { steps: Vec::new(), what: What::Value(what) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables: Vec<&Step> = self.steps.iter().rev().collect();
        // A fault of a value names the key that holds it; a fault of a table names the table alone.
        let mut leaf = Vec::new();
        if matches!(self.what, What::Value(_))
            && let Some(from) = tables.iter().rposition(|step| matches!(step, Step::Key(_)))
        {
            leaf = tables.split_off(from);
        }
        if !tables.is_empty() {
            write!(f, "in {}: ", headers(&tables).join(", "))?;
        }
        for (at, step) in leaf.iter().enumerate() {
            match step {
                Step::Key(key) => write!(f, "`{}`", cut(key))?,
                Step::Item(item) => write!(f, ", item {}", item + 1)?,
            }
            if at + 1 == leaf.len() {
                f.write_str(": ")?;
            }
        }
        match &self.what {
            What::UnknownKey { key, known } if known.is_empty() => {
                write!(f, "unknown key `{}`; no key is known here, so leave it out", cut(key))
            }
            What::UnknownKey { key, known } => {
                write!(f, "unknown key `{}`{}", cut(key), advice(key, known, "the known keys are"))
            }
            What::MissingKey(key) => write!(f, "missing key `{key}`"),
            What::Value(what) => f.write_str(what),
        }
    }
}

/// The steps as TOML headers: `[stream]`, `[[clean]] 2`.
fn headers(steps: &[&Step]) -> Vec<String> {
    let mut headers = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for step in steps {
        match step {
            Step::Key(key) => keys.push(cut(key)),
            Step::Item(item) => {
                headers.push(format!("[[{}]] {}", keys.join("."), item + 1));
                keys.clear();
            }
        }
    }
    if !keys.is_empty() {
        headers.push(format!("[{}]", keys.join(".")));
    }
    headers
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::value(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::value(format!("expected {}, found {}", wanted(expected), given(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::value(format!("expected {}, found {length} items", wanted(expected)))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::value(format!("unknown value \"{}\"{}", cut(variant), advice(variant, known, "the known values are")))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self { steps: Vec::new(), what: What::UnknownKey { key: key.to_owned(), known: known.to_vec() } }
    }

    fn missing_field(key: &'static str) -> Self {
        Self { steps: Vec::new(), what: What::MissingKey(key.to_owned()) }
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::value(format!("`{key}` is given twice"))
    }
}

/// serde's names of what it expects, in TOML's words.
fn wanted(expected: &dyn Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u8" => whole(0, i64::from(u8::MAX)),
        "u16" => whole(0, i64::from(u16::MAX)),
        "u32" => whole(0, i64::from(u32::MAX)),
        "u64" | "usize" => whole(0, i64::MAX),
        "i8" => whole(i64::from(i8::MIN), i64::from(i8::MAX)),
        "i16" => whole(i64::from(i16::MIN), i64::from(i16::MAX)),
        "i32" => whole(i64::from(i32::MIN), i64::from(i32::MAX)),
        "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other if other.starts_with("enum ") => "a string".to_owned(),
        _ => expected,
    }
}

fn whole(from: i64, to: i64) -> String {
    format!("a whole number from {from} to {to}")
}

fn given(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value:?}"),
        Unexpected::Str(text) => {
            let shown = cut(text);
            format!("the string {shown:?}{}", if shown.len() < text.len() { " …" } else { "" })
        }
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}
