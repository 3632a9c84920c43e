//! The way back: one thread a run that reads losses and signals from the device and hands them to the loader.
//!
//! One persistent thread, because on CubeCL backends each thread that touches a device gets a stream and a memory pool
//! of its own that are never given back. It reads all that waits at once, so that a device which is behind is waited for
//! once and not once a batch. What cannot be read is "no signal", never the end of a training. Knows nothing of burn's
//! data traits, nor of what the loader makes of a signal.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use arable_loader::{
    ClassSignal, Pick, Signal,
    stream::Receipt,
    value::{Needs, Scored},
};
use burn::tensor::{Tensor, TensorData, Transaction};
use crossbeam::channel::{self, Sender};

use crate::{
    Error, Signals,
    error::BoxError,
    loss::Losses,
    signals::{Classes, of_numbers, of_row},
};

/// Messages that are read in one transaction at most.
const TOGETHER: usize = 64;

/// What a model says of a batch, to be read. Tensors here are outside autodiff, so that no tape lives on with them.
pub(crate) struct Said {
    /// `[slots]`.
    losses: Tensor<1>,
    classes: Option<Classes>,
    /// Of gradients, `[slots]`.
    norms: Option<Tensor<1>>,
}

impl Said {
    /// These losses and signals, with gradients' norms where they are asked for and can be had.
    pub(crate) fn of(losses: &Losses, signals: Signals, with_norms: bool) -> Self {
        let norms = if with_norms { signals.gradient_norms().map(Tensor::without_autodiff) } else { None };
        Self { losses: losses.per_sample().without_autodiff(), classes: signals.into_classes(), norms }
    }

    /// Whether it says what is needed of rows that were trained without a score.
    pub(crate) fn has(&self, needs: Needs) -> bool {
        (!needs.el2n || self.norms.is_some()) && (!needs.class || self.classes.is_some())
    }
}

/// What a settled batch sends back.
pub(crate) struct Settled {
    pub(crate) receipt: Receipt,
    /// Which rows of a super-batch it was, where these were picked without a score.
    pub(crate) trained: Option<Vec<Pick>>,
    pub(crate) said: Said,
}

enum Message {
    /// In order.
    Settled(Vec<Settled>),
    /// Answered when everything before it is done.
    Drain(Sender<()>),
}

/// A run's way back, shared by its loaders and its batches. Dropping the last of them waits until all is reported.
pub(crate) struct Feedback {
    /// None once closed, or where no thread could be had.
    sender: Option<Sender<Message>>,
    /// What was settled and is not sent yet.
    held: Mutex<Vec<Settled>>,
    /// How many may be held: waking a thread costs more than what it does for one batch.
    hold: usize,
    thread: Option<JoinHandle<()>>,
    /// What was read, to be let go by whoever settles next: memory of one thread that another lets go keeps both waiting
    /// for the allocator.
    read: Arc<Mutex<Vec<Said>>>,
    /// What a training step did wrong, which only the loader's next `next()` can tell burn.
    fault: Mutex<Option<Error>>,
    /// How many batches were dropped in place of being settled; [`SETTLED`] once one was settled.
    forgotten: AtomicU32,
}

/// As many batches may be looked at and dropped, before it is taken for a training step that forgets to settle them.
const FORGOTTEN: u32 = 16;
const SETTLED: u32 = u32::MAX;

