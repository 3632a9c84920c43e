//! An open window: its blocks in memory, and the rows that it emits, in order.

use crate::{
    Draw, Error, Hash, Keep, Position, Result,
    value::{Parameters, Table},
};
use arrow::{
    compute::interleave_record_batch,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use std::{collections::HashMap, ops::Range, sync::Arc};

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
    pub(super) keep: Arc<Keep>,
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
        let mut slots = HashMap::with_capacity(blocks.len());
        let mut ranks = Vec::with_capacity(blocks.len());
        let mut data = Vec::with_capacity(blocks.len());
        for (slot, block) in (0_u32..).zip(blocks) {
            slots.insert(block.block, slot);
            ranks.push(block.kept_only.then(|| rank(&block.keep)));
            data.push(block.data);
        }
        let place = |position: Position| {
            let &slot = slots.get(&position.block)?;
            let row = match ranks.get(slot as usize)? {
                Some(rank) => *rank.get(position.row as usize)?,
                None => position.row,
            };
            Some((slot, row))
        };
        let places = draw
            .iter()
            .map(|drawn| {
                place(drawn.position)
                    .ok_or_else(|| Error::State(format!("row {} was drawn outside of its window", drawn.position)))
            })
            .collect::<Result<_>>()?;
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
}

/// The rows of `parts`, one after another.
pub(super) fn gather(parts: &[Part]) -> Result<RecordBatch> {
    let mut sources: Vec<&RecordBatch> = Vec::new();
    let mut places = Vec::new();
    for part in parts {
        let first = sources.len();
        sources.extend(&part.window.data);
        places.extend(
            part.window.places[part.range.clone()].iter().map(|&(slot, row)| (first + slot as usize, row as usize)),
        );
    }
    let fault = |error: arrow::error::ArrowError| Error::State(format!("rows could not be gathered: {error}"));
    match sources.first() {
        Some(source) if source.num_columns() == 0 => {
            let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
            RecordBatch::try_new_with_options(source.schema(), Vec::new(), &options).map_err(fault)
        }
        _ => interleave_record_batch(&sources, &places).map_err(fault),
    }
}
