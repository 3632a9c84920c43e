//! Parts that are kept out of training, and their reading for validation.

use crate::{ARABLE, UNIFORM, datasets};
use arable_loader::{Recipe, recipe::Part};
use arable_tests::{CLEAN, Data, Format, Line, Mixed, arable, walk};
use arrow::array::AsArray;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PARTS: [Part; 3] = [Part::Train, Part::Valid, Part::Holdout];

fn ids(lines: &[Line]) -> Vec<i64> {
    lines.iter().flat_map(|line| line.ids.clone()).collect()
}

/// The ids of a part, in plan order.
fn part(recipe: &Recipe, part: Part) -> Vec<i64> {
    ids(&walk(recipe.clone().evaluation(part).unwrap().pass().unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_row_is_in_one_part_and_training_sees_its_own_alone(
        format in proptest::sample::select(&Format::ALL[..]),
        rows in 20_usize..200,
        group in 5_usize..50,
        valid in 0.05_f64..0.4,
        holdout in 0.05_f64..0.4,
        seed in 0_u64..100,
    ) {
        let data = Data::new(format, 2, rows, group);
        let recipe = Recipe::new(data.url()).seed(seed).split(valid, holdout).batch_size(7);
        let mut all: Vec<i64> = PARTS.iter().flat_map(|&of| part(&recipe, of)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..data.rows.len() as i64).collect::<Vec<_>>());
        let mut stream = recipe.clone().open().unwrap();
        let mut trained: Vec<i64> = Vec::new();
        for batch in stream.by_ref() {
            let batch = batch.unwrap();
            trained.extend(batch.data.column_by_name("id").unwrap().as_primitive::<arrow::datatypes::Int64Type>().values());
        }
        trained.sort_unstable();
        let account = stream.account();
        prop_assert!(account.balances());
        prop_assert_eq!(account.read, trained.len() as u64);
        prop_assert_eq!(account.read + account.held_out, data.rows.len() as u64);
        // Another seed shuffles otherwise and splits alike.
        prop_assert_eq!(&trained, &part(&recipe.clone().seed(seed + 1), Part::Train));
    }
}

#[test]
fn copies_never_straddle_and_training_stays_clean() {
    for data in datasets() {
        let path =
            data.recipe("epochs = 2", &format!("[split]\nvalid = 0.3\nholdout = 0.2\n{CLEAN}[policy]\n{UNIFORM}"));
        let recipe = Recipe::from_toml_file(&path).unwrap();
        let text = |id: &i64| data.rows[usize::try_from(*id).unwrap()].text.as_str();
        let texts: Vec<BTreeSet<&str>> = PARTS
            .iter()
            .map(|&of| part(&recipe, of))
            .map(|ids| ids.iter().map(text).collect::<BTreeSet<_>>())
            .collect();
        let ids = part(&recipe, Part::Valid);
        assert!(ids.iter().map(text).collect::<BTreeSet<_>>().len() < ids.len(), "there are copies to be told apart");
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            assert!(texts[one].is_disjoint(&texts[other]));
        }
        let mut stream = recipe.clone().open().unwrap();
        for batch in stream.by_ref() {
            let batch = batch.unwrap();
            for text in batch.data.column_by_name("text").unwrap().as_string::<i32>() {
                assert!(!texts[1].contains(text.unwrap()) && !texts[2].contains(text.unwrap()));
            }
        }
        let account = stream.account();
        assert!(account.balances() && account.held_out > 0);
        assert_eq!(account.read + account.held_out, data.rows.len() as u64);
        assert!(account.dropped.values().sum::<u64>() > 0);
    }
}

#[test]
fn a_row_stays_in_its_part_when_data_are_added() {
    let few = Data::new(Format::Jsonl, 2, 100, 0);
    let more = Data::new(Format::Jsonl, 5, 100, 0);
    let recipe = |data: &Data| Recipe::new(data.url()).split(0.3, 0.2);
    for of in PARTS {
        let more: BTreeSet<i64> = part(&recipe(&more), of).into_iter().collect();
        let few = part(&recipe(&few), of);
        assert!(!few.is_empty() && few.iter().all(|id| more.contains(id)));
        assert!(few.len() < more.len());
    }
    // Nor does it move where its dataset becomes a domain.
    let mixed = Mixed::new(Format::Jsonl, &[(200, 1.0), (100, 3.0)], 10);
    let path = mixed.recipe("", "[split]\nvalid = 0.3\n[stream]\nwindow = 3");
    let recipe = Recipe::from_toml_file(&path).unwrap();
    let alone = Recipe::new(mixed.domains[0].url()).columns(["id", "text", "label"]).split(0.3, 0.0);
    let alone = part(&alone, Part::Valid);
    assert_eq!(part(&recipe, Part::Valid)[..alone.len()], alone);
}

