//! A language model over texts, in the shape of burn's `text-generation`.

use std::path::Path;

use arable_trainer::{Curated, CuratedDataLoader, Signals, loader::Stream, loss::CrossEntropy};
use burn::{
    config::Config,
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::Dataset,
    },
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig,
        attention::{generate_autoregressive_mask, generate_padding_mask},
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
pub struct TextGenerationItem {
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct TextGenerationBatch {
    pub inputs: Tensor<2, Int>,
    pub targets: Tensor<2, Int>,
    pub mask_pad: Tensor<2, Bool>,
}

#[derive(Clone, Default)]
pub struct TextGenerationBatcher;

impl Batcher<TextGenerationItem, TextGenerationBatch> for TextGenerationBatcher {
    fn batch(&self, items: Vec<TextGenerationItem>, device: &Device) -> TextGenerationBatch {
        let tokens = items.iter().map(|item| item.text.bytes().map(usize::from).collect()).collect();
        let mask = generate_padding_mask(PAD, tokens, Some(MAX_LENGTH), device);
        let [batch, length] = mask.tensor.dims();
        TextGenerationBatch {
            inputs: mask.tensor.clone().slice([0..batch, 0..length - 1]),
            targets: mask.tensor.slice([0..batch, 1..length]),
            mask_pad: mask.mask.slice([0..batch, 0..length - 1]),
        }
    }
}

#[derive(Module, Debug)]
pub struct TextGenerationModel {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextGenerationModel {
    pub fn new(device: &Device) -> Self {
        Self {
            transformer: TransformerEncoderConfig::new(16, 32, 2, 1).with_norm_first(true).init(device),
            embedding_token: EmbeddingConfig::new(PAD + 1, 16).init(device),
            embedding_pos: EmbeddingConfig::new(MAX_LENGTH, 16).init(device),
            output: LinearConfig::new(16, PAD + 1).init(device),
        }
    }

    pub fn forward(&self, item: TextGenerationBatch) -> ClassificationOutput {
        let [batch, length] = item.inputs.dims();
        let device = item.inputs.device();
        let positions = Tensor::arange(0..length as i64, &device).reshape([1, length]).repeat_dim(0, batch);
        let x = (self.embedding_pos.forward(positions) + self.embedding_token.forward(item.inputs)) / 2;
        let mask = generate_autoregressive_mask(batch, length, &device);
        let x = TransformerEncoderInput::new(x).mask_pad(item.mask_pad).mask_attn(mask);
        let output = self.output.forward(self.transformer.forward(x)).reshape([batch * length, PAD + 1]);
        let losses = CrossEntropy::new().with_ignored([PAD as i64]).of_sequences(output.clone(), item.targets.clone());
        let targets = item.targets.reshape([batch * length]);
        ClassificationOutput::new(losses.per_sample(), output, targets)
    }
}

impl TrainStep for TextGenerationModel {
    type Input = Curated<TextGenerationBatch>;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> TrainOutput<ClassificationOutput> {
        let item = self.forward((*batch).clone());
        let told = batch.targets.clone().not_equal_scalar(PAD as i64).float().sum_dim(1).squeeze_dim(1);
        TrainOutput::new(self, batch.settle((item.loss.clone(), told), Signals::none()).backward(), item)
    }
}

impl InferenceStep for TextGenerationModel {
    type Input = TextGenerationBatch;
    type Output = ClassificationOutput;

    fn step(&self, batch: Self::Input) -> ClassificationOutput {
        self.forward(batch)
    }
}

#[derive(Config, Debug)]
pub struct ExperimentConfig {
    #[config(default = 2)]
    pub num_epochs: usize,
    #[config(default = 8)]
    pub batch_size: usize,
    #[config(default = 42)]
    pub seed: u64,
}

pub fn train<D>(directory: &Path, config: &ExperimentConfig, train: Stream, valid: D) -> TextGenerationModel
where
    D: Dataset<TextGenerationItem> + 'static,
{
    let device = Device::default().autodiff();
    device.seed(config.seed);
    let batcher = TextGenerationBatcher;
    let dataloader_train = CuratedDataLoader::new(train, batcher.clone()).into_arc();
    let dataloader_valid = DataLoaderBuilder::new(batcher).batch_size(config.batch_size).build(valid);
    let training = SupervisedTraining::new(directory, dataloader_train, dataloader_valid)
        .metrics((AccuracyMetric::new().with_pad_token(PAD), LossMetric::new()))
        .with_default_checkpointers()
        .with_application_logger(None)
        .num_epochs(config.num_epochs)
        .grads_accumulation(2);
    let result = training.launch(Learner::new(TextGenerationModel::new(&device), AdamConfig::new().init(), 0.01));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model
}
