//! A mixture of two normal distributions on the line, fitted by expectation–maximisation.
//!
//! Deterministic: it starts from the 2-means split of the range, sums run in the order of the values, and logarithms
//! and exponentials come from `libm`. It knows nothing of what the values are.

use std::f64::consts::TAU;

/// Whether the two components have a variance each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variances {
    /// Each its own.
    Own,
    /// One for both; then the posterior rises monotonically with the value.
    Tied,
}

/// Two normal components, the one with the lower mean first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The components' shares, which sum to 1.
    pub shares: [f64; 2],
    /// Their means, in the values' unit.
    pub means: [f64; 2],
    /// Their variances, in the values' unit squared.
    pub variances: [f64; 2],
    /// The mean log-likelihood of a value under the mixture.
    pub log_likelihood: f64,
    /// How many values it was fitted to.
    pub count: usize,
}

/// The least variance, as a share of the squared range: DivideMix's floor on min–max scaled losses.
const VARIANCE_FLOOR: f64 = 5e-4;
/// The mean log-likelihood must rise by more than this for another step.
const TOLERANCE: f64 = 1e-6;
const MOST_STEPS: usize = 200;

impl Mixture {
    /// Fits two components to `values` by EM (Dempster et al. 1977).
    ///
    /// `None` where there is nothing to tell apart: fewer than two different values, one that is not finite, a range
    /// whose square `f64` cannot hold, or a component that starves.
    #[must_use]
    pub fn fit(values: &[f64], variances: Variances) -> Option<Self> {
        Self::fit_until(values, variances, TOLERANCE, MOST_STEPS)
    }

    fn fit_until(values: &[f64], kind: Variances, tolerance: f64, most_steps: usize) -> Option<Self> {
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let range = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
        // The square is the variances' unit.
        if !(range * range).is_normal() {
            return None;
        }
        let scaled: Vec<f64> = values.iter().map(|value| (value - low) / range).collect();
        let mut mixture = Self::start(&scaled, kind)?;
        for _ in 0..most_steps {
            let before = mixture.log_likelihood;
            mixture = mixture.step(&scaled, kind)?;
            if mixture.log_likelihood - before <= tolerance {
                break;
            }
        }
        if mixture.means[0] > mixture.means[1] {
            mixture.shares.reverse();
            mixture.means.reverse();
            mixture.variances.reverse();
        }
        mixture.means = mixture.means.map(|mean| low + range * mean);
        mixture.variances = mixture.variances.map(|variance| range * range * variance);
        mixture.log_likelihood -= libm::log(range);
        Some(mixture)
    }

    /// The 2-means split that Lloyd's algorithm finds from the two ends of the range.
    fn start(scaled: &[f64], kind: Variances) -> Option<Self> {
        let mut cut = 0.5;
        for _ in 0..MOST_STEPS {
            let moments = Moments::of(scaled, |value| if value < cut { 0.0 } else { 1.0 });
            let [low, high] = moments.means()?;
            let next = 0.5 * (low + high);
            if next == cut {
                break;
            }
            cut = next;
        }
        Moments::of(scaled, |value| if value < cut { 0.0 } else { 1.0 }).mixture(scaled.len(), kind)
    }

    /// One EM step. The log-likelihood that it carries is that of the mixture it came from.
    fn step(&self, scaled: &[f64], kind: Variances) -> Option<Self> {
        let densities = self.densities();
        let mut log_likelihood = 0.0;
        let moments = Moments::of(scaled, |value| {
            let [a, b] = densities.map(|density| density.log(value));
            log_likelihood += a.max(b) + libm::log1p(libm::exp(-(a - b).abs()));
            logistic(b - a)
        });
        let mut next = moments.mixture(scaled.len(), kind)?;
        next.log_likelihood = log_likelihood / scaled.len() as f64;
        Some(next)
    }

    /// How likely it is that `value` came from the component with the higher mean, in [0, 1].
    ///
    /// With variances of their own the wider component wins on both far sides; beyond the means that says nothing of
    /// which it is, so there the posterior is held at one half or on the near component's side.
    #[must_use]
    pub fn posterior_high(&self, value: f64) -> f64 {
        let [a, b] = self.densities().map(|density| density.log(value));
        let posterior = logistic(b - a);
        if self.variances[0] == self.variances[1] {
            posterior
        } else if value <= self.means[0] {
            posterior.min(0.5)
        } else if value >= self.means[1] {
            posterior.max(0.5)
        } else {
            posterior
        }
    }

    /// The same components, of which the one with the higher mean has this share, in (0, 1).
    #[must_use]
    pub fn with_high(self, share: f64) -> Self {
        Self { shares: [1.0 - share, share], ..self }
    }

