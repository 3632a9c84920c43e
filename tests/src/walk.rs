//! A stream, written down batch by batch so that two walks can be compared to the byte.

use crate::trainer::select;
use arable_loader::{Batch, Position, Stream};
use arrow::{array::AsArray, datatypes::Int64Type};

/// All that can be told of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// Its data epoch.
    pub epoch: u32,
    /// Where its rows stand.
    pub positions: Vec<Position>,
    /// What they weigh, to the bit.
    pub weights: Vec<u32>,
    /// The column `id`.
    pub ids: Vec<i64>,
    /// Which slots are trained on and what they weigh beside, to the bit, where a policy picks.
    pub picks: Vec<(u32, u32)>,
    /// The hash over positions, weights and column bytes.
    pub hash: String,
}

/// Writes down `batch`.
#[must_use]
pub fn walk_batch(batch: &Batch) -> Line {
    let ids = batch.data.column_by_name("id").unwrap().as_primitive::<Int64Type>();
    Line {
        number: batch.number,
        epoch: batch.epoch,
        positions: batch.positions.to_vec(),
        weights: batch.weights.iter().map(|weight| weight.to_bits()).collect(),
        ids: ids.values().to_vec(),
        picks: picks(batch),
        hash: batch.hash().unwrap().to_string(),
    }
}

/// What is picked of `batch`, to the bit.
fn picks(batch: &Batch) -> Vec<(u32, u32)> {
    if batch.receipt.needs().is_none() {
        return Vec::new();
    }
    select(batch).iter().map(|pick| (pick.index, pick.weight.to_bits())).collect()
}

/// Walks `stream` to its end.
///
/// # Panics
///
/// Where the stream fails.
#[must_use]
pub fn walk(stream: Stream) -> Vec<Line> {
    stream.map(|batch| walk_batch(&batch.unwrap())).collect()
}
