//! The orders that this version emits, held against a file, so that no later version changes them in silence.
//!
//! A change of `golden/orders.tsv` is a change of what every user's runs emit: states and replays of older runs no longer
//! fit. To write it anew, on purpose: `ARABLE_WRITE_GOLDEN=1 cargo test -p arable-tests golden`, and look at what differs.

use crate::{DENOISE, POLICIES, UNIFORM};
use arable_loader::{
    Batch, Recipe, Stream,
    recipe::{OnBad, Part},
    stream::{Buckets, Fit, Packing},
};
use arable_tests::{CLEAN, Data, Format, Line, Mixed, train, walk};
use std::{env, fmt::Write, fs, io::Write as _, path::Path};

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
    mixtures(&mut text);
    layouts(&mut text);
    text
}

const SMALL: &str = "[stream]\nwindow = 3\nprefetch = 1\nfeedback_lag = 2\n[batch]\nsize = 7";

/// Domains, and parts that are kept out.
fn mixtures(text: &mut String) {
    let mixed = Mixed::new(Format::Parquet, &[(120, 1.0), (60, 2.0), (90, 1.5)], 20);
    for exhausted in ["stop", "repeat"] {
        for policy in [UNIFORM, DENOISE] {
            let name = policy.split('"').nth(1).unwrap();
            let rest = format!("[mixture]\nexhausted = \"{exhausted}\"\n{CLEAN}\n[policy]\n{policy}\n{SMALL}");
            let recipe = Recipe::from_toml_file(mixed.recipe("seed = 42\nepochs = 3", &rest)).unwrap();
            let case = format!("mixture {exhausted} {name}");
            line(text, &case, &train(&mut recipe.open().unwrap(), usize::MAX));
        }
    }
    let data = Data::new(Format::Csv, 5, 60, 0);
    let rest = format!("[split]\nvalid = 0.2\nholdout = 0.1\n{CLEAN}\n{SMALL}");
    let recipe = || Recipe::from_toml_file(data.recipe("seed = 42\nepochs = 2", &rest)).unwrap();
    line(text, "split train", &train(&mut recipe().open().unwrap(), usize::MAX));
    for part in [Part::Valid, Part::Holdout] {
        let stream = Stream::builder(recipe()).evaluation(part).open().unwrap();
        line(text, &format!("split {}", part.name()), &walk(stream));
    }
}

/// Rows that are packed, and brought together by their length; and text that is unpacked in order.
fn layouts(text: &mut String) {
    let data = Data::new(Format::Parquet, 3, 100, 20);
    // A row without tags cannot be packed.
    let recipe = || Recipe::from_toml_file(data.recipe("seed = 42\nepochs = 2", SMALL)).unwrap();
    let builder = || Stream::builder(recipe().on_bad_row(OnBad::Quarantine));
    for (name, fit) in [("first fit", Fit::FirstFit), ("concat and cut", Fit::ConcatAndCut)] {
        let stream = builder().pack(Packing::new("tags", 8).fit(fit)).open().unwrap();
        let batches: Vec<Batch> = stream.map(Result::unwrap).collect();
        let places = batches.iter().flat_map(|batch| batch.positions.iter());
        let places = places.map(|place| i64::from(place.block) * 1000 + i64::from(place.row)).collect();
        let hashes: Vec<String> = batches.iter().map(|batch| batch.hash().unwrap().to_string()).collect();
        golden(text, &format!("packed, {name}"), &hashes, places);
    }
    let stream = builder().bucket(Buckets::new("tags", 3)).open().unwrap();
    line(text, "bucketed", &walk(stream));

    let data = Data::new(Format::Jsonl, 4, 60, 0);
    for shard in 0..4 {
        let path = data.shard(shard);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&fs::read(&path).unwrap()).unwrap();
        fs::write(path.with_extension("jsonl.gz"), packed.finish().unwrap()).unwrap();
    }
    let recipe = Recipe::new(format!("{}.gz", data.url())).cache("off").batch_size(7).epochs(2).window(2);
    line(text, "in order, without a cache", &walk(recipe.open().unwrap()));
}

fn line(text: &mut String, case: &str, lines: &[Line]) {
    let hashes: Vec<String> = lines.iter().map(|line| line.hash.clone()).collect();
    golden(text, case, &hashes, lines.iter().flat_map(|line| line.ids.iter().copied()).collect());
}

fn golden(text: &mut String, case: &str, hashes: &[String], ids: Vec<i64>) {
    let hash = blake3::hash(hashes.concat().as_bytes()).to_hex();
    let first: Vec<String> = ids.iter().take(12).map(ToString::to_string).collect();
    let batches = hashes.len();
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
