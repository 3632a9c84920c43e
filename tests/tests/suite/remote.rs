//! Remote stores: a web server on loopback that fails as it is told to. What it gives is what the local files give, to the
//! byte, or it is an error or a quarantined block with its place.

use crate::datasets;
use arable_loader::{Error, Recipe, Result, Stream, recipe::OnBad};
use arable_tests::{Answer, CLEAN, Data, Format, HttpServer, Line, walk};
use std::fs;

/// A recipe over what `server` serves of `data`, patient enough for a test.
fn recipe(server: &HttpServer, data: &Data) -> Recipe {
    Recipe::new(server.url(&pattern(data))).label("label").retries(3).timeout(20)
}

/// All shards by name: a web server lists nothing.
fn pattern(data: &Data) -> String {
    let last = fs::read_dir(data.files()).unwrap().count() - 1;
    let name = data.shard(0).file_name().unwrap().to_str().unwrap().to_owned();
    let all = if last == 0 { name } else { name.replace("part-00", &format!("part-{{00..{last:02}}}")) };
    format!("data/{all}")
}

fn local(data: &Data) -> Recipe {
    Recipe::new(data.url()).label("label")
}

fn lines(recipe: Recipe) -> Vec<Line> {
    walk(recipe.epochs(2).open().unwrap())
}

/// Walks as far as it goes.
fn fault(stream: Stream) -> Option<Error> {
    stream.filter_map(Result::err).next()
}

#[test]
fn every_format_is_over_http_what_it_is_on_disk() {
    for data in datasets() {
        let server = HttpServer::serve(data.folder.path());
        let expected = lines(local(&data));
        for threads in [1, 4] {
            assert_eq!(lines(recipe(&server, &data).threads(threads)), expected, "{:?}", data.format);
        }
    }
}

#[test]
fn what_a_store_fails_at_once_is_asked_for_again() {
    for data in datasets() {
        let server = HttpServer::serve(data.folder.path());
        let expected = lines(local(&data));
        for tags in [true, false] {
            server.tags(tags);
            server.answer(move |asked| match (asked.before, asked.range.as_ref().map(|range| range.start % 5)) {
                (0, None) => Answer::Status(503),
                (0, Some(0)) => Answer::Status(500),
                (0 | 1, Some(1)) => Answer::Half,
                (0, Some(2)) => Answer::Reset,
                (0, Some(3)) => Answer::WrongRange,
                _ => Answer::Right,
            });
            assert_eq!(lines(recipe(&server, &data)), expected, "{:?}, ETags {tags}", data.format);
        }
        assert!(server.asked().iter().any(|asked| asked.before > 0), "nothing failed");
    }
}

#[test]
fn an_answer_that_never_comes_is_given_up_and_asked_for_again() {
    let data = Data::new(Format::Parquet, 1, 100, 50);
    let server = HttpServer::serve(data.folder.path());
    server.answer(|asked| match (asked.before, &asked.range) {
        (0, Some(range)) if range.start < 100 => Answer::Stall,
        _ => Answer::Right,
    });
    assert_eq!(lines(recipe(&server, &data).timeout(1)), lines(local(&data)));
}

#[test]
fn an_object_that_changes_in_mid_run_is_never_trained_on() {
    for (data, tags) in datasets().into_iter().flat_map(|data| {
        let again = Data::new(data.format, 3, 150, 40);
        [(data, true), (again, false)]
    }) {
        let server = HttpServer::serve(data.folder.path());
        server.tags(tags);
        for on_bad in [OnBad::Stop, OnBad::Quarantine] {
            let mut stream = recipe(&server, &data).on_bad_block(on_bad).open().unwrap();
            let whole = fs::read(data.shard(1)).unwrap();
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            fs::write(data.shard(1), &changed).unwrap();
            if on_bad == OnBad::Stop {
                let error = fault(stream).expect("the change was not seen");
                let text = error.to_string();
                assert!(matches!(error, Error::Data { .. }), "{text}");
                assert!(text.contains("part-01") && text.contains("changed since the plan was made"), "{text}");
                assert!(text.contains("block"), "{text}");
            } else {
                assert_eq!(stream.by_ref().filter_map(Result::err).count(), 0);
                let account = stream.account();
                let plan = stream.plan();
                let of_shard = plan.blocks.iter().filter(|block| block.shard == 1);
                assert_eq!(account.quarantined, of_shard.map(|block| u64::from(block.rows)).sum::<u64>());
                assert_eq!(account.read, plan.rows());
            }
            fs::write(data.shard(1), &whole).unwrap();
        }
    }
}

