//! `tabular` on a generated table and on files.

use crate::{call, file, refused, turn};
use arable_examples::{
    orders::{self, OrderDirt},
    tabular::Arguments,
};

#[test]
fn the_planted_dirt_is_what_it_is_said_to_be() {
    let dirt = OrderDirt::with_noise(0.2);
    let (clean, dirty) = orders::soil(&orders::generate(4_000, 3), dirt, 3);
    assert_eq!(clean.len(), dirty.len());
    let rows = clean.len() as f64;
    assert!((rows / 4_000.0 - 1.1).abs() < 0.02);
    let share = |wrong: &dyn Fn(&[String; 10], &[String; 10]) -> bool| {
        clean.iter().zip(&dirty).filter(|(clean, dirty)| wrong(clean, dirty)).count() as f64 / rows
    };
    // Wrong carriers and broken ones.
    assert!((share(&|clean, dirty| clean[9] != dirty[9]) - (1.0 - 0.8 * 0.98)).abs() < 0.03);
    for column in 1..4 {
        assert!((share(&|clean, dirty| clean[column] != dirty[column]) - 0.05).abs() < 0.015, "column {column}");
    }
    assert_eq!(share(&|clean, dirty| clean[0] != dirty[0] || clean[4] != dirty[4]), 0.0);
    // The same seed plants the same dirt, another seed other dirt.
    assert_eq!(orders::soil(&orders::generate(300, 3), dirt, 3), orders::soil(&orders::generate(300, 3), dirt, 3));
    assert_ne!(orders::soil(&orders::generate(300, 3), dirt, 3), orders::soil(&orders::generate(300, 3), dirt, 4));
}

#[test]
fn a_generated_table_is_cleaned_and_observing_changes_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = call::<Arguments>("--rows 1200 --epochs 12 --seed 5", folder.path()).run().unwrap();
    assert!(outcome.rows.balances());
    for reason in ["missing:carrier", "exact_duplicate", "outlier:price"] {
        assert!(outcome.rows.dropped.contains_key(reason), "nothing for `{reason}`: {:?}", outcome.rows.dropped);
    }
    let (cleaned, observed) = (outcome.run("cleaned").unwrap(), outcome.run("observed").unwrap());
    assert_eq!((cleaned.accuracy, cleaned.trained), (observed.accuracy, observed.trained));
    // The most frequent carrier is less than half of the table.
    assert!(outcome.burn.accuracy > 0.5 && observed.accuracy > 0.5, "{}", outcome.json());
    assert!(outcome.mislabel_auroc.unwrap() > 0.7, "{}", outcome.json());
}

#[test]
fn a_table_of_ones_own_is_read_with_its_truth_and_rules() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let row = |row: usize, kind: &str| format!("{row},{},{kind}\n", row % 7);
    let kind = |row: usize| if row % 7 < 3 { "low" } else { "high" };
    let clean: String = (0..300).map(|number| row(number, kind(number))).collect();
    let dirty: String =
        (0..300).map(|number| row(number, if number % 50 == 0 { "hihg" } else { kind(number) })).collect();
    let table = file(folder.path(), "dirty.csv", &format!("id,size,kind\n{dirty}"));
    let truth = file(folder.path(), "clean.csv", &format!("Id,Size,Kind\n{clean}"));
    let files = format!("--table {table} --truth {truth} --target kind --ignore id --batch 16 --epochs 8");
    let outcome = call::<Arguments>(&files, folder.path()).run().unwrap();
    assert!(outcome.run("cleaned").unwrap().accuracy > 0.6, "{}", outcome.json());
    assert!(outcome.rows.held_out > 0 && outcome.rows.balances());

    let rules = file(
        folder.path(),
        "rules.toml",
        "[dataset]\nurl = \"x.csv\"\n[[clean]]\nop = \"range\"\ncolumn = \"size\"\nmax = 5\n",
    );
    // With the numbers among the content, which decides over a row's part, some of each size are trained on.
    let all = files.replace(" --ignore id", "");
    let outcome = call::<Arguments>(&format!("{all} --clean {rules}"), folder.path()).run().unwrap();
    assert!(outcome.rows.dropped.contains_key("out_of_range:size"), "{:?}", outcome.rows.dropped);

    for (from, to, named) in [
        ("--target kind", "--target knid", "`knid`; there are id, size, kind"),
        ("--ignore id", "--ignore di", "`di`"),
        ("dirty.csv", "dirt.csv", "dirt.csv"),
        ("--ignore id", "--ignore id,size", "no column is left"),
    ] {
        let wrong = files.replace(from, to);
        let error = call::<Arguments>(&wrong, folder.path()).run().unwrap_err().to_string();
        assert!(error.contains(named), "{wrong}: {error}");
    }
    assert!(refused::<Arguments>("--table a.csv").contains("--target"));
    assert!(refused::<Arguments>("--help").contains("--table dirty.csv"));
}
