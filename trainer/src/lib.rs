//! Arable for [burn](https://burn.dev): a curated stream as burn's data loader, losses with one value a sample, and the
//! way back from the loss to what a sample is worth.
//!
//! # What plugging in looks like
//!
//! The loader takes the place of burn's `DataLoaderBuilder` and accepts the `Batcher` that a project has already. The
//! model's input becomes [`Curated`] around the project's own batch, whose fields stay in reach. The loss is taken for
//! each sample, and [`settle`](Curated::settle) makes of it the loss to differentiate. Everything else stays as it was.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use arable_loader::Stream;
//! use arable_trainer::{Curated, CuratedDataLoader, Signals, loss::cross_entropy};
//! use burn::{
//!     data::dataloader::{DataLoader, batcher::Batcher},
//!     module::Module,
//!     nn::Linear,
//!     optim::SgdConfig,
//!     tensor::{Device, Int, Tensor},
//!     train::{ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep},
//! };
//!
//! // As before: an item, a batch, a batcher. The item's fields are the stream's columns.
//! #[derive(Clone, Debug, serde::Deserialize)]
//! struct Flower {
//!     petal: f32,
//!     sepal: f32,
//!     species: i64,
//! }
//!
//! #[derive(Clone, Debug)]
//! struct FlowerBatch {
//!     leaves: Tensor<2>,
//!     species: Tensor<1, Int>,
//! }
//!
//! struct FlowerBatcher;
//!
//! impl Batcher<Flower, FlowerBatch> for FlowerBatcher {
//!     fn batch(&self, items: Vec<Flower>, device: &Device) -> FlowerBatch {
//!         let leaves: Vec<_> = items.iter().map(|item| Tensor::from_floats([[item.petal, item.sepal]], device)).collect();
//!         let species: Vec<_> = items.iter().map(|item| item.species).collect();
//!         FlowerBatch { leaves: Tensor::cat(leaves, 0), species: Tensor::from_ints(species.as_slice(), device) }
//!     }
//! }
//!
//! #[derive(Module, Debug)]
//! struct Model {
//!     linear: Linear,
//! }
//!
//! impl TrainStep for Model {
//!     type Input = Curated<FlowerBatch>; // was: FlowerBatch
//!     type Output = ClassificationOutput;
//!
//!     fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
//!         let logits = self.linear.forward(item.leaves.clone());
//!         let losses = cross_entropy(logits.clone(), item.species.clone()); // was: the mean
//!         let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.species)); // new
//!         let output = ClassificationOutput::new(losses, logits, item.species.clone());
//!         TrainOutput::new(self, loss.backward(), output)
//!     }
//! }
//!
//! impl InferenceStep for Model {
//!     type Input = FlowerBatch; // as before
//!     type Output = ClassificationOutput;
//!
//!     fn step(&self, item: Self::Input) -> ClassificationOutput {
//!         let logits = self.linear.forward(item.leaves);
//!         let losses = cross_entropy(logits.clone(), item.species.clone());
//!         ClassificationOutput::new(losses, logits, item.species)
//!     }
//! }
//!
//! fn train(stream: Stream, valid: Arc<dyn DataLoader<FlowerBatch>>, model: Model) -> Model {
//!     let train = CuratedDataLoader::new(stream, FlowerBatcher); // was: DataLoaderBuilder::new(FlowerBatcher)…
//!     let epochs = train.num_epochs();
//!     SupervisedTraining::new("artifacts", train.into_arc(), valid)
//!         .num_epochs(epochs)
//!         .launch(Learner::new(model, SgdConfig::new().init(), 0.01))
//!         .model
//! }
//! ```
//!
//! The unreduced losses go into burn's output, so that its loss metric stays the mean over samples, comparable between
//! ways of weighting; the settled loss goes into `backward`.
//!
//! The fast path takes Arrow's columns directly, without rows: a batch that derives
//! [`FromColumns`](derive@FromColumns) needs no batcher ([`CuratedDataLoader::of_columns`]), and an [`ArrowBatcher`] is
//! one by hand ([`CuratedDataLoader::from_arrow`]). Samples need not lie in files: a burn `Dataset` is a source too, see
//! [`DatasetSource`].
//!
//! # What it keeps to
//!
//! - Each batch is handed over once, and answered once: settled with its signals, or dropped with none.
//! - With weights of 1 the settled loss is `losses.mean()` and nothing else enters the graph, so that a training is, bit
//!   for bit, what it would be without.
//! - Each virtual epoch seeds the device, so that a run which is resumed there draws the same dropout.
//! - Nothing on the training thread waits for the device. One thread a run reads what was settled.
//! - Nothing panics for what data or a training step did; burn gets a typed [`Error`] and ends the training with it.

pub use arable_loader::{self as loader, stream};
pub use arable_trainer_derive::{FromColumns, SelectRows};
// What the derives' code is made of: a crate that uses them need not name these itself.
#[doc(hidden)]
pub use {arrow, burn};

mod batcher;
mod checkpoints;
pub mod columns;
mod curated;
mod curated_loader;
mod data_loader;
mod dataset_source;
mod error;
mod evaluation_loader;
mod feedback;
pub mod loss;
mod metrics;
mod misfit;
mod pace;
mod renderer;
mod rows;
mod run;
mod selection;
mod signals;

pub use batcher::{ArrowBatcher, ColumnsBatcher, FromColumns};
pub use checkpoints::Checkpoints;
pub use curated::{Curated, WeightNorm};
pub use curated_loader::CuratedDataLoader;
pub use data_loader::PlainDataLoader;
pub use dataset_source::{DatasetOptions, DatasetSource};
pub use error::{BoxError, Error, Misfit, Result};
pub use evaluation_loader::EvaluationDataLoader;
pub use metrics::StreamMetric;
pub use pace::Pace;
pub use renderer::BarsRenderer;
pub use selection::SelectRows;
pub use signals::Signals;
