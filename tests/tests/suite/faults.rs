//! I7 as far as this version goes: a flipped bit, a truncated file or a missing one is detected, reported with its
//! place, and never trained on.

use crate::{ARABLE, open};
use arable_tests::{Data, Format, arable, walk};
use std::{fs, path::Path};

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x04;
    fs::write(path, bytes).unwrap();
}

fn manifest(data: &Data) {
    let ran = arable(ARABLE, ["inspect", &data.files().display().to_string(), "--write-manifest", "--quiet"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(data.files().join("_arable_manifest.json").exists());
}

#[test]
fn a_flipped_bit_stops_the_stream_with_its_place_or_is_quarantined_with_its_block() {
    for format in Format::ALL {
        let data = Data::new(format, 3, 200, 50);
        let whole = walk(open(&data.recipe("", "")).unwrap());
        manifest(&data);
        let again = walk(open(&data.recipe("", "")).unwrap());
        assert_eq!(again, whole, "a manifest changes nothing");
        // Within the first block's data; what precedes it is a schema in Arrow.
        flip(&data.shard(1), if format == Format::Arrow { 2000 } else { 60 });

        let error = match open(&data.recipe("", "")) {
            Err(error) => error,
            Ok(stream) => stream.filter_map(Result::err).next().expect("the damage is found"),
        };
        assert!(!error.is_usage());
        assert!(error.to_string().contains("part-01"), "{error}");
        let ran = arable(ARABLE, ["stream", &data.recipe("", "").display().to_string(), "--quiet"]);
        assert!(ran.status == 1 && ran.err.contains("part-01"), "{ran:?}");
        if format.is_text() {
            // The scan of a text file finds the damage before the first batch.
            continue;
        }
        let mut stream = open(&data.recipe("epochs = 2", "[stream]\non_bad_block = \"quarantine\"")).unwrap();
        let ids: Vec<i64> = stream.by_ref().flat_map(|batch| arable_tests::walk_batch(&batch.unwrap()).ids).collect();
        assert!(ids.iter().all(|id| !(200..250).contains(id)), "no row of the damaged block is emitted");
        assert_eq!(ids.len(), 2 * 550);
        assert_eq!(stream.account().quarantined, 50);
        assert!(stream.faults()[0].contains("part-01"), "{:?}", stream.faults());
        assert!(stream.account().balances());
    }
}

#[test]
fn a_file_that_changes_or_vanishes_under_way_is_found() {
    for format in Format::ALL {
        for vanish in [true, false] {
            let data = Data::new(format, 4, 100, 25);
            let stream = open(&data.recipe("", "[stream]\nwindow = 1\nthreads = 1\n[batch]\nsize = 8")).unwrap();
            // The plan is made; nothing is read yet.
            for shard in 0..4 {
                if vanish {
                    fs::remove_file(data.shard(shard)).unwrap();
                } else {
                    let bytes = fs::read(data.shard(shard)).unwrap();
                    fs::write(data.shard(shard), &bytes[..bytes.len() / 2]).unwrap();
                }
            }
            let error = stream.filter_map(Result::err).next().expect("the fault is found").to_string();
            assert!(error.contains("part-0"), "{error}");
        }
    }
}

#[test]
fn what_is_no_file_of_its_format_is_refused_with_its_name() {
    let data = Data::new(Format::Parquet, 2, 100, 25);
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"not a parquet file at all, only some text\n"] {
        fs::write(data.shard(1), bytes).unwrap();
        let error = open(&data.recipe("", "")).unwrap_err().to_string();
        assert!(error.contains("part-01.parquet"), "{error}");
    }
}

/// What happens to a file in the middle of a run, just before one of its blocks is read.
#[test]
fn a_file_that_is_damaged_in_the_middle_of_a_run_is_found_and_never_trained_on() {
    let harms: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
        },
        |path| {
            // Every second byte, so that the block that comes is among those that are hit, and the length stays.
            let bytes = fs::read(path).unwrap();
            fs::write(path, bytes.iter().map(|byte| byte ^ 0x11).collect::<Vec<_>>()).unwrap();
        },
    ];
    for format in Format::ALL {
        for (kind, harm) in harms.into_iter().enumerate() {
            for lenient in [true, false] {
                let data = Data::new(format, 4, 100, 25);
                manifest(&data);
                let whole = walk(open(&data.recipe("", "")).unwrap());
                let rest = if lenient { "[stream]\non_bad_block = \"quarantine\"\nthreads = 1" } else { "" };
                let recipe = arable_loader::Recipe::from_toml_file(data.recipe("", rest)).unwrap();
                // The sixth read finds the third shard harmed; text has one block a shard, so there the third does.
                let read = std::sync::atomic::AtomicU32::new(0);
                let (path, when) = (data.shard(2), if format.is_text() { 1 } else { 5 });
                let hook = move |_| {
                    if read.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == when {
                        harm(&path);
                    }
                };
                let mut stream = arable_loader::Stream::builder(recipe).before_read(hook).open().unwrap();
                let mut ids = Vec::new();
                let mut fault = None;
                for batch in stream.by_ref() {
                    match batch {
                        Ok(batch) => ids.extend(arable_tests::walk_batch(&batch).ids),
                        Err(error) => fault = Some(error),
                    }
                }
                let case = format!("{format:?}, harm {kind}, lenient {lenient}");
                let account = stream.account();
                assert!(account.balances(), "{case}: {account:?}");
                let good: std::collections::HashSet<i64> = whole.iter().flat_map(|line| line.ids.clone()).collect();
                assert!(ids.iter().all(|id| good.contains(id)), "{case}");
                if let Some(fault) = fault {
                    assert!(!lenient, "{case}: {fault}");
                    assert!(!fault.is_usage() && fault.to_string().contains("part-02"), "{case}: {fault}");
                } else if lenient {
                    assert_eq!(ids.len() as u64, account.kept, "{case}");
                    assert_eq!(account.read, 400, "{case}");
                    assert_eq!(stream.faults().is_empty(), account.quarantined == 0, "{case}");
                } else {
                    // Every block of the shard had been read before.
                    assert_eq!(ids.len(), 400, "{case}");
                }
            }
        }
    }
}

/// Data that changed under the same name are other data, and a state or a manifest of the old ones does not fit.
#[test]
fn changed_data_under_the_same_name_are_refused() {
    for format in Format::ALL {
        let data = Data::new(format, 2, 100, 25);
        let recipe = data.recipe("", "[batch]\nsize = 16").display().to_string();
        let state = data.folder.path().join("state").display().to_string();
        let ran = arable(ARABLE, ["stream", &recipe, "--quiet", "--stop-after", "3", "--save-state", &state]);
        assert_eq!(ran.status, 0, "{ran:?}");
        // The same shape, other rows.
        let other = Data::new(format, 3, 100, 25);
        fs::copy(other.shard(2), data.shard(1)).unwrap();
        let ran = arable(ARABLE, ["stream", &recipe, "--quiet", "--resume", &state]);
        assert_eq!(ran.status, 1, "{format:?}: {ran:?}");
        assert!(ran.err.contains("other data") || ran.err.contains("changed"), "{ran:?}");
    }
}
