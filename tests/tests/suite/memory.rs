//! I6: resident memory stays under the budget plus a stated constant, over data much larger than the budget.

use crate::ARABLE;
use arable_tests::arable;
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    csv, ipc, json,
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use std::{fs::File, path::Path, sync::Arc};

const MIB: u64 = 1 << 20;
/// What a process takes beside its budget: program, threads and what the allocator cannot give back. Stated in
/// `docs/formats.md`, where it is measured.
const BESIDE: u64 = 48 * MIB;
/// Every format is written with so much text.
const DATA: u64 = 120 * MIB;
const ROWS: usize = 2_000;

/// `DATA` bytes of rows, in batches of `ROWS`: about 1.5 MiB of text that hardly compresses.
fn batches() -> impl Iterator<Item = RecordBatch> {
    let mut state = 1_u64;
    let mut next = move || {
        // Xorshift, Marsaglia (2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let text = move || (0..48).map(|_| format!("{:016x} ", next())).collect::<String>();
    let mut text = text;
    let bytes = ROWS as u64 * 48 * 17;
    (0..DATA.div_ceil(bytes) as i64).map(move |batch| {
        let first = batch * ROWS as i64;
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(Int64Array::from_iter_values(first..first + ROWS as i64))),
            ("text", Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| text())))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    })
}

/// Writes the rows, some batches to a row group or record batch, in four shards.
fn write(folder: &Path, ending: &str) {
    let mut batches = batches().peekable();
    let schema = batches.peek().unwrap().schema();
    for shard in 0..4 {
        let file = File::create(folder.join(format!("{shard}.{ending}"))).unwrap();
        let part = batches.by_ref().take((DATA / (ROWS as u64 * 48 * 17) / 4 + 1) as usize);
        match ending {
            "parquet" => {
                let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
                let properties = zstd.set_max_row_group_row_count(Some(2 * ROWS)).build();
                let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).unwrap();
                part.for_each(|batch| writer.write(&batch).unwrap());
                writer.close().unwrap();
            }
            "arrow" => {
                let mut writer = ipc::writer::FileWriter::try_new(file, &schema).unwrap();
                part.for_each(|batch| writer.write(&batch).unwrap());
                writer.finish().unwrap();
            }
            "arrows" => {
                let zstd = ipc::writer::IpcWriteOptions::default();
                let zstd = zstd.try_with_compression(Some(ipc::CompressionType::ZSTD)).unwrap();
                let mut writer = ipc::writer::StreamWriter::try_new_with_options(file, &schema, zstd).unwrap();
                part.for_each(|batch| writer.write(&batch).unwrap());
                writer.finish().unwrap();
            }
            "jsonl" => {
                let mut writer = json::LineDelimitedWriter::new(std::io::BufWriter::new(file));
                part.for_each(|batch| writer.write(&batch).unwrap());
                writer.finish().unwrap();
            }
            other => {
                let delimiter = if other == "tsv" { b'\t' } else { b',' };
                let mut writer = csv::WriterBuilder::new().with_delimiter(delimiter).build(file);
                part.for_each(|batch| writer.write(&batch).unwrap());
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn resident_memory_stays_under_the_budget_and_the_stated_constant_for_every_format() {
    for ending in ["parquet", "arrow", "arrows", "jsonl", "csv"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ending);
        for (budget, threads) in [(32, 6), (64, 3), (128, 2)] {
            let recipe = folder.path().join("arable.toml");
            let url = folder.path().join(format!("*.{ending}")).display().to_string();
            let clean = if budget == 64 { "[[clean]]\nop = \"missing\"\ncolumn = \"text\"\n" } else { "" };
            let stream = format!("[stream]\nmemory = \"{budget}MiB\"\nthreads = {threads}\n");
            std::fs::write(&recipe, format!("[dataset]\nurl = '{url}'\n{clean}{stream}")).unwrap();
            let ran = arable(ARABLE, ["stream", recipe.to_str().unwrap(), "--json", "--quiet"]);
            assert_eq!(ran.status, 0, "{ran:?}");
            let (json, most) = (ran.json(), budget * MIB + BESIDE);
            assert!(json["trained"].as_u64().unwrap() * 48 * 17 >= DATA);
            let peak = json["peak_memory"].as_u64().unwrap();
            eprintln!("{ending}, {budget} MiB, {threads} threads: peak {} MiB", peak / MIB);
            assert!(peak <= most, "{ending}: {peak} bytes at the peak, the budget and the constant are {most}");
        }
    }
}

/// So many lines of nine words that nobody else has.
fn short_texts(path: &Path, rows: usize) {
    let mut state = 7_u64;
    let mut lines = String::new();
    for _ in 0..rows {
        lines.push_str("{\"text\":\"");
        for _ in 0..9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            lines.extend((0..6).map(|place| char::from(b'a' + ((state >> (20 + 5 * place)) % 26) as u8)));
            lines.push(' ');
        }
        lines.push_str("\"}\n");
    }
    std::fs::write(path, lines).unwrap();
}

/// A filter's own bits, and what it takes to wind them back to where the user stands, however far the stream has come.
#[cfg(target_os = "linux")]
#[test]
fn an_index_that_forgets_keeps_to_its_memory_over_many_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (data, recipe) = (folder.path().join("a.jsonl"), folder.path().join("arable.toml"));
    short_texts(&data, 300_000);
    let run = |clean: &str, stream: &str| {
        let text = format!("[dataset]\nurl = '{}'\n[[clean]]\ncolumn = 'text'\n{clean}\n", data.display());
        std::fs::write(&recipe, format!("{text}[stream]\nthreads = 2\n{stream}\n[batch]\nsize = 256\n")).unwrap();
        arable(ARABLE, ["stream", recipe.to_str().unwrap(), "--json", "--quiet"])
    };
    for (clean, budget) in [
        ("op = 'near_duplicate'\nindex = 'bloom'\nmemory = '12MB'", 96),
        ("op = 'near_duplicate'\nmemory = '24MB'", 96),
        ("op = 'paragraph_duplicate'\nn = 3\nmemory = '4MB'", 128),
    ] {
        let ran = run(clean, &format!("memory = '{budget}MiB'"));
        assert_eq!(ran.status, 0, "{ran:?}");
        let (kept, peak) = (ran.json()["rows"]["kept"].as_u64().unwrap(), ran.json()["peak_memory"].as_u64().unwrap());
        eprintln!("{clean}: {kept} of 300,000 kept, peak {} MiB of {budget}", peak / MIB);
        assert!(kept > 299_000, "{kept}");
        assert!(peak <= budget * MIB + BESIDE, "{clean}: {peak} bytes at the peak");
        // A window for which that would be too little is refused, with what it would take.
        let ran = run(clean, &format!("memory = '{}MiB'\nwindow = 5", budget / 2));
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.err.contains("what it takes to wind that back over up to 6 blocks"), "{}", ran.err);
    }
}
