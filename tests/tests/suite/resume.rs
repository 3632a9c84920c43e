//! I3: a checkpoint taken before every batch and restored in a fresh process gives an equal state and a byte-equal
//! suffix.

use crate::{ACTING, ARABLE, DENOISE, POLICIES, UNIFORM, datasets};
use arable_loader::{Recipe, Stream, ledger, stream::State};
use arable_tests::{CLEAN, Data, Format, Line, Row, arable, arable_command, train};
use std::{path::Path, process::Stdio};

fn rest(policy: &str) -> String {
    format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 4\n[batch]\nsize = 16")
}

fn recipe(data: &Data, policy: &str) -> Recipe {
    Recipe::from_toml_file(data.recipe("seed = 5\nepochs = 3", &rest(policy))).unwrap()
}

fn resumed(data: &Data, policy: &str, state: State, threads: u32) -> Stream {
    // Through its bytes, as a fresh process would get it.
    let state = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
    // A delay of up to 0.3 ms that differs from block to block and from state to state.
    let turn = state.next_batch() + 1;
    let delay = move |block: u32| {
        std::thread::sleep(std::time::Duration::from_micros((u64::from(block) + 1) * 2_654_435_761 * turn % 300));
    };
    Stream::builder(recipe(data, policy).threads(threads)).before_read(delay).resume(state).open().unwrap()
}

#[test]
fn a_checkpoint_before_every_batch_restores_an_equal_state_and_an_equal_suffix() {
    for data in datasets() {
        for policy in POLICIES {
            // Every state of one run, and every batch of it.
            let mut stream = recipe(&data, policy).open().unwrap();
            let mut states = vec![stream.state().unwrap()];
            let mut lines: Vec<Line> = Vec::new();
            loop {
                let line = train(&mut stream, 1);
                if line.is_empty() {
                    break;
                }
                lines.extend(line);
                states.push(stream.state().unwrap());
            }
            assert!(lines.len() > 60);
            for (batch, state) in states.iter().enumerate() {
                let mut again = resumed(&data, policy, state.clone(), [1, 2, 4, 8][batch % 4]);
                assert_eq!(again.state().unwrap(), *state, "restored before batch {batch}");
                // The whole suffix for some, the next few batches and states for every one.
                let length = if batch % 9 == 0 { usize::MAX } else { 3 };
                for (next, expected) in lines.iter().enumerate().skip(batch).take(length) {
                    assert_eq!(
                        train(&mut again, 1),
                        std::slice::from_ref(expected),
                        "{policy}: from {batch}, batch {next}"
                    );
                    assert_eq!(again.state().unwrap(), states[next + 1], "{policy}: from {batch}, state after {next}");
                }
                if batch + length.min(lines.len()) >= lines.len() {
                    assert!(again.next().is_none());
                }
            }
        }
    }
}

#[test]
fn a_checkpoint_of_a_resumed_run_resumes_too() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    for policy in ACTING {
        let expected = train(&mut recipe(&data, policy).open().unwrap(), usize::MAX);
        let mut lines = Vec::new();
        let mut stream = recipe(&data, policy).open().unwrap();
        loop {
            let part = train(&mut stream, 7);
            if part.is_empty() {
                break;
            }
            lines.extend(part);
            stream = resumed(&data, policy, stream.state().unwrap(), 2);
        }
        assert_eq!(lines, expected, "{policy}");
    }
}

