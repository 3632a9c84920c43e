//! What each stage of the loader costs on one core, over the same block: 20,000 rows of about 380 bytes of text in
//! zstd Parquet. Every figure is the time of 20,000 rows but `save_state`, which is that of one state.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends where it stands")]

use arable_loader::{
    Recipe,
    clean::{Cleaner, OperatorSpec},
    source::{self, Options, Request, Source},
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    compute::interleave_record_batch,
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
