//! Soft pruning: rows whose loss has fallen below the mean are drawn less often, and count more when they are drawn.
//!
//! InfoBatch (Qin et al., ICLR 2024) with exact weights, a stream's randomness, quotas for classes and a bound on how
//! long a row is left out. It knows nothing of labels being right or wrong, and never changes what is estimated.

use super::{
    classes::Classes,
    parameters::Parameters,
    policy::{Policy, WindowRows, within},
    table::Table,
    trajectory::Trajectory,
};
use crate::{Error, Position, Result, Target, strict};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The policy `infobatch`: v = 1; π = 1 − `r` for easy rows, 1 for all others; w = 1/π.
///
/// A row is easy if its last loss is strictly below s̄, the mean last loss of all rows seen, both as they are at the
/// start of the data epoch. So epoch 0 prunes nothing. A row that was never presented, or whose loss was ever NaN or
/// infinite, is not easy.
///
/// The paper keeps ⌊(1 − r)·easy⌋ of the easy rows and weighs them by 1/(1 − r), which is biased by what the floor
/// cuts off. Here each easy row is drawn with probability 1 − r exactly, so the weighted sum over an epoch's draw has
/// the expectation of the sum over all kept rows, whatever the losses are.
///
/// - `epochs` E and `delta` δ: a data epoch is pruned only if it ends within the first δ·E data epochs; all later ones
///   are plain, so that training ends on the full data (the paper's annealing). E counts passes of this policy, not
///   optimiser steps: where a training runs for a fixed number of batches, pruned passes are shorter and there are more
///   of them. With `delta` = 1 there is no annealing, and E is not needed.
/// - `class_quota` q: of each class, the π of its seen rows sum to at least the share q, so that a class of mostly easy
///   rows does not thin out (the class quotas of DRoP, Vysogorets et al., ICLR 2025, as a floor). Easy rows of such a
///   class get the π in [1 − r, 1] that reaches it. Rows without a known class are a class of their own.
/// - `max_staleness` A, in data epochs: every row is drawn for sure in one of any A epochs in a row, and so is never
///   left out for A. Which one is fixed by the row's position, an A-th of the rows in each epoch. (A trajectory holds
///   the batch of a row's last presentation but not its epoch, so rows that are stale already cannot be told apart;
///   this bound costs 1/A of what pruning saves and needs no memory.) 0 is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfoBatch {
    r: f64,
    /// How many data epochs may be pruned, from the first on; `None` without annealing.
    annealing: Option<Annealing>,
    class_quota: f64,
    max_staleness: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Annealing {
    delta: f64,
    epochs: u32,
}

/// The options as a recipe writes them, not yet checked for their ranges.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    r: f64,
    delta: f64,
    epochs: Option<u32>,
    class_quota: f64,
    max_staleness: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { r: 0.5, delta: 0.875, epochs: None, class_quota: 0.0, max_staleness: 0 }
    }
}

impl InfoBatch {
    pub(super) const NAME: &'static str = "infobatch";

    /// Options: `r` (0 to 0.9), `delta` (0 to 1), `epochs` (from 1; required unless `delta` is 1), `class_quota` (0 to
    /// 1), `max_staleness` (data epochs; 0 is none). `r` and `delta` default to the paper's 0.5 and 0.875, the others to
    /// what it does: nothing.
    pub(super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let Options { r, delta, epochs, class_quota, max_staleness } = strict::from_table(place, options)?;
        within(place, "r", r, 0.0..=0.9)?;
        within(place, "delta", delta, 0.0..=1.0)?;
        within(place, "class_quota", class_quota, 0.0..=1.0)?;
        if let Some(epochs) = epochs {
            within(place, "epochs", f64::from(epochs), 1.0..=f64::from(u32::MAX))?;
        }
        let annealing = match epochs {
            _ if delta == 1.0 => None,
            Some(epochs) => Some(Annealing { delta, epochs }),
            None => {
                return Err(Error::recipe(format!(
                    "{place}: `epochs` is missing: say how many data epochs the training has, as the last of them are \
                     not pruned; or set `delta = 1.0` to prune to the end"
                )));
            }
        };
        Ok(Self { r, annealing, class_quota, max_staleness })
    }

    fn prunes(&self, epoch: u32) -> bool {
        self.annealing.is_none_or(|Annealing { delta, epochs }| f64::from(epoch) + 1.0 <= delta * f64::from(epochs))
    }

    /// For each class in which 1 − r would fall short of the quota, the π of its easy rows that reaches it.
    fn raised(&self, table: &Table, classes: &Classes, mean: f64) -> BTreeMap<u32, f64> {
        let least = 1.0 - self.r;
        if self.class_quota <= least {
            return BTreeMap::new();
        }
        // Of each class, how many rows are seen and how many of these are easy.
        let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for (position, trajectory) in seen(table) {
            let (rows, easy) = counts.entry(classes.get(position)).or_default();
            *rows += 1;
            *easy += u64::from(is_easy(trajectory, mean));
        }
        let inclusion = |(rows, easy): (u64, u64)| {
            let short = self.class_quota * rows as f64 - (rows - easy) as f64;
            short / easy as f64
        };
        let raised = counts.into_iter().filter(|(_, (_, easy))| *easy > 0);
        raised.map(|(class, count)| (class, inclusion(count).min(1.0))).filter(|(_, pi)| *pi > least).collect()
    }
}

