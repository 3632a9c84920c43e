//! Whatever the data and the operators: every row is accounted for once, and blocks' borders decide nothing.

use super::Cleaner;
use crate::{
    Result, Verdict,
    clean::{Action, Findings, Memory, Operator, Rows, Rule, Settled, spec::specs},
};
use arrow::{
    array::{Array, AsArray, Float64Array, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Float64Type, Int32Type, Schema},
};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

/// A row that any of the operators below may speak against.
type Row = (Option<&'static str>, Option<i32>, f64);

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("label", DataType::Int32, true),
        Field::new("score", DataType::Float64, true),
    ]);
    let text = StringArray::from_iter(rows.iter().map(|row| row.0));
    let label = Int32Array::from_iter(rows.iter().map(|row| row.1));
    let score = Float64Array::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(text), Arc::new(label), Arc::new(score)]).expect("a batch")
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop::option::weighted(0.8, prop::sample::select(vec!["", " ", "a", "b"]));
    let label = prop::option::weighted(0.8, -1..3);
    let score = prop::sample::select(vec![0.0, -0.0, 0.5, 2.0, f64::NAN, f64::INFINITY]);
    vec((text, label, score), 0..60)
}

const TABLES: [&str; 8] = [
    "op = 'missing'\ncolumns = ['text', 'label']",
    "op = 'missing'\ncolumn = 'text'\nblank = true",
    "op = 'range'\ncolumn = 'label'\nmin = 0\nmax = 1",
    "op = 'range'\ncolumns = ['score', 'label']\nmax = 1",
    "op = 'range'\ncolumn = 'score'",
    "op = 'exact_duplicate'",
    "op = 'exact_duplicate'\ncolumn = 'text'",
    "op = 'exact_duplicate'\ncolumns = ['label', 'score']",
];

fn any_recipe() -> impl Strategy<Value = String> {
    let table = (prop::sample::select(TABLES.to_vec()), any::<bool>());
    vec(table, 1..6).prop_map(|tables| {
        let table = |&(table, drop): &(&str, bool)| {
            format!("[[clean]]\n{table}\naction = '{}'\n", if drop { "drop" } else { "annotate" })
        };
        tables.iter().map(table).collect()
    })
}

fn cleaner(recipe: &str) -> Cleaner {
    Cleaner::new(&specs(recipe), &batch(&[]).schema()).expect(recipe)
}

fn settle(cleaner: &Cleaner, rows: &[Row], bad: &[u32], memory: &mut Memory) -> (Settled, Vec<Verdict>) {
    let judged = cleaner.judge(&batch(rows), bad).expect("a judgement");
    let settled = cleaner.settle(0, &judged, memory);
    let verdicts = judged.verdicts(&settled).into_iter().map(|(verdict, _)| verdict).collect();
    (settled, verdicts)
}

fn settle_alone(cleaner: &Cleaner, rows: &[Row], bad: &[u32]) -> (Settled, Vec<Verdict>) {
    settle(cleaner, rows, bad, &mut cleaner.memory())
}

