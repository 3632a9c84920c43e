//! Where a run is written down: a folder with its ledger and its feedback log.

use crate::{
    Hash, Report, Result,
    ledger::{Chain, FeedbackWriter, Ledger, Record},
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
}

impl Recorder {
    /// Begins a run in `folder`, which is made where it is missing.
    pub(super) fn begin(folder: &Path, opened: &Record) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(crate::Error::io("create", folder))?;
        let mut ledger = Ledger::create(&folder.join(LEDGER))?;
        ledger.append(opened)?;
        ledger.flush()?;
        Ok(Self { ledger, feedback: FeedbackWriter::create(&folder.join(FEEDBACK), 0)? })
    }

    /// Goes on with the run in `folder` from a checkpoint that stands before batch `batch`, whose window was opened
    /// when the chain had the head `head` and the reports of batches before `applied` had entered the values.
    pub(super) fn resume(folder: &Path, head: Hash, batch: u64, applied: u64) -> Result<Self> {
        let mut ledger = Ledger::resume(&folder.join(LEDGER), head)?;
        ledger.append(&Record::Resumed { head, batch })?;
        ledger.flush()?;
        Ok(Self { ledger, feedback: FeedbackWriter::create(&folder.join(FEEDBACK), applied)? })
    }

    /// Appends to the ledger; the new head.
    pub(super) fn append(&mut self, record: &Record) -> Result<Hash> {
        self.ledger.append(record)?;
        let Chain { head, .. } = self.ledger.chain();
        Ok(head)
    }

    /// Takes down that `reports`, of batches `from..to`, entered the values.
    pub(super) fn feedback(&mut self, reports: &[Report], from: u64, to: u64) -> Result<()> {
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
                        .update(&[1])
                        .update(&class.logit_margin.to_le_bytes())
                        .update(&class.probability_margin.to_le_bytes())
                        .update(&class.probability.to_le_bytes()),
                };
            }
            rows += report.rows.len() as u64;
            self.feedback.append(report)?;
        }
        let hash = Hash(*hasher.finalize().as_bytes());
        self.ledger.append(&Record::Feedback { from, to, rows, hash })
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.ledger.flush()?;
        self.feedback.flush()
    }

    /// Appends the last record.
    pub(super) fn close(&mut self, record: &Record) -> Result<()> {
        self.ledger.append(record)?;
        self.flush()
    }
}