#[test]
fn indexes_that_forget_are_in_every_state_as_they_were() {
    // Every third row has the words of an earlier one, near or far; numbers would be made alike.
    let words = |id: i64| -> String {
        let word = |number: i64| (0..4).map(move |place| char::from(b'a' + ((number >> (4 * place)) % 16) as u8));
        (0..9).flat_map(|at| word((9 * id + at) * 7919).chain([' '])).collect()
    };
    let original = |id: i64| match id % 6 {
        2 => id / 2,
        5 => id - 1,
        _ => id,
    };
    let row = |id: i64| Row { id, text: words(original(id)), label: Some(id % 4), score: 0.0, tags: Vec::new() };
    let data = Data::of(Format::Parquet, (0..750).map(row).collect(), 250, 40);
    for index in ["exact", "bloom"] {
        // So little memory that half of what is remembered is forgotten several times.
        let rest = format!(
            "[[clean]]\nop = 'near_duplicate'\ncolumn = 'text'\nbands = 3\nhashes_per_band = 4\n\
             index = '{index}'\nmemory = '3KiB'\nfalse_positive = 0.01\n[stream]\nwindow = 3\n[batch]\nsize = 16"
        );
        let recipe = || Recipe::from_toml_file(data.recipe("seed = 5\nepochs = 2", &rest)).unwrap();
        let mut stream = recipe().open().unwrap();
        let (mut states, mut lines) = (vec![stream.state().unwrap()], Vec::new());
        loop {
            let line = train(&mut stream, 1);
            if line.is_empty() {
                break;
            }
            lines.extend(line);
            states.push(stream.state().unwrap());
        }
        let dropped = stream.account().dropped();
        assert!(dropped > 20 && dropped < 300 && lines.len() > 40, "{dropped}, in {} batches", lines.len());
        for (batch, state) in states.iter().enumerate() {
            let state = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
            let mut again = Stream::builder(recipe()).resume(state).open().unwrap();
            let next = train(&mut again, 6);
            let end = (batch + next.len()).min(lines.len());
            assert_eq!(next, lines[batch..end], "{index}: from {batch}");
            assert!(again.state().unwrap() == states[end], "{index}: the state after {end}, from {batch}");
        }
    }
}

