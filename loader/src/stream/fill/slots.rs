//! The packed layout: rows of varying length share slots of a fixed one.

use super::{
    super::{
        contents::{Contents, Hole},
        meters::Meters,
        packing::{Bins, Packer, Piece, SampleSpan},
        pool::Later,
        transform::{BadSample, Outcome},
    },
    Fill, Filled,
};
use crate::{Error, Result};
use arrow::array::ArrayRef;
use std::{collections::VecDeque, sync::Arc};

/// Rows that go through the transforms together, where batches are made of them only afterwards.
const CHUNK: usize = 64;

/// The rows of the current window that went through the transforms, or are on their way.
#[derive(Debug, Default)]
pub(in crate::stream) struct Chunks {
    ready: Option<Chunk>,
    /// With the first row of each.
    under_way: VecDeque<(usize, Later<Outcome>)>,
    /// One past the last row that is under way.
    end: usize,
}

/// Some rows of a draw, transformed.
#[derive(Debug)]
struct Chunk {
    start: usize,
    lists: ArrayRef,
    /// Of each row, its place in `lists`, or why it is bad.
    rows: Vec<Result<usize, BadSample>>,
}

impl Chunk {
    fn new(packer: &Packer, start: usize, Outcome { data, good, bad }: Outcome) -> Self {
        let unknown = || BadSample { index: 0, column: None, what: "a transform left it out".into() };
        let mut rows: Vec<Result<usize, BadSample>> = (0..good.len() + bad.len()).map(|_| Err(unknown())).collect();
        for (at, row) in good.into_iter().enumerate() {
            rows[row] = Ok(at);
        }
        for sample in bad {
            let row = sample.index;
            rows[row] = Err(sample);
        }
        Self { start, lists: Arc::clone(packer.lists(&data)), rows }
    }

    fn get(&self, row: usize) -> Option<&Result<usize, BadSample>> {
        self.rows.get(row.checked_sub(self.start)?)
    }
}

impl Fill {
    /// The next batch of packed slots. It closes where the next piece finds no room.
    pub(super) fn slots(&mut self, packer: &Packer, number: u64, wanted: bool) -> Result<Option<Filled>> {
        let (size, drop_last) = (self.shared.settings.batch_size, self.shared.settings.drop_last);
        let bins = || Bins::new(packer.options.fit, size, packer.options.length);
        let mut batch = Slots { bins: bins(), pieces: Vec::new(), holes: Vec::new(), begun: 0 };
        loop {
            while self.current.as_ref().is_some_and(|cursor| cursor.left() > 0) {
                if !self.lay(packer, &mut batch)? {
                    return self.closed(packer, batch, wanted);
                }
            }
            if self.ends_epoch() {
                // The data epoch ends, and with it the batch: epochs do not share one.
                if batch.begun > 0 || !batch.pieces.is_empty() {
                    if !drop_last {
                        return self.closed(packer, batch, wanted);
                    }
                    batch = Slots { bins: bins(), pieces: Vec::new(), holes: Vec::new(), begun: 0 };
                }
            }
            if !self.advance(number)? {
                return Ok(None);
            }
        }
    }

    /// Lays what is left of the next row into the batch; `false` where the batch is to be closed.
    fn lay(&mut self, packer: &Packer, batch: &mut Slots) -> Result<bool> {
        self.ready(packer)?;
        let (Some(cursor), Some(chunk)) = (&mut self.current, &self.chunks.ready) else { return Ok(false) };
        let drawn = cursor.window.draw[cursor.offset];
        let row = match chunk.get(cursor.offset) {
            Some(Ok(row)) => packer.length(&chunk.lists, *row).map(|length| (*row, length)).map_err(|what| BadSample {
                index: 0,
                column: Some(packer.options.column.clone()),
                what,
            }),
            Some(Err(bad)) => Err(bad.clone()),
            None => return Err(Error::State(format!("row {} of a draw was not transformed", cursor.offset))),
        };
        let (row, length) = match row {
            Ok(row) => row,
            Err(bad) => {
                batch.holes.push(Hole::new(drawn.position, bad));
                batch.begun += 1;
                (cursor.offset, cursor.within) = (cursor.offset + 1, 0);
                return Ok(true);
            }
        };
        let from = u32::try_from(cursor.within)
            .ok()
            .filter(|from| *from < length)
            .ok_or_else(|| Error::State(format!("it stands after {} items of a row of {length}", cursor.within)))?;
        let mut from = from;
        while from < length {
            let Some(place) = batch.bins.place(length - from) else {
                cursor.within = u64::from(from);
                return Ok(false);
            };
            batch.begun += u64::from(from == 0);
            let span = SampleSpan { slot: place.slot, start: place.start, length: place.length, from };
            let lists = Arc::clone(&chunk.lists);
            batch.pieces.push(Piece { span, position: drawn.position, weight: drawn.weight, lists, row });
            from += place.length;
        }
        (cursor.offset, cursor.within) = (cursor.offset + 1, 0);
        Ok(!batch.bins.full())
    }

    /// Sees to it that the next row is transformed, and that the rows after it are on their way.
    fn ready(&mut self, packer: &Packer) -> Result<()> {
        let Some(cursor) = &self.current else { return Ok(()) };
        let (offset, rows) = (cursor.offset, cursor.window.draw.len());
        if self.chunks.ready.as_ref().is_some_and(|chunk| chunk.get(offset).is_some()) {
            return Ok(());
        }
        let window = Arc::clone(&cursor.window);
        if self.chunks.under_way.is_empty() {
            self.chunks.end = offset;
        }
        while self.chunks.under_way.len() <= self.shared.settings.threads && self.chunks.end < rows {
            let (start, end) = (self.chunks.end, (self.chunks.end + CHUNK).min(rows));
            let later = self.transformed(&window, start..end);
            self.chunks.under_way.push_back((start, later));
            self.chunks.end = end;
        }
        if let Some((start, later)) = self.chunks.under_way.pop_front() {
            self.chunks.ready = Some(Chunk::new(packer, start, self.pool.wait(later)?));
        }
        Ok(())
    }

    fn closed(&self, packer: &Packer, batch: Slots, wanted: bool) -> Result<Option<Filled>> {
        let Some(cursor) = &self.current else { return Ok(None) };
        let begun = batch.begun;
        let contents = wanted.then(|| {
            let (packer, shared) = (packer.clone(), Arc::clone(&self.shared));
            self.pool.run(move || Meters::time(&shared.meters.transform, || batch.contents(&packer)))
        });
        Ok(Some(Filled {
            contents,
            begun,
            epoch: cursor.window.opening.epoch,
            opening: Arc::clone(&cursor.window.opening),
            offset: cursor.offset,
            within: cursor.within,
        }))
    }
}

/// A batch that is being packed.
#[derive(Debug)]
struct Slots {
    bins: Bins,
    pieces: Vec<Piece>,
    holes: Vec<Hole>,
    /// Rows that began in it, bad ones included.
    begun: u64,
}

impl Slots {
    fn contents(mut self, packer: &Packer) -> Result<Contents> {
        self.pieces.sort_by_key(|piece| (piece.span.slot, piece.span.start));
        let data = packer.slots(&self.pieces)?;
        Ok(Contents {
            data,
            positions: self.pieces.iter().map(|piece| piece.position).collect(),
            weights: self.pieces.iter().map(|piece| piece.weight).collect(),
            spans: Some(self.pieces.iter().map(|piece| piece.span).collect()),
            holes: self.holes,
        })
    }
}