/// The operators of `TABLES`, said again in the plainest way, one row at a time.
fn reference(recipe: &str, rows: &[Row], bad: &HashSet<u32>) -> Vec<Verdict> {
    let tables = specs(recipe);
    let mut seen: Vec<Vec<&Row>> = vec![Vec::new(); tables.len()];
    let same = |one: f64, other: f64| one == other || one.is_nan() && other.is_nan();
    let mut verdicts = Vec::new();
    for (at, row) in (0_u32..).zip(rows) {
        let (text, label, score) = *row;
        let mut verdict = Verdict::Keep;
        if bad.contains(&at) {
            verdicts.push(Verdict::Quarantine("unreadable".to_owned()));
            continue;
        }
        for (table, seen) in tables.iter().zip(&mut seen) {
            let columns: Option<Vec<&str>> = match (table.options.get("column"), table.options.get("columns")) {
                (Some(column), _) => column.as_str().map(|column| vec![column]),
                (_, Some(columns)) => {
                    columns.as_array().map(|columns| columns.iter().filter_map(toml::Value::as_str).collect())
                }
                _ => None,
            };
            let has = |column| columns.as_ref().is_none_or(|columns| columns.contains(&column));
            let bound = |name: &str| table.options.get(name).and_then(toml::Value::as_integer);
            let out = |value: f64| {
                bound("min").is_some_and(|min| value < min as f64) || bound("max").is_some_and(|max| value > max as f64)
            };
            let blank = table.options.contains_key("blank");
            let reason = match table.op.as_str() {
                "missing" if has("text") && text.is_none_or(|text| blank && text.trim().is_empty()) => "missing:text",
                "missing" if has("label") && label.is_none() => "missing:label",
                "range" if has("score") && !score.is_finite() => "not_finite:score",
                "range" if has("score") && out(score) => "out_of_range:score",
                "range" if has("label") && label.is_some_and(|label| out(f64::from(label))) => "out_of_range:label",
                "exact_duplicate" => {
                    let matches = |other: &&Row| {
                        (!has("text") || other.0 == text)
                            && (!has("label") || other.1 == label)
                            && (!has("score") || same(other.2, score))
                    };
                    let duplicate = seen.iter().any(matches);
                    seen.push(row);
                    if duplicate { "exact_duplicate" } else { continue }
                }
                _ => continue,
            };
            if table.options["action"].as_str() == Some("drop") {
                verdict = Verdict::Drop(reason.to_owned());
                break;
            }
        }
        verdicts.push(verdict);
    }
    verdicts
}

