//! Which labels are probably wrong, told from out-of-sample probabilities alone.
//!
//! Confident learning (Northcutt, Jiang and Chuang, JAIR 2021), with the flags of cleanlab 2.9. It knows nothing of
//! where the probabilities come from; they must be of models that have not seen the row, as from cross-validation.

use crate::{Error, Result};
use std::cmp::Ordering;

/// What models that have not seen the rows say of them, and the labels that the rows have.
#[derive(Clone, Debug)]
pub struct Predictions<'a> {
    probabilities: &'a [f64],
    classes: usize,
    labels: &'a [u32],
    /// The rows of each label, in position order.
    rows: Vec<Vec<u32>>,
}

/// Which rows to flag. Where no more is said, "counts" are those of the off-diagonal of the confident joint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// For each label i and other class j, as many as the joint counts, those of the greatest p_j − p_i.
    PruneByNoiseRate,
    /// For each label i, as many as the joint counts in all, those of the least p_i.
    PruneByClass,
    /// Those that both rules above flag.
    Both,
    /// Those that the confident joint was counted from: confident of another class than the label.
    ConfidentLearning,
}

/// Class matrices take the square of this; cleaning needs rows for each class anyway.
const MOST_CLASSES: usize = 4096;
/// What cleanlab adds or allows where it compares numbers.
const SLACK: f64 = 1e-6;
/// No divisor is less.
const TINY: f64 = 1e-100;

impl<'a> Predictions<'a> {
    /// `probabilities` has `classes` numbers for each label, row after row; `labels` are from 0 to `classes` − 1, of
    /// which some may be absent.
    ///
    /// # Errors
    /// [`Error::Recipe`] if there are no classes or more than 4096, no rows or more than `u32` counts, not a
    /// probability for each row and class, one outside 0 to 1 (by more than 10⁻⁶), or a label that is no class.
    pub fn new(probabilities: &'a [f64], classes: usize, labels: &'a [u32]) -> Result<Self> {
        if !(1..=MOST_CLASSES).contains(&classes) {
            let what = format!("confident learning takes 1 to {MOST_CLASSES} classes, not {classes}");
            return Err(Error::recipe(what));
        }
        let count = u32::try_from(labels.len()).ok().filter(|count| *count > 0);
        let Some(count) = count.filter(|_| labels.len().checked_mul(classes) == Some(probabilities.len())) else {
            let what = format!(
                "{} probabilities do not fit {} labels and {classes} classes: give one for each",
                probabilities.len(),
                labels.len()
            );
            return Err(Error::recipe(what));
        };
        if let Some(at) = probabilities.iter().position(|p| !(-SLACK..=1.0 + SLACK).contains(p)) {
            let what = format!("row {}: {} is no probability", at / classes, probabilities[at]);
            return Err(Error::recipe(what));
        }
        let mut rows = vec![Vec::new(); classes];
        for row in 0..count {
            let label = labels[row as usize];
            let Some(rows) = rows.get_mut(label as usize) else {
                return Err(Error::recipe(format!("row {row}: label {label} is none of {classes} classes")));
            };
            rows.push(row);
        }
        Ok(Self { probabilities, classes, labels, rows })
    }

