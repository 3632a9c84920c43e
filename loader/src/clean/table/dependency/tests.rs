use super::super::found;
use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

/// Ten zip codes of one city each, ten rows a zip code; a wrong city in row 3 and a wrong zip code in row 14.
fn places() -> RecordBatch {
    let zips = (0..100).map(|row| if row == 14 { 99 } else { row / 10 });
    let cities = (0..100).map(|row| {
        if row == 3 { Some("elsewhere".to_owned()) } else { (row != 4).then(|| format!("city {}", row / 20)) }
    });
    let names = (0..100).map(|row| format!("name {row}"));
    let zips: ArrayRef = Arc::new(Int32Array::from_iter_values(zips));
    let cities: ArrayRef = Arc::new(StringArray::from_iter(cities));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    RecordBatch::try_from_iter_with_nullable([("zip", zips, false), ("city", cities, true), ("name", names, false)])
        .expect("a batch")
}

#[test]
fn a_cell_that_contradicts_its_group_is_found() {
    let recipe = "[[clean]]\nop = 'dependency'\nby = ['zip']\ncolumn = 'city'";
    assert_eq!(found(recipe, &places()).0, [(3, "dependency:city".to_owned(), Some(1.0 / 9.0))]);
    let strict = format!("{recipe}\nmajority = 0.9");
    assert!(found(&strict, &places()).0.is_empty(), "nobody holds nine tenths of that group");
}

#[test]
fn dependencies_are_discovered_where_they_explain_something() {
    let recipe = "[[clean]]\nop = 'dependency'\ndiscover = true\ncolumns = ['zip', 'city', 'name']";
    let (flags, _) = found(recipe, &places());
    assert_eq!(flags, [(3, "dependency:city".to_owned(), Some(1.0 / 9.0))], "names determine everything, and nothing");
}

#[test]
fn a_cell_is_repaired_where_asked() {
    let recipe = "[[clean]]\nop = 'dependency'\nby = ['zip']\ncolumn = 'city'\nrepair = true";
    let (flags, data) = found(recipe, &places());
    assert_eq!(flags.len(), 1);
    assert_eq!(data.column(1).as_string::<i32>().value(3), "city 0");
}

proptest! {
    #[test]
    fn the_most_frequent_value_of_a_group_is_never_flagged(cells in prop::collection::vec((0..4_i32, 0..3_i32), 0..60)) {
        let (by, of): (Vec<i32>, Vec<i32>) = cells.iter().copied().unzip();
        let data = RecordBatch::try_from_iter([
            ("by", Arc::new(Int32Array::from(by.clone())) as ArrayRef),
            ("of", Arc::new(Int32Array::from(of.clone())) as ArrayRef),
        ]).unwrap();
        let (flags, _) = found("[[clean]]\nop = 'dependency'\nby = ['by']\ncolumn = 'of'", &data);
        for (row, _, measured) in flags {
            let (by, of) = cells[row as usize];
            let group: Vec<i32> = cells.iter().filter(|cell| cell.0 == by).map(|cell| cell.1).collect();
            let share = |value: i32| group.iter().filter(|&&other| other == value).count() as f64 / group.len() as f64;
            prop_assert_eq!(measured, Some(share(of)));
            prop_assert!((0..3).any(|value| value != of && share(value) >= 0.5 && share(value) > share(of)));
        }
    }
}
