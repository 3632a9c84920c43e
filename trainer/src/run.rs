//! One run over a stream, shared by all loaders that were made from one another: its cursor, its way back, and the rule
//! that one iterator at a time may move it. Knows nothing of burn.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arable_loader::{Batch, Hash, Stream};

use crate::{Error, Result, feedback::Feedback};

pub(crate) struct Run {
    pub(crate) feedback: Arc<Feedback>,
    stream: Mutex<Stream>,
    taken: AtomicBool,
    seed: u64,
    rank: u64,
    world: u64,
    batch_size: usize,
    epoch_batches: u64,
    epochs: u64,
}

impl Run {
    pub(crate) fn new(mut stream: Stream) -> Self {
        // Where rows are dropped, the run's virtual epochs are more than the recipe's passes over what is kept.
        stream.endless();
        Self {
            feedback: Arc::new(Feedback::start()),
            taken: AtomicBool::new(false),
            seed: stream.recipe().seed,
            rank: u64::from(stream.recipe().rank),
            world: u64::from(stream.recipe().world),
            batch_size: stream.batch_size(),
            epoch_batches: stream.epoch_batches(),
            epochs: stream.num_epochs(),
            stream: Mutex::new(stream),
        }
    }

    /// Slots of a virtual epoch.
    pub(crate) fn slots(&self) -> usize {
        self.in_slots(self.epoch_batches)
    }

    pub(crate) fn epochs(&self) -> u64 {
        self.epochs
    }

    fn in_slots(&self, batches: u64) -> usize {
        usize::try_from(batches).unwrap_or(usize::MAX).saturating_mul(self.batch_size)
    }

    fn batches(&self) -> u64 {
        self.epochs.saturating_mul(self.epoch_batches)
    }

    /// How many batches this rank was handed. The stream counts those of all ranks.
    fn handed(&self, stream: &Stream) -> u64 {
        stream.batches().saturating_sub(self.rank).div_ceil(self.world)
    }

    pub(crate) fn with_stream<T>(&self, use_it: impl FnOnce(&mut Stream) -> T) -> T {
        use_it(&mut self.stream.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is left of the virtual epoch at the cursor; all of the next one where none has begun.
    pub(crate) fn lease(self: &Arc<Self>) -> Result<Lease> {
        if self.taken.swap(true, Ordering::Acquire) {
            return Err(Error::Busy);
        }
        // From here on the drop of the lease gives the run back.
        let mut lease = Lease { run: Arc::clone(self), end: 0, next: 0 };
        lease.next = self.with_stream(|stream| self.handed(stream));
        if lease.next >= self.batches() {
            return Err(Error::Exhausted { epochs: self.epochs, epoch_batches: self.epoch_batches });
        }
        lease.end = (lease.next / self.epoch_batches + 1) * self.epoch_batches;
        Ok(lease)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A batch may outlive the run; what was settled before must still find the stream open.
        self.feedback.drain();
    }
}

/// The right to take what is left of one virtual epoch from a run.
pub(crate) struct Lease {
    run: Arc<Run>,
    /// The next batch, counted over the run's own.
    next: u64,
    /// The first batch of the next virtual epoch, counted likewise.
    end: u64,
}

impl Lease {
    /// The next batch; none at the end of the virtual epoch. Waits while the stream has none ready.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>> {
        if let Some(fault) = self.run.feedback.take_fault() {
            return Err(fault);
        }
        if self.next >= self.end {
            return Ok(None);
        }
        let (batch, next) = self.run.with_stream(|stream| (stream.next(), self.run.handed(stream)));
        let Some(batch) = batch else {
            return Err(Error::Ended { batch: self.next, batches: self.run.batches() });
        };
        self.next = next;
        batch.map(Some).map_err(Error::Stream)
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Slots of this virtual epoch that were handed over, by this lease or by one before it.
    pub(crate) fn done(&self) -> usize {
        self.run.in_slots(self.batches_done())
    }

    fn batches_done(&self) -> u64 {
        self.run.epoch_batches - self.end.saturating_sub(self.next)
    }

    /// Where a device's randomness begins for what is left of this virtual epoch: a function of the recipe's seed, the
    /// virtual epoch, how much of it is done, and the rank.
    ///
    /// What is done counts so that an epoch which was left and is taken up again does not see its first batches'
    /// numbers once more.
    pub(crate) fn seed(&self) -> u64 {
        let epoch = self.end / self.run.epoch_batches - 1;
        let mut bytes = b"arable 2026 device seed of (seed, virtual epoch, batches done, rank)".to_vec();
        for number in [self.run.seed, epoch, self.batches_done(), self.run.rank] {
            bytes.extend(number.to_le_bytes());
        }
        let [a, b, c, d, e, f, g, h, ..] = Hash::of(&bytes).0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.run.taken.store(false, Ordering::Release);
    }
}
