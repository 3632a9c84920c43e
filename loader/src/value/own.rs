//! A user's own policy or selector as one pure function, for [`StreamBuilder::policy`](crate::stream::StreamBuilder::policy).
//!
//! Whoever needs more (a fit over the whole table, domains, scores) writes the trait itself; either way
//! [`conformance`](crate::stream::conformance) says whether it keeps to what a stream relies on.

use super::{
    parameters::Parameters,
    policy::{Policy, WindowRows},
    selector::{Candidate, Needs, Selector, SuperBatch},
    selectors::Selection,
    trajectory::Trajectory,
};
use crate::{Pick, Randomness, Target};
use std::{fmt, sync::Arc};

type TargetOf = dyn Fn(&Trajectory, u32) -> Target + Send + Sync;
type PicksOf = dyn Fn(&[Candidate], usize, &mut Randomness) -> Vec<Pick> + Send + Sync;

/// A policy that is a function of a row's trajectory and class.
///
/// ```
/// use arable_loader::{Target, stream::conformance, value::OwnPolicy};
///
/// // Rows that the model gets right are drawn half as often, with twice the weight: unbiased.
/// let policy = OwnPolicy::new("half of what is learnt/1", true, |row, _class| match row.last_correct() {
///     true => Target { weight: 1.0, inclusion: 0.5 },
///     false => Target::PLAIN,
/// });
/// conformance::policy(&policy)?;
/// # Ok::<(), arable_loader::Error>(())
/// ```
#[derive(Clone)]
pub struct OwnPolicy {
    name: String,
    unbiased: bool,
    target: Arc<TargetOf>,
}

impl OwnPolicy {
    /// The policy of `target`, which is given a row's trajectory (blank where it was never presented) and class
    /// ([`UNKNOWN_CLASS`](super::UNKNOWN_CLASS) where there is none).
    ///
    /// `name` is a part of the stream's identity: give it a version, and another one when the function changes.
    /// `unbiased` declares that every v is what the objective wants, so that w = v/π is too.
    pub fn new(
        name: impl Into<String>,
        unbiased: bool,
        target: impl Fn(&Trajectory, u32) -> Target + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), unbiased, target: Arc::new(target) }
    }
}

impl fmt::Debug for OwnPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnPolicy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Policy for OwnPolicy {
    fn name(&self) -> &str {
        &self.name
    }

    fn unbiased(&self) -> bool {
        self.unbiased
    }

    fn fingerprint(&self) -> String {
        format!("own({:?})", self.name)
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn targets(&self, _: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        out.extend(rows.iter().map(|(trajectory, class)| (self.target)(trajectory, class)));
    }
}

/// A selector that is a function of the candidates, how many are wanted, and random numbers: one that remembers nothing.
///
/// ```
/// use arable_loader::{Pick, stream::conformance, value::{Needs, OwnSelector}};
///
/// // The first so many whose loss is above 1, or else the first so many.
/// let selector = OwnSelector::new("above one/1", Needs::default(), false, |candidates, size, _| {
///     let mut order: Vec<usize> = (0..candidates.len()).collect();
///     order.sort_by_key(|&index| !(candidates[index].signal.loss > 1.0));
///     order.truncate(size);
///     order.sort_unstable();
///     order.into_iter().map(Pick::plain).collect()
/// });
/// conformance::selector(&selector)?;
/// let policy = selector.policy(320); // of 320 candidates, as many as a batch has
/// # drop(policy);
/// # Ok::<(), arable_loader::Error>(())
/// ```
#[derive(Clone)]
pub struct OwnSelector {
    name: String,
    needs: Needs,
    unbiased: bool,
    picks: Arc<PicksOf>,
}

impl OwnSelector {
    /// The selector of `picks`, as [`Selector::select`] describes it. `name` is a part of the stream's identity.
    pub fn new(
        name: impl Into<String>,
        needs: Needs,
        unbiased: bool,
        picks: impl Fn(&[Candidate], usize, &mut Randomness) -> Vec<Pick> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), needs, unbiased, picks: Arc::new(picks) }
    }

    /// The policy of super-batches of `candidates` rows that it picks from.
    #[must_use]
    pub fn policy(self, candidates: u32) -> Arc<dyn Policy> {
        let name = self.name.clone();
        Arc::new(OwnSelecting { name, selection: Selection { selector: Arc::new(self), candidates } })
    }
}

impl fmt::Debug for OwnSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnSelector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Selector for OwnSelector {
    fn needs(&self) -> Needs {
        self.needs
    }

    fn unbiased(&self) -> bool {
        self.unbiased
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        (self.picks)(batch.candidates, size, randomness)
    }
}

#[derive(Debug)]
struct OwnSelecting {
    name: String,
    selection: Selection,
}

impl Policy for OwnSelecting {
    fn name(&self) -> &str {
        &self.name
    }

    fn unbiased(&self) -> bool {
        self.selection.selector.unbiased()
    }

    fn fingerprint(&self) -> String {
        format!("own({:?},candidates={})", self.name, self.selection.candidates)
    }

    fn reads_signals(&self) -> bool {
        false
    }

    fn selection(&self) -> Option<&Selection> {
        Some(&self.selection)
    }
}
