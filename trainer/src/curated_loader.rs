//! The loader of a curated stream: what every handle to a run holds, and what one virtual epoch hands over.
//!
//! burn calls `to_device` on the loader it is given and iterates what comes back, so everything that moves sits in the
//! [`Run`], which all loaders made from one another share. How burn's traits are met stands in `data_loader`.

use std::{fmt, sync::Arc};

use arable_loader::{Batch, Stream};
use burn::{
    tensor::Device,
    train::{LearnerModel, SupervisedTraining},
};

use crate::{
    ArrowBatcher, ColumnsBatcher, Curated, Error, FromColumns, Pace, StreamMetric,
    curated::Origin,
    misfit,
    run::{Dealt, Lease, Run},
};

/// A curated stream as burn's data loader of [`Curated<O>`].
///
/// One `iter()` is one virtual epoch: exactly `epoch_batches` batches, counted in slots, so that `num_items` is
/// `epoch_batches · batch_size` and the last batch completes the progress. An iterator that is dropped early keeps the
/// run's cursor, and the rest of that virtual epoch comes first at the next `iter()`; progress goes on from there.
///
/// A batch may have fewer rows than `batch_size`, as the last of a data epoch has; it counts in full.
///
/// Each `iter()` seeds its device from the recipe's seed and the virtual epoch, so that dropout and the like are the
/// same again in a run that is resumed where a virtual epoch begins. One that goes on within a virtual epoch seeds it
/// from how many of its batches are done as well, since a device cannot say where its randomness stands: that is
/// repeatable, but not what an uninterrupted run would have drawn. Most backends keep one generator for all devices of
/// the process, and anything else that draws from it (augmentation in a thread of its own) moves it along.
///
/// With several devices, `slice(start, end)` is read as the device's share: batch b goes to device b mod R, and each gets
/// equally many in a virtual epoch, the last filled up with batches of weight 0 that are never reported. All devices
/// together see the batches of one, in the same order by number, and what any of them reports reaches the draws of all.
///
/// Clones, and what `to_device` gives, are handles to the same run. When the last of them is dropped, what was settled
/// is waited for and reported, and the stream ends; what is settled later is reported to nobody.
///
/// # Errors
///
/// An iterator yields its error once and then ends, which ends a burn training with that error; see [`Error`]. In
/// particular one `iter()` more than the run has virtual epochs yields [`Error::Exhausted`], and so does each after it;
/// an `iter()` while another iterator of the run, or of the device's share of it, is alive yields [`Error::Busy`]; and an
/// iterator of a `slice` that is no device's share yields [`Error::Slice`].
pub struct CuratedDataLoader<O> {
    run: Arc<Run>,
    batcher: Arc<dyn ArrowBatcher<O>>,
    device: Device,
    part: Part,
}

impl<O: 'static> CuratedDataLoader<O> {
    /// The stream's columns in batches made by `batcher`, without a detour over rows: the fast path.
    pub fn from_arrow(stream: Stream, batcher: impl ArrowBatcher<O> + 'static) -> Self {
        let run = Arc::new(Run::new(stream));
        Self { run, batcher: Arc::new(batcher), device: Device::default(), part: Part::WHOLE }
    }

    /// The stream's columns in batches that know how they are made of them: the fast path, and no batcher.
    pub fn of_columns(stream: Stream) -> Self
    where
        O: FromColumns,
    {
        Self::from_arrow(stream, ColumnsBatcher::new())
    }

    /// The virtual epochs that the whole run has: what to give to `SupervisedTraining::num_epochs`.
    #[must_use]
    pub fn num_epochs(&self) -> usize {
        usize::try_from(self.run.epochs()).unwrap_or(usize::MAX)
    }

    pub(crate) const fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Whether data or compute holds the training up so far, and what to change.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.run.pace()
    }

    /// Registers what the stream has to say as metrics of `training`, each step's beside the loss: the share of rows
    /// kept, the batch's effective sample size, the share of rows drawn whose label is flagged, and the wait for data.
    ///
    /// A label is flagged if, on the mean over all presentations that were reported before the row's window was drawn, the
    /// model gave another class more than the label. It needs [`Signals::classification`](crate::Signals::classification).
    #[must_use]
    pub fn watch<M: LearnerModel>(&self, training: SupervisedTraining<M>) -> SupervisedTraining<M> {
        StreamMetric::all(&self.run).fold(training, SupervisedTraining::metric_train_numeric)
    }

    /// Waits until every batch that was settled so far is reported to the loader.
    pub fn drain(&self) {
        self.run.feedback.drain();
    }

    /// Looks at the stream behind the loader, with everything that was settled so far reported to it: its accounting,
    /// values, timings, where its ledger is. Waits while a batch is being taken.
    pub fn with_stream<T>(&self, look: impl FnOnce(&Stream) -> T) -> T {
        self.drain();
        self.run.with_stream(|stream| look(stream))
    }

    /// What is left of the virtual epoch at the cursor, as far as it is this loader's; its device is seeded for it.
    pub(crate) fn epoch(&self) -> Epoch<'_, O> {
        let start = match self.part {
            Part::Rank { rank, ranks } => self.run.lease(rank, ranks),
            Part::Other { start, end } => Err(Error::Slice { start, end, slots: self.run.slots() }),
        };
        let (done, state) = match start {
            Ok(lease) => {
                self.device.seed(lease.seed());
                (lease.done(), State::Open(lease))
            }
            Err(error) => (0, State::Refused(error)),
        };
        Epoch { loader: self, state, done }
    }

    /// This loader's slots of a virtual epoch.
    pub(crate) fn slots(&self) -> usize {
        match self.part {
            Part::Rank { ranks, .. } => self.run.slots_of_rank(ranks),
            Part::Other { start, end } => end.saturating_sub(start),
        }
    }

    /// Another handle, for `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    /// Another handle, for the share that burn means by the slots `start..end` of this one's.
    pub(crate) fn share(&self, start: usize, end: usize) -> Self {
        let part = match self.part {
            Part::WHOLE => Part::of(start, end, self.run.slots()),
            _ => Part::Other { start, end },
        };
        Self { part, ..self.clone() }
    }
}

