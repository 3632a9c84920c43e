//! I2, I3 and I8 for the policies that pick inside the step, draw by a column, or follow a table of an earlier run: any
//! threads, delays and timing of reports; a checkpoint before every batch; a log that replays; a process that is killed.

use crate::{ACTING, ARABLE, REMEMBERING, SELECTING};
use arable_loader::{
    Batch, Pick, Position, Purpose, Randomness, Recipe, Stream, ledger,
    ledger::FeedbackLog,
    stream::{State, Unscored},
    value::{Candidate, PolicySpec, Reference, Selector, SuperBatch, policy},
};
use arable_tests::{
    CLEAN, Data, Format, Line, Mixed, arable, arable_command, report, scores, select, train, walk_batch,
};
use std::{collections::VecDeque, path::Path, path::PathBuf, process::Stdio, time::Duration};

/// How many batches later a report is seen, at the earliest.
const LAG: u64 = 8;

fn file(data: &Data, policy: &str, head: &str) -> PathBuf {
    let stream = format!("[stream]\nwindow = 4\nprefetch = 4\nfeedback_lag = {LAG}");
    let rest = format!("{CLEAN}\n[policy]\n{policy}\n{stream}\n[batch]\nsize = 8");
    data.recipe(head, &rest)
}

fn recipe(data: &Data, policy: &str) -> Recipe {
    Recipe::from_toml_file(file(data, policy, "seed = 5\nepochs = 2")).unwrap()
}

fn data() -> Data {
    Data::new(Format::Parquet, 3, 130, 40)
}

/// A delay of up to a millisecond that differs from block to block and from run to run.
fn delayed(recipe: Recipe, run: u64) -> Stream {
    let delay = move |block: u32| {
        std::thread::sleep(Duration::from_micros((u64::from(block) + 1) * 2_654_435_761 * (run + 1) % 1_000));
    };
    Stream::builder(recipe).before_read(delay).open().unwrap()
}

#[test]
fn picks_are_equal_for_any_threads_delays_and_timing_of_reports() {
    let data = data();
    for policy in SELECTING {
        let expected = train(&mut recipe(&data, policy).threads(1).prefetch(1).open().unwrap(), usize::MAX);
        assert!(expected.len() > 20 && expected.iter().all(|line| !line.picks.is_empty()), "{policy}");
        assert!(expected.iter().all(|line| line.picks.len() <= 8 && line.positions.len() <= 24), "{policy}");
        for (run, threads) in [1, 2, 4, 8].into_iter().enumerate() {
            let lines = train(&mut delayed(recipe(&data, policy).threads(threads), run as u64), usize::MAX);
            assert_eq!(lines, expected, "{policy}, {threads} threads");
        }
        let mut held: VecDeque<Batch> = VecDeque::new();
        let mut lines: Vec<Line> = Vec::new();
        for batch in recipe(&data, policy).open().unwrap() {
            let batch = batch.unwrap();
            lines.push(walk_batch(&batch));
            held.push_back(batch);
            if held.len() > 5 {
                let batches: Vec<Batch> = held.drain(..).rev().collect();
                std::thread::spawn(move || batches.into_iter().for_each(report)).join().unwrap();
            }
        }
        assert_eq!(lines, expected, "{policy}, reports held back");
        // A trainer that says nothing: every batch comes all the same, and only what is remembered of others is not.
        let mut silent: Vec<Line> =
            recipe(&data, policy).open().unwrap().map(|batch| walk_batch(&batch.unwrap())).collect();
        if REMEMBERING.contains(&policy) {
            assert_eq!(silent[..LAG as usize], expected[..LAG as usize], "{policy}, before anything is remembered");
            assert_ne!(silent, expected, "{policy} remembers");
            silent.iter_mut().zip(&expected).for_each(|(line, expected)| line.picks.clone_from(&expected.picks));
        }
        assert_eq!(silent, expected, "{policy}, a silent trainer");
    }
}

#[test]
fn a_checkpoint_before_every_super_batch_restores_the_same_picks() {
    let data = data();
    for policy in SELECTING {
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
        for (batch, state) in states.iter().enumerate() {
            let state = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
            let builder = Stream::builder(recipe(&data, policy).threads([1, 2, 4, 8][batch % 4]));
            let mut again = builder.resume(state.clone()).open().unwrap();
            assert_eq!(again.state().unwrap(), state, "{policy}: restored before batch {batch}");
            let length = if batch % 9 == 0 { usize::MAX } else { 2 };
            for (next, expected) in lines.iter().enumerate().skip(batch).take(length) {
                assert_eq!(
                    train(&mut again, 1),
                    std::slice::from_ref(expected),
                    "{policy}: from {batch}, batch {next}"
                );
                assert_eq!(again.state().unwrap(), states[next + 1], "{policy}: from {batch}, state after {next}");
            }
        }
    }
}

