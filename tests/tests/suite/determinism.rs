//! I2: the sequence of batches is equal for any number of threads, any prefetch, injected delays, and any ranks.

use crate::{ACTING, ARABLE, POLICIES, UNIFORM, datasets};
use arable_loader::{Batch, Recipe, Stream};
use arable_tests::{CLEAN, Data, Format, Line, arable, report, train, walk, walk_batch};
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

/// Batches are made by the user's thread or by the stream's own, as the user is busy between them or not.
#[test]
fn the_pace_of_the_user_changes_nothing() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let walked = |policy, threads, busy: &dyn Fn(usize) -> u64| {
        let mut stream = recipe(&data, policy).threads(threads).open().unwrap();
        let mut walked = Vec::new();
        while let Some(batch) = stream.next() {
            let batch = batch.unwrap();
            let line = walk_batch(&batch);
            report(batch);
            walked.push((line, stream.state().unwrap().to_bytes().unwrap()));
            std::thread::sleep(Duration::from_micros(busy(walked.len())));
        }
        walked
    };
    for policy in POLICIES {
        let expected = walked(policy, 1, &|_| 0);
        assert!(expected.len() > 60);
        let paces: [&dyn Fn(usize) -> u64; 3] =
            [&|_| 600, &|batch| (batch as u64 / 5 % 2) * 500, &|batch| batch as u64 * 2_654_435_761 % 700];
        for (pace, busy) in paces.into_iter().enumerate() {
            for threads in [1, 3] {
                assert!(walked(policy, threads, busy) == expected, "{policy}, {threads} threads, pace {pace}");
            }
        }
    }
}

/// Whoever of the two threads comes to the end, the user misses nothing that came before it.
#[test]
fn the_last_batches_are_handed_over_however_the_user_is_busy() {
    let data = Data::new(Format::Parquet, 1, 90, 30);
    let recipe = || recipe(&data, UNIFORM).prefetch(1);
    let expected = walk(recipe().open().unwrap());
    for run in 0..150_u64 {
        let mut lines = Vec::new();
        for (batch, number) in recipe().open().unwrap().zip(0..) {
            lines.push(walk_batch(&batch.unwrap()));
            std::thread::sleep(Duration::from_micros((run * 37 + number * 91) % 500));
        }
        assert!(lines == expected, "run {run}: {} batches of {}", lines.len(), expected.len());
    }
}

/// Whether a policy changed a weight.
fn acts(lines: &[Line]) -> bool {
    lines.iter().flat_map(|line| &line.weights).any(|&weight| weight != 1.0_f32.to_bits())
}

#[test]
fn the_command_line_walks_the_same_batches_with_any_threads_and_prefetch() {
    for data in datasets() {
        let path = data.folder.path().join("arable.toml");
        recipe(&data, UNIFORM).validate().unwrap();
        let walked = |threads: &str, prefetch: &str| {
            let file = |name: &str| data.folder.path().join(format!("{name} {threads} {prefetch}"));
            let (hashes, ids) = (file("hashes"), file("ids"));
            let arguments = ["stream", path.to_str().unwrap(), "--json", "--threads", threads, "--prefetch", prefetch];
            let files = ["--hashes", hashes.to_str().unwrap(), "--ids", ids.to_str().unwrap()];
            let ran = arable(ARABLE, arguments.iter().chain(&files));
            assert_eq!(ran.status, 0, "{ran:?}");
            let read = |path| std::fs::read_to_string(path).unwrap();
            (read(hashes), read(ids), ran.json()["rows"].clone())
        };
        let expected = walked("1", "1");
        for (threads, prefetch) in [("2", "4"), ("4", "15"), ("8", "2")] {
            assert_eq!(walked(threads, prefetch), expected, "{:?}, {threads} threads", data.format);
        }
        // Every row once an epoch, or dropped: by shard, block and row.
        let (_, ids, rows) = expected;
        let mut places = std::collections::BTreeMap::<String, u32>::new();
        for line in ids.lines() {
            *places.entry(line.split('\t').skip(2).take(3).collect::<Vec<_>>().join(" ")).or_default() += 1;
        }
        assert!(places.values().all(|times| *times == 3), "three epochs");
        let dropped: u64 = rows["dropped"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
        assert_eq!(places.len() as u64 + dropped, data.rows.len() as u64, "{:?}", data.format);
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
