//! What the trainings of the language model came to: a table for people, one JSON object for programs.

use crate::seeds::{ONE_SEED, Told};
use arable_loader::{
    ledger::Account,
    report::{Align, Table, accounting, numbers::count},
};
use serde::Serialize;
use std::path::PathBuf;

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LanguageRun {
    /// Its key in the JSON object.
    #[serde(skip)]
    pub key: &'static str,
    /// Its name in the table.
    #[serde(skip)]
    pub name: &'static str,
    /// Bits a byte on the held-out documents of each domain.
    pub bits_per_byte: Vec<f64>,
    /// Wall time of its steps.
    pub seconds: f64,
    /// The domains' shares in force at its end; empty for plain burn.
    pub shares: Vec<f64>,
    /// Documents of each domain that it was given; empty for plain burn.
    pub documents: Vec<u64>,
    /// Where it was written down; nowhere for plain burn.
    pub ledger: Option<PathBuf>,
}

impl LanguageRun {
    /// The mean over the domains, each counted alike.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.bits_per_byte.iter().sum::<f64>() / self.bits_per_byte.len().max(1) as f64
    }
}

/// What the trainings came to.
#[derive(Clone, Debug)]
pub struct LanguageOutcome {
    /// The seed of everything.
    pub seed: u64,
    /// What is wrong with the texts, in a sentence.
    pub dirt: String,
    /// Optimiser steps of each training.
    pub steps: u32,
    /// What the held-out documents are called.
    pub held_name: &'static str,
    /// The domains' names.
    pub domains: Vec<String>,
    /// What became of each document.
    pub rows: Account,
    /// The trainings, plain burn first.
    pub runs: Vec<LanguageRun>,
}

impl LanguageOutcome {
    /// The training whose key is `key`.
    #[must_use]
    pub fn run(&self, key: &str) -> Option<&LanguageRun> {
        self.runs.iter().find(|run| run.key == key)
    }

    /// The outcome as one JSON object: each training stands under its key.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "task": "language_model",
            "seed": self.seed,
            "steps": self.steps,
            "evaluated_on": self.held_name,
            "domains": self.domains,
            "rows": self.rows,
        });
        for run in &self.runs {
            json[run.key] = serde_json::json!(run);
        }
        json
    }

    /// The outcome as text, with a line end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("\nlanguage_model, seed {}. {}\n\n", self.seed, self.dirt);
        let documents = self.runs.iter().find(|run| !run.documents.is_empty());
        let documents = documents.map_or(0, |run| run.documents.iter().sum());
        text += &accounting(&self.rows, documents).to_string();
        text += &format!(
            "\nEach training: the same initial weights, {} optimiser steps; bits a byte on the {} documents of each \
             domain, licences cut out (lower is better).\n\n",
            count(u64::from(self.steps)),
            self.held_name,
        );
        let names = self.domains.iter().map(String::as_str);
        let columns: Vec<(&str, Align)> = std::iter::once(("training", Align::Left))
            .chain(names.chain(["mean", "seconds"]).map(|name| (name, Align::Right)))
            .collect();
        let mut table = Table::new(columns);
        for run in &self.runs {
            let mut row = vec![run.name.to_owned()];
            row.extend(run.bits_per_byte.iter().chain([&run.mean()]).map(|bits| format!("{bits:.3}")));
            row.push(format!("{:.1}", run.seconds));
            table.row(row);
        }
        text += &table.to_string();
        text += "\nPlain burn sees the domains as large as they are, licences and all.\n";
        for run in self.runs.iter().filter(|run| !run.shares.is_empty()) {
            let domains = self.domains.iter().zip(run.shares.iter().zip(&run.documents));
            let domains = domains.map(|(name, (share, documents))| {
                format!("{name} {:.1} % at the end, {} documents", 100.0 * share, count(*documents))
            });
            text += &format!("{}: {}.\n", run.name, domains.collect::<Vec<_>>().join("; "));
        }
        text += &self.verdict();
        text
    }

    /// Which training tells the domains better than the ones before it, and which does not.
    fn verdict(&self) -> String {
        let mut text = String::new();
        let against = |run: &LanguageRun, other: &LanguageRun| {
            let bits = run.mean() - other.mean();
            let word = match bits {
                _ if bits.abs() < 5e-4 => "the same",
                _ if bits < 0.0 => "better",
                _ => "WORSE",
            };
            format!("{}: {bits:+.3} bits a byte than {}, which is {word}.\n", run.name, other.name)
        };
        if let Some((plain, others)) = self.runs.split_first() {
            others.iter().for_each(|run| text += &against(run, plain));
            if let Some(fixed) = self.run("fixed") {
                others.iter().filter(|run| run.key != fixed.key).for_each(|run| text += &against(run, fixed));
            }
        }
        text + ONE_SEED
    }
}

impl Told for LanguageOutcome {
    const MEASURED: &'static str = "bits a byte, mean over the domains";
    const DIGITS: usize = 3;

    fn told(&self) -> (String, serde_json::Value) {
        (self.text(), self.json())
    }

    fn numbers(&self) -> Vec<(String, f64)> {
        self.runs.iter().map(|run| (run.name.to_owned(), run.mean())).collect()
    }
}
