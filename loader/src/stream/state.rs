//! The state of a stream: all that a fresh process needs to go on with byte-equal batches.
//!
//! A few integers, the trajectories as visible at the opening of the current window, the reports received since, the
//! policy's parameters, and what the first passes decided. Never a row of data. Equal streams give equal bytes.

use super::{
    domains::Standing,
    identity::Identity,
    remembered::Remembered,
    shared::{Again, Mark, Shared, Start, lock},
    visits::{Kept, Visit, Visits},
};
use crate::{
    Error, Hash, Keep, Position, Report, Result,
    clean::{Cleaner, Cuts},
    ledger::Account,
    value::{Beside, Classes, Parameters, Table},
};
use std::{collections::BTreeSet, fmt, io::Write, path::Path, sync::Arc};

/// First bytes of a state's file; the digit is the format's version.
const MAGIC: &[u8; 16] = b"arable state  8\n";

/// The most batches between the newest report in the values and the next batch: a window's, and the feedback lag.
const MOST_PENDING: u64 = 1 << 32;

/// Where a stream stands: what [`super::Stream::state`] gives and [`super::StreamBuilder::resume`] takes.
#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The dataset's identity.
    pub(super) plan: Hash,
    /// The identity of what decides emission.
    pub(super) identity: Identity,
    pub(super) window: u32,
    pub(super) block_limit: u64,
    pub(super) next_batch: u64,
    pub(super) trained: u64,
    /// What the cleaning operators' surveys came to; empty where there are none.
    pub(super) fits: Vec<serde_bytes::ByteBuf>,
    pub(super) opening: Option<OpeningState>,
}

#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct OpeningState {
    pub(super) epoch: u32,
    pub(super) window: u32,
    pub(super) offset: u64,
    pub(super) within: u64,
    pub(super) first_batch: u64,
    pub(super) applied: u64,
    pub(super) draw: Hash,
    pub(super) head: Option<Hash>,
    #[serde(with = "serde_bytes")]
    table: Vec<u8>,
    #[serde(with = "serde_bytes")]
    parameters: Vec<u8>,
    pub(super) standings: Vec<Standing>,
    /// Bits of what the policy remembers of the mixture.
    mixture: Vec<u64>,
    /// Bits of what the policy's selector remembers, of batches before `remembered_before`.
    remembered: Vec<u64>,
    remembered_before: u64,
    visits: Vec<VisitState>,
    /// Rows that a transform could not take, in order, each once.
    pub(super) spoilt: Vec<Position>,
    #[serde(with = "serde_bytes")]
    memory: Vec<u8>,
    /// As bytes, so that a NaN in a report is equal to itself.
    #[serde(with = "serde_bytes")]
    reports: Vec<u8>,
}

#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct VisitState {
    block: u32,
    hashes: Vec<[u8; 32]>,
    #[serde(with = "serde_bytes")]
    keep: Vec<u8>,
    /// Factors on target weights; empty where all are 1. As bits, so that what is equal is equal.
    weights: Vec<u32>,
    /// By score, as bits: NaN among them.
    scores: Vec<Vec<u32>>,
    cuts: Cuts,
    account: Account,
    fault: Option<String>,
    classes: Option<Vec<u32>>,
    remembered: u32,
}

impl State {
    /// The number of the next batch.
    #[must_use]
    pub const fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// Rows handed over to all ranks so far, presentations counted.
    #[must_use]
    pub const fn trained(&self) -> u64 {
        self.trained
    }

