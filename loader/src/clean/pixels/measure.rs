//! What cleanvision measures of an image: brightness, information, sharpness, each a score where less is worse.

use super::{
    Pixels,
    resize::{Kernel, resize},
};

/// The side to which larger images are brought before their sharpness is measured.
const SHARPNESS_SIDE: usize = 64;

/// By how much a sharpness or a spread counts, and the spread's score that must be exceeded to count at all.
const SHARPNESS_FACTOR: f64 = 0.01;
const LEAST_SPREAD: f64 = 0.18;

/// What entropy, in bits, is multiplied with.
const ENTROPY_FACTOR: f64 = 0.1;

/// The brightness below which `percent` per cent of the pixels lie, in 0..=1, interpolated as NumPy does.
///
/// A pixel's is √(0.241 R² + 0.691 G² + 0.068 B²) / 255. The root's argument is a whole number of thousandths, so the
/// pixels are ranked by it, in two passes over the image and no copy of it.
pub(super) fn brightness_percentile(pixels: &Pixels, percent: f64) -> f64 {
    /// Ranks are told apart by the upper bits first.
    const LOWER: u32 = 12;
    const MOST: u32 = 1000 * 255 * 255;
    let count = pixels.width * pixels.height;
    let place = (count - 1) as f64 * (percent / 100.0);
    let below = place.floor() as usize;
    let mut upper = vec![0_usize; (MOST >> LOWER) as usize + 1];
    pixels.squares().for_each(|square| upper[(square >> LOWER) as usize] += 1);
    let ranked = |rank: usize| {
        let mut before = 0;
        let bin = upper.iter().position(|&count| {
            before += count;
            before > rank
        });
        let bin = bin.unwrap_or_default() as u32;
        let mut rank = rank - (before - upper[bin as usize]);
        let mut lower = vec![0_usize; 1 << LOWER];
        let of_bin = pixels.squares().filter(|square| square >> LOWER == bin);
        of_bin.for_each(|square| lower[(square & ((1 << LOWER) - 1)) as usize] += 1);
        let within = lower.iter().position(|&count| {
            let found = count > rank;
            rank = rank.saturating_sub(count);
            found
        });
        let square = bin << LOWER | within.unwrap_or_default() as u32;
        (f64::from(square) / 1000.0).sqrt() / 255.0
    };
    let low = ranked(below);
    let high = if below + 1 < count { ranked(below + 1) } else { low };
    low + (high - low) * (place - below as f64)
}

/// A tenth of the entropy, in bits, of the values of all channels together; at most 1.
pub(super) fn information(pixels: &Pixels) -> f64 {
    let mut counts = vec![[0_u64; 256]; pixels.channels];
    for pixel in pixels.data.chunks_exact(pixels.channels) {
        for (counts, &value) in counts.iter_mut().zip(pixel) {
            counts[usize::from(value)] += 1;
        }
    }
    let total = pixels.data.len() as f64;
    let shares = counts.iter().flatten().filter(|&&count| count > 0).map(|&count| count as f64 / total);
    let entropy: f64 = shares.map(|share| -share * libm::log2(share)).sum();
    (ENTROPY_FACTOR * entropy).min(1.0)
}

/// How sharp an image is, in 0..=1: its edges' standard deviation v as 1 − exp(−0.01 v), plus the same of its
/// histogram's, where that is above 0.18.
pub(super) fn sharpness(pixels: &Pixels) -> f64 {
    let longest = pixels.width.max(pixels.height);
    let shrunk = (longest > SHARPNESS_SIDE).then(|| {
        let side = |side: usize| (side * SHARPNESS_SIDE / longest).max(1);
        resize(pixels, side(pixels.width), side(pixels.height), Kernel::Bicubic)
    });
    let grey = shrunk.as_ref().unwrap_or(pixels).grey();
    let edges = edges(&grey);
    let count = edges.len() as f64;
    let (sum, squares) = edges.iter().fold((0.0, 0.0), |(sum, squares), &edge| {
        let edge = f64::from(edge);
        (sum + edge, squares + edge * edge)
    });
    let edges = ((squares - sum * sum / count) / count).max(0.0).sqrt();
    let mut histogram = [0.0_f64; 256];
    grey.data.iter().for_each(|&value| histogram[usize::from(value)] += 1.0);
    let mean = count / 256.0;
    let spread = (histogram.iter().map(|bin| (bin - mean) * (bin - mean)).sum::<f64>() / 256.0).sqrt();
    let score = |deviation: f64| 1.0 - libm::exp(-SHARPNESS_FACTOR * deviation);
    let spread = Some(score(spread)).filter(|&spread| spread > LEAST_SPREAD).unwrap_or_default();
    (score(edges) + spread).min(1.0)
}

/// Pillow's `FIND_EDGES`: eight times a pixel less its neighbours, cut to 8 bits; the rim stays as it is.
fn edges(grey: &Pixels) -> Vec<u8> {
    let (width, height) = (grey.width, grey.height);
    let mut edges = grey.data.clone();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let row = |y: usize| grey.data[y * width + x - 1..=y * width + x + 1].iter().map(|&value| i32::from(value));
            let around: i32 = row(y - 1).chain(row(y)).chain(row(y + 1)).sum();
            edges[y * width + x] = (9 * i32::from(grey.data[y * width + x]) - around).clamp(0, 255) as u8;
        }
    }
    edges
}
