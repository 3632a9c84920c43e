//! Online selection: a super-batch of candidates is scored, and the rows that the policy picks are trained on.
//!
//! The forward pass over the candidates is the model's matter, and so is how a batch is cut down to some of its rows; the
//! choice is the loader's.

use std::sync::PoisonError;

use arable_loader::{
    Pick, Signal,
    stream::{Receipt, Scores, Unscored},
    value::{Gram, Needs},
};
use burn::tensor::{Int, Tensor, kind::Basic};

use crate::{
    Curated, Error, Signals,
    curated::Slots,
    error::BoxError,
    feedback::{self, Said, no_signal},
    loss::Losses,
};

/// A batch, or a part of one, that can be cut down to some of its rows.
pub trait SelectRows: Sized {
    /// The rows with these numbers, in this order; a number may come more than once.
    ///
    /// The numbers are below the rows that the batch has.
    #[must_use]
    fn select_rows(self, rows: &[usize]) -> Self;
}

/// Along the first dimension.
impl<const D: usize, K: Basic> SelectRows for Tensor<D, K> {
    fn select_rows(self, rows: &[usize]) -> Self {
        let rows: Vec<_> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &self.device());
        self.select(0, rows)
    }
}

impl<T: Clone> SelectRows for Vec<T> {
    fn select_rows(self, rows: &[usize]) -> Self {
        rows.iter().filter_map(|&row| self.get(row).cloned()).collect()
    }
}

impl SelectRows for () {
    fn select_rows(self, _: &[usize]) -> Self {}
}

