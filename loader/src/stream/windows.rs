//! Windows: which one opens next, what the policy sees when it does, and what it draws.
//!
//! Everything here is a function of the schedule, the verdicts and the reports of batches that are old enough. It knows
//! nothing of batches but their numbers.

use super::{
    domains::{Domains, Offer},
    intake::Intake,
    meters::Meters,
    picking,
    pool::Task,
    record::Entry,
    schedule::Pass,
    shared::{Again, Shared, Start, lock},
    window::{OpenWindow, Opening},
};
use crate::{
    Draw, Drawn, Error, Hash, Place, Position, Report, Result, Target,
    ledger::Record,
    sample,
    value::{MixtureOpening, Parameters, Reshare, Table, WindowRows, inbox::Wait},
};
use crossbeam::channel::Receiver;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

/// How many batches a user may hold unreported before the oldest counts as "no signal", where no draw depends on it:
/// the reports of later batches wait behind it.
const MOST_HELD: u64 = 1024;

/// The windows of a run, in order.
#[derive(Debug)]
pub(super) struct Windows {
    shared: Arc<Shared>,
    intake: Intake,
    domains: Domains,
    epoch: u32,
    /// The window that opens next.
    next: u32,
    table: Table,
    parameters: Arc<Parameters>,
    /// What the policy remembers of the mixture.
    memory: Arc<[f64]>,
    applied: u64,
    again: Option<Again>,
    /// Whether the data epoch has filled a batch; taken for granted in the one that a run goes on in.
    filled_in_epoch: bool,
    /// What is to be written down once the next batch is handed over.
    entries: Vec<Entry>,
}

impl Windows {
    pub(super) fn new(shared: Arc<Shared>, start: Start, tasks: &Receiver<Task>, threads: usize) -> Result<Self> {
        let (epoch, next) = start.again.map_or((0, 0), |again| (again.epoch, again.window));
        let settings = &shared.settings;
        if start.standings.len() != settings.schedules.len() {
            let (found, wanted) = (start.standings.len(), settings.schedules.len());
            return Err(Error::State(format!("it speaks of {found} domains, and there are {wanted}")));
        }
        let starts = start.standings.iter().map(|standing| (Pass { epoch, number: standing.pass }, standing.window));
        Ok(Self {
            intake: Intake::new(Arc::clone(&shared), starts, tasks, threads)?,
            domains: Domains::new(settings, epoch, &start.standings),
            epoch,
            next,
            table: start.table,
            parameters: start.parameters,
            memory: start.memory,
            applied: start.applied,
            filled_in_epoch: start.again.is_some(),
            again: start.again,
            entries: Vec::new(),
            shared,
        })
    }

    /// Takes note that the data epoch has filled a batch.
    pub(super) const fn filled_batch(&mut self) {
        self.filled_in_epoch = true;
    }

    /// Whether the window that was opened last is the last one of its data epoch.
    pub(super) const fn ends_epoch(&self) -> bool {
        self.domains.ended()
    }

    /// Has blocks read for the windows to come, as far as there is room for them by now.
    pub(super) fn read_on(&mut self) {
        self.intake.read_on();
    }

    /// What was decided since this was asked for last.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Opens the next window, whose first row goes to batch `first_batch`; with it, how many of its rows were emitted
    /// before, and how much of what follows them. `None` at the run's end.
    pub(super) fn advance(&mut self, first_batch: u64) -> Result<Option<(OpenWindow, usize, u64)>> {
        let epochs = self.shared.epochs.load(Ordering::Relaxed);
        if let Some(again) = self.again.take() {
            return self.reopen(again, epochs).map(Some);
        }
        if self.ends_epoch() {
            if self.domains.is_empty() {
                return Ok(None);
            }
            if !self.filled_in_epoch && epochs == u32::MAX {
                return Err(self.barren());
            }
            self.epoch += 1;
            self.filled_in_epoch = false;
            self.next = 0;
            if self.epoch < epochs {
                self.domains.begin(self.epoch, &mut self.intake);
            }
        }
        if self.epoch >= epochs {
            return Ok(None);
        }
        Ok(Some((self.open(first_batch, None)?, 0, 0)))
    }

    /// Opens the window that a state stands in.
    fn reopen(&mut self, again: Again, epochs: u32) -> Result<(OpenWindow, usize, u64)> {
        if again.epoch >= epochs {
            return Err(Error::recipe(format!(
                "the state stands in data epoch {} (counted from 0) and the recipe has epochs = {epochs}: give it more \
                 epochs to go on",
                again.epoch
            )));
        }
        let window = self.open(again.first_batch, Some(again))?;
        if again.offset > window.draw.len() {
            return Err(Error::State(format!(
                "it stands after row {} of a draw of {}",
                again.offset,
                window.draw.len()
            )));
        }
        Ok((window, again.offset, again.within))
    }

    /// Why a run without end is over: nothing would ever come of it.
    fn barren(&self) -> Error {
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
        Error::data(place, what)
    }

