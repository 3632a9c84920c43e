//! The recipe's builder: the same words as in TOML, as methods that take the recipe and give it back.
//!
//! Nothing is checked here; [`Recipe::validate`] does it once the recipe is whole.

use super::{BatchSettings, ByteSize, Dataset, OnBad, Operator, Policy, Recipe, StreamSettings, read};
use toml::{Table, Value};

impl Recipe {
    /// The recipe of the dataset at `url` (a path, a glob or a URL) with every default. A relative path starts at the
    /// current folder.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            seed: read::default_seed(),
            epochs: read::default_epochs(),
            dataset: Dataset { url: url.into(), format: None, columns: None, label: None, manifest: None },
            clean: Vec::new(),
            policy: Policy::default(),
            batch: BatchSettings::default(),
            stream: StreamSettings::default(),
            rank: 0,
            world: 1,
        }
    }

    /// What all randomness is a function of.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many passes the draws make over the plan.
    #[must_use]
    pub const fn epochs(mut self, epochs: u32) -> Self {
        self.epochs = epochs;
        self
    }

    /// The files' format, where their ending does not say it.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.dataset.format = Some(format.into());
        self
    }

    /// What the stream carries.
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.dataset.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The label's column.
    #[must_use]
    pub fn label(mut self, column: impl Into<String>) -> Self {
        self.dataset.label = Some(column.into());
        self
    }

    /// The manifest to verify against.
    #[must_use]
    pub fn manifest(mut self, path: impl Into<String>) -> Self {
        self.dataset.manifest = Some(path.into());
        self
    }

    /// One more cleaning operator, after those before it.
    #[must_use]
    pub fn clean<'a>(mut self, op: impl Into<String>, options: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.clean.push(Operator { op: op.into(), options });
        self
    }

    /// How samples are valued and drawn, with the policy's defaults.
    #[must_use]
    pub fn policy(mut self, name: impl Into<String>) -> Self {
        self.policy = Policy { name: name.into(), options: Table::new() };
        self
    }

    /// An option of the policy, to be given after [`policy`](Self::policy).
    #[must_use]
    pub fn policy_option(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.policy.options.insert(key.into(), value.into());
        self
    }

    /// The rows of a batch, of one rank.
    #[must_use]
    pub const fn batch_size(mut self, rows: u32) -> Self {
        self.batch.size = rows;
        self
    }

    /// Whether a last batch that is not full is left out.
    #[must_use]
    pub const fn drop_last(mut self, drop_last: bool) -> Self {
        self.batch.drop_last = drop_last;
        self
    }

    /// The length of a virtual epoch in batches.
    #[must_use]
    pub const fn epoch_batches(mut self, batches: u64) -> Self {
        self.batch.epoch_batches = Some(batches);
        self
    }

    /// What the stream may hold in memory.
    #[must_use]
    pub const fn memory(mut self, memory: ByteSize) -> Self {
        self.stream.memory = memory;
        self
    }

    /// How many threads decode and clean.
    #[must_use]
    pub const fn threads(mut self, threads: u32) -> Self {
        self.stream.threads = threads;
        self
    }

    /// How many blocks are open together.
    #[must_use]
    pub const fn window(mut self, blocks: u32) -> Self {
        self.stream.window = Some(blocks);
        self
    }

    /// How many batches are made ahead of the trainer.
    #[must_use]
    pub const fn prefetch(mut self, batches: u32) -> Self {
        self.stream.prefetch = batches;
        self
    }

    /// How many batches old the newest signal is that a draw sees.
    #[must_use]
    pub const fn feedback_lag(mut self, batches: u32) -> Self {
        self.stream.feedback_lag = batches;
        self
    }

    /// What to do about a block that cannot be read.
    #[must_use]
    pub const fn on_bad_block(mut self, on_bad: OnBad) -> Self {
        self.stream.on_bad_block = on_bad;
        self
    }

    /// What to do about a row that cannot be read.
    #[must_use]
    pub const fn on_bad_row(mut self, on_bad: OnBad) -> Self {
        self.stream.on_bad_row = on_bad;
        self
    }

    /// Which rank this process is, from 0, of how many.
    #[must_use]
    pub const fn rank(mut self, rank: u32, world: u32) -> Self {
        self.rank = rank;
        self.world = world;
        self
    }
}
