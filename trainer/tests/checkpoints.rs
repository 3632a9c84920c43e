//! Trainings that are killed and go on: burn's records and the stream's state together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use arable_loader::{
    arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, RecordBatch},
    arrow::datatypes::Float32Type,
    stream::StreamBuilder,
};
use arable_trainer::{
    ArrowBatcher, BoxError, Checkpoints, Curated, CuratedDataLoader, Error, Signals, columns, loss::cross_entropy,
};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress},
        dataset::DatasetError,
    },
    module::Module,
    nn::{Dropout, DropoutConfig, Linear, LinearConfig},
    optim::AdamConfig,
    tensor::{Device, Int, Tensor, activation::relu},
    train::{
        ClassificationOutput, InferenceStep, Learner, LearningResult, SupervisedTraining, TrainOutput, TrainStep,
        checkpoint::KeepLastNCheckpoints, metric::LossMetric,
    },
};
use support::{Memory, recipe};

const BATCH: usize = 8;
const PASSES: usize = 2;
/// Shorter than a pass of 93 rows, so that checkpoints fall into the middle of one.
const EPOCH_BATCHES: u64 = 4;

struct PointBatch {
    x: Tensor<2>,
    labels: Tensor<1, Int>,
}

struct PointBatcher;

impl ArrowBatcher<PointBatch> for PointBatcher {
    fn batch(&self, data: &RecordBatch, device: &Device) -> Result<PointBatch, BoxError> {
        Ok(PointBatch { x: columns::floats(data, "x", device)?, labels: columns::ints(data, "label", device)? })
    }
}

/// A model whose steps depend on the device's randomness, too.
#[derive(Module, Debug)]
struct Model {
    first: Linear,
    dropout: Dropout,
    second: Linear,
}

impl Model {
    fn new() -> Self {
        let device = Device::default().autodiff();
        device.seed(5);
        Self {
            first: LinearConfig::new(2, 16).init(&device),
            dropout: DropoutConfig::new(0.3).init(),
            second: LinearConfig::new(16, 3).init(&device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.second.forward(self.dropout.forward(relu(self.first.forward(x))))
    }

    fn parameters(&self) -> Vec<u32> {
        [&self.first, &self.second]
            .iter()
            .flat_map(|layer| {
                let mut all: Vec<f32> = layer.weight.val().try_into_vec_as().unwrap();
                all.extend(layer.bias.as_ref().unwrap().val().try_into_vec_as::<f32>().unwrap());
                all
            })
            .map(f32::to_bits)
            .collect()
    }
}

impl TrainStep for Model {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
        if env::var("DIE_AT").is_ok_and(|batch| batch == item.number().to_string()) {
            // As hard as a kill: nothing is unwound, flushed or closed.
            std::process::abort();
        }
        let logits = self.forward(item.x.clone());
        let losses = cross_entropy(logits.clone(), item.labels.clone());
        let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.labels));
        TrainOutput::new(self, loss.backward(), ClassificationOutput::new(losses, logits, item.labels.clone()))
    }
}

impl InferenceStep for Model {
    type Input = Curated<PointBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> ClassificationOutput {
        let logits = self.forward(item.x.clone());
        ClassificationOutput::new(cross_entropy(logits.clone(), item.labels.clone()), logits, item.labels.clone())
    }
}

struct NoValidation;

impl DataLoader<Curated<PointBatch>> for NoValidation {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Curated<PointBatch>> + 'a> {
        Box::new(NoBatch)
    }

    fn num_items(&self) -> usize {
        0
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Curated<PointBatch>>> {
        Arc::new(Self)
    }

    fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Curated<PointBatch>>> {
        Arc::new(Self)
    }
}

struct NoBatch;

