//! The plain layout: the rows of a batch are the next ones of the draw. A batch may straddle windows, but not data epochs.
//!
//! Batches that lie within a window are gathered by the workers, several at once and in advance; what straddles windows,
//! or is shorter, is gathered when its turn comes.

use super::{
    super::{
        contents::Contents,
        meters::Meters,
        pool::Later,
        window::{OpenWindow, Part, gather, gather_into},
    },
    Fill, Filled,
};
use crate::{Drawn, Error, Result};
use arrow::record_batch::RecordBatch;
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Batches of the open window that are gathered, or about to be.
#[derive(Debug, Default)]
pub(in crate::stream) struct Stretches {
    ready: Option<(Stretch, RecordBatch)>,
    under_way: VecDeque<(Stretch, Later<RecordBatch>)>,
    /// Where the next one begins: the row of the draw, and the batch that this goes to.
    next: Option<(usize, u64)>,
}

/// Several batches of one window that are gathered together: slices of it are what is handed over.
#[derive(Debug)]
struct Stretch {
    /// Where each batch begins in the draw.
    starts: Vec<usize>,
}

impl Stretch {
    /// Which of its batches begins at row `start` of the draw.
    fn find(&self, start: usize) -> Option<usize> {
        self.starts.binary_search(&start).ok()
    }

    /// The rows of its batches of `size` rows, in as few ranges as can be.
    fn ranges(&self, size: usize) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for &start in &self.starts {
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end += size,
                _ => ranges.push(start..start + size),
            }
        }
        ranges
    }
}

impl Fill {
    /// The next batch of rows in the draw's order.
    pub(super) fn rows(&mut self, number: u64, wanted: bool) -> Result<Option<Filled>> {
        if let Some(filled) = self.whole(number, wanted)? {
            return Ok(Some(filled));
        }
        match self.parts(number, |_| false)? {
            Some(parts) => self.of_parts(&parts, wanted),
            None => Ok(None),
        }
    }

    /// Whether the next batch is gathered already, and the round that it belongs to needs no other window.
    pub(in crate::stream) fn at_hand(&self) -> bool {
        let (Some(cursor), Some((stretch, _))) = (&self.current, &self.stretches.ready) else { return false };
        let settings = &self.shared.settings;
        let round = settings.batch_size.saturating_mul(usize::try_from(settings.world).unwrap_or(usize::MAX));
        let gathered = |start: &usize| (cursor.offset..cursor.offset + round).contains(start);
        cursor.left() >= round && stretch.starts.iter().any(gathered)
    }

    /// The next batch, where it lies within the open window.
    fn whole(&mut self, number: u64, wanted: bool) -> Result<Option<Filled>> {
        let size = self.shared.settings.batch_size;
        let Some(cursor) = &mut self.current else { return Ok(None) };
        if cursor.left() < size {
            return Ok(None);
        }
        let range = cursor.offset..cursor.offset + size;
        cursor.offset += size;
        let window = Arc::clone(&cursor.window);
        let contents = match wanted {
            true => {
                let data = self.gathered(&window, range.start, number)?;
                Some(self.contents(data, window.opening.epoch, &window.draw[range.clone()]))
            }
            false => None,
        };
        Ok(Some(Filled {
            contents,
            begun: size as u64,
            epoch: window.opening.epoch,
            opening: Arc::clone(&window.opening),
            offset: range.end,
            within: 0,
        }))
    }

    /// The rows of batch `number`, which begins at row `start` of the draw of `window`; those after it are set going.
    fn gathered(&mut self, window: &Arc<OpenWindow>, start: usize, number: u64) -> Result<RecordBatch> {
        let size = self.shared.settings.batch_size;
        if self.stretches.next.is_none() {
            self.stretches.next = Some((start, number));
        }
        loop {
            self.gather_ahead(window);
            if let Some((stretch, data)) = &self.stretches.ready
                && let Some(index) = stretch.find(start)
            {
                return Ok(data.slice(index * size, size));
            }
            let (stretch, later) = self
                .stretches
                .under_way
                .pop_front()
                .ok_or_else(|| Error::State(format!("row {start} of a draw was not gathered")))?;
            self.stretches.ready = None;
            self.stretches.ready = Some((stretch, self.pool.wait(later)?));
        }
    }

