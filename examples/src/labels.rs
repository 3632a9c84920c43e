//! Class numbers for labels of any kind, and the operator that drops rows whose label is no class.

use crate::Result;
use arable_loader::{
    Error,
    clean::{Findings, Operator, Rows, Rule},
};
use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::DataType,
};
use std::{collections::BTreeMap, sync::Arc};

/// More classes than a label column has: that many differing values are something else.
const MOST: usize = 1_000;

/// The classes of a label column, in the order of their texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes(Arc<[String]>);

impl Classes {
    /// The classes that at least `least` of `labels` name, blank ones set aside.
    ///
    /// # Errors
    ///
    /// Fewer than two classes, or more than a thousand; `column` is named.
    pub fn of<'a>(labels: impl IntoIterator<Item = Option<&'a str>>, least: usize, column: &str) -> Result<Self> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for label in labels.into_iter().flatten().filter(|label| !label.trim().is_empty()) {
            *counts.entry(label).or_default() += 1;
        }
        let frequent = counts.into_iter().filter(|(_, count)| *count >= least);
        let classes: Vec<String> = frequent.map(|(label, _)| label.to_owned()).collect();
        match classes.len() {
            0 | 1 => Err(format!("column `{column}` names {} classes; two are needed", classes.len()).into()),
            many if many > MOST => {
                Err(format!("column `{column}` names {many} classes, more than {MOST}: is it a label?").into())
            }
            _ => Ok(Self(classes.into())),
        }
    }

    /// The number of the class `label`.
    #[must_use]
    pub fn number(&self, label: &str) -> Option<i64> {
        self.0.binary_search_by(|class| class.as_str().cmp(label)).ok().map(|number| number as i64)
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there are at least two")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Drops rows whose label is none of the classes.
#[derive(Clone, Debug)]
pub struct KnownLabel {
    /// The label's column.
    pub column: String,
    /// The classes.
    pub classes: Classes,
}

impl Operator for KnownLabel {
    fn name(&self) -> &str {
        "known_label"
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        format!("{:?} {:?}", self.column, self.classes.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain(format!("unknown_label:{}", self.column))]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> arable_loader::Result<()> {
        let column = rows.data().column(rows.index_of(&self.column)?);
        let labels = cast(column, &DataType::Utf8)
            .map_err(|error| Error::recipe(format!("column `{}` holds no labels: {error}", self.column)))?;
        let labels = labels.as_string::<i32>();
        for row in rows.iter() {
            if labels.is_null(row) || self.classes.number(labels.value(row)).is_none() {
                findings.add(row, 0);
            }
        }
        Ok(())
    }
}
