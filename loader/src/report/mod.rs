//! What a person sees: progress, tables, counts and a first look at data.
//!
//! It is handed plain numbers and Arrow batches and turns them into text. It knows nothing of how they came about.

mod accounting;
mod cells;
mod frequency;
pub mod numbers;
mod profile;
mod progress;
mod table;
mod text;

pub use accounting::{accounting, false_positives};
pub use cells::sample_rows;
pub use profile::{ColumnProfile, Distinct, Extreme, Lengths, Profile, TopValue};
pub use progress::{Bars, Progress, ProgressMode, Unit};
pub use table::{Align, Table};
pub use text::one_line;
