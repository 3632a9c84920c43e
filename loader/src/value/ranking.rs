//! Which rows are probably mislabelled: a score for each row, worst first, and how well such a score separates.
//!
//! Scores come from the signals of the training itself, so they cost nothing. The mean probability margin is the
//! score: on noise between two classes it is far ahead of the mean loss, on symmetric noise level with it. It knows
//! nothing of what is done with a suspicion.

use super::table::Table;
use crate::Position;

/// How suspicious each row's label is: minus the mean over its presentations of p_y − max over k ≠ y of p_k, so from −1
/// (surely right) to 1 (surely wrong). Rows in position order; rows never presented have no score.
///
/// This is the margin of AUM (Pleiss et al. 2020) on probabilities in place of logits.
#[must_use]
pub fn mislabel_scores(table: &Table) -> Vec<(Position, f32)> {
    let seen = table.iter().filter(|(_, trajectory)| trajectory.is_seen());
    seen.map(|(position, trajectory)| (position, -trajectory.mean_probability_margin())).collect()
}

/// Rows by falling suspicion; equal ones in position order.
#[must_use]
pub fn most_suspicious(table: &Table) -> Vec<(Position, f32)> {
    let mut scores = mislabel_scores(table);
    // A stable sort of rows in position order keeps ties in position order.
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    scores
}

/// The area under the ROC curve: the chance that a true row scores above a false one, ties counted half
/// (Mann and Whitney 1947).
///
/// `None` where the two differ in length, a score is NaN, or all rows are of one kind.
#[must_use]
pub fn auroc(scores: &[f32], truth: &[bool]) -> Option<f64> {
    if scores.len() != truth.len() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let mut rows: Vec<(f32, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = truth.iter().filter(|truth| **truth).count();
    let negatives = truth.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut below = 0_usize;
    let mut won = 0.0_f64;
    // `==` and not the total order: −0 and 0 are a tie.
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let true_ties = ties.iter().filter(|row| row.1).count();
        let false_ties = ties.len() - true_ties;
        won += true_ties as f64 * (below as f64 + 0.5 * false_ties as f64);
        below += false_ties;
    }
    Some(won / (positives as f64 * negatives as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassSignal, Report, Signal};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn auroc_is_the_share_of_pairs_in_the_right_order(rows in prop::collection::vec((0_u8..6, any::<bool>()), 0..40)) {
            let scores: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
            let truth: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let mut pairs = 0.0;
            let mut won = 0.0;
            for (a, _) in rows.iter().filter(|row| row.1) {
                for (b, _) in rows.iter().filter(|row| !row.1) {
                    pairs += 1.0;
                    won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                }
            }
            match auroc(&scores, &truth) {
                None => prop_assert_eq!(pairs, 0.0),
                Some(area) => prop_assert!((area - won / pairs).abs() < 1e-12),
            }
        }
    }

    #[test]
    fn auroc_says_nothing_where_there_is_nothing_to_say() {
        assert_eq!(auroc(&[1.0], &[true]), None);
        assert_eq!(auroc(&[1.0, f32::NAN], &[true, false]), None);
        assert_eq!(auroc(&[1.0], &[true, false]), None);
        assert_eq!(auroc(&[-0.0, 0.0], &[true, false]), Some(0.5));
    }

    #[test]
    fn the_worst_margins_come_first_and_rows_never_seen_not_at_all() {
        let mut table = Table::new(&[4, 1]);
        let row = |block, row, probability_margin| {
            let class = ClassSignal { logit_margin: 0.0, probability_margin, probability: 0.5, pair: None };
            (Position::new(block, row), Signal { loss: 1.0, class: Some(class) })
        };
        table.apply(&Report::new(0, vec![row(1, 0, -0.5), row(0, 3, 0.9), row(0, 0, -0.5)])).unwrap();
        let unseen = Signal { loss: f32::NAN, class: None };
        table.apply(&Report::new(1, vec![(Position::new(0, 1), unseen)])).unwrap();
        let worst = [((0, 0), 0.5), ((1, 0), 0.5), ((0, 3), -0.9)];
        assert_eq!(most_suspicious(&table), worst.map(|((block, row), score)| (Position::new(block, row), score)));
    }
}
