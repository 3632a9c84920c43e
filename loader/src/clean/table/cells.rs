//! The cells of a column as texts, whatever its type: numbers, dates and the like as Arrow prints them.

use super::super::{Rows, Texts, texts::is_text};
use crate::{Error, Place, Result};
use arrow::{
    array::{Array, AsArray, StringArray},
    compute::{can_cast_types, cast},
    datatypes::DataType,
};

/// The cells of a column.
#[derive(Debug)]
pub(in crate::clean) enum Cells<'a> {
    Texts(Texts<'a>),
    Printed(StringArray),
}

/// Whether the cells of a column of this type can be had as texts.
pub(in crate::clean) fn has_cells(data_type: &DataType) -> bool {
    is_text(data_type) || (!data_type.is_nested() && can_cast_types(data_type, &DataType::Utf8))
}

impl<'a> Cells<'a> {
    pub(in crate::clean) fn of(rows: &Rows<'a>, column: usize) -> Result<Self> {
        let Some(array) = rows.data().columns().get(column) else {
            return Err(Error::data(Place::default(), format!("column {column} of {}", rows.data().num_columns())));
        };
        if is_text(array.data_type()) {
            return Ok(Self::Texts(rows.texts(column)?));
        }
        let wrong =
            |what: String| Error::data(Place::default().column(rows.data().schema_ref().field(column).name()), what);
        let printed = cast(array, &DataType::Utf8).map_err(|error| wrong(error.to_string()))?;
        match printed.as_string_opt::<i32>() {
            Some(printed) => Ok(Self::Printed(printed.clone())),
            None => Err(wrong(format!("{} has no texts", array.data_type()))),
        }
    }

    /// The cell of `row`; `None` where it is null.
    pub(in crate::clean) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Texts(texts) => texts.get(row),
            Self::Printed(printed) => (row < printed.len() && printed.is_valid(row)).then(|| printed.value(row)),
        }
    }
}
