//! `schema`: cells that are not of their column's type, do not match its pattern, or are null where none may be.
//!
//! The type is named, or found out: a survey looks which type most cells are of, or else which shapes (runs of letters
//! and digits) most of them have. A text that is nearly of the type (` 1,234 `, `YES`) can be coerced into it, which is
//! noted for each row. Whatever the type, a text that a wrong decoding broke is of none, nor, where asked, is a date that
//! can be read as several.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        spec::{Built, Column, Settings},
        texts::is_text,
    },
    broken::is_broken,
    cells::{Cells, has_cells},
    typed::{Read, Type, dates, read, shape},
};
use crate::{Error, Result};
use arrow::array::Array as _;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

pub(in crate::clean) const NAME: &str = "schema";

/// The most shapes that a column may have and still be said to have any.
const MOST_SHAPES: usize = 1024;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    r#type: Option<Type>,
    /// How dates and times are written, the first one properly.
    formats: Vec<String>,
    /// What a whole cell must match.
    pattern: Option<String>,
    nullable: bool,
    /// Whether cells that are nearly of the type are rewritten.
    coerce: bool,
    /// The share of the cells that a type or shapes must hold to be taken for the column's.
    confidence: f64,
    /// The share of the cells below which a shape is unusual, …
    rare: f64,
    /// … where the shapes that are not hold this share.
    usual: f64,
    /// Whether texts that a wrong decoding broke are flagged.
    broken: bool,
    /// Whether dates of which nobody says in which order they are written are flagged.
    ambiguous: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            r#type: None,
            formats: Vec::new(),
            pattern: None,
            nullable: true,
            coerce: false,
            confidence: 0.8,
            rare: 0.02,
            usual: 0.95,
            broken: true,
            ambiguous: false,
        }
    }
}

#[derive(Debug)]
struct Schema {
    columns: Vec<Column>,
    options: Options,
    pattern: Option<Regex>,
    fit: Vec<Fit>,
}

/// What was found out about a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    r#type: Type,
    /// By unusual shape, the share of the cells that have it.
    unusual: BTreeMap<String, f64>,
}

/// The rules of a column, in their order.
const RULES: usize = 7;
const WRONG_TYPE: usize = 0;
const WRONG_PATTERN: usize = 1;
const UNUSUAL: usize = 2;
const BROKEN: usize = 3;
const AMBIGUOUS: usize = 4;
const NULL: usize = 5;
const COERCED: usize = 6;

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    let columns = settings.columns()?;
    for (name, share) in [("confidence", options.confidence), ("rare", options.rare), ("usual", options.usual)] {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{name}` = {share}: must be at least 0 and at most 1"));
        }
    }
    if !options.formats.is_empty() && !matches!(options.r#type, Some(Type::Date | Type::Datetime)) {
        return Err("`formats` is for `type` = \"date\" and \"datetime\"".to_owned());
    }
    if options.ambiguous && !options.formats.is_empty() {
        return Err(
            "`ambiguous` = true: `formats` say in which order dates are written; leave one of them out".to_owned()
        );
    }
    if options.coerce && options.r#type.is_none() {
        return Err("`coerce` = true needs a `type` to coerce into".to_owned());
    }
    for Column { name, data_type, .. } in &columns {
        if !has_cells(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it judges texts, numbers, dates and booleans"));
        }
        if options.coerce && !is_text(data_type) {
            return Err(format!("`coerce` = true: column `{name}` holds {data_type}; it coerces texts"));
        }
    }
    let whole =
        |pattern: &String| Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("`pattern`: {error}"));
    let pattern = options.pattern.as_ref().map(whole).transpose()?;
    let fit = match options.r#type.or(options.pattern.is_some().then_some(Type::Text)) {
        Some(r#type) => vec![Fit { r#type, unusual: BTreeMap::new() }; columns.len()],
        None => Vec::new(),
    };
    Ok(Built::Pure(Box::new(Schema { columns, options, pattern, fit })))
}

impl Operator for Schema {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, {:?}", self.options)
    }

    fn rules(&self) -> Vec<Rule> {
        let of_column = |Column { name, .. }: &Column| {
            let rules: [Rule; RULES] = [
                Rule::plain(format!("wrong_type:{name}")),
                Rule::plain(format!("wrong_pattern:{name}")),
                Rule::at_least(format!("unusual_format:{name}")),
                Rule::plain(format!("broken_text:{name}")),
                Rule::at_most(format!("ambiguous_date:{name}")),
                Rule::plain(format!("null:{name}")),
                Rule::note(format!("coerced:{name}")),
            ];
            rules
        };
        self.columns.iter().flat_map(of_column).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        if self.options.coerce { self.columns.iter().map(|column| column.index).collect() } else { Vec::new() }
    }

    fn survey(&self) -> Option<Survey> {
        if self.options.r#type.is_some() || self.pattern.is_some() {
            return None;
        }
        Some(Survey::new(Kinds {
            columns: self.columns.clone(),
            options: self.options.clone(),
            tallies: vec![Tally::default(); self.columns.len()],
        }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        self.fit = postcard::from_bytes(fit)
            .ok()
            .filter(|fits: &Vec<Fit>| fits.len() == self.columns.len())
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}` for these columns")))?;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, (column, fit)) in self.columns.iter().zip(&self.fit).enumerate() {
            let rule = |rule: usize| RULES * at + rule;
            if !self.options.nullable
                && let Some(nulls) = rows.data().column(column.index).logical_nulls()
            {
                rows.iter().filter(|&row| nulls.is_null(row)).for_each(|row| findings.add(row, rule(NULL)));
            }
            let cells = Cells::of(rows, column.index)?;
            for row in rows.iter() {
                let Some(cell) = cells.get(row) else { continue };
                let mut coerced = None;
                match read(cell, fit.r#type, &self.options.formats) {
                    Read::Proper => {}
                    Read::Nearly(proper) if self.options.coerce => {
                        findings.add(row, rule(COERCED));
                        findings.rewrite(row, column.index, proper.clone());
                        coerced = Some(proper);
                    }
                    // What is nearly of a type that was only found out may well be meant.
                    Read::Nearly(_) if self.options.r#type.is_none() => {}
                    // An empty cell is `missing`'s.
                    _ if cell.trim().is_empty() => continue,
                    Read::Nearly(_) | Read::No => findings.add(row, rule(WRONG_TYPE)),
                }
                let cell = coerced.as_deref().unwrap_or(cell);
                if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(cell)) {
                    findings.add(row, rule(WRONG_PATTERN));
                }
                if self.options.broken && is_broken(cell) {
                    findings.add(row, rule(BROKEN));
                }
                if let Some(dates) = self.options.ambiguous.then(|| dates(cell)).filter(|&dates| dates > 0) {
                    findings.hold(dates > 1, row, rule(AMBIGUOUS), dates as f64, 1.0);
                }
                if !fit.unusual.is_empty()
                    && let Some(&share) = fit.unusual.get(&shape(cell))
                {
                    findings.measured(row, rule(UNUSUAL), share, Some(self.options.rare));
                }
            }
        }
        Ok(())
    }
}

