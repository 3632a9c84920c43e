//! Alignment: what would lower the loss on a trusted set is trained on.

use crate::{
    Pick, Randomness, Result, strict,
    value::selector::{Candidate, Needs, Selector, highest},
};
use serde::Deserialize;

/// The selector `alignment` (first-order GREATS; Wang et al., NeurIPS 2024): the `size` candidates whose gradients point
/// most along that of a trusted set, with weight 1. It is biased by design.
///
/// The trainer hands the alignments over with the scores: [`Trusted`](crate::value::Trusted) makes them of the last layer.
/// With `positive`, rows that would raise the trusted loss are not trained on, though a step has one row at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alignment {
    positive: bool,
}

impl Default for Alignment {
    fn default() -> Self {
        Self { positive: true }
    }
}

impl Alignment {
    pub(in crate::value) const NAME: &'static str = "alignment";

    /// Options: `positive`.
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        strict::from_table(place, options)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/1(positive={})", Self::NAME, self.positive)
    }
}

impl Selector for Alignment {
    fn needs(&self) -> Needs {
        Needs { alignment: true, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn select(&self, candidates: &[Candidate], size: usize, _: &mut Randomness) -> Vec<Pick> {
        let score = |candidate: &Candidate| {
            let known = candidate.alignment.filter(|score| score.is_finite() && candidate.signal.loss.is_finite());
            known.map_or(f64::NAN, f64::from)
        };
        let scores: Vec<f64> = candidates.iter().map(score).collect();
        let helpful = scores.iter().filter(|score| **score > 0.0).count();
        let most = if self.positive { size.min(helpful.max(1)) } else { size };
        highest(&scores, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::selector::tests::{candidate, randomness};

    #[test]
    fn what_helps_most_is_picked_and_what_harms_is_not() {
        let scores = [0.5, -1.0, 2.0, f32::NAN, 0.1, f32::INFINITY];
        let candidates: Vec<_> = scores
            .iter()
            .zip(0..)
            .map(|(score, row)| Candidate { alignment: Some(*score), ..candidate(row, 1.0, 0.5, None) })
            .collect();
        let picks = |positive, size| -> Vec<u32> {
            let picks = Alignment { positive }.select(&candidates, size, &mut randomness(0));
            picks.iter().map(|pick| pick.index).collect()
        };
        assert_eq!(picks(true, 2), [0, 2]);
        assert_eq!(picks(true, 5), [0, 2, 4]);
        assert_eq!(picks(false, 4), [0, 1, 2, 4]);
        let harmful = [Candidate { alignment: Some(-1.0), ..candidates[0] }];
        assert_eq!(Alignment::default().select(&harmful, 1, &mut randomness(0)).len(), 1);
    }
}
