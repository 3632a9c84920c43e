//! Packing: rows of varying length, laid one after another into slots of a fixed length.
//!
//! Rows are taken in the order of the draw and batches close in that order, so where packing stands is two numbers: the
//! next row, and how much of it has been emitted. Nothing that waits is ever part of a state.

mod bins;

pub(super) use bins::Bins;

use super::window::gather_fault;
use crate::{Error, Position, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray, FixedSizeListArray, Int64Array, RecordBatch, UInt32Array},
    compute::{cast, concat},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use std::sync::Arc;

/// How rows that do not fill a slot are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All rows are one string of items, cut every `length`: no padding but at an epoch's end, and rows are torn apart.
    ConcatAndCut,
    /// A row goes to the first slot of the batch that has room for it as a whole; the batch closes before the first row
    /// that fits none. Only rows longer than a slot are cut.
    FirstFit,
}

/// Packs a list column of items (tokens) into slots of a fixed length, for
/// [`StreamBuilder::pack`](super::StreamBuilder::pack).
///
/// A batch then has `batch.size` slots (fewer at a data epoch's end), and two columns: the items of each slot, a list of
/// exactly `length`, filled up with `padding`; and `<column>_span`, which says of each item whose it is: 0 for padding,
/// else 1 + the index of its span within the slot. Which samples these are say [`Batch::positions`](super::Batch), one a
/// span, and [`Batch::spans`](super::Batch).
///
/// Every item of every drawn row is emitted exactly once, in order, apart from what `drop_last` leaves out. A row whose
/// list is null or empty, or holds a null, cannot be packed, and is handled as `on_bad_row` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The column: lists of a number type.
    pub column: String,
    /// Items of a slot; at least 1.
    pub length: u32,
    /// How rows share slots.
    pub fit: Fit,
    /// What fills a slot up.
    pub padding: i64,
}

impl Packing {
    /// First fit into slots of `length` items of the list column `column`, filled up with 0.
    #[must_use]
    pub fn new(column: impl Into<String>, length: u32) -> Self {
        Self { column: column.into(), length, fit: Fit::FirstFit, padding: 0 }
    }

    /// The same, with rows put together as `fit` says.
    #[must_use]
    pub const fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// The same, filled up with `padding`.
    #[must_use]
    pub const fn padding(mut self, padding: i64) -> Self {
        self.padding = padding;
        self
    }

    /// All that decides what is emitted, canonically.
    pub(super) fn fingerprint(&self) -> String {
        format!("packing 1 {:?} {} {:?} {}", self.column, self.length, self.fit, self.padding)
    }

    /// The packer for rows with the columns of `input`.
    pub(super) fn packer(&self, input: &SchemaRef) -> Result<Packer> {
        if self.length == 0 {
            return Err(Error::recipe("packing: `length` = 0: a slot must hold at least 1 item"));
        }
        let at = input.index_of(&self.column).map_err(|_| {
            let names: Vec<&str> = input.fields().iter().map(|field| field.name().as_str()).collect();
            let advice = crate::spelling::advice(&self.column, &names, "the stream carries");
            Error::recipe(format!("packing: no column `{}` is carried{advice}", self.column))
        })?;
        let item = match input.field(at).data_type() {
            DataType::List(item) | DataType::LargeList(item) if item.data_type().is_numeric() => item.data_type(),
            other => {
                return Err(Error::recipe(format!(
                    "packing: column `{}` is of type {other}; it must hold lists of numbers",
                    self.column
                )));
            }
        };
        let item: FieldRef = Arc::new(Field::new_list_field(item.clone(), false));
        let padding = Arc::new(Int64Array::from(vec![self.padding])) as ArrayRef;
        let padding = cast(&padding, item.data_type()).ok().filter(|padding| padding.is_valid(0)).ok_or_else(|| {
            Error::recipe(format!("packing: `padding` = {} is no {}", self.padding, item.data_type()))
        })?;
        let length = i32::try_from(self.length)
            .map_err(|_| Error::recipe(format!("packing: `length` = {}: must be below 2^31", self.length)))?;
        let owner: FieldRef = Arc::new(Field::new_list_field(DataType::UInt32, false));
        let schema = Arc::new(Schema::new(vec![
            Field::new(&self.column, DataType::FixedSizeList(Arc::clone(&item), length), false),
            Field::new(format!("{}_span", self.column), DataType::FixedSizeList(Arc::clone(&owner), length), false),
        ]));
        Ok(Packer { options: self.clone(), column: at, item, owner, padding, schema })
    }
}