#[test]
fn a_vanished_object_is_named() {
    for data in datasets() {
        let server = HttpServer::serve(data.folder.path());
        let stream = recipe(&server, &data).open().unwrap();
        fs::remove_file(data.shard(0)).unwrap();
        let text = fault(stream).expect("nothing was missed").to_string();
        assert!(text.contains("cannot read") && text.contains("part-00"), "{text}");
    }
}

#[test]
fn a_store_that_stays_down_is_an_error_and_no_hang() {
    let data = Data::new(Format::Arrow, 1, 100, 50);
    let server = HttpServer::serve(data.folder.path());
    let answers = [Answer::Reset, Answer::Half, Answer::WrongRange, Answer::Whole];
    for answer in answers.into_iter().chain([503, 416, 403].map(Answer::Status)) {
        server.answer(|_| Answer::Right);
        let stream = recipe(&server, &data).retries(1).open().unwrap();
        server.answer(move |_| answer);
        let error = fault(stream).expect("it went on without its data");
        assert!(matches!(error, Error::Io { .. }), "{answer:?}: {error}");
        assert!(error.to_string().contains("part-00"), "{error}");
    }
}

#[test]
fn what_cannot_be_listed_says_how_to_name_it_and_a_manifest_names_it() {
    let data = Data::new(Format::Jsonl, 3, 40, 0);
    let server = HttpServer::serve(data.folder.path());
    let glob = || Recipe::new(server.url("data/*.jsonl")).label("label").retries(0);
    let error = glob().open().unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("{000..127}"), "{error}");

    let local_files = data.files().display().to_string();
    let options = arable_loader::source::Options::new(local_files);
    arable_loader::source::write_manifest(&options).unwrap();
    assert_eq!(lines(glob()), lines(local(&data)));
    let missing = Recipe::new(server.url("data/part-09.jsonl")).retries(0).open().unwrap_err();
    assert!(missing.to_string().contains("part-09"), "{missing}");
}

#[test]
fn a_run_goes_on_from_another_store() {
    for data in datasets() {
        let server = HttpServer::serve(data.folder.path());
        let clean = |recipe: Recipe| Recipe { clean: Recipe::from_toml(&toml()).unwrap().clean, ..recipe };
        let whole = walk(clean(local(&data)).open().unwrap());
        let mut begun = clean(local(&data)).open().unwrap();
        let head: Vec<Line> = begun.by_ref().take(3).map(|batch| arable_tests::walk_batch(&batch.unwrap())).collect();
        let rest = Stream::builder(clean(recipe(&server, &data))).resume(begun.state().unwrap()).open().unwrap();
        assert_eq!([head, walk(rest)].concat(), whole, "{:?}", data.format);
    }
}

fn toml() -> String {
    format!("[dataset]\nurl = \"x\"\n{CLEAN}")
}

#[test]
fn column_chunks_of_a_block_come_in_one_request() {
    let data = Data::new(Format::Parquet, 1, 200, 50);
    let server = HttpServer::serve(data.folder.path());
    let stream = recipe(&server, &data).columns(["id", "label"]).open().unwrap();
    let blocks = stream.plan().blocks.len();
    drop(server.asked());
    assert_eq!(walk(stream).iter().map(|line| line.ids.len()).sum::<usize>(), 200);
    assert_eq!(server.asked().len(), blocks);
}

#[test]
fn what_signs_an_address_goes_to_the_server_and_into_no_message() {
    let data = Data::new(Format::Csv, 1, 50, 0);
    let server = HttpServer::serve(data.folder.path());
    let signed = format!("{}?sig=secret", server.url(&pattern(&data)));
    let recipe = || Recipe::new(signed.clone()).retries(0);
    assert_eq!(walk(recipe().open().unwrap()).iter().map(|line| line.ids.len()).sum::<usize>(), 50);
    for answer in [Answer::Reset, Answer::Stall, Answer::Half, Answer::Whole]
        .into_iter()
        .chain([400, 401, 403, 404, 500].map(Answer::Status))
    {
        server.answer(move |_| answer);
        let error = recipe().timeout(1).open().unwrap_err();
        // As whoever prints all causes shows it.
        let mut said = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            said += &format!(" {inner} {inner:?}");
            cause = inner.source();
        }
        assert!(said.contains("part-00") && !said.contains("secret"), "{answer:?}: {said}");
    }
}
