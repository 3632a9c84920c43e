//! What the black-box tests share: data with known dirt, ways to walk a stream, and a trainer that needs no model.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails where it stands")]

mod data;
pub mod detection;
mod http_server;
pub mod main_text;
mod mixed;
pub mod near_duplicates;
mod process;
pub mod scores;
mod store_server;
mod trainer;
mod walk;

pub use data::{CLEAN, Data, Format, Row};
pub use http_server::{Answer, Asked, HttpServer};
pub use mixed::Mixed;
pub use process::{Ran, arable, arable_command, bounded};
pub use store_server::StoreServer;
pub use trainer::{products, report, scores, select, signal, train};
pub use walk::{Line, walk, walk_batch};
