//! The recipe: everything that a stream does, as plain data.
//!
//! It is written in TOML, or put together in code by a builder, and says where samples come from, what is kept of
//! them, how they are valued and drawn, and how they flow. It names operators and policies without knowing them: what
//! their options mean is for the rooms that hold them to say.

mod build;
mod check;
mod identity;
mod paths;
mod read;

pub use crate::byte_size::ByteSize;

use crate::{
    Error, Result,
    spelling::{advice, cut},
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use toml::Table;

/// Everything that a stream does.
///
/// Read from TOML, where only `[dataset]` and its `url` are required, or `[[domain]]` tables in its place:
///
/// ```
/// use arable_loader::Recipe;
///
/// let recipe = Recipe::from_toml(
///     r#"
///     seed = 7
///
///     [dataset]
///     url = "data/*.parquet"
///     label = "label"
///
///     [[clean]]
///     op = "range"
///     column = "label"
///     min = 0
///
///     [stream]
///     memory = "512MiB"
///     "#,
/// )?;
/// assert_eq!(recipe.clean[0].op, "range");
/// assert_eq!(recipe.batch.size, 64);
///
/// let error = Recipe::from_toml("[dataset]\nurl = \"data/*.parquet\"\n[stream]\nthread = 4").unwrap_err();
/// assert_eq!(error.to_string(), "recipe: in [stream]: unknown key `thread`; did you mean `threads`?");
/// # Ok::<(), arable_loader::Error>(())
/// ```
///
/// Or built, from the same words:
///
/// ```
/// use arable_loader::Recipe;
///
/// let recipe = Recipe::new("data/*.parquet")
///     .columns(["text", "label"])
///     .label("label")
///     .clean("range", [("column", "label".into()), ("min", 0.into())])
///     .policy("denoise")
///     .batch_size(64)
///     .seed(7)
///     .threads(2);
/// recipe.validate()?;
/// # Ok::<(), arable_loader::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// What all randomness is a function of; 0 to 2⁶³ − 1, as TOML holds it.
    pub seed: u64,
    /// How many passes the draws make over the plan; at least 1.
    pub epochs: u32,
    /// Where samples come from, unless they come from several domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Dataset>,
    /// Where samples come from, if from several datasets: at least one where there is no `dataset`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain: Vec<Domain>,
    /// How the domains are mixed.
    #[serde(skip_serializing_if = "MixtureSettings::is_default")]
    pub mixture: MixtureSettings,
    /// What is kept out of training.
    pub split: Split,
    /// What is kept, operator by operator, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clean: Vec<Operator>,
    /// How samples are valued and drawn.
    pub policy: Policy,
    /// What one batch is.
    pub batch: BatchSettings,
    /// How samples flow.
    pub stream: StreamSettings,
    /// Which of the `world` ranks this process is, from 0. A matter of the run: no key of the file.
    #[serde(skip)]
    pub rank: u32,
    /// How many ranks share the batches; at least 1. A matter of the run: no key of the file.
    #[serde(skip)]
    pub world: u32,
}

/// `[dataset]`: where samples come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// A path, a glob or a URL.
    pub url: String,
    /// The files' format, where their ending does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What the stream carries; all columns where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The label's column, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The manifest to verify against, where it does not lie in the dataset's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

/// One `[[domain]]`: a named dataset of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Domain {
    /// Its name; no two domains have the same.
    pub name: String,
    /// How much of the mixture it is, above 0. Shares need not add up to 1: each counts beside their sum.
    pub share: f64,
    /// Where its samples come from: its keys stand beside `name` and `share`.
    #[serde(flatten)]
    pub dataset: Dataset,
}

/// `[mixture]`: how domains are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureSettings {
    /// What happens when a domain has given all of its rows.
    pub exhausted: Exhausted,
}

impl MixtureSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens when a domain has given all of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exhausted {
    /// The data epoch ends: no row comes twice in it.
    #[default]
    Stop,
    /// The domain begins again, in another order. The data epoch ends when every domain has given all of its rows once.
    Repeat,
}

/// `[split]`: parts of the data that are kept out of training. A row's part follows from its content alone, so that
/// copies of a row are in one part, and a row stays in its part when data are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// The fraction of the contents that is kept for validation, 0 to 1.
    pub valid: f64,
    /// The fraction that is kept for a last test, 0 to 1; together with `valid` less than 1.
    pub holdout: f64,
    /// Whether the parts that are kept out are cleaned like the training data; else their rows are checked against the
    /// schema only.
    pub clean: bool,
}

