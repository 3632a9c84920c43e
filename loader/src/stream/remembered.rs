//! What a selector remembers, as each super-batch may see it: a fold over the reports of batches that are `feedback_lag`
//! older than it, in batch order.
//!
//! Which reports these are follows from the batch's number alone: where one of them has not come yet, the super-batch
//! waits for it. It knows nothing of what is remembered.

use super::shared::Shared;
use crate::{Error, Result};
use std::sync::Arc;

/// What the selector remembers once all reports of batches before `before` are folded into it.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    numbers: Arc<[f64]>,
    before: u64,
}

impl Remembered {
    /// What is remembered before the first batch.
    pub(super) fn nothing() -> Self {
        Self { numbers: Arc::new([]), before: 0 }
    }

    /// As a state says it, of a selector that remembers `most` numbers; the reports of batches from `applied` to
    /// `next_batch` are in the state beside it.
    pub(super) fn from_bits(bits: &[u64], before: u64, most: usize, (applied, next_batch): (u64, u64)) -> Result<Self> {
        if bits.len() > most || (most > 0 && !(applied..=next_batch).contains(&before)) {
            return Err(Error::State(format!(
                "its selector remembers {} numbers of batches before {before}: there are {most} at most, and the reports \
                 of batches from {applied} to {next_batch} are beside them",
                bits.len()
            )));
        }
        Ok(Self { numbers: bits.iter().map(|&bits| f64::from_bits(bits)).collect(), before })
    }

    /// The numbers' bits, and the batch that they are remembered before: what [`from_bits`](Self::from_bits) reads.
    pub(super) fn to_bits(&self) -> (Vec<u64>, u64) {
        (self.numbers.iter().map(|number| number.to_bits()).collect(), self.before)
    }

    /// What super-batch number `batch` may see; nothing where no selector remembers anything. Batches come in order.
    ///
    /// Waits for the reports that are due by then, as a draw does that depends on them.
    pub(super) fn at(&mut self, batch: u64, shared: &Shared) -> Result<Arc<[f64]>> {
        let Some(picking) = shared.picking.as_ref().filter(|picking| picking.remembers() > 0) else {
            return Ok(Arc::clone(&self.numbers));
        };
        let due = batch.saturating_sub(shared.settings.feedback_lag);
        if due > self.before {
            let mut numbers = self.numbers.to_vec();
            for report in shared.due_reports(self.before, due).iter().filter(|report| !report.rows.is_empty()) {
                picking.selection.selector.fold(&mut numbers, report);
            }
            if numbers.len() > picking.remembers() {
                let (policy, found, most) = (&picking.policy, numbers.len(), picking.remembers());
                let what =
                    format!("policy `{policy}` remembers {found} numbers, and says that these are {most} at most");
                return Err(Error::recipe(what));
            }
            (self.numbers, self.before) = (numbers.into(), due);
        }
        Ok(Arc::clone(&self.numbers))
    }
}
