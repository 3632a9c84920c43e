//! `outlier`: numbers far from the rest of their column, and texts far longer or shorter than the rest.
//!
//! A survey sketches each column's quantiles. `method` "mad" measures a value's distance from the median in robust
//! standard deviations (Iglewicz and Hoaglin 1993, "How to detect and handle outliers": 0.6745 |x − median| / MAD, 3.5
//! by default); "iqr" in interquartile ranges beyond the quartiles (Tukey 1977, "Exploratory data analysis": 1.5 is out,
//! 3 is far out, the default here); "adjusted" in interquartile ranges that are stretched on the side to which the column
//! is skewed and shortened on the other (Hubert and Vandervieren 2008, "An adjusted boxplot for skewed distributions",
//! §3: e^(3 MC) above and e^(−4 MC) below for a medcouple MC ≥ 0, e^(4 MC) and e^(−3 MC) for one below 0; 3 by default,
//! as for "iqr", where the paper's is 1.5). A column whose middle half is one value has no scale, and no outliers.
//!
//! A column of texts of which most are numbers is judged by its numbers, another by its texts' lengths in characters.

use super::{
    super::{
        Findings, Operator, Rows, Rule, Sketch, Survey,
        spec::{Built, Column, Settings},
        texts::is_text,
    },
    cells::Cells,
    digest::Digest,
    typed::number,
};
use crate::{Error, Result};
use arrow::{
    array::{Array as _, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use serde::{Deserialize, Serialize};

pub(in crate::clean) const NAME: &str = "outlier";

/// What makes the median absolute deviation of a normal distribution its standard deviation: Φ⁻¹(3/4).
const NORMAL: f64 = 0.674_489_750_196_081_7;

/// The share of a text column's cells that are numbers, from which on it is judged by them.
const NUMBERS: f64 = 0.9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Mad,
    Iqr,
    Adjusted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    method: Option<Method>,
    threshold: Option<f64>,
}

#[derive(Debug)]
struct Outlier {
    columns: Vec<Column>,
    method: Method,
    threshold: f64,
    fit: Vec<Option<Fit>>,
}

/// What was learnt of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    /// Whether the texts' lengths are judged, not their numbers.
    lengths: bool,
    /// Where distances are measured from, downwards and upwards.
    from: (f64, f64),
    /// What a distance is divided by, downwards and upwards.
    scale: (f64, f64),
}

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { method, threshold } = settings.read()?;
    let columns = settings.columns()?;
    let method = method.unwrap_or(Method::Mad);
    let threshold = threshold.unwrap_or(match method {
        Method::Mad => 3.5,
        Method::Iqr | Method::Adjusted => 3.0,
    });
    if !threshold.is_finite() || threshold <= 0.0 {
        return Err(format!("`threshold` = {threshold}: must be finite and above 0"));
    }
    for Column { name, data_type, .. } in &columns {
        if !data_type.is_numeric() && !is_text(data_type) {
            return Err(format!("column `{name}` holds {data_type}; it judges numbers and texts"));
        }
    }
    Ok(Built::Pure(Box::new(Outlier { columns, method, threshold, fit: Vec::new() })))
}

impl Operator for Outlier {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, method = {:?}, threshold = {:?}", self.method, self.threshold)
    }

    fn rules(&self) -> Vec<Rule> {
        let rule = |column: &Column| Rule::at_most(format!("{NAME}:{}", column.name));
        self.columns.iter().map(rule).collect()
    }

    fn survey(&self) -> Option<Survey> {
        let digests = vec![Digests::default(); self.columns.len()];
        Some(Survey::new(Quantiles { columns: self.columns.clone(), method: self.method, digests }))
    }

    fn fit(&mut self, fit: &[u8]) -> Result<()> {
        self.fit = postcard::from_bytes(fit)
            .ok()
            .filter(|fits: &Vec<Option<Fit>>| fits.len() == self.columns.len())
            .ok_or_else(|| Error::State(format!("not a fit of operator `{NAME}` for these columns")))?;
        Ok(())
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (at, (column, fit)) in self.columns.iter().zip(&self.fit).enumerate() {
            let Some(fit) = fit else { continue };
            let mut hold = |row: usize, value: f64| {
                let (below, above) = ((fit.from.0 - value) / fit.scale.0, (value - fit.from.1) / fit.scale.1);
                let measured = below.max(above).max(0.0);
                findings.hold(measured > self.threshold, row, at, measured, self.threshold);
            };
            each_value(rows, column, |row, value| match value {
                Value::Number(number) if !fit.lengths => hold(row, number),
                Value::Text { length, .. } if fit.lengths => hold(row, length),
                Value::Text { number: Some(number), .. } => hold(row, number),
                _ => {}
            })?;
        }
        Ok(())
    }
}

/// A cell as it is judged.
enum Value {
    Number(f64),
    Text { number: Option<f64>, length: f64 },
}

/// Calls `each` with the values of a column in the rows that reach the operator, nulls and blank texts left out.
fn each_value(rows: &Rows<'_>, column: &Column, mut each: impl FnMut(usize, Value)) -> Result<()> {
    if is_text(&column.data_type) {
        let cells = Cells::of(rows, column.index)?;
        for row in rows.iter() {
            if let Some(text) = cells.get(row).filter(|text| !text.trim().is_empty()) {
                each(row, Value::Text { number: number(text), length: text.chars().count() as f64 });
            }
        }
        return Ok(());
    }
    let array = rows.data().column(column.index);
    let wrong = |what: String| Error::data(crate::Place::default().column(&column.name), what);
    let numbers = cast(array, &DataType::Float64).map_err(|error| wrong(error.to_string()))?;
    let Some(numbers) = numbers.as_primitive_opt::<Float64Type>() else {
        return Err(wrong(format!("{} holds no numbers", array.data_type())));
    };
    for row in rows.iter().filter(|&row| numbers.is_valid(row)) {
        if numbers.value(row).is_finite() {
            each(row, Value::Number(numbers.value(row)));
        }
    }
    Ok(())
}

