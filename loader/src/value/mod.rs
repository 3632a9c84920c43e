//! What a sample is worth now: the statistics of its signals, and the policies that turn them into targets.
//!
//! Three pure pieces: a [`Table`] folds signals into one [`Trajectory`] a row, `fit` reads a whole table once a data
//! epoch, and `targets` gives every row of a window its target weight v and inclusion π. Feedback enters at one door,
//! [`inbox`]. Values that need no training of ours stand beside them: [`confident_learning`], from out-of-sample
//! probabilities, and [`knn_shapley()`] and [`data_oob()`], from features. This room knows nothing of how rows are read, drawn or trained.

mod alignment;
mod blocks;
mod classes;
pub mod confident_learning;
mod data_oob;
mod decision_tree;
mod denoise;
mod file;
pub mod inbox;
mod infobatch;
mod knn_shapley;
mod mixing;
mod mixture;
mod own;
mod parameters;
mod points;
mod policy;
pub mod ranking;
mod recent;
mod references;
mod rivals;
mod selector;
mod selectors;
mod suspicion;
mod table;
mod trajectory;
mod uniform;
mod weighted;

pub use alignment::{Gram, LastLayer, Trusted, greats};
pub use classes::{Classes, UNKNOWN_CLASS};
pub use data_oob::{DataOob, OutOfBag, data_oob};
pub use denoise::Denoise;
pub use file::{Holds, ValueFile, ValueRow, ValueWriter};
pub use inbox::{Inbox, Wait};
pub use infobatch::InfoBatch;
pub use knn_shapley::knn_shapley;
pub use mixing::{AdaptiveDataOptimization, DoReMi, Fixed, OnlineDataMixing};
pub use mixture::{Mixture, Variances};
pub use own::{OwnPolicy, OwnSelector};
pub use parameters::Parameters;
pub use points::Points;
pub use policy::{MixtureOpening, Policy, PolicySpec, Reshare, WindowRows, policy};
pub use recent::{Recent, RecentOf};
pub use references::References;
pub use rivals::Rival;
pub use selector::{Candidate, Needs, Reference, Scored, Selector, SuperBatch};
pub use selectors::{Alignment, Importance, Jest, ProgressiveDropout, RhoLoss, Selection, SelectiveBackprop};
pub use suspicion::{Evidence, Suspicion, suspicions};
pub use table::{Beside, Table};
pub use trajectory::Trajectory;
pub use uniform::Uniform;
pub use weighted::Weighted;
