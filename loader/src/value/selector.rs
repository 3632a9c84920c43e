//! What every selector is: a pure choice of the rows to train on among the candidates that a forward pass has scored.
//!
//! A policy speaks before rows are drawn, from signals that are some batches old; a selector speaks inside a training
//! step, from signals that are fresh, and pays for them with a forward pass over all candidates. It may remember a few
//! numbers of batches that are some batches old. It knows nothing of models: whoever scores the candidates hands it plain
//! numbers.

use super::alignment::Gram;
use crate::{Pick, Position, Randomness, Report, Signal};
use std::fmt::Debug;

/// Which candidates of a super-batch are trained on, and what their losses count.
///
/// Functions of their arguments alone, so that a run can be resumed and replayed. What a selector remembers is one of
/// these arguments: the stream folds reports into it in batch order, up to those that are `feedback_lag` batches older
/// than the super-batch, whenever they came, and keeps it in its state.
pub trait Selector: Send + Sync + Debug {
    /// Which numbers it needs of a candidate beside its loss.
    fn needs(&self) -> Needs;

    /// Whether the weighted sum over its picks, times candidates / `size`, estimates the sum over the candidates without
    /// bias, whatever the scores are.
    fn unbiased(&self) -> bool;

    /// Whether it stands aside in a data epoch (from 0): then `size` of the candidates are trained, at random, with weight
    /// 1, and none is scored. It never does, unless said otherwise.
    fn rests(&self, _epoch: u32) -> bool {
        false
    }

    /// Whether scoring is worth its forward pass, by what it remembers, where `size` of `candidates` rows are trained. If
    /// it is not, as many are trained as in an epoch of [rest](Self::rests), and nothing is known of the others. It always
    /// is, unless said otherwise.
    fn pays(&self, _memory: &[f64], _candidates: usize, _size: usize) -> bool {
        true
    }

    /// How many numbers it remembers at most: none, unless said otherwise.
    ///
    /// Where there are some, a super-batch waits for the reports that it may see, and ranks have to be those of one
    /// process.
    fn remembers(&self) -> usize {
        0
    }

    /// What [`fold`](Self::fold) needs to know of all candidates together and no report's signals hold. It travels with
    /// the report and its log, where anything is remembered. Of a super-batch that did not have to be scored the candidates
    /// are the rows that were trained, and nothing is known of their alignments and inner products. Nothing, unless said
    /// otherwise; what is not finite is left out.
    fn statistic(&self, _candidates: &[Candidate]) -> Option<f64> {
        None
    }

    /// Takes the next report into what it remembers, which begins empty. Reports come in batch order, and those that say
    /// nothing do not come.
    fn fold(&self, _memory: &mut Vec<f64>, _report: &Report) {}

    /// Picks at most `size` of the candidates, by their index in ascending order; an index may come more than once where
    /// rows are drawn with replacement. `size` is at most the number of candidates.
    ///
    /// A candidate whose score is not a number is never preferred to one whose score is.
    fn select(&self, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick>;
}

/// What a selector picks from.
#[derive(Clone, Copy, Debug)]
pub struct SuperBatch<'a> {
    /// The candidates, in slot order.
    pub candidates: &'a [Candidate],
    /// The inner products of their gradients, where the selector [needs](Needs::gram) them.
    pub gram: Option<Gram<'a>>,
    /// What the selector remembers; empty where it has seen nothing yet.
    pub memory: &'a [f64],
}

impl<'a> SuperBatch<'a> {
    /// These candidates, of which nothing else is known and before which nothing was seen.
    #[must_use]
    pub const fn new(candidates: &'a [Candidate]) -> Self {
        Self { candidates, gram: None, memory: &[] }
    }
}

/// What a selector wants to know of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What the logits say of the label.
    pub class: bool,
    /// The norm of the loss's gradient at the logits.
    pub el2n: bool,
    /// What a reference model says.
    pub reference: bool,
    /// How its gradient stands to that of a trusted set.
    pub alignment: bool,
    /// How the candidates' gradients stand to one another.
    pub gram: bool,
}

/// A row that may be trained on, as the model scores it now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Where the row stands in the plan.
    pub position: Position,
    /// What the model says of it now.
    pub signal: Signal,
    /// ‖softmax(z) − onehot(y)‖₂, in [0, √2], where the model has classes (Paul et al. 2021).
    pub el2n: Option<f32>,
    /// What a reference model said of it.
    pub reference: Option<Reference>,
    /// ⟨g, ḡ⟩/‖ḡ‖, g its gradient and ḡ the mean one of a trusted set; below 0 it does harm.
    pub alignment: Option<f32>,
}

