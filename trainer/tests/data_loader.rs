//! The stream as burn's data loader: virtual epochs, progress, the cursor, and what it refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arable_loader::{
    Position,
    arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch},
    recipe::Part,
    sample::block_order,
};
use arable_trainer::{
    BoxError, Curated, CuratedDataLoader, Error, EvaluationDataLoader, PlainDataLoader, Signals, columns,
};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, DataLoaderIterator, batcher::Batcher},
        dataset::{DatasetError, InMemDataset},
    },
    tensor::{Device, Tensor},
};
use support::{Memory, recipe};

/// Row i holds x = i and y = −i.
fn data(rows: i32) -> RecordBatch {
    let x: ArrayRef = Arc::new(Float32Array::from_iter_values((0..rows).map(|i| i as f32)));
    let y: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|i| -i)));
    RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap()
}

/// x of each row, from Arrow.
fn xs(data: &RecordBatch, device: &Device) -> Result<Vec<f32>, BoxError> {
    Ok(columns::floats::<1>(data, "x", device)?.try_into_vec_as()?)
}

/// `rows` rows in batches of 4, over three epochs.
fn loader(rows: i32) -> CuratedDataLoader<Vec<f32>> {
    CuratedDataLoader::from_arrow(Memory::new(data(rows)).stream(4, 3), xs)
}

/// Settles `batch` with losses of 1.
fn settle<O>(batch: &Curated<O>) {
    let _loss = batch.settle(Tensor::ones([batch.positions().len()], &Device::default()), Signals::none());
}

/// The rows that the loader's stream has a signal of, in order, and how often it had one.
fn seen<O: 'static>(loader: &CuratedDataLoader<O>) -> Vec<(Position, u16)> {
    let values = loader.with_stream(|stream| stream.values()).unwrap();
    let rows = values.iter().map(|(position, row)| (position, row.presentations()));
    rows.filter(|&(_, presentations)| presentations > 0).collect()
}

/// Until the end, as (numbers of batches, the error that ended it).
fn walk<O>(mut iterator: Box<dyn DataLoaderIterator<Curated<O>> + '_>) -> (Vec<u64>, Option<DatasetError>) {
    let mut numbers = Vec::new();
    for item in iterator.by_ref() {
        match item {
            Ok(batch) => numbers.push(batch.number()),
            Err(error) => {
                assert!(iterator.next().is_none(), "an iterator ends with its error");
                return (numbers, Some(error));
            }
        }
    }
    (numbers, None)
}

/// The trainer's own error inside burn's.
fn ours(error: &Option<DatasetError>) -> &Error {
    let error = error.as_ref().expect("an error");
    error.source().and_then(|source| source.downcast_ref()).expect("an error of the trainer")
}

#[test]
fn one_iter_is_one_virtual_epoch_and_the_last_batch_completes_its_progress() {
    let loader = loader(10);
    assert_eq!((loader.num_items(), loader.num_epochs()), (12, 3));
    for epoch in 0..3 {
        let mut iterator = loader.iter();
        assert_eq!((iterator.progress().items_processed, iterator.progress().items_total), (0, 12));
        let mut rows = Vec::new();
        for done in 1..=3 {
            let batch = iterator.next().unwrap().unwrap();
            assert_eq!((batch.number(), batch.epoch()), (3 * epoch + done - 1, epoch as u32));
            assert_eq!(iterator.progress().items_processed, 4 * done as usize);
            assert_eq!(iterator.progress().is_completed(), done == 3);
            assert_eq!(batch.positions().len(), batch.len());
            rows.extend(batch.into_inner());
        }
        assert!(iterator.next().is_none());
        assert!(iterator.progress().is_completed());
        rows.sort_by(f32::total_cmp);
        assert_eq!(rows, (0..10).map(|i| i as f32).collect::<Vec<_>>());
    }
}

