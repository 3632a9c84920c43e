use super::*;
use proptest::prelude::*;
use std::thread;

const PIECE: usize = 1000;

fn key(number: usize) -> Key {
    Hash::of(&number.to_le_bytes())
}

fn piece(number: usize) -> Vec<u8> {
    (0..PIECE).map(|byte| (byte * 31 + number * 7) as u8).collect()
}

/// What the files of a cache take in bytes.
fn taken(folder: &Path) -> u64 {
    fs::read_dir(folder.join(LAYOUT)).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// A limit that so many pieces fit into.
fn limit(pieces: u64) -> u64 {
    pieces * (PIECE as u64 + 32 + 48) + 8
}

#[test]
fn what_was_kept_comes_back_whole_or_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), 1 << 30).unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    cache.put(&key(1), &bytes);
    assert_eq!(cache.read(&key(1)).unwrap(), bytes);
    let entry = cache.get(&key(1)).unwrap();
    for range in [0..0, 0..1, 1_048_575..1_048_577, 2_999_999..3_000_000, 5..2_500_000] {
        let wanted = &bytes[range.start as usize..range.end as usize];
        assert_eq!(entry.read(range).unwrap(), wanted);
    }
    assert_eq!(entry.read(0..3_000_001), None);
    assert!(cache.read(&key(2)).is_none());
    assert_eq!((cache.counts().hits, cache.counts().misses, cache.counts().hit_bytes), (1, 1, 3_000_000));
}

#[test]
fn a_damaged_piece_is_a_miss_and_is_kept_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), limit(3)).unwrap();
    let path = cache.path(&key(1));
    cache.put(&key(1), &piece(1));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        assert!(cache.read(&key(1)).is_none(), "a flip at byte {at} was not seen");
    }
    for length in [0, 1, 47, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(cache.read(&key(1)).is_none(), "a cut to {length} bytes was not seen");
    }
    cache.put(&key(1), &piece(1));
    assert_eq!(cache.read(&key(1)).unwrap(), piece(1));
}

#[test]
fn the_limit_holds_whoever_writes() {
    let folder = tempfile::tempdir().unwrap();
    // Two caches of one folder stand for two processes: each has the lock's file open for itself.
    let caches = [(); 2].map(|()| Cache::open(folder.path(), limit(5)).unwrap());
    thread::scope(|scope| {
        for (first, cache) in caches.iter().enumerate() {
            for thread in 0..2 {
                scope.spawn(move || {
                    for number in (first * 2 + thread..60).step_by(3) {
                        cache.put(&key(number), &piece(number));
                        if let Some(bytes) = cache.read(&key(number)) {
                            assert_eq!(bytes, piece(number));
                        }
                    }
                });
            }
        }
    });
    assert!(taken(folder.path()) <= limit(5));
    // Two who put the same piece at once make room for both, and one of them takes the other's place.
    for number in 60..65 {
        caches[0].put(&key(number), &piece(number));
    }
    assert!(taken(folder.path()) <= limit(5));
    assert!(taken(folder.path()) > limit(4), "room is left that could be used");
}

#[test]
fn what_a_process_left_unfinished_is_cleared_away_and_what_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), limit(4)).unwrap();
    let mut writing = cache.writer(&key(1)).unwrap();
    writing.write(&cache, &piece(1)[..10]).unwrap();
    let mut left = cache.writer(&key(2)).unwrap();
    left.write(&cache, &piece(2)).unwrap();
    // A file that is closed unfinished is what kill -9 leaves: its lock is gone.
    drop(left);
    let again = Cache::open(folder.path(), limit(4)).unwrap();
    assert!(taken(folder.path()) <= limit(1));
    assert!(again.read(&key(2)).is_none());
    writing.write(&cache, &piece(1)[10..]).unwrap();
    drop(writing.finish(&cache).unwrap());
    assert_eq!(again.read(&key(1)).unwrap(), piece(1));
}

#[test]
fn what_is_in_use_stays_and_what_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path(), limit(1)).unwrap();
    cache.put(&key(1), &piece(1));
    let held = cache.get(&key(1)).unwrap();
    cache.put(&key(2), &piece(2));
    assert!(cache.get(&key(2)).is_none());
    assert_eq!(held.read(0..PIECE as u64).unwrap(), piece(1));
    drop(held);
    let mut bomb = cache.writer(&key(3)).unwrap();
    let error = (0..1000).find_map(|_| bomb.write(&cache, &piece(3)).err()).expect("there is no limit");
    assert!(error.is_usage() && error.to_string().contains("cache_limit"), "{error}");
    assert!(taken(folder.path()) <= limit(1));
}

/// The most hits that any choice of what to keep can have (Belady 1966, with the choice not to keep).
fn optimum(reads: &[usize], room: usize) -> u64 {
    let (mut kept, mut hits) = (Vec::new(), 0);
    for (time, read) in reads.iter().enumerate() {
        let next = |piece: usize| reads[time + 1..].iter().position(|read| *read == piece).unwrap_or(usize::MAX);
        if kept.contains(read) {
            hits += 1;
        } else {
            kept.push(*read);
        }
        if kept.len() > room {
            let last = (0..kept.len()).max_by_key(|index| next(kept[*index])).unwrap();
            kept.swap_remove(last);
        }
    }
    hits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_choice_of_what_to_keep_has_more_hits(
        reads in proptest::collection::vec(0_usize..6, 1..40), room in 1_usize..5
    ) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), limit(room as u64)).unwrap();
        cache.expect(reads.iter().map(|number| key(*number)));
        for number in &reads {
            if cache.read(&key(*number)).is_none() {
                cache.put(&key(*number), &piece(*number));
            }
            prop_assert!(taken(folder.path()) <= limit(room as u64));
        }
        prop_assert_eq!(cache.counts().hits, optimum(&reads, room));
    }
}
