//! The transform stage: what a user does to rows between their being drawn and their being handed over (tokenise,
//! augment, decode), as a function of each row and of keyed randomness.
//!
//! It runs on any thread, on any number of rows at once, and never decides which rows are emitted or in which order.

use super::window::gather_fault;
use crate::{Error, Place, Position, Randomness, Result};
use arrow::{
    array::{BooleanArray, new_empty_array},
    compute::{concat_batches, filter_record_batch},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A function of rows, given to [`StreamBuilder::transform`](super::StreamBuilder::transform).
///
/// Output row i must follow from input row i, its position, weight and epoch, and [`Samples::randomness`] alone: how many
/// rows come together, and which, depends on the layout, and differs between a first walk and a resumed one.
pub trait Transform: Send + Sync + Debug {
    /// Name, version of the algorithm and all options, canonically: a part of the stream's identity, so that a run does
    /// not go on with another transform than it began with.
    fn fingerprint(&self) -> String;

    /// The columns that it gives for rows with the columns of `input`.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where it cannot work on such columns.
    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef>;

    /// The rows of `samples`, transformed, in order, one for one.
    ///
    /// # Errors
    ///
    /// Any error, and any panic, says that one of the rows cannot be transformed; the rows are then tried in halves until
    /// those at fault are found, and handled as `on_bad_row` says. [`Error::Recipe`] alone ends the stream at once.
    /// A transform that knows which rows are at fault names them in [`Transformed::bad`] instead.
    fn apply(&self, samples: &Samples<'_>) -> Result<Transformed>;
}

/// Rows on their way through a transform; slot i of every field is the same sample.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The columns.
    pub data: &'a RecordBatch,
    /// Where each row stands in the plan.
    pub positions: &'a [Position],
    /// The factor on each row's loss.
    pub weights: &'a [f32],
    /// The data epoch, from 0.
    pub epoch: u32,
    seed: u64,
}

impl Samples<'_> {
    /// Random numbers for row `index` and `purpose` (a name of the transform's own): a function of the recipe's seed, the
    /// epoch, the row's position and the purpose, and so the same in every walk. A row that is drawn twice in an epoch
    /// has the same numbers both times.
    #[must_use]
    pub fn randomness(&self, index: usize, purpose: &str) -> Randomness {
        let position = self.positions.get(index).copied().unwrap_or_default();
        Randomness::of_sample(self.seed, self.epoch, position, purpose)
    }

    fn slice(&self, start: usize, length: usize) -> (RecordBatch, &[Position], &[f32]) {
        let range = start..start + length;
        (self.data.slice(start, length), &self.positions[range.clone()], &self.weights[range])
    }
}

/// What a transform gives.
#[derive(Clone, Debug)]
pub struct Transformed {
    /// One row for each that came in, in order. What it holds for a bad row does not matter.
    pub data: RecordBatch,
    /// The rows that could not be transformed, each at most once.
    pub bad: Vec<BadSample>,
}

impl From<RecordBatch> for Transformed {
    fn from(data: RecordBatch) -> Self {
        Self { data, bad: Vec::new() }
    }
}

/// A row that could not be transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSample {
    /// Which of the rows that came in.
    pub index: usize,
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

/// The rows that are left after all transforms, and those that are not.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The good rows, in order.
    pub(super) data: RecordBatch,
    /// Which of the rows that came in they are, ascending.
    pub(super) good: Vec<usize>,
    /// The others, ascending.
    pub(super) bad: Vec<BadSample>,
}

/// All transforms of a stream, in order.
#[derive(Debug)]
pub(super) struct Chain {
    seed: u64,
    /// Each with the columns that it gives.
    links: Vec<(Arc<dyn Transform>, SchemaRef)>,
}

