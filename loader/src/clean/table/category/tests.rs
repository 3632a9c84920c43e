use super::super::found;
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use proptest::prelude::*;
use std::sync::Arc;

fn cities(odd: &[&str]) -> RecordBatch {
    let mut cities = vec!["birmingham"; 60];
    cities.extend(["montgomery"; 40]);
    cities.extend(odd);
    let cities: ArrayRef = Arc::new(StringArray::from_iter_values(cities));
    RecordBatch::try_from_iter([("city", cities)]).expect("a batch")
}

fn reasons(options: &str, odd: &[&str]) -> Vec<(u32, String)> {
    let recipe = format!("[[clean]]\nop = 'category'\ncolumn = 'city'\n{options}");
    found(&recipe, &cities(odd)).0.into_iter().map(|(row, reason, _)| (row - 100, reason)).collect()
}

#[test]
fn misspelt_levels_are_found_and_rare_ones_where_others_are_frequent() {
    let misspelt = |row| (row, "misspelt_level:city".to_owned());
    let rare = |row| (row, "rare_level:city".to_owned());
    assert_eq!(
        reasons("rare = 0.02", &["birminghxm", " Birmingham", "boaz", "montgomeri"]),
        [misspelt(0), misspelt(1), rare(2), misspelt(3)]
    );
    assert!(reasons("", &["boaz"]).is_empty(), "one row in a hundred is not rare by default");
    assert!(reasons("rare = 0.02\ncoverage = 1.0", &["boaz"]).is_empty(), "where any other level is rare, none is");
    assert!(reasons("ratio = 100.0", &["birminghxm"]).is_empty(), "not frequent enough to be sure");
}

#[test]
fn a_misspelt_level_is_repaired_where_asked_and_then_only_noted() {
    let recipe = "[[clean]]\nop = 'category'\ncolumn = 'city'\nrepair = true";
    let (flags, data) = found(recipe, &cities(&["birminghxm", "MONTGOMERY"]));
    assert_eq!(flags.len(), 2);
    assert_eq!(flags[0].2, Some(1.0 / 60.0), "its frequency beside that of the level which it means");
    let cities = data.column(0).as_string::<i32>();
    assert_eq!((cities.value(100), cities.value(101)), ("birmingham", "montgomery"));
}

proptest! {
    #[test]
    fn any_levels_can_be_judged(levels in prop::collection::vec(any::<String>(), 0..40)) {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(levels.iter().chain(&levels)));
        let data = RecordBatch::try_from_iter([("city", column)]).expect("a batch");
        let recipe = "[[clean]]\nop = 'category'\ncolumn = 'city'\nratio = 1.0\nrare = 1.0\ncoverage = 0.0";
        let (flags, _) = found(recipe, &data);
        prop_assert!(flags.iter().all(|(_, _, measured)| measured.is_some_and(|share| (0.0..=1.0).contains(&share))));
    }
}
