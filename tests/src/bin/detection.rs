//! Reports how well wrong cells are found in real tables, and the main text in real pages, beside the known truth:
//! `cargo run -p arable-tests --bin detection -- FOLDER`, with the folder that holds
//! `dirty-tables`, `webpages`, `imdb` and `terms`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a report")]

use arable_tests::{
    detection::{TABLES, detect},
    main_text::main_text,
    near_duplicates::{ALIKE, near_duplicates},
    scores::reviews_auroc,
};
use std::{path::PathBuf, time::Instant};

/// The hash functions that near duplicates are looked for with.
const SEEDS: usize = 16;

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap());
    println!(
        "{:<10} {:<24} {:>8} {:>8} {:>9} {:>8} {:>6}",
        "table", "operator", "flagged", "right", "precision", "recall", "F1"
    );
    for (table, recipe) in TABLES {
        for (operator, quality) in detect(&folder.join("dirty-tables").join(table), recipe) {
            println!(
                "{table:<10} {operator:<24} {:>8} {:>8} {:>9.3} {:>8.3} {:>6.3}",
                quality.flagged,
                quality.right,
                quality.precision(),
                quality.recall(),
                quality.f1()
            );
        }
    }
    let start = Instant::now();
    let pages = main_text(&folder.join("webpages/pages.parquet"));
    for (which, pages) in [("all pages", pages[0] + pages[1]), ("those seen", pages[0]), ("the others", pages[1])] {
        println!(
            "main text, {which}: {:.4} of the segments kept that should be, {:.4} dropped; precision {:.4}, F1 {:.4}",
            pages.recall(),
            pages.dropped_share(),
            pages.precision(),
            pages.f1()
        );
    }
    println!("main text took {:.1} s", start.elapsed().as_secs_f64());
    let pairs = near_duplicates(&folder.join("terms/terms.jsonl.zst"), 1, usize::MAX, SEEDS);
    println!("{:<10} {:>6} {:>10} {:>10} {:>7}", "similarity", "pairs", "predicted", "found", "sd");
    for stretch in &pairs.stretches {
        let (pairs, mean, sd) = (stretch.pairs, stretch.mean(), stretch.sd());
        println!("{:<10} {pairs:>6} {:>10.1} {mean:>10.1} {sd:>7.1}", stretch.from, stretch.expected);
    }
    let ((recall, recall_predicted), (precision, precision_predicted)) = (pairs.recall(), pairs.precision());
    println!(
        "near duplicates (similarity of {ALIKE} and more; mean over {SEEDS} seeds): recall {recall:.4}, predicted \
         {recall_predicted:.4}; precision {precision:.4}, predicted {precision_predicted:.4}",
    );
    println!("quality: AUROC {:.4} on a tenth of the reviews", reviews_auroc(&folder.join("imdb"), 10));
}
