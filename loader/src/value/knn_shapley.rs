//! What each training row is worth to a nearest-neighbour classifier: exact Shapley values, without any training.
//!
//! It knows nothing of where features come from; values are as good as the distances between these are.

use super::points::Points;
use crate::{Error, Result};

/// The Shapley value of each training row, for the probability that the K nearest neighbours (`neighbours`, Euclidean)
/// give a validation row's label, mean over the validation rows. Low, above all negative, values are suspicious.
///
/// The recursion of Jia et al. (VLDB 2019, theorem 1): with the training rows by rising distance, from 1 to N,
/// s_N = \[y_N = y\] · min(K, N)/(K · N) and s_i = s_{i+1} + (\[y_i = y\] − \[y_{i+1} = y\])/K · min(K, i)/i, in
/// O(N log N) a validation row. The utility of a set of rows is the number of right labels among its K nearest, or
/// among all of it where it has fewer, divided by K. Rows at the same distance count in their order, so that values do
/// not depend on the machine. The values sum to the utility of all training rows.
///
/// # Errors
/// [`Error::Recipe`] if `neighbours` is 0, if there is no row or no feature, if rows differ in width, or for a feature
/// that is not finite.
pub fn knn_shapley(training: Points<'_>, validation: Points<'_>, neighbours: usize) -> Result<Vec<f64>> {
    let width = training.width("training")?;
    let other = validation.width("validation")?;
    if width != other {
        return Err(Error::recipe(format!("training rows have {width} features, validation rows {other}")));
    }
    if neighbours == 0 {
        return Err(Error::recipe("KNN-Shapley needs at least 1 neighbour"));
    }
    let mut values = vec![0.0; training.labels.len()];
    // The bits of a distance, which is not below 0, are ordered as it is; the row stands below them and breaks ties.
    let mut nearest: Vec<u128> = Vec::with_capacity(values.len());
    for (point, &label) in validation.features.chunks_exact(width).zip(validation.labels) {
        nearest.clear();
        let distances = training.features.chunks_exact(width).map(|row| squared_distance(row, point));
        nearest.extend(distances.zip(0_u128..).map(|(distance, row)| u128::from(distance.to_bits()) << 64 | row));
        nearest.sort_unstable();
        let row = |rank: usize| nearest[rank - 1] as u64 as usize;
        let right = |rank: usize| f64::from(u8::from(training.labels[row(rank)] == label));
        let (k, count) = (neighbours as f64, nearest.len());
        let reach = |rank: usize| neighbours.min(rank) as f64 / rank as f64;
        let mut value = right(count) / k * reach(count);
        values[row(count)] += value;
        for rank in (1..count).rev() {
            value += (right(rank) - right(rank + 1)) / k * reach(rank);
            values[row(rank)] += value;
        }
    }
    values.iter_mut().for_each(|value| *value /= validation.labels.len() as f64);
    Ok(values)
}

