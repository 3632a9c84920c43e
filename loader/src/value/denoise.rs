//! Cleaned risk under label noise: rows count as much as their label is probably right, once noise is plain to see.
//!
//! The clean probability of DivideMix (Li et al. 2020: a two-component mixture over per-sample losses) behind a gate
//! that stays shut on clean data. It knows nothing of where noise comes from, and drops no row for good.

mod gate;
mod kinds;

use self::kinds::Kinds;
use super::{
    classes::Classes,
    mixture::{Mixture, Variances},
    parameters::Parameters,
    policy::{Policy, WindowRows, within},
    recent::{Recent, RecentOf},
    table::Table,
};
use crate::{Result, Target, strict};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The policy `denoise`: v = P(label is clean), π = max(v, floor), w = v/π.
///
/// At the start of each data epoch from `warmup` on, if the model has been trained on `warmup_batches` batches by then
/// (those of all ranks count), two normal components are fitted to the rows' mean losses. The gate opens if Ashman's D
/// between them is above `gate` and the noisy one holds at least 1 % of the rows. (BIC prefers two components on clean data
/// too, and the margin is apart on clean data too; neither can be the gate.) Two groups of losses are not yet noise: the
/// model must contradict at least half of the noisy rows, or it has merely learnt some better than others; and they must
/// not be whole classes, which a model that has seen little learns one after the other (Cramér's V between component and
/// class, corrected for its bias, is below one half). A `gate` of 0 asks for neither. Where one class is taken for one
/// other so often that the losses of right and wrong labels run into each other, D stays low; so the gate also opens if the
/// model contradicts at least `contradicted` of the rows (their mean probability margin is negative) and does so
/// systematically: in those rows, what the classes besides label and rival get, each on average, is below a fifth of what
/// the label gets. Shut, every target is [`Target::PLAIN`].
///
/// Open, v is the posterior of the clean component over the recent probability margin, on which noise between two classes
/// shows as well as symmetric noise does: a mean in which the last presentation counts `recent` and those before fade, since
/// a model that follows the weights contradicts wrong labels more and more, and a mean over all presentations lags behind.
/// The components share one variance: with variances of their own, the narrow clean one gives up its hard rows to the wide
/// noisy one. Where the second gate holds and signals name classes, a row is judged by its kind too, its class and the
/// one that it is taken for ([`Table::rival`]): the clean component's share is then its kind's, by expectation–maximisation
/// with the components as they are, shrunk to that of all by ten rows. Most wrong labels are of a few kinds then.
///
/// π does not follow v below `floor`, so that a row that was judged wrongly is seen again and can recover. In each class the
/// `min_per_class` rows of the highest margins at the epoch's start, and all rows never presented, stay plain.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Denoise {
    gate: f64,
    contradicted: f64,
    warmup: u32,
    warmup_batches: u32,
    floor: f64,
    recent: f64,
    min_per_class: u32,
}

/// The mixtures are fitted to no more rows than this, evenly spaced in position order: their error is then far below
/// what they decide, and a fit takes a second at any size of data.
const MOST_FITTED: usize = 1 << 19;

/// Ashman's own threshold, DivideMix's warm-up for CIFAR-10, and 100 batches, before which the gates open on some of the 25
/// clean sets that they were chosen on, and after which on none; half the presentations for a row that is surely wrong.
/// Below a floor of one half fewer wrongly judged rows find their way back. One half for the last presentation is a memory
/// of about three: of .2, .35, .5, .7 and 1 it did best on noise between pairs, and as well as any on symmetric noise, on
/// half of MNIST's training digits and judged by the other half.
impl Default for Denoise {
    fn default() -> Self {
        Self {
            gate: 2.0,
            contradicted: 0.3,
            warmup: 10,
            warmup_batches: 100,
            floor: 0.5,
            recent: 0.5,
            min_per_class: 10,
        }
    }
}

impl Denoise {
    pub(super) const NAME: &'static str = "denoise";

    /// Options: `gate` (0 to 100), `contradicted` (0.01 to 1), `warmup` (data epochs), `warmup_batches`,
    /// `floor` (0.01 to 1), `recent` (0.01 to 1), `min_per_class` (0 to 10 000). `place` opens every message.
    pub(super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let policy: Self = strict::from_table(place, options)?;
        within(place, "gate", policy.gate, 0.0..=100.0)?;
        within(place, "contradicted", policy.contradicted, 0.01..=1.0)?;
        within(place, "floor", policy.floor, 0.01..=1.0)?;
        within(place, "recent", policy.recent, 0.01..=1.0)?;
        within(place, "min_per_class", f64::from(policy.min_per_class), 0.0..=10_000.0)?;
        Ok(policy)
    }

