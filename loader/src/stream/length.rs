//! How long a data epoch is: what is known of it, or an honest guess that says that it is one.

use super::{Stream, shared::lock};
use crate::{ledger::Account, recipe::Exhausted, sample};

/// The length of a data epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Length {
    /// Rows that it emits.
    pub rows: u64,
    /// Batches of all ranks that it makes; slots that are packed are not foreseen.
    pub batches: u64,
    /// What the numbers rest on.
    pub basis: Basis,
}

/// What a [`Length`] rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Every row's verdict is known, and each kept row comes once.
    Known,
    /// So many rows were judged; of the others, as many are taken to be kept in proportion. Or all are known, and how
    /// often they come depends on shares or on a policy.
    Estimated {
        /// Rows whose verdicts are known.
        judged: u64,
    },
}

impl Stream {
    /// The length of a data epoch, as far as can be said now; it becomes better with every block that is passed for the
    /// first time.
    ///
    /// Rows that nothing is known of yet count as kept in the proportion of those that are known, of the same domain;
    /// before the first block, by `[split]` alone. A policy that draws rows more or less often than once is not foreseen.
    #[must_use]
    pub fn length(&self) -> Length {
        let (plan, settings) = (self.plan(), &self.shared.settings);
        let visits = lock(&self.shared.visits);
        let fraction = self.fraction();
        let mut judged = 0;
        let kept: Vec<f64> = settings
            .schedules
            .iter()
            .map(|schedule| {
                let Account { read, kept, held_out, .. } = visits.account_of(schedule.blocks.clone());
                let seen = read + held_out;
                judged += seen;
                let rest = plan.rows_of(&schedule.blocks).saturating_sub(seen);
                let share = if seen == 0 { fraction } else { kept as f64 / seen as f64 };
                kept as f64 + rest as f64 * share
            })
            .collect();
        let complete = visits.len() == plan.blocks.len();
        drop(visits);
        // As many rows as make a domain's the given share of them.
        let of_domain = |(kept, part): (&f64, &u64)| kept * sample::WHOLE as f64 / (*part).max(1) as f64;
        let lengths = kept.iter().zip(&settings.parts).map(of_domain);
        let rows = match settings.exhausted {
            _ if settings.plan_order || kept.len() < 2 => kept.iter().sum(),
            Exhausted::Stop => lengths.fold(f64::INFINITY, f64::min),
            Exhausted::Repeat => lengths.fold(0.0, f64::max),
        };
        let rows = libm::round(rows) as u64;
        let size = (settings.batch_size as u64).max(1);
        let batches = if settings.drop_last { rows / size } else { rows.div_ceil(size) };
        let once = settings.plan_order || self.shared.policy.name() == "uniform";
        let basis = if complete && kept.len() < 2 && once { Basis::Known } else { Basis::Estimated { judged } };
        Length { rows, batches, basis }
    }

    /// The fraction of the rows that belong to the part that this stream is of.
    fn fraction(&self) -> f64 {
        self.shared.work.parting.as_ref().map_or(1.0, super::split::Parting::fraction)
    }
}
