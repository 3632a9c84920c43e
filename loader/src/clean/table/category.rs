//! `category`: levels of a category that nobody else uses, and levels that look like a frequent one misspelt.
//!
//! A survey counts each column's levels. A level is *misspelt* if it differs from one that is at least `ratio` times as
//! frequent in capitals and spaces only, or by few edits; digits that differ are data, not slips. A level is *rare* if
//! less than the share `rare` of the rows holds it, in a column whose other levels hold `coverage` of the rows: in a
//! column of names, everything is rare.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        spec::{Built, Column, Settings},
        texts::is_text,
    },
    BUDGET, ENTRY,
    cells::{Cells, has_cells},
    levels::{Levels, folded},
};
use crate::{Error, Place, Result, byte_size::ByteSize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

pub(in crate::clean) const NAME: &str = "category";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// How many times as frequent the right level is than its misspelling, at least.
    ratio: f64,
    /// The most edits between them.
    edits: usize,
    /// The least share of the rows that hold a level; 0 finds no level rare.
    rare: f64,
    /// The share of the rows that levels hold which are not rare, at least, so that others count as rare.
    coverage: f64,
    /// Whether a misspelt level is replaced by the one that it means.
    repair: bool,
    /// The most bytes that the levels of all columns may take in the survey.
    budget: ByteSize,
}

impl Default for Options {
    fn default() -> Self {
        Self { ratio: 10.0, edits: 2, rare: 0.005, coverage: 0.95, repair: false, budget: BUDGET }
    }
}

#[derive(Debug)]
struct Category {
    columns: Vec<Column>,
    options: Options,
    fit: Vec<Fit>,
}

/// What was learnt of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Fit {
    /// By misspelt level, the one it means, and how frequent it is relative to that.
    misspelt: BTreeMap<String, (String, f64)>,
    /// By rare level, its share of the rows.
    rare: BTreeMap<String, f64>,
}

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let columns = settings.columns()?;
    if options.ratio.is_nan() || options.ratio < 1.0 {
        return Err(format!("`ratio` = {}: must be at least 1", options.ratio));
    }
    if options.edits > 3 {
        return Err(format!("`edits` = {}: must be at most 3", options.edits));
    }
    for (name, share) in [("rare", options.rare), ("coverage", options.coverage)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{name}` = {share}: must be at least 0 and at most 1"));
        }
    }
    for Column { name, data_type, .. } in &columns {
        if !has_cells(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it judges texts, numbers, dates and booleans"));
        }
        if options.repair && !is_text(data_type) {
            return Err(format!("`repair` = true: column `{name}` holds {data_type}; it repairs texts"));
        }
    }
    Ok(Built::Pure(Box::new(Category { columns, options, fit: Vec::new() })))
}

impl Operator for Category {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let Options { ratio, edits, rare, coverage, repair, budget: _ } = self.options;
        format!(
            "columns = {columns:?}, ratio = {ratio:?}, edits = {edits}, rare = {rare:?}, coverage = {coverage:?}, \
             repair = {repair}"
        )
    }

    fn rules(&self) -> Vec<Rule> {
        let of_column = |column: &Column| {
            let misspelt = Rule::at_least(format!("misspelt_level:{}", column.name));
            [Rule { note: self.options.repair, ..misspelt }, Rule::at_least(format!("rare_level:{}", column.name))]
        };
        self.columns.iter().flat_map(of_column).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        if self.options.repair { self.columns.iter().map(|column| column.index).collect() } else { Vec::new() }
    }

    fn survey(&self) -> Option<Survey> {
        Some(Survey::new(Counts {
            columns: self.columns.clone(),
            options: self.options.clone(),
            levels: vec![HashMap::new(); self.columns.len()],
            bytes: 0,
        }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        let fits: Vec<Fit> = postcard::from_bytes(fit)
            .ok()
            .filter(|fits: &Vec<Fit>| fits.len() == self.columns.len())
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}` for these columns")))?;
        self.fit = fits;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, (column, fit)) in self.columns.iter().zip(&self.fit).enumerate() {
            if fit.misspelt.is_empty() && fit.rare.is_empty() {
                continue;
            }
            let cells = Cells::of(rows, column.index)?;
            for row in rows.iter() {
                let Some(level) = cells.get(row) else { continue };
                if let Some((meant, frequency)) = fit.misspelt.get(level) {
                    findings.measured(row, 2 * at, *frequency, Some(1.0 / self.options.ratio));
                    if self.options.repair {
                        findings.rewrite(row, column.index, meant.clone());
                    }
                } else if let Some(share) = fit.rare.get(level) {
                    findings.measured(row, 2 * at + 1, *share, Some(self.options.rare));
                }
            }
        }
        Ok(())
    }
}

