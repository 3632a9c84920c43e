//! Where the time went: counters that the threads of a stream add to.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Counters of one stream, over all of its threads.
#[derive(Debug, Default)]
pub(super) struct Meters {
    pub(super) read: AtomicU64,
    pub(super) clean: AtomicU64,
    pub(super) draw: AtomicU64,
    pub(super) gather: AtomicU64,
    pub(super) transform: AtomicU64,
    pub(super) wait_blocks: AtomicU64,
    pub(super) wait_feedback: AtomicU64,
    pub(super) wait_consumer: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Meters {
    /// Runs `work` and adds the time that it took to `meter`.
    pub(super) fn time<T>(meter: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        meter.fetch_add(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        result
    }

    pub(super) fn snapshot(&self) -> Timings {
        let time = |meter: &AtomicU64| Duration::from_nanos(meter.load(Ordering::Relaxed));
        Timings {
            read: time(&self.read),
            clean: time(&self.clean),
            draw: time(&self.draw),
            gather: time(&self.gather),
            transform: time(&self.transform),
            wait_blocks: time(&self.wait_blocks),
            wait_feedback: time(&self.wait_feedback),
            wait_consumer: time(&self.wait_consumer),
            blocks: self.blocks.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Where a stream's time went so far. Times are of the wall clock, summed over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Workers: reading, hashing and decoding blocks.
    pub read: Duration,
    /// Workers: judging rows.
    pub clean: Duration,
    /// Assembling: remembering duplicates, values, targets, draws.
    pub draw: Duration,
    /// Workers: gathering the rows of batches.
    pub gather: Duration,
    /// Workers: transforming gathered rows, and laying them out.
    pub transform: Duration,
    /// Assembling: waiting for blocks. Much of it says that reading or cleaning is the bottleneck.
    pub wait_blocks: Duration,
    /// Assembling: waiting for the trainer's reports. Much of it says that the feedback lag is too short.
    pub wait_feedback: Duration,
    /// Assembling: waiting for the consumer. Much of it says that the trainer, not the data, is the bottleneck.
    pub wait_consumer: Duration,
    /// Blocks that were read.
    pub blocks: u64,
    /// Bytes that were read, as stored.
    pub bytes: u64,
}
