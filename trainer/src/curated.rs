//! A batch as a training step gets it: the user's own batch, with where its rows come from and what they weigh.
//!
//! [`Curated::settle`] closes the loop: it turns one loss a sample into the loss to differentiate, and sends the losses
//! and signals on their way back to the loader.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use arable_loader::{Position, stream::Receipt};
use burn::tensor::{Device, Tensor, TensorData};

use crate::{
    Error, Signals,
    feedback::{Feedback, Settled},
};

/// What the weighted sum of losses is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightNorm {
    /// The number of slots in the batch: Σ wᵢ lᵢ / B. With weights v/π it is unbiased (Horvitz–Thompson), and with
    /// weights of 1 it is the plain mean.
    #[default]
    Slots,
    /// The batch's own weights: Σ wᵢ lᵢ / Σ wᵢ, and 0 where they sum to 0. Steadier steps and a small bias (Hájek).
    Sum,
}

/// A batch `B` of a curated stream. Its fields are reached through [`Deref`].
///
/// A batch that is dropped before it is settled is reported as "no signal".
pub struct Curated<B> {
    inner: B,
    /// None for a plain batch.
    slots: Option<Slots>,
}

/// What a batch of a run knows of its slots, and its way back.
struct Slots {
    number: u64,
    epoch: u32,
    positions: Arc<[Position]>,
    weights: Vec<f32>,
    device: Device,
    feedback: Arc<Feedback>,
    /// Until the batch is settled.
    receipt: Mutex<Option<Receipt>>,
}

impl<B> Curated<B> {
    /// A batch that is not part of a curated run, such as one of validation: every weight is 1, and nothing is reported.
    pub const fn plain(inner: B) -> Self {
        Self { inner, slots: None }
    }

    /// The loader's `batch`, which `inner` was made of on `device`.
    pub(crate) fn new(inner: B, origin: Origin, device: Device, feedback: Arc<Feedback>) -> Self {
        let Origin { number, epoch, positions, weights, receipt } = origin;
        let receipt = Mutex::new(Some(receipt));
        Self { inner, slots: Some(Slots { number, epoch, positions, weights, device, feedback, receipt }) }
    }

    /// The user's own batch. One that was not settled before is reported as "no signal".
    pub fn into_inner(self) -> B {
        self.inner
    }

    /// The number of the batch over the whole run, counted from 0; 0 for a plain batch.
    pub fn number(&self) -> u64 {
        self.slots.as_ref().map_or(0, |slots| slots.number)
    }

    /// The pass over the data that the batch belongs to, counted from 0 by the loader; 0 for a plain batch.
    pub fn epoch(&self) -> u32 {
        self.slots.as_ref().map_or(0, |slots| slots.epoch)
    }

    /// Where each slot's row stands in the plan, in slot order; empty for a plain batch.
    pub fn positions(&self) -> &[Position] {
        self.slots.as_ref().map_or(&[], |slots| &slots.positions)
    }

    /// The factor on each slot's loss, `[batch]`, on the batch's device: a constant, through which no gradient flows.
    ///
    /// For a plain batch a single 1, on the default device, which broadcasts.
    pub fn weights(&self) -> Tensor<1> {
        match &self.slots {
            Some(slots) => Tensor::from_floats(slots.weights.as_slice(), &slots.device),
            None => Tensor::ones([1], &Device::default()),
        }
    }

    /// The weighted mean Σ wᵢ lᵢ / B of one loss a slot, as the scalar `[1]` to call `backward` on; the losses and
    /// `signals` are on their way back to the loader.
    ///
    /// `losses` is `[batch]`: unweighted, and not reduced. Nothing is read on this thread. Where all weights are 1 this
    /// is `losses.mean()` and adds nothing to the graph. Settling a batch again weighs the losses again but reports
    /// nothing. A plain batch gives the plain mean.
    ///
    /// # Errors
    ///
    /// A training step cannot return an error. So with another number of losses or signals than slots, this returns 0,
    /// with gradients of 0, reports no signal, and the loader's iterator yields [`Error::Mismatch`] instead of its next
    /// batch, which ends the training.
    #[must_use = "the gradients come from this loss"]
    pub fn settle(&self, losses: Tensor<1>, signals: Signals) -> Tensor<1> {
        self.settle_with(losses, signals, WeightNorm::default())
    }

    /// As [`settle`](Self::settle), with the denominator chosen.
    #[must_use = "the gradients come from this loss"]
    pub fn settle_with(&self, losses: Tensor<1>, signals: Signals, norm: WeightNorm) -> Tensor<1> {
        let Some(slots) = &self.slots else {
            return losses.mean();
        };
        let receipt = slots.receipt.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Err(error) = slots.check(&losses, &signals) {
            slots.feedback.fault(error);
            // A sum of zeros that keeps the graph, so that the step's `backward` still works.
            return losses.mul_scalar(0.0).sum();
        }
        if let Some(receipt) = receipt {
            let losses = losses.clone().without_autodiff();
            slots.feedback.send(Settled { receipt, losses, classes: signals.into_rows() });
        }
        slots.reduce(losses, norm)
    }
}

impl Slots {
    fn check(&self, losses: &Tensor<1>, signals: &Signals) -> Result<(), Error> {
        let slots = self.weights.len();
        let mismatch = |what, found| Error::Mismatch { batch: self.number, what, found, slots };
        let [found] = losses.dims();
        if found != slots {
            return Err(mismatch("losses", found));
        }
        match signals.len() {
            Some(found) if found != slots => Err(mismatch("signals", found)),
            _ => Ok(()),
        }
    }

    fn reduce(&self, losses: Tensor<1>, norm: WeightNorm) -> Tensor<1> {
        if self.weights.iter().all(|&weight| weight == 1.0) {
            return losses.mean();
        }
        let weights = TensorData::from(self.weights.as_slice());
        let weights = Tensor::from_data(weights, (&losses.device(), losses.dtype()));
        let weighted = losses * weights;
        match norm {
            WeightNorm::Slots => weighted.mean(),
            WeightNorm::Sum => {
                let sum: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
                weighted.sum() / if sum > 0.0 { sum } else { 1.0 }
            }
        }
    }
}

/// What a loader's batch says of itself, without its data.
pub(crate) struct Origin {
    pub(crate) number: u64,
    pub(crate) epoch: u32,
    pub(crate) positions: Arc<[Position]>,
    pub(crate) weights: Vec<f32>,
    pub(crate) receipt: Receipt,
}

impl<B> Deref for Curated<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.inner
    }
}

impl<B: fmt::Debug> fmt::Debug for Curated<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Curated");
        debug.field("inner", &self.inner);
        if let Some(slots) = &self.slots {
            debug.field("number", &slots.number).field("epoch", &slots.epoch).field("slots", &slots.weights.len());
        }
        debug.finish_non_exhaustive()
    }
}
