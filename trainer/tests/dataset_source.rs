//! A burn dataset as the source of a stream: its items, once each, and what it is held to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arable_loader::{
    Error, Recipe, Stream,
    arrow::{
        array::AsArray,
        datatypes::{DataType, Int64Type},
    },
    recipe::OnBad,
    source::{Source, broken_promises},
};
use arable_trainer::{CuratedDataLoader, DatasetOptions, DatasetSource};
use burn::{
    data::{
        dataloader::{DataLoader, batcher::Batcher},
        dataset::{Dataset, DatasetError, InMemDataset},
    },
    tensor::Device,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Odd,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    text: String,
    pixels: [[f32; 3]; 2],
    tokens: Vec<i32>,
    note: Option<String>,
    kind: Kind,
}

fn item(id: i64) -> Item {
    Item {
        id,
        text: format!("text {id}"),
        pixels: [[id as f32, 0.5, 1.0], [-1.0, 0.0, id as f32]],
        tokens: (0..(id % 4) as i32).collect(),
        note: (id % 3 == 0).then(|| "a note".to_owned()),
        kind: if id % 2 == 0 { Kind::Plain } else { Kind::Odd },
    }
}

fn items(count: i64) -> InMemDataset<Item> {
    InMemDataset::new((0..count).map(item).collect())
}

fn blocks_of(rows: u32) -> DatasetOptions {
    DatasetOptions { block_rows: Some(rows), schema: None }
}

fn recipe() -> Recipe {
    Recipe::new("items").batch_size(8).epochs(2).window(3)
}

fn over(source: impl Source + 'static) -> Stream {
    Stream::builder(recipe()).source(Arc::new(source)).open().unwrap()
}

fn ids(stream: impl Iterator<Item = arable_loader::Result<arable_loader::Batch>>) -> Vec<(u64, Vec<i64>, String)> {
    let line = |batch: arable_loader::Batch| {
        let ids = batch.data.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
        (batch.number, ids, batch.hash().unwrap().to_string())
    };
    stream.map(|batch| line(batch.unwrap())).collect()
}

/// Items of which some cannot be had, and which can be told to change.
struct Faulty {
    changed: Arc<AtomicBool>,
}

impl Dataset<Item> for Faulty {
    fn get(&self, index: usize) -> Result<Item, DatasetError> {
        match index {
            5 => Err(DatasetError::new(std::io::Error::other("the disk says no"))),
            17 => panic!("a bug in item 17"),
            18 if self.changed.load(Ordering::Relaxed) => Ok(item(1_000)),
            _ => Ok(item(index as i64)),
        }
    }

    fn len(&self) -> usize {
        30
    }
}

fn faulty() -> (DatasetSource<Item, Faulty>, Arc<AtomicBool>) {
    let changed = Arc::new(AtomicBool::new(false));
    let dataset = Faulty { changed: Arc::clone(&changed) };
    (DatasetSource::with_options("faulty", dataset, &blocks_of(8)).unwrap(), changed)
}

#[test]
fn it_keeps_every_promise_of_a_source() {
    for rows in [1, 7, 64] {
        let source = DatasetSource::with_options("items", items(50), &blocks_of(rows)).unwrap();
        assert_eq!(broken_promises(&source), [""; 0]);
    }
    assert_eq!(broken_promises(&DatasetSource::new("none", items(0)).unwrap()), [""; 0]);
    assert_eq!(broken_promises(&faulty().0), [""; 0]);
}