    /// Ashman's D = |μ₁ − μ₂| / √((σ₁² + σ₂²)/2); above 2 the components are clearly apart (Ashman et al. 1994).
    #[must_use]
    pub fn ashman_d(&self) -> f64 {
        (self.means[1] - self.means[0]).abs() / libm::sqrt(0.5 * (self.variances[0] + self.variances[1]))
    }

    /// The Bayesian information criterion, −2 ln L + k ln n; lower is better. k is 5, or 4 with tied variances.
    #[must_use]
    pub fn bic(&self, kind: Variances) -> f64 {
        let parameters = match kind {
            Variances::Own => 5.0,
            Variances::Tied => 4.0,
        };
        let n = self.count as f64;
        parameters * libm::log(n) - 2.0 * n * self.log_likelihood
    }

    fn densities(&self) -> [Density; 2] {
        [0, 1].map(|k| Density {
            mean: self.means[k],
            scale: -0.5 / self.variances[k],
            constant: libm::log(self.shares[k]) - 0.5 * libm::log(TAU * self.variances[k]),
        })
    }
}

/// A component's weighted normal density.
#[derive(Clone, Copy)]
struct Density {
    mean: f64,
    scale: f64,
    constant: f64,
}

impl Density {
    fn log(&self, value: f64) -> f64 {
        self.constant + self.scale * (value - self.mean) * (value - self.mean)
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Σr, Σrx and Σrx² of each component, r its responsibility; x in [0, 1], so that nothing cancels below the floor.
#[derive(Default)]
struct Moments {
    weight: [f64; 2],
    first: [f64; 2],
    second: [f64; 2],
}

impl Moments {
    fn of(scaled: &[f64], mut high: impl FnMut(f64) -> f64) -> Self {
        let mut moments = Self::default();
        for &value in scaled {
            let high = high(value);
            for (k, share) in [1.0 - high, high].into_iter().enumerate() {
                moments.weight[k] += share;
                moments.first[k] += share * value;
                moments.second[k] += share * value * value;
            }
        }
        moments
    }

    fn means(&self) -> Option<[f64; 2]> {
        /// Fewer rows than this and a component is no group.
        const STARVED: f64 = 1e-9;
        let fed = self.weight.iter().all(|weight| *weight > STARVED);
        fed.then(|| [0, 1].map(|k| self.first[k] / self.weight[k]))
    }

    fn mixture(&self, count: usize, kind: Variances) -> Option<Mixture> {
        let means = self.means()?;
        let total = self.weight[0] + self.weight[1];
        let shares = self.weight.map(|weight| weight / total);
        let spread = [0, 1].map(|k| self.second[k] / self.weight[k] - means[k] * means[k]);
        let variances = match kind {
            Variances::Own => spread,
            Variances::Tied => [shares[0] * spread[0] + shares[1] * spread[1]; 2],
        };
        let variances = variances.map(|variance| variance.max(VARIANCE_FLOOR));
        Some(Mixture { shares, means, variances, log_likelihood: f64::NEG_INFINITY, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 160 values around 0.2 and 40 around 0.8, that overlap; the same as were given to scikit-learn.
    fn two_groups() -> Vec<f64> {
        let low = (0..160).map(f64::from).map(|i| 0.2 + 0.15 * libm::sin(1.7 * i) + 0.05 * libm::sin(5.3 * i));
        let high = (0..40).map(f64::from).map(|i| 0.8 + 0.35 * libm::sin(2.9 * i) + 0.2 * libm::sin(0.7 * i));
        low.chain(high).collect()
    }

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{found} in place of {wanted}");
    }

    #[test]
    fn the_fit_is_that_of_scikit_learn() {
        // GaussianMixture 1.9 on these values from the same start, run to convergence without regularisation.
        let own = Mixture::fit_until(&two_groups(), Variances::Own, 0.0, 10_000).unwrap();
        close(own.shares[1], 0.164_539_411_959_499_17);
        close(own.means[0], 0.208_429_282_869_971_34);
        close(own.means[1], 0.902_468_159_753_714_2);
        close(own.variances[0], 0.013_807_885_559_091_378);
        close(own.variances[1], 0.049_317_860_137_960_34);
        close(own.log_likelihood, 0.201_868_866_021_022_77);
        close(own.bic(Variances::Own), -54.255_959_575_668_925);
        close(own.ashman_d(), 3.906_569_323_654_437);
        close(own.posterior_high(0.45), 0.097_634_189_542_221_47);
        close(own.posterior_high(0.6), 0.913_985_279_125_823_6);

        let tied = Mixture::fit_until(&two_groups(), Variances::Tied, 0.0, 10_000).unwrap();
        close(tied.shares[1], 0.143_197_510_423_215_82);
        close(tied.means[0], 0.216_913_943_489_476_35);
        close(tied.means[1], 0.955_139_683_222_596_7);
        close(tied.variances[0], 0.019_002_422_838_610_4);
        close(tied.log_likelihood, 0.167_161_306_731_544_95);
        close(tied.bic(Variances::Tied), -45.671_253_226_425_83);
        close(tied.posterior_high(0.6), 0.223_369_424_318_749_07);
    }

    #[test]
    fn the_tolerance_of_the_loop_is_near_enough() {
        for kind in [Variances::Own, Variances::Tied] {
            let quick = Mixture::fit(&two_groups(), kind).unwrap();
            let exact = Mixture::fit_until(&two_groups(), kind, 0.0, 10_000).unwrap();
            assert!((quick.ashman_d() - exact.ashman_d()).abs() < 0.05 * exact.ashman_d());
        }
    }

    proptest! {
        #[test]
        fn a_fit_moves_and_stretches_with_its_values(
            values in prop::collection::vec(-1.0_f64..1.0, 4..60), shift in -3.0_f64..3.0, scale in 0.1_f64..9.0
        ) {
            let moved: Vec<f64> = values.iter().map(|value| shift + scale * value).collect();
            for kind in [Variances::Own, Variances::Tied] {
                // A fixed number of steps, so that rounding cannot decide how many.
                let (a, b) = (Mixture::fit_until(&values, kind, -1.0, 20), Mixture::fit_until(&moved, kind, -1.0, 20));
                let (Some(a), Some(b)) = (a, b) else { continue };
                prop_assert!((a.ashman_d() - b.ashman_d()).abs() < 1e-5 * (1.0 + a.ashman_d()));
                prop_assert!((shift + scale * a.means[1] - b.means[1]).abs() < 1e-5);
            }
        }

        #[test]
        fn whatever_the_values_the_mixture_is_one(values in prop::collection::vec(prop_oneof![-1.0_f64..1.0, Just(0.5), -1e150_f64..1e150], 0..50)) {
            for kind in [Variances::Own, Variances::Tied] {
                let Some(mixture) = Mixture::fit(&values, kind) else { continue };
                prop_assert!((mixture.shares[0] + mixture.shares[1] - 1.0).abs() < 1e-12);
                prop_assert!(mixture.means[0] <= mixture.means[1]);
                prop_assert!(mixture.shares.iter().all(|share| *share > 0.0));
                for value in &values {
                    let posterior = mixture.posterior_high(*value);
                    prop_assert!((0.0..=1.0).contains(&posterior), "{posterior} at {value} of {mixture:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_tell_apart_gives_no_mixture() {
        for values in [
            &[][..],
            &[1.0],
            &[2.0, 2.0, 2.0],
            &[0.0, f64::NAN],
            &[0.0, f64::INFINITY],
            &[f64::MIN, f64::MAX],
            &[0.0, 1e-200],
        ] {
            assert_eq!(Mixture::fit(values, Variances::Own), None, "{values:?}");
        }
    }

    #[test]
    fn a_tied_posterior_rises_with_the_value() {
        let mixture = Mixture::fit(&two_groups(), Variances::Tied).unwrap();
        let posteriors: Vec<f64> = (-20..40).map(|step| mixture.posterior_high(f64::from(step) * 0.1)).collect();
        assert!(posteriors.is_sorted());
    }

    #[test]
    fn a_tied_posterior_follows_the_shares_beyond_the_means_too() {
        let tied =
            Mixture { shares: [0.5; 2], means: [-0.5, 0.5], variances: [0.25; 2], log_likelihood: 0.0, count: 0 };
        // Odds of e^{4m} times those of the shares.
        close(tied.with_high(0.05).posterior_high(0.6), 1.0 / (1.0 + 19.0 * (-2.4_f64).exp()));
        close(tied.with_high(0.95).posterior_high(-0.6), 1.0 / (1.0 + (2.4_f64).exp() / 19.0));
    }

    #[test]
    fn a_posterior_of_unequal_variances_does_not_turn_round_beyond_the_means() {
        let mixture = Mixture::fit(&two_groups(), Variances::Own).unwrap();
        assert!(mixture.variances[1] > mixture.variances[0]);
        assert!(mixture.posterior_high(-5.0) <= 0.5 && mixture.posterior_high(5.0) >= 0.5);
    }
}