impl Feedback {
    /// `hold` is how many batches later than it is settled one may be sent; at least 1, which is at once.
    pub(crate) fn start(hold: usize) -> Self {
        // Without a bound, so that no step waits for it. Each batch holds its losses and signals on the device, and where
        // draws depend on them the stream waits for reports that are `feedback_lag` batches late.
        let (sender, receiver) = channel::unbounded();
        let read = Arc::<Mutex<Vec<Said>>>::default();
        let done_with = Arc::clone(&read);
        let thread = std::thread::Builder::new().name("arable-feedback".into()).spawn(move || {
            let mut diverged = 0;
            while let Ok(first) = receiver.recv() {
                let (mut batches, mut drained) = (Vec::new(), Vec::new());
                for message in std::iter::once(first).chain(receiver.try_iter()).take(TOGETHER) {
                    match message {
                        Message::Settled(settled) => batches.extend(settled),
                        Message::Drain(done) => drained.push(done),
                    }
                }
                let tensors = report(batches, &mut diverged);
                lock(&done_with).extend(tensors);
                drop(drained);
            }
        });
        match thread {
            Ok(thread) => Self {
                sender: Some(sender),
                held: Mutex::default(),
                hold,
                thread: Some(thread),
                read,
                fault: Mutex::default(),
                forgotten: AtomicU32::default(),
            },
            Err(error) => {
                tracing::warn!(%error, "no thread for the feedback: each step reads its own losses, and waits for them");
                Self {
                    sender: None,
                    held: Mutex::default(),
                    hold: 1,
                    thread: None,
                    read,
                    fault: Mutex::default(),
                    forgotten: AtomicU32::default(),
                }
            }
        }
    }

    /// Sends a batch on its way, and waits for nothing.
    pub(crate) fn send(&self, settled: Settled) {
        if let Err(error) = settled.said.losses.device().flush() {
            no_signal(settled.receipt.batch(), &error);
            return;
        }
        drop(std::mem::take(&mut *lock(&self.read)));
        let mut held = self.held();
        held.push(settled);
        if held.len() >= self.hold {
            self.send_all(&mut held);
        }
    }

    /// Sends all that is held, if its first is `hold` batches older than `next`, the last that is about to be waited for:
    /// the draw of that one may wait for it.
    pub(crate) fn send_late(&self, next: u64) {
        let mut held = self.held();
        if held.first().is_some_and(|first| first.receipt.batch() + self.hold as u64 <= next) {
            self.send_all(&mut held);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Settled>> {
        lock(&self.held)
    }

    /// Under the lock, so that reports keep their order.
    fn send_all(&self, held: &mut Vec<Settled>) {
        let settled = std::mem::take(held);
        let unsent = match &self.sender {
            Some(sender) => sender.send(Message::Settled(settled)).err().map(|unsent| unsent.0),
            None => Some(Message::Settled(settled)),
        };
        if let Some(Message::Settled(settled)) = unsent {
            drop(report(settled, &mut 0));
        }
    }

    /// Waits until everything that was sent so far is reported.
    pub(crate) fn drain(&self) {
        self.send_all(&mut self.held());
        let (done, waiting) = channel::bounded(0);
        if let Some(sender) = &self.sender
            && sender.send(Message::Drain(done)).is_ok()
        {
            // Nothing is ever sent: the thread drops its end, which ends the wait.
            let _closed = waiting.recv();
        }
        drop(std::mem::take(&mut *lock(&self.read)));
    }

    /// Keeps what a training step did wrong until the loader is asked for its next batch; the first fault counts.
    pub(crate) fn fault(&self, error: Error) {
        tracing::error!(%error, "the training ends at the next batch");
        lock(&self.fault).get_or_insert(error);
    }

    /// Takes note of a batch that was dropped and not settled. A training step may well do without `settle` and never be
    /// told that nothing is weighed, so a word is said where none of the first batches was settled.
    pub(crate) fn forgotten(&self) {
        let more = |count| (count < FORGOTTEN).then(|| count + 1);
        if self.forgotten.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) == Ok(FORGOTTEN - 1) {
            tracing::warn!(
                batches = FORGOTTEN,
                "none of the first batches was settled: weights are not applied and values learn nothing; call `settle` in \
                 the training step, and differentiate what it gives"
            );
        }
    }

    /// Takes note of a batch that was settled.
    pub(crate) fn remembered(&self) {
        if self.forgotten.load(Ordering::Relaxed) != SETTLED {
            self.forgotten.store(SETTLED, Ordering::Relaxed);
        }
    }

    pub(crate) fn take_fault(&self) -> Option<Error> {
        lock(&self.fault).take()
    }
}

impl Drop for Feedback {
    fn drop(&mut self) {
        self.send_all(&mut self.held());
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the feedback thread died: what it had not reported is no signal");
        }
    }
}

