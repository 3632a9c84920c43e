//! I2: the sequence of batches is equal for any number of threads, any prefetch, injected delays, and any ranks.

use crate::{ACTING, POLICIES, UNIFORM, datasets};
use arable_loader::{Batch, Recipe, Signal, Stream};
use arable_tests::{CLEAN, Data, Format, Line, signal, train, walk, walk_batch};
use std::{collections::VecDeque, time::Duration};

fn recipe(data: &Data, policy: &str) -> Recipe {
    let path = data.recipe(
        "seed = 11\nepochs = 3",
        &format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 4\n[batch]\nsize = 16"),
    );
    Recipe::from_toml_file(&path).unwrap()
}

/// A delay of up to 2 ms that differs from block to block and from run to run.
fn delayed(recipe: Recipe, run: u64) -> Stream {
    let delay = move |block: u32| {
        let micros = (u64::from(block) + 1) * 2_654_435_761 * (run + 1) % 2_000;
        std::thread::sleep(Duration::from_micros(micros));
    };
    Stream::builder(recipe).before_read(delay).open().unwrap()
}

#[test]
fn threads_prefetch_and_delays_change_nothing() {
    for data in datasets() {
        for policy in POLICIES {
            let expected = train(&mut recipe(&data, policy).threads(1).prefetch(1).open().unwrap(), usize::MAX);
            assert!(expected.len() > 60);
            assert_eq!(acts(&expected), ACTING.contains(&policy));
            for (run, (threads, prefetch)) in [(1, 15), (2, 4), (4, 1), (8, 15), (8, 3)].into_iter().enumerate() {
                let mut stream = delayed(recipe(&data, policy).threads(threads).prefetch(prefetch), run as u64);
                let lines = train(&mut stream, usize::MAX);
                assert_eq!(lines, expected, "{policy}, {threads} threads, prefetch {prefetch}");
            }
        }
    }
}

/// Reports may come late, from another thread, in any order: as long as they come, the draws are the same.
#[test]
fn the_timing_of_reports_changes_nothing() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    for policy in ACTING {
        let expected = train(&mut recipe(&data, policy).open().unwrap(), usize::MAX);
        assert!(acts(&expected));
        for hold in [1, 5, 11] {
            let mut held: VecDeque<Batch> = VecDeque::new();
            let mut lines: Vec<Line> = Vec::new();
            for batch in recipe(&data, policy).open().unwrap() {
                let batch = batch.unwrap();
                lines.push(walk_batch(&batch));
                held.push_back(batch);
                if held.len() > hold {
                    // The newest first: out of order, on a thread of their own.
                    let batches: Vec<Batch> = held.drain(..).rev().collect();
                    std::thread::spawn(move || batches.into_iter().for_each(report)).join().unwrap();
                }
            }
            held.into_iter().for_each(report);
            assert_eq!(lines, expected, "{policy}, reports held back for {hold} batches");
        }
    }
}

/// Whether a policy changed a weight.
fn acts(lines: &[Line]) -> bool {
    lines.iter().flat_map(|line| &line.weights).any(|&weight| weight != 1.0_f32.to_bits())
}

fn report(batch: Batch) {
    if batch.number % 23 != 22 {
        let signals: Vec<Signal> = batch.positions.iter().map(|&position| signal(batch.number, position)).collect();
        batch.receipt.report(&signals).unwrap();
    }
}

#[test]
fn the_batches_of_all_ranks_are_those_of_one() {
    for data in datasets() {
        let expected = walk(recipe(&data, UNIFORM).open().unwrap());
        for world in [2, 3, 5] {
            let mut lines: Vec<Line> = (0..world)
                .flat_map(|rank| walk(recipe(&data, UNIFORM).rank(rank, world).threads(rank + 1).open().unwrap()))
                .collect();
            lines.sort_by_key(|line| line.number);
            assert_eq!(lines, expected, "{world} ranks");
        }
    }
}

/// The plain order of a small dataset, so that no later version changes it in silence.
#[test]
fn the_order_is_the_one_that_it_always_was() {
    let data = Data::new(Format::Parquet, 2, 20, 5);
    let lines = walk(Recipe::new(data.url()).seed(42).window(3).batch_size(10).open().unwrap());
    let ids: Vec<i64> = lines.into_iter().flat_map(|line| line.ids).collect();
    assert_eq!(ids, GOLDEN);
}

const GOLDEN: [i64; 40] = [
    20, 21, 23, 38, 35, 22, 24, 19, 36, 18, 15, 16, 17, 37, 39, 5, 26, 28, 2, 27, 29, 8, 9, 6, 1, 25, 3, 7, 4, 0, 14,
    34, 10, 30, 13, 33, 11, 32, 31, 12,
];
