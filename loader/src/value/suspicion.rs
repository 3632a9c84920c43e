//! One suspicion for every kind of label noise: the loss or the margin, as the trajectories themselves suggest.
//!
//! Between two classes the mean loss ranks best. Where there are more and a wrong label may be any of them, the mean logit
//! margin is as good; where each class is taken for one other, the mean probability margin, by far. Which of the
//! two a data set has shows in the rows that the model contradicts. A row of a class that is hard as a whole looks worse
//! than it is, and one of a class that is often labelled so better, so rows are judged beside their class and, where
//! classes are taken for one another, beside those that are taken for the same one. It knows nothing of what is done with a
//! suspicion.

use super::{
    classes::{Classes, UNKNOWN_CLASS},
    table::Table,
    trajectory::Trajectory,
};
use crate::Position;
use std::collections::HashMap;

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

/// How many rows of a row's kind (its label and its rival) it takes until half of how much worse they are on average than
/// those of its label is put on, where one class is taken for one other.
///
/// Chosen on the same eleven sets, four seeds, 20 % of the labels wrong, noise between pairs. Mean AUROC and precision:
/// .8871 / .709 without, .8987 / .741 with three quarters of it, .9002 / .745 with all, .9018 / .748 with one and a half; with
/// 0, 5, 20 and 40 rows in place of 10 .9018, .9012, .8988 and .8972 (`benchmarks/value/rivals.py`). Half of it where noise
/// is not systematic would gain .0035 on pairs and .0009 on symmetric noise, and costs more where classes are alike in
/// truth: there none is put on.
const ROWS_OF_KIND: f64 = 10.0;

/// How suspicious one row's label is, and what it is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspicion {
    /// Which row.
    pub position: Position,
    /// How suspicious its label is: higher is worse, comparable between rows of one data set only.
    pub suspicion: f32,
    /// The class that its label is taken for, by the model's number: the one to suggest in its place, if it is wrong. Whether
    /// it is wrong is the suspicion's matter: every row has a strongest rival. `None` where no signal named one.
    pub rival: Option<u32>,
}

/// A sum over so many rows.
#[derive(Clone, Copy, Default)]
struct Sum {
    of: f64,
    rows: f64,
}

impl Sum {
    fn add(&mut self, suspicion: f32) {
        self.of += f64::from(suspicion);
        self.rows += 1.0;
    }

    fn mean(self) -> f64 {
        self.of / self.rows
    }
}

