//! Adaptive data optimization: domains whose loss still falls fast, by a scaling law of each, have more of the mixture.

use super::{
    super::policy::{MixtureOpening, Policy, Reshare, within},
    Mixer, reshare,
};
use crate::{Result, strict};
use serde::Deserialize;

/// The policy `ado` (Jiang et al., ICLR 2025): for each domain a scaling law L(n) = e^ε + e^a·n^−α of its loss over its
/// rows so far is fitted by Huber's loss (δ = 10⁻³) on log L, again every `refit` batches. Its preference is q_d ∝
/// μ_d·√h_d·max(α_d, 0.05)·(L_d(n) − e^ε)/n, with μ the recipe's shares and h the moving average (0.9) of realised
/// shares, 0.01 at least; the shares are 0.9 times the running mean of q and 0.1 times q.
///
/// Differences from the published code: losses are means over stretches of batches (64 to 128 points a domain, stretches
/// double as the run grows) in place of a Savitzky–Golay filter, so that what is remembered stays small, and the fit is a
/// line beside each of many floors, and a pattern search, which needs no gradient and is the same on every machine. In the first `warmup` batches the
/// recipe's shares stay in force and losses are left out. A fit that is not finite keeps the one before. It is biased: the
/// mixture that is trained on is its own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveDataOptimization {
    pub(super) warmup: u32,
    pub(super) refit: u32,
}

impl Default for AdaptiveDataOptimization {
    fn default() -> Self {
        Self { warmup: 500, refit: 1000 }
    }
}

/// Points of a domain's curve at most; at that many, neighbours are put together.
const POINTS: usize = 128;
/// What is remembered of a domain beside its points.
const HEAD: usize = 9;
const DOMAIN: usize = HEAD + 2 * POINTS;
/// What is remembered beside the domains: batches, batches of a stretch, batches in the stretch at hand.
const RUN: usize = 3;

/// One domain's part of the memory.
struct Curve<'a>(&'a mut [f64]);

/// The places of its numbers.
const ROWS: usize = 0;
const REALISED: usize = 1;
const LAW: usize = 2; // ε, a, α
const FITTED: usize = 5;
const MEAN: usize = 6;
const SUM: usize = 7;
const COUNT: usize = 8;

impl AdaptiveDataOptimization {
    pub(in super::super) const NAME: &'static str = "ado";

    /// Options: `warmup` and `refit`, in batches (`refit` from 1).
    pub(in super::super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let policy: Self = strict::from_table(place, options)?;
        within(place, "warmup", f64::from(policy.warmup), 0.0..=1e9)?;
        within(place, "refit", f64::from(policy.refit), 1.0..=1e9)?;
        Ok(policy)
    }
}

impl Curve<'_> {
    /// (rows so far, mean loss), in order; a point without a loss ends them.
    fn points(&self) -> Vec<(f64, f64)> {
        self.0[HEAD..].chunks_exact(2).map(|pair| (pair[0], pair[1])).take_while(|point| point.0 > 0.0).collect()
    }

    fn set_points(&mut self, points: &[(f64, f64)]) {
        self.0[HEAD..].fill(0.0);
        for (place, point) in self.0[HEAD..].chunks_exact_mut(2).zip(points) {
            place.copy_from_slice(&[point.0, point.1]);
        }
    }
}

/// The memory is described by [`RUN`] and [`Curve`].
impl Mixer for AdaptiveDataOptimization {
    fn start(&self, opening: &MixtureOpening<'_>) -> Vec<f64> {
        let mut memory = vec![0.0, 1.0, 0.0];
        for share in opening.of_recipe {
            let mut domain = vec![0.0; DOMAIN];
            (domain[REALISED], domain[MEAN]) = (*share, *share);
            memory.extend(domain);
        }
        memory
    }