#[test]
fn virtual_epochs_count_batches_and_need_not_be_data_epochs() {
    // Three batches a data epoch, the last of two rows; nine in all, which are five virtual epochs of two.
    let stream = Memory::new(data(10)).builder(recipe(4, 3).epoch_batches(2)).open().unwrap();
    let loader = CuratedDataLoader::from_arrow(stream, xs);
    assert_eq!((loader.num_items(), loader.num_epochs()), (8, 5));
    let mut batches = Vec::new();
    for _ in 0..5 {
        let mut iterator = loader.iter();
        for batch in iterator.by_ref() {
            let batch = batch.unwrap();
            batches.push((batch.number(), batch.epoch(), batch.len()));
        }
        assert!(iterator.progress().is_completed());
    }
    let expected: Vec<_> = (0..10).map(|n| (n, n as u32 / 3, if n % 3 == 2 { 2 } else { 4 })).collect();
    assert_eq!(batches, expected);
    assert!(matches!(ours(&walk(loader.iter()).1), Error::Exhausted { epochs: 5, epoch_batches: 2 }));
}

#[test]
fn a_rank_has_its_own_batches_and_its_own_virtual_epochs() {
    let mut all = Vec::new();
    for rank in 0..2 {
        let stream = Memory::new(data(28)).builder(recipe(4, 2).rank(rank, 2)).open().unwrap();
        let loader = CuratedDataLoader::from_arrow(stream, xs);
        assert_eq!((loader.num_items(), loader.num_epochs()), (16, 2));
        // An iterator that is dropped keeps the cursor here too.
        let first = loader.iter().next().unwrap().unwrap().number();
        let mut numbers = vec![first];
        for _ in 0..2 {
            let (more, error) = walk(loader.iter());
            assert!(error.is_none());
            numbers.extend(more);
        }
        assert!(walk(loader.iter()).1.is_some());
        assert!(numbers.iter().all(|number| number % 2 == u64::from(rank)));
        all.extend(numbers);
    }
    all.sort_unstable();
    assert_eq!(all, (0..16).collect::<Vec<_>>());
}

