//! What the stream hands over: rows, where they stand, what their losses count, and the way back.

use super::{
    packing::SampleSpan,
    picking::{self, Asked, Picking},
    shared::lock,
};
use crate::{
    Error, Hash, Pick, Position, Report, Result, Signal,
    clean::content_bytes,
    value::{Gram, Needs, Reference, Scored, inbox::Inbox},
};
use arrow::record_batch::RecordBatch;
use std::sync::{Arc, Mutex};

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
    selecting: Option<Selecting>,
}

/// What it takes to pick the rows of a super-batch.
#[derive(Debug)]
struct Selecting {
    picking: Arc<Picking>,
    epoch: u32,
    references: Vec<Option<Reference>>,
    /// What the selector remembers, as this super-batch may see it.
    memory: Arc<[f64]>,
    /// What it had to say of all candidates when they were picked from last.
    statistic: Mutex<Option<f64>>,
}

/// What the model says of a super-batch: of each candidate, and, where that [matters](Needs::gram), of their gradients
/// beside one another.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    pub(super) rows: &'a [Scored],
    pub(super) gram: Option<Gram<'a>>,
}

impl<'a> Scores<'a> {
    /// One score a row, in the order of [`Batch::positions`].
    #[must_use]
    pub const fn of(rows: &'a [Scored]) -> Self {
        Self { rows, gram: None }
    }

    /// With the inner products of the rows' gradients.
    #[must_use]
    pub const fn with_gram(self, gram: Gram<'a>) -> Self {
        Self { gram: Some(gram), ..self }
    }
}

impl<'a> From<&'a [Scored]> for Scores<'a> {
    fn from(rows: &'a [Scored]) -> Self {
        Self::of(rows)
    }
}

impl<'a> From<&'a Vec<Scored>> for Scores<'a> {
    fn from(rows: &'a Vec<Scored>) -> Self {
        Self::of(rows)
    }
}

/// The rows of a super-batch that are trained without a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Unscored {
    /// Which.
    pub picks: Vec<Pick>,
    /// What has to be known of them once they are trained: what the selector goes by, where it remembers anything.
    pub needs: Needs,
}

impl Receipt {
    pub(super) const fn new(batch: u64, positions: Arc<[Position]>, inbox: Arc<Inbox>) -> Self {
        Self { batch, positions, inbox: Some(inbox), selecting: None }
    }

    /// Of a super-batch, whose rows are picked by `picking`; `references` are what is known of them, `memory` what the
    /// selector remembers.
    pub(super) fn with_picking(
        mut self,
        picking: Arc<Picking>,
        epoch: u32,
        references: Vec<Option<Reference>>,
        memory: Arc<[f64]>,
    ) -> Self {
        self.selecting = Some(Selecting { picking, epoch, references, memory, statistic: Mutex::default() });
        self
    }

    /// Of a batch that nobody wants to hear of.
    pub(super) const fn mute(batch: u64, positions: Arc<[Position]>) -> Self {
        Self { batch, positions, inbox: None, selecting: None }
    }

    /// The batch that this receipt speaks of.
    #[must_use]
    pub const fn batch(&self) -> u64 {
        self.batch
    }

    /// What has to be known of the rows so that those to train on can be [picked](Self::select), where the batch is a
    /// super-batch of candidates; `None` where it is trained as a whole.
    #[must_use]
    pub fn needs(&self) -> Option<Needs> {
        self.selecting.as_ref().map(|selecting| selecting.picking.selection.selector.needs())
    }

