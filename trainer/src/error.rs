//! What can go wrong between the stream and a training step.

use arable_loader as loader;

pub use crate::misfit::Misfit;

/// The trainer's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error: what a batcher may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between the stream and a training step.
///
/// Inside burn it travels as the `source()` of a `DatasetError`, and ends the training in `LearningResult::error`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream met an error that its recipe says to stop at.
    #[error("the stream stopped: {0}")]
    Stream(#[source] loader::Error),

    /// The stream ended inside its run.
    #[error("the stream ended before batch {batch} of {batches}, as it does after an error; open it again to go on")]
    Ended {
        /// The batch that should have come, counted over this rank's.
        batch: u64,
        /// Batches that this rank has in the whole run.
        batches: u64,
    },

    /// Data without a row: no batch can ever be made of them.
    #[error("dataset `{dataset}` has no row, so there is nothing to train on; `arable inspect` shows what was read")]
    Empty {
        /// The dataset's URL.
        dataset: String,
    },

    /// One `iter()` more than the run has virtual epochs.
    #[error(
        "the run is over: it has {epochs} virtual epochs of {epoch_batches} batches; \
         give the training no more, or raise `epochs` in the recipe"
    )]
    Exhausted {
        /// Virtual epochs that the run has.
        epochs: u64,
        /// Batches in each.
        epoch_batches: u64,
    },

    /// An `iter()` while another iterator over the same run was alive.
    #[error(
        "another iterator over this run is alive, and a run hands each batch over once; \
         drop the first, or open a second stream"
    )]
    Busy,

    /// A super-batch of candidates that was settled as a whole.
    #[error(
        "batch {batch}: the policy picks the rows to train on inside the step; call `select` on the batch before the \
         forward pass that is trained"
    )]
    Unselected {
        /// The batch's number.
        batch: u64,
    },

    /// A super-batch that was not scored, since scores would not pay, settled without what tells when they do.
    #[error(
        "batch {batch}: its rows were picked without scores, and what was settled of them does not say what the policy \
         goes by: give `settle` the signals that `select` is given, such as `Signals::classification`"
    )]
    Unheard {
        /// The batch's number.
        batch: u64,
    },

    /// A super-batch whose rows could not be picked.
    #[error("batch {batch}: no row could be picked: {source}")]
    Selection {
        /// The batch's number.
        batch: u64,
        /// What went wrong: on the device, or with the scores.
        #[source]
        source: BoxError,
    },

    /// A training with several devices that this run cannot feed.
    #[error("{ranks} devices: {what}")]
    Ranks {
        /// The devices.
        ranks: u64,
        /// What keeps it from feeding them.
        what: String,
    },

    /// A `slice` of the loader that is none of an equal division, as multi-device strategies make it.
    #[error(
        "slots {start}..{end} of {slots} are none of the equal parts that burn gives to devices; \
         a part is read as a device's share of the batches, never as a stretch of the epoch"
    )]
    Slice {
        /// First slot asked for.
        start: usize,
        /// The slot after the last.
        end: usize,
        /// Slots in a virtual epoch.
        slots: usize,
    },

    /// A training that goes on after a checkpoint, over a stream that begins anew.
    #[error(
        "the training goes on after its checkpoint of epoch {epoch}, but the stream begins anew: open it with \
         `Checkpoints::resume`, or move the checkpoints away to begin both"
    )]
    NotResumed {
        /// The virtual epoch of the checkpoint.
        epoch: usize,
    },

    /// A training that goes on after a checkpoint at which its virtual epochs had another length.
    #[error(
        "the checkpoint of epoch {epoch} stands after {batches} batches, and {epoch} epochs of {epoch_batches} are not as \
         many: give [batch] `epoch_batches` (and `size`) the values that they had, or move the checkpoints away to begin \
         anew"
    )]
    EpochLength {
        /// The virtual epoch of the checkpoint, from 1.
        epoch: usize,
        /// Batches that the stream had given by then.
        batches: u64,
        /// Batches of a virtual epoch as the recipe is now.
        epoch_batches: u64,
    },

    /// A training step settled a batch with another number of losses or signals than the batch has slots.
    #[error(
        "batch {batch} was settled with {found} {what} for {slots} slots; \
         settle wants one a slot, before any mean (see `arable_trainer::loss`)"
    )]
    Mismatch {
        /// The batch's number over the whole run.
        batch: u64,
        /// "losses", "factors" or "signals".
        what: &'static str,
        /// How many there were.
        found: usize,
        /// Slots in the batch.
        slots: usize,
    },

    /// The batcher could not make a batch of the rows.
    #[error("batch {batch}{}: {source}", place.as_ref().map_or(String::new(), |place| format!(" ({place})")))]
    Batcher {
        /// The batch's number over the whole run.
        batch: u64,
        /// Where the row at fault lies, where it is one row's.
        place: Option<Box<loader::Place>>,
        /// What the batcher said.
        source: BoxError,
    },

    /// A row that the batcher's item type refuses as a whole; what one column is at fault for is [`Error::Column`].
    #[error("rows cannot be read as `{item}`{}: {what}", row.map_or(String::new(), |row| format!(", row {row} of the batch")))]
    Rows {
        /// The item type.
        item: &'static str,
        /// The row, within the batch.
        row: Option<usize>,
        /// What its deserialisation said.
        what: String,
    },

    /// A column that does not fit what is to be made of it: a row's field, or a batch's.
    #[error("{0}")]
    Column(Box<Misfit>),
}