    fn step(&self, memory: &mut [f64], means: &[Option<f64>], rows: &[u32], of_recipe: &[f64]) {
        let (run, domains) = memory.split_at_mut(RUN);
        run[0] += 1.0;
        let total: f64 = rows.iter().map(|rows| f64::from(*rows)).sum();
        let warm = run[0] > f64::from(self.warmup);
        run[2] += f64::from(u8::from(warm));
        let ends = run[2] >= run[1];
        let mut full = false;
        for ((domain, mean), rows) in domains.chunks_exact_mut(DOMAIN).zip(means).zip(rows) {
            domain[ROWS] += f64::from(*rows);
            domain[REALISED] = 0.9 * domain[REALISED] + 0.1 * f64::from(*rows) / total.max(1.0);
            if let (Some(mean), true) = (mean, warm) {
                domain[SUM] += mean;
                domain[COUNT] += 1.0;
            }
            if ends && domain[COUNT] > 0.0 {
                let mut curve = Curve(domain);
                let mut points = curve.points();
                points.push((curve.0[ROWS], curve.0[SUM] / curve.0[COUNT]));
                (curve.0[SUM], curve.0[COUNT]) = (0.0, 0.0);
                full |= points.len() >= POINTS;
                curve.set_points(&points);
            }
        }
        if ends {
            run[2] = 0.0;
        }
        if full {
            run[1] *= 2.0;
            for domain in domains.chunks_exact_mut(DOMAIN) {
                let mut curve = Curve(domain);
                let points = curve.points();
                let halved: Vec<_> = points
                    .chunks(2)
                    .map(|pair| (pair[pair.len() - 1].0, pair.iter().map(|p| p.1).sum::<f64>() / pair.len() as f64))
                    .collect();
                curve.set_points(&halved);
            }
        }
        if warm && (run[0] - f64::from(self.warmup)) % f64::from(self.refit) == 0.0 {
            for domain in domains.chunks_exact_mut(DOMAIN) {
                let curve = Curve(domain);
                if let Some(law) = Law::fit(&curve.points()) {
                    curve.0[LAW..LAW + 3].copy_from_slice(&[law.floor, law.scale, law.exponent]);
                    curve.0[FITTED] = curve.0[FITTED].max(1.0);
                }
            }
        }
        if let Some(preferences) = preferences(domains, of_recipe) {
            // The running mean, over the batches since the first fit.
            for (domain, preference) in domains.chunks_exact_mut(DOMAIN).zip(preferences) {
                let count = domain[FITTED];
                domain[MEAN] += (preference - domain[MEAN]) / (count + 1.0);
                domain[FITTED] = count + 1.0;
            }
        }
    }

    fn shares(&self, memory: &[f64], of_recipe: &[f64]) -> Option<Vec<f64>> {
        let domains = memory.get(RUN..)?;
        let preferences = preferences(domains, of_recipe)?;
        let mixed = domains.chunks_exact(DOMAIN).zip(preferences);
        let shares: Vec<f64> = mixed.map(|(domain, q)| (0.9 * domain[MEAN] + 0.1 * q).max(LEAST)).collect();
        let sum: f64 = shares.iter().sum();
        Some(shares.iter().map(|share| share / sum).collect())
    }

    fn quantity(&self, loss: f64, _: Option<f64>) -> Option<f64> {
        Some(loss)
    }
}

/// The least preference.
const LEAST: f64 = 0.01;

