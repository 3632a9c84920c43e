//! A training on a terminal without burn's dashboard: a bar for each split with the metrics' values beside it, lines
//! where there is no terminal, nothing where quiet was asked for.

use std::{collections::HashMap, sync::Arc};

use arable_loader::report::{Bars, Progress, ProgressMode};
use burn::train::{
    LearnerSummary,
    logger::{EvaluationProgressLogger, TrainingProgressLogger},
    metric::{MetricAttributes, MetricDefinition, MetricEntry, MetricId, format_float},
    renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
};

/// Bars with metric values, on standard error unless told otherwise; for `SupervisedTraining::renderer`.
///
/// ```no_run
/// # use burn::train::{LearnerModel, SupervisedTraining};
/// # fn with_bars<M: LearnerModel>(training: SupervisedTraining<M>) -> SupervisedTraining<M> {
/// use arable_loader::report::ProgressMode;
/// use arable_trainer::BarsRenderer;
///
/// training.renderer(Box::new(BarsRenderer::new(ProgressMode::Auto)))
/// # }
/// ```
#[derive(Debug)]
pub struct BarsRenderer {
    bars: Bars,
    /// Name and unit of each metric.
    names: HashMap<MetricId, (Arc<String>, String)>,
    epochs: usize,
    epoch: usize,
    current: Option<Current>,
    /// The latest value of each metric of the current split, in the order in which they first came.
    values: Vec<(Arc<String>, String)>,
}

#[derive(Debug)]
struct Current {
    progress: Progress,
    done: usize,
}

impl BarsRenderer {
    /// Bars on a terminal and lines elsewhere, or nothing.
    #[must_use]
    pub fn new(mode: ProgressMode) -> Self {
        Self::on(Bars::new(mode))
    }

    /// The same at a place of one's own, such as one that other bars stand in too.
    #[must_use]
    pub fn on(bars: Bars) -> Self {
        Self { bars, names: HashMap::new(), epochs: 0, epoch: 0, current: None, values: Vec::new() }
    }

    fn begin(&mut self, label: String, items: usize) {
        self.end_current();
        let progress = self.bars.add(label, Some(items as u64), "items");
        self.current = Some(Current { progress, done: 0 });
    }

    fn reach(&mut self, items: usize) {
        if let Some(Current { progress, done }) = &mut self.current {
            progress.advance(items.saturating_sub(*done) as u64);
            *done = items.max(*done);
        }
    }

    fn end_current(&mut self) {
        if let Some(current) = self.current.take() {
            current.progress.finish();
        }
        self.values.clear();
    }

    fn show(&mut self, state: MetricState) {
        let (MetricEntry { metric_id, serialized_entry }, number) = match state {
            MetricState::Generic(entry) => (entry, None),
            MetricState::Numeric(entry, number) => (entry, number),
        };
        let unknown = || (Arc::new("metric".to_owned()), String::new());
        let (name, unit) = self.names.get(&metric_id).cloned().unwrap_or_else(unknown);
        let value = number.map_or(serialized_entry.formatted, |number| format_float(number.current(), 3) + &unit);
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.values.push((name, value)),
        }
        if let Some(Current { progress, .. }) = &self.current {
            let values: Vec<_> = self.values.iter().map(|(name, value)| format!("{name} {value}")).collect();
            progress.message(values.join(", "));
        }
    }

    fn sum_up(&mut self, summary: Option<LearnerSummary>) {
        self.end_current();
        if let Some(summary) = summary {
            self.bars.note(&summary.to_string());
        }
    }
}

impl TrainingProgressLogger for BarsRenderer {
    fn start(&mut self, total_epochs: usize, starting_epoch: usize, _: Option<usize>, _: Option<&str>) {
        self.epochs = total_epochs;
        self.epoch = starting_epoch;
    }

    fn start_split(&mut self, split: &str, total_items: usize) {
        self.begin(format!("epoch {}/{} {split}", self.epoch, self.epochs), total_items);
    }

    fn update_split(&mut self, items_processed: usize) {
        self.reach(items_processed);
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.epoch = epoch + 1;
    }

    fn end_split(&mut self) {
        self.end_current();
    }

    fn end(&mut self) {
        self.end_current();
    }

    fn log_event_training(&mut self, event: String) {
        self.bars.note(&event);
    }
}

impl MetricsRendererTraining for BarsRenderer {
    fn update_train(&mut self, state: MetricState) {
        self.show(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.show(state);
    }

    fn on_train_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        self.sum_up(summary);
        Ok(())
    }
}

impl EvaluationProgressLogger for BarsRenderer {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, name: &str, total_items: usize) {
        self.begin(format!("test {name}"), total_items);
    }

    fn update_test_progress(&mut self, items_processed: usize) {
        self.reach(items_processed);
    }

    fn end_test(&mut self) {
        self.end_current();
    }

    fn end_global_progress(&mut self) {
        self.end_current();
    }

    fn log_event_evaluation(&mut self, event: String) {
        self.bars.note(&event);
    }
}

impl MetricsRendererEvaluation for BarsRenderer {
    fn update_test(&mut self, _: EvaluationName, state: MetricState) {
        self.show(state);
    }

    fn on_test_end(&mut self, summary: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        self.sum_up(summary);
        Ok(())
    }
}

impl MetricsRenderer for BarsRenderer {
    fn manual_close(&mut self) {
        self.end_current();
    }

    fn register_metric(&mut self, definition: MetricDefinition) {
        let unit = match definition.attributes {
            MetricAttributes::Numeric(numeric) => numeric.unit.map(|unit| format!(" {unit}")),
            MetricAttributes::None => None,
        };
        self.names.insert(definition.metric_id, (definition.name, unit.unwrap_or_default()));
    }
}
