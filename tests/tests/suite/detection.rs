//! On real data with known truth, wrong cells, main text and good texts are told as well as they were when this was
//! measured. Skipped, with a word, where `ARABLE_DATA` names no folder with those data.

use arable_tests::{
    detection::{TABLES, detect},
    main_text::main_text,
    near_duplicates::near_duplicates,
    scores::reviews_auroc,
};
use std::path::PathBuf;

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("ARABLE_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ARABLE_DATA names no folder with real data");
    }
    folder
}

/// Table, operator, and the precision and recall that it reaches, rounded down.
const CELLS: [(&str, &str, f64, f64); 18] = [
    ("hospital", "category", 0.84, 0.78),
    ("hospital", "dependency", 0.68, 0.77),
    ("hospital", "schema", 1.0, 0.31),
    ("hospital", "all", 0.61, 0.90),
    ("flights", "missing", 1.0, 0.48),
    ("flights", "schema", 1.0, 0.58),
    ("flights", "dependency", 0.77, 0.30),
    ("flights", "all", 0.89, 0.80),
    ("beers", "missing", 0.94, 0.25),
    ("beers", "schema", 1.0, 0.94),
    ("beers", "dependency", 0.99, 0.02),
    ("beers", "outlier", 0.89, 0.03),
    ("beers", "all", 0.96, 0.99),
    ("rayyan", "missing", 0.45, 0.07),
    ("rayyan", "schema", 0.95, 0.86),
    ("rayyan", "schema:ambiguous_date", 0.94, 0.76),
    ("rayyan", "schema:broken_text", 1.0, 0.10),
    ("rayyan", "all", 0.76, 0.94),
];

#[test]
fn wrong_cells_of_real_tables_are_found() {
    let Some(folder) = data() else { return };
    for (table, recipe) in TABLES {
        let found = detect(&folder.join("dirty-tables").join(table), recipe);
        for (_, operator, precision, recall) in CELLS.iter().filter(|level| level.0 == table) {
            let quality = found[*operator];
            assert!(
                quality.precision() >= *precision && quality.recall() >= *recall,
                "{table}, {operator}: precision {}, recall {}",
                quality.precision(),
                quality.recall()
            );
        }
    }
}

#[test]
fn main_text_is_kept_and_the_rest_dropped() {
    let Some(folder) = data() else { return };
    let [seen, others] = main_text(&folder.join("webpages/pages.parquet"));
    let all = seen + others;
    assert!(all.recall() >= 0.94 && all.dropped_share() >= 0.91 && all.f1() >= 0.928, "{all:?}");
    assert!(others.f1() >= 0.92, "{others:?}");
}

#[test]
fn reviews_that_praise_are_told_from_those_that_do_not() {
    let Some(folder) = data() else { return };
    let auroc = reviews_auroc(&folder.join("imdb"), 10);
    assert!(auroc >= 0.93, "{auroc}");
}

/// Versions of one document share most of their shingles, so that pairs are far from independent; what varies from seed
/// to seed says how far a mean may lie from what is predicted.
#[test]
fn near_duplicates_are_found_as_the_parameters_predict() {
    const SEEDS: usize = 8;
    let Some(folder) = data() else { return };
    let pairs = near_duplicates(&folder.join("terms/terms.jsonl.zst"), 8, 40_000, SEEDS);
    for stretch in &pairs.stretches {
        let apart = (stretch.mean() - stretch.expected).abs();
        assert!(apart <= 5.0 * stretch.sd() / (SEEDS as f64).sqrt() + 1.0, "{stretch:?}");
    }
    assert!(pairs.alike() >= 300.0, "{pairs:?}");
    let ((recall, recall_predicted), (precision, precision_predicted)) = (pairs.recall(), pairs.precision());
    assert!(recall >= recall_predicted - 0.005, "{recall}, {recall_predicted} predicted");
    assert!(precision >= precision_predicted - 0.03, "{precision}, {precision_predicted} predicted");
}
