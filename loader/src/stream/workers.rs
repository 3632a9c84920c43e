//! Workers: read, verify, decode and judge blocks in any order, and hand them over as they are asked for; between blocks
//! they do what the sequencer has to be done (`pool`), which comes first.
//!
//! A ticket goes to the workers once what it needs is on this machine ([`Source::fetch`]), so that none of them waits for
//! a network. It takes its decoded size from a byte budget when it is issued (`intake`). The ticket that the consumer waits
//! for is always issued, so that the reorder ring cannot deadlock however small the budget is.

use super::{classes, meters::Meters, pool::Task, split::Parting, visits::Kept};
use crate::{
    Error, Hash, Result,
    clean::{Cleaner, Judged},
    source::{BadRow, Ready, Request, Source},
};
use arrow::record_batch::RecordBatch;
use crossbeam::channel::{Receiver, Sender, never, select_biased, unbounded};
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Which rows are of other parts of the data, where some are kept out.
    pub(super) parting: Option<Parting>,
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
    pub(super) kept: Option<Arc<Kept>>,
    /// Content hashes where they are known.
    pub(super) expected: Vec<Hash>,
}

/// A block as a worker leaves it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The first pass: all rows, judged as far as that depends on the block alone.
    First {
        judged: Box<Judged>,
        hashes: Vec<Hash>,
        bad: Vec<BadRow>,
        /// How many rows are of other parts of the data; they were not judged.
        held_out: u32,
        classes: Option<Vec<u32>>,
    },
    /// A later pass: the kept rows.
    Again { data: RecordBatch },
}

