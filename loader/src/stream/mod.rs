//! How samples flow: the room that composes the others.
//!
//! Tickets go to workers, which read, verify, decode and judge blocks in any order; one sequencer takes the blocks in
//! order, opens windows, lets the feedback in, draws and fills batches; a bounded queue hands them over. What is
//! emitted is a pure function of data, recipe, seed and feedback, whatever the threads do.

mod assemble;
mod batch;
mod classes;
mod meters;
mod open;
mod record;
mod schedule;
mod state;
mod visits;
mod window;
mod workers;

pub use batch::{Batch, Receipt};
pub use meters::Timings;
pub use open::StreamBuilder;
pub use state::State;

use crate::{
    Error, Hash, Plan, Recipe, Report, Result,
    ledger::{Account, Record},
    value::Table,
};
use arrow::datatypes::SchemaRef;
use assemble::{Assembler, Item, Mark, Shared, lock};
use crossbeam::channel::{Receiver, bounded};
use meters::Meters;
use record::{Entry, Recorder};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};
use visits::Visits;

/// A stream of weighted batches.
///
/// An iterator over [`Batch`]es, in order; after an error it ends. Nothing is read before the first batch is asked
/// for. Dropping the stream ends its threads.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    recipe: Recipe,
    folder: Option<PathBuf>,
    /// The sequencer, until the first batch is asked for; then it has a thread of its own.
    idle: Option<Box<Assembler>>,
    queue: Option<Receiver<Result<Item>>>,
    recorder: Option<Recorder>,
    /// The ledger's head when the window that the stream stands in had been written down.
    head: Option<Hash>,
    /// Gives the sequencer back, and whether it failed.
    thread: Option<JoinHandle<(Box<Assembler>, bool)>>,
    /// The state that this stream began with.
    begun: State,
    mark: Option<Mark>,
    /// Whether the run came to its end.
    ended: bool,
    /// Batches below this one are known to the inbox.
    registered: u64,
}

impl Stream {
    /// A stream of `recipe`, with what is a matter of the run to be set: rank, state to go on from, where to record.
    pub const fn builder(recipe: Recipe) -> StreamBuilder {
        StreamBuilder::new(recipe)
    }