fn hashes(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_was_picked_is_in_the_log_and_can_be_made_again_and_replayed() {
    let data = data();
    for (index, policy) in SELECTING.into_iter().enumerate() {
        let path = file(&data, policy, "seed = 5\nepochs = 2");
        let name = |of: &str| data.folder.path().join(format!("{of}-{index}")).display().to_string();
        let run = PathBuf::from(name("run"));
        let mut stream = Stream::builder(recipe(&data, policy)).record(&run).open().unwrap();
        let lines = train(&mut stream, usize::MAX);
        drop(stream);
        let log = FeedbackLog::read(&run.join("feedback")).unwrap();
        let bits = |pick: &Pick| (pick.index, pick.weight.to_bits());
        let (mut compared, mut unscored) = (0, 0);
        for batch in recipe(&data, policy).open().unwrap() {
            let batch = batch.unwrap();
            let Some(report) = log.get(batch.number) else { continue };
            // The scores of the log are those of the run, so what is picked from them is what was trained on.
            assert_eq!(select(&batch), report.picks);
            assert_eq!(lines[batch.number as usize].picks, report.picks.iter().map(bits).collect::<Vec<_>>());
            match batch.receipt.unscored() {
                // Of a super-batch that was not scored the log knows the rows that were trained.
                Some(Unscored { picks, .. }) => {
                    assert!(report.rows.iter().map(|row| row.0).eq(picked(&batch.positions, &picks)), "{policy}");
                    unscored += 1;
                }
                None => assert!(report.rows.iter().map(|row| row.0).eq(batch.positions.iter().copied()), "{policy}"),
            }
            batch.receipt.report_recorded(report).unwrap();
            compared += 1;
        }
        let saves = policy == REMEMBERING[0] || policy.contains("progressive_dropout");
        assert!(compared > 20 && (unscored > 0) == saves && unscored < compared, "{policy}: {unscored} of {compared}");
        let arguments = ["stream", path.to_str().unwrap(), "--quiet", "--threads", "3", "--feedback"];
        let log = run.join("feedback").display().to_string();
        let ran = arable(ARABLE, arguments.iter().copied().chain([log.as_str(), "--record", &name("again")]));
        assert_eq!(ran.status, 0, "{ran:?}");
        let chain = |run: &Path| ledger::verify(&run.join("ledger.jsonl")).unwrap().chain;
        assert_eq!(chain(&run), chain(Path::new(&name("again"))), "{policy}: the replay's ledger is the run's");
    }
}

fn picked(positions: &[Position], picks: &[Pick]) -> impl Iterator<Item = Position> {
    picks.iter().map(|pick| positions[pick.index as usize])
}

/// Candidates of a super-batch, as the model of these tests sees them.
fn candidates(batch: u64, positions: &[Position]) -> Vec<Candidate> {
    let scored = scores(batch, positions);
    let candidate = |(position, row): (&Position, &arable_loader::value::Scored)| Candidate {
        position: *position,
        signal: row.signal,
        el2n: row.el2n,
        reference: None,
        alignment: row.alignment,
    };
    positions.iter().zip(&scored).map(candidate).collect()
}

#[test]
fn what_is_remembered_is_what_was_reported_of_batches_that_are_the_feedback_lag_older() {
    let data = data();
    let mut by_newer = 0;
    for (index, named) in REMEMBERING.into_iter().enumerate() {
        let run = data.folder.path().join(format!("remembering-{index}"));
        let mut stream = Stream::builder(recipe(&data, named)).record(&run).open().unwrap();
        let lines = train(&mut stream, usize::MAX);
        drop(stream);
        let log = FeedbackLog::read(&run.join("feedback")).unwrap();
        let mut options: toml::Table = named.parse().unwrap();
        let name = options.remove("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap();
        let policy = policy(&PolicySpec { name, options }).unwrap();
        let selection = policy.selection().unwrap();
        let selector: &dyn Selector = selection.selector.as_ref();
        let remembered = |before: u64| {
            let mut memory = Vec::new();
            log.iter().filter(|report| report.batch < before).for_each(|report| selector.fold(&mut memory, report));
            memory
        };
        let (mut compared, mut by_none) = (0, 0);
        for report in log.iter() {
            let Line { epoch, positions, .. } = &lines[report.batch as usize];
            let all = candidates(report.batch, positions);
            let picks_of = |memory: &[f64]| {
                let mut randomness = Randomness::new(5, *epoch, report.batch, Purpose::Selection);
                let size = (8 * all.len()).div_ceil(24);
                selection.pick(*epoch, &SuperBatch { memory, ..SuperBatch::new(&all) }, size, &mut randomness)
            };
            assert_eq!(
                picks_of(&remembered(report.batch.saturating_sub(LAG))),
                report.picks,
                "{named}: {}",
                report.batch
            );
            let known: Vec<Position> = report.rows.iter().map(|row| row.0).collect();
            assert_eq!(selector.statistic(&candidates(report.batch, &known)), report.statistic);
            // Newer reports, or none, would have other rows picked of some.
            by_newer += u32::from(picks_of(&remembered(report.batch)) != report.picks);
            by_none += u32::from(picks_of(&[]) != report.picks);
            compared += 1;
        }
        assert!(compared > 20 && by_none > 0, "{named}: {by_none} of {compared}");
    }
    assert!(by_newer > 0, "whether older reports are remembered or newer ones shows nowhere");
}

/// A batch that is held for ever is waited for as long as patience says, and then counts as one that says nothing.
#[test]
fn a_trainer_that_holds_its_super_batches_costs_patience_and_no_deadlock() {
    let data = data();
    for policy in REMEMBERING {
        let stream = Stream::builder(recipe(&data, policy)).patience(Duration::from_millis(20)).open().unwrap();
        let held: Vec<Batch> = stream.map(Result::unwrap).collect();
        let silent: Vec<Line> = held.iter().map(walk_batch).collect();
        let dropped: Vec<Line> =
            recipe(&data, policy).open().unwrap().map(|batch| walk_batch(&batch.unwrap())).collect();
        assert_eq!(silent, dropped, "{policy}");
    }
}

/// Kills a training of the recipe at `path` twice on its way from a checkpoint, and lets it come to its end: its batches
/// and its feedback log are those of a training that nobody killed. What is written goes to `folder`.
fn is_killed_and_goes_on(path: &str, folder: &Path, what: &str) {
    let name = |of: &str| folder.join(format!("killed-{of}")).display().to_string();
    let recorded = PathBuf::from(name("log"));
    let mut stream = Stream::builder(Recipe::from_toml_file(path).unwrap()).record(&recorded).open().unwrap();
    let lines = train(&mut stream, usize::MAX);
    drop(stream);
    assert!(lines.len() > 60, "{what}: {} batches", lines.len());
    let log = recorded.join("feedback").display().to_string();
    let walk = |arguments: &[&str]| {
        let head = ["stream", path, "--quiet", "--feedback", &log];
        let ran = arable(ARABLE, head.iter().chain(arguments));
        assert_eq!(ran.status, 0, "{what}: {ran:?}");
    };
    walk(&["--record", &name("run"), "--stop-after", "40", "--save-state", &name("state")]);
    let ledger = Path::new(&name("run")).join("ledger.jsonl");
    for grown in [1_000, 6_000] {
        let before = std::fs::metadata(&ledger).unwrap().len();
        let mut child = arable_command(ARABLE)
            .args(["stream", path, "--quiet", "--feedback", &log, "--record", &name("run")])
            .args(["--resume", &name("state")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while std::fs::metadata(&ledger).unwrap().len() < before + grown && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        ledger::verify(&ledger).unwrap();
    }
    walk(&["--record", &name("run"), "--resume", &name("state"), "--hashes", &name("tail")]);
    let tail: Vec<String> =
        hashes(Path::new(&name("tail"))).iter().map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect();
    let expected: Vec<String> = lines.iter().skip(40).map(|line| line.hash.clone()).collect();
    assert_eq!(tail, expected, "{what}");
    // The log of the run that was killed twice says what that of the whole run says.
    let again = FeedbackLog::read(&Path::new(&name("run")).join("feedback")).unwrap();
    let whole = FeedbackLog::read(&recorded.join("feedback")).unwrap();
    let text = |log: &FeedbackLog| log.iter().map(|report| format!("{report:?}")).collect::<Vec<_>>();
    assert_eq!(text(&again), text(&whole), "{what}");
}

/// With every policy that acts or picks, one that draws by a column, and one that begins with what an earlier run learnt.
#[test]
fn a_killed_training_goes_on_from_its_checkpoint() {
    let data = data();
    let learnt = data.folder.path().join("learnt.parquet");
    let mut stream = recipe(&data, "name = \"uniform\"").open().unwrap();
    train(&mut stream, usize::MAX);
    stream.write_values(&learnt, true).unwrap();
    let told = format!("name = \"denoise\"\nwarmup = 0\nwarmup_batches = 0\ngate = 0\nvalues = '{}'", learnt.display());
    let by_column = "name = \"weighted\"\ncolumn = \"score\"";
    for policy in ACTING.into_iter().chain(SELECTING).chain([by_column, &told]) {
        let path = file(&data, policy, "seed = 5\nepochs = 12").display().to_string();
        is_killed_and_goes_on(&path, tempfile::tempdir().unwrap().path(), policy);
    }
}

/// With shares that stay and with shares that move: by a bandit, by scaling laws that are fitted anew on the way, and by
/// what a reference model says.
#[test]
fn a_killed_training_on_a_mixture_goes_on_from_its_checkpoint() {
    let mixed = Mixed::new(Format::Parquet, &[(120, 1.0), (60, 2.0), (90, 1.5)], 20);
    let recipe = |policy: &str| {
        let rest = format!(
            "[mixture]\nexhausted = \"repeat\"\n{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 3\n[batch]\nsize = 8"
        );
        mixed.recipe("seed = 5\nepochs = 8", &rest).display().to_string()
    };
    // Rows are the easier for the reference, the later their block.
    let plain = Recipe::from_toml_file(recipe("name = \"uniform\"")).unwrap().open().unwrap();
    let mut references = plain.blank_references();
    for (block, planned) in (0..).zip(&plain.plan().blocks) {
        let reference = Reference { loss: 1.0 / (1.0 + block as f32), probability: None };
        (0..planned.rows).for_each(|row| references.set(Position::new(block, row), reference).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("references.parquet");
    plain.write_references(&references, &told, false).unwrap();
    let doremi = format!("name = \"doremi\"\nrate = 0.3\nreference = '{}'", told.display());
    let ado = "name = \"ado\"\nwarmup = 2\nrefit = 10";
    for policy in ["name = \"fixed\"", "name = \"odm\"\nwarmup = 5", ado, &doremi] {
        let path = recipe(policy);
        is_killed_and_goes_on(&path, tempfile::tempdir().unwrap().path(), policy);
    }
}

#[test]
fn what_selection_lacks_is_said_before_the_first_batch() {
    let data = data();
    let refused = |policy: &str| recipe(&data, policy).open().err().unwrap().to_string();
    assert!(refused("name = \"rho_loss\"\ncandidates = 24").contains("`reference_column`"));
    assert!(refused("name = \"importance\"\ncandidates = 7").contains("is less than [batch] size = 8"));
    assert!(refused("name = \"importance\"\ncandidates = 9\nreference = \"x\"").contains("reads no reference"));
    let both = "name = \"jest\"\ncandidates = 9\nreference = \"x\"\nreference_column = \"score\"";
    assert!(refused(both).contains("both given"));
    assert!(refused("name = \"jest\"\ncandidates = 9\nreference = \"nowhere.parquet\"").contains("nowhere.parquet"));
    let mut stream = recipe(&data, "name = \"jest\"\ncandidates = 9\nreference_column = \"text\"").open().unwrap();
    assert!(stream.next().unwrap().unwrap_err().to_string().contains("no numbers"));
    // A super-batch is reported with what was picked of it.
    let greats = "name = \"alignment\"\nmethod = \"greats\"\ncandidates = 40000";
    let refusal = refused(greats);
    assert!(refusal.contains("each with each, 24414.1 MiB") && refusal.contains("fewer `candidates`"), "{refusal}");
    let batch = recipe(&data, SELECTING[0]).open().unwrap().next().unwrap().unwrap();
    let signals: Vec<_> = batch.positions.iter().map(|&position| arable_tests::signal(0, position)).collect();
    assert!(batch.receipt.report(&signals).unwrap_err().to_string().contains("super-batch"));
}
