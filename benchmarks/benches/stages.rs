//! What each stage of the loader costs on one core, over the same block: 20,000 rows of about 380 bytes of text in
//! zstd Parquet. Every figure is the time of 20,000 rows but those of `plan`, `save_state` and `resume`, which are of one
//! each.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends where it stands")]

use arable_loader::{
    Position, Recipe, Report, Result, Signal, Stream, Target,
    clean::{Cleaner, OperatorSpec},
    sample,
    source::{self, Options, Request, Source},
    stream::{Samples, State, Transform, Transformed},
    value::Table,
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    compute::interleave_record_batch,
    csv, ipc, json,
};
use divan::{Bencher, black_box, counter::ItemsCount};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    file::properties::WriterProperties,
};
use std::{fs::File, path::PathBuf, sync::Arc};

const ROWS: usize = 20_000;
const BATCH: usize = 64;

fn main() {
    divan::main();
}

struct Data {
    folder: tempfile::TempDir,
    file: PathBuf,
    source: Arc<dyn Source>,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.parquet");
        let words = ["field", "of", "wheat", "the", "soil", "harvest", "a", "decides", "seed", "not", "and", "plough"];
        let mut state = 7_u64;
        let mut next = || {
            // Steele and Vigna's constants for a 64-bit linear congruential generator.
            state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
            (state >> 33) as usize
        };
        let texts = (0..ROWS).map(|_| {
            let text: Vec<String> =
                (0..50).map(|_| format!("{}{}", words[next() % words.len()], next() % 1000)).collect();
            text.join(" ")
        });
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
        let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let source = source::open(&Options::new(file.to_str().unwrap())).unwrap();
        Self { folder, file, source }
    }

    fn block(&self) -> RecordBatch {
        self.source.read(Request { block: 0, rows: None, expected: &[] }).unwrap().data
    }

    fn recipe(&self) -> Recipe {
        Recipe::new(self.file.to_str().unwrap()).batch_size(BATCH as u32)
    }
}

#[divan::bench]
fn read_bytes(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| std::fs::read(&data.file).unwrap());
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let bytes = std::fs::read(Data::new().file).unwrap();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| blake3::hash(black_box(&bytes)));
}

#[divan::bench]
fn bare_decode(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&data.file).unwrap()).unwrap();
        reader.with_batch_size(8192).build().unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    });
}

#[divan::bench]
fn read_verify_decode(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| data.block());
}

/// The same rows in the other formats, with what their readers do besides: hashes, checks of every record.
#[divan::bench(args = ["arrow", "jsonl", "csv"])]
fn read_verify_decode_other(bencher: Bencher<'_, '_>, format: &str) {
    let data = Data::new();
    let (block, path) = (data.block(), data.folder.path().join(format!("a.{format}")));
    let mut file = File::create(&path).unwrap();
    match format {
        "arrow" => {
            let mut writer = ipc::writer::FileWriter::try_new(file, &block.schema()).unwrap();
            writer.write(&block).unwrap();
            writer.finish().unwrap();
        }
        "jsonl" => json::LineDelimitedWriter::new(&mut file).write(&block).unwrap(),
        _ => csv::Writer::new(&mut file).write(&block).unwrap(),
    }
    let source = source::open(&Options::new(path.to_str().unwrap())).unwrap();
    let blocks = source.plan().blocks.len() as u32;
    let read = |block| source.read(Request { block, rows: None, expected: &[] }).unwrap().data.num_rows();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| (0..blocks).map(read).sum::<usize>());
}

/// From a path to a plan: footers, schema, sizes.
#[divan::bench]
fn plan(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.bench(|| source::open(&Options::new(data.file.to_str().unwrap())).unwrap().plan().rows());
}

