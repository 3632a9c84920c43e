//! The transform stage, packing and length bucketing: they never change which rows an epoch emits, and I2 and I3 hold for
//! them as for the plain stream.

use crate::UNIFORM;
use arable_loader::{
    Batch, Error, Place, Position, Recipe, Result, Stream,
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, UInt32Array},
        datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type},
    },
    ledger,
    stream::{Buckets, Fit, Packing, QUARANTINE, Samples, State, StreamBuilder, Transform, Transformed},
};
use arable_tests::{CLEAN, Data, Format};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Tokens of a row: its id, as often as `id % spread + 1`, each with a random number of its own beside it.
#[derive(Debug)]
struct Tokenise {
    spread: i64,
    /// One row of so many cannot be tokenised.
    bad: i64,
}

impl Default for Tokenise {
    fn default() -> Self {
        Self { spread: 9, bad: i64::MAX }
    }
}

impl Transform for Tokenise {
    fn fingerprint(&self) -> String {
        format!("tokenise 1 {} {}", self.spread, self.bad)
    }

    fn schema(&self, _: &SchemaRef) -> Result<SchemaRef> {
        let list = DataType::new_list(DataType::Int64, false);
        let field = |name, data_type| Field::new(name, data_type, false);
        Ok(Arc::new(Schema::new(vec![
            field("id", DataType::Int64),
            field("tokens", list),
            field("noise", DataType::UInt32),
        ])))
    }

    fn apply(&self, samples: &Samples<'_>) -> Result<Transformed> {
        let ids = samples.data.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        if let Some(id) = ids.values().iter().find(|id| **id % self.bad == self.bad - 1) {
            return Err(Error::data(Place::default().column("text"), format!("no word in row {id}")));
        }
        let tokens = ids.values().iter().map(|&id| vec![id; (id % self.spread + 1) as usize]);
        let noise = (0..ids.len()).map(|row| samples.randomness(row, "noise").below(1 << 30) as u32);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(ids.clone()), Arc::new(lists(tokens)), Arc::new(UInt32Array::from_iter_values(noise))];
        Ok(RecordBatch::try_new(self.schema(&samples.data.schema())?, columns).unwrap().into())
    }
}

fn lists(rows: impl Iterator<Item = Vec<i64>>) -> ListArray {
    let rows: Vec<Vec<i64>> = rows.collect();
    let offsets = arable_loader::arrow::buffer::OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    let items = Arc::new(Int64Array::from(rows.concat())) as ArrayRef;
    ListArray::new(Arc::new(Field::new_list_field(DataType::Int64, false)), offsets, items, None)
}

/// What can be laid out, each by its name.
const LAYOUTS: [&str; 4] = ["plain", "buckets", "first fit", "concat and cut"];

fn laid_out(builder: StreamBuilder, layout: &str) -> StreamBuilder {
    match layout {
        "plain" => builder,
        "buckets" => builder.bucket(Buckets::new("tokens", 3)),
        "first fit" => builder.pack(Packing::new("tokens", 12).padding(-1)),
        _ => builder.pack(Packing::new("tokens", 12).padding(-1).fit(Fit::ConcatAndCut)),
    }
}

fn recipe(data: &Data) -> Recipe {
    let rest = format!("{CLEAN}\n[policy]\n{UNIFORM}\n[stream]\nwindow = 4\n[batch]\nsize = 8");
    Recipe::from_toml_file(data.recipe("seed = 5\nepochs = 2", &rest)).unwrap()
}

fn builder(recipe: Recipe, layout: &str) -> StreamBuilder {
    laid_out(Stream::builder(recipe).transform(Arc::new(Tokenise::default())), layout)
}

/// All that can be told of a batch whatever its layout.
fn line(batch: &Batch) -> (u64, u32, String, Vec<Position>) {
    (batch.number, batch.epoch, batch.hash().unwrap().to_string(), batch.positions.to_vec())
}

fn walk(stream: Stream) -> Vec<(u64, u32, String, Vec<Position>)> {
    stream.map(|batch| line(&batch.unwrap())).collect()
}

/// Per data epoch, how often each row begins.
fn begun(lines: impl Iterator<Item = Batch>) -> BTreeMap<(u32, Position), usize> {
    let mut begun = BTreeMap::new();
    for batch in lines {
        for (sample, position) in batch.positions.iter().enumerate() {
            if batch.spans.as_ref().is_none_or(|spans| spans[sample].from == 0) {
                *begun.entry((batch.epoch, *position)).or_default() += 1;
            }
        }
    }
    begun
}

