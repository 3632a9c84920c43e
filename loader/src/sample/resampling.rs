//! From targets to a draw: how often each row comes, in which order, and what its loss counts.
//!
//! It knows nothing of where targets come from, and nothing of signals.

use super::permutation::permute;
use crate::{Draw, Drawn, Error, Position, Purpose, Randomness, Result, Target};

/// How often each row is drawn: ⌊π⌋ or ⌈π⌉ times, π in expectation, and in total within one of Σπ.
///
/// Systematic resampling (Carpenter, Clifford and Fearnhead 1999): with one uniform u, row i is drawn as often as the
/// points u, u + 1, u + 2, … fall into its stretch of the running sum of π. The sum runs over the rows in a random
/// order, as else rows that stand in a rhythm (every second one of a class) would be drawn together or not at all.
/// Only the fractional parts run: the whole ones are given at once, so that a row with a whole π never sees rounding.
/// Each π must be finite and not negative, which [`draw`] checks.
#[must_use]
pub fn counts(targets: &[Target], randomness: &mut Randomness) -> Vec<u32> {
    let mut counts: Vec<u32> = targets.iter().map(|target| libm::floorf(target.inclusion) as u32).collect();
    let fraction = |row: usize| f64::from(targets[row].inclusion) - f64::from(counts[row]);
    let mut fractional: Vec<usize> = (0..targets.len()).filter(|row| fraction(*row) > 0.0).collect();
    permute(&mut fractional, randomness);
    let fractions: Vec<f64> = fractional.iter().map(|row| fraction(*row)).collect();
    let mut phase = randomness.unit();
    for (row, fraction) in fractional.into_iter().zip(fractions) {
        phase += fraction;
        if phase >= 1.0 {
            phase -= 1.0;
            counts[row] += 1;
        }
    }
    counts
}

/// What window `window` of data epoch `epoch` emits of the rows at `positions`: each as often as [`counts`] says, in a
/// uniformly random order, with weight v/π.
///
/// A function of its arguments. Where every target is [`Target::PLAIN`] it is a plain shuffle, bit for bit.
///
/// # Errors
/// [`Error::Policy`] naming `policy`, for a v or π that is negative or not finite, a π of 0 where v is not (such a row
/// could never be drawn, and no weight makes up for that), a π above [`MOST_INCLUSION`], and for a v/π beyond `f32`.
/// [`Error::Recipe`] if there is not one target for each position.
pub fn draw(
    policy: &str,
    positions: &[Position],
    targets: &[Target],
    seed: u64,
    epoch: u32,
    window: u64,
) -> Result<Draw> {
    if positions.len() != targets.len() {
        let what = format!("policy `{policy}` gave {} targets for {} rows", targets.len(), positions.len());
        return Err(Error::recipe(what));
    }
    // Each row once is what most streams draw, and what no number of `counts` changes.
    let mut draw: Draw = if targets.iter().all(|target| *target == Target::PLAIN) {
        positions.iter().map(|&position| Drawn { position, weight: 1.0 }).collect()
    } else {
        let mut weights = Vec::with_capacity(targets.len());
        for (&position, target) in positions.iter().zip(targets) {
            let fault = |what| Error::Policy { policy: policy.to_owned(), position, what };
            weights.push(weight(target).map_err(fault)?);
        }
        let counts = counts(targets, &mut Randomness::new(seed, epoch, window, Purpose::Resampling));
        let mut draw = Draw::with_capacity(counts.iter().map(|count| *count as usize).sum());
        for ((&position, weight), count) in positions.iter().zip(weights).zip(counts) {
            draw.extend(std::iter::repeat_n(Drawn { position, weight }, count as usize));
        }
        draw
    };
    permute(&mut draw, &mut Randomness::new(seed, epoch, window, Purpose::Rows));
    Ok(draw)
}

/// The most often that a row may come in a data epoch; more would let one row fill the memory.
pub const MOST_INCLUSION: f32 = 1024.0;