/// What the model says of a candidate: one a row of a super-batch, in slot order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Loss and, where there are classes, margins and probability.
    pub signal: Signal,
    /// ‖softmax(z) − onehot(y)‖₂ where there are classes; |ŷ − y| for squared errors.
    pub el2n: Option<f32>,
    /// ⟨g, ḡ⟩/‖ḡ‖, where there is a trusted set.
    pub alignment: Option<f32>,
}

/// What a reference model says of a row; it stays the same for the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// Its loss.
    pub loss: f32,
    /// Its probability of the label, in [0, 1], where it has classes.
    pub probability: Option<f32>,
}

/// The `size` candidates of the highest scores, in ascending order of their index, each with weight 1. Of equal scores
/// the earlier candidate is taken; what is no number comes last.
pub(super) fn highest(scores: &[f64], size: usize) -> Vec<Pick> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let rank = |index: &usize| if scores[*index].is_nan() { f64::NEG_INFINITY } else { scores[*index] };
    let nan_last = |index: &usize| scores[*index].is_nan();
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| nan_last(a).cmp(&nan_last(b))));
    order.truncate(size);
    order.sort_unstable();
    order.into_iter().map(Pick::plain).collect()
}

/// `size` of `count` candidates at random, in ascending order, each with weight 1.
pub(super) fn at_random(count: usize, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
    let order: Vec<f64> = (0..count).map(|_| randomness.unit()).collect();
    highest(&order, size)
}

/// As [`highest`], of scores with a Gumbel number added to each: a draw without replacement in which each next row comes
/// with a probability in proportion to the exponential of its score (Yellott 1977; Kool et al. 2019).
pub(super) fn drawn(scores: &[f64], size: usize, randomness: &mut Randomness) -> Vec<Pick> {
    let noisy: Vec<f64> = scores.iter().map(|score| score + gumbel(randomness)).collect();
    highest(&noisy, size)
}

/// A number of the standard Gumbel distribution.
pub(super) fn gumbel(randomness: &mut Randomness) -> f64 {
    // `unit` may be 0 and is never 1; half a step more keeps both logarithms finite.
    const HALF_A_STEP: f64 = 1.0 / (1_u64 << 54) as f64;
    -libm::log(-libm::log(randomness.unit() + HALF_A_STEP))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{ClassSignal, Purpose};
    use proptest::prelude::*;

    pub(crate) fn randomness(seed: u64) -> Randomness {
        Randomness::new(seed, 0, 0, Purpose::Selection)
    }

    /// A candidate with this loss, probability of the label and reference.
    pub(crate) fn candidate(row: u32, loss: f32, probability: f32, reference: Option<(f32, f32)>) -> Candidate {
        let class =
            ClassSignal { logit_margin: 0.0, probability_margin: 2.0 * probability - 1.0, probability, pair: None };
        Candidate {
            position: Position::new(0, row),
            signal: Signal { loss, class: Some(class) },
            el2n: Some((1.0 - probability) * std::f32::consts::SQRT_2),
            reference: reference.map(|(loss, probability)| Reference { loss, probability: Some(probability) }),
            alignment: None,
        }
    }

    proptest! {
        #[test]
        fn the_highest_are_those_that_no_other_exceeds(
            scores in prop::collection::vec(prop_oneof![4 => -3.0_f64..3.0, 1 => Just(f64::NAN), 1 => Just(1.0)], 1..60),
            size in 0_usize..60,
        ) {
            let size = size.min(scores.len());
            let picks = highest(&scores, size);
            prop_assert_eq!(picks.len(), size);
            prop_assert!(picks.windows(2).all(|pair| pair[0].index < pair[1].index));
            let picked = |index: &usize| picks.iter().any(|pick| pick.index as usize == *index);
            let least = picks.iter().map(|pick| scores[pick.index as usize]).fold(f64::INFINITY, |least, score| {
                if score.is_nan() { f64::NEG_INFINITY } else { least.min(score) }
            });
            for index in (0..scores.len()).filter(|index| !picked(index)) {
                prop_assert!(scores[index].is_nan() || scores[index] <= least);
            }
        }
    }

    #[test]
    fn a_draw_takes_each_row_as_often_as_its_score_says() {
        let odds = [1.0_f64, 2.0, 4.0, 8.0];
        let scores = odds.map(|odd| odd.ln());
        let mut counts = [0_u32; 4];
        const DRAWS: u32 = 60_000;
        let mut randomness = randomness(3);
        for _ in 0..DRAWS {
            let [pick] = drawn(&scores, 1, &mut randomness)[..] else { panic!("one pick") };
            counts[pick.index as usize] += 1;
        }
        let chi_square: f64 = counts
            .iter()
            .zip(odds)
            .map(|(count, odd)| {
                let expected = f64::from(DRAWS) * odd / 15.0;
                (f64::from(*count) - expected).powi(2) / expected
            })
            .sum();
        // The 99.9 % quantile of three degrees of freedom.
        assert!(chi_square < 16.27, "{chi_square}");
    }
}
