//! A perceptual hash: the signs, against their median, of the lowest frequencies of a small grey copy of an image.

use super::{
    Pixels,
    resize::{Kernel, resize},
};
use std::f64::consts::PI;

/// The sides of the grey copy, and of the square of frequencies that is kept.
const SIDE: usize = 32;
const KEPT: usize = 8;

/// Below this a frequency counts as absent: rounding must not decide the bits of a blank image.
const ABSENT: f64 = 1e-6;

/// The 64 bits of `imagehash.phash` with its defaults, the first of them highest.
pub(super) fn perceptual_hash(pixels: &Pixels) -> u64 {
    let small = resize(&pixels.grey(), SIDE, SIDE, Kernel::Lanczos);
    let waves: Vec<[f64; SIDE]> = (0..KEPT)
        .map(|k| std::array::from_fn(|n| 2.0 * libm::cos(PI * (k * (2 * n + 1)) as f64 / (2 * SIDE) as f64)))
        .collect();
    let mut frequencies = [0.0; KEPT * KEPT];
    for (k, down) in waves.iter().enumerate() {
        let row: [f64; SIDE] =
            std::array::from_fn(|x| (0..SIDE).map(|y| down[y] * f64::from(small.data[y * SIDE + x])).sum());
        for (l, across) in waves.iter().enumerate() {
            let frequency: f64 = across.iter().zip(&row).map(|(wave, value)| wave * value).sum();
            frequencies[k * KEPT + l] = if frequency.abs() < ABSENT { 0.0 } else { frequency };
        }
    }
    let mut sorted = frequencies;
    sorted.sort_unstable_by(f64::total_cmp);
    let median = f64::midpoint(sorted[sorted.len() / 2 - 1], sorted[sorted.len() / 2]);
    frequencies.iter().fold(0, |hash, &frequency| hash << 1 | u64::from(frequency > median))
}
