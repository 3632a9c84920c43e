//! `unicode`: texts repaired: mojibake, control characters, HTML's character references, and one normal form.
//!
//! Each row that was repaired is noted with what was found; nothing is dropped. The steps are ftfy's, and where the same
//! ones are chosen so is the outcome. It is an own port: the one on crates.io, plsfix 0.1.8, rests on crates that are no
//! longer kept and differs from ftfy in 6 of ftfy's 161 own cases.

mod badness;
mod encodings;
mod entities;
mod mojibake;
mod repair;
mod tables;

use super::{
    Findings, Operator, Rows, Rule,
    spec::{Built, Column, Settings},
    texts::is_text,
};
use crate::Result;
use repair::{Found, Repairs};

pub(super) use badness::is_bad as is_mojibake;

pub(super) const NAME: &str = "unicode";

#[derive(Debug)]
struct Unicode {
    columns: Vec<Column>,
    repairs: Repairs,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let repairs: Repairs = settings.read()?;
    let columns = settings.columns()?;
    for Column { name, data_type, .. } in &columns {
        if !is_text(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it repairs texts"));
        }
    }
    Ok(Built::Pure(Box::new(Unicode { columns, repairs })))
}

impl Operator for Unicode {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, {:?}", self.repairs)
    }

    fn rules(&self) -> Vec<Rule> {
        let of_column =
            |column: &Column| Found::ALL.map(|found| Rule::note(format!("{}:{}", found.name(), column.name)));
        self.columns.iter().flat_map(of_column).collect()
    }

    fn rewrites(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.index).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, column) in self.columns.iter().enumerate() {
            let texts = rows.texts(column.index)?;
            for row in rows.iter() {
                let Some(repaired) = texts.get(row).and_then(|text| self.repairs.repair(text)) else { continue };
                for (rule, &lines) in repaired.found.iter().enumerate().filter(|&(_, &lines)| lines > 0) {
                    findings.measured(row, Found::ALL.len() * at + rule, f64::from(lines), None);
                }
                findings.rewrite(row, column.index, repaired.text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
