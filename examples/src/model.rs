//! The models: a perceptron with two hidden layers, and a small convolutional network.

use crate::{sample::Images, training::Classifier};
use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig, PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    tensor::{Device, Tensor},
};

/// A classifier of images given as `[batch, features]`; it gives logits `[batch, classes]`.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one model at a time, and burn's derive takes no box")]
pub enum Model {
    /// A perceptron.
    Mlp(Mlp),
    /// A convolutional network.
    Cnn(Cnn),
}

impl Model {
    /// Logits `[batch, classes]` of pixels `[batch, features]`.
    #[must_use]
    pub fn forward(&self, pixels: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Mlp(mlp) => mlp.forward(pixels),
            Self::Cnn(cnn) => cnn.forward(pixels),
        }
    }
}

impl Classifier<Images> for Model {
    fn logits(&self, images: &Images) -> Tensor<2> {
        self.forward(images.pixels.clone())
    }
}

/// features → hidden → hidden → classes, with ReLU.
#[derive(Module, Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    last: Linear,
    relu: Relu,
}

impl Mlp {
    /// With two hidden layers of `hidden` units.
    #[must_use]
    pub fn new(features: usize, hidden: usize, classes: usize, device: &Device) -> Self {
        Self {
            first: LinearConfig::new(features, hidden).init(device),
            second: LinearConfig::new(hidden, hidden).init(device),
            last: LinearConfig::new(hidden, classes).init(device),
            relu: Relu::new(),
        }
    }

    fn forward(&self, pixels: Tensor<2>) -> Tensor<2> {
        let hidden = self.relu.forward(self.first.forward(pixels));
        let hidden = self.relu.forward(self.second.forward(hidden));
        self.last.forward(hidden)
    }
}

/// Three convolutions of 3 x 3 with 16, 32 and 64 channels, each followed by ReLU and a pooling that halves the sides,
/// then two linear layers.
#[derive(Module, Debug)]
pub struct Cnn {
    first: Conv2d,
    second: Conv2d,
    third: Conv2d,
    pool: MaxPool2d,
    hidden: Linear,
    last: Linear,
    relu: Relu,
    #[module(skip)]
    shape: [usize; 3],
}

impl Cnn {
    /// For images of `shape` (channels, height, width).
    #[must_use]
    pub fn new(shape: [usize; 3], classes: usize, device: &Device) -> Self {
        let convolution = |from: usize, to: usize| {
            Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same).init(device)
        };
        let [channels, height, width] = shape;
        Self {
            first: convolution(channels, 16),
            second: convolution(16, 32),
            third: convolution(32, 64),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            hidden: LinearConfig::new(64 * (height / 8) * (width / 8), 128).init(device),
            last: LinearConfig::new(128, classes).init(device),
            relu: Relu::new(),
            shape,
        }
    }

    fn forward(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [batch, _] = pixels.dims();
        let [channels, height, width] = self.shape;
        let mut images = pixels.reshape([batch, channels, height, width]);
        for convolution in [&self.first, &self.second, &self.third] {
            images = self.pool.forward(self.relu.forward(convolution.forward(images)));
        }
        let hidden = self.relu.forward(self.hidden.forward(images.flatten(1, 3)));
        self.last.forward(hidden)
    }
}
