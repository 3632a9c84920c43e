//! Selective-Backprop: rows are trained on with a probability that grows with the percentile of their loss.

use crate::{
    Pick, Randomness, Report, Result, strict,
    value::{
        policy::within,
        selector::{Needs, Selector, SuperBatch, drawn},
    },
};
use serde::Deserialize;

/// The selector `selective_backprop` (Jiang et al. 2019): `size` candidates drawn without replacement with probabilities
/// in proportion to CDF(l)^β, with weight 1. CDF(l) is the share of the last `memory` losses that are at most l.
///
/// As in the authors' code the candidates' own losses are among the last ones; those before them are as recent as the
/// feedback lag lets them be, so that the batches between do not count, and before there are any the candidates are alone.
/// Losses of all candidates are remembered, whether they were picked or not; those that are not finite are not.
/// The paper keeps each row with probability CDF(l)^β and fills batches with what is kept; here a batch is full at once. It
/// prefers high losses and so wrong labels, and is biased by design: it is here for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectiveBackprop {
    beta: f64,
    memory: u32,
}

impl Default for SelectiveBackprop {
    fn default() -> Self {
        Self { beta: 1.0, memory: 1024 }
    }
}

impl SelectiveBackprop {
    pub(in crate::value) const NAME: &'static str = "selective_backprop";

    /// Options: `beta` (0 to 100; 0 draws uniformly), `memory` (0 to 65,536 losses; 0 ranks among the candidates alone).
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        within(place, "beta", selector.beta, 0.0..=100.0)?;
        within(place, "memory", f64::from(selector.memory), 0.0..=65_536.0)?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        format!("{}/2(beta={:?},memory={})", Self::NAME, self.beta, self.memory)
    }
}

impl Selector for SelectiveBackprop {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn remembers(&self) -> usize {
        self.memory as usize
    }

    fn fold(&self, memory: &mut Vec<f64>, report: &Report) {
        memory.extend(report.rows.iter().map(|(_, signal)| f64::from(signal.loss)).filter(|loss| loss.is_finite()));
        memory.drain(..memory.len().saturating_sub(self.remembers()));
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        let losses: Vec<f64> = batch.candidates.iter().map(|candidate| f64::from(candidate.signal.loss)).collect();
        let mut last: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
        let earlier = self.remembers().saturating_sub(last.len()).min(batch.memory.len());
        last.extend(&batch.memory[batch.memory.len() - earlier..]);
        last.sort_by(f64::total_cmp);
        let share = |loss: f64| last.partition_point(|other| *other <= loss) as f64 / last.len() as f64;
        let score = |loss: f64| if loss.is_finite() { self.beta * libm::log(share(loss)) } else { f64::NAN };
        let scores: Vec<f64> = losses.into_iter().map(score).collect();
        drawn(&scores, size, randomness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Position, Signal,
        value::selector::tests::{candidate, randomness},
    };

    /// How often each of `losses` is the one that is picked, beside what is expected of shares of the last losses.
    fn picked_as_often(selector: SelectiveBackprop, losses: &[f32], memory: &[f64], shares: &[f64]) {
        const DRAWS: u32 = 40_000;
        let candidates: Vec<_> = losses.iter().zip(0..).map(|(loss, row)| candidate(row, *loss, 0.5, None)).collect();
        let batch = SuperBatch { memory, ..SuperBatch::new(&candidates) };
        let mut counts = vec![0_u32; losses.len()];
        let mut randomness = randomness(9);
        for _ in 0..DRAWS {
            counts[selector.select(&batch, 1, &mut randomness)[0].index as usize] += 1;
        }
        let odds: Vec<f64> = shares.iter().map(|share| share.powf(selector.beta)).collect();
        let sum: f64 = odds.iter().sum();
        for (count, odd) in counts.iter().zip(odds) {
            let share = odd / sum;
            let deviation = (share * (1.0 - share) / f64::from(DRAWS)).sqrt();
            let off = (f64::from(*count) / f64::from(DRAWS) - share).abs();
            assert!(off <= 5.0 * deviation, "{selector:?}: {counts:?} in place of shares {shares:?}");
        }
    }

    #[test]
    fn a_percentile_counts_to_the_power_beta_and_not_the_loss_itself() {
        for beta in [0.0, 1.0, 2.0] {
            let selector = SelectiveBackprop { beta, ..SelectiveBackprop::default() };
            picked_as_often(selector, &[0.0, 1.0, 100.0, 1e6], &[], &[0.25, 0.5, 0.75, 1.0]);
            // Equal losses are picked equally often.
            picked_as_often(selector, &[1.0, 3.0, 1.0, 2.0], &[], &[0.5, 1.0, 0.5, 0.75]);
        }
    }

    #[test]
    fn the_percentile_is_that_among_the_last_losses() {
        let memory = [9.0, 9.0, 0.5, 0.5, 0.5, 1.5];
        let of = |memory| SelectiveBackprop { memory, ..SelectiveBackprop::default() };
        // With the candidates' own two these are eight.
        picked_as_often(of(8), &[1.0, 2.0], &memory, &[4.0 / 8.0, 6.0 / 8.0]);
        // Of the last six the two nines are none.
        picked_as_often(of(6), &[1.0, 2.0], &memory, &[4.0 / 6.0, 1.0]);
        // As many candidates as are remembered, or more, or no memory: they are alone.
        for few in [2, 1, 0] {
            picked_as_often(of(few), &[1.0, 2.0], &memory, &[0.5, 1.0]);
        }
    }

    #[test]
    fn what_is_remembered_are_the_last_finite_losses_in_order() {
        let selector = SelectiveBackprop { memory: 4, ..SelectiveBackprop::default() };
        let report = |batch, losses: &[f32]| {
            let row = |(loss, row): (&f32, u32)| (Position::new(0, row), Signal { loss: *loss, class: None });
            Report::new(batch, losses.iter().zip(0..).map(row).collect())
        };
        let mut memory = Vec::new();
        selector.fold(&mut memory, &report(0, &[1.0, f32::NAN, 2.0]));
        assert_eq!(memory, [1.0, 2.0]);
        selector.fold(&mut memory, &report(1, &[3.0, f32::INFINITY, 0.5, 4.0]));
        assert_eq!(memory, [2.0, 3.0, 0.5, 4.0]);
        selector.fold(&mut memory, &report(2, &[9.0; 7]));
        assert_eq!(memory, [9.0; 4]);
    }

    #[test]
    fn what_is_not_finite_is_passed_over() {
        let candidates =
            [candidate(0, f32::NAN, 0.5, None), candidate(1, 0.0, 0.5, None), candidate(2, f32::INFINITY, 0.5, None)];
        let picks = SelectiveBackprop::default().select(&SuperBatch::new(&candidates), 1, &mut randomness(0));
        assert_eq!(picks, [Pick::plain(1)]);
        let picks = SelectiveBackprop::default().select(&SuperBatch::new(&candidates[..1]), 1, &mut randomness(0));
        assert_eq!(picks, [Pick::plain(0)]);
    }
}
