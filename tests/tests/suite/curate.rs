//! `arable curate`: every row has one fate, whatever the threads, and what was judged once is not judged again.

use crate::{ARABLE, datasets};
use arable_tests::{CLEAN, Data, Format, Ran, arable, arable_command};
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
        let ran = curate(&data, &data.folder.path().join("new"), CLEAN, &["--engine", engine, "--scheduler", "df://x"]);
        assert_eq!(ran.status, 2);
        assert!(ran.err.contains(engine), "{}", ran.err);
    }
    let file = data.folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let (new, file) = (data.folder.path().join("new"), file.display().to_string());
    let folder = data.folder.path().display().to_string();
    for (out, more, what) in [
        (Path::new(&file), &[][..], "is a file"),
        (Path::new("s3://bucket/x"), &[], "is a URL"),
        (&new, &["--scheduler", "df://x"], "--scheduler is for"),
        (&new, &["--verdicts", &folder], "that is a folder"),
        (&new, &["--verdicts", &format!("{folder}/nowhere/v.jsonl")], "its folder does not exist"),
        (&new, &["--cache", &file], "is a file"),
        (&new, &["--threads", "0"], "`threads` = 0"),
    ] {
        let ran = curate(&data, out, CLEAN, more);
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.err.contains(what), "{}", ran.err);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(!Path::new("s3:").exists());
}

