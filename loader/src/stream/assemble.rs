//! The one sequencer: opens windows, draws, and fills batches in order.
//!
//! Everything that depends on order happens here, on one thread: which blocks are asked for, what is a duplicate of
//! what, which reports a policy sees, which rows are drawn. What does not depend on order is done by the workers.

use super::{
    batch::{Batch, Receipt},
    meters::Meters,
    record::Entry,
    schedule::{Schedule, Upcoming},
    visits::{Visit, Visits},
    window::{OpenBlock, OpenWindow, Opening, Part, gather},
    workers::{Outcome, Ticket, Work, Workers},
};
use crate::{
    Draw, Error, Hash, Keep, Place, Position, Report, Result,
    ledger::{Account, Record},
    recipe::OnBad,
    sample,
    value::{
        Classes, Parameters, Policy, Table, WindowRows,
        inbox::{Inbox, Wait},
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// How many batches a user may hold unreported before the oldest counts as "no signal", where no draw depends on it:
/// the reports of later batches wait behind it.
const MOST_HELD: u64 = 1024;

/// What a run is, beside its data: the part of the recipe that the sequencer follows.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) window: u32,
    pub(super) batch_size: usize,
    pub(super) drop_last: bool,
    pub(super) feedback_lag: u64,
    pub(super) on_bad_block: OnBad,
    pub(super) on_bad_row: OnBad,
    pub(super) rank: u64,
    pub(super) world: u64,
    /// Decoded bytes that blocks may take together, open or on their way.
    pub(super) budget: u64,
    /// Whether the whole dataset fits beside all that, so that later passes need not read it again.
    pub(super) keep_in_memory: bool,
}

/// What the sequencer shares with the handle that the user holds.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) work: Arc<Work>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) settings: Settings,
    pub(super) inbox: Arc<Inbox>,
    pub(super) visits: Mutex<Visits>,
    pub(super) classes: Mutex<Classes>,
    /// Reports that have entered the table and that a state may still have to name.
    pub(super) recent: Mutex<VecDeque<Report>>,
    /// Data epochs that the run has; `u32::MAX` is without end.
    pub(super) epochs: AtomicU32,
    /// The number of the next batch that the user gets, and how many rows were handed over.
    pub(super) handed_batches: AtomicU64,
    pub(super) handed_rows: AtomicU64,
    pub(super) meters: Arc<Meters>,
}

impl Shared {
    /// The reports of batches `from..to` that have come in, in batch order, up to the first that is missing.
    pub(super) fn reports(&self, from: u64, to: u64) -> Vec<Report> {
        // The inbox first: a report leaves it only after it has come to the recent ones.
        let waiting = self.inbox.peek_before(to, Wait::No);
        let next = waiting.first().map_or(to, |report| report.batch);
        let recent = lock(&self.recent);
        let known = recent.iter().filter(|report| (from..next.min(to)).contains(&report.batch)).cloned();
        known.chain(waiting).filter(|report| report.batch >= from).collect()
    }
}

/// Locks without regard to a panic elsewhere: what the locks guard is changed in single steps.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a stream stands after a batch.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// The window that the batch's last row came from.
    pub(super) opening: Arc<Opening>,
    /// How many rows of that window's draw have been emitted.
    pub(super) offset: usize,
    /// The number of the next batch.
    pub(super) next_batch: u64,
}

/// A batch on its way to the user.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) batch: Batch,
    pub(super) mark: Mark,
    /// What was decided since the batch before it: written down when this one is handed over, and not before, so that
    /// a run's record does not depend on how far the sequencer had run ahead.
    pub(super) entries: Vec<Entry>,
}

/// What a stream goes on from.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) table: Table,
    pub(super) parameters: Arc<Parameters>,
    pub(super) applied: u64,
    pub(super) next_batch: u64,
    /// The window to open again, how far it had been emitted, and its draw's hash.
    pub(super) again: Option<Again>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) epoch: u32,
    pub(super) window: u32,
    pub(super) first_batch: u64,
    pub(super) offset: usize,
    pub(super) draw: Hash,
}

