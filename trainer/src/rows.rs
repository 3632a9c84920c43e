//! Rows of a batch as a user's items, through serde. Where one does not fit, which column of which row is at fault, and
//! what its field had asked for.

use std::{any::type_name, cell::RefCell, fmt};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::DataType,
};
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
        value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

use crate::{
    Error, Result,
    misfit::{Misfit, cell, of_null, rust_type},
};

/// All rows of `data`, in their order.
///
/// # Errors
///
/// [`Error::Column`] where a column does not fit the item's field; [`Error::Rows`] where an item's own deserialisation
/// refuses a row as a whole.
pub(crate) fn read<I: DeserializeOwned>(data: &RecordBatch) -> Result<Vec<I>> {
    serde_arrow::from_record_batch(data)
        .map_err(|error| explain::<I>(data).unwrap_or_else(|| refused::<I>(&error.message(), None)))
}

fn refused<I>(error: &dyn fmt::Display, row: Option<usize>) -> Error {
    Error::Rows { item: type_name::<I>(), row, what: error.to_string() }
}

/// `path::to::Type` without its path.
fn short<I>() -> &'static str {
    let name = type_name::<I>();
    let end = name.find('<').unwrap_or(name.len());
    name[..end].rfind("::").map_or(name, |at| &name[at + 2..])
}

/// What does not fit: the rows are read once more, column by column, up to the first that fails.
fn explain<I: DeserializeOwned>(data: &RecordBatch) -> Option<Error> {
    let schema = data.schema();
    let parts: Vec<_> = (0..data.num_columns()).filter_map(|column| data.project(&[column]).ok()).collect();
    let mut columns = Vec::with_capacity(parts.len());
    for (part, field) in parts.iter().zip(schema.fields()) {
        match serde_arrow::Deserializer::from_record_batch(part) {
            Ok(cells) => columns.push(Column { name: field.name(), cells }),
            Err(error) => {
                let what = format!(
                    "rows cannot hold its type ({}): leave it out of `columns` of the recipe, or make batches of columns \
                     (`FromColumns`)",
                    error.message()
                );
                return Some(Misfit::new(field.name(), field.data_type(), what).into());
            }
        }
    }
    for row in 0..data.num_rows() {
        let at = RefCell::new(None);
        let Err(fault) = I::deserialize(Row { columns: &columns, row, at: &at, asked: None }) else { continue };
        let column = at.borrow_mut().take();
        return Some(match (fault, column) {
            (Fault::Missing(name), _) => {
                let field = format!("`{name}` of `{}`", short::<I>());
                Misfit::missing(name, data, "#[serde(rename = \"…\")]").of_field(field).into()
            }
            (fault, None) => refused::<I>(&fault, Some(row)),
            (fault, Some(column)) => {
                let asked = RefCell::new(Asked::default());
                // What comes of it does not matter: what it asked for is written down.
                drop(I::deserialize(Row { columns: &columns, row, at: &at, asked: Some((column, &asked)) }));
                let asked = asked.into_inner().to_string();
                let name = schema.field(column).name();
                let misfit = of_cell(name, data.column(column), row, &asked, &fault.to_string());
                misfit.of_field(format!("`{name}: {asked}` of `{}`", short::<I>())).into()
            }
        });
    }
    None
}

/// Why `asked` cannot be made of the cell at `row`.
fn of_cell(name: &str, array: &arrow::array::ArrayRef, row: usize, asked: &str, fault: &str) -> Misfit {
    let found = array.data_type();
    if array.is_null(row) {
        let field = format!("Option<{asked}>");
        return Misfit::new(name, found, of_null(Some(&field))).at(row);
    }
    let held = cell(array, row);
    // serde_arrow says so of a type that it never makes another of, whatever the value.
    if fault.contains("does not implement") {
        let held = held.map_or(String::new(), |held| format!(" such as {held}"));
        let field = match found {
            DataType::Struct(fields) => {
                let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
                Some(format!("a struct with the fields {}", names.join(", ")))
            }
            found => rust_type(found).map(|type_| format!("`{type_}`")),
        };
        let field = field.map_or(String::new(), |field| format!("make the field {field}, or "));
        let what = format!(
            "values{held} are never read as `{asked}`: {field}change the column in a transform (`StreamBuilder::transform`)"
        );
        return Misfit::new(name, found, what);
    }
    let held = held.map_or("it".to_owned(), |held| format!("its value {held}"));
    let what = format!(
        "{held} is no `{asked}` ({fault}): widen the field's type, or drop or mend such rows while cleaning or in a \
         transform"
    );
    Misfit::new(name, found, what).at(row)
}