    /// The probabilities of the row at `row`, one a class.
    fn of(&self, row: usize) -> &'a [f64] {
        &self.probabilities[row * self.classes..(row + 1) * self.classes]
    }

    /// For each class j, t_j: the mean p_j over the rows labelled j (equation 2 of the paper). Nothing reaches that of
    /// an absent class.
    #[must_use]
    pub fn thresholds(&self) -> Vec<f64> {
        /// More than any probability.
        const OUT_OF_REACH: f64 = 2.0;
        let threshold = |(class, rows): (usize, &Vec<u32>)| {
            let own: Vec<f64> = rows.iter().map(|row| self.of(*row as usize)[class]).collect();
            let mean = if own.is_empty() { OUT_OF_REACH } else { pairwise_sum(&own) / own.len() as f64 };
            // Else a class that is never predicted would be confident of every row.
            mean.max(2.0 * SLACK)
        };
        self.rows.iter().enumerate().map(threshold).collect()
    }

    /// For each row, the class that it is confident of: the one whose threshold it reaches, and where it reaches
    /// several the most probable of all; `None` where it reaches none.
    fn confident_classes(&self) -> Vec<Option<usize>> {
        let thresholds: Vec<f64> = self.thresholds().into_iter().map(|threshold| threshold - SLACK).collect();
        let confident = |row: usize| {
            let row = self.of(row);
            let mut reached = row.iter().zip(&thresholds).enumerate().filter(|(_, (p, least))| p >= least);
            let (class, _) = reached.next()?;
            Some(if reached.next().is_some() { most_probable(row) } else { class })
        };
        (0..self.labels.len()).map(confident).collect()
    }

    /// The confident joint, calibrated: entry i · classes + j estimates how many rows are labelled i and truly j. Row i
    /// sums to the number of rows labelled i (section 3.1 of the paper; whole numbers by largest remainders).
    #[must_use]
    pub fn confident_joint(&self) -> Vec<u64> {
        self.joint_of(&self.confident_classes())
    }

    fn joint_of(&self, confident: &[Option<usize>]) -> Vec<u64> {
        let classes = self.classes;
        let mut counts = vec![0_u64; classes * classes];
        for (label, class) in self.labels.iter().zip(confident) {
            if let Some(class) = class {
                counts[*label as usize * classes + class] += 1;
            }
        }
        // Every class is taken to have one row that is labelled rightly.
        (0..classes).for_each(|class| counts[class * (classes + 1)] = counts[class * (classes + 1)].max(1));
        let mut joint = vec![0.0; classes * classes];
        for ((row, counts), rows) in joint.chunks_mut(classes).zip(counts.chunks(classes)).zip(&self.rows) {
            let sum = (counts.iter().sum::<u64>() as f64).max(TINY);
            row.iter_mut().zip(counts).for_each(|(entry, count)| *entry = *count as f64 / sum * rows.len() as f64);
        }
        // A share that lies halfway between two whole numbers is decided by the last bit, so the sum has to run as in
        // the original: true class by true class.
        let by_class: Vec<f64> =
            (0..classes).flat_map(|class| joint.iter().skip(class).step_by(classes)).copied().collect();
        let sum = pairwise_sum(&by_class).max(TINY);
        joint.iter_mut().for_each(|entry| *entry = *entry / sum * self.labels.len() as f64);
        joint.chunks(classes).flat_map(round_keeping_sum).collect()
    }

    /// Whether each row's label is probably wrong, by `filter`. Never so where the label is the most probable class.
    ///
    /// At least `least_per_class` rows of each label stay unflagged by the first three filters; cleanlab's default is 1.
    /// Equal margins or probabilities go by position, where cleanlab leaves them to its sort.
    #[must_use]
    pub fn label_issues(&self, filter: Filter, least_per_class: u32) -> Vec<bool> {
        let confident = self.confident_classes();
        let mut flags = match filter {
            Filter::ConfidentLearning => {
                let other =
                    |(class, label): (&Option<usize>, &u32)| class.is_some_and(|class| class != *label as usize);
                confident.iter().zip(self.labels).map(other).collect()
            }
            Filter::PruneByNoiseRate => self.by_noise_rate(&self.joint_of(&confident), least_per_class),
            Filter::PruneByClass => self.by_class(&self.joint_of(&confident), least_per_class),
            Filter::Both => {
                let joint = self.joint_of(&confident);
                let by_class = self.by_class(&joint, least_per_class);
                let by_rate = self.by_noise_rate(&joint, least_per_class);
                by_class.into_iter().zip(by_rate).map(|(a, b)| a && b).collect()
            }
        };
        for (row, flag) in flags.iter_mut().enumerate().filter(|(_, flag)| **flag) {
            let label = self.labels[row] as usize;
            let own = self.of(row)[label] + SLACK;
            let beats = |(class, p): (usize, &f64)| if class < label { own > *p } else { class == label || own >= *p };
            *flag = !self.of(row).iter().enumerate().all(beats);
        }
        flags
    }

    /// The labels that have rows to spare, with their rows and how many of these are taken to be of each class.
    fn prunable<'b>(
        &'b self,
        joint: &'b [u64],
        least: u32,
    ) -> impl Iterator<Item = (usize, &'b Vec<u32>, Vec<u64>)> + 'b {
        let labels = self.rows.iter().zip(joint.chunks(self.classes)).enumerate();
        let spare = labels.filter(move |(_, (rows, _))| rows.len() > 1.max(least as usize));
        spare.map(move |(label, (rows, counts))| (label, rows, keep_at_least(label, counts, least)))
    }

    fn by_noise_rate(&self, joint: &[u64], least: u32) -> Vec<bool> {
        let mut flags = vec![false; self.labels.len()];
        for (label, rows, counts) in self.prunable(joint, least) {
            for (class, count) in counts.into_iter().enumerate().filter(|(class, _)| *class != label) {
                let margin = |row: u32| self.of(row as usize)[label] - self.of(row as usize)[class];
                flag_least(&mut flags, rows, count, margin);
            }
        }
        flags
    }

    fn by_class(&self, joint: &[u64], least: u32) -> Vec<bool> {
        let mut flags = vec![false; self.labels.len()];
        for (label, rows, counts) in self.prunable(joint, least) {
            let count = (rows.len() as u64).saturating_sub(counts[label]);
            flag_least(&mut flags, rows, count, |row| self.of(row as usize)[label]);
        }
        flags
    }
}

