use crate::clean::{
    Cleaner, Datasets, Findings, Rows,
    rows::Shared,
    spec::{self, specs},
};
use arrow::{
    array::{ArrayRef, StringArray},
    record_batch::RecordBatch,
};
use std::sync::Arc;

const RECIPES: [&str; 4] = [
    "stir the flour and the butter in a bowl",
    "bake it for an hour, then let it cool",
    "whisk two eggs with sugar until pale",
    "melt the butter and stir in the sugar",
];
const LAWS: [&str; 4] = [
    "the parties agree to the terms of this contract",
    "liability is limited to the amount paid hereunder",
    "this agreement is governed by the laws of the state",
    "the court shall have jurisdiction over the parties",
];

fn batch(texts: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter([("text", column)]).expect("a batch")
}

struct Target;

impl Datasets for Target {
    fn read(&self, _: &str, each: &mut dyn FnMut(&RecordBatch) -> crate::Result<()>) -> crate::Result<()> {
        each(&batch(&RECIPES))
    }
}

fn scores(options: &str, texts: &[&str]) -> Vec<f32> {
    let data = batch(texts);
    let recipe = format!("[[clean]]\nop = 'dsir'\ncolumn = 'text'\ntarget = 'recipes'\n{options}");
    let stands = spec::build(1, &specs(&recipe)[0], data.schema_ref(), &Target).expect("a recipe");
    let spec::Built::Pure(mut operator) = stands.built else { panic!("it needs no earlier rows") };
    let (alive, shared) = (vec![true; texts.len()], Shared::default());
    let rows = Rows::new(&data, &alive, &shared);
    let mut survey = operator.survey().expect("a survey");
    let part = survey.look(&rows).expect("a look");
    survey.add(part).expect("room");
    operator.fit(&survey.fit().expect("a fit")).expect("its own fit");
    let mut findings = Findings::new(&alive, 1, 1);
    operator.judge(&rows, &mut findings).expect("a judgement");
    findings.finish("dsir", data).expect("findings").0.scores.remove(0)
}

#[test]
fn texts_like_the_target_come_first() {
    let unseen = ["stir the sugar and the eggs in a bowl", "the laws of this state govern the contract"];
    let texts: Vec<&str> = LAWS.into_iter().chain(unseen).collect();
    for options in ["", "per = 'ngram'"] {
        let scores = scores(options, &texts);
        let recipe = scores[4];
        assert!(scores.iter().enumerate().all(|(at, &score)| at == 4 || score < recipe), "{scores:?}");
    }
}

#[test]
fn the_log_weight_is_the_sum_over_n_grams_of_the_log_ratio_of_their_probabilities() {
    // One word, one bucket: p = 1 both in the target and at hand.
    assert_eq!(scores("buckets = 1", &["a", "b c"]), [0.0, 0.0]);
    let scores = scores("", &["butter", "butter butter"]);
    assert!(scores[0].is_finite() && scores[1].is_finite());
}

#[test]
fn two_targets_have_scores_of_their_own() {
    let names = |second: &str| {
        let table = "[[clean]]\nop = 'dsir'\ncolumn = 'text'\ntarget = 'recipes'\n";
        let cleaner = Cleaner::with_datasets(&specs(&format!("{table}{table}{second}")), &batch(&[]).schema(), &Target);
        cleaner.map(|cleaner| cleaner.scores().to_vec()).map_err(|error| error.to_string())
    };
    assert_eq!(names("score = 'cooking'").as_deref(), Ok(["dsir", "cooking"].map(str::to_owned).as_slice()));
    assert!(names("").is_err_and(|error| error.contains("two operators give a score `dsir`")));
    assert!(names("score = ' '").is_err_and(|error| error.contains("`score` is blank")));
}
