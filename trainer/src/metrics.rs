//! What a curated stream has to say on burn's dashboard: numbers of each step's batch, beside the loss.

use std::sync::Arc;

use burn::{
    tensor::TensorReadError,
    train::metric::{
        Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
        SerializedEntry,
        state::{FormatOptions, NumericMetricState},
    },
};

use crate::{pace::Sums, run::Run};

/// Which number a [`StreamMetric`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kept,
    Effective,
    Flagged,
    Wait,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Kept, Self::Effective, Self::Flagged, Self::Wait];

    const fn name(self) -> &'static str {
        match self {
            Self::Kept => "Kept rows",
            Self::Effective => "Effective sample size",
            Self::Flagged => "Flagged labels",
            Self::Wait => "Wait for data",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Kept => "the rows that cleaning kept, as a share of those read so far",
            Self::Effective => "(sum of weights)^2 / sum of squared weights, as a share of the batch",
            Self::Flagged => {
                "the rows drawn whose label the model contradicts on the mean of all that was seen of them before"
            }
            Self::Wait => "how long a step waited for its batch, the batcher's time included",
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Wait => "ms",
            _ => "%",
        }
    }

    /// The number over the steps between two sums, with what it is a mean over.
    fn between(self, before: &Sums, now: &Sums) -> (f64, u64) {
        let batches = now.batches - before.batches;
        let share = |part: u64, whole: u64| if whole > 0 { 100.0 * part as f64 / whole as f64 } else { 100.0 };
        match self {
            Self::Kept => (share(now.kept, now.read), batches),
            Self::Effective => (100.0 * (now.effective - before.effective) / batches.max(1) as f64, batches),
            Self::Flagged => {
                let rows = now.rows - before.rows;
                (if rows > 0 { share(now.flagged - before.flagged, rows) } else { 0.0 }, rows)
            }
            Self::Wait => {
                let waited = now.wait + now.batching - before.wait - before.batching;
                (1000.0 * waited.as_secs_f64() / batches.max(1) as f64, batches)
            }
        }
    }
}

/// A number of the stream for burn's dashboard and logs. Four of them are registered by
/// [`CuratedDataLoader::watch`](crate::CuratedDataLoader::watch).
///
/// burn updates metrics on a thread of its own, some steps later: each update takes the mean over the steps since the
/// one before.
#[derive(Clone)]
pub struct StreamMetric {
    kind: Kind,
    name: MetricName,
    run: Arc<Run>,
    seen: Sums,
    state: NumericMetricState,
}

impl StreamMetric {
    /// All of them: the share of rows kept, the effective sample size, the share of flagged labels drawn, the wait for data.
    pub(crate) fn all(run: &Arc<Run>) -> impl Iterator<Item = Self> + use<'_> {
        run.tally.watch();
        Kind::ALL.into_iter().map(|kind| Self {
            kind,
            name: Arc::new(kind.name().to_owned()),
            run: Arc::clone(run),
            seen: Sums::default(),
            state: NumericMetricState::new(),
        })
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).unit(self.kind.unit()).precision(2)
    }
}

impl Metric for StreamMetric {
    type Input = ();

    fn name(&self) -> MetricName {
        Arc::clone(&self.name)
    }

    fn description(&self) -> Option<String> {
        Some(self.kind.description().to_owned())
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some(self.kind.unit().to_owned()), higher_is_better: self.kind == Kind::Kept }.into()
    }

    fn update(&mut self, (): &(), _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        let now = self.run.tally.sums();
        if now.batches > self.seen.batches {
            let (value, count) = self.kind.between(&self.seen, &now);
            self.state.update(value, usize::try_from(count).unwrap_or(usize::MAX));
            self.seen = now;
        }
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }
}

impl Numeric for StreamMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}

impl std::fmt::Debug for StreamMetric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMetric").field("name", &self.name).finish_non_exhaustive()
    }
}
