//! Online data mixing: domains of high loss have more of the mixture, with a share for exploration that falls.

use super::{
    super::policy::{MixtureOpening, Policy, Reshare, within},
    Mixer, reshare,
};
use crate::{Result, strict};
use serde::Deserialize;

/// The policy `odm` (Albalak et al. 2023, as its published code has it, which is linear in the reward): after batch t
/// of K domains, R_d ← 0.9·R_d + 0.1·exp(L_d), L_d the mean loss of the domain's rows, and the shares are
/// (1 − K·ε_t)·R_d/ΣR + ε_t with ε_t = min(1/K, √(ln K/(K·t))).
///
/// The first reward of a domain is its R at once; losses count as 20 at most. In the first `warmup` batches the recipe's
/// shares stay in force, while rewards are taken in. It is biased: the mixture that is trained on is its own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnlineDataMixing {
    pub(super) warmup: u32,
}

impl Default for OnlineDataMixing {
    fn default() -> Self {
        Self { warmup: 100 }
    }
}

/// What a loss counts at most.
const HIGHEST_LOSS: f64 = 20.0;

impl OnlineDataMixing {
    pub(in super::super) const NAME: &'static str = "odm";

    /// Options: `warmup`, in batches.
    pub(in super::super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let policy: Self = strict::from_table(place, options)?;
        within(place, "warmup", f64::from(policy.warmup), 0.0..=1e9)?;
        Ok(policy)
    }
}

/// The memory is the number of batches, and R of each domain; 0 before its first reward.
impl Mixer for OnlineDataMixing {
    fn start(&self, opening: &MixtureOpening<'_>) -> Vec<f64> {
        vec![0.0; 1 + opening.domains.len()]
    }

    fn step(&self, memory: &mut [f64], means: &[Option<f64>], _: &[u32], _: &[f64]) {
        let Some((batches, rewards)) = memory.split_first_mut() else { return };
        *batches += 1.0;
        for (reward, mean) in rewards.iter_mut().zip(means) {
            let Some(mean) = mean else { continue };
            let perplexity = libm::exp(mean.min(HIGHEST_LOSS));
            *reward = if *reward == 0.0 { perplexity } else { 0.9 * *reward + 0.1 * perplexity };
        }
    }

    fn shares(&self, memory: &[f64], of_recipe: &[f64]) -> Option<Vec<f64>> {
        let (batches, rewards) = memory.split_first()?;
        let sum: f64 = rewards.iter().sum();
        if *batches <= f64::from(self.warmup) || sum <= 0.0 {
            return None;
        }
        let k = of_recipe.len() as f64;
        let explored = libm::sqrt(libm::log(k) / (k * batches)).min(1.0 / k);
        Some(rewards.iter().map(|reward| (1.0 - k * explored) * reward / sum + explored).collect())
    }

    fn quantity(&self, loss: f64, _: Option<f64>) -> Option<f64> {
        Some(loss)
    }
}

impl Policy for OnlineDataMixing {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> String {
        format!("{}/1(warmup={})", Self::NAME, self.warmup)
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn reshare(&self, opening: &MixtureOpening<'_>) -> Option<Reshare> {
        reshare(self, opening)
    }
}
