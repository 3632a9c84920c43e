//! The stream as burn's `DataLoader`. Beside `dataset_source` the only file that implements or calls burn's data traits.
//!
//! burn calls `to_device` on the loader it is given and iterates what comes back, so everything that moves sits in the
//! [`Run`], which all loaders made from one another share. One `iter()` is one virtual epoch.

use std::{
    any::type_name,
    fmt,
    marker::PhantomData,
    ops::Range,
    sync::{Arc, OnceLock},
};

use arable_loader::{Batch, Stream, stream::Evaluation};
use arrow::array::RecordBatch;
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress, batcher::Batcher},
        dataset::DatasetError,
    },
    tensor::Device,
    train::{LearnerModel, SupervisedTraining},
};
use serde::de::DeserializeOwned;

use crate::{
    ArrowBatcher, ColumnsBatcher, Curated, Error, FromColumns, Pace, StreamMetric,
    curated::Origin,
    error::BoxError,
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
    /// The stream's rows as items `I`, read by field name through serde, in batches made by burn's `batcher` on the
    /// thread that iterates.
    pub fn new<I, B>(stream: Stream, batcher: B) -> Self
    where
        I: DeserializeOwned + 'static,
        B: Batcher<I, O> + 'static,
    {
        Self::from_arrow(stream, Rows { batcher, item: PhantomData })
    }

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

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<Curated<O>>> {
        Arc::new(self)
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

impl<O: 'static> DataLoader<Curated<O>> for CuratedDataLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<O>> + 'a> {
        let slots = self.run.slots();
        let start = match self.part {
            Part::Rank { rank, ranks } => self.run.lease(rank, ranks),
            Part::Other { start, end } => Err(Error::Slice { start, end, slots }),
        };
        let (done, state) = match start {
            Ok(lease) => {
                self.device.seed(lease.seed());
                (lease.done(), State::Open(lease))
            }
            Err(error) => (0, State::Refused(error)),
        };
        Box::new(Iter { batcher: &*self.batcher, device: &self.device, state, done, total: self.num_items() })
    }

    fn num_items(&self) -> usize {
        match self.part {
            Part::Rank { ranks, .. } => self.run.slots_of_rank(ranks),
            Part::Other { start, end } => end.saturating_sub(start),
        }
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Curated<O>>> {
        Arc::new(Self { device: device.clone(), ..self.clone() })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Curated<O>>> {
        let part = match self.part {
            Part::WHOLE => Part::of(start, end, self.run.slots()),
            _ => Part::Other { start, end },
        };
        Arc::new(Self { part, ..self.clone() })
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
struct Iter<'a, O> {
    batcher: &'a dyn ArrowBatcher<O>,
    device: &'a Device,
    state: State,
    /// Slots, of `total`.
    done: usize,
    total: usize,
}

enum State {
    Open(Lease),
    Refused(Error),
    Ended,
}

impl<O> Iter<'_, O> {
    fn try_next(&mut self) -> Result<Option<Curated<O>>, Error> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Open(mut lease) => {
                let Some(dealt) = lease.next_batch()? else {
                    return Ok(None);
                };
                let curated = self.make(dealt, lease.run())?;
                lease.hand_over();
                self.done = lease.done();
                self.state = State::Open(lease);
                Ok(Some(curated))
            }
            State::Refused(error) => Err(error),
            State::Ended => Ok(None),
        }
    }

    fn make(&self, dealt: Dealt, run: &Run) -> Result<Curated<O>, Error> {
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
        let batch = origin.number;
        let inner = self.batcher.batch(&data, self.device).map_err(|source| Error::Batcher { batch, source })?;
        Ok(Curated::new(inner, origin, self.device.clone(), Arc::clone(&run.feedback)))
    }
}

impl<O> Iterator for Iter<'_, O> {
    type Item = Result<Curated<O>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().map_err(DatasetError::new).transpose()
    }
}

impl<O> DataLoaderIterator<Curated<O>> for Iter<'_, O> {
    fn progress(&self) -> Progress {
        // `new` rather than a literal: it is what newer versions of burn keep.
        Progress::new(self.done, self.total, Some("items".to_owned()))
    }
}

/// A burn batcher of rows, as a batcher of columns.
struct Rows<I, B> {
    batcher: B,
    item: PhantomData<fn() -> I>,
}

impl<I, O, B> ArrowBatcher<O> for Rows<I, B>
where
    I: DeserializeOwned,
    B: Batcher<I, O>,
{
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<O, BoxError> {
        let items: Vec<I> =
            serde_arrow::from_record_batch(data).map_err(|source| Error::Rows { item: type_name::<I>(), source })?;
        Ok(self.batcher.batch(items, device))
    }
}

/// Any burn data loader of `B` as one of plain [`Curated<B>`], so that validation may share the model's input type.
pub struct PlainDataLoader<B>(Arc<dyn DataLoader<B>>);

impl<B: 'static> PlainDataLoader<B> {
    /// Wraps what burn's own builder gives.
    #[must_use]
    pub fn new(loader: Arc<dyn DataLoader<B>>) -> Self {
        Self(loader)
    }

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(self)
    }
}

impl<B> fmt::Debug for PlainDataLoader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainDataLoader").field("items", &self.0.num_items()).finish_non_exhaustive()
    }
}

impl<B: 'static> DataLoader<Curated<B>> for PlainDataLoader<B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<B>> + 'a> {
        Box::new(PlainIter(self.0.iter()))
    }

    fn num_items(&self) -> usize {
        self.0.num_items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(Self(self.0.to_device(device)))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Curated<B>>> {
        Arc::new(Self(self.0.slice(start, end)))
    }
}

