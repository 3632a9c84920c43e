//! A number of each row that follows what training said of it lately, kept beside its trajectory where a policy asks.
//!
//! A trajectory's means are over all presentations, the first included, when the model knew nothing. What a row is worth
//! now shows sooner in a mean that forgets. It knows nothing of what a policy makes of it.

use super::{blocks::Record, trajectory::Trajectory};
use crate::{Error, Result, Signal};

/// What a policy asks to be kept of each row, 4 bytes a row of the blocks that a signal has reached.
///
/// An exponentially weighted mean: m ← (1 − `share`)·m + `share`·x. It begins with the first x; for a row that came with
/// the trajectory of an earlier run, with that run's mean. A signal that is not finite moves nothing, as in the trajectory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recent {
    /// Which number of a signal.
    pub of: RecentOf,
    /// What the newest number counts, in (0, 1].
    pub share: f32,
}

/// Which number of a signal is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecentOf {
    /// The loss.
    Loss,
    /// p_y − max over k ≠ y of p_k, in [−1, 1]; signals without classes leave it as it was.
    ProbabilityMargin,
}

impl Recent {
    /// The number of `signal` that is followed, where it has one.
    pub(super) const fn follows(self, signal: &Signal) -> Option<f32> {
        match self.of {
            RecentOf::Loss => Some(signal.loss),
            RecentOf::ProbabilityMargin => match signal.class {
                Some(class) => Some(class.probability_margin),
                None => None,
            },
        }
    }

    /// The mean over all presentations, of the same number.
    pub(super) const fn mean(self, trajectory: &Trajectory) -> f32 {
        match self.of {
            RecentOf::Loss => trajectory.mean_loss(),
            RecentOf::ProbabilityMargin => trajectory.mean_probability_margin(),
        }
    }

    /// Takes in the number `new` of a signal, which found the trajectory as it was `before`.
    pub(super) fn update(self, kept: &mut Kept, before: &Trajectory, new: f32) {
        let old = kept.get().or_else(|| before.is_seen().then(|| self.mean(before)));
        let old = f64::from(old.unwrap_or(new));
        *kept = Kept((old + f64::from(self.share) * (f64::from(new) - old)) as f32);
    }
}

/// One row's number; NaN where there is none yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept(f32);

impl Kept {
    pub(super) fn get(self) -> Option<f32> {
        self.0.is_finite().then_some(self.0)
    }
}

/// By bits, so that what is unknown is equal to itself.
impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Record for Kept {
    const MAGIC: [u8; 4] = *b"ARN1";
    const BYTES: usize = 4;
    const BLANK: Self = Self(f32::NAN);

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_bits().to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::State("a recent mean of a row is damaged".into());
        let bytes: [u8; 4] = bytes.try_into().map_err(|_| damaged())?;
        let kept = Self(f32::from_bits(u32::from_le_bytes(bytes)));
        // One NaN alone means "unknown", so that what is read is written back as it was.
        if kept.0.is_finite() || kept == Self::BLANK { Ok(kept) } else { Err(damaged()) }
    }
}