    /// What the clean component's posterior needs; `None` while the gate is shut.
    fn open(&self, table: &Table, classes: &Classes) -> Option<(Mixture, Kinds)> {
        let seen = || table.iter().filter(|(_, trajectory)| trajectory.is_seen());
        let stride = seen().count().div_ceil(MOST_FITTED).max(1);
        let rows = || seen().step_by(stride);
        let systematic = gate::systematic_share(rows(), classes) >= self.contradicted;
        if !systematic && !gate::noise_stands_apart(rows, classes, self.gate) {
            return None;
        }
        let rows = || rows().map(|(position, _)| (position, classes.get(position), f64::from(table.recent(position))));
        let margins: Vec<f64> = rows().map(|(_, _, margin)| margin).collect();
        let mixture = Mixture::fit(&margins, Variances::Tied)?;
        let kinds = if systematic { Kinds::fit(rows(), table, &mixture) } else { Kinds::default() };
        Some((mixture, kinds))
    }

    /// For each class, the recent margin that its `min_per_class` best rows reach.
    fn kept_margins(&self, table: &Table, classes: &Classes) -> BTreeMap<u32, f64> {
        let most = self.min_per_class as usize;
        // The best margins of each class so far, falling.
        let mut best: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        if most > 0 {
            for (position, _) in table.iter().filter(|(_, trajectory)| trajectory.is_seen()) {
                let margin = f64::from(table.recent(position));
                let best = best.entry(classes.get(position)).or_default();
                let rank = best.partition_point(|other| *other >= margin);
                if rank < most {
                    best.insert(rank, margin);
                    best.truncate(most);
                }
            }
        }
        best.into_iter().filter_map(|(class, best)| Some((class, *best.last()?))).collect()
    }
}

/// How many batches the model had been trained on when the last of the signals came.
fn batches(table: &Table) -> u32 {
    let seen = table.iter().filter(|(_, trajectory)| trajectory.is_seen());
    seen.map(|(_, trajectory)| trajectory.last_batch().saturating_add(1)).max().unwrap_or(0)
}

/// What `fit` found, as it stands in [`Parameters`]: nothing while the gate is shut, else the mixture's shares, means
/// and variances, how many classes have kept rows, a class and the margin that its kept rows reach for each, and kinds.
struct Fitted {
    margins: Mixture,
    kept: BTreeMap<u32, f64>,
    kinds: Kinds,
}

impl Fitted {
    fn to_parameters(&self) -> Parameters {
        let Mixture { shares, means, variances, .. } = self.margins;
        let kept = self.kept.iter().flat_map(|(class, margin)| [f64::from(*class), *margin]);
        let mixture = [shares, means, variances].into_iter().flatten();
        Parameters::new(mixture.chain([self.kept.len() as f64]).chain(kept).chain(self.kinds.to_values()).collect())
    }

    fn from_parameters(parameters: &Parameters) -> Option<Self> {
        let (mixture, rest) = parameters.values().split_first_chunk::<7>()?;
        let [share, other, low, high, variance, wider, kept] = *mixture;
        let margins = Mixture {
            shares: [share, other],
            means: [low, high],
            variances: [variance, wider],
            log_likelihood: f64::NAN,
            count: 0,
        };
        let (kept, kinds) = rest.split_at_checked(2 * kept as usize)?;
        let kept = kept.as_chunks::<2>().0.iter().map(|[class, margin]| (*class as u32, *margin)).collect();
        Some(Self { margins, kept, kinds: Kinds::from_values(kinds) })
    }
}

impl Policy for Denoise {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        let Self { gate, contradicted, warmup, warmup_batches, floor, recent, min_per_class } = self;
        format!(
            "{}/6(contradicted={contradicted:?},floor={floor:?},gate={gate:?},min_per_class={min_per_class},\
             recent={recent:?},warmup={warmup},warmup_batches={warmup_batches})",
            Self::NAME
        )
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn recent(&self) -> Option<Recent> {
        Some(Recent { of: RecentOf::ProbabilityMargin, share: self.recent as f32 })
    }

    fn fit(&self, table: &Table, classes: &Classes, epoch: u32) -> Parameters {
        if epoch < self.warmup || batches(table) < self.warmup_batches {
            return Parameters::default();
        }
        let Some((margins, kinds)) = self.open(table, classes) else {
            return Parameters::default();
        };
        Fitted { margins, kept: self.kept_margins(table, classes), kinds }.to_parameters()
    }

