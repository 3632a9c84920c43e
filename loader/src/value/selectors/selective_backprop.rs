//! Selective-Backprop: rows are trained on with a probability that grows with the rank of their loss.

use crate::{
    Pick, Randomness, Result, strict,
    value::{
        policy::within,
        selector::{Candidate, Needs, Selector, drawn},
    },
};
use serde::Deserialize;

/// The selector `selective_backprop` (Jiang et al. 2019): `size` candidates drawn without replacement with probabilities
/// in proportion to (rank/B)^β of their losses, the highest having rank B, with weight 1.
///
/// The paper keeps each row with the probability of its loss's percentile among the last 1024 to the power β, and fills
/// batches with what is kept; here the percentile is that among the candidates, and a batch is full at once. It prefers
/// high losses and so wrong labels, and is biased by design: it is here for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveBackprop {
    beta: f64,
}

impl Default for SelectiveBackprop {
    fn default() -> Self {
        Self { beta: 1.0 }
    }
}

impl SelectiveBackprop {
    pub(in crate::value) const NAME: &'static str = "selective_backprop";

    /// Options: `beta` (0 to 100; 0 draws uniformly).
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        within(place, "beta", selector.beta, 0.0..=100.0)?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/1(beta={:?})", Self::NAME, self.beta)
    }
}

impl Selector for SelectiveBackprop {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn select(&self, candidates: &[Candidate], size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        let mut order: Vec<usize> =
            (0..candidates.len()).filter(|&index| candidates[index].signal.loss.is_finite()).collect();
        order.sort_by(|&a, &b| candidates[a].signal.loss.total_cmp(&candidates[b].signal.loss));
        let mut scores = vec![f64::NAN; candidates.len()];
        let count = order.len() as f64;
        for (rank, index) in order.into_iter().enumerate() {
            scores[index] = self.beta * libm::log((rank + 1) as f64 / count);
        }
        drawn(&scores, size, randomness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::selector::tests::{candidate, randomness};

    #[test]
    fn a_rank_counts_to_the_power_beta_and_not_the_loss_itself() {
        const DRAWS: u32 = 40_000;
        let losses = [0.0, 1.0, 100.0, 1e6].into_iter().zip(0..);
        let candidates: Vec<_> = losses.map(|(loss, row)| candidate(row, loss, 0.5, None)).collect();
        for beta in [0.0, 1.0, 2.0] {
            let mut counts = [0_u32; 4];
            let mut randomness = randomness(9);
            for _ in 0..DRAWS {
                counts[SelectiveBackprop { beta }.select(&candidates, 1, &mut randomness)[0].index as usize] += 1;
            }
            let odds = [1.0_f64, 2.0, 3.0, 4.0].map(|rank| rank.powf(beta));
            let sum: f64 = odds.iter().sum();
            for (count, odd) in counts.iter().zip(odds) {
                let share = odd / sum;
                let deviation = (share * (1.0 - share) / f64::from(DRAWS)).sqrt();
                assert!((f64::from(*count) / f64::from(DRAWS) - share).abs() < 5.0 * deviation, "{beta}: {counts:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_passed_over() {
        let candidates =
            [candidate(0, f32::NAN, 0.5, None), candidate(1, 0.0, 0.5, None), candidate(2, f32::INFINITY, 0.5, None)];
        let picks = SelectiveBackprop::default().select(&candidates, 1, &mut randomness(0));
        assert_eq!(picks, [Pick::plain(1)]);
    }
}
