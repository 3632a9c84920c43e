//! Everything that burn's own trainings can do, with nothing changed in them: several devices, accumulated gradients,
//! early stopping, the interrupter, metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Barrier, Mutex},
};

use arable_loader::{
    Position, Recipe, Report,
    arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, RecordBatch},
    arrow::datatypes::Float32Type,
};
use arable_trainer::{Curated, CuratedDataLoader, FromColumns, PlainDataLoader, Signals, loss::cross_entropy};
use burn::{
    data::{
        dataloader::{
            DataLoader, DataLoaderBuilder, DataLoaderIterator, Progress, batcher::Batcher, split::split_dataloader,
        },
        dataset::{DatasetError, InMemDataset},
    },
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    optim::{GradientsAccumulator, SgdConfig},
    tensor::{
        Device, Int, Tensor,
        distributed::{DistributedConfig, ReduceOperation},
    },
    train::{
        ClassificationOutput, ExecutionStrategy, InferenceStep, Interrupter, Learner, LearnerSummary, LearningResult,
        MetricEarlyStoppingStrategy, MultiDeviceOptim, StoppingCondition, SupervisedTraining, TrainOutput, TrainStep,
        TrainingStrategy,
        logger::{EvaluationProgressLogger, TrainingProgressLogger},
        metric::{
            AccuracyMetric, LossMetric, MetricDefinition, MetricId,
            store::{Aggregate, Direction, Split},
        },
        renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
    },
};
use support::{Memory, reports};

const BATCH: usize = 8;
const EPOCHS: usize = 3;
/// Batches of a virtual epoch: the last of a pass over 93 rows is short.
const BATCHES: u64 = 12;

fn points() -> Vec<Point> {
    let label = |i: usize| (i * 7 % 3) as i64;
    let at = |i: usize| label(i) as f32 - 1.0 + (i * 37 % 100) as f32 / 250.0;
    (0..93).map(|i| Point { x: [at(i), at(i) * at(i)], label: label(i) }).collect()
}

/// A loader of the points for three epochs, recorded in `folder`; each third row has `weight`.
fn loader(weight: f32, folder: &Path) -> CuratedDataLoader<PointBatch> {
    loader_of(|row| if row % 3 == 0 { weight } else { 1.0 }, folder)
}

/// The same with a weight for each row.
fn loader_of(weight: impl FnMut(usize) -> f32, folder: &Path) -> CuratedDataLoader<PointBatch> {
    let weights: Vec<_> = (0..points().len()).map(weight).collect();
    CuratedDataLoader::of_columns(Memory::new(columns_of_points()).weighted(&weights, BATCH, EPOCHS, folder))
}

/// The points as rows.
fn columns_of_points() -> RecordBatch {
    let points = points();
    let x = points.iter().map(|point| Some(point.x.map(Some)));
    let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2));
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(points.iter().map(|point| point.label)));
    RecordBatch::try_from_iter([("x", x), ("label", label)]).unwrap()
}

#[derive(Clone, Debug)]
struct Point {
    x: [f32; 2],
    label: i64,
}

#[derive(Clone, Debug, FromColumns)]
struct PointBatch {
    x: Tensor<2>,
    #[column(name = "label")]
    labels: Tensor<1, Int>,
}

struct PointBatcher;

impl Batcher<Point, PointBatch> for PointBatcher {
    fn batch(&self, items: Vec<Point>, device: &Device) -> PointBatch {
        let labels: Vec<_> = items.iter().map(|item| item.label).collect();
        let x: Vec<_> = items.iter().flat_map(|item| item.x).collect();
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
        linear.weight = Param::from_tensor(Tensor::from_floats([[0.1, -0.2, 0.3], [0.0, 0.2, -0.1]], &device));
        linear.bias = Some(Param::from_tensor(Tensor::zeros([3], &device)));
        Self { linear }
    }

    fn parameters(&self) -> Vec<u32> {
        let mut all: Vec<f32> = self.linear.weight.val().try_into_vec_as().unwrap();
        all.extend(self.linear.bias.as_ref().unwrap().val().try_into_vec_as::<f32>().unwrap());
        all.into_iter().map(f32::to_bits).collect()
    }
}

impl TrainStep for Model {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
        let logits = self.linear.forward(item.x.clone());
        let losses = cross_entropy(logits.clone(), item.labels.clone());
        let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.labels));
        TrainOutput::new(self, loss.backward(), ClassificationOutput::new(losses, logits, item.labels.clone()))
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