proptest! {
    #[test]
    fn verdicts_are_those_of_one_row_after_the_other(
        recipe in any_recipe(), rows in any_rows(), bad in vec(any::<prop::sample::Index>(), 0..4)
    ) {
        let bad: HashSet<u32> =
            if rows.is_empty() { HashSet::new() } else { bad.iter().map(|at| at.index(rows.len()) as u32).collect() };
        let listed: Vec<u32> = bad.iter().copied().collect();
        let (_, verdicts) = settle_alone(&cleaner(&recipe), &rows, &listed);
        prop_assert_eq!(verdicts, reference(&recipe, &rows, &bad), "{}", recipe);
    }

    #[test]
    fn every_row_is_accounted_for_once(
        recipe in any_recipe(), rows in any_rows(), bad in vec(any::<prop::sample::Index>(), 0..4)
    ) {
        let bad: Vec<u32> =
            if rows.is_empty() { Vec::new() } else { bad.iter().map(|at| at.index(rows.len()) as u32).collect() };
        let (settled, verdicts) = settle_alone(&cleaner(&recipe), &rows, &bad);
        let dropped: u64 = settled.dropped.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(u64::from(settled.keep.count()) + dropped + settled.quarantined, rows.len() as u64);
        prop_assert_eq!(settled.quarantined, bad.iter().collect::<HashSet<_>>().len() as u64);
        prop_assert!(settled.dropped.is_sorted() && settled.annotated.is_sorted());
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for (row, verdict) in (0..).zip(verdicts) {
            prop_assert_eq!(settled.keep.is_kept(row), verdict == Verdict::Keep);
            if let Verdict::Drop(reason) = verdict {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        prop_assert_eq!(settled.dropped, reasons.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn borders_of_blocks_and_a_resume_decide_nothing(
        recipe in any_recipe(), rows in any_rows(), cuts in vec(0_usize..60, 0..5), resume in 0_u32..6
    ) {
        let cleaner = cleaner(&recipe);
        let (whole, expected) = settle_alone(&cleaner, &rows, &[]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).chain([0, rows.len()]).collect();
        cuts.sort_unstable();
        let (mut memory, mut found, mut annotated) = (cleaner.memory(), Vec::new(), BTreeMap::new());
        let mut snapshots = vec![memory.to_bytes(0)];
        for block in cuts.windows(2) {
            if memory.visits() == resume {
                memory = cleaner.restore(&memory.to_bytes(resume)).expect("own bytes");
            }
            let (settled, verdicts) = settle(&cleaner, &rows[block[0]..block[1]], &[], &mut memory);
            found.extend(verdicts);
            for (reason, count) in settled.annotated {
                *annotated.entry(reason).or_insert(0) += count;
            }
            snapshots.push(memory.to_bytes(memory.visits()));
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(annotated.into_iter().collect::<Vec<_>>(), whole.annotated);
        for (visits, snapshot) in (0..).zip(snapshots) {
            prop_assert_eq!(memory.to_bytes(visits), snapshot);
        }
    }

    #[test]
    fn exactly_the_first_of_each_group_is_kept(rows in any_rows()) {
        let (_, verdicts) =
            settle_alone(&cleaner("[[clean]]\nop = 'exact_duplicate'\ncolumn = 'text'"), &rows, &[]);
        let mut seen = HashSet::new();
        for (row, verdict) in rows.iter().zip(verdicts) {
            prop_assert_eq!(seen.insert(row.0), verdict == Verdict::Keep);
        }
    }
}

#[test]
fn the_first_operator_that_drops_gets_the_count() {
    let rows: [Row; 3] = [(None, Some(9), 0.0), (None, Some(9), 0.0), (Some("a"), Some(9), 0.0)];
    let dropped = |recipe: &str| settle_alone(&cleaner(recipe), &rows, &[]).0.dropped;
    let [missing, range, duplicate] = [
        "[[clean]]\nop = 'missing'\ncolumn = 'text'\n",
        "[[clean]]\nop = 'range'\ncolumn = 'label'\nmax = 1\n",
        "[[clean]]\nop = 'exact_duplicate'\n",
    ];
    let count = |reason: &str, count| (reason.to_owned(), count);
    assert_eq!(
        dropped(&format!("{missing}{range}{duplicate}")),
        [count("missing:text", 2), count("out_of_range:label", 1)]
    );
    assert_eq!(dropped(&format!("{range}{missing}")), [count("out_of_range:label", 3)]);
    assert_eq!(
        dropped(&format!("{duplicate}{missing}{range}")),
        [count("exact_duplicate", 1), count("missing:text", 1), count("out_of_range:label", 1)]
    );
}

#[test]
fn a_row_that_was_dropped_before_is_nobody_s_original_and_one_dropped_after_is() {
    let rows: [Row; 2] = [(Some("a"), Some(9), 0.0), (Some("a"), Some(1), 0.0)];
    let (range, duplicate) = (
        "[[clean]]\nop = 'range'\ncolumn = 'label'\nmax = 1\n",
        "[[clean]]\nop = 'exact_duplicate'\ncolumn = 'text'\n",
    );
    let kept = |recipe: &str| settle_alone(&cleaner(recipe), &rows, &[]).0.keep.count();
    assert_eq!(kept(&format!("{range}{duplicate}")), 1);
    assert_eq!(kept(&format!("{duplicate}{range}")), 0);
}

#[test]
fn evidence_of_the_rule_that_dropped_stands_first() {
    let recipe = "[[clean]]\nop = 'range'\ncolumn = 'score'\nmax = 1\naction = 'annotate'\n\
                  [[clean]]\nop = 'missing'\ncolumns = ['text', 'label']\n\
                  [[clean]]\nop = 'range'\ncolumn = 'score'\nmin = 5\naction = 'annotate'";
    let cleaner = cleaner(recipe);
    let rows = [(None, None, 2.0), (Some("a"), Some(1), 2.0)];
    let judged = cleaner.judge(&batch(&rows), &[]).expect("a judgement");
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    let verdicts = judged.verdicts(&settled);
    let said = |row: usize| verdicts[row].1.iter().map(|said| (said.reason.as_str(), said.measured, said.threshold));
    assert_eq!(verdicts[0].0, Verdict::Drop("missing:text".to_owned()));
    assert_eq!(
        said(0).collect::<Vec<_>>(),
        [("missing:text", None, None), ("out_of_range:score", Some(2.0), Some(1.0))]
    );
    assert_eq!(verdicts[1].0, Verdict::Keep);
    let both = [("out_of_range:score", Some(2.0), Some(1.0)), ("out_of_range:score", Some(2.0), Some(5.0))];
    assert_eq!(said(1).collect::<Vec<_>>(), both);
    assert_eq!(settled.annotated, [("out_of_range:score".to_owned(), 3)]);
}

#[test]
fn a_block_of_another_schema_or_with_rows_outside_is_refused() {
    let cleaner = cleaner("[[clean]]\nop = 'missing'\ncolumn = 'text'");
    let renamed = batch(&[]).project(&[1, 0, 2]).expect("a projection");
    let error = cleaner.judge(&renamed, &[]).expect_err("other columns").to_string();
    assert!(error.contains("column 1 should be `text` of Utf8 and is `label` of Int32"), "{error}");
    assert!(cleaner.judge(&batch(&[]).project(&[0, 1]).expect("a projection"), &[]).is_err());
    assert!(cleaner.judge(&batch(&[]), &[0]).is_err());
}

/// What a user may write: two reasons, one measured.
struct Sums {
    fault: Option<(usize, usize)>,
}

impl Operator for Sums {
    fn name(&self) -> &str {
        "sums"
    }

    fn version(&self) -> u32 {
        3
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain("odd"), Rule::at_most("large")]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let labels = rows.data().column(1).as_primitive::<Int32Type>();
        let scores = rows.data().column(2).as_primitive::<Float64Type>();
        // Not in order, and twice: the frame puts it right. Nor does it matter who is dead.
        for row in (0..rows.len()).rev().chain(0..rows.len()).filter(|&row| labels.is_valid(row)) {
            let sum = f64::from(labels.value(row)) + scores.value(row);
            if sum > 2.0 {
                findings.measured(row, 1, sum, Some(2.0));
            }
            if sum % 2.0 == 1.0 {
                findings.add(row, 0);
            }
        }
        if let Some((row, reason)) = self.fault {
            findings.add(row, reason);
        }
        Ok(())
    }
}

#[test]
fn an_operator_of_the_user_s_stands_in_line() {
    let with = |fault, action| {
        cleaner("[[clean]]\nop = 'missing'\ncolumn = 'text'")
            .with_operator(Box::new(Sums { fault }), action)
            .expect("an operator")
    };
    let rows: [Row; 4] =
        [(None, Some(1), 2.0), (Some("a"), Some(1), 2.0), (Some("a"), Some(2), 2.0), (Some("a"), None, 2.0)];
    let count = |reason: &str, count| (reason.to_owned(), count);
    let settled = settle_alone(&with(None, Action::Drop), &rows, &[]).0;
    assert_eq!(settled.dropped, [count("large", 1), count("missing:text", 1), count("odd", 1)]);
    let settled = settle_alone(&with(None, Action::Annotate), &rows, &[]).0;
    assert_eq!(settled.annotated, [count("large", 2), count("odd", 1)]);
    assert_eq!(settled.keep.count(), 3);
    let plain = cleaner("[[clean]]\nop = 'missing'\ncolumn = 'text'");
    assert_ne!(plain.fingerprint(), with(None, Action::Drop).fingerprint());
    for fault in [(4, 0), (0, 2), (usize::MAX, 0)] {
        let error = with(Some(fault), Action::Drop).judge(&batch(&rows), &[]).expect_err("a faulty operator");
        assert!(error.to_string().contains("operator `sums`"), "{error}");
    }
}

#[test]
fn no_operator_keeps_every_row_that_can_be_read() {
    let cleaner = Cleaner::new(&[], &batch(&[]).schema()).expect("an empty recipe");
    assert!(cleaner.is_empty() && !cleaner.remembers());
    let (settled, _) = settle_alone(&cleaner, &[(None, None, 0.0); 3], &[1, 1]);
    assert_eq!(settled.keep.kept().collect::<Vec<_>>(), [0, 2]);
    assert_eq!((settled.dropped, settled.quarantined), (vec![], 1));
}