impl Split {
    /// Whether a part is kept out at all.
    #[must_use]
    pub fn keeps_out(&self) -> bool {
        self.valid > 0.0 || self.holdout > 0.0
    }
}

/// A part of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What is trained on: everything that no other part takes.
    #[default]
    Train,
    /// `[split] valid`.
    Valid,
    /// `[split] holdout`.
    Holdout,
}

impl Part {
    const NAMED: [(&'static str, Self); 3] =
        [("train", Self::Train), ("valid", Self::Valid), ("holdout", Self::Holdout)];

    /// Its name in a recipe and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Holdout => "holdout",
        }
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMED.iter().find(|(name, _)| *name == text).map(|(_, part)| *part).ok_or_else(|| {
            let names = Self::NAMED.map(|(name, _)| name);
            Error::recipe(format!("unknown part `{}`{}", cut(text), advice(text, &names, "the parts are")))
        })
    }
}

/// One `[[clean]]`: an operator and its options.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operator {
    /// The operator's name.
    pub op: String,
    /// Every other key of its table (`column` or `columns`, `action`, …), for the operator to read.
    #[serde(flatten)]
    pub options: Table,
}

/// `[policy]`: how samples are valued and drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// The policy's name.
    pub name: String,
    /// Every other key of its table, for the policy to read.
    #[serde(flatten)]
    pub options: Table,
}

impl Default for Policy {
    /// The plain shuffled epoch.
    fn default() -> Self {
        Self { name: "uniform".to_owned(), options: Table::new() }
    }
}

/// `[batch]`: what one batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSettings {
    /// The rows of a batch, of one rank; at least 1.
    pub size: u32,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// The length of a virtual epoch in batches, at least 1; where it is left out, the kept rows make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_batches: Option<u64>,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { size: 64, drop_last: false, epoch_batches: None }
    }
}

/// `[stream]`: how samples flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// What the stream may hold in memory; at least 16 MiB.
    pub memory: ByteSize,
    /// How many threads decode and clean, 1 to 1024. Two where it is left out, on every machine alike. Never changes
    /// what is emitted.
    pub threads: u32,
    /// How many blocks are open together, at least 1; where it is left out, as many as half of `memory` holds, up to 8
    /// blocks and 262,144 rows, whichever is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// How many batches may wait for the trainer when a window opens, 1 to 65,536; within a window a few mebibytes more are
    /// made ahead. Never changes what is emitted.
    pub prefetch: u32,
    /// How many batches old the newest signal is that a draw sees; at least `prefetch` + world.
    pub feedback_lag: u32,
    /// What to do about a block that cannot be read.
    pub on_bad_block: OnBad,
    /// What to do about a row that cannot be read.
    pub on_bad_row: OnBad,
    /// The folder that keeps what is read of remote objects, and unpacked text; or `"off"`. Where it is left out, the
    /// user's cache folder keeps unpacked text alone. `"off"` lets compressed text be read in order only, which is another
    /// plan; apart from that it never changes what is emitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// What the cache's folder may hold, all processes together.
    pub cache_limit: ByteSize,
    /// How often a request that a store failed is repeated, at most 100.
    pub retries: u32,
    /// How many seconds one request of at most 8 MiB may take, at least 1; object_store's 30 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            memory: ByteSize::gib(1),
            threads: 2,
            window: None,
            prefetch: 4,
            feedback_lag: 16,
            on_bad_block: OnBad::Stop,
            on_bad_row: OnBad::Stop,
            cache: None,
            cache_limit: ByteSize::gib(10),
            retries: 8,
            timeout: None,
        }
    }
}

/// What to do about data that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBad {
    /// Stop with an error.
    #[default]
    Stop,
    /// Count the rows as quarantined and go on without them.
    Quarantine,
}

impl OnBad {
    /// Whether a block is set aside for `fault`: one of its bytes or of the way to them. Whatever else fails is no matter
    /// of the data, and stops.
    pub(crate) const fn sets_aside(self, fault: &Error) -> bool {
        matches!((self, fault), (Self::Quarantine, Error::Data { .. } | Error::Io { .. }))
    }
}
