//! A batch as a training step gets it: the user's own batch, with where its rows come from and what they weigh.
//!
//! [`Curated::settle`] closes the loop: it turns one loss a sample into the loss to differentiate, and sends the losses
//! and signals on their way back to the loader.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use arable_loader::{
    Position,
    stream::{Receipt, SampleSpan},
    value::Needs,
};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use crate::{
    Error, Signals,
    feedback::{Feedback, Said, Settled},
    loss::Losses,
    selection::{Picked, Scored, report_scored},
};

/// What the weighted sum of losses is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightNorm {
    /// What the mean without weights is divided by: the number of slots, Σ wᵢ lᵢ / B, or the losses' factors,
    /// Σ wᵢ fᵢ lᵢ / Σ fᵢ. With weights v/π it is unbiased (Horvitz–Thompson), and with weights of 1 it is the plain mean.
    #[default]
    Slots,
    /// The batch's own weights too: Σ wᵢ fᵢ lᵢ / Σ wᵢ fᵢ, and 0 where they sum to 0. Steadier steps and a small bias (Hájek).
    Sum,
}

/// A batch `B` of a curated stream. Its fields are reached through [`Deref`].
///
/// A batch that is dropped before it is settled is reported as "no signal".
pub struct Curated<B> {
    pub(crate) inner: B,
    /// None for a plain batch.
    pub(crate) slots: Option<Slots>,
}

/// What a batch of a run knows of its slots, and its way back.
pub(crate) struct Slots {
    pub(crate) number: u64,
    epoch: u32,
    /// Rows of the batch.
    pub(crate) slots: usize,
    pub(crate) positions: Arc<[Position]>,
    pub(crate) weights: Vec<f32>,
    spans: Option<Arc<[SampleSpan]>>,
    device: Device,
    pub(crate) feedback: Arc<Feedback>,
    padding: bool,
    /// Until the batch is settled; none from the start for one that only fills up.
    pub(crate) receipt: Mutex<Option<Receipt>>,
    /// What was scored and picked, once it was: reported in place of what is settled.
    pub(crate) picked: Option<Picked>,
}

impl<B> Curated<B> {
    /// A batch that is not part of a curated run, such as one of validation: every weight is 1, and nothing is reported.
    pub const fn plain(inner: B) -> Self {
        Self { inner, slots: None }
    }

