//! How domains are mixed: policies that leave every row its plain target and move the shares of the domains.
//!
//! A step of a published method is one batch: the mean loss of each domain in it. The steps of all batches that came in
//! since the window before are taken in order when a window opens, so that shares move as often as windows open, by as
//! many steps as the paper takes. A domain without a finite loss in a batch keeps what was known of it.

mod ado;
mod doremi;
mod odm;

pub use ado::AdaptiveDataOptimization;
pub use doremi::DoReMi;
pub use odm::OnlineDataMixing;

use super::policy::{MixtureOpening, Policy, Reshare};
use crate::{Position, Report, Result, strict};
use serde::Deserialize;

/// The policy `fixed`: the shares that the recipe gives, for the whole run, and every row once with weight 1. It is what
/// `uniform` does, by the name under which mixtures are compared with it (stratified sampling).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed;

/// It has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

impl Fixed {
    pub(super) const NAME: &'static str = "fixed";

    pub(super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let Options {} = strict::from_table(place, options)?;
        Ok(Self)
    }
}

impl Policy for Fixed {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        format!("{}/1()", Self::NAME)
    }

    fn reads_signals(&self) -> bool {
        false
    }
}

/// One step of a mixing method: from what it remembers and one batch to what it remembers then.
trait Mixer {
    /// What is remembered before the first step, of so many domains.
    fn start(&self, opening: &MixtureOpening<'_>) -> Vec<f64>;

    /// One batch, by the mean of `quantity` in each domain; `None` where the domain has none.
    /// `rows` are how many each domain has in it, and `of_recipe` the recipe's shares.
    fn step(&self, memory: &mut [f64], means: &[Option<f64>], rows: &[u32], of_recipe: &[f64]);

    /// The shares that follow; `None` leaves those of the recipe in force.
    fn shares(&self, memory: &[f64], of_recipe: &[f64]) -> Option<Vec<f64>>;

    /// What is averaged over a domain's rows: of the loss and the reference's loss.
    fn quantity(&self, loss: f64, reference: Option<f64>) -> Option<f64>;
}

/// All steps since the window before.
fn reshare(mixer: &impl Mixer, opening: &MixtureOpening<'_>) -> Option<Reshare> {
    let mut memory = opening.memory.to_vec();
    if memory.is_empty() {
        memory = mixer.start(opening);
    }
    let mut stepped = false;
    for report in opening.reports {
        let (means, rows) = means(mixer, report, opening);
        if means.iter().any(Option::is_some) {
            mixer.step(&mut memory, &means, &rows, opening.of_recipe);
            stepped = true;
        }
    }
    if !stepped {
        return None;
    }
    let shares = mixer.shares(&memory, opening.of_recipe).unwrap_or_else(|| opening.of_recipe.to_vec());
    Some(Reshare { shares, memory })
}

/// The mean over the rows of each domain, in the order of the batch, and how many rows it has in it.
fn means(mixer: &impl Mixer, report: &Report, opening: &MixtureOpening<'_>) -> (Vec<Option<f64>>, Vec<u32>) {
    let mut sums = vec![(0.0_f64, 0_u32); opening.domains.len()];
    let mut rows = vec![0; opening.domains.len()];
    for (position, signal) in &report.rows {
        if let Some(rows) = rows.get_mut(domain_of(*position, opening)) {
            *rows += 1;
        }
        let reference = || opening.references?.get(*position).map(|reference| f64::from(reference.loss));
        let quantity = mixer.quantity(f64::from(signal.loss), reference()).filter(|quantity| quantity.is_finite());
        if let (Some(quantity), Some((sum, count))) = (quantity, sums.get_mut(domain_of(*position, opening))) {
            *sum += quantity;
            *count += 1;
        }
    }
    (sums.iter().map(|&(sum, count)| (count > 0).then(|| sum / f64::from(count))).collect(), rows)
}

fn domain_of(position: Position, opening: &MixtureOpening<'_>) -> usize {
    opening.domains.partition_point(|domain| domain.blocks.end <= position.block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Domain, Signal, value::References, value::selector::Reference};

    /// What was computed apart from this code: see `testdata/mixtures.py`.
    #[derive(Deserialize)]
    struct Golden {
        /// By batch, domain, row.
        losses: Vec<Vec<Vec<f32>>>,
        references: Vec<Vec<f32>>,
        odm: Vec<Vec<f64>>,
        doremi: Vec<Vec<f64>>,
    }

    const DOMAINS: usize = 3;
    const ROWS: u32 = 4;

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../testdata/mixtures.json")).unwrap()
    }

