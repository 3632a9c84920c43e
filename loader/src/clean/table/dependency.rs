//! `dependency`: cells that contradict a functional dependency which most rows obey (a zip code has one city).
//!
//! With `by`, its columns determine each of the operator's columns; a survey counts which values each group of rows
//! holds. With `discover`, dependencies of one column on another are looked for among the operator's columns, and those
//! kept whose confidence (the share of rows, in groups of two or more, that hold their group's most frequent value) is
//! at least `confidence`, and that explain more than the value which is most frequent anyway does (Goodman and Kruskal
//! 1954, "Measures of association for cross classifications", λ).
//!
//! A cell is flagged if less than `majority` of its group hold its value and one other value is held by at least that
//! many. That value is what the cell is taken to mean. Blank cells and nulls are `missing`'s, and not judged.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        spec::{Built, Column, Settings},
        texts::is_text,
    },
    BUDGET, ENTRY,
    cells::{Cells, has_cells},
};
use crate::{
    Error, Place, Result,
    byte_size::ByteSize,
    spelling::{advice, cut},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

pub(in crate::clean) const NAME: &str = "dependency";

/// λ of a dependency that is worth knowing, at least.
const LAMBDA: f64 = 0.5;

/// The share of the rows in groups of two or more, at least: where each row is its own group, anything is determined.
const GROUPED: f64 = 0.3;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    by: Vec<String>,
    discover: bool,
    confidence: f64,
    majority: f64,
    /// The rows of a group, at least, so that it has a majority.
    support: u64,
    repair: bool,
    budget: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            by: Vec::new(),
            discover: false,
            confidence: 0.9,
            majority: 0.5,
            support: 3,
            repair: false,
            budget: BUDGET,
        }
    }
}

#[derive(Debug)]
struct Dependency {
    /// The columns that are judged, then those of `by`.
    columns: Vec<Column>,
    judged: usize,
    options: Options,
    fit: Vec<Fit>,
}

/// A dependency that holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    /// Which of the operator's columns determine it.
    by: Vec<usize>,
    /// Which one is determined.
    column: usize,
    /// The groups in which cells contradict it, by their key.
    groups: BTreeMap<String, Group>,
}

