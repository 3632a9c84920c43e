use super::super::QualityModel;
use crate::clean::{Cleaner, Datasets, spec::specs};
use arrow::{
    array::{ArrayRef, StringArray},
    record_batch::RecordBatch,
};
use proptest::prelude::*;
use std::sync::Arc;

/// The `at`th of a kind of texts, which share words but for two.
fn texts(kind: [&str; 2], count: usize) -> Vec<String> {
    let common = ["the", "of", "a", "film", "book", "day", "was", "in", "it", "and"];
    let word = |at: usize, step: usize| {
        if (at + step).is_multiple_of(7) { kind[step % 2] } else { common[(at * 3 + step * step) % 10] }
    };
    (0..count).map(|at| (0..20).map(|step| word(at, step)).collect::<Vec<_>>().join(" ")).collect()
}

fn strs(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().map(String::as_str)
}

fn model() -> QualityModel {
    let (good, bad) = (texts(["superb", "moving"], 60), texts(["dull", "awful"], 90));
    QualityModel::train(strs(&good), strs(&bad), 12, 5).expect("a model")
}

#[test]
fn a_trained_model_tells_texts_that_it_has_not_seen_apart() {
    let model = model();
    for text in ["a superb and moving film", "It was MOVING.", "superb!"] {
        assert!(model.score(text) > 0.5, "{text}: {}", model.score(text));
    }
    for text in ["a dull and awful film", "it was awful"] {
        assert!(model.score(text) < 0.5, "{text}: {}", model.score(text));
    }
    assert!((0.0..=1.0).contains(&model.score("")));
}

#[test]
fn equal_examples_give_an_equal_model_in_any_order_and_it_survives_saving() {
    let (good, bad) = (texts(["superb", "moving"], 60), texts(["dull", "awful"], 90));
    let reversed = QualityModel::train(strs(&good).collect::<Vec<_>>().into_iter().rev(), strs(&bad), 12, 5);
    assert_eq!(model().to_bytes(), reversed.expect("a model").to_bytes());
    let bytes = model().to_bytes();
    assert_eq!(QualityModel::from_bytes(&bytes).expect("its own bytes"), model());
    for at in [0, 8, 9, 100, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(QualityModel::from_bytes(&damaged).is_err(), "byte {at}");
        assert!(QualityModel::from_bytes(&bytes[..at]).is_err());
    }
    assert!(QualityModel::train(["a"], [], 12, 5).is_err());
}

/// Two datasets of examples, by name.
struct Examples;

impl Datasets for Examples {
    fn read(&self, url: &str, each: &mut dyn FnMut(&RecordBatch) -> crate::Result<()>) -> crate::Result<()> {
        let texts = if url == "good" { texts(["superb", "moving"], 60) } else { texts(["dull", "awful"], 90) };
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        each(&RecordBatch::try_from_iter([("text", column)]).expect("a batch"))
    }
}

#[test]
fn texts_below_the_threshold_are_dropped_and_all_have_a_score() {
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("superb"), Some("awful"), None]));
    let data = RecordBatch::try_from_iter_with_nullable([("text", column, true)]).expect("a batch");
    let recipe = "[[clean]]\nop = 'quality'\ncolumn = 'text'\ngood = 'good'\nbad = 'bad'\nbits = 12\nthreshold = 0.5";
    let cleaner = Cleaner::with_datasets(&specs(recipe), &data.schema(), &Examples).expect("a recipe");
    assert_eq!(cleaner.scores(), ["quality"]);
    let judged = cleaner.judge(&data, &[]).expect("a judgement");
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    assert_eq!(settled.dropped, [("low_quality:text".to_owned(), 1)]);
    assert_eq!(settled.keep.kept().collect::<Vec<_>>(), [0, 2], "a null has no score, and is not judged");
}

proptest! {
    #[test]
    fn any_text_has_a_score_between_0_and_1(text in any::<String>()) {
        let model = QualityModel::train(["good"], ["bad"], 8, 1).expect("a model");
        prop_assert!((0.0..=1.0).contains(&model.score(&text)));
    }
}
