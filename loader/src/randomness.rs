//! Randomness as a function: of the seed, the epoch, a place and a purpose, and of nothing else.
//!
//! A counter-based generator (ChaCha with 8 rounds) is keyed by BLAKE3 over what it is for, so that any draw can be
//! made again on its own, in any order, by any thread, on any machine.

use crate::Position;
use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// What a random number is for. Two purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// The order of a data epoch's blocks.
    Blocks,
    /// The order of a window's rows.
    Rows,
    /// The order in which the rows of a domain's window come, where several windows of the stream share them.
    DomainRows,
    /// Which rows a window draws.
    Resampling,
    /// Which blocks a survey looks at.
    Survey,
    /// The order of the batches that were made of rows of like length.
    Buckets,
    /// Which candidates of a super-batch are trained on.
    Selection,
    /// Which rows a bagged model is fitted on.
    Bootstrap,
}

impl Purpose {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Blocks => b"blocks",
            Self::Rows => b"rows",
            Self::DomainRows => b"domain rows",
            Self::Resampling => b"resampling",
            Self::Survey => b"survey",
            Self::Buckets => b"buckets",
            Self::Selection => b"selection",
            Self::Bootstrap => b"bootstrap",
        }
    }
}

/// A stream of random numbers that is a function of (seed, epoch, place, purpose).
#[derive(Clone, Debug)]
pub struct Randomness(ChaCha8Rng);

impl Randomness {
    /// The numbers for `purpose` at `place` (a window's index, a position packed into 64 bits, …).
    #[must_use]
    pub fn new(seed: u64, epoch: u32, place: u64, purpose: Purpose) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("arable 2026 randomness of (seed, epoch, place, purpose)");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&epoch.to_le_bytes());
        hasher.update(&place.to_le_bytes());
        hasher.update(purpose.name());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// The numbers for the sample at `position`, for a purpose that a transform names itself.
    #[must_use]
    pub fn of_sample(seed: u64, epoch: u32, position: Position, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("arable 2026 randomness of (seed, epoch, position, purpose)");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&epoch.to_le_bytes());
        hasher.update(&position.block.to_le_bytes());
        hasher.update(&position.row.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A uniform number in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly in [0, 1).
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.0.next_u64() >> 11) as f64 * SCALE
    }

    /// A uniform number in 0..`bound`, without bias (Lemire 2019, "Fast random integer generation in an interval").
    ///
    /// `bound` 0 is read as 2⁶⁴.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return self.0.next_u64();
        }
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            // The remainder is below `bound`: it need not be known for most numbers, and dividing is slow.
            if product as u64 >= bound || product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}