/// A window's draw of a plain shuffle.
#[divan::bench]
fn draw(bencher: Bencher<'_, '_>) {
    let positions: Vec<Position> = (0..ROWS as u32).map(|row| Position::new(0, row)).collect();
    let targets = vec![Target::PLAIN; ROWS];
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| sample::draw("uniform", black_box(&positions), &targets, 7, 0, 0).unwrap().len());
}

/// The reports of one pass, taken into the trajectories.
#[divan::bench]
fn feedback(bencher: Bencher<'_, '_>) {
    let signal = Signal { loss: 1.25, class: None };
    let row = |row: usize| (Position::new(0, row as u32), signal);
    let reports: Vec<Report> = (0..ROWS / BATCH)
        .map(|batch| Report::new(batch as u64, (batch * BATCH..(batch + 1) * BATCH).map(row).collect()))
        .collect();
    bencher.counter(ItemsCount::new(ROWS)).with_inputs(|| Table::new(&[ROWS as u32])).bench_values(|mut table| {
        reports.iter().for_each(|report| table.apply(report).unwrap());
        table
    });
}

/// Hands rows on as they are: what the transform stage itself costs.
#[derive(Debug)]
struct Unchanged;

impl Transform for Unchanged {
    fn fingerprint(&self) -> String {
        "unchanged 1".to_owned()
    }

    fn schema(&self, input: &arrow::datatypes::SchemaRef) -> Result<arrow::datatypes::SchemaRef> {
        Ok(Arc::clone(input))
    }

    fn apply(&self, samples: &Samples<'_>) -> Result<Transformed> {
        Ok(samples.data.clone().into())
    }
}

#[divan::bench]
fn whole_stream_with_a_transform(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let stream = Stream::builder(data.recipe().threads(1)).transform(Arc::new(Unchanged)).open().unwrap();
        stream.map(|batch| batch.unwrap().len()).sum::<usize>()
    });
}

#[divan::bench(args = ["missing", "exact_duplicate"])]
fn judge(bencher: Bencher<'_, '_>, op: &str) {
    let block = Data::new().block();
    let option = ("column".to_owned(), "text".into());
    let options = if op == "missing" { [option].into_iter().collect() } else { Default::default() };
    let cleaner = Cleaner::new(&[OperatorSpec { op: op.to_owned(), options }], &block.schema()).unwrap();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| cleaner.judge(&block, &[]).unwrap());
}

#[divan::bench]
fn gather_batches(bencher: Bencher<'_, '_>) {
    let block = Data::new().block();
    // 7919 is prime to 20,000: every row once, none beside its neighbour.
    let places: Vec<(usize, usize)> = (0..ROWS).map(|row| (0, row * 7919 % ROWS)).collect();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        places.chunks(BATCH).map(|places| interleave_record_batch(&[&block], places).unwrap().num_rows()).sum::<usize>()
    });
}

#[divan::bench]
fn whole_stream(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    bencher.counter(ItemsCount::new(ROWS)).bench(|| {
        let stream = data.recipe().threads(1).open().unwrap();
        stream.map(|batch| batch.unwrap().len()).sum::<usize>()
    });
}

#[divan::bench]
fn save_state(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    let mut stream = data.recipe().open().unwrap();
    stream.by_ref().take(100).for_each(|batch| drop(batch.unwrap()));
    let path = data.folder.path().join("state");
    bencher.bench_local(|| stream.state().unwrap().save(&path).unwrap());
}

/// From a saved state, halfway through the rows, to the next batch.
#[divan::bench]
fn resume(bencher: Bencher<'_, '_>) {
    let data = Data::new();
    let mut stream = data.recipe().open().unwrap();
    stream.by_ref().take(ROWS / BATCH / 2).for_each(|batch| drop(batch.unwrap()));
    let path = data.folder.path().join("state");
    stream.state().unwrap().save(&path).unwrap();
    bencher.bench_local(|| {
        let builder = Stream::builder(data.recipe()).resume(State::load(&path).unwrap());
        builder.open().unwrap().next().unwrap().unwrap().len()
    });
}