/// Eight sums side by side, so that the processor does not wait for each addition.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |a: &f32, b: &f32| {
        let difference = f64::from(*a) - f64::from(*b);
        difference * difference
    };
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += square(a, b);
        }
    }
    a_rest.iter().zip(b_rest).fold(sums.iter().sum(), |sum, (a, b)| sum + square(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The utility of the training rows in `set`, as its definition has it.
    fn utility(training: Points<'_>, width: usize, (point, label): (&[f32], u32), set: u32, neighbours: usize) -> f64 {
        let mut rows: Vec<usize> = (0..training.labels.len()).filter(|row| set >> row & 1 == 1).collect();
        // A stable sort: rows at the same distance in their order.
        rows.sort_by(|a, b| {
            let distance = |row: usize| squared_distance(&training.features[row * width..(row + 1) * width], point);
            distance(*a).total_cmp(&distance(*b))
        });
        let right = rows.iter().take(neighbours).filter(|row| training.labels[**row] == label).count();
        right as f64 / neighbours as f64
    }

    /// The Shapley value as its definition has it: over all subsets of the others.
    fn brute_force(training: Points<'_>, validation: Points<'_>, neighbours: usize) -> Vec<f64> {
        let count = training.labels.len();
        let width = training.features.len() / count;
        let factorial = |n: usize| (1..=n).map(|factor| factor as f64).product::<f64>();
        let of = |row: usize| {
            let points = validation.features.chunks(width).zip(validation.labels.iter().copied());
            let worth = points.map(|point| {
                (0..1_u32 << count).filter(|set| set >> row & 1 == 0).fold(0.0, |sum, set| {
                    let size = set.count_ones() as usize;
                    let weight = factorial(size) * factorial(count - size - 1) / factorial(count);
                    let gain = utility(training, width, point, set | 1 << row, neighbours)
                        - utility(training, width, point, set, neighbours);
                    sum + weight * gain
                })
            });
            worth.sum::<f64>() / validation.labels.len() as f64
        };
        (0..count).map(of).collect()
    }

    fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<f32>, Vec<u32>)> {
        // Few places, so that many distances are equal.
        prop::collection::vec(((0_u8..4, 0_u8..4), 0_u32..3), count).prop_map(|rows| {
            let features = rows.iter().flat_map(|((x, y), _)| [f32::from(*x), f32::from(*y)]).collect();
            (features, rows.into_iter().map(|(_, label)| label).collect())
        })
    }

    proptest! {
        #[test]
        fn values_are_those_of_all_subsets(training in rows(1..9), validation in rows(1..4), neighbours in 1_usize..12) {
            let training = Points { features: &training.0, labels: &training.1 };
            let validation = Points { features: &validation.0, labels: &validation.1 };
            let values = knn_shapley(training, validation, neighbours).unwrap();
            for (value, expected) in values.iter().zip(brute_force(training, validation, neighbours)) {
                prop_assert!((value - expected).abs() < 1e-9, "{value} {expected}");
            }
        }

        #[test]
        fn values_sum_to_the_utility_of_all_rows(training in rows(1..200), validation in rows(1..20), neighbours in 1_usize..30) {
            let training = Points { features: &training.0, labels: &training.1 };
            let validation = Points { features: &validation.0, labels: &validation.1 };
            let mut whole = 0.0;
            for (point, label) in validation.features.chunks(2).zip(validation.labels) {
                let mut order: Vec<usize> = (0..training.labels.len()).collect();
                order.sort_by(|a, b| {
                    let distance = |row: usize| squared_distance(&training.features[2 * row..2 * row + 2], point);
                    distance(*a).total_cmp(&distance(*b))
                });
                let right = order.iter().take(neighbours).filter(|row| training.labels[**row] == *label).count();
                whole += right as f64 / neighbours as f64 / validation.labels.len() as f64;
            }
            let values = knn_shapley(training, validation, neighbours).unwrap();
            prop_assert!((values.iter().sum::<f64>() - whole).abs() < 1e-9);
        }
    }

    #[test]
    fn a_wrong_label_in_the_midst_of_right_ones_has_the_least_value() {
        let features: Vec<f32> = (0..40_u8).map(|row| f32::from(row % 20) / 20.0 + 9.0 * f32::from(row / 20)).collect();
        let mut labels: Vec<u32> = (0..40).map(|row| row / 20).collect();
        let validation = Points { features: &features, labels: &labels.clone() };
        labels[7] = 1;
        let values = knn_shapley(Points { features: &features, labels: &labels }, validation, 5).unwrap();
        assert!(values.iter().enumerate().all(|(row, value)| row == 7 || *value > values[7]));
        assert!(values[7] < 0.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let points = |features, labels| Points { features, labels };
        let good = points(&[1.0, 2.0], &[0]);
        let bad = [
            points(&[], &[]),
            points(&[], &[0]),
            points(&[1.0, 2.0, 3.0], &[0, 1]),
            points(&[1.0, f32::NAN], &[0]),
            points(&[1.0], &[0]),
        ];
        for bad in bad {
            assert!(matches!(knn_shapley(good, bad, 1), Err(Error::Recipe(_))));
            assert!(matches!(knn_shapley(bad, good, 1), Err(Error::Recipe(_))));
        }
        assert!(matches!(knn_shapley(good, good, 0), Err(Error::Recipe(_))));
        assert!(knn_shapley(good, good, usize::MAX).is_ok());
    }
}