/// A stretch of a sample's items within a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSpan {
    /// The slot, from 0.
    pub slot: u32,
    /// The first item's place within the slot.
    pub start: u32,
    /// How many items there are; at least 1.
    pub length: u32,
    /// How many items of the sample precede them; not 0 only where a sample was cut.
    pub from: u32,
}

/// A span, and where its items lie.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) span: SampleSpan,
    pub(super) position: Position,
    pub(super) weight: f32,
    /// The lists that the row's one is among, and which it is.
    pub(super) lists: ArrayRef,
    pub(super) row: usize,
}

/// Packs rows whose columns are known.
#[derive(Clone, Debug)]
pub(super) struct Packer {
    pub(super) options: Packing,
    column: usize,
    item: FieldRef,
    owner: FieldRef,
    padding: ArrayRef,
    pub(super) schema: SchemaRef,
}

impl Packer {
    /// The lists among the columns of `data`.
    pub(super) fn lists<'a>(&self, data: &'a RecordBatch) -> &'a ArrayRef {
        data.column(self.column)
    }

    /// How many items row `row` of `lists` has, or why it cannot be packed.
    pub(super) fn length(&self, lists: &ArrayRef, row: usize) -> Result<u32, String> {
        let items = items(lists, row).ok_or("its list is null: there is nothing to pack")?;
        if items.null_count() > 0 {
            return Err(format!("its list holds {} nulls: items must be numbers", items.null_count()));
        }
        match u32::try_from(items.len()) {
            Ok(0) => Err("its list is empty: there is nothing to pack".into()),
            Ok(length) => Ok(length),
            Err(_) => Err(format!("its list has {} items; at most 2^32 - 1 can be packed", items.len())),
        }
    }

    /// The slots of a batch. `pieces` are in the order of slots, and of their place within a slot.
    pub(super) fn slots(&self, pieces: &[Piece]) -> Result<RecordBatch> {
        if pieces.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let length = self.options.length;
        let count = pieces.last().map_or(0, |piece| piece.span.slot as usize + 1);
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(pieces.len() * 2);
        let mut owners: Vec<u32> = Vec::with_capacity(count * length as usize);
        let padding = self.paddings(length)?;
        let fill = |parts: &mut Vec<ArrayRef>, owners: &mut Vec<u32>, room: usize| {
            if room > 0 {
                parts.push(padding.slice(0, room));
                owners.resize(owners.len() + room, 0);
            }
        };
        let (mut slot, mut filled, mut index) = (0, 0_u32, 0);
        for piece in pieces {
            if piece.span.slot != slot {
                fill(&mut parts, &mut owners, (length - filled) as usize);
                (slot, filled, index) = (piece.span.slot, 0, 0);
            }
            let items = items(&piece.lists, piece.row)
                .ok_or_else(|| Error::State("a row without a list was packed".to_owned()))?;
            parts.push(items.slice(piece.span.from as usize, piece.span.length as usize));
            index += 1;
            owners.resize(owners.len() + piece.span.length as usize, index);
            filled += piece.span.length;
        }
        fill(&mut parts, &mut owners, (length - filled) as usize);
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let items = concat(&parts).map_err(gather_fault)?;
        let width = length as i32;
        let list = |field: &FieldRef, values: ArrayRef| {
            FixedSizeListArray::try_new(Arc::clone(field), width, values, None).map(|list| Arc::new(list) as ArrayRef)
        };
        let columns = [list(&self.item, items), list(&self.owner, Arc::new(UInt32Array::from(owners)))];
        let columns = columns.into_iter().collect::<Result<_, _>>().map_err(gather_fault)?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(gather_fault)
    }

    fn paddings(&self, count: u32) -> Result<ArrayRef> {
        let indices = UInt32Array::from(vec![0; count as usize]);
        arrow::compute::take(&self.padding, &indices, None).map_err(gather_fault)
    }
}

/// The items of a row's list; `None` where it is null.
fn items(lists: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if lists.is_null(row) {
        return None;
    }
    match lists.data_type() {
        DataType::List(_) => Some(lists.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(lists.as_list::<i64>().value(row)),
        _ => None,
    }
}