/// The first field of each line is the batch's number.
fn hashes(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_fresh_process_goes_on_where_another_stopped() {
    for data in datasets() {
        let path = data.recipe("seed = 5\nepochs = 2", &rest(UNIFORM));
        let file = |name: &str| data.folder.path().join(name).display().to_string();
        let recipe = path.display().to_string();
        let ran = arable(ARABLE, ["stream", &recipe, "--hashes", &file("all"), "--quiet"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let all = hashes(Path::new(&file("all")));
        for stop in [0, 1, 17, 38, all.len() - 1, all.len()] {
            let ran = arable(
                ARABLE,
                [
                    "stream",
                    &recipe,
                    "--stop-after",
                    &stop.to_string(),
                    "--save-state",
                    &file("state"),
                    "--hashes",
                    &file("head"),
                    "--threads",
                    "1",
                ],
            );
            assert_eq!(ran.status, 0, "{ran:?}");
            let ran = arable(
                ARABLE,
                ["stream", &recipe, "--resume", &file("state"), "--hashes", &file("tail"), "--threads", "4", "--json"],
            );
            assert_eq!(ran.status, 0, "{ran:?}");
            assert_eq!(ran.json()["first_batch"], stop as u64);
            assert_eq!(ran.json()["rows"]["read"], data.rows.len() as u64);
            let mut lines = hashes(Path::new(&file("head")));
            lines.extend(hashes(Path::new(&file("tail"))));
            assert_eq!(lines, all, "stopped after {stop}");
        }
    }
}

/// A process that is killed leaves a ledger that verifies, and its run goes on from the last checkpoint.
#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let path = data.recipe("seed = 5\nepochs = 40", &rest(UNIFORM));
    let file = |name: &str| data.folder.path().join(name).display().to_string();
    let recipe = path.display().to_string();
    let walk = |arguments: &[&str]| {
        let ran = arable(ARABLE, ["stream", &recipe, "--quiet"].iter().chain(arguments));
        assert_eq!(ran.status, 0, "{ran:?}");
    };
    walk(&["--hashes", &file("all")]);
    walk(&["--record", &file("run"), "--stop-after", "30", "--save-state", &file("state")]);
    let ledger = Path::new(&file("run")).join("ledger.jsonl");
    for kill_after in [2_000, 20_000, 60_000] {
        let before = std::fs::metadata(&ledger).unwrap().len();
        let mut child = arable_command(ARABLE)
            .args(["stream", &recipe, "--record", &file("run"), "--resume", &file("state"), "--quiet"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed once its ledger has grown by so much, or at its end if it was faster.
        while std::fs::metadata(&ledger).unwrap().len() < before + kill_after && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        ledger::verify(&ledger).unwrap();
    }
    walk(&["--record", &file("run"), "--resume", &file("state"), "--hashes", &file("tail")]);
    let (all, tail) = (hashes(Path::new(&file("all"))), hashes(Path::new(&file("tail"))));
    assert_eq!(tail, all[30..]);
    let verified = ledger::verify(&ledger).unwrap();
    assert!(verified.superseded > 0);
    assert_eq!(verified.account().read, data.rows.len() as u64, "superseded blocks are not counted twice");
}

#[test]
fn a_state_of_other_data_or_of_another_recipe_is_refused() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let mut stream = recipe(&data, UNIFORM).open().unwrap();
    train(&mut stream, 9);
    let state = stream.state().unwrap();
    let refused = |recipe: Recipe| Stream::builder(recipe).resume(state.clone()).open().unwrap_err().to_string();
    // What differs is named, and nothing else is.
    let differs = |other: Recipe, parts: &[&str]| {
        let refused = refused(other);
        let lines: Vec<&str> = refused.lines().map(str::trim).collect();
        let [first, differing @ .., _] = &lines[..] else { panic!("{refused}") };
        assert!(first.ends_with("another recipe:"), "{refused}");
        assert_eq!(differing.len(), parts.len(), "{refused}");
        differing.iter().zip(parts).for_each(|(line, part)| assert!(line.starts_with(part), "{refused}"));
    };
    let seed = recipe(&data, UNIFORM).seed;
    differs(recipe(&data, UNIFORM).seed(seed + 1), &[&format!("seed was {seed}, is {}", seed + 1)]);
    let size = recipe(&data, UNIFORM).batch.size;
    differs(recipe(&data, UNIFORM).batch_size(size + 1), &[&format!("[batch] size was {size}, is {}", size + 1)]);
    let policy = "[policy] name was uniform, is denoise";
    let options = "[policy] options was none, is warmup = 1";
    differs(recipe(&data, DENOISE), &[policy, options, "the policy's version was uniform"]);
    let window = recipe(&data, UNIFORM).stream.window.unwrap();
    let wider = format!("[stream] window was {window} blocks, is {} blocks", window + 1);
    differs(recipe(&data, UNIFORM).window(window + 1), &[&wider]);
    let cleaned = recipe(&data, UNIFORM).clean("missing", [("column", "id".into())]);
    let count = cleaned.clean.len();
    let another = format!("[[clean]] {count} was nothing, is missing (column = \"id\")");
    differs(cleaned, &[&another, "operators, what they name and their versions was"]);
    // What does not change a batch may differ.
    let other = recipe(&data, UNIFORM).threads(7).prefetch(2).epochs(9);
    assert!(Stream::builder(other).resume(state.clone()).open().is_ok());
    std::fs::remove_file(data.shard(2)).unwrap();
    assert!(refused(recipe(&data, UNIFORM)).contains("other data"));

    let bytes = state.to_bytes().unwrap();
    for length in (0..bytes.len()).step_by(37) {
        assert!(State::from_bytes(&bytes[..length]).is_err());
    }
    for at in (0..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(State::from_bytes(&damaged).is_err(), "byte {at}");
    }
}

/// However late the checkpoint, what is read again is the blocks of one window: those that the run still needs anyway, and
/// no other. Counted, not timed.
#[test]
fn a_resumed_run_reads_no_more_than_one_window_again_wherever_it_stood() {
    const ROWS: u64 = 1200;
    const GROUP: u64 = 25;
    const WINDOW: u64 = 4;
    const BATCH: u64 = 16;
    for format in Format::ALL {
        // Text of this size is one block a shard.
        let shards = if format.is_text() { ROWS / GROUP } else { 3 } as usize;
        let data = Data::new(format, shards, ROWS as usize / shards, GROUP as usize);
        let recipe = || Recipe::new(data.url()).window(WINDOW as u32).batch_size(BATCH as u32);
        let mut stream = recipe().open().unwrap();
        let mut states = vec![stream.state().unwrap()];
        while let Some(batch) = stream.next() {
            drop(batch.unwrap());
            states.push(stream.state().unwrap());
        }
        let blocks = ROWS / GROUP;
        assert_eq!(stream.timings().blocks, blocks, "a whole run reads each block once");
        for (batch, state) in (0..).zip(states) {
            let mut again = Stream::builder(recipe()).resume(state).open().unwrap();
            again.by_ref().for_each(|batch| drop(batch.unwrap()));
            let rows = (batch * BATCH).min(ROWS);
            // A state after a window's last row still stands in that window.
            let passed = rows.saturating_sub(1) / (WINDOW * GROUP) * WINDOW;
            assert_eq!(again.timings().blocks, blocks - passed, "{format:?}, from batch {batch}");
        }
    }
}

/// A process that walks on by some batches, and is killed at any moment, leaves the state that it found or the one that it
/// was to write; whoever goes on from there loses nothing and doubles nothing.
#[test]
fn a_run_that_is_killed_again_and_again_comes_to_its_end_with_every_batch_once() {
    for format in Format::ALL {
        let data = Data::new(format, 2, 300, 30);
        let recipe = data.recipe("seed = 8\nepochs = 2", &rest(UNIFORM)).display().to_string();
        let file = |name: &str| data.folder.path().join(name);
        let text = |name: &str| file(name).display().to_string();
        assert_eq!(arable(ARABLE, ["stream", &recipe, "--quiet", "--hashes", &text("all")]).status, 0);
        let all = hashes(&file("all"));
        let walk =
            ["stream", &recipe, "--quiet", "--stop-after", "9", "--save-state", &text("state")].map(str::to_owned);
        assert_eq!(arable(ARABLE, walk.iter().chain(&["--hashes".into(), text("part")])).status, 0);
        let mut lines = hashes(&file("part"));
        let mut kills = 0;
        for attempt in 0_u64.. {
            let next = State::load(&file("state")).unwrap().next_batch();
            assert_eq!(next, lines.len() as u64);
            if next as usize == all.len() {
                break;
            }
            // What a killed walk wrote of its batches is no part of the run.
            drop(std::fs::remove_file(file("part")));
            let mut child = arable_command(ARABLE)
                .args(walk.iter().chain(&["--resume".into(), text("state"), "--hashes".into(), text("part")]))
                .spawn()
                .unwrap();
            // Some are killed at once, some while they walk or write, and each third is left to come to its end.
            if attempt % 3 < 2 {
                let patience = attempt * 2_654_435_761 % 20_000;
                for _ in 0..patience {
                    if child.try_wait().unwrap().is_some() {
                        break;
                    }
                    std::thread::yield_now();
                }
                child.kill().unwrap();
                kills += 1;
            }
            child.wait().unwrap();
            if State::load(&file("state")).unwrap().next_batch() > next {
                lines.extend(hashes(&file("part")));
            }
        }
        assert_eq!(lines, all, "{format:?}");
        assert!(kills > 4, "{kills}");
    }
}

/// The states around an epoch's end: after its last batch, and after the first one of the next.
#[test]
fn a_state_at_the_end_of_an_epoch_begins_the_next() {
    for data in datasets() {
        for policy in POLICIES {
            let lines = train(&mut recipe(&data, policy).open().unwrap(), usize::MAX);
            for epoch in 0..3 {
                let end = lines.iter().filter(|line| line.epoch <= epoch).count();
                let mut stream = recipe(&data, policy).open().unwrap();
                assert_eq!(train(&mut stream, end), lines[..end]);
                let state = stream.state().unwrap();
                let mut again = resumed(&data, policy, state.clone(), 3);
                assert_eq!(train(&mut again, usize::MAX), lines[end..], "{policy}, after data epoch {epoch}");
                // Twice, so that a state of a resumed run at that place is one too.
                let again = resumed(&data, policy, state.clone(), 1);
                assert_eq!(again.state().unwrap(), state);
                assert_eq!(again.account().read, data.rows.len() as u64);
            }
        }
    }
}
