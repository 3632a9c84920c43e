//! `exact_duplicate`: a row whose content, in all columns or in those named, equals that of an earlier row.
//!
//! Content is compared by its 128-bit key. Two different rows share a key with a probability of about n² / 2¹²⁹ among
//! n rows: 10⁻¹⁹ among a thousand million. XXH3 is no cryptographic hash: who writes the data can forge a pair.

use super::{
    content::{content_keys, unencodable},
    operator::{Matcher, Rows},
    spec::{Built, Column, Settings},
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "exact_duplicate";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    order: Order,
}

/// Which of two equal rows is the earlier one.
#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// The one that the stream reads first.
    #[default]
    Stream,
    /// The one that stands first in the plan.
    Plan,
}

struct ExactDuplicate {
    columns: Vec<Column>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { order } = settings.read()?;
    if matches!(order, Order::Plan) {
        return Err("`order` = \"plan\" is not built in this version; say \"stream\", or leave it out".to_owned());
    }
    let all = |settings: &Settings<'_>| {
        let fields = settings.schema.fields().iter().enumerate();
        fields
            .map(|(index, field)| Column { index, name: field.name().clone(), data_type: field.data_type().clone() })
            .collect()
    };
    let columns = settings.named_columns().unwrap_or_else(|| all(&settings));
    for column in &columns {
        if let Some(what) = unencodable(&column.data_type) {
            return Err(format!("column `{}`: {what}", column.name));
        }
    }
    Ok(Built::Matching(Box::new(ExactDuplicate { columns })))
}

impl Matcher for ExactDuplicate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, order = \"stream\"")
    }

    fn reason(&self) -> String {
        NAME.to_owned()
    }

    fn keys_per_row(&self) -> usize {
        1
    }

    fn keys(&self, rows: &Rows<'_>) -> Result<Vec<u128>> {
        let columns: Vec<usize> = self.columns.iter().map(|column| column.index).collect();
        content_keys(rows.data(), &columns)
    }
}
