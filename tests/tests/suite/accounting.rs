//! I1: rows read = kept + dropped (by reason) + quarantined, for every block, always.

use crate::{ARABLE, datasets, open};
use arable_loader::{
    Recipe, Stream,
    ledger::{self, Record},
    stream::QUARANTINE,
};
use arable_tests::{CLEAN, Data, Format, arable, walk_batch};
use std::collections::HashSet;

/// The blocks of a recorded run, in the order in which they were visited, add up to what is known of the data.
#[test]
fn every_row_has_one_fate_and_the_counts_are_those_of_a_careful_person() {
    for data in datasets() {
        let run = data.folder.path().join("run");
        let recipe = data.recipe("seed = 3\nepochs = 2", &format!("{CLEAN}\n[stream]\nwindow = 3\n[batch]\nsize = 16"));
        let mut stream = Stream::builder(Recipe::from_toml_file(&recipe).unwrap()).record(&run).open().unwrap();
        let mut emitted = Vec::new();
        for batch in stream.by_ref() {
            emitted.push(walk_batch(&batch.unwrap()));
        }
        let account = stream.account();
        let plan = stream.plan().clone();
        drop(stream);

        // What the first pass visits, in its order, is what "earlier" means for duplicates.
        let verified = ledger::verify(&run.join("ledger.jsonl")).unwrap();
        let mut order = Vec::new();
        for record in &verified.records {
            if let Record::Block { block, account, .. } = record {
                assert!(account.balances(), "{record:?}");
                let first: u32 = plan.blocks[..*block as usize].iter().map(|block| block.rows).sum();
                assert_eq!(account.read, u64::from(plan.blocks[*block as usize].rows));
                order.extend((first..first + plan.blocks[*block as usize].rows).map(i64::from));
            }
        }
        assert_eq!(order.len(), data.rows.len(), "every block was visited once");
        let (dropped, kept) = data.expect(order);
        assert!(dropped.values().all(|&rows| rows > 0) && dropped.len() == 3, "the data hold every kind of dirt");
        assert_eq!(account, verified.account());
        assert_eq!(account.read, data.rows.len() as u64);
        assert_eq!(account.dropped, dropped);
        assert_eq!(account.kept, kept.len() as u64);
        assert_eq!(account.quarantined, 0);
        for epoch in 0..2 {
            let ids: Vec<i64> =
                emitted.iter().filter(|line| line.epoch == epoch).flat_map(|line| line.ids.clone()).collect();
            assert_eq!(ids.len(), kept.len(), "epoch {epoch} emits every kept row once");
            assert_eq!(ids.into_iter().collect::<HashSet<_>>(), kept);
        }
        let closed = Record::Closed { batches: emitted.len() as u64, trained: 2 * kept.len() as u64 };
        assert_eq!(verified.records.last(), Some(&closed));
    }
}

#[test]
fn lines_that_are_no_json_are_quarantined_and_counted_once() {
    let data = Data::new(Format::Jsonl, 2, 100, 0);
    let broken = ["{\"id\": 7,", "not json", "\u{0}", "{\"id\":1}}", &"[".repeat(100_000)];
    let mut text = std::fs::read_to_string(data.shard(1)).unwrap();
    broken.iter().for_each(|line| text += &format!("{line}\n"));
    std::fs::write(data.shard(1), text).unwrap();

    let recipe = data.recipe("epochs = 2", "[stream]\non_bad_row = \"quarantine\"");
    let mut stream = open(&recipe).unwrap();
    let rows: usize = stream.by_ref().map(|batch| batch.unwrap().len()).sum();
    let account = stream.account();
    assert_eq!(account.quarantined, broken.len() as u64);
    assert_eq!(account.read, 200 + broken.len() as u64);
    assert!(account.balances());
    assert_eq!(rows, 2 * 200);

    let recipe = data.recipe("", "");
    let error = open(&recipe).unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("part-01.jsonl") && error.contains("row 100") && error.contains("on_bad_row"), "{error}");
}

/// A run without end over data of which nothing is kept says so instead of searching for ever.
#[test]
fn a_training_on_data_of_which_nothing_is_kept_is_an_error() {
    let data = Data::new(Format::Parquet, 2, 60, 20);
    let nothing = "[[clean]]\nop = \"range\"\ncolumn = \"id\"\nmin = 1000000";
    let mut stream = open(&data.recipe("", nothing)).unwrap();
    assert!(stream.next().is_none(), "a run over one data epoch is at its end");
    assert_eq!(stream.account().dropped["out_of_range:id"], 120);
    let mut stream = open(&data.recipe("", nothing)).unwrap();
    stream.endless();
    let error = stream.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("0 of 120 rows are kept"), "{error}");

    // Rows are kept, but never enough for a batch that may not be left out.
    let few = Data::new(Format::Parquet, 1, 60, 20);
    let mut stream = open(&few.recipe("", "[batch]\nsize = 64\ndrop_last = true")).unwrap();
    stream.endless();
    let error = stream.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("60 of 60 rows are kept") && error.contains("drop_last"), "{error}");
}