#[test]
fn every_layout_emits_the_rows_of_the_plain_stream() {
    for data in crate::datasets() {
        let plain = begun(recipe(&data).open().unwrap().map(Result::unwrap));
        for layout in LAYOUTS {
            let laid_out = begun(builder(recipe(&data), layout).open().unwrap().map(Result::unwrap));
            assert_eq!(laid_out, plain, "{:?}, {layout}", data.format);
        }
    }
}

#[test]
fn threads_delays_and_ranks_change_nothing_in_any_layout() {
    let data = Data::new(Format::Parquet, 3, 250, 40);
    for layout in LAYOUTS {
        let expected = walk(builder(recipe(&data).threads(1).prefetch(1), layout).open().unwrap());
        assert!(expected.len() > 50, "{layout}: {}", expected.len());
        for threads in [2, 4, 8] {
            let delay = move |block: u32| {
                std::thread::sleep(std::time::Duration::from_micros(u64::from(block * 7919 % 13 * threads) * 50));
            };
            let stream = builder(recipe(&data).threads(threads).prefetch(threads), layout).before_read(delay);
            assert_eq!(walk(stream.open().unwrap()), expected, "{layout}, {threads} threads");
        }
        let mut lines: Vec<_> =
            (0..3).flat_map(|rank| walk(builder(recipe(&data).rank(rank, 3), layout).open().unwrap())).collect();
        lines.sort_by_key(|line| line.0);
        assert_eq!(lines, expected, "{layout}, 3 ranks");
    }
}

#[test]
fn a_checkpoint_before_every_batch_restores_every_layout() {
    let data = Data::new(Format::Parquet, 2, 120, 25);
    for layout in LAYOUTS {
        let mut stream = builder(recipe(&data), layout).open().unwrap();
        let (mut states, mut lines) = (vec![stream.state().unwrap()], Vec::new());
        while let Some(batch) = stream.next() {
            lines.push(line(&batch.unwrap()));
            states.push(stream.state().unwrap());
        }
        for (at, state) in states.iter().enumerate() {
            let state = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
            let again = builder(recipe(&data).threads(1 + at as u32 % 3), layout).resume(state.clone()).open().unwrap();
            assert_eq!(again.state().unwrap(), state);
            assert_eq!(walk(again), lines[at..], "{layout}, from batch {at}");
        }
        // What was laid out otherwise is another stream.
        let other = if layout == "plain" { "buckets" } else { "plain" };
        let refused = builder(recipe(&data), other).resume(states[3].clone()).open().unwrap_err().to_string();
        assert!(refused.contains("another recipe"), "{refused}");
        let plain = Stream::builder(recipe(&data)).resume(states[3].clone()).open();
        assert!(plain.is_err(), "the transform is part of the stream's identity");
    }
}

