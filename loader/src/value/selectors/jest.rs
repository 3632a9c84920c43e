//! Joint example selection: a super-batch is thinned out chunk by chunk, by how learnable its rows are.

use crate::{
    Pick, Randomness, Result, strict,
    value::{
        policy::within,
        selector::{Candidate, Needs, Selector, SuperBatch, drawn},
    },
};
use serde::Deserialize;

/// The selector `jest` (Evans et al. 2024, algorithm 1, of losses that add up over samples): `size` candidates drawn
/// without replacement with probabilities in proportion to exp(gain · s), with weight 1. It is biased by design.
///
/// s is the learnability l(model) − l(reference), standardised over the candidates so that `gain` means the same for
/// every loss; `easy` takes −l(reference) instead. For contrastive losses the paper draws in chunks and scores each
/// chunk given those before it; where a sample's loss does not depend on the others in its batch, as here, the chunks
/// are one draw.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jest {
    gain: f64,
    easy: bool,
}

impl Default for Jest {
    fn default() -> Self {
        Self { gain: 4.0, easy: false }
    }
}

impl Jest {
    pub(in crate::value) const NAME: &'static str = "jest";

    /// Options: `gain` (0 to 100; 0 draws uniformly), `easy`.
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        within(place, "gain", selector.gain, 0.0..=100.0)?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/1(easy={},gain={:?})", Self::NAME, self.easy, self.gain)
    }
}

impl Selector for Jest {
    fn needs(&self) -> Needs {
        Needs { reference: true, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        let candidates = batch.candidates;
        let score = |candidate: &Candidate| {
            let reference = f64::from(candidate.reference?.loss);
            let score = if self.easy { -reference } else { f64::from(candidate.signal.loss) - reference };
            score.is_finite().then_some(score)
        };
        let scores: Vec<Option<f64>> = candidates.iter().map(score).collect();
        let known = || scores.iter().flatten();
        let count = known().count() as f64;
        let mean = known().sum::<f64>() / count;
        let deviation = libm::sqrt(known().map(|score| (score - mean) * (score - mean)).sum::<f64>() / count);
        let scale = if deviation > 0.0 { self.gain / deviation } else { 0.0 };
        let scaled: Vec<f64> =
            scores.iter().map(|score| score.map_or(f64::NAN, |score| (score - mean) * scale)).collect();
        drawn(&scaled, size, randomness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::selector::tests::{candidate, randomness};

    /// How often each of a hundred candidates is among ten, of 2,000 draws; candidate i has learnability i.
    fn counts(selector: Jest) -> Vec<u32> {
        let candidates: Vec<_> = (0..100).map(|row| candidate(row, row as f32, 0.5, Some((0.0, 0.5)))).collect();
        let mut counts = vec![0; 100];
        let mut randomness = randomness(1);
        for _ in 0..2_000 {
            let picks = selector.select(&SuperBatch::new(&candidates), 10, &mut randomness);
            assert!(picks.len() == 10 && picks.iter().all(|pick| pick.weight == 1.0));
            picks.iter().for_each(|pick| counts[pick.index as usize] += 1);
        }
        counts
    }

    #[test]
    fn the_gain_goes_from_uniform_to_the_highest() {
        let uniform = counts(Jest { gain: 0.0, easy: false });
        // 200 each, with a standard deviation of 13.4.
        assert!(uniform.iter().all(|count| (140..260).contains(count)), "{uniform:?}");
        let sharp = counts(Jest { gain: 100.0, easy: false });
        assert!(sharp[95..].iter().all(|count| *count == 2_000) && sharp[..80].iter().all(|count| *count == 0));
        let soft = counts(Jest::default());
        assert!(soft[90..].iter().sum::<u32>() > 3 * soft[40..50].iter().sum::<u32>());
    }

    #[test]
    fn easy_rows_are_those_of_low_reference_loss() {
        let candidates: Vec<_> = (0..40).map(|row| candidate(row, 1.0, 0.5, Some((row as f32, 0.5)))).collect();
        let picks = Jest { gain: 100.0, easy: true }.select(&SuperBatch::new(&candidates), 5, &mut randomness(2));
        assert_eq!(picks.iter().map(|pick| pick.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn rows_without_a_score_are_drawn_only_to_fill_up() {
        let candidates: Vec<_> = (0..6).map(|row| candidate(row, 1.0, 0.5, (row > 2).then_some((0.5, 0.5)))).collect();
        let picks = Jest::default().select(&SuperBatch::new(&candidates), 3, &mut randomness(3));
        assert_eq!(picks.iter().map(|pick| pick.index).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(Jest::default().select(&SuperBatch::new(&candidates), 6, &mut randomness(3)).len(), 6);
    }
}
