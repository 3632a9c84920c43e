//! What is kept: operators that read rows and speak against some, with reasons and evidence.
//!
//! Cleaning has two parts. [`Cleaner::judge`] depends on a block alone and runs anywhere, in any order;
//! [`Cleaner::settle`] depends on earlier rows and runs block by block, in stream order, with a [`Memory`]. A row walks
//! through the operators in the recipe's order: the first one that drops it gets the count, and later ones never see
//! it. A row that could not be read reaches no operator.
//!
//! An operator is one file: a name, a version, reasons, and a judgement over Arrow columns ([`Operator`]). This room
//! knows nothing of where rows come from, nor of what becomes of those that are kept.

mod cleaner;
mod content;
mod decodable;
mod exact_duplicate;
mod judged;
mod memory;
mod missing;
mod operator;
mod range;
mod spec;

pub use cleaner::Cleaner;
pub use content::{content_bytes, content_keys};
pub use judged::{Judged, Settled};
pub use memory::Memory;
pub use operator::{Flags, Operator, Rows};
pub use spec::{Action, OperatorSpec};