/// q of each domain, of at least [`LEAST`] before they are made to add up to 1; `None` until all have a law.
fn preferences(domains: &[f64], of_recipe: &[f64]) -> Option<Vec<f64>> {
    let of = |(domain, share): (&[f64], &f64)| {
        if domain[FITTED] == 0.0 {
            return None;
        }
        let (law, n) =
            (Law { floor: domain[LAW], scale: domain[LAW + 1], exponent: domain[LAW + 2] }, domain[ROWS].max(1.0));
        let excess = libm::exp(law.scale - law.exponent * libm::log(n));
        Some(share * libm::sqrt(domain[REALISED].max(LEAST)) * law.exponent.max(0.05) * excess / n)
    };
    let raw: Vec<f64> = domains.chunks_exact(DOMAIN).zip(of_recipe).map(of).collect::<Option<_>>()?;
    let normed = |values: &[f64]| -> Vec<f64> {
        let sum: f64 = values.iter().sum();
        values.iter().map(|value| if sum > 0.0 { value / sum } else { 1.0 / values.len() as f64 }).collect()
    };
    let floored: Vec<f64> = normed(&raw).iter().map(|q| q.max(LEAST)).collect();
    Some(normed(&floored)).filter(|preferences| preferences.iter().all(|q| q.is_finite()))
}

/// L(n) = e^floor + e^scale·n^−exponent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Law {
    floor: f64,
    scale: f64,
    exponent: f64,
}

impl Law {
    fn at(&self, n: f64) -> f64 {
        libm::exp(self.floor) + libm::exp(self.scale - self.exponent * libm::log(n))
    }

    /// Huber's loss of log L.
    fn cost(&self, points: &[(f64, f64)]) -> f64 {
        const DELTA: f64 = 1e-3;
        let each = |&(n, loss): &(f64, f64)| {
            let off = (libm::log(self.at(n)) - libm::log(loss)).abs();
            if off <= DELTA { 0.5 * off * off } else { DELTA * (off - 0.5 * DELTA) }
        };
        points.iter().map(each).sum()
    }

    /// α ≤ 0.8 and a ≤ 6.5, beyond which the published code has penalties. Its ε ≥ 0.5 is for losses of language models;
    /// others fall below that.
    fn bounded(self) -> Self {
        Self {
            floor: self.floor.clamp(-5.0, 3.0),
            scale: self.scale.clamp(-5.0, 6.5),
            exponent: self.exponent.clamp(0.0, 0.8),
        }
    }

    /// `None` where there are fewer than 8 points or one is no positive loss.
    fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 8 || points.iter().any(|(n, loss)| !(*n > 0.0 && *loss > 0.0 && loss.is_finite())) {
            return None;
        }
        let lowest = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        // Beside a floor, log(L − floor) is a line in log n: only the floor has to be searched for, finer and finer.
        let at = |part: f64| {
            let law = Self::beside(part * lowest, points);
            (law.cost(points), part)
        };
        let best = |parts: &mut dyn Iterator<Item = f64>| {
            parts.filter(|part| (0.001..0.9999).contains(part)).map(at).min_by(|a, b| a.0.total_cmp(&b.0))
        };
        let mut width = 0.02;
        let mut part = best(&mut (1..50).map(|step| f64::from(step) * width))?.1;
        for _ in 0..4 {
            part = best(&mut (-10..=10).map(|step| part + width * f64::from(step) / 10.0))?.1;
            width *= 0.1;
        }
        let law = Self::beside(part * lowest, points);
        let (cost, law) = law.searched(law.cost(points), points);
        cost.is_finite().then_some(law)
    }

    /// The law with this floor of the loss, by least squares.
    fn beside(floor: f64, points: &[(f64, f64)]) -> Self {
        let logs = || points.iter().map(|(n, loss)| (libm::log(*n), libm::log(loss - floor)));
        let count = points.len() as f64;
        let (x, y) = logs().fold((0.0, 0.0), |sum, log| (sum.0 + log.0 / count, sum.1 + log.1 / count));
        let spread: f64 = logs().map(|log| (log.0 - x) * (log.0 - x)).sum();
        let slope = if spread > 0.0 { logs().map(|log| (log.0 - x) * (log.1 - y)).sum::<f64>() / spread } else { 0.0 };
        Self { floor: libm::log(floor), scale: y - slope * x, exponent: -slope }.bounded()
    }

    /// A pattern search: a step along each number and along those that trade against each other, halved where none helps.
    fn searched(mut self, mut cost: f64, points: &[(f64, f64)]) -> (f64, Self) {
        let log_n = points.iter().map(|point| libm::log(point.0)).sum::<f64>() / points.len() as f64;
        let directions = [
            (1.0, 0.0, 0.0),
            (0.0, 1.0, 0.0),
            (0.0, log_n, 1.0),
            (1.0, -1.0, 0.0),
            (0.3, log_n, 1.0),
            (-0.3, log_n, 1.0),
        ];
        let mut step = 0.2;
        for _ in 0..2_000 {
            let mut better: Option<(f64, Self)> = None;
            for (floor, scale, exponent) in directions {
                for sign in [step, -step] {
                    let moved = Self {
                        floor: self.floor + sign * floor,
                        scale: self.scale + sign * scale,
                        exponent: self.exponent + sign * exponent,
                    };
                    let moved = moved.bounded();
                    let of_moved = moved.cost(points);
                    if of_moved < better.map_or(cost, |(best, _)| best) {
                        better = Some((of_moved, moved));
                    }
                }
            }
            match better {
                Some((best, law)) => {
                    cost = best;
                    self = law;
                }
                None if step < 1e-6 => break,
                None => step *= 0.5,
            }
        }
        (cost, self)
    }
}