    /// Opens window `self.next`: lets in the reports that are old enough, takes its blocks, and draws.
    fn open(&mut self, first_batch: u64, again: Option<Again>) -> Result<OpenWindow> {
        let window = self.next;
        self.next += 1;
        let before = self.entries.len();
        // A draw that no report can change is made while the consumer still has batches of the window before.
        let is_early = !self.shared.policy.reads_signals()
            && self.shared.work.source.plan().domains.len() < 2
            && !self.settles_what_is_wound_back();
        if again.is_none() && !is_early {
            let reports = self.let_in(first_batch, before)?;
            self.reshare(&reports)?;
        }
        self.domains.advance(&mut self.intake, &mut self.entries)?;
        let shared = Arc::clone(&self.shared);
        let standings = self.domains.standings();
        let (offer, draw, hash) = Meters::time(&shared.meters.draw, || {
            let offer = self.domains.take(shared.work.source.plan(), &shared.visits)?;
            if window == 0 && again.is_none() {
                self.fit();
            }
            let draw = self.draw(window, &offer)?;
            let hash = hash_of(&draw);
            Ok::<_, Error>((offer, draw, hash))
        })?;
        if again.is_none() && is_early {
            self.let_in(first_batch, before)?;
        }
        Meters::time(&shared.meters.draw, || {
            match again {
                Some(again) if again.draw != hash => {
                    return Err(Error::State(format!(
                        "window {window} of data epoch {} draws other rows than it did before the checkpoint: the data, \
                         the policy or this program changed since",
                        self.epoch
                    )));
                }
                Some(_) => {}
                None => {
                    let mixed = standings.len() > 1;
                    let domains = if mixed { offer.counts } else { Vec::new() };
                    let shares =
                        if mixed { standings.iter().map(|standing| standing.part).collect() } else { Vec::new() };
                    let (epoch, rows) = (self.epoch, draw.len() as u64);
                    let record = Record::Draw { epoch, window, first_batch, rows, hash, domains, shares };
                    self.entries.push(Entry::Decision(record));
                }
            }
            let opening = Opening {
                epoch: self.epoch,
                window,
                first_batch,
                applied: self.applied,
                table: self.table.snapshot(),
                parameters: Arc::clone(&self.parameters),
                standings,
                memory: Arc::clone(&self.memory),
                visits: lock(&shared.visits).len(),
                draw: hash,
            };
            OpenWindow::new(opening, offer.blocks, draw)
        })
    }

    /// Whether the blocks of the next window are settled against indexes that keep what it takes to wind them back: these
    /// may grow by the blocks of one window, not of two.
    fn settles_what_is_wound_back(&self) -> bool {
        let visits = lock(&self.shared.visits);
        self.shared.settings.winds_back && !visits.complete(visits.len())
    }

    /// Lets in the reports that a window may see whose first row goes to batch `first_batch`; which they are. They are
    /// written down as entry number `at`.
    fn let_in(&mut self, first_batch: u64, at: usize) -> Result<Vec<Report>> {
        let watermark = first_batch.saturating_sub(self.shared.settings.feedback_lag);
        let wait = if self.shared.policy.reads_signals() { Wait::ForAll } else { Wait::No };
        self.intake.top_up();
        let handed_out = self.shared.settings.handed_out_before(first_batch);
        let meters = Arc::clone(&self.shared.meters);
        Meters::time(&meters.wait_consumer, || self.shared.inbox.wait_until_handed_out(handed_out));
        if wait == Wait::No && !self.shared.picks_by_reports() {
            self.shared.inbox.give_up_before(watermark.saturating_sub(MOST_HELD));
        }
        let reports = Meters::time(&meters.wait_feedback, || self.shared.inbox.peek_before(watermark, wait));
        self.apply(&reports, at)?;
        Ok(reports)
    }

