//! What a ledger says: one record for each decision of a run.

use super::Account;
use crate::Hash;

/// One entry of a ledger. No entry holds a time or a path, so that two runs of the same recipe over the same data with
/// the same feedback write the same chain.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A run began.
    Opened {
        /// Arable's version.
        version: String,
        /// The dataset's identity.
        plan: Hash,
        /// The identity of the part of the recipe that decides emission.
        recipe: Hash,
        /// The seed.
        seed: u64,
        /// How many rows the plan leads to.
        rows: u64,
        /// How many blocks it has.
        blocks: u64,
        /// How many blocks a window opens.
        window: u32,
        /// The domains of a mixture; none where there is but one dataset.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        domains: Vec<MixedDomain>,
    },
    /// A block was read for the first time, verified and cleaned.
    Block {
        /// Its index in the plan.
        block: u32,
        /// What was read of it: BLAKE3 over the hashes of the column chunks that the stream carries. `None` where
        /// it could not be read.
        content: Option<Hash>,
        /// What became of its rows.
        #[serde(flatten)]
        account: Account,
        /// Why it was set aside as a whole, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A block that was read before could not be read again; the rest of the run goes on without its rows in this epoch.
    Lost {
        /// The data epoch.
        epoch: u32,
        /// Its index in the plan.
        block: u32,
        /// Why.
        fault: String,
    },
    /// A row that was drawn could not be transformed: batch `batch` was emitted without it. Its block counted it as kept;
    /// from the first such record of a row on, it counts as quarantined.
    Spoilt {
        /// The batch that it was drawn for.
        batch: u64,
        /// Its block in the plan.
        block: u32,
        /// Its row within the block.
        row: u32,
        /// Why.
        fault: String,
    },
    /// The reports of batches `from..to` entered the values.
    Feedback {
        /// The first batch.
        from: u64,
        /// One past the last batch.
        to: u64,
        /// How many samples were reported on.
        rows: u64,
        /// BLAKE3 over the reports, in batch order.
        hash: Hash,
    },
    /// A policy was fitted at a data epoch's start.
    Fitted {
        /// The data epoch.
        epoch: u32,
        /// BLAKE3 over the parameters.
        parameters: Hash,
    },
    /// A window was drawn.
    Draw {
        /// The data epoch.
        epoch: u32,
        /// The window's index within it.
        window: u32,
        /// The number of the batch that its first row goes to.
        first_batch: u64,
        /// How many rows it emits.
        rows: u64,
        /// BLAKE3 over positions and weights, in order.
        hash: Hash,
        /// Of a mixture, how many rows each domain offered to the draw.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        domains: Vec<u64>,
        /// Of a mixture, the share of each domain that was in force, in parts of 2³².
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shares: Vec<u64>,
    },
    /// A run went on from a checkpoint. Records between the one named by `head` and this one are superseded.
    Resumed {
        /// The chain's head when the checkpoint's window had been opened.
        head: Hash,
        /// The number of the next batch.
        batch: u64,
    },
    /// The stream came to its end.
    Closed {
        /// How many batches the run had.
        batches: u64,
        /// How many rows were handed over, presentations counted.
        trained: u64,
    },
}

/// A domain of a recorded mixture.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MixedDomain {
    /// Its name.
    pub name: String,
    /// Its first block in the plan; it ends where the next one begins.
    pub first_block: u32,
    /// The share that the recipe gives it, in parts of 2³².
    pub share: u64,
}
