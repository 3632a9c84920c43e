//! The texts of a column, whichever of Arrow's string types holds them.

use arrow::{
    array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray},
    buffer::NullBuffer,
    compute::cast,
    datatypes::DataType,
};

/// The texts of a column, by row.
#[derive(Clone, Debug)]
pub struct Texts<'a>(Held<'a>);

#[derive(Clone, Debug)]
enum Held<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
    /// Rows point at values.
    Dictionary {
        keys: Vec<usize>,
        nulls: Option<NullBuffer>,
        values: Box<Texts<'a>>,
    },
    /// A dictionary without a value: nothing but nulls.
    Nulls(usize),
}

impl<'a> Texts<'a> {
    /// The texts of `array`; `None` where it holds none.
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(Self(match array.data_type() {
            DataType::Utf8 => Held::Small(array.as_string_opt()?),
            DataType::LargeUtf8 => Held::Large(array.as_string_opt()?),
            DataType::Utf8View => Held::View(array.as_string_view_opt()?),
            DataType::Dictionary(_, values) if is_text(values) => {
                let dictionary = array.as_any_dictionary_opt()?;
                if dictionary.values().is_empty() {
                    // Keys are clamped into the values, so there must be some.
                    Held::Nulls(array.len())
                } else {
                    let values = Box::new(Self::of(dictionary.values().as_ref())?);
                    Held::Dictionary { keys: dictionary.normalized_keys(), nulls: array.nulls().cloned(), values }
                }
            }
            _ => return None,
        }))
    }

    /// The text of `row`; `None` where it is null or lies outside.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match &self.0 {
            Held::Small(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
            Held::Large(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
            Held::View(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
            Held::Dictionary { keys, nulls, values } => {
                let key = *keys.get(row)?;
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) { None } else { values.get(key) }
            }
            Held::Nulls(_) => None,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Small(array) => array.len(),
            Held::Large(array) => array.len(),
            Held::View(array) => array.len(),
            Held::Dictionary { keys, .. } => keys.len(),
            Held::Nulls(rows) => *rows,
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a column of this type holds text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// `array` with other texts in some rows, in the same type. `changes` are sorted by row, each row once; `None` is null.
pub(super) fn rewritten(array: &ArrayRef, changes: &[(u32, Option<String>)]) -> Result<ArrayRef, String> {
    let texts = Texts::of(array.as_ref()).ok_or_else(|| format!("{} holds no text", array.data_type()))?;
    let mut changes = changes.iter().peekable();
    let rows = (0..texts.len()).map(|row| match changes.next_if(|(changed, _)| *changed as usize == row) {
        Some((_, text)) => text.as_deref(),
        None => texts.get(row),
    });
    let built: ArrayRef = match array.data_type() {
        DataType::Utf8 => {
            let rows: Vec<Option<&str>> = rows.collect();
            let bytes: usize = rows.iter().map(|text| text.map_or(0, str::len)).sum();
            if bytes > i32::MAX as usize {
                return Err(format!("{bytes} bytes of rewritten text in one block; Utf8 holds 2 GiB"));
            }
            std::sync::Arc::new(StringArray::from_iter(rows))
        }
        DataType::Utf8View => std::sync::Arc::new(rows.collect::<StringViewArray>()),
        _ => std::sync::Arc::new(rows.collect::<LargeStringArray>()),
    };
    if built.data_type() == array.data_type() {
        return Ok(built);
    }
    cast(&built, array.data_type()).map_err(|error| error.to_string())
}