    /// Lets the policy move the shares of a mixture.
    fn reshare(&mut self, reports: &[Report]) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let plan = shared.work.source.plan();
        if plan.domains.len() < 2 {
            return Ok(());
        }
        let share = |part: u64| part as f64 / sample::WHOLE as f64;
        let of_recipe: Vec<f64> = shared.settings.parts.iter().copied().map(share).collect();
        let in_force: Vec<f64> = self.domains.standings().iter().map(|standing| share(standing.part)).collect();
        let opening = MixtureOpening {
            domains: &plan.domains,
            of_recipe: &of_recipe,
            in_force: &in_force,
            memory: &self.memory,
            reports,
            references: shared.references.as_deref(),
        };
        let Some(Reshare { shares, memory }) = shared.policy.reshare(&opening) else { return Ok(()) };
        let parts = sample::parts(&shares).filter(|parts| parts.len() == plan.domains.len()).ok_or_else(|| {
            Error::recipe(format!(
                "policy `{}` gave {shares:?} as shares of {} domains: it must give each one above 0",
                shared.policy.name(),
                plan.domains.len()
            ))
        })?;
        self.domains.share(&parts);
        self.memory = memory.into();
        Ok(())
    }

    /// Fits the policy at a data epoch's start.
    fn fit(&mut self) {
        let classes = lock(&self.shared.classes);
        self.parameters = Arc::new(self.shared.policy.fit(&self.table, &classes, self.epoch));
        let bytes = self.parameters.to_bytes();
        if !bytes.is_empty() {
            let parameters = Hash::of(&bytes);
            self.entries.push(Entry::Decision(Record::Fitted { epoch: self.epoch, parameters }));
        }
    }

    /// What the policy draws of the rows on offer.
    fn draw(&self, window: u32, offer: &Offer) -> Result<Draw> {
        let (shared, positions) = (&self.shared, &offer.positions);
        if shared.settings.plan_order {
            return Ok(positions.iter().map(|&position| Drawn { position, weight: 1.0 }).collect());
        }
        let mut targets = Vec::with_capacity(positions.len());
        let scores = scores(shared, offer);
        let column = match shared.policy.column() {
            Some(name) => column(offer, name)?,
            None => Vec::new(),
        };
        let classes = lock(&shared.classes);
        let rows = WindowRows::new(positions, &self.table, &classes)
            .with_scores(&scores)
            .with_column(&column)
            .with_domains(&shared.work.source.plan().domains);
        shared.policy.targets(&self.parameters, &rows, &mut targets);
        drop(classes);
        weigh(&mut targets, offer);
        sample::draw(shared.policy.name(), positions, &targets, shared.settings.seed, self.epoch, u64::from(window))
    }

    /// Lets `reports`, the next ones in the inbox, enter the values.
    fn apply(&mut self, reports: &[Report], at: usize) -> Result<()> {
        let Some(last) = reports.last() else { return Ok(()) };
        let to = last.batch + 1;
        // A state may be taken at any moment: a report is never in neither place.
        lock(&self.shared.recent).extend(reports.iter().cloned());
        drop(self.shared.inbox.take_before(to, Wait::No));
        for report in reports {
            self.table.apply(report)?;
        }
        self.applied = to;
        self.entries.insert(at, Entry::Feedback(reports.to_vec()));
        Ok(())
    }
}

/// What cleaning found out about the rows on offer, by score and in their order.
fn scores(shared: &Shared, offer: &Offer) -> Vec<(String, Vec<f32>)> {
    let names = shared.work.cleaner.scores();
    if names.is_empty() {
        return Vec::new();
    }
    let kept = offer.kept();
    let of = |score: usize| {
        let value = |position: &Position| {
            let all = kept.get(&position.block)?.scores.get(score)?;
            all.get(position.row as usize).copied()
        };
        offer.positions.iter().map(|position| value(position).unwrap_or(f32::NAN)).collect()
    };
    names.iter().enumerate().map(|(score, name)| (name.clone(), of(score))).collect()
}

/// The numbers of column `name` of the rows on offer, in their order.
fn column(offer: &Offer, name: &str) -> Result<Vec<f32>> {
    let mut of_blocks = HashMap::new();
    for open in &offer.blocks {
        let mut numbers = picking::numbers(&open.data, name)?;
        if open.kept_only {
            let mut all = vec![f32::NAN; open.kept.keep.rows() as usize];
            open.kept.keep.kept().zip(numbers).for_each(|(row, number)| all[row as usize] = number);
            numbers = all;
        }
        of_blocks.insert(open.block, numbers);
    }
    let number = |position: &Position| of_blocks.get(&position.block)?.get(position.row as usize).copied();
    Ok(offer.positions.iter().map(|position| number(position).unwrap_or(f32::NAN)).collect())
}

/// Lowers the target weights of the rows on offer by the factors that cleaning gave them.
fn weigh(targets: &mut [Target], offer: &Offer) {
    let kept = offer.kept();
    if kept.values().all(|kept| kept.weights.is_empty()) {
        return;
    }
    for (target, position) in targets.iter_mut().zip(&offer.positions) {
        let weights = kept.get(&position.block).map_or(&[][..], |kept| &kept.weights);
        target.weight *= weights.get(position.row as usize).copied().unwrap_or(1.0);
    }
}

/// BLAKE3 over positions and weights, in order.
fn hash_of(draw: &Draw) -> Hash {
    // As many rows at once as keep the hasher busy and stay near.
    const ROWS: usize = 1 << 12;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::with_capacity(draw.len().min(ROWS) * 12);
    for rows in draw.chunks(ROWS) {
        bytes.clear();
        for drawn in rows {
            bytes.extend_from_slice(&drawn.position.block.to_le_bytes());
            bytes.extend_from_slice(&drawn.position.row.to_le_bytes());
            bytes.extend_from_slice(&drawn.weight.to_le_bytes());
        }
        hasher.update(&bytes);
    }
    Hash(*hasher.finalize().as_bytes())
}
