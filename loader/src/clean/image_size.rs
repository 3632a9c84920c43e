//! `image_size`: images that are too small, too large, or too narrow, by what their headers state.
//!
//! Nothing is decoded. An image without a readable header is left to `decodable`.

use super::{
    Findings, Operator, Rows, Rule,
    pixels::{Images, check_column, dimensions},
    spec::{Built, Column, Settings},
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "image_size";

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Of the shorter and of the longer side, in pixels.
    min_side: Option<u32>,
    max_side: Option<u32>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    /// The least that the shorter side may be, in parts of the longer one.
    #[serde(default = "default_min_aspect")]
    min_aspect: f64,
}

/// cleanvision's for `odd_aspect_ratio`.
const fn default_min_aspect() -> f64 {
    0.35
}

struct ImageSize {
    columns: Vec<Column>,
    options: Options,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    if !(0.0..=1.0).contains(&options.min_aspect) {
        return Err(format!("`min_aspect` = {}: must be at least 0 and at most 1", options.min_aspect));
    }
    if let (Some(min), Some(max)) = (options.min_side, options.max_side)
        && min > max
    {
        return Err(format!("`min_side` = {min} is above `max_side` = {max}"));
    }
    if let (Some(min), Some(max)) = (options.min_pixels, options.max_pixels)
        && min > max
    {
        return Err(format!("`min_pixels` = {min} is above `max_pixels` = {max}"));
    }
    let columns = settings.columns()?;
    columns.iter().try_for_each(check_column)?;
    Ok(Built::Pure(Box::new(ImageSize { columns, options })))
}

/// How many rules a column has.
const RULES: usize = 3;

impl Operator for ImageSize {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, {:?}", self.options)
    }

    fn rules(&self) -> Vec<Rule> {
        let of_column = |Column { name, .. }: &Column| -> [Rule; RULES] {
            [
                Rule::at_least(format!("too_small:{name}")),
                Rule::at_most(format!("too_large:{name}")),
                Rule::at_least(format!("odd_aspect_ratio:{name}")),
            ]
        };
        self.columns.iter().flat_map(of_column).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let Options { min_side, max_side, min_pixels, max_pixels, min_aspect } = self.options;
        for (at, column) in self.columns.iter().enumerate() {
            let images = Images::new(NAME, rows.data(), column)?;
            for row in rows.iter() {
                let Some((width, height)) = images.get(row).and_then(dimensions) else { continue };
                let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
                let pixels = u64::from(width) * u64::from(height);
                let (small, large, odd) = (RULES * at, RULES * at + 1, RULES * at + 2);
                if let Some(min) = min_side {
                    findings.hold(short < f64::from(min), row, small, short, f64::from(min));
                }
                if let Some(min) = min_pixels {
                    findings.hold(pixels < min, row, small, pixels as f64, min as f64);
                }
                if let Some(max) = max_side {
                    findings.hold(long > f64::from(max), row, large, long, f64::from(max));
                }
                if let Some(max) = max_pixels {
                    findings.hold(pixels > max, row, large, pixels as f64, max as f64);
                }
                findings.hold(short / long < min_aspect, row, odd, short / long, min_aspect);
            }
        }
        Ok(())
    }
}