    /// The state as bytes: equal states give equal bytes.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if the state cannot be written down.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        let body = postcard::to_stdvec(self).map_err(unwritable)?;
        bytes.extend_from_slice(&body);
        let hash = Hash::of(&bytes);
        bytes.extend_from_slice(&hash.0);
        Ok(bytes)
    }

    /// Reads a state.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where the bytes are no state, of another version, cut off or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| Error::State("this is no state of a stream, or one of another version of Arable".into()))?;
        let (body, _) = body
            .split_last_chunk::<32>()
            .filter(|(_, hash)| Hash::of(&bytes[..bytes.len() - 32]).0 == **hash)
            .ok_or_else(|| {
                Error::State("the state is cut off or damaged: its hash does not fit; take an earlier one".into())
            })?;
        postcard::from_bytes(body).map_err(unreadable)
    }

    /// Writes the state to `path`, as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::State`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
        file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io("write", path))?;
        file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
        Ok(())
    }

    /// Reads the state that was written to `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::State`] as for [`State::from_bytes`].
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&std::fs::read(path).map_err(Error::io("read", path))?)
    }

    /// The state of a stream that stands at `mark`, with the ledger's head where the run is recorded.
    /// `spoilt` are the rows that transforms could not take, and `lost` how many presentations that cost.
    pub(super) fn at(
        mark: &Mark,
        template: &Self,
        shared: &Shared,
        (spoilt, lost): (&BTreeSet<Position>, u64),
        remembered: &Remembered,
        head: Option<Hash>,
    ) -> Result<Self> {
        let opening = &mark.opening;
        let (remembered, remembered_before) = remembered.to_bits();
        let visits = lock(&shared.visits);
        let prefix = visits.prefix(opening.visits);
        // Once every block was visited no row can be anybody's later twin.
        let memory = match prefix.last() {
            Some(last) if !visits.complete(opening.visits) => visits.memory.to_bytes(last.remembered),
            _ => Vec::new(),
        };
        let visits = prefix.iter().map(VisitState::from).collect();
        let mut reports = shared.reports(opening.applied, mark.next_batch);
        // What says nothing need not be said.
        reports.retain(|report| !report.rows.is_empty());
        Ok(Self {
            next_batch: mark.next_batch,
            trained: mark.drawn - lost.min(mark.drawn),
            opening: Some(OpeningState {
                epoch: opening.epoch,
                window: opening.window,
                offset: mark.offset as u64,
                within: mark.within,
                first_batch: opening.first_batch,
                applied: opening.applied,
                draw: opening.draw,
                head,
                table: opening.table.to_bytes(),
                parameters: opening.parameters.to_bytes(),
                standings: opening.standings.clone(),
                mixture: opening.memory.iter().map(|value| value.to_bits()).collect(),
                remembered,
                remembered_before,
                visits,
                spoilt: spoilt.iter().copied().collect(),
                memory,
                reports: postcard::to_stdvec(&reports).map_err(unwritable)?,
            }),
            ..template.clone()
        })
    }

    /// What a selector remembers that remembers `most` numbers.
    pub(super) fn remembered(&self, most: usize) -> Result<Remembered> {
        let Some(opening) = &self.opening else { return Ok(Remembered::nothing()) };
        let beside = (opening.applied, self.next_batch);
        Remembered::from_bits(&opening.remembered, opening.remembered_before, most, beside)
    }

    /// What the sequencer goes on from, and what the first passes had found. `block_rows` are those of the plan, `parts` the
    /// shares of its domains, `beside` what is kept beside trajectories.
    pub(super) fn start(
        &self,
        block_rows: &[u32],
        parts: &[u64],
        cleaner: &Cleaner,
        beside: Beside,
    ) -> Result<(Start, Visits, Classes, Vec<Report>)> {
        let mut visits = Visits::new(block_rows.len(), cleaner.memory());
        let mut classes = Classes::new(block_rows);
        let Some(opening) = &self.opening else {
            let start = Start {
                table: Table::new(block_rows).keeping(beside),
                parameters: Arc::new(Parameters::default()),
                standings: parts.iter().copied().map(Standing::new).collect(),
                memory: Arc::new([]),
                applied: 0,
                next_batch: self.next_batch,
                trained: self.trained,
                again: None,
            };
            return Ok((start, visits, classes, Vec::new()));
        };
        if let Some(row) = opening.spoilt.iter().find(|row| row.row >= rows_of(block_rows, row.block)) {
            return Err(Error::State(format!("it speaks of row {row}, which the plan does not have")));
        }
        for visit in &opening.visits {
            let rows = block_rows.get(visit.block as usize).ok_or_else(|| {
                Error::State(format!("it speaks of block {}, which the plan does not have", visit.block))
            })?;
            let visit = visit.to_visit(*rows)?;
            if let Some(of_rows) = &visit.classes {
                classes.set(visit.block, of_rows.clone())?;
            }
            visits.push(visit);
        }
        if !opening.memory.is_empty() {
            visits.memory = cleaner.restore(&opening.memory)?;
        }
        // One slot is kept for each of these batches, so a damaged number must not ask for more than there can be.
        let pending = self.next_batch.saturating_sub(opening.applied);
        if self.next_batch < opening.applied || pending > MOST_PENDING {
            return Err(Error::State(format!(
                "it stands before batch {} with the reports of batches before {} in the values",
                self.next_batch, opening.applied
            )));
        }
        let start = Start {
            table: Table::from_bytes(block_rows, beside, &opening.table)?,
            parameters: Arc::new(Parameters::from_bytes(&opening.parameters)?),
            standings: opening.standings.clone(),
            memory: opening.mixture.iter().map(|&bits| f64::from_bits(bits)).collect(),
            applied: opening.applied,
            next_batch: self.next_batch,
            trained: self.trained,
            again: Some(Again {
                epoch: opening.epoch,
                window: opening.window,
                first_batch: opening.first_batch,
                offset: usize::try_from(opening.offset).unwrap_or(usize::MAX),
                within: opening.within,
                draw: opening.draw,
            }),
        };
        let reports = postcard::from_bytes(&opening.reports).map_err(unreadable)?;
        Ok((start, visits, classes, reports))
    }
}

