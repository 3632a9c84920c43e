//! Where each domain of a mixture stands: its pass, its open window, and how much of it was given.
//!
//! A dataset that is no mixture is its only domain. A window of the stream takes rows in turns by the domains' shares,
//! until the turn comes to a domain whose own window is used up; then that one moves on, and the next window of the
//! stream opens. So no domain ever has more than its own window open, counts are exact whatever cleaning drops, and a
//! place in an epoch is a few integers a domain. It knows nothing of policies or draws.

use super::{
    intake::Intake,
    record::Entry,
    schedule::{MOST_PASSES, Pass},
    shared::{Settings, lock},
    visits::{Kept, Visits},
    window::OpenBlock,
};
use crate::{Error, Place, Plan, Position, Result, recipe::Exhausted, sample::Turns};
use std::{collections::HashMap, sync::Mutex};

/// Where one domain stands in a data epoch: what a state holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Standing {
    /// Which pass over its blocks it is, counted from 0 in each data epoch.
    pub(super) pass: u32,
    /// The window of that pass that is open.
    pub(super) window: u32,
    /// How many rows of that window were given.
    pub(super) offset: u64,
    /// How many rows the pass has given.
    pub(super) given: u64,
    /// The share in force, in parts of [`sample::WHOLE`](crate::sample::WHOLE).
    pub(super) part: u64,
    /// What it is owed, in parts of a row.
    pub(super) lag: i64,
}

impl Standing {
    /// At the start of a data epoch.
    pub(super) const fn new(part: u64) -> Self {
        Self { pass: 0, window: 0, offset: 0, given: 0, part, lag: 0 }
    }
}

/// One domain.
#[derive(Debug)]
struct Domain {
    standing: Standing,
    /// The windows of its pass.
    windows: Vec<Vec<u32>>,
    /// Its open window; `None` until its blocks were received.
    open: Option<OpenDomain>,
}

/// A domain's open window.
#[derive(Debug)]
struct OpenDomain {
    blocks: Vec<OpenBlock>,
    /// Its kept rows, in the order of its blocks.
    rows: Vec<Position>,
    /// The order in which they are given, by number, where they are not all given at once.
    order: Option<Vec<u32>>,
}

/// What the domains give to a window of the stream.
#[derive(Debug)]
pub(super) struct Offer {
    /// The blocks that are open, domain by domain.
    pub(super) blocks: Vec<OpenBlock>,
    /// The rows that are offered, domain by domain, in the order of their blocks.
    pub(super) positions: Vec<Position>,
    /// How many of them are each domain's.
    pub(super) counts: Vec<u64>,
}

impl Offer {
    /// What cleaning says of the rows of each block.
    pub(super) fn kept(&self) -> HashMap<u32, &Kept> {
        self.blocks.iter().map(|open| (open.block, open.kept.as_ref())).collect()
    }
}

/// All domains of a run.
#[derive(Debug)]
pub(super) struct Domains {
    settings: Settings,
    epoch: u32,
    domains: Vec<Domain>,
    /// Which domains move on before the next window opens; none where the data epoch ends instead.
    moving: Vec<usize>,
    ended: bool,
}

impl Domains {
    pub(super) fn new(settings: &Settings, epoch: u32, standings: &[Standing]) -> Self {
        let domains = settings.schedules.iter().zip(standings).map(|(schedule, &standing)| Domain {
            standing,
            windows: schedule.windows(Pass { epoch, number: standing.pass }),
            open: None,
        });
        let mut domains =
            Self { domains: domains.collect(), settings: settings.clone(), epoch, moving: Vec::new(), ended: false };
        domains.ended = domains.is_empty();
        domains
    }

    /// Whether there is no row in the plan, so that no window ever opens.
    pub(super) fn is_empty(&self) -> bool {
        self.domains.iter().all(|domain| domain.windows.is_empty())
    }

    /// Whether the window that was opened last is the last one of its data epoch.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Where all domains stand.
    pub(super) fn standings(&self) -> Vec<Standing> {
        self.domains.iter().map(|domain| domain.standing).collect()
    }

    /// Lets the shares `parts` be in force from the next window on.
    pub(super) fn share(&mut self, parts: &[u64]) {
        self.domains.iter_mut().zip(parts).for_each(|(domain, part)| domain.standing.part = *part);
    }

    /// Begins a data epoch. Shares stay in force; what a domain is owed is forgotten.
    pub(super) fn begin(&mut self, epoch: u32, intake: &mut Intake) {
        self.epoch = epoch;
        self.ended = false;
        self.moving.clear();
        for (index, (domain, schedule)) in self.domains.iter_mut().zip(&self.settings.schedules).enumerate() {
            let pass = Pass { epoch, number: 0 };
            domain.standing = Standing::new(domain.standing.part);
            domain.windows = schedule.windows(pass);
            domain.open = None;
            intake.close(index);
            intake.begin(index, pass);
        }
    }

