//! An open window: its blocks in memory, and the rows that it emits, in order.

use super::{domains::Standing, fixed_width};
use crate::{
    Draw, Error, Hash, Keep, Position, Result,
    buffers::Buffers,
    stream::visits::Kept,
    value::{Parameters, Table},
};
use arrow::{
    array::{
        Array, ArrayRef, GenericByteArray, GenericByteBuilder, GenericByteViewArray, RecordBatch, RecordBatchOptions,
    },
    compute::interleave,
    datatypes::{
        ArrowNativeType, BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType, LargeBinaryType,
        LargeUtf8Type, SchemaRef, StringViewType, Utf8Type,
    },
    error::ArrowError,
};
use std::{ops::Range, sync::Arc};

/// What the stream knew when a window was opened: all that its draw follows from.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) epoch: u32,
    pub(super) window: u32,
    /// The number of the batch that its first row goes to.
    pub(super) first_batch: u64,
    /// The reports of batches before this one are in `table`.
    pub(super) applied: u64,
    pub(super) table: Table,
    pub(super) parameters: Arc<Parameters>,
    /// Where each domain stood, with the shares in force.
    pub(super) standings: Vec<Standing>,
    /// What the policy remembered of the mixture.
    pub(super) memory: Arc<[f64]>,
    /// How many first passes had been made, this window's included.
    pub(super) visits: usize,
    /// BLAKE3 over positions and weights of the draw.
    pub(super) draw: Hash,
}

/// One block of an open window.
#[derive(Clone, Debug)]
pub(super) struct OpenBlock {
    pub(super) block: u32,
    pub(super) data: RecordBatch,
    pub(super) kept: Arc<Kept>,
    /// Whether `data` holds the kept rows only.
    pub(super) kept_only: bool,
}

/// An open window.
#[derive(Debug)]
pub(super) struct OpenWindow {
    pub(super) opening: Arc<Opening>,
    pub(super) draw: Draw,
    data: Vec<RecordBatch>,
    /// Where each drawn row lies: (index into `data`, row there).
    places: Vec<(u32, u32)>,
}

impl OpenWindow {
    pub(super) fn new(opening: Opening, blocks: Vec<OpenBlock>, draw: Draw) -> Result<Self> {
        let mut slots = Vec::with_capacity(blocks.len());
        let mut ranks = Vec::with_capacity(blocks.len());
        let mut data = Vec::with_capacity(blocks.len());
        for (slot, block) in (0_u32..).zip(blocks) {
            slots.push((block.block, slot));
            ranks.push(block.kept_only.then(|| rank(&block.kept.keep)));
            data.push(block.data);
        }
        slots.sort_unstable();
        let place = |position: Position| {
            let at = slots.binary_search_by_key(&position.block, |(block, _)| *block).ok()?;
            let &(_, slot) = slots.get(at)?;
            let row = match ranks.get(slot as usize)? {
                Some(rank) => *rank.get(position.row as usize)?,
                None => position.row,
            };
            Some((slot, row))
        };
        let mut places = Vec::with_capacity(draw.len());
        for drawn in &draw {
            let outside = || Error::State(format!("row {} was drawn outside of its window", drawn.position));
            places.push(place(drawn.position).ok_or_else(outside)?);
        }
        Ok(Self { opening: Arc::new(opening), draw, data, places })
    }
}

/// For each row of a block, how many kept rows precede it.
fn rank(keep: &Keep) -> Vec<u32> {
    let mut rank = vec![0; keep.rows() as usize];
    for (index, row) in (0..).zip(keep.kept()) {
        rank[row as usize] = index;
    }
    rank
}

/// A stretch of a window's draw.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) window: Arc<OpenWindow>,
    pub(super) range: Range<usize>,
    /// How many rows of the window's draw are emitted with it.
    pub(super) end: usize,
}

impl Part {
    /// The rows in `range` of the draw of `window`.
    pub(super) fn new(window: &Arc<OpenWindow>, range: Range<usize>) -> Self {
        Self { window: Arc::clone(window), end: range.end, range }
    }

    /// The same rows in columns of `schema`, without the blocks of their window.
    pub(super) fn detached(self, schema: &SchemaRef) -> Result<Self> {
        let end = self.end;
        let data = gather(std::slice::from_ref(&self), schema)?;
        let draw: Draw = self.window.draw[self.range].to_vec();
        let places = (0..).take(draw.len()).map(|row| (0, row)).collect();
        let range = 0..draw.len();
        let window = OpenWindow { opening: Arc::clone(&self.window.opening), draw, data: vec![data], places };
        Ok(Self { window: Arc::new(window), range, end })
    }
}

