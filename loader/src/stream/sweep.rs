//! One pass over blocks in plan order: any number of threads read and work on them, one takes the outcomes in order.
//!
//! What is read ahead is bounded in bytes; the block that is waited for is always read.

use crate::{
    Error, Result,
    source::{Decoded, Request, Source},
};
use crossbeam::channel::unbounded;
use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

/// Reads `blocks` of `source` with `threads` threads and at most `budget` decoded bytes on their way (one block at
/// least), lets any thread do `work` on each, and calls `each` with the outcomes, in the order of `blocks`.
///
/// A block that cannot be read, or whose work fails or panics, comes to `each` as its error; the first error of `each`
/// ends the pass.
pub(super) fn sweep<T: Send>(
    source: &dyn Source,
    blocks: impl Iterator<Item = u32>,
    threads: usize,
    budget: u64,
    work: impl Fn(u32, Decoded) -> Result<T> + Sync,
    mut each: impl FnMut(u32, Result<T>) -> Result<()>,
) -> Result<()> {
    let plan = source.plan();
    let bytes_of = |block: u32| plan.blocks.get(block as usize).map_or(0, |block| block.decoded_bytes);
    let one = |block: u32| {
        let expected = plan.blocks.get(block as usize).map_or(&[][..], |block| &block.hashes);
        let read = || work(block, source.read(Request { block, rows: None, expected })?);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::data(plan.place(block), format!("reading or judging it panicked: {text}")))
        })
    };
    thread::scope(|scope| {
        let (tickets, inbox) = unbounded::<u32>();
        let (outbox, results) = unbounded();
        for _ in 0..threads.max(1) {
            let (inbox, outbox, one) = (inbox.clone(), outbox.clone(), &one);
            scope.spawn(move || {
                for block in inbox {
                    if outbox.send((block, one(block))).is_err() {
                        return;
                    }
                }
            });
        }
        drop((inbox, outbox));
        let (mut blocks, mut under_way, mut taken) = (blocks.peekable(), VecDeque::new(), 0_u64);
        let mut ring = BTreeMap::new();
        loop {
            while let Some(&block) = blocks.peek() {
                if !under_way.is_empty() && taken.saturating_add(bytes_of(block)) > budget {
                    break;
                }
                blocks.next();
                taken = taken.saturating_add(bytes_of(block));
                under_way.push_back(block);
                if tickets.send(block).is_err() {
                    return Err(Error::State("the threads of a pass have ended".to_owned()));
                }
            }
            let Some(block) = under_way.pop_front() else { return Ok(()) };
            let outcome = loop {
                if let Some(outcome) = ring.remove(&block) {
                    break outcome;
                }
                let (done, outcome) =
                    results.recv().map_err(|_| Error::State("the threads of a pass have ended".to_owned()))?;
                ring.insert(done, outcome);
            };
            taken = taken.saturating_sub(bytes_of(block));
            each(block, outcome)?;
        }
    })
}
