//! Where a training's time goes, seen from the loader: waiting for data, or computing; and what the batches were like.
//!
//! Counters that one iterator at a time adds to and anybody may read. Knows nothing of burn.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arable_loader::{Position, report::numbers, stream::Timings, value::Table};

/// Sums over the batches that were handed over so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    /// Rows whose label the model had contradicted so far when they were drawn. Counted while somebody watches.
    pub(crate) flagged: u64,
    /// Of each batch, (Σw)² / Σw² / rows.
    pub(crate) effective: f64,
    pub(crate) wait: Duration,
    /// In the batcher, which makes tensors of what was waited for.
    pub(crate) batching: Duration,
    /// From a batch's handing over to the asking for the next.
    pub(crate) step: Duration,
    /// Rows that were kept, of those that were read, at their first pass.
    pub(crate) kept: u64,
    pub(crate) read: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    sums: Mutex<Sums>,
    watched: AtomicBool,
}

impl Tally {
    pub(crate) fn sums(&self) -> Sums {
        *self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Sums)) {
        change(&mut self.sums.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on, counts too what costs a look at each row's trajectory.
    pub(crate) fn watch(&self) {
        self.watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }
}

impl Sums {
    /// Counts a batch of rows with these weights.
    pub(crate) fn count(&mut self, weights: &[f32]) {
        self.batches += 1;
        self.rows += weights.len() as u64;
        self.effective += effective_share(weights);
    }
}

/// How many of the rows have a label that the model contradicts in `values`: their flags.
pub(crate) fn flagged(positions: &[Position], values: &Table) -> u64 {
    let trajectories = positions.iter().filter_map(|&position| values.get(position));
    trajectories.filter(|trajectory| trajectory.is_contradicted()).count() as u64
}

/// Kish's effective sample size (Σw)² / Σw² as a share of the rows, in 0 to 1; 0 where nothing weighs anything.
fn effective_share(weights: &[f32]) -> f64 {
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), &weight| {
        let weight = f64::from(weight);
        (sum + weight, squares + weight * weight)
    });
    if squares > 0.0 { sum * sum / squares / weights.len() as f64 } else { 0.0 }
}

/// Whether data or compute held a training up, and what to change. Displayed as a sentence or two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Batches that were handed over.
    pub batches: u64,
    /// How long the training waited for the stream, in all.
    pub wait: Duration,
    /// How long its batcher took, which runs on the training's own thread and makes tensors of what the stream gave.
    pub batching: Duration,
    /// How long it was busy with them: from each batch's handing over to the asking for the next.
    pub step: Duration,
    /// What the stream's own threads did in the meantime.
    pub stream: Timings,
}

impl Pace {
    /// The share of the time that the training waited for data, the batcher's time included, in 0 to 1; 0 before the
    /// first batch.
    #[must_use]
    pub fn waiting(&self) -> f64 {
        let data = (self.wait + self.batching).as_secs_f64();
        let whole = data + self.step.as_secs_f64();
        if whole > 0.0 { data / whole } else { 0.0 }
    }

    /// What would help most, where the data are the bottleneck.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        /// Waiting for less than this is within what one batch's making costs.
        const NOTICEABLE: f64 = 0.05;
        // A training that failed at its first batch has waited and done nothing else.
        if self.waiting() < NOTICEABLE || self.step.is_zero() {
            return None;
        }
        if self.batching > self.wait {
            return Some(
                "most of it goes into the batcher, on the training's own thread: make batches of columns (`FromColumns`), and have the stream's threads do the rest in a transform",
            );
        }
        let Timings { read, clean, draw, gather, transform, wait_blocks, wait_feedback, .. } = self.stream;
        let blocks = if clean > read {
            "most of it goes into cleaning: give [stream] more threads, or clean once with `arable curate`"
        } else {
            "most of it goes into reading and decoding: give [stream] more threads, carry fewer columns, or store the \
             data less compressed"
        };
        [
            (wait_blocks, blocks),
            (
                wait_feedback,
                "draws wait for the training's own reports: raise [stream] feedback_lag, or settle batches earlier",
            ),
            (draw + gather, "most of it goes into drawing and gathering: use larger batches, or a smaller window"),
            (
                transform,
                "most of it goes into the transform: give [stream] more threads, or transform the data once before",
            ),
        ]
        .into_iter()
        .max_by_key(|(time, _)| *time)
        .map(|(_, advice)| advice)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batches, wait, batching, step, .. } = self;
        if step.is_zero() {
            return f.write_str("no step was finished, so nothing can be said of the training's pace");
        }
        let each = |time: &Duration| numbers::duration(*time / u32::try_from(*batches).unwrap_or(u32::MAX).max(1));
        write!(
            f,
            "the training waited {:.1} % of its time for data ({} a batch for the stream and {} in its batcher, beside {} \
             of compute)",
            100.0 * self.waiting(),
            each(wait),
            each(batching),
            each(step)
        )?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => f.write_str("; compute is the bottleneck"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_share_is_one_for_equal_weights_and_falls_with_their_spread() {
        assert_eq!(effective_share(&[0.5; 8]), 1.0);
        assert_eq!(effective_share(&[1.0, 0.0, 0.0, 0.0]), 0.25);
        assert_eq!(effective_share(&[0.0; 3]), 0.0);
        assert_eq!(effective_share(&[]), 0.0);
    }

    #[test]
    fn advice_names_what_the_time_went_into() {
        let second = Duration::from_secs(1);
        let pace = |wait, stream| Pace { batches: 10, wait, batching: Duration::ZERO, step: second, stream };
        let timings = Timings { read: second, clean: second * 3, wait_blocks: second, ..Timings::default() };
        assert!(pace(second, timings).advice().unwrap().contains("cleaning"));
        let timings = Timings { read: second * 3, clean: second, wait_blocks: second, ..Timings::default() };
        assert!(pace(second, timings).to_string().contains("waited 50.0 % of its time for data"));
        assert!(pace(second, timings).advice().unwrap().contains("decoding"));
        let timings = Timings { wait_feedback: second, ..Timings::default() };
        assert!(pace(second, timings).advice().unwrap().contains("feedback_lag"));
        let timings = Timings { transform: second, ..Timings::default() };
        assert!(pace(second, timings).advice().unwrap().contains("transform"));
        let rows = Pace { batching: second * 2, ..pace(second, timings) };
        assert!(rows.advice().unwrap().contains("FromColumns") && rows.to_string().contains("waited 75.0 %"));
        let idle = pace(Duration::from_millis(10), timings);
        assert!(idle.advice().is_none() && idle.to_string().ends_with("compute is the bottleneck"));
        assert_eq!(Pace { step: Duration::ZERO, ..pace(Duration::ZERO, timings) }.waiting(), 0.0);
        let failed = Pace { step: Duration::ZERO, ..pace(second, timings) };
        assert!(failed.advice().is_none() && failed.to_string().starts_with("no step was finished"));
    }
}