    /// The columns of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan().schema)
    }

    /// The blocks that the stream walks.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.shared.work.source.plan()
    }

    /// The recipe that the stream follows.
    #[must_use]
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// How many blocks a window opens: the recipe's, or derived from the memory budget.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.shared.settings.window
    }

    /// Rows of a full batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.shared.settings.batch_size
    }

    /// The length of a virtual epoch, in batches of this rank: the recipe's `epoch_batches`, or the rows of the plan in
    /// batches. At least 1.
    #[must_use]
    pub fn epoch_batches(&self) -> u64 {
        let planned = || self.plan().rows().div_ceil(self.batch_size() as u64).div_ceil(self.shared.settings.world);
        self.recipe.batch.epoch_batches.unwrap_or_else(planned).max(1)
    }

    /// How many virtual epochs a training has: as many batches as `epochs` passes over all rows of the plan make, in
    /// whole virtual epochs. Where rows are dropped, these are more passes over those that are kept.
    #[must_use]
    pub fn num_epochs(&self) -> u64 {
        let planned = self.plan().rows().div_ceil(self.batch_size() as u64).div_ceil(self.shared.settings.world);
        (planned * u64::from(self.recipe.epochs)).div_ceil(self.epoch_batches()).max(1)
    }

    /// Lets the stream go on over data epochs without end: a trainer takes as many batches as it has steps.
    ///
    /// An epoch that emits no row at all is then an error, since nothing would ever come.
    pub fn endless(&mut self) {
        self.shared.epochs.store(u32::MAX, Ordering::Relaxed);
    }

    /// The number of the next batch: how many all ranks have been handed so far.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.shared.handed_batches.load(Ordering::Acquire)
    }

    /// Rows that this rank was handed so far, presentations counted.
    #[must_use]
    pub fn trained(&self) -> u64 {
        self.shared.handed_rows.load(Ordering::Acquire)
    }

    /// The counts over all blocks of which this stream has handed over rows, or passed in search of some.
    #[must_use]
    pub fn account(&self) -> Account {
        let visits = lock(&self.shared.visits);
        let mut sum = Account::default();
        visits.prefix(self.visited(&visits)).iter().for_each(|visit| sum += &visit.account);
        sum
    }

    /// Why blocks were set aside as a whole, in the order in which the stream came upon them, each with its place.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let visits = lock(&self.shared.visits);
        visits.prefix(self.visited(&visits)).iter().filter_map(|visit| visit.fault.clone()).collect()
    }

    /// How many first passes the batches handed over have needed.
    fn visited(&self, visits: &Visits) -> usize {
        match &self.mark {
            Some(mark) if !self.ended => mark.opening.visits,
            _ => visits.len(),
        }
    }

    /// The trajectories, with every report that has come in so far for batches up to the first that is missing.
    ///
    /// What is seen here is newer than what the stream's own draws see; it changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] if a report named rows that the plan does not have.
    pub fn values(&self) -> Result<Table> {
        let Some(mark) = &self.mark else { return Ok(Table::new(&block_rows(self.plan()))) };
        let mut table = mark.opening.table.snapshot();
        for report in self.shared.reports(mark.opening.applied, u64::MAX) {
            table.apply(&report)?;
        }
        Ok(table)
    }

    /// Where the time went so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.shared.meters.snapshot()
    }

    /// The folder that the run is recorded in, where it is.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The run's ledger, where it is recorded.
    #[must_use]
    pub fn ledger(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(record::LEDGER))
    }

    /// The run's feedback log, where it is recorded.
    #[must_use]
    pub fn feedback_log(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(record::FEEDBACK))
    }

    /// Where the stream stands after the last batch that it handed over; batches that wait in its queue do not count.
    ///
    /// A batch that was handed over and not reported yet counts as "no signal" for a run that goes on from here, so
    /// settle every batch before.
    ///
    /// # Errors
    ///
    /// None at present; a state that is written elsewhere may fail.
    pub fn state(&self) -> Result<State> {
        match &self.mark {
            Some(mark) => State::at(mark, &self.begun, &self.shared, self.trained(), self.head),
            None => Ok(self.begun.clone()),
        }
    }

    fn start(&mut self) -> Result<()> {
        let Some(mut assembler) = self.idle.take() else { return Ok(()) };
        let (sender, receiver) = bounded(self.recipe.stream.prefetch as usize);
        let meters = Arc::clone(&self.shared.meters);
        let run = move || {
            while let Some(item) = assembler.next().transpose() {
                let failed = item.is_err();
                let sent = Meters::time(&meters.wait_consumer, || sender.send(item).is_ok());
                if failed || !sent {
                    return (assembler, failed);
                }
            }
            (assembler, false)
        };
        let thread = std::thread::Builder::new().name("arable-sequencer".into()).spawn(run);
        self.thread = Some(thread.map_err(Error::io("start", "the sequencer's thread"))?);
        self.queue = Some(receiver);
        Ok(())
    }

    /// Waits for the sequencer to end and writes down how the run ended.
    fn close(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let (mut assembler, failed) =
            thread.join().map_err(|_| Error::State("the sequencer panicked; this is a fault of Arable's".into()))?;
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        if self.ended {
            recorder.write(assembler.take_entries())?;
        }
        // What the sequencer decided for batches that nobody took did not happen.
        let batches = self.shared.handed_batches.load(Ordering::Acquire);
        let mut last = vec![Entry::Feedback(self.shared.reports(recorder.reported(), batches))];
        if !failed {
            let trained = self.shared.handed_rows.load(Ordering::Acquire);
            last.push(Entry::Decision(Record::Closed { batches, trained }));
        }
        recorder.write(last)
    }

    fn hand_over(&mut self, Item { batch, mark, entries }: Item) -> Result<Batch> {
        while self.registered <= batch.number {
            self.shared.inbox.register(self.registered)?;
            if self.registered < batch.number {
                // Another rank's batch: what is reported there is not known here.
                self.shared.inbox.submit(Report::none(self.registered))?;
            }
            self.registered += 1;
        }
        if self.mark.as_ref().is_none_or(|last| !Arc::ptr_eq(&last.opening, &mark.opening)) {
            // No later state can ask for what entered the values before this window was opened.
            lock(&self.shared.recent).retain(|report| report.batch >= mark.opening.applied);
        }
        self.shared.handed_batches.store(mark.next_batch, Ordering::Release);
        self.shared.handed_rows.fetch_add(batch.len() as u64, Ordering::AcqRel);
        self.mark = Some(mark);
        if let (Some(recorder), false) = (&mut self.recorder, entries.is_empty()) {
            recorder.write(entries)?;
            self.head = Some(recorder.head());
        }
        Ok(batch)
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(fault) = self.start() {
            return Some(Err(fault));
        }
        match self.queue.as_ref()?.recv() {
            Ok(Ok(item)) => Some(self.hand_over(item)),
            Ok(Err(fault)) => {
                self.queue = None;
                Some(Err(fault))
            }
            Err(_) => {
                self.queue = None;
                self.ended = true;
                self.close().err().map(Err)
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.inbox.close();
        self.queue = None;
        if let Err(fault) = self.close() {
            tracing::warn!("the run's end could not be written down: {fault}");
        }
    }
}

/// The rows of each block of `plan`.
fn block_rows(plan: &Plan) -> Vec<u32> {
    plan.blocks.iter().map(|block| block.rows).collect()
}