    /// The loader's `batch`, which `inner` was made of on `device`.
    pub(crate) fn new(inner: B, origin: Origin, device: Device, feedback: Arc<Feedback>) -> Self {
        let Origin { number, epoch, slots, positions, weights, spans, receipt } = origin;
        let padding = receipt.is_none();
        let receipt = Mutex::new(receipt);
        let slots =
            Slots { number, epoch, slots, positions, weights, spans, device, feedback, padding, receipt, picked: None };
        Self { inner, slots: Some(slots) }
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

    /// Whether the batch only fills up the last round of several devices: its weights are 0, and nothing is reported.
    pub fn is_padding(&self) -> bool {
        self.slots.as_ref().is_some_and(|slots| slots.padding)
    }

    /// Where each sample lies, slot by slot, where slots are packed; `None` where sample i is slot i.
    pub fn spans(&self) -> Option<&[SampleSpan]> {
        self.slots.as_ref()?.spans.as_deref()
    }

    /// The losses of the samples from those of the tokens, `[slots, tokens]`, in a packed batch: each sample's loss is
    /// the mean over its tokens, and its factor how much these count together, so that the mean is that over all tokens.
    /// `counts`, of the same shape, says how much each token counts; what is no sample's, such as padding, counts
    /// nothing in any case.
    ///
    /// Without packing each row is a sample.
    ///
    /// # Panics
    ///
    /// If the tensors differ in shape, or the batch has another number of slots or shorter ones.
    #[must_use]
    pub fn of_tokens(&self, losses: Tensor<2>, counts: Tensor<2>) -> Losses {
        let [slots, tokens] = losses.dims();
        self.of_owned(losses, counts, &self.owners(slots, tokens))
    }

    /// As [`of_tokens`](Self::of_tokens), of a model that says at each token what the next one is: `losses` and `counts`
    /// are `[slots, tokens − 1]`, and what stands at place t is of token t + 1.
    ///
    /// It belongs to the sample of token t + 1. A sample's first token in a packed slot counts nothing, because what
    /// stands before it is another sample's; a sample with no other token has the loss 0 and the factor 0.
    ///
    /// # Panics
    ///
    /// As [`of_tokens`](Self::of_tokens) does.
    #[must_use]
    pub fn of_next_tokens(&self, losses: Tensor<2>, counts: Tensor<2>) -> Losses {
        let [slots, places] = losses.dims();
        let tokens = places + 1;
        let mut owners = self.owners(slots, tokens);
        let nobody = self.spans().map_or(slots, <[SampleSpan]>::len) as i64;
        for span in self.spans().unwrap_or_default() {
            owners[span.slot as usize * tokens + span.start as usize] = nobody;
        }
        let owners: Vec<_> = owners.chunks(tokens).flat_map(|slot| slot[1..].iter().copied()).collect();
        self.of_owned(losses, counts, &owners)
    }

    fn of_owned(&self, losses: Tensor<2>, counts: Tensor<2>, owners: &[i64]) -> Losses {
        let [slots, tokens] = losses.dims();
        assert!(counts.dims() == [slots, tokens], "losses {:?} and counts {:?}", losses.dims(), counts.dims());
        let samples = self.spans().map_or(slots, <[SampleSpan]>::len);
        let owners = Tensor::<1, Int>::from_ints(owners, &losses.device());
        let sum = |of: Tensor<2>| {
            // The last place takes what belongs to no sample.
            let zeros = Tensor::<1>::zeros([samples + 1], &of.device());
            let all = zeros.scatter(0, owners.clone(), of.reshape([slots * tokens]), IndexingUpdateOp::Add);
            all.narrow(0, 0, samples)
        };
        let counts = counts.detach();
        let counted = sum(counts.clone());
        let none = counted.clone().equal_scalar(0);
        Losses::with_factors(sum(losses * counts) / counted.clone().mask_fill(none, 1), counted)
    }

    /// Of each token, the sample that it belongs to; one past the last where it belongs to none.
    fn owners(&self, slots: usize, tokens: usize) -> Vec<i64> {
        let Some(spans) = self.spans() else {
            return (0..slots as i64).flat_map(|slot| std::iter::repeat_n(slot, tokens)).collect();
        };
        let mut owners = vec![spans.len() as i64; slots * tokens];
        for (sample, span) in (0..).zip(spans) {
            let start = span.slot as usize * tokens + span.start as usize;
            owners[start..start + span.length as usize].fill(sample);
        }
        owners
    }

    /// Where each sample's row stands in the plan, slot by slot; empty for a plain batch.
    pub fn positions(&self) -> &[Position] {
        self.slots.as_ref().map_or(&[], |slots| &slots.positions)
    }

    /// The factor on each sample's loss, `[samples]`, on the batch's device: a constant, through which no gradient flows.
    ///
    /// For a plain batch a single 1, on the default device, which broadcasts.
    pub fn weights(&self) -> Tensor<1> {
        match &self.slots {
            Some(slots) => Tensor::from_floats(slots.weights.as_slice(), &slots.device),
            None => Tensor::ones([1], &Device::default()),
        }
    }

    /// The weighted mean Σ wᵢ lᵢ / B of one loss a sample (a slot, or a span of one that is
    /// packed), as the scalar `[1]` to call `backward` on; the losses and
    /// `signals` are on their way back to the loader.
    ///
    /// `losses` is `[samples]`: unweighted, and not reduced; or [`Losses`] with factors (class weights, numbers of
    /// tokens), of which the mean is Σ wᵢ fᵢ lᵢ / Σ fᵢ. Nothing is read on this thread. Where all weights are 1 this is
    /// the losses' own mean and adds nothing to the graph. Settling a batch again weighs the losses again but reports
    /// nothing. A plain batch gives the losses' own mean.
    ///
    /// # Errors
    ///
    /// A training step cannot return an error. So with another number of losses or signals than samples, this returns 0,
    /// with gradients of 0, reports no signal, and the loader's iterator yields [`Error::Mismatch`] instead of its next
    /// batch, which ends the training. The same holds of [`Error::Unselected`] and [`Error::Unheard`].
    #[must_use = "the gradients come from this loss"]
    pub fn settle(&self, losses: impl Into<Losses>, signals: Signals) -> Tensor<1> {
        self.settle_with(losses, signals, WeightNorm::default())
    }

    /// As [`settle`](Self::settle), with the denominator chosen.
    #[must_use = "the gradients come from this loss"]
    pub fn settle_with(&self, losses: impl Into<Losses>, signals: Signals, norm: WeightNorm) -> Tensor<1> {
        let losses = losses.into();
        let Some(slots) = &self.slots else {
            return losses.mean();
        };
        let receipt = slots.receipt.lock().unwrap_or_else(PoisonError::into_inner).take();
        slots.feedback.remembered();
        if let Err(error) = slots.check(&losses, &signals) {
            slots.feedback.fault(error);
            // A sum of zeros that keeps the graph, so that the step's `backward` still works.
            return losses.per_sample().mul_scalar(0.0).sum();
        }
        if let Some(receipt) = receipt {
            let (trained, needs) = match &slots.picked {
                Some(Picked { picks, scores: Scored::All(signals) }) => {
                    report_scored(receipt, signals, picks);
                    return slots.reduce(losses, norm);
                }
                Some(Picked { picks, scores: Scored::None(needs) }) => (Some(picks.clone()), *needs),
                None if receipt.needs().is_some() => {
                    slots.feedback.fault(Error::Unselected { batch: slots.number });
                    return losses.per_sample().mul_scalar(0.0).sum();
                }
                None => (None, Needs::default()),
            };
            let said = Said::of(&losses, signals, needs.el2n);
            if !said.has(needs) {
                slots.feedback.fault(Error::Unheard { batch: slots.number });
                return losses.per_sample().mul_scalar(0.0).sum();
            }
            slots.feedback.send(Settled { receipt, trained, said });
        }
        slots.reduce(losses, norm)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.receipt.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.feedback.forgotten();
        }
    }
}

