//! The one sequencer: numbers batches, deals them to ranks, and says where the stream stands after each.
//!
//! Everything that depends on order happens here, on whichever thread (`sequencer`): which blocks are asked for, what is a
//! duplicate of what (`intake`), which reports a policy sees, which rows are drawn (`windows`), which batch they go to
//! (`fill`). What does not depend on order is done by the workers.

use super::{
    fill::{Fill, Filled},
    record::Entry,
    shared::{Item, Mark, Shared, Start},
};
use crate::{Error, Result};
use std::sync::Arc;

/// The sequencer.
#[derive(Debug)]
pub(super) struct Assembler {
    shared: Arc<Shared>,
    fill: Fill,
    /// The first batch of this run; rounds of one batch a rank are counted from it.
    first_batch: u64,
    next_batch: u64,
    /// Rows of all ranks that were drawn for the batches so far.
    drawn: u64,
    /// Where filling stood after the last batch of any rank.
    last: Option<Mark>,
    /// What went wrong after the batch that was given last.
    fault: Option<Error>,
}

impl Assembler {
    pub(super) fn new(shared: Arc<Shared>, start: Start, threads: usize) -> Result<Self> {
        let (first_batch, drawn) = (start.next_batch, start.trained);
        let fill = Fill::new(Arc::clone(&shared), start, threads)?;
        Ok(Self { shared, fill, first_batch, next_batch: first_batch, drawn, last: None, fault: None })
    }

    /// The next batch of this rank, and where the stream stands after the round that it belongs to; `None` at the run's
    /// end.
    ///
    /// A round is one batch of each rank. Its end, not its own batch's, is what a rank's state names, so that the states
    /// that ranks take after equally many batches are of one place, and any of them lets any number of ranks go on.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let (rank, world) = (self.shared.settings.rank, self.shared.settings.world);
        let mut own: Option<Item> = None;
        loop {
            let number = self.next_batch;
            let wanted = number % world == rank;
            let filled = match self.fill.next(number, wanted) {
                Ok(Some(filled)) => filled,
                Ok(None) => {
                    if let Some(last) = &self.last {
                        // A run ends once.
                        drop(self.shared.end.set(last.clone()));
                    }
                    return Ok(self.with_entries(own));
                }
                Err(fault) if own.is_some() => {
                    // This rank's batch is whole; what is at fault is another's.
                    self.fault = Some(fault);
                    return Ok(self.with_entries(own));
                }
                Err(fault) => return Err(fault),
            };
            self.next_batch += 1;
            self.drawn += filled.begun;
            let mark = self.mark(&filled);
            self.last = Some(mark.clone());
            match (&mut own, filled.contents) {
                (_, Some(contents)) => {
                    own = Some(Item { number, epoch: filled.epoch, contents, mark, entries: Vec::new() });
                }
                (Some(own), None) => own.mark = mark,
                (None, None) => {}
            }
            if own.is_some() && (self.next_batch - self.first_batch).is_multiple_of(world) {
                return Ok(self.with_entries(own));
            }
        }
    }

    fn with_entries(&mut self, item: Option<Item>) -> Option<Item> {
        let item = item?;
        Some(Item { entries: self.take_entries(), ..item })
    }

    /// What is to be written down since the last batch.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        self.fill.take_entries()
    }

    /// Whether the next batch can be had without waiting for anything.
    pub(super) fn at_hand(&self) -> bool {
        self.fault.is_none() && self.fill.at_hand()
    }

    fn mark(&self, filled: &Filled) -> Mark {
        Mark {
            opening: Arc::clone(&filled.opening),
            offset: filled.offset,
            within: filled.within,
            next_batch: self.next_batch,
            drawn: self.drawn,
        }
    }
}
