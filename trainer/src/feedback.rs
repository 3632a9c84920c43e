//! The way back: one thread a run that reads losses and signals from the device and hands them to the loader.
//!
//! One persistent thread, because on CubeCL backends each thread that touches a device gets a stream and a memory pool
//! of its own that are never given back. It reads all that waits at once, so that a device which is behind is waited for
//! once and not once a batch. What cannot be read is "no signal", never the end of a training. Knows nothing of burn's
//! data traits, nor of what the loader makes of a signal.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

use arable_loader::{ClassSignal, Signal, stream::Receipt};
use burn::tensor::{Tensor, TensorData, Transaction};
use crossbeam::channel::{self, Sender};

use crate::{Error, error::BoxError};

/// Settled batches that are read in one transaction at most.
const TOGETHER: usize = 64;

/// What a settled batch sends back. Tensors here are outside autodiff, so that no tape lives on with them.
pub(crate) struct Settled {
    pub(crate) receipt: Receipt,
    /// `[slots]`.
    pub(crate) losses: Tensor<1>,
    /// `[slots, 3]`, as `Signals` lays them out.
    pub(crate) classes: Option<Tensor<2>>,
}

enum Message {
    Settled(Box<Settled>),
    /// Answered when everything before it is done.
    Drain(Sender<()>),
}

/// A run's way back, shared by its loaders and its batches. Dropping the last of them waits until all is reported.
pub(crate) struct Feedback {
    /// None once closed, or where no thread could be had.
    sender: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    /// What a training step did wrong, which only the loader's next `next()` can tell burn.
    fault: Mutex<Option<Error>>,
}

impl Feedback {
    pub(crate) fn start() -> Self {
        // Without a bound, so that no step waits for it. Each batch holds its losses and signals on the device, and where
        // draws depend on them the stream waits for reports that are `feedback_lag` batches late.
        let (sender, receiver) = channel::unbounded();
        let thread = std::thread::Builder::new().name("arable-feedback".into()).spawn(move || {
            while let Ok(first) = receiver.recv() {
                let (mut batches, mut drained) = (Vec::new(), Vec::new());
                for message in std::iter::once(first).chain(receiver.try_iter()).take(TOGETHER) {
                    match message {
                        Message::Settled(settled) => batches.push(*settled),
                        Message::Drain(done) => drained.push(done),
                    }
                }
                report(batches);
                drop(drained);
            }
        });
        match thread {
            Ok(thread) => Self { sender: Some(sender), thread: Some(thread), fault: Mutex::default() },
            Err(error) => {
                tracing::warn!(%error, "no thread for the feedback: each step reads its own losses, and waits for them");
                Self { sender: None, thread: None, fault: Mutex::default() }
            }
        }
    }

    /// Sends a batch on its way, and waits for nothing.
    pub(crate) fn send(&self, settled: Settled) {
        if let Err(error) = settled.losses.device().flush() {
            no_signal(settled.receipt.batch(), &error);
            return;
        }
        let message = Message::Settled(Box::new(settled));
        let unsent = match &self.sender {
            Some(sender) => sender.send(message).err().map(|unsent| unsent.0),
            None => Some(message),
        };
        if let Some(Message::Settled(settled)) = unsent {
            report(vec![*settled]);
        }
    }

    /// Waits until everything that was sent so far is reported.
    pub(crate) fn drain(&self) {
        let (done, waiting) = channel::bounded(0);
        if let Some(sender) = &self.sender
            && sender.send(Message::Drain(done)).is_ok()
        {
            // Nothing is ever sent: the thread drops its end, which ends the wait.
            let _closed = waiting.recv();
        }
    }

    /// Keeps what a training step did wrong until the loader is asked for its next batch; the first fault counts.
    pub(crate) fn fault(&self, error: Error) {
        tracing::error!(%error, "the training ends at the next batch");
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(crate) fn take_fault(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Feedback {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the feedback thread died: what it had not reported is no signal");
        }
    }
}

/// A batch's losses and classes, to be read.
type Tensors = (Tensor<1>, Option<Tensor<2>>);

/// Reads the batches' tensors and reports, in their order; whatever fails drops the receipt, which the loader takes for
/// "no signal".
fn report(batches: Vec<Settled>) {
    let parts = batches.into_iter().map(|Settled { receipt, losses, classes }| (receipt, (losses, classes)));
    let (receipts, tensors): (Vec<_>, Vec<_>) = parts.unzip();
    for (receipt, signals) in receipts.into_iter().zip(read_all(&tensors)) {
        let batch = receipt.batch();
        match signals {
            Ok(signals) => {
                if let Err(error) = receipt.report(&signals) {
                    no_signal(batch, &error);
                }
            }
            Err(error) => no_signal(batch, &error),
        }
    }
}

/// The signals of each batch; neighbours of one device are read in one transaction.
fn read_all(tensors: &[Tensors]) -> Vec<Result<Vec<Signal>, BoxError>> {
    let mut signals = Vec::with_capacity(tensors.len());
    for alike in tensors.chunk_by(|(one, _), (other, _)| one.device() == other.device()) {
        match read_safely(alike) {
            Ok(read) => signals.extend(read.into_iter().map(Ok)),
            Err(error) if alike.len() == 1 => signals.push(Err(error)),
            // One batch must not end the reports of all others.
            Err(_) => {
                let each =
                    |one| read_safely(std::slice::from_ref(one)).map(|read| read.into_iter().flatten().collect());
                signals.extend(alike.iter().map(each));
            }
        }
    }
    signals
}

/// A backend may panic where another returns an error.
fn read_safely(tensors: &[Tensors]) -> Result<Vec<Vec<Signal>>, BoxError> {
    catch_unwind(AssertUnwindSafe(|| read(tensors)))
        .unwrap_or_else(|_| Err("the device panicked while the losses were read".into()))
}

pub(crate) fn no_signal(batch: u64, error: &dyn std::fmt::Display) {
    tracing::warn!(batch, %error, "a batch is reported without a signal");
}

/// All tensors in one transaction, so that the device is waited for once.
fn read(tensors: &[Tensors]) -> Result<Vec<Vec<Signal>>, BoxError> {
    let mut transaction = Transaction::default();
    for (losses, classes) in tensors {
        transaction = transaction.register(losses.clone());
        if let Some(classes) = classes {
            transaction = transaction.register(classes.clone());
        }
    }
    let mut data = transaction.try_execute()?.into_iter();
    let mut next = || data.next().ok_or_else(|| BoxError::from("the device gave fewer tensors than were asked for"));
    tensors
        .iter()
        .map(|(_, classes)| {
            let losses = floats(next()?)?;
            let classes = classes.as_ref().map(|_| floats(next()?)).transpose()?;
            Ok(signals(losses, classes))
        })
        .collect()
}

/// One signal a loss; `classes` has three numbers for each, as `Signals` lays them out.
pub(crate) fn signals(losses: Vec<f32>, classes: Option<Vec<f32>>) -> Vec<Signal> {
    let Some(classes) = classes else {
        return losses.into_iter().map(|loss| Signal { loss, class: None }).collect();
    };
    let class = |&[logit_margin, probability_margin, probability]: &[f32; 3]| {
        Some(ClassSignal { logit_margin, probability_margin, probability })
    };
    let classes = classes.as_chunks().0.iter().map(class);
    losses.into_iter().zip(classes).map(|(loss, class)| Signal { loss, class }).collect()
}

pub(crate) fn floats(data: TensorData) -> Result<Vec<f32>, BoxError> {
    Ok(data.try_cast_as::<f32>()?.try_into_vec::<f32>()?)
}
