//! What the black-box tests share: data with known dirt, ways to walk a stream, and a trainer that needs no model.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails where it stands")]

mod data;
mod process;
mod trainer;
mod walk;

pub use data::{CLEAN, Data, Format, Row};
pub use process::{Ran, arable, arable_command};
pub use trainer::{signal, train};
pub use walk::{Line, walk, walk_batch};
