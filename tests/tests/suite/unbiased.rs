//! I5: for an unbiased policy the weighted sum over a data epoch's draw estimates the sum over its kept rows.

use crate::INFOBATCH;
use arable_loader::Recipe;
use arable_tests::{CLEAN, Data, Format, Line, train};
use std::collections::{BTreeMap, BTreeSet};

const RUNS: u64 = 300;

/// What the first two data epochs of `RUNS` trainings emitted, each with a seed of its own: row and weight.
fn runs(policy: &str) -> Vec<[Vec<(i64, f64)>; 2]> {
    let data = Data::new(Format::Parquet, 2, 100, 20);
    let rest =
        format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 3\nprefetch = 1\nfeedback_lag = 2\n[batch]\nsize = 8");
    let recipe = Recipe::from_toml_file(data.recipe("epochs = 2", &rest)).unwrap();
    let run = |seed| {
        let lines = train(&mut recipe.clone().seed(seed).threads(1).open().unwrap(), usize::MAX);
        [0, 1].map(|epoch| lines.iter().filter(|line| line.epoch == epoch).flat_map(rows).collect())
    };
    (0..RUNS).map(run).collect()
}

fn rows(line: &Line) -> impl Iterator<Item = (i64, f64)> {
    line.ids.iter().zip(&line.weights).map(|(&id, &weight)| (id, f64::from(f32::from_bits(weight))))
}

/// A number that differs from row to row, most of all between rows that a policy treats differently.
fn value(id: i64) -> f64 {
    if id % 5 == 0 { 7.0 } else { 1.0 + (id % 3) as f64 }
}

/// Mean and standard error.
fn estimate(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

#[test]
fn the_weighted_sum_of_a_pruned_epoch_estimates_the_sum_over_all_kept_rows() {
    for policy in ["name = \"infobatch\"\nepochs = 20", INFOBATCH] {
        let mut errors = Vec::new();
        let mut unweighted = Vec::new();
        for [plain, pruned] in runs(policy) {
            assert!(plain.iter().all(|(_, weight)| *weight == 1.0), "the first epoch is plain");
            let full: f64 = plain.iter().map(|(id, _)| value(*id)).sum();
            errors.push(pruned.iter().map(|(id, weight)| weight * value(*id)).sum::<f64>() - full);
            unweighted.push(pruned.iter().map(|(id, _)| value(*id)).sum::<f64>() - full);
        }
        let (mean, standard_error) = estimate(&errors);
        assert!(standard_error > 0.0 && mean.abs() < 4.0 * standard_error, "{policy}: {mean} ± {standard_error}");
        // Without weights it is off by far, so that the line above says something.
        let (mean, standard_error) = estimate(&unweighted);
        assert!(mean < -40.0 * standard_error, "{policy}: {mean} ± {standard_error}");
    }
}

#[test]
fn easy_rows_are_drawn_as_often_as_they_should_be() {
    // Of each row, how often it was easy, and how often it was drawn all the same.
    let mut counts: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for [plain, pruned] in runs("name = \"infobatch\"\nepochs = 20") {
        let kept: BTreeSet<i64> = plain.iter().map(|(id, _)| *id).collect();
        assert_eq!(kept.len(), plain.len());
        let weights: BTreeMap<i64, f64> = pruned.iter().copied().collect();
        assert_eq!(weights.len(), pruned.len(), "no row comes twice");
        assert!(weights.keys().all(|id| kept.contains(id)));
        for id in kept {
            match weights.get(&id) {
                // A row that is left out is an easy one.
                None => counts.entry(id).or_default().0 += 1.0,
                Some(2.0) => {
                    let (easy, drawn) = counts.entry(id).or_default();
                    *easy += 1.0;
                    *drawn += 1.0;
                }
                Some(&weight) => assert_eq!(weight, 1.0),
            }
        }
    }
    counts.retain(|_, (easy, _)| *easy >= 50.0);
    assert!(counts.len() > 90, "{} rows", counts.len());
    // (drawn − easy/2)²/(easy/4) is chi-square with one degree of freedom; 1 in expectation, below 20 for all.
    let chi_squares: Vec<f64> =
        counts.values().map(|(easy, drawn)| (drawn - easy / 2.0).powi(2) / (easy / 4.0)).collect();
    assert!(chi_squares.iter().all(|chi_square| *chi_square < 20.0), "{chi_squares:?}");
    let mean = chi_squares.iter().sum::<f64>() / chi_squares.len() as f64;
    assert!((0.6..1.5).contains(&mean), "{mean}");
}
