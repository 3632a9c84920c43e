//! What the black-box tests share: data with known dirt, ways to walk a stream, and a trainer that needs no model.

mod data;
mod process;
mod trainer;
mod walk;

pub use data::{CLEAN, Data, Format, Row};
pub use process::{Ran, arable, arable_command};
pub use trainer::{signal, train};
pub use walk::{Line, walk, walk_batch};
