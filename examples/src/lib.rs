//! What the example trainings share: data with planted dirt, the models, and one comparison for all of them.
//!
//! A comparison trains one model on the same dirty files four times: with burn's own loader, and with Arable's stream
//! that cleans, that observes, and that acts on what it observed.

pub mod arguments;
pub mod bytes;
pub mod comparison;
pub mod corpus;
pub mod digits;
pub mod dirt;
pub mod hashing;
pub mod images;
pub mod labels;
pub mod language_model;
pub mod language_outcome;
pub mod licences;
pub mod model;
pub mod orders;
pub mod outcome;
pub mod planted;
pub mod queries;
pub mod reading;
pub mod sample;
pub mod seeds;
pub mod table;
pub mod tabular;
pub mod text_classification;
pub mod texts;
pub mod training;

/// What an example can fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// An example's results.
pub type Result<T> = std::result::Result<T, Error>;
