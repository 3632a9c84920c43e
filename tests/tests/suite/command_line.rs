//! The contract of the command line: exit status, messages, JSON.

use crate::ARABLE;
use arable_tests::{CLEAN, Data, Format, arable, arable_command};

#[test]
fn inspect_tells_what_is_there() {
    for format in Format::ALL {
        let data = Data::new(format, 3, 200, 50);
        let ran = arable(ARABLE, ["inspect", &data.url(), "--json"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let json = ran.json();
        assert_eq!((json["shards"].as_u64(), json["rows"].as_u64()), (Some(3), Some(600)));
        assert_eq!(json["schema"][0]["name"], "id");
        let label = json["columns"].as_array().unwrap().iter().find(|column| column["name"] == "label").unwrap();
        assert_eq!(label["nulls"], data.rows.iter().filter(|row| row.label.is_none()).count() as u64);

        let ran = arable(ARABLE, ["inspect", &data.files().display().to_string()]);
        assert_eq!(ran.status, 0, "{ran:?}");
        for word in ["600 rows", "part-02", "label", "text 0"] {
            assert!(ran.out.contains(word), "`{word}` is missing in\n{}", ran.out);
        }
    }
}

#[test]
fn stream_accounts_for_every_row_in_json_and_in_words() {
    let data = Data::new(Format::Parquet, 3, 200, 50);
    let recipe = data.recipe("", CLEAN).display().to_string();
    let ids = data.folder.path().join("ids");
    let ran = arable(ARABLE, ["stream", &recipe, "--json", "--ids", ids.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let rows = &ran.json()["rows"];
    let dropped: u64 = rows["dropped"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
    assert_eq!(rows["read"], 600);
    assert_eq!(rows["kept"].as_u64().unwrap() + dropped + rows["quarantined"].as_u64().unwrap(), 600);
    assert_eq!(ran.json()["trained"], rows["kept"]);
    let text = std::fs::read_to_string(ids).unwrap();
    assert_eq!(text.lines().count() as u64, rows["kept"].as_u64().unwrap());
    let first: Vec<&str> = text.lines().next().unwrap().split('\t').collect();
    assert_eq!((first.len(), first[0], first[1], first[5]), (7, "0", "0", "1"));
    let contents: std::collections::HashSet<&str> = text.lines().filter_map(|line| line.split('\t').nth(6)).collect();
    assert_eq!(contents.len(), text.lines().count(), "no two kept rows have one content");
    assert!(contents.iter().all(|id| id.len() == 32));
    assert!(first[2].starts_with("part-0"), "{first:?}");

    let words = arable(ARABLE, ["stream", &recipe]);
    assert!(words.out.contains("missing:label") && words.out.contains("rows/s"), "{}", words.out);
    assert_eq!(arable(ARABLE, ["stream", &recipe, "--quiet"]).out, "");
}

#[test]
fn what_is_wrong_with_a_call_or_a_recipe_is_said_and_is_status_2() {
    let data = Data::new(Format::Parquet, 1, 20, 10);
    let url = data.url();
    let says = |top: &str, rest: &str, words: &[&str]| {
        let ran = arable(ARABLE, ["stream", &data.recipe(top, rest).display().to_string()]);
        assert_eq!(ran.status, 2, "{ran:?}");
        for word in words {
            assert!(ran.err.contains(word), "`{word}` is missing in {}", ran.err);
        }
    };
    says("sed = 3", "", &["sed", "seed"]);
    says("", "[stream]\nthread = 3", &["thread", "threads", "[stream]"]);
    says("", "[[clean]]\nop = \"rnage\"\ncolumn = \"label\"", &["rnage", "range"]);
    says("", "[[clean]]\nop = \"range\"\ncolumn = \"lable\"", &["lable", "label"]);
    says("", "[[clean]]\nop = \"range\"\ncolumn = \"label\"\nmaxx = 3", &["maxx", "max"]);
    says("", "[policy]\nname = \"unifrom\"", &["unifrom", "uniform"]);
    says("", "[policy]\nname = \"denoise\"\nflor = 0.1", &["flor", "floor"]);
    says("", "[stream]\nfeedback_lag = 3", &["feedback_lag", "prefetch"]);
    says("", "[stream]\non_bad_row = \"stopp\"", &["stopp", "stop"]);
    says("seed = \"three\"", "", &["seed"]);
    says("", "[split]\nvalid = 1.1", &["split", "valid"]);

    let ran = arable(ARABLE, ["stream", "/no/such/recipe.toml"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("/no/such/recipe.toml"));
    assert_eq!(arable(ARABLE, ["strem"]).status, 2);
    let ran = arable(ARABLE, ["inspect", &url.replace("part-*", "prat-*")]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("prat-"), "{ran:?}");
}

#[test]
fn a_run_that_fails_over_its_data_is_status_1() {
    let data = Data::new(Format::Jsonl, 1, 20, 0);
    std::fs::write(data.shard(0), "{\"id\":1,\"label\":1}\n{broken\n").unwrap();
    let ran = arable(ARABLE, ["stream", &data.recipe("", "").display().to_string()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.err.contains("part-00.jsonl") && ran.err.contains("row 1"), "{ran:?}");
}

#[test]
fn too_little_memory_is_refused_with_the_arithmetic() {
    let data = Data::new(Format::Parquet, 1, 400, 100);
    // Rows of 40 bytes; a window of four row groups and their values are far below this, so make them larger.
    let wide: String = "x".repeat(60_000);
    let rows: String = (0..400).map(|id| format!("{{\"id\":{id},\"label\":1,\"text\":\"{wide}\"}}\n")).collect();
    std::fs::write(data.files().join("wide.jsonl"), rows).unwrap();
    let recipe = data.folder.path().join("wide.toml");
    let url = data.files().join("wide.jsonl").display().to_string();
    std::fs::write(&recipe, format!("[dataset]\nurl = '{url}'\n[stream]\nmemory = \"16MiB\"\nwindow = 8\n")).unwrap();
    let ran = arable(ARABLE, ["stream", &recipe.display().to_string()]);
    assert_eq!(ran.status, 2, "{ran:?}");
    for word in ["memory", "16MiB", "window of 8 blocks", "="] {
        assert!(ran.err.contains(word), "`{word}` is missing in {}", ran.err);
    }
}

#[test]
fn a_reader_that_has_heard_enough_is_no_fault() {
    use std::process::Stdio;
    let data = Data::new(Format::Parquet, 1, 20, 10);
    let mut child = arable_command(ARABLE)
        .args(["inspect", &data.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_call_that_names_files_that_are_not_there_is_status_2() {
    let data = Data::new(Format::Parquet, 1, 20, 10);
    let recipe = data.recipe("", "").display().to_string();
    let file = |name: &str| data.folder.path().join(name).display().to_string();
    assert_eq!(arable(ARABLE, ["stream", &recipe, "--resume", &file("nothing")]).status, 2);
    assert_eq!(arable(ARABLE, ["stream", &recipe, "--feedback", &file("nothing")]).status, 2);
    for option in ["--hashes", "--ids", "--save-state", "--values"] {
        let ran = arable(ARABLE, ["stream", &recipe, option, &file("no folder/x")]);
        assert!(ran.status == 2 && ran.err.contains("no folder"), "{ran:?}");
    }
    assert_eq!(arable(ARABLE, ["stream", &recipe, "--stop-after", "1", "--save-state", &file("state")]).status, 0);
    let ran = arable(ARABLE, ["stream", &recipe, "--resume", &file("state"), "--record", &file("new")]);
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[test]
fn what_the_library_warns_of_goes_to_standard_error_as_the_environment_says() {
    let data = Data::new(Format::Parquet, 2, 100, 25);
    let files = data.files().display().to_string();
    assert_eq!(arable(ARABLE, ["inspect", &files, "--write-manifest", "--quiet"]).status, 0);
    let mut bytes = std::fs::read(data.shard(1)).unwrap();
    bytes[60] ^= 4;
    std::fs::write(data.shard(1), bytes).unwrap();
    let recipe = data.recipe("", "[stream]\non_bad_block = \"quarantine\"");
    let says = |quiet: &[&str], level: Option<(&str, &str)>| {
        let mut command = arable_command(ARABLE);
        command.args(["stream", recipe.to_str().unwrap()]).args(quiet).envs(level);
        command.env_remove(if level.is_some_and(|(name, _)| name == "RUST_LOG") { "ARABLE_LOG" } else { "RUST_LOG" });
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let warns = |said: &(Option<i32>, String)| said.1.contains("WARN") && said.1.contains("part-01");
    assert!(warns(&says(&[], None)));
    assert_eq!(says(&["--quiet"], None), (Some(0), String::new()));
    assert!(warns(&says(&["--quiet"], Some(("ARABLE_LOG", "warn")))));
    assert!(warns(&says(&["--quiet"], Some(("RUST_LOG", "arable_loader=warn")))));
    assert!(!warns(&says(&[], Some(("ARABLE_LOG", "off")))));
    let (status, err) = says(&[], Some(("ARABLE_LOG", "arable_loader=loud")));
    assert!(status == Some(2) && err.contains("ARABLE_LOG") && err.contains("loud"), "{err}");
}
