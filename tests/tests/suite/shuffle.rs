//! How well rows are mixed, held against a full shuffle.
//!
//! With x the place of a row in the files and y its place in the epoch, both in [0, 1), a full shuffle of N rows has
//! E|x − y| = 1/3 with a standard error of √(1/18 / N); within the stretch a ≤ y < b the mean of ½ − y + y²; two
//! neighbours in the epoch are neighbours in the files twice in an epoch on average, nearly Poisson; and the correlation
//! of consecutive x is 0 with a standard error of 1/√N. The bounds below are five standard errors, and runs are repeatable.

use arable_loader::Recipe;
use arable_tests::{Data, Format, walk};

const ROWS: usize = 8_000;
const GROUP: usize = 100;

/// The rows of `epochs` data epochs.
fn orders(recipe: Recipe, epochs: u32) -> Vec<Vec<i64>> {
    let lines = walk(recipe.epochs(epochs).batch_size(100).open().unwrap());
    (0..epochs)
        .map(|epoch| lines.iter().filter(|line| line.epoch == epoch).flat_map(|line| line.ids.clone()).collect())
        .collect()
}

/// Mean |x − y| over the stretch of the epoch from `from` to `to`.
fn displacement(ids: &[i64], from: f64, to: f64) -> f64 {
    let rows = ids.len() as f64;
    let stretch: Vec<f64> = ids
        .iter()
        .enumerate()
        .map(|(place, id)| (place as f64 / rows, *id as f64 / rows))
        .filter(|(place, _)| (from..to).contains(place))
        .map(|(place, id)| (place - id).abs())
        .collect();
    stretch.iter().sum::<f64>() / stretch.len() as f64
}

fn neighbours(ids: &[i64]) -> usize {
    ids.windows(2).filter(|pair| (pair[0] - pair[1]).abs() == 1).count()
}

fn correlation(ids: &[i64]) -> f64 {
    let mean = (ids.len() as f64 - 1.0) / 2.0;
    let deviation = |id: i64| id as f64 - mean;
    let variance: f64 = ids.iter().map(|id| deviation(*id).powi(2)).sum();
    ids.windows(2).map(|pair| deviation(pair[0]) * deviation(pair[1])).sum::<f64>() / variance
}

#[test]
fn the_default_window_shuffles_like_a_full_shuffle_at_the_end_as_at_the_start() {
    let data = Data::new(Format::Parquet, 4, ROWS / 4, GROUP);
    for ids in orders(Recipe::new(data.url()), 3) {
        let error = (1.0 / 18.0 / ROWS as f64).sqrt();
        assert!((displacement(&ids, 0.0, 1.0) - 1.0 / 3.0).abs() < 5.0 * error);
        for quarter in 0..4 {
            let (from, to) = (f64::from(quarter) / 4.0, f64::from(quarter + 1) / 4.0);
            let antiderivative = |y: f64| y / 2.0 - y * y / 2.0 + y.powi(3) / 3.0;
            let expected = (antiderivative(to) - antiderivative(from)) * 4.0;
            // A quarter's rows are four times fewer, and their distances vary at most as much as uniform numbers.
            let error = (1.0 / 12.0 / (ROWS as f64 / 4.0)).sqrt();
            let found = displacement(&ids, from, to);
            assert!((found - expected).abs() < 5.0 * error, "quarter {quarter}: {found}, {expected} expected");
        }
        // Poisson with mean 2: more than 12 has a probability below 10⁻⁶.
        assert!(neighbours(&ids) <= 12, "{}", neighbours(&ids));
        let last = &ids[ROWS * 3 / 4..];
        assert!(neighbours(last) <= 8, "{} in the last quarter", neighbours(last));
        assert!(correlation(&ids).abs() < 5.0 / (ROWS as f64).sqrt(), "{}", correlation(&ids));
    }
}

/// A window that does not hold everything mixes what it holds: neighbours meet as often as in a full shuffle of a
/// window, and which blocks share one differs from epoch to epoch.
#[test]
fn a_small_window_shuffles_like_a_full_shuffle_of_that_many_rows() {
    let data = Data::new(Format::Parquet, 4, ROWS / 4, GROUP);
    const WINDOW: usize = 8;
    let orders = orders(Recipe::new(data.url()).window(WINDOW as u32), 3);
    for ids in &orders {
        let windows: Vec<&[i64]> = ids.chunks(WINDOW * GROUP).collect();
        assert_eq!(windows.len(), 10);
        for window in &windows {
            assert!(neighbours(window) <= 12, "{}", neighbours(window));
            // Rows in a row from one block: 1 in 8 in a full shuffle of 8 blocks, with a standard error of 0.012.
            let together = window.windows(2).filter(|pair| pair[0] / GROUP as i64 == pair[1] / GROUP as i64).count();
            let share = together as f64 / window.len() as f64;
            assert!((share - 1.0 / WINDOW as f64).abs() < 0.06, "{share}");
        }
    }
    let blocks = |ids: &[i64]| -> std::collections::BTreeSet<i64> {
        ids[..WINDOW * GROUP].iter().map(|id| id / GROUP as i64).collect()
    };
    assert_ne!(blocks(&orders[0]), blocks(&orders[1]), "windows differ from epoch to epoch");
}
