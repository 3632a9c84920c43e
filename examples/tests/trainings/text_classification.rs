//! `text_classification` on generated questions and on files.

use crate::{call, file, refused, turn};
use arable_examples::text_classification::Arguments;

#[test]
fn generated_questions_are_cleaned_and_observing_changes_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = call::<Arguments>("--rows 900 --epochs 12 --noise 0.2 --seed 5", folder.path()).run().unwrap();
    assert!(outcome.rows.balances());
    let dropped = &outcome.rows.dropped;
    for reason in ["missing:text", "exact_duplicate", "unknown_label:label"] {
        assert!(dropped.contains_key(reason), "no row was dropped for `{reason}`: {dropped:?}");
    }
    let (cleaned, observed) = (outcome.run("cleaned").unwrap(), outcome.run("observed").unwrap());
    assert_eq!((cleaned.accuracy, cleaned.trained), (observed.accuracy, observed.trained));
    // One in ten is guessed.
    assert!(outcome.burn.accuracy > 0.5 && observed.accuracy > 0.5, "{}", outcome.json());
    assert!(outcome.mislabel_auroc.unwrap() > 0.8, "{}", outcome.json());
    assert!(outcome.text().contains("GENERATED") && outcome.text().contains("PLANTED"));
}

#[test]
fn files_with_labels_of_any_kind_are_read_as_they_are() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let line = |row: usize| match row % 2 {
        0 => format!("the film number {row} was a delight to see,good\n"),
        _ => format!("I slept through film number {row} and left early,bad\n"),
    };
    let rows = |range: std::ops::Range<usize>| range.map(line).collect::<String>();
    // Two copies, and a label that comes once.
    let train = format!("review,verdict\n{}{}a strange one,odd\n", rows(0..200), rows(0..2));
    let train = file(folder.path(), "train.csv", &train);
    let test = file(folder.path(), "test.csv", &format!("review,verdict\n{}", rows(200..240)));
    let files = format!("--train {train} --test {test} --text review --label verdict --batch 16");
    let outcome = call::<Arguments>(&format!("{files} --epochs 6"), folder.path()).run().unwrap();
    assert_eq!(outcome.held.1, 40);
    assert_eq!(outcome.rows.read + outcome.rows.held_out, 203);
    assert!(outcome.rows.dropped["exact_duplicate"] + outcome.rows.held_out >= 2);
    assert!(outcome.run("arable").unwrap().accuracy > 0.9, "{}", outcome.json());
    assert_eq!(outcome.mislabel_auroc, None);

    // What is wrong is named.
    let wrong = files.replace("--label verdict", "--label verdikt");
    let error = call::<Arguments>(&wrong, folder.path()).run().unwrap_err().to_string();
    assert!(error.contains("verdikt") && error.contains("verdict"), "{error}");
    let wrong = files.replace("train.csv", "trian.csv");
    let error = call::<Arguments>(&wrong, folder.path()).run().unwrap_err().to_string();
    assert!(error.contains("trian.csv"), "{error}");
    let wrong = files.replace("--label verdict", "--label review");
    let error = call::<Arguments>(&wrong, folder.path()).run().unwrap_err().to_string();
    assert!(error.contains("`review` twice"), "{error}");
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    assert!(refused::<Arguments>("--train a.csv").contains("--test"));
    assert!(refused::<Arguments>("--noise 1.5").contains("0 to 0.9"));
    assert!(refused::<Arguments>("--epochs 0").contains("--epochs"));
    assert!(refused::<Arguments>("--help").contains("--train train.csv"));
}