/// Rows that agree in the columns which determine another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Group {
    /// The value that most of them hold.
    value: String,
    /// The shares of the others.
    others: BTreeMap<String, f64>,
}

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let mut columns = settings.columns()?;
    let judged = columns.len();
    for (name, share) in [("confidence", options.confidence), ("majority", options.majority)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{name}` = {share}: must be at least 0 and at most 1"));
        }
    }
    match (options.by.is_empty(), options.discover) {
        (true, false) => return Err("say which columns determine it: `by = […]`, or `discover = true`".to_owned()),
        (false, true) => return Err("`by` and `discover` are given; one of them is enough".to_owned()),
        (true, true) if judged < 2 => return Err("`discover` = true needs two `columns` or more".to_owned()),
        _ => {}
    }
    for name in &options.by {
        let Some((index, field)) = settings.schema.column_with_name(name) else {
            let known: Vec<&str> = settings.schema.fields().iter().map(|field| field.name().as_str()).collect();
            let near = advice(name, &known, "the columns are");
            return Err(format!("`by`: there is no column `{}`{near}", cut(name)));
        };
        if columns.iter().any(|column| column.index == index) {
            return Err(format!("`by` names `{}`, which is judged too, or is named twice", cut(name)));
        }
        columns.push(Column { index, name: name.clone(), data_type: field.data_type().clone() });
    }
    for (at, Column { name, data_type, .. }) in columns.iter().enumerate() {
        if !has_cells(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it judges texts, numbers, dates and booleans"));
        }
        if options.repair && at < judged && !is_text(data_type) {
            return Err(format!("`repair` = true: column `{name}` holds {data_type}; it repairs texts"));
        }
    }
    Ok(Built::Pure(Box::new(Dependency { columns, judged, options, fit: Vec::new() })))
}

/// The key of a group: its cells, each with its length before it, so that no two lists of cells share one.
fn key<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> Option<String> {
    let mut key = String::new();
    for cell in cells {
        let cell = cell.filter(|cell| !cell.trim().is_empty())?;
        key.push_str(&cell.len().to_string());
        key.push(':');
        key.push_str(cell);
    }
    Some(key)
}

impl Operator for Dependency {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let Options { by, discover, confidence, majority, support, repair, budget: _ } = &self.options;
        format!(
            "columns = {columns:?}, by = {by:?}, discover = {discover}, confidence = {confidence:?}, majority = \
             {majority:?}, support = {support}, repair = {repair}"
        )
    }

    fn rules(&self) -> Vec<Rule> {
        let rule =
            |column: &Column| Rule { note: self.options.repair, ..Rule::at_least(format!("{NAME}:{}", column.name)) };
        self.columns[..self.judged].iter().map(rule).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        let judged = self.columns[..self.judged].iter().map(|column| column.index);
        if self.options.repair { judged.collect() } else { Vec::new() }
    }

    fn survey(&self) -> Option<Survey> {
        let judged = 0..self.judged;
        let pairs: Vec<(Vec<usize>, usize)> = if self.options.discover {
            judged
                .clone()
                .flat_map(|by| judged.clone().filter(move |&of| of != by).map(move |of| (vec![by], of)))
                .collect()
        } else {
            judged.map(|of| ((self.judged..self.columns.len()).collect(), of)).collect()
        };
        Some(Survey::new(Counts {
            columns: self.columns.clone(),
            options: self.options.clone(),
            values: vec![Interned::default(); self.columns.len()],
            keys: vec![Interned::default(); pairs.len()],
            counts: vec![HashMap::new(); pairs.len()],
            pairs,
            bytes: 0,
        }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        let known = |fit: &Fit| fit.column < self.judged && fit.by.iter().all(|&by| by < self.columns.len());
        self.fit = postcard::from_bytes(fit)
            .ok()
            .filter(|fits: &Vec<Fit>| fits.iter().all(known))
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}` for these columns")))?;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let cells = cells(rows, &self.columns)?;
        // A cell that contradicts several dependencies is judged by the first, which is the surest.
        let mut told = vec![vec![false; if self.fit.is_empty() { 0 } else { rows.len() }]; self.judged];
        for fit in &self.fit {
            for row in rows.iter() {
                if told[fit.column][row] {
                    continue;
                }
                let Some(group) = key(fit.by.iter().map(|&by| cells[by].get(row))).and_then(|key| fit.groups.get(&key))
                else {
                    continue;
                };
                let Some(cell) = cells[fit.column].get(row) else { continue };
                if cell == group.value || cell.trim().is_empty() {
                    continue;
                }
                told[fit.column][row] = true;
                let share = group.others.get(cell).copied().unwrap_or(0.0);
                findings.measured(row, fit.column, share, Some(self.options.majority));
                if self.options.repair {
                    findings.rewrite(row, self.columns[fit.column].index, group.value.clone());
                }
            }
        }
        Ok(())
    }
}

fn cells<'a>(rows: &Rows<'a>, columns: &[Column]) -> Result<Vec<Cells<'a>>> {
    columns.iter().map(|column| Cells::of(rows, column.index)).collect()
}

/// Texts by number, in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Interned {
    numbers: HashMap<String, u32>,
}

