//! Checkpoints of a whole training: burn's records and the stream's state, saved, kept, deleted and resumed together.
//!
//! burn's checkpoints hold a model, an optimiser and a scheduler, and have no place for anything else. So the stream's
//! state lies beside them as `loader-{epoch}.state`, written when burn's checkpointing strategy decides on an epoch, at
//! which moment nothing is on its way: the epoch's batches are settled and the next `iter()` has not begun.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arable_loader::{
    self as loader, Stream,
    stream::{State, StreamBuilder},
};
use burn::{
    data::dataset::DatasetError,
    train::{
        Learner, LearnerModel, LearningResult, SupervisedTraining, TrainingError,
        checkpoint::{
            Checkpoint, Checkpointer, CheckpointerError, CheckpointingAction, CheckpointingStrategy,
            ComposedCheckpointingStrategy, FileCheckpointer, KeepLastNCheckpoints, MetricCheckpointingStrategy,
        },
        metric::{
            LossMetric,
            store::{Aggregate, Direction, EventStoreClient, Split},
        },
    },
};

use crate::{CuratedDataLoader, Error, Result, run::Run};

/// What burn's checkpointers call the three records of an epoch.
const RECORDS: [&str; 3] = ["model", "optim", "scheduler"];

/// The ending of burn's records.
const RECORD: &str = "bpk";

/// The checkpoints of one training, and where it goes on.
///
/// ```no_run
/// use arable_loader::{Recipe, Stream};
/// use arable_trainer::{Checkpoints, Curated, CuratedDataLoader};
/// # use burn::{data::dataloader::{DataLoader, batcher::Batcher}, train::{Learner, LearnerModel, TrainStep, InferenceStep, SupervisedTraining}};
/// # use std::sync::Arc;
/// # fn train<M, I, B, O>(batcher: B, valid: Arc<dyn DataLoader<<M as InferenceStep>::Input>>, learner: Learner<M>)
/// # -> Result<(), Box<dyn std::error::Error>>
/// # where M: LearnerModel + TrainStep<Input = Curated<O>>, I: serde::de::DeserializeOwned + 'static, B: Batcher<I, O> + 'static, O: Send + 'static {
///
/// let recipe = Recipe::from_toml_file("arable.toml")?;
/// let (checkpoints, stream) = Checkpoints::resume("artifacts", Stream::builder(recipe))?;
/// let train = CuratedDataLoader::new(stream, batcher);
/// let training = SupervisedTraining::new("artifacts", train.clone().into_arc(), valid).num_epochs(train.num_epochs());
/// checkpoints.launch(training, &train, learner);
/// # Ok(())
/// # }
/// ```
///
/// The first time this begins a training; after that it goes on after the newest epoch of which everything is there,
/// whatever killed the one before. With [virtual epochs](loader::Recipe::epoch_batches) that are shorter than a pass over
/// the data, that is in the middle of a pass. On a backend whose operations are deterministic (flex, with as many
/// threads) the parameters are then, bit for bit, those of a training that was not killed.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    newest: Option<(usize, State)>,
    unreadable: Vec<usize>,
}

impl Checkpoints {
    /// Those of the training in `directory`, as given to `SupervisedTraining::new`; they lie in `checkpoint` below it,
    /// where burn's own are.
    ///
    /// A state that cannot be read, being damaged or of another version of Arable, is passed over with a warning for the
    /// checkpoint before it: see [`unreadable`](Self::unreadable).
    ///
    /// # Errors
    ///
    /// [`Error::Stream`] where the folder or a state in it cannot be read, or none of the complete checkpoints' states
    /// can; the error is then the newest one's.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        let folder = directory.as_ref().join("checkpoint");
        let mut epochs = complete_epochs(&folder)?;
        epochs.sort_unstable();
        let (mut unreadable, mut first) = (Vec::new(), None);
        for epoch in epochs.into_iter().rev() {
            let path = state_path(&folder, epoch);
            match State::load(&path) {
                Ok(state) => {
                    if let Some(error) = &first {
                        tracing::warn!(
                            %error, ?unreadable, goes_on_after = epoch,
                            "the states of the newest checkpoints are passed over for one before them"
                        );
                    }
                    return Ok(Self { folder, newest: Some((epoch, state)), unreadable });
                }
                Err(error @ loader::Error::State(_)) => {
                    unreadable.push(epoch);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(Error::Stream(error)),
            }
        }
        first.map_or(Ok(Self { folder, newest: None, unreadable }), |error| Err(Error::Stream(error)))
    }

