//! Sorting texts into classes with a transformer, in the shape of burn's `text-classification`.

use std::path::Path;

use burn::{
    config::Config,
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::Dataset,
    },
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig,
        attention::generate_padding_mask,
        loss::CrossEntropyLossConfig,
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    optim::AdamConfig,
    tensor::{Bool, Device, Int, Tensor},
    train::{
        ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
        metric::{AccuracyMetric, LossMetric},
    },
};

/// A token is a byte, and this is none.
const PAD: usize = 256;
const MAX_LENGTH: usize = 32;

#[derive(Clone, Debug, serde::Deserialize)]
pub struct TextClassificationItem {
    pub text: String,
    pub label: usize,
}

#[derive(Clone, Debug)]
pub struct TextClassificationBatch {
    pub tokens: Tensor<2, Int>,
    pub labels: Tensor<1, Int>,
    pub mask_pad: Tensor<2, Bool>,
}

#[derive(Clone, Default)]
pub struct TextClassificationBatcher;

impl Batcher<TextClassificationItem, TextClassificationBatch> for TextClassificationBatcher {
    fn batch(&self, items: Vec<TextClassificationItem>, device: &Device) -> TextClassificationBatch {
        let labels: Vec<_> = items.iter().map(|item| item.label as i64).collect();
        let tokens = items.iter().map(|item| item.text.bytes().map(usize::from).collect()).collect();
        let mask = generate_padding_mask(PAD, tokens, Some(MAX_LENGTH), device);
        let labels = Tensor::from_ints(labels.as_slice(), device);
        TextClassificationBatch { tokens: mask.tensor, labels, mask_pad: mask.mask }
    }
}

#[derive(Module, Debug)]
pub struct TextClassificationModel {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextClassificationModel {
    pub fn new(classes: usize, device: &Device) -> Self {
        Self {
            transformer: TransformerEncoderConfig::new(16, 32, 2, 1).init(device),
            embedding_token: EmbeddingConfig::new(PAD + 1, 16).init(device),
            embedding_pos: EmbeddingConfig::new(MAX_LENGTH, 16).init(device),
            output: LinearConfig::new(16, classes).init(device),
        }
    }

    pub fn forward(
        &self,
        tokens: Tensor<2, Int>,
        mask_pad: Tensor<2, Bool>,
        labels: Tensor<1, Int>,
    ) -> ClassificationOutput {
        let [batch, length] = tokens.dims();
        let positions = Tensor::arange(0..length as i64, &tokens.device()).reshape([1, length]).repeat_dim(0, batch);
        let x = (self.embedding_pos.forward(positions) + self.embedding_token.forward(tokens)) / 2;
        let x = self.transformer.forward(TransformerEncoderInput::new(x).mask_pad(mask_pad));
        let output = self.output.forward(x).slice([0..batch, 0..1]).squeeze_dim::<2>(1);
        let loss = CrossEntropyLossConfig::new().init(&output.device()).forward(output.clone(), labels.clone());
        ClassificationOutput::new(loss, output, labels)
    }
}

impl TrainStep for TextClassificationModel {
    type Input = TextClassificationBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> TrainOutput<ClassificationOutput> {
        let item = self.forward(batch.tokens, batch.mask_pad, batch.labels);
        TrainOutput::new(self, item.loss.backward(), item)
    }
}

impl InferenceStep for TextClassificationModel {
    type Input = TextClassificationBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> ClassificationOutput {
        self.forward(batch.tokens, batch.mask_pad, batch.labels)
    }
}

#[derive(Config, Debug)]
pub struct ExperimentConfig {
    #[config(default = 2)]
    pub num_epochs: usize,
    #[config(default = 8)]
    pub batch_size: usize,
    #[config(default = 2)]
    pub classes: usize,
    #[config(default = 42)]
    pub seed: u64,
}

pub fn train<D>(directory: &Path, config: &ExperimentConfig, train: D, valid: D) -> TextClassificationModel
where
    D: Dataset<TextClassificationItem> + 'static,
{
    let device = Device::default().autodiff();
    device.seed(config.seed);
    let batcher = TextClassificationBatcher;
    let dataloader_train =
        DataLoaderBuilder::new(batcher.clone()).batch_size(config.batch_size).shuffle(config.seed).build(train);
    let dataloader_valid = DataLoaderBuilder::new(batcher).batch_size(config.batch_size).build(valid);
    let model = TextClassificationModel::new(config.classes, &device);
    let training = SupervisedTraining::new(directory, dataloader_train, dataloader_valid)
        .metrics((AccuracyMetric::new(), LossMetric::new()))
        .with_default_checkpointers()
        .with_application_logger(None)
        .num_epochs(config.num_epochs)
        .grads_accumulation(2);
    let result = training.launch(Learner::new(model, AdamConfig::new().init(), 0.01));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model
}
