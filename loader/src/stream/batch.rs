//! What the stream hands over: rows, where they stand, what their losses count, and the way back.

use super::packing::SampleSpan;
use crate::{Error, Hash, Position, Report, Result, Signal, clean::content_bytes, value::inbox::Inbox};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// One batch. A slot is a row of `data`. One sample a slot is the plain case: then slot i of every field is the same
/// sample. Where slots are packed, `positions`, `weights` and `spans` have one entry for each span of a sample, slot by
/// slot.
#[derive(Debug)]
pub struct Batch {
    /// Its number over the whole run, from 0, the same on every rank, never reset.
    pub number: u64,
    /// The data epoch it belongs to, from 0.
    pub epoch: u32,
    /// The columns, one row a slot. Often a slice of what was gathered for several batches: it keeps their memory too.
    pub data: RecordBatch,
    /// Where each sample stands in the plan.
    pub positions: Arc<[Position]>,
    /// w: the factor on each sample's loss.
    pub weights: Vec<f32>,
    /// Where each sample lies, where slots are packed; `None` where sample i is slot i as a whole.
    pub spans: Option<Arc<[SampleSpan]>>,
    /// Whether this is no batch of the stream, but fills up the last round of one batch a rank: weights of 0, rows that
    /// another batch had. Not counted, not recorded; what is reported of it goes nowhere.
    pub padding: bool,
    /// The way back: what training says of this batch. Dropped unused, it says "no signal".
    pub receipt: Receipt,
}

impl Batch {
    /// How many slots it has; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.data.num_rows()
    }

    /// The slot that sample `index` lies in.
    #[must_use]
    pub fn slot(&self, index: usize) -> usize {
        let span = self.spans.as_ref().and_then(|spans| spans.get(index));
        span.map_or(index, |span| span.slot as usize)
    }

    /// How many samples begin in it: what counts as presentations. A sample that was cut begins once.
    #[must_use]
    pub fn presentations(&self) -> u64 {
        match &self.spans {
            None => self.positions.len() as u64,
            Some(spans) => spans.iter().filter(|span| span.from == 0).count() as u64,
        }
    }

    /// BLAKE3 over positions, weights, spans where slots are packed, and the canonical content of the columns: equal for
    /// equal batches, on any machine.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a column whose type has no canonical content, such as a union.
    pub fn hash(&self) -> Result<Hash> {
        let mut bytes = Vec::new();
        for position in self.positions.iter() {
            bytes.extend_from_slice(&position.block.to_le_bytes());
            bytes.extend_from_slice(&position.row.to_le_bytes());
        }
        for weight in &self.weights {
            bytes.extend_from_slice(&weight.to_le_bytes());
        }
        for span in self.spans.iter().flat_map(|spans| spans.iter()) {
            for number in [span.slot, span.start, span.length, span.from] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        content_bytes(&self.data, |content| {
            hasher.update(content);
        })?;
        Ok(Hash(*hasher.finalize().as_bytes()))
    }
}

/// The right to report on one batch, once. May be sent to another thread.
#[derive(Debug)]
pub struct Receipt {
    batch: u64,
    positions: Arc<[Position]>,
    inbox: Option<Arc<Inbox>>,
}

impl Receipt {
    pub(super) const fn new(batch: u64, positions: Arc<[Position]>, inbox: Arc<Inbox>) -> Self {
        Self { batch, positions, inbox: Some(inbox) }
    }

    /// Of a batch that nobody wants to hear of.
    pub(super) const fn mute(batch: u64, positions: Arc<[Position]>) -> Self {
        Self { batch, positions, inbox: None }
    }

    /// The batch that this receipt speaks of.
    #[must_use]
    pub const fn batch(&self) -> u64 {
        self.batch
    }

    /// Reports one signal a sample (a span, where slots are packed), in the order of [`Batch::positions`].
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the signals are not as many as the samples; the batch then counts as "no signal".
    pub fn report(mut self, signals: &[Signal]) -> Result<()> {
        if signals.len() != self.positions.len() {
            let what =
                format!("{} signals for {} samples; give one signal a sample", signals.len(), self.positions.len());
            return Err(Error::Feedback { batch: self.batch, what });
        }
        let rows = self.positions.iter().copied().zip(signals.iter().copied()).collect();
        match self.inbox.take() {
            Some(inbox) => inbox.submit(Report { batch: self.batch, rows }),
            None => Ok(()),
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            // A stream that has gone needs no word, and a second report cannot be made through a receipt.
            drop(inbox.submit(Report::none(self.batch)));
        }
    }
}
