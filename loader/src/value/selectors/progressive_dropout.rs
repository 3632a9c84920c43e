//! Progressive data dropout: what the model is sure of is not trained on.

use crate::{
    Pick, Randomness, Result, strict,
    value::{
        policy::within,
        selector::{Candidate, Needs, Selector, SuperBatch, highest},
    },
};
use serde::Deserialize;

/// The selector `progressive_dropout` (Shriwas et al., NeurIPS 2025, the difficulty-based variant): of the candidates
/// whose label has a probability below `threshold`, at most `size`, in random choice, with weight 1.
///
/// A step may have fewer rows than `size`, and has at least one. The last of `epochs` data epochs, and all after it, leave
/// nothing out, as in the paper; without `epochs` there is no such one. Where more rows are scored than trained it is
/// `size` of them at random. It trains on hard rows alone and so prefers wrong labels, and is biased by design.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressiveDropout {
    threshold: f64,
    epochs: Option<u32>,
}

impl Default for ProgressiveDropout {
    fn default() -> Self {
        Self { threshold: 0.3, epochs: None }
    }
}

impl ProgressiveDropout {
    pub(in crate::value) const NAME: &'static str = "progressive_dropout";

    /// Options: `threshold` (0 to 1), of the label's probability; `epochs` (from 1), the data epochs of the training.
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        within(place, "threshold", selector.threshold, 0.0..=1.0)?;
        within(place, "epochs", f64::from(selector.epochs.unwrap_or(1)), 1.0..=f64::from(u32::MAX))?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/2(epochs={:?},threshold={:?})", Self::NAME, self.epochs, self.threshold)
    }
}

impl Selector for ProgressiveDropout {
    fn needs(&self) -> Needs {
        Needs { class: true, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn rests(&self, epoch: u32) -> bool {
        self.epochs.is_some_and(|epochs| epoch.saturating_add(1) >= epochs)
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        let candidates = batch.candidates;
        let probability = |candidate: &Candidate| {
            let finite = candidate.signal.class.filter(|_| candidate.signal.loss.is_finite());
            finite.map_or(f64::NAN, |class| f64::from(class.probability))
        };
        let hard = candidates.iter().filter(|candidate| probability(candidate) < self.threshold).count();
        if hard == 0 {
            let surest_last: Vec<f64> = candidates.iter().map(|candidate| -probability(candidate)).collect();
            return highest(&surest_last, size.min(1));
        }
        let order = |candidate: &Candidate| {
            let number = randomness.unit();
            if probability(candidate) < self.threshold { number } else { f64::NAN }
        };
        let order: Vec<f64> = candidates.iter().map(order).collect();
        highest(&order, size.min(hard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::selector::tests::{candidate, randomness};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_what_the_model_is_unsure_of_is_picked(
            probabilities in prop::collection::vec(prop_oneof![5 => 0.0_f32..1.0, 1 => Just(f32::NAN)], 1..40),
            size in 1_usize..40,
            seed: u64,
        ) {
            let size = size.min(probabilities.len());
            let candidates: Vec<_> =
                probabilities.iter().zip(0..).map(|(p, row)| candidate(row, 1.0, *p, None)).collect();
            let picks = ProgressiveDropout::default().select(&SuperBatch::new(&candidates), size, &mut randomness(seed));
            let hard = probabilities.iter().filter(|p| **p < 0.3).count();
            prop_assert_eq!(picks.len(), size.min(hard.max(1)));
            if hard > 0 {
                prop_assert!(picks.iter().all(|pick| probabilities[pick.index as usize] < 0.3));
            }
        }
    }

    #[test]
    fn where_the_model_is_sure_of_all_the_least_sure_is_trained_on() {
        let candidates: Vec<_> =
            [0.9, 0.8, 0.99].into_iter().zip(0..).map(|(p, row)| candidate(row, 1.0, p, None)).collect();
        let picks = ProgressiveDropout::default().select(&SuperBatch::new(&candidates), 2, &mut randomness(0));
        assert_eq!(picks, [Pick::plain(1)]);
    }

    #[test]
    fn the_last_of_its_epochs_leaves_nothing_out() {
        let last = ProgressiveDropout { epochs: Some(3), ..ProgressiveDropout::default() };
        assert_eq!([0, 1, 2, 3, u32::MAX].map(|epoch| last.rests(epoch)), [false, false, true, true, true]);
        assert!(!ProgressiveDropout::default().rests(u32::MAX));
    }
}
