use super::super::found;
use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn batch(cells: &[Option<&str>]) -> RecordBatch {
    let cells: ArrayRef = Arc::new(StringArray::from_iter(cells));
    RecordBatch::try_from_iter_with_nullable([("x", cells, true)]).expect("a batch")
}

fn judged(options: &str, cells: &[Option<&str>]) -> Vec<(u32, String)> {
    let recipe = format!("[[clean]]\nop = 'schema'\ncolumn = 'x'\n{options}");
    found(&recipe, &batch(cells)).0.into_iter().map(|(row, reason, _)| (row, reason)).collect()
}

fn reason(row: u32, reason: &str) -> (u32, String) {
    (row, format!("{reason}:x"))
}

#[test]
fn cells_of_another_type_are_found() {
    let cells = [Some("12"), Some("12.5 oz"), Some(" 13"), None, Some("")];
    assert_eq!(judged("type = 'float'", &cells), [reason(1, "wrong_type"), reason(2, "wrong_type")]);
    assert_eq!(
        judged("type = 'float'\nnullable = false", &cells),
        [reason(1, "wrong_type"), reason(2, "wrong_type"), reason(3, "null")]
    );
    assert!(judged("type = 'text'", &cells).is_empty());
    let dates = [Some("2024-02-29"), Some("29/02/2024"), Some("2023-02-29")];
    assert_eq!(
        judged("type = 'date'\nformats = ['%d/%m/%Y']", &dates),
        [reason(0, "wrong_type"), reason(2, "wrong_type")]
    );
}

#[test]
fn what_is_nearly_of_the_type_is_coerced_and_noted() {
    let recipe = "[[clean]]\nop = 'schema'\ncolumn = 'x'\ntype = 'integer'\ncoerce = true";
    let (flags, data) = found(recipe, &batch(&[Some("7"), Some(" 1,234 "), Some("seven"), Some("8.0")]));
    let flags: Vec<(u32, String)> = flags.into_iter().map(|(row, reason, _)| (row, reason)).collect();
    assert_eq!(flags, [reason(1, "coerced"), reason(2, "wrong_type"), reason(3, "coerced")]);
    let cells: Vec<Option<&str>> = data.column(0).as_string::<i32>().iter().collect();
    assert_eq!(cells, [Some("7"), Some("1234"), Some("seven"), Some("8")]);
}

#[test]
fn a_pattern_is_for_the_whole_cell() {
    let cells = [Some("AL"), Some("ALA"), Some("al")];
    assert_eq!(judged("pattern = '[A-Z]{2}'", &cells), [reason(1, "wrong_pattern"), reason(2, "wrong_pattern")]);
}

#[test]
fn a_type_is_found_out_or_else_usual_shapes() {
    let numbers: Vec<String> = (0..99).map(|row| row.to_string()).chain(["about 7".to_owned()]).collect();
    let numbers: Vec<Option<&str>> = numbers.iter().map(|cell| Some(cell.as_str())).collect();
    assert_eq!(judged("", &numbers), [reason(99, "wrong_type")]);
    let times: Vec<String> =
        (0..99).map(|row| format!("{}:{:02} p.m.", row % 12, row % 60)).chain(["7:15 PM".to_owned()]).collect();
    let times: Vec<Option<&str>> = times.iter().map(|cell| Some(cell.as_str())).collect();
    assert_eq!(judged("", &times), [reason(99, "unusual_format")]);
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let data = RecordBatch::try_from_iter([("x", column)]).expect("a batch");
    assert!(found("[[clean]]\nop = 'schema'\ncolumn = 'x'", &data).0.is_empty());
}

#[test]
fn a_shape_is_unusual_only_where_few_cells_have_one() {
    let cells = |odd: usize| -> Vec<String> {
        let odd = ["#", "$", "%", "&", "*", "+"].into_iter().take(odd).map(|mark| format!("{mark} and more"));
        (odd.len()..100).map(|row| format!("{row}-{row}")).chain(odd).collect()
    };
    let flagged = |cells: &[String], options: &str| {
        judged(options, &cells.iter().map(|cell| Some(cell.as_str())).collect::<Vec<_>>()).len()
    };
    assert_eq!(flagged(&cells(4), ""), 4);
    assert_eq!(flagged(&cells(6), ""), 0, "what is written in ever other ways has no usual one");
    assert_eq!(flagged(&cells(6), "usual = 0.9"), 6);
}

#[test]
fn broken_texts_and_dates_of_several_readings_are_found() {
    let cells = [Some("crian\u{324}as"), Some("Andr\u{fffd}"), Some("André"), None, Some("")];
    assert_eq!(judged("", &cells), [reason(0, "broken_text"), reason(1, "broken_text")]);
    assert!(judged("broken = false", &cells).is_empty());
    let dates = [Some("1/1/15"), Some("8/31/10"), Some("2024-02-03"), Some("never")];
    assert!(judged("type = 'text'", &dates).is_empty());
    assert_eq!(judged("type = 'text'\nambiguous = true", &dates), [reason(0, "ambiguous_date")]);
}

proptest! {
    #[test]
    fn coerced_cells_are_of_the_type(cells in prop::collection::vec("[ +,.0-9a-zA-Z-]{0,8}", 0..20), of in 0..4_usize) {
        let of = ["integer", "float", "boolean", "date"][of];
        let recipe = format!("[[clean]]\nop = 'schema'\ncolumn = 'x'\ntype = '{of}'\ncoerce = true");
        let cells: Vec<Option<&str>> = cells.iter().map(|cell| Some(cell.as_str())).collect();
        let (flags, data) = found(&recipe, &batch(&cells));
        let (again, _) = found(&recipe, &data);
        prop_assert!(again.iter().all(|(_, reason, _)| reason == "wrong_type:x"));
        prop_assert!(again.len() <= flags.len());
    }
}
