//! Rows drawn, or weighed, by a number that is known before training: a column of the data, or a score that cleaning gave.

use super::{
    parameters::Parameters,
    policy::{Policy, WindowRows, within},
};
use crate::{Error, Result, Target, strict};
use serde::Deserialize;

/// The policy `weighted`: the target weight v of a row is its number x over `scale`, 0 where it is null, negative or no
/// number, and `most` at most.
///
/// With `by = "draw"` a row comes x/scale times a data epoch, with weight 1 (π = v); with `by = "loss"` it comes once, and
/// its loss counts x/scale (π = 1). Both are unbiased for the v-weighted objective: drawing spends steps where the weight
/// is, weighing has less variance where weights are alike. A row of weight 0 is not drawn, or counts nothing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weighted {
    column: Option<String>,
    score: Option<String>,
    by: By,
    scale: f64,
    most: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Draw,
    Loss,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { column: None, score: None, by: By::Draw, scale: 1.0, most: 100.0 }
    }
}

impl Weighted {
    pub(super) const NAME: &'static str = "weighted";

    /// Options: `column` or `score`, `by` ("draw" or "loss"), `scale` (1e-9 to 1e9), `most` (0.001 to 1000).
    pub(super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let policy: Self = strict::from_table(place, options)?;
        within(place, "scale", policy.scale, 1e-9..=1e9)?;
        within(place, "most", policy.most, 1e-3..=1000.0)?;
        match (&policy.column, &policy.score) {
            (Some(_), None) | (None, Some(_)) => Ok(policy),
            _ => Err(Error::recipe(format!(
                "{place}: give either `column`, a column of numbers, or `score`, the name of a score that a [[clean]] \
                 operator gives"
            ))),
        }
    }
}

impl Policy for Weighted {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        let Self { column, score, by, scale, most } = self;
        format!("{}/1(column={column:?},score={score:?},by={by:?},scale={scale:?},most={most:?})", Self::NAME)
    }

    fn reads_signals(&self) -> bool {
        false
    }

    fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    fn score(&self) -> Option<&str> {
        self.score.as_deref()
    }

    fn targets(&self, _: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        let numbers = match &self.score {
            Some(score) => rows.score(score).unwrap_or_default(),
            None => rows.column(),
        };
        for row in 0..rows.len() {
            let number = f64::from(numbers.get(row).copied().unwrap_or(f32::NAN)) / self.scale;
            let weight = if number > 0.0 { number.min(self.most) as f32 } else { 0.0 };
            out.push(match self.by {
                By::Draw => Target { weight, inclusion: weight },
                By::Loss => Target { weight, inclusion: 1.0 },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Position,
        value::{Classes, Table},
    };

    fn targets(options: &str, column: &[f32]) -> Vec<(f32, f32)> {
        let policy = Weighted::from_options("p", &options.parse().unwrap()).unwrap();
        let block_rows = [column.len() as u32];
        let (table, classes) = (Table::new(&block_rows), Classes::new(&block_rows));
        let positions: Vec<Position> = (0..block_rows[0]).map(|row| Position::new(0, row)).collect();
        let scores = [("quality".to_owned(), column.to_vec())];
        let rows = WindowRows::new(&positions, &table, &classes).with_column(column).with_scores(&scores);
        let mut out = Vec::new();
        policy.targets(&Parameters::default(), &rows, &mut out);
        out.iter().map(|target| (target.weight, target.inclusion)).collect()
    }

    #[test]
    fn numbers_become_draws_or_weights() {
        let column = [0.5, 2.0, -1.0, f32::NAN, 0.0, f32::INFINITY];
        let drawn = [(0.5, 0.5), (2.0, 2.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (100.0, 100.0)];
        assert_eq!(targets("column = 'x'", &column), drawn);
        assert_eq!(targets("score = 'quality'", &column), drawn);
        let weighed = [(0.25, 1.0), (1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (5.0, 1.0)];
        assert_eq!(targets("column = 'x'\nby = 'loss'\nscale = 2\nmost = 5", &column), weighed);
    }

    #[test]
    fn what_it_weighs_by_has_to_be_said_once() {
        for options in ["", "column = 'a'\nscore = 'b'"] {
            let fault = Weighted::from_options("p", &options.parse().unwrap()).unwrap_err().to_string();
            assert!(fault.contains("either `column`"), "{fault}");
        }
    }
}
