//! Length bucketing: the rows of a few batches together are put in order of their length, so that rows of one batch are
//! about as long as one another and little of it is padding.
//!
//! A group of batches never reaches over the end of a window, so where bucketing stands is two numbers: the group's first
//! row, and how many of its batches have been emitted.

use crate::{Error, Purpose, Randomness, Result, sample};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, new_empty_array},
    compute::{cast, kernels::length::length},
    datatypes::{DataType, Int64Type, SchemaRef},
};

/// Rows of like length in one batch, for [`StreamBuilder::bucket`](super::StreamBuilder::bucket).
///
/// The rows of `batches` batches are sorted by the length of `column` (items of a list, bytes of a text or a binary),
/// cut into batches, and the batches put in a random order. Which rows an epoch emits, and how often, does not change. A
/// group ends with its window; what a window has left that fills no batch goes with the next window's first rows,
/// unsorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// The column whose length counts.
    pub column: String,
    /// Batches that are sorted together; at least 1.
    pub batches: u32,
}

impl Buckets {
    /// Groups of `batches` batches, sorted by the length of `column`.
    #[must_use]
    pub fn new(column: impl Into<String>, batches: u32) -> Self {
        Self { column: column.into(), batches }
    }

    /// All that decides what is emitted, canonically.
    pub(super) fn fingerprint(&self) -> String {
        format!("buckets 1 {:?} {}", self.column, self.batches)
    }

    /// The column's index among those of `input`, where it has a length.
    pub(super) fn column_of(&self, input: &SchemaRef) -> Result<usize> {
        if self.batches == 0 {
            return Err(Error::recipe("bucketing: `batches` = 0: at least 1 batch makes a group"));
        }
        let at = input.index_of(&self.column).map_err(|_| {
            let names: Vec<&str> = input.fields().iter().map(|field| field.name().as_str()).collect();
            let advice = crate::spelling::advice(&self.column, &names, "the stream carries");
            Error::recipe(format!("bucketing: no column `{}` is carried{advice}", self.column))
        })?;
        let data_type = input.field(at).data_type();
        match length(&new_empty_array(data_type)) {
            Ok(_) => Ok(at),
            Err(_) => Err(Error::recipe(format!(
                "bucketing: column `{}` is of type {data_type}, which has no length; take a list, a text or a binary",
                self.column
            ))),
        }
    }
}

/// The length of each row's value; 0 where it is null.
pub(super) fn lengths(data: &RecordBatch, column: usize) -> Result<Vec<u64>> {
    let fault = |error: arrow::error::ArrowError| Error::State(format!("lengths could not be had: {error}"));
    let values: &ArrayRef = data.column(column);
    let lengths = cast(&length(values).map_err(fault)?, &DataType::Int64).map_err(fault)?;
    let lengths = lengths.as_primitive::<Int64Type>();
    Ok(lengths.iter().map(|length| length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)).collect())
}

/// How many of a window's `left` rows make the next group of batches of `size` rows; 0 where they fill none.
pub(super) fn group(left: usize, size: usize, batches: u32) -> usize {
    (left / size).min(batches as usize) * size
}

/// The batches of a group, each a list of indices into the group, in the order in which they are emitted.
///
/// `place` tells the group from the others of its epoch.
pub(super) fn batches(lengths: &[u64], size: usize, seed: u64, epoch: u32, place: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| lengths[row]);
    let mut batches: Vec<Vec<usize>> = order.chunks(size).map(<[usize]>::to_vec).collect();
    sample::permute(&mut batches, &mut Randomness::new(seed, epoch, place, Purpose::Buckets));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_one_batch_and_batches_do_not_overlap_in_length(
            lengths in prop::collection::vec(0_u64..1000, 1..200),
            size in 1_usize..20,
            seed: u64,
        ) {
            let batches = batches(&lengths, size, seed, 0, 0);
            let mut rows: Vec<usize> = batches.concat();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
            let mut ranges: Vec<(u64, u64)> = batches
                .iter()
                .map(|rows| {
                    let lengths = rows.iter().map(|&row| lengths[row]);
                    (lengths.clone().min().unwrap(), lengths.max().unwrap())
                })
                .collect();
            ranges.sort_unstable();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        }
    }

    #[test]
    fn groups_are_whole_batches() {
        assert_eq!(group(100, 16, 4), 64);
        assert_eq!(group(40, 16, 4), 32);
        assert_eq!(group(15, 16, 4), 0);
    }
}