/// A pool of worker threads with a reorder ring.
#[derive(Debug)]
pub(super) struct Workers {
    work: Arc<Work>,
    /// Fetches hold it weakly: workers end when this is dropped, whatever is still under way.
    tickets: Option<Arc<Sender<(u64, Ticket)>>>,
    results: Receiver<(u64, Result<Outcome>)>,
    ring: BTreeMap<u64, Result<Outcome>>,
    /// Tickets whose blocks nobody wants any more.
    discarded: BTreeSet<u64>,
    issued: u64,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `threads` workers, which take `tasks` before tickets.
    pub(super) fn start(work: &Arc<Work>, tasks: &Receiver<Task>, threads: usize) -> Result<Self> {
        let (tickets, inbox) = unbounded::<(u64, Ticket)>();
        let (outbox, results) = unbounded();
        let spawn = |index: usize| {
            let (work, inbox, outbox) = (Arc::clone(work), inbox.clone(), outbox.clone());
            let mut tasks = tasks.clone();
            std::thread::Builder::new()
                .name(format!("arable-worker-{index}"))
                .spawn(move || {
                    loop {
                        select_biased! {
                            recv(tasks) -> task => match task {
                                Ok(task) => task(),
                                Err(_) => tasks = never(),
                            },
                            recv(inbox) -> ticket => {
                                let Ok((number, ticket)) = ticket else { return };
                                if outbox.send((number, work.run(&ticket))).is_err() {
                                    return;
                                }
                            }
                        }
                    }
                })
                .map_err(Error::io("start", format!("worker thread {index}")))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<Result<_>>()?;
        Ok(Self {
            work: Arc::clone(work),
            tickets: Some(Arc::new(tickets)),
            results,
            ring: BTreeMap::new(),
            discarded: BTreeSet::new(),
            issued: 0,
            threads,
        })
    }

    /// Has a block read; its ticket's number.
    pub(super) fn issue(&mut self, ticket: Ticket) -> u64 {
        let number = self.issued;
        if let Some(tickets) = &self.tickets {
            let (block, tickets) = (ticket.block, Arc::downgrade(tickets));
            let ready = Ready::new(move || {
                // Where the sender is gone, so is whoever asked.
                drop(tickets.upgrade().map(|tickets| tickets.send((number, ticket))));
            });
            self.work.source.fetch(block, ready);
            self.issued += 1;
        }
        number
    }

    /// Waits for the block of the ticket `wanted`, which is taken once.
    pub(super) fn take(&mut self, wanted: u64) -> Result<Outcome> {
        loop {
            if let Some(outcome) = self.ring.remove(&wanted) {
                return outcome;
            }
            let (number, outcome) =
                self.results.recv().map_err(|_| Error::State("the worker threads have ended".into()))?;
            self.keep(number, outcome);
        }
    }

    /// Takes in, without waiting, what the workers have finished; whether there was any.
    pub(super) fn take_in(&mut self) -> bool {
        let mut any = false;
        while let Ok((number, outcome)) = self.results.try_recv() {
            self.keep(number, outcome);
            any = true;
        }
        any
    }

    /// Whether the block of the ticket `number` has been read and [taken in](Self::take_in).
    pub(super) fn is_here(&self, number: u64) -> bool {
        self.ring.contains_key(&number)
    }

    fn keep(&mut self, number: u64, outcome: Result<Outcome>) {
        if !self.discarded.remove(&number) {
            self.ring.insert(number, outcome);
        }
    }

    /// Gives up the block of the ticket `number`, read or not.
    pub(super) fn discard(&mut self, number: u64) {
        if self.ring.remove(&number).is_none() {
            self.discarded.insert(number);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.tickets = None;
        // Tickets that still wait are not worth reading: whoever finds nobody to give a block to ends.
        self.results = never();
        for thread in self.threads.drain(..) {
            // A worker's panics are caught where they happen; there is nothing to say here.
            drop(thread.join());
        }
    }
}

impl Work {
    /// Whether blocks are read as views: only an operator needs the texts written out before they are gathered.
    fn as_views(&self) -> bool {
        self.cleaner.is_empty()
    }

    /// What reading `block` takes in memory besides what it decodes to, at most.
    pub(super) fn working_bytes(&self, block: u32) -> u64 {
        let source = &self.source;
        let working =
            if self.as_views() { source.working_bytes_of_views(block) } else { source.plan().working_bytes(block) };
        // What is fetched is a part of what reading takes, unless gaps between ranges are fetched too.
        working.max(source.fetched_bytes(block))
    }

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
        let request = Request {
            block: ticket.block,
            rows: ticket.kept.as_ref().map(|kept| &kept.keep),
            expected: &ticket.expected,
        };
        let read = || if self.as_views() { self.source.read_views(request) } else { self.source.read(request) };
        let decoded = Meters::time(&self.meters.read, read)?;
        let rows = plan.blocks.get(ticket.block as usize).map_or(0, |block| block.rows);
        let wanted = ticket.kept.as_ref().map_or(rows, |kept| kept.keep.count());
        if decoded.data.num_rows() as u64 != u64::from(wanted) {
            let what =
                format!("{} rows where the plan leads to {wanted}: the data changed since", decoded.data.num_rows());
            return Err(Error::data(plan.place(ticket.block), what));
        }
        self.meters.blocks.fetch_add(1, Ordering::Relaxed);
        self.meters
            .bytes
            .fetch_add(plan.blocks.get(ticket.block as usize).map_or(0, |block| block.bytes), Ordering::Relaxed);
        if let Some(kept) = &ticket.kept {
            let repair = || self.cleaner.repair(decoded.data, &kept.keep, &kept.cuts);
            return Ok(Outcome::Again { data: Meters::time(&self.meters.clean, repair)? });
        }
        let bad: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
        let others = match &self.parting {
            None => Vec::new(),
            Some(parting) => Meters::time(&self.meters.clean, || parting.others(&decoded.data, &bad))?,
        };
        // A bad row of another part is that part's affair.
        let mine = |row: &u32| others.binary_search(row).is_err();
        let held_out = others.len() as u32;
        let not_judged: Vec<u32> = bad.iter().copied().filter(mine).chain(others.iter().copied()).collect();
        let judged = Meters::time(&self.meters.clean, || self.cleaner.judge(&decoded.data, &not_judged))?;
        let bad = decoded.bad_rows.into_iter().filter(|bad| mine(&bad.row)).collect();
        let classes = self.label.map(|label| classes::of(judged.data().column(label)));
        Ok(Outcome::First { judged: Box::new(judged), hashes: decoded.hashes, bad, held_out, classes })
    }
}
