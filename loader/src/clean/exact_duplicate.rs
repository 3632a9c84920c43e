//! `exact_duplicate`: a row whose content, in all columns or in those named, equals that of an earlier row.
//!
//! Content is compared by its 128-bit key. Two different rows share a key with a probability of about n² / 2¹²⁹ among
//! n rows: 10⁻¹⁹ among a thousand million. XXH3 is no cryptographic hash: who writes the data can forge a pair.

use super::{
    Rows, Rule,
    content::{content_keys, unencodable},
    matcher::{Index, Keys, Matcher},
    seen::{BYTES_A_KEY, Seen},
    spec::{Built, Column, Settings},
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "exact_duplicate";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

struct ExactDuplicate {
    columns: Vec<Column>,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options {} = settings.read()?;
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
        format!("columns = {columns:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain(NAME)]
    }

    fn keys(&self, rows: &Rows<'_>) -> Result<Keys> {
        let columns: Vec<usize> = self.columns.iter().map(|column| column.index).collect();
        let mut keys = Keys::with_capacity(rows.len(), 2);
        for (row, key) in content_keys(rows.data(), &columns)?.into_iter().enumerate() {
            if rows.reaches(row) {
                keys.push((key >> 64) as u64);
                keys.push(key as u64);
            }
            keys.end_row();
        }
        Ok(keys)
    }

    fn index(&self) -> Box<dyn Index> {
        Box::new(Seen::default())
    }

    fn restore(&self, bytes: &[u8]) -> Option<Box<dyn Index>> {
        Some(Box::new(Seen::from_bytes(bytes)?))
    }

    fn index_bytes(&self, rows: u64) -> u64 {
        rows.saturating_mul(BYTES_A_KEY)
    }
}
