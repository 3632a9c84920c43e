//! What training says of samples: one observation a sample, one report a batch.

use crate::Position;

/// One observation of a sample in training, taken before the optimiser's step.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Signal {
    /// The loss, unweighted; may be NaN or infinite, which is recorded and weighs nothing.
    pub loss: f32,
    /// What the logits say, where there are classes.
    pub class: Option<ClassSignal>,
}

/// What the logits z say of the label y, with p = softmax(z).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClassSignal {
    /// z_y − max over k ≠ y of z_k.
    pub logit_margin: f32,
    /// p_y − max over k ≠ y of p_k, in [−1, 1].
    pub probability_margin: f32,
    /// p_y, in [0, 1].
    pub probability: f32,
}

impl ClassSignal {
    /// Whether the label was the most probable class.
    #[must_use]
    pub fn correct(&self) -> bool {
        self.logit_margin > 0.0
    }
}

/// What training says of one batch.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The batch's number over the whole run.
    pub batch: u64,
    /// Its samples in slot order; empty where the batch was dropped unreported.
    pub rows: Vec<(Position, Signal)>,
}

impl Report {
    /// The report of a batch that was dropped unreported: no signal.
    #[must_use]
    pub const fn none(batch: u64) -> Self {
        Self { batch, rows: Vec::new() }
    }
}
