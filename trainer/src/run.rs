//! One run over a stream, shared by all loaders that were made from one another: its cursors, its way back, and who gets
//! which batch. Knows nothing of burn.
//!
//! A run has one rank, or, where a training has several devices, as many as there are slices of the loader: then batch b
//! is rank b mod R's, and in each virtual epoch every rank gets equally many, the last of them filled up where they do not
//! go into R.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arable_loader::{Batch, Hash, Position, Stream, stream::SampleSpan, stream::State};
use arrow::array::RecordBatch;

use crate::{
    Error, Pace, Result,
    feedback::Feedback,
    pace::{self, Sums, Tally},
};

/// Settled batches that wait for others before they are sent back, at most.
const MOST_HELD: u64 = 8;

pub(crate) struct Run {
    pub(crate) feedback: Arc<Feedback>,
    pub(crate) tally: Tally,
    dealing: Mutex<Dealing>,
    seed: u64,
    /// Of the process, where the recipe has several.
    rank: u64,
    world: u64,
    batch_size: usize,
    epoch_batches: u64,
    epochs: u64,
    /// What a draw waits for at most: batches that may be under way.
    spare_lag: u64,
}

/// The stream, and what its batches' consumers have had.
struct Dealing {
    stream: Stream,
    ranks: Vec<Cursor>,
    /// What fills up the end of a virtual epoch.
    spare: Option<Spare>,
}

/// Where one rank of this process stands.
#[derive(Default)]
struct Cursor {
    /// The virtual epoch that its next batch belongs to.
    epoch: u64,
    /// Its batches of that epoch that were handed over, those that fill up included.
    taken: u64,
    /// Its batches that came while another rank asked for one.
    waiting: VecDeque<Batch>,
    leased: bool,
}

/// The rows of a batch that was handed over.
#[derive(Clone)]
struct Spare {
    epoch: u32,
    data: RecordBatch,
    positions: Arc<[Position]>,
    spans: Option<Arc<[SampleSpan]>>,
}

/// What a rank gets.
pub(crate) enum Dealt {
    /// A batch of the stream.
    Batch(Batch),
    /// Rows that another batch had, of no weight, so that every rank has equally many batches.
    Padding { number: u64, epoch: u32, data: RecordBatch, positions: Arc<[Position]>, spans: Option<Arc<[SampleSpan]>> },
}

impl Run {
    pub(crate) fn new(mut stream: Stream) -> Self {
        // Where rows are dropped, the run's virtual epochs are more than the recipe's passes over what is kept.
        stream.endless();
        let settings = &stream.recipe().stream;
        let spare_lag = u64::from(settings.feedback_lag).saturating_sub(u64::from(settings.prefetch));
        Self {
            // Where draws wait for reports, half of what may be late is left to the thread that reads them.
            feedback: Arc::new(Feedback::start((spare_lag / 2).clamp(1, MOST_HELD) as usize)),
            tally: Tally::default(),
            seed: stream.recipe().seed,
            rank: u64::from(stream.recipe().rank),
            world: u64::from(stream.recipe().world),
            batch_size: stream.batch_size(),
            epoch_batches: stream.epoch_batches(),
            epochs: stream.num_epochs(),
            spare_lag,
            dealing: Mutex::new(Dealing { stream, ranks: Vec::new(), spare: None }),
        }
    }

    /// Slots of a virtual epoch.
    pub(crate) fn slots(&self) -> usize {
        self.in_slots(self.epoch_batches)
    }

    /// Slots of a virtual epoch for each of `ranks`.
    pub(crate) fn slots_of_rank(&self, ranks: u64) -> usize {
        self.in_slots(self.epoch_batches.div_ceil(ranks))
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

    /// The batches that this process was handed so far, and those of a virtual epoch.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.handed(&self.dealing().stream), self.epoch_batches)
    }

    /// How many batches this process was handed. The stream counts those of all processes.
    fn handed(&self, stream: &Stream) -> u64 {
        stream.batches().saturating_sub(self.rank).div_ceil(self.world)
    }

    fn dealing(&self) -> MutexGuard<'_, Dealing> {
        self.dealing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_stream<T>(&self, use_it: impl FnOnce(&mut Stream) -> T) -> T {
        use_it(&mut self.dealing().stream)
    }

    /// Brings the share of kept rows up to date, now and then: it is a sum over all blocks that were read so far.
    fn count_kept(&self, is_first: bool, handed: u64, stream: &Stream) {
        const EVERY: u64 = 64;
        if is_first || handed % EVERY == 1 || handed.is_multiple_of(self.epoch_batches) {
            let account = stream.account();
            self.tally.change(|sums| (sums.kept, sums.read) = (account.kept, account.read));
        }
    }

