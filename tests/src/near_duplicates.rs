//! How well near duplicates are found: `near_duplicate` on pairs of real documents, beside their exact Jaccard
//! similarity and the S-curve that its parameters predict.
//!
//! The texts are versions of terms of service: each pair of versions of one document, and each text beside one of another
//! document. A pair is judged by itself, so that nothing is known but the two.

use arable_loader::clean::{Cleaner, Judged, OperatorSpec, shingles};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
};

/// Pairs whose exact similarity lies in one stretch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Where it begins; it ends where the next one begins.
    pub from: f64,
    /// How many pairs lie in it.
    pub pairs: usize,
    /// How many of them should be found: the sum of 1 − (1 − s⁸)¹⁴.
    pub expected: f64,
    /// How many were found with each seed.
    pub found: Vec<usize>,
}

impl Stretch {
    fn new(from: f64, seeds: usize) -> Self {
        Self { from, found: vec![0; seeds], ..Self::default() }
    }

    /// How many were found, on average over the seeds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.found.iter().sum::<usize>() as f64 / self.found.len().max(1) as f64
    }

    /// The standard deviation of that number from seed to seed. Pairs share texts, so that it is far greater than of as
    /// many independent ones.
    #[must_use]
    pub fn sd(&self) -> f64 {
        let squares: f64 = self.found.iter().map(|&found| (found as f64 - self.mean()).powi(2)).sum();
        (squares / (self.found.len().max(2) - 1) as f64).sqrt()
    }
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
}

impl Pairs {
    fn sum(&self, from: f64, of: impl Fn(&Stretch) -> f64) -> f64 {
        self.stretches.iter().filter(|stretch| stretch.from >= from).map(of).sum()
    }

    /// Pairs that are [`ALIKE`].
    #[must_use]
    pub fn alike(&self) -> f64 {
        self.sum(ALIKE, |stretch| stretch.pairs as f64)
    }

    /// The share of the pairs that are alike which is found, and what the parameters predict for it.
    #[must_use]
    pub fn recall(&self) -> (f64, f64) {
        let alike = self.alike().max(1.0);
        (self.sum(ALIKE, Stretch::mean) / alike, self.sum(ALIKE, |stretch| stretch.expected) / alike)
    }

    /// The share of the pairs found that are alike, and what the parameters predict for it.
    #[must_use]
    pub fn precision(&self) -> (f64, f64) {
        let expected = |stretch: &Stretch| stretch.expected;
        (
            self.sum(ALIKE, Stretch::mean) / self.sum(0.0, Stretch::mean).max(1.0),
            self.sum(ALIKE, expected) / self.sum(0.0, expected).max(1.0),
        )
    }
}

#[derive(Deserialize)]
struct Line {
    document: String,
    version: u32,
    text: String,
}

/// A text, judged by itself with each seed, and its shingles, each once and in order.
struct Known {
    judged: Vec<Judged>,
    shingles: Vec<u64>,
}

/// All pairs of versions of every `step`th document in `file` (`terms.jsonl.zst`), and each of their texts beside the last
/// one of the document before; texts above `most` bytes, and those without a shingle, are left out. The hash functions
/// are those of the seeds 1 to `seeds`.
#[must_use]
pub fn near_duplicates(file: &Path, step: usize, most: usize, seeds: usize) -> Pairs {
    let mut decoder = zstd::Decoder::new(File::open(file).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut documents: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
    for line in BufReader::new(decoder).lines() {
        let Line { document, version, text } = serde_json::from_str(&line.unwrap()).unwrap();
        let versions = documents.entry(document).or_default();
        if text.len() <= most {
            versions.insert(version, text);
        }
    }
    let column: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    let schema = RecordBatch::try_from_iter([("text", column)]).unwrap().schema();
    let cleaner = |seed: usize| {
        let options = toml::from_str(&format!("column = 'text'\nseed = {seed}")).unwrap();
        Cleaner::new(&[OperatorSpec { op: "near_duplicate".to_owned(), options }], &schema).unwrap()
    };
    let cleaners: Vec<Cleaner> = (1..=seeds).map(cleaner).collect();
    let mut pairs = Pairs { stretches: FROM.map(|from| Stretch::new(from, seeds)).to_vec() };
    let mut other: Option<Known> = None;
    for versions in documents.values().step_by(step.max(1)) {
        let known = versions.values().map(|text| Known::new(&cleaners, text));
        let mut known: Vec<Known> = known.filter(|known| !known.shingles.is_empty()).collect();
        for (at, one) in known.iter().enumerate() {
            known[at + 1..].iter().chain(&other).for_each(|other| pairs.add(&cleaners, one, other));
        }
        other = known.pop().or(other);
    }
    pairs
}

impl Known {
    fn new(cleaners: &[Cleaner], text: &str) -> Self {
        let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let data = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let judged = cleaners.iter().map(|cleaner| cleaner.judge(&data, &[]).unwrap()).collect();
        let mut shingles = shingles(text, 5);
        shingles.sort_unstable();
        shingles.dedup();
        Self { judged, shingles }
    }

    /// The Jaccard similarity of the shingles.
    fn similarity(&self, other: &Self) -> f64 {
        let shared = self.shingles.iter().filter(|&shingle| other.shingles.binary_search(shingle).is_ok()).count();
        shared as f64 / (self.shingles.len() + other.shingles.len() - shared) as f64
    }
}

impl Pairs {
    fn add(&mut self, cleaners: &[Cleaner], one: &Known, other: &Known) {
        let similarity = one.similarity(other);
        let stretch = self.stretches.iter_mut().rev().find(|stretch| similarity >= stretch.from).unwrap();
        stretch.pairs += 1;
        stretch.expected += 1.0 - (1.0 - similarity.powi(8)).powi(14);
        for (seed, cleaner) in cleaners.iter().enumerate() {
            let mut memory = cleaner.memory();
            cleaner.settle(0, &one.judged[seed], &mut memory);
            stretch.found[seed] += cleaner.settle(1, &other.judged[seed], &mut memory).dropped.len();
        }
    }
}
