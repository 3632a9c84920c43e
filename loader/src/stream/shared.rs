//! What the sequencer shares with the handle that the user holds, and what passes between them.

use super::{
    contents::{Contents, Finish},
    domains::Standing,
    meters::Meters,
    picking::Picking,
    pool::Later,
    record::Entry,
    schedule::Schedule,
    visits::Visits,
    window::Opening,
    workers::Work,
};
use crate::{
    Hash, Report,
    buffers::Buffers,
    recipe::{Exhausted, OnBad},
    value::{
        Classes, Parameters, Policy, References, Table,
        inbox::{Inbox, Wait},
    },
};
use arrow::datatypes::SchemaRef;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64},
    },
};

/// What a run is, beside its data: the part of the recipe that the sequencer follows.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    /// How many blocks are open together, of all domains.
    pub(super) window: u32,
    /// The order of each domain.
    pub(super) schedules: Vec<Schedule>,
    /// Each domain's share, in parts of [`sample::WHOLE`](crate::sample::WHOLE).
    pub(super) parts: Vec<u64>,
    pub(super) exhausted: Exhausted,
    /// Whether rows come in the plan's order, once each and with weight 1, whatever the policy.
    pub(super) plan_order: bool,
    pub(super) batch_size: usize,
    pub(super) drop_last: bool,
    pub(super) prefetch: u64,
    pub(super) feedback_lag: u64,
    pub(super) on_bad_block: OnBad,
    pub(super) on_bad_row: OnBad,
    pub(super) rank: u64,
    pub(super) world: u64,
    /// How many batches of a window are gathered together, and how many such stretches in advance.
    pub(super) stretch: usize,
    pub(super) stretches_ahead: usize,
    /// Threads of the workers.
    pub(super) threads: usize,
    /// Decoded bytes that blocks may take together, open or on their way.
    pub(super) budget: u64,
    /// Whether the whole dataset fits beside all that, so that later passes need not read it again.
    pub(super) keep_in_memory: bool,
    /// Whether indexes keep what it takes to wind them back over the blocks that were settled since the batch that the
    /// user holds.
    pub(super) winds_back: bool,
}

impl Settings {
    /// Batches below this one are in the user's hands when a window opens whose first row goes to batch `first`: all of
    /// this rank's but the last `prefetch` ones before it.
    ///
    /// Within a window the sequencer runs ahead as it likes. Were it to do so between windows, which reports a window sees
    /// would depend on time even where every batch is reported at once, though no draw of a policy that acts on them.
    pub(super) fn handed_out_before(&self, first: u64) -> u64 {
        let last = first.checked_sub(1).map(|last| last - last.min((last + self.world - self.rank) % self.world));
        let taken = last.filter(|last| last % self.world == self.rank);
        taken.and_then(|last| last.checked_sub(self.prefetch * self.world)).map_or(0, |taken| taken + 1)
    }
}

/// What the sequencer shares with the handle that the user holds.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) work: Arc<Work>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) finish: Finish,
    /// How rows are picked inside a training step, where they are.
    pub(super) picking: Option<Arc<Picking>>,
    /// What a reference model says of rows, where a policy needs it.
    pub(super) references: Option<Arc<References>>,
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
    /// Where the run ended, once it has: also where this rank has no batch of the last round.
    pub(super) end: OnceLock<Mark>,
    pub(super) meters: Arc<Meters>,
    /// What batches are gathered into.
    pub(super) buffers: Buffers,
}

impl Shared {
    /// Whether a selector remembers what training said, so that picks depend on reports though draws do not.
    pub(super) fn picks_by_reports(&self) -> bool {
        self.picking.as_ref().is_some_and(|picking| picking.remembers() > 0)
    }

    /// The plan's columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.work.source.plan().schema
    }

    /// The reports of batches `from..to` that have come in, in batch order, up to the first that is missing.
    pub(super) fn reports(&self, from: u64, to: u64) -> Vec<Report> {
        self.reports_as(from, to, Wait::No)
    }

    /// The reports of batches `from..to`, in batch order; waits for those that have not come, as a draw does that depends
    /// on them.
    pub(super) fn due_reports(&self, from: u64, to: u64) -> Vec<Report> {
        Meters::time(&self.meters.wait_feedback, || self.reports_as(from, to, Wait::ForAll))
    }

    fn reports_as(&self, from: u64, to: u64, wait: Wait) -> Vec<Report> {
        // The inbox first: a report leaves it only after it has come to the recent ones.
        let waiting = self.inbox.peek(from, to, wait);
        let next = waiting.first().map_or(to, |report| report.batch);
        let recent = lock(&self.recent);
        let known = recent.iter().filter(|report| (from..next).contains(&report.batch)).cloned();
        known.chain(waiting).collect()
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
    /// How many rows of that window's draw have been emitted as a whole, and how much of what follows them: items of
    /// the next row where rows are packed, batches of the next group where they are bucketed.
    pub(super) offset: usize,
    pub(super) within: u64,
    /// The number of the next batch.
    pub(super) next_batch: u64,
    /// Rows that were drawn for the batches of all ranks so far, presentations counted.
    pub(super) drawn: u64,
}

/// A batch on its way to the user.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) epoch: u32,
    pub(super) contents: Later<Contents>,
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
    /// Where each domain stands, with the shares in force.
    pub(super) standings: Vec<Standing>,
    /// What the policy remembers of the mixture.
    pub(super) memory: Arc<[f64]>,
    pub(super) applied: u64,
    pub(super) next_batch: u64,
    pub(super) trained: u64,
    /// The window to open again, how far it had been emitted, and its draw's hash.
    pub(super) again: Option<Again>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) epoch: u32,
    pub(super) window: u32,
    pub(super) first_batch: u64,
    pub(super) offset: usize,
    pub(super) within: u64,
    pub(super) draw: Hash,
}
