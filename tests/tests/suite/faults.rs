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