/// The items of a packed batch, slot by slot, and whose each is.
fn items(batch: &Batch) -> (Vec<i64>, Vec<u32>, usize) {
    let tokens = batch.data.column_by_name("tokens").unwrap().as_fixed_size_list();
    let owners = batch.data.column_by_name("tokens_span").unwrap().as_fixed_size_list();
    let values = tokens.values().as_primitive::<Int64Type>().values().to_vec();
    (values, owners.values().as_primitive::<UInt32Type>().values().to_vec(), tokens.value_length() as usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every item of every row once and in order, at the place that its span says, and padding everywhere else.
    #[test]
    fn packing_accounts_for_every_item(
        rows in 1_usize..150,
        window in 1_u32..5,
        batch in 1_u32..9,
        length in 1_u32..20,
        spread in 1_i64..40,
        cut: bool,
        seed in 0_u64..1000,
    ) {
        let data = Data::new(Format::Arrow, 2, rows, 20);
        let recipe = Recipe::new(data.url()).seed(seed).batch_size(batch).window(window);
        let fit = if cut { Fit::ConcatAndCut } else { Fit::FirstFit };
        let stream = Stream::builder(recipe)
            .transform(Arc::new(Tokenise { spread, ..Tokenise::default() }))
            .pack(Packing::new("tokens", length).padding(-1).fit(fit))
            .open()
            .unwrap();
        let first_rows: Vec<i64> = stream.plan().blocks.iter().scan(0, |sum, block| {
            let first = *sum;
            *sum += i64::from(block.rows);
            Some(first)
        }).collect();
        let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
        let batches: Vec<Batch> = stream.map(Result::unwrap).collect();
        let mut presentations = 0;
        for (at, packed) in batches.iter().enumerate() {
            presentations += packed.presentations();
            let (values, owners, width) = items(packed);
            prop_assert_eq!(width, length as usize);
            prop_assert_eq!(values.len(), packed.len() * width);
            prop_assert!(packed.len() <= batch as usize && packed.len() > 0);
            prop_assert!(at + 1 == batches.len() || packed.len() == batch as usize);
            let mut free: Vec<bool> = owners.iter().map(|owner| *owner == 0).collect();
            let spans = packed.spans.as_ref().unwrap();
            prop_assert_eq!(spans.len(), packed.positions.len());
            // What is left of a row that was cut may find room in an earlier slot.
            let mut order: Vec<usize> = (0..spans.len()).collect();
            order.sort_by_key(|&index| (packed.positions[index], spans[index].from));
            for index in order {
                let (span, position) = (spans[index], packed.positions[index]);
                let id = first_rows[position.block as usize] + i64::from(position.row);
                let before = seen.entry(id).or_default();
                prop_assert_eq!(*before, span.from, "row {} goes on where it was cut", id);
                *before += span.length;
                let start = span.slot as usize * width + span.start as usize;
                let owner = 1 + spans[..index].iter().filter(|other| other.slot == span.slot).count() as u32;
                for item in start..start + span.length as usize {
                    prop_assert!(!std::mem::replace(&mut free[item], true));
                    prop_assert_eq!((values[item], owners[item]), (id, owner));
                }
                // Only a row that is longer than a slot is cut by first fit.
                let whole = id % spread + 1;
                prop_assert!(cut || i64::from(span.length) == whole.min(i64::from(length)) || whole > i64::from(length));
            }
            prop_assert!(free.iter().all(|free| *free));
            prop_assert!(values.iter().zip(&owners).all(|(value, owner)| (*owner == 0) == (*value == -1)));
            if cut && at + 1 < batches.len() {
                prop_assert!(owners.iter().all(|owner| *owner > 0), "nothing is wasted before the epoch's end");
            }
        }
        let expected: BTreeMap<i64, u32> =
            data.rows.iter().map(|row| (row.id, (row.id % spread + 1) as u32)).collect();
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(presentations, data.rows.len() as u64);
    }
}

#[test]
fn bucketing_brings_rows_of_like_length_together() {
    let data = Data::new(Format::Parquet, 4, 200, 50);
    let spread = |layout: &str| {
        let stream = builder(Recipe::new(data.url()).window(8).batch_size(16), layout).open().unwrap();
        let spreads: Vec<i32> = stream
            .map(|batch| {
                let batch = batch.unwrap();
                let tokens = batch.data.column_by_name("tokens").unwrap().as_list::<i32>();
                let lengths: BTreeSet<i32> = (0..tokens.len()).map(|row| tokens.value_length(row)).collect();
                lengths.last().unwrap() - lengths.first().unwrap()
            })
            .collect();
        f64::from(spreads.iter().sum::<i32>()) / spreads.len() as f64
    };
    // Lengths run from 1 to 9: a batch of 16 rows spans nearly all of them, a third of a sorted group about a third.
    assert!(spread("plain") > 7.0);
    assert!(spread("buckets") < 4.0, "{}", spread("buckets"));
}

/// A report names a signal a span, and reaches the rows that the spans are of.
#[test]
fn feedback_of_packed_slots_is_settled_by_span() {
    let data = Data::new(Format::Parquet, 2, 60, 20);
    for layout in ["first fit", "concat and cut"] {
        let mut stream = builder(Recipe::new(data.url()).batch_size(4), layout).open().unwrap();
        let mut spans: BTreeMap<Position, u16> = BTreeMap::new();
        for batch in stream.by_ref() {
            let batch = batch.unwrap();
            batch.positions.iter().for_each(|position| *spans.entry(*position).or_default() += 1);
            let signals: Vec<_> = batch.positions.iter().map(|position| arable_tests::signal(1, *position)).collect();
            batch.receipt.report(&signals).unwrap();
        }
        let values = stream.values().unwrap();
        let seen: BTreeMap<Position, u16> = values
            .iter()
            .filter(|(_, trajectory)| trajectory.presentations() > 0)
            .map(|(position, trajectory)| (position, trajectory.presentations()))
            .collect();
        assert_eq!(seen, spans, "{layout}");
    }
}

#[test]
fn a_row_that_cannot_be_transformed_stops_the_stream_or_is_set_aside() {
    let data = Data::new(Format::Parquet, 3, 100, 25);
    let transform = || Arc::new(Tokenise { bad: 17, ..Tokenise::default() });
    let bad: BTreeSet<i64> = (0..300).filter(|id| id % 17 == 16).collect();
    for layout in LAYOUTS {
        let stop = || Recipe::new(data.url()).batch_size(8);
        let stream = laid_out(Stream::builder(stop()).transform(transform()), layout).open().unwrap();
        let error = stream.filter_map(Result::err).next().expect("a row is at fault").to_string();
        for word in ["part-0", "block", "row", "column `text`", "no word in row", "on_bad_row"] {
            assert!(error.contains(word), "`{word}` is missing in {error}");
        }

        let go_on = || stop().epochs(2).on_bad_row(arable_loader::recipe::OnBad::Quarantine);
        let run = data.folder.path().join(format!("run {layout}"));
        let open = || laid_out(Stream::builder(go_on()).transform(transform()), layout);
        let mut stream = open().record(&run).open().unwrap();
        let (mut states, mut lines) = (Vec::new(), Vec::new());
        let mut presentations = 0;
        while let Some(batch) = stream.next() {
            let batch = batch.unwrap();
            presentations += batch.presentations();
            lines.push(line(&batch));
            states.push(stream.state().unwrap());
        }
        let account = stream.account();
        assert!(account.balances());
        assert_eq!((account.quarantined, account.kept), (bad.len() as u64, 300 - bad.len() as u64), "{layout}");
        assert_eq!(presentations, 2 * account.kept);
        assert_eq!(stream.trained(), presentations);
        drop(stream);
        // The ledger and the quarantine say the same.
        let verified = ledger::verify(&run.join("ledger.jsonl")).unwrap();
        assert_eq!(verified.account(), account);
        assert_eq!(std::fs::read_to_string(run.join(QUARANTINE)).unwrap().lines().count(), bad.len());
        // A state knows which rows were set aside before it.
        for (at, state) in states.iter().enumerate().step_by(5) {
            let mut again = open().resume(state.clone()).open().unwrap();
            assert_eq!(again.by_ref().map(|batch| line(&batch.unwrap())).collect::<Vec<_>>(), lines[at + 1..]);
            assert_eq!(again.account(), account, "{layout}, after batch {at}");
            assert_eq!(again.trained(), presentations);
        }
    }
}

/// A run without end over rows of which none can be transformed says so instead of searching for ever.
#[test]
fn a_training_on_rows_of_which_none_can_be_transformed_is_an_error() {
    let data = Data::new(Format::Parquet, 2, 60, 20);
    for layout in LAYOUTS {
        let recipe = Recipe::new(data.url()).on_bad_row(arable_loader::recipe::OnBad::Quarantine).batch_size(16);
        let none =
            || laid_out(Stream::builder(recipe.clone()).transform(Arc::new(Tokenise { spread: 9, bad: 1 })), layout);
        let mut stream = none().open().unwrap();
        assert!(stream.next().is_none(), "a run over one data epoch is at its end");
        assert_eq!((stream.account().quarantined, stream.trained()), (120, 0), "{layout}");
        let mut stream = none().open().unwrap();
        stream.endless();
        let error = stream.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("none ever would be"), "{layout}: {error}");
    }
}

