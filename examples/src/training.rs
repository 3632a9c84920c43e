//! One training loop for every loader: the same model, optimiser and number of steps.

use crate::{Result, model::Model, sample::Images};
use arable_loader::report::Progress;
use arable_trainer::{Curated, Signals, loss};
use burn::{
    data::dataloader::DataLoader,
    module::Module,
    nn::loss::CrossEntropyLossConfig,
    optim::{AdamConfig, GradientsParams},
    tensor::{Tensor, TensorData},
};
use std::{sync::Arc, time::Instant};

/// What is the same for all trainings that are compared.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Passes over the loader.
    pub epochs: usize,
    /// Optimiser steps of each pass.
    pub steps: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model after its last step.
    pub model: Model,
    /// Accuracy on the held-out rows after each epoch.
    pub accuracy: Vec<f64>,
    /// Wall time of the steps, without the evaluations.
    pub seconds: f64,
    /// Samples that went through a step, presentations counted.
    pub samples: u64,
}

impl Trained {
    /// Accuracy after the last epoch.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.accuracy.last().copied().unwrap_or(0.0)
    }

    /// (epoch, accuracy) of the best epoch, with hindsight; epochs count from 1.
    #[must_use]
    pub fn best(&self) -> (usize, f64) {
        let epochs = self.accuracy.iter().copied().enumerate().map(|(epoch, accuracy)| (epoch + 1, accuracy));
        epochs.fold((0, 0.0), |best, epoch| if epoch.1 > best.1 { epoch } else { best })
    }
}

/// A batch that a step can be taken on.
pub trait Step: 'static {
    /// The images and their labels.
    fn images(&self) -> &Images;

    /// The loss to differentiate, from the logits.
    fn loss(&self, logits: Tensor<2>) -> Tensor<1>;
}

/// As burn's users write it.
impl Step for Images {
    fn images(&self) -> &Images {
        self
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, self.targets.clone())
    }
}

/// The same after plugging Arable in.
impl Step for Curated<Images> {
    fn images(&self) -> &Images {
        self
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        let losses = loss::cross_entropy(logits.clone(), self.targets.clone());
        self.settle(losses, Signals::classification(&logits, &self.targets))
    }
}

/// A curated batch whose training says nothing back: cleaning alone.
#[derive(Debug)]
pub struct Silent(pub Curated<Images>);

impl Step for Silent {
    fn images(&self) -> &Images {
        &self.0
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, self.0.targets.clone())
    }
}

/// Trains `model` on what `loader` yields, and measures it on `held` after each epoch.
///
/// # Errors
///
/// Whatever the loader fails with; a loader that yields another number of batches than the schedule has steps.
pub fn fit<O: 'static, S: Step>(
    mut model: Model,
    loader: &Arc<dyn DataLoader<O>>,
    step: impl Fn(O) -> S,
    schedule: Schedule,
    held: &[Images],
    progress: &Progress,
) -> Result<Trained> {
    let mut optimiser = AdamConfig::new().init();
    let mut trained = Trained { model: model.clone(), accuracy: Vec::new(), seconds: 0.0, samples: 0 };
    for epoch in 0..schedule.epochs {
        let start = Instant::now();
        let mut steps = 0;
        for batch in loader.iter() {
            let batch = step(batch?);
            let images = batch.images();
            trained.samples += images.targets.dims()[0] as u64;
            let logits = model.forward(images.pixels.clone());
            let gradients = batch.loss(logits).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimiser.step(schedule.learning_rate, model, gradients);
            steps += 1;
            progress.advance(1);
        }
        trained.seconds += start.elapsed().as_secs_f64();
        if steps != schedule.steps {
            return Err(format!("epoch {} had {steps} steps instead of {}", epoch + 1, schedule.steps).into());
        }
        let accuracy = accuracy(&model, held)?;
        trained.accuracy.push(accuracy);
        progress.message(format!("epoch {}/{}, accuracy {:.1} %", epoch + 1, schedule.epochs, 100.0 * accuracy));
    }
    trained.model = model;
    Ok(trained)
}

/// The share of `held` that `model` classifies rightly.
///
/// # Errors
///
/// A tensor that cannot be read back.
pub fn accuracy(model: &Model, held: &[Images]) -> Result<f64> {
    let model = model.valid();
    let (mut right, mut all) = (0, 0);
    for images in held {
        let guesses = model.forward(images.pixels.clone().inner()).argmax(1);
        let guesses = numbers(guesses.into_data())?;
        let targets = numbers(images.targets.clone().into_data())?;
        all += targets.len();
        right += guesses.iter().zip(&targets).filter(|(guess, target)| guess == target).count();
    }
    Ok(right as f64 / all.max(1) as f64)
}

fn numbers(data: TensorData) -> Result<Vec<i64>> {
    Ok(data.convert::<i64>().try_to_vec::<i64>()?)
}
