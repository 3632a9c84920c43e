//! Which blocks are open together, and in which order: a function of the seed and the epoch. Never saved, never sought.

use crate::sample;

/// The order of blocks in every data epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    /// How many blocks the plan has.
    pub(super) blocks: u32,
    /// How many blocks a window opens, at most.
    pub(super) window: u32,
}

impl Schedule {
    /// The windows of the data epoch `epoch`, each a list of blocks.
    ///
    /// Windows differ by at most one block, so that the last one shuffles as well as the first.
    pub(super) fn epoch(&self, epoch: u32) -> Vec<Vec<u32>> {
        let order = sample::block_order(self.seed, epoch, self.blocks);
        sample::windows(order.len(), self.window as usize).map(|range| order[range].to_vec()).collect()
    }
}

/// All blocks of a run from a window on, in order: what tickets are made from.
#[derive(Debug)]
pub(super) struct Upcoming {
    schedule: Schedule,
    epoch: u32,
    rest: std::vec::IntoIter<u32>,
    peeked: Option<(u32, u32)>,
}

impl Upcoming {
    /// From the first block of window `window` of data epoch `epoch` on.
    pub(super) fn from(schedule: Schedule, epoch: u32, window: u32) -> Self {
        let blocks: Vec<u32> = schedule.epoch(epoch).into_iter().skip(window as usize).flatten().collect();
        Self { schedule, epoch, rest: blocks.into_iter(), peeked: None }
    }

    /// (epoch, block) of the next one. Without end, unless the plan has no block.
    pub(super) fn peek(&mut self) -> Option<(u32, u32)> {
        if self.peeked.is_none() {
            if self.rest.len() == 0 && self.schedule.blocks > 0 {
                self.epoch = self.epoch.checked_add(1)?;
                self.rest = self.schedule.epoch(self.epoch).concat().into_iter();
            }
            self.peeked = self.rest.next().map(|block| (self.epoch, block));
        }
        self.peeked
    }

    /// Takes the next one.
    pub(super) fn advance(&mut self) {
        self.peeked = None;
    }
}
