//! The recipe's identity: a hash over what decides which rows are emitted, in which order and with which weights.
//!
//! Where the data lie and how fast they flow is not in it: the same stream may be read elsewhere, by more threads.

use super::{Dataset, Exhausted, OnBad, Recipe, Split};
use crate::Hash;
use toml::{Table, Value};

impl Recipe {
    /// BLAKE3 over the part that decides emission, with `window` the number of blocks that are really open together
    /// (given by the recipe, or derived from its memory).
    ///
    /// In it: seed, format, columns, label, the domains with names and shares, the split, the cleaning operators in order, the policy, batch size, `drop_last`, the
    /// window, `feedback_lag`, and what is done about bad blocks and rows. The order of keys within a table is not.
    /// Nor are URLs and paths (a policy's `trusted` and `reference`, and what operators name, count as given or not; what they hold must be
    /// hashed by who reads it), epochs, `epoch_batches`, memory, threads, prefetch,
    /// cache, retries, rank and world.
    #[must_use]
    pub fn identity(&self, window: u32) -> Hash {
        let mut digest = Digest(blake3::Hasher::new());
        digest.text("arable recipe 1");
        digest.number(self.seed);
        // What later versions added is written only where it says something, so that what a recipe said before has the
        // identity that it had before.
        match &self.dataset {
            Some(dataset) => digest.dataset(dataset),
            None => {
                digest.text("domains");
                digest.number(self.domain.len() as u64);
                for domain in &self.domain {
                    digest.text(&domain.name);
                    digest.number(domain.share.to_bits());
                    digest.dataset(&domain.dataset);
                }
                digest.flag(self.mixture.exhausted == Exhausted::Repeat);
            }
        }
        if self.split.keeps_out() {
            digest.text("split");
            digest.number(self.split.valid.to_bits());
            digest.number(self.split.holdout.to_bits());
            digest.flag(self.split.clean);
        }
        digest.number(self.clean.len() as u64);
        for operator in &self.clean {
            digest.text(&operator.op);
            digest.table(&operator.without_paths());
        }
        digest.text(&self.policy.name);
        digest.table(&self.policy.without_paths());
        digest.number(u64::from(self.batch.size));
        digest.flag(self.batch.drop_last);
        digest.number(u64::from(window));
        digest.number(u64::from(self.stream.feedback_lag));
        digest.flag(self.stream.on_bad_block == OnBad::Quarantine);
        digest.flag(self.stream.on_bad_row == OnBad::Quarantine);
        Hash(*digest.0.finalize().as_bytes())
    }

    /// What [`identity`](Self::identity) is made of, for a person: keys of the recipe and what they say. Where two recipes
    /// differ in their identity, they differ here.
    pub(crate) fn decisive(&self, window: u32) -> Vec<(String, String)> {
        let mut said = vec![("seed".to_owned(), self.seed.to_string())];
        let mut say = |key: &str, value: String| said.push((key.to_owned(), value));
        let shown = |table: &Table| {
            let mut options: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            options.sort_unstable();
            if options.is_empty() { "none".to_owned() } else { options.join(", ") }
        };
        let mut dataset = |table: &str, dataset: &Dataset| {
            let option =
                |option: &Option<String>| option.as_ref().map_or("not given".to_owned(), |it| format!("{it:?}"));
            say(&format!("{table} format"), option(&dataset.format));
            say(&format!("{table} columns"), dataset.columns.as_ref().map_or("all".to_owned(), |it| format!("{it:?}")));
            say(&format!("{table} label"), option(&dataset.label));
        };
        self.dataset.iter().for_each(|it| dataset("[dataset]", it));
        self.domain.iter().for_each(|it| dataset(&format!("[[domain]] {}:", it.name), &it.dataset));
        if !self.domain.is_empty() {
            let shares: Vec<String> = self.domain.iter().map(|it| format!("{} {}", it.name, it.share)).collect();
            say("[[domain]] shares", shares.join(", "));
            say("[mixture] exhausted", format!("{:?}", self.mixture.exhausted).to_lowercase());
        }
        let Split { valid, holdout, clean } = &self.split;
        if self.split.keeps_out() {
            say("[split]", format!("valid = {valid}, holdout = {holdout}, clean = {clean}"));
        }
        for (index, operator) in self.clean.iter().enumerate() {
            say(&format!("[[clean]] {}", index + 1), format!("{} ({})", operator.op, shown(&operator.without_paths())));
        }
        say("[policy] name", self.policy.name.clone());
        say("[policy] options", shown(&self.policy.without_paths()));
        say("[batch] size", self.batch.size.to_string());
        say("[batch] drop_last", self.batch.drop_last.to_string());
        say("[stream] window", format!("{window} blocks"));
        say("[stream] feedback_lag", self.stream.feedback_lag.to_string());
        say("[stream] on_bad_block", format!("{:?}", self.stream.on_bad_block).to_lowercase());
        say("[stream] on_bad_row", format!("{:?}", self.stream.on_bad_row).to_lowercase());
        said
    }
}

/// A hasher of values, each written so that no two sequences of values give the same bytes.
struct Digest(blake3::Hasher);