/// The weight v/π of a sound target, or what is wrong with it.
fn weight(target: &Target) -> Result<f32, String> {
    let Target { weight: v, inclusion: pi } = *target;
    if !(v.is_finite() && v >= 0.0) {
        return Err(format!("target weight {v} is no weight; it must be a number not below 0"));
    }
    if !(0.0..=MOST_INCLUSION).contains(&pi) {
        return Err(format!("inclusion {pi} is none; it must lie from 0 to {MOST_INCLUSION}"));
    }
    if v == 0.0 {
        return Ok(0.0);
    }
    if pi == 0.0 {
        return Err(format!("inclusion 0 with target weight {v}: the row could never be drawn; give it a floor"));
    }
    let weight = (f64::from(v) / f64::from(pi)) as f32;
    if weight.is_finite() { Ok(weight) } else { Err(format!("weight {v}/{pi} is beyond 32 bits; raise the floor")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(weight: f32, inclusion: f32) -> Target {
        Target { weight, inclusion }
    }

    fn positions(count: usize) -> Vec<Position> {
        (0..count as u32).map(|row| Position::new(row / 7, row % 7)).collect()
    }

    fn randomness(seed: u64) -> Randomness {
        Randomness::new(seed, 0, 0, Purpose::Resampling)
    }

    proptest! {
        #[test]
        fn every_row_comes_within_one_of_its_inclusion(inclusions in prop::collection::vec(0.0_f32..3.0, 0..200), seed: u64) {
            let targets: Vec<Target> = inclusions.iter().map(|pi| target(1.0, *pi)).collect();
            let counts = counts(&targets, &mut randomness(seed));
            for (count, pi) in counts.iter().zip(&inclusions) {
                prop_assert!((f64::from(*count) - f64::from(*pi)).abs() < 1.0);
            }
            let total: f64 = inclusions.iter().map(|pi| f64::from(*pi)).sum();
            let drawn: u32 = counts.iter().sum();
            prop_assert!((f64::from(drawn) - total).abs() < 1.0 + 1e-9);
        }

        #[test]
        fn rows_of_inclusion_one_come_once_whatever_stands_around_them(others in prop::collection::vec(0.0_f32..2.0, 1..100), seed: u64) {
            let targets: Vec<Target> = others.iter().flat_map(|pi| [target(1.0, *pi), Target::PLAIN]).collect();
            let counts = counts(&targets, &mut randomness(seed));
            prop_assert!(counts.iter().skip(1).step_by(2).all(|count| *count == 1));
        }

        #[test]
        fn a_draw_is_what_its_counts_say_in_some_order(inclusions in prop::collection::vec(0.1_f32..2.0, 0..80), seed: u64, window: u64) {
            let targets: Vec<Target> = inclusions.iter().map(|pi| target(0.5, *pi)).collect();
            let rows = positions(targets.len());
            let mut drawn = draw("test", &rows, &targets, seed, 3, window).unwrap();
            prop_assert_eq!(&drawn, &draw("test", &rows, &targets, seed, 3, window).unwrap());
            drawn.sort_by_key(|row| row.position);
            let counts = counts(&targets, &mut Randomness::new(seed, 3, window, Purpose::Resampling));
            let wanted = rows.iter().zip(&inclusions).zip(counts);
            let wanted: Draw = wanted
                .flat_map(|((&position, pi), count)| std::iter::repeat_n(Drawn { position, weight: 0.5 / pi }, count as usize))
                .collect();
            prop_assert_eq!(drawn, wanted);
        }
    }

    #[test]
    fn a_million_plain_rows_come_exactly_once_each() {
        let targets = vec![Target::PLAIN; 1_000_000];
        assert!((0..3).all(|seed| counts(&targets, &mut randomness(seed)).iter().all(|count| *count == 1)));
    }

    #[test]
    fn a_plain_draw_is_the_shuffle_of_the_rows() {
        let rows = positions(1_000);
        let mut shuffled = rows.clone();
        permute(&mut shuffled, &mut Randomness::new(5, 2, 9, Purpose::Rows));
        let drawn = draw("uniform", &rows, &vec![Target::PLAIN; rows.len()], 5, 2, 9).unwrap();
        assert_eq!(drawn, shuffled.iter().map(|&position| Drawn { position, weight: 1.0 }).collect::<Draw>());
    }

    #[test]
    fn rows_in_a_rhythm_are_drawn_independently_of_it() {
        let targets = vec![target(1.0, 0.5); 1_000];
        let even: u32 = counts(&targets, &mut randomness(4)).iter().step_by(2).sum();
        // Without the random order it would be 0 or 500. One standard deviation is about 8.
        assert!(even.abs_diff(250) < 50, "{even}");
    }

    #[test]
    fn frequencies_are_the_inclusions() {
        const RUNS: u32 = 20_000;
        let inclusions = [0.05, 0.3, 0.5, 0.9, 1.0, 1.25, 0.7, 0.1, 2.6];
        let targets = inclusions.map(|pi| target(1.0, pi));
        let mut drawn = [0_u32; 9];
        for window in 0..RUNS {
            let mut randomness = Randomness::new(11, 0, u64::from(window), Purpose::Resampling);
            for (total, count) in drawn.iter_mut().zip(counts(&targets, &mut randomness)) {
                *total += count;
            }
        }
        // Each row is Bernoulli in its fraction f, so (Σ − RUNS·π)²/(RUNS·f(1−f)) is chi-square with one degree of
        // freedom; 10.83 is its 99.9 % point. Rows are not independent of one another, so each is tested on its own.
        for (total, pi) in drawn.iter().zip(inclusions.map(f64::from)) {
            let spread = f64::from(RUNS) * pi.fract() * (1.0 - pi.fract());
            let off = f64::from(*total) - f64::from(RUNS) * pi;
            assert!(if spread == 0.0 { off == 0.0 } else { off * off / spread < 12.0 }, "{total} for {pi}");
        }
    }

    #[test]
    fn the_weighted_sum_of_a_draw_estimates_the_v_weighted_sum() {
        const RUNS: u64 = 4_000;
        let rows = positions(60);
        let targets: Vec<Target> =
            (0..60_u16).map(|row| target(f32::from(row % 5) * 0.25, 0.1 + f32::from(row % 7) * 0.2)).collect();
        let loss = |position: Position| f64::from(position.block * 7 + position.row).sin() + 2.0;
        let full: f64 = rows.iter().zip(&targets).map(|(row, target)| f64::from(target.weight) * loss(*row)).sum();
        let sums: Vec<f64> = (0..RUNS)
            .map(|window| {
                let drawn = draw("test", &rows, &targets, 3, 0, window).unwrap();
                drawn.iter().map(|row| f64::from(row.weight) * loss(row.position)).sum()
            })
            .collect();
        let mean = sums.iter().sum::<f64>() / RUNS as f64;
        let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / (RUNS - 1) as f64;
        let standard_error = (variance / RUNS as f64).sqrt();
        assert!(
            standard_error > 0.0 && (mean - full).abs() < 4.0 * standard_error,
            "{mean} ± {standard_error}, {full}"
        );
    }

    #[test]
    fn targets_that_are_none_are_refused_with_their_row() {
        let bad = [
            target(f32::NAN, 1.0),
            target(-0.5, 1.0),
            target(f32::INFINITY, 1.0),
            target(1.0, f32::NAN),
            target(1.0, -1.0),
            target(1.0, 1e9),
            target(1.0, 0.0),
            target(1e30, 1e-30),
        ];
        for bad in bad {
            let error = draw("odd", &positions(2), &[Target::PLAIN, bad], 0, 0, 0).unwrap_err();
            let Error::Policy { policy, position, .. } = error else { panic!("{error:?}") };
            assert_eq!((policy.as_str(), position), ("odd", Position::new(0, 1)));
        }
        assert!(matches!(draw("odd", &positions(2), &[Target::PLAIN], 0, 0, 0), Err(Error::Recipe(_))));
    }

    #[test]
    fn a_row_of_no_weight_may_be_left_out() {
        assert!(draw("test", &positions(1), &[target(0.0, 0.0)], 0, 0, 0).unwrap().is_empty());
    }
}