    /// [`open`](Self::open) and [`builder`](Self::builder) in one: the checkpoints in `directory`, and the stream where they
    /// say that it goes on. With [`launch`](Self::launch), burn's records and the stream are resumed together.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and [`Error::Stream`] where the stream cannot be opened there, as with another recipe or
    /// other data.
    pub fn resume(directory: impl AsRef<Path>, builder: StreamBuilder) -> Result<(Self, Stream)> {
        let checkpoints = Self::open(directory)?;
        let stream = checkpoints.builder(builder).open().map_err(Error::Stream)?;
        Ok((checkpoints, stream))
    }

    /// The virtual epoch (from 1, as burn counts) after which the training goes on; `None` where it begins.
    #[must_use]
    pub fn epoch(&self) -> Option<usize> {
        self.newest.as_ref().map(|(epoch, _)| *epoch)
    }

    /// The epochs after [`epoch`](Self::epoch) whose state cannot be read, being damaged or of another version of Arable,
    /// newest first: what was trained in them is trained again, and [`launch`](Self::launch) deletes what is left of them
    /// before. Empty as a rule, since a state is written whole or not at all.
    #[must_use]
    pub fn unreadable(&self) -> &[usize] {
        &self.unreadable
    }

    /// `builder`, so that the stream goes on where the training does.
    pub fn builder(&self, builder: StreamBuilder) -> StreamBuilder {
        match &self.newest {
            Some((_, state)) => builder.resume(state.clone()),
            None => builder,
        }
    }

    /// Launches `training`, whose training data are `loader`'s, from where it goes on, with burn's default strategy: the
    /// last two checkpoints are kept, and the one with the lowest loss in validation.
    ///
    /// If the stream begins anew where the model goes on, the training ends with [`Error::NotResumed`] before its first
    /// step; if virtual epochs have another length than before, with [`Error::EpochLength`]. If a state cannot be written,
    /// it ends at the next batch, or with its last epoch, with [`Error::Stream`].
    pub fn launch<M: LearnerModel, O: 'static>(
        &self,
        training: SupervisedTraining<M>,
        loader: &CuratedDataLoader<O>,
        learner: Learner<M>,
    ) -> LearningResult<M> {
        self.launch_with(burns_default(), training, loader, learner)
    }

    /// As [`launch`](Self::launch), with `strategy` deciding which checkpoints are kept.
    ///
    /// Any checkpointers and strategy that `training` had are replaced.
    pub fn launch_with<M: LearnerModel, O: 'static>(
        &self,
        strategy: impl CheckpointingStrategy + 'static,
        training: SupervisedTraining<M>,
        loader: &CuratedDataLoader<O>,
        learner: Learner<M>,
    ) -> LearningResult<M> {
        let [model, optimizer, scheduler] = RECORDS.map(|name| Whole::new(&self.folder, name));
        let strategy =
            Mirrored { strategy, folder: self.folder.clone(), run: Arc::clone(loader.run()), obsolete: Vec::new() };
        let training =
            training.with_custom_checkpointers(model, optimizer, scheduler).with_checkpointing_strategy(strategy);
        // Their records must not be taken for those of the epochs that come now.
        for &epoch in &self.unreadable {
            remove_state(&self.folder, epoch);
            RECORDS.iter().for_each(|name| remove(&record_path(&self.folder, name, epoch)));
        }
        let training = match self.epoch() {
            Some(epoch) => {
                let (batches, epoch_batches) = loader.run().progress();
                if batches == 0 {
                    loader.run().feedback.fault(Error::NotResumed { epoch });
                } else if batches != epoch as u64 * epoch_batches {
                    loader.run().feedback.fault(Error::EpochLength { epoch, batches, epoch_batches });
                }
                training.checkpoint(epoch)
            }
            None => training,
        };
        let mut result = training.launch(learner);
        // Where no batch was asked for any more, nobody was told.
        if let (None, Some(fault)) = (&result.error, loader.run().feedback.take_fault()) {
            result.error = Some(Arc::new(TrainingError::Dataset(DatasetError::new(fault))));
        }
        forget_outdated(&self.folder);
        result
    }
}

/// What burn does where nothing else is said; its own is out of reach.
fn burns_default() -> ComposedCheckpointingStrategy {
    let best = MetricCheckpointingStrategy::new(&LossMetric::new(), Aggregate::Mean, Direction::Lowest, Split::Valid);
    ComposedCheckpointingStrategy::builder().add(KeepLastNCheckpoints::new(2)).add(best).build()
}

