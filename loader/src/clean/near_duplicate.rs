//! `near_duplicate`: a document whose MinHash signature shares a band with that of an earlier one.
//!
//! With its defaults it finds the pairs that datatrove finds: shingles of five words of the simplified text, 14 bands of
//! 8 minima, so that two documents of Jaccard similarity s match with the probability 1 − (1 − s⁸)¹⁴. A document with
//! fewer words than a shingle has none, and is nobody's duplicate. Candidates are not compared any further.

use super::{
    Rows, Rule,
    index::{BandBloom, BandIndex, bloom_undo, exact_bytes, exact_undo},
    matcher::{Extent, Index, Keys, Matcher, Undo},
    minhash::MinHash,
    shingles::{ShingleHash, Shingler, Tokens},
    spec::{Built, Column, Settings},
    texts::is_text,
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "near_duplicate";

/// The most minima of a signature.
const MOST_HASHES: usize = 4096;

/// What a Bloom index takes where the recipe does not say.
const BLOOM_BYTES: u64 = 64 << 20;

/// How many shingles wait for the hash functions.
const WAITING: usize = 512;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    n: usize,
    bands: usize,
    hashes_per_band: usize,
    tokens: Tokens,
    hash: ShingleHash,
    seed: u32,
    index: Kind,
    false_positive: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Exact,
    Bloom,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            n: 5,
            bands: 14,
            hashes_per_band: 8,
            tokens: Tokens::default(),
            hash: ShingleHash::default(),
            seed: 1,
            index: Kind::Exact,
            false_positive: 0.001,
        }
    }
}

struct NearDuplicate {
    column: Column,
    options: Options,
    minhash: MinHash,
    budget: Option<u64>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let column = one_text_column(&mut settings)?;
    for (name, number) in [("n", options.n), ("bands", options.bands), ("hashes_per_band", options.hashes_per_band)] {
        if !(1..=MOST_HASHES).contains(&number) {
            return Err(format!("`{name}` = {number}: must be at least 1 and at most {MOST_HASHES}"));
        }
    }
    if options.bands * options.hashes_per_band > MOST_HASHES {
        return Err(format!("`bands` times `hashes_per_band` is more than {MOST_HASHES}"));
    }
    if !(1e-9..=0.5).contains(&options.false_positive) {
        return Err(format!("`false_positive` = {}: must be at least 1e-9 and at most 0.5", options.false_positive));
    }
    let minhash = MinHash::new(options.seed, options.bands, options.hashes_per_band);
    Ok(Built::Matching(Box::new(NearDuplicate { column, minhash, budget: settings.memory, options })))
}

/// The one column of an operator that judges one column of text.
pub(super) fn one_text_column(settings: &mut Settings<'_>) -> Result<Column, String> {
    let mut columns = settings.columns()?;
    match columns.pop() {
        Some(column) if columns.is_empty() => match is_text(&column.data_type) {
            true => Ok(column),
            false => Err(format!("column `{}` holds {}; it judges text", column.name, column.data_type)),
        },
        _ => Err("it judges one column: name one, and add a `[[clean]]` table for each other".to_owned()),
    }
}

impl NearDuplicate {
    fn bloom_bytes(&self) -> u64 {
        self.budget.unwrap_or(BLOOM_BYTES)
    }
}

impl Matcher for NearDuplicate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        format!("column = {:?}, {:?}", self.column.name, self.options)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_most(NAME)]
    }

    fn keys(&self, rows: &Rows<'_>) -> Result<Keys> {
        let Options { n, bands, tokens, hash, .. } = self.options;
        let texts = rows.texts(self.column.index)?;
        let mut shingler = Shingler::new(tokens, n, hash);
        let mut keys = Keys::with_capacity(rows.len(), bands);
        let (empty, mut waiting) = (self.minhash.empty(), Vec::with_capacity(WAITING));
        let mut signature = empty.clone();
        for row in 0..rows.len() {
            if let Some(text) = texts.get(row).filter(|_| rows.reaches(row)) {
                signature.copy_from_slice(&empty);
                let words = shingler.for_each(text, |_, hash| {
                    waiting.push(hash);
                    if waiting.len() == WAITING {
                        self.minhash.add(&mut signature, &waiting);
                        waiting.clear();
                    }
                });
                self.minhash.add(&mut signature, &waiting);
                waiting.clear();
                if words >= n {
                    self.minhash.bands(&signature).for_each(|key| keys.push(key));
                }
            }
            keys.end_row();
        }
        Ok(keys)
    }

    fn index(&self) -> Box<dyn Index> {
        let Options { bands, index, false_positive, .. } = self.options;
        match index {
            Kind::Exact => Box::new(BandIndex::new(bands, self.budget)),
            Kind::Bloom => Box::new(BandBloom::new(bands, self.bloom_bytes(), false_positive)),
        }
    }

    fn restore(&self, bytes: &[u8]) -> Option<Box<dyn Index>> {
        let Options { bands, index, false_positive, .. } = self.options;
        Some(match index {
            Kind::Exact => Box::new(BandIndex::from_bytes(bands, self.budget, bytes)?),
            Kind::Bloom => Box::new(BandBloom::from_bytes(bands, self.bloom_bytes(), false_positive, bytes)?),
        })
    }

    fn index_bytes(&self, rows: u64) -> u64 {
        match self.options.index {
            Kind::Exact => exact_bytes(rows, self.options.bands).min(self.budget.unwrap_or(u64::MAX)),
            Kind::Bloom => self.bloom_bytes(),
        }
    }

    fn undo(&self, block: Extent, all: Extent) -> Undo {
        let Options { bands, index, false_positive, .. } = self.options;
        match index {
            Kind::Exact => exact_undo(bands, self.budget, block.rows, all.rows),
            Kind::Bloom => bloom_undo(bands, self.bloom_bytes(), false_positive, block.rows, all.rows),
        }
    }
}
