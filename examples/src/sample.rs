//! A row as the files hold it, and the batch that a model takes: the same for burn's loader and for Arable's.

use crate::training::Labelled;
use burn::{
    data::dataloader::batcher::Batcher,
    tensor::{Device, Int, Tensor, TensorData},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Debug, marker::PhantomData, sync::Arc};

use arrow::datatypes::FieldRef;

/// One row of a data set, as serde reads it from the columns of a file.
pub trait Sample: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// The column that holds what the model sees.
    const CONTENT: &'static str;

    /// The columns of a file of such rows: the content, and a nullable 64-bit `label`.
    fn fields(&self) -> Vec<FieldRef>;

    /// The label, where there is one.
    fn label(&self) -> Option<i64>;

    /// Gives the row another label, or none.
    fn set_label(&mut self, label: Option<i64>);

    /// Damages the content so that no item can be made of it.
    fn spoil(&mut self);

    /// Whether a model can make anything of the content.
    fn is_sound(&self) -> bool;

    /// Whether a valid item can be made of the row: what a careful user of any loader would check.
    fn is_valid(&self, classes: usize) -> bool {
        let labelled = self.label().and_then(|label| usize::try_from(label).ok()).is_some_and(|label| label < classes);
        labelled && self.is_sound()
    }
}

/// A row that holds an image.
pub trait Image: Sample {
    /// Whether it is encoded, and has to be decoded to be judged.
    const ENCODED: bool;

    /// The pixels, scaled to [0, 1]; `None` where they are damaged.
    fn pixels(&self) -> Option<Vec<f32>>;
}

/// A batch of images with their labels.
#[derive(Clone, Debug)]
pub struct Images {
    /// `[batch, features]`, in [0, 1].
    pub pixels: Tensor<2>,
    /// `[batch]`.
    pub targets: Tensor<1, Int>,
}

/// Makes [`Images`] of rows. This is all that a user of burn writes; both loaders take it.
#[derive(Debug)]
pub struct ImageBatcher<S> {
    features: usize,
    rows: PhantomData<fn(S)>,
}

impl<S> Clone for ImageBatcher<S> {
    fn clone(&self) -> Self {
        Self::new(self.features)
    }
}

impl<S> ImageBatcher<S> {
    /// For images of `features` numbers.
    #[must_use]
    pub const fn new(features: usize) -> Self {
        Self { features, rows: PhantomData }
    }
}

impl Labelled for Images {
    fn targets(&self) -> &Tensor<1, Int> {
        &self.targets
    }
}

impl<S: Image> Batcher<S, Images> for ImageBatcher<S> {
    fn batch(&self, rows: Vec<S>, device: &Device) -> Images {
        let count = rows.len();
        let mut pixels = Vec::with_capacity(count * self.features);
        for row in &rows {
            // A row that slipped through is black; it is not for the loop to stop over it.
            let content = row.pixels().filter(|content| content.len() == self.features);
            pixels.extend(content.unwrap_or_else(|| vec![0.0; self.features]));
        }
        let targets: Vec<i64> = rows.iter().map(|row| row.label().unwrap_or(0)).collect();
        Images {
            pixels: Tensor::from_data(TensorData::new(pixels, [count, self.features]), device),
            targets: Tensor::from_data(TensorData::new(targets, [count]), device),
        }
    }
}

/// Rows of a data set with clean labels, held in memory: what accuracy is measured on.
#[derive(Clone, Debug)]
pub struct Held<S> {
    rows: Arc<[S]>,
}

impl<S: Image> Held<S> {
    /// Holds `rows`.
    #[must_use]
    pub fn new(rows: Vec<S>) -> Self {
        Self { rows: rows.into() }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as batches of at most `size`, made once.
    #[must_use]
    pub fn batches(&self, features: usize, size: usize, device: &Device) -> Vec<Images> {
        let batcher = ImageBatcher::<S>::new(features);
        self.rows.chunks(size.max(1)).map(|rows| batcher.batch(rows.to_vec(), device)).collect()
    }
}