type Train = Arc<dyn DataLoader<Curated<PointBatch>>>;

/// Trains in a folder of its own, with what `settings` adds.
fn train(
    loader: Train,
    learning_rate: f64,
    settings: impl FnOnce(SupervisedTraining<Model>) -> SupervisedTraining<Model>,
) -> LearningResult<Model> {
    let valid = DataLoaderBuilder::new(PointBatcher).batch_size(BATCH).build(InMemDataset::new(points()));
    let folder = tempfile::tempdir().unwrap();
    let training = SupervisedTraining::new(folder.path(), loader, PlainDataLoader::new(valid).into_arc())
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_application_logger(None)
        .renderer(Box::<Shown>::default())
        .num_epochs(EPOCHS);
    settings(training).launch(Learner::new(Model::new(), SgdConfig::new().init(), learning_rate))
}

fn on(devices: usize, optimizer: MultiDeviceOptim) -> TrainingStrategy<Model> {
    TrainingStrategy::Default(ExecutionStrategy::multi(vec![Device::default(); devices], optimizer))
}

fn rows(reports: &[Report]) -> BTreeMap<Position, usize> {
    let mut rows = BTreeMap::new();
    for (position, _) in reports.iter().flat_map(|report| &report.rows) {
        *rows.entry(*position).or_default() += 1;
    }
    rows
}

#[test]
fn several_devices_train_on_each_row_once_an_epoch_and_learn() {
    for (devices, optimizer) in [
        (2, MultiDeviceOptim::OptimMainDevice),
        (3, MultiDeviceOptim::OptimMainDevice),
        (2, MultiDeviceOptim::OptimSharded),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let loader = loader(1.0, folder.path());
        let result = train(loader.into_arc(), 0.3, |training| training.with_training_strategy(on(devices, optimizer)));
        assert!(result.error.is_none(), "{:?}", result.error);
        let reports = reports(folder.path());
        assert!(reports.iter().map(|report| report.batch).eq(0..EPOCHS as u64 * BATCHES), "{devices} devices");
        let rows = rows(&reports);
        assert!(rows.len() == 93 && rows.values().all(|&times| times == EPOCHS), "{devices} devices");
        let mean = |reports: &[Report]| {
            let losses: Vec<_> =
                reports.iter().flat_map(|report| &report.rows).map(|(_, signal)| signal.loss).collect();
            losses.iter().sum::<f32>() / losses.len() as f32
        };
        let (first, last) = (mean(&reports[..BATCHES as usize]), mean(&reports[2 * BATCHES as usize..]));
        assert!(last < 0.9 * first, "{devices} devices: {first}, then {last}");
    }
}

/// What burn's strategy of distributed workers does with a loader; flex has none of the collective operations that the
/// strategy itself needs. A worker that came to its end before its peers would leave them in the barrier for good.
#[test]
fn distributed_workers_stay_in_step_and_share_out_each_epoch() {
    const WORKERS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(1.0, folder.path());
    let parts = split_dataloader(loader.clone().into_arc(), &vec![Device::default(); WORKERS]);
    drop(loader);
    let collective = Barrier::new(WORKERS);
    let work = |part: &Train| {
        for _ in 0..EPOCHS {
            let mut iterator = part.iter();
            let mut steps = 0;
            while let Some(batch) = iterator.next() {
                let batch = batch.unwrap();
                let losses = batch.x.clone().sum_dim(1).reshape([batch.x.dims()[0]]);
                let _loss = batch.settle(losses, Signals::none());
                steps += 1;
                assert_eq!(iterator.progress().is_completed(), steps == BATCHES.div_ceil(WORKERS as u64));
                collective.wait();
            }
        }
    };
    std::thread::scope(|scope| {
        for part in &parts {
            scope.spawn(|| work(part));
        }
    });
    drop(parts);
    let reports = reports(folder.path());
    let batches: BTreeSet<_> = reports.iter().map(|report| report.batch).collect();
    assert!(batches.into_iter().eq(0..EPOCHS as u64 * BATCHES));
    let rows = rows(&reports);
    assert!(rows.len() == 93 && rows.values().all(|&times| times == EPOCHS));
}

/// The day that burn has collective operations for flex, its own strategy is to take the place of the test above.
#[test]
fn burns_distributed_strategy_itself_refuses_flex() {
    let devices = vec![Device::default().autodiff(); 2];
    let config = DistributedConfig { all_reduce_op: ReduceOperation::Mean };
    let refused = std::panic::catch_unwind(|| ExecutionStrategy::ddp(devices, config)).map(drop).unwrap_err();
    let said = refused.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("Distributed operations are not supported for device Flex"), "{said}");
}

