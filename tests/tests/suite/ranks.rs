//! Ranks: batch b belongs to rank b mod R, whatever R is and whenever it changes.

use crate::{ACTING, ARABLE, REMEMBERING, UNIFORM, datasets};
use arable_loader::{
    Batch, Error, Recipe, Result, Stream,
    stream::{RankStream, State},
};
use arable_tests::{CLEAN, Data, Format, Line, arable, train, walk, walk_batch};
use std::{path::PathBuf, thread};

fn recipe_file(data: &Data, policy: &str) -> PathBuf {
    let rest = format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 4\n[batch]\nsize = 16");
    data.recipe("seed = 11\nepochs = 3", &rest)
}

fn recipe(data: &Data, policy: &str) -> Recipe {
    Recipe::from_toml_file(recipe_file(data, policy)).unwrap()
}

/// `batches` batches of each of `world` ranks from `state` on, and the state of each rank after them.
fn walk_ranks(data: &Data, world: u32, state: Option<&State>, batches: usize) -> (Vec<Line>, Vec<State>) {
    let (mut lines, mut states) = (Vec::new(), Vec::new());
    for rank in 0..world {
        let mut builder = Stream::builder(recipe(data, UNIFORM).rank(rank, world).threads(1 + rank));
        if let Some(state) = state {
            builder = builder.resume(state.clone());
        }
        let mut stream = builder.open().unwrap();
        lines.extend(stream.by_ref().take(batches).map(|batch| walk_batch(&batch.unwrap())));
        states.push(stream.state().unwrap());
    }
    lines.sort_by_key(|line| line.number);
    (lines, states)
}

#[test]
fn one_rank_three_ranks_and_two_ranks_go_on_from_one_another_with_equal_batches_in_order() {
    for data in datasets() {
        let expected = walk(recipe(&data, UNIFORM).open().unwrap());
        let (mut lines, states) = walk_ranks(&data, 1, None, 10);
        let (more, states) = walk_ranks(&data, 3, Some(&states[0]), 7);
        lines.extend(more);
        assert!(states.iter().all(|state| state == &states[0]), "the ranks' states are of one place");
        assert_eq!(states[0].next_batch(), 10 + 3 * 7);
        // From any of them, here the last, by two ranks, to the end.
        let (more, ends) = walk_ranks(&data, 2, states.last(), usize::MAX);
        lines.extend(more);
        assert_eq!(lines, expected, "{:?}", data.format);
        assert!(ends.iter().all(|end| end == &ends[0] && end.next_batch() == expected.len() as u64));
        let rows: usize = expected.iter().map(|line| line.ids.len()).sum();
        assert_eq!(ends[0].trained(), rows as u64, "a state counts the rows of all ranks");
    }
}

#[test]
fn the_command_line_changes_the_number_of_ranks_too() {
    for data in datasets() {
        let recipe = recipe_file(&data, UNIFORM).display().to_string();
        let file = |name: &str| data.folder.path().join(name).display().to_string();
        let stream = |arguments: &[&str]| {
            let ran = arable(ARABLE, ["stream", &recipe, "--quiet"].iter().chain(arguments));
            assert_eq!(ran.status, 0, "{ran:?}");
        };
        let lines = |name: &str| -> Vec<String> {
            std::fs::read_to_string(file(name)).unwrap().lines().map(str::to_owned).collect()
        };
        stream(&["--hashes", &file("all")]);
        stream(&["--stop-after", "5", "--hashes", &file("0"), "--save-state", &file("state 0")]);
        let mut parts = vec![file("0")];
        for rank in 0..3 {
            let (rank, part, state) = (rank.to_string(), file(&format!("1 {rank}")), file(&format!("state 1 {rank}")));
            let place = ["--rank", &rank, "--world", "3", "--resume", &file("state 0"), "--stop-after", "6"];
            stream(&[&place[..], &["--hashes", &part, "--save-state", &state]].concat());
            parts.push(part);
        }
        for rank in ["0", "1"] {
            // Each from the state of another rank.
            let (part, state) = (file(&format!("2 {rank}")), file(&format!("state 1 {rank}")));
            stream(&["--rank", rank, "--world", "2", "--resume", &state, "--hashes", &part]);
            parts.push(part);
        }
        let mut together: Vec<(u64, String)> = parts
            .iter()
            .flat_map(|part| std::fs::read_to_string(part).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .map(|line| (line.split('\t').next().unwrap().parse().unwrap(), line))
            .collect();
        together.sort();
        assert_eq!(together.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), lines("all"), "{:?}", data.format);
    }
}

