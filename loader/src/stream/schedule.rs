//! Which blocks are open together, and in which order: a function of the seed, the epoch and the pass. Never saved, never
//! sought.

use crate::{Purpose, Randomness, sample};
use std::{ops::Range, sync::Arc};

/// The most passes over one domain within a data epoch: a place in one is packed into 64 bits.
pub(super) const MOST_PASSES: u32 = 1 << 22;

/// One pass over a domain's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// The data epoch.
    pub(super) epoch: u32,
    /// Which pass of that epoch it is, counted from 0.
    pub(super) number: u32,
}

/// The order of one domain's blocks in every pass; a dataset that is no mixture is its only domain.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    /// Which domain it is, counted from 0.
    pub(super) domain: u32,
    /// The domain's blocks.
    pub(super) blocks: Range<u32>,
    /// How many of them are open together, at most.
    pub(super) window: u32,
    /// Whether blocks come in the plan's order instead of a random one.
    pub(super) plan_order: bool,
    /// Whether a pass is followed by another one in the same data epoch.
    pub(super) repeats: bool,
    /// Blocks that can be read in order only: each range stays together and in order. Empty where there are none.
    pub(super) in_order: Arc<[Range<u32>]>,
}

impl Schedule {
    /// The windows of a pass, each a list of blocks.
    ///
    /// Windows differ by at most one block, so that the last one shuffles as well as the first.
    pub(super) fn windows(&self, pass: Pass) -> Vec<Vec<u32>> {
        let order = self.order(pass);
        sample::windows(order.len(), self.window as usize).map(|range| order[range].to_vec()).collect()
    }

    /// All blocks, in the order of `pass`.
    fn order(&self, pass: Pass) -> Vec<u32> {
        if self.plan_order {
            return self.blocks.clone().collect();
        }
        // What stays together is permuted as one.
        let mut units: Vec<Range<u32>> = Vec::new();
        let mut next = self.blocks.start;
        for range in self.in_order.iter() {
            units.extend((next..range.start).map(|block| block..block + 1));
            units.push(range.clone());
            next = range.end;
        }
        units.extend((next..self.blocks.end).map(|block| block..block + 1));
        let count = u32::try_from(units.len()).unwrap_or(u32::MAX);
        let order = sample::block_order(self.seed, pass.epoch, self.place(pass, 0), count);
        order.into_iter().flat_map(|unit| units[unit as usize].clone()).collect()
    }

    /// The order in which the `rows` kept rows of a window of this domain come, where they do not all come at once: their
    /// numbers, permuted.
    pub(super) fn rows(&self, pass: Pass, window: u32, rows: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..rows as u32).collect();
        let place = self.place(pass, window);
        sample::permute(&mut order, &mut Randomness::new(self.seed, pass.epoch, place, Purpose::DomainRows));
        order
    }

    /// The pass that is most likely to follow; blocks are read in advance for it.
    pub(super) const fn after(&self, pass: Pass) -> Option<Pass> {
        if self.repeats {
            return Some(Pass { number: pass.number.saturating_add(1), ..pass });
        }
        match pass.epoch.checked_add(1) {
            Some(epoch) => Some(Pass { epoch, number: 0 }),
            None => None,
        }
    }

    /// 10 bits of the domain, 22 of the pass, 32 of the window: the only domain's first passes are at place 0.
    const fn place(&self, pass: Pass, window: u32) -> u64 {
        (self.domain as u64) << 54 | (pass.number as u64) << 32 | window as u64
    }
}

/// All blocks of a domain from a window on, in order: what tickets are made from.
#[derive(Debug)]
pub(super) struct Upcoming {
    schedule: Schedule,
    pass: Pass,
    rest: std::vec::IntoIter<u32>,
    peeked: Option<(Pass, u32)>,
}

impl Upcoming {
    /// From the first block of window `window` of `pass` on.
    pub(super) fn from(schedule: Schedule, pass: Pass, window: u32) -> Self {
        let blocks: Vec<u32> = schedule.windows(pass).into_iter().skip(window as usize).flatten().collect();
        Self { schedule, pass, rest: blocks.into_iter(), peeked: None }
    }

    /// What comes in this pass and in the one after it.
    pub(super) fn ahead(&self) -> impl Iterator<Item = u32> {
        let peeked = self.peeked.map(|(_, block)| block);
        let next = self.schedule.after(self.pass).map(|pass| self.schedule.order(pass));
        peeked.into_iter().chain(self.rest.as_slice().to_vec()).chain(next.into_iter().flatten())
    }

    /// The next block and its pass. Without end, unless the domain has no block.
    pub(super) fn peek(&mut self) -> Option<(Pass, u32)> {
        if self.peeked.is_none() {
            if self.rest.len() == 0 && !self.schedule.blocks.is_empty() {
                self.pass = self.schedule.after(self.pass)?;
                self.rest = self.schedule.windows(self.pass).concat().into_iter();
            }
            self.peeked = self.rest.next().map(|block| (self.pass, block));
        }
        self.peeked
    }

    /// Takes the next one.
    pub(super) const fn advance(&mut self) {
        self.peeked = None;
    }

    /// Goes on at the start of `pass`, if it is not there already.
    pub(super) fn seek(&mut self, pass: Pass) {
        if self.peek().is_none_or(|(at, _)| at != pass) {
            *self = Self::from(self.schedule.clone(), pass, 0);
        }
    }

    /// Whether the next block is of the pass that follows `pass`, or of that itself.
    pub(super) fn is_near(&mut self, pass: Pass) -> bool {
        let after = self.schedule.after(pass);
        self.peek().is_some_and(|(at, _)| at == pass || Some(at) == after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_that_are_read_in_order_stay_together_and_all_are_there(
            seed: u64, lengths in proptest::collection::vec((1_u32..6, any::<bool>()), 1..12)
        ) {
            let (mut in_order, mut blocks) = (Vec::new(), 0);
            for (length, together) in lengths {
                if together {
                    in_order.push(blocks..blocks + length);
                }
                blocks += length;
            }
            let schedule = Schedule {
                seed: seed >> 1,
                domain: 0,
                blocks: 0..blocks,
                window: 3,
                plan_order: false,
                repeats: false,
                in_order: in_order.clone().into(),
            };
            let order = schedule.order(Pass { epoch: 1, number: 0 });
            for range in in_order {
                let at = order.iter().position(|block| *block == range.start).unwrap();
                prop_assert_eq!(&order[at..at + range.len()], &range.collect::<Vec<_>>()[..]);
            }
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..blocks).collect::<Vec<_>>());
        }
    }
}
