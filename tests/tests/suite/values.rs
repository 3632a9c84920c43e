//! What outlives a run, and what a run is told: tables of values and references as files, parts to train on, numbers to
//! draw by, and mixtures that follow losses.

use crate::ARABLE;
use arable_loader::{
    Position, Recipe, Stream,
    recipe::Part,
    stream::State,
    value::{Classes, Reference, References, Rival, Table, Trajectory, UNKNOWN_CLASS, suspicions},
};
use arable_tests::{CLEAN, Data, Format, Line, Mixed, Row, arable, train, walk};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

fn recipe(data: &Data, policy: &str) -> Recipe {
    let rest = format!("{CLEAN}\n[policy]\n{policy}\n[stream]\nwindow = 4\n[batch]\nsize = 16");
    Recipe::from_toml_file(data.recipe("seed = 5\nepochs = 2", &rest)).unwrap()
}

/// The same rows in other files: three of 130 in blocks of 40, and one of 390 in blocks of 50.
fn both() -> [Data; 2] {
    [Data::new(Format::Parquet, 3, 130, 40), Data::new(Format::Parquet, 1, 390, 50)]
}

/// What is known of each row, by its number over all files: its trajectory, the class it is taken for, and the class that
/// it is the example of.
fn by_number(stream: &Stream, table: &Table) -> BTreeMap<u32, (Trajectory, Rival, Option<u32>)> {
    let firsts: Vec<u32> = (stream.plan().blocks.iter())
        .scan(0, |first, block| {
            let of_block = *first;
            *first += block.rows;
            Some(of_block)
        })
        .collect();
    let examples: BTreeMap<Position, u32> = table.examples().map(|(class, row)| (row, class)).collect();
    let known = |position: Position| (table.rival(position), examples.get(&position).copied());
    let number = |position: Position| firsts[position.block as usize] + position.row;
    table.iter().map(|(row, trajectory)| (number(row), (*trajectory, known(row).0, known(row).1))).collect()
}

#[test]
fn a_table_of_values_begins_a_run_over_the_same_plan_and_over_other_files() {
    let [data, other] = both();
    let mut stream = recipe(&data, "name = \"uniform\"").open().unwrap();
    train(&mut stream, usize::MAX);
    let table = stream.values().unwrap();
    let known = by_number(&stream, &table);
    assert!(known.len() > 250);
    assert!(known.values().filter(|row| row.1 != Rival::NONE).count() > 250);
    assert_eq!(known.values().filter(|row| row.2.is_some()).count(), 4);
    let file = |name: &str| data.folder.path().join(name);
    for (name, contents) in [("with.parquet", true), ("without.parquet", false)] {
        assert_eq!(stream.write_values(&file(name), contents).unwrap(), known.len() as u64);
        let begun = |data: &Data| {
            let values = format!("name = \"uniform\"\nvalues = '{}'", file(name).display());
            recipe(data, &values).open()
        };
        // Before the first batch and after it.
        let mut again = begun(&data).unwrap();
        assert_eq!(again.values().unwrap(), table, "{name}");
        let first = again.next().unwrap().unwrap();
        drop(first);
        assert_eq!(again.values().unwrap(), table, "{name}");
        match begun(&other) {
            Ok(stream) => {
                assert!(contents);
                assert_eq!(by_number(&stream, &stream.values().unwrap()), known);
            }
            Err(fault) => assert!(!contents && fault.to_string().contains("content ids"), "{fault}"),
        }
    }
    // With other columns contents are others, and that is said.
    let columns = recipe(&other, &format!("name = \"uniform\"\nvalues = '{}'", file("with.parquet").display()));
    let fault = columns.columns(["id", "text", "label"]).open().err().unwrap().to_string();
    assert!(fault.contains("carry the same columns"), "{fault}");
}

#[test]
fn a_policy_acts_at_once_on_what_an_earlier_run_learnt_and_a_checkpoint_keeps_it() {
    let [data, _] = both();
    let denoise = "name = \"denoise\"\nwarmup = 0\nwarmup_batches = 0\ngate = 0";
    let file = data.folder.path().join("learnt.parquet");
    let mut stream = recipe(&data, "name = \"uniform\"").open().unwrap();
    train(&mut stream, usize::MAX);
    stream.write_values(&file, false).unwrap();
    let learnt = format!("{denoise}\nvalues = '{}'", file.display());
    let weighs = |lines: &[Line]| lines.iter().flat_map(|line| &line.weights).any(|&w| w != 1.0_f32.to_bits());
    assert!(!weighs(&train(&mut recipe(&data, denoise).open().unwrap(), 3)), "nothing is known");
    let mut begun = recipe(&data, &learnt).open().unwrap();
    let begin = begun.state().unwrap();
    let head = train(&mut begun, 3);
    assert!(weighs(&head));
    let state = State::from_bytes(&begun.state().unwrap().to_bytes().unwrap()).unwrap();
    let tail = train(&mut begun, usize::MAX);
    let resume = |state| Stream::builder(recipe(&data, &learnt)).resume(state).open().unwrap();
    assert_eq!(train(&mut resume(state), usize::MAX), tail);
    assert_eq!(train(&mut resume(begin), 3), head, "a state of the start knows the file too");
}

