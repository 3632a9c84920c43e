//! One suspicion for every kind of label noise: the loss or the margin, as the trajectories themselves suggest.
//!
//! Between two classes the mean loss ranks best. Where there are more and a wrong label may be any of them, the mean logit
//! margin is as good; where each class is taken for one other, the mean probability margin, by far. Which of the
//! two a data set has shows in the rows that the model contradicts. A row of a class that is hard as a whole looks worse
//! than it is, so rows are judged beside their class too. It knows nothing of what is done with a suspicion.

use super::{
    classes::{Classes, UNKNOWN_CLASS},
    table::Table,
    trajectory::Trajectory,
};
use crate::Position;
use std::collections::BTreeMap;

/// What a row's suspicion is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The mean loss.
    Loss,
    /// Minus the mean logit margin: AUM (Pleiss et al. 2020).
    LogitMargin,
    /// Minus the mean probability margin.
    Margin,
}

impl Evidence {
    /// Below this the contradicted labels stand out from the other classes, so they are no accident.
    ///
    /// Chosen on texture, penbased, segment and vowel of KEEL with 20 % wrong labels, where noise between pairs gives .02
    /// to .12 and symmetric noise .36 to .65; on none of the data sets that results are reported on.
    const SYSTEMATIC: f64 = 0.25;

    /// What suits `rows`, whose labels are of so many `classes`.
    ///
    /// The rows looked at are those that the model contradicts: a negative mean probability margin. In them the label
    /// and its rival take p_y and p_r, and κ is what the other classes − 2 get on average, as a share of what the label
    /// gets: κ = Σ (1 − p_y − p_r) / (classes − 2) / Σ p_y. If wrong labels may be any class, the model rates them
    /// little above the classes that nobody named; if one class is taken for one other time and again, the model has
    /// learnt that too, and κ is small. With two classes there is nothing to tell apart, and the loss has the tails; it is
    /// taken too where no row is contradicted, or signals had no classes.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Trajectory>, classes: u32) -> Self {
        if classes <= 2 {
            return Self::Loss;
        }
        let (mut label, mut others) = (0.0, 0.0);
        for row in rows {
            let margin = f64::from(row.mean_probability_margin());
            if margin < 0.0 {
                let probability = f64::from(row.mean_probability());
                label += probability;
                // p_r = p_y − margin; rounding may leave a negative of the last digit's size.
                others += (1.0 - 2.0 * probability + margin).max(0.0);
            }
        }
        if label <= 0.0 {
            Self::Loss
        } else if others < Self::SYSTEMATIC * f64::from(classes - 2) * label {
            Self::Margin
        } else {
            Self::LogitMargin
        }
    }

    /// How suspicious the label of `row` is; higher is worse, and comparable between rows of one data set only.
    #[must_use]
    pub fn suspicion(self, row: &Trajectory) -> f32 {
        match self {
            Self::Loss => row.mean_loss(),
            Self::LogitMargin => -row.mean_logit_margin(),
            Self::Margin => -row.mean_probability_margin(),
        }
    }
}

/// What of its class's mean is taken off a row's suspicion.
///
/// A class's mean says how hard its rows are, and how many of its labels are wrong: all of it would hide the second, none
/// leaves the first. Of 0, .25, .35 and .5, a quarter did best or within .0002 of it for either margin, on the mean AUROC
/// of eleven sets of KEEL (texture, penbased, segment, vowel, optdigits, vehicle, led7digit, splice, marketing,
/// contraceptive, movement_libras) with 20 % wrong labels; half does better where all is learnt well and harm where
/// classes are few and uneven.
const SHARE_OF_CLASS: f64 = 0.25;

