//! MinHash signatures (Broder 1997), with the hash functions of datatrove: the share of positions in which two
//! signatures agree estimates the Jaccard similarity of the two sets that they stand for.
//!
//! It knows hashes, not what they were made of.

mod permutations;

use fearless_simd::{Level, dispatch};
use permutations::{PRIME, Permutations};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many hash functions are worked on together: their parameters and minima stay in registers while the hashes go by.
const LANES: usize = 16;

/// A family of hash functions, cut into bands.
#[derive(Clone, Debug)]
pub(super) struct MinHash {
    permutations: Permutations,
    rows_per_band: usize,
    level: Level,
}

impl MinHash {
    /// `bands` bands of `rows` hash functions each; both at least 1.
    pub(super) fn new(seed: u32, bands: usize, rows: usize) -> Self {
        Self { permutations: Permutations::new(seed, bands * rows), rows_per_band: rows, level: Level::new() }
    }

    /// The signature of the empty set, which any hash lowers.
    pub(super) fn empty(&self) -> Vec<u64> {
        vec![u64::MAX; self.permutations.a.len()]
    }

    /// Lowers `signature` to that of its set with `hashes` in it.
    pub(super) fn add(&self, signature: &mut [u64], hashes: &[u64]) {
        let Permutations { a, b } = &self.permutations;
        let groups = signature.chunks_mut(LANES).zip(a.chunks(LANES).zip(b.chunks(LANES)));
        for (minima, (a, b)) in groups {
            match (minima.as_mut_array(), a.as_array(), b.as_array()) {
                (Some(minima), Some(a), Some(b)) => dispatch!(self.level, _ => lower::<LANES>(minima, a, b, hashes)),
                _ => {
                    for (minimum, (a, b)) in minima.iter_mut().zip(a.iter().zip(b)) {
                        lower(std::array::from_mut(minimum), std::array::from_ref(a), std::array::from_ref(b), hashes);
                    }
                }
            }
        }
    }

    /// One key for each band of `signature`: two documents share it if, and but for a chance of 2⁻⁶⁴ only if, they
    /// agree in all positions of that band.
    pub(super) fn bands<'a>(&self, signature: &'a [u64]) -> impl Iterator<Item = u64> + use<'a> {
        let mut bytes = Vec::with_capacity(8 * self.rows_per_band);
        signature.chunks(self.rows_per_band).zip(0_u64..).map(move |(band, number)| {
            bytes.clear();
            band.iter().for_each(|minimum| bytes.extend_from_slice(&minimum.to_le_bytes()));
            xxh3_64_with_seed(&bytes, number)
        })
    }
}

/// The minima of `N` hash functions over `hashes`. Without branches, so that it becomes a vector loop.
#[inline(always)]
fn lower<const N: usize>(minima: &mut [u64; N], a: &[u64; N], b: &[u64; N], hashes: &[u64]) {
    let mut least = *minima;
    for &hash in hashes {
        for at in 0..N {
            let product = hash.wrapping_mul(a[at]).wrapping_add(b[at]);
            // At most PRIME + 7: what is PRIME or more is brought below it, and what is less becomes huge and is not
            // the minimum of the two.
            let folded = (product & PRIME) + (product >> 61);
            least[at] = least[at].min(folded.min(folded.wrapping_sub(PRIME)));
        }
    }
    *minima = least;
}

#[cfg(test)]
mod tests;
