//! Blocks as they come in: tickets as far as the byte budget goes, and what becomes of a block's rows at its first pass.
//!
//! Each domain has a lane of its own, whose order is known in advance; in which order lanes are taken from depends on
//! verdicts. Blocks are taken in an order that does not depend on threads, so neither does what settles here against
//! earlier rows. It knows nothing of draws or batches.

use super::{
    meters::Meters,
    pool::Task,
    quarantine::SetAside,
    record::Entry,
    schedule::{Pass, Upcoming},
    shared::{Shared, lock},
    visits::{Kept, Visit},
    window::OpenBlock,
    workers::{Outcome, Ticket, Workers},
};
use crate::{
    Error, Hash, Result,
    ledger::{Account, Record},
    recipe::OnBad,
};
use crossbeam::channel::Receiver;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

/// More bytes than this are not read ahead of the open window, nor more than that itself takes, however much memory there
/// is: nothing is won by it, and memory that was never touched costs more than what is used again.
const MOST_AHEAD: u64 = 64 << 20;

/// The blocks of a run from a place on, in the order of each domain.
#[derive(Debug)]
pub(super) struct Intake {
    shared: Arc<Shared>,
    workers: Workers,
    lanes: Vec<Lane>,
    /// Blocks that stay in memory after their first pass here, where another one is to come.
    in_memory: HashMap<u32, OpenBlock>,
}

/// One domain's blocks.
#[derive(Debug)]
struct Lane {
    upcoming: Upcoming,
    /// The pass that blocks are taken from now.
    pass: Pass,
    /// The tickets that were issued and not yet taken, in order.
    under_way: VecDeque<UnderWay>,
    /// Decoded bytes of the blocks that the domain has open.
    open_bytes: u64,
    /// The pass whose blocks, and those of the one after it, the source has been told of.
    told: Option<Pass>,
}

/// A ticket that was issued and not yet taken.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    ticket: u64,
    pass: Pass,
    block: u32,
    /// Bytes until its window closes.
    decoded: u64,
    /// Bytes until it is read.
    working: u64,
    rows: u64,
}

impl UnderWay {
    const fn bytes(&self) -> u64 {
        self.decoded.saturating_add(self.working)
    }
}

impl Intake {
    /// `starts` are the pass and the window that each domain begins with.
    ///
    /// The workers take `tasks` before blocks.
    pub(super) fn new(
        shared: Arc<Shared>,
        starts: impl Iterator<Item = (Pass, u32)>,
        tasks: &Receiver<Task>,
        threads: usize,
    ) -> Result<Self> {
        let lanes = shared.settings.schedules.iter().zip(starts).map(|(schedule, (pass, window))| Lane {
            upcoming: Upcoming::from(schedule.clone(), pass, window),
            pass,
            under_way: VecDeque::new(),
            open_bytes: 0,
            told: None,
        });
        let lanes = lanes.collect();
        Ok(Self { workers: Workers::start(&shared.work, tasks, threads)?, lanes, in_memory: HashMap::new(), shared })
    }

    /// Gives back the bytes of the window that `domain` had open.
    pub(super) fn close(&mut self, domain: usize) {
        if let Some(lane) = self.lanes.get_mut(domain) {
            lane.open_bytes = 0;
        }
    }

    /// Begins a pass over `domain`. What was read in advance for another one that did not come is given up.
    pub(super) fn begin(&mut self, domain: usize, pass: Pass) {
        let Some(lane) = self.lanes.get_mut(domain) else { return };
        lane.pass = pass;
        while let Some(stale) = lane.under_way.pop_front_if(|next| next.pass != pass) {
            self.workers.discard(stale.ticket);
        }
        if lane.under_way.is_empty() {
            lane.upcoming.seek(pass);
        }
    }

    /// Issues more tickets if blocks have come in meanwhile, whose room they leave. It costs next to nothing where none has.
    pub(super) fn read_on(&mut self) {
        if self.workers.take_in() {
            self.top_up();
        }
    }

