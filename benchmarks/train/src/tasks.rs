//! What is trained: a perceptron, a convolutional network and a transformer, each with items in memory.

use std::{fmt::Debug, sync::Arc};

use arable_trainer::FromColumns;
use arrow::{
    array::{ArrayRef, FixedSizeListArray, Int64Array, RecordBatch},
    datatypes::{Float32Type, Int64Type},
    error::ArrowError,
};
use burn::{
    data::dataloader::batcher::Batcher,
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig},
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    tensor::{Device, Int, Tensor, activation::relu},
};
use serde::de::DeserializeOwned;

/// A model and its data.
pub(crate) trait Task: 'static {
    const NAME: &str;
    const BATCH: usize;
    /// Items in memory.
    const ITEMS: usize;
    /// Steps of one measurement: whole passes over the items.
    const STEPS: usize;
    type Item: Clone + Debug + Send + Sync + DeserializeOwned + 'static;
    type Batch: FromColumns + Clone + Debug + Send + 'static;
    type Batcher: Batcher<Self::Item, Self::Batch> + Clone + Default + 'static;
    type Model: Module + 'static;

    fn item(number: usize) -> Self::Item;
    fn columns(items: &[Self::Item]) -> Result<RecordBatch, ArrowError>;
    fn model(device: &Device) -> Self::Model;
    /// Logits and labels.
    fn forward(model: &Self::Model, batch: &Self::Batch) -> (Tensor<2>, Tensor<1, Int>);
}

const CLASSES: usize = 10;

/// Numbers without a pattern, from the place that they stand at.
fn noise(item: usize, place: usize) -> u64 {
    let mut x = (item as u64) << 32 | place as u64;
    for _ in 0..2 {
        x = (x ^ (x >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    x >> 33
}

/// `width` floats with a label.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Vector {
    x: Vec<f32>,
    label: i64,
}

impl Vector {
    fn new(number: usize, width: usize) -> Self {
        let x = (0..width).map(|place| noise(number, place) as f32 / (1_u64 << 31) as f32 - 0.5).collect();
        Self { x, label: (number % CLASSES) as i64 }
    }

    fn columns(items: &[Self], width: usize) -> Result<RecordBatch, ArrowError> {
        let x = items.iter().map(|item| Some(item.x.iter().copied().map(Some)));
        let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, width as i32));
        let label: ArrayRef = Arc::new(Int64Array::from_iter_values(items.iter().map(|item| item.label)));
        RecordBatch::try_from_iter([("x", x), ("label", label)])
    }
}

/// All rows in one buffer, which is the quickest way from items to a tensor.
fn stacked(items: &[Vector], device: &Device) -> (Tensor<1>, Tensor<1, Int>) {
    let x: Vec<_> = items.iter().flat_map(|item| item.x.iter().copied()).collect();
    let labels: Vec<_> = items.iter().map(|item| item.label).collect();
    (Tensor::from_floats(x.as_slice(), device), Tensor::from_ints(labels.as_slice(), device))
}

/// 64 → 128 → 10, batches of 64.
pub(crate) struct Perceptron;

#[derive(Module, Debug)]
pub(crate) struct PerceptronModel {
    first: Linear,
    second: Linear,
}

#[derive(Clone, Debug, FromColumns)]
pub(crate) struct Vectors {
    x: Tensor<2>,
    label: Tensor<1, Int>,
}

#[derive(Clone, Default)]
pub(crate) struct VectorBatcher;

impl Batcher<Vector, Vectors> for VectorBatcher {
    fn batch(&self, items: Vec<Vector>, device: &Device) -> Vectors {
        let (x, label) = stacked(&items, device);
        Vectors { x: x.reshape([items.len(), Perceptron::WIDTH]), label }
    }
}

impl Perceptron {
    const WIDTH: usize = 64;
}

impl Task for Perceptron {
    const NAME: &str = "perceptron";
    const BATCH: usize = 64;
    const ITEMS: usize = 8192;
    const STEPS: usize = 384;
    type Item = Vector;
    type Batch = Vectors;
    type Batcher = VectorBatcher;
    type Model = PerceptronModel;

    fn item(number: usize) -> Vector {
        Vector::new(number, Self::WIDTH)
    }

    fn columns(items: &[Vector]) -> Result<RecordBatch, ArrowError> {
        Vector::columns(items, Self::WIDTH)
    }

    fn model(device: &Device) -> PerceptronModel {
        let first = LinearConfig::new(Self::WIDTH, 128).init(device);
        PerceptronModel { first, second: LinearConfig::new(128, CLASSES).init(device) }
    }

    fn forward(model: &PerceptronModel, batch: &Vectors) -> (Tensor<2>, Tensor<1, Int>) {
        let logits = model.second.forward(relu(model.first.forward(batch.x.clone())));
        (logits, batch.label.clone())
    }
}

/// Two convolutions over 28 × 28 pixels, batches of 32.
pub(crate) struct Convolutional;

