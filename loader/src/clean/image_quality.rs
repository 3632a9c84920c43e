//! `dark`, `light`, `blurry`, `low_information`: images that show little, by cleanvision's measures and thresholds.
//!
//! Each measure is a score in 0..=1, and an image is spoken against where it is below the threshold. Images that cannot
//! be decoded are left to `decodable`.

use super::{
    Findings, Operator, Rows, Rule,
    pixels::{Measured, Measures, check_column},
    spec::{Built, Column, Settings},
};
use crate::Result;
use serde::Deserialize;

pub(super) const BLURRY: &str = "blurry";
pub(super) const DARK: &str = "dark";
pub(super) const LIGHT: &str = "light";
pub(super) const LOW_INFORMATION: &str = "low_information";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    threshold: Option<f64>,
}

struct Quality {
    name: &'static str,
    columns: Vec<Column>,
    score: fn(&Measures) -> f64,
    threshold: f64,
}

/// The deviation of edges in a copy of at most 64 pixels a side.
pub(super) fn build_blurry(settings: Settings<'_>) -> Result<Built, String> {
    build(settings, BLURRY, |measures| measures.sharpness, 0.29)
}

/// The brightness below which 99 % of the pixels lie.
pub(super) fn build_dark(settings: Settings<'_>) -> Result<Built, String> {
    build(settings, DARK, |measures| measures.brightness_99, 0.32)
}

/// How far the brightness above which 95 % of the pixels lie is from white.
pub(super) fn build_light(settings: Settings<'_>) -> Result<Built, String> {
    build(settings, LIGHT, |measures| 1.0 - measures.brightness_5, 0.05)
}

/// A tenth of the entropy, in bits.
pub(super) fn build_low_information(settings: Settings<'_>) -> Result<Built, String> {
    build(settings, LOW_INFORMATION, |measures| measures.information, 0.3)
}

fn build(
    mut settings: Settings<'_>,
    name: &'static str,
    score: fn(&Measures) -> f64,
    threshold: f64,
) -> Result<Built, String> {
    let Options { threshold: own } = settings.read()?;
    let threshold = own.unwrap_or(threshold);
    if !(0.0..=1.0).contains(&threshold) {
        return Err(format!("`threshold` = {threshold}: scores are at least 0 and at most 1"));
    }
    let columns = settings.columns()?;
    columns.iter().try_for_each(check_column)?;
    Ok(Built::Pure(Box::new(Quality { name, columns, score, threshold })))
}

impl Operator for Quality {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, threshold = {}", self.threshold)
    }

    fn rules(&self) -> Vec<Rule> {
        self.columns.iter().map(|column| Rule::at_least(format!("{}:{}", self.name, column.name))).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (rule, column) in self.columns.iter().enumerate() {
            let measured = rows.shared::<Measured>(column.index)?;
            for (row, measures) in rows.iter().filter_map(|row| Some((row, measured.get(row)?))) {
                let score = (self.score)(measures);
                findings.hold(score < self.threshold, row, rule, score, self.threshold);
            }
        }
        Ok(())
    }
}