impl Slots {
    pub(crate) fn check(&self, losses: &Losses, signals: &Signals) -> Result<(), Error> {
        let slots = self.weights.len();
        let mismatch = |what, found| Error::Mismatch { batch: self.number, what, found, slots };
        let (found, factors) = losses.lengths();
        if found != slots {
            return Err(mismatch("losses", found));
        }
        if let Some(found) = factors.filter(|&found| found != slots) {
            return Err(mismatch("factors", found));
        }
        match signals.len() {
            Some(found) if found != slots => Err(mismatch("signals", found)),
            _ => Ok(()),
        }
    }

    fn reduce(&self, losses: Losses, norm: WeightNorm) -> Tensor<1> {
        if self.weights.iter().all(|&weight| weight == 1.0) {
            return losses.mean();
        }
        let like = losses.per_sample();
        let weights = TensorData::from(self.weights.as_slice());
        let weights = Tensor::from_data(weights, (&like.device(), like.dtype()));
        losses.weighted_mean(Some(weights), norm == WeightNorm::Sum)
    }
}

/// What a loader's batch says of itself, without its data. Without a receipt it only fills up.
pub(crate) struct Origin {
    pub(crate) number: u64,
    pub(crate) epoch: u32,
    pub(crate) slots: usize,
    pub(crate) positions: Arc<[Position]>,
    pub(crate) weights: Vec<f32>,
    pub(crate) spans: Option<Arc<[SampleSpan]>>,
    pub(crate) receipt: Option<Receipt>,
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
            debug.field("number", &slots.number).field("epoch", &slots.epoch).field("slots", &slots.slots);
        }
        debug.finish_non_exhaustive()
    }
}