impl Interned {
    /// The number of `text`, and the bytes that it newly takes.
    fn number(&mut self, text: &str) -> (u32, u64) {
        if let Some(&number) = self.numbers.get(text) {
            return (number, 0);
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        (number, text.len() as u64 + ENTRY)
    }

    /// The texts, by number.
    fn texts(&self) -> Vec<&str> {
        let mut texts = vec![""; self.numbers.len()];
        for (text, &number) in &self.numbers {
            texts[number as usize] = text;
        }
        texts
    }
}

/// The survey: of each possible dependency, how many rows hold each pair of key and value.
#[derive(Debug)]
struct Counts {
    columns: Vec<Column>,
    options: Options,
    /// The columns that determine, and the one that is determined.
    pairs: Vec<(Vec<usize>, usize)>,
    values: Vec<Interned>,
    keys: Vec<Interned>,
    counts: Vec<HashMap<(u32, u32), u64>>,
    bytes: u64,
}

impl Sketch for Counts {
    /// The cells, row by row.
    type Part = Vec<Vec<Option<String>>>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let cells = cells(rows, &self.columns)?;
        let of_row = |row: usize| cells.iter().map(|cells| cells.get(row).map(str::to_owned)).collect();
        Ok(rows.iter().map(of_row).collect())
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for row in part {
            for (at, (by, of)) in self.pairs.iter().enumerate() {
                let Some(value) = row[*of].as_deref().filter(|value| !value.trim().is_empty()) else { continue };
                let Some(key) = key(by.iter().map(|&by| row[by].as_deref())) else { continue };
                let (key, of_key) = self.keys[at].number(&key);
                let (value, of_value) = self.values[*of].number(value);
                let count = self.counts[at].entry((key, value)).or_default();
                self.bytes += of_key + of_value + if *count == 0 { ENTRY } else { 0 };
                *count += 1;
            }
            if self.bytes > self.options.budget.0 {
                let what = format!(
                    "groups and values seen so far take {} bytes, and `budget` of `{NAME}` is {}; raise it, name fewer \
                     columns, or say `by` in place of `discover`",
                    self.bytes, self.options.budget.0
                );
                return Err(Error::data(Place::default().column(&self.columns[0].name), what));
            }
        }
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        let mut fits: Vec<(f64, Fit)> = Vec::new();
        for (at, (by, of)) in self.pairs.iter().enumerate() {
            let groups = groups(&self.counts[at]);
            let strength = strength(&groups);
            if self.options.discover && !strength.holds(&self.options) {
                continue;
            }
            let (keys, values) = (self.keys[at].texts(), self.values[*of].texts());
            let contradicted = contradicted(&groups, &self.options, &keys, &values);
            fits.push((strength.confidence, Fit { by: by.clone(), column: *of, groups: contradicted }));
        }
        // Stable: among equals, the order of the columns.
        fits.sort_by(|a, b| b.0.total_cmp(&a.0));
        let fits: Vec<Fit> = fits.into_iter().map(|(_, fit)| fit).collect();
        postcard::to_stdvec(&fits).map_err(|error| Error::State(error.to_string()))
    }
}

/// By key, the values of a group with their counts, most frequent first, then by number.
fn groups(counts: &HashMap<(u32, u32), u64>) -> BTreeMap<u32, Vec<(u32, u64)>> {
    let mut groups: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    for (&(key, value), &count) in counts {
        groups.entry(key).or_default().push((value, count));
    }
    for values in groups.values_mut() {
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    groups
}

/// How well one column determines another.
struct Strength {
    /// The share of rows that are in groups of two or more.
    grouped: f64,
    /// Of these, the share that hold their group's most frequent value.
    confidence: f64,
    /// Of these, the share that hold the value which is most frequent among them all.
    base: f64,
}

impl Strength {
    fn holds(&self, options: &Options) -> bool {
        let lambda = (self.confidence - self.base) / (1.0 - self.base);
        self.grouped >= GROUPED && self.confidence >= options.confidence && lambda >= LAMBDA
    }
}

fn strength(groups: &BTreeMap<u32, Vec<(u32, u64)>>) -> Strength {
    let (mut rows, mut grouped, mut agree) = (0, 0, 0);
    let mut values: BTreeMap<u32, u64> = BTreeMap::new();
    for group in groups.values() {
        let size: u64 = group.iter().map(|&(_, count)| count).sum();
        rows += size;
        if size > 1 {
            grouped += size;
            agree += group.first().map_or(0, |&(_, count)| count);
            group.iter().for_each(|&(value, count)| *values.entry(value).or_default() += count);
        }
    }
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    Strength {
        grouped: share(grouped, rows),
        confidence: share(agree, grouped),
        base: share(values.into_values().max().unwrap_or(0), grouped),
    }
}

/// The groups in which a value has the majority and others contradict it.
fn contradicted(
    groups: &BTreeMap<u32, Vec<(u32, u64)>>,
    options: &Options,
    keys: &[&str],
    values: &[&str],
) -> BTreeMap<String, Group> {
    let mut contradicted = BTreeMap::new();
    for (&key, group) in groups {
        let size: u64 = group.iter().map(|&(_, count)| count).sum();
        let share = |count: u64| count as f64 / size as f64;
        let [(first, most), (_, second), ..] = group[..] else { continue };
        if size < options.support || most == second || share(most) < options.majority {
            continue;
        }
        let others = group[1..].iter().filter(|&&(_, count)| share(count) < options.majority);
        let others = others.map(|&(value, count)| (values[value as usize].to_owned(), share(count))).collect();
        contradicted.insert(keys[key as usize].to_owned(), Group { value: values[first as usize].to_owned(), others });
    }
    contradicted
}

#[cfg(test)]
mod tests;