    fn report(batch: usize, losses: &[Vec<f32>]) -> Report {
        let rows = losses.iter().zip(0..).flat_map(|(losses, domain)| {
            losses.iter().zip(0..).map(move |(&loss, row)| (Position::new(domain, row), Signal { loss, class: None }))
        });
        Report::new(batch as u64, rows.collect())
    }

    /// The shares after each batch, if a window opens after each, or only after every `windows`-th.
    fn trace(policy: &dyn Policy, windows: usize) -> Vec<Vec<f64>> {
        let golden = golden();
        let domains: Vec<Domain> =
            (0..DOMAINS as u32).map(|block| Domain { name: block.to_string(), blocks: block..block + 1 }).collect();
        let mut references = References::new(&[ROWS; DOMAINS]);
        for (domain, losses) in (0..).zip(&golden.references) {
            for (row, &loss) in (0..).zip(losses) {
                references.set(Position::new(domain, row), Reference { loss, probability: None }).unwrap();
            }
        }
        let reports: Vec<Report> =
            golden.losses.iter().enumerate().map(|(batch, losses)| report(batch, losses)).collect();
        let (mut memory, mut in_force) = (Vec::new(), vec![1.0 / 3.0; DOMAINS]);
        let mut trace = Vec::new();
        for reports in reports.chunks(windows) {
            let opening = MixtureOpening {
                domains: &domains,
                of_recipe: &[1.0 / 3.0; DOMAINS],
                in_force: &in_force,
                memory: &memory,
                reports,
                references: Some(&references),
            };
            if let Some(moved) = policy.reshare(&opening) {
                let sum: f64 = moved.shares.iter().sum();
                in_force = moved.shares.iter().map(|share| share / sum).collect();
                memory = moved.memory;
            }
            trace.push(in_force.clone());
        }
        trace
    }

    fn assert_close(found: &[Vec<f64>], wanted: &[Vec<f64>]) {
        assert_eq!(found.len(), wanted.len());
        for (step, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-9, "step {step}: {found} and {wanted}");
            }
        }
    }

    #[test]
    fn shares_move_as_in_a_computation_apart() {
        let golden = golden();
        assert_close(&trace(&OnlineDataMixing { warmup: 5 }, 1), &golden.odm);
        assert_close(&trace(&DoReMi::default(), 1), &golden.doremi);
    }

    #[test]
    fn how_often_windows_open_changes_no_step() {
        for policy in [&OnlineDataMixing { warmup: 5 } as &dyn Policy, &DoReMi::default()] {
            let (often, seldom) = (trace(policy, 1), trace(policy, 4));
            for (window, shares) in seldom.iter().enumerate() {
                assert_eq!(*shares, often[(4 * window + 3).min(often.len() - 1)]);
            }
        }
    }

    #[test]
    fn no_share_falls_to_nothing_whatever_the_losses() {
        for policy in [&OnlineDataMixing { warmup: 0 } as &dyn Policy, &DoReMi::default()] {
            let domains = [0, 1].map(|block| Domain { name: block.to_string(), blocks: block..block + 1 });
            let mut memory = Vec::new();
            for batch in 0..500 {
                let losses = [f32::INFINITY, f32::NAN, 1e30, 0.0, -5.0][batch % 5];
                let reports = [report(batch, &[vec![losses, 3.0], vec![1e-3, losses]])];
                let opening = MixtureOpening {
                    domains: &domains,
                    of_recipe: &[0.5; 2],
                    in_force: &[0.5; 2],
                    memory: &memory,
                    reports: &reports,
                    references: None,
                };
                if let Some(moved) = policy.reshare(&opening) {
                    let sum: f64 = moved.shares.iter().sum();
                    assert!(moved.shares.iter().all(|share| *share / sum > 1e-4), "{:?}", moved.shares);
                    assert!(moved.memory.iter().all(|number| number.is_finite()));
                    memory = moved.memory;
                }
            }
        }
    }
}
