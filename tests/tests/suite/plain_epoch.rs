//! I4: no cleaning, one domain, uniform policy is a plain shuffled epoch: every row exactly once.

use arable_loader::Recipe;
use arable_tests::{Data, Format, walk};
use proptest::prelude::*;

fn format() -> impl Strategy<Value = Format> {
    proptest::sample::select(&Format::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_is_emitted_exactly_once_with_weight_one(
        format in format(),
        shards in 1_usize..5,
        rows in 1_usize..120,
        group in 1_usize..50,
        window in 1_u32..9,
        batch in 1_u32..80,
        seed in 0_u64..1000,
    ) {
        let data = Data::new(format, shards, rows, group);
        let recipe = || Recipe::new(data.url()).seed(seed).epochs(2).batch_size(batch).window(window);
        let lines = walk(recipe().open().unwrap());
        let total = data.rows.len();
        prop_assert_eq!(lines.len(), 2 * total.div_ceil(batch as usize));
        prop_assert!(lines.iter().enumerate().all(|(number, line)| line.number == number as u64));
        prop_assert!(lines.iter().flat_map(|line| &line.weights).all(|&weight| weight == 1.0_f32.to_bits()));
        let mut orders = Vec::new();
        for epoch in 0..2 {
            let of_epoch: Vec<_> = lines.iter().filter(|line| line.epoch == epoch).collect();
            let (last, full) = of_epoch.split_last().unwrap();
            prop_assert!(full.iter().all(|line| line.ids.len() == batch as usize));
            prop_assert!((1..=batch as usize).contains(&last.ids.len()));
            let ids: Vec<i64> = of_epoch.iter().flat_map(|line| line.ids.clone()).collect();
            let mut sorted = ids.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..total as i64).collect::<Vec<_>>());
            orders.push(ids);
        }
        if total > 20 {
            prop_assert_ne!(&orders[0], &orders[1], "epochs differ");
            prop_assert_ne!(&orders[0], &(0..total as i64).collect::<Vec<_>>(), "rows are shuffled");
        }
        // Without the last, smaller batch, what is left is the same batches.
        let full = walk(recipe().drop_last(true).epochs(1).open().unwrap());
        let expected: Vec<_> = lines.into_iter().filter(|line| line.epoch == 0 && line.ids.len() == batch as usize).collect();
        prop_assert_eq!(full, expected);
    }
}

#[test]
fn the_bytes_are_those_of_the_files() {
    use arrow::{
        array::AsArray,
        datatypes::{Float32Type, Int32Type, Int64Type},
    };
    for format in Format::ALL {
        let data = Data::new(format, 2, 90, 25);
        for batch in Recipe::new(data.url()).batch_size(32).open().unwrap() {
            let batch = batch.unwrap().data;
            for row in 0..batch.num_rows() {
                let column = |name: &str| batch.column_by_name(name).unwrap();
                let id = column("id").as_primitive::<Int64Type>().value(row);
                let expected = &data.rows[id as usize];
                assert_eq!(column("text").as_string::<i32>().value(row), expected.text);
                let labels = column("label").as_primitive::<Int64Type>();
                assert_eq!(arrow::array::Array::is_valid(labels, row).then(|| labels.value(row)), expected.label);
                let score = match format {
                    Format::Parquet | Format::Arrow => column("score").as_primitive::<Float32Type>().value(row),
                    Format::Jsonl | Format::Csv => {
                        column("score").as_primitive::<arrow::datatypes::Float64Type>().value(row) as f32
                    }
                };
                assert_eq!(score, expected.score);
                if format == Format::Csv {
                    continue;
                }
                let tags = column("tags").as_list::<i32>().value(row);
                let tags: Vec<i32> = match format {
                    Format::Parquet | Format::Arrow => tags.as_primitive::<Int32Type>().values().to_vec(),
                    Format::Jsonl | Format::Csv => {
                        tags.as_primitive::<Int64Type>().values().iter().map(|&tag| tag as i32).collect()
                    }
                };
                assert_eq!(tags, expected.tags);
            }
        }
    }
}

#[test]
fn only_the_columns_asked_for_are_carried_in_their_order() {
    for format in Format::ALL {
        let data = Data::new(format, 2, 30, 10);
        let stream = Recipe::new(data.url()).columns(["score", "id"]).open().unwrap();
        let names: Vec<_> = stream.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["score", "id"]);
        assert_eq!(walk(stream).iter().map(|line| line.ids.len()).sum::<usize>(), 60);
    }
}

/// Rows that stand together in a file are far apart in the epoch, at its end as at its start.
#[test]
fn neighbours_are_torn_apart_at_the_end_of_an_epoch_as_at_its_start() {
    let data = Data::new(Format::Parquet, 8, 500, 50);
    let lines = walk(Recipe::new(data.url()).window(9).batch_size(50).open().unwrap());
    let ids: Vec<i64> = lines.into_iter().flat_map(|line| line.ids).collect();
    let adjacent = |ids: &[i64]| ids.windows(2).filter(|pair| (pair[0] - pair[1]).abs() == 1).count();
    // In a window of about 450 rows two neighbours meet with probability 2/450: 2 in 500 steps are expected.
    for part in ids.chunks(500) {
        assert!(adjacent(part) <= 10, "{} of 500 neighbours stayed together", adjacent(part));
    }
}
