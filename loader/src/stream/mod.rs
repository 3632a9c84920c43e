//! How samples flow: the room that composes the others.
//!
//! Tickets go to workers, which read, verify, decode and judge blocks in any order; one sequencer takes the blocks in
//! order, opens windows, lets the feedback in, draws and fills batches, whose rows the workers gather; a bounded queue hands
//! them over, and a user who finds it empty runs the sequencer himself. What is emitted is a pure function of data, recipe,
//! seed and feedback, whatever the threads do.

mod assemble;
mod batch;
mod buckets;
mod by_domain;
mod chosen;
mod classes;
pub mod conformance;
mod contents;
mod curate;
mod data;
mod domains;
mod evaluation;
mod fill;
mod fixed_width;
mod identity;
mod intake;
mod length;
mod memory;
mod meters;
mod named;
mod open;
mod packing;
mod picking;
mod pool;
mod quarantine;
mod ranks;
mod record;
mod remembered;
mod schedule;
mod sequencer;
mod shared;
mod split;
mod state;
mod survey;
mod suspicions;
mod sweep;
mod transform;
mod trusted;
mod values;
mod verdict_cache;
mod visits;
mod window;
mod windows;
mod workers;

pub use batch::{Batch, Receipt, Scores, Unscored};
pub use buckets::Buckets;
pub use by_domain::DomainAccount;
pub use curate::{BorderCase, Curated, Curation, RuleReport};
pub use evaluation::Evaluation;
pub use length::{Basis, Length};
pub use meters::Timings;
pub use open::StreamBuilder;
pub use packing::{Fit, Packing, SampleSpan};
pub use quarantine::QUARANTINE;
pub use ranks::RankStream;
pub use state::State;
pub use suspicions::{Suspicions, SuspiciousLabel};
pub use transform::{BadSample, Samples, Transform, Transformed};

use crate::{
    Error, Hash, Place, Plan, Position, Recipe, Report, Result,
    clean::FalsePositives,
    ledger::{Account, Record},
    recipe::OnBad,
    source::CacheCounts,
    value::Table,
};
use arrow::datatypes::SchemaRef;
use assemble::Assembler;
use contents::{Contents, Hole};
use quarantine::{Quarantine, SetAside};
use ranks::Spare;
use record::{Entry, Recorder};
use remembered::Remembered;
use sequencer::Sequencer;
use shared::{Item, Mark, Shared, lock};
use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
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
    /// What the sequencer is made of, until the first batch is asked for.
    idle: Option<Box<Assembler>>,
    sequencer: Option<Sequencer>,
    /// What the sequencer has given and is not handed over yet.
    arrived: VecDeque<Result<Item>>,
    /// Whether nothing more is handed over.
    over: bool,
    recorder: Option<Recorder>,
    quarantine: Option<Quarantine>,
    /// The ledger's head when the window that the stream stands in had been written down.
    head: Option<Hash>,
    /// The state that this stream began with.
    begun: State,
    /// The trajectories that it began with.
    known: Table,
    mark: Option<Mark>,
    /// Whether the run came to its end.
    ended: bool,
    /// Batches below this one are known to the inbox.
    registered: u64,
    /// Presentations that this handle was given, by domain.
    by_domain: Vec<u64>,
    /// Rows that transforms could not take, and how many presentations that cost since the stream began.
    spoilt: BTreeSet<Position>,
    lost: u64,
    /// The data epoch since which no batch had a row that could be transformed.
    barren_since: Option<u32>,
    /// What the policy's selector remembers, as the last batch handed over may see it.
    remembered: Remembered,
    /// What the last round is filled up with, where it is.
    pad_tail: bool,
    spare: Option<Spare>,
}

impl Stream {
    /// A stream of `recipe`, with what is a matter of the run to be set: rank, state to go on from, where to record.
    pub const fn builder(recipe: Recipe) -> StreamBuilder {
        StreamBuilder::new(recipe)
    }

    /// The columns of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.finish.schema)
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

    /// Rows of a full batch: those that are trained, or, where a policy picks inside the step, its candidates.
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
        sum.set_aside(self.spoilt.len() as u64);
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

    /// How often operators that remember in filters take something for seen that was not, as things stand; the filters are
    /// as far as the stream has read, which is ahead of the batches handed over.
    #[must_use]
    pub fn false_positives(&self) -> Vec<FalsePositives> {
        lock(&self.shared.visits).memory.false_positives()
    }

