//! Whole trainings under burn's own `SupervisedTraining`, with nothing changed in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arable_loader::{
    Report, Stream,
    arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch},
    arrow::datatypes::Float32Type,
};
use arable_trainer::{Curated, CuratedDataLoader, Error, PlainDataLoader, Signals, loss::cross_entropy};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, DataLoaderIterator, Progress, batcher::Batcher},
        dataset::{DatasetError, InMemDataset},
    },
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::SgdConfig,
    tensor::{Device, Int, Tensor},
    train::{
        ClassificationOutput, InferenceStep, Learner, LearnerSummary, LearningResult, SupervisedTraining, TrainOutput,
        TrainStep,
        logger::{EvaluationProgressLogger, TrainingProgressLogger},
        metric::{LossMetric, MetricDefinition},
        renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
    },
};
use support::{Memory, reports};

const BATCH: usize = 8;
const EPOCHS: usize = 3;

/// Points on a line of three classes, in an order that mixes them; the last batch is short.
fn points() -> Vec<Point> {
    let label = |i: usize| (i * 7 % 3) as i64;
    let at = |i: usize| label(i) as f32 - 1.0 + (i * 37 % 100) as f32 / 250.0;
    (0..93).map(|i| Point { x: vec![at(i), at(i) * at(i)], label: label(i) }).collect()
}

/// The points as a stream of three epochs, with the given weights; recorded in `folder`.
fn stream(weights: &[f32], folder: &Path) -> Stream {
    let points = points();
    let x = points.iter().map(|point| Some(point.x.iter().copied().map(Some).collect::<Vec<_>>()));
    let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2));
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(points.iter().map(|point| point.label)));
    // A column that no step asks for.
    let noise: ArrayRef = Arc::new(Float32Array::from(vec![0.5; points.len()]));
    let data = RecordBatch::try_from_iter([("noise", noise), ("x", x), ("label", label)]).unwrap();
    Memory::new(data).weighted(weights, BATCH, EPOCHS, folder)
}

#[derive(Clone, Debug, serde::Deserialize)]
struct Point {
    x: Vec<f32>,
    label: i64,
}

#[derive(Clone, Debug)]
struct PointBatch {
    x: Tensor<2>,
    labels: Tensor<1, Int>,
}

#[derive(Clone)]
struct PointBatcher;

impl Batcher<Point, PointBatch> for PointBatcher {
    fn batch(&self, items: Vec<Point>, device: &Device) -> PointBatch {
        let labels: Vec<_> = items.iter().map(|item| item.label).collect();
        let x: Vec<_> = items.iter().flat_map(|item| item.x.iter().copied()).collect();
        PointBatch {
            x: Tensor::<1>::from_floats(x.as_slice(), device).reshape([items.len(), 2]),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

#[derive(Module, Debug)]
struct Model {
    linear: Linear,
}

impl Model {
    /// The same parameters in every test.
    fn new() -> Self {
        let device = Device::default().autodiff();
        let mut linear = LinearConfig::new(2, 3).init(&device);
        let weight = Tensor::from_floats([[0.1, -0.2, 0.3], [0.0, 0.2, -0.1]], &device);
        linear.weight = burn::module::Param::from_tensor(weight);
        linear.bias = Some(burn::module::Param::from_tensor(Tensor::zeros([3], &device)));
        Self { linear }
    }

    fn parameters(&self) -> Vec<f32> {
        let mut all: Vec<f32> = self.linear.weight.val().try_into_vec_as().unwrap();
        all.extend(self.linear.bias.as_ref().unwrap().val().try_into_vec_as::<f32>().unwrap());
        all
    }
}

impl TrainStep for Model {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
        let logits = self.linear.forward(item.x.clone());
        let losses = cross_entropy(logits.clone(), item.labels.clone());
        let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.labels));
        let output = ClassificationOutput::new(losses, logits, item.labels.clone());
        TrainOutput::new(self, loss.backward(), output)
    }
}

impl InferenceStep for Model {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> ClassificationOutput {
        let logits = self.linear.forward(item.x.clone());
        ClassificationOutput::new(cross_entropy(logits.clone(), item.labels.clone()), logits, item.labels.clone())
    }
}

