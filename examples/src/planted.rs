//! Images with planted dirt, as the rows of a comparison.

use crate::{
    Result,
    comparison::{Comparison, Variant, begin},
    dirt::{Dirt, Rows},
    model::{Cnn, Mlp, Model},
    sample::{Held, Image, ImageBatcher, Images},
};
use arable_loader::{Recipe, Stream};
use arable_trainer::CuratedDataLoader;
use burn::{
    data::{dataloader::DataLoaderBuilder, dataset::InMemDataset},
    tensor::{Device, Tensor},
};
use std::path::Path;

/// Rows of a batch of held-out rows; any will do.
const HELD_BATCH: usize = 1_000;

/// Images to train on, and what to train with.
#[derive(Debug)]
pub struct Planted<S> {
    /// The example's name.
    pub task: &'static str,
    /// The rows to train on, dirt and all.
    pub train: Rows<S>,
    /// The rows to measure accuracy on; their labels are clean.
    pub held: Held<S>,
    /// What the held-out rows are called in the output.
    pub held_name: &'static str,
    /// The dirt that was planted.
    pub dirt: Dirt,
    /// Shape of an image: channels, height, width.
    pub shape: [usize; 3],
    /// How many classes there are.
    pub classes: usize,
    /// The seed of everything: dirt, weights, orders.
    pub seed: u64,
    /// What is trained on, outside of autodiff.
    pub device: Device,
    /// What the model is trained with.
    pub hyper: Hyper,
}

/// Hyper-parameters. They were chosen on validation splits, never on a test split.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    /// Passes over the valid rows.
    pub epochs: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Data epochs that `denoise` only observes.
    pub warmup: i64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Units of each hidden layer of the perceptron; `None` for the convolutional network.
    pub hidden: Option<usize>,
    /// How many files the rows are written to.
    pub shards: usize,
    /// Rows of a row group.
    pub group: usize,
}

impl<S: Image> Planted<S> {
    /// Writes the files below `folder`; the comparison trains with cleaning alone, observing, and acting.
    ///
    /// # Errors
    ///
    /// Whatever keeps a file from being written.
    pub fn comparison(self, folder: &Path) -> Result<Comparison<Images, Model>> {
        let data = folder.join("data");
        self.train.write(&data, self.hyper.shards, self.hyper.group)?;
        let recipe = self.recipe(&data);
        let features: usize = self.shape.iter().product();
        let make = |device: &Device| match self.hyper.hidden {
            Some(hidden) => Model::Mlp(Mlp::new(features, hidden, self.classes, device)),
            None => Model::Cnn(Cnn::new(self.shape, self.classes, device)),
        };
        let model =
            begin(self.seed, &self.device, make, |model, device| model.forward(Tensor::zeros([1, features], device)));
        let items: Vec<S> = self.train.rows.iter().filter(|row| row.is_valid(self.classes)).cloned().collect();
        let plain = DataLoaderBuilder::new(ImageBatcher::<S>::new(features))
            .batch_size(self.hyper.batch)
            .shuffle(self.seed)
            .build(InMemDataset::new(items));
        let wrong = self.train.rows.iter().zip(&self.train.truth);
        Ok(Comparison {
            task: self.task,
            seed: self.seed,
            device: self.device.clone(),
            dirt: self.dirt.said(self.seed),
            planted: serde_json::to_value(self.dirt)?,
            recipe,
            curate: Box::new(move |stream| CuratedDataLoader::new(stream, ImageBatcher::<S>::new(features))),
            plain,
            model,
            held: self.held.batches(features, HELD_BATCH, &self.device),
            held_name: self.held_name.to_owned(),
            wrong: wrong.map(|(row, truth)| Some(row.label()? != (*truth)?)).collect(),
            describe: Box::new(|_| None),
            epochs: self.hyper.epochs,
            batch: self.hyper.batch,
            learning_rate: self.hyper.learning_rate,
            variants: Variant::all(self.hyper.warmup, Stream::builder),
        })
    }

    /// The recipe that a user would write.
    fn recipe(&self, data: &Path) -> Recipe {
        let last = i64::try_from(self.classes).unwrap_or(i64::MAX) - 1;
        let recipe = Recipe::new(data.join("*.parquet").display().to_string())
            .columns([S::CONTENT, "label"])
            .label("label")
            .clean("missing", [("column", "label".into())])
            .clean("range", [("column", "label".into()), ("min", 0.into()), ("max", last.into())]);
        let recipe = if S::ENCODED {
            recipe.clean("decodable", [("column", S::CONTENT.into())])
        } else {
            recipe.clean("range", [("column", S::CONTENT.into())])
        };
        recipe.clean("exact_duplicate", [])
    }
}