    /// Which rows of a super-batch are trained on: a function of the scores, of which there is one a row in the order of
    /// [`Batch::positions`], and of what the selector remembers of earlier batches. Of a batch that is trained as a whole,
    /// all of them, with weight 1.
    ///
    /// Train on them, then [report](Self::report_picked) both the scores' signals and the picks.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the scores are not as many as the rows, or lack what the selector [needs](Self::needs).
    pub fn select<'a>(&self, scores: impl Into<Scores<'a>>) -> Result<Vec<Pick>> {
        let Some((selecting, asked)) = self.asked() else {
            return Ok((0..self.positions.len()).map(Pick::plain).collect());
        };
        let (picks, found) = selecting.picking.pick(&asked, scores.into())?;
        *lock(&selecting.statistic) = found;
        Ok(picks)
    }

    /// Which rows of a super-batch are trained without any score, where the selector [rests](crate::value::Selector::rests)
    /// or scores would not [pay](crate::value::Selector::pays): what [`select`](Self::select) gives whatever the scores are,
    /// so that the forward pass over the candidates can be saved. Train on them, then [report](Self::report_trained) what
    /// was said of them. `None` where scores are asked for, and of a batch that is trained as a whole.
    #[must_use]
    pub fn unscored(&self) -> Option<Unscored> {
        let (Selecting { picking, .. }, asked) = self.asked()?;
        let picks = picking.unscored(&asked)?;
        Some(Unscored { picks, needs: picking.needs_of_trained() })
    }

    fn asked(&self) -> Option<(&Selecting, Asked<'_>)> {
        let selecting = self.selecting.as_ref()?;
        let Selecting { epoch, references, memory, .. } = selecting;
        let asked = Asked { batch: self.batch, epoch: *epoch, positions: &self.positions, references, memory };
        Some((selecting, asked))
    }

    /// Reports one signal a sample (a span, where slots are packed), in the order of [`Batch::positions`].
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the signals are not as many as the samples, or where the batch is a super-batch, whose
    /// report says too what was [picked](Self::report_picked); the batch then counts as "no signal".
    pub fn report(self, signals: &[Signal]) -> Result<()> {
        if self.selecting.is_some() {
            let what =
                "it is a super-batch of candidates: pick the rows to train on (`select`), and report what was picked";
            return Err(Error::Feedback { batch: self.batch, what: what.to_owned() });
        }
        let positions = Arc::clone(&self.positions);
        self.send(&positions, signals, Vec::new(), None)
    }

    /// Reports of a super-batch one signal a candidate, in the order of [`Batch::positions`], and which of them were
    /// trained on.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the signals are not as many as the candidates, or picks are no candidates in ascending
    /// order; the batch then counts as "no signal".
    pub fn report_picked(self, signals: &[Signal], picks: &[Pick]) -> Result<()> {
        picking::check(self.batch, picks, self.positions.len())?;
        let statistic = self.selecting.as_ref().and_then(|selecting| *lock(&selecting.statistic));
        let positions = Arc::clone(&self.positions);
        self.send(&positions, signals, picks.to_vec(), statistic)
    }

    /// Reports of a super-batch that was not [scored](Self::unscored) what was said of the rows that were trained: one score
    /// a pick, with what is [needed](Unscored::needs) of them.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the picks are not those of [`unscored`](Self::unscored), or the scores are not as many, or
    /// lack what is needed; the batch then counts as "no signal".
    pub fn report_trained(self, scores: &[Scored], picks: &[Pick]) -> Result<()> {
        let Some((selecting, asked)) = self.asked() else {
            let what = "it is trained as a whole, and no rows are picked of it: report what was said of all".to_owned();
            return Err(Error::Feedback { batch: self.batch, what });
        };
        let statistic = selecting.picking.statistic_of_trained(&asked, picks, scores)?;
        let signals: Vec<Signal> = scores.iter().map(|row| row.signal).collect();
        let trained: Vec<Position> = picked(&self.positions, picks).collect();
        self.send(&trained, &signals, picks.to_vec(), statistic)
    }

    /// Reports what a recorded log says of this batch, as it was said in the run that was recorded, picks included: so a
    /// run is replayed without its trainer.
    ///
    /// # Errors
    ///
    /// [`Error::Feedback`] where the log speaks of other rows, or of picks that are none; the batch then counts as "no
    /// signal".
    pub fn report_recorded(self, report: &Report) -> Result<()> {
        let rows: Vec<Position> = report.rows.iter().map(|row| row.0).collect();
        // Of a super-batch that was not scored, the rows that were trained.
        let trained = || !rows.is_empty() && picked(&self.positions, &report.picks).eq(rows.iter().copied());
        if rows[..] != self.positions[..] && !trained() {
            let what = "the log speaks of other rows than the stream drew: it belongs to another run, recipe or data";
            return Err(Error::Feedback { batch: self.batch, what: what.into() });
        }
        picking::check(self.batch, &report.picks, self.positions.len())?;
        let signals: Vec<Signal> = report.rows.iter().map(|row| row.1).collect();
        self.send(&rows, &signals, report.picks.clone(), report.statistic.filter(|statistic| statistic.is_finite()))
    }

    fn send(
        mut self,
        positions: &[Position],
        signals: &[Signal],
        picks: Vec<Pick>,
        statistic: Option<f64>,
    ) -> Result<()> {
        if signals.len() != positions.len() {
            let what = format!("{} signals for {} samples; give one signal a sample", signals.len(), positions.len());
            return Err(Error::Feedback { batch: self.batch, what });
        }
        let rows = positions.iter().copied().zip(signals.iter().copied()).collect();
        match self.inbox.take() {
            Some(inbox) => inbox.submit(Report { batch: self.batch, rows, picks, statistic }),
            None => Ok(()),
        }
    }
}

/// Where the rows stand that were picked.
fn picked(positions: &[Position], picks: &[Pick]) -> impl Iterator<Item = Position> {
    picks.iter().filter_map(|pick| positions.get(pick.index as usize).copied())
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(inbox) = self.inbox.take() {
            // A stream that has gone needs no word, and a second report cannot be made through a receipt.
            drop(inbox.submit(Report::none(self.batch)));
        }
    }
}