/// The same model as it was before Arable: burn's own loss, and nothing reported.
#[derive(Module, Debug)]
struct Before {
    model: Model,
}

impl TrainStep for Before {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
        let PointBatch { x, labels } = item.into_inner();
        let logits = self.model.linear.forward(x);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels.clone());
        TrainOutput::new(self, loss.backward(), ClassificationOutput::new(loss, logits, labels))
    }
}

impl InferenceStep for Before {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> ClassificationOutput {
        InferenceStep::step(&self.model, item)
    }
}

fn train<M>(model: M, train: Arc<dyn DataLoader<Curated<PointBatch>>>, epochs: usize) -> LearningResult<M>
where
    M: TrainStep<Input = Curated<PointBatch>, Output = ClassificationOutput>
        + InferenceStep<Input = Curated<PointBatch>, Output = ClassificationOutput>
        + Module
        + std::fmt::Display
        + 'static,
{
    let valid = DataLoaderBuilder::new(PointBatcher).batch_size(BATCH).build(InMemDataset::new(points()));
    let folder = tempfile::tempdir().unwrap();
    SupervisedTraining::new(folder.path(), train, PlainDataLoader::new(valid).into_arc())
        .metrics((LossMetric::new(),))
        .with_default_checkpointers()
        .with_application_logger(None)
        .renderer(Box::new(Quiet))
        .num_epochs(epochs)
        .launch(Learner::new(model, SgdConfig::new().init(), 0.3))
}

/// Mean loss over the rows of each epoch, as reported.
fn epoch_losses(reports: &[Report], epoch_batches: u64) -> Vec<f64> {
    let mut sums = BTreeMap::<u64, (f64, f64)>::new();
    for report in reports {
        let (sum, rows) = sums.entry(report.batch / epoch_batches).or_default();
        for (_, signal) in &report.rows {
            *sum += f64::from(signal.loss);
            *rows += 1.0;
        }
    }
    sums.into_values().map(|(sum, rows)| sum / rows).collect()
}

#[test]
fn a_training_reports_each_batch_once_and_learns() {
    let folder = tempfile::tempdir().unwrap();
    let loader = CuratedDataLoader::new(stream(&[1.0; 93], folder.path()), PointBatcher);
    assert_eq!((loader.num_items(), loader.num_epochs()), (96, EPOCHS));
    let result = train(Model::new(), loader.into_arc(), EPOCHS);
    assert!(result.error.is_none(), "{:?}", result.error);

    let reports = reports(folder.path());
    let losses = epoch_losses(&reports, 12);
    assert_eq!(losses.len(), EPOCHS);
    assert!(losses.is_sorted_by(|before, after| after < before), "{losses:?}");

    assert!(reports.iter().map(|report| report.batch).eq(0..36));
    let mut seen = BTreeMap::new();
    for (position, signal) in reports.iter().flat_map(|report| &report.rows) {
        let class = signal.class.unwrap();
        assert!((signal.loss + class.probability.ln()).abs() < 1e-4, "loss and probability are of one row");
        assert_eq!(class.correct(), class.probability_margin > 0.0);
        *seen.entry(*position).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 93);
    assert!(seen.values().all(|&times| times == EPOCHS));
}

#[test]
fn with_weights_of_one_the_training_is_what_it_was_before_bit_for_bit() {
    let run = |settles: bool| {
        let folder = tempfile::tempdir().unwrap();
        let loader = CuratedDataLoader::new(stream(&[1.0; 93], folder.path()), PointBatcher).into_arc();
        if settles {
            train(Model::new(), loader, EPOCHS).model.parameters()
        } else {
            train(Before { model: Model::new() }, loader, EPOCHS).model.model.parameters()
        }
    };
    let after = run(true);
    assert_ne!(after, Model::new().parameters());
    assert_eq!(after, run(false));
}

