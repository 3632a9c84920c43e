//! Who runs the sequencer: a thread of its own, ahead of the user, or the user's thread where nothing is ahead.
//!
//! A user who takes batches faster than they are made would only wait for the other thread, and to be woken by it takes
//! longer than to make a batch. So whoever needs batches and finds none makes them. They are made one after another, under
//! one lock, and what they hold does not depend on whose thread made them.

use super::{
    assemble::Assembler,
    meters::Meters,
    record::Entry,
    shared::{Item, lock},
};
use crate::{Error, Result};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Where the user was busy for less than this with what he was given last, the sequencer's thread is left asleep: it
/// would hardly be awake when he asks again.
const WORTH_WAKING: Duration = Duration::from_micros(200);

/// The sequencer, and the batches that it has made ahead.
#[derive(Debug)]
pub(super) struct Sequencer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
    /// When the user was given batches last.
    given: Option<Instant>,
}

/// What both threads share.
#[derive(Debug)]
struct Desk {
    /// Whoever holds it makes the next batches; what he made is queued, or given to the user, before he lets go.
    assembler: Mutex<Box<Assembler>>,
    queue: Mutex<Queue>,
    /// Told when there is room in the queue, or nothing more to be done.
    room: Condvar,
    /// The most that is made ahead, in messages.
    capacity: usize,
    /// The most batches in a message.
    together: usize,
    meters: Arc<Meters>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Batches that are there already cross to the user's thread together: to wake it costs more than to make one.
    messages: VecDeque<Vec<Result<Item>>>,
    /// Whether there is nothing more to be made, and if so, whether the sequencer failed.
    end: Option<bool>,
    /// Whether the user found nothing and waits for the assembler: it is his turn, then, since a lock alone may as well go
    /// back to whoever has just let go of it.
    wanted: bool,
    /// Whether the user has gone.
    closed: bool,
}

impl Sequencer {
    /// Starts making batches, up to `capacity` messages of `together` batches ahead of the user.
    pub(super) fn start(
        assembler: Box<Assembler>,
        capacity: usize,
        together: usize,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let (assembler, queue) = (Mutex::new(assembler), Mutex::default());
        let desk = Arc::new(Desk { assembler, queue, room: Condvar::new(), capacity, together, meters });
        let ahead = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("arable-sequencer".into()).spawn(move || ahead.run_ahead());
        let thread = thread.map_err(Error::io("start", "the sequencer's thread"))?;
        Ok(Self { desk, thread: Some(thread), given: None })
    }

    /// The next batches, in order; `None` once there are no more. The last of them may be what went wrong.
    pub(super) fn next(&mut self) -> Option<Vec<Result<Item>>> {
        let busy = self.given.map_or(Duration::MAX, |given| given.elapsed());
        let items = self.desk.take().unwrap_or_else(|| {
            let mut assembler = lock(&self.desk.assembler);
            // The other thread may have made some before it let go.
            self.desk.take().unwrap_or_else(|| {
                let (items, end) = self.desk.make(&mut assembler);
                let mut queue = lock(&self.desk.queue);
                (queue.end, queue.wanted) = (end, false);
                items
            })
        });
        if busy >= WORTH_WAKING {
            self.desk.room.notify_one();
        }
        self.given = Some(Instant::now());
        (!items.is_empty()).then_some(items)
    }

    /// Ends its thread. What was decided since the last batch that was made, and whether the sequencer failed.
    pub(super) fn close(mut self) -> (Vec<Entry>, bool) {
        self.end();
        let failed = lock(&self.desk.queue).end.unwrap_or(false);
        (lock(&self.desk.assembler).take_entries(), failed)
    }

    fn end(&mut self) {
        lock(&self.desk.queue).closed = true;
        self.desk.room.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panics are caught where they happen.
            drop(thread.join());
        }
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Desk {
    /// What the sequencer's thread does.
    fn run_ahead(&self) {
        loop {
            let waiting = |queue: &mut Queue| {
                let full = queue.messages.len() >= self.capacity.max(1);
                !queue.closed && queue.end.is_none() && (full || queue.wanted)
            };
            let queue = Meters::time(&self.meters.wait_consumer, || {
                self.room.wait_while(lock(&self.queue), waiting).unwrap_or_else(PoisonError::into_inner)
            });
            if queue.closed || queue.end.is_some() {
                return;
            }
            drop(queue);
            let mut assembler = lock(&self.assembler);
            // The user may have come to the end meanwhile.
            if lock(&self.queue).end.is_some() {
                return;
            }
            let (items, end) = self.make(&mut assembler);
            // At once: who sees the end must not miss what came before it.
            let mut queue = lock(&self.queue);
            queue.end = end;
            if !items.is_empty() {
                queue.messages.push_back(items);
            }
        }
    }

    /// What was made ahead, or nothing at all once there is no more; `None` where more is to be made, and wanted.
    fn take(&self) -> Option<Vec<Result<Item>>> {
        let mut queue = lock(&self.queue);
        let items = queue.messages.pop_front();
        let items = items.or_else(|| queue.end.map(|_| Vec::new()));
        queue.wanted = items.is_none();
        items
    }

    /// Makes the next batches: one, and what can be had after it without waiting. With them, [`Queue::end`] after that.
    fn make(&self, assembler: &mut Assembler) -> (Vec<Result<Item>>, Option<bool>) {
        let mut items = Vec::with_capacity(self.together);
        // Nothing is held back while the sequencer waits, be it for a report on one of them.
        let end = loop {
            let next = catch_unwind(AssertUnwindSafe(|| assembler.next()));
            match next
                .unwrap_or_else(|_| Err(Error::State("the sequencer panicked; this is a fault of Arable's".into())))
            {
                Ok(Some(item)) => items.push(Ok(item)),
                Ok(None) => break Some(false),
                Err(fault) => {
                    items.push(Err(fault));
                    break Some(true);
                }
            }
            if items.len() >= self.together || !assembler.at_hand() {
                break None;
            }
        };
        (items, end)
    }
}