/// How suspicious each row's label is, by the evidence that suits the whole table; higher is worse. Rows in position order;
/// rows never presented have no score.
///
/// With more than two classes, a quarter of the mean suspicion of a row's class is taken off. With two, where a class of fewer
/// rows has the larger share of wrong labels, that would do harm. `classes` are those that the rows are labelled with
/// ([`Stream::suspicions`](crate::Stream::suspicions) reads them from the data); rows of which none is known are taken for
/// a class of their own.
#[must_use]
pub fn suspicions(table: &Table, classes: &Classes) -> Vec<(Position, f32)> {
    let seen = || table.iter().filter(|(_, trajectory)| trajectory.is_seen());
    let mut means: BTreeMap<u32, (f64, u64)> = seen().map(|(position, _)| (classes.get(position), (0.0, 0))).collect();
    let known = means.len() - usize::from(means.contains_key(&UNKNOWN_CLASS));
    let evidence = Evidence::of(seen().map(|(_, trajectory)| trajectory), known as u32);
    let mut found: Vec<(Position, f32)> =
        seen().map(|(position, trajectory)| (position, evidence.suspicion(trajectory))).collect();
    if known <= 2 {
        return found;
    }
    for (position, suspicion) in &found {
        let (sum, rows) = means.entry(classes.get(*position)).or_default();
        *sum += f64::from(*suspicion);
        *rows += 1;
    }
    for (position, suspicion) in &mut found {
        if let Some((sum, rows)) = means.get(&classes.get(*position)) {
            *suspicion = (f64::from(*suspicion) - SHARE_OF_CLASS * sum / *rows as f64) as f32;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassSignal, Report, Signal};
    use proptest::prelude::*;

    /// A row as a model of ten classes sees it that gives the label, the rival and each other class these.
    fn row(label: f32, rival: f32) -> Trajectory {
        let mut trajectory = Trajectory::NEW;
        let class = ClassSignal { logit_margin: label - rival, probability_margin: label - rival, probability: label };
        trajectory.update(0, &Signal { loss: -label.ln(), class: Some(class) });
        trajectory
    }

    #[test]
    fn labels_that_are_rated_as_any_other_class_are_judged_by_the_logit_margin() {
        // Of 0.2 the label has 0.04 and each of eight others 0.02.
        let rows = [row(0.9, 0.02), row(0.04, 0.8), row(0.04, 0.8)];
        assert_eq!(Evidence::of(&rows, 10), Evidence::LogitMargin);
    }

    #[test]
    fn labels_that_one_class_is_taken_for_are_judged_by_the_margin() {
        // Of 0.2 the label has 0.16 and each of eight others 0.005.
        let rows = [row(0.9, 0.02), row(0.16, 0.8), row(0.16, 0.8)];
        assert_eq!(Evidence::of(&rows, 10), Evidence::Margin);
    }

    #[test]
    fn rows_that_the_model_agrees_with_have_no_say() {
        let wrong = [row(0.16, 0.8)];
        let right: Vec<Trajectory> = (0..1000).map(|_| row(0.3, 0.1)).collect();
        assert_eq!(Evidence::of(wrong.iter().chain(&right), 10), Evidence::Margin);
        assert_eq!(Evidence::of(&right, 10), Evidence::Loss);
    }

    #[test]
    fn two_classes_or_none_are_judged_by_the_loss() {
        assert_eq!(Evidence::of(&[row(0.2, 0.8)], 2), Evidence::Loss);
        let mut plain = Trajectory::NEW;
        plain.update(0, &Signal { loss: 3.0, class: None });
        assert_eq!(Evidence::of(&[plain], 10), Evidence::Loss);
        assert_eq!(Evidence::of(&[], 10), Evidence::Loss);
    }

    #[test]
    fn the_worse_row_has_the_higher_suspicion_by_either() {
        for evidence in [Evidence::Loss, Evidence::LogitMargin, Evidence::Margin] {
            assert!(evidence.suspicion(&row(0.1, 0.8)) > evidence.suspicion(&row(0.8, 0.1)));
        }
    }

    #[test]
    fn rows_never_seen_have_no_suspicion() {
        assert!(suspicions(&Table::new(&[3]), &Classes::new(&[3])).is_empty());
    }

    /// One block, a row for each of these: p of the label, that of its rival, and the class.
    fn observed(rows: &[(f32, f32, u32)]) -> (Table, Classes) {
        let blocks = [rows.len() as u32];
        let (mut table, mut classes) = (Table::new(&blocks), Classes::new(&blocks));
        for (at, &(label, rival, _)) in (0..).zip(rows) {
            table.set(Position::new(0, at), row(label, rival)).unwrap();
        }
        classes.set(0, rows.iter().map(|row| row.2).collect()).unwrap();
        (table, classes)
    }

    #[test]
    fn a_quarter_of_the_mean_of_a_class_is_taken_off() {
        // No row is contradicted, so the evidence is the loss, −ln p: class 0 is learnt, class 1 is hard, 2 is one row.
        let rows = [(0.9, 0.05, 0), (0.8, 0.1, 0), (0.4, 0.3, 1), (0.5, 0.4, 1), (0.6, 0.3, 2)];
        let (table, classes) = observed(&rows);
        let loss = |p: f32| f64::from(-p.ln());
        let means = [(loss(0.9) + loss(0.8)) / 2.0, (loss(0.4) + loss(0.5)) / 2.0, loss(0.6)];
        for ((_, found), (p, _, class)) in suspicions(&table, &classes).into_iter().zip(rows) {
            assert!((f64::from(found) - (loss(p) - 0.25 * means[class as usize])).abs() < 1e-6);
        }
    }

    #[test]
    fn between_two_classes_it_is_the_loss_itself() {
        let (table, classes) = observed(&[(0.9, 0.1, 0), (0.8, 0.2, 0), (0.3, 0.7, 1), (0.6, 0.4, UNKNOWN_CLASS)]);
        let losses: Vec<f32> = suspicions(&table, &classes).into_iter().map(|(_, suspicion)| suspicion).collect();
        assert_eq!(losses, [0.9_f32, 0.8, 0.3, 0.6].map(|p| -p.ln()));
    }

    proptest! {
        #[test]
        fn within_a_class_the_order_is_that_of_the_evidence_and_names_of_classes_say_nothing(
            rows in prop::collection::vec((1_u8..9, 0_u32..4), 1..40)
        ) {
            // The rest is the rival's and that of three others.
            let rows: Vec<(f32, f32, u32)> =
                rows.iter().map(|&(p, class)| (f32::from(p) / 10.0, 0.8 * (1.0 - f32::from(p) / 10.0), class)).collect();
            let (table, classes) = observed(&rows);
            let found = suspicions(&table, &classes);
            for (a, b) in (0..rows.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                if rows[a].2 == rows[b].2 && rows[a].0 < rows[b].0 {
                    prop_assert!(found[a].1 > found[b].1);
                }
            }
            let renamed: Vec<_> = rows.iter().map(|&(p, rival, class)| (p, rival, 90 - 7 * class)).collect();
            prop_assert_eq!(&found, &suspicions(&table, &observed(&renamed).1));
        }
    }

    #[test]
    fn losses_that_are_no_numbers_move_no_class() {
        let (mut table, classes) = observed(&[(0.9, 0.05, 0), (0.8, 0.1, 1), (0.4, 0.3, 2)]);
        let before = suspicions(&table, &classes);
        let rows = (0..3).map(|at| (Position::new(0, at), Signal { loss: f32::NAN, class: None }));
        table.apply(&Report::new(1, rows.collect())).unwrap();
        assert_eq!(suspicions(&table, &classes), before);
    }
}
