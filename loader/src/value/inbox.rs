//! The one door by which feedback enters: reports come in from any thread in any order, and leave in batch order.
//!
//! What leaves depends on the reports alone, never on when they came, as long as none is given up. The inbox knows
//! nothing of what a report says; the [`Table`](super::Table) checks and takes that in.

use crate::{Error, Report, Result};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Whether to wait for reports that have not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until every report asked for is there, or patience ends.
    ForAll,
    /// Not at all: take the reports up to the first that is missing. Which those are depends on time, so draws must
    /// not depend on them.
    No,
}

/// The reports of batches that were handed out and not yet taken.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    patience: Duration,
}

#[derive(Debug)]
struct State {
    /// The first batch not yet taken; `slots[i]` is that of batch `taken + i`.
    taken: u64,
    /// One slot for every batch handed out and not yet taken, in batch order.
    slots: VecDeque<Option<Report>>,
    /// The batches below this one that were taken without a report are those that patience ended for.
    given_up_below: u64,
    waiting_for: Option<u64>,
    /// How many wait for a report, and for each who waits for batches to be handed out, how many these are: to wake a
    /// thread for nothing costs more than the rest of what is done here.
    waiters: usize,
    awaited: Vec<u64>,
    /// Counts reports and batches handed out, so that a waiter can tell that the trainer is alive.
    events: u64,
    /// Patience ended and no report has come since: it is not spent again on every window.
    silent: bool,
    warned: bool,
    closed: bool,
}

impl State {
    /// The first batch not handed out yet.
    fn next(&self) -> u64 {
        self.taken + self.slots.len() as u64
    }

    /// The first batch below `before` whose report is not there.
    fn missing(&self, before: u64) -> Option<u64> {
        let gap = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let batch = self.taken + gap as u64;
        (batch < before).then_some(batch)
    }
}