#[test]
fn weights_steer_the_training() {
    // A class without weight is never learnt, and what it loses shows in the reports all the same.
    let weights: Vec<_> = points().iter().map(|point| if point.label == 2 { 0.0 } else { 1.5 }).collect();
    let folder = tempfile::tempdir().unwrap();
    let stream = stream(&weights, folder.path());
    let result = train(Model::new(), CuratedDataLoader::new(stream, PointBatcher).into_arc(), EPOCHS);
    assert!(result.error.is_none());
    let label = |row: u32| points()[row as usize].label;
    let reports = reports(folder.path());
    assert_eq!(reports.len(), 36);
    let last = || reports.iter().rev().take(12).flat_map(|report| &report.rows);
    assert!(last().filter(|(at, _)| label(at.row) == 2).all(|(_, signal)| !signal.class.unwrap().correct()));
    assert!(last().any(|(at, signal)| label(at.row) == 0 && signal.class.unwrap().correct()));
}

#[test]
fn an_epoch_begun_by_hand_is_finished_by_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let loader = CuratedDataLoader::new(stream(&[1.0; 93], folder.path()), PointBatcher);
    drop(loader.iter().take(5).collect::<Vec<_>>());
    let result = train(Model::new(), loader.into_arc(), EPOCHS);
    assert!(result.error.is_none());

    // That there are any shows that the first five were answered too, with no signal: reports count in order.
    assert!(reports(folder.path()).iter().map(|report| report.batch).eq(5..36));
}

#[test]
fn an_epoch_too_many_ends_the_training_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let loader = CuratedDataLoader::new(stream(&[1.0; 93], folder.path()), PointBatcher).into_arc();
    let result = train(Model::new(), loader, EPOCHS + 1);
    let error = result.error.expect("an error");
    let mut chain: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(error) = chain {
        if let Some(Error::Exhausted { epochs, .. }) = error.downcast_ref() {
            assert_eq!(*epochs, EPOCHS as u64);
            return;
        }
        chain = error.source();
    }
    panic!("the loader's error is not among the sources of {error:?}");
}

/// A loader whose iterators stop after two batches, as an interrupted epoch does.
struct Short(Arc<dyn DataLoader<Curated<PointBatch>>>);

struct ShortIter<'a>(Box<dyn DataLoaderIterator<Curated<PointBatch>> + 'a>, usize);

impl Iterator for ShortIter<'_> {
    type Item = Result<Curated<PointBatch>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.1 = self.1.checked_sub(1)?;
        self.0.next()
    }
}

impl DataLoaderIterator<Curated<PointBatch>> for ShortIter<'_> {
    fn progress(&self) -> Progress {
        self.0.progress()
    }
}

impl DataLoader<Curated<PointBatch>> for Short {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<PointBatch>> + 'a> {
        Box::new(ShortIter(self.0.iter(), 2))
    }

    fn num_items(&self) -> usize {
        self.0.num_items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Curated<PointBatch>>> {
        Arc::new(Self(self.0.to_device(device)))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Curated<PointBatch>>> {
        Arc::new(Self(self.0.slice(start, end)))
    }
}

#[test]
fn a_training_whose_epochs_are_cut_short_loses_and_repeats_no_batch() {
    let folder = tempfile::tempdir().unwrap();
    let loader = CuratedDataLoader::new(stream(&[1.0; 93], folder.path()), PointBatcher).into_arc();
    let result = train(Model::new(), Arc::new(Short(loader)), 4);
    assert!(result.error.is_none());
    assert!(reports(folder.path()).iter().map(|report| report.batch).eq(0..8));
}

/// Shows nothing.
struct Quiet;

impl MetricsRendererTraining for Quiet {
    fn update_train(&mut self, _state: MetricState) {}
    fn update_valid(&mut self, _state: MetricState) {}
    fn on_train_end(&mut self, _summary: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl MetricsRendererEvaluation for Quiet {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl TrainingProgressLogger for Quiet {
    fn start(&mut self, _total: usize, _starting: usize, _items: Option<usize>, _label: Option<&str>) {}
    fn update_epoch(&mut self, _epoch: usize) {}
    fn start_split(&mut self, _split: &str, _total_items: usize) {}
    fn update_split(&mut self, _items_processed: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _event: String) {}
}

impl EvaluationProgressLogger for Quiet {
    fn start_global_progress(&mut self, _total_tests: usize) {}
    fn start_test(&mut self, _name: &str, _total_items: usize) {}
    fn update_test_progress(&mut self, _items_processed: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for Quiet {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _definition: MetricDefinition) {}
}
