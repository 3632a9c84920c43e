//! Tasks for the workers from the sequencer: whoever asked waits for his own result, so that nothing depends on which
//! thread was faster.
//!
//! A stream has one set of threads (`workers`), which takes tasks before blocks: what the consumer waits for comes first.

use crate::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

/// Something to be done by a thread.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// Hands tasks to the workers, who take them in the order in which they come.
pub(super) struct Pool {
    tasks: Sender<Task>,
    inbox: Receiver<Task>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool, and where the threads that work for it take their tasks from.
    pub(super) fn new() -> (Self, Receiver<Task>) {
        let (tasks, inbox) = unbounded();
        (Self { tasks, inbox: inbox.clone() }, inbox)
    }

    /// Has `work` done. It must not wait for another task: there may be a single thread.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Later<T> {
        let (sender, receiver) = bounded(1);
        // Nobody may want the result any more: then there is nobody to tell.
        let task = move || drop(sender.send(work()));
        drop(self.tasks.send(Box::new(task)));
        Later::Then(receiver)
    }

    /// Waits for `later`, and meanwhile does what no worker has come to: to sleep until another thread has done it, and to
    /// be woken, may take longer than to do it.
    pub(super) fn wait<T>(&self, later: Later<T>) -> Result<T> {
        while let Later::Then(receiver) = &later
            && receiver.is_empty()
            && let Ok(task) = self.inbox.try_recv()
        {
            task();
        }
        later.wait()
    }
}

/// A result that is there, or will be.
#[derive(Debug)]
pub(super) enum Later<T> {
    Now(Result<T>),
    Then(Receiver<Result<T>>),
}

impl<T> Later<T> {
    /// Waits for it.
    pub(super) fn wait(self) -> Result<T> {
        match self {
            Self::Now(result) => result,
            Self::Then(receiver) => {
                receiver.recv().unwrap_or_else(|_| Err(Error::State("a worker's thread ended before its task".into())))
            }
        }
    }
}
