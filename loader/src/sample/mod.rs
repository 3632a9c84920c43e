//! Which rows are drawn, in which order, with which weights: from targets to a draw.
//!
//! Everything here is a function of its arguments, the seed among them. This room knows nothing of what a row is worth
//! or of where it comes from.

mod permutation;
mod resampling;
mod shares;

pub use permutation::{block_order, permute, windows};
pub use resampling::{MOST_INCLUSION, counts, draw};
pub use shares::{Turns, WHOLE, parts};