    /// Where the training's time went so far.
    pub(crate) fn pace(&self) -> Pace {
        let Sums { batches, wait, batching, step, .. } = self.tally.sums();
        Pace { batches, wait, batching, step, stream: self.with_stream(|stream| stream.timings()) }
    }

    /// Where the stream stands after the last batch handed over, with everything that was settled so far reported.
    pub(crate) fn state(&self) -> arable_loader::Result<State> {
        self.feedback.drain();
        self.with_stream(|stream| stream.state())
    }

    /// What is left of the virtual epoch at the cursor of `rank` of `ranks`; all of the next one where none has begun.
    pub(crate) fn lease(self: &Arc<Self>, rank: u64, ranks: u64) -> Result<Lease> {
        let mut dealing = self.dealing();
        if dealing.ranks.len() as u64 != ranks {
            self.redeal(&mut dealing, ranks)?;
        }
        let cursor = &mut dealing.ranks[rank as usize];
        if cursor.leased {
            return Err(Error::Busy);
        }
        if cursor.epoch >= self.epochs {
            return Err(Error::Exhausted { epochs: self.epochs, epoch_batches: self.epoch_batches });
        }
        cursor.leased = true;
        let (epoch, done) = (cursor.epoch, cursor.taken);
        drop(dealing);
        Ok(Lease {
            run: Arc::clone(self),
            rank,
            ranks,
            epoch,
            done,
            given: None,
            handed_over: None,
            batching: Duration::ZERO,
        })
    }

    /// Deals to another number of ranks from here on.
    fn redeal(&self, dealing: &mut Dealing, ranks: u64) -> Result<()> {
        if dealing.ranks.iter().any(|cursor| cursor.leased || !cursor.waiting.is_empty()) {
            return Err(Error::Busy);
        }
        if ranks > 1 && self.world > 1 {
            return Err(Error::Ranks {
                ranks,
                what: format!("this process is itself rank {} of {}", self.rank, self.world),
            });
        }
        if ranks > self.spare_lag {
            let what = format!(
                "feedback_lag − prefetch is {}, and must be at least as many: raise [stream] feedback_lag",
                self.spare_lag
            );
            return Err(Error::Ranks { ranks, what });
        }
        let handed = self.handed(&dealing.stream);
        let (epoch, done) = (handed / self.epoch_batches, handed % self.epoch_batches);
        let first = epoch * self.epoch_batches;
        let cursor = |rank| Cursor { epoch, taken: of_rank(first..first + done, rank, ranks), ..Cursor::default() };
        dealing.ranks = (0..ranks).map(cursor).collect();
        Ok(())
    }
}

/// How many of the `batches` are rank `rank`'s of `ranks`.
fn of_rank(batches: std::ops::Range<u64>, rank: u64, ranks: u64) -> u64 {
    let below = |batch: u64| (batch + ranks - 1 - rank) / ranks;
    below(batches.end) - below(batches.start)
}

impl Drop for Run {
    fn drop(&mut self) {
        // A batch may outlive the run; what was settled before must still find the stream open.
        self.feedback.drain();
    }
}

/// The right to take what is left of one virtual epoch from a run, as one of its ranks.
pub(crate) struct Lease {
    run: Arc<Run>,
    rank: u64,
    ranks: u64,
    epoch: u64,
    /// Batches of this virtual epoch that the rank has had.
    done: u64,
    /// When the stream gave the last batch, and when it was handed over.
    given: Option<Instant>,
    handed_over: Option<Instant>,
    /// What passed between the two.
    batching: Duration,
}

