//! Data at the edges of what files hold: nothing, next to nothing, too much of one thing, and what editors leave behind.

use crate::{ARABLE, datasets};
use arable_loader::{
    Recipe,
    recipe::ByteSize,
    source::{Access, Cache, Options, broken_promises, open},
};
use arable_tests::{Data, Format, HttpServer, arable, walk};
use arrow::{
    array::{ArrayRef, Int64Array, NullArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
    ipc::writer::FileWriter,
};
use parquet::arrow::ArrowWriter;
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::Arc,
};

fn url(path: &Path) -> String {
    path.display().to_string()
}

fn rows(recipe: Recipe) -> Vec<i64> {
    let mut ids: Vec<i64> = walk(recipe.open().unwrap()).into_iter().flat_map(|line| line.ids).collect();
    ids.sort_unstable();
    ids
}

fn write(path: &Path, batch: &RecordBatch) {
    let file = File::create(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "parquet") {
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
}

fn ids(count: i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..count))
}

#[test]
fn every_format_keeps_the_promises_of_a_source() {
    for data in datasets() {
        let source = open(&Options::new(data.url())).unwrap();
        assert_eq!(broken_promises(source.as_ref()), [""; 0], "{:?}", data.format);
        // Blocks that are parts of row groups and record batches, with a manifest, and over a network.
        let small = Options { block_limit: 1 << 11, ..Options::new(data.url()) };
        assert_eq!(broken_promises(open(&small).unwrap().as_ref()), [""; 0], "{:?}", data.format);
        arable_loader::source::write_manifest(&small).unwrap();
        assert_eq!(broken_promises(open(&small).unwrap().as_ref()), [""; 0], "{:?}", data.format);
        let server = HttpServer::serve(data.folder.path());
        let names: Vec<String> = (0..)
            .map(|shard| data.shard(shard))
            .take_while(|path| path.exists())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let remote = Options::new(server.url(&format!("data/{{{}}}", names.join(","))));
        assert_eq!(broken_promises(open(&remote).unwrap().as_ref()), [""; 0], "{:?}", data.format);
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"id\":1}\nnot json\n{\"id\":\"x\"}\n{\"id\":[2]}\n{\"id\":3,\"more\":null}\n";
    fs::write(folder.path().join("a.jsonl"), text).unwrap();
    let file = File::create(folder.path().join("b.jsonl.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap();
    for cache in [Cache::Folder(folder.path().join("_cache")), Cache::Off] {
        let access = Access { cache, ..Access::default() };
        let source = open(&Options { access, ..Options::new(url(folder.path())) }).unwrap();
        assert_eq!(broken_promises(source.as_ref()), [""; 0]);
    }
}

#[test]
fn what_editors_leave_behind_is_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "id,text\n1,\"a\nb\"\n2,c\n";
    let jsonl = "{\"id\":1,\"text\":\"ä\"}\n{\"id\":2}\n";
    for (name, text) in [("rows.csv", csv), ("rows.jsonl", jsonl)] {
        let path = folder.path().join(name);
        let windows = text.replace('\n', "\r\n");
        let kept = [
            text.to_owned(),
            windows.clone(),
            format!("\u{feff}{text}"),
            format!("\u{feff}{windows}"),
            text.trim_end().to_owned(),
            text.replacen("2", "\n2", usize::from(name.ends_with("csv"))),
            format!("{text}\n\n"),
        ];
        for text in kept {
            fs::write(&path, &text).unwrap();
            assert_eq!(rows(Recipe::new(url(&path))), [1, 2], "{text:?}");
        }
    }
}

#[test]
fn data_without_rows_end_at_once_and_shards_without_rows_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let none = RecordBatch::try_from_iter([("id", ids(0))]).unwrap();
    let some = RecordBatch::try_from_iter([("id", ids(3))]).unwrap();
    for ending in ["parquet", "arrow", "jsonl", "csv"] {
        let (empty, full) = (folder.path().join(format!("a.{ending}")), folder.path().join(format!("b.{ending}")));
        match ending {
            "jsonl" => fs::write(&empty, "").unwrap(),
            "csv" => fs::write(&empty, "id\n").unwrap(),
            _ => write(&empty, &none),
        }
        let recipe = folder.path().join("arable.toml");
        fs::write(&recipe, format!("epochs = 3\n[dataset]\nurl = '{}'\n", url(&empty))).unwrap();
        for command in ["stream", "inspect"] {
            let what = if command == "stream" { url(&recipe) } else { url(&empty) };
            let ran = arable(ARABLE, [command, &what, "--json"]);
            assert_eq!(ran.status, 0, "{ran:?}");
        }
        match ending {
            "jsonl" => fs::write(&full, "{\"id\":0}\n{\"id\":1}\n{\"id\":2}\n").unwrap(),
            "csv" => fs::write(&full, "id\n0\n1\n2\n").unwrap(),
            _ => write(&full, &some),
        }
        assert_eq!(rows(Recipe::new(url(&folder.path().join(format!("*.{ending}"))))), [0, 1, 2], "{ending}");
    }
}

#[test]
fn columns_of_nothing_and_of_any_name_are_carried_and_two_of_one_name_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nulls: ArrayRef = Arc::new(NullArray::new(4));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 4]));
    let odd =
        RecordBatch::try_from_iter_with_nullable([("id", ids(4), false), ("größe 📏", nulls, true), ("", texts, true)]);
    let odd = odd.unwrap();
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let twice = Arc::new(Schema::new(vec![field("id"), field("id")]));
    let twice = RecordBatch::try_new(twice, vec![ids(4), ids(4)]).unwrap();
    for ending in ["parquet", "arrow"] {
        let path = folder.path().join(format!("odd.{ending}"));
        write(&path, &odd);
        assert_eq!(rows(Recipe::new(url(&path))), [0, 1, 2, 3]);
        assert_eq!(rows(Recipe::new(url(&path)).columns(["größe 📏", "id"])), [0, 1, 2, 3]);
        write(&path, &twice);
        let error = Recipe::new(url(&path)).open().unwrap_err().to_string();
        assert!(error.contains("two columns") && error.contains("odd") && error.contains("`id`"), "{error}");
    }
    for (name, text) in [("odd.csv", "id,größe 📏,\n0,,\n1,,\n"), ("odd.jsonl", "{\"id\":0,\"\":null}\n{\"id\":1}\n")]
    {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        assert_eq!(rows(Recipe::new(url(&path))), [0, 1]);
    }
    let path = folder.path().join("twice.csv");
    fs::write(&path, "id,id\n1,2\n").unwrap();
    assert!(Recipe::new(url(&path)).open().unwrap_err().to_string().contains("two columns"));
}

