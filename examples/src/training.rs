//! One training loop for every loader: the same model, optimiser and number of steps.

use crate::Result;
use arable_loader::report::Progress;
use arable_trainer::{Curated, Signals, loss};
use burn::{
    data::dataloader::DataLoader,
    module::Module,
    nn::loss::CrossEntropyLossConfig,
    optim::{AdamConfig, GradientsParams},
    tensor::{Int, Tensor, TensorData},
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

/// A batch of samples with a class each.
pub trait Labelled: 'static {
    /// The classes, `[batch]`.
    fn targets(&self) -> &Tensor<1, Int>;
}

/// A model that tells the class of each sample of a batch `B`.
pub trait Classifier<B>: Module {
    /// Logits, `[batch, classes]`.
    fn logits(&self, batch: &B) -> Tensor<2>;
}

/// What a training came to.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The model after its last step.
    pub model: M,
    /// Accuracy on the held-out rows after each epoch.
    pub accuracy: Vec<f64>,
    /// Wall time of the steps, without the evaluations.
    pub seconds: f64,
    /// Samples that went through a step, presentations counted.
    pub samples: u64,
}

impl<M> Trained<M> {
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
pub trait Step<B> {
    /// The samples and their classes.
    fn batch(&self) -> &B;

    /// The loss to differentiate, from the logits.
    fn loss(&self, logits: Tensor<2>) -> Tensor<1>;
}

/// A batch of burn's own loader, trained on as burn's users write it.
#[derive(Debug)]
pub struct Plain<B>(pub B);

impl<B: Labelled> Step<B> for Plain<B> {
    fn batch(&self) -> &B {
        &self.0
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, self.0.targets().clone())
    }
}

/// The same after plugging Arable in.
impl<B: Labelled> Step<B> for Curated<B> {
    fn batch(&self) -> &B {
        self
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        let losses = loss::cross_entropy(logits.clone(), self.targets().clone());
        self.settle(losses, Signals::classification(&logits, self.targets()))
    }
}

/// A curated batch whose training says nothing back: cleaning alone.
#[derive(Debug)]
pub struct Silent<B>(pub Curated<B>);

impl<B: Labelled> Step<B> for Silent<B> {
    fn batch(&self) -> &B {
        &self.0
    }

    fn loss(&self, logits: Tensor<2>) -> Tensor<1> {
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, self.0.targets().clone())
    }
}

/// Trains `model` on what `loader` yields, and measures it on `held` after each epoch.
///
/// # Errors
///
/// Whatever the loader fails with; a loader that yields another number of batches than the schedule has steps.
pub fn fit<O: 'static, B: Labelled, S: Step<B>, M: Classifier<B>>(
    mut model: M,
    loader: &Arc<dyn DataLoader<O>>,
    step: impl Fn(O) -> S,
    schedule: Schedule,
    held: &[B],
    progress: &Progress,
) -> Result<Trained<M>> {
    let mut optimiser = AdamConfig::new().init();
    let mut trained = Trained { model: model.clone(), accuracy: Vec::new(), seconds: 0.0, samples: 0 };
    for epoch in 0..schedule.epochs {
        let start = Instant::now();
        let mut steps = 0;
        for batch in loader.iter() {
            let batch = step(batch?);
            trained.samples += batch.batch().targets().dims()[0] as u64;
            let logits = model.logits(batch.batch());
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

/// The share of `held`, batches outside of autodiff, that `model` classifies rightly.
///
/// # Errors
///
/// A tensor that cannot be read back.
pub fn accuracy<B: Labelled, M: Classifier<B>>(model: &M, held: &[B]) -> Result<f64> {
    let model = model.valid();
    let (mut right, mut all) = (0, 0);
    for batch in held {
        let guesses = numbers(model.logits(batch).argmax(1).into_data())?;
        let targets = numbers(batch.targets().clone().into_data())?;
        all += targets.len();
        right += guesses.iter().zip(&targets).filter(|(guess, target)| guess == target).count();
    }
    Ok(right as f64 / all.max(1) as f64)
}

fn numbers(data: TensorData) -> Result<Vec<i64>> {
    Ok(data.convert::<i64>().try_to_vec::<i64>()?)
}