impl Digest {
    fn number(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    fn flag(&mut self, value: bool) {
        self.0.update(&[u8::from(value)]);
    }

    fn kind(&mut self, kind: u8) {
        self.0.update(&[kind]);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.flag(text.is_some());
        self.text(text.unwrap_or_default());
    }

    fn dataset(&mut self, dataset: &Dataset) {
        self.optional(dataset.format.as_deref());
        self.flag(dataset.columns.is_some());
        let columns = dataset.columns.as_deref().unwrap_or_default();
        self.number(columns.len() as u64);
        for column in columns {
            self.text(column);
        }
        self.optional(dataset.label.as_deref());
    }

    fn table(&mut self, table: &Table) {
        // The table keeps whatever order it was built to keep; the hash must not.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| key.as_str());
        self.number(entries.len() as u64);
        for (key, value) in entries {
            self.text(key);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.kind(0);
                self.text(text);
            }
            Value::Integer(value) => {
                self.kind(1);
                self.number(*value as u64);
            }
            Value::Float(value) => {
                self.kind(2);
                self.number(value.to_bits());
            }
            Value::Boolean(value) => {
                self.kind(3);
                self.flag(*value);
            }
            Value::Datetime(value) => {
                self.kind(4);
                self.text(&value.to_string());
            }
            Value::Array(items) => {
                self.kind(5);
                self.number(items.len() as u64);
                for item in items {
                    self.value(item);
                }
            }
            Value::Table(table) => {
                self.kind(6);
                self.table(table);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{ByteSize, Domain};
    use std::collections::BTreeSet;

    fn recipe() -> Recipe {
        Recipe::new("data/*.parquet")
            .columns(["text", "label"])
            .label("label")
            .clean("range", [("column", "label".into()), ("min", 0.into()), ("max", 9.into())])
            .clean("missing", [])
            .policy("denoise")
            .policy_option("trusted", "clean.csv")
    }

    fn with(change: impl FnOnce(&mut Dataset)) -> Recipe {
        let mut recipe = recipe();
        recipe.dataset.as_mut().map(change);
        recipe
    }

    fn mixture(share: f64, name: &str) -> Recipe {
        Recipe::mixture([Domain::new("a", 0.5, "a.csv"), Domain::new(name, share, "b.csv")])
    }

    #[test]
    fn what_does_not_decide_emission_is_not_in_it() {
        let of = recipe().identity(8);
        for (what, other) in [
            ("url", with(|dataset| dataset.url = "/x/*.parquet".into())),
            ("manifest", recipe().manifest("m.json")),
            ("trusted", recipe().policy_option("trusted", "/x/clean.csv")),
            ("epochs", recipe().epochs(9)),
            ("epoch_batches", recipe().epoch_batches(9)),
            ("memory", recipe().memory(ByteSize::gib(9))),
            ("threads", recipe().threads(9)),
            ("prefetch", recipe().prefetch(9)),
            ("cache", recipe().cache("elsewhere")),
            ("retries", recipe().retries(1).timeout(5)),
            ("rank", recipe().rank(1, 9)),
            ("the window as asked for", recipe().window(9)),
        ] {
            assert_eq!(other.identity(8), of, "{what}");
        }
    }

    #[test]
    fn what_decides_emission_is_in_it() {
        let others = [
            recipe(),
            recipe().seed(1),
            recipe().columns(["label", "text"]),
            recipe().columns(["text,label"]),
            with(|dataset| dataset.columns = None),
            recipe().split(0.1, 0.0),
            recipe().split(0.0, 0.1),
            mixture(0.5, "b"),
            mixture(0.25, "b"),
            mixture(0.5, "c"),
            mixture(0.5, "b").exhausted(Exhausted::Repeat),
            recipe().label("text"),
            recipe().format("csv"),
            recipe().clean("missing", []),
            Recipe { clean: recipe().clean.into_iter().rev().collect(), ..recipe() },
            Recipe { clean: Vec::new(), ..recipe() },
            recipe().policy("uniform"),
            recipe().policy("denoise"),
            recipe().policy_option("gamma", 1),
            recipe().policy_option("gamma", 1.0),
            recipe().policy_option("gamma", "1"),
            recipe().policy_option("gamma", true),
            recipe().policy_option("gamma", vec![1, 2]),
            recipe().policy_option("gamma", vec![vec![1], vec![2]]),
            recipe().policy_option("gamma", vec![vec![1, 2], vec![]]),
            recipe().batch_size(65),
            recipe().drop_last(true),
            recipe().feedback_lag(17),
            recipe().on_bad_block(OnBad::Quarantine),
            recipe().on_bad_row(OnBad::Quarantine),
        ];
        let mut hashes: BTreeSet<Hash> = others.iter().map(|recipe| recipe.identity(8)).collect();
        assert_eq!(hashes.len(), others.len());
        assert!(hashes.insert(recipe().identity(9)), "the window");
    }

    #[test]
    fn the_order_of_keys_is_not_in_it() {
        let one =
            "[dataset]\nurl = 'a'\nlabel = 'y'\n[[clean]]\nop = 'o'\nb = { x = 1, y = 2 }\na = 1\n[batch]\nsize = 3";
        let two =
            "[batch]\nsize = 3\n[[clean]]\na = 1\nb = { y = 2, x = 1 }\nop = 'o'\n[dataset]\nlabel = 'y'\nurl = 'a'";
        let of = |text| Recipe::from_toml(text).unwrap().identity(1);
        assert_eq!(of(one), of(two));
        assert_ne!(of(one), of(&two.replace("x = 1", "x = 3")));
    }

    #[test]
    fn it_is_the_same_on_every_machine_and_in_every_version() {
        // States and ledgers hold it: it may change only together with the text "arable recipe 1".
        assert_eq!(
            recipe().identity(8).to_string(),
            "251a99cf7b8677cba049fbe95cd4f28dd5ab37829f0d5e7814d59c3254c82d1b"
        );
    }
}