impl<T: SelectRows> SelectRows for Option<T> {
    fn select_rows(self, rows: &[usize]) -> Self {
        self.map(|part| part.select_rows(rows))
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: SelectRows),+> SelectRows for ($($name,)+) {
            #[expect(non_snake_case, reason = "each part is called by its type")]
            fn select_rows(self, rows: &[usize]) -> Self {
                let ($($name,)+) = self;
                ($($name.select_rows(rows),)+)
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);

/// What was picked of a super-batch.
pub(crate) struct Picked {
    pub(crate) picks: Vec<Pick>,
    pub(crate) scores: Scored,
}

/// Whether the candidates were scored.
pub(crate) enum Scored {
    /// What was said of all of them.
    All(Vec<Signal>),
    /// The rows picked are heard of when they are settled, and these numbers are needed of them then.
    None(Needs),
}

/// Reports what was said of all candidates, which is on the host already.
pub(crate) fn report_scored(receipt: Receipt, signals: &[Signal], picks: &[Pick]) {
    let batch = receipt.batch();
    if let Err(error) = receipt.report_picked(signals, picks) {
        no_signal(batch, &error);
    }
}

impl<B: SelectRows> Curated<B> {
    /// The rows of a super-batch that are trained on, picked by the recipe's policy from what `score` says of all of them:
    /// their losses, and signals as [`settle`](Self::settle) takes them. Where the policy picks nothing (`uniform`, a plain
    /// batch), `score` is not called and the batch comes back as it is. Where it picks without scores, because they would not
    /// pay (`importance`) or it rests (`progressive_dropout` in its last epochs), `score` is not called either, and what is
    /// settled of the rows picked is reported.
    ///
    /// `score` runs the model forward over all candidates; nothing of it is trained, so run it on the model's
    /// `valid()` form, or accept that a graph is built and dropped. The mode of dropout
    /// and batch norm is then the scores' too. The scores are read here, in one go, which waits for the device: it is what
    /// online selection costs beside the forward pass.
    ///
    /// ```
    /// # use arable_trainer::{Curated, SelectRows, Signals, loss::cross_entropy};
    /// # use burn::{nn::Linear, tensor::{Int, Tensor}};
    /// fn step(model: &Linear, batch: Curated<(Tensor<2>, Tensor<1, Int>)>) -> Tensor<1> {
    ///     let batch = batch.select(|(x, y)| {
    ///         let logits = model.forward(x.clone());
    ///         (cross_entropy(logits.clone(), y.clone()), Signals::classification(&logits, y))
    ///     });
    ///     let (x, y) = &*batch;
    ///     let logits = model.forward(x.clone());
    ///     let losses = cross_entropy(logits.clone(), y.clone());
    ///     batch.settle(losses, Signals::classification(&logits, y))
    /// }
    /// ```
    ///
    /// Where candidates were scored, the report says that and what was picked; the losses that are settled of the picked
    /// rows are trained on, and not reported again.
    ///
    /// # Errors
    ///
    /// A training step cannot return an error. So where the scores are not as many as the rows, lack what the policy picks
    /// by, or cannot be read, this gives the batch as it is, without a report, and the loader's iterator yields
    /// [`Error::Selection`] or [`Error::Mismatch`] instead of its next batch, which ends the training. So does it, with
    /// [`Error::Unheard`], where a batch that was not scored is settled without the numbers that the policy remembers.
    #[must_use = "the picked rows are trained on"]
    pub fn select<L: Into<Losses>>(self, score: impl FnOnce(&B) -> (L, Signals)) -> Self {
        let Self { inner, slots } = self;
        let slots = match slots {
            Some(slots) if slots.selects() => slots,
            slots => return Self { inner, slots },
        };
        if let Some(Unscored { picks, needs }) = slots.unscored() {
            return slots.cut(inner, Picked { picks, scores: Scored::None(needs) });
        }
        let (losses, signals) = score(&inner);
        let losses = losses.into();
        let picked = slots.check(&losses, &signals).and_then(|()| {
            slots.pick(&losses, signals).map_err(|source| Error::Selection { batch: slots.number, source })
        });
        match picked {
            Ok((signals, picks)) => slots.cut(inner, Picked { picks, scores: Scored::All(signals) }),
            Err(error) => {
                slots.feedback.fault(error);
                drop(slots.receipt.lock().unwrap_or_else(PoisonError::into_inner).take());
                Self { inner, slots: Some(slots) }
            }
        }
    }
}

impl Slots {
    /// Whether the batch is a super-batch, of which nothing was picked yet.
    fn selects(&self) -> bool {
        let receipt = self.receipt.lock().unwrap_or_else(PoisonError::into_inner);
        self.picked.is_none() && receipt.as_ref().is_some_and(|receipt| receipt.needs().is_some())
    }

    /// The rows that are trained without a score, where none is asked for.
    fn unscored(&self) -> Option<Unscored> {
        self.receipt.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.unscored()
    }

    fn pick(&self, losses: &Losses, signals: Signals) -> Result<(Vec<Signal>, Vec<Pick>), BoxError> {
        let receipt = self.receipt.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((receipt, needs)) = receipt.as_ref().and_then(|receipt| Some((receipt, receipt.needs()?))) else {
            return Err("it was settled before".into());
        };
        let (aligned, alignments) = if needs.alignment { signals.alignments() } else { (None, None) };
        let gram = if needs.gram { signals.gram() } else { None };
        // All that the pick needs is read at once.
        let asked = [&alignments, &gram].map(Option::is_some);
        let beside = [alignments, gram].into_iter().flatten().collect();
        let said = Said::of(losses, signals, needs.el2n);
        let (mut rows, beside) = feedback::read(std::slice::from_ref(&said), beside)?;
        let mut beside = beside.into_iter();
        let [alignments, gram] = asked.map(|asked| if asked { beside.next() } else { None });
        let rows = rows.pop().unwrap_or_default();
        let scored = rows.scored(aligned.or(alignments).as_deref().unwrap_or_default());
        let scores = Scores::of(&scored);
        let picks = match &gram {
            Some(products) => receipt.select(scores.with_gram(Gram::new(products, scored.len())?))?,
            None => receipt.select(scores)?,
        };
        Ok((rows.signals, picks))
    }

    /// The rows of `inner` that were picked.
    fn cut<B: SelectRows>(mut self, inner: B, picked: Picked) -> Curated<B> {
        let picks = &picked.picks;
        let at = |pick: &Pick| pick.index as usize;
        let inner = inner.select_rows(&picks.iter().map(at).collect::<Vec<_>>());
        self.positions = picks.iter().filter_map(|pick| self.positions.get(at(pick)).copied()).collect();
        self.weights = picks.iter().filter_map(|pick| Some(pick.weight * self.weights.get(at(pick))?)).collect();
        self.slots = picks.len();
        self.picked = Some(picked);
        Curated { inner, slots: Some(self) }
    }
}
