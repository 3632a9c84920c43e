//! What can go wrong between the stream and a training step.

use arable_loader as loader;

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
    #[error("batch {batch}: {source}")]
    Batcher {
        /// The batch's number over the whole run.
        batch: u64,
        /// What the batcher said.
        source: BoxError,
    },

    /// The rows do not fit the item type of the batcher.
    #[error("rows cannot be read as `{item}`: {source}")]
    Rows {
        /// The item type.
        item: &'static str,
        /// What does not fit.
        source: serde_arrow::Error,
    },

    /// A column that cannot become the tensor asked for.
    #[error("column `{column}`: {what}")]
    Column {
        /// The column's name.
        column: String,
        /// What was found and what was expected.
        what: String,
    },
}
