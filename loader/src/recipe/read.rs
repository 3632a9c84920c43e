//! How a recipe is read from TOML, strictly, and written again.
//!
//! What the contract names but this version does not do is refused by name rather than ignored.

use super::{BatchSettings, Dataset, Domain, MixtureSettings, Operator, Policy, Recipe, Split, StreamSettings};
use crate::{Error, Result, strict};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use std::{fmt, fs, io::Read as _, path::Path};
use toml::Table;

/// The longest recipe that is read, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

const LEAST: &str = "\n\nThe least that a recipe needs:\n\n[dataset]\nurl = \"data/*.parquet\"";

impl Recipe {
    /// Reads a recipe. Paths in it are taken as they stand: relative ones start at the current folder.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where the text is no TOML, where a key is unknown, is missing or holds something of the wrong
    /// type, and where [`validate`](Self::validate) refuses what it asks for.
    pub fn from_toml(text: &str) -> Result<Self> {
        read("recipe", text)
    }

    /// Reads a recipe from a file of at most 1 MiB.
    ///
    /// Relative paths in it (`url` and `manifest` of `[dataset]` or `[[domain]]`, `trusted` and `reference` of `[policy]`) start at
    /// the file's folder, wherever the program was started, and are made absolute.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml), with the file's name; [`Error::Io`] where the file cannot be read.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut text = String::new();
        let mut file = fs::File::open(path)
            .map_err(|error| Error::recipe(format!("cannot read `{}`: {error}", path.display())))?
            .take(LONGEST_FILE + 1);
        file.read_to_string(&mut text).map_err(Error::io("read", path))?;
        if text.len() as u64 > LONGEST_FILE {
            return Err(Error::recipe(format!("{}: a recipe of more than 1 MiB is not read", path.display())));
        }
        let mut recipe = read(&path.display().to_string(), &text)?;
        let file = std::path::absolute(path).map_err(Error::io("read", path))?;
        recipe.resolve(file.parent().unwrap_or(&file));
        Ok(recipe)
    }

    /// The recipe as TOML that [`from_toml`](Self::from_toml) reads as the same recipe, with every default spelt out
    /// and options in alphabetical order. Rank and world are not in it.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where [`validate`](Self::validate) refuses it.
    pub fn to_toml(&self) -> Result<String> {
        self.validate()?;
        toml::to_string(self).map_err(|error| Error::recipe(format!("recipe: cannot be written as TOML: {error}")))
    }
}

/// The file's tables, before they make a recipe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_seed")]
    seed: u64,
    #[serde(default = "default_epochs")]
    epochs: u32,
    dataset: Option<Dataset>,
    #[serde(default)]
    domain: Vec<Table>,
    #[serde(default)]
    mixture: MixtureSettings,
    #[serde(default)]
    split: Split,
    #[serde(default)]
    clean: Vec<Operator>,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    batch: BatchSettings,
    #[serde(default)]
    stream: StreamSettings,
}

pub(super) const fn default_seed() -> u64 {
    42
}

pub(super) const fn default_epochs() -> u32 {
    1
}

/// What a `[[domain]]` has beside the keys of a dataset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    share: f64,
}

const HEADER: [&str; 2] = ["name", "share"];

fn read(path: &str, text: &str) -> Result<Recipe> {
    let table: Table = toml::from_str(text)
        .map_err(|error: toml::de::Error| Error::recipe(format!("{path}: {}", error.to_string().trim_end())))?;
    let file: File = strict::read(&table).map_err(|fault| {
        let least = if fault.missing().as_deref() == Some("dataset.url") { LEAST } else { "" };
        Error::recipe(format!("{path}: {fault}{least}"))
    })?;
    if file.dataset.is_none() && file.domain.is_empty() {
        return Err(Error::recipe(format!("{path}: missing key `dataset`{LEAST}")));
    }
    let domain = file.domain.into_iter().zip(1..).map(|(table, number)| {
        let (header, dataset): (Table, Table) = table.into_iter().partition(|(key, _)| HEADER.contains(&key.as_str()));
        let place = format!("{path}: in [[domain]] {number}");
        let Header { name, share } = strict::from_table(&place, &header)?;
        let dataset = strict::read(&dataset).map_err(|fault| fault.beside(&HEADER).at(&place))?;
        Ok(Domain { name, share, dataset })
    });
    let recipe = Recipe {
        seed: file.seed,
        epochs: file.epochs,
        dataset: file.dataset,
        domain: domain.collect::<Result<_>>()?,
        mixture: file.mixture,
        split: file.split,
        clean: file.clean,
        policy: file.policy,
        batch: file.batch,
        stream: file.stream,
        rank: 0,
        world: 1,
    };
    recipe.validate_at(path)?;
    Ok(recipe)
}

