//! When label noise is plain to see: the two gates of `denoise`, which stay shut on clean data.
//!
//! They read trajectories and classes, and know nothing of what an open gate leads to.

use crate::{
    Position,
    value::{
        classes::{Classes, UNKNOWN_CLASS},
        mixture::{Mixture, Variances},
        trajectory::Trajectory,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// A component of fewer rows than this share is a handful of hard ones, not label noise.
const LEAST_NOISE: f64 = 0.01;

/// Above this the model's doubts are spread, as those of one that has not learnt enough.
///
/// On 18 clean data sets of three classes and more (digits, and KEEL's), seen for 8 epochs, it was above .5 wherever three
/// rows in ten were contradicted. With 40 % noise between pairs it was .09 to .18 on the six that have more than five classes
/// and are learnt well by then.
const SYSTEMATIC: f64 = 0.2;

/// At least this share of the noisy component is contradicted by the model.
///
/// This and [`MOST_OF_CLASS`] are the middles of their ranges. On 25 clean data sets of KEEL (saheart, heart, breast, crx,
/// monk-2, tic-tac-toe, titanic, wisconsin, bands, hayes-roth, tae, wine, iris, led7digit, vehicle, vowel, movement_libras,
/// contraceptive, twonorm, ring, mushroom, splice, segment, texture, penbased), three seeds each, they shut 22 of 24 false
/// openings at 3 passes, 19 of 20 at 5 and 10 of 12 at 10.
const LEAST_CONTRADICTED: f64 = 0.5;

/// Above this the noisy component is a matter of class.
const MOST_OF_CLASS: f64 = 0.5;

/// Whether two components of the mean losses are further apart than `gate` (Ashman's D), and the higher one is label noise.
///
/// A `gate` of 0 asks no more of the higher one than rows enough.
pub(super) fn noise_stands_apart<'a, Rows: Iterator<Item = (Position, &'a Trajectory)>>(
    rows: impl Fn() -> Rows,
    classes: &Classes,
    gate: f64,
) -> bool {
    let losses: Vec<f64> = rows().map(|(_, trajectory)| f64::from(trajectory.mean_loss())).collect();
    let Some(losses) = Mixture::fit(&losses, Variances::Own) else { return false };
    losses.ashman_d() > gate
        && losses.shares[1] >= LEAST_NOISE
        && (gate == 0.0 || looks_like_noise(&losses, rows(), classes))
}

/// Whether the component of the higher mean loss holds rows that the model contradicts, from all classes.
fn looks_like_noise<'a>(
    losses: &Mixture,
    rows: impl Iterator<Item = (Position, &'a Trajectory)>,
    classes: &Classes,
) -> bool {
    // Of each class, the rows of the lower and of the higher component.
    let mut counts: BTreeMap<u32, [f64; 2]> = BTreeMap::new();
    let mut contradicted = 0.0;
    for (position, trajectory) in rows {
        let is_high = losses.posterior_high(f64::from(trajectory.mean_loss())) > 0.5;
        counts.entry(classes.get(position)).or_default()[usize::from(is_high)] += 1.0;
        contradicted += f64::from(u8::from(is_high && trajectory.is_contradicted()));
    }
    let of_component = |at: usize| counts.values().map(|of_class| of_class[at]).sum::<f64>();
    let [low, high] = [of_component(0), of_component(1)];
    if contradicted < LEAST_CONTRADICTED * high || low == 0.0 || high == 0.0 {
        return false;
    }
    let rows = low + high;
    let expected = |of_class: &[f64; 2], whole: f64| (of_class[0] + of_class[1]) * whole / rows;
    let chi_squared: f64 = (counts.values())
        .map(|of_class| {
            let part = |at: usize, whole| {
                let expected = expected(of_class, whole);
                (of_class[at] - expected) * (of_class[at] - expected) / expected
            };
            part(0, low) + part(1, high)
        })
        .sum();
    // Bergsma 2013: by chance alone χ² is about (classes − 1)·(components − 1).
    let v_squared = chi_squared / rows - (counts.len() - 1) as f64 / (rows - 1.0);
    v_squared < MOST_OF_CLASS * MOST_OF_CLASS
}

/// The share of `rows` that the model contradicts, if it does so systematically, else 0.
///
/// It is systematic where the other classes get less than [`SYSTEMATIC`] of what the label gets, each on average, in the
/// rows contradicted: κ of [`Evidence`](crate::value::Evidence). A model that is not good enough for its data contradicts many
/// rows too, but cannot decide between many classes. Two classes leave no other, so there this gate stays shut.
pub(super) fn systematic_share<'a>(rows: impl Iterator<Item = (Position, &'a Trajectory)>, classes: &Classes) -> f64 {
    let mut labels = BTreeSet::new();
    let (mut count, mut contradicted, mut label, mut others) = (0_u64, 0_u64, 0.0, 0.0);
    for (position, trajectory) in rows {
        count += 1;
        labels.insert(classes.get(position));
        if trajectory.is_contradicted() {
            let margin = f64::from(trajectory.mean_probability_margin());
            let probability = f64::from(trajectory.mean_probability());
            contradicted += 1;
            label += probability;
            others += (1.0 - 2.0 * probability + margin).max(0.0);
        }
    }
    labels.remove(&UNKNOWN_CLASS);
    let rest = labels.len().saturating_sub(2) as f64;
    if others < SYSTEMATIC * rest * label { contradicted as f64 / count as f64 } else { 0.0 }
}