fn state_path(folder: &Path, epoch: usize) -> PathBuf {
    folder.join(format!("loader-{epoch}.state"))
}

fn record_path(folder: &Path, name: &str, epoch: usize) -> PathBuf {
    folder.join(format!("{name}-{epoch}.{RECORD}"))
}

/// The epochs of which all records and the state are there. Each is written whole or not at all.
fn complete_epochs(folder: &Path) -> Result<Vec<usize>> {
    let is_complete = |epoch: &usize| RECORDS.iter().all(|name| record_path(folder, name, *epoch).is_file());
    Ok(states(folder)?.into_iter().filter(is_complete).collect())
}

/// The epochs of which there is a state.
fn states(folder: &Path) -> Result<Vec<usize>> {
    let io = |error| Error::Stream(loader::Error::io("read", folder)(error));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut epochs = Vec::new();
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        let epoch = name.to_str().and_then(|name| name.strip_prefix("loader-")?.strip_suffix(".state"));
        epochs.extend(epoch.and_then(|epoch| epoch.parse::<usize>().ok()));
    }
    Ok(epochs)
}

/// Deletes the states of checkpoints of which burn has deleted all records: before the newest that is complete.
fn forget_outdated(folder: &Path) {
    let Ok(Some(newest)) = complete_epochs(folder).map(|epochs| epochs.into_iter().max()) else { return };
    for epoch in states(folder).unwrap_or_default() {
        if epoch < newest && !RECORDS.iter().any(|name| record_path(folder, name, epoch).exists()) {
            remove_state(folder, epoch);
        }
    }
}

fn remove_state(folder: &Path, epoch: usize) {
    remove(&state_path(folder, epoch));
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a part of a checkpoint that is not needed any more was left behind");
    }
}

/// A strategy of burn's, with the stream's states saved and deleted as it decides.
struct Mirrored<S> {
    strategy: S,
    folder: PathBuf,
    run: Arc<Run>,
    /// States of checkpoints that burn was told to delete, which it does on other threads.
    obsolete: Vec<usize>,
}

impl<S: CheckpointingStrategy> CheckpointingStrategy for Mirrored<S> {
    fn checkpointing(&mut self, epoch: usize, store: &EventStoreClient) -> Vec<CheckpointingAction> {
        let mut actions = self.strategy.checkpointing(epoch, store);
        // Until the new checkpoint is whole, an older one must stay: burn is told to save before it deletes, and a state
        // outlives its records by an epoch.
        actions.sort_by_key(|action| !matches!(action, CheckpointingAction::Save));
        for epoch in std::mem::take(&mut self.obsolete) {
            remove_state(&self.folder, epoch);
        }
        for action in &actions {
            match action {
                CheckpointingAction::Delete(epoch) => self.obsolete.push(*epoch),
                CheckpointingAction::Save => {
                    let saved = self.run.state().and_then(|state| state.save(&state_path(&self.folder, epoch)));
                    if let Err(error) = saved {
                        // burn's records without a state are no checkpoint to go on from, and the run must not go on as
                        // if there were one.
                        self.run.feedback.fault(Error::Stream(error));
                    }
                }
            }
        }
        actions
    }
}

/// burn's file checkpointer, except that a record appears under its name only once it is whole.
struct Whole {
    folder: PathBuf,
    name: &'static str,
    files: FileCheckpointer,
    /// Where records are written; on the same file system as the folder.
    unfinished: FileCheckpointer,
}

impl Whole {
    fn new(folder: &Path, name: &'static str) -> Self {
        let files = FileCheckpointer::new(folder, name);
        let unfinished = FileCheckpointer::new(Self::beside(folder), name);
        Self { folder: folder.to_owned(), name, files, unfinished }
    }

    fn beside(folder: &Path) -> PathBuf {
        folder.join("unfinished")
    }
}

impl<R: Checkpoint> Checkpointer<R> for Whole {
    fn save(&self, epoch: usize, record: R) -> Result<(), CheckpointerError> {
        self.unfinished.save(epoch, record)?;
        let file = format!("{}-{epoch}.{RECORD}", self.name);
        let written = Self::beside(&self.folder).join(&file);
        let whole = || -> std::io::Result<()> {
            fs::File::open(&written)?.sync_all()?;
            fs::rename(&written, self.folder.join(&file))
        };
        whole().map_err(CheckpointerError::IOError)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        Checkpointer::<R>::delete(&self.files, epoch)
    }

    fn restore(&self, epoch: usize) -> Result<R, CheckpointerError> {
        self.files.restore(epoch)
    }
}