impl<'de> Deserialize<'de> for Operator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (op, options) = deserializer.deserialize_map(Named("op"))?;
        Ok(Self { op: op.ok_or_else(|| D::Error::missing_field("op"))?, options })
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, options) = deserializer.deserialize_map(Named("name"))?;
        Ok(Self { name: name.ok_or_else(|| D::Error::missing_field("name"))?, options })
    }
}

/// A table with a name under the key given here, and options beside it.
struct Named(&'static str);

impl<'de> Visitor<'de> for Named {
    type Value = (Option<String>, Table);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table with `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut name, mut options) = (None, Table::new());
        while let Some(key) = entries.next_key::<String>()? {
            if key == self.0 {
                name = Some(entries.next_value()?);
            } else {
                let value = entries.next_value()?;
                options.insert(key, value);
            }
        }
        Ok((name, options))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Recipe,
        recipe::{ByteSize, Domain, Exhausted, OnBad, Part},
    };
    use proptest::prelude::*;

    const DATASET: &str = "[dataset]\nurl = 'data/*.parquet'\n";

    /// Every key of the contract that this version reads.
    const WHOLE: &str = r#"
        seed = 9223372036854775807
        epochs = 3

        [dataset]
        url = "s3://bucket/data/*.jsonl.zst"
        format = "jsonl"
        columns = ["text", "label"]
        label = "label"
        manifest = "m.json"

        [split]
        valid = 0.0
        holdout = 0

        [[clean]]
        op = "gopher_quality"
        column = "text"
        action = "drop"

        [[clean]]
        columns = ["a", "b"]
        op = "missing"

        [policy]
        name = "denoise"
        gamma = 0.5

        [batch]
        size = 10
        drop_last = true
        epoch_batches = 1000

        [stream]
        memory = "512 MiB"
        threads = 8
        window = 5
        prefetch = 2
        feedback_lag = 3
        on_bad_block = "quarantine"
        on_bad_row = "stop"
    "#;

    fn message(text: &str) -> String {
        Recipe::from_toml(text).unwrap_err().to_string()
    }

    /// The message for `text` beside a `[dataset]`.
    fn beside(text: &str) -> String {
        message(&format!("{DATASET}{text}"))
    }

    #[test]
    fn every_key_of_the_contract_is_read() {
        let built = Recipe::new("s3://bucket/data/*.jsonl.zst")
            .seed(i64::MAX as u64)
            .epochs(3)
            .format("jsonl")
            .columns(["text", "label"])
            .label("label")
            .manifest("m.json")
            .clean("gopher_quality", [("column", "text".into()), ("action", "drop".into())])
            .clean("missing", [("columns", vec!["a", "b"].into())])
            .policy("denoise")
            .policy_option("gamma", 0.5)
            .batch_size(10)
            .drop_last(true)
            .epoch_batches(1000)
            .memory(ByteSize::mib(512))
            .threads(8)
            .window(5)
            .prefetch(2)
            .feedback_lag(3)
            .on_bad_block(OnBad::Quarantine)
            .on_bad_row(OnBad::Stop);
        assert_eq!(Recipe::from_toml(WHOLE).unwrap(), built);
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let defaults = "seed = 42\nepochs = 1\n[dataset]\nurl = 'data/*.parquet'\n[split]\nvalid = 0.0\nholdout = 0.0\n\
                        [policy]\nname = 'uniform'\n[batch]\nsize = 64\ndrop_last = false\n\
                        [stream]\nmemory = '1GiB'\nthreads = 2\nprefetch = 4\nfeedback_lag = 16\n\
                        on_bad_block = 'stop'\non_bad_row = 'stop'\n";
        let read = Recipe::from_toml(DATASET).unwrap();
        assert_eq!(read, Recipe::from_toml(defaults).unwrap());
        assert_eq!(read, Recipe::new("data/*.parquet"));
        assert_eq!((read.rank, read.world), (0, 1));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [WHOLE, DATASET] {
            let recipe = Recipe::from_toml(text).unwrap();
            let written = recipe.to_toml().unwrap();
            assert_eq!(Recipe::from_toml(&written).unwrap(), recipe, "{written}");
        }
        assert!(Recipe::new("a.csv").seed(u64::MAX).to_toml().unwrap_err().is_usage());
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_place() {
        for (text, expected) in [
            ("[stream]\nthread = 4", "recipe: in [stream]: unknown key `thread`; did you mean `threads`?"),
            (
                "[batch]\nrows = 4",
                "recipe: in [batch]: unknown key `rows`; the known keys are `size`, `drop_last`, `epoch_batches`",
            ),
            ("[polcy]\nname = 'uniform'", "recipe: unknown key `polcy`; did you mean `policy`?"),
            (
                "[stream]\nthreads = 'two'",
                "recipe: in [stream]: `threads`: expected a whole number from 0 to 4294967295, found the string \"two\"",
            ),
            (
                "[stream]\non_bad_block = 'stopp'",
                "recipe: in [stream]: `on_bad_block`: unknown value \"stopp\"; did you mean `stop`?",
            ),
            (
                "[stream]\non_bad_row = 'ignore'",
                "recipe: in [stream]: `on_bad_row`: unknown value \"ignore\"; the known values are `stop`, `quarantine`",
            ),
            (
                "[stream]\nmemory = '1 GiBB'",
                "recipe: in [stream]: `memory`: \"1 GiBB\" is no number of bytes; write it like \"512MiB\", \"1GiB\", \
                 \"4MB\" or 1048576",
            ),
            (
                "[stream]\nmemory = 1.5",
                "recipe: in [stream]: `memory`: expected a number of bytes like \"1GiB\" or 1048576, found the number 1.5",
            ),
            (
                "[stream]\nmemory = -1",
                "recipe: in [stream]: `memory`: expected a number of bytes like \"1GiB\" or 1048576, found the number -1",
            ),
            ("[[clean]]\nop = 'a'\n[[clean]]\ncolumn = 'b'", "recipe: in [[clean]] 2: missing key `op`"),
            ("[[clean]]\nop = 3", "recipe: in [[clean]] 1: `op`: expected a string, found the number 3"),
            ("[clean]\nop = 'a'", "recipe: `clean`: expected an array, found a table"),
            ("[policy]\ngamma = 3", "recipe: in [policy]: missing key `name`"),
            (
                "stream = 3",
                "recipe: in [dataset]: unknown key `stream`; the known keys are `url`, `format`, `columns`, `label`, `manifest`",
            ),
        ] {
            assert_eq!(beside(text), expected);
        }
        assert_eq!(
            message("seed = -1\n[dataset]\nurl = 'a.csv'"),
            "recipe: `seed`: expected a whole number from 0 to 9223372036854775807, found the number -1"
        );
        assert_eq!(message("dataset = 'a.csv'"), "recipe: `dataset`: expected a table, found the string \"a.csv\"");
    }

    #[test]
    fn without_its_dataset_a_recipe_shows_the_least_that_it_needs() {
        let least = "\n\nThe least that a recipe needs:\n\n[dataset]\nurl = \"data/*.parquet\"";
        assert_eq!(message("seed = 7"), format!("recipe: missing key `dataset`{least}"));
        assert_eq!(message(""), format!("recipe: missing key `dataset`{least}"));
        assert_eq!(message("[dataset]\nlabel = 'y'"), format!("recipe: in [dataset]: missing key `url`{least}"));
        let (_, minimal) = least.split_once("needs:").unwrap();
        Recipe::from_toml(minimal).unwrap();
    }

    #[test]
    fn what_is_no_toml_is_shown_with_its_line() {
        assert_eq!(
            message("seed = 42\nepochs = = 1"),
            "recipe: TOML parse error at line 2, column 10\n  |\n2 | epochs = = 1\n  |          ^\nextra `=`, expected nothing"
        );
        assert_eq!(
            message("seed = 1\nseed = 2"),
            "recipe: TOML parse error at line 2, column 1\n  |\n2 | seed = 2\n  | ^^^^\nduplicate key"
        );
    }

    const MIXED: &str = "[[domain]]\nname = 'web'\nshare = 2\nurl = 'web/*.parquet'\n\
                         [[domain]]\nname = 'code'\nshare = 0.5\nurl = 'code.jsonl'\ncolumns = ['text']\n";

    #[test]
    fn domains_are_read_and_written_again() {
        let text = format!("{MIXED}[mixture]\nexhausted = 'repeat'\n[split]\nvalid = 0.1\nclean = true");
        let recipe = Recipe::from_toml(&text).unwrap();
        let mut code = Domain::new("code", 0.5, "code.jsonl");
        code.dataset.columns = Some(vec!["text".into()]);
        let mut built = Recipe::mixture([Domain::new("web", 2.0, "web/*.parquet"), code]);
        built = built.exhausted(Exhausted::Repeat).split(0.1, 0.0);
        built.split.clean = true;
        assert_eq!(recipe, built);
        assert_eq!(Recipe::from_toml(&recipe.to_toml().unwrap()).unwrap(), recipe);
    }

    #[test]
    fn what_is_wrong_with_a_mixture_is_named_with_its_domain() {
        let with = |from: &str, to: &str| message(&MIXED.replacen(from, to, 1));
        for (from, to, expected) in [
            (
                "share = 2",
                "share = 0",
                "recipe: in [[domain]] 1 (`web`): `share` = 0: must be a number above 0; leave out a \
              domain that is not to be drawn",
            ),
            (
                "share = 2",
                "share = -1.5",
                "recipe: in [[domain]] 1 (`web`): `share` = -1.5: must be a number above 0; leave \
              out a domain that is not to be drawn",
            ),
            (
                "share = 2",
                "share = nan",
                "recipe: in [[domain]] 1 (`web`): `share` = NaN: must be a number above 0; leave \
              out a domain that is not to be drawn",
            ),
            (
                "share = 2",
                "share = inf",
                "recipe: in [[domain]] 1 (`web`): `share` = inf: must be a number above 0; leave \
              out a domain that is not to be drawn",
            ),
            ("share = 2\n", "", "recipe: in [[domain]] 1: missing key `share`"),
            ("share = 2", "share = 'x'", "recipe: in [[domain]] 1: `share`: expected a number, found the string \"x\""),
            (
                "'code'",
                "'web'",
                "recipe: in [[domain]] 2 (`web`): `name`: domain 1 has this name too; give each its own",
            ),
            ("'code'", "''", "recipe: in [[domain]] 2 (``): `name` is empty: name the domain"),
            ("url = 'web", "ulr = 'web", "recipe: in [[domain]] 1: unknown key `ulr`; did you mean `url`?"),
            ("share = 2", "shares = 2", "recipe: in [[domain]] 1: missing key `share`"),
            ("url = 'web/*.parquet'", "", "recipe: in [[domain]] 1: missing key `url`"),
            (
                "columns = ['text']",
                "columns = []",
                "recipe: in [[domain]] 2 (`code`): `columns` is empty: name the columns, \
              or leave it out for all",
            ),
        ] {
            assert_eq!(with(from, to), expected);
        }
        assert_eq!(
            beside(MIXED),
            "recipe: [dataset] and [[domain]] are both given: a mixture is of domains alone, so make the dataset one of them"
        );
        assert_eq!(
            beside("[mixture]\nexhausted = 'repeat'"),
            "recipe: [mixture] is given and no [[domain]]: it says how domains are mixed, so leave it out"
        );
        assert_eq!(
            message(&format!("{MIXED}[mixture]\nexhausted = 'sotp'")),
            "recipe: in [mixture]: `exhausted`: unknown value \"sotp\"; did you mean `stop`?"
        );
        let one = "[[domain]]\nname = 'd'\nshare = 1e-12\nurl = 'd.csv'\n";
        assert!(message(&format!("{MIXED}{one}")).contains("`share` = 0.000000000001: is less than 2^-32"));
    }

    #[test]
    fn a_split_keeps_something_to_train_on() {
        for (text, expected) in [
            ("valid = -0.1", "`valid` = -0.1: must be at least 0 and less than 1"),
            ("valid = 1", "`valid` = 1: must be at least 0 and less than 1"),
            ("holdout = nan", "`holdout` = NaN: must be at least 0 and less than 1"),
            ("valid = 0.5\nholdout = 0.5", "`valid` + `holdout` = 1: must be less than 1, or nothing is trained on"),
        ] {
            assert_eq!(beside(&format!("[split]\n{text}")), format!("recipe: in [split]: {expected}"));
        }
        assert!("vaild".parse::<Part>().unwrap_err().to_string().contains("did you mean `valid`"));
        assert_eq!("holdout".parse::<Part>().unwrap(), Part::Holdout);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        for text in [
            format!("a{} = 1", ".a".repeat(200_000)),
            format!("[a{}]", ".a".repeat(200_000)),
            format!("a = {}", "[".repeat(200_000)),
            format!("a = {}", "{a = ".repeat(200_000)),
        ] {
            assert!(message(&text).starts_with("recipe: "));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,200}") {
            let _ = Recipe::from_toml(&text);
        }

        #[test]
        fn a_flipped_character_never_panics(at in 0..WHOLE.len(), with in "\\PC|\n") {
            let mut text = WHOLE.to_owned();
            text.replace_range(at..=at, &with);
            if let Err(error) = Recipe::from_toml(&text) {
                prop_assert!(error.is_usage());
            }
        }
    }
}
