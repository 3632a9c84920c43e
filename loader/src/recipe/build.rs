//! The recipe's builder: the same words as in TOML, as methods that take the recipe and give it back.
//!
//! Nothing is checked here; [`Recipe::validate`] does it once the recipe is whole.

use super::{
    BatchSettings, ByteSize, Dataset, Domain, Exhausted, MixtureSettings, OnBad, Operator, Policy, Recipe, Split,
    StreamSettings, read,
};
use toml::{Table, Value};

impl Recipe {
    /// The recipe of the dataset at `url` (a path, a glob or a URL) with every default. A relative path starts at the
    /// current folder.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            seed: read::default_seed(),
            epochs: read::default_epochs(),
            dataset: Some(Dataset::new(url)),
            domain: Vec::new(),
            mixture: MixtureSettings::default(),
            split: Split::default(),
            clean: Vec::new(),
            policy: Policy::default(),
            batch: BatchSettings::default(),
            stream: StreamSettings::default(),
            rank: 0,
            world: 1,
        }
    }

    /// The recipe of a mixture of `domains`, with every default.
    #[must_use]
    pub fn mixture(domains: impl IntoIterator<Item = Domain>) -> Self {
        Self { dataset: None, domain: domains.into_iter().collect(), ..Self::new("") }
    }

    /// What happens when a domain of the mixture has given all of its rows.
    #[must_use]
    pub const fn exhausted(mut self, exhausted: Exhausted) -> Self {
        self.mixture.exhausted = exhausted;
        self
    }

    /// The fractions that are kept out of training, for validation and for a last test.
    #[must_use]
    pub const fn split(mut self, valid: f64, holdout: f64) -> Self {
        self.split.valid = valid;
        self.split.holdout = holdout;
        self
    }

    /// Every dataset that samples come from.
    fn datasets(&mut self) -> impl Iterator<Item = &mut Dataset> {
        self.dataset.iter_mut().chain(self.domain.iter_mut().map(|domain| &mut domain.dataset))
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

    /// The files' format, where their ending does not say it; of every domain in a mixture.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        let format = format.into();
        self.datasets().for_each(|dataset| dataset.format = Some(format.clone()));
        self
    }

    /// What the stream carries; of every domain in a mixture.
    #[must_use]
    pub fn columns<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        self.datasets().for_each(|dataset| dataset.columns = Some(columns.clone()));
        self
    }

    /// The label's column; of every domain in a mixture.
    #[must_use]
    pub fn label(mut self, column: impl Into<String>) -> Self {
        let column = column.into();
        self.datasets().for_each(|dataset| dataset.label = Some(column.clone()));
        self
    }

    /// The manifest to verify against. A mixture has one for each domain, given with the domain.
    #[must_use]
    pub fn manifest(mut self, path: impl Into<String>) -> Self {
        if let Some(dataset) = &mut self.dataset {
            dataset.manifest = Some(path.into());
        }
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

    /// The folder that keeps what is read of remote objects and unpacked text, or `"off"`.
    #[must_use]
    pub fn cache(mut self, folder: impl Into<String>) -> Self {
        self.stream.cache = Some(folder.into());
        self
    }

    /// What the cache's folder may hold, all processes together.
    #[must_use]
    pub const fn cache_limit(mut self, limit: ByteSize) -> Self {
        self.stream.cache_limit = limit;
        self
    }

    /// How often a request that a store failed is repeated.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.stream.retries = retries;
        self
    }

    /// How many seconds one request may take.
    #[must_use]
    pub const fn timeout(mut self, seconds: u32) -> Self {
        self.stream.timeout = Some(seconds);
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

impl Dataset {
    /// The dataset at `url`, with every default.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), format: None, columns: None, label: None, manifest: None }
    }
}

impl Domain {
    /// The domain `name`, of share `share`, whose samples lie at `url`.
    pub fn new(name: impl Into<String>, share: f64, url: impl Into<String>) -> Self {
        Self { name: name.into(), share, dataset: Dataset::new(url) }
    }
}