/// Columns as they are stored, without a transform.
#[test]
fn stored_columns_are_packed_and_bucketed_as_they_are() {
    for data in crate::datasets() {
        let recipe = || Recipe::new(data.url()).batch_size(16).window(4);
        let plain = begun(recipe().open().unwrap().map(Result::unwrap));
        let bucketed = Stream::builder(recipe()).bucket(Buckets::new("text", 4)).open().unwrap();
        assert_eq!(begun(bucketed.map(Result::unwrap)), plain, "{:?}", data.format);
        if data.format == Format::Csv {
            continue;
        }
        // A row without a tag cannot be packed: every fourth.
        let recipe = recipe().on_bad_row(arable_loader::recipe::OnBad::Quarantine);
        let mut packed = Stream::builder(recipe).pack(Packing::new("tags", 8)).open().unwrap();
        let begun = begun(packed.by_ref().map(Result::unwrap));
        assert_eq!(packed.account().quarantined, data.rows.iter().filter(|row| row.tags.is_empty()).count() as u64);
        assert_eq!(begun.len() as u64, packed.account().kept, "{:?}", data.format);
    }
}

#[test]
fn what_cannot_be_laid_out_is_refused_before_it_starts() {
    let data = Data::new(Format::Parquet, 1, 20, 10);
    let refused = |builder: StreamBuilder, words: &[&str]| {
        let error = builder.open().unwrap_err();
        assert!(error.is_usage() && words.iter().all(|word| error.to_string().contains(word)), "{error}");
    };
    let stream = || Stream::builder(Recipe::new(data.url()));
    refused(stream().pack(Packing::new("tag", 8)), &["tag", "tags"]);
    refused(stream().pack(Packing::new("text", 8)), &["text", "lists of numbers"]);
    refused(stream().pack(Packing::new("tags", 0)), &["length"]);
    refused(stream().pack(Packing::new("tags", 8).padding(i64::MAX)), &["padding"]);
    refused(stream().bucket(Buckets::new("label", 8)), &["label", "no length"]);
    refused(stream().bucket(Buckets::new("text", 0)), &["batches"]);
    refused(stream().bucket(Buckets::new("text", 2)).pack(Packing::new("tags", 8)), &["not both"]);
}
