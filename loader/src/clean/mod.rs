//! What is kept: operators that read rows and speak against some, with reasons and evidence.
//!
//! Cleaning has two parts. [`Cleaner::judge`] depends on a block alone and runs anywhere, in any order;
//! [`Cleaner::settle`] depends on earlier rows and runs block by block, in stream order, with a [`Memory`]. A row walks
//! through the operators in the recipe's order: the first one that drops it gets the count, and later ones never see
//! it. A row that could not be read reaches no operator.
//!
//! An operator is one file: a name, a version, reasons, and a judgement over Arrow columns ([`Operator`]). This room
//! knows nothing of where rows come from, nor of what becomes of those that are kept.

mod action;
mod cleaner;
mod conformance;
mod content;
mod decodable;
mod decontaminate;
mod exact_duplicate;
mod findings;
mod html;
mod image_duplicate;
mod image_quality;
mod image_size;
mod index;
mod judged;
mod matcher;
mod memory;
mod minhash;
mod missing;
mod near_duplicate;
mod operator;
mod paragraph_duplicate;
mod pixels;
mod predicate;
mod range;
mod rows;
mod score;
mod seen;
mod shingles;
mod spans;
mod spec;
mod stored;
mod survey;
mod table;
mod text;
mod texts;
mod unicode;

pub use action::{Action, margin, weight_factor};
pub use cleaner::{Cleaner, Parts, Surveys};
pub use conformance::broken_promises;
pub use content::{content_bytes, content_keys};
pub use findings::Findings;
pub use judged::{Border, Cuts, Judged, Settled};
pub use matcher::{Extent, Undo};
pub use memory::{FalsePositives, Memory};
pub use operator::{Bound, Operator, Rule};
pub use rows::{Analysis, Rows};
pub use score::QualityModel;
pub use shingles::shingles;
pub use spans::{Lines, Spans};
pub use spec::{Datasets, OperatorSpec};
pub use survey::{Sketch, Survey};
pub use texts::Texts;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod twins_tests;
