//! A few threads that work for the sequencer: whoever asked waits for his own result, so that nothing depends on which
//! thread was faster.

use crate::{Error, Result};
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use std::thread::JoinHandle;

type Task = Box<dyn FnOnce() + Send>;

/// Threads that take tasks in the order in which they come.
pub(super) struct Pool {
    tasks: Option<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads` threads; with 0, tasks are done by who asks.
    pub(super) fn start(threads: usize) -> Result<Self> {
        let (tasks, inbox) = unbounded::<Task>();
        let spawn = |index: usize| {
            let inbox = inbox.clone();
            std::thread::Builder::new()
                .name(format!("arable-transform-{index}"))
                .spawn(move || inbox.into_iter().for_each(|task| task()))
                .map_err(Error::io("start", format!("transform thread {index}")))
        };
        let threads: Vec<JoinHandle<()>> = (0..threads).map(spawn).collect::<Result<_>>()?;
        Ok(Self { tasks: (!threads.is_empty()).then_some(tasks), threads })
    }

    /// Does `work`, here or on a thread.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Later<T> {
        let Some(tasks) = &self.tasks else { return Later::Now(work()) };
        let (sender, receiver) = bounded(1);
        // Nobody may want the result any more: then there is nobody to tell.
        let task = move || drop(sender.send(work()));
        drop(tasks.send(Box::new(task)));
        Later::Then(receiver)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
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
            Self::Then(receiver) => receiver
                .recv()
                .unwrap_or_else(|_| Err(Error::State("a transform's thread ended before its work".into()))),
        }
    }
}