impl Policy for AdaptiveDataOptimization {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> String {
        format!("{}/1(warmup={},refit={})", Self::NAME, self.warmup, self.refit)
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn reshare(&self, opening: &MixtureOpening<'_>) -> Option<Reshare> {
        reshare(self, opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_is_found_again_in_its_points() {
        for law in [
            Law { floor: 0.6, scale: 2.0, exponent: 0.3 },
            Law { floor: 0.9, scale: 4.0, exponent: 0.6 },
            Law { floor: 0.5, scale: 1.0, exponent: 0.15 },
        ] {
            let points: Vec<(f64, f64)> = (1..=100).map(|i| f64::from(i) * 640.0).map(|n| (n, law.at(n))).collect();
            let found = Law::fit(&points).unwrap();
            for &(n, loss) in &points {
                assert!((found.at(n) / loss - 1.0).abs() < 2e-3, "{law:?} {found:?} at {n}");
            }
            // What a preference is made of: how fast the loss falls.
            let slope = |law: Law| law.exponent * (law.at(64_000.0) - libm::exp(law.floor));
            assert!((slope(found) / slope(law) - 1.0).abs() < 0.1, "{law:?} {found:?}");
        }
        assert_eq!(Law::fit(&[(1.0, 1.0); 7]), None);
        assert_eq!(Law::fit(&[(1.0, 0.0); 9]), None);
    }

    #[test]
    fn the_domain_whose_loss_falls_has_more_of_the_mixture_and_memory_is_bounded() {
        let policy = AdaptiveDataOptimization { warmup: 10, refit: 50 };
        let laws = [Law { floor: 0.5, scale: 4.0, exponent: 0.5 }, Law { floor: 1.0, scale: 1.0, exponent: 0.4 }];
        let of_recipe = [0.5, 0.5];
        let mut memory = vec![0.0, 1.0, 0.0];
        for share in of_recipe {
            let mut domain = vec![0.0; DOMAIN];
            (domain[REALISED], domain[MEAN]) = (share, share);
            memory.extend(domain);
        }
        let length = memory.len();
        for batch in 1..=1_000_u32 {
            let n = f64::from(batch) * 32.0;
            policy.step(&mut memory, &laws.map(|law| Some(law.at(n))), &[32, 32], &of_recipe);
            let shares = policy.shares(&memory, &of_recipe);
            assert_eq!(shares.is_some(), batch >= 60, "batch {batch}");
        }
        assert_eq!(memory.len(), length);
        let shares = policy.shares(&memory, &of_recipe).unwrap();
        assert!(shares[0] > 0.6 && (shares[0] + shares[1] - 1.0).abs() < 1e-9, "{shares:?}");
    }
}
