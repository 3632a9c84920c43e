//! Importance sampling by a bound of the gradient's norm, where it pays.

use crate::{
    Pick, Randomness, Report, Result, strict,
    value::{
        policy::within,
        selector::{Candidate, Needs, Selector, SuperBatch, at_random},
    },
};
use serde::Deserialize;

/// The selector `importance` (Katharopoulos and Fleuret, ICML 2018): `size` rows drawn with replacement from the B
/// candidates with probabilities g, weighted by 1/(B·g), so that the weighted mean of their losses is, in expectation,
/// the mean over the candidates.
///
/// g is in proportion to the norm of the loss's gradient at the logits, ‖softmax(z) − onehot(y)‖₂ (equation 20 of the
/// paper, without the constant), mixed with a `floor` λ of the uniform distribution, which bounds weights by 1/λ. It is
/// used only while it pays: the variance falls by the factor τ² = B·Σg², which is B over the effective sample size
/// 1/Σg². τ is smoothed over super-batches (algorithm 1): τ̄ ← `memory`·τ̄ + (1 − `memory`)·τ, whether it pays or not. A
/// super-batch goes by the τ̄ of those before it that the feedback lag lets it see, and the first ones, which see none, by
/// their own τ, where the authors' code begins with 0, which only puts off that it can pay. Where τ̄ is not above
/// `threshold` no candidate is scored: the rows are drawn uniformly without replacement with weight 1, which is unbiased
/// too, and τ is that of the rows trained. These tell when it pays again only if they are many enough: τ of n rows is at
/// most √n. So candidates are always scored where `threshold` is above √`size`/2, and under `memory = 0`. The default threshold is (B + 3·size)/(3·size), the cost of a step with scoring
/// over one without, where a backward pass costs two forward passes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Importance {
    floor: f64,
    threshold: Option<f64>,
    memory: f64,
}

impl Default for Importance {
    fn default() -> Self {
        Self { floor: 0.1, threshold: None, memory: 0.9 }
    }
}

impl Importance {
    pub(in crate::value) const NAME: &'static str = "importance";

    /// Options: `floor` (0.001 to 1), `threshold` of τ̄ (from 0; 0 is always on), `memory` (0 to 0.999; 0 has each
    /// super-batch decide for itself).
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        within(place, "floor", selector.floor, 0.001..=1.0)?;
        within(place, "threshold", selector.threshold.unwrap_or(0.0), 0.0..=1e6)?;
        within(place, "memory", selector.memory, 0.0..=0.999)?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/3(floor={:?},memory={:?},threshold={:?})", Self::NAME, self.floor, self.memory, self.threshold)
    }

    /// The probability of each candidate; `None` where no candidate has a gradient.
    fn probabilities(&self, candidates: &[Candidate]) -> Option<Vec<f64>> {
        // What is not finite cannot be trained on; at the floor it is at least seen.
        let norm = |candidate: &Candidate| f64::from(candidate.el2n.filter(|norm| norm.is_finite()).unwrap_or(0.0));
        let sum: f64 = candidates.iter().map(norm).sum();
        let uniform = 1.0 / candidates.len() as f64;
        let mixed = |candidate| (1.0 - self.floor) * norm(candidate) / sum + self.floor * uniform;
        (sum > 0.0).then(|| candidates.iter().map(mixed).collect())
    }

    /// Above this τ̄ the variance saved is worth the scores.
    fn threshold(&self, candidates: usize, size: usize) -> f64 {
        let size = 3.0 * size as f64;
        self.threshold.unwrap_or((candidates as f64 + size) / size)
    }

    /// τ̄ once a super-batch of this τ has come after those that are remembered.
    fn smoothed(&self, memory: &[f64], tau: f64) -> f64 {
        memory.first().map_or(tau, |before| self.memory * before + (1.0 - self.memory) * tau)
    }
}

