//! Compressed text and the local cache: what is unpacked is what was packed, whatever keeps it, and no more is kept than
//! may be.

use crate::ARABLE;
use arable_loader::{Error, Recipe, Stream, recipe::ByteSize, source::CacheCounts};
use arable_tests::{Answer, Data, Format, HttpServer, Line, arable_command, walk, walk_batch};
use std::{
    collections::HashSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Child,
    sync::mpsc,
};
use tempfile::TempDir;

const ENDINGS: [&str; 2] = ["gz", "zst"];

fn packed(ending: &str, text: &[u8]) -> Vec<u8> {
    // Cut anywhere: several members and frames are one text.
    let parts = text.chunks(text.len() / 2 + 1).map(|part| match ending {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(part, 1).unwrap(),
    });
    parts.collect::<Vec<_>>().concat()
}

/// The shards of `data`, packed, in a folder of their own.
fn pack(data: &Data, ending: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(data.files()).unwrap() {
        let path = file.unwrap().path();
        let name = format!("{}.{ending}", path.file_name().unwrap().to_str().unwrap());
        fs::write(folder.path().join(name), packed(ending, &fs::read(&path).unwrap())).unwrap();
    }
    folder
}

/// Shards of several blocks each.
fn blocks(format: Format) -> Data {
    let rows = if format == Format::Jsonl { 60_000 } else { 20_000 };
    Data::new(format, 3, rows, 0)
}

fn recipe(folder: &Path, cache: &Path) -> Recipe {
    let recipe = Recipe::new(folder.display().to_string()).label("label").cache(cache.display().to_string());
    recipe.memory(ByteSize::mib(32)).batch_size(1000)
}

fn count(stream: Stream) -> (Vec<Line>, CacheCounts) {
    let mut stream = stream;
    let lines = stream.by_ref().map(|batch| walk_batch(&batch.unwrap())).collect();
    (lines, stream.cache_counts().unwrap())
}

/// The bytes of all files below `folder`.
fn taken(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files
        .map(|file| {
            let about = file.metadata().unwrap();
            if about.is_dir() { taken(&file.path()) } else { about.len() }
        })
        .sum()
}

#[test]
fn packed_text_is_the_text_in_any_order() {
    for format in [Format::Jsonl, Format::Csv] {
        let data = blocks(format);
        let expected = walk(recipe(&data.files(), &data.folder.path().join("unused")).open().unwrap());
        for ending in ENDINGS {
            let (folder, cache) = (pack(&data, ending), tempfile::tempdir().unwrap());
            let open = || recipe(folder.path(), cache.path()).open().unwrap();
            let first = open();
            assert!(first.plan().blocks.len() > first.plan().shards.len(), "blocks are what this is about");
            let (lines, counts) = count(first);
            assert!(lines == expected, "{format:?} {ending}");
            assert_eq!(counts.misses, 3, "each shard is unpacked once");
            let (lines, counts) = count(open());
            assert!(lines == expected && counts.misses == 0, "{counts:?}");
        }
    }
}

#[test]
fn without_a_cache_shards_stay_together_and_a_run_goes_on_where_it_was() {
    for (format, ending) in [(Format::Jsonl, "gz"), (Format::Csv, "zst")] {
        let data = blocks(format);
        let folder = pack(&data, ending);
        let recipe = || recipe(folder.path(), Path::new("off")).memory(ByteSize::mib(64)).epochs(2).window(2);
        let stream = recipe().open().unwrap();
        let blocks = stream.plan().blocks.clone();
        let whole = walk(stream);
        assert_eq!(walk(recipe().threads(4).open().unwrap()), whole);
        // Shards come one after the other; only a window at a border holds two.
        let batches = whole.iter().filter(|line| line.epoch == 0);
        let shards = batches.map(|line| {
            let shards = line.positions.iter().map(|position| blocks[position.block as usize].shard);
            shards.collect::<HashSet<u32>>()
        });
        let (alone, all) = shards.fold((0, 0), |(alone, all), of| (alone + usize::from(of.len() == 1), all + 1));
        assert!(2 * alone > all, "{alone} of {all} batches are of one shard");
        let ids: HashSet<i64> = whole.iter().filter(|line| line.epoch == 0).flat_map(|line| line.ids.clone()).collect();
        assert_eq!(ids.len(), data.rows.len());
        for after in [1, whole.len() / 2, whole.len() - 1] {
            let mut begun = recipe().open().unwrap();
            begun.by_ref().take(after).for_each(|batch| drop(batch.unwrap()));
            let state = begun.state().unwrap();
            let rest = Stream::builder(recipe()).resume(state.clone()).open().unwrap();
            assert_eq!(walk(rest), whole[after..], "{format:?} after {after}");
            let cache = tempfile::tempdir().unwrap();
            let cached = recipe().cache(cache.path().display().to_string());
            let refused = Stream::builder(cached).resume(state).open().unwrap_err();
            assert!(matches!(refused, Error::State(_)), "another order is another stream: {refused}");
        }
    }
}

