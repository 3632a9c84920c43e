//! The rows of a block as an operator sees them: which reach it, their texts, and what operators share about a column.
//!
//! An analysis of a column (its lines, its words) is made when an operator first asks for it, kept for the operators
//! behind it, and dropped when one of them rewrites the column. It knows no analysis by name.

use super::texts::Texts;
use crate::{Error, Place, Result, spelling::advice};
use arrow::{
    array::{AsArray, Float64Array},
    compute::cast,
    datatypes::{DataType, Float64Type},
    record_batch::RecordBatch,
};
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    fmt,
    rc::Rc,
};

/// Something that several operators want to know about a column of a block.
///
/// Made in one pass over the rows that reach the operator which asks first; those that reach later ones are among
/// them. One that takes no allocation for each token holds its tokens in [`Spans`](super::Spans).
pub trait Analysis: Sized + 'static {
    /// Analyses the column with index `column`. May itself ask for other analyses.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the column is of another type than the analysis reads.
    fn of(rows: &Rows<'_>, column: usize) -> Result<Self>;
}

/// The rows of a block, and which of them reach an operator.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a RecordBatch,
    alive: &'a [bool],
    shared: &'a Shared,
}

impl<'a> Rows<'a> {
    pub(super) const fn new(data: &'a RecordBatch, alive: &'a [bool], shared: &'a Shared) -> Self {
        Self { data, alive, shared }
    }

    /// The columns, with all rows of the block, as the operators before this one left them.
    #[must_use]
    pub const fn data(&self) -> &'a RecordBatch {
        self.data
    }

    /// How many rows the block holds, whether they reach the operator or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.alive.len()
    }

    /// Whether the block holds no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    /// Whether `row` reaches the operator: it could be read, and no earlier operator dropped it.
    #[must_use]
    pub fn reaches(&self, row: usize) -> bool {
        self.alive.get(row).is_some_and(|&alive| alive)
    }

    /// The rows that reach the operator, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.alive.iter().enumerate().filter_map(|(row, &alive)| alive.then_some(row))
    }

    /// The index of the column `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where there is none, naming the nearest.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        self.data.schema_ref().index_of(name).map_err(|_| {
            let fields = self.data.schema_ref().fields();
            let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            Error::recipe(format!("there is no column `{name}`{}", advice(name, &known, "the columns are")))
        })
    }

    /// The texts of a column of any of Arrow's string types, dictionaries of them included.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where there is no such column, or it holds no text.
    pub fn texts(&self, column: usize) -> Result<Texts<'a>> {
        let schema = self.data.schema_ref();
        let field = schema
            .fields()
            .get(column)
            .ok_or_else(|| Error::data(Place::default(), format!("column {column} of {}", self.data.num_columns())))?;
        Texts::of(self.data.column(column).as_ref()).ok_or_else(|| {
            let what = format!("expected text, found {}", field.data_type());
            Error::data(Place::default().column(field.name()), what)
        })
    }

    /// The numbers of a column of any number type, or of texts that are numbers; null where a cell is none.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where there is no such column, or cells of its type are no numbers.
    pub fn numbers(&self, column: usize) -> Result<Float64Array> {
        let schema = self.data.schema_ref();
        let field = schema
            .fields()
            .get(column)
            .ok_or_else(|| Error::data(Place::default(), format!("column {column} of {}", self.data.num_columns())))?;
        let numbers = cast(self.data.column(column), &DataType::Float64).map_err(|_| {
            let what = format!("expected numbers, found {}", field.data_type());
            Error::data(Place::default().column(field.name()), what)
        })?;
        Ok(numbers.as_primitive::<Float64Type>().clone())
    }

    /// The analysis `T` of a column: made now, or by an operator before this one.
    ///
    /// # Errors
    ///
    /// Those of [`Analysis::of`].
    pub fn shared<T: Analysis>(&self, column: usize) -> Result<Rc<T>> {
        let key = (TypeId::of::<T>(), column);
        // The store is not borrowed while an analysis is made: that may ask for another one.
        let known = self.shared.0.borrow().get(&key).cloned();
        if let Some(known) = known.and_then(|known| known.downcast::<T>().ok()) {
            return Ok(known);
        }
        let made = Rc::new(T::of(self, column)?);
        let kept: Rc<dyn Any> = Rc::<T>::clone(&made);
        self.shared.0.borrow_mut().insert(key, kept);
        Ok(made)
    }
}

/// The analyses of one block.
#[derive(Default)]
pub(super) struct Shared(RefCell<HashMap<(TypeId, usize), Rc<dyn Any>>>);

impl Shared {
    /// Drops what is known of `column`, which was rewritten.
    pub(super) fn forget(&self, column: usize) {
        self.0.borrow_mut().retain(|&(_, of), _| of != column);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} analyses)", self.0.borrow().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, BinaryArray, Int8Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn numbers_come_from_numbers_and_from_texts_that_are_some() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("2.5"), Some("n/a"), None]));
        let small: ArrayRef = Arc::new(Int8Array::from(vec![Some(-3), None, Some(7)]));
        let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"1", b"2", b"3"]));
        let columns = [("texts", texts, true), ("small", small, true), ("bytes", bytes, true)];
        let data = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let shared = Shared::default();
        let rows = Rows::new(&data, &[true; 3], &shared);
        let numbers = |column| rows.numbers(column).map(|numbers| numbers.iter().collect::<Vec<_>>());
        assert_eq!(numbers(0).unwrap(), [Some(2.5), None, None]);
        assert_eq!(numbers(1).unwrap(), [Some(-3.0), None, Some(7.0)]);
        assert!(matches!(numbers(2), Err(Error::Data { .. })));
        assert!(rows.numbers(3).is_err());
        assert_eq!(rows.numbers(0).unwrap().len(), 3);
    }
}