/// The sequencer.
#[derive(Debug)]
pub(super) struct Assembler {
    shared: Arc<Shared>,
    workers: Workers,
    upcoming: Upcoming,
    /// Block and decoded bytes of the tickets that were issued and not yet taken, in order.
    under_way: VecDeque<(u32, u64)>,
    /// Blocks that stay in memory after their first pass here.
    in_memory: HashMap<u32, OpenBlock>,
    open_bytes: u64,
    schedule: Schedule,
    /// The windows of the data epoch.
    windows: Vec<Vec<u32>>,
    epoch: u32,
    table: Table,
    parameters: Arc<Parameters>,
    applied: u64,
    next_batch: u64,
    again: Option<Again>,
    current: Option<(Arc<OpenWindow>, usize)>,
    /// Whether the data epoch has filled a batch; taken for granted in the one that a run goes on in.
    filled_in_epoch: bool,
    /// What is to be written down once the next batch is handed over.
    entries: Vec<Entry>,
}

impl Assembler {
    pub(super) fn new(shared: Arc<Shared>, start: Start, threads: usize) -> Result<Self> {
        let blocks = u32::try_from(shared.work.source.plan().blocks.len())
            .map_err(|_| Error::recipe("a plan of more than 4,294,967,295 blocks"))?;
        let schedule = Schedule { seed: shared.settings.seed, blocks, window: shared.settings.window };
        let (epoch, window) = start.again.map_or((0, 0), |again| (again.epoch, again.window));
        Ok(Self {
            workers: Workers::start(&shared.work, threads)?,
            upcoming: Upcoming::from(schedule, epoch, window),
            under_way: VecDeque::new(),
            in_memory: HashMap::new(),
            open_bytes: 0,
            windows: schedule.epoch(epoch),
            schedule,
            epoch,
            table: start.table,
            parameters: start.parameters,
            applied: start.applied,
            next_batch: start.next_batch,
            again: start.again,
            current: None,
            filled_in_epoch: start.again.is_some(),
            entries: Vec::new(),
            shared,
        })
    }

    /// The next batch of this rank, and where the stream stands after it; `None` at the run's end.
    pub(super) fn next(&mut self) -> Result<Option<Item>> {
        loop {
            let Some(parts) = self.fill()? else { return Ok(None) };
            let number = self.next_batch;
            self.next_batch += 1;
            self.filled_in_epoch = true;
            let settings = &self.shared.settings;
            if number % settings.world != settings.rank {
                continue;
            }
            let Some(last) = parts.last() else { continue };
            let mark =
                Mark { opening: Arc::clone(&last.window.opening), offset: last.range.end, next_batch: self.next_batch };
            let epoch = last.window.opening.epoch;
            let data = Meters::time(&self.shared.meters.gather, || gather(&parts))?;
            let drawn = parts.iter().flat_map(|part| &part.window.draw[part.range.clone()]);
            let (positions, weights): (Vec<Position>, Vec<f32>) =
                drawn.map(|drawn| (drawn.position, drawn.weight)).unzip();
            let positions: Arc<[Position]> = positions.into();
            let receipt = Receipt::new(number, Arc::clone(&positions), Arc::clone(&self.shared.inbox));
            let batch = Batch { number, epoch, data, positions, weights, receipt };
            return Ok(Some(Item { batch, mark, entries: self.take_entries() }));
        }
    }