fn rows_of(block_rows: &[u32], block: u32) -> u32 {
    block_rows.get(block as usize).copied().unwrap_or(0)
}

fn unwritable(error: postcard::Error) -> Error {
    Error::State(format!("the state cannot be written down: {error}"))
}

fn unreadable(error: postcard::Error) -> Error {
    Error::State(format!("the state cannot be read: {error}"))
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("State");
        text.field("plan", &self.plan).field("recipe", &self.identity.hash).field("window", &self.window);
        text.field("next_batch", &self.next_batch).field("trained", &self.trained);
        if let Some(opening) = &self.opening {
            let place = (opening.epoch, opening.window, opening.offset, opening.within);
            text.field("epoch, window, offset, within", &place).field("first_batch", &opening.first_batch);
            text.field("applied", &opening.applied).field("draw", &opening.draw);
            // What is long is shown by its hash: enough to see which part of two states differs.
            text.field("table", &Hash::of(&opening.table)).field("parameters", &Hash::of(&opening.parameters));
            text.field("standings", &opening.standings);
            text.field("remembered", &opening.remembered.len()).field("of batches before", &opening.remembered_before);
            text.field("visits", &opening.visits.len()).field("memory", &Hash::of(&opening.memory));
            text.field("reports", &Hash::of(&opening.reports));
        }
        text.finish_non_exhaustive()
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

impl From<&Visit> for VisitState {
    fn from(visit: &Visit) -> Self {
        Self {
            block: visit.block,
            hashes: visit.hashes.iter().map(|hash| hash.0).collect(),
            keep: visit.kept.keep.as_bytes().to_vec(),
            weights: bits(&visit.kept.weights),
            scores: visit.kept.scores.iter().map(|score| bits(score)).collect(),
            cuts: visit.kept.cuts.clone(),
            account: visit.account.clone(),
            fault: visit.fault.clone(),
            classes: visit.classes.clone(),
            remembered: visit.remembered,
        }
    }
}

impl VisitState {
    fn to_visit(&self, rows: u32) -> Result<Visit> {
        let wrong = |what: &str| Error::State(format!("what it says of block {} {what}", self.block));
        let keep = Keep::from_bytes(self.keep.clone(), rows).ok_or_else(|| wrong("is not of its rows"))?;
        if self.classes.as_ref().is_some_and(|classes| classes.len() != rows as usize) {
            return Err(wrong("has classes for other rows"));
        }
        let numbers = self.scores.iter().chain(Some(&self.weights).filter(|weights| !weights.is_empty()));
        if numbers.map(Vec::len).any(|length| length != rows as usize) {
            return Err(wrong("has weights or scores for other rows"));
        }
        let floats = |bits: &Vec<u32>| bits.iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<f32>>();
        let kept = Kept {
            keep,
            weights: floats(&self.weights),
            scores: self.scores.iter().map(floats).collect(),
            cuts: self.cuts.clone(),
        };
        Ok(Visit {
            block: self.block,
            hashes: self.hashes.iter().map(|&hash| Hash(hash)).collect(),
            kept: Arc::new(kept),
            account: self.account.clone(),
            fault: self.fault.clone(),
            classes: self.classes.clone(),
            remembered: self.remembered,
        })
    }
}
