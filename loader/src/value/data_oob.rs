//! What each row is worth to bagged trees that were not grown on it: Data-OOB, without a validation set.

use super::{
    decision_tree::{Ranked, Tree},
    points::Points,
};
use crate::{Error, Purpose, Randomness, Result};
use std::{num::NonZero, thread};

/// How rows are valued by [`data_oob()`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataOob {
    /// How many trees are grown; 1000 by default.
    pub trees: u32,
    /// What the bootstrap samples are a function of.
    pub seed: u64,
}

impl Default for DataOob {
    fn default() -> Self {
        Self { trees: 1000, seed: 0 }
    }
}

/// The value of each row: the share of right predictions among the trees whose bootstrap sample did not hold it, in
/// [0, 1] (Kwon and Zou, ICML 2023, equation 3, with the correctness as score). Low values are suspicious. A row that
/// every sample held, which 20 trees leave to chance for one row in ten thousand, has the value 0.
///
/// Each tree is grown to purity on a bootstrap sample of as many rows as there are. Trees are grown on all processors;
/// the values do not depend on how many.
///
/// # Errors
/// [`Error::Recipe`] if there is no tree, no row or no feature, if rows differ in width, for a feature that is not
/// finite, and for more than 65,536 classes.
pub fn data_oob(points: Points<'_>, options: DataOob) -> Result<Vec<f64>> {
    const MOST_CLASSES: u32 = 1 << 16;
    let width = points.width("training")?;
    if options.trees == 0 {
        return Err(Error::recipe("Data-OOB needs at least 1 tree"));
    }
    let mut present = points.labels.to_vec();
    present.sort_unstable();
    present.dedup();
    if present.len() > MOST_CLASSES as usize {
        return Err(Error::recipe(format!(
            "{} classes are more than the {MOST_CLASSES} that a tree tells apart",
            present.len()
        )));
    }
    let labels: Vec<u32> =
        points.labels.iter().map(|label| present.partition_point(|other| other < label) as u32).collect();
    let ranked = Ranked::new(points, width);
    let grow = |first: u32, step: u32| {
        let mut bag = OutOfBag::new(labels.len());
        let mut counts = vec![0; labels.len()];
        for tree in (first..options.trees).step_by(step as usize) {
            bootstrap(options.seed, tree, &mut counts);
            let grown = Tree::grow(&ranked, &labels, present.len(), &counts);
            bag.add(&counts, |row| grown.predict(&ranked, row) == labels[row]);
        }
        bag
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(options.trees as usize) as u32;
    let bags: Vec<OutOfBag> = thread::scope(|scope| {
        let grow = &grow;
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || grow(first, threads))).collect();
        let mut bags = vec![grow(0, threads)];
        for other in others {
            bags.extend(other.join().ok());
        }
        bags
    });
    if bags.len() != threads as usize {
        return Err(Error::State("a thread that grew trees panicked; this is a fault of Arable's".into()));
    }
    let mut all = OutOfBag::new(labels.len());
    bags.iter().for_each(|bag| all.merge(bag));
    Ok(all.values())
}

/// As many draws with replacement as there are rows, as counts.
fn bootstrap(seed: u64, tree: u32, counts: &mut [u32]) {
    let mut randomness = Randomness::new(seed, tree, 0, Purpose::Bootstrap);
    counts.fill(0);
    for _ in 0..counts.len() {
        counts[randomness.below(counts.len() as u64) as usize] += 1;
    }
}

/// Predictions of bagged models on the rows that they were not fitted on: the values of any ensemble's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfBag {
    /// Of each row, by how many models it was judged, and rightly.
    rows: Vec<(u32, u32)>,
}

impl OutOfBag {
    /// Of `rows` rows, no prediction yet.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![(0, 0); rows] }
    }

    /// Adds a model that was fitted on the rows with a count above 0; `right` says of each of the others whether it
    /// predicts its label.
    ///
    /// # Panics
    /// If there is not one count for each row.
    pub fn add(&mut self, counts: &[u32], mut right: impl FnMut(usize) -> bool) {
        assert!(counts.len() == self.rows.len(), "{} counts for {} rows", counts.len(), self.rows.len());
        for (row, (judged, rightly)) in self.rows.iter_mut().enumerate() {
            if counts[row] == 0 {
                *judged += 1;
                *rightly += u32::from(right(row));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for ((judged, rightly), (more, more_rightly)) in self.rows.iter_mut().zip(&other.rows) {
            *judged += more;
            *rightly += more_rightly;
        }
    }

    /// The share of right predictions of each row, 0 where there is none.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        let share = |&(judged, rightly): &(u32, u32)| f64::from(rightly) / f64::from(judged.max(1));
        self.rows.iter().map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ranking::auroc;

    /// Three clouds in the plane, of which every tenth row has a wrong label.
    fn clouds() -> (Vec<f32>, Vec<u32>, Vec<bool>) {
        let rows = 0..300_u32;
        let spread = |row: u32, factor: f64| (f64::from(row) * factor).fract() as f32;
        let features = rows.clone().flat_map(|row| {
            let class = (row % 3) as f32;
            [3.0 * class + 2.0 * spread(row, 0.754_877_666), 2.0 * spread(row, 0.569_840_29) - class]
        });
        let wrong: Vec<bool> = rows.clone().map(|row| row % 10 == 7).collect();
        let labels = rows.zip(&wrong).map(|(row, wrong)| (row + u32::from(*wrong)) % 3 + 40);
        (features.collect(), labels.collect(), wrong)
    }

    #[test]
    fn wrong_labels_have_the_lowest_values() {
        let (features, labels, wrong) = clouds();
        let values =
            data_oob(Points { features: &features, labels: &labels }, DataOob { trees: 200, seed: 1 }).unwrap();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let scores: Vec<f32> = values.iter().map(|value| -*value as f32).collect();
        let auroc = auroc(&scores, &wrong).unwrap();
        assert!(auroc > 0.99, "{auroc}");
    }

    #[test]
    fn values_are_a_function_of_rows_options_and_nothing_else() {
        let (features, labels, _) = clouds();
        let values =
            |trees, seed| data_oob(Points { features: &features, labels: &labels }, DataOob { trees, seed }).unwrap();
        assert_eq!(values(30, 3), values(30, 3));
        assert_ne!(values(30, 3), values(30, 4));
        // Each tree is a function of the seed and its number, so more trees only add to what there was.
        let alone = values(1, 3);
        assert!(alone.iter().all(|value| *value == 0.0 || *value == 1.0));
    }

    #[test]
    fn out_of_bag_shares_are_counted_as_defined() {
        let mut bag = OutOfBag::new(3);
        bag.add(&[0, 2, 1], |_| true);
        bag.add(&[0, 0, 1], |row| row == 1);
        bag.add(&[1, 0, 1], |_| false);
        assert_eq!(bag.values(), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn what_cannot_be_valued_is_refused() {
        let refused = |features: &[f32], labels: &[u32], trees| {
            data_oob(Points { features, labels }, DataOob { trees, seed: 0 }).unwrap_err().to_string()
        };
        assert!(refused(&[1.0], &[], 5).contains("do not fit"));
        assert!(refused(&[1.0, f32::NAN], &[0, 1], 5).contains("not finite"));
        assert!(refused(&[1.0, 2.0], &[0, 1], 0).contains("at least 1 tree"));
    }
}