struct PlainIter<'a, B>(Box<dyn DataLoaderIterator<B> + 'a>);

impl<B> Iterator for PlainIter<'_, B> {
    type Item = Result<Curated<B>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(Curated::plain))
    }
}

impl<B> DataLoaderIterator<Curated<B>> for PlainIter<'_, B> {
    fn progress(&self) -> Progress {
        self.0.progress()
    }
}

/// One part of a recipe's data as burn's loader of plain batches, for validation.
///
/// Each `iter()` is one pass: the rows of the part in plan order, once each, with the recipe's batch size, read from where
/// they lie and never all in memory. Weights, shares and the policy are the training's affair. Rows are checked against the
/// schema only, unless the recipe says `clean = true` under `[split]`. Where the model's validation takes [`Curated`]
/// batches too, [`PlainDataLoader`] makes it a loader of those.
///
/// How many rows a pass has is an estimate (that of [`Stream::length`]) until one has come to its end.
///
/// # Errors
///
/// An iterator yields its error once and then ends, which ends a burn training with that error.
pub struct EvaluationDataLoader<O> {
    evaluation: Evaluation,
    batcher: Arc<dyn ArrowBatcher<O>>,
    device: Device,
    /// Which rows of a pass are given.
    rows: Range<usize>,
    expected: usize,
    counted: Arc<OnceLock<usize>>,
}

impl<O: 'static> EvaluationDataLoader<O> {
    /// The part's rows as items `I`, read by field name through serde, in batches made by burn's `batcher`.
    pub fn new<I, B>(evaluation: Evaluation, batcher: B) -> Self
    where
        I: DeserializeOwned + 'static,
        B: Batcher<I, O> + 'static,
    {
        Self::from_arrow(evaluation, Rows { batcher, item: PhantomData })
    }

    /// The part's columns in batches made by `batcher`, without a detour over rows.
    pub fn from_arrow(evaluation: Evaluation, batcher: impl ArrowBatcher<O> + 'static) -> Self {
        // What keeps a pass from being opened is said by the first one.
        let expected = evaluation.pass().map_or(0, |pass| pass.length().rows);
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let (batcher, counted) = (Arc::new(batcher), Arc::default());
        Self { evaluation, batcher, device: Device::default(), rows: 0..usize::MAX, expected, counted }
    }

    /// The part's columns in batches that know how they are made of them.
    pub fn of_columns(evaluation: Evaluation) -> Self
    where
        O: FromColumns,
    {
        Self::from_arrow(evaluation, ColumnsBatcher::new())
    }

    /// The loader as burn's trainings take it.
    #[must_use]
    pub fn into_arc(self) -> Arc<dyn DataLoader<O>> {
        Arc::new(self)
    }
}

impl<O> Clone for EvaluationDataLoader<O> {
    fn clone(&self) -> Self {
        Self {
            evaluation: self.evaluation.clone(),
            batcher: Arc::clone(&self.batcher),
            device: self.device.clone(),
            rows: self.rows.clone(),
            expected: self.expected,
            counted: Arc::clone(&self.counted),
        }
    }
}

impl<O> fmt::Debug for EvaluationDataLoader<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvaluationDataLoader")
            .field("evaluation", &self.evaluation)
            .field("device", &self.device)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<O: 'static> DataLoader<O> for EvaluationDataLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        let pass = self.evaluation.pass().map(Some).map_err(Error::Stream);
        Box::new(Pass { loader: self, pass, at: 0, done: 0 })
    }

    fn num_items(&self) -> usize {
        let all = self.counted.get().copied().unwrap_or(self.expected);
        self.rows.end.min(all).saturating_sub(self.rows.start)
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(Self { device: device.clone(), ..self.clone() })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        let Range { start: from, end: to } = self.rows;
        // The last part has the rows beyond an estimate too.
        let end = if end >= self.num_items() { to } else { from.saturating_add(end).min(to) };
        Arc::new(Self { rows: from.saturating_add(start).min(end)..end, ..self.clone() })
    }
}

/// What is left of one pass.
struct Pass<'a, O> {
    loader: &'a EvaluationDataLoader<O>,
    /// `None` once it is over.
    pass: Result<Option<Stream>, Error>,
    /// Rows that the stream has given, and those of them that were asked for.
    at: usize,
    done: usize,
}

impl<O> Pass<'_, O> {
    fn try_next(&mut self) -> Result<Option<O>, Error> {
        let mut pass = std::mem::replace(&mut self.pass, Ok(None))?;
        while let Some(stream) = &mut pass {
            let Some(batch) = stream.next().transpose().map_err(Error::Stream)? else {
                // Another pass counted the same.
                self.loader.counted.get_or_init(|| self.at);
                return Ok(None);
            };
            let from = self.at;
            self.at += batch.data.num_rows();
            let within = |row: usize| row.clamp(from, self.at) - from;
            let (start, end) = (within(self.loader.rows.start), within(self.loader.rows.end));
            if start < end {
                self.done += end - start;
                let data = batch.data.slice(start, end - start);
                let fault = |source| Error::Batcher { batch: batch.number, source };
                let made = self.loader.batcher.batch(&data, &self.loader.device).map_err(fault)?;
                self.pass = Ok(pass);
                return Ok(Some(made));
            }
            if from >= self.loader.rows.end {
                break;
            }
        }
        Ok(None)
    }
}

impl<O> Iterator for Pass<'_, O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().map_err(DatasetError::new).transpose()
    }
}

impl<O: 'static> DataLoaderIterator<O> for Pass<'_, O> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.loader.num_items().max(self.done), Some("items".to_owned()))
    }
}
