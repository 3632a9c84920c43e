//! What a sample is worth now: the statistics of its signals, and the policies that turn them into targets.
//!
//! Three pure pieces: a [`Table`] folds signals into one [`Trajectory`] a row, `fit` reads a whole table once a data
//! epoch, and `targets` gives every row of a window its target weight v and inclusion π. Feedback enters at one door,
//! [`inbox`]. This room knows nothing of how rows are read, drawn or trained.

mod blocks;
mod classes;
mod denoise;
pub mod inbox;
mod mixture;
mod parameters;
mod policy;
pub mod ranking;
mod table;
mod trajectory;
mod uniform;

pub use classes::{Classes, UNKNOWN_CLASS};
pub use denoise::Denoise;
pub use inbox::{Inbox, Wait};
pub use mixture::{Mixture, Variances};
pub use parameters::Parameters;
pub use policy::{Policy, PolicySpec, WindowRows, policy};
pub use table::Table;
pub use trajectory::Trajectory;
pub use uniform::Uniform;