    fn targets(&self, parameters: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        let Some(fitted) = Fitted::from_parameters(parameters) else {
            out.extend(std::iter::repeat_n(Target::PLAIN, rows.len()));
            return;
        };
        let told = rows.iter().zip(rows.recent()).zip(rows.rivals());
        out.extend(told.map(|(((trajectory, class), margin), rival)| {
            let margin = f64::from(margin);
            let is_kept = fitted.kept.get(&class).is_some_and(|least| margin >= *least);
            if is_kept || !trajectory.is_seen() {
                return Target::PLAIN;
            }
            let of_kind = fitted.kinds.share(class, rival.class());
            let clean = of_kind.map_or(fitted.margins, |share| fitted.margins.with_high(share)).posterior_high(margin);
            Target { weight: clean as f32, inclusion: clean.max(self.floor) as f32 }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassPair, ClassSignal, Position, Report, Signal, value::Beside};

    const ROWS: [u32; 2] = [600, 400];
    const ROW_COUNT: u32 = 1_000;
    /// A batch late enough that the model has learnt something.
    const SEEN: u64 = 500;

    fn position(row: u32) -> Position {
        if row < ROWS[0] { Position::new(0, row) } else { Position::new(1, row - ROWS[0]) }
    }

    /// A number in [0, 1) that looks random and is the same everywhere.
    fn spread(row: u32) -> f32 {
        (f64::from(row) * 0.754_877_666).fract() as f32
    }

    /// A data set of which each row has been seen once; `noisy` rows have high losses and low margins.
    fn observed(noisy: impl Fn(u32) -> bool) -> (Table, Classes) {
        let mut table = Table::new(&ROWS).keeping(Denoise::default().recent());
        let mut classes = Classes::new(&ROWS);
        let signal = |row| {
            let (loss, probability_margin) = if noisy(row) {
                (3.0 + spread(row), -0.9 + 0.3 * spread(row))
            } else {
                // Skewed, as the losses of clean data are: many small, a few large.
                (2.0 * spread(row).powi(6), 0.95 - 0.9 * spread(row).powi(6))
            };
            let class =
                ClassSignal { logit_margin: probability_margin, probability_margin, probability: 0.5, pair: None };
            Signal { loss, class: Some(class) }
        };
        table.apply(&Report::new(SEEN, (0..ROW_COUNT).map(|row| (position(row), signal(row))).collect())).unwrap();
        classes.set(0, (0..ROWS[0]).map(|row| row % 3).collect()).unwrap();
        classes.set(1, (0..ROWS[1]).map(|row| row % 3).collect()).unwrap();
        (table, classes)
    }

    fn targets(denoise: Denoise, (table, classes): &(Table, Classes), epoch: u32) -> Vec<Target> {
        let positions: Vec<Position> = (0..ROW_COUNT).map(position).collect();
        let mut targets = Vec::new();
        let parameters = denoise.fit(table, classes, epoch);
        let parameters = Parameters::from_bytes(&parameters.to_bytes()).unwrap();
        denoise.targets(&parameters, &WindowRows::new(&positions, table, classes), &mut targets);
        targets
    }

    #[test]
    fn on_clean_data_the_gate_stays_shut() {
        let data = observed(|_| false);
        assert!(Denoise::default().fit(&data.0, &data.1, 99).values().is_empty());
        assert_eq!(targets(Denoise::default(), &data, 99), vec![Target::PLAIN; 1_000]);
    }

    #[test]
    fn a_handful_of_hopeless_rows_does_not_open_the_gate() {
        let data = observed(|row| row % 200 == 0);
        assert_eq!(targets(Denoise::default(), &data, 99), vec![Target::PLAIN; 1_000]);
    }

    #[test]
    fn a_class_that_is_not_learnt_yet_does_not_open_the_gate_and_a_part_of_each_class_does() {
        let class_of = |row: u32| if row < ROWS[0] { row % 3 } else { (row - ROWS[0]) % 3 };
        let opens = |data: &(Table, Classes), gate| {
            // The other gate is a matter of its own.
            let denoise = Denoise { gate, contradicted: 1.0, ..Denoise::default() };
            !denoise.fit(&data.0, &data.1, 99).values().is_empty()
        };
        let whole = observed(|row| class_of(row) == 2);
        assert!(!opens(&whole, 2.0) && opens(&whole, 0.0));
        assert!(opens(&observed(|row| row % 10 < 3), 2.0));
        // One class more than the others, as where two classes are taken for it.
        assert!(opens(&observed(|row| row % 10 < 2 || (class_of(row) == 2 && row % 10 < 6)), 2.0));
    }

    #[test]
    fn two_groups_of_losses_that_are_both_learnt_do_not_open_the_gate() {
        let (_, classes) = observed(|_| false);
        let signal = |row| {
            let loss = if row % 5 < 2 { 0.1 + 0.01 * spread(row) } else { 0.005 * spread(row) };
            let margin = 0.8 + 0.1 * spread(row);
            let class = ClassSignal { logit_margin: margin, probability_margin: margin, probability: 0.9, pair: None };
            Signal { loss, class: Some(class) }
        };
        let mut table = Table::new(&ROWS).keeping(Denoise::default().recent());
        table.apply(&Report::new(SEEN, (0..ROW_COUNT).map(|row| (position(row), signal(row))).collect())).unwrap();
        let denoise = Denoise::default();
        assert!(denoise.fit(&table, &classes, 99).values().is_empty());
        assert!(!Denoise { gate: 0.0, ..denoise }.fit(&table, &classes, 99).values().is_empty());
    }

    #[test]
    fn without_labels_there_are_no_classes_to_be_explained_by() {
        let (table, _) = observed(|row| row % 5 == 0);
        assert!(!Denoise::default().fit(&table, &Classes::new(&ROWS), 99).values().is_empty());
    }

    /// Five classes; of the rows that a model contradicts it gives the label `label`, the rival 0.6, the rest the others.
    fn contradicted(share: u32, label: f32, class_count: u32) -> (Table, Classes) {
        let mut table = Table::new(&ROWS).keeping(Denoise::default().recent());
        let mut classes = Classes::new(&ROWS);
        for (block, rows) in (0..).zip(ROWS) {
            classes.set(block, (0..rows).map(|row| row % class_count).collect()).unwrap();
        }
        let signal = |row: u32| {
            let wrong = row % 10 < share;
            let (probability, rival) = if wrong { (label, 0.6) } else { (0.6, 0.3) };
            let margin = probability - rival + 0.1 * spread(row);
            let class = ClassSignal { logit_margin: margin, probability_margin: margin, probability, pair: None };
            // The losses tell nothing apart.
            Signal { loss: 2.0 * spread(row).powi(6), class: Some(class) }
        };
        table.apply(&Report::new(SEEN, (0..ROW_COUNT).map(|row| (position(row), signal(row))).collect())).unwrap();
        (table, classes)
    }

    #[test]
    fn confusion_of_one_class_with_one_other_opens_the_gate_though_the_losses_are_not_apart() {
        let opens =
            |(table, classes): (Table, Classes)| !Denoise::default().fit(&table, &classes, 99).values().is_empty();
        assert!(opens(contradicted(4, 0.38, 5)));
        // Too few; spread over all classes; only two classes.
        assert!(!opens(contradicted(2, 0.38, 5)));
        assert!(!opens(contradicted(4, 0.15, 5)));
        assert!(!opens(contradicted(4, 0.38, 2)));
    }

    #[test]
    fn where_one_class_is_taken_for_one_other_a_row_is_judged_by_the_company_it_keeps() {
        // Four rows in ten are of class c and labelled c + 1; the model is as unsure of some rows that are labelled well.
        let beside = Beside { recent: Denoise::default().recent(), rivals: true };
        let mut table = Table::new(&[ROW_COUNT]).keeping(beside);
        let mut classes = Classes::new(&[ROW_COUNT]);
        classes.set(0, (0..ROW_COUNT).map(|row| row % 5).collect()).unwrap();
        let signal = |row: u32| {
            let (wrong, label) = (row / 5 % 10 < 4, row % 5);
            let rival = if wrong { (label + 4) % 5 } else { (label + 1) % 5 };
            let probability = if wrong { 0.265 } else { 0.415 } + 0.3 * spread(row);
            let margin = 2.0 * probability - 0.98;
            let pair = Some(ClassPair { label, rival });
            let class = ClassSignal { logit_margin: margin, probability_margin: margin, probability, pair };
            Signal { loss: 2.0 * spread(row).powi(6), class: Some(class) }
        };
        let rows = (0..ROW_COUNT).map(|row| (Position::new(0, row), signal(row)));
        table.apply(&Report::new(SEEN, rows.collect())).unwrap();
        let denoise = Denoise { min_per_class: 0, ..Denoise::default() };
        let weights = |table: &Table| -> Vec<f32> {
            let positions: Vec<Position> = (0..ROW_COUNT).map(|row| Position::new(0, row)).collect();
            let mut targets = Vec::new();
            let parameters = denoise.fit(table, &classes, 99);
            denoise.targets(&parameters, &WindowRows::new(&positions, table, &classes), &mut targets);
            targets.into_iter().map(|target| target.weight).collect()
        };
        let (with, without) = (weights(&table), weights(&table.clone().keeping(denoise.recent())));
        let errors = |weights: &[f32]| {
            let wrong = (0..ROW_COUNT).map(|row| row / 5 % 10 < 4);
            wrong.zip(weights).filter(|(wrong, weight)| *wrong == (**weight > 0.5)).count()
        };
        assert!(errors(&with) < 10 && errors(&without) > 200, "{} {}", errors(&with), errors(&without));
    }

    #[test]
    fn noisy_rows_lose_their_weight_but_not_their_chance_to_be_seen() {
        let noisy = |row| row % 5 == 0;
        let data = observed(noisy);
        let floor = 0.3;
        for (row, target) in (0..).zip(targets(Denoise { floor, ..Denoise::default() }, &data, 99)) {
            if noisy(row) {
                assert!(target.weight < 0.01 && target.inclusion == floor as f32, "{row}: {target:?}");
            } else {
                assert!(target.weight > 0.9 && target.inclusion >= target.weight, "{row}: {target:?}");
            }
        }
    }

    #[test]
    fn until_the_warm_up_is_over_every_row_is_plain() {
        let data = observed(|row| row % 5 == 0);
        let denoise = Denoise { warmup: 4, ..Denoise::default() };
        assert_eq!(targets(denoise, &data, 3), vec![Target::PLAIN; 1_000]);
        assert_ne!(targets(denoise, &data, 4), vec![Target::PLAIN; 1_000]);
    }

    #[test]
    fn a_model_that_has_made_few_steps_is_not_believed() {
        let data = observed(|row| row % 5 == 0);
        let opens = |warmup_batches| {
            targets(Denoise { warmup_batches, ..Denoise::default() }, &data, 99) != vec![Target::PLAIN; 1_000]
        };
        // Batches count from 0.
        assert!(opens(SEEN as u32 + 1) && !opens(SEEN as u32 + 2));
    }

    #[test]
    fn a_class_that_looks_wrong_altogether_keeps_its_best_rows() {
        // The whole of class 2 has low margins: it may be hard, or all wrong.
        let class_of = |row: u32| if row < ROWS[0] { row % 3 } else { (row - ROWS[0]) % 3 };
        let data = observed(|row| class_of(row) == 2);
        for min_per_class in [0, 1, 25] {
            let targets = targets(Denoise { gate: 0.0, min_per_class, ..Denoise::default() }, &data, 99);
            let plain = (0..).zip(&targets).filter(|(row, target)| class_of(*row) == 2 && **target == Target::PLAIN);
            assert_eq!(plain.count(), min_per_class as usize);
        }
    }

    #[test]
    fn rows_never_seen_are_plain() {
        let (table, classes) = observed(|row| row % 5 == 0);
        let denoise = Denoise::default();
        let parameters = denoise.fit(&table, &classes, 99);
        assert!(!parameters.values().is_empty());
        let empty = Table::new(&ROWS);
        let mut targets = Vec::new();
        denoise.targets(&parameters, &WindowRows::new(&[position(3), position(700)], &empty, &classes), &mut targets);
        assert_eq!(targets, [Target::PLAIN; 2]);
    }

    #[test]
    fn losses_without_classes_leave_the_gate_shut() {
        let mut table = Table::new(&ROWS).keeping(Denoise::default().recent());
        let rows = (0..ROW_COUNT).map(|row| (position(row), Signal { loss: (row % 2) as f32, class: None }));
        table.apply(&Report::new(SEEN, rows.collect())).unwrap();
        assert!(Denoise::default().fit(&table, &Classes::new(&ROWS), 99).values().is_empty());
    }

    #[test]
    fn a_row_is_judged_by_what_was_said_of_it_lately() {
        let (mut table, classes) = observed(|row| row % 5 == 0);
        // Row 7 was learnt, and is contradicted twice; row 5 was contradicted, and is learnt twice.
        let signal = |margin| Signal {
            loss: 0.5,
            class: Some(ClassSignal { logit_margin: margin, probability_margin: margin, probability: 0.5, pair: None }),
        };
        let lately = vec![(position(7), signal(-0.9)), (position(5), signal(0.9))];
        for batch in SEEN + 1..=SEEN + 2 {
            table.apply(&Report::new(batch, lately.clone())).unwrap();
        }
        let targets = targets(Denoise { min_per_class: 0, ..Denoise::default() }, &(table, classes), 99);
        assert!(targets[7].weight < 0.2, "{:?}", targets[7]);
        assert!(targets[5].weight > 0.8, "{:?}", targets[5]);
    }
}
