//! DoReMi: domains in which the model is furthest behind a reference have more of the mixture.

use super::{
    super::policy::{MixtureOpening, Policy, Reshare, within},
    Mixer, reshare,
};
use crate::{Result, strict};
use serde::Deserialize;

/// The policy `doremi` (Xie et al. 2023, algorithm 1): after each batch log w_d ← log w_d + η·λ_d, λ_d the mean over the
/// domain's rows of max(l − l(reference), 0), which an absent domain keeps from before; w is normalised, and the shares
/// are (1 − c)·w + c/K.
///
/// The paper draws evenly and weighs losses by w; here domains are drawn by w with weight 1, which is the same in
/// expectation. Its result is the mean of the shares over the run: what part of the rows handed over each domain had
/// (`Stream::domains`). It is biased: the mixture that is trained on is its own choice. A row's loss is one number, so for
/// texts λ is a mean over rows, not over tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoReMi {
    rate: f64,
    smoothing: f64,
}

impl Default for DoReMi {
    fn default() -> Self {
        Self { rate: 1.0, smoothing: 1e-3 }
    }
}

impl DoReMi {
    pub(in super::super) const NAME: &'static str = "doremi";

    /// Options: `rate` (η, 0 to 100), `smoothing` (c, 0.0005 to 1).
    pub(in super::super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let policy: Self = strict::from_table(place, options)?;
        within(place, "rate", policy.rate, 0.0..=100.0)?;
        within(place, "smoothing", policy.smoothing, 5e-4..=1.0)?;
        Ok(policy)
    }
}

/// The memory is log w of each domain, then λ of each.
impl Mixer for DoReMi {
    fn start(&self, opening: &MixtureOpening<'_>) -> Vec<f64> {
        let logs = opening.of_recipe.iter().map(|share| libm::log(*share));
        logs.chain(opening.domains.iter().map(|_| 0.0)).collect()
    }

    fn step(&self, memory: &mut [f64], means: &[Option<f64>], _: &[u32], _: &[f64]) {
        let (logs, excesses) = memory.split_at_mut(means.len());
        for ((log, excess), mean) in logs.iter_mut().zip(excesses).zip(means) {
            *excess = mean.unwrap_or(*excess);
            *log += self.rate * *excess;
        }
        // softmax and the smoothing of the paper, which the next step starts from.
        let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| libm::exp(log - highest)).sum();
        let even = self.smoothing / logs.len() as f64;
        for log in logs {
            *log = libm::log((1.0 - self.smoothing) * libm::exp(*log - highest) / sum + even);
        }
    }

    fn shares(&self, memory: &[f64], of_recipe: &[f64]) -> Option<Vec<f64>> {
        Some(memory.iter().take(of_recipe.len()).map(|log| libm::exp(*log)).collect())
    }

    fn quantity(&self, loss: f64, reference: Option<f64>) -> Option<f64> {
        Some((loss - reference?).max(0.0)).filter(|_| loss.is_finite())
    }
}

impl Policy for DoReMi {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> String {
        format!("{}/1(rate={:?},smoothing={:?})", Self::NAME, self.rate, self.smoothing)
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn reshare(&self, opening: &MixtureOpening<'_>) -> Option<Reshare> {
        reshare(self, opening)
    }
}
