//! burn's own examples before and after plugging Arable in: both train, and few lines differ.
//!
//! The sources are written afresh in the shape of burn's examples, since these download data and are long; what a reader
//! would change is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fmt::Write, fs, path::Path};

use arable_loader::{Recipe, Stream};
use burn::data::dataset::InMemDataset;
use serde::de::DeserializeOwned;

#[allow(dead_code, unreachable_pub, reason = "they are programs of users")]
mod burn_examples {
    pub(crate) mod mnist_after;
    pub(crate) mod mnist_before;
    pub(crate) mod text_classification_after;
    pub(crate) mod text_classification_before;
    pub(crate) mod text_generation_after;
    pub(crate) mod text_generation_before;
}
use burn_examples::{
    mnist_after, mnist_before, text_classification_after, text_classification_before, text_generation_after,
    text_generation_before,
};

/// The most lines that plugging in may change, with that in `Cargo.toml`.
const MOST: usize = 10;

/// The page that shows what changes.
const PAGE: &str = include_str!("../../docs/burn.md");

/// The line that `Cargo.toml` needs.
const DEPENDENCY: &str = "+arable-trainer = ";

/// The lines that differ, as a diff without context shows them: by the longest common subsequence.
fn changes(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // common[i][j]: how many lines of before[i..] and after[j..] are common, in order.
    let mut common = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i][j] =
                if before[i] == after[j] { 1 + common[i + 1][j + 1] } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || i < before.len() && common[i + 1][j] >= common[i][j + 1] {
            changes.push(format!("-{}", before[i]));
            i += 1;
        } else {
            changes.push(format!("+{}", after[j]));
            j += 1;
        }
    }
    changes
}

#[test]
fn plugging_in_changes_few_lines_and_the_page_shows_all_of_them() {
    let examples = [
        ("mnist", include_str!("burn_examples/mnist_before.rs"), include_str!("burn_examples/mnist_after.rs")),
        (
            "text-classification",
            include_str!("burn_examples/text_classification_before.rs"),
            include_str!("burn_examples/text_classification_after.rs"),
        ),
        (
            "text-generation",
            include_str!("burn_examples/text_generation_before.rs"),
            include_str!("burn_examples/text_generation_after.rs"),
        ),
    ];
    for (name, before, after) in examples {
        let changes = changes(before, after);
        let new = changes.iter().filter(|line| line.starts_with('+')).count() + 1;
        let old = changes.len() + 1 - new;
        let diff = changes.join("\n");
        assert!((4..=MOST).contains(&new) && old <= MOST, "{name}: {new} new lines for {old}:\n{diff}");

        let section = PAGE.split("\n### ").find(|section| section.starts_with(&format!("`{name}`"))).expect(name);
        assert!(section.contains(&format!("```diff\n{diff}\n```")), "{name}: docs/burn.md should show\n{diff}");
        assert!(PAGE.contains(DEPENDENCY));
    }
}

/// The rows of `lines` as a stream for two epochs, from a file in `folder`; and as items of burn's.
fn data<I: DeserializeOwned + Clone + Send + Sync>(
    lines: &[String],
    batch: usize,
    folder: &Path,
) -> (Stream, InMemDataset<I>) {
    let file = folder.join("data.jsonl");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let recipe = Recipe::new(file.to_str().unwrap()).batch_size(batch as u32).epochs(2);
    (recipe.open().unwrap(), items(lines))
}

fn items<I: DeserializeOwned + Clone + Send + Sync>(lines: &[String]) -> InMemDataset<I> {
    InMemDataset::new(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn mnist_trains_before_and_after() {
    let lines: Vec<_> = (0..48)
        .map(|row| {
            let mut image = String::new();
            for pixel in 0..64 {
                write!(image, "{}{}.0", if pixel > 0 { "," } else { "" }, (row * 31 + pixel * row) % 256).unwrap();
            }
            format!("{{\"image\":[{image}],\"label\":{}}}", row % 10)
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let (stream, valid) = data(&lines, 16, folder.path());
    mnist_after::train(folder.path(), &mnist_after::TrainingConfig::new(), stream, valid);
    let config = mnist_before::TrainingConfig::new();
    mnist_before::train(&folder.path().join("before"), &config, items(&lines), items(&lines));
}

/// Texts of two kinds.
fn texts() -> Vec<String> {
    let text = |row: usize| if row.is_multiple_of(2) { "rain on the field" } else { "a dry and stony hill" };
    (0..32).map(|row| format!("{{\"text\":\"{} {row}\",\"label\":{}}}", text(row), row % 2)).collect()
}

#[test]
fn text_classification_trains_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, valid) = data(&texts(), 8, folder.path());
    text_classification_after::train(folder.path(), &text_classification_after::ExperimentConfig::new(), stream, valid);
    let config = text_classification_before::ExperimentConfig::new();
    text_classification_before::train(&folder.path().join("before"), &config, items(&texts()), items(&texts()));
}

#[test]
fn text_generation_trains_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, valid) = data(&texts(), 8, folder.path());
    text_generation_after::train(folder.path(), &text_generation_after::ExperimentConfig::new(), stream, valid);
    let config = text_generation_before::ExperimentConfig::new();
    text_generation_before::train(&folder.path().join("before"), &config, items(&texts()), items(&texts()));
}