impl Lease {
    /// The next batch; none at the end of the virtual epoch. Waits while the stream has none ready.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Dealt>> {
        let run = Arc::clone(&self.run);
        if let Some(fault) = run.feedback.take_fault() {
            return Err(fault);
        }
        let asked = Instant::now();
        let step = self.handed_over.take().map_or(Duration::ZERO, |handed_over| asked - handed_over);
        let batching = std::mem::take(&mut self.batching);
        if self.done >= run.epoch_batches.div_ceil(self.ranks) {
            run.tally.change(|sums| {
                sums.batching += batching;
                sums.step += step;
            });
            return Ok(None);
        }
        run.feedback.send_late(self.next_number() + self.ranks - 1);
        let mut dealing = run.dealing();
        let dealt = self.deal(&mut dealing)?;
        if let Dealt::Batch(batch) = &dealt {
            let flagged = if run.tally.is_watched() {
                pace::flagged(&batch.positions, dealing.stream.values_at_draw())
            } else {
                0
            };
            run.tally.change(|sums| {
                sums.count(&batch.weights);
                sums.flagged += flagged;
                sums.wait += asked.elapsed();
                sums.batching += batching;
                sums.step += step;
            });
            // At the first of a lease too: a run that goes on has kept and dropped rows before.
            run.count_kept(self.given.is_none(), run.handed(&dealing.stream), &dealing.stream);
        }
        self.done += 1;
        let cursor = &mut dealing.ranks[self.rank as usize];
        cursor.taken = self.done;
        if self.done == run.epoch_batches.div_ceil(self.ranks) {
            (cursor.epoch, cursor.taken) = (self.epoch + 1, 0);
        }
        drop(dealing);
        self.given = Some(Instant::now());
        Ok(Some(dealt))
    }

    /// Takes note that the batch is made, and goes to the training.
    pub(crate) fn hand_over(&mut self) {
        let now = Instant::now();
        self.batching = self.given.map_or(Duration::ZERO, |given| now - given);
        self.handed_over = Some(now);
    }

    /// The number of the rank's next batch of this virtual epoch, counted over this process's batches.
    fn next_number(&self) -> u64 {
        let first = self.epoch * self.run.epoch_batches;
        first + (self.rank + self.ranks - first % self.ranks) % self.ranks + self.done * self.ranks
    }

    /// The rank's next batch of this virtual epoch, or what stands in for it.
    fn deal(&self, dealing: &mut Dealing) -> Result<Dealt> {
        let run = &self.run;
        let first = self.epoch * run.epoch_batches;
        let end = first + run.epoch_batches;
        let whole = of_rank(first..end, self.rank, self.ranks);
        let wanted = self.next_number();
        if self.done < whole
            && let Some(batch) = self.next_of_rank(dealing, wanted)?
        {
            return Ok(Dealt::Batch(batch));
        }
        match dealing.spare.clone() {
            Some(Spare { epoch, data, positions, spans }) => {
                Ok(Dealt::Padding { number: wanted, epoch, data, positions, spans })
            }
            // Only where a run is resumed exactly before a batch that fills up.
            None => Err(Error::Ranks {
                ranks: self.ranks,
                what: "no batch was seen yet that could fill up the virtual epoch; resume from another checkpoint, or \
                       make [batch] epoch_batches a multiple of the ranks"
                    .to_owned(),
            }),
        }
    }

    /// The batch `wanted`, which is this rank's; none where no row of it was left after the transforms. Batches of other
    /// ranks that come before it are kept for them.
    fn next_of_rank(&self, dealing: &mut Dealing, wanted: u64) -> Result<Option<Batch>> {
        let run = &self.run;
        loop {
            if let Some(batch) = dealing.ranks[self.rank as usize].waiting.pop_front() {
                return Ok(Some(batch));
            }
            if run.handed(&dealing.stream) > wanted {
                return Ok(None);
            }
            let Some(batch) = dealing.stream.next() else {
                let plan = dealing.stream.plan();
                if plan.rows() == 0 {
                    return Err(Error::Empty { dataset: plan.url.clone() });
                }
                return Err(Error::Ended { batch: run.handed(&dealing.stream), batches: run.batches() });
            };
            let batch = batch.map_err(Error::Stream)?;
            dealing.spare = Some(Spare {
                epoch: batch.epoch,
                data: batch.data.clone(),
                positions: Arc::clone(&batch.positions),
                spans: batch.spans.clone(),
            });
            if self.ranks == 1 {
                return Ok(Some(batch));
            }
            let owner = batch.number % self.ranks;
            dealing.ranks[owner as usize].waiting.push_back(batch);
        }
    }

    /// Slots of this virtual epoch that were handed to this rank, by this lease or by one before it.
    pub(crate) fn done(&self) -> usize {
        self.run.in_slots(self.done)
    }

    /// Where a device's randomness begins for what is left of this virtual epoch: a function of the recipe's seed, the
    /// virtual epoch, how much of it is done, and the rank.
    ///
    /// What is done counts so that an epoch which was left and is taken up again does not see its first batches'
    /// numbers once more.
    pub(crate) fn seed(&self) -> u64 {
        let mut bytes = b"arable 2026 device seed of (seed, virtual epoch, batches done, rank)".to_vec();
        for number in [self.run.seed, self.epoch, self.done, self.run.rank + self.rank] {
            bytes.extend(number.to_le_bytes());
        }
        let [a, b, c, d, e, f, g, h, ..] = Hash::of(&bytes).0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.run.dealing().ranks[self.rank as usize].leased = false;
    }
}

#[cfg(test)]
mod tests {
    use super::of_rank;

    #[test]
    fn every_batch_is_of_one_rank() {
        for ranks in 1..5 {
            for start in 0..7 {
                for end in start..20 {
                    for rank in 0..ranks {
                        let counted = (start..end).filter(|batch| batch % ranks == rank).count() as u64;
                        assert_eq!(of_rank(start..end, rank, ranks), counted);
                    }
                }
            }
        }
    }
}
