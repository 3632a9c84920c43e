//! The running statistics of one sample's signals: the 32-byte record that feeds everything else.
//!
//! It holds what AUM (Pleiss et al. 2020), Dataset Cartography (Swayamdipta et al. 2020), forgetting events (Toneva et
//! al. 2019) and small-loss selection need. It knows nothing of the sample's place, nor of what its numbers decide.

use crate::{ClassSignal, Error, Result, Signal};

const EVER_CORRECT: u8 = 1;
const LAST_CORRECT: u8 = 1 << 1;
const NON_FINITE: u8 = 1 << 2;
const EVAL_MODE: u8 = 1 << 3;
const KNOWN_FLAGS: u8 = EVER_CORRECT | LAST_CORRECT | NON_FINITE | EVAL_MODE;

/// One sample's statistics over its presentations.
///
/// Every mean is over all presentations, so one count serves them all. A run gives a [`ClassSignal`] with every signal
/// or with none; a signal without one leaves the class statistics as they were (0 where there was never one, never
/// NaN), so a run that mixes both reads class means that lag behind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trajectory {
    mean_loss: f32,
    last_loss: f32,
    mean_logit_margin: f32,
    mean_probability_margin: f32,
    mean_probability: f32,
    m2_probability: f32,
    last_batch: u32,
    presentations: u16,
    forgettings: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Trajectory>() == Trajectory::BYTES);

impl Trajectory {
    /// The size of a record, in memory and in bytes written.
    pub const BYTES: usize = 32;

    /// A sample that was never presented.
    pub const NEW: Self = Self {
        mean_loss: 0.0,
        last_loss: 0.0,
        mean_logit_margin: 0.0,
        mean_probability_margin: 0.0,
        mean_probability: 0.0,
        m2_probability: 0.0,
        last_batch: 0,
        presentations: 0,
        forgettings: 0,
        flags: 0,
    };

    /// Takes in one signal of batch `batch`.
    ///
    /// A signal with any number that is NaN or infinite only sets [`non_finite`](Self::non_finite): no statistic and
    /// no count moves. Counts saturate; a mean over more than 65 535 presentations forgets at that rate. Whether any moved.
    pub fn update(&mut self, batch: u64, signal: &Signal) -> bool {
        let class_is_finite = signal.class.is_none_or(|class| {
            class.logit_margin.is_finite() && class.probability_margin.is_finite() && class.probability.is_finite()
        });
        if !signal.loss.is_finite() || !class_is_finite {
            self.flags |= NON_FINITE;
            return false;
        }
        self.presentations = self.presentations.saturating_add(1);
        self.last_batch = u32::try_from(batch).unwrap_or(u32::MAX);
        self.last_loss = signal.loss;
        self.mean_loss = self.mean_with(self.mean_loss, signal.loss);
        if let Some(class) = signal.class {
            self.update_class(&class);
        }
        true
    }

    fn update_class(&mut self, class: &ClassSignal) {
        self.mean_logit_margin = self.mean_with(self.mean_logit_margin, class.logit_margin);
        self.mean_probability_margin = self.mean_with(self.mean_probability_margin, class.probability_margin);
        // Welford 1962: the spread around a mean that moves, without the cancellation of Σp² − (Σp)²/n.
        let before = f64::from(class.probability) - f64::from(self.mean_probability);
        self.mean_probability = self.mean_with(self.mean_probability, class.probability);
        let after = f64::from(class.probability) - f64::from(self.mean_probability);
        // Rounding the mean to f32 can make the product a negative of the last digit's size.
        self.m2_probability = (f64::from(self.m2_probability) + (before * after).max(0.0)) as f32;
        if class.correct() {
            self.flags |= EVER_CORRECT | LAST_CORRECT;
        } else {
            if self.flags & LAST_CORRECT != 0 {
                self.forgettings = self.forgettings.saturating_add(1);
            }
            self.flags &= !LAST_CORRECT;
        }
    }

