//! `unique`: rows whose key, the values of one or more columns, other rows share, or that have none.
//!
//! A survey counts the keys, so that all rows which share one are found, not only the later ones: which of them is right
//! no key can tell. (`exact_duplicate` with `columns` keeps the first.) Keys are 128-bit hashes of canonical content.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        content::{content_keys, unencodable},
        spec::{Built, Column, Settings},
    },
    ENTRY,
};
use crate::{Error, Place, Result, byte_size::ByteSize};
use arrow::array::Array as _;
use serde::Deserialize;
use std::collections::HashMap;

pub(in crate::clean) const NAME: &str = "unique";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The most bytes that the keys may take in the survey.
    budget: Option<ByteSize>,
}

#[derive(Debug)]
struct Unique {
    columns: Vec<Column>,
    budget: u64,
    /// The keys that several rows share, ascending, with the number of those rows.
    shared: Vec<(u128, u64)>,
}

const SHARED: usize = 0;
const NULL: usize = 1;

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { budget } = settings.read()?;
    let columns = settings.columns()?;
    for column in &columns {
        if let Some(what) = unencodable(&column.data_type) {
            return Err(format!("column `{}`: {what}", column.name));
        }
    }
    let budget = budget.unwrap_or(ByteSize::mib(256)).0;
    Ok(Built::Pure(Box::new(Unique { columns, budget, shared: Vec::new() })))
}

/// The keys of all rows; `None` of those that do not reach the operator, or have a null in the key.
fn keys(rows: &Rows<'_>, columns: &[Column]) -> Result<Vec<Option<u128>>> {
    let indices: Vec<usize> = columns.iter().map(|column| column.index).collect();
    let nulls: Vec<_> = indices.iter().filter_map(|&index| rows.data().column(index).logical_nulls()).collect();
    let has_key = |row: usize| rows.reaches(row) && nulls.iter().all(|nulls| nulls.is_valid(row));
    let keys = content_keys(rows.data(), &indices)?;
    Ok(keys.into_iter().enumerate().map(|(row, key)| has_key(row).then_some(key)).collect())
}

impl Operator for Unique {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let names = names.join("+");
        vec![Rule::at_most(format!("not_unique:{names}")), Rule::plain(format!("no_key:{names}"))]
    }

    fn survey(&self) -> Option<Survey> {
        Some(Survey::new(Keys { columns: self.columns.clone(), budget: self.budget, keys: HashMap::new() }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        self.shared = postcard::from_bytes(fit)
            .ok()
            .filter(|shared: &Vec<(u128, u64)>| shared.is_sorted_by_key(|&(key, _)| key))
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}`")))?;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (row, key) in keys(rows, &self.columns)?.into_iter().enumerate() {
            match key {
                Some(key) => {
                    if let Ok(at) = self.shared.binary_search_by_key(&key, |&(key, _)| key) {
                        findings.measured(row, SHARED, self.shared[at].1 as f64, Some(1.0));
                    }
                }
                None => findings.add(row, NULL),
            }
        }
        Ok(())
    }
}

/// The survey: how many rows have each key.
#[derive(Debug)]
struct Keys {
    columns: Vec<Column>,
    budget: u64,
    keys: HashMap<u128, u64>,
}

impl Sketch for Keys {
    type Part = Vec<u128>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        Ok(keys(rows, &self.columns)?.into_iter().flatten().collect())
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for key in part {
            *self.keys.entry(key).or_default() += 1;
        }
        let bytes = self.keys.len() as u64 * ENTRY;
        if bytes > self.budget {
            let place = Place::default().column(&self.columns[0].name);
            let what = format!(
                "{} different keys take {bytes} bytes, and `budget` of `{NAME}` is {}; raise it, or use \
                 `exact_duplicate` with `columns`, which remembers 16 bytes a row",
                self.keys.len(),
                self.budget
            );
            return Err(Error::data(place, what));
        }
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        let mut shared: Vec<(u128, u64)> = self.keys.into_iter().filter(|&(_, rows)| rows > 1).collect();
        shared.sort_unstable();
        postcard::to_stdvec(&shared).map_err(|error| Error::State(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
