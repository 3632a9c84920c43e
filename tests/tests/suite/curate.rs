//! `arable curate`: every row has one fate, whatever the threads, and what was judged once is not judged again.

use crate::{ARABLE, datasets};
use arable_tests::{CLEAN, Data, Format, Ran, arable};
use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, UInt32Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn curate(data: &Data, out: &Path, rest: &str, more: &[&str]) -> Ran {
    let recipe = data.recipe("seed = 3", rest);
    let mut arguments = vec!["curate".to_owned(), recipe.display().to_string()];
    arguments.extend(["--out".to_owned(), out.display().to_string(), "--json".to_owned(), "--quiet".to_owned()]);
    arguments.extend(more.iter().map(ToString::to_string));
    arable(ARABLE, arguments)
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn parts(out: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.into_iter().collect()
}

fn rows(out: &Path) -> Vec<RecordBatch> {
    let read = |path: PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
        reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    parts(out).into_iter().flat_map(read).collect()
}

fn ids(out: &Path) -> Vec<i64> {
    let ids = |batch: RecordBatch| batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
    rows(out).into_iter().flat_map(ids).collect()
}

#[test]
fn rows_verdicts_and_counts_are_those_of_a_careful_person_in_plan_order() {
    for data in datasets() {
        let out = data.folder.path().join("clean");
        let verdicts = data.folder.path().join("verdicts.jsonl");
        let ran = curate(&data, &out, CLEAN, &["--verdicts", &verdicts.display().to_string()]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let (dropped, kept) = data.expect(0..data.rows.len() as i64);
        let written = ids(&out);
        assert!(written.is_sorted());
        assert_eq!(
            written.iter().copied().collect::<BTreeSet<_>>(),
            kept.iter().copied().collect(),
            "{:?}",
            data.format
        );

        let summary = &ran.json()["rows"];
        let counted: BTreeMap<String, u64> = serde_json::from_value(summary["dropped"].clone()).unwrap();
        assert_eq!(counted, dropped);
        assert_eq!(
            (summary["read"].as_u64(), summary["kept"].as_u64()),
            (Some(data.rows.len() as u64), Some(kept.len() as u64))
        );

        let lines = lines(&verdicts);
        assert_eq!(lines.len(), data.rows.len());
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        let mut contents = BTreeSet::new();
        for (line, row) in lines.iter().zip(&data.rows) {
            let keeps = line["verdict"] == "keep";
            assert_eq!(keeps, kept.contains(&row.id), "{line}");
            assert!(contents.insert(line["id"].as_str().unwrap().to_owned()), "rows differ, and so do their ids");
            if !keeps {
                *reasons.entry(line["evidence"][0]["reason"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        assert_eq!(reasons, dropped);
        for batch in rows(&out) {
            let place = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<UInt32Type>().values().to_vec();
            let ids = batch.column_by_name("_arable_id").unwrap().as_string::<i32>();
            for (at, (block, row)) in place("_arable_block").into_iter().zip(place("_arable_row")).enumerate() {
                let line = lines.iter().find(|line| line["block"] == block && line["row"] == row).unwrap();
                assert_eq!(line["id"].as_str(), Some(ids.value(at)));
            }
        }
    }
}

#[test]
fn threads_change_nothing_and_a_second_run_judges_nothing() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let folder = data.folder.path();
    let bytes = |out: &Path| {
        let files: Vec<Vec<u8>> = parts(out).iter().map(|path| fs::read(path).unwrap()).collect();
        (files, fs::read(out.join("_verdicts.jsonl")).unwrap())
    };
    let (one, many) = (folder.join("one"), folder.join("many"));
    let first = curate(&data, &one, CLEAN, &["--threads", "1"]).json();
    curate(&data, &many, CLEAN, &["--threads", "5"]);
    assert!(bytes(&one) == bytes(&many), "threads decide nothing");
    assert_eq!((first["judged_blocks"].as_u64(), first["reused_blocks"].as_u64()), (Some(21), Some(0)));

    let before = bytes(&one);
    let again = curate(&data, &one, CLEAN, &[]).json();
    assert_eq!((again["judged_blocks"].as_u64(), again["reused_blocks"].as_u64()), (Some(0), Some(21)));
    assert!(before == bytes(&one), "verdicts that are reused are those that were made");
    assert_eq!(again["rows"], first["rows"]);
    assert_eq!(again["rules"], first["rules"]);

    // Other operators have other verdicts; a damaged entry is no entry.
    let other = curate(&data, &one, &CLEAN.replace("max = 3", "max = 2"), &[]).json();
    assert_eq!(other["reused_blocks"].as_u64(), Some(0));
    for folder in fs::read_dir(one.join("_verdict_cache")).unwrap() {
        for entry in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }
    let mended = curate(&data, &one, CLEAN, &[]).json();
    assert_eq!(mended["judged_blocks"].as_u64(), Some(21));
    assert!(before == bytes(&one));
}

#[test]
fn the_rows_nearest_to_a_threshold_are_shown_and_a_lowered_weight_is_written() {
    let data = Data::new(Format::Jsonl, 2, 60, 0);
    let out = data.folder.path().join("out");
    let rest = "[[clean]]\nop = 'range'\ncolumn = 'score'\nmax = 10\naction = 'weigh'\nweigh_floor = 0.5";
    let ran = curate(&data, &out, rest, &[]).json();
    assert_eq!(ran["rows"]["kept"].as_u64(), Some(120));
    // Scores are id / 8.
    let rule = &ran["rules"][0];
    assert_eq!(rule["noted"].as_u64(), Some(39));
    assert_eq!(rule["caught"][0]["measured"].as_f64(), Some(10.125));
    for batch in rows(&out) {
        let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        let weights = batch.column_by_name("_arable_weight").unwrap();
        let weights = weights.as_primitive::<arrow::datatypes::Float32Type>();
        for (id, weight) in ids.values().iter().zip(weights.values()) {
            let score = *id as f64 / 8.0;
            let expected = if score > 10.0 { 0.5 + 0.5 * (10.0 / score) } else { 1.0 };
            assert!((f64::from(*weight) - expected).abs() < 1e-6, "{id}: {weight}");
        }
    }
}

#[test]
fn a_wrong_call_is_refused_and_nothing_of_others_is_touched() {
    let data = Data::new(Format::Csv, 1, 20, 0);
    let out = data.folder.path().join("mine");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "years").unwrap();
    let ran = curate(&data, &out, CLEAN, &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("`thesis.txt` and is no earlier curation"), "{}", ran.err);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    for engine in ["datafusion", "ballista", "spark"] {
        let ran = curate(&data, &data.folder.path().join("new"), CLEAN, &["--engine", engine]);
        assert_eq!(ran.status, 2);
        assert!(ran.err.contains(engine), "{}", ran.err);
    }
}
