//! Rows as files hold them, for plain burn and for measuring: burn itself reads none of these formats.
//!
//! They are read in plan order by Arable's other reading of data, the one for validation, which cleans nothing.

use crate::{
    Result,
    comparison::{row, starts},
};
use arable_loader::{Recipe, recipe::Part};
use arrow::{
    array::{AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::DataType,
};
use std::path::Path;

/// Rows of a part of the data.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The columns.
    pub data: RecordBatch,
    /// Which row of the whole data each is.
    pub rows: Vec<usize>,
}

/// Reads `part` of the data that `recipe` names, as it is stored.
///
/// # Errors
///
/// Data that cannot be read, or a column that is not there.
pub fn read(recipe: &Recipe, part: Part) -> Result<Reading> {
    let stream = recipe.clone().evaluation(part)?.pass()?;
    let (schema, starts) = (stream.schema(), starts(&stream));
    let mut batches = Vec::new();
    let mut rows = Vec::new();
    for batch in stream {
        let batch = batch?;
        rows.extend(batch.positions.iter().map(|position| row(&starts, *position)));
        batches.push(batch.data);
    }
    Ok(Reading { data: concat_batches(&schema, &batches)?, rows })
}

/// The cells of a column as text, whatever its type; `None` where one is null.
///
/// # Errors
///
/// A column that is not there, or whose cells have no text.
pub fn texts(data: &RecordBatch, column: &str) -> Result<Vec<Option<String>>> {
    let Some(cells) = data.column_by_name(column) else {
        let names: Vec<&str> = data.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        return Err(format!("there is no column `{column}`; there are {}", names.join(", ")).into());
    };
    let cells = cast(cells, &DataType::Utf8).map_err(|error| format!("column `{column}` holds no text: {error}"))?;
    Ok(cells.as_string::<i32>().iter().map(|cell| cell.map(ToOwned::to_owned)).collect())
}

/// Refuses a local path that does not exist, before anything else is said of it. Patterns and URLs are for the loader.
///
/// # Errors
///
/// A path that does not exist.
pub fn exists(url: &str) -> Result<()> {
    let is_path = !url.contains("://") && !url.contains(['*', '?', '[']);
    if is_path && !Path::new(url).exists() {
        return Err(format!("there is no `{url}`").into());
    }
    Ok(())
}
