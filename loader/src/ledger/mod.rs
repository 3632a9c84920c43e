//! What happened: counts that add up, a hash chain over decisions, and the log of what training said.
//!
//! This room writes down what it is told and checks what was written. It knows nothing of how data are read, cleaned,
//! valued or drawn.

mod account;
mod chain;
mod feedback_log;
mod record;

pub use account::Account;
pub use chain::{Chain, Ledger, Verified, verify};
pub use feedback_log::{FeedbackLog, FeedbackWriter};
pub use record::{MixedDomain, Record};