fn seen(table: &Table) -> impl Iterator<Item = (Position, &Trajectory)> {
    table.iter().filter(|(_, trajectory)| trajectory.is_seen())
}

fn mean_last_loss(table: &Table) -> Option<f64> {
    let (count, sum) = seen(table)
        .fold((0_u64, 0.0_f64), |(count, sum), (_, trajectory)| (count + 1, sum + f64::from(trajectory.last_loss())));
    (count > 0).then(|| sum / count as f64)
}

fn is_easy(trajectory: &Trajectory, mean: f64) -> bool {
    trajectory.is_seen() && !trajectory.non_finite() && f64::from(trajectory.last_loss()) < mean
}

/// Whether `epoch` is the one of its `cycle` in which the row at `position` is drawn for sure.
fn is_due(position: Position, epoch: u32, cycle: u32) -> bool {
    if cycle == 0 {
        return false;
    }
    // The finaliser of SplitMix64 (Steele et al. 2014): rows that stand in a rhythm must not fall due together.
    let mut bits = u64::from(position.block) << 32 | u64::from(position.row);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    bits % u64::from(cycle) == u64::from(epoch % cycle)
}

impl Policy for InfoBatch {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        let Self { r, annealing, class_quota, max_staleness } = self;
        let annealing = annealing
            .map_or("delta=1.0".to_owned(), |Annealing { delta, epochs }| format!("delta={delta:?},epochs={epochs}"));
        let name = Self::NAME;
        format!("{name}/1(class_quota={class_quota:?},{annealing},max_staleness={max_staleness},r={r:?})")
    }

    fn reads_signals(&self) -> bool {
        true
    }

    /// Nothing for an epoch that is not pruned; else the epoch, s̄, and a class and the π of its easy rows for each
    /// class that the quota raises.
    fn fit(&self, table: &Table, classes: &Classes, epoch: u32) -> Parameters {
        let mean = if self.prunes(epoch) { mean_last_loss(table) } else { None };
        let Some(mean) = mean else {
            return Parameters::default();
        };
        let raised = self.raised(table, classes, mean).into_iter().flat_map(|(class, pi)| [f64::from(class), pi]);
        Parameters::new([f64::from(epoch), mean].into_iter().chain(raised).collect())
    }

    fn targets(&self, parameters: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        let Some((&[epoch, mean], raised)) = parameters.values().split_first_chunk::<2>() else {
            out.extend(std::iter::repeat_n(Target::PLAIN, rows.len()));
            return;
        };
        let raised: BTreeMap<u32, f64> =
            raised.as_chunks::<2>().0.iter().map(|[class, pi]| (*class as u32, *pi)).collect();
        out.extend(rows.positions().iter().zip(rows.iter()).map(|(position, (trajectory, class))| {
            if !is_easy(trajectory, mean) || is_due(*position, epoch as u32, self.max_staleness) {
                return Target::PLAIN;
            }
            let inclusion = raised.get(&class).copied().unwrap_or(1.0 - self.r);
            Target { weight: 1.0, inclusion: inclusion as f32 }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Report, Signal, value::UNKNOWN_CLASS};
    use proptest::prelude::*;

    const DEFAULT: InfoBatch = InfoBatch { r: 0.5, annealing: None, class_quota: 0.0, max_staleness: 0 };
    const ROWS: [u32; 2] = [70, 50];

    fn positions() -> Vec<Position> {
        (0..ROWS[0]).map(|row| Position::new(0, row)).chain((0..ROWS[1]).map(|row| Position::new(1, row))).collect()
    }

    /// A data set whose rows have had these losses, in position order; rows without one were never presented.
    fn observed(losses: &[Option<f32>], class: impl Fn(usize) -> u32) -> (Table, Classes) {
        let mut table = Table::new(&ROWS);
        let rows = positions().into_iter().zip(losses);
        let rows = rows.filter_map(|(position, loss)| Some((position, Signal { loss: (*loss)?, class: None })));
        table.apply(&Report::new(0, rows.collect())).unwrap();
        let mut classes = Classes::new(&ROWS);
        classes.set(0, (0..70).map(&class).collect()).unwrap();
        classes.set(1, (70..120).map(&class).collect()).unwrap();
        (table, classes)
    }

    fn targets(policy: InfoBatch, (table, classes): &(Table, Classes), epoch: u32) -> Vec<Target> {
        let parameters = policy.fit(table, classes, epoch);
        let parameters = Parameters::from_bytes(&parameters.to_bytes()).unwrap();
        let mut targets = Vec::new();
        policy.targets(&parameters, &WindowRows::new(&positions(), table, classes), &mut targets);
        targets
    }

    fn losses() -> impl Strategy<Value = Vec<Option<f32>>> {
        prop::collection::vec(
            prop::option::of(prop_oneof![3 => 0.0_f32..9.0, 1 => Just(1.0), 1 => Just(f32::NAN)]),
            120,
        )
    }

    proptest! {
        #[test]
        fn easy_rows_are_those_strictly_below_the_mean_of_all_seen(losses in losses(), r in 0.0_f64..0.9) {
            let known: Vec<f64> = losses.iter().flatten().filter(|loss| loss.is_finite()).map(|loss| f64::from(*loss)).collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let targets = targets(InfoBatch { r, ..DEFAULT }, &observed(&losses, |_| 0), 1);
            prop_assert_eq!(targets.len(), 120);
            for (loss, target) in losses.iter().zip(targets) {
                let easy = loss.is_some_and(|loss| f64::from(loss) < mean);
                prop_assert_eq!(target, Target { weight: 1.0, inclusion: if easy { (1.0 - r) as f32 } else { 1.0 } });
            }
        }

        #[test]
        fn every_class_keeps_its_quota_and_no_more_than_that(losses in losses(), class_quota in 0.0_f64..1.0) {
            let class = |row: usize| if row.is_multiple_of(5) { UNKNOWN_CLASS } else { (row % 3) as u32 };
            let data = observed(&losses, class);
            let policy = InfoBatch { class_quota, ..DEFAULT };
            let (plain, quota) = (targets(DEFAULT, &data, 1), targets(policy, &data, 1));
            for wanted in [0, 1, 2, UNKNOWN_CLASS] {
                let seen = |row: &usize| class(*row) == wanted && losses[*row].is_some_and(f32::is_finite);
                let rows: Vec<usize> = (0..120).filter(seen).collect();
                let share = |targets: &[Target]| rows.iter().map(|row| f64::from(targets[*row].inclusion)).sum::<f64>();
                let least = class_quota * rows.len() as f64;
                prop_assert!((share(&quota) - least.max(share(&plain))).abs() < 1e-4);
            }
        }

        #[test]
        fn no_row_is_left_out_for_as_long_as_the_bound(cycle in 1_u32..9, first in 0_u32..1000) {
            // All but one row are easy for ever.
            let mut losses = vec![Some(0.1); 120];
            losses[7] = Some(50.0);
            let data = observed(&losses, |_| 0);
            let policy = InfoBatch { max_staleness: cycle, ..DEFAULT };
            let epochs: Vec<_> = (first..first + cycle).map(|epoch| targets(policy, &data, epoch)).collect();
            for row in (0..120).filter(|row| *row != 7) {
                prop_assert_eq!(epochs.iter().filter(|targets| targets[row] == Target::PLAIN).count(), 1);
            }
        }
    }

    #[test]
    fn before_any_signal_nothing_is_pruned() {
        assert_eq!(targets(DEFAULT, &observed(&[None; 120], |_| 0), 0), vec![Target::PLAIN; 120]);
    }

    #[test]
    fn rows_of_equal_loss_are_not_easy() {
        assert_eq!(targets(DEFAULT, &observed(&[Some(0.1); 120], |_| 0), 1), vec![Target::PLAIN; 120]);
    }

    #[test]
    fn a_row_that_was_ever_not_finite_is_drawn_for_sure() {
        let mut losses = vec![Some(9.0); 120];
        losses[3] = Some(0.5);
        let mut data = observed(&losses, |_| 0);
        assert_eq!(targets(DEFAULT, &data, 1)[3].inclusion, 0.5);
        let signal = Signal { loss: f32::INFINITY, class: None };
        data.0.apply(&Report::new(1, vec![(positions()[3], signal)])).unwrap();
        assert_eq!(targets(DEFAULT, &data, 1), vec![Target::PLAIN; 120]);
    }

    #[test]
    fn the_last_epochs_are_plain() {
        let losses: Vec<_> = (0..120_u8).map(|row| Some(f32::from(row))).collect();
        let data = observed(&losses, |_| 0);
        let pruned = |delta, epochs| {
            let policy = InfoBatch { annealing: Some(Annealing { delta, epochs }), ..DEFAULT };
            (0..40).filter(|epoch| targets(policy, &data, *epoch) != vec![Target::PLAIN; 120]).collect::<Vec<u32>>()
        };
        assert_eq!(pruned(0.875, 16), (0..14).collect::<Vec<_>>());
        // However few epochs there are, the last is on the full data.
        assert_eq!(pruned(0.875, 3), [0, 1]);
        assert_eq!(pruned(0.0, 20), [0; 0]);
        assert_ne!(targets(DEFAULT, &data, u32::MAX), vec![Target::PLAIN; 120]);
    }

    #[test]
    fn rows_fall_due_in_equal_parts_whatever_their_rhythm() {
        for (stride, cycle) in [(1, 4), (2, 4), (4, 4), (8, 6)] {
            for epoch in 0..cycle {
                let due = (0..6_000).filter(|row| is_due(Position::new(9, row * stride), epoch, cycle)).count();
                // Five standard deviations of a binomial.
                let expected = 6_000.0 / f64::from(cycle);
                assert!((due as f64 - expected).abs() < 5.0 * expected.sqrt(), "{due} of stride {stride}");
            }
        }
    }
}
