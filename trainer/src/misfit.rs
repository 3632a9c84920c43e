//! A column that does not fit what a batch, or a row, makes of it: what was found, what was asked for, where, and what
//! to do about it.

use std::fmt;

use arable_loader::{Place, Plan, Position, strict::nearest};
use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{Error, error::BoxError};

/// A column that does not fit the field that is to be made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misfit {
    /// The column's name, as the stream has it.
    pub column: String,
    /// Its Arrow type; none where the stream carries no such column.
    pub found: Option<DataType>,
    /// The field that asks for it with its type, and of which item or batch: "`label: u8` of `Flower`". None where a
    /// function took the column by name.
    pub field: Option<String>,
    /// The row at fault, within the batch; none where it is the column as a whole.
    pub row: Option<usize>,
    /// What does not fit, and what to do.
    pub what: String,
}

impl Misfit {
    /// Of a column of type `found`.
    pub(crate) fn new(column: &str, found: &DataType, what: impl Into<String>) -> Self {
        Self { column: column.to_owned(), found: Some(found.clone()), field: None, row: None, what: what.into() }
    }

    /// Of a column that `data` lacks; `rename` says how a field takes a column of another name.
    pub(crate) fn missing(column: &str, data: &RecordBatch, rename: &str) -> Self {
        /// Of the columns' names, as many as a reader takes in.
        const SHOWN: usize = 12;
        let schema = data.schema_ref();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let what = match nearest(column, &names) {
            Some(near) => format!("there is none; did you mean `{near}`? {rename} takes it by that name"),
            None => {
                let shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
                let more = names.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!(
                    "there is none; the stream carries {}{more}: add it to `columns` of the recipe, if the data have it, \
                     or make the field an `Option`",
                    shown.join(", ")
                )
            }
        };
        Self { column: column.to_owned(), found: None, field: None, row: None, what }
    }

    pub(crate) fn at(mut self, row: usize) -> Self {
        self.row = Some(row);
        self
    }

    pub(crate) fn of_field(mut self, field: String) -> Self {
        self.field.get_or_insert(field);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, found, field, row, what } = self;
        write!(f, "column `{column}`")?;
        if let Some(found) = found {
            write!(f, " ({found})")?;
        }
        if let Some(field) = field {
            write!(f, ", for the field {field}")?;
        }
        if let Some(row) = row {
            write!(f, ", row {row} of the batch")?;
        }
        write!(f, ": {what}")
    }
}

impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Self {
        Self::Column(Box::new(misfit))
    }
}

/// What to do about a null where none may be; `field` is what the field would be then.
pub(crate) fn of_null(field: Option<&str>) -> String {
    let or = field.map_or(String::new(), |field| format!(", or make the field `{field}`"));
    format!("it is null: drop such rows while cleaning (the operator `missing`), or fill them in a transform{or}")
}

/// The row that a batcher's error speaks of.
pub(crate) fn row(error: &BoxError) -> Option<usize> {
    match error.downcast_ref::<Error>()? {
        Error::Column(misfit) => misfit.row,
        Error::Rows { row, .. } => *row,
        _ => None,
    }
}

/// Where the row at `position` lies.
pub(crate) fn place(plan: &Plan, position: Position) -> Place {
    plan.place(position.block).row(position.row)
}

/// A short form of a cell of numbers, texts, times and the like, with its quotes; none of others.
pub(crate) fn cell(array: &ArrayRef, row: usize) -> Option<String> {
    /// Characters of a cell.
    const SHOWN: usize = 40;
    if array.data_type().is_nested() || row >= array.len() || array.is_null(row) {
        return None;
    }
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(array.as_ref(), &options).ok()?.value(row).try_to_string().ok()?;
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    Some(format!("`{}{more}`", short.escape_debug()))
}

/// The type of Rust that a row's field must have to take any column of type `found`; none where rows cannot hold it.
pub(crate) fn rust_type(found: &DataType) -> Option<String> {
    Some(match found {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int8 => "i8".to_owned(),
        DataType::Int16 => "i16".to_owned(),
        DataType::Int32 => "i32".to_owned(),
        DataType::Int64 => "i64".to_owned(),
        DataType::UInt8 => "u8".to_owned(),
        DataType::UInt16 => "u16".to_owned(),
        DataType::UInt32 => "u32".to_owned(),
        DataType::UInt64 => "u64".to_owned(),
        DataType::Float16 | DataType::Float32 => "f32".to_owned(),
        DataType::Float64 => "f64".to_owned(),
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_) => "String".to_owned(),
        DataType::Dictionary(_, values) => return rust_type(values),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "Vec<u8>".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("Vec<{}>", rust_type(item.data_type())?)
        }
        _ => return None,
    })
}