    fn mean_with(&self, mean: f32, value: f32) -> f32 {
        let mean = f64::from(mean);
        (mean + (f64::from(value) - mean) / f64::from(self.presentations)) as f32
    }

    /// Notes that a forward pass in evaluation mode (no dropout, running batch statistics) gave a signal.
    pub fn mark_eval_mode(&mut self) {
        self.flags |= EVAL_MODE;
    }

    /// How often the sample was presented with a finite signal, at most 65 535.
    #[must_use]
    pub const fn presentations(&self) -> u16 {
        self.presentations
    }

    /// Whether the sample has statistics.
    #[must_use]
    pub const fn is_seen(&self) -> bool {
        self.presentations > 0
    }

    /// Whether a signal ever came, be it one that is not finite.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.presentations > 0 || self.flags != 0
    }

    /// How often a correct prediction became a wrong one at the next presentation, at most 255 (Toneva et al. 2019).
    #[must_use]
    pub const fn forgettings(&self) -> u8 {
        self.forgettings
    }

    /// Whether the label was ever the most probable class.
    #[must_use]
    pub const fn ever_correct(&self) -> bool {
        self.flags & EVER_CORRECT != 0
    }

    /// Whether the label was the most probable class at the last presentation.
    #[must_use]
    pub const fn last_correct(&self) -> bool {
        self.flags & LAST_CORRECT != 0
    }

    /// Whether the model, on the mean of all presentations, gave another class more than the label.
    #[must_use]
    pub const fn is_contradicted(&self) -> bool {
        self.presentations > 0 && self.mean_probability_margin < 0.0
    }

    /// Whether a NaN or an infinity ever came.
    #[must_use]
    pub const fn non_finite(&self) -> bool {
        self.flags & NON_FINITE != 0
    }

    /// Whether a signal ever came from a forward pass in evaluation mode.
    #[must_use]
    pub const fn eval_mode(&self) -> bool {
        self.flags & EVAL_MODE != 0
    }

    /// The mean loss; 0 before the first presentation.
    #[must_use]
    pub const fn mean_loss(&self) -> f32 {
        self.mean_loss
    }

    /// The loss at the last presentation; 0 before the first.
    #[must_use]
    pub const fn last_loss(&self) -> f32 {
        self.last_loss
    }

    /// The mean of z_y − max over k ≠ y of z_k: the area under the margin (AUM).
    #[must_use]
    pub const fn mean_logit_margin(&self) -> f32 {
        self.mean_logit_margin
    }

    /// The mean of p_y − max over k ≠ y of p_k, in [−1, 1].
    #[must_use]
    pub const fn mean_probability_margin(&self) -> f32 {
        self.mean_probability_margin
    }

    /// The mean of p_y, in [0, 1]: the confidence of Dataset Cartography.
    #[must_use]
    pub const fn mean_probability(&self) -> f32 {
        self.mean_probability
    }

    /// The population standard deviation of p_y: the variability of Dataset Cartography.
    #[must_use]
    pub fn variability(&self) -> f32 {
        if self.presentations == 0 {
            return 0.0;
        }
        libm::sqrtf(self.m2_probability / f32::from(self.presentations))
    }

    /// The batch of the last presentation, at most `u32::MAX`; means nothing before the first.
    #[must_use]
    pub const fn last_batch(&self) -> u32 {
        self.last_batch
    }

    /// The record, little-endian: presentations, forgettings, flags, mean and last loss, mean logit margin, mean
    /// probability margin, mean and M2 of p, last batch.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..2].copy_from_slice(&self.presentations.to_le_bytes());
        bytes[2] = self.forgettings;
        bytes[3] = self.flags;
        for (at, value) in self.floats().into_iter().enumerate() {
            bytes[4 + 4 * at..8 + 4 * at].copy_from_slice(&value.to_le_bytes());
        }
        bytes[28..32].copy_from_slice(&self.last_batch.to_le_bytes());
        bytes
    }

    /// The record of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`Error::State`] for numbers that no record can hold: not finite, a negative M2, an unknown flag.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let float = |index: usize| f32::from_le_bytes(word(4 + 4 * index));
        let trajectory = Self {
            presentations: u16::from_le_bytes([bytes[0], bytes[1]]),
            forgettings: bytes[2],
            flags: bytes[3],
            mean_loss: float(0),
            last_loss: float(1),
            mean_logit_margin: float(2),
            mean_probability_margin: float(3),
            mean_probability: float(4),
            m2_probability: float(5),
            last_batch: u32::from_le_bytes(word(28)),
        };
        if !trajectory.floats().into_iter().all(f32::is_finite)
            || trajectory.m2_probability < 0.0
            || trajectory.flags & !KNOWN_FLAGS != 0
        {
            return Err(Error::State(
                "a trajectory holds numbers that training cannot have given; the state is damaged".into(),
            ));
        }
        Ok(trajectory)
    }

    /// The record of its counts (presentations, forgettings, flags), last batch and numbers, the latter in the order of
    /// [`to_bytes`](Self::to_bytes).
    pub(super) fn from_parts(counts: (u16, u8, u8), last_batch: u32, floats: [f32; 6]) -> Result<Self> {
        let [mean_loss, last_loss, mean_logit_margin, mean_probability_margin, mean_probability, m2_probability] =
            floats;
        let (presentations, forgettings, flags) = counts;
        let parts = Self {
            mean_loss,
            last_loss,
            mean_logit_margin,
            mean_probability_margin,
            mean_probability,
            m2_probability,
            last_batch,
            presentations,
            forgettings,
            flags,
        };
        Self::from_bytes(&parts.to_bytes())
    }

    /// What the signals so far say that the sample is worth, higher is better: the mean probability margin, in [−1, 1],
    /// where there are classes, else minus the mean loss. 0 before the first presentation.
    #[must_use]
    pub fn value(&self) -> f32 {
        let classes =
            self.mean_logit_margin != 0.0 || self.mean_probability_margin != 0.0 || self.mean_probability != 0.0;
        if classes { self.mean_probability_margin } else { -self.mean_loss }
    }

    pub(super) const fn flags(&self) -> u8 {
        self.flags
    }

    pub(super) const fn floats(&self) -> [f32; 6] {
        [
            self.mean_loss,
            self.last_loss,
            self.mean_logit_margin,
            self.mean_probability_margin,
            self.mean_probability,
            self.m2_probability,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signal(loss: f32, logit_margin: f32, probability: f32) -> Signal {
        let class =
            ClassSignal { logit_margin, probability_margin: logit_margin.signum() * 0.5, probability, pair: None };
        Signal { loss, class: Some(class) }
    }

    proptest! {
        #[test]
        fn means_are_those_of_all_presentations(
            seen in prop::collection::vec((0.0_f32..20.0, -9.0_f32..9.0, 0.0_f32..1.0), 1..60)
        ) {
            let mut trajectory = Trajectory::NEW;
            for (batch, &(loss, margin, p)) in seen.iter().enumerate() {
                trajectory.update(batch as u64, &signal(loss, margin, p));
            }
            let n = seen.len() as f64;
            let mean = |f: fn(&(f32, f32, f32)) -> f32| seen.iter().map(|row| f64::from(f(row))).sum::<f64>() / n;
            let p = mean(|row| row.2);
            let variance = seen.iter().map(|row| (f64::from(row.2) - p).powi(2)).sum::<f64>() / n;
            prop_assert_eq!(usize::from(trajectory.presentations()), seen.len());
            prop_assert!((f64::from(trajectory.mean_loss()) - mean(|row| row.0)).abs() < 1e-4);
            prop_assert!((f64::from(trajectory.mean_logit_margin()) - mean(|row| row.1)).abs() < 1e-4);
            prop_assert!((f64::from(trajectory.mean_probability()) - p).abs() < 1e-5);
            prop_assert!((f64::from(trajectory.variability()) - variance.sqrt()).abs() < 1e-3);
            prop_assert_eq!(trajectory.last_loss(), seen[seen.len() - 1].0);
            prop_assert_eq!(trajectory.last_batch() as usize, seen.len() - 1);
        }

        #[test]
        fn bytes_bring_back_the_same_record(seen in prop::collection::vec((0.0_f32..20.0, -9.0_f32..9.0, 0.0_f32..1.0), 0..9)) {
            let mut trajectory = Trajectory::NEW;
            for &(loss, margin, p) in &seen {
                trajectory.update(u64::from(u32::MAX) + 5, &signal(loss, margin, p));
            }
            prop_assert_eq!(Trajectory::from_bytes(&trajectory.to_bytes()).unwrap(), trajectory);
        }
    }

    #[test]
    fn forgetting_counts_only_falls_from_correct_to_wrong() {
        let mut trajectory = Trajectory::NEW;
        for margin in [-1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0] {
            trajectory.update(0, &signal(1.0, margin, 0.5));
        }
        assert_eq!(trajectory.forgettings(), 2);
        assert!(trajectory.ever_correct() && !trajectory.last_correct());
    }

    #[test]
    fn a_number_that_is_not_finite_moves_nothing_but_its_flag() {
        for bad in [signal(f32::NAN, 1.0, 0.5), signal(f32::INFINITY, 1.0, 0.5), signal(1.0, f32::INFINITY, 0.5)] {
            let mut trajectory = Trajectory::NEW;
            trajectory.update(3, &signal(2.0, 1.0, 0.5));
            let before = trajectory;
            trajectory.update(4, &bad);
            assert!(trajectory.non_finite() && !before.non_finite());
            assert_eq!(Trajectory { flags: before.flags, ..trajectory }, before);
        }
    }

    #[test]
    fn without_classes_the_class_statistics_stay_zero() {
        let mut trajectory = Trajectory::NEW;
        trajectory.update(0, &Signal { loss: 3.0, class: None });
        assert_eq!(
            (trajectory.mean_loss(), trajectory.mean_probability_margin(), trajectory.variability()),
            (3.0, 0.0, 0.0)
        );
        assert!(!trajectory.ever_correct());
    }

    #[test]
    fn counts_saturate() {
        let mut trajectory = Trajectory::NEW;
        for turn in 0..70_000_u32 {
            trajectory.update(u64::from(turn), &signal(1.0, if turn % 2 == 0 { 1.0 } else { -1.0 }, 0.5));
        }
        assert_eq!(
            (trajectory.presentations(), trajectory.forgettings(), trajectory.mean_loss()),
            (u16::MAX, u8::MAX, 1.0)
        );
    }

    #[test]
    fn bytes_are_laid_out_as_documented() {
        let mut trajectory = Trajectory::NEW;
        trajectory.update(7, &signal(2.0, 1.0, 0.25));
        let bytes = trajectory.to_bytes();
        assert_eq!(bytes[..4], [1, 0, 0, EVER_CORRECT | LAST_CORRECT]);
        assert_eq!(bytes[4..8], 2.0_f32.to_le_bytes());
        assert_eq!(bytes[20..24], 0.25_f32.to_le_bytes());
        assert_eq!(bytes[28..], [7, 0, 0, 0]);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut nan = Trajectory::NEW.to_bytes();
        nan[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        let mut flag = Trajectory::NEW.to_bytes();
        flag[3] = 0x80;
        let mut negative = Trajectory::NEW.to_bytes();
        negative[24..28].copy_from_slice(&(-1.0_f32).to_le_bytes());
        for bytes in [nan, flag, negative] {
            assert!(matches!(Trajectory::from_bytes(&bytes), Err(Error::State(_))));
        }
    }
}
