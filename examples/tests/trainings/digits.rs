//! The comparison that the examples run, small: it ends, it adds up, and observing changes nothing.

use arable_examples::{
    arguments::fresh_folder,
    digits::{self, CLASSES, FEATURES},
    dirt::Dirt,
    outcome::Outcome,
    planted::{Hyper, Planted},
    sample::{Held, Sample},
};
use arable_loader::{
    ledger::{self, Record},
    report::{Bars, ProgressMode},
};
use burn::tensor::Device;
use std::collections::HashSet;

use crate::turn;

const DIRT: Dirt = Dirt { noise: 0.2, duplicates: 0.15, broken: 0.02 };

fn run(noise: f64, epochs: usize, folder: &std::path::Path) -> Outcome {
    let _turn = turn();
    let data = digits::load();
    let dirt = Dirt { noise, ..DIRT };
    let planted = Planted {
        task: "digits",
        train: data.train.plant(dirt, CLASSES, 3),
        held: Held::new(data.valid),
        held_name: "clean validation rows",
        dirt,
        shape: [1, 8, FEATURES / 8],
        classes: CLASSES,
        seed: 3,
        device: Device::flex(),
        hyper: Hyper { epochs, batch: 32, warmup: 4, learning_rate: 1e-3, hidden: Some(64), shards: 4, group: 128 },
    };
    let folder = fresh_folder(folder, "digits").unwrap();
    planted.comparison(&folder).unwrap().run(&folder, &Bars::new(ProgressMode::Quiet)).unwrap()
}

#[test]
fn the_planted_dirt_is_what_it_is_said_to_be() {
    let clean = digits::load().train;
    let dirty = clean.clone().plant(DIRT, CLASSES, 3);
    let rows = clean.rows.len() as f64;
    let copies = (rows * 0.15).round();
    assert_eq!(dirty.rows.len() as f64, rows + copies);
    let broken = dirty.rows.iter().filter(|row| !row.is_valid(CLASSES)).count();
    assert_eq!(broken as f64, ((rows + copies) * 0.02).round());
    let unbroken = || dirty.rows.iter().zip(&dirty.truth).filter(|(row, _)| row.is_valid(CLASSES));
    assert!(unbroken().all(|(_, truth)| truth.is_some()), "the truth of every unbroken row is known");
    let wrong = unbroken().filter(|(row, truth)| row.label != **truth).count() as f64;
    let share = wrong / unbroken().count() as f64;
    assert!((share - 0.2).abs() < 0.02, "{share} of the labels are wrong");
    let different: HashSet<String> = unbroken().map(|(row, _)| format!("{row:?}")).collect();
    let repeated = unbroken().count() - different.len();
    assert!((repeated as f64 - copies).abs() <= 0.05 * copies, "{repeated} of {copies} copies, wrong labels and all");
    // The same seed plants the same dirt, another seed other dirt.
    let labels =
        |seed| digits::load().train.plant(DIRT, CLASSES, seed).rows.iter().map(Sample::label).collect::<Vec<_>>();
    assert_eq!(labels(3), dirty.rows.iter().map(Sample::label).collect::<Vec<_>>());
    assert_ne!(labels(4), labels(3));
}

#[test]
fn the_comparison_adds_up_and_observing_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(0.2, 12, folder.path());
    assert!(outcome.rows.balances());
    let reasons: Vec<_> = outcome.rows.dropped.keys().cloned().collect();
    assert_eq!(reasons, ["exact_duplicate", "missing:label", "not_finite:pixels", "out_of_range:label"]);
    // The observing run is the cleaning run, step for step.
    assert_eq!(outcome.run("observed").unwrap().accuracy, outcome.run("cleaned").unwrap().accuracy);
    assert_eq!(outcome.run("observed").unwrap().trained, outcome.run("cleaned").unwrap().trained);
    // An untrained model guesses one in ten; twelve epochs are plenty to tell wrong labels from right ones.
    assert!(outcome.burn.accuracy > 0.5 && outcome.run("arable").unwrap().accuracy > 0.8, "{:?}", outcome.json());
    assert!(outcome.mislabel_auroc.unwrap() > 0.95);
    let json = outcome.json();
    for key in ["task", "rows", "burn", "cleaned", "observed", "arable", "mislabel_auroc", "ledger"] {
        assert!(!json[key].is_null(), "`{key}` is missing");
    }
    let verified = ledger::verify(&outcome.ledger).unwrap();
    assert_eq!(verified.account(), outcome.rows);
    let closed = Record::Closed { batches: outcome.steps as u64, trained: outcome.run("arable").unwrap().trained };
    assert_eq!(verified.records.last(), Some(&closed));
    // A second run in the same place writes a ledger of its own, and comes to the same.
    let again = run(0.2, 12, folder.path());
    assert_ne!(again.ledger, outcome.ledger);
    assert_eq!(again.run("arable").unwrap().accuracy, outcome.run("arable").unwrap().accuracy);
    assert_eq!(again.run("arable").unwrap().trained, outcome.run("arable").unwrap().trained);
}

#[test]
fn on_right_labels_acting_is_observing() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(0.0, 12, folder.path());
    assert_eq!(outcome.run("arable").unwrap().accuracy, outcome.run("observed").unwrap().accuracy);
    assert_eq!(outcome.run("arable").unwrap().trained, outcome.run("observed").unwrap().trained);
    assert_eq!(outcome.mislabel_auroc, None, "there is no wrong label to rank");
}