    /// What is to be written down since the last batch.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The rows of the next batch; `None` at the run's end.
    fn fill(&mut self) -> Result<Option<Vec<Part>>> {
        let size = self.shared.settings.batch_size;
        let mut parts: Vec<Part> = Vec::new();
        let mut filled = 0;
        loop {
            if let Some((window, offset)) = &mut self.current {
                let take = (window.draw.len() - *offset).min(size - filled);
                if take > 0 {
                    parts.push(Part { window: Arc::clone(window), range: *offset..*offset + take });
                    *offset += take;
                    filled += take;
                }
                if filled == size {
                    return Ok(Some(parts));
                }
            }
            let next = self.current.as_ref().map_or(0, |(window, _)| window.opening.window as usize + 1);
            if self.current.is_some() && next >= self.windows.len() {
                // The data epoch ends, and with it the batch: epochs do not share one.
                if filled > 0 && !self.shared.settings.drop_last {
                    return Ok(Some(parts));
                }
                parts.clear();
                filled = 0;
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Opens the next window; `false` at the run's end.
    fn advance(&mut self) -> Result<bool> {
        let epochs = self.shared.epochs.load(Ordering::Relaxed);
        if let Some(again) = self.again.take() {
            if again.epoch >= epochs {
                return Err(Error::recipe(format!(
                    "the state stands in data epoch {} (counted from 0) and the recipe has epochs = {epochs}: give it more \
                     epochs to go on",
                    again.epoch
                )));
            }
            let window = self.windows.get(again.window as usize).cloned().ok_or_else(|| {
                Error::State(format!(
                    "it stands in window {} of an epoch that has {}",
                    again.window,
                    self.windows.len()
                ))
            })?;
            let window = self.open(again.window, &window, Some(again))?;
            if again.offset > window.draw.len() {
                return Err(Error::State(format!(
                    "it stands after row {} of a draw of {}",
                    again.offset,
                    window.draw.len()
                )));
            }
            self.current = Some((Arc::new(window), again.offset));
            return Ok(true);
        }
        let mut next = match self.current.take() {
            Some((window, _)) => window.opening.window + 1,
            None => 0,
        };
        self.open_bytes = 0;
        if next as usize >= self.windows.len() {
            if self.windows.is_empty() {
                return Ok(false);
            }
            if !self.filled_in_epoch && epochs == u32::MAX {
                let plan = self.shared.work.source.plan();
                let rows: u64 = lock(&self.shared.visits).account().kept;
                let settings = &self.shared.settings;
                let place = Place { dataset: Some(plan.url.clone()), ..Place::default() };
                let what = format!(
                    "data epoch {} filled no batch, and none ever would be: {rows} of {} rows are kept, a batch has {}{}",
                    self.epoch,
                    plan.rows(),
                    settings.batch_size,
                    if settings.drop_last { ", and drop_last leaves out those that are not full" } else { "" },
                );
                return Err(Error::data(place, what));
            }
            self.epoch += 1;
            self.filled_in_epoch = false;
            next = 0;
            self.windows = self.schedule.epoch(self.epoch);
        }
        if self.epoch >= epochs {
            return Ok(false);
        }
        let Some(blocks) = self.windows.get(next as usize).cloned() else { return Ok(false) };
        self.current = Some((Arc::new(self.open(next, &blocks, None)?), 0));
        Ok(true)
    }

    fn open(&mut self, window: u32, blocks: &[u32], again: Option<Again>) -> Result<OpenWindow> {
        let first_batch = again.map_or(self.next_batch, |again| again.first_batch);
        if again.is_none() {
            let watermark = first_batch.saturating_sub(self.shared.settings.feedback_lag);
            let wait = if self.shared.policy.reads_signals() { Wait::ForAll } else { Wait::No };
            self.top_up();
            let meters = Arc::clone(&self.shared.meters);
            if wait == Wait::No {
                self.shared.inbox.give_up_before(watermark.saturating_sub(MOST_HELD));
            }
            let reports = Meters::time(&meters.wait_feedback, || self.shared.inbox.peek_before(watermark, wait));
            self.apply(reports)?;
        }
        let mut open = Vec::with_capacity(blocks.len());
        for &block in blocks {
            open.extend(self.receive(block)?);
        }
        let shared = Arc::clone(&self.shared);
        Meters::time(&shared.meters.draw, || {
            let classes = lock(&shared.classes);
            if window == 0 && again.is_none() {
                self.parameters = Arc::new(shared.policy.fit(&self.table, &classes, self.epoch));
                let bytes = self.parameters.to_bytes();
                if !bytes.is_empty() {
                    let parameters = Hash::of(&bytes);
                    self.entries.push(Entry::Decision(Record::Fitted { epoch: self.epoch, parameters }));
                }
            }
            let positions: Vec<Position> =
                open.iter().flat_map(|open| open.keep.kept().map(|row| Position::new(open.block, row))).collect();
            let mut targets = Vec::with_capacity(positions.len());
            let rows = WindowRows::new(&positions, &self.table, &classes);
            shared.policy.targets(&self.parameters, &rows, &mut targets);
            drop(classes);
            let draw = sample::draw(
                shared.policy.name(),
                &positions,
                &targets,
                shared.settings.seed,
                self.epoch,
                u64::from(window),
            )?;
            let hash = hash_of(&draw);
            if let Some(again) = again
                && again.draw != hash
            {
                return Err(Error::State(format!(
                    "window {window} of data epoch {} draws other rows than it did before the checkpoint: the data, \
                     the policy or this program changed since",
                    self.epoch
                )));
            }
            if again.is_none() {
                let rows = draw.len() as u64;
                self.entries.push(Entry::Decision(Record::Draw { epoch: self.epoch, window, first_batch, rows, hash }));
            }
            let opening = Opening {
                epoch: self.epoch,
                window,
                first_batch,
                applied: self.applied,
                table: self.table.snapshot(),
                parameters: Arc::clone(&self.parameters),
                visits: lock(&shared.visits).len(),
                draw: hash,
            };
            OpenWindow::new(opening, open, draw)
        })
    }

    /// Lets `reports`, the next ones in the inbox, enter the values.
    fn apply(&mut self, reports: Vec<Report>) -> Result<()> {
        let Some(last) = reports.last() else { return Ok(()) };
        let to = last.batch + 1;
        // A state may be taken at any moment: a report is never in neither place.
        lock(&self.shared.recent).extend(reports.iter().cloned());
        drop(self.shared.inbox.take_before(to, Wait::No));
        for report in &reports {
            self.table.apply(report)?;
        }
        self.applied = to;
        self.entries.push(Entry::Feedback(reports));
        Ok(())
    }

    /// Issues tickets as far as the byte budget goes; the head ticket always.
    fn top_up(&mut self) {
        let shared = Arc::clone(&self.shared);
        let plan = shared.work.source.plan();
        let visits = lock(&shared.visits);
        let mut taken: u64 = self.open_bytes + self.under_way.iter().map(|(_, bytes)| bytes).sum::<u64>();
        while let Some((epoch, block)) = self.upcoming.peek() {
            let Some(planned) = plan.blocks.get(block as usize) else { return };
            let visit = visits.get(block);
            // A later pass needs the verdicts of the first, which may still be under way. And one epoch ahead is enough:
            // where nothing needs to be read, a run without end would be looked through without end.
            let too_early = (epoch > 0 && visit.is_none()) || epoch > self.epoch + 1;
            if too_early || epoch >= shared.epochs.load(Ordering::Relaxed) {
                return;
            }
            if visit.is_some_and(|visit| visit.keep.count() == 0) || self.in_memory.contains_key(&block) {
                self.upcoming.advance();
                continue;
            }
            let bytes = planned.decoded_bytes;
            if self.workers.outstanding() > 0 && taken + bytes > shared.settings.budget {
                return;
            }
            self.workers.issue(Ticket {
                block,
                keep: visit.map(|visit| Arc::clone(&visit.keep)),
                expected: visit.map_or_else(|| planned.hashes.clone(), |visit| visit.hashes.clone()),
            });
            taken += bytes;
            self.under_way.push_back((block, bytes));
            self.upcoming.advance();
        }
    }

    /// The block `block`, which is the next one in order; `None` where none of its rows are to be had.
    fn receive(&mut self, block: u32) -> Result<Option<OpenBlock>> {
        self.top_up();
        if self.under_way.front().is_none_or(|&(next, _)| next != block) {
            // No ticket was issued for it: it is in memory, or has no row to give.
            return Ok(self.in_memory.get(&block).cloned());
        }
        let read = self.read(block)?;
        if let (true, Some(read)) = (self.shared.settings.keep_in_memory, &read) {
            self.in_memory.insert(block, read.clone());
        }
        Ok(read)
    }

    /// Waits for the block of the oldest ticket, which is `block`; at its first pass, settles what becomes of its rows.
    fn read(&mut self, block: u32) -> Result<Option<OpenBlock>> {
        let visit = lock(&self.shared.visits).get(block).cloned();
        let meters = Arc::clone(&self.shared.meters);
        let outcome = Meters::time(&meters.wait_blocks, || self.workers.take());
        self.open_bytes += self.under_way.pop_front().map_or(0, |(_, bytes)| bytes);
        match (outcome, visit) {
            (Ok(Outcome::Again { data }), Some(visit)) => {
                Ok(Some(OpenBlock { block, data, keep: visit.keep, kept_only: true }))
            }
            (Ok(Outcome::First { data, judged, hashes, bad, classes }), None) => {
                if let (Some(bad), OnBad::Stop) = (bad.first(), self.shared.settings.on_bad_row) {
                    let mut place = self.shared.work.source.plan().place(block).row(bad.row);
                    place.column.clone_from(&bad.column);
                    let what = format!("{}; mend the row, or set on_bad_row = \"quarantine\" under [stream]", bad.what);
                    return Err(Error::data(place, what));
                }
                let shared = Arc::clone(&self.shared);
                let mut visits = lock(&shared.visits);
                let settled = Meters::time(&meters.draw, || shared.work.cleaner.settle(&judged, &mut visits.memory));
                let rows = u64::from(settled.keep.rows());
                let account = Account {
                    read: rows,
                    kept: u64::from(settled.keep.count()),
                    dropped: settled.dropped.into_iter().collect(),
                    quarantined: settled.quarantined,
                };
                let keep = Arc::new(settled.keep);
                let content = Some(Hash::of_hashes(&hashes));
                let remembered = visits.memory.visits();
                if let Some(classes) = &classes {
                    lock(&shared.classes).set(block, classes.clone())?;
                }
                visits.push(Visit {
                    block,
                    hashes,
                    keep: Arc::clone(&keep),
                    account: account.clone(),
                    classes,
                    fault: None,
                    remembered,
                });
                drop(visits);
                self.entries.push(Entry::Decision(Record::Block { block, content, account, fault: None }));
                Ok(Some(OpenBlock { block, data, keep, kept_only: false }))
            }
            (Ok(_), _) => Err(Error::State(format!("block {block} was read for another pass than it was asked for"))),
            (Err(fault @ (Error::Data { .. } | Error::Io { .. })), visit)
                if self.shared.settings.on_bad_block == OnBad::Quarantine =>
            {
                tracing::warn!("quarantined: {fault}");
                match visit {
                    Some(_) => {
                        let fault = without_place(&fault);
                        self.entries.push(Entry::Decision(Record::Lost { epoch: self.epoch, block, fault }));
                    }
                    None => self.quarantine(block, &fault),
                }
                Ok(None)
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// Sets a block aside that could not be read at its first pass; its rows are counted from the plan.
    fn quarantine(&mut self, block: u32, fault: &Error) {
        let rows = self.shared.work.source.plan().blocks.get(block as usize).map_or(0, |block| block.rows);
        let account = Account { read: u64::from(rows), quarantined: u64::from(rows), ..Account::default() };
        let mut visits = lock(&self.shared.visits);
        let remembered = visits.memory.visits();
        let keep = Arc::new(Keep::from_fn(rows, |_| false));
        visits.push(Visit {
            block,
            hashes: Vec::new(),
            keep,
            account: account.clone(),
            fault: Some(fault.to_string()),
            classes: None,
            remembered,
        });
        drop(visits);
        let fault = Some(without_place(fault));
        self.entries.push(Entry::Decision(Record::Block { block, content: None, account, fault }));
    }
}

/// What is at fault without the path of the file: a ledger names blocks, and is the same wherever the data lie.
fn without_place(fault: &Error) -> String {
    match fault {
        Error::Data { what, .. } => what.clone(),
        Error::Io { action, source, .. } => format!("cannot {action} the file: {source}"),
        other => other.to_string(),
    }
}

/// BLAKE3 over positions and weights, in order.
fn hash_of(draw: &Draw) -> Hash {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::with_capacity(draw.len() * 12);
    for drawn in draw {
        bytes.extend_from_slice(&drawn.position.block.to_le_bytes());
        bytes.extend_from_slice(&drawn.position.row.to_le_bytes());
        bytes.extend_from_slice(&drawn.weight.to_le_bytes());
    }
    hasher.update(&bytes);
    Hash(*hasher.finalize().as_bytes())
}
