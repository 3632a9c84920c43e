//! Reducible holdout loss: train on what the model has not learnt and a reference model could.

use crate::{
    Pick, Randomness, Result, strict,
    value::selector::{Candidate, Needs, Selector, SuperBatch, highest},
};
use serde::Deserialize;

/// The selector `rho_loss` (Mindermann et al., ICML 2022, equation 3): the `size` candidates of the highest
/// ρ = l(model) − l(reference), with weight 1. It is biased by design.
///
/// Where the reference is unsure a loss is irreducible, noise or a wrong label, and is passed over. Late in a training
/// that fails: a model that is more confident than its reference has losses on wrong labels far above those of the
/// reference, and they come back. The `score` "probability", p(reference) − p(model) of the label, is bounded and picks
/// fewer of them; "weighted", l(model)·p(reference), counts a loss as much as the reference holds the label for right, and
/// picks as few in no more steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RhoLoss {
    score: Score,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Score {
    #[default]
    Loss,
    Probability,
    Weighted,
}

impl RhoLoss {
    pub(in crate::value) const NAME: &'static str = "rho_loss";

    /// Options: `score`, "loss" (the paper's), "probability" or "weighted".
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        strict::from_table(place, options)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/1(score={:?})", Self::NAME, self.score)
    }

    fn score(&self, candidate: &Candidate) -> f64 {
        let Some(reference) = candidate.reference else { return f64::NAN };
        match self.score {
            Score::Loss => f64::from(candidate.signal.loss) - f64::from(reference.loss),
            Score::Probability => match (reference.probability, candidate.signal.class) {
                (Some(reference), Some(class)) => f64::from(reference) - f64::from(class.probability),
                _ => f64::NAN,
            },
            Score::Weighted => {
                // A cross-entropy says the probability itself.
                let probability =
                    reference.probability.map_or_else(|| libm::exp(-f64::from(reference.loss)), f64::from);
                f64::from(candidate.signal.loss) * probability
            }
        }
    }
}

impl Selector for RhoLoss {
    fn needs(&self) -> Needs {
        Needs { class: self.score == Score::Probability, reference: true, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, _: &mut Randomness) -> Vec<Pick> {
        let candidates = batch.candidates;
        let finite = |score: f64| if score.is_finite() { score } else { f64::NAN };
        let scores: Vec<f64> = candidates.iter().map(|candidate| finite(self.score(candidate))).collect();
        highest(&scores, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{
        Reference,
        selector::tests::{candidate, randomness},
    };

    fn picks(selector: RhoLoss, candidates: &[Candidate], size: usize) -> Vec<u32> {
        selector.select(&SuperBatch::new(candidates), size, &mut randomness(0)).iter().map(|pick| pick.index).collect()
    }

    #[test]
    fn what_is_hard_for_the_model_and_easy_for_the_reference_is_picked() {
        let candidates = [
            candidate(0, 3.0, 0.05, Some((0.1, 0.9))),  // not learnt yet
            candidate(1, 3.0, 0.05, Some((4.0, 0.02))), // noise: hard for both
            candidate(2, 0.01, 0.99, Some((0.1, 0.9))), // learnt
            candidate(3, 1.0, 0.37, Some((0.2, 0.8))),
        ];
        for score in [Score::Loss, Score::Probability, Score::Weighted] {
            assert_eq!(picks(RhoLoss { score }, &candidates, 2), [0, 3]);
        }
    }

    #[test]
    fn the_bounded_score_passes_over_what_only_a_huge_loss_speaks_for() {
        // A wrong label of which the model is sure: l − l(reference) is large although the reference does not know it.
        let candidates = [candidate(0, 9.0, 0.0001, Some((3.0, 0.05))), candidate(1, 0.9, 0.4, Some((0.1, 0.9)))];
        assert_eq!(picks(RhoLoss { score: Score::Loss }, &candidates, 1), [0]);
        assert_eq!(picks(RhoLoss { score: Score::Probability }, &candidates, 1), [1]);
        // 9·0.05 and 0.9·0.9.
        assert_eq!(picks(RhoLoss { score: Score::Weighted }, &candidates, 1), [1]);
    }

    #[test]
    fn without_a_probability_the_weight_is_that_of_the_references_loss() {
        let mut candidates = [
            candidate(0, 2.0, 0.1, Some((0.5, (-0.5_f32).exp()))),
            candidate(1, 2.1, 0.1, Some((0.6, (-0.6_f32).exp()))),
        ];
        let weighted = RhoLoss { score: Score::Weighted };
        // 2·0.607 and 2.1·0.549.
        assert_eq!(picks(weighted, &candidates, 1), [0]);
        for candidate in &mut candidates {
            candidate.reference = candidate.reference.map(|said| Reference { probability: None, ..said });
        }
        assert_eq!(picks(weighted, &candidates, 1), [0]);
    }

    #[test]
    fn losses_that_are_not_finite_and_rows_without_a_reference_come_last() {
        let candidates = [
            candidate(0, f32::INFINITY, 0.0, Some((0.1, 0.9))),
            candidate(1, f32::NAN, 0.5, Some((0.1, 0.9))),
            candidate(2, 5.0, 0.5, None),
            candidate(3, 0.1, 0.9, Some((0.2, 0.8))),
        ];
        assert_eq!(picks(RhoLoss::default(), &candidates, 1), [3]);
        assert_eq!(picks(RhoLoss::default(), &candidates, 3), [0, 1, 3]);
    }
}