/// The survey: how often each level of each column occurs.
#[derive(Debug)]
struct Counts {
    columns: Vec<Column>,
    options: Options,
    levels: Vec<HashMap<String, u64>>,
    bytes: u64,
}

impl Sketch for Counts {
    type Part = Vec<HashMap<String, u64>>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let of_column = |column: &Column| {
            let cells = Cells::of(rows, column.index)?;
            let mut levels: HashMap<String, u64> = HashMap::new();
            for level in rows.iter().filter_map(|row| cells.get(row)).filter(|level| !level.trim().is_empty()) {
                match levels.get_mut(level) {
                    Some(count) => *count += 1,
                    None => {
                        levels.insert(level.to_owned(), 1);
                    }
                }
            }
            Ok(levels)
        };
        self.columns.iter().map(of_column).collect()
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for ((column, levels), added) in self.columns.iter().zip(&mut self.levels).zip(part) {
            for (level, count) in added {
                let bytes = level.len() as u64 + ENTRY;
                let known = levels.entry(level).or_default();
                if *known == 0 {
                    self.bytes += bytes;
                }
                *known += count;
            }
            if self.bytes > self.options.budget.0 {
                let what = format!(
                    "the levels seen so far, {} of them in this column, take {} bytes, and `budget` of `{NAME}` is {}; \
                     a column of so many levels is no category: leave it out, or raise `budget`",
                    levels.len(),
                    self.bytes,
                    self.options.budget.0
                );
                return Err(Error::data(Place::default().column(&column.name), what));
            }
        }
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        let fits: Vec<Fit> = self.levels.into_iter().map(|levels| fit(levels, &self.options)).collect();
        postcard::to_stdvec(&fits).map_err(|error| Error::State(error.to_string()))
    }
}

/// Which levels of a column are misspelt or rare.
fn fit(levels: HashMap<String, u64>, options: &Options) -> Fit {
    let mut levels: Vec<(String, u64)> = levels.into_iter().collect();
    levels.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rows: u64 = levels.iter().map(|&(_, count)| count).sum();

    // Of the spellings of a level the most frequent one speaks for all, with the count of all.
    let mut spellings: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for (at, (level, count)) in levels.iter().enumerate() {
        spellings.entry(folded(level)).or_insert((at, 0)).1 += count;
    }
    let mut by_frequency: Vec<(&str, usize, u64)> =
        spellings.iter().map(|(spelling, &(at, count))| (spelling.as_str(), at, count)).collect();
    by_frequency.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(b.0)));
    let frequent = by_frequency.iter().filter(|&&(.., count)| count as f64 >= options.ratio);
    let known = Levels::new(frequent.map(|&(spelling, _, count)| (spelling, count)), options.edits);

    let mut fit = Fit::default();
    let mut common = 0;
    let mut uncommon = Vec::new();
    for (at, (level, count)) in levels.iter().enumerate() {
        let spelling = folded(level);
        let Some(&(first, together)) = spellings.get(&spelling) else { continue };
        let same = (first != at).then_some((first, levels[first].1));
        let meant = same.filter(|&(_, frequency)| frequency as f64 >= options.ratio * *count as f64).or_else(|| {
            let (meant, frequency, _) = known.meant_by(&spelling, together, options.ratio)?;
            Some((spellings.get(meant)?.0, frequency))
        });
        if let Some((meant, frequency)) = meant {
            let share = *count as f64 / frequency as f64;
            fit.misspelt.insert(level.clone(), (levels[meant].0.clone(), share));
        } else if (*count as f64) < options.rare * rows as f64 {
            uncommon.push((level, *count));
        } else {
            common += count;
        }
    }
    if common as f64 >= options.coverage * rows as f64 {
        let share = |(level, count): (&String, u64)| (level.clone(), count as f64 / rows as f64);
        fit.rare = uncommon.into_iter().map(share).collect();
    }
    fit
}

#[cfg(test)]
mod tests;
