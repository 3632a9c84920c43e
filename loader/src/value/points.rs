//! Rows as the offline values take them: features and labels in memory.

use crate::{Error, Result};

/// Rows as points with labels.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// The features, row after row, each of the same width. Finite.
    pub features: &'a [f32],
    /// The labels, one a row.
    pub labels: &'a [u32],
}

impl Points<'_> {
    /// How many features a row has, if they fit the labels.
    pub(super) fn width(&self, name: &str) -> Result<usize> {
        let (numbers, rows) = (self.features.len(), self.labels.len());
        if rows == 0 || numbers == 0 || !numbers.is_multiple_of(rows) {
            let what = format!("{numbers} features do not fit {rows} {name} rows: give each row as many");
            return Err(Error::recipe(what));
        }
        let width = numbers / rows;
        if let Some(at) = self.features.iter().position(|feature| !feature.is_finite()) {
            return Err(Error::recipe(format!("{name} row {}: a feature is not finite; fill it in", at / width)));
        }
        Ok(width)
    }
}
