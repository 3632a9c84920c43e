//! What judging a block found, as bytes for a cache: everything but the rows themselves.
//!
//! Names are not in it; they are those of the operators whose fingerprint the cache is keyed by.

use super::{
    Cleaner, Judged,
    findings::Flag,
    judged::{Found, Label},
};
use crate::{Error, Keep, Result};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

/// The layout's version, first in the bytes.
const VERSION: u8 = 1;

/// As [`Stored`], of what is borrowed: the keys of a block may be as large as its text.
#[derive(Serialize)]
struct Storing<'a> {
    version: u8,
    rows: u32,
    #[serde(with = "serde_bytes")]
    readable: &'a [u8],
    found: &'a [Found],
    passed: &'a [Vec<Flag>],
    repaired: &'a [Vec<u32>],
    scores: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Stored {
    version: u8,
    rows: u32,
    #[serde(with = "serde_bytes")]
    readable: Vec<u8>,
    found: Vec<Found>,
    passed: Vec<Vec<Flag>>,
    repaired: Vec<Vec<u32>>,
    /// As bits, NaN among them.
    scores: Vec<Vec<u32>>,
}

impl Judged {
    /// The findings as bytes.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where they cannot be written down.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let readable = Keep::from_fn(self.rows(), |row| self.readable[row as usize]);
        let stored = Storing {
            version: VERSION,
            rows: self.rows(),
            readable: readable.as_bytes(),
            found: &self.found,
            passed: &self.passed,
            repaired: &self.repaired,
            scores: self.scores.iter().map(|score| score.iter().map(|value| value.to_bits()).collect()).collect(),
        };
        postcard::to_stdvec(&stored).map_err(|error| Error::State(format!("verdicts cannot be written down: {error}")))
    }
}

impl Cleaner {
    /// What [`Judged::to_bytes`] wrote of a block of `rows` rows that these operators judged; `None` where `bytes` are
    /// nothing of that kind. It holds no rows: [`Judged::data`] has no columns' values, only the schema.
    #[must_use]
    pub fn judged_from_bytes(&self, bytes: &[u8], rows: u32) -> Option<Judged> {
        let stored: Stored = postcard::from_bytes(bytes).ok()?;
        let readable = Keep::from_bytes(stored.readable, rows)?;
        let operators = self.labels().len();
        let sound = stored.version == VERSION
            && stored.rows == rows
            && stored.found.len() == operators
            && stored.passed.len() == operators
            && stored.repaired.len() == operators
            && stored.scores.len() == self.scores().len()
            && stored.scores.iter().all(|score| score.len() == rows as usize)
            && stored.repaired.iter().flatten().all(|&row| row < rows);
        let fits = |(label, flags): (&Label, &[Flag])| {
            flags.iter().all(|flag| flag.row < rows && (flag.rule as usize) < label.rules.len())
        };
        let found = stored.found.iter().map(|found| match found {
            Found::Flags(flags) => flags.as_slice(),
            Found::Keys(_) => &[],
        });
        let keys_fit = stored.found.iter().all(|found| match found {
            Found::Flags(_) => true,
            Found::Keys(keys) => keys.are_of(rows as usize),
        });
        let labels = self.labels();
        let passed = stored.passed.iter().map(Vec::as_slice);
        if !(sound && keys_fit && labels.iter().zip(found).all(fits) && labels.iter().zip(passed).all(fits)) {
            return None;
        }
        let floats = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect();
        Some(Judged {
            labels: std::sync::Arc::clone(labels),
            readable: (0..rows).map(|row| readable.is_kept(row)).collect(),
            found: stored.found,
            passed: stored.passed,
            repaired: stored.repaired,
            scores: stored.scores.into_iter().map(floats).collect(),
            data: RecordBatch::new_empty(self.schema()),
        })
    }
}
