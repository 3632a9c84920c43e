//! What the first pass over each block found. It holds for the whole run.

use crate::{
    Hash, Keep,
    clean::{Cuts, Memory},
    ledger::Account,
};
use std::{ops::Range, sync::Arc};

/// The rows of a block that are kept, and what cleaning says of them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) keep: Keep,
    /// The factor on the target weight of each row of the block; empty where all are 1.
    pub(super) weights: Vec<f32>,
    /// By score in the cleaner's order, the number of each row of the block.
    pub(super) scores: Vec<Vec<f32>>,
    /// What is taken away from texts because of earlier rows.
    pub(super) cuts: Cuts,
}

impl Kept {
    /// None of `rows` rows.
    pub(super) fn none(rows: u32) -> Self {
        Self { keep: Keep::from_fn(rows, |_| false), weights: Vec::new(), scores: Vec::new(), cuts: Cuts::default() }
    }
}

/// What the first pass over one block found.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) block: u32,
    /// Content hashes of the columns that the stream carries; empty where the block could not be read.
    pub(super) hashes: Vec<Hash>,
    pub(super) kept: Arc<Kept>,
    pub(super) account: Account,
    /// Why the block was set aside as a whole, if it was.
    pub(super) fault: Option<String>,
    /// The class of each row, where the policy asks for it.
    pub(super) classes: Option<Vec<u32>>,
    /// How many visits of judged blocks the cleaner's memory had seen after this one.
    pub(super) remembered: u32,
}

/// The first passes so far, in the order in which they were made: the stream's order.
///
/// Append-only, so that what was known at an earlier moment is a prefix.
#[derive(Debug)]
pub(super) struct Visits {
    list: Vec<Visit>,
    /// Index into `list` by block.
    by_block: Vec<Option<u32>>,
    pub(super) memory: Memory,
}

impl Visits {
    /// Of a plan of `blocks` blocks, with a memory that has seen nothing.
    pub(super) fn new(blocks: usize, memory: Memory) -> Self {
        Self { list: Vec::new(), by_block: vec![None; blocks], memory }
    }

    pub(super) fn push(&mut self, visit: Visit) {
        if let Some(place) = self.by_block.get_mut(visit.block as usize) {
            *place = u32::try_from(self.list.len()).ok();
        }
        self.list.push(visit);
    }

    pub(super) fn get(&self, block: u32) -> Option<&Visit> {
        let index = (*self.by_block.get(block as usize)?)?;
        self.list.get(index as usize)
    }

    /// The first `length` visits.
    pub(super) fn prefix(&self, length: usize) -> &[Visit] {
        &self.list[..length.min(self.list.len())]
    }

    /// What became of the rows of all blocks that were visited.
    pub(super) fn account(&self) -> Account {
        let mut sum = Account::default();
        self.list.iter().for_each(|visit| sum += &visit.account);
        sum
    }

    /// What became of the rows of those of `blocks` that were visited.
    pub(super) fn account_of(&self, blocks: Range<u32>) -> Account {
        let mut sum = Account::default();
        blocks.filter_map(|block| self.get(block)).for_each(|visit| sum += &visit.account);
        sum
    }

    /// No state that names fewer than the first `length` visits will be asked for any more.
    pub(super) fn release(&mut self, length: usize) {
        if let Some(last) = self.prefix(length).last() {
            let remembered = last.remembered;
            self.memory.forget_before(remembered);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether every block was visited, so that nothing needs to be remembered any more.
    pub(super) fn complete(&self, length: usize) -> bool {
        length == self.by_block.len()
    }
}
