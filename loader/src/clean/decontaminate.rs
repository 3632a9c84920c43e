//! `decontaminate`: a document that shares an n-gram with an evaluation set.
//!
//! The n-grams are datatrove's: 12 words of the simplified text, as 64-bit hashes. Of a set with a `label` column they
//! are those that end in the label, so that they may begin in the `query` before it; of any other set, those of each
//! text column. The sets are read once, before the first row is judged, and their n-grams are part of the operator's
//! identity.

use super::{
    Findings, Operator, Rows, Rule,
    near_duplicate::one_text_column,
    shingles::{ShingleHash, Shingler, Tokens},
    spec::{Built, Column, Settings},
    texts::{Texts, is_text},
};
use crate::{Error, Hash, Result};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;
use std::collections::HashMap;

pub(super) const NAME: &str = "decontaminate";

/// The most n-grams of all sets together: about a gigabyte.
const MOST_GRAMS: usize = 1 << 25;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    sets: Vec<String>,
    label: Option<String>,
    query: Option<String>,
    #[serde(default = "default_n")]
    n: usize,
    /// The share of a document's n-grams that may be in a set.
    #[serde(default)]
    share: f64,
    #[serde(default)]
    tokens: Tokens,
    #[serde(default)]
    hash: ShingleHash,
}

const fn default_n() -> usize {
    12
}

struct Decontaminate {
    column: Column,
    options: Options,
    /// The sets' names.
    names: Vec<String>,
    /// The n-grams, with the first set that has each.
    grams: HashMap<u64, u32>,
    content: Hash,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let column = one_text_column(&mut settings)?;
    if options.sets.is_empty() {
        return Err("`sets` names no evaluation set; give the URLs of some".to_owned());
    }
    if !(1..=4096).contains(&options.n) {
        return Err(format!("`n` = {}: must be at least 1 and at most 4096", options.n));
    }
    if !(0.0..1.0).contains(&options.share) {
        return Err(format!("`share` = {}: must be at least 0 and below 1", options.share));
    }
    if options.query.is_some() && options.label.is_none() {
        return Err("`query` is what stands before a `label`: name that column too".to_owned());
    }
    let mut grams = HashMap::new();
    for (url, set) in options.sets.iter().zip(0_u32..) {
        let before = grams.len();
        settings.dataset(url, &mut |batch| add(&mut grams, set, &options, batch))?;
        if grams.len() == before {
            return Err(format!(
                "evaluation set `{url}` adds no n-gram of {} tokens: nothing would be found",
                options.n
            ));
        }
    }
    let mut sorted: Vec<(u64, u32)> = grams.iter().map(|(&gram, &set)| (gram, set)).collect();
    sorted.sort_unstable();
    let bytes: Vec<u8> =
        sorted.iter().flat_map(|(gram, set)| gram.to_le_bytes().into_iter().chain(set.to_le_bytes())).collect();
    let names = names(&options.sets);
    Ok(Built::Pure(Box::new(Decontaminate { column, options, names, grams, content: Hash::of(&bytes) })))
}

/// What each set is called: the last part of its URL, less the ending, and a number where that is not unique.
fn names(urls: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for url in urls {
        let last = url.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(url);
        let stem = last.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(last);
        let same = names.iter().filter(|name| *name == stem).count();
        names.push(if same == 0 { stem.to_owned() } else { format!("{stem}-{}", same + 1) });
    }
    names
}

/// Adds the n-grams of a stretch of a set.
fn add(grams: &mut HashMap<u64, u32>, set: u32, options: &Options, batch: &RecordBatch) -> Result<()> {
    let mut shingler = Shingler::new(options.tokens, options.n, options.hash);
    let named = |name: &String| {
        let column = batch.column_by_name(name).and_then(|column| Texts::of(column.as_ref()));
        column.ok_or_else(|| Error::recipe(format!("an evaluation set has no text column `{name}`")))
    };
    if let Some(label) = &options.label {
        let (labels, queries) = (named(label)?, options.query.as_ref().map(named).transpose()?);
        for row in 0..batch.num_rows() {
            let Some(label) = labels.get(row) else { continue };
            let query = queries.as_ref().and_then(|queries| queries.get(row)).unwrap_or_default();
            let before = shingler.for_each(query, |_, _| {});
            let mut end = options.n;
            shingler.for_each(&format!("{query}\n{label}"), |_, gram| {
                if end > before {
                    grams.entry(gram).or_insert(set);
                }
                end += 1;
            });
        }
    } else {
        let columns = batch.columns().iter().filter(|column| is_text(column.data_type()));
        for texts in columns.filter_map(|column| Texts::of(column.as_ref())) {
            for text in (0..batch.num_rows()).filter_map(|row| texts.get(row)) {
                shingler.for_each(text, |_, gram| {
                    grams.entry(gram).or_insert(set);
                });
            }
        }
    }
    if grams.len() > MOST_GRAMS {
        return Err(Error::recipe(format!("the evaluation sets have more than {MOST_GRAMS} n-grams; give fewer")));
    }
    Ok(())
}

impl Operator for Decontaminate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        let Options { n, share, tokens, hash, .. } = &self.options;
        format!(
            "column = {:?}, names = {:?}, n = {n}, share = {share}, tokens = {tokens:?}, hash = {hash:?}, sets = {}",
            self.column.name, self.names, self.content
        )
    }

    fn rules(&self) -> Vec<Rule> {
        self.names.iter().map(|name| Rule::at_most(format!("contaminated:{name}"))).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let texts = rows.texts(self.column.index)?;
        let mut shingler = Shingler::new(self.options.tokens, self.options.n, self.options.hash);
        for (row, text) in rows.iter().filter_map(|row| Some((row, texts.get(row)?))) {
            let (mut all, mut found, mut first) = (0_u64, 0_u64, None);
            shingler.for_each(text, |_, gram| {
                all += 1;
                if let Some(&set) = self.grams.get(&gram) {
                    found += 1;
                    first.get_or_insert(set);
                }
            });
            let share = found as f64 / all.max(1) as f64;
            if let Some(set) = first.filter(|_| share > self.options.share) {
                findings.measured(row, set as usize, share, Some(self.options.share));
            }
        }
        Ok(())
    }
}
