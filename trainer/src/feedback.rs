//! The way back: one thread a run that reads losses and signals from the device and hands them to the loader.
//!
//! One persistent thread, because on CubeCL backends each thread that touches a device gets a stream and a memory pool
//! of its own that are never given back. What cannot be read is "no signal", never the end of a training. Knows nothing
//! of burn's data traits, nor of what the loader makes of a signal.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
};

use arable_loader::{ClassSignal, Signal, stream::Receipt};
use burn::tensor::{Tensor, TensorData, Transaction};
use crossbeam::channel::{self, Sender};

use crate::{Error, error::BoxError};

/// Settled batches that may wait to be read. Each holds its losses and signals on the device; a full channel makes
/// `settle` wait.
const WAITING: usize = 32;

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
        let (sender, receiver) = channel::bounded(WAITING);
        let thread = std::thread::Builder::new().name("arable-feedback".into()).spawn(move || {
            for message in receiver {
                match message {
                    Message::Settled(settled) => settled.report(),
                    Message::Drain(done) => drop(done),
                }
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

    /// Sends a batch on its way; waits only while [`WAITING`] others are unread.
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
            settled.report();
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

impl Settled {
    /// Reads the tensors and reports; whatever fails drops the receipt, which the loader takes for "no signal".
    fn report(self) {
        let Self { receipt, losses, classes } = self;
        let batch = receipt.batch();
        // A backend may panic where another returns an error, and one batch must not end the reports of all others.
        let signals = catch_unwind(AssertUnwindSafe(|| read(losses, classes)))
            .unwrap_or_else(|_| Err("the device panicked while the losses were read".into()));
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

pub(crate) fn no_signal(batch: u64, error: &dyn std::fmt::Display) {
    tracing::warn!(batch, %error, "a batch is reported without a signal");
}

/// Both tensors in one transaction, so that the device is waited for once.
fn read(losses: Tensor<1>, classes: Option<Tensor<2>>) -> Result<Vec<Signal>, BoxError> {
    let mut transaction = Transaction::default().register(losses);
    if let Some(classes) = classes {
        transaction = transaction.register(classes);
    }
    let mut data = transaction.try_execute()?.into_iter();
    let losses = data.next().map(floats).transpose()?.unwrap_or_default();
    let classes = data.next().map(floats).transpose()?;

    Ok(signals(losses, classes))
}

/// One signal a loss; `classes` has three numbers for each, as `Signals` lays them out.
pub(crate) fn signals(losses: Vec<f32>, classes: Option<Vec<f32>>) -> Vec<Signal> {
    match classes {
        None => losses.into_iter().map(|loss| Signal { loss, class: None }).collect(),
        Some(classes) => losses
            .into_iter()
            .zip(classes.as_chunks::<3>().0)
            .map(|(loss, &[logit_margin, probability_margin, probability])| Signal {
                loss,
                class: Some(ClassSignal { logit_margin, probability_margin, probability }),
            })
            .collect(),
    }
}

pub(crate) fn floats(data: TensorData) -> Result<Vec<f32>, BoxError> {
    Ok(data.try_cast_as::<f32>()?.try_into_vec::<f32>()?)
}
