//! The loader of a part of the data for validation: one pass over it an `iter()`. How burn's traits are met stands in
//! `data_loader`.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use arable_loader::{Stream, stream::Evaluation};
use burn::tensor::Device;

use crate::{ArrowBatcher, ColumnsBatcher, Error, FromColumns, misfit};

/// One part of a recipe's data as burn's loader of plain batches, for validation.
///
/// Each `iter()` is one pass: the rows of the part in plan order, once each, with the recipe's batch size, read from where
/// they lie and never all in memory. Weights, shares and the policy are the training's affair. Rows are checked against the
/// schema only, unless the recipe says `clean = true` under `[split]`. Where the model's validation takes [`Curated`](crate::Curated)
/// batches too, [`PlainDataLoader`](crate::PlainDataLoader) makes it a loader of those.
///
/// How many rows a pass has is an estimate (that of [`Stream::length`]) until one has come to its end.
///
/// # Errors
///
/// An iterator yields its error once and then ends, which ends a burn training with that error.
pub struct EvaluationDataLoader<O> {
    evaluation: Evaluation,
    batcher: Arc<dyn ArrowBatcher<O>>,
    device: Device,
    /// Which rows of a pass are given.
    rows: Range<usize>,
    expected: usize,
    counted: Arc<OnceLock<usize>>,
}

impl<O: 'static> EvaluationDataLoader<O> {
    /// The part's columns in batches made by `batcher`, without a detour over rows.
    pub fn from_arrow(evaluation: Evaluation, batcher: impl ArrowBatcher<O> + 'static) -> Self {
        // What keeps a pass from being opened is said by the first one.
        let expected = evaluation.pass().map_or(0, |pass| pass.length().rows);
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let (batcher, counted) = (Arc::new(batcher), Arc::default());
        Self { evaluation, batcher, device: Device::default(), rows: 0..usize::MAX, expected, counted }
    }

    /// The part's columns in batches that know how they are made of them.
    pub fn of_columns(evaluation: Evaluation) -> Self
    where
        O: FromColumns,
    {
        Self::from_arrow(evaluation, ColumnsBatcher::new())
    }

    /// A pass from its beginning.
    pub(crate) fn pass(&self) -> Pass<'_, O> {
        let stream = self.evaluation.pass().map(Some).map_err(Error::Stream);
        Pass { loader: self, stream, at: 0, done: 0 }
    }

    /// Rows of a pass, as far as that is known.
    pub(crate) fn expected_rows(&self) -> usize {
        let all = self.counted.get().copied().unwrap_or(self.expected);
        self.rows.end.min(all).saturating_sub(self.rows.start)
    }

    /// Another handle, for `device`.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    /// Another handle, for the rows `start..end` of this one's.
    pub(crate) fn part(&self, start: usize, end: usize) -> Self {
        let Range { start: from, end: to } = self.rows;
        // The last part has the rows beyond an estimate too.
        let end = if end >= self.expected_rows() { to } else { from.saturating_add(end).min(to) };
        Self { rows: from.saturating_add(start).min(end)..end, ..self.clone() }
    }
}

impl<O> Clone for EvaluationDataLoader<O> {
    fn clone(&self) -> Self {
        Self {
            evaluation: self.evaluation.clone(),
            batcher: Arc::clone(&self.batcher),
            device: self.device.clone(),
            rows: self.rows.clone(),
            expected: self.expected,
            counted: Arc::clone(&self.counted),
        }
    }
}

impl<O> fmt::Debug for EvaluationDataLoader<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvaluationDataLoader")
            .field("evaluation", &self.evaluation)
            .field("device", &self.device)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// What is left of one pass.
pub(crate) struct Pass<'a, O> {
    loader: &'a EvaluationDataLoader<O>,
    /// `None` once it is over.
    stream: Result<Option<Stream>, Error>,
    /// Rows that the stream has given, and those of them that were asked for.
    at: usize,
    pub(crate) done: usize,
}

impl<O: 'static> Pass<'_, O> {
    /// Rows of the whole pass, as far as that is known.
    pub(crate) fn rows(&self) -> usize {
        self.loader.expected_rows().max(self.done)
    }

    /// The next batch; after an error there is none.
    pub(crate) fn try_next(&mut self) -> Result<Option<O>, Error> {
        let EvaluationDataLoader { batcher, device, rows, counted, .. } = self.loader;
        let mut pass = std::mem::replace(&mut self.stream, Ok(None))?;
        while let Some(stream) = &mut pass {
            let Some(batch) = stream.next().transpose().map_err(Error::Stream)? else {
                // Another pass counted the same.
                counted.get_or_init(|| self.at);
                return Ok(None);
            };
            let from = self.at;
            self.at += batch.data.num_rows();
            let within = |row: usize| row.clamp(from, self.at) - from;
            let (start, end) = (within(rows.start), within(rows.end));
            if start < end {
                self.done += end - start;
                let data = batch.data.slice(start, end - start);
                let made = batcher.batch(&data, device).map_err(|source| {
                    let row = misfit::row(&source).filter(|_| batch.spans.is_none());
                    let position = row.and_then(|row| batch.positions.get(start + row).copied());
                    let place = position.map(|position| Box::new(misfit::place(stream.plan(), position)));
                    Error::Batcher { batch: batch.number, place, source }
                })?;
                self.stream = Ok(pass);
                return Ok(Some(made));
            }
            if from >= rows.end {
                break;
            }
        }
        Ok(None)
    }
}