/// The first of the most probable classes.
fn most_probable(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (class, p)| if *p > row[best] { class } else { best })
}

/// Flags the `count` rows of the least score, equal ones by position.
fn flag_least(flags: &mut [bool], rows: &[u32], count: u64, score: impl Fn(u32) -> f64) {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rows.len());
    if count == 0 {
        return;
    }
    let mut scored: Vec<(f64, u32)> = rows.iter().map(|row| (score(*row), *row)).collect();
    scored.select_nth_unstable_by(count - 1, |a, b| compare(a.0, b.0).then(a.1.cmp(&b.1)));
    scored[..count].iter().for_each(|(_, row)| flags[*row as usize] = true);
}

/// The order of finite numbers, in which −0 is 0.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// A label's row of the joint with `least` rows taken to be right; what that adds is cut off the other classes in
/// equal parts.
fn keep_at_least(label: usize, counts: &[u64], least: u32) -> Vec<u64> {
    let right = counts[label].max(u64::from(least));
    let others = counts.iter().filter(|count| **count > 0).count() as f64 - 1.0;
    let cut = (right - counts[label]) as f64 / others.max(1.0);
    let mut kept: Vec<u64> = counts.iter().map(|count| (*count as f64 - cut).max(0.0) as u64).collect();
    kept[label] = right;
    kept
}

/// Whole numbers near `values` with the same, rounded, sum: those furthest off give way first.
fn round_keeping_sum(values: &[f64]) -> Vec<u64> {
    let mut rounded: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let wanted = pairwise_sum(values).round_ties_even();
    loop {
        let missing = wanted - rounded.iter().sum::<f64>();
        if missing == 0.0 {
            return rounded.into_iter().map(|value| value as u64).collect();
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| compare(values[*a] - rounded[*a], values[*b] - rounded[*b]));
        if missing > 0.0 {
            order.reverse();
        }
        let step = missing.signum();
        order.into_iter().take(missing.abs() as usize).for_each(|at| rounded[at] += step);
    }
}

