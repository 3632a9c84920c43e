//! Where a run is written down: a folder with its ledger and its feedback log.

use super::{data::Sharing, quarantine::SetAside, state::State};
use crate::{
    Hash, Plan, Recipe, Report, Result,
    ledger::{FeedbackWriter, Ledger, MixedDomain, Record},
};
use std::path::Path;

/// The ledger's file in a run's folder.
pub(super) const LEDGER: &str = "ledger.jsonl";
/// The feedback log's folder in a run's folder.
pub(super) const FEEDBACK: &str = "feedback";

/// Writes a run down.
#[derive(Debug)]
pub(super) struct Recorder {
    ledger: Ledger,
    feedback: FeedbackWriter,
    reported: u64,
}

/// What is to be written down.
#[derive(Debug)]
pub(super) enum Entry {
    /// A decision.
    Decision(Record),
    /// Rows or a block were set aside: for the quarantine, not for the ledger.
    SetAside(SetAside),
    /// These reports entered the values, in batch order.
    Feedback(Vec<Report>),
}

/// The first record of a run that begins at `begun`.
pub(super) fn opened(recipe: &Recipe, begun: &State, plan: &Plan, sharing: &Sharing) -> Record {
    let domains = plan.domains.iter().zip(&sharing.parts);
    let domains = domains.map(|(domain, &share)| MixedDomain {
        name: domain.name.clone(),
        first_block: domain.blocks.start,
        share,
    });
    Record::Opened {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: begun.plan,
        recipe: begun.identity.hash,
        seed: recipe.seed,
        rows: plan.rows(),
        blocks: plan.blocks.len() as u64,
        window: begun.window,
        domains: domains.collect(),
    }
}

impl Recorder {
    /// Begins a run in `folder`, which is made where it is missing.
    pub(super) fn begin(folder: &Path, opened: &Record) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(crate::Error::io("create", folder))?;
        let mut ledger = Ledger::create(&folder.join(LEDGER))?;
        ledger.append(opened)?;
        ledger.flush()?;
        Ok(Self { ledger, feedback: FeedbackWriter::create(&folder.join(FEEDBACK), 0)?, reported: 0 })
    }

    /// Goes on with the run in `folder` from a checkpoint that stands before batch `batch`, whose window was opened
    /// when the chain had the head `head` and the reports of batches before `applied` had entered the values.
    pub(super) fn resume(folder: &Path, head: Hash, batch: u64, applied: u64) -> Result<Self> {
        let mut ledger = Ledger::resume(&folder.join(LEDGER), head)?;
        ledger.append(&Record::Resumed { head, batch })?;
        ledger.flush()?;
        Ok(Self { ledger, feedback: FeedbackWriter::create(&folder.join(FEEDBACK), applied)?, reported: applied })
    }

    /// Writes `entries` down and hands them to the operating system.
    pub(super) fn write(&mut self, entries: Vec<Entry>) -> Result<()> {
        for entry in entries {
            match entry {
                Entry::Decision(record) => self.ledger.append(&record)?,
                Entry::Feedback(reports) => self.feedback(&reports)?,
                Entry::SetAside(_) => {}
            }
        }
        self.ledger.flush()?;
        self.feedback.flush()
    }

    /// Takes down that `reports` entered the values.
    fn feedback(&mut self, reports: &[Report]) -> Result<()> {
        let (Some(first), Some(last)) = (reports.first(), reports.last()) else { return Ok(()) };
        let mut hasher = blake3::Hasher::new();
        let mut rows = 0;
        for report in reports {
            hasher.update(&report.batch.to_le_bytes());
            hasher.update(&(report.rows.len() as u64).to_le_bytes());
            for (position, signal) in &report.rows {
                hasher.update(&position.block.to_le_bytes());
                hasher.update(&position.row.to_le_bytes());
                hasher.update(&signal.loss.to_le_bytes());
                match signal.class {
                    None => hasher.update(&[0]),
                    Some(class) => hasher
                        .update(&[1 + u8::from(class.pair.is_some())])
                        .update(&class.logit_margin.to_le_bytes())
                        .update(&class.probability_margin.to_le_bytes())
                        .update(&class.probability.to_le_bytes()),
                };
                if let Some(pair) = signal.class.and_then(|class| class.pair) {
                    hasher.update(&pair.label.to_le_bytes()).update(&pair.rival.to_le_bytes());
                }
            }
            for pick in &report.picks {
                hasher.update(&pick.index.to_le_bytes()).update(&pick.weight.to_le_bytes());
            }
            if let Some(statistic) = report.statistic {
                hasher.update(&statistic.to_le_bytes());
            }
            rows += report.rows.len() as u64;
            self.feedback.append(report)?;
        }
        self.reported = last.batch + 1;
        let hash = Hash(*hasher.finalize().as_bytes());
        self.ledger.append(&Record::Feedback { from: first.batch, to: self.reported, rows, hash })
    }

    /// The ledger's head.
    pub(super) const fn head(&self) -> Hash {
        self.ledger.chain().head
    }

    /// The first batch whose report is not written down yet.
    pub(super) const fn reported(&self) -> u64 {
        self.reported
    }
}
