//! The command line of the example `text_classification`.

use crate::{
    Result,
    arguments::{Common, share},
    comparison::Hyper,
    dirt::Dirt,
    outcome::Outcome,
    queries::{self, CLASSES},
    reading::exists,
    texts::{self, Source},
};
use clap::Parser;
use std::path::Path;

/// Trains one bag-of-words model on labelled texts: with burn's own loader, and with Arable cleaning (blank texts,
/// unknown labels, exact and near duplicates, texts of the test rows), observing, and acting on the losses.
///
/// Without --train it runs on GENERATED questions with planted dirt. With it, on Parquet, Arrow, JSON lines, CSV or TSV
/// files (text ones also as .gz or .zst), by path, pattern or URL:
///
/// --train train.csv --test test.csv --text text --label category
#[derive(Clone, Debug, Parser)]
#[command(name = "text_classification", verbatim_doc_comment)]
pub struct Arguments {
    /// Rows to train on: a path, a pattern or a URL. A tenth of their contents is kept out for validation.
    #[arg(long, requires = "test")]
    train: Option<String>,
    /// Rows to measure accuracy on.
    #[arg(long, requires = "train")]
    test: Option<String>,
    /// Column of the texts.
    #[arg(long, default_value = "text")]
    text: String,
    /// Column of the labels, of any kind.
    #[arg(long, default_value = "label")]
    label: String,
    /// Column of the true labels, where both files have one: what is wrong is then known, and measured on.
    #[arg(long, requires = "train")]
    truth: Option<String>,
    /// Without --train: share of wrong labels to plant, 0 to 0.9.
    #[arg(long, default_value_t = 0.2, value_parser = share, conflicts_with = "train")]
    noise: f64,
    /// Without --train: how many questions to generate, 200 to 1,000,000.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000), conflicts_with = "train")]
    rows: u32,
    /// What every example takes.
    #[command(flatten)]
    pub common: Common,
}

/// For the generated questions: what plain burn does best with, of what was tried on the validation split.
pub const HYPER: Hyper = Hyper { epochs: 20, batch: 32, warmup: 5, learning_rate: 1e-3 };
/// For texts by path: the same, found on banking77.
pub const BY_PATH: Hyper = Hyper { epochs: 10, learning_rate: 2e-2, ..HYPER };

impl Arguments {
    /// The same with another seed, say.
    #[must_use]
    pub fn with(&self, common: &Common) -> Self {
        Self { common: common.clone(), ..self.clone() }
    }

    /// What the example does, but for printing.
    ///
    /// # Errors
    ///
    /// A path or column that is not there, labels that are no classes, whatever keeps a training from ending.
    pub fn run(&self) -> Result<Outcome> {
        for url in [&self.train, &self.test].into_iter().flatten() {
            exists(url)?;
        }
        let folder = self.common.folder("text_classification")?;
        let source = match (&self.train, &self.test) {
            (Some(train), Some(test)) => Source {
                train: train.clone(),
                test: test.clone(),
                text: self.text.clone(),
                label: self.label.clone(),
                truth: self.truth.clone(),
                by_path: true,
                dirt: "No dirt was planted: what is wrong here came with the data.".to_owned(),
                planted: serde_json::Value::Null,
            },
            _ => self.generate(&folder)?,
        };
        let hyper = if source.by_path { BY_PATH } else { HYPER };
        texts::comparison(&source, hyper, &self.common)?.run(&folder, &self.common.bars())
    }

    fn generate(&self, folder: &Path) -> Result<Source> {
        let (rows, seed) = (self.rows as usize, self.common.seed);
        let dirt = Dirt { noise: self.noise, duplicates: 0.15, broken: 0.02 };
        queries::generate(rows, seed).plant(dirt, CLASSES, seed).write(&folder.join("train"), 4, 128)?;
        queries::generate(rows / 3, seed ^ 0x7465_7374).write(&folder.join("test"), 1, 1_024)?;
        let url = |part: &str| folder.join(part).join("*.parquet").display().to_string();
        Ok(Source {
            train: url("train"),
            test: url("test"),
            text: "text".to_owned(),
            label: "label".to_owned(),
            truth: Some("truth".to_owned()),
            by_path: false,
            dirt: format!("The texts are GENERATED from phrases. {}", dirt.said(seed)),
            planted: serde_json::to_value(dirt)?,
        })
    }
}
