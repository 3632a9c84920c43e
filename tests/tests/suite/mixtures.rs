//! Mixtures: exact shares, what happens at a domain's end, and everything that holds of one dataset.

use crate::{ARABLE, UNIFORM};
use arable_loader::{
    Plan, Position, Recipe, Report, Stream, Target,
    ledger::{self, Record},
    recipe::{Domain, Exhausted},
    stream::State,
    value::{Classes, MixtureOpening, Parameters, Policy, Reshare, Table, WindowRows},
};
use arable_tests::{Data, Format, Line, Mixed, arable, train, walk, walk_batch};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Cleaning that drops some rows of every domain.
const DIRT: &str =
    "[[clean]]\nop = \"missing\"\ncolumn = \"label\"\n[[clean]]\nop = \"range\"\ncolumn = \"label\"\nmax = 3\n";

fn stop_or_repeat(repeat: bool) -> &'static str {
    if repeat { "[mixture]\nexhausted = \"repeat\"\n" } else { "" }
}

/// How often each row of each domain came.
fn presentations(plan: &Plan, lines: &[Line]) -> Vec<BTreeMap<Position, u64>> {
    let mut counts = vec![BTreeMap::new(); plan.domains.len()];
    for position in lines.iter().flat_map(|line| &line.positions) {
        *counts[plan.domain_of(position.block)].entry(*position).or_default() += 1;
    }
    counts
}