#[test]
fn the_last_window_of_accumulated_gradients_is_applied() {
    // Twelve batches are two windows of five, and two batches that are lost unless the last one completes its epoch.
    const WINDOW: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let found = train(loader(0.5, folder.path()).into_arc(), 0.05, |training| training.grads_accumulation(WINDOW));
    assert!(found.error.is_none());

    let folder = tempfile::tempdir().unwrap();
    let loader = loader(0.5, folder.path()).to_device(&Device::default().autodiff());
    let (mut model, mut optimizer) = (Model::new(), SgdConfig::new().init());
    let mut steps = 0;
    for _ in 0..EPOCHS {
        let mut window = GradientsAccumulator::new();
        for (at, batch) in (1..).zip(loader.iter()) {
            window.accumulate(&model, TrainStep::step(&model, batch.unwrap()).grads);
            if at % WINDOW == 0 || at == BATCHES as usize {
                model = optimizer.step(0.05, model, window.grads());
                steps += 1;
            }
        }
    }
    assert_eq!(steps, EPOCHS * 3);
    assert_eq!(found.model.parameters(), model.parameters());
}

#[test]
fn early_stopping_stops_and_leaves_the_rest_of_the_run_to_another_training() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(1.0, folder.path());
    // Without a learning rate the second epoch is no better than the first.
    let stop = MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Lowest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 1 },
    );
    let result = train(loader.clone().into_arc(), 0.0, |training| training.early_stopping(stop));
    assert!(result.error.is_none(), "{:?}", result.error);
    loader.drain();
    assert_eq!(loader.with_stream(|stream| stream.batches()), 2 * BATCHES);

    let result = train(loader.into_arc(), 0.3, |training| training.num_epochs(1));
    assert!(result.error.is_none(), "{:?}", result.error);
    assert!(reports(folder.path()).iter().map(|report| report.batch).eq(0..3 * BATCHES));
}

/// A loader that interrupts its training with the batch `at`.
#[derive(Clone)]
struct Interrupting {
    loader: Train,
    interrupter: Interrupter,
    at: u64,
}

struct InterruptingIter<'a>(Box<dyn DataLoaderIterator<Curated<PointBatch>> + 'a>, &'a Interrupting);

impl Iterator for InterruptingIter<'_> {
    type Item = Result<Curated<PointBatch>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.0.next()?;
        if batch.as_ref().is_ok_and(|batch| batch.number() == self.1.at) {
            self.1.interrupter.stop(Some("the budget is used up"));
        }
        Some(batch)
    }
}

impl DataLoaderIterator<Curated<PointBatch>> for InterruptingIter<'_> {
    fn progress(&self) -> Progress {
        self.0.progress()
    }
}

impl DataLoader<Curated<PointBatch>> for Interrupting {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<PointBatch>> + 'a> {
        Box::new(InterruptingIter(self.loader.iter(), self))
    }

    fn num_items(&self) -> usize {
        self.loader.num_items()
    }

    fn to_device(&self, device: &Device) -> Train {
        Arc::new(Self { loader: self.loader.to_device(device), ..self.clone() })
    }

    fn slice(&self, start: usize, end: usize) -> Train {
        Arc::new(Self { loader: self.loader.slice(start, end), ..self.clone() })
    }
}

#[test]
fn an_interrupted_training_goes_on_with_the_batch_after_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(1.0, folder.path());
    let interrupter = Interrupter::new();
    let at = BATCHES + 4;
    let interrupting = Interrupting { loader: loader.clone().into_arc(), interrupter: interrupter.clone(), at };
    let result = train(Arc::new(interrupting), 0.3, |training| training.with_interrupter(interrupter));
    assert!(result.error.is_none() && result.interrupted.is_some());
    loader.drain();
    assert_eq!(loader.with_stream(|stream| stream.batches()), at + 1);

    // What is left of the second epoch, and the third.
    let result = train(loader.into_arc(), 0.3, |training| training.num_epochs(2));
    assert!(result.error.is_none(), "{:?}", result.error);
    assert!(reports(folder.path()).iter().map(|report| report.batch).eq(0..3 * BATCHES));
}

