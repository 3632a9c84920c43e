//! The hash functions of datatrove's MinHash, number by number: two draws from NumPy's legacy `RandomState`.
//!
//! `RandomState(seed).randint(low, high, dtype = uint64)` takes 64 bits of MT19937, the earlier word above, masks
//! them to the length of the range, and draws again where the range is exceeded.

use rand_mt::Mt;

/// The Mersenne prime 2⁶¹ − 1.
pub(super) const PRIME: u64 = (1 << 61) - 1;

/// x ↦ ((a x + b) mod 2⁶⁴) mod (2⁶¹ − 1): the wrap comes first, as NumPy's arithmetic has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permutations {
    /// In 1..2⁶¹ − 1.
    pub(super) a: Vec<u64>,
    /// In 0..2⁶¹ − 1.
    pub(super) b: Vec<u64>,
}

impl Permutations {
    /// The first `count` of `seed`.
    pub(super) fn new(seed: u32, count: usize) -> Self {
        let mut generator = Mt::new(seed);
        let mut below = |range: u64| loop {
            let high = u64::from(generator.next_u32());
            let drawn = (high << 32 | u64::from(generator.next_u32())) & PRIME;
            if drawn <= range {
                return drawn;
            }
        };
        let a = (0..count).map(|_| 1 + below(PRIME - 2)).collect();
        let b = (0..count).map(|_| below(PRIME - 1)).collect();
        Self { a, b }
    }
}

#[cfg(test)]
mod tests {
    use super::Permutations;

    #[test]
    fn the_numbers_are_those_of_numpy() {
        let Permutations { a, b } = Permutations::new(1, 112);
        assert_eq!((a[0], a[111]), (775_169_054_918_279_404, 223_865_076_026_037_746));
        assert_eq!((b[0], b[111]), (1_062_448_801_025_099_917, 1_097_409_548_522_419_201));
    }
}