/// Every rank on a thread of its own, with a barrier a round as a training has one.
fn share(ranks: Vec<RankStream>, batches: usize) -> (Vec<Line>, Vec<Line>, Vec<RankStream>) {
    let barrier = std::sync::Barrier::new(ranks.len());
    let mut walked: Vec<(Vec<Line>, Vec<Line>, RankStream)> = thread::scope(|scope| {
        let run = |mut rank: RankStream| {
            let barrier = &barrier;
            scope.spawn(move || {
                let (mut lines, mut padding) = (Vec::new(), Vec::new());
                for _ in 0..batches {
                    let Some(batch) = rank.next() else { break };
                    let batch: Batch = batch.unwrap();
                    let line = walk_batch(&batch);
                    if batch.padding {
                        padding.push(line)
                    } else {
                        lines.push(line)
                    }
                    arable_tests::report(batch);
                    barrier.wait();
                }
                (lines, padding, rank)
            })
        };
        let threads: Vec<_> = ranks.into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let padding = walked.iter().flat_map(|(_, padding, _)| padding.clone()).collect();
    let mut lines: Vec<Line> = walked.iter().flat_map(|(lines, _, _)| lines.clone()).collect();
    lines.sort_by_key(|line| line.number);
    (lines, padding, walked.drain(..).map(|(_, _, rank)| rank).collect())
}

#[test]
fn ranks_of_one_process_share_a_stream_and_what_training_says() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    for policy in ACTING.into_iter().chain(REMEMBERING) {
        let expected = train(&mut recipe(&data, policy).open().unwrap(), usize::MAX);
        // One, then three, then two ranks, each from the state of the last.
        let mut stream = recipe(&data, policy).open().unwrap();
        let mut lines = train(&mut stream, 20);
        let resume = |state| Stream::builder(recipe(&data, policy)).resume(state).open().unwrap();
        let (more, padding, ranks) = share(resume(stream.state().unwrap()).ranks(3).unwrap(), 11);
        assert!(padding.is_empty());
        lines.extend(more);
        let state = ranks[1].state().unwrap();
        assert_eq!(state.next_batch(), 20 + 33);
        let (more, padding, ranks) = share(resume(state).ranks(2).unwrap(), usize::MAX);
        lines.extend(more);
        assert_eq!(lines, expected, "{policy}");
        // What fills up the last round weighs nothing, and is counted and fed back nowhere.
        assert_eq!(padding.len(), (expected.len() - 53) % 2, "{policy}");
        assert!(padding.iter().flat_map(|line| &line.weights).all(|weight| *weight == 0.0_f32.to_bits()));
        let rows: usize = expected.iter().map(|line| line.ids.len()).sum();
        assert_eq!(ranks[0].with_stream(Stream::trained), rows as u64);
    }
}

#[test]
fn a_last_round_that_is_not_full_is_filled_up_where_that_is_asked_for() {
    let data = Data::new(Format::Parquet, 2, 100, 25);
    let recipe = |rank, world| Recipe::new(data.url()).batch_size(20).rank(rank, world);
    assert_eq!(walk(recipe(0, 1).open().unwrap()).len(), 10);
    for rank in 0..4 {
        let mut stream = Stream::builder(recipe(rank, 4)).pad_tail(true).open().unwrap();
        let batches: Vec<Batch> = stream.by_ref().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 3, "rank {rank}");
        assert_eq!(batches.iter().filter(|batch| batch.padding).count(), usize::from(rank >= 2));
        for batch in batches.into_iter().filter(|batch| batch.padding) {
            assert_eq!(batch.number % 4, u64::from(rank));
            assert!(batch.number >= 10 && batch.weights.iter().all(|weight| *weight == 0.0));
            let signals = vec![arable_tests::signal(0, batch.positions[0]); batch.positions.len()];
            batch.receipt.report(&signals).unwrap();
        }
        assert_eq!(stream.trained(), if rank < 2 { 60 } else { 40 });
        assert_eq!(stream.state().unwrap().next_batch(), 10);
        // Without being asked, nobody gets a batch that is none.
        assert!(recipe(rank, 4).open().unwrap().all(|batch| !batch.unwrap().padding));
    }
    // A rank that had no batch at all has nothing to fill up with.
    let mut stream = Stream::builder(recipe(11, 12).feedback_lag(20)).pad_tail(true).open().unwrap();
    assert!(matches!(stream.next(), Some(Err(Error::Recipe(_)))));
}

#[test]
fn what_ranks_cannot_do_is_refused() {
    let data = Data::new(Format::Parquet, 2, 100, 25);
    for policy in ACTING.into_iter().chain(REMEMBERING) {
        let error = recipe(&data, policy).rank(0, 2).open().unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("Stream::ranks"), "{error}");
        assert_eq!(error.to_string().contains("`memory = 0`"), REMEMBERING.contains(&policy), "{error}");
    }
    // What remembers nothing needs to hear of no other process.
    let forgetful = "name = \"importance\"\ncandidates = 24\nmemory = 0";
    assert!(recipe(&data, forgetful).rank(0, 2).open().is_ok());
    let stream = || Recipe::new(data.url()).open().unwrap();
    assert!(stream().ranks(0).unwrap_err().is_usage());
    assert!(stream().ranks(13).unwrap_err().to_string().contains("feedback_lag"));
    assert!(Recipe::new(data.url()).rank(0, 2).open().unwrap().ranks(2).unwrap_err().is_usage());
    // A rank that is dropped leaves batches that nobody would train.
    let mut ranks = stream().ranks(2).unwrap();
    drop(ranks.remove(1));
    let taken: Vec<Result<Batch>> = ranks.remove(0).collect();
    assert_eq!(taken.len(), 2);
    assert!(taken[1].as_ref().unwrap_err().to_string().contains("rank 1"));
}

#[test]
fn a_fault_comes_to_every_rank() {
    let data = Data::new(Format::Parquet, 2, 100, 25);
    let stream = Recipe::new(data.url()).batch_size(10).window(1).open().unwrap();
    (0..2).for_each(|shard| std::fs::remove_file(data.shard(shard)).unwrap());
    for rank in stream.ranks(3).unwrap() {
        let taken: Vec<Result<Batch>> = rank.collect();
        assert_eq!(taken.len(), 1);
        assert!(taken[0].as_ref().unwrap_err().to_string().contains("part-0"));
    }
}