/// Locks without regard to a panic elsewhere: what the locks guard is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the batches' tensors and reports, in their order; whatever fails drops the receipt, which the loader takes for
/// "no signal". `diverged` counts the batches so far of which no loss was a finite number. Gives the tensors back.
fn report(batches: Vec<Settled>, diverged: &mut u64) -> Vec<Said> {
    let parts = batches.into_iter().map(|Settled { receipt, trained, said }| ((receipt, trained), said));
    let (receipts, said): (Vec<_>, Vec<_>) = parts.unzip();
    for ((receipt, trained), read) in receipts.into_iter().zip(read_all(&said)) {
        let batch = receipt.batch();
        match read {
            Ok(rows) => {
                if has_diverged(&rows.signals) {
                    *diverged += 1;
                    // A model of NaN stays one: a word at the first batch, and then ever more seldom.
                    if diverged.is_power_of_two() {
                        tracing::warn!(
                            batch,
                            batches = *diverged,
                            "no loss of this batch is a finite number: the model has most likely diverged; lower the \
                             learning rate, clip gradients, or look at the batch's rows. Such losses weigh nothing"
                        );
                    }
                }
                let reported = match trained {
                    None => receipt.report(&rows.signals),
                    Some(picks) => receipt.report_trained(&rows.scored(&[]), &picks),
                };
                if let Err(error) = reported {
                    no_signal(batch, &error);
                }
            }
            Err(error) => no_signal(batch, &error),
        }
    }
    said
}

/// What is said in each batch; neighbours of one device are read in one transaction.
fn read_all(said: &[Said]) -> Vec<Result<Rows, BoxError>> {
    let mut rows = Vec::with_capacity(said.len());
    for alike in said.chunk_by(|one, other| one.losses.device() == other.losses.device()) {
        match read_safely(alike) {
            Ok(read) => rows.extend(read.into_iter().map(Ok)),
            Err(error) if alike.len() == 1 => rows.push(Err(error)),
            // One batch must not end the reports of all others.
            Err(_) => {
                let each = |one| read_safely(std::slice::from_ref(one)).map(|mut read| read.pop().unwrap_or_default());
                rows.extend(alike.iter().map(each));
            }
        }
    }
    rows
}

/// A backend may panic where another returns an error.
fn read_safely(said: &[Said]) -> Result<Vec<Rows>, BoxError> {
    catch_unwind(AssertUnwindSafe(|| Ok(read(said, Vec::new())?.0)))
        .unwrap_or_else(|_| Err("the device panicked while the losses were read".into()))
}

/// Whether there are losses, and none is a finite number.
fn has_diverged(signals: &[Signal]) -> bool {
    !signals.is_empty() && signals.iter().all(|signal| !signal.loss.is_finite())
}

pub(crate) fn no_signal(batch: u64, error: &dyn std::fmt::Display) {
    tracing::warn!(batch, %error, "a batch is reported without a signal");
}

/// What was said of a batch's rows, on the host.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) signals: Vec<Signal>,
    norms: Option<Vec<f32>>,
}

impl Rows {
    /// As a selector wants it, with the alignments that belong to it, as many as there are.
    pub(crate) fn scored(&self, alignments: &[f32]) -> Vec<Scored> {
        let norm = |row: usize| self.norms.as_ref().and_then(|norms| norms.get(row).copied());
        let rows = self.signals.iter().enumerate();
        rows.map(|(row, &signal)| Scored { signal, el2n: norm(row), alignment: alignments.get(row).copied() }).collect()
    }
}