impl Chain {
    /// The transforms, each checked against the columns that the one before it gives.
    pub(super) fn new(transforms: Vec<Arc<dyn Transform>>, input: &SchemaRef, seed: u64) -> Result<Self> {
        let mut links: Vec<(Arc<dyn Transform>, SchemaRef)> = Vec::with_capacity(transforms.len());
        for transform in transforms {
            let schema = transform.schema(links.last().map_or(input, |(_, schema)| schema))?;
            links.push((transform, schema));
        }
        Ok(Self { seed, links })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The columns that rows have at the end, if they had those of `input` at the start.
    pub(super) fn schema(&self, input: &SchemaRef) -> SchemaRef {
        Arc::clone(self.links.last().map_or(input, |(_, schema)| schema))
    }

    /// All fingerprints, in order.
    pub(super) fn fingerprints(&self) -> Vec<String> {
        self.links.iter().map(|(transform, _)| transform.fingerprint()).collect()
    }

    /// Leads rows through all transforms.
    pub(super) fn run(
        &self,
        data: RecordBatch,
        positions: &[Position],
        weights: &[f32],
        epoch: u32,
    ) -> Result<Outcome> {
        let mut outcome = Outcome { good: (0..data.num_rows()).collect(), data, bad: Vec::new() };
        let (mut positions, mut weights) = (positions.to_vec(), weights.to_vec());
        for (transform, schema) in &self.links {
            let samples =
                Samples { data: &outcome.data, positions: &positions, weights: &weights, epoch, seed: self.seed };
            let mut bad = Vec::new();
            let data = attempt(transform.as_ref(), schema, &samples, 0, &mut bad)?;
            outcome.data = data;
            if bad.is_empty() {
                continue;
            }
            let mut fine = vec![true; outcome.good.len()];
            for mut sample in bad {
                fine[sample.index] = false;
                sample.index = outcome.good[sample.index];
                outcome.bad.push(sample);
            }
            // What `attempt` gave holds the good rows alone.
            let mut next = fine.iter();
            outcome.good.retain(|_| next.next() == Some(&true));
            positions = retained(&positions, &fine);
            weights = retained(&weights, &fine);
        }
        outcome.bad.sort_by_key(|sample| sample.index);
        Ok(outcome)
    }
}

fn retained<T: Copy>(items: &[T], fine: &[bool]) -> Vec<T> {
    items.iter().zip(fine).filter(|(_, fine)| **fine).map(|(item, _)| *item).collect()
}

/// The rows of `samples` that can be transformed; the others are added to `bad`, counted from `first`, by halving.
fn attempt(
    transform: &dyn Transform,
    schema: &SchemaRef,
    samples: &Samples<'_>,
    first: usize,
    bad: &mut Vec<BadSample>,
) -> Result<RecordBatch> {
    let rows = samples.data.num_rows();
    let what = match once(transform, schema, samples) {
        Ok(Transformed { data, bad: named }) => {
            let mut fine = vec![true; rows];
            for mut sample in named {
                if std::mem::replace(&mut fine[sample.index], false) {
                    sample.index += first;
                    bad.push(sample);
                }
            }
            return match fine.iter().all(|&fine| fine) {
                true => Ok(data),
                false => filter_record_batch(&data, &BooleanArray::from(fine)).map_err(gather_fault),
            };
        }
        Err(fault) if fault.is_usage() => return Err(fault),
        Err(Error::Data { place, what }) => {
            if rows <= 1 {
                bad.push(BadSample { index: first, column: place.column, what });
                return empty(schema);
            }
            what
        }
        Err(other) => other.to_string(),
    };
    if rows <= 1 {
        bad.push(BadSample { index: first, column: None, what });
        return empty(schema);
    }
    let mut halves = Vec::with_capacity(2);
    for (start, length) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
        let (data, positions, weights) = samples.slice(start, length);
        let half = Samples { data: &data, positions, weights, ..*samples };
        halves.push(attempt(transform, schema, &half, first + start, bad)?);
    }
    concat_batches(schema, &halves).map_err(gather_fault)
}

fn empty(schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(0));
    let columns = schema.fields().iter().map(|field| new_empty_array(field.data_type())).collect();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(gather_fault)
}

/// One call, held to what the transform promised. A panic is an error like any other.
fn once(transform: &dyn Transform, schema: &SchemaRef, samples: &Samples<'_>) -> Result<Transformed> {
    let applied = catch_unwind(AssertUnwindSafe(|| transform.apply(samples))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Error::data(Place::default(), format!("it panicked: {text}")))
    })?;
    let rows = samples.data.num_rows();
    let broken = |what: String| Err(Error::recipe(format!("transform `{}`: {what}", transform.fingerprint())));
    if applied.data.num_rows() != rows {
        return broken(format!("it gave {} rows for {rows}; give one for each", applied.data.num_rows()));
    }
    if applied.data.schema().fields() != schema.fields() {
        return broken(format!(
            "it gave the columns {:?} where it promised {:?}",
            applied.data.schema().fields(),
            schema.fields()
        ));
    }
    if let Some(outside) = applied.bad.iter().find(|sample| sample.index >= rows) {
        return broken(format!("it calls row {} of {rows} bad", outside.index));
    }
    Ok(applied)
}

#[cfg(test)]
mod tests;