/// How suspicious each row's label is, by the evidence that suits the whole table; higher is worse. Rows in position order;
/// rows never presented have no score.
///
/// With more than two classes, two things are known beside the row itself, by partial pooling: its class, of whose mean
/// suspicion a quarter is taken off; and its kind, the rows of the same label and the same rival
/// ([`Table::rival`]), which are the worse on average the more of them are wrong. With m_y and m_yr the two means and n
/// the rows of the kind, s ← s − m_y/4 + n/(n + 10)·(m_yr − m_y), the last part for [`Evidence::Margin`] alone: where one
/// class is taken for one other, that is what finds it, and elsewhere a kind says which classes are alike. With two classes,
/// where kinds are classes and a class of fewer rows has the larger share of wrong labels, both would do harm. `classes` are those that the rows are labelled with
/// ([`Stream::suspicions`](crate::Stream::suspicions) reads them from the data); rows of which none is known are taken for
/// a class of their own. Where rivals are not kept, kinds say nothing.
#[must_use]
pub fn suspicions(table: &Table, classes: &Classes) -> Vec<Suspicion> {
    let seen = || table.iter().filter(|(_, trajectory)| trajectory.is_seen());
    let mut of_class: HashMap<u32, Sum> = seen().map(|(row, _)| (classes.get(row), Sum::default())).collect();
    let known = of_class.len() - usize::from(of_class.contains_key(&UNKNOWN_CLASS));
    let evidence = Evidence::of(seen().map(|(_, trajectory)| trajectory), known as u32);
    let mut found: Vec<Suspicion> = seen()
        .map(|(position, trajectory)| Suspicion {
            position,
            suspicion: evidence.suspicion(trajectory),
            rival: table.rival(position).class(),
        })
        .collect();
    if known <= 2 {
        return found;
    }
    let kind = |row: &Suspicion, class| match evidence {
        Evidence::Margin => row.rival.map(|rival| (class, rival)),
        Evidence::Loss | Evidence::LogitMargin => None,
    };
    let mut of_kind: HashMap<(u32, u32), Sum> = HashMap::new();
    for row in &found {
        let class = classes.get(row.position);
        of_class.entry(class).or_default().add(row.suspicion);
        if let Some(kind) = kind(row, class) {
            of_kind.entry(kind).or_default().add(row.suspicion);
        }
    }
    for row in &mut found {
        let class = classes.get(row.position);
        let mean = of_class.get(&class).map_or(0.0, |class| class.mean());
        let kind = kind(row, class).and_then(|kind| of_kind.get(&kind));
        let worse = kind.map_or(0.0, |kind| kind.rows / (kind.rows + ROWS_OF_KIND) * (kind.mean() - mean));
        row.suspicion = (f64::from(row.suspicion) - SHARE_OF_CLASS * mean + worse) as f32;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClassSignal, Report, Signal,
        value::{Beside, Rival},
    };
    use proptest::prelude::*;

    /// A row as a model of ten classes sees it that gives the label, the rival and each other class these.
    fn row(label: f32, rival: f32) -> Trajectory {
        let mut trajectory = Trajectory::NEW;
        let margin = label - rival;
        let class = ClassSignal { logit_margin: margin, probability_margin: margin, probability: label, pair: None };
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
        for (found, (p, _, class)) in suspicions(&table, &classes).into_iter().zip(rows) {
            assert!((f64::from(found.suspicion) - (loss(p) - 0.25 * means[class as usize])).abs() < 1e-6);
            assert_eq!(found.rival, None);
        }
    }

    #[test]
    fn between_two_classes_it_is_the_loss_itself() {
        let (table, classes) = observed(&[(0.9, 0.1, 0), (0.8, 0.2, 0), (0.3, 0.7, 1), (0.6, 0.4, UNKNOWN_CLASS)]);
        let losses: Vec<f32> = suspicions(&table, &classes).into_iter().map(|row| row.suspicion).collect();
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
                    prop_assert!(found[a].suspicion > found[b].suspicion);
                }
            }
            let renamed: Vec<_> = rows.iter().map(|&(p, rival, class)| (p, rival, 90 - 7 * class)).collect();
            prop_assert_eq!(&found, &suspicions(&table, &observed(&renamed).1));
        }
    }

    /// One block, a row for each of these: p of the label and of its rival in parts of 64, the class and the rival.
    fn taken_for(rows: &[(u8, u8, u32, u32)]) -> (Table, Classes) {
        let part = |p: u8| f32::from(p) / 64.0;
        let observed_rows: Vec<_> = rows.iter().map(|&(p, q, class, _)| (part(p), part(q), class)).collect();
        let (table, classes) = observed(&observed_rows);
        let mut table = table.keeping(Beside { rivals: true, ..Beside::default() });
        for (at, &(.., rival)) in (0..).zip(rows) {
            table.set_rival(Position::new(0, at), Rival::new(rival, 1), None).unwrap();
        }
        (table, classes)
    }

    /// Computed in numpy, from the formula of [`suspicions`].
    #[test]
    fn rows_are_judged_beside_those_that_are_taken_for_the_same_class() {
        // Of the contradicted rows other classes get .03 of what the label gets, so the whole of the kind counts.
        let systematic = [
            (38, 15, 0, 1),
            (48, 1, 0, 1),
            (55, 2, 2, 3),
            (21, 41, 0, 2),
            (50, 9, 0, 1),
            (38, 5, 3, 0),
            (48, 11, 1, 2),
            (55, 4, 2, 3),
            (31, 31, 3, 0),
            (41, 3, 0, 1),
            (50, 9, 3, 0),
            (26, 36, 0, 1),
            (49, 7, 1, 2),
            (28, 34, 2, 3),
            (57, 2, 0, 1),
            (37, 13, 0, 1),
            (28, 34, 0, 1),
            (39, 1, 3, 0),
            (57, 1, 1, 2),
            (37, 17, 3, 0),
        ];
        let expected = [
            -0.311921, -0.686921, -0.700521, 0.454545, -0.593171, -0.4125, -0.402344, -0.669271, 0.103125, -0.546296,
            -0.5375, 0.203704, -0.480469, 0.221354, -0.811921, -0.327546, 0.141204, -0.490625, -0.699219, -0.209375,
        ];
        agree(&systematic, &expected, Evidence::Margin);
        // 2.96 of it: kinds say nothing.
        let any = [
            (1, 32, 2, 3),
            (43, 11, 2, 3),
            (3, 42, 0, 1),
            (3, 34, 2, 3),
            (45, 4, 1, 2),
            (50, 9, 1, 2),
            (5, 42, 1, 0),
            (53, 2, 1, 3),
            (51, 2, 3, 2),
            (5, 33, 3, 0),
            (41, 6, 2, 3),
            (37, 17, 2, 3),
            (47, 7, 3, 1),
            (4, 42, 2, 3),
            (46, 11, 3, 2),
            (37, 16, 2, 0),
            (57, 2, 2, 3),
            (45, 12, 1, 2),
            (38, 17, 3, 0),
            (5, 43, 1, 0),
        ];
        let expected = [
            0.515137, -0.469238, 0.457031, 0.515137, -0.581380, -0.581380, 0.637370, -0.737630, -0.674219, 0.528906,
            -0.516113, -0.281738, -0.533594, 0.624512, -0.455469, -0.297363, -0.828613, -0.456380, -0.236719, 0.652995,
        ];
        agree(&any, &expected, Evidence::LogitMargin);
    }

    fn agree(rows: &[(u8, u8, u32, u32)], expected: &[f64], evidence: Evidence) {
        let (table, classes) = taken_for(rows);
        assert_eq!(Evidence::of(table.iter().map(|(_, row)| row), 4), evidence);
        for ((found, expected), (.., rival)) in suspicions(&table, &classes).iter().zip(expected).zip(rows) {
            assert!((f64::from(found.suspicion) - expected).abs() < 2e-6, "{found:?} is not {expected}");
            assert_eq!(found.rival, Some(*rival));
        }
    }

    #[test]
    fn between_two_classes_rivals_change_nothing() {
        let rows = [(50, 10, 0, 1), (40, 20, 0, 1), (10, 50, 1, 0), (30, 20, 1, 0)];
        let (table, classes) = taken_for(&rows);
        let without = suspicions(&table.clone().keeping(None), &classes);
        let bits = |rows: &[Suspicion]| rows.iter().map(|row| row.suspicion.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&suspicions(&table, &classes)), bits(&without));
    }

    proptest! {
        #[test]
        fn of_two_rows_alike_that_of_the_worse_kind_is_the_more_suspicious(worse in 33_u8..52, rows in 3_usize..30) {
            // Class 0 is taken for 1 by rows that the model contradicts, and for 2 by rows that it does not; the third class
            // gets so little that noise is taken for systematic.
            let mut all = vec![(40, 20, 0, 1), (40, 20, 0, 2), (50, 10, 1, 0), (50, 10, 2, 0)];
            all.extend(std::iter::repeat_n((62 - worse, worse, 0, 1), rows));
            all.extend(std::iter::repeat_n((60, 2, 0, 2), rows));
            let (table, classes) = taken_for(&all);
            let found = suspicions(&table, &classes);
            prop_assert!(found[0].suspicion > found[1].suspicion);
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