/// The sum of `values` in numpy's order: eight running sums in blocks of at most 128, the blocks' sums by halves.
fn pairwise_sum(values: &[f64]) -> f64 {
    const BLOCK: usize = 128;
    let length = values.len();
    if length < 8 {
        return values.iter().sum();
    }
    if length > BLOCK {
        let half = length / 2;
        let (left, right) = values.split_at(half - half % 8);
        return pairwise_sum(left) + pairwise_sum(right);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    eights.iter().for_each(|eight| sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value));
    let [a, b, c, d, e, f, g, h] = sums;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What cleanlab 2.9.0 says, with numpy 2.4.6: `find_label_issues` and `compute_confident_joint`.
    #[derive(serde::Deserialize)]
    struct Golden {
        name: String,
        classes: usize,
        least_per_class: u32,
        labels: Vec<u32>,
        /// In ten-thousandths.
        probabilities: Vec<u32>,
        joint: Vec<u64>,
        prune_by_noise_rate: Vec<usize>,
        prune_by_class: Vec<usize>,
        both: Vec<usize>,
        confident_learning: Vec<usize>,
    }

    const GOLDEN: &str = include_str!("../../testdata/confident_learning.json");

    #[test]
    fn flags_and_joints_are_those_of_cleanlab() {
        let golden: Vec<Golden> = serde_json::from_str(GOLDEN).unwrap();
        let mut flagged = 0;
        for case in golden {
            let probabilities: Vec<f64> = case.probabilities.iter().map(|p| f64::from(*p) / 10_000.0).collect();
            let predictions = Predictions::new(&probabilities, case.classes, &case.labels).unwrap();
            assert_eq!(predictions.confident_joint(), case.joint, "{}", case.name);
            let filters = [
                (Filter::PruneByNoiseRate, &case.prune_by_noise_rate),
                (Filter::PruneByClass, &case.prune_by_class),
                (Filter::Both, &case.both),
                (Filter::ConfidentLearning, &case.confident_learning),
            ];
            for (filter, expected) in filters {
                let flags = predictions.label_issues(filter, case.least_per_class);
                let rows: Vec<usize> = (0..flags.len()).filter(|row| flags[*row]).collect();
                assert_eq!(rows, *expected, "{}, {filter:?}", case.name);
                flagged += rows.len();
            }
        }
        assert!(flagged > 100);
    }

    fn predictions() -> impl Strategy<Value = (usize, Vec<u32>, Vec<f64>)> {
        (1_usize..7, 1_usize..60).prop_flat_map(|(classes, rows)| {
            let labels = prop::collection::vec(0..classes as u32, rows);
            let probabilities = prop::collection::vec((0_u8..=20).prop_map(|p| f64::from(p) / 20.0), rows * classes);
            (Just(classes), labels, probabilities)
        })
    }

    proptest! {
        #[test]
        fn the_joint_counts_every_row_once_under_its_label((classes, labels, probabilities) in predictions()) {
            let joint = Predictions::new(&probabilities, classes, &labels).unwrap().confident_joint();
            for (label, row) in joint.chunks(classes).enumerate() {
                let count = labels.iter().filter(|other| **other as usize == label).count();
                prop_assert_eq!(row.iter().sum::<u64>(), count as u64);
            }
        }

        #[test]
        fn the_most_probable_label_is_never_flagged_and_each_label_keeps_rows((classes, labels, probabilities) in predictions(), least in 0_u32..9) {
            let predictions = Predictions::new(&probabilities, classes, &labels).unwrap();
            for filter in [Filter::PruneByNoiseRate, Filter::PruneByClass, Filter::Both, Filter::ConfidentLearning] {
                let flags = predictions.label_issues(filter, least);
                for (row, flag) in flags.iter().enumerate() {
                    prop_assert!(!flag || most_probable(predictions.of(row)) != labels[row] as usize);
                }
                for rows in predictions.rows.iter().filter(|_| matches!(filter, Filter::PruneByClass | Filter::Both)) {
                    let left = rows.iter().filter(|row| !flags[**row as usize]).count();
                    prop_assert!(left >= rows.len().min(least as usize));
                }
            }
        }

        #[test]
        fn rounding_keeps_the_sum_and_stays_near(values in prop::collection::vec(0.0_f64..50.0, 1..30)) {
            let rounded = round_keeping_sum(&values);
            prop_assert_eq!(rounded.iter().sum::<u64>() as f64, pairwise_sum(&values).round_ties_even());
            prop_assert!(rounded.iter().zip(&values).all(|(whole, value)| (*whole as f64 - value).abs() < 2.0));
        }

        #[test]
        fn a_pairwise_sum_is_the_sum(values in prop::collection::vec(0_u32..1000, 0..700)) {
            let exact: u32 = values.iter().sum();
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            prop_assert_eq!(pairwise_sum(&values), f64::from(exact));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |probabilities: &[f64], classes, labels: &[u32]| {
            matches!(Predictions::new(probabilities, classes, labels), Err(Error::Recipe(_)))
        };
        assert!(!refused(&[0.5, 0.5], 2, &[1]));
        assert!(refused(&[0.5, 0.5], 2, &[2]));
        assert!(refused(&[0.5, 0.5, 0.0], 2, &[1]));
        assert!(refused(&[0.5, f64::NAN], 2, &[1]));
        assert!(refused(&[0.5, 1.5], 2, &[1]));
        assert!(refused(&[], 2, &[]));
        assert!(refused(&[], 0, &[1]));
        assert!(refused(&[], usize::MAX, &[1, 1]));
    }
}