/// A column by itself.
struct Column<'a> {
    name: &'a str,
    cells: serde_arrow::Deserializer<'a>,
}

/// One row, column by column.
struct Row<'a, 'de> {
    columns: &'a [Column<'de>],
    row: usize,
    /// The column that is being read.
    at: &'a RefCell<Option<usize>>,
    /// The column whose value is not read: what is asked of it is written down instead.
    asked: Option<(usize, &'a RefCell<Asked>)>,
}

impl<'de> Deserializer<'de> for Row<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Walk { row: self, next: 0 })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_seq(Walk { row: self, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct map
        struct enum identifier ignored_any
    }
}

struct Walk<'a, 'de> {
    row: Row<'a, 'de>,
    next: usize,
}

impl<'de> Walk<'_, 'de> {
    fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let number = self.next;
        let Some(column) = self.row.columns.get(number) else { return Err(Fault::custom("there is no column left")) };
        self.next += 1;
        *self.row.at.borrow_mut() = Some(number);
        let value = match self.row.asked {
            Some((asked, writing)) if asked == number => seed.deserialize(Probe(writing))?,
            _ => {
                let cell = column.cells.get(self.row.row).ok_or_else(|| Fault::custom("there is no such row"))?;
                cell.deserialize_map(Single(seed))?
            }
        };
        *self.row.at.borrow_mut() = None;
        Ok(value)
    }
}

impl<'de> MapAccess<'de> for Walk<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(column) = self.row.columns.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::<Fault>::new(column.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        self.value(seed)
    }
}

impl<'de> SeqAccess<'de> for Walk<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        if self.next == self.row.columns.len() { Ok(None) } else { self.value(seed).map(Some) }
    }
}

/// The value of a map of one entry.
struct Single<S>(S);

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Single<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one column")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Value, A::Error> {
        let _name: Option<IgnoredAny> = map.next_key()?;
        map.next_value_seed(self.0)
    }
}

/// What was asked for, as far as it was said: from the outside to the inside.
#[derive(Default)]
struct Asked {
    before: String,
    name: Option<&'static str>,
    after: Vec<String>,
}

impl Asked {
    fn within(&mut self, before: &str, after: impl Into<String>) {
        self.before.push_str(before);
        self.after.push(after.into());
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.before, self.name.unwrap_or("_"))?;
        self.after.iter().rev().try_for_each(|after| f.write_str(after))
    }
}

/// Has no value, and notes what is asked for.
struct Probe<'a>(&'a RefCell<Asked>);

impl Probe<'_> {
    fn note<T>(&self, name: &'static str) -> Result<T, Fault> {
        self.0.borrow_mut().name.get_or_insert(name);
        Err(Fault::custom("it was only asked for"))
    }
}

macro_rules! noted {
    ($($method:ident $name:literal),*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
            self.note($name)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Fault;

    noted! {
        deserialize_any "_", deserialize_bool "bool", deserialize_i8 "i8", deserialize_i16 "i16", deserialize_i32 "i32",
        deserialize_i64 "i64", deserialize_i128 "i128", deserialize_u8 "u8", deserialize_u16 "u16",
        deserialize_u32 "u32", deserialize_u64 "u64", deserialize_u128 "u128", deserialize_f32 "f32",
        deserialize_f64 "f64", deserialize_char "char", deserialize_str "&str", deserialize_string "String",
        deserialize_bytes "&[u8]", deserialize_byte_buf "bytes", deserialize_unit "()", deserialize_map "a map",
        deserialize_identifier "_", deserialize_ignored_any "_"
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.0.borrow_mut().within("Option<", ">");
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.0.borrow_mut().within("Vec<", ">");
        visitor.visit_seq(Items(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.0.borrow_mut().within("[", format!("; {length}]"));
        visitor.visit_seq(Items(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, _: V) -> Result<V::Value, Fault> {
        self.note(name)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, name: &'static str, _: usize, _: V) -> Result<V::Value, Fault> {
        self.note(name)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        self.note(name)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        self.note(name)
    }
}

/// Items without a value, each of which notes what is asked for.
struct Items<'a>(Probe<'a>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        seed.deserialize(Probe(self.0.0)).map(Some)
    }
}

/// Why a row was refused.
#[derive(Debug)]
enum Fault {
    /// The item has a field that no column has the name of.
    Missing(&'static str),
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "there is no column `{name}`"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::Other(what.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

impl From<serde_arrow::Error> for Fault {
    fn from(error: serde_arrow::Error) -> Self {
        Self::Other(error.message().to_owned())
    }
}