#[test]
fn an_iterator_dropped_early_leaves_the_rest_of_its_epoch_to_the_next() {
    let loader = loader(16).into_arc();
    let mut first = loader.iter();
    assert_eq!(first.next().unwrap().unwrap().number(), 0);
    drop(first);

    let mut second = loader.iter();
    assert_eq!((second.progress().items_processed, second.progress().items_total), (4, 16));
    let numbers: Vec<_> = second.by_ref().map(|batch| batch.unwrap().number()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(second.progress().is_completed());
    drop(second);
    assert_eq!(walk(loader.iter()).0, [4, 5, 6, 7]);
}

#[test]
fn an_iterator_dropped_after_its_last_batch_has_no_rest() {
    let loader = loader(8);
    let mut first = loader.iter();
    assert!(first.next().unwrap().is_ok() && first.next().unwrap().is_ok());
    drop(first);
    assert_eq!(walk(loader.iter()).0, [2, 3]);
}

#[test]
fn one_iter_more_than_the_run_has_is_an_error_and_stays_one() {
    let loader = loader(8);
    for _ in 0..3 {
        assert!(walk(loader.iter()).1.is_none());
    }
    for _ in 0..2 {
        let (numbers, error) = walk(loader.iter());
        assert!(numbers.is_empty());
        assert!(matches!(ours(&error), Error::Exhausted { epochs: 3, epoch_batches: 2 }));
    }
}

#[test]
fn two_iterators_at_once_are_refused_and_the_first_goes_on() {
    let loader = loader(12);
    let other = loader.to_device(&Device::default());
    let mut first = loader.iter();
    assert_eq!(first.next().unwrap().unwrap().number(), 0);
    assert!(matches!(ours(&walk(other.iter()).1), Error::Busy));
    assert_eq!(first.by_ref().map(|batch| batch.unwrap().number()).collect::<Vec<_>>(), [1, 2]);
    // It is at its end, so it may stay alive.
    assert_eq!(walk(other.iter()).0, [3, 4, 5]);
    drop(first);
}

#[test]
fn what_to_device_gives_shares_the_cursor_and_makes_batches_there() {
    let loader = loader(12);
    drop(loader.iter().next());
    let device = Device::default().autodiff();
    let moved = loader.to_device(&device);
    let batch = moved.iter().next().unwrap().unwrap();
    assert_eq!(batch.number(), 1);
    assert!(batch.weights().is_autodiff() && !batch.weights().is_require_grad());
}

#[test]
fn slices_are_devices_shares_of_the_batches_and_make_up_the_whole() {
    // Five batches a virtual epoch, which two and three devices do not divide.
    for ranks in [2_usize, 3] {
        let (one, several) = (loader(20), loader(20));
        let slots = several.num_items();
        let step = slots / ranks;
        let end = |rank| if rank + 1 == ranks { slots } else { (rank + 1) * step };
        let parts: Vec<_> =
            (0..ranks).map(|rank| several.slice(rank * step, end(rank)).to_device(&Device::default())).collect();
        for _ in 0..3 {
            let mut batches = Vec::new();
            let mut iterators: Vec<_> = parts.iter().map(|part| part.iter()).collect();
            let rounds = 5_usize.div_ceil(ranks);
            for round in 1..=rounds {
                for iterator in &mut iterators {
                    let batch = iterator.next().unwrap().unwrap();
                    assert_eq!(iterator.progress().is_completed(), round == rounds);
                    if batch.is_padding() {
                        assert!(batch.weights().try_into_vec_as::<f32>().unwrap().iter().all(|w| *w == 0.0));
                    } else {
                        batches.push((batch.number(), batch.positions().to_vec()));
                    }
                    settle(&batch);
                }
            }
            assert!(iterators.iter_mut().all(|iterator| iterator.next().is_none()));
            batches.sort_by_key(|(number, _)| *number);
            let wanted: Vec<_> = one
                .iter()
                .map(|batch| batch.unwrap())
                .map(|batch| {
                    settle(&batch);
                    (batch.number(), batch.positions().to_vec())
                })
                .collect();
            assert_eq!(batches, wanted);
        }
        several.drain();
        one.drain();
        assert_eq!(seen(&several), seen(&one), "what fills up is never reported");
        assert!(matches!(*ours(&walk(parts[0].iter()).1), Error::Exhausted { .. }));
    }
}

#[test]
fn what_is_no_devices_share_cannot_be_sliced_off() {
    let loader = loader(12);
    assert_eq!(walk(loader.slice(0, 12).iter()).0, [0, 1, 2]);
    for (start, end) in [(1, 6), (0, 13), (5, 5)] {
        let part = loader.slice(start, end);
        assert_eq!(part.num_items(), end - start);
        let error = walk(part.to_device(&Device::default()).iter()).1;
        assert!(matches!(*ours(&error), Error::Slice { start: s, end: e, slots: 12 } if (s, e) == (start, end)));
    }
    // A part of a part is none.
    assert!(walk(loader.slice(0, 6).slice(0, 12).iter()).1.is_some());
    assert_eq!(walk(loader.iter()).0, [3, 4, 5]);
}

#[derive(serde::Deserialize)]
struct Row {
    y: i64,
    x: f64,
}

struct Sums;

impl Batcher<Row, Vec<f64>> for Sums {
    fn batch(&self, items: Vec<Row>, _device: &Device) -> Vec<f64> {
        items.into_iter().map(|row| row.x + 2.0 * row.y as f64).collect()
    }
}

#[derive(Debug, serde::Deserialize)]
struct Other {
    #[expect(dead_code, reason = "only its absence from the stream matters")]
    z: f32,
}

struct Others;

impl Batcher<Other, usize> for Others {
    fn batch(&self, items: Vec<Other>, _device: &Device) -> usize {
        items.len()
    }
}

#[test]
fn a_burn_batcher_gets_rows_by_field_name() {
    let loader = CuratedDataLoader::new(Memory::new(data(4)).stream(4, 1), Sums);
    let batch = loader.iter().next().unwrap().unwrap();
    assert_eq!(batch.positions().len(), 4);
    let expected: Vec<_> = batch.positions().iter().map(|position| -f64::from(position.row)).collect();
    assert_eq!(*batch, expected);
}

#[test]
fn rows_that_do_not_fit_the_item_are_an_error_that_names_both() {
    let loader = CuratedDataLoader::new(Memory::new(data(4)).stream(4, 1), Others);
    let error = walk(loader.iter()).1.unwrap();
    let message = error.to_string();
    assert!(message.contains("batch 0") && message.contains("Other") && message.contains('z'), "{message}");
}

#[test]
fn a_batch_that_could_not_be_made_is_no_signal_and_holds_up_no_other() {
    let made = AtomicBool::new(false);
    let once = move |data: &RecordBatch, device: &Device| {
        if made.swap(true, Ordering::Relaxed) { xs(data, device) } else { Err("not yet".into()) }
    };
    let loader = CuratedDataLoader::from_arrow(Memory::new(data(8)).stream(4, 1), once);
    let error = walk(loader.iter()).1;
    assert!(matches!(ours(&error), Error::Batcher { batch: 0, .. }));

    let second = loader.iter().next().unwrap().unwrap();
    assert_eq!(second.number(), 1);
    settle(&second);
    let mut expected: Vec<_> = second.positions().iter().map(|&position| (position, 1)).collect();
    expected.sort_unstable();
    assert_eq!(seen(&loader), expected);
}

#[test]
fn an_error_of_the_stream_keeps_its_sources() {
    // One block a batch and a window.
    let recipe = recipe(4, 1).window(1);
    let broken = block_order(recipe.seed, 0, 0, 3)[1];
    let stream = Memory::in_blocks(data(12), 4).broken_at(broken).builder(recipe).open().unwrap();
    let loader = CuratedDataLoader::from_arrow(stream, xs);
    let (numbers, error) = walk(loader.iter());
    assert_eq!(numbers, [0]);
    let ours = ours(&error);
    assert!(matches!(ours, Error::Stream(arable_loader::Error::Data { .. })));
    assert!(ours.source().unwrap().is::<arable_loader::Error>());
    let message = error.as_ref().unwrap().to_string();
    assert!(message.contains(&format!("block {broken}")) && message.contains("it is broken"), "{message}");

    let (numbers, error) = walk(loader.iter());
    assert!(numbers.is_empty());
    assert!(matches!(self::ours(&error), Error::Ended { batch: 1, batches: 3 }));
}

#[test]
fn losses_that_are_not_one_a_slot_end_the_training_at_the_next_batch() {
    let loader = loader(12);
    let device = Device::default().autodiff();

    let mut iterator = loader.iter();
    let batch = iterator.next().unwrap().unwrap();
    let mean = Tensor::<1>::from_floats([3.0], &device).require_grad();
    let loss = batch.settle(mean.clone(), Signals::none());
    assert_eq!(loss.clone().into_scalar::<f32>(), 0.0);
    assert_eq!(mean.grad(&loss.backward()).unwrap().into_scalar::<f32>(), 0.0);
    let (numbers, error) = walk(iterator);
    assert!(numbers.is_empty());
    assert!(matches!(ours(&error), Error::Mismatch { batch: 0, what: "losses", found: 1, slots: 4 }));

    let mut iterator = loader.iter();
    let batch = iterator.next().unwrap().unwrap();
    let signals = Signals::classification(&Tensor::zeros([3, 2], &device), &Tensor::zeros([3], &device));
    assert_eq!(batch.settle(Tensor::ones([4], &device), signals).into_scalar::<f32>(), 0.0);
    assert!(matches!(ours(&walk(iterator).1), Error::Mismatch { batch: 1, what: "signals", found: 3, slots: 4 }));

    let mut iterator = loader.iter();
    let batch = iterator.next().unwrap().unwrap();
    assert_eq!(batch.number(), 2);
    assert!(seen(&loader).is_empty());
    settle(&batch);
    assert_eq!(seen(&loader).len(), 4, "what was wrong before holds nothing up");
}

struct Keep;

impl Batcher<f32, Vec<f32>> for Keep {
    fn batch(&self, items: Vec<f32>, _device: &Device) -> Vec<f32> {
        items
    }
}

#[test]
fn any_loader_of_burn_serves_as_a_plain_one() {
    let burns = DataLoaderBuilder::new(Keep).batch_size(2).build(InMemDataset::new(vec![1.0, 2.0, 3.0]));
    let loader = PlainDataLoader::new(burns).into_arc().to_device(&Device::default());
    assert_eq!(loader.num_items(), 3);
    for _ in 0..2 {
        let mut iterator = loader.iter();
        let mut items = Vec::new();
        for batch in iterator.by_ref() {
            let batch = batch.unwrap();
            assert!(batch.positions().is_empty());
            items.extend(batch.into_inner());
        }
        assert_eq!(items, [1.0, 2.0, 3.0]);
        assert!(iterator.progress().is_completed());
    }
    assert_eq!(loader.slice(1, 3).num_items(), 2);
}

/// A loader for validation over all rows of a stream of `source`, in batches of 4.
fn evaluation(source: Memory) -> EvaluationDataLoader<Vec<f32>> {
    EvaluationDataLoader::from_arrow(source.stream(4, 3).evaluation(Part::Train).unwrap(), xs)
}

#[test]
fn an_evaluation_gives_the_rows_of_its_part_in_order_at_each_pass() {
    let loader = evaluation(Memory::in_blocks(data(10), 3));
    assert_eq!(loader.num_items(), 10);
    for _ in 0..2 {
        let batches: Vec<Vec<f32>> = loader.iter().map(Result::unwrap).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(batches.concat(), (0..10).map(|x| x as f32).collect::<Vec<_>>());
    }
    let progress = |iterator: &dyn DataLoaderIterator<Vec<f32>>| {
        let progress = iterator.progress();
        (progress.items_processed, progress.items_total)
    };
    let mut iterator = loader.iter();
    assert_eq!(progress(&*iterator), (0, 10));
    iterator.next().unwrap().unwrap();
    assert_eq!(progress(&*iterator), (4, 10));
    assert_eq!(iterator.by_ref().count(), 2);
    assert!(iterator.next().is_none());
    assert_eq!(progress(&*iterator), (10, 10));
}

#[test]
fn slices_of_an_evaluation_are_its_rows_once_each() {
    let loader = evaluation(Memory::in_blocks(data(10), 3));
    let rows = |loader: &dyn DataLoader<Vec<f32>>| {
        loader.iter().flat_map(Result::unwrap).map(|x| x as usize).collect::<Vec<usize>>()
    };
    for cuts in [[0, 5, 10], [0, 1, 10], [0, 4, 10], [0, 0, 10]] {
        let parts: Vec<_> = cuts.windows(2).map(|cut| loader.slice(cut[0], cut[1])).collect();
        assert_eq!(parts.iter().map(|part| part.num_items()).sum::<usize>(), 10);
        assert_eq!(parts.iter().flat_map(|part| rows(&**part)).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }
    assert_eq!(rows(&*loader.slice(2, 9).slice(1, 3)), [3, 4]);
    assert_eq!(rows(&*loader.slice(7, 99)), [7, 8, 9]);
}

#[test]
fn an_evaluation_that_cannot_be_read_ends_with_its_error() {
    let loader = evaluation(Memory::in_blocks(data(8), 4).broken_at(1));
    let mut iterator = loader.iter();
    let error = iterator.find_map(Result::err).unwrap();
    assert!(matches!(error.source().and_then(|error| error.downcast_ref()), Some(Error::Stream(_))), "{error:?}");
    assert!(iterator.next().is_none());
}

#[test]
fn the_last_step_of_an_epoch_is_time_that_the_training_was_busy() {
    const STEP: Duration = Duration::from_millis(3);
    let stream = Memory::new(data(8)).builder(recipe(4, 2).epoch_batches(1)).open().unwrap();
    let loader = CuratedDataLoader::from_arrow(stream, xs);
    for _ in 0..4 {
        let mut iterator = loader.iter();
        settle(&iterator.next().unwrap().unwrap());
        let begun = Instant::now();
        while begun.elapsed() < STEP {}
        assert!(iterator.next().is_none());
        // Asking again adds nothing.
        assert!(iterator.next().is_none());
    }
    let pace = loader.pace();
    assert!(pace.step >= 4 * STEP && pace.step < 400 * STEP, "{pace:?}");
}

#[test]
fn data_without_a_row_say_so() {
    let loader = CuratedDataLoader::from_arrow(Memory::in_blocks(data(0), 4).stream(4, 1), xs);
    let error = walk(loader.iter()).1;
    assert!(matches!(ours(&error), Error::Empty { dataset } if dataset == "memory"), "{error:?}");
    let evaluation = EvaluationDataLoader::from_arrow(
        Memory::in_blocks(data(0), 4).stream(4, 3).evaluation(Part::Train).unwrap(),
        xs,
    );
    assert!(evaluation.iter().next().is_none());
}
