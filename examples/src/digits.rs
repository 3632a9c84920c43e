//! The UCI digits of the `smartcore` crate: 1,797 handwritten digits of 8 x 8 pixels. They come with cargo.

use crate::{
    arguments::{Common, On},
    dirt::{Dirt, Rows},
    planted::{Hyper, Planted},
    sample::{Held, Image, Sample},
};
use arrow::datatypes::{DataType, Field, FieldRef};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Pixels of a digit.
pub const FEATURES: usize = 64;
/// The ten digits.
pub const CLASSES: usize = 10;
/// The seed of the split.
const SPLIT: u64 = 1797;
/// The darkest pixel.
const DARKEST: f32 = 16.0;

/// One digit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digit {
    /// 64 pixels, 0 to 16.
    pub pixels: Vec<f32>,
    /// 0 to 9.
    pub label: Option<i64>,
}

impl Sample for Digit {
    const CONTENT: &'static str = "pixels";
    fn fields(&self) -> Vec<FieldRef> {
        let pixel = Arc::new(Field::new("element", DataType::Float32, false));
        vec![
            Arc::new(Field::new("pixels", DataType::FixedSizeList(pixel, FEATURES as i32), false)),
            Arc::new(Field::new("label", DataType::Int64, true)),
        ]
    }

    fn label(&self) -> Option<i64> {
        self.label
    }

    fn set_label(&mut self, label: Option<i64>) {
        self.label = label;
    }

    fn spoil(&mut self) {
        let spot = self.label.unwrap_or(0).unsigned_abs() as usize % FEATURES;
        self.pixels[spot] = if spot.is_multiple_of(2) { f32::NAN } else { f32::INFINITY };
    }

    fn is_sound(&self) -> bool {
        self.pixels.iter().all(|pixel| pixel.is_finite())
    }
}

impl Image for Digit {
    const ENCODED: bool = false;

    fn pixels(&self) -> Option<Vec<f32>> {
        Some(self.pixels.iter().map(|pixel| pixel / DARKEST).collect())
    }
}

/// The digits, split once and for all: 70 % for training, 10 % for choosing hyper-parameters, 20 % for testing.
///
/// No seed of a run moves a digit from one part to another, so what was chosen on the validation split has never seen
/// a digit of the test split.
#[derive(Clone, Debug)]
pub struct Digits {
    /// For training, with true labels.
    pub train: Rows<Digit>,
    /// For choosing hyper-parameters.
    pub valid: Vec<Digit>,
    /// For testing.
    pub test: Vec<Digit>,
}

/// Loads and splits the digits.
#[must_use]
pub fn load() -> Digits {
    let data = smartcore::dataset::digits::load_dataset();
    let mut digits: Vec<Digit> = data
        .data
        .chunks(data.num_features)
        .zip(&data.target)
        .map(|(pixels, &label)| Digit { pixels: pixels.to_vec(), label: Some(label as i64) })
        .collect();
    digits.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT));
    let test = digits.split_off(digits.len() * 8 / 10);
    let valid = digits.split_off(digits.len() * 7 / 8);
    let truth = digits.iter().map(Digit::label).collect();
    Digits { train: Rows { rows: digits, truth }, valid, test }
}

/// Chosen on the validation split.
pub const HYPER: Hyper =
    Hyper { epochs: 100, batch: 64, warmup: 10, learning_rate: 1e-3, hidden: Some(128), shards: 4, group: 128 };

/// The digits with a share `noise` of wrong labels, 15 % duplicates and 2 % broken rows, as `common` asks for them.
#[must_use]
pub fn planted(noise: f64, common: &Common) -> Planted<Digit> {
    let dirt = Dirt { noise, duplicates: 0.15, broken: 0.02 };
    let data = load();
    let (held, held_name) = match common.on {
        On::Test => (data.test, "clean test rows"),
        On::Valid => (data.valid, "clean validation rows"),
    };
    let (epochs, batch) = common.sizes(HYPER.epochs, HYPER.batch);
    Planted {
        task: "digits",
        train: data.train.plant(dirt, CLASSES, common.seed),
        held: Held::new(held),
        held_name,
        dirt,
        shape: [1, 8, FEATURES / 8],
        classes: CLASSES,
        seed: common.seed,
        device: common.device(),
        hyper: Hyper { epochs, batch, learning_rate: common.learning_rate.unwrap_or(HYPER.learning_rate), ..HYPER },
    }
}
