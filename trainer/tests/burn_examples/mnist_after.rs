//! Handwritten digits, in the shape of burn's `guide` and `mnist`.

use std::path::Path;

use arable_trainer::{Curated, CuratedDataLoader, Signals, loader::Stream, loss::cross_entropy};
use burn::{
    config::Config,
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::Dataset,
    },
    module::Module,
    nn::{
        Dropout, DropoutConfig, Linear, LinearConfig, Relu,
        conv::{Conv2d, Conv2dConfig},
        pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig},
    },
    optim::AdamConfig,
    tensor::{Device, Int, Tensor},
    train::{
        ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
        metric::{AccuracyMetric, LossMetric},
    },
};

const SIDE: usize = 8;

#[derive(Clone, Debug, serde::Deserialize)]
pub struct MnistItem {
    pub image: Vec<f32>,
    pub label: u8,
}

#[derive(Clone, Debug)]
pub struct MnistBatch {
    pub images: Tensor<3>,
    pub targets: Tensor<1, Int>,
}

#[derive(Clone, Default)]
pub struct MnistBatcher;

impl Batcher<MnistItem, MnistBatch> for MnistBatcher {
    fn batch(&self, items: Vec<MnistItem>, device: &Device) -> MnistBatch {
        let image = |item: &MnistItem| Tensor::<1>::from_floats(item.image.as_slice(), device).reshape([1, SIDE, SIDE]);
        let images = items.iter().map(image).map(|image| (image / 255 - 0.1307) / 0.3081).collect();
        let targets = items.iter().map(|item| Tensor::<1, Int>::from_ints([i64::from(item.label)], device)).collect();
        MnistBatch { images: Tensor::cat(images, 0), targets: Tensor::cat(targets, 0) }
    }
}

#[derive(Module, Debug)]
pub struct Model {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: AdaptiveAvgPool2d,
    dropout: Dropout,
    linear1: Linear,
    linear2: Linear,
    activation: Relu,
}

impl Model {
    pub fn new(device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([1, 4], [3, 3]).init(device),
            conv2: Conv2dConfig::new([4, 8], [3, 3]).init(device),
            pool: AdaptiveAvgPool2dConfig::new([2, 2]).init(),
            dropout: DropoutConfig::new(0.5).init(),
            linear1: LinearConfig::new(8 * 2 * 2, 16).init(device),
            linear2: LinearConfig::new(16, 10).init(device),
            activation: Relu::new(),
        }
    }

    pub fn forward(&self, images: Tensor<3>) -> Tensor<2> {
        let x = self.conv1.forward(images.unsqueeze_dim(1));
        let x = self.activation.forward(self.conv2.forward(self.dropout.forward(x)));
        let x = self.linear1.forward(self.pool.forward(x).flatten(1, 3));
        self.linear2.forward(self.activation.forward(self.dropout.forward(x)))
    }

    pub fn forward_classification(&self, images: Tensor<3>, targets: Tensor<1, Int>) -> ClassificationOutput {
        let output = self.forward(images);
        let loss = cross_entropy(output.clone(), targets.clone());
        ClassificationOutput::new(loss, output, targets)
    }
}

impl TrainStep for Model {
    type Input = Curated<MnistBatch>;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> TrainOutput<ClassificationOutput> {
        let item = self.forward_classification(batch.images.clone(), batch.targets.clone());
        let loss = batch.settle(item.loss.clone(), Signals::classification(&item.output, &item.targets));
        TrainOutput::new(self, loss.backward(), item)
    }
}

impl InferenceStep for Model {
    type Input = MnistBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> ClassificationOutput {
        self.forward_classification(batch.images, batch.targets)
    }
}

#[derive(Config, Debug)]
pub struct TrainingConfig {
    #[config(default = 2)]
    pub num_epochs: usize,
    #[config(default = 16)]
    pub batch_size: usize,
    #[config(default = 42)]
    pub seed: u64,
    #[config(default = 1.0e-3)]
    pub learning_rate: f64,
}

pub fn train<D>(directory: &Path, config: &TrainingConfig, train: Stream, valid: D) -> Model
where
    D: Dataset<MnistItem> + 'static,
{
    let device = Device::default().autodiff();
    device.seed(config.seed);
    let dataloader_train = CuratedDataLoader::new(train, MnistBatcher).into_arc();
    let dataloader_valid = DataLoaderBuilder::new(MnistBatcher).batch_size(config.batch_size).build(valid);
    let training = SupervisedTraining::new(directory, dataloader_train, dataloader_valid)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_default_checkpointers()
        .with_application_logger(None)
        .num_epochs(config.num_epochs);
    let result = training.launch(Learner::new(Model::new(&device), AdamConfig::new().init(), config.learning_rate));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model
}