fn domains() -> impl Strategy<Value = Vec<(usize, f64)>> {
    prop::collection::vec((8_usize..150, 0.05_f64..4.0), 2..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_window_has_its_shares_and_every_row_its_turn(
        first in proptest::sample::select(&Format::ALL[..]),
        domains in domains(),
        group in 3_usize..30,
        window in 1_u32..12,
        seed in 0_u64..1000,
        repeat: bool,
        dirty: bool,
    ) {
        let mixed = Mixed::new(first, &domains, group);
        let clean = if dirty { DIRT } else { "" };
        let rest = format!("{}{clean}[stream]\nwindow = {window}\n[batch]\nsize = 8\n", stop_or_repeat(repeat));
        let path = mixed.recipe(&format!("seed = {seed}\nepochs = 2"), &rest);
        let run = mixed.domains[0].folder.path().join("run");
        let mut stream = Stream::builder(Recipe::from_toml_file(&path).unwrap()).record(&run).open().unwrap();
        let plan = stream.plan().clone();
        let lines: Vec<Line> = stream.by_ref().map(|batch| walk_batch(&batch.unwrap())).collect();
        prop_assert!(stream.account().balances());
        let kept: Vec<u64> = stream.domains().iter().map(|domain| domain.account.kept).collect();
        drop(stream);

        let sum: f64 = mixed.shares.iter().sum();
        let mut offered = vec![vec![0_u64; domains.len()]; 2];
        for record in ledger::verify(&run.join("ledger.jsonl")).unwrap().records {
            let Record::Draw { epoch, rows, domains: counts, .. } = record else { continue };
            prop_assert_eq!(counts.iter().sum::<u64>(), rows);
            let so_far = &mut offered[epoch as usize];
            so_far.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
            // After every window, each domain has had its share of the epoch so far, within one row.
            let total: u64 = so_far.iter().sum();
            for (had, share) in so_far.iter().zip(&mixed.shares) {
                prop_assert!((*had as f64 - total as f64 * share / sum).abs() < 1.001, "{} of {}", had, total);
            }
        }
        for epoch in 0..2_u32 {
            let of_epoch: Vec<Line> = lines.iter().filter(|line| line.epoch == epoch).cloned().collect();
            let counts = presentations(&plan, &of_epoch);
            let had: Vec<u64> = counts.iter().map(|rows| rows.values().sum()).collect();
            prop_assert_eq!(&had, &offered[epoch as usize], "every row that was offered was emitted");
            let whole: Vec<u64> = kept.iter().zip(&had).map(|(kept, had)| had / kept.max(&1)).collect();
            // Visited in part only, a domain may have more rows that would be kept.
            let all_seen = |domain: usize| counts[domain].len() as u64 == kept[domain];
            if repeat {
                prop_assert!(whole.iter().all(|passes| *passes >= 1), "every domain was passed once: {:?}", had);
                prop_assert!((0..domains.len()).all(all_seen));
            } else {
                prop_assert!(counts.iter().flat_map(BTreeMap::values).all(|count| *count == 1), "no row comes twice");
                prop_assert!((0..domains.len()).any(all_seen), "a domain was used up: {:?} of {:?}", had, kept);
            }
            for (rows, passes) in counts.iter().zip(&whole) {
                // Of a domain that repeats, no row comes twice more often than another.
                prop_assert!(rows.values().all(|count| count.abs_diff(*passes) <= 1));
            }
        }
        if repeat || lines.len() > 12 {
            let ids = |epoch| lines.iter().filter(|line| line.epoch == epoch).flat_map(|line| line.positions.clone()).collect::<Vec<_>>();
            prop_assert_ne!(ids(0), ids(1), "epochs differ");
        }
    }

    #[test]
    fn one_domain_is_the_plain_stream_to_the_bit(rows in 10_usize..120, group in 3_usize..30, window in 1_u32..6, seed in 0_u64..1000, repeat: bool) {
        let data = Data::new(Format::Parquet, 2, rows, group);
        let settings = |recipe: Recipe| recipe.seed(seed).epochs(2).batch_size(9).window(window);
        let plain = walk(settings(Recipe::new(data.url())).open().unwrap());
        let exhausted = if repeat { Exhausted::Repeat } else { Exhausted::Stop };
        let mixed = Recipe::mixture([Domain::new("only", 0.3, data.url())]).exhausted(exhausted);
        prop_assert_eq!(walk(settings(mixed).open().unwrap()), plain);
    }
}

/// Domains of every format, one of them small for its share.
fn mixed() -> Mixed {
    Mixed::new(Format::Parquet, &[(120, 5.0), (60, 1.0), (90, 2.0), (70, 0.5)], 20)
}

fn recipe(mixed: &Mixed, repeat: bool) -> Recipe {
    let rest =
        format!("{}{DIRT}[policy]\n{UNIFORM}\n[stream]\nwindow = 6\n[batch]\nsize = 16\n", stop_or_repeat(repeat));
    Recipe::from_toml_file(mixed.recipe("seed = 5\nepochs = 2", &rest)).unwrap()
}

#[test]
fn threads_prefetch_delays_and_ranks_change_nothing_in_a_mixture() {
    let mixed = mixed();
    for repeat in [false, true] {
        let expected = train(&mut recipe(&mixed, repeat).threads(1).prefetch(1).open().unwrap(), usize::MAX);
        assert!(expected.len() > 15, "{}", expected.len());
        for (run, (threads, prefetch)) in [(1, 15), (2, 4), (4, 1), (8, 15)].into_iter().enumerate() {
            let delay = move |block: u32| {
                let micros = (u64::from(block) + 1) * 2_654_435_761 * (run as u64 + 1) % 2_000;
                std::thread::sleep(Duration::from_micros(micros));
            };
            let recipe = recipe(&mixed, repeat).threads(threads).prefetch(prefetch);
            let mut stream = Stream::builder(recipe).before_read(delay).open().unwrap();
            assert_eq!(train(&mut stream, usize::MAX), expected, "{threads} threads, prefetch {prefetch}");
        }
        let mut lines: Vec<Line> =
            (0..3).flat_map(|rank| walk(recipe(&mixed, repeat).rank(rank, 3).open().unwrap())).collect();
        lines.sort_by_key(|line| line.number);
        assert_eq!(lines, expected, "three ranks");
    }
}

/// Every state and every batch of a run, and of the runs that go on from each of its states.
fn resumes_everywhere(open: impl Fn(Option<State>, u32) -> Stream) -> Vec<Line> {
    let mut stream = open(None, 2);
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
        let bytes = state.to_bytes().unwrap();
        let mut again = open(Some(State::from_bytes(&bytes).unwrap()), 1 + batch as u32 % 4);
        assert_eq!(again.state().unwrap(), *state, "restored before batch {batch}");
        let length = if batch % 5 == 0 { usize::MAX } else { 3 };
        for (next, expected) in lines.iter().enumerate().skip(batch).take(length) {
            assert_eq!(train(&mut again, 1), std::slice::from_ref(expected), "from {batch}, batch {next}");
            assert_eq!(again.state().unwrap(), states[next + 1], "from {batch}, state after {next}");
        }
    }
    lines
}