#[test]
fn what_the_stream_has_to_say_stands_beside_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(0.0, folder.path());
    let shown = Shown::default();
    let values = Arc::clone(&shown.values);
    let result = train(loader.clone().into_arc(), 0.3, |training| {
        loader.watch(training).renderer(Box::new(shown)).num_epochs(1)
    });
    assert!(result.error.is_none(), "{:?}", result.error);

    let values = values.lock().unwrap();
    let values = |name: &str| values.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", values.keys()));
    assert!(values("Kept rows").iter().all(|kept| *kept == 100.0));
    // A third of the rows weighs nothing: so do as many of the rows drawn, and so much less counts of a batch.
    let near = |name: &str, wanted: f64| {
        let mean = values(name).iter().sum::<f64>() / values(name).len() as f64;
        assert!((mean - wanted).abs() < 8.0, "{name}: {mean}");
    };
    near("Effective sample size", 200.0 / 3.0);
    assert!(values("Wait for data").iter().all(|wait| wait.is_finite() && *wait >= 0.0));
    assert!(values("Loss").len() >= BATCHES as usize);
}

#[test]
fn a_run_that_goes_on_shows_the_rows_kept_so_far_from_its_first_batch() {
    let recipe = "epochs = 3\n[dataset]\nurl = \"memory\"\n[[clean]]\nop = \"predicate\"\nkeep = \"label < 2\"\n\
                  [batch]\nsize = 8\nepoch_batches = 4";
    let builder = || Memory::new(columns_of_points()).builder(Recipe::from_toml(recipe).unwrap());
    let mut stream = builder().open().unwrap();
    assert_eq!(stream.by_ref().take(5).count(), 5);
    let stream = builder().resume(stream.state().unwrap()).open().unwrap();

    let loader = CuratedDataLoader::<PointBatch>::of_columns(stream);
    let shown = Shown::default();
    let values = Arc::clone(&shown.values);
    let result = train(loader.clone().into_arc(), 0.3, |training| {
        loader.watch(training).renderer(Box::new(shown)).num_epochs(1)
    });
    assert!(result.error.is_none(), "{:?}", result.error);
    let kept = &values.lock().unwrap()["Kept rows"];
    assert!(!kept.is_empty() && kept.iter().all(|kept| (60.0..75.0).contains(kept)), "{kept:?}");
}

#[test]
fn labels_are_flagged_that_the_model_went_on_contradicting() {
    let folder = tempfile::tempdir().unwrap();
    // A class of no weight is never learnt: once its rows were seen, their labels are flagged, and hardly any other.
    let loader = loader_of(|row| if points()[row].label == 2 { 0.0 } else { 1.5 }, folder.path());
    let shown = Shown::default();
    let values = Arc::clone(&shown.values);
    let result = train(loader.clone().into_arc(), 0.3, |training| loader.watch(training).renderer(Box::new(shown)));
    assert!(result.error.is_none(), "{:?}", result.error);

    let values = values.lock().unwrap();
    let flagged = &values["Flagged labels"];
    assert_eq!(flagged[0], 0.0, "nothing was seen before the first window");
    let last = flagged.last().unwrap();
    let third = 100.0 * points().iter().filter(|point| point.label == 2).count() as f64 / points().len() as f64;
    assert!(flagged.iter().any(|share| *share > third / 2.0) && (0.0..=100.0).contains(last), "{flagged:?}");
}

/// Keeps every value of each metric of training.
#[derive(Default)]
struct Shown {
    names: HashMap<MetricId, String>,
    values: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
}

impl MetricsRendererTraining for Shown {
    fn update_train(&mut self, state: MetricState) {
        if let MetricState::Numeric(entry, Some(number)) = state {
            let name = self.names.get(&entry.metric_id).cloned().unwrap_or_default();
            self.values.lock().unwrap().entry(name).or_default().push(number.current());
        }
    }

    fn update_valid(&mut self, _state: MetricState) {}

    fn on_train_end(&mut self, _summary: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl MetricsRendererEvaluation for Shown {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl TrainingProgressLogger for Shown {
    fn start(&mut self, _total: usize, _starting: usize, _items: Option<usize>, _label: Option<&str>) {}
    fn update_epoch(&mut self, _epoch: usize) {}
    fn start_split(&mut self, _split: &str, _total_items: usize) {}
    fn update_split(&mut self, _items_processed: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _event: String) {}
}

impl EvaluationProgressLogger for Shown {
    fn start_global_progress(&mut self, _total_tests: usize) {}
    fn start_test(&mut self, _name: &str, _total_items: usize) {}
    fn update_test_progress(&mut self, _items_processed: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for Shown {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }
}
