//! `arable init`: a recipe that can be walked as it stands, and whose every setting that is off may be switched on.

use crate::{ARABLE, datasets};
use arable_loader::Recipe;
use arable_tests::{Data, Format, Ran, arable};
use std::{fs, path::Path};

fn init(out: &Path, urls: &[&str], more: &[&str]) -> Ran {
    let out = out.display().to_string();
    arable(ARABLE, ["init", "--out", &out].iter().chain(urls).chain(more))
}

/// The recipe `text` with one run of settings that are off switched on, for each of them.
fn switched_on(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_off = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let mut texts = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        if !is_off(line) || first > 0 && is_off(lines[first - 1]) {
            continue;
        }
        let run = lines[first..].iter().take_while(|line| is_off(line)).count();
        let on = |(index, line): (usize, &&str)| match line.strip_prefix('#') {
            Some(setting) if (first..first + run).contains(&index) => Some(setting.to_owned()),
            // A policy takes the place of the one that is set.
            None if lines[first].starts_with("#name") && line.starts_with("name = \"uniform\"") => None,
            _ => Some((*line).to_owned()),
        };
        texts.push(lines.iter().enumerate().filter_map(on).collect::<Vec<_>>().join("\n"));
    }
    texts
}

#[test]
fn a_first_recipe_walks_as_it_stands_and_with_each_of_its_offers() {
    for data in datasets() {
        let path = data.folder.path().join("first.toml");
        let ran = init(&path, &[&data.url()], &["--json"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(ran.json()["recipe"], text);
        assert_eq!(ran.json()["datasets"][0]["rows"], data.rows.len());
        for word in ["label = \"label\"", "op = \"missing\"", "#op = \"exact_duplicate\"", "\"text\": Utf8"] {
            assert!(text.contains(word), "{:?}: `{word}` is missing in\n{text}", data.format);
        }
        let walked = arable(ARABLE, ["stream", path.to_str().unwrap(), "--json"]);
        assert_eq!(walked.status, 0, "{walked:?}");
        let unlabelled = data.rows.iter().filter(|row| row.label.is_none()).count();
        assert_eq!(walked.json()["trained"], data.rows.len() - unlabelled);

        let offers = switched_on(&text);
        assert!(offers.len() >= 6, "{text}");
        for offer in offers {
            fs::write(&path, &offer).unwrap();
            assert!(Recipe::from_toml_file(&path).and_then(Recipe::open).is_ok(), "{offer}");
        }
    }
}

#[test]
fn several_urls_are_a_mixture_in_proportion_to_their_rows() {
    let (web, code) = (Data::new(Format::Parquet, 2, 100, 25), Data::new(Format::Jsonl, 1, 50, 0));
    let path = web.folder.path().join("first.toml");
    let ran = init(&path, &[&web.url(), &code.url()], &["--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let walked = arable(ARABLE, ["stream", path.to_str().unwrap(), "--json"]);
    assert_eq!(walked.status, 0, "{walked:?}");
    let domains = walked.json()["domains"].as_array().unwrap().clone();
    let shares: Vec<f64> = domains.iter().map(|domain| domain["share"].as_f64().unwrap()).collect();
    assert!((shares[0] - 0.8).abs() < 1e-6 && (shares[1] - 0.2).abs() < 1e-6, "{shares:?}");
}

#[test]
fn nothing_is_overwritten_unasked_and_names_cannot_break_a_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, path) = (folder.path().join("strange.csv"), folder.path().join("first.toml"));
    fs::write(&csv, "\"a\n[stream]\",\"b \"\"q\"\" \\\",\"größe\u{7}\",#c\n1,2,3,4\n").unwrap();
    let url = csv.display().to_string();
    assert_eq!(init(&path, &[&url], &[]).status, 0);
    let first = fs::read_to_string(&path).unwrap();
    let walked = arable(ARABLE, ["stream", path.to_str().unwrap(), "--json"]);
    assert_eq!((walked.status, walked.json()["trained"].as_u64()), (0, Some(1)), "{walked:?}\n{first}");

    fs::write(&path, "mine").unwrap();
    let ran = init(&path, &[&url], &[]);
    assert!(ran.status == 2 && ran.err.contains("--force"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(init(&path, &[&url], &["--force", "--quiet"]).out, "");
    assert_eq!(fs::read_to_string(&path).unwrap(), first);

    let ran = arable(ARABLE, ["init", "--out", "-", &url]);
    assert_eq!((ran.status, ran.out.as_str()), (0, first.as_str()));
    let ran = init(&path, &[&format!("{url}x")], &["--force"]);
    assert!(ran.status == 2 && ran.err.contains("strange.csvx"), "{ran:?}");
    fs::write(&csv, "a,b\n").unwrap();
    assert_eq!(init(&path, &[&url], &["--force"]).status, 2, "of no row nothing can be told");
}