    /// Moves domains on that have nothing left, so that every domain has the window open that the next rows come from.
    pub(super) fn advance(&mut self, intake: &mut Intake, entries: &mut Vec<Entry>) -> Result<()> {
        for index in std::mem::take(&mut self.moving) {
            let (Some(domain), Some(schedule)) = (self.domains.get_mut(index), self.settings.schedules.get(index))
            else {
                continue;
            };
            // Its blocks go before the next ones come.
            domain.open = None;
            intake.close(index);
            domain.standing.offset = 0;
            domain.standing.window += 1;
            if domain.standing.window as usize >= domain.windows.len() {
                let pass = Pass { epoch: self.epoch, number: domain.standing.pass + 1 };
                domain.standing = Standing { pass: pass.number, window: 0, given: 0, ..domain.standing };
                domain.windows = schedule.windows(pass);
                intake.begin(index, pass);
            }
        }
        for (index, domain) in self.domains.iter_mut().enumerate() {
            if domain.open.is_some() {
                continue;
            }
            let window = domain.windows.get(domain.standing.window as usize).ok_or_else(|| {
                let (window, windows) = (domain.standing.window, domain.windows.len());
                Error::State(format!("it stands in window {window} of a pass that has {windows}"))
            })?;
            let mut blocks = Vec::with_capacity(window.len());
            for &block in window {
                blocks.extend(intake.receive(index, block, entries)?);
            }
            let mut rows = Vec::with_capacity(blocks.iter().map(|open| open.kept.keep.count() as usize).sum());
            for open in &blocks {
                rows.extend(open.kept.keep.kept().map(|row| Position::new(open.block, row)));
            }
            if domain.standing.offset > rows.len() as u64 {
                let (offset, rows) = (domain.standing.offset, rows.len());
                return Err(Error::State(format!("it stands after row {offset} of a domain's window of {rows}")));
            }
            domain.open = Some(OpenDomain { blocks, rows, order: None });
        }
        Ok(())
    }

    /// Takes the rows of one window of the stream, and says who moves on after it. `plan` and `visits` are for what has to
    /// be refused.
    pub(super) fn take(&mut self, plan: &Plan, visits: &Mutex<Visits>) -> Result<Offer> {
        let rests: Vec<u64> = self.domains.iter().map(Domain::rest).collect();
        let mut turns = Turns::new(self.domains.iter().map(|domain| (domain.standing.part, domain.standing.lag)));
        let (counts, stopped) = turns.deal(&rests);
        let mut offer = Offer { blocks: Vec::new(), positions: Vec::new(), counts };
        for (index, ((domain, lag), &count)) in self.domains.iter_mut().zip(turns.lags()).zip(&offer.counts).enumerate()
        {
            domain.standing.lag = lag;
            let pass = Pass { epoch: self.epoch, number: domain.standing.pass };
            let (Some(open), Some(schedule)) = (&mut domain.open, self.settings.schedules.get(index)) else { continue };
            let (offset, count) = (domain.standing.offset as usize, count as usize);
            if count == open.rows.len() {
                offer.positions.extend(&open.rows);
            } else if count > 0 {
                let order =
                    open.order.get_or_insert_with(|| schedule.rows(pass, domain.standing.window, open.rows.len()));
                let mut picked: Vec<u32> = order[offset..offset + count].to_vec();
                // In the order of the blocks, as where all of them are taken.
                picked.sort_unstable();
                offer.positions.extend(picked.iter().map(|&row| open.rows[row as usize]));
            }
            offer.blocks.extend(open.blocks.iter().cloned());
            domain.standing.offset += count as u64;
            domain.standing.given += count as u64;
        }
        self.decide(stopped, plan, visits)?;
        Ok(offer)
    }

    /// Who moves on, or whether the data epoch ends, now that the turn is `stopped`'s and it has nothing left.
    fn decide(&mut self, stopped: Option<usize>, plan: &Plan, visits: &Mutex<Visits>) -> Result<()> {
        let at_end = |domain: &Domain| domain.standing.window as usize + 1 >= domain.windows.len();
        let mut moving: Vec<usize> = Vec::new();
        for (index, domain) in self.domains.iter().enumerate() {
            // Whoever has another window moves on at once; who would begin another pass waits until its turn comes.
            if domain.rest() == 0 && (!at_end(domain) || stopped == Some(index)) {
                moving.push(index);
            }
        }
        if let Some(domain) = stopped.and_then(|index| self.domains.get(index)).filter(|domain| at_end(domain)) {
            let others = self.domains.iter().enumerate().filter(|(index, _)| stopped != Some(*index));
            let ends = self.domains.len() == 1
                || self.settings.exhausted == Exhausted::Stop
                || others.map(|(_, domain)| domain).all(|domain| domain.standing.pass > 0);
            if let Some(named) = stopped.and_then(|index| plan.domains.get(index))
                && !self.settings.plan_order
                && domain.standing.given == 0
            {
                let rows = plan.rows_of(&named.blocks);
                let dropped = lock(visits).account_of(named.blocks.clone());
                let place = Place { dataset: Some(named.name.clone()), ..Place::default() };
                let what = format!(
                    "a pass over its {rows} rows gave none ({} were dropped, {} could not be read), so it cannot have its \
                     share: mend it, or leave the domain out",
                    dropped.dropped(),
                    dropped.quarantined
                );
                return Err(Error::data(place, what));
            }
            if !ends && domain.standing.pass + 1 >= MOST_PASSES {
                let name = stopped.and_then(|index| plan.domains.get(index)).map(|domain| domain.name.clone());
                let place = Place { dataset: name, ..Place::default() };
                let what = format!(
                    "it was repeated {MOST_PASSES} times in one data epoch: it is too small for its share; give it less, \
                     or set exhausted = \"stop\" under [mixture]"
                );
                return Err(Error::data(place, what));
            }
            self.ended = ends;
        }
        if !self.ended {
            self.moving = moving;
        }
        Ok(())
    }
}

impl Domain {
    /// How many rows its open window still has.
    fn rest(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| (open.rows.len() as u64).saturating_sub(self.standing.offset))
    }
}
