//! `dsir`: how much likelier a text is among target texts than among those at hand.
//!
//! Xie et al. 2023, "Data selection for language models via importance resampling" (arXiv 2302.03169): texts are bags of
//! hashed unigrams and bigrams in 10,000 buckets, drawn from one distribution over buckets for the target and one for
//! the raw data; the log importance weight of a text is the sum of log(p_target / p_raw) over its n-grams. The raw
//! distribution is learnt in a survey of the data that are cleaned.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        spec::{Built, Column, Settings},
    },
    each_text,
    ngrams::each_ngram,
    score_name, text_column,
};
use crate::{Error, Hash, Result};
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "dsir";

/// Added to each probability, as in the paper's code, so that what was never seen has one.
const SMOOTHING: f64 = 1e-8;

/// What the score is a sum over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    /// All n-grams: the log importance weight, as the paper resamples by; it grows with the text.
    #[default]
    Text,
    /// Their mean, which compares texts of different lengths.
    Ngram,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    target: String,
    target_column: Option<String>,
    buckets: Option<usize>,
    #[serde(default)]
    per: Per,
    threshold: Option<f64>,
    score: Option<String>,
}

#[derive(Debug)]
struct Dsir {
    column: Column,
    score: String,
    per: Per,
    threshold: Option<f64>,
    target: Bag,
    /// By bucket, log(p_target / p_raw).
    log_ratio: Vec<f64>,
}

/// How many n-grams fall into each bucket.
#[derive(Clone, Debug, PartialEq)]
struct Bag {
    counts: Vec<u64>,
    word: String,
}

impl Bag {
    fn new(buckets: usize) -> Self {
        Self { counts: vec![0; buckets], word: String::new() }
    }

    fn add(&mut self, text: &str) {
        let Self { counts, word } = self;
        let buckets = counts.len() as u64;
        each_ngram(text, word, |hash| counts[(hash % buckets) as usize] += 1);
    }

    fn probabilities(&self) -> impl Iterator<Item = f64> {
        let total: u64 = self.counts.iter().sum();
        let total = total.max(1) as f64;
        self.counts.iter().map(move |&count| count as f64 / total + SMOOTHING)
    }
}

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { target: url, target_column, buckets, per, threshold, score } = settings.read()?;
    let column = text_column(&mut settings)?;
    let score = score_name(score, NAME)?;
    let buckets = buckets.unwrap_or(10_000);
    if !(1..=1 << 24).contains(&buckets) {
        return Err(format!("`buckets` = {buckets}: must be at least 1 and at most {}", 1 << 24));
    }
    if threshold.is_some_and(f64::is_nan) {
        return Err("`threshold` must be a number".to_owned());
    }
    let mut target = Bag::new(buckets);
    let name = target_column.as_deref().unwrap_or(&column.name);
    each_text(&settings, &url, name, &mut |text| target.add(text))?;
    Ok(Built::Pure(Box::new(Dsir { column, score, per, threshold, target, log_ratio: Vec::new() })))
}

impl Operator for Dsir {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let bytes: Vec<u8> = self.target.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        format!(
            "column = {:?}, score = {:?}, per = {:?}, threshold = {:?}, target = {}",
            self.column.name,
            self.score,
            self.per,
            self.threshold,
            Hash::of(&bytes)
        )
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_least(format!("low_importance:{}", self.column.name))]
    }

    fn scores(&self) -> Vec<String> {
        vec![self.score.clone()]
    }

    fn survey(&self) -> Option<Survey> {
        Some(Survey::new(Raw { column: self.column.clone(), bag: Bag::new(self.target.counts.len()) }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        let (counts, rest) = fit.as_chunks::<8>();
        if counts.len() != self.target.counts.len() || !rest.is_empty() {
            return Err(Error::State(format!("not a fit of operator `{NAME}` with so many buckets")));
        }
        let counts = counts.iter().map(|&count| u64::from_le_bytes(count)).collect();
        let raw = Bag { counts, word: String::new() };
        let ratio = |(target, raw): (f64, f64)| libm::log(target) - libm::log(raw);
        self.log_ratio = self.target.probabilities().zip(raw.probabilities()).map(ratio).collect();
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let texts = rows.texts(self.column.index)?;
        let mut word = String::new();
        let buckets = self.log_ratio.len() as u64;
        if buckets == 0 {
            return Ok(());
        }
        for row in rows.iter() {
            let Some(text) = texts.get(row) else { continue };
            let (mut sum, mut count) = (0.0, 0_u64);
            each_ngram(text, &mut word, |hash| {
                sum += self.log_ratio[(hash % buckets) as usize];
                count += 1;
            });
            let score = match self.per {
                Per::Text => sum,
                Per::Ngram => sum / count.max(1) as f64,
            };
            findings.score(row, 0, score as f32);
            if let Some(threshold) = self.threshold {
                findings.hold(score < threshold, row, 0, score, threshold);
            }
        }
        Ok(())
    }
}

/// The survey: the n-grams of the data at hand.
#[derive(Debug)]
struct Raw {
    column: Column,
    bag: Bag,
}

impl Sketch for Raw {
    type Part = Vec<u64>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let texts = rows.texts(self.column.index)?;
        let mut bag = Bag::new(self.bag.counts.len());
        rows.iter().filter_map(|row| texts.get(row)).for_each(|text| bag.add(text));
        Ok(bag.counts)
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        self.bag.counts.iter_mut().zip(part).for_each(|(count, added)| *count += added);
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        Ok(self.bag.counts.iter().flat_map(|count| count.to_le_bytes()).collect())
    }
}

#[cfg(test)]
mod tests;
