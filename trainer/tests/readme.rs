//! The code and the recipe that `README.md` shows are a program that trains: what stands below between the marks is what
//! stands there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{env, error::Error, fs, path::Path, sync::Arc};

use arable_loader::Recipe;
use arable_trainer::{Curated, CuratedDataLoader, Signals, loss};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    tensor::{Device, Int, Tensor},
    train::{ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep},
};

const README: &str = include_str!("../../README.md");
const HERE: &str = include_str!("readme.rs");
const SIDE: usize = 4;

#[derive(Clone, Debug, serde::Deserialize)]
struct MnistItem {
    image: Vec<f32>,
    label: i64,
}

#[derive(Clone, Debug)]
struct MnistBatch {
    images: Tensor<2>,
    targets: Tensor<1, Int>,
}

#[derive(Default)]
struct MnistBatcher {}

impl Batcher<MnistItem, MnistBatch> for MnistBatcher {
    fn batch(&self, items: Vec<MnistItem>, device: &Device) -> MnistBatch {
        let images: Vec<_> = items.iter().flat_map(|item| item.image.iter().copied()).collect();
        let targets: Vec<_> = items.iter().map(|item| item.label).collect();
        MnistBatch {
            images: Tensor::<1>::from_floats(images.as_slice(), device).reshape([items.len(), SIDE * SIDE]),
            targets: Tensor::from_ints(targets.as_slice(), device),
        }
    }
}

#[derive(Module, Debug)]
struct Model {
    linear: Linear,
}

impl Model {
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.linear.forward(images)
    }
}

fn train(dir: &Path, valid: Arc<dyn DataLoader<MnistBatch>>) -> Result<(f32, usize), Box<dyn Error>> {
    // The README's first lines:
    let stream = Recipe::from_toml_file("arable.toml")?.open()?;
    let train = CuratedDataLoader::new(stream, MnistBatcher::default());
    let epochs = train.num_epochs();
    let training = SupervisedTraining::new(dir, train.into_arc(), valid).num_epochs(epochs);
    // The end of them.
    let device = Device::default().autodiff();
    let model = Model { linear: LinearConfig::new(SIDE * SIDE, 2).init(&device) };
    let result = training.with_application_logger(None).launch(Learner::new(model, SgdConfig::new().init(), 0.1));
    match result.error {
        Some(error) => Err(format!("{error:?}").into()),
        None => Ok((result.model.linear.weight.val().abs().sum().into_scalar(), epochs)),
    }
}

// And the rest of them:
impl TrainStep for Model {
    type Input = Curated<MnistBatch>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<Self::Output> {
        let logits = self.forward(item.images.clone());
        let losses = loss::cross_entropy(logits.clone(), item.targets.clone());
        let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.targets));
        TrainOutput::new(self, loss.backward(), ClassificationOutput::new(losses, logits, item.targets.clone()))
    }
}
// The end of the rest.

impl InferenceStep for Model {
    type Input = MnistBatch;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> ClassificationOutput {
        let logits = self.forward(item.images);
        ClassificationOutput::new(loss::cross_entropy(logits.clone(), item.targets.clone()), logits, item.targets)
    }
}

/// Lines without comments and indentation, blank ones left out.
fn bare(code: &str) -> Vec<&str> {
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).collect()
}

/// What stands between two marks of this file.
fn between(from: &str, to: &str) -> &'static str {
    HERE.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect(from).0
}

/// The first block of `README.md` of this language.
fn shown(language: &str) -> &'static str {
    README.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```")).expect(language).0
}

#[test]
fn the_code_that_the_readme_shows_is_the_code_here() {
    // Split, so that the marks stand once in this file.
    let first = between(concat!("// The README's first ", "lines:"), concat!("// The end of ", "them."));
    let rest = between(concat!("// And the rest of ", "them:"), concat!("// The end of the ", "rest."));
    let mut here = bare(first);
    here.extend(bare(rest));
    assert_eq!(bare(shown("rust")), here);
}

#[test]
fn what_the_readme_shows_trains() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = shown("toml").replace("data/*.parquet", "data/*.jsonl");
    assert_ne!(recipe, shown("toml"));
    fs::write(folder.path().join("arable.toml"), recipe).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let line = |row: usize| {
        let image: Vec<_> = (0..SIDE * SIDE).map(|pixel| ((row * 7 + pixel * 3) % 11) as f32).collect();
        format!("{{\"image\":{image:?},\"label\":{}}}\n", row % 2)
    };
    let lines: String = (0..150).map(line).collect();
    fs::write(folder.path().join("data/rows.jsonl"), lines).unwrap();
    // No other test of this process reads a relative path.
    env::set_current_dir(folder.path()).unwrap();

    let items = (0..8).map(|row| MnistItem { image: vec![row as f32; SIDE * SIDE], label: 0 }).collect();
    let valid = DataLoaderBuilder::new(MnistBatcher {}).batch_size(8).build(InMemDataset::new(items));
    let (parameters, epochs) = train(folder.path(), valid).unwrap();
    assert!(parameters.is_finite());
    assert_eq!(epochs, 10, "as the recipe says");
}