#[test]
fn every_pass_for_validation_is_the_same_in_plan_order() {
    for data in datasets() {
        let path = data.recipe(
            "seed = 3\nepochs = 4",
            &format!("[split]\nvalid = 0.4\n{CLEAN}[batch]\nsize = 16\ndrop_last = true"),
        );
        let recipe = Recipe::from_toml_file(&path).unwrap();
        let evaluation = recipe.clone().evaluation(Part::Valid).unwrap();
        let first = walk(evaluation.pass().unwrap());
        let ids = ids(&first);
        assert!(ids.is_sorted() && ids.len() > 100, "plan order");
        assert!(first.iter().flat_map(|line| &line.weights).all(|weight| *weight == 1.0_f32.to_bits()));
        assert_eq!(walk(evaluation.pass().unwrap()), first);
        assert_eq!(
            walk(recipe.clone().threads(7).seed(9).open().unwrap().evaluation(Part::Valid).unwrap().pass().unwrap()),
            first
        );
        // What is said of it goes nowhere.
        let mut stream = evaluation.pass().unwrap();
        arable_tests::train(&mut stream, usize::MAX);
        assert_eq!(stream.values().unwrap().iter().count(), 0);
        // Rows without a label are among them, unless cleaning is asked for.
        assert!(ids.iter().any(|id| data.rows[usize::try_from(*id).unwrap()].label.is_none()));
        let mut cleaned = recipe;
        cleaned.split.clean = true;
        let cleaned = part(&cleaned, Part::Valid);
        assert!(!cleaned.is_empty() && cleaned.len() < ids.len());
        assert!(cleaned.iter().all(|id| data.rows[usize::try_from(*id).unwrap()].label.is_some_and(|label| label < 4)));
    }
}

#[test]
fn the_command_line_walks_a_part() {
    let data = Data::new(Format::Parquet, 2, 200, 50);
    let path = data.recipe("", "[split]\nvalid = 0.25").display().to_string();
    let mut rows = BTreeMap::new();
    for name in ["train", "valid"] {
        let ran = arable(ARABLE, ["stream", &path, "--part", name, "--json"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let (json, count) = (ran.json(), |key: &str| ran.json()["rows"][key].as_u64().unwrap());
        assert_eq!(count("read") + count("held_out"), 400);
        assert_eq!(json["length"]["rows"], count("kept"));
        assert_eq!(json["length"]["basis"], "known");
        rows.insert(name, count("read"));
    }
    assert_eq!(rows.values().sum::<u64>(), 400);
    assert!(rows["valid"] > 50 && rows["valid"] < 150, "{rows:?}");
    for (part, words) in [("holdout", ["holdout", "[split]"]), ("vaild", ["vaild", "valid"])] {
        let ran = arable(ARABLE, ["stream", &path, "--part", part]);
        assert_eq!(ran.status, 2, "{ran:?}");
        words.iter().for_each(|word| assert!(ran.err.contains(word), "{ran:?}"));
    }
}

#[test]
fn a_length_is_an_estimate_until_every_verdict_is_known() {
    use arable_loader::stream::Basis;
    let data = Data::new(Format::Parquet, 2, 300, 30);
    let path =
        data.recipe("epochs = 2", &format!("[split]\nvalid = 0.25\n{CLEAN}[stream]\nwindow = 2\n[batch]\nsize = 16"));
    let mut stream = Recipe::from_toml_file(path).unwrap().open().unwrap();
    let before = stream.length();
    assert_eq!((before.rows, before.batches, before.basis), (450, 29, Basis::Estimated { judged: 0 }));
    let lines = walk_epochs(&mut stream);
    let after = stream.length();
    assert_eq!((after.rows, after.basis), (lines as u64 / 2, Basis::Known));
    assert_eq!(after.batches, after.rows.div_ceil(16));
}

fn walk_epochs(stream: &mut arable_loader::Stream) -> usize {
    stream.by_ref().map(|batch| batch.unwrap().len()).sum()
}
