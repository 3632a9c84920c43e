//! One suspicion for every kind of label noise: the loss or the margin, as the trajectories themselves suggest.
//!
//! Between two classes the mean loss ranks best. Where there are more and a wrong label may be any of them, the mean logit
//! margin does, by little; where each class is taken for one other, the mean probability margin, by far. Which of the
//! two a data set has shows in the rows that the model contradicts. It knows nothing of what is done with a suspicion.

use super::{table::Table, trajectory::Trajectory};
use crate::Position;

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
    /// Chosen on texture, penbased, segment and vowel of KEEL with 20 % wrong labels, where noise between pairs gave .05
    /// to .17 and symmetric noise .39 to .48; on none of the data sets that results are reported on.
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

/// How suspicious each row's label is, by the evidence that suits the whole table. Rows in position order; rows never
/// presented have no score.
#[must_use]
pub fn suspicions(table: &Table, classes: u32) -> Vec<(Position, f32)> {
    let seen = || table.iter().filter(|(_, trajectory)| trajectory.is_seen());
    let evidence = Evidence::of(seen().map(|(_, trajectory)| trajectory), classes);
    seen().map(|(position, trajectory)| (position, evidence.suspicion(trajectory))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassSignal, Signal};

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
        assert!(suspicions(&Table::new(&[3]), 10).is_empty());
    }
}