#[test]
fn thousands_of_tiny_files_are_one_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let files = 2_000_i64;
    for id in 0..files {
        // Every third file lacks a column, which is said once.
        let text = if id % 3 == 0 { format!("id\n{id}\n") } else { format!("id,more\n{id},1\n") };
        fs::write(folder.path().join(format!("{id:05}.csv")), text).unwrap();
    }
    let recipe = folder.path().join("arable.toml");
    fs::write(&recipe, format!("[dataset]\nurl = '{}'\n", url(&folder.path().join("*.csv")))).unwrap();
    let ran = arable(ARABLE, ["stream", &url(&recipe), "--json"]);
    assert_eq!((ran.status, ran.json()["trained"].as_i64()), (0, Some(files)), "{ran:?}");
    let said: Vec<&str> = ran.err.lines().filter(|line| line.contains("lack")).collect();
    assert!(said.len() == 1 && said[0].contains("666 more") && said[0].contains("`more`"), "{said:?}");
    assert_eq!(rows(Recipe::new(url(&folder.path().join("*.csv")))), (0..files).collect::<Vec<_>>());
}

#[test]
fn one_row_of_uncommon_size_costs_its_own_size_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let long = "x".repeat(8 << 20);
    let text: String = (0..2_000)
        .map(|id| format!("{{\"id\":{id},\"text\":\"{}\"}}\n", if id == 700 { long.as_str() } else { "short" }))
        .collect();
    fs::write(&path, text).unwrap();
    let recipe = Recipe::new(url(&path)).epochs(2).memory(ByteSize::mib(64));
    let twice: Vec<i64> = (0..2_000).flat_map(|id| [id, id]).collect();
    assert_eq!(rows(recipe), twice);
}

#[test]
fn rows_of_very_many_columns_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..3_000).map(|column| format!("c{column}")).collect();
    let header = format!("id,{}\n", names.join(","));
    let row = |id: i64| format!("{id},{}\n", vec![id.to_string(); names.len()].join(","));
    fs::write(folder.path().join("wide.csv"), header + &(0..30).map(row).collect::<String>()).unwrap();
    let line = |id: i64| {
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{id}")).collect();
        format!("{{\"id\":{id},{}}}\n", members.join(","))
    };
    fs::write(folder.path().join("wide.jsonl"), (0..30).map(line).collect::<String>()).unwrap();
    for name in ["wide.csv", "wide.jsonl"] {
        let path = url(&folder.path().join(name));
        assert_eq!(rows(Recipe::new(path.clone()).batch_size(7)), (0..30).collect::<Vec<_>>());
        assert_eq!(rows(Recipe::new(path).columns(["c2999", "id"])), (0..30).collect::<Vec<_>>());
    }
}

#[test]
fn a_first_look_says_what_is_wrong_with_rows() {
    let data = Data::new(Format::Csv, 1, 20, 0);
    let mut text = fs::read(data.shard(0)).unwrap();
    text.extend(b"1,caf\xe9,2,3.0\n2\n");
    fs::write(data.shard(0), text).unwrap();
    let ran = arable(ARABLE, ["inspect", &data.url()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    for word in ["2 rows could not be read", "row 20", "not UTF-8", "row 21", "1 fields", "part-00.csv"] {
        assert!(ran.out.contains(word), "`{word}` is missing in {}", ran.out);
    }
}