#[test]
fn a_cut_shard_is_an_error_with_its_place() {
    let data = Data::new(Format::Jsonl, 2, 500, 0);
    for ending in ENDINGS {
        let (folder, cache) = (pack(&data, ending), tempfile::tempdir().unwrap());
        let shard = folder.path().join(format!("part-01.jsonl.{ending}"));
        let whole = fs::read(&shard).unwrap();
        for cache in [cache.path(), Path::new("off")] {
            fs::write(&shard, &whole[..whole.len() - 9]).unwrap();
            let error = recipe(folder.path(), cache).open().unwrap_err();
            assert!(matches!(error, Error::Data { .. }), "{error}");
            assert!(error.to_string().contains("part-01") && error.to_string().contains("after"), "{error}");
            fs::write(&shard, &whole).unwrap();
            assert!(recipe(folder.path(), cache).open().is_ok());
        }
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit_and_leaves_nothing() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let line = format!("{{\"label\":1,\"text\":\"{}\"}}\n", " ".repeat(1 << 20));
    fs::write(folder.path().join("a.jsonl.zst"), zstd::encode_all(line.repeat(200).as_bytes(), 1).unwrap()).unwrap();
    assert!(taken(folder.path()) < 1 << 20);
    let recipe = recipe(folder.path(), cache.path()).cache_limit(ByteSize::mib(20));
    let error = recipe.open().unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("cache_limit"), "{error}");
    assert!(error.to_string().contains("a.jsonl.zst"), "{error}");
    assert!(taken(cache.path()) <= 20 << 20);
}

/// Damages every kept piece.
fn damage(cache: &Path) {
    for file in fs::read_dir(cache.join("arable-1")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "piece") {
            let mut bytes = fs::read(&path).unwrap();
            bytes[9] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn what_is_damaged_in_the_cache_is_made_again() {
    let data = Data::new(Format::Csv, 2, 500, 0);
    let (folder, cache) = (pack(&data, "gz"), tempfile::tempdir().unwrap());
    let expected = walk(recipe(folder.path(), cache.path()).open().unwrap());
    let stream = recipe(folder.path(), cache.path()).open().unwrap();
    damage(cache.path());
    assert_eq!(walk(stream), expected);
    damage(cache.path());
    assert_eq!(walk(recipe(folder.path(), cache.path()).open().unwrap()), expected);
}

fn remote(server: &HttpServer, cache: &Path) -> Recipe {
    let recipe = Recipe::new(server.url("data/part-{00..02}.parquet")).label("label").retries(2).epochs(3);
    recipe.cache(cache.display().to_string()).memory(ByteSize::mib(32)).window(2).batch_size(16)
}

#[test]
fn remote_blocks_are_kept_and_checked_when_they_are_read_again() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let (server, cache) = (HttpServer::serve(data.folder.path()), tempfile::tempdir().unwrap());
    let (expected, counts) = count(remote(&server, cache.path()).open().unwrap());
    assert_eq!((counts.hits, counts.misses), (0, 21), "small data stay in memory after their first pass");
    let stream = remote(&server, cache.path()).open().unwrap();
    drop(server.asked());
    let (lines, counts) = count(stream);
    assert!(lines == expected && counts.hits == 21 && counts.misses == 0, "{counts:?}");
    assert!(server.asked().is_empty(), "everything was here");

    damage(cache.path());
    let (lines, counts) = count(remote(&server, cache.path()).open().unwrap());
    assert!(lines == expected && counts.hits == 0, "{counts:?}");

    // An object of another version is another object, whatever is kept of the old one.
    fs::copy(data.shard(0), data.shard(1)).unwrap();
    let (lines, _) = count(remote(&server, cache.path()).open().unwrap());
    assert_ne!(lines, expected);
}

/// `arable stream` over what `server` serves, with its hashes written to `out`.
fn spawn(server: &HttpServer, cache: &Path, out: &Path) -> Child {
    // A recipe of its own for each process: they may be started side by side.
    let path = out.with_extension("toml");
    let recipe = remote(server, cache).cache_limit(ByteSize(60 << 10)).to_toml().unwrap();
    fs::write(&path, recipe).unwrap();
    let mut command = arable_command(ARABLE);
    command.arg("stream").arg(path).args(["--quiet", "--hashes"]).arg(out).spawn().unwrap()
}

#[test]
fn processes_share_a_cache_and_may_be_killed_while_they_write_it() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    let (server, cache) = (HttpServer::serve(data.folder.path()), tempfile::tempdir().unwrap());
    let out = |name: &str| -> PathBuf { data.folder.path().join(name) };
    let limit = 60 << 10;
    assert!(spawn(&server, cache.path(), &out("alone")).wait().unwrap().success());
    let expected = fs::read(out("alone")).unwrap();
    assert!(taken(cache.path()) > limit / 2, "the cache is in use");
    fs::remove_dir_all(cache.path().join("arable-1")).unwrap();

    for at in [8, 12, 17] {
        let (sender, seen) = mpsc::channel();
        server.answer(move |asked| {
            if asked.range.is_some() {
                // Nobody listens any more once the child is killed.
                let _ = sender.send(());
            }
            Answer::Right
        });
        let mut child = spawn(&server, cache.path(), &out("killed"));
        // As many requests in as that, it is in the midst of it; or at its end, if the killed ones before it left it less
        // to ask for.
        let mut asked = 0;
        while asked < at && child.try_wait().unwrap().is_none() {
            asked += seen.try_iter().count();
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(taken(cache.path()) <= limit);
        server.answer(|_| Answer::Right);
    }

    let mut both = [spawn(&server, cache.path(), &out("one")), spawn(&server, cache.path(), &out("two"))];
    both.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    assert_eq!(fs::read(out("one")).unwrap(), expected);
    assert_eq!(fs::read(out("two")).unwrap(), expected);
    assert!(taken(cache.path()) <= limit);
}