#[test]
fn every_item_comes_once_an_epoch_and_arrays_are_lists_of_fixed_length() {
    let source = DatasetSource::with_options("items", items(100), &blocks_of(9)).unwrap();
    let types: Vec<&DataType> = source.plan().schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!((types[0], types[1]), (&DataType::Int64, &DataType::Utf8));
    let DataType::FixedSizeList(row, 2) = types[2] else { panic!("{}", types[2]) };
    assert!(matches!(row.data_type(), DataType::FixedSizeList(pixel, 3) if *pixel.data_type() == DataType::Float32));
    let walked = ids(over(source));
    for epoch in walked.chunks(13) {
        let mut seen: Vec<i64> = epoch.iter().flat_map(|line| line.1.clone()).collect();
        assert_ne!(seen, (0..100).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
    assert_eq!(walked.len(), 26);
}

#[test]
fn a_batcher_gets_the_items_back() {
    struct AsTheyAre;
    impl Batcher<Item, Vec<Item>> for AsTheyAre {
        fn batch(&self, items: Vec<Item>, _: &Device) -> Vec<Item> {
            items
        }
    }
    let loader = CuratedDataLoader::new(over(DatasetSource::new("items", items(40)).unwrap()), AsTheyAre);
    let mut back: Vec<Item> = loader.iter().flat_map(|batch| (*batch.unwrap()).clone()).collect();
    back.sort_by_key(|item| item.id);
    assert_eq!(back, (0..40).map(item).collect::<Vec<_>>());
}

#[test]
fn a_run_goes_on_over_the_same_identity_and_over_no_other() {
    let source = |identity: &str, count| DatasetSource::with_options(identity, items(count), &blocks_of(9)).unwrap();
    let whole = ids(over(source("items", 100)));
    for after in [0, 1, 6, 13, 20] {
        let mut stream = over(source("items", 100));
        assert_eq!(stream.by_ref().take(after).count(), after);
        let state = stream.state().unwrap();
        let resumed = Stream::builder(recipe()).source(Arc::new(source("items", 100))).resume(state.clone()).open();
        assert_eq!(ids(resumed.unwrap()), whole[after..]);
        for other in [source("other items", 100), source("items", 99)] {
            let refused = Stream::builder(recipe()).source(Arc::new(other)).resume(state.clone()).open();
            assert!(matches!(refused, Err(Error::State(_))));
        }
    }
}

#[test]
fn an_item_that_cannot_be_had_is_a_bad_row_with_its_place() {
    let fault = over(faulty().0).find_map(Result::err).unwrap().to_string();
    assert!(fault.contains("`faulty`") && fault.contains("item "), "{fault}");
    assert!(fault.contains("the disk says no") || fault.contains("a bug in item 17"), "{fault}");
    assert!(fault.contains("on_bad_row"), "{fault}");

    let lenient = recipe().on_bad_row(OnBad::Quarantine);
    let mut stream = Stream::builder(lenient).source(Arc::new(faulty().0)).open().unwrap();
    let walked = ids(stream.by_ref());
    assert_eq!(walked.iter().map(|line| line.1.len()).sum::<usize>(), 2 * 28);
    let account = stream.account();
    assert_eq!((account.read, account.kept, account.quarantined), (30, 28, 2));
}

#[test]
fn items_that_change_between_two_readings_are_never_trained_on() {
    let (source, changed) = faulty();
    // Nothing stays in memory, so that the second epoch reads again.
    let lenient = recipe().on_bad_row(OnBad::Quarantine).memory(arable_loader::recipe::ByteSize::mib(16));
    let source = Arc::new(source);
    let expected: Vec<_> = (0..4)
        .map(|block| source.read(arable_loader::source::Request { block, rows: None, expected: &[] }).unwrap().hashes)
        .collect();
    changed.store(true, Ordering::Relaxed);
    for (block, expected) in (0..).zip(&expected) {
        let read = source.read(arable_loader::source::Request { block, rows: None, expected });
        match read {
            Ok(_) => assert_ne!(block, 2),
            Err(Error::Data { place, what }) => {
                assert_eq!((block, place.block), (2, Some(2)));
                assert!(what.contains("transform"), "{what}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    // A state remembers what was read, so a later process finds it out too.
    changed.store(false, Ordering::Relaxed);
    let mut stream = Stream::builder(lenient.clone()).source(Arc::clone(&source) as Arc<dyn Source>).open().unwrap();
    assert_eq!(stream.by_ref().take(4).count(), 4);
    let state = stream.state().unwrap();
    drop(stream);
    changed.store(true, Ordering::Relaxed);
    let resumed = Stream::builder(lenient).source(source).resume(state).open().unwrap();
    let fault = resumed.filter_map(Result::err).next().unwrap().to_string();
    assert!(fault.contains("block 2") && fault.contains("first reading"), "{fault}");
}

#[test]
fn what_cannot_become_a_source_is_refused_with_advice() {
    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Loose {
        either: Either,
    }
    let says = |result: arable_loader::Result<String>, parts: &[&str]| {
        let error = result.unwrap_err();
        assert!(error.is_usage(), "{error}");
        parts.iter().for_each(|part| assert!(error.to_string().contains(part), "{error}"));
    };
    let opened = |source: arable_loader::Result<DatasetSource<Item, InMemDataset<Item>>>| source.map(|_| String::new());
    says(opened(DatasetSource::new(" ", items(3))), &["identity"]);
    says(opened(DatasetSource::with_options("items", items(3), &blocks_of(0))), &["block_rows"]);
    let loose =
        InMemDataset::new(vec![Loose { either: Either::Number(1) }, Loose { either: Either::Text("a".into()) }]);
    says(DatasetSource::new("loose", loose).map(|_| String::new()), &["loose", "schema", "DatasetOptions"]);
    let named =
        Stream::builder(recipe().columns(["id"])).source(Arc::new(DatasetSource::new("items", items(3)).unwrap()));
    says(named.open().map(|_| String::new()), &["columns", "id", "text"]);
    let fault = over(DatasetSource::new("none", items(0)).unwrap()).next();
    assert!(fault.is_none(), "a stream over no item is at its end");
}