/// The lines of a quarantine, as JSON.
fn set_aside(folder: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(QUARANTINE)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_that_are_set_aside_are_written_down_with_place_reason_and_bytes() {
    for (format, bad) in [
        (Format::Jsonl, [&b"{\"id\": 7,"[..], b"not json", b"\xff\xfe{}"]),
        (Format::Csv, [&b"1,2,3"[..], b"4,five", b"1,\xff,2,3,4,5"]),
    ] {
        let data = Data::new(format, 2, 100, 0);
        let mut bytes = std::fs::read(data.shard(1)).unwrap();
        bad.iter().for_each(|line| bytes.extend([line, &b"\n"[..]].concat()));
        std::fs::write(data.shard(1), bytes).unwrap();
        let lenient = "epochs = 2";
        let rest = "[batch]\nsize = 16\n[stream]\nwindow = 1\non_bad_row = \"quarantine\"";
        let recipe = data.recipe(lenient, rest).display().to_string();
        let file = |name: &str| data.folder.path().join(name);
        let text = |name: &str| file(name).display().to_string();
        let ran = arable(ARABLE, ["stream", &recipe, "--json", "--quarantine", &text("aside")]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let lines = set_aside(&file("aside"));
        assert_eq!(ran.json()["rows"]["quarantined"], lines.len());
        assert_eq!(lines.len(), bad.len(), "once each, however many epochs there are");
        for (row, (line, bytes)) in lines.iter().zip(bad).enumerate() {
            assert_eq!(
                (line["shard"].as_str().unwrap().starts_with("part-01"), line["block"].as_u64()),
                (true, Some(1))
            );
            assert_eq!((&line["row"], &line["rows"]), (&(100 + row).into(), &1.into()));
            assert_eq!(line["bytes"], bytes.len());
            assert!(!line["reason"].as_str().unwrap().is_empty());
            match std::str::from_utf8(bytes) {
                Ok(text) => assert_eq!(line["text"], text),
                Err(_) => assert!(line["hex"].as_str().unwrap().contains("ff"), "{line}"),
            }
        }
        // A folder is not written over, and a run that goes on from a state goes on in its own.
        assert_eq!(arable(ARABLE, ["stream", &recipe, "--quarantine", &text("aside")]).status, 2);
        for stop in ["1", "8", "13", "20"] {
            let folder = format!("stopped at {stop}");
            let walk = |arguments: &[&str]| {
                let head = ["stream", &recipe, "--quiet", "--quarantine", &text(&folder)];
                assert_eq!(arable(ARABLE, head.iter().chain(arguments)).status, 0);
            };
            walk(&["--stop-after", stop, "--save-state", &text("state")]);
            // Once further than the state, as a run is that was killed, and then from the state again.
            walk(&["--resume", &text("state"), "--stop-after", "3"]);
            walk(&["--resume", &text("state")]);
            assert_eq!(set_aside(&file(&folder)), lines, "{format:?}, stopped at {stop}");
        }
    }
}

#[test]
fn a_block_that_is_set_aside_is_written_down_with_its_rows() {
    for format in [Format::Parquet, Format::Arrow] {
        let data = Data::new(format, 2, 100, 25);
        let files = data.files().display().to_string();
        assert_eq!(arable(ARABLE, ["inspect", &files, "--write-manifest", "--quiet"]).status, 0);
        let mut bytes = std::fs::read(data.shard(1)).unwrap();
        bytes[if format == Format::Arrow { 2000 } else { 60 }] ^= 4;
        std::fs::write(data.shard(1), bytes).unwrap();
        let recipe = data.recipe("", "[stream]\non_bad_block = \"quarantine\"").display().to_string();
        let run = data.folder.path().join("run");
        let ran = arable(ARABLE, ["stream", &recipe, "--json", "--quiet", "--record", run.to_str().unwrap()]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let lines = set_aside(&run);
        assert_eq!(lines.len(), 1);
        assert_eq!((&lines[0]["row"], &lines[0]["rows"]), (&serde_json::Value::Null, &25.into()));
        assert_eq!(ran.json()["rows"]["quarantined"], 25);
        // A record batch lies in one piece; a row group does not.
        assert_eq!(lines[0]["hex"].is_string() || lines[0]["text"].is_string(), format == Format::Arrow);
    }
}
