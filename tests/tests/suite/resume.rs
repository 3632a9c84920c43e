//! I3: a checkpoint taken before every batch and restored in a fresh process gives an equal state and a byte-equal
//! suffix.

use crate::{ACTING, ARABLE, DENOISE, POLICIES, UNIFORM, datasets};
use arable_loader::{Recipe, Stream, ledger, stream::State};
use arable_tests::{CLEAN, Data, Format, Line, arable, arable_command, train};
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
    Stream::builder(recipe(data, policy).threads(threads)).resume(state).open().unwrap()
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
                let mut again = resumed(&data, policy, state.clone(), 1 + batch as u32 % 4);
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
    assert!(refused(recipe(&data, UNIFORM).seed(6)).contains("another recipe"));
    assert!(refused(recipe(&data, DENOISE)).contains("another recipe"));
    assert!(refused(recipe(&data, UNIFORM).batch_size(17)).contains("another recipe"));
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