impl Selector for Importance {
    fn needs(&self) -> Needs {
        Needs { el2n: true, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn pays(&self, memory: &[f64], candidates: usize, size: usize) -> bool {
        let threshold = self.threshold(candidates, size);
        let is_told_by_few = 4.0 * threshold * threshold <= size as f64;
        !is_told_by_few || memory.first().is_none_or(|tau| *tau > threshold)
    }

    fn remembers(&self) -> usize {
        usize::from(self.memory > 0.0)
    }

    fn statistic(&self, candidates: &[Candidate]) -> Option<f64> {
        // Without a gradient anywhere the rows are drawn uniformly.
        Some(self.probabilities(candidates).map_or(1.0, |g| tau(&g)))
    }

    fn fold(&self, memory: &mut Vec<f64>, report: &Report) {
        if let Some(tau) = report.statistic.filter(|_| self.remembers() > 0) {
            *memory = vec![self.smoothed(memory, tau)];
        }
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        let candidates = batch.candidates;
        let count = candidates.len() as f64;
        let threshold = self.threshold(candidates.len(), size);
        let pays = |g: &Vec<f64>| batch.memory.first().copied().unwrap_or_else(|| tau(g)) > threshold;
        let Some(g) = self.probabilities(candidates).filter(pays) else {
            return at_random(candidates.len(), size, randomness);
        };
        let mut sums = Vec::with_capacity(g.len());
        let total = g.iter().fold(0.0, |sum, g| {
            sums.push(sum + g);
            sum + g
        });
        let mut picks: Vec<Pick> = (0..size)
            .map(|_| {
                let point = randomness.unit() * total;
                let index = sums.partition_point(|sum| *sum <= point).min(g.len() - 1);
                Pick { index: index as u32, weight: (1.0 / (count * g[index])) as f32 }
            })
            .collect();
        picks.sort_by_key(|pick| pick.index);
        picks
    }
}

/// τ of probabilities g: by which factor the standard deviation of a weighted mean falls.
fn tau(g: &[f64]) -> f64 {
    libm::sqrt(g.len() as f64 * g.iter().map(|g| g * g).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::selector::tests::{candidate, randomness};
    use proptest::prelude::*;

    const ALWAYS: Importance = Importance { floor: 0.1, threshold: Some(0.0), memory: 0.9 };

    proptest! {
        #[test]
        fn weights_are_bounded_and_their_rows_are_those_of_high_norm(
            probabilities in prop::collection::vec(0.0_f32..1.0, 2..50), seed: u64
        ) {
            let candidates: Vec<_> =
                probabilities.iter().zip(0..).map(|(p, row)| candidate(row, 1.0, *p, None)).collect();
            let picks = ALWAYS.select(&SuperBatch::new(&candidates), candidates.len() / 2, &mut randomness(seed));
            prop_assert_eq!(picks.len(), candidates.len() / 2);
            prop_assert!(picks.iter().all(|pick| pick.weight > 0.0 && pick.weight <= 1.0 / 0.1 + 1e-3));
        }
    }

    #[test]
    fn the_weighted_mean_estimates_that_of_the_candidates_without_bias() {
        let loss = |row: u32| f64::from(row * row % 17);
        for selector in [ALWAYS, Importance::default(), Importance { floor: 1.0, ..ALWAYS }] {
            let probability = |row: u32| if row < 3 { 0.01 } else { 0.97 + row as f32 / 2_000.0 };
            let candidates: Vec<_> =
                (0..30).map(|row| candidate(row, loss(row) as f32, probability(row), None)).collect();
            let wanted = (0..30).map(loss).sum::<f64>() / 30.0;
            let mut randomness = randomness(7);
            const DRAWS: usize = 20_000;
            let means: Vec<f64> = (0..DRAWS)
                .map(|_| {
                    let picks = selector.select(&SuperBatch::new(&candidates), 6, &mut randomness);
                    picks.iter().map(|pick| f64::from(pick.weight) * loss(pick.index)).sum::<f64>() / 6.0
                })
                .collect();
            let mean = means.iter().sum::<f64>() / DRAWS as f64;
            let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / DRAWS as f64;
            let standard_error = (variance / DRAWS as f64).sqrt();
            assert!(
                (mean - wanted).abs() < 4.0 * standard_error,
                "{selector:?}: {mean} and {wanted} ± {standard_error}"
            );
        }
    }

    #[test]
    fn where_norms_are_alike_rows_are_drawn_uniformly_once_each() {
        let candidates: Vec<_> = (0..30).map(|row| candidate(row, 1.0, 0.5, None)).collect();
        let picks = Importance::default().select(&SuperBatch::new(&candidates), 10, &mut randomness(1));
        assert_eq!(picks.len(), 10);
        assert!(picks.windows(2).all(|pair| pair[0].index < pair[1].index));
        assert!(picks.iter().all(|pick| pick.weight == 1.0));
        let none: Vec<_> = candidates.iter().map(|row| Candidate { el2n: Some(f32::NAN), ..*row }).collect();
        assert_eq!(ALWAYS.select(&SuperBatch::new(&none), 10, &mut randomness(1)), picks);
    }

    /// Thirty candidates of which `steep` have gradients, each a little smaller one, and the others hardly any.
    fn few_steep(steep: u32) -> Vec<Candidate> {
        let probability = |row: u32| if row < steep { 0.01 + row as f32 / 1_000.0 } else { 0.999 };
        (0..30).map(|row| candidate(row, 1.0, probability(row), None)).collect()
    }

    fn is_uniform(selector: Importance, memory: &[f64], candidates: &[Candidate]) -> bool {
        let picks = selector.select(&SuperBatch { memory, ..SuperBatch::new(candidates) }, 10, &mut randomness(1));
        picks.iter().all(|pick| pick.weight == 1.0)
    }

    #[test]
    fn what_super_batches_before_said_decides_and_its_own_where_there_are_none() {
        let (steep, flat) = (few_steep(2), few_steep(30));
        let own = |candidates: &[Candidate]| Importance::default().statistic(candidates).unwrap();
        // With 30 candidates for 10 the threshold is 2.
        assert!(own(&steep) > 3.0 && own(&flat) < 1.01);
        assert!(!is_uniform(Importance::default(), &[], &steep) && is_uniform(Importance::default(), &[], &flat));
        // Once there is a past, a super-batch's own τ only counts for those after it.
        assert!(is_uniform(Importance::default(), &[1.9], &steep));
        assert!(!is_uniform(Importance::default(), &[2.1], &flat));
        // Sixteen rows or more tell of a τ of 2.
        let pays = |memory: &[f64], candidates, size| Importance::default().pays(memory, candidates, size);
        assert!(pays(&[], 48, 16) && pays(&[2.1], 48, 16) && !pays(&[1.9], 48, 16) && pays(&[1.9], 45, 15));
        let alone = Importance { memory: 0.0, ..Importance::default() };
        assert!(!is_uniform(alone, &[], &steep) && alone.remembers() == 0);
    }

    #[test]
    fn tau_is_an_exponential_mean_over_reports_whether_it_pays_or_not() {
        let selector = Importance::default();
        let mut memory = Vec::new();
        for (tau, expected) in [(Some(2.0), 2.0), (Some(1.0), 1.9), (None, 1.9), (Some(3.0), 2.01)] {
            selector.fold(&mut memory, &Report { statistic: tau, ..Report::none(0) });
            let [found] = memory[..] else { panic!("one number is remembered, not {memory:?}") };
            assert!((found - expected).abs() < 1e-12, "{found} in place of {expected}");
        }
        // Where nothing has a gradient, rows are drawn uniformly: B over its effective sample size is 1.
        let none: Vec<_> = few_steep(1).into_iter().map(|row| Candidate { el2n: None, ..row }).collect();
        assert_eq!(selector.statistic(&none), Some(1.0));
    }
}