impl Iterator for NoBatch {
    type Item = Result<Curated<PointBatch>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

impl DataLoaderIterator<Curated<PointBatch>> for NoBatch {
    fn progress(&self) -> Progress {
        Progress::new(0, 0, None)
    }
}

/// The process has one generator for all that is drawn on the device, and one training at a time may draw from it.
static GENERATOR: Mutex<()> = Mutex::new(());

/// Trains in `folder` until all is done, from wherever it stands there; the model's parameters at the end.
fn train(folder: &Path) -> Vec<u32> {
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let goes_on = folder.join("checkpoint").exists();
    let (checkpoints, stream) = Checkpoints::resume(folder, builder()).unwrap();
    let train = CuratedDataLoader::from_arrow(stream, PointBatcher);
    let training = SupervisedTraining::new(folder, train.clone().into_arc(), Arc::new(NoValidation))
        .with_application_logger(None)
        .metric_train_numeric(LossMetric::new())
        .num_epochs(train.num_epochs());
    let learner = Learner::new(Model::new(), AdamConfig::new().init(), 0.01);
    let result = checkpoints.launch_with(KeepLastNCheckpoints::new(2), train.watch(training), &train, learner);
    assert!(result.error.is_none(), "{:?}", result.error);
    let pace = train.pace();
    // One that was killed at its very end has nothing left to do.
    assert!(pace.batches > 0 && pace.to_string().contains("waited") || goes_on, "{pace:?}");
    result.model.parameters()
}

fn builder() -> StreamBuilder {
    Memory::new(data()).builder(recipe(BATCH, PASSES).epoch_batches(EPOCH_BATCHES))
}

fn data() -> RecordBatch {
    let label = |i: usize| (i * 7 % 3) as i64;
    let at = |i: usize| label(i) as f32 - 1.0 + (i * 37 % 100) as f32 / 250.0;
    let x = (0..93).map(|i| Some([Some(at(i)), Some(at(i) * at(i))]));
    let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..93).map(label)));
    RecordBatch::try_from_iter([("x", x), ("label", labels)]).unwrap()
}

/// Runs [`train`] in a process of its own that dies at batch `at`; what it prints is of no use.
fn train_and_die(folder: &Path, at: u64) {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_training_in_a_process_of_its_own", "--nocapture"])
        .env("TRAIN_IN", folder)
        .env("DIE_AT", at.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "it was to die at batch {at}");
}

/// Not a test of its own: what [`train_and_die`] starts.
#[test]
fn a_training_in_a_process_of_its_own() {
    if let Some(folder) = env::var_os("TRAIN_IN") {
        train(Path::new(&folder));
    }
}

#[test]
fn a_training_that_was_killed_ends_with_the_parameters_of_one_that_was_not() {
    let whole = tempfile::tempdir().unwrap();
    let wanted = train(whole.path());
    for deaths in [vec![0], vec![6], vec![13, 22], vec![9, 10, 11]] {
        let folder = tempfile::tempdir().unwrap();
        for at in &deaths {
            train_and_die(folder.path(), *at);
        }
        assert_eq!(train(folder.path()), wanted, "after it died at batches {deaths:?}");
    }
}

/// Runs [`train`] in a process of its own, which is killed (as by `kill -9`) as soon as there is a file `name` in its
/// folder of checkpoints.
fn train_and_be_killed(folder: &Path, name: &str) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_training_in_a_process_of_its_own", "--nocapture"])
        .env("TRAIN_IN", folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let file = folder.join("checkpoint").join(name);
    while !file.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_training_that_was_killed_while_it_wrote_goes_on_as_well() {
    let whole = tempfile::tempdir().unwrap();
    let wanted = train(whole.path());
    // Before the first checkpoint is whole, between its records and its state, and while one takes another's place.
    for name in
        ["loader-1.state", "unfinished/model-2.bpk", "unfinished/optim-3.bpk", "scheduler-2.bpk", "loader-4.state"]
    {
        let folder = tempfile::tempdir().unwrap();
        train_and_be_killed(folder.path(), name);
        assert_eq!(train(folder.path()), wanted, "after it was killed at {name}");
    }
}

#[test]
fn a_stream_that_begins_anew_where_the_model_goes_on_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    train_and_die(folder.path(), 10);
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let checkpoints = Checkpoints::open(folder.path()).unwrap();
    let epoch = checkpoints.epoch().expect("a checkpoint");
    let train = CuratedDataLoader::from_arrow(builder().open().unwrap(), PointBatcher);
    let training = SupervisedTraining::new(folder.path(), train.clone().into_arc(), Arc::new(NoValidation))
        .with_application_logger(None)
        .metric_train_numeric(LossMetric::new())
        .num_epochs(train.num_epochs());
    let learner = Learner::new(Model::new(), AdamConfig::new().init(), 0.01);
    let result = checkpoints.launch(training, &train, learner);
    assert!(matches!(ended_with(&result), Error::NotResumed { epoch: found } if *found == epoch));
}

/// The trainer's own error that a training ended with.
fn ended_with<M>(result: &LearningResult<M>) -> &Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&**result.error.as_ref().expect("an error"));
    while let Some(error) = source {
        if let Some(ours) = error.downcast_ref() {
            return ours;
        }
        source = error.source();
    }
    panic!("the training ended with {:?}", result.error);
}

