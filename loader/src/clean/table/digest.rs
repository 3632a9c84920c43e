//! Quantiles of many numbers in little memory: a merging t-digest.
//!
//! Dunning and Ertl 2019, "Computing extremely accurate quantiles using t-digests" (arXiv 1902.04023), with the scale
//! function k₁. Equal numbers in equal order give equal digests; digests of blocks are merged in plan order.

use serde::{Deserialize, Serialize};

/// δ of the paper: a digest has at most about 2 δ centroids, here 16 bytes each, and an error in rank of well under
/// 1/δ, less towards the ends.
const COMPRESSION: f64 = 400.0;

/// Numbers that wait until they are worth a merge.
const BUFFER: usize = 4096;

/// A digest of finite numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Digest {
    /// Mean and weight, ascending by mean.
    centroids: Vec<(f64, f64)>,
    buffer: Vec<(f64, f64)>,
    least: Option<f64>,
    greatest: Option<f64>,
}

impl Digest {
    /// Takes in a number; one that is not finite is left out.
    pub(super) fn add(&mut self, number: f64) {
        if !number.is_finite() {
            return;
        }
        self.least = Some(self.least.map_or(number, |least| least.min(number)));
        self.greatest = Some(self.greatest.map_or(number, |greatest| greatest.max(number)));
        self.push(number, 1.0);
    }

    fn push(&mut self, mean: f64, weight: f64) {
        self.buffer.push((mean, weight));
        if self.buffer.len() >= BUFFER {
            self.compress();
        }
    }

    /// Takes in another digest's numbers.
    pub(super) fn merge(&mut self, other: &Self) {
        let ends = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
        self.least = ends(self.least, other.least, f64::min);
        self.greatest = ends(self.greatest, other.greatest, f64::max);
        for &(mean, weight) in other.centroids.iter().chain(&other.buffer) {
            self.push(mean, weight);
        }
    }

    /// Merges neighbours as far as the scale function lets them (algorithm 1 of the paper).
    pub(super) fn compress(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.centroids.append(&mut self.buffer);
        // Stable, so that equal means keep the order in which they came.
        self.centroids.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = self.centroids.iter().map(|&(_, weight)| weight).sum();
        let limit = |q: f64| {
            let k = COMPRESSION / std::f64::consts::TAU * libm::asin(2.0 * q - 1.0) + 1.0;
            // Beyond the last unit of k there is no limit.
            if k >= COMPRESSION / 4.0 {
                return 1.0;
            }
            (libm::sin(k * std::f64::consts::TAU / COMPRESSION) + 1.0) / 2.0
        };
        let mut merged: Vec<(f64, f64)> = Vec::with_capacity(2 * COMPRESSION as usize);
        let mut before = 0.0;
        let mut most = total * limit(0.0);
        for &(mean, weight) in &self.centroids {
            match merged.last_mut() {
                Some((last, held)) if before + *held + weight <= most => {
                    *held += weight;
                    *last += (mean - *last) * weight / *held;
                }
                last => {
                    before += last.map_or(0.0, |&mut (_, held)| held);
                    most = total * limit((before / total).min(1.0));
                    merged.push((mean, weight));
                }
            }
        }
        self.centroids = merged;
    }

    /// How many numbers there were.
    pub(super) fn count(&self) -> f64 {
        self.centroids.iter().chain(&self.buffer).map(|&(_, weight)| weight).sum()
    }

    /// The number below which a share `q` of them lies; of a digest that was [compressed](Self::compress).
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        quantile(&self.centroids, self.least?, self.greatest?, q)
    }

    /// The median of the numbers' distances from `centre`.
    pub(super) fn median_distance(&self, centre: f64) -> Option<f64> {
        let mut distances: Vec<(f64, f64)> =
            self.centroids.iter().map(|&(mean, weight)| ((mean - centre).abs(), weight)).collect();
        distances.sort_by(|a, b| a.0.total_cmp(&b.0));
        let greatest = (self.greatest? - centre).abs().max((self.least? - centre).abs());
        quantile(&distances, distances.first()?.0, greatest, 0.5)
    }
}

/// Interpolates between the middles of neighbouring centroids, as the paper does.
fn quantile(centroids: &[(f64, f64)], least: f64, greatest: f64, q: f64) -> Option<f64> {
    let total: f64 = centroids.iter().map(|&(_, weight)| weight).sum();
    let wanted = q.clamp(0.0, 1.0) * total;
    let (mut from, mut at) = (least, 0.0);
    let mut before = 0.0;
    for &(mean, weight) in centroids {
        let middle = before + weight / 2.0;
        if wanted <= middle {
            let share = if middle > at { (wanted - at) / (middle - at) } else { 0.0 };
            return Some(from + (mean - from) * share);
        }
        (from, at) = (mean, middle);
        before += weight;
    }
    let share = if total > at { (wanted - at) / (total - at) } else { 1.0 };
    centroids.last().map(|_| from + (greatest - from) * share)
}

#[cfg(test)]
mod tests {
    use super::Digest;
    use proptest::prelude::*;

    fn digest(numbers: &[f64]) -> Digest {
        let mut digest = Digest::default();
        numbers.iter().for_each(|&number| digest.add(number));
        digest.compress();
        digest
    }

    #[test]
    fn few_numbers_are_kept_as_they_are() {
        let digest = digest(&[5.0, 1.0, f64::NAN, 3.0, f64::INFINITY, 2.0, 4.0]);
        assert_eq!(digest.count(), 5.0);
        assert_eq!(digest.quantile(0.5), Some(3.0));
        assert_eq!((digest.quantile(0.0), digest.quantile(1.0)), (Some(1.0), Some(5.0)));
        assert_eq!(digest.median_distance(3.0), Some(1.0));
        assert_eq!(Digest::default().quantile(0.5), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn ranks_are_right_within_a_hundredth_however_the_numbers_are_cut(
            numbers in prop::collection::vec(-1e6..1e6_f64, 1..20_000), cut in 0.0..1.0_f64,
        ) {
            let (head, tail) = numbers.split_at((numbers.len() as f64 * cut) as usize);
            let mut merged = digest(head);
            merged.merge(&digest(tail));
            merged.compress();
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(merged.count(), numbers.len() as f64);
            for q in [0.01, 0.25, 0.5, 0.75, 0.99] {
                let found = merged.quantile(q).unwrap();
                let below = sorted.partition_point(|&number| number < found) as f64;
                let upto = sorted.partition_point(|&number| number <= found) as f64;
                let (slack, n) = (1.0 + 0.01 * numbers.len() as f64, numbers.len() as f64);
                prop_assert!(below - slack <= q * n && q * n <= upto + slack, "{} at {}", found, q);
            }
        }
    }
}
