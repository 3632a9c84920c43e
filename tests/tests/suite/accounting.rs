//! I1: rows read = kept + dropped (by reason) + quarantined, for every block, always.

use crate::{datasets, open};
use arable_loader::{
    Recipe, Stream,
    ledger::{self, Record},
};
use arable_tests::{CLEAN, Data, Format, walk_batch};
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