#[test]
fn a_mixture_resumes_before_every_batch() {
    let mixed = mixed();
    for repeat in [false, true] {
        let lines = resumes_everywhere(|state, threads| {
            let builder = Stream::builder(recipe(&mixed, repeat).threads(threads));
            match state {
                Some(state) => builder.resume(state).open().unwrap(),
                None => builder.open().unwrap(),
            }
        });
        assert!(lines.len() > 15);
    }
}

/// A policy that gives each domain a share by its mean loss, and remembers how often it did.
#[derive(Debug)]
struct ByLoss;

impl Policy for ByLoss {
    fn name(&self) -> &str {
        "by_loss"
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn fingerprint(&self) -> String {
        "by_loss 1".into()
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn fit(&self, _: &Table, _: &Classes, _: u32) -> Parameters {
        Parameters::default()
    }

    fn targets(&self, _: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        // A weight that tells the domain.
        out.extend(rows.domains().map(|domain| Target { weight: 1.0 + domain as f32, inclusion: 1.0 }));
    }

    fn reshare(&self, opening: &MixtureOpening<'_>) -> Option<Reshare> {
        let count = opening.memory.first().copied().unwrap_or(0.0);
        let rows = |report: &Report| report.rows.iter().map(|row| (row.0.block, row.1.loss)).collect::<Vec<_>>();
        let rows: Vec<(u32, f32)> = opening.reports.iter().flat_map(rows).filter(|row| row.1.is_finite()).collect();
        if rows.is_empty() {
            return None;
        }
        let loss = |domain: &arable_loader::Domain| -> f64 {
            rows.iter().filter(|row| domain.blocks.contains(&row.0)).map(|row| f64::from(row.1)).sum()
        };
        let shares =
            opening.domains.iter().zip(opening.in_force).map(|(domain, share)| 0.05 + share + loss(domain) / 50.0);
        Some(Reshare { shares: shares.collect(), memory: vec![count + 1.0] })
    }
}

#[test]
fn a_policy_moves_shares_and_a_resumed_run_moves_them_alike() {
    let mixed = mixed();
    let rest = format!("{}{DIRT}[stream]\nwindow = 4\n[batch]\nsize = 8\n", stop_or_repeat(true));
    let path = mixed.recipe("seed = 5\nepochs = 2", &rest);
    let run = mixed.domains[0].folder.path().join("moved");
    let open = |state: Option<State>, threads: u32| {
        let builder = Stream::builder(Recipe::from_toml_file(&path).unwrap().threads(threads)).policy(Arc::new(ByLoss));
        match state {
            Some(state) => builder.resume(state).open().unwrap(),
            None => builder.open().unwrap(),
        }
    };
    let lines = resumes_everywhere(open);
    let recorded = Stream::builder(Recipe::from_toml_file(&path).unwrap()).policy(Arc::new(ByLoss)).record(&run);
    assert_eq!(train(&mut recorded.open().unwrap(), usize::MAX), lines);
    let plan = open_plan(&path);
    for line in &lines {
        for (position, weight) in line.positions.iter().zip(&line.weights) {
            assert_eq!(f32::from_bits(*weight), 1.0 + plan.domain_of(position.block) as f32);
        }
    }
    let shares: std::collections::BTreeSet<Vec<u64>> = ledger::verify(&run.join("ledger.jsonl"))
        .unwrap()
        .records
        .into_iter()
        .filter_map(|record| match record {
            Record::Draw { shares, .. } => Some(shares),
            _ => None,
        })
        .collect();
    assert!(shares.len() > 3, "shares moved: {shares:?}");
}

fn open_plan(path: &std::path::Path) -> Plan {
    Recipe::from_toml_file(path).unwrap().open().unwrap().plan().clone()
}

#[test]
fn duplicates_are_found_across_domains_and_a_repeated_row_is_none() {
    // Texts are the same in both, so what one domain gave first the other may not give.
    let mixed = Mixed::new(Format::Parquet, &[(200, 1.0), (100, 1.0)], 25);
    let rest = format!("{}{}[batch]\nsize = 16\n", stop_or_repeat(true), arable_tests::CLEAN);
    let mut stream = Recipe::from_toml_file(mixed.recipe("epochs = 3", &rest)).unwrap().open().unwrap();
    let mut texts: BTreeMap<String, std::collections::BTreeSet<Position>> = BTreeMap::new();
    let mut presented = 0_u64;
    for batch in stream.by_ref() {
        use arrow::array::AsArray;
        let batch = batch.unwrap();
        let column = batch.data.column_by_name("text").unwrap().as_string::<i32>();
        for (position, text) in batch.positions.iter().zip(column) {
            texts.entry(text.unwrap().to_owned()).or_default().insert(*position);
            presented += 1;
        }
    }
    assert!(texts.values().all(|rows| rows.len() == 1), "no text comes from two rows");
    let accounts = stream.domains();
    assert!(accounts.iter().all(|domain| domain.account.dropped["exact_duplicate"] > 0));
    assert!(presented > texts.len() as u64 * 3, "the smaller domain repeats");
    assert_eq!(accounts.iter().map(|domain| domain.trained).sum::<u64>(), presented);
}

#[test]
fn the_command_line_accounts_for_each_domain() {
    let mixed = mixed();
    let path = mixed.recipe("", &format!("{}{DIRT}", stop_or_repeat(true))).display().to_string();
    let ran = arable(ARABLE, ["stream", &path, "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    let domains = json["domains"].as_array().unwrap();
    assert_eq!(domains.len(), 4);
    for (domain, data) in domains.iter().zip(&mixed.domains) {
        let rows = &domain["rows"];
        let dropped: u64 = rows["dropped"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
        assert_eq!(rows["read"], data.rows.len() as u64);
        assert_eq!(rows["kept"].as_u64().unwrap() + dropped, data.rows.len() as u64);
    }
    let trained: u64 = domains.iter().map(|domain| domain["trained"].as_u64().unwrap()).sum();
    assert_eq!(json["trained"], trained);
    let words = arable(ARABLE, ["stream", &path]).out;
    assert!(words.contains("d0") && words.contains("d3") && words.contains("share"), "{words}");
}

#[test]
fn what_is_wrong_with_a_domain_is_said_with_its_name() {
    let mixed = Mixed::new(Format::Jsonl, &[(20, 1.0), (20, 1.0)], 10);
    let says = |text: &str, status: i32, words: &[&str]| {
        let path = mixed.domains[0].folder.path().join("wrong.toml");
        std::fs::write(&path, text).unwrap();
        let ran = arable(ARABLE, ["stream", &path.display().to_string()]);
        assert_eq!(ran.status, status, "{ran:?}");
        words.iter().for_each(|word| assert!(ran.err.contains(word), "`{word}` is missing in {}", ran.err));
    };
    let text = std::fs::read_to_string(mixed.recipe("", "")).unwrap();
    says(&text.replacen("share = 1.0", "share = -1", 1), 2, &["[[domain]] 1", "d0", "share"]);
    says(&text.replace("\"d1\"", "\"d0\""), 2, &["[[domain]] 2", "d0", "its own"]);
    says(&text.replacen("part-", "prat-", 1), 2, &["d0", "prat-"]);
    says(&format!("{text}[dataset]\nurl = 'a.csv'"), 2, &["[dataset]", "[[domain]]"]);
    says(&text.replacen("\"label\"]", "\"lable\"]", 1), 2, &["d0", "lable", "label"]);
    // A domain of which nothing is kept cannot have its share.
    says(&format!("{text}[[clean]]\nop = \"range\"\ncolumn = \"id\"\nmin = 1000"), 1, &["d0", "gave none", "20"]);
    let types = "[[domain]]\nname = \"odd\"\nshare = 1\nurl = 'odd.jsonl'\ncolumns = [\"id\", \"text\", \"label\"]\n";
    let odd = mixed.domains[0].folder.path().join("odd.jsonl");
    std::fs::write(odd, "{\"id\":1,\"text\":[1],\"label\":1}\n").unwrap();
    says(&format!("{text}{types}"), 1, &["odd", "text"]);
}
