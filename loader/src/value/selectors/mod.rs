//! The selectors, one a file, each by the name that a recipe's `[policy]` gives it, and the policy that stands behind all
//! of them: every row is drawn once, and what is trained on is chosen inside the step.

mod alignment;
mod importance;
mod jest;
mod progressive_dropout;
mod rho_loss;
mod selective_backprop;

pub use alignment::Alignment;
pub use importance::Importance;
pub use jest::Jest;
pub use progressive_dropout::ProgressiveDropout;
pub use rho_loss::RhoLoss;
pub use selective_backprop::SelectiveBackprop;

use super::{policy::Policy, selector::Selector};
use crate::{Error, Result};
use std::sync::Arc;

/// How the rows of a super-batch are chosen.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Who chooses.
    pub selector: Arc<dyn Selector>,
    /// How many rows are scored for each batch that is trained.
    pub candidates: u32,
}

/// A policy that leaves the choice to a selector: v = 1, π = 1, in super-batches of `candidates` rows.
#[derive(Debug)]
pub(super) struct Selecting {
    name: &'static str,
    fingerprint: String,
    selection: Selection,
}

impl Selecting {
    /// The policy of a selector's name; `None` where no selector has that name.
    ///
    /// Beside the selector's own options it reads `candidates`.
    pub(super) fn from_options(name: &str, options: &toml::Table) -> Option<Result<Self>> {
        let place = format!("policy `{name}`");
        let mut own = options.clone();
        let candidates = own.remove("candidates");
        fn built<S: Selector + 'static>(
            name: &'static str,
            selector: S,
            fingerprint: fn(&S) -> String,
        ) -> (&'static str, String, Arc<dyn Selector>) {
            (name, fingerprint(&selector), Arc::new(selector))
        }
        let parts = match name {
            Alignment::NAME => Alignment::from_options(&place, &own)
                .map(|selector| built(Alignment::NAME, selector, Alignment::fingerprint)),
            Importance::NAME => Importance::from_options(&place, &own)
                .map(|selector| built(Importance::NAME, selector, Importance::fingerprint)),
            Jest::NAME => {
                Jest::from_options(&place, &own).map(|selector| built(Jest::NAME, selector, Jest::fingerprint))
            }
            ProgressiveDropout::NAME => ProgressiveDropout::from_options(&place, &own)
                .map(|selector| built(ProgressiveDropout::NAME, selector, ProgressiveDropout::fingerprint)),
            RhoLoss::NAME => {
                RhoLoss::from_options(&place, &own).map(|selector| built(RhoLoss::NAME, selector, RhoLoss::fingerprint))
            }
            SelectiveBackprop::NAME => SelectiveBackprop::from_options(&place, &own)
                .map(|selector| built(SelectiveBackprop::NAME, selector, SelectiveBackprop::fingerprint)),
            _ => return None,
        };
        Some(parts.and_then(|(name, fingerprint, selector)| {
            let candidates = read_candidates(&place, candidates)?;
            let fingerprint = format!("{fingerprint}(candidates={candidates})");
            Ok(Self { name, fingerprint, selection: Selection { selector, candidates } })
        }))
    }

    /// Every selector's name.
    pub(super) const NAMES: [&'static str; 6] = [
        Alignment::NAME,
        Importance::NAME,
        Jest::NAME,
        ProgressiveDropout::NAME,
        RhoLoss::NAME,
        SelectiveBackprop::NAME,
    ];
}

fn read_candidates(place: &str, value: Option<toml::Value>) -> Result<u32> {
    let wrong = |what: String| Error::recipe(format!("{place}: {what}"));
    match value {
        None => Err(wrong(
            "`candidates` is missing: say how many rows are scored for each batch that is trained, as 10 times [batch] \
             size does"
                .to_owned(),
        )),
        Some(toml::Value::Integer(count)) if (1..=1 << 24).contains(&count) => Ok(count as u32),
        Some(other) => Err(wrong(format!("`candidates` = {other}: must be a number from 1 to 16777216"))),
    }
}

impl Policy for Selecting {
    fn name(&self) -> &str {
        self.name
    }

    fn unbiased(&self) -> bool {
        self.selection.selector.unbiased()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn reads_signals(&self) -> bool {
        false
    }

    fn selection(&self) -> Option<&Selection> {
        Some(&self.selection)
    }
}