#[derive(Module, Debug)]
pub(crate) struct ConvolutionalModel {
    first: Conv2d,
    second: Conv2d,
    pool: AdaptiveAvgPool2d,
    last: Linear,
}

#[derive(Clone, Debug, FromColumns)]
pub(crate) struct Images {
    #[column(name = "x", shape = [1, 28, 28])]
    images: Tensor<4>,
    label: Tensor<1, Int>,
}

#[derive(Clone, Default)]
pub(crate) struct ImageBatcher;

impl Batcher<Vector, Images> for ImageBatcher {
    fn batch(&self, items: Vec<Vector>, device: &Device) -> Images {
        let (x, label) = stacked(&items, device);
        Images { images: x.reshape([items.len(), 1, 28, 28]), label }
    }
}

impl Task for Convolutional {
    const NAME: &str = "convolutional network";
    const BATCH: usize = 32;
    const ITEMS: usize = 1024;
    const STEPS: usize = 32;
    type Item = Vector;
    type Batch = Images;
    type Batcher = ImageBatcher;
    type Model = ConvolutionalModel;

    fn item(number: usize) -> Vector {
        Vector::new(number, 28 * 28)
    }

    fn columns(items: &[Vector]) -> Result<RecordBatch, ArrowError> {
        Vector::columns(items, 28 * 28)
    }

    fn model(device: &Device) -> ConvolutionalModel {
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        ConvolutionalModel {
            first: Conv2dConfig::new([1, 8], [3, 3]).with_padding(same.clone()).init(device),
            second: Conv2dConfig::new([8, 16], [3, 3]).with_padding(same).with_stride([2, 2]).init(device),
            pool: AdaptiveAvgPool2dConfig::new([4, 4]).init(),
            last: LinearConfig::new(16 * 4 * 4, CLASSES).init(device),
        }
    }

    fn forward(model: &ConvolutionalModel, batch: &Images) -> (Tensor<2>, Tensor<1, Int>) {
        let x = relu(model.second.forward(relu(model.first.forward(batch.images.clone()))));
        (model.last.forward(model.pool.forward(x).flatten(1, 3)), batch.label.clone())
    }
}

/// Two layers of width 64 over 48 tokens, batches of 16.
pub(crate) struct Transformer;

#[derive(Module, Debug)]
pub(crate) struct TransformerModel {
    words: Embedding,
    encoder: TransformerEncoder,
    last: Linear,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Text {
    tokens: Vec<i64>,
    label: i64,
}

#[derive(Clone, Debug, FromColumns)]
pub(crate) struct Texts {
    tokens: Tensor<2, Int>,
    label: Tensor<1, Int>,
}

#[derive(Clone, Default)]
pub(crate) struct TextBatcher;

impl Batcher<Text, Texts> for TextBatcher {
    fn batch(&self, items: Vec<Text>, device: &Device) -> Texts {
        let tokens: Vec<_> = items.iter().flat_map(|item| item.tokens.iter().copied()).collect();
        let labels: Vec<_> = items.iter().map(|item| item.label).collect();
        Texts {
            tokens: Tensor::<1, Int>::from_ints(tokens.as_slice(), device).reshape([items.len(), Transformer::TOKENS]),
            label: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

impl Transformer {
    const TOKENS: usize = 48;
    const WORDS: usize = 1000;
}

impl Task for Transformer {
    const NAME: &str = "transformer";
    const BATCH: usize = 16;
    const ITEMS: usize = 512;
    const STEPS: usize = 32;
    type Item = Text;
    type Batch = Texts;
    type Batcher = TextBatcher;
    type Model = TransformerModel;

    fn item(number: usize) -> Text {
        let tokens = (0..Self::TOKENS).map(|place| (noise(number, place) % Self::WORDS as u64) as i64).collect();
        Text { tokens, label: (number % CLASSES) as i64 }
    }

    fn columns(items: &[Text]) -> Result<RecordBatch, ArrowError> {
        let tokens = items.iter().map(|item| Some(item.tokens.iter().copied().map(Some)));
        let tokens = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(tokens, Self::TOKENS as i32);
        let label: ArrayRef = Arc::new(Int64Array::from_iter_values(items.iter().map(|item| item.label)));
        RecordBatch::try_from_iter([("tokens", Arc::new(tokens) as ArrayRef), ("label", label)])
    }

    fn model(device: &Device) -> TransformerModel {
        TransformerModel {
            words: EmbeddingConfig::new(Self::WORDS, 64).init(device),
            encoder: TransformerEncoderConfig::new(64, 256, 4, 2).init(device),
            last: LinearConfig::new(64, CLASSES).init(device),
        }
    }

    fn forward(model: &TransformerModel, batch: &Texts) -> (Tensor<2>, Tensor<1, Int>) {
        let x = model.words.forward(batch.tokens.clone());
        let x = model.encoder.forward(TransformerEncoderInput::new(x));
        (model.last.forward(x.mean_dim(1).squeeze_dim(1)), batch.label.clone())
    }
}