impl Inbox {
    /// An inbox whose first batch is `first`: 0, or in a resumed run the first one that the restored table does not
    /// hold; reports that the state holds beside the table are registered and submitted again.
    ///
    /// `patience` is how long a wait bears that nothing at all comes in, while a report of a batch in the trainer's
    /// hands is missing.
    #[must_use]
    pub fn new(first: u64, patience: Duration) -> Self {
        let state = State {
            taken: first,
            slots: VecDeque::new(),
            given_up_below: first,
            waiting_for: None,
            waiters: 0,
            awaited: Vec::new(),
            events: 0,
            silent: false,
            warned: false,
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), patience }
    }

    /// Notes that `batch` was handed out, so that a report for it is awaited.
    ///
    /// # Errors
    /// [`Error::Feedback`] unless it is the batch after the last one: batches are numbered without gaps.
    pub fn register(&self, batch: u64) -> Result<()> {
        let mut state = self.lock();
        let next = state.next();
        if batch != next {
            return Err(feedback(batch, format!("it was handed out in place of batch {next}")));
        }
        state.slots.push_back(None);
        state.events += 1;
        if state.waiters > 0 || state.awaited.iter().any(|awaited| state.next() >= *awaited) {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Brings in a report, from any thread, in any order.
    ///
    /// # Errors
    /// [`Error::Feedback`] if the batch was never handed out, already has a report, was already taken, or was given up
    /// before.
    pub fn submit(&self, report: Report) -> Result<()> {
        let mut state = self.lock();
        let batch = report.batch;
        let Some(index) = batch.checked_sub(state.taken) else {
            let what = if batch < state.given_up_below {
                // Too late, but it shows that the trainer lives, so the next ones are waited for.
                state.silent = false;
                format!(
                    "it came too late, after {:?} in which nothing was reported or long after the batches around it, and \
                     counts as no signal; settle every batch soon, or give the stream more patience",
                    self.patience
                )
            } else {
                "it was already taken in; report each batch once".into()
            };
            return Err(feedback(batch, what));
        };
        let slot = usize::try_from(index).ok().and_then(|index| state.slots.get_mut(index));
        match slot {
            None => Err(feedback(batch, "no such batch was handed out yet")),
            Some(Some(_)) => Err(feedback(batch, "it has a report already; report each batch once")),
            Some(slot) => {
                *slot = Some(report);
                state.events += 1;
                state.silent = false;
                if state.waiters > 0 {
                    self.changed.notify_all();
                }
                Ok(())
            }
        }
    }

    /// Takes the reports of all batches below `batch` that were not taken yet, in batch order.
    ///
    /// With [`Wait::ForAll`] it blocks until all have been handed out and reported. If then nothing comes in for as
    /// long as the patience, those missing count as [`Report::none`], and a warning says so, once. After that there is
    /// no more waiting until a report comes: a trainer that never reports costs a warning, not a deadlock. Time in
    /// which the missing batch is not yet in the trainer's hands does not count. On a [closed](Self::close) inbox it
    /// behaves as [`Wait::No`].
    pub fn take_before(&self, batch: u64, wait: Wait) -> Vec<Report> {
        let mut state = self.lock();
        if wait == Wait::ForAll {
            state = self.wait_for_all(state, batch);
        }
        let missing = state.missing(batch);
        let end = missing.unwrap_or(batch).max(state.taken);
        let count = usize::try_from(end - state.taken).unwrap_or(usize::MAX).min(state.slots.len());
        state.taken = end;
        state.slots.drain(..count).flatten().collect()
    }

    /// The reports below `batch` that are here and not taken yet, in batch order, left where they are: what a state
    /// must hold beside the table. Waits as [`take_before`](Self::take_before) does.
    pub fn peek_before(&self, batch: u64, wait: Wait) -> Vec<Report> {
        self.peek(0, batch, wait)
    }

    /// As [`peek_before`](Self::peek_before), without those below `from`.
    pub fn peek(&self, from: u64, before: u64, wait: Wait) -> Vec<Report> {
        let mut state = self.lock();
        if wait == Wait::ForAll {
            state = self.wait_for_all(state, before);
        }
        let end = state.missing(before).unwrap_or(before).saturating_sub(state.taken);
        let skipped = from.saturating_sub(state.taken);
        let count = |batches: u64| usize::try_from(batches).unwrap_or(usize::MAX);
        state.slots.iter().take(count(end)).skip(count(skipped)).flatten().cloned().collect()
    }

    /// Counts every batch below `batch` that was handed out and is not reported as "no signal", without a wait: for
    /// those whose draws do not depend on reports, so that one batch that is held for ever does not keep all later
    /// reports waiting behind it.
    pub fn give_up_before(&self, batch: u64) {
        let mut state = self.lock();
        let first = state.taken;
        let mut last = None;
        for (number, slot) in (first..batch).zip(&mut state.slots) {
            if slot.is_none() {
                *slot = Some(Report::none(number));
                last = Some(number);
            }
        }
        if let Some(last) = last {
            state.given_up_below = last + 1;
        }
    }

    /// Waits until all batches below `batch` have been handed out, or the inbox is [closed](Self::close).
    pub fn wait_until_handed_out(&self, batch: u64) {
        let mut state = self.lock();
        state.awaited.push(batch);
        while state.next() < batch && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(own) = state.awaited.iter().position(|awaited| *awaited == batch) {
            state.awaited.swap_remove(own);
        }
    }

    /// The first batch that a blocked [`take_before`](Self::take_before) lacks: a trainer that holds its report back,
    /// say to read a device seldom, must bring it now.
    #[must_use]
    pub fn waiting_for(&self) -> Option<u64> {
        self.lock().waiting_for
    }

    /// Wakes whoever waits, and lets no one wait again: the stream or the trainer is at its end.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait_for_all<'a>(&self, mut state: MutexGuard<'a, State>, batch: u64) -> MutexGuard<'a, State> {
        let mut quiet_since = Instant::now();
        state.waiters += 1;
        while let Some(missing) = state.missing(batch) {
            if state.closed {
                break;
            }
            let in_trainers_hands = missing < state.next();
            let left = self.patience.saturating_sub(quiet_since.elapsed());
            if in_trainers_hands && (state.silent || left.is_zero()) {
                self.give_up(&mut state, batch);
                // Batches that are not handed out yet are still waited for.
                continue;
            }
            let events = state.events;
            state.waiting_for = Some(missing);
            state = if in_trainers_hands {
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
            if state.events != events {
                quiet_since = Instant::now();
            }
        }
        state.waiting_for = None;
        state.waiters -= 1;
        state
    }

    /// Counts every batch below `batch` that was handed out and not reported as "no signal".
    fn give_up(&self, state: &mut State, batch: u64) {
        let first = state.taken;
        let mut missing = 0_u64;
        for (number, slot) in (first..batch).zip(&mut state.slots) {
            if slot.is_none() {
                *slot = Some(Report::none(number));
                state.given_up_below = number + 1;
                missing += 1;
            }
        }
        state.silent = true;
        if !state.warned {
            state.warned = true;
            tracing::warn!(
                missing,
                patience = ?self.patience,
                "training reports no signals: batches without a report count as no signal, and values do not learn \
                 from them; call `settle` on every batch, or use a policy that reads no signals"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn feedback(batch: u64, what: impl Into<String>) -> Error {
    Error::Feedback { batch, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, Signal};
    use proptest::prelude::*;
    use std::{sync::Barrier, thread};

    /// Longer than any test; waiting it out would hang the suite.
    const FOREVER: Duration = Duration::from_secs(3_600);

    fn report(batch: u64) -> Report {
        Report::new(batch, vec![(Position::new(0, batch as u32), Signal { loss: batch as f32, class: None })])
    }

    fn inbox(handed_out: u64, patience: Duration) -> Inbox {
        let inbox = Inbox::new(0, patience);
        (0..handed_out).for_each(|batch| inbox.register(batch).unwrap());
        inbox
    }

    fn numbers(reports: &[Report]) -> Vec<u64> {
        reports.iter().map(|report| report.batch).collect()
    }

    /// Returns once a reader is blocked and lacks `batch`.
    fn until_waiting_for(inbox: &Inbox, batch: u64) {
        while inbox.waiting_for() != Some(batch) {
            thread::yield_now();
        }
    }

    proptest! {
        #[test]
        fn reports_leave_in_batch_order_however_they_come(order in Just((0..24_u64).collect::<Vec<_>>()).prop_shuffle(), cut in 0..=24_u64) {
            let inbox = inbox(24, FOREVER);
            order.iter().for_each(|batch| inbox.submit(report(*batch)).unwrap());
            let mut taken = inbox.take_before(cut, Wait::ForAll);
            prop_assert_eq!(taken.len() as u64, cut);
            taken.extend(inbox.take_before(24, Wait::ForAll));
            prop_assert_eq!(taken, (0..24).map(report).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_reader_gets_the_same_from_eight_threads_as_from_one() {
        const BATCHES: u64 = 400;
        let inbox = inbox(BATCHES, FOREVER);
        let start = Barrier::new(9);
        let taken = thread::scope(|scope| {
            for part in 0..8 {
                let (inbox, start) = (&inbox, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..BATCHES)
                        .rev()
                        .filter(|batch| batch % 8 == part)
                        .for_each(|batch| inbox.submit(report(batch)).unwrap());
                });
            }
            start.wait();
            let windows = (0..=BATCHES).step_by(50);
            windows.flat_map(|before| inbox.take_before(before, Wait::ForAll)).collect::<Vec<_>>()
        });
        assert_eq!(taken, (0..BATCHES).map(report).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_waits_for_a_report_and_says_for_which() {
        let inbox = inbox(3, FOREVER);
        inbox.submit(report(0)).unwrap();
        inbox.submit(report(2)).unwrap();
        let taken = thread::scope(|scope| {
            let reader = scope.spawn(|| inbox.take_before(3, Wait::ForAll));
            until_waiting_for(&inbox, 1);
            inbox.submit(Report::none(1)).unwrap();
            reader.join().unwrap()
        });
        assert_eq!(taken, [report(0), Report::none(1), report(2)]);
        assert_eq!(inbox.waiting_for(), None);
    }

    #[test]
    fn a_batch_that_is_not_handed_out_yet_is_waited_for_without_losing_patience() {
        let inbox = inbox(0, Duration::ZERO);
        let taken = thread::scope(|scope| {
            let reader = scope.spawn(|| inbox.take_before(1, Wait::ForAll));
            until_waiting_for(&inbox, 0);
            let mut state = inbox.lock();
            // Handed out and reported in one breath, since patience is zero.
            state.slots.push_back(Some(report(0)));
            state.events += 1;
            drop(state);
            inbox.changed.notify_all();
            reader.join().unwrap()
        });
        assert_eq!(taken, [report(0)]);
    }

    #[test]
    fn a_trainer_that_never_reports_is_no_deadlock() {
        let inbox = inbox(3, Duration::ZERO);
        inbox.submit(report(1)).unwrap();
        assert_eq!(inbox.take_before(2, Wait::ForAll), [Report::none(0), report(1)]);
        assert_eq!(inbox.take_before(3, Wait::ForAll), [Report::none(2)]);
        let late = inbox.submit(report(2)).unwrap_err().to_string();
        assert!(late.contains("no signal"), "{late}");
        assert!(!inbox.lock().silent, "a late report brings patience back");
    }

    #[test]
    fn patience_is_spent_once_until_a_report_comes() {
        let inbox = Inbox::new(0, FOREVER);
        (0..3).for_each(|batch| inbox.register(batch).unwrap());
        inbox.lock().silent = true;
        assert_eq!(inbox.take_before(1, Wait::ForAll), [Report::none(0)]);
        inbox.submit(report(2)).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| inbox.take_before(3, Wait::ForAll));
            until_waiting_for(&inbox, 1);
            inbox.submit(report(1)).unwrap();
            assert_eq!(reader.join().unwrap(), [report(1), report(2)]);
        });
    }

    #[test]
    fn without_waiting_only_the_unbroken_run_is_taken() {
        let inbox = inbox(4, FOREVER);
        [0, 1, 3].into_iter().for_each(|batch| inbox.submit(report(batch)).unwrap());
        assert_eq!(numbers(&inbox.peek_before(4, Wait::No)), [0, 1]);
        assert_eq!(numbers(&inbox.take_before(4, Wait::No)), [0, 1]);
        assert!(inbox.take_before(4, Wait::No).is_empty());
        inbox.submit(report(2)).unwrap();
        assert_eq!(numbers(&inbox.take_before(3, Wait::No)), [2]);
        assert_eq!(numbers(&inbox.take_before(9, Wait::No)), [3]);
    }

    #[test]
    fn who_waits_for_a_batch_to_be_handed_out_goes_on_with_it_and_not_before() {
        let inbox = inbox(2, FOREVER);
        inbox.wait_until_handed_out(2);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                inbox.wait_until_handed_out(4);
                inbox.lock().next()
            });
            (2..4).for_each(|batch| inbox.register(batch).unwrap());
            assert_eq!(waiter.join().unwrap(), 4);
            let waiter = scope.spawn(|| inbox.wait_until_handed_out(100));
            inbox.close();
            waiter.join().unwrap();
        });
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let inbox = inbox(2, FOREVER);
        inbox.submit(report(0)).unwrap();
        let taken = thread::scope(|scope| {
            let reader = scope.spawn(|| inbox.take_before(2, Wait::ForAll));
            until_waiting_for(&inbox, 1);
            inbox.close();
            reader.join().unwrap()
        });
        assert_eq!(taken, [report(0)]);
    }

    #[test]
    fn reports_that_fit_no_batch_are_errors() {
        let inbox = inbox(2, FOREVER);
        let refused = |report: Report| matches!(inbox.submit(report), Err(Error::Feedback { .. }));
        assert!(refused(report(2)), "never handed out");
        assert!(refused(report(u64::MAX)), "never handed out");
        inbox.submit(report(0)).unwrap();
        assert!(refused(report(0)), "reported twice");
        assert_eq!(numbers(&inbox.take_before(1, Wait::ForAll)), [0]);
        assert!(refused(report(0)), "taken already");
        assert!(matches!(inbox.register(1), Err(Error::Feedback { .. })), "handed out twice");
        assert!(matches!(inbox.register(3), Err(Error::Feedback { .. })), "a gap");
    }

    #[test]
    fn a_resumed_inbox_begins_where_the_run_goes_on() {
        let inbox = Inbox::new(100, FOREVER);
        inbox.register(100).unwrap();
        assert!(inbox.take_before(100, Wait::ForAll).is_empty());
        inbox.submit(report(100)).unwrap();
        assert_eq!(numbers(&inbox.take_before(101, Wait::ForAll)), [100]);
    }
}