/// What is left to do in `folder` with virtual epochs of `epoch_batches`, as far as it comes.
fn go_on(folder: &Path, epoch_batches: u64) -> LearningResult<Model> {
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let builder = Memory::new(data()).builder(recipe(BATCH, PASSES).epoch_batches(epoch_batches));
    let (checkpoints, stream) = Checkpoints::resume(folder, builder).unwrap();
    let train = CuratedDataLoader::from_arrow(stream, PointBatcher);
    let training = SupervisedTraining::new(folder, train.clone().into_arc(), Arc::new(NoValidation))
        .with_application_logger(None)
        .metric_train_numeric(LossMetric::new())
        .num_epochs(train.num_epochs());
    let learner = Learner::new(Model::new(), AdamConfig::new().init(), 0.01);
    checkpoints.launch_with(KeepLastNCheckpoints::new(2), training, &train, learner)
}

#[test]
fn virtual_epochs_of_another_length_are_refused_and_not_skipped() {
    let folder = tempfile::tempdir().unwrap();
    train_and_die(folder.path(), 10);
    // With the longer one there would be no epoch left to train.
    for epoch_batches in [3, 24] {
        let result = go_on(folder.path(), epoch_batches);
        let Error::EpochLength { epoch, batches, epoch_batches: found } = ended_with(&result) else {
            panic!("the training ended with {:?}", result.error)
        };
        assert_eq!((*batches, *found), (*epoch as u64 * EPOCH_BATCHES, epoch_batches));
    }
    assert!(go_on(folder.path(), EPOCH_BATCHES).error.is_none());
}

#[test]
fn a_state_that_cannot_be_written_ends_the_training_also_at_its_last_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let last = (93_usize.div_ceil(BATCH) * PASSES).div_ceil(EPOCH_BATCHES as usize);
    fs::create_dir_all(folder.path().join("checkpoint").join(format!("loader-{last}.state")).join("in the way"))
        .unwrap();
    let result = go_on(folder.path(), EPOCH_BATCHES);
    assert!(matches!(ended_with(&result), Error::Stream(_)), "{:?}", result.error);
}

#[test]
fn a_finished_training_leaves_a_state_for_each_checkpoint_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path());
    let checkpoint = folder.path().join("checkpoint");
    let names = fs::read_dir(&checkpoint).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    let epochs = |before: &str, after: &str| {
        let mut epochs: Vec<usize> =
            names.iter().filter_map(|name| name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()).collect();
        epochs.sort_unstable();
        epochs
    };
    assert_eq!(epochs("loader-", ".state"), epochs("model-", ".bpk"));
    assert_eq!(epochs("loader-", ".state").len(), 2);
}

#[test]
fn states_are_kept_with_the_records_and_incomplete_checkpoints_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    train_and_die(folder.path(), 21);
    let checkpoint = folder.path().join("checkpoint");
    let newest = Checkpoints::open(folder.path()).unwrap().epoch().unwrap();
    assert!(newest >= 4, "{newest}");
    let states = fs::read_dir(&checkpoint)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".state"));
    assert!(states.count() <= 3, "states are deleted with their records");

    let optimizer = checkpoint.join(format!("optim-{newest}.bpk"));
    fs::rename(&optimizer, folder.path().join("gone")).unwrap();
    assert_eq!(Checkpoints::open(folder.path()).unwrap().epoch(), Some(newest - 1));

    fs::rename(folder.path().join("gone"), &optimizer).unwrap();
    assert!(Checkpoints::open(folder.path()).unwrap().unreadable().is_empty());
}

/// Flips a bit of a state.
fn damage(state: &Path) {
    let mut bytes = fs::read(state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(state, bytes).unwrap();
}

#[test]
fn a_training_whose_newest_state_is_damaged_goes_on_from_the_one_before() {
    let whole = tempfile::tempdir().unwrap();
    let wanted = train(whole.path());
    let folder = tempfile::tempdir().unwrap();
    train_and_die(folder.path(), 21);
    let checkpoint = folder.path().join("checkpoint");
    let newest = Checkpoints::open(folder.path()).unwrap().epoch().unwrap();
    damage(&checkpoint.join(format!("loader-{newest}.state")));
    let before = Checkpoints::open(folder.path()).unwrap();
    assert_eq!((before.epoch(), before.unreadable()), (Some(newest - 1), &[newest][..]));
    assert_eq!(train(folder.path()), wanted);

    // What a resumed training does not come to again is not left behind either.
    let last = Checkpoints::open(folder.path()).unwrap();
    assert!(last.unreadable().is_empty() && last.epoch() > Some(newest));

    // Where there is none to go back to, nothing is begun anew in silence.
    for entry in fs::read_dir(&checkpoint).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "state") {
            damage(&path);
        }
    }
    let error = Checkpoints::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot resume"), "{error}");
}
