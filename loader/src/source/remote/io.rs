//! The one thread that requests run on.

use crate::{Error, Result};
use std::{future::Future, sync::mpsc};
use tokio::runtime::{Builder, Handle, Runtime};

/// A thread with an event loop. Dropped, it ends without waiting for requests that are under way.
#[derive(Debug)]
pub(super) struct Io(Option<Runtime>, Handle);

impl Io {
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("arable-io")
            .enable_all()
            .build()
            .map_err(Error::io("start", "the I/O thread"))?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.1.spawn(task));
    }

    pub(super) fn wait<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Result<T> {
        wait(&self.1, task)
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.1
    }
}

/// Runs `task` on the I/O thread and waits for it, also where the caller is itself within somebody's event loop.
pub(super) fn wait<T: Send + 'static>(handle: &Handle, task: impl Future<Output = T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    drop(handle.spawn(async move { drop(sender.send(task.await)) }));
    receiver.recv().map_err(|_| Error::State("the I/O thread has ended".into()))
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
