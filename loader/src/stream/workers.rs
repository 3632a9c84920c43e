//! Workers: read, verify, decode and judge blocks in any order, and hand them over in the order of their tickets.
//!
//! A ticket takes its decoded size from a byte budget when it is issued. The head ticket, the one that the consumer waits
//! for, is always issued, so that the reorder ring cannot deadlock however small the budget is.

use super::{classes, meters::Meters};
use crate::{
    Error, Hash, Keep, Result,
    clean::{Cleaner, Judged},
    source::{BadRow, Request, Source},
};
use arrow::record_batch::RecordBatch;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

/// What every worker knows.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) source: Arc<dyn Source>,
    pub(super) cleaner: Arc<Cleaner>,
    /// Index of the label's column, where its classes are wanted.
    pub(super) label: Option<usize>,
    pub(super) meters: Arc<Meters>,
    /// Called before each block is read; tests inject delays here.
    pub(super) before_read: Option<BeforeRead>,
}

/// Called with a block's index before it is read, on the worker's thread.
#[derive(Clone)]
pub(super) struct BeforeRead(pub(super) Arc<dyn Fn(u32) + Send + Sync>);

impl std::fmt::Debug for BeforeRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BeforeRead")
    }
}

/// One block to be read.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) block: u32,
    /// The rows that its first pass kept; `None` where this is the first pass.
    pub(super) keep: Option<Arc<Keep>>,
    /// Content hashes where they are known.
    pub(super) expected: Vec<Hash>,
}

/// A block as a worker leaves it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The first pass: all rows, judged as far as that depends on the block alone.
    First { data: RecordBatch, judged: Judged, hashes: Vec<Hash>, bad: Vec<BadRow>, classes: Option<Vec<u32>> },
    /// A later pass: the kept rows.
    Again { data: RecordBatch },
}

/// A pool of worker threads with a reorder ring.
#[derive(Debug)]
pub(super) struct Workers {
    tickets: Option<Sender<(u64, Ticket)>>,
    results: Receiver<(u64, Result<Outcome>)>,
    ring: BTreeMap<u64, Result<Outcome>>,
    issued: u64,
    taken: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `threads` workers.
    pub(super) fn start(work: &Arc<Work>, threads: usize) -> Result<Self> {
        let (tickets, inbox) = unbounded::<(u64, Ticket)>();
        let (outbox, results) = unbounded();
        let spawn = |index: usize| {
            let (work, inbox, outbox) = (Arc::clone(work), inbox.clone(), outbox.clone());
            std::thread::Builder::new()
                .name(format!("arable-worker-{index}"))
                .spawn(move || {
                    for (number, ticket) in inbox {
                        if outbox.send((number, work.run(&ticket))).is_err() {
                            return;
                        }
                    }
                })
                .map_err(Error::io("start", format!("worker thread {index}")))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<Result<_>>()?;
        Ok(Self { tickets: Some(tickets), results, ring: BTreeMap::new(), issued: 0, taken: 0, threads })
    }

    pub(super) fn issue(&mut self, ticket: Ticket) {
        if let Some(tickets) = &self.tickets {
            // Workers end only when this sender is dropped, so there is always a receiver.
            drop(tickets.send((self.issued, ticket)));
            self.issued += 1;
        }
    }

    /// How many tickets are issued and not yet taken.
    pub(super) const fn outstanding(&self) -> u64 {
        self.issued - self.taken
    }

    /// Waits for the block of the oldest ticket that was not taken yet.
    pub(super) fn take(&mut self) -> Result<Outcome> {
        loop {
            if let Some(outcome) = self.ring.remove(&self.taken) {
                self.taken += 1;
                return outcome;
            }
            let (number, outcome) =
                self.results.recv().map_err(|_| Error::State("the worker threads have ended".into()))?;
            self.ring.insert(number, outcome);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.tickets = None;
        for thread in self.threads.drain(..) {
            // A worker's panics are caught where they happen; there is nothing to say here.
            drop(thread.join());
        }
    }
}

impl Work {
    fn run(&self, ticket: &Ticket) -> Result<Outcome> {
        if let Some(BeforeRead(hook)) = &self.before_read {
            hook(ticket.block);
        }
        let place = || self.source.plan().place(ticket.block);
        // A panic inside a third party's decoder, or a user's operator, is a bad block and not the end of the process.
        catch_unwind(AssertUnwindSafe(|| self.process(ticket))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Error::data(place(), format!("reading or judging it panicked: {text}")))
        })
    }

    fn process(&self, ticket: &Ticket) -> Result<Outcome> {
        let plan = self.source.plan();
        let request = Request { block: ticket.block, rows: ticket.keep.as_deref(), expected: &ticket.expected };
        let decoded = Meters::time(&self.meters.read, || self.source.read(request))?;
        let rows = plan.blocks.get(ticket.block as usize).map_or(0, |block| block.rows);
        let wanted = ticket.keep.as_ref().map_or(rows, |keep| keep.count());
        if decoded.data.num_rows() as u64 != u64::from(wanted) {
            let what =
                format!("{} rows where the plan leads to {wanted}: the data changed since", decoded.data.num_rows());
            return Err(Error::data(plan.place(ticket.block), what));
        }
        self.meters.blocks.fetch_add(1, Ordering::Relaxed);
        self.meters
            .bytes
            .fetch_add(plan.blocks.get(ticket.block as usize).map_or(0, |block| block.bytes), Ordering::Relaxed);
        if ticket.keep.is_some() {
            return Ok(Outcome::Again { data: decoded.data });
        }
        let bad: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
        let judged = Meters::time(&self.meters.clean, || self.cleaner.judge(&decoded.data, &bad))?;
        let classes = self.label.map(|label| classes::of(decoded.data.column(label)));
        Ok(Outcome::First { data: decoded.data, judged, hashes: decoded.hashes, bad: decoded.bad_rows, classes })
    }
}
