//! What a perceptron is given of a small picture with colours: histograms of gradients, and coarse colours.
//!
//! Two cores cannot train a convolutional network on fifty thousand pictures dozens of times. On these features a
//! perceptron comes well above one on pixels.

use std::f32::consts::PI;

/// Pixels along a cell of the histograms, and along one whose mean colour is taken.
const CELL: usize = 8;
const PATCH: usize = 4;
const BINS: usize = 9;

/// Histograms of oriented gradients (Dalal and Triggs 2005: nine unsigned orientations, each pixel's vote shared between
/// the two that are nearest, cells of 8 x 8 pixels, blocks of 2 x 2 cells normalised, the steepest colour of each
/// pixel), then the mean of each colour in patches of 4 x 4, from −1 to 1. `pixels` channel by channel, in [0, 1].
pub(crate) fn features(pixels: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let at = |channel: usize, y: usize, x: usize| pixels[(channel * height + y) * width + x];
    let (rows, columns) = (height / CELL, width / CELL);
    let mut cells = vec![[0.0_f32; BINS]; rows * columns];
    for y in 0..rows * CELL {
        for x in 0..columns * CELL {
            let slope = |channel| {
                let down = at(channel, (y + 1).min(height - 1), x) - at(channel, y.saturating_sub(1), x);
                let right = at(channel, y, (x + 1).min(width - 1)) - at(channel, y, x.saturating_sub(1));
                (down, right, down.hypot(right))
            };
            let steepest = (0..channels).map(slope).max_by(|a, b| a.2.total_cmp(&b.2));
            let Some((down, right, norm)) = steepest else { continue };
            let place = down.atan2(right).rem_euclid(PI) / PI * BINS as f32;
            let (bin, share) = (place as usize % BINS, place.fract());
            let cell = &mut cells[y / CELL * columns + x / CELL];
            cell[bin] += (1.0 - share) * norm;
            cell[(bin + 1) % BINS] += share * norm;
        }
    }
    let mut features = Vec::new();
    for y in 0..rows.saturating_sub(1) {
        for x in 0..columns.saturating_sub(1) {
            let corners = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)];
            let block: Vec<f32> = corners.iter().flat_map(|(y, x)| cells[y * columns + x]).collect();
            let norm = block.iter().map(|vote| vote * vote).sum::<f32>().sqrt() + 1e-3;
            features.extend(block.iter().map(|vote| vote / norm));
        }
    }
    for channel in 0..channels {
        for y in (0..height / PATCH).map(|y| y * PATCH) {
            for x in (0..width / PATCH).map(|x| x * PATCH) {
                let patch = (0..PATCH * PATCH).map(|pixel| at(channel, y + pixel / PATCH, x + pixel % PATCH));
                features.push(2.0 * patch.sum::<f32>() / (PATCH * PATCH) as f32 - 1.0);
            }
        }
    }
    features
}