impl<O> Clone for CuratedDataLoader<O> {
    fn clone(&self) -> Self {
        Self {
            run: Arc::clone(&self.run),
            batcher: Arc::clone(&self.batcher),
            device: self.device.clone(),
            part: self.part,
        }
    }
}

impl<O> fmt::Debug for CuratedDataLoader<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CuratedDataLoader")
            .field("slots", &self.run.slots())
            .field("epochs", &self.run.epochs())
            .field("device", &self.device)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// Which of a run's batches a loader has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Rank {
        rank: u64,
        ranks: u64,
    },
    /// None that a run can give.
    Other {
        start: usize,
        end: usize,
    },
}

impl Part {
    const WHOLE: Self = Self::Rank { rank: 0, ranks: 1 };

    /// The share that burn's `split_dataloader` means by `start..end` of `slots`: one of as many equal parts as there are
    /// devices, of which the last has what is left over.
    fn of(start: usize, end: usize, slots: usize) -> Self {
        /// More devices than a process has.
        const MOST: usize = 1024;
        let found = (1..=MOST.min(slots)).find_map(|ranks| {
            let step = slots / ranks;
            let rank = start / step;
            let ends = if rank + 1 == ranks { slots } else { (rank + 1) * step };
            (rank < ranks && rank * step == start && end == ends)
                .then_some(Self::Rank { rank: rank as u64, ranks: ranks as u64 })
        });
        found.unwrap_or(Self::Other { start, end })
    }
}

/// What is left of one virtual epoch.
pub(crate) struct Epoch<'a, O> {
    loader: &'a CuratedDataLoader<O>,
    state: State,
    /// Slots that were handed over.
    pub(crate) done: usize,
}

enum State {
    Open(Lease),
    Refused(Error),
    Ended,
}

impl<O: 'static> Epoch<'_, O> {
    /// Slots of the whole epoch.
    pub(crate) fn slots(&self) -> usize {
        self.loader.slots()
    }

    /// The next batch; after an error there is none.
    pub(crate) fn try_next(&mut self) -> Result<Option<Curated<O>>, Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open(mut lease) => {
                let Some(dealt) = lease.next_batch()? else {
                    return Ok(None);
                };
                let curated = self.make(dealt)?;
                lease.hand_over();
                self.done = lease.done();
                self.state = State::Open(lease);
                Ok(Some(curated))
            }
            State::Refused(error) => Err(error),
            State::Ended => Ok(None),
        }
    }

    fn make(&self, dealt: Dealt) -> Result<Curated<O>, Error> {
        let (data, origin) = match dealt {
            Dealt::Batch(Batch { number, epoch, data, positions, weights, spans, receipt, .. }) => {
                let slots = data.num_rows();
                (data, Origin { number, epoch, slots, positions, weights, spans, receipt: Some(receipt) })
            }
            Dealt::Padding { number, epoch, data, positions, spans } => {
                let (slots, weights) = (data.num_rows(), vec![0.0; positions.len()]);
                (data, Origin { number, epoch, slots, positions, weights, spans, receipt: None })
            }
        };
        let CuratedDataLoader { run, batcher, device, .. } = self.loader;
        let inner = batcher.batch(&data, device).map_err(|source| {
            // In a packed slot there are several rows.
            let row = misfit::row(&source).filter(|_| origin.spans.is_none());
            let position = row.and_then(|row| origin.positions.get(row).copied());
            let place = position.map(|position| run.with_stream(|stream| misfit::place(stream.plan(), position)));
            Error::Batcher { batch: origin.number, place: place.map(Box::new), source }
        })?;
        Ok(Curated::new(inner, origin, device.clone(), Arc::clone(&run.feedback)))
    }
}
