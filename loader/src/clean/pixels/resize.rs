//! Resampling as Pillow does it, to the bit: what measures of images were tuned on.
//!
//! Two passes, across and then down, with weights in fixed point of 22 bits and rounding to 8 bits after each; where an
//! image shrinks, the kernel is stretched so that every pixel counts.

use super::Pixels;
use std::f64::consts::PI;

/// Pillow's `PRECISION_BITS`: 32 bits, less 8 for a pixel and 2 for weights beyond 1.
const PRECISION: u32 = 32 - 8 - 2;

/// A kernel: how far it reaches, and its weight at a distance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kernel {
    /// Cubic convolution with a = −1/2 (Keys 1981).
    Bicubic,
    /// A sinc windowed by its own main lobe, three zeros far.
    Lanczos,
}

impl Kernel {
    const fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { libm::sin(x * PI) / (x * PI) };
        match self {
            Self::Bicubic => match x.abs() {
                x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
                x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
                _ => 0.0,
            },
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// The weights by which one pixel of the output is made, and the pixel of the input where they begin.
struct Weights {
    first: usize,
    weights: Vec<i32>,
}

fn weights(from: usize, to: usize, kernel: Kernel) -> Vec<Weights> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = kernel.support() * stretch;
    let of_pixel = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // Truncated towards zero, as a cast in C.
        let first = ((centre - support + 0.5) as i64).max(0) as usize;
        let end = ((centre + support + 0.5) as i64).clamp(0, from as i64) as usize;
        let exact: Vec<f64> =
            (first..end).map(|x| kernel.weight((x as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let sum: f64 = exact.iter().sum();
        let fixed = |weight: f64| {
            let scaled = if sum == 0.0 { weight } else { weight / sum } * f64::from(1 << PRECISION);
            (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Weights { first, weights: exact.into_iter().map(fixed).collect() }
    };
    (0..to).map(of_pixel).collect()
}

/// `pixels`, made `width` × `height`; both at least 1.
pub(super) fn resize(pixels: &Pixels, width: usize, height: usize, kernel: Kernel) -> Pixels {
    let across = if width == pixels.width { None } else { Some(across(pixels, width, kernel)) };
    let wide = across.as_ref().unwrap_or(pixels);
    if height == wide.height {
        return wide.clone();
    }
    let row = wide.width * wide.channels;
    let mut data = Vec::with_capacity(row * height);
    for Weights { first, weights } in weights(wide.height, height, kernel) {
        for at in 0..row {
            let column = (first..).zip(&weights).map(|(y, &weight)| (wide.data[y * row + at], weight));
            data.push(weigh(column));
        }
    }
    Pixels { width, height, channels: wide.channels, data }
}

fn across(pixels: &Pixels, width: usize, kernel: Kernel) -> Pixels {
    let channels = pixels.channels;
    let weights = weights(pixels.width, width, kernel);
    let mut data = Vec::with_capacity(width * pixels.height * channels);
    for row in pixels.data.chunks_exact(pixels.width * channels) {
        for Weights { first, weights } in &weights {
            for channel in 0..channels {
                let pixels = row[first * channels + channel..].iter().step_by(channels);
                data.push(weigh(pixels.copied().zip(weights.iter().copied())));
            }
        }
    }
    Pixels { width, height: pixels.height, channels, data }
}

fn weigh(pixels: impl Iterator<Item = (u8, i32)>) -> u8 {
    let half = 1_i64 << (PRECISION - 1);
    let sum = pixels.fold(half, |sum, (pixel, weight)| sum + i64::from(pixel) * i64::from(weight));
    (sum >> PRECISION).clamp(0, 255) as u8
}