    /// Issues tickets as far as the byte budget goes; first those of the domain that has the least under way for its
    /// share.
    pub(super) fn top_up(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.workers.take_in();
        let workers = &self.workers;
        // What was read waits for its turn without what reading it took.
        for next in self.lanes.iter_mut().flat_map(|lane| &mut lane.under_way) {
            if workers.is_here(next.ticket) {
                next.working = 0;
            }
        }
        loop {
            let under_way = || self.lanes.iter().flat_map(|lane| &lane.under_way).map(UnderWay::bytes);
            let (waiting, open) =
                (under_way().sum::<u64>(), self.lanes.iter().map(|lane| lane.open_bytes).sum::<u64>());
            if waiting >= MOST_AHEAD.max(open) && under_way().count() > 2 * shared.settings.threads {
                return;
            }
            let taken = waiting.saturating_add(open);
            let ahead = |domain: usize, lane: &Lane| {
                let rows: u64 = lane.under_way.iter().map(|next| next.rows).sum();
                let part = shared.settings.parts.get(domain).copied().unwrap_or(1).max(1);
                rows as f64 / part as f64
            };
            let mut order: Vec<(f64, usize)> =
                self.lanes.iter().enumerate().map(|(domain, lane)| (ahead(domain, lane), domain)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let Some((domain, ticket)) = order.into_iter().find_map(|(_, domain)| Some((domain, self.ready(domain)?)))
            else {
                return;
            };
            let idle = self.lanes.iter().all(|lane| lane.under_way.is_empty());
            if !idle && taken.saturating_add(ticket.bytes()) > shared.settings.budget {
                return;
            }
            self.issue(domain, ticket);
        }
    }

    /// The next block of `domain` that has to be read and may be read now; blocks that need not be read are passed over.
    fn ready(&mut self, domain: usize) -> Option<UnderWay> {
        let lane = self.lanes.get_mut(domain)?;
        let visits = lock(&self.shared.visits);
        while let Some((pass, block)) = lane.upcoming.peek() {
            let planned = self.shared.work.source.plan().blocks.get(block as usize)?;
            let visit = visits.get(block);
            // A later pass needs the verdicts of the first, which may still be under way.
            let another = lane.under_way.front().is_some_and(|next| next.pass != pass);
            let too_early = visit.is_none() && another && lane.under_way.iter().any(|next| next.block == block);
            // One pass ahead is enough: where nothing needs to be read, a run without end would be looked through
            // without end.
            if too_early
                || !lane.upcoming.is_near(lane.pass)
                || pass.epoch >= self.shared.epochs.load(Ordering::Relaxed)
            {
                return None;
            }
            if lane.told != Some(pass) {
                self.shared.work.source.expect(&mut lane.upcoming.ahead());
                lane.told = Some(pass);
            }
            if visit.is_none_or(|visit| visit.kept.keep.count() > 0) && !self.in_memory.contains_key(&block) {
                let rows = visit.map_or(planned.rows, |visit| visit.kept.keep.count());
                let working = self.shared.work.working_bytes(block);
                let decoded = planned.decoded_bytes;
                return Some(UnderWay { ticket: 0, pass, block, decoded, working, rows: rows.into() });
            }
            lane.upcoming.advance();
        }
        None
    }

    /// Issues the ticket of a block that is [`ready`](Self::ready).
    fn issue(&mut self, domain: usize, ready: UnderWay) {
        let visits = lock(&self.shared.visits);
        let visit = visits.get(ready.block);
        let planned = self.shared.work.source.plan().blocks.get(ready.block as usize);
        let planned = planned.map(|block| block.hashes.clone()).unwrap_or_default();
        let ticket = self.workers.issue(Ticket {
            block: ready.block,
            kept: visit.map(|visit| Arc::clone(&visit.kept)),
            expected: visit.map_or(planned, |visit| visit.hashes.clone()),
        });
        if let Some(lane) = self.lanes.get_mut(domain) {
            lane.upcoming.advance();
            lane.under_way.push_back(UnderWay { ticket, ..ready });
        }
    }

    /// The block `block`, which is the next one of `domain`; `None` where none of its rows are to be had. What is decided
    /// of it is added to `entries`.
    pub(super) fn receive(&mut self, domain: usize, block: u32, entries: &mut Vec<Entry>) -> Result<Option<OpenBlock>> {
        self.top_up();
        let next = |intake: &Self| intake.lanes.get(domain).and_then(|lane| lane.under_way.front().copied());
        let is_next = |next: &UnderWay| next.block == block;
        if next(self).is_none()
            && let Some(ready) = self.ready(domain).filter(is_next)
        {
            // It is waited for, so it is read whatever the other domains have taken of the budget.
            self.issue(domain, ready);
        }
        let Some(UnderWay { ticket, pass, decoded, .. }) = next(self).filter(is_next) else {
            // No ticket was issued for it: it is in memory, or has no row to give.
            return Ok(self.in_memory.get(&block).cloned());
        };
        if let Some(lane) = self.lanes.get_mut(domain) {
            lane.under_way.pop_front();
            lane.open_bytes += decoded;
        }
        let read = self.read(pass.epoch, block, ticket, entries)?;
        let another = pass.epoch.saturating_add(1) < self.shared.epochs.load(Ordering::Relaxed)
            || self.shared.settings.schedules.get(domain).is_some_and(|schedule| schedule.repeats);
        if let (true, Some(read)) = (self.shared.settings.keep_in_memory && another, &read) {
            self.in_memory.insert(block, read.clone());
        }
        Ok(read)
    }

    /// Waits for `block`, which `ticket` was issued for; at its first pass, settles what becomes of its rows.
    fn read(&mut self, epoch: u32, block: u32, ticket: u64, entries: &mut Vec<Entry>) -> Result<Option<OpenBlock>> {
        let visit = lock(&self.shared.visits).get(block).cloned();
        let meters = Arc::clone(&self.shared.meters);
        let outcome = Meters::time(&meters.wait_blocks, || self.workers.take(ticket));
        match (outcome, visit) {
            (Ok(Outcome::Again { data }), Some(visit)) => {
                Ok(Some(OpenBlock { block, data, kept: visit.kept, kept_only: true }))
            }
            (Ok(Outcome::First { judged, hashes, bad, held_out, classes }), None) => {
                if let (Some(bad), OnBad::Stop) = (bad.first(), self.shared.settings.on_bad_row) {
                    let mut place = self.shared.work.source.plan().place(block).row(bad.row);
                    place.column.clone_from(&bad.column);
                    let what = format!("{}; mend the row, or set on_bad_row = \"quarantine\" under [stream]", bad.what);
                    return Err(Error::data(place, what));
                }
                let shared = Arc::clone(&self.shared);
                let mut visits = lock(&shared.visits);
                let cleaner = &shared.work.cleaner;
                let settled = Meters::time(&meters.draw, || cleaner.settle(block, &judged, &mut visits.memory));
                let data = cleaner.cut_settled(judged.data().clone(), &settled.cuts)?;
                let held_out = u64::from(held_out);
                let account = Account {
                    // Rows of other parts of the data are no rows of this stream.
                    read: u64::from(settled.keep.rows()) - held_out,
                    kept: u64::from(settled.keep.count()),
                    dropped: settled.dropped.into_iter().collect(),
                    quarantined: settled.quarantined - held_out,
                    held_out,
                };
                let kept = Arc::new(Kept {
                    keep: settled.keep,
                    weights: settled.weights,
                    scores: settled.scores,
                    cuts: settled.cuts,
                });
                let content = Some(Hash::of_hashes(&hashes));
                let remembered = visits.memory.visits();
                if let Some(classes) = &classes {
                    lock(&shared.classes).set(block, classes.clone())?;
                }
                visits.push(Visit {
                    block,
                    hashes,
                    kept: Arc::clone(&kept),
                    account: account.clone(),
                    classes,
                    fault: None,
                    remembered,
                });
                drop(visits);
                entries.push(Entry::Decision(Record::Block { block, content, account, fault: None }));
                entries.extend(
                    bad.into_iter().map(|bad| Entry::SetAside(SetAside::row(block, bad.row, bad.column, bad.what))),
                );
                Ok(Some(OpenBlock { block, data, kept, kept_only: false }))
            }
            (Ok(_), _) => Err(Error::State(format!("block {block} was read for another pass than it was asked for"))),
            (Err(fault), visit) if self.shared.settings.on_bad_block.sets_aside(&fault) => {
                tracing::warn!("quarantined: {fault}");
                match visit {
                    Some(_) => {
                        let fault = without_place(&fault);
                        entries.push(Entry::Decision(Record::Lost { epoch, block, fault }));
                    }
                    None => {
                        let (rows, set_aside) = self.quarantine(block, &fault);
                        entries.extend([rows, set_aside]);
                    }
                }
                Ok(None)
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// Sets a block aside that could not be read at its first pass; its rows are counted from the plan.
    fn quarantine(&self, block: u32, fault: &Error) -> (Entry, Entry) {
        let rows = self.shared.work.source.plan().blocks.get(block as usize).map_or(0, |block| block.rows);
        let account = Account { read: u64::from(rows), quarantined: u64::from(rows), ..Account::default() };
        let mut visits = lock(&self.shared.visits);
        let remembered = visits.memory.visits();
        visits.push(Visit {
            block,
            hashes: Vec::new(),
            kept: Arc::new(Kept::none(rows)),
            account: account.clone(),
            fault: Some(fault.to_string()),
            classes: None,
            remembered,
        });
        drop(visits);
        let what = without_place(fault);
        let fault = Some(what.clone());
        let record = Record::Block { block, content: None, account, fault };
        (Entry::Decision(record), Entry::SetAside(SetAside::block(block, rows, what)))
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
