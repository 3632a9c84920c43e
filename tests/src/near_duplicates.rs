//! How well near duplicates are found: `near_duplicate` on pairs of real documents, beside their exact Jaccard
//! similarity and the S-curve that its parameters predict.
//!
//! The documents are versions of terms of service: one of a document beside the next, and beside one of another
//! document. A pair is judged by itself, so that nothing is known but the two.

use arable_loader::clean::{Cleaner, OperatorSpec, shingles};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
};

/// Pairs whose exact similarity lies in one stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Where it begins; it ends where the next one begins.
    pub from: f64,
    /// How many pairs lie in it.
    pub pairs: usize,
    /// How many of them should be found: the sum of 1 − (1 − s⁸)¹⁴.
    pub expected: f64,
    /// The variance of that number, if pairs were found independently.
    pub variance: f64,
    /// How many were found.
    pub found: usize,
}

/// Where the stretches begin.
const FROM: [f64; 9] = [0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

/// The similarity from which on two documents count as near duplicates, for recall and precision.
pub const ALIKE: f64 = 0.8;

/// What became of all pairs.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// By similarity.
    pub stretches: Vec<Stretch>,
    /// Pairs of at least [`ALIKE`] similarity, and the number of them that is expected to be found.
    pub alike: (usize, f64),
    /// The pairs found that are at least that alike, and all pairs found.
    pub right: (usize, usize),
    /// The pairs that are expected to be found.
    pub expected: f64,
}

impl Pairs {
    /// The share of the pairs that are alike which is found.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.right.0 as f64 / self.alike.0.max(1) as f64
    }

    /// What the parameters predict for it.
    #[must_use]
    pub fn expected_recall(&self) -> f64 {
        self.alike.1 / self.alike.0.max(1) as f64
    }

    /// The share of the pairs found that are alike.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.right.0 as f64 / self.right.1.max(1) as f64
    }

    /// What the parameters predict for it.
    #[must_use]
    pub fn expected_precision(&self) -> f64 {
        self.alike.1 / self.expected.max(1e-9)
    }
}

#[derive(Deserialize)]
struct Line {
    document: String,
    text: String,
}

/// Every `step`th pair of neighbouring lines in `file` (`terms.jsonl.zst`), and as many of lines far apart; texts above
/// `most` bytes are left out.
#[must_use]
pub fn near_duplicates(file: &Path, step: usize, most: usize) -> Pairs {
    let mut decoder = zstd::Decoder::new(File::open(file).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let lines = BufReader::new(decoder).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let lines: Vec<Line> = lines.filter(|line: &Line| line.text.len() <= most).collect();
    let column: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    let schema = RecordBatch::try_from_iter([("text", column)]).unwrap().schema();
    let options = toml::from_str("column = 'text'").unwrap();
    let cleaner = Cleaner::new(&[OperatorSpec { op: "near_duplicate".to_owned(), options }], &schema).unwrap();
    let mut pairs = Pairs::default();
    pairs.stretches.extend(FROM.map(|from| Stretch { from, ..Stretch::default() }));
    for at in (0..lines.len()).step_by(step.max(1)) {
        for other in [at + 1, at + lines.len() / 2] {
            let (one, other) = (&lines[at], &lines[other % lines.len()]);
            if one.document != other.document || one.text != other.text {
                pairs.add(&cleaner, &one.text, &other.text);
            }
        }
    }
    pairs
}

impl Pairs {
    fn add(&mut self, cleaner: &Cleaner, one: &str, other: &str) {
        let sets = [one, other].map(|text| shingles(text, 5).into_iter().collect::<BTreeSet<u64>>());
        let shared = sets[0].intersection(&sets[1]).count();
        let union = sets[0].len() + sets[1].len() - shared;
        if sets.iter().any(BTreeSet::is_empty) {
            return;
        }
        let similarity = shared as f64 / union as f64;
        let chance = 1.0 - (1.0 - similarity.powi(8)).powi(14);
        let column: ArrayRef = Arc::new(StringArray::from(vec![one, other]));
        let data = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let judged = cleaner.judge(&data, &[]).unwrap();
        let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
        let found = !settled.dropped.is_empty();
        let stretch = self.stretches.iter_mut().rev().find(|stretch| similarity >= stretch.from).unwrap();
        stretch.pairs += 1;
        stretch.expected += chance;
        stretch.variance += chance * (1.0 - chance);
        stretch.found += usize::from(found);
        self.expected += chance;
        self.right.1 += usize::from(found);
        if similarity >= ALIKE {
            self.alike.0 += 1;
            self.alike.1 += chance;
            self.right.0 += usize::from(found);
        }
    }
}
