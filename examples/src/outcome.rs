//! What a comparison came to: a table for people, one JSON object for programs.

use crate::{
    seeds::{ONE_SEED, Told},
    training::Trained,
};
use arable_loader::{
    ledger::Account,
    report::{Align, Table, accounting, numbers::count},
};
use serde::Serialize;
use std::path::PathBuf;

/// One training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Accuracy on the held-out rows after the last epoch, 0 to 1.
    pub accuracy: f64,
    /// Wall time of its steps.
    pub seconds: f64,
    /// Samples that went through a step, presentations counted.
    pub trained: u64,
}

impl Run {
    /// What is reported of `trained`.
    #[must_use]
    pub fn of<M>(trained: &Trained<M>) -> Self {
        Self { accuracy: trained.last(), seconds: trained.seconds, trained: trained.samples }
    }
}

/// What a comparison came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The example's name.
    pub task: &'static str,
    /// The seed of everything.
    pub seed: u64,
    /// What is wrong with the data, in a sentence.
    pub dirt: String,
    /// What was planted; null where nothing was.
    pub planted: serde_json::Value,
    /// Name and number of the held-out rows.
    pub held: (String, usize),
    /// Optimiser steps of each training.
    pub steps: usize,
    /// Epochs of plain burn.
    pub epochs: usize,
    /// What became of each row.
    pub rows: Account,
    /// Plain burn.
    pub burn: Run,
    /// (epoch, accuracy) of plain burn at its best epoch, picked with hindsight.
    pub burn_best: (usize, f64),
    /// Each training with Arable: its key, its name, and what it came to.
    pub runs: Vec<(&'static str, String, Run)>,
    /// How well the observed trajectories ranked the wrong labels.
    pub mislabel_auroc: Option<f64>,
    /// What the rows say whose labels the observed trajectories doubt most, where that can be shown.
    pub suspects: Vec<String>,
    /// Where the last run was written down.
    pub ledger: PathBuf,
}

impl Outcome {
    /// The training with Arable whose key is `key`.
    #[must_use]
    pub fn run(&self, key: &str) -> Option<&Run> {
        self.runs.iter().find(|(known, ..)| *known == key).map(|(.., run)| run)
    }

    /// The outcome as one JSON object: each training with Arable stands under its key.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "task": self.task,
            "seed": self.seed,
            "planted": self.planted,
            "evaluated_on": self.held.0,
            "steps": self.steps,
            "rows": self.rows,
            "burn": self.burn,
            "burn_best": { "accuracy": self.burn_best.1, "epoch": self.burn_best.0 },
            "mislabel_auroc": self.mislabel_auroc,
            "suspects": self.suspects,
            "ledger": self.ledger,
        });
        for (key, _, run) in &self.runs {
            json[key] = serde_json::json!(run);
        }
        json
    }

    /// The outcome as text, with a line end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        text += &format!("\n{}, seed {}. {}\n\n", self.task, self.seed, self.dirt);
        let trained = self.runs.last().map_or(0, |(.., run)| run.trained);
        text += &accounting(&self.rows, trained).to_string();
        text += &format!(
            "\nEach training: the same initial weights, {} optimiser steps; accuracy on {} {}.\n\n",
            count(self.steps as u64),
            count(self.held.1 as u64),
            self.held.0
        );
        let mut table = Table::new([
            ("training", Align::Left),
            ("trained", Align::Right),
            ("accuracy", Align::Right),
            ("against plain", Align::Right),
            ("seconds", Align::Right),
        ]);
        let mut line = |name: &str, run: &Run| {
            let gain = 100.0 * (run.accuracy - self.burn.accuracy);
            table.row([
                name.to_owned(),
                count(run.trained),
                format!("{:.1} %", 100.0 * run.accuracy),
                format!("{gain:+.1} points"),
                format!("{:.1}", run.seconds),
            ]);
        };
        line("plain burn", &self.burn);
        for (_, name, run) in &self.runs {
            line(name, run);
        }
        text += &table.to_string();
        text.push('\n');
        text += &self.verdict();
        let (epoch, best) = self.burn_best;
        text += &format!(
            "Plain burn at its own best epoch ({epoch} of {}), picked with hindsight on these very rows: {:.1} %.\n",
            self.epochs,
            100.0 * best
        );
        match self.mislabel_auroc {
            Some(auroc) => {
                text += &format!(
                    "The observed trajectories rank the wrong labels among the kept rows with an AUROC of {auroc:.4}.\n"
                );
            }
            None => text += "No wrong label is known among the kept rows, so there is no ranking to judge.\n",
        }
        if !self.suspects.is_empty() {
            text += "The labels that the observed trajectories doubt most, for a person to look at:\n";
            self.suspects.iter().for_each(|suspect| text += &format!("  {suspect}\n"));
        }
        text += &format!("The last run was written down in {}\n", self.ledger.display());
        text
    }
}

impl Outcome {
    /// Which training with Arable tells more rows rightly than plain burn does, and which does not.
    fn verdict(&self) -> String {
        let mut text = String::new();
        let rows = self.held.1.max(1) as f64;
        let variance = |run: &Run| run.accuracy * (1.0 - run.accuracy) / rows;
        for (_, name, run) in &self.runs {
            let gain = run.accuracy - self.burn.accuracy;
            // Two standard errors, as if the two were tried on rows of their own: they were tried on the same, so a
            // smaller difference may be real too.
            let chance = 2.0 * (variance(run) + variance(&self.burn)).sqrt();
            let found = if gain.abs() <= chance {
                "level with plain burn, as far as these rows can tell"
            } else if gain > 0.0 {
                "BETTER than plain burn"
            } else {
                "WORSE than plain burn"
            };
            text += &format!("{name}: {found}.\n");
        }
        text + ONE_SEED
    }
}

impl Told for Outcome {
    const MEASURED: &'static str = "accuracy after the last epoch, in %";
    const DIGITS: usize = 1;

    fn told(&self) -> (String, serde_json::Value) {
        (self.text(), self.json())
    }

    fn numbers(&self) -> Vec<(String, f64)> {
        let runs = self.runs.iter().map(|(_, name, run)| (name.clone(), run));
        let runs = std::iter::once(("plain burn".to_owned(), &self.burn)).chain(runs);
        runs.map(|(name, run)| (name, 100.0 * run.accuracy)).collect()
    }
}

/// What `main` ends with: an error is said in one line on standard error.
#[must_use]
#[expect(clippy::print_stderr, reason = "this is where errors go")]
pub fn finish(result: crate::Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
