//! I8 as far as this version goes: the same feedback log replays to the same batches, bit for bit; and the way back is
//! kept in order.

use crate::{ACTING, ARABLE, DENOISE};
use arable_loader::{Error, Recipe, Stream, ledger};
use arable_tests::{CLEAN, Data, Format, arable, train, walk_batch};
use std::time::Duration;

fn recipe_file(data: &Data, policy: &str) -> std::path::PathBuf {
    let rest = format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 4\n[batch]\nsize = 16");
    data.recipe("seed = 5\nepochs = 12", &rest)
}

#[test]
fn a_recorded_log_draws_every_batch_again_without_its_trainer() {
    ACTING.into_iter().for_each(replays);
}

fn replays(policy: &str) {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let path = recipe_file(&data, policy);
    let run = data.folder.path().join("run");
    let mut stream = Stream::builder(Recipe::from_toml_file(&path).unwrap()).record(&run).open().unwrap();
    let lines = train(&mut stream, usize::MAX);
    drop(stream);
    assert!(lines.iter().flat_map(|line| &line.weights).any(|&weight| weight != 1.0_f32.to_bits()), "{policy} acts");

    let file = |name: &str| data.folder.path().join(name).display().to_string();
    let walk = |arguments: &[&str]| {
        let head = ["stream", path.to_str().unwrap(), "--quiet", "--threads", "3", "--hashes"];
        let ran = arable(ARABLE, head.iter().chain(arguments));
        assert_eq!(ran.status, 0, "{ran:?}");
        let text = std::fs::read_to_string(arguments[0]).unwrap();
        text.lines().map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected: Vec<String> = lines.iter().map(|line| line.hash.clone()).collect();
    let replayed =
        walk(&[&file("replayed"), "--feedback", run.join("feedback").to_str().unwrap(), "--record", &file("again")]);
    assert_eq!(replayed, expected, "{policy}");
    // The replay's ledger is the run's, to the last hash.
    let chain = |run: &std::path::Path| ledger::verify(&run.join("ledger.jsonl")).unwrap().chain;
    assert_eq!(chain(&run), chain(std::path::Path::new(&file("again"))));
    // And without the log other batches are drawn, so that the comparison above says something.
    assert_ne!(walk(&[&file("silent")]), expected);
}

#[test]
fn a_trainer_that_never_reports_costs_patience_and_no_deadlock() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    for policy in ACTING {
        let recipe = Recipe::from_toml_file(recipe_file(&data, policy)).unwrap();
        let stream = Stream::builder(recipe.clone()).patience(Duration::from_millis(20)).open().unwrap();
        // Every batch is held for ever, so that not even its being dropped is a word.
        let held: Vec<_> = stream.map(Result::unwrap).collect();
        let silent: Vec<_> = held.iter().map(walk_batch).collect();
        // A trainer that drops every batch says the same: nothing.
        let dropped: Vec<_> = recipe.open().unwrap().map(|batch| walk_batch(&batch.unwrap())).collect();
        assert_eq!(silent, dropped);
    }
}

#[test]
fn what_does_not_fit_a_batch_is_refused() {
    let data = Data::new(Format::Parquet, 1, 100, 40);
    let mut stream = Recipe::new(data.url()).batch_size(10).open().unwrap();
    let batch = stream.next().unwrap().unwrap();
    let error = batch.receipt.report(&[]).unwrap_err();
    assert!(matches!(error, Error::Feedback { batch: 0, .. }), "{error}");
}

/// The values that a run leaves are those of its reports.
#[test]
fn values_hold_what_was_reported() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let mut stream = Recipe::new(data.url()).batch_size(16).epochs(2).open().unwrap();
    let lines = train(&mut stream, usize::MAX);
    let values = stream.values().unwrap();
    let mut seen = std::collections::HashMap::<_, u32>::new();
    for line in lines.iter().filter(|line| line.number % 23 != 22) {
        line.positions.iter().for_each(|&position| *seen.entry(position).or_default() += 1);
    }
    let table: Vec<_> = values.iter().filter(|(_, trajectory)| trajectory.presentations() > 0).collect();
    for (position, trajectory) in &table {
        let poisoned = position.row % 97 == 96;
        if !poisoned {
            assert_eq!(u32::from(trajectory.presentations()), seen[position], "{position}");
            assert!(trajectory.mean_loss().is_finite());
        }
    }
    assert!(table.len() > 700);
}

/// A run that is stopped writes down what was handed over, however far the sequencer had run ahead: the same every time.
#[test]
fn the_record_of_a_stopped_run_does_not_depend_on_timing() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let mut chains = Vec::new();
    for run in 0..6 {
        let folder = data.folder.path().join(format!("stopped-{run}"));
        let recipe = Recipe::from_toml_file(recipe_file(&data, DENOISE)).unwrap().threads(1 + run % 3);
        let mut stream = Stream::builder(recipe).record(&folder).open().unwrap();
        train(&mut stream, 57);
        let account = stream.account();
        drop(stream);
        let verified = ledger::verify(&folder.join("ledger.jsonl")).unwrap();
        assert_eq!(verified.account(), account);
        chains.push(verified.chain);
    }
    assert!(chains.windows(2).all(|pair| pair[0] == pair[1]), "{chains:?}");
}

/// One batch that is held for ever does not keep the reports of all later ones from being used.
#[test]
fn a_batch_that_is_held_does_not_stop_the_feedback() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let mut stream = Recipe::new(data.url()).batch_size(4).epochs(12).open().unwrap();
    let held = stream.next().unwrap().unwrap();
    train(&mut stream, 2_000);
    let seen =
        stream.values().unwrap().iter().map(|(_, trajectory)| u64::from(trajectory.presentations())).sum::<u64>();
    assert!(seen > 1_000, "{seen} presentations reached the values");
    assert!(held.receipt.report(&[arable_tests::signal(0, held.positions[0]); 4]).is_err(), "it comes too late");
}
