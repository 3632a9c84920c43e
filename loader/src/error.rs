//! The errors of the loader: what went wrong, where, and what to do about it.

use std::{fmt, io, path::PathBuf};

/// The loader's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a dataset something happened, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The URL pattern of the dataset, or the name of a mixture's domain.
    pub dataset: Option<String>,
    /// The file.
    pub shard: Option<String>,
    /// The block within the plan.
    pub block: Option<u32>,
    /// The row within its block.
    pub row: Option<u32>,
    /// The column's name.
    pub column: Option<String>,
}

impl Place {
    /// A place in the file `shard`.
    #[must_use]
    pub fn shard(shard: impl Into<String>) -> Self {
        Self { shard: Some(shard.into()), ..Self::default() }
    }

    /// The same place, in block `block` of the plan.
    #[must_use]
    pub const fn block(mut self, block: u32) -> Self {
        self.block = Some(block);
        self
    }

    /// The same place, at row `row` of its block.
    #[must_use]
    pub const fn row(mut self, row: u32) -> Self {
        self.row = Some(row);
        self
    }

    /// The same place, in the column `column`.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(dataset) = &self.dataset {
            parts.push(format!("dataset `{dataset}`"));
        }
        if let Some(shard) = &self.shard {
            parts.push(format!("shard `{shard}`"));
        }
        if let Some(block) = self.block {
            parts.push(format!("block {block}"));
        }
        if let Some(row) = self.row {
            parts.push(format!("row {row}"));
        }
        if let Some(column) = &self.column {
            parts.push(format!("column `{column}`"));
        }
        f.write_str(&parts.join(", "))
    }
}

/// What can go wrong between a recipe and a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe, or the call, asks for something that cannot be done. Nothing was read.
    #[error("{0}")]
    Recipe(String),

    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb: "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Data that are not what they should be: damaged, changed, or of another shape than the plan says.
    #[error("{place}: {what}")]
    Data {
        /// Where.
        place: Place,
        /// What was found, what was expected, and what to do.
        what: String,
    },

    /// A state that does not belong to this data or this recipe, or is damaged.
    #[error("cannot resume: {0}")]
    State(String),

    /// A ledger that does not hold together.
    #[error("ledger `{}`, line {line}: {what}", path.display())]
    Ledger {
        /// The ledger's file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },

    /// Feedback that does not fit the batches it claims to speak of.
    #[error("feedback for batch {batch}: {what}")]
    Feedback {
        /// The batch.
        batch: u64,
        /// What does not fit.
        what: String,
    },

    /// A policy that gave something that is no weight or no inclusion.
    #[error("policy `{policy}`, {position}: {what}")]
    Policy {
        /// The policy's name.
        policy: String,
        /// The row.
        position: crate::Position,
        /// What it gave.
        what: String,
    },
}

impl Error {
    /// A [`Error::Recipe`].
    pub fn recipe(what: impl Into<String>) -> Self {
        Self::Recipe(what.into())
    }

    /// A [`Error::Data`].
    pub fn data(place: Place, what: impl Into<String>) -> Self {
        Self::Data { place, what: what.into() }
    }

    /// A closure that wraps an [`io::Error`] with what was tried on which file.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The same, at `place` where it knew no block.
    pub(crate) fn within(self, place: &Place) -> Self {
        match self {
            Self::Data { place: known, what } if known.block.is_none() => Self::Data { place: place.clone(), what },
            other => other,
        }
    }

    /// The same, of the dataset at `url` where it named none.
    pub(crate) fn of_dataset(mut self, url: &str) -> Self {
        if let Self::Data { place, .. } = &mut self {
            place.dataset.get_or_insert_with(|| url.to_owned());
        }
        self
    }

    /// Whether the call or the recipe is at fault (exit status 2), rather than the data or the run (1).
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Recipe(_))
    }
}