    /// The trajectories, with every report that has come in so far for batches up to the first that is missing.
    ///
    /// What is seen here is newer than what the stream's own draws see; it changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] if a report named rows that the plan does not have.
    pub fn values(&self) -> Result<Table> {
        let Some(mark) = &self.mark else { return Ok(self.known.snapshot()) };
        let mut table = mark.opening.table.snapshot();
        for report in self.shared.reports(mark.opening.applied, u64::MAX) {
            table.apply(&report)?;
        }
        Ok(table)
    }

    /// The trajectories as they were when the last batch handed over was drawn: at the opening of the window that its
    /// last row came from.
    #[must_use]
    pub fn values_at_draw(&self) -> &Table {
        self.mark.as_ref().map_or(&self.known, |mark| &mark.opening.table)
    }

    /// Where the time went so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.shared.meters.snapshot()
    }

    /// What the local cache had so far, where there is one.
    #[must_use]
    pub fn cache_counts(&self) -> Option<CacheCounts> {
        self.shared.work.source.cache_counts()
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
    /// With several ranks, the end of the round of one batch a rank that this batch belongs to: states that the ranks
    /// take after equally many batches are of one place, and any of them lets any number of ranks go on.
    ///
    /// A batch that was handed over and not reported yet counts as "no signal" for a run that goes on from here, so
    /// settle every batch before.
    ///
    /// # Errors
    ///
    /// None at present; a state that is written elsewhere may fail.
    pub fn state(&self) -> Result<State> {
        match &self.mark {
            Some(mark) => {
                State::at(mark, &self.begun, &self.shared, (&self.spoilt, self.lost), &self.remembered, self.head)
            }
            None => Ok(self.begun.clone()),
        }
    }

    fn start(&mut self) -> Result<()> {
        let Some(assembler) = self.idle.take() else { return Ok(()) };
        let together = self.shared.settings.stretch;
        let capacity = (self.recipe.stream.prefetch as usize).div_ceil(together);
        self.sequencer = Some(Sequencer::start(assembler, capacity, together, Arc::clone(&self.shared.meters))?);
        Ok(())
    }

    /// Waits for the sequencer to end and writes down how the run ended.
    fn close(&mut self) -> Result<()> {
        let Some(sequencer) = self.sequencer.take() else { return Ok(()) };
        let (entries, failed) = sequencer.close();
        if self.ended {
            let number = self.shared.handed_batches.load(Ordering::Acquire);
            self.write_down(number, entries)?;
        }
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        // What the sequencer decided for batches that nobody took did not happen.
        let batches = self.shared.handed_batches.load(Ordering::Acquire);
        let mut last = vec![Entry::Feedback(self.shared.reports(recorder.reported(), batches))];
        if !failed {
            let trained = self.shared.handed_rows.load(Ordering::Acquire);
            last.push(Entry::Decision(Record::Closed { batches, trained }));
        }
        recorder.write(last)
    }

    /// The batch of `item`; `None` where no row of it could be transformed.
    fn hand_over(&mut self, item: Item) -> Result<Option<Batch>> {
        let Item { number, epoch, contents, mark, mut entries } = item;
        let Contents { data, positions, weights, spans, holes } = contents.wait()?;
        if let (Some(hole), OnBad::Stop) = (holes.first(), self.shared.settings.on_bad_row) {
            return Err(self.unfit(hole));
        }
        while self.registered <= number {
            self.shared.inbox.register(self.registered)?;
            if self.registered < number || positions.is_empty() || self.shared.settings.plan_order {
                // Another rank's batch, one without a row, or an evaluation's: what is reported there is not known here.
                self.shared.inbox.submit(Report::none(self.registered))?;
            }
            self.registered += 1;
        }
        // Before what no later state can ask for is let go.
        let memory = self.remembered.at(number, &self.shared)?;
        if self.mark.as_ref().is_none_or(|last| !Arc::ptr_eq(&last.opening, &mark.opening)) {
            // No later state can ask for what entered the values before this window was opened, nor for what was
            // remembered before.
            lock(&self.shared.recent).retain(|report| report.batch >= mark.opening.applied);
            lock(&self.shared.visits).release(mark.opening.visits);
        }
        self.shared.handed_batches.store(mark.next_batch, Ordering::Release);
        self.mark = Some(mark);
        for hole in holes {
            let Position { block, row } = hole.position;
            let record = Record::Spoilt { batch: number, block, row, fault: hole.what.clone() };
            entries.push(Entry::Decision(record));
            self.lost += 1;
            if self.spoilt.insert(hole.position) {
                entries.push(Entry::SetAside(SetAside::row(block, row, hole.column, hole.what)));
            }
        }
        self.write_down(number, entries)?;
        if positions.is_empty() {
            let since = *self.barren_since.get_or_insert(epoch);
            if epoch > since + 1 && self.shared.epochs.load(Ordering::Relaxed) == u32::MAX {
                let place = Place { dataset: Some(self.plan().url.clone()), ..Place::default() };
                let what = format!("no row of data epoch {} could be transformed, and none ever would be", epoch - 1);
                return Err(Error::data(place, what));
            }
            return Ok(None);
        }
        self.barren_since = None;
        let receipt = if self.shared.settings.plan_order {
            Receipt::mute(number, Arc::clone(&positions))
        } else {
            Receipt::new(number, Arc::clone(&positions), Arc::clone(&self.shared.inbox))
        };
        let receipt = match &self.shared.picking {
            Some(picking) => {
                let references = picking.references(&data, &positions)?;
                receipt.with_picking(Arc::clone(picking), epoch, references, memory)
            }
            None => receipt,
        };
        let batch = Batch { number, epoch, data, positions, weights, spans, padding: false, receipt };
        self.shared.handed_rows.fetch_add(batch.presentations(), Ordering::AcqRel);
        self.count_domains(&batch);
        if self.pad_tail {
            self.spare = Some(Spare::of(&batch));
        }
        Ok(Some(batch))
    }

    fn unfit(&self, hole: &Hole) -> Error {
        let mut place = self.plan().place(hole.position.block).row(hole.position.row);
        place.column.clone_from(&hole.column);
        let what = format!(
            "a transform cannot take it: {}; mend the row or the transform, or set on_bad_row = \"quarantine\" under \
             [stream]",
            hole.what
        );
        Error::data(place, what)
    }

    /// Writes down what was decided up to batch `number`, in the run's folder and among what is set aside.
    fn write_down(&mut self, number: u64, mut entries: Vec<Entry>) -> Result<()> {
        let set_aside = entries.extract_if(.., |entry| matches!(entry, Entry::SetAside(_)));
        let set_aside: Vec<SetAside> = set_aside
            .filter_map(|entry| match entry {
                Entry::SetAside(what) => Some(what),
                _ => None,
            })
            .collect();
        if let Some(quarantine) = &mut self.quarantine {
            quarantine.write(number, self.shared.work.source.as_ref(), set_aside)?;
        }
        if let (Some(recorder), false) = (&mut self.recorder, entries.is_empty()) {
            recorder.write(entries)?;
            self.head = Some(recorder.head());
        }
        Ok(())
    }

    /// The batch that fills up the last round, where this rank has none in it and was asked to.
    fn padding(&mut self) -> Option<Result<Batch>> {
        let end = self.shared.end.get()?.next_batch;
        let settings = &self.shared.settings;
        let number = ranks::padding(self.begun.next_batch, end, settings.rank, settings.world)?;
        if !std::mem::take(&mut self.pad_tail) {
            return None;
        }
        Some(self.spare.take().map(|spare| spare.batch(number)).ok_or_else(|| {
            let batches = end - self.begun.next_batch;
            Error::recipe(format!(
                "rank {} of {} has no batch to fill its last round with: the run has {batches} batches from here on; take \
                 fewer ranks, or smaller batches",
                settings.rank, settings.world
            ))
        }))
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(fault) = self.start() {
            self.over = true;
            return Some(Err(fault));
        }
        loop {
            if self.over {
                return if self.ended { self.padding() } else { None };
            }
            match self.arrived.pop_front() {
                Some(item) => match item.and_then(|item| self.hand_over(item)) {
                    Ok(None) => {}
                    Ok(Some(batch)) => return Some(Ok(batch)),
                    Err(fault) => {
                        self.over = true;
                        return Some(Err(fault));
                    }
                },
                None => match self.sequencer.as_mut().and_then(Sequencer::next) {
                    Some(items) => self.arrived.extend(items),
                    None => {
                        (self.over, self.ended) = (true, true);
                        if let Some(end) = self.shared.end.get() {
                            self.shared.handed_batches.store(end.next_batch, Ordering::Release);
                            self.mark = Some(end.clone());
                        }
                        if let Err(fault) = self.close() {
                            return Some(Err(fault));
                        }
                    }
                },
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.inbox.close();
        if let Err(fault) = self.close() {
            tracing::warn!("the run's end could not be written down: {fault}");
        }
    }
}

/// The rows of each block of `plan`.
fn block_rows(plan: &Plan) -> Vec<u32> {
    plan.blocks.iter().map(|block| block.rows).collect()
}