/// The rows of `parts`, one after another, in columns of `schema`. Where the blocks hold views of its texts, these are
/// written out here, the only time that they are copied.
pub(super) fn gather(parts: &[Part], schema: &SchemaRef) -> Result<RecordBatch> {
    gather_into(parts, schema, None)
}

/// The same, into `buffers` where the columns' types allow it.
pub(super) fn gather_into(parts: &[Part], schema: &SchemaRef, buffers: Option<&Buffers>) -> Result<RecordBatch> {
    let mut sources: Vec<&RecordBatch> = Vec::new();
    let mut places = Vec::with_capacity(parts.iter().map(|part| part.range.len()).sum());
    let mut before: Option<(&Arc<OpenWindow>, usize)> = None;
    for part in parts {
        let first = match before {
            Some((window, first)) if Arc::ptr_eq(window, &part.window) => first,
            _ => {
                sources.extend(&part.window.data);
                sources.len() - part.window.data.len()
            }
        };
        before = Some((&part.window, first));
        places.extend(
            part.window.places[part.range.clone()].iter().map(|&(slot, row)| (first + slot as usize, row as usize)),
        );
    }
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let columns: Vec<&dyn Array> = sources.iter().map(|source| source.column(index).as_ref()).collect();
        let to = field.data_type();
        let reused = buffers.and_then(|buffers| fixed_width::gather(&columns, &places, to, buffers));
        reused.unwrap_or_else(|| column(&columns, &places, to)).map_err(gather_fault)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(gather_fault)
}

/// The values at `places`, each a column and a row there, as `to`.
fn column(columns: &[&dyn Array], places: &[(usize, usize)], to: &DataType) -> Result<ArrayRef, ArrowError> {
    if columns.iter().all(|column| column.data_type() == to) {
        return interleave(columns, places);
    }
    match to {
        DataType::Utf8 => written_out::<Utf8Type, StringViewType>(columns, places),
        DataType::LargeUtf8 => written_out::<LargeUtf8Type, StringViewType>(columns, places),
        DataType::Binary => written_out::<BinaryType, BinaryViewType>(columns, places),
        DataType::LargeBinary => written_out::<LargeBinaryType, BinaryViewType>(columns, places),
        _ => interleave(columns, places),
    }
}

/// A column of texts, or of binary values, in one of two forms.
enum Texts<'a, T: ByteArrayType, V: ByteViewType> {
    Plain(&'a GenericByteArray<T>),
    Views(&'a GenericByteViewArray<V>),
}

impl<'a, T: ByteArrayType, V: ByteViewType<Native = T::Native>> Texts<'a, T, V> {
    fn get(&self, row: usize) -> Option<&'a T::Native> {
        match *self {
            Self::Plain(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Views(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

fn written_out<T: ByteArrayType, V: ByteViewType<Native = T::Native>>(
    columns: &[&dyn Array],
    places: &[(usize, usize)],
) -> Result<ArrayRef, ArrowError> {
    let texts = columns.iter().map(|column| {
        let any = column.as_any();
        let views = any.downcast_ref().map(Texts::<T, V>::Views);
        views.or_else(|| any.downcast_ref().map(Texts::Plain)).ok_or_else(|| {
            ArrowError::SchemaError(format!("a column of {} where {} is planned", column.data_type(), T::DATA_TYPE))
        })
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let picked: Vec<Option<&T::Native>> = places.iter().map(|&(column, row)| texts[column].get(row)).collect();
    let bytes = picked.iter().flatten().map(|value| AsRef::<[u8]>::as_ref(*value).len()).sum();
    if T::Offset::from_usize(bytes).is_none() {
        return Err(ArrowError::OffsetOverflowError(bytes));
    }
    let mut builder = GenericByteBuilder::<T>::with_capacity(picked.len(), bytes);
    for value in picked {
        builder.append_option(value);
    }
    Ok(Arc::new(builder.finish()))
}

/// What it is where arrow cannot put rows together that belong together.
pub(super) fn gather_fault(error: ArrowError) -> Error {
    Error::State(format!("rows could not be gathered: {error}"))
}