    /// Sets going what is gathered in advance.
    fn gather_ahead(&mut self, window: &Arc<OpenWindow>) {
        let settings = &self.shared.settings;
        let (size, rank, world) = (settings.batch_size, settings.rank, settings.world);
        while let Some((mut row, mut number)) = self.stretches.next
            && self.stretches.under_way.len() < settings.stretches_ahead
            && row + size <= window.draw.len()
        {
            let mut starts = Vec::with_capacity(settings.stretch);
            while starts.len() < settings.stretch && row + size <= window.draw.len() {
                if number % world == rank {
                    starts.push(row);
                }
                (row, number) = (row + size, number + 1);
            }
            self.stretches.next = Some((row, number));
            if starts.is_empty() {
                continue;
            }
            let stretch = Stretch { starts };
            let parts: Vec<Part> = stretch.ranges(size).into_iter().map(|range| Part::new(window, range)).collect();
            let shared = Arc::clone(&self.shared);
            let gathering = move || gather_into(&parts, shared.schema(), Some(&shared.buffers));
            let meters = Arc::clone(&self.shared.meters);
            let later = self.pool.run(move || Meters::time(&meters.gather, gathering));
            self.stretches.under_way.push_back((stretch, later));
        }
    }

    /// What becomes of gathered rows, which were `drawn`.
    fn contents(&self, data: RecordBatch, epoch: u32, drawn: &[Drawn]) -> Later<Contents> {
        if self.shared.finish.chain.is_empty() {
            return Later::Now(Contents::of_rows(&self.shared.finish, epoch, data, drawn));
        }
        let (shared, drawn) = (Arc::clone(&self.shared), drawn.to_vec());
        self.pool.run(move || {
            Meters::time(&shared.meters.transform, || Contents::of_rows(&shared.finish, epoch, data, &drawn))
        })
    }

    /// The rows of the next batch; `None` at the run's end. Where `stop` says so of the number of rows that the window
    /// has left, and no row is taken yet, none is.
    pub(super) fn parts(&mut self, number: u64, stop: impl Fn(usize) -> bool) -> Result<Option<Vec<Part>>> {
        let (size, drop_last) = (self.shared.settings.batch_size, self.shared.settings.drop_last);
        let mut parts: Vec<Part> = Vec::new();
        let mut filled = 0;
        loop {
            if let Some(cursor) = &mut self.current {
                if parts.is_empty() && stop(cursor.left()) {
                    return Ok(Some(parts));
                }
                let take = cursor.left().min(size - filled);
                if take > 0 {
                    let range = cursor.offset..cursor.offset + take;
                    parts.push(Part::new(&cursor.window, range));
                    cursor.offset += take;
                    filled += take;
                }
                if filled == size {
                    return Ok(Some(parts));
                }
            }
            if self.ends_epoch() {
                // The data epoch ends, and with it the batch: epochs do not share one.
                if filled > 0 && !drop_last {
                    return Ok(Some(parts));
                }
                parts.clear();
                filled = 0;
            }
            // What was taken is copied out, so that the blocks of its window do not stay beside those of the next.
            let schema = self.shared.schema();
            parts = parts.into_iter().map(|part| part.detached(schema)).collect::<Result<_>>()?;
            if !self.advance(number)? {
                return Ok(None);
            }
        }
    }

    /// The batch of `parts`, gathered here.
    pub(super) fn of_parts(&self, parts: &[Part], wanted: bool) -> Result<Option<Filled>> {
        let Some(last) = parts.last() else { return Ok(None) };
        let epoch = last.window.opening.epoch;
        let contents = if wanted {
            let data = Meters::time(&self.shared.meters.gather, || gather(parts, self.shared.schema()))?;
            let drawn: Vec<Drawn> =
                parts.iter().flat_map(|part| &part.window.draw[part.range.clone()]).copied().collect();
            Some(self.contents(data, epoch, &drawn))
        } else {
            None
        };
        Ok(Some(Filled {
            contents,
            begun: parts.iter().map(|part| part.range.len() as u64).sum(),
            epoch,
            opening: Arc::clone(&last.window.opening),
            offset: last.end,
            within: 0,
        }))
    }
}