/// The survey: how many cells of each column are of which type and shape.
#[derive(Debug)]
struct Kinds {
    columns: Vec<Column>,
    options: Options,
    tallies: Vec<Tally>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    cells: u64,
    types: [u64; Type::TELLING.len()],
    /// Emptied where there are too many.
    shapes: HashMap<String, u64>,
    shapeless: bool,
}

impl Tally {
    fn shape(&mut self, shape: String, count: u64) {
        if !self.shapeless {
            *self.shapes.entry(shape).or_default() += count;
        }
        if self.shapes.len() > MOST_SHAPES {
            self.shapeless = true;
            self.shapes = HashMap::new();
        }
    }
}

impl Sketch for Kinds {
    type Part = Vec<Tally>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let of_column = |column: &Column| {
            let cells = Cells::of(rows, column.index)?;
            let mut tally = Tally::default();
            for cell in rows.iter().filter_map(|row| cells.get(row)).filter(|cell| !cell.trim().is_empty()) {
                tally.cells += 1;
                for (of, count) in Type::TELLING.into_iter().zip(&mut tally.types) {
                    *count += u64::from(read(cell, of, &[]) != Read::No);
                }
                tally.shape(shape(cell), 1);
            }
            Ok(tally)
        };
        self.columns.iter().map(of_column).collect()
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for (tally, added) in self.tallies.iter_mut().zip(part) {
            tally.cells += added.cells;
            tally.types.iter_mut().zip(added.types).for_each(|(count, added)| *count += added);
            tally.shapeless |= added.shapeless;
            if tally.shapeless {
                tally.shapes = HashMap::new();
            }
            // In an order of their own, so that where the limit falls does not depend on the map's.
            let shapes: BTreeMap<String, u64> = added.shapes.into_iter().collect();
            shapes.into_iter().for_each(|(shape, count)| tally.shape(shape, count));
        }
        Ok(())
    }

    fn fit(self) -> Result<Vec<u8>> {
        let fits: Vec<Fit> = self.tallies.into_iter().map(|tally| fit(tally, &self.options)).collect();
        postcard::to_stdvec(&fits).map_err(|error| Error::State(error.to_string()))
    }
}

fn fit(tally: Tally, options: &Options) -> Fit {
    let enough = |count: u64| tally.cells > 0 && count as f64 >= options.confidence * tally.cells as f64;
    let mut types = Type::TELLING.into_iter().zip(tally.types);
    let found = types.find_map(|(of, count)| enough(count).then_some(of));
    let share = |count: u64| count as f64 / tally.cells as f64;
    let (rare, usual): (Vec<_>, Vec<_>) = tally.shapes.into_iter().partition(|&(_, count)| share(count) < options.rare);
    let held: u64 = usual.iter().map(|&(_, count)| count).sum();
    let unusual = if found.is_none() && held as f64 >= options.usual * tally.cells as f64 {
        rare.into_iter().map(|(shape, count)| (shape, share(count))).collect()
    } else {
        BTreeMap::new()
    };
    Fit { r#type: found.unwrap_or(Type::Text), unusual }
}

#[cfg(test)]
mod tests;