/// What a folder holds beside its cache, by name.
fn contents(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_run_that_was_killed_is_taken_up_where_it_was_and_leaves_nothing_behind() {
    let data = Data::new(Format::Parquet, 4, 3_000, 40);
    let (whole, out) = (data.folder.path().join("whole"), data.folder.path().join("out"));
    let first = curate(&data, &whole, CLEAN, &[]).json();
    let recipe = data.recipe("seed = 3", CLEAN);
    let cache = out.join("_verdict_cache");
    // Whole entries bear the name of a hash; what is still being written has one of its own until then.
    let whole_entry = |name: &str| {
        name.strip_suffix(".verdicts")
            .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let cached = || {
        let folders = fs::read_dir(&cache).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.filter(|file| whole_entry(&file.file_name().to_string_lossy())).count() as u64
    };
    // Killed once some verdicts are known; a run that was faster than that is one that had its time.
    let arguments = ["curate", &recipe.display().to_string(), "--out", &out.display().to_string(), "--quiet"];
    let mut child = arable_command(ARABLE).args(arguments).spawn().unwrap();
    while cached() < 3 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let known = cached();
    assert!(known >= 3);
    // What another run of that kind would have left.
    fs::create_dir_all(out.join(".partial")).unwrap();
    fs::write(out.join(".partial/part-00099.parquet"), "half").unwrap();
    fs::write(out.join("._verdicts.jsonl.partial"), "a line of an earlier run, longer than").unwrap();

    let again = curate(&data, &out, CLEAN, &[]).json();
    assert!(again["reused_blocks"].as_u64().unwrap() >= known - 1, "a file may have been half written: {again}");
    assert_eq!(again["rows"], first["rows"]);
    assert_eq!(again["rules"], first["rules"]);
    let but_the_report = |out: &Path| {
        let mut files = contents(out);
        files.remove("_curated.json");
        files
    };
    assert!(but_the_report(&whole) == but_the_report(&out), "it is as if it had not been killed");
    assert!(!out.join(".partial").exists());
}

#[test]
fn only_what_changed_is_judged_again() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let out = data.folder.path().join("out");
    let first = curate(&data, &out, CLEAN, &[]).json();
    let before = contents(&out);
    let blocks = first["judged_blocks"].as_u64().unwrap();
    // One file of the three has the rows of another: its blocks are known as well. Then rows of its own.
    let (last, other) = (data.shard(2), Data::new(Format::Parquet, 3, 260, 40));
    let kept = fs::read(&last).unwrap();
    fs::copy(data.shard(0), &last).unwrap();
    let copied = curate(&data, &out, CLEAN, &[]).json();
    assert_eq!((copied["judged_blocks"].as_u64(), copied["reused_blocks"].as_u64()), (Some(0), Some(blocks)));
    assert!(copied["rows"]["kept"].as_u64() < first["rows"]["kept"].as_u64(), "its rows are duplicates now");
    fs::copy(other.shard(2), &last).unwrap();
    let changed = curate(&data, &out, CLEAN, &[]).json();
    let counts = (changed["judged_blocks"].as_u64().unwrap(), changed["reused_blocks"].as_u64().unwrap());
    assert_eq!(counts.1, blocks / 3 * 2, "{counts:?}");
    assert!(counts.0 > 0);
    fs::write(&last, kept).unwrap();
    let back = curate(&data, &out, CLEAN, &[]).json();
    assert_eq!(back["judged_blocks"].as_u64(), Some(0));
    assert_eq!(contents(&out)["_verdicts.jsonl"], before["_verdicts.jsonl"]);
    // Fewer files leave no part of an earlier curation.
    fs::remove_file(&last).unwrap();
    curate(&data, &out, CLEAN, &[]);
    assert_eq!(parts(&out).len(), 2);
}

#[test]
fn a_duplicate_names_its_twin_and_the_border_shows_what_was_judged() {
    let folder = tempfile::tempdir().unwrap();
    let text = |seed: usize| {
        (0..60)
            .map(|at| format!("word{}", "abcdefgh".repeat(1 + (seed * 7 + at * at) % 11)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let rows: Vec<String> = [1, 2, 1]
        .iter()
        .map(|&seed| format!("{{\"id\":\"a long name of a row, and no text\",\"text\":{:?}}}", text(seed)))
        .collect();
    fs::write(folder.path().join("a.jsonl"), rows.join("\n")).unwrap();
    let recipe = folder.path().join("r.toml");
    let clean =
        "[[clean]]\nop = 'length'\ncolumn = 'text'\nmin_words = 60\n[[clean]]\nop = 'near_duplicate'\ncolumn = 'text'";
    fs::write(&recipe, format!("[dataset]\nurl = '{}/a.jsonl'\n{clean}", folder.path().display())).unwrap();
    let out = folder.path().join("out");
    let arguments = ["curate", &recipe.display().to_string(), "--out", &out.display().to_string(), "--json", "--quiet"];
    let ran = arable(ARABLE, arguments);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines = lines(&out.join("_verdicts.jsonl"));
    let evidence = &lines[2]["evidence"][0];
    assert_eq!((&evidence["op"], &evidence["twin"]["row"]), (&"near_duplicate".into(), &0.into()), "{evidence}");
    let rules = ran.json()["rules"].clone();
    assert_eq!(rules[0]["op"], "length", "rules come in the recipe's order");
    assert!(rules[0]["passed"][0]["excerpt"].as_str().unwrap().starts_with("word"), "{rules}");
}

#[test]
fn operators_read_the_datasets_that_they_name_from_the_recipes_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, lines: &[&str]| {
        let lines: String = lines.iter().map(|text| format!("{{\"text\":{text:?}}}\n")).collect();
        fs::write(folder.path().join(name), lines).unwrap();
    };
    let asked = "one two three four five six seven eight nine ten eleven twelve thirteen";
    write("data.jsonl", &["a page about nothing much at all", &format!("it says {asked} and more"), "good words here"]);
    write("exam.jsonl", &[asked]);
    write("good.jsonl", &["good words here", "good words there"]);
    write("bad.jsonl", &["a page about nothing", "about nothing at all"]);
    let run = |clean: &str| {
        let recipe = folder.path().join("r.toml");
        fs::write(&recipe, format!("[dataset]\nurl = 'data.jsonl'\n[[clean]]\ncolumn = 'text'\n{clean}")).unwrap();
        let (recipe, out) = (recipe.display().to_string(), folder.path().join("out").display().to_string());
        let curated = arable(ARABLE, ["curate", &recipe, "--out", &out, "--json", "--quiet"]);
        (curated, arable(ARABLE, ["stream", &recipe, "--json", "--quiet"]))
    };
    let (curated, streamed) = run("op = 'decontaminate'\nsets = ['exam.jsonl']");
    assert_eq!(curated.status, 0, "{curated:?}");
    assert_eq!(curated.json()["rows"]["dropped"]["contaminated:exam"].as_u64(), Some(1));
    assert_eq!(streamed.json()["rows"]["kept"].as_u64(), Some(2), "the stream reads them as well");
    for op in ["op = 'dsir'\ntarget = 'good.jsonl'", "op = 'quality'\ngood = 'good.jsonl'\nbad = 'bad.jsonl'"] {
        let (curated, streamed) = run(op);
        assert_eq!((curated.status, streamed.status), (0, 0), "{curated:?} {streamed:?}");
        assert_eq!(curated.json()["rows"]["read"].as_u64(), Some(3));
    }
    let (curated, _) = run("op = 'decontaminate'\nsets = ['nowhere.jsonl']");
    assert_eq!(curated.status, 2, "{curated:?}");
    assert!(curated.err.contains("nowhere.jsonl"), "{}", curated.err);
}

#[test]
fn filters_say_how_often_they_err_and_rules_come_as_they_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let word = |number: usize| -> String {
        (0..4).map(|place| char::from(b'a' + ((number >> (4 * place)) % 16) as u8)).collect()
    };
    let rows = (0..400).map(|row| {
        let text: Vec<String> = (0..30).map(|at| word((31 * row + at) * 7919)).collect();
        format!("{{\"text\":\"{}\"}}\n", text.join(" "))
    });
    fs::write(folder.path().join("a.jsonl"), rows.collect::<String>()).unwrap();
    let recipe = folder.path().join("r.toml");
    let clean = "[[clean]]\nop = 'gopher_quality'\ncolumn = 'text'\naction = 'annotate'\n[[clean]]\nop = \
                 'near_duplicate'\ncolumn = 'text'\nindex = 'bloom'\nmemory = '16KiB'\n[[clean]]\nop = \
                 'paragraph_duplicate'\ncolumn = 'text'\nmemory = '64KiB'";
    fs::write(&recipe, format!("[dataset]\nurl = '{}/a.jsonl'\n{clean}", folder.path().display())).unwrap();
    let (recipe, out) = (recipe.display().to_string(), folder.path().join("out").display().to_string());
    let said =
        |ran: &Ran| ran.out.contains("near_duplicate takes 0.") && ran.out.contains("paragraph_duplicate takes ");
    let curated = arable(ARABLE, ["curate", &recipe, "--out", &out]);
    assert!(said(&curated), "{}", curated.out);
    let streamed = arable(ARABLE, ["stream", &recipe]);
    assert!(said(&streamed), "{}", streamed.out);
    let curated = arable(ARABLE, ["curate", &recipe, "--out", &out, "--json"]);
    let streamed = arable(ARABLE, ["stream", &recipe, "--json"]);
    for ran in [&curated, &streamed] {
        assert_eq!(ran.status, 0, "{ran:?}");
        let estimates = ran.json()["false_positives"].clone();
        for (at, (op, most)) in [("near_duplicate", 0.0012), ("paragraph_duplicate", 0.01)].into_iter().enumerate() {
            let chance = estimates[at]["chance"].as_f64().unwrap();
            assert!(estimates[at]["op"] == op && chance > 0.0 && chance < most, "{estimates}");
        }
    }
    let rules = curated.json()["rules"].clone();
    let reasons: Vec<&str> = rules.as_array().unwrap().iter().filter_map(|rule| rule["reason"].as_str()).collect();
    let applied = [
        "gopher_short_doc",
        "gopher_long_doc",
        "gopher_below_avg_threshold",
        "gopher_above_avg_threshold",
        "gopher_too_many_hashes",
        "gopher_too_many_ellipsis",
        "gopher_too_many_bullets",
        "gopher_too_many_end_ellipsis",
        "gopher_below_alpha_threshold",
        "gopher_enough_stop_words",
        "near_duplicate",
    ];
    let order: Vec<_> = reasons.iter().map(|reason| applied.iter().position(|other| other == reason)).collect();
    assert!(reasons.len() > 5 && order.is_sorted() && order.iter().all(Option::is_some), "{reasons:?}");
}

#[test]
fn the_verdict_cache_keeps_within_its_limit() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let out = data.folder.path().join("out");
    let bytes = || -> u64 {
        let folders = fs::read_dir(out.join("_verdict_cache")).unwrap().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    let first = curate(&data, &out, CLEAN, &[]).json();
    let (all, blocks) = (bytes(), first["judged_blocks"].as_u64().unwrap());
    let limit = (all / 2).to_string();
    let again = curate(&data, &out, CLEAN, &["--cache-limit", &limit]).json();
    assert_eq!(again["reused_blocks"].as_u64(), Some(blocks), "it is brought within its limit after the run");
    assert!(bytes() <= all / 2 && bytes() > all / 4, "{} of {all}", bytes());
    let third = curate(&data, &out, CLEAN, &["--cache-limit", "0"]).json();
    let reused = third["reused_blocks"].as_u64().unwrap();
    assert!(reused > 0 && reused < blocks, "{reused} of {blocks}");
    assert_eq!((third["rows"].clone(), bytes()), (first["rows"].clone(), 0));
    let ran = curate(&data, &out, CLEAN, &["--cache-limit", "much"]);
    assert!(ran.status == 2 && ran.err.contains("much"), "{ran:?}");
}