/// The survey: each column's quantiles.
#[derive(Debug)]
struct Quantiles {
    columns: Vec<Column>,
    method: Method,
    digests: Vec<Digests>,
}

/// Of one column.
#[derive(Clone, Debug, Default)]
struct Digests {
    numbers: Digest,
    /// Of texts alone.
    lengths: Digest,
}

impl Sketch for Quantiles {
    type Part = Vec<Digests>;

    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part> {
        let of_column = |column: &Column| {
            let mut digests = Digests::default();
            each_value(rows, column, |_, value| match value {
                Value::Number(number) => digests.numbers.add(number),
                Value::Text { number, length } => {
                    digests.lengths.add(length);
                    if let Some(number) = number {
                        digests.numbers.add(number);
                    }
                }
            })?;
            digests.numbers.compress();
            digests.lengths.compress();
            Ok(digests)
        };
        self.columns.iter().map(of_column).collect()
    }

    fn add(&mut self, part: Self::Part) -> Result<()> {
        for (digests, added) in self.digests.iter_mut().zip(part) {
            digests.numbers.merge(&added.numbers);
            digests.lengths.merge(&added.lengths);
        }
        Ok(())
    }

    fn fit(mut self) -> Result<Vec<u8>> {
        let method = self.method;
        let fits: Vec<Option<Fit>> = self.digests.iter_mut().map(|digests| digests.fit(method)).collect();
        postcard::to_stdvec(&fits).map_err(|error| Error::State(error.to_string()))
    }
}

impl Digests {
    fn fit(&mut self, method: Method) -> Option<Fit> {
        self.numbers.compress();
        self.lengths.compress();
        let lengths = self.numbers.count() < NUMBERS * self.lengths.count();
        let digest = if lengths { &self.lengths } else { &self.numbers };
        let quartiles = || Some((digest.quantile(0.25)?, digest.quantile(0.75)?));
        let (from, scale) = match method {
            Method::Mad => {
                let median = digest.quantile(0.5)?;
                let deviation = digest.median_distance(median)? / NORMAL;
                ((median, median), (deviation, deviation))
            }
            Method::Iqr => {
                let quartiles = quartiles()?;
                let range = quartiles.1 - quartiles.0;
                (quartiles, (range, range))
            }
            Method::Adjusted => {
                let quartiles = quartiles()?;
                let range = quartiles.1 - quartiles.0;
                let skew = medcouple(&evenly(digest)?);
                let (below, above) = if skew >= 0.0 { (-4.0, 3.0) } else { (-3.0, 4.0) };
                (quartiles, (range * libm::exp(below * skew), range * libm::exp(above * skew)))
            }
        };
        // Without a scale, any other value would be infinitely far.
        let is_scale = |scale: f64| scale > 0.0 && scale.is_finite();
        (is_scale(scale.0) && is_scale(scale.1)).then_some(Fit { lengths, from, scale })
    }
}

/// Values of a column in ascending order, as many below the median as above it, and it.
fn evenly(digest: &Digest) -> Option<Vec<f64>> {
    /// So many: the medcouple compares each of one half with each of the other.
    const VALUES: u32 = 401;
    (0..VALUES).map(|at| digest.quantile((f64::from(at) + 0.5) / f64::from(VALUES))).collect()
}

/// How skewed values are that stand in ascending order, an odd number of them: from −1 to 1, 0 where they are symmetric,
/// above 0 where the upper half reaches farther (Brys, Hubert and Struyf 2004, "A robust measure of skewness").
fn medcouple(values: &[f64]) -> f64 {
    let Some(&median) = values.get(values.len() / 2) else { return 0.0 };
    let (low, high): (Vec<f64>, Vec<f64>) = (
        values.iter().copied().filter(|&value| value <= median).collect(),
        values.iter().copied().filter(|&value| value >= median).collect(),
    );
    // Those that equal the median are in both, the last ones of the one and the first of the other.
    let equal = (low.len() + high.len()).saturating_sub(values.len());
    let mut kernel = Vec::with_capacity(low.len() * high.len());
    for (i, &below) in low.iter().rev().enumerate() {
        for (j, &above) in high.iter().enumerate() {
            kernel.push(if i < equal && j < equal {
                // In pairs that sum up to 0: which of them is farther out is a matter of their order.
                f64::from((i + j + 1).cmp(&equal) as i8)
            } else {
                // Halved, so that no difference of finite numbers is infinite.
                let (up, down) = (above / 2.0 - median / 2.0, median / 2.0 - below / 2.0);
                if up == 0.0 && down == 0.0 { 0.0 } else { (up - down) / (up + down) }
            });
        }
    }
    kernel.sort_unstable_by(f64::total_cmp);
    let middle =
        [kernel.len().saturating_sub(1) / 2, kernel.len() / 2].map(|at| kernel.get(at).copied().unwrap_or(0.0));
    let skew = f64::midpoint(middle[0], middle[1]);
    if skew.is_finite() { skew } else { 0.0 }
}

#[cfg(test)]
mod tests;
