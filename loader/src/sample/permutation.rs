//! The two-level shuffle: blocks in random order, windows of them, and the rows of a window permuted together.
//!
//! A place in an epoch is arithmetic on these, so nothing like a shuffle buffer is ever kept. It knows nothing of
//! weights.

use crate::{Purpose, Randomness};
use std::ops::Range;

/// Permutes `items` uniformly (Fisher–Yates in the form of Durstenfeld 1964).
///
/// One number is used for each item but the first, whatever the items.
pub fn permute<T>(items: &mut [T], randomness: &mut Randomness) {
    for last in (1..items.len()).rev() {
        let chosen = randomness.below(last as u64 + 1) as usize;
        items.swap(last, chosen);
    }
}

/// The order of a data epoch's `blocks` blocks: a uniform permutation of 0..`blocks`, a function of seed, epoch and
/// `place`: 0 for the first pass over the only dataset, another number for each other domain and pass.
#[must_use]
pub fn block_order(seed: u64, epoch: u32, place: u64, blocks: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..blocks).collect();
    permute(&mut order, &mut Randomness::new(seed, epoch, place, Purpose::Blocks));
    order
}

/// Cuts an order of `blocks` blocks into windows of at most `window` blocks (0 is read as 1).
///
/// There are as few as can be, and they differ by one block at most, the longer ones first: the end of an epoch is
/// shuffled as well as its start.
pub fn windows(blocks: usize, window: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    let count = blocks.div_ceil(window.max(1));
    // `count` is 0 only if there is nothing to cut, and then nothing is divided.
    let (short, longer) = (blocks / count.max(1), blocks % count.max(1));
    let start = move |index: usize| index * short + index.min(longer);
    (0..count).map(move |index| start(index)..start(index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_permutation_keeps_every_item(seed: u64, length in 0_usize..300) {
            let mut items: Vec<usize> = (0..length).collect();
            permute(&mut items, &mut Randomness::new(seed, 0, 0, Purpose::Rows));
            items.sort_unstable();
            prop_assert_eq!(items, (0..length).collect::<Vec<_>>());
        }

        #[test]
        fn windows_cover_the_order_evenly(blocks in 0_usize..500, window in 0_usize..60) {
            let ranges: Vec<_> = windows(blocks, window).collect();
            let lengths: Vec<usize> = ranges.iter().map(ExactSizeIterator::len).collect();
            prop_assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..blocks).collect::<Vec<_>>());
            prop_assert_eq!(ranges.len(), blocks.div_ceil(window.max(1)));
            if let (Some(most), Some(least)) = (lengths.iter().max(), lengths.iter().min()) {
                prop_assert!(*most <= window.max(1) && most - least <= 1 && *least > 0);
            }
        }
    }

    #[test]
    fn every_order_of_four_blocks_is_equally_likely() {
        const RUNS: u32 = 24_000;
        let mut seen = std::collections::BTreeMap::new();
        for epoch in 0..RUNS {
            *seen.entry(block_order(7, epoch, 0, 4)).or_insert(0_u32) += 1;
        }
        let expected = f64::from(RUNS) / 24.0;
        let chi_square: f64 = seen.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert_eq!(seen.len(), 24);
        // The 99.9 % point of chi-square with 23 degrees of freedom.
        assert!(chi_square < 49.73, "{chi_square}");
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let order = block_order(1, 0, 0, 50);
        assert_eq!(order, block_order(1, 0, 0, 50));
        assert_ne!(order, block_order(1, 1, 0, 50));
        assert_ne!(order, block_order(2, 0, 0, 50));
        assert_ne!(order, block_order(1, 0, 1, 50));
    }

    #[test]
    fn the_order_is_the_same_on_every_machine_and_in_every_version() {
        assert_eq!(block_order(42, 0, 0, 12), [2, 7, 6, 11, 5, 0, 10, 3, 1, 8, 4, 9]);
        assert_eq!(block_order(42, 3, 0, 12), [0, 10, 9, 4, 8, 1, 3, 7, 6, 5, 11, 2]);
    }
}
