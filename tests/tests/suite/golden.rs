//! The orders that this version emits, held against a file, so that no later version changes them in silence.
//!
//! A change of `golden/orders.tsv` is a change of what every user's runs emit: states and replays of older runs no longer
//! fit. To write it anew, on purpose: `ARABLE_WRITE_GOLDEN=1 cargo test -p arable-tests golden`, and look at what differs.

use crate::POLICIES;
use arable_loader::Recipe;
use arable_tests::{CLEAN, Data, Format, Line, train};
use std::{env, fmt::Write, fs, path::Path};

/// One line a case: what it is, how many batches and rows, BLAKE3 over the hashes of all batches (positions, weights and
/// column bytes), and the first rows by their number.
fn lines() -> String {
    let mut text = String::new();
    for format in Format::ALL {
        let data = if format.is_text() { Data::new(format, 5, 60, 0) } else { Data::new(format, 3, 100, 20) };
        for policy in POLICIES {
            let name = policy.split('"').nth(1).unwrap();
            let rest = format!(
                "{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 3\nprefetch = 1\nfeedback_lag = 2\n[batch]\nsize = 7"
            );
            let recipe = Recipe::from_toml_file(data.recipe("seed = 42\nepochs = 4", &rest)).unwrap();
            line(&mut text, &format!("{format:?} {name}"), &train(&mut recipe.open().unwrap(), usize::MAX));
        }
        // With every default but the seed's, which is one already.
        let recipe = Recipe::new(data.url());
        line(&mut text, &format!("{format:?} defaults"), &train(&mut recipe.open().unwrap(), usize::MAX));
    }
    text
}

fn line(text: &mut String, case: &str, lines: &[Line]) {
    let hash = blake3::hash(lines.iter().map(|line| line.hash.as_str()).collect::<String>().as_bytes()).to_hex();
    let ids: Vec<i64> = lines.iter().flat_map(|line| line.ids.iter().copied()).collect();
    let first: Vec<String> = ids.iter().take(12).map(ToString::to_string).collect();
    let batches = lines.len();
    writeln!(text, "{case}\t{batches}\t{}\t{hash}\t{}", ids.len(), first.join(" ")).unwrap();
}

#[test]
fn orders_weights_and_bytes_are_those_that_they_always_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/golden/orders.tsv");
    let found = lines();
    if env::var_os("ARABLE_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &found).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden, "see the top of this file");
    }
    assert_eq!(found.lines().count(), golden.lines().count());
}
