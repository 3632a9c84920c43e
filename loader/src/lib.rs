//! # Arable's loader: Arrow in, weighted Arrow batches out
//!
//! A sample walks one way: `source` (where it comes from) → `clean` (whether it is kept) → `value` (what it is
//! worth) → `sample` (whether it is drawn) → [`stream`] (how it flows) → the trainer; the only way back is the
//! feedback, and it enters at one door, [`value::inbox`]. What happened is written to the [`ledger`].
//!
//! The five rooms share the nouns of this file's neighbours and never import one another; [`stream`] alone composes
//! them, [`recipe`] describes them, [`report`] shows them to a person. Nothing here knows burn.
//!
//! ```no_run
//! use arable_loader::Recipe;
//!
//! let stream = Recipe::from_toml_file("arable.toml")?.open()?;
//! for batch in stream {
//!     let batch = batch?;
//!     println!("{} rows, Σw = {}", batch.positions.len(), batch.weights.iter().sum::<f32>());
//! }
//! # Ok::<(), arable_loader::Error>(())
//! ```

pub use arrow;

pub mod clean;
pub mod ledger;
pub mod recipe;
pub mod report;
pub mod sample;
pub mod source;
pub mod stream;
pub mod strict;
pub mod value;

mod buffers;
mod byte_size;
mod draw;
mod error;
mod hash;
mod plan;
mod position;
mod randomness;
mod signal;
mod spelling;
mod verdict;

pub use draw::{Draw, Drawn, Target};
pub use error::{Error, Place, Result};
pub use hash::Hash;
pub use plan::{Block, Domain, Plan, Shard, Span};
pub use position::Position;
pub use randomness::{Purpose, Randomness};
pub use recipe::Recipe;
pub use signal::{ClassPair, ClassSignal, Pick, Report, Signal};
pub use stream::{Batch, Stream};
pub use verdict::{Evidence, Keep, Verdict};