/// All tensors in one transaction, so that the device is waited for once: the rows of each batch, and the numbers of each
/// tensor `beside` them.
pub(crate) fn read(said: &[Said], beside: Vec<Tensor<1>>) -> Result<(Vec<Rows>, Vec<Vec<f32>>), BoxError> {
    let mut transaction = Transaction::default();
    for Said { losses, classes, norms } in said {
        transaction = transaction.register(losses.clone());
        transaction = match classes {
            None => transaction,
            Some(Classes::Rows(rows, labels, rivals)) => {
                transaction.register(rows.clone()).register(labels.clone()).register(rivals.clone())
            }
            Some(Classes::Logits(logits, labels)) => transaction.register(logits.clone()).register(labels.clone()),
        };
        if let Some(norms) = norms {
            transaction = transaction.register(norms.clone());
        }
    }
    let others = beside.len();
    for tensor in beside {
        transaction = transaction.register(tensor);
    }
    let mut data = transaction.try_execute()?.into_iter();
    let mut next = || data.next().ok_or_else(|| BoxError::from("the device gave fewer tensors than were asked for"));
    let rows = |said: &Said| {
        let losses = floats(next()?)?;
        let classes = classes(said.classes.as_ref(), &mut next)?;
        let norms = said.norms.as_ref().map(|_| floats(next()?)).transpose()?;
        let signals = match classes {
            None => losses.into_iter().map(|loss| Signal { loss, class: None }).collect(),
            Some(rows) => losses.into_iter().zip(rows).map(|(loss, row)| Signal { loss, class: Some(row) }).collect(),
        };
        Ok(Rows { signals, norms })
    };
    let rows = said.iter().map(rows).collect::<Result<Vec<_>, BoxError>>()?;
    let beside = (0..others).map(|_| floats(next()?)).collect::<Result<_, BoxError>>()?;
    Ok((rows, beside))
}

/// What a batch's logits say of its labels, from the `next` tensors that were read.
fn classes(
    classes: Option<&Classes>,
    mut next: impl FnMut() -> Result<TensorData, BoxError>,
) -> Result<Option<Vec<ClassSignal>>, BoxError> {
    match classes {
        None => Ok(None),
        Some(Classes::Rows(..)) => {
            let (rows, labels, rivals) = (floats(next()?)?, integers(next()?)?, integers(next()?)?);
            let rows = rows.as_chunks().0.iter().zip(labels.into_iter().zip(rivals));
            Ok(Some(rows.map(|(&numbers, (label, rival))| of_numbers(numbers, label, rival)).collect()))
        }
        Some(Classes::Logits(logits, _)) => {
            let (logits, width) = (floats(next()?)?, logits.dims()[1].max(1));
            let rows = logits.chunks_exact(width).zip(integers(next()?)?).zip(0..);
            let signal = |((row, label), slot): ((&[f32], i64), u32)| {
                let fault = || format!("label {label} in slot {slot} is none of the {width} classes of its logits");
                of_row(row, label).ok_or_else(|| BoxError::from(fault()))
            };
            rows.map(signal).collect::<Result<_, _>>().map(Some)
        }
    }
}

fn integers(data: TensorData) -> Result<Vec<i64>, BoxError> {
    Ok(data.try_cast_as::<i64>()?.try_into_vec::<i64>()?)
}

pub(crate) fn floats(data: TensorData) -> Result<Vec<f32>, BoxError> {
    Ok(data.try_cast_as::<f32>()?.try_into_vec::<f32>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_diverged_where_no_loss_is_a_number() {
        let signals = |losses: &[f32]| losses.iter().map(|&loss| Signal { loss, class: None }).collect::<Vec<_>>();
        assert!(has_diverged(&signals(&[f32::NAN, f32::INFINITY])));
        assert!(!has_diverged(&signals(&[f32::NAN, 0.5])));
        assert!(!has_diverged(&[]));
    }
}