#[test]
fn the_command_line_writes_values_that_any_parquet_reader_reads() {
    let [data, _] = both();
    let path = data.recipe("", &format!("{CLEAN}\n[batch]\nsize = 16")).display().to_string();
    let file = |name: &str| data.folder.path().join(name).display().to_string();
    let mut stream = Stream::builder(Recipe::from_toml_file(&path).unwrap()).record(file("run")).open().unwrap();
    train(&mut stream, usize::MAX);
    let known = stream.values().unwrap().iter().count();
    let suspicious = stream.suspicions().unwrap();
    let shard = |block: u32| stream.plan().shards[stream.plan().blocks[block as usize].shard as usize].name.clone();
    let expected: Vec<serde_json::Value> = (suspicious.worst_first().iter())
        .map(|row| {
            let line = serde_json::json!({
                "shard": shard(row.position.block), "block": row.position.block, "row": row.position.row,
                "suspicion": row.suspicion, "given": row.given, "suggested": row.suggested,
                "suggested_class": row.suggested_class,
            });
            // As it is read again: serde_json's reader may be off by a number's last digit.
            serde_json::from_str(&line.to_string()).unwrap()
        })
        .collect();
    drop(stream);
    let log = file("run/feedback");
    let written = ["--values", &file("values.parquet"), "--suspicions", &file("suspicions.jsonl")];
    let ran = arable(ARABLE, ["stream", &path, "--quiet", "--feedback", &log].into_iter().chain(written));
    assert_eq!(ran.status, 0, "{ran:?}");
    // The log says all that the run knew of its labels.
    let lines = std::fs::read_to_string(file("suspicions.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, expected);
    assert!(lines.iter().any(|line| !line["suggested_class"].is_null()));
    let ran = arable(ARABLE, ["inspect", &file("values.parquet"), "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let text = ran.json().to_string();
    assert!(["mean_loss", "content_id", "rival"].iter().all(|column| text.contains(column)), "{text}");
    assert!(known > 200 && text.contains(&known.to_string()), "{known}: {text}");
    // A walk that hears of no training suspects nothing, and says so.
    let ran = arable(ARABLE, ["stream", &path, "--quiet", "--suspicions", &file("unheard.jsonl")]);
    assert!(ran.status == 0 && format!("{ran:?}").contains("--feedback"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(file("unheard.jsonl")).unwrap(), "");
    // Without labels there is nothing to suspect, which is said before the walk.
    let unlabelled = data.folder.path().join("unlabelled.toml");
    std::fs::write(&unlabelled, format!("[dataset]\nurl = '{}'", data.url())).unwrap();
    let ran = arable(ARABLE, ["stream", unlabelled.to_str().unwrap(), "--suspicions", &file("none.jsonl")]);
    assert!(ran.status == 2 && format!("{ran:?}").contains("`label`"), "{ran:?}");
    assert!(!data.folder.path().join("none.jsonl").exists());
}

fn scores(data: &Data, stream: &Stream) -> References {
    let mut references = stream.blank_references();
    let mut rows = data.rows.iter();
    for (block, planned) in (0..).zip(&stream.plan().blocks) {
        for (row, of_data) in (0..planned.rows).zip(rows.by_ref()) {
            let reference = Reference { loss: of_data.score, probability: None };
            references.set(Position::new(block, row), reference).unwrap();
        }
    }
    references
}

#[test]
fn references_say_the_same_from_a_column_a_file_or_memory() {
    let [data, other] = both();
    let rho = |rest: &str| format!("name = \"rho_loss\"\ncandidates = 24\n{rest}");
    let expected = train(&mut recipe(&data, &rho("reference_column = \"score\"")).open().unwrap(), usize::MAX);
    assert!(expected.len() > 20);
    let uniform = recipe(&data, "name = \"uniform\"").open().unwrap();
    let references = scores(&data, &uniform);
    let given = Stream::builder(recipe(&data, &rho(""))).references(Arc::new(references.clone()));
    assert_eq!(train(&mut given.open().unwrap(), usize::MAX), expected);
    let file = data.folder.path().join("references.parquet");
    uniform.write_references(&references, &file, true).unwrap();
    let from_file = rho(&format!("reference = '{}'", file.display()));
    assert_eq!(train(&mut recipe(&data, &from_file).open().unwrap(), usize::MAX), expected);
    // By content over other files.
    let wanted = train(&mut recipe(&other, &rho("reference_column = \"score\"")).open().unwrap(), usize::MAX);
    assert_eq!(train(&mut recipe(&other, &from_file).open().unwrap(), usize::MAX), wanted);
    // Another reference is another stream.
    let mut stream = recipe(&data, &from_file).open().unwrap();
    train(&mut stream, 3);
    let state = stream.state().unwrap();
    let blank = Arc::new(stream.blank_references());
    let refused = Stream::builder(recipe(&data, &rho(""))).references(blank).resume(state).open();
    assert!(refused.err().unwrap().to_string().contains("another recipe"));
}

#[test]
fn what_is_kept_of_each_row_beside_its_trajectory_counts_as_memory() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("wide.jsonl").display().to_string();
    let wide = "x".repeat(60_000);
    let rows: String = (0..400).map(|id| format!("{{\"label\":1,\"text\":\"{id} {wide}\"}}\n")).collect();
    std::fs::write(&url, rows).unwrap();
    let recipe = |policy: &str, memory: &str| {
        let (label, policy) =
            policy.split_once("of labels, ").map_or(("", policy), |(_, rest)| ("label = 'label'\n", rest));
        let text =
            format!("[dataset]\nurl = '{url}'\n{label}[policy]\n{policy}\n[stream]\nmemory = \"{memory}\"\nwindow = 8");
        let path = folder.path().join("wide.toml");
        std::fs::write(&path, text).unwrap();
        Recipe::from_toml_file(path).unwrap()
    };
    let stream = recipe("name = \"uniform\"", "1GiB").open().unwrap();
    let mut references = stream.blank_references();
    references.set(Position::new(0, 0), Reference { loss: 1.0, probability: None }).unwrap();
    let file = folder.path().join("references.parquet");
    // By content, since less memory cuts the text into other blocks.
    stream.write_references(&references, &file, true).unwrap();
    let rho = format!("name = \"rho_loss\"\ncandidates = 128\nreference = '{}'", file.display());
    // 37 bytes a row; 4 for a recent mean, 4 for rivals where there are labels, 8 for a reference.
    for (policy, values) in [
        ("name = \"infobatch\"\ndelta = 1.0", 37),
        ("of labels, name = \"infobatch\"\ndelta = 1.0", 41),
        ("name = \"denoise\"", 41),
        ("of labels, name = \"denoise\"", 45),
        (rho.as_str(), 45),
    ] {
        let fault = recipe(policy, "16MiB").open().err().unwrap().to_string();
        let wanted = format!("values of 400 rows {:.1} KiB", f64::from(400 * values) / 1024.0);
        assert!(fault.contains(&wanted), "{policy}: {wanted} is not in {fault}");
    }
}

#[test]
fn a_trusted_set_is_named_by_the_recipe_and_read_in_plan_order() {
    let [data, _] = both();
    let other = apart(&data, 70);
    let alignment = |rest: &str| recipe(&data, &format!("name = \"alignment\"\ncandidates = 24\n{rest}"));
    assert!(alignment("").open().unwrap().trusted().unwrap().is_none());
    let named = alignment(&format!("trusted = '{}'", other.url()));
    let stream = named.clone().open().unwrap();
    let set = stream.trusted().unwrap().unwrap();
    let ids = |stream: Stream| walk(stream).into_iter().flat_map(|line| line.ids).collect::<Vec<_>>();
    let all: Vec<i64> = (0..other.rows.len() as i64).collect();
    assert_eq!((ids(set.pass().unwrap()), ids(set.pass().unwrap())), (all.clone(), all));
    // It is a part of the stream's identity.
    let state = stream.state().unwrap();
    assert!(Stream::builder(alignment("")).resume(state.clone()).open().is_err());
    assert!(Stream::builder(named).resume(state).open().is_ok());
    let refused = |recipe: Recipe| recipe.open().err().unwrap().to_string();
    assert!(refused(alignment(&format!("trusted = '{}'", data.url()))).contains("what is trained on"));
    assert!(refused(alignment("trusted = 'nowhere/*.parquet'")).contains("nowhere"));
    let uniform = recipe(&data, &format!("name = \"uniform\"\ntrusted = '{}'", other.url()));
    assert!(refused(uniform).contains("reads no trusted set"));
    let narrow = data.folder.path().join("narrow.csv");
    std::fs::write(&narrow, "id,label\n1,2\n").unwrap();
    assert!(refused(alignment(&format!("trusted = '{}'", narrow.display()))).contains("text"));
}

/// As many rows as no file of `data` has.
fn apart(data: &Data, rows: usize) -> Data {
    let of = |row: &Row| Row { text: format!("trusted {}", row.text), ..row.clone() };
    Data::of(Format::Parquet, data.rows.iter().take(rows).map(of).collect(), rows, 30)
}

#[test]
fn a_trusted_row_that_is_trained_on_is_refused_with_its_place() {
    let [data, other] = both();
    let alignment = |trusted: &Data, clean: &str| {
        let rest = format!(
            "{clean}\n[policy]\nname = \"alignment\"\ncandidates = 24\ntrusted = '{}'\n[stream]\nwindow = 4\n[batch]\n\
             size = 16",
            trusted.url()
        );
        Recipe::from_toml_file(data.recipe("seed = 5\nepochs = 2", &rest)).unwrap()
    };
    // The same contents in another file, with another order of columns or rows, are the same rows.
    let fault = alignment(&other, "").open().err().unwrap().to_string();
    assert!(fault.contains("block 0, row 0") && fault.contains("are in what is trained on"), "{fault}");
    // One row among many.
    let mut rows = apart(&data, 40).rows.clone();
    rows[17] = data.rows[231].clone();
    let one = Data::of(Format::Parquet, rows.clone(), 40, 16);
    let fault = alignment(&one, "").open().err().unwrap().to_string();
    assert!(fault.contains("1 of the 40 contents"), "{fault}");
    // What a rule drops is not trained on.
    let id = rows[17].id;
    let drop = format!("[[clean]]\nop = \"range\"\ncolumn = \"id\"\nmin = {}\n", id + 1);
    assert!(alignment(&one, &drop).open().is_ok());
    // Nor is what a split keeps out.
    let held_out = alignment(&other, "").split(0.5, 0.0);
    let fault = held_out.open().err().unwrap().to_string();
    let count: usize = fault.split(" of the 390 contents").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((100..290).contains(&count), "{fault}");
    assert!(alignment(&apart(&data, 40), "").split(0.5, 0.0).open().is_ok());
}

#[test]
fn suspicions_go_by_the_classes_of_the_label_column() {
    let [data, other] = both();
    let mut stream = recipe(&data, "name = \"uniform\"").open().unwrap();
    train(&mut stream, usize::MAX);
    let table = stream.values().unwrap();
    let mut classes = Classes::new(&stream.plan().blocks.iter().map(|block| block.rows).collect::<Vec<_>>());
    let mut labels = data.rows.iter().map(|row| row.label.and_then(|label| u32::try_from(label).ok()));
    for (block, planned) in (0..).zip(&stream.plan().blocks) {
        let of_block = labels.by_ref().take(planned.rows as usize).map(|label| label.unwrap_or(UNKNOWN_CLASS));
        classes.set(block, of_block.collect()).unwrap();
    }
    let found = stream.suspicions().unwrap();
    let judged: Vec<_> = found.iter().map(|row| (row.position, row.suspicion, row.suggested_class)).collect();
    let expected = suspicions(&table, &classes).into_iter().map(|row| (row.position, row.suspicion, row.rival));
    assert_eq!(judged, expected.collect::<Vec<_>>());
    let of_class = |position: Position| Some(classes.get(position)).filter(|class| *class != UNKNOWN_CLASS);
    let given: Vec<_> = found.iter().map(|row| row.given.map(str::to_owned)).collect();
    let labels: Vec<_> = found.iter().map(|row| of_class(row.position).map(|class| class.to_string())).collect();
    assert!(given.iter().zip(&labels).all(|(given, label)| label.is_none() || given == label));
    assert_eq!(found.len(), table.iter().filter(|(_, row)| row.is_seen()).count());
    let mut unlabelled = recipe(&other, "name = \"uniform\"");
    unlabelled.dataset.as_mut().unwrap().label = None;
    assert!(unlabelled.open().unwrap().suspicions().unwrap_err().to_string().contains("`label`"));
}

#[test]
fn two_halves_can_be_trained_on_crosswise() {
    let [data, _] = both();
    let halves = recipe(&data, "name = \"uniform\"").split(0.5, 0.0).epochs(1);
    let rows =
        |stream: Stream| -> BTreeSet<Position> { walk(stream).into_iter().flat_map(|line| line.positions).collect() };
    let train_part = rows(halves.clone().open().unwrap());
    let valid_part = rows(Stream::builder(halves.clone()).part(Part::Valid).open().unwrap());
    assert!(train_part.is_disjoint(&valid_part) && train_part.len() > 80 && valid_part.len() > 80);
    // Cleaning drops copies within a part, so the parts together are all rows that are kept, and no fewer.
    let all = rows(recipe(&data, "name = \"uniform\"").epochs(1).open().unwrap());
    assert!(train_part.union(&valid_part).count() >= all.len());
    let state = Stream::builder(halves.clone()).part(Part::Valid).open().unwrap().state().unwrap();
    assert!(Stream::builder(halves).resume(state).open().is_err(), "another part is another stream");
}

#[test]
fn rows_are_drawn_or_weighed_by_a_column() {
    let [data, _] = both();
    let lines = |policy: &str| walk(recipe(&data, policy).epochs(1).open().unwrap());
    let label = |id: i64| data.rows[id as usize].label.unwrap() as usize;
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    for line in lines("name = \"weighted\"\ncolumn = \"label\"") {
        assert!(line.weights.iter().all(|&weight| weight == 1.0_f32.to_bits()));
        line.ids.iter().for_each(|id| *times.entry(*id).or_default() += 1);
    }
    let kept: BTreeSet<i64> = lines("name = \"uniform\"").into_iter().flat_map(|line| line.ids).collect();
    for &id in &kept {
        assert_eq!(times.get(&id).copied().unwrap_or(0), label(id), "row {id}");
    }
    for line in lines("name = \"weighted\"\ncolumn = \"label\"\nby = \"loss\"\nscale = 2") {
        for (&id, &weight) in line.ids.iter().zip(&line.weights) {
            assert_eq!(f32::from_bits(weight), label(id) as f32 / 2.0);
        }
    }
    let refused = |policy: &str| recipe(&data, policy).open().err().unwrap().to_string();
    assert!(refused("name = \"weighted\"\ncolumn = \"lable\"").contains("no column `lable`"));
    assert!(refused("name = \"weighted\"\nscore = \"quality\"").contains("gives a score"));
    assert!(refused("name = \"odm\"").contains("[[domain]]"));
}

#[test]
fn mixtures_follow_losses_alike_with_any_threads_and_after_a_resume() {
    let mixed = Mixed::new(Format::Parquet, &[(200, 1.0), (150, 1.0), (100, 1.0)], 25);
    for policy in [
        "name = \"odm\"\nwarmup = 4",
        "name = \"doremi\"\nrate = 0.3",
        "name = \"fixed\"",
        "name = \"ado\"\nwarmup = 2\nrefit = 10",
    ] {
        let rest =
            format!("[mixture]\nexhausted = \"repeat\"\n[policy]\n{policy}\n[stream]\nwindow = 3\n[batch]\nsize = 8");
        let path = mixed.recipe("seed = 5\nepochs = 2", &rest);
        let open = |threads: u32, state: Option<State>| {
            let mut builder = Stream::builder(Recipe::from_toml_file(&path).unwrap().threads(threads));
            if policy.contains("doremi") {
                builder = builder.references(references(&path));
            }
            if let Some(state) = state {
                builder = builder.resume(state);
            }
            builder.open().unwrap()
        };
        let expected = train(&mut open(1, None), usize::MAX);
        assert!(expected.len() > 80);
        for threads in [2, 8] {
            assert_eq!(train(&mut open(threads, None), usize::MAX), expected, "{policy}");
        }
        let mut stream = open(2, None);
        let mut lines = Vec::new();
        loop {
            let part = train(&mut stream, 13);
            if part.is_empty() {
                break;
            }
            lines.extend(part);
            let state = State::from_bytes(&stream.state().unwrap().to_bytes().unwrap()).unwrap();
            stream = open(3, Some(state));
        }
        assert_eq!(lines, expected, "{policy}");
        let even = walk(Recipe::from_toml_file(&path).unwrap().policy("uniform").open().unwrap());
        let rows = |lines: &[Line]| lines.iter().map(|line| line.positions.clone()).collect::<Vec<_>>();
        assert_eq!(rows(&even) == rows(&expected), policy.contains("fixed"), "{policy} moves shares, or does not");
    }
}

/// Losses that are the higher, the later the block.
fn references(path: &Path) -> Arc<References> {
    let stream = Recipe::from_toml_file(path).unwrap().policy("uniform").open().unwrap();
    let mut references = stream.blank_references();
    for (block, planned) in (0..).zip(&stream.plan().blocks) {
        for row in 0..planned.rows {
            let reference = Reference { loss: block as f32 / 10.0, probability: None };
            references.set(Position::new(block, row), reference).unwrap();
        }
    }
    Arc::new(references)
}
