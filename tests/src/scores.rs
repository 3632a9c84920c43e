//! How well `quality` tells kinds of real texts apart that it has not seen.

use arable_loader::clean::QualityModel;
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

#[derive(Deserialize)]
struct Review {
    text: String,
    label: String,
}

/// Every `step`th review of a compressed file of JSON lines.
fn reviews(path: &Path, step: usize) -> Vec<Review> {
    let mut unpacked = zstd::Decoder::new(File::open(path).unwrap()).unwrap();
    unpacked.window_log_max(27).unwrap();
    let lines = BufReader::new(unpacked).lines().step_by(step);
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// The area under the ROC curve of a model that learns good from bad reviews of films from every `step`th training
/// review, and scores every `step`th test review. `folder` holds `train.jsonl.zst` and `test.jsonl.zst`.
#[must_use]
pub fn reviews_auroc(folder: &Path, step: usize) -> f64 {
    let train = reviews(&folder.join("train.jsonl.zst"), step);
    let of_label = |label: &'static str| {
        train.iter().filter(move |review| review.label == label).map(|review| review.text.as_str())
    };
    let model = QualityModel::train(of_label("pos"), of_label("neg"), 18, 5).unwrap();
    let test = reviews(&folder.join("test.jsonl.zst"), step);
    let mut scored: Vec<(f64, bool)> =
        test.iter().map(|review| (model.score(&review.text), review.label == "pos")).collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    auroc(&scored)
}

/// The share of pairs of a good and a bad one in which the good one has the higher score; ascending by score.
fn auroc(scored: &[(f64, bool)]) -> f64 {
    let (mut bad, mut pairs) = (0_u64, 0_u64);
    for &(_, good) in scored {
        if good { pairs += bad } else { bad += 1 }
    }
    pairs as f64 / (bad as f64 * (scored.len() as u64 - bad) as f64)
}
