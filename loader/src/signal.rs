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
    /// Which classes y and its rival are, where that is known: it says what a label is taken for.
    pub pair: Option<ClassPair>,
}

/// A row's label and its strongest rival, by the numbers that the model has for classes: those of its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClassPair {
    /// y.
    pub label: u32,
    /// The k ≠ y of the highest z_k.
    pub rival: u32,
}

impl ClassSignal {
    /// Whether the label was the most probable class.
    #[must_use]
    pub fn correct(&self) -> bool {
        self.logit_margin > 0.0
    }
}

/// One row of a super-batch that is trained on.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pick {
    /// Which candidate, by its slot.
    pub index: u32,
    /// The factor on its loss, beside the weight that its draw gave it.
    pub weight: f32,
}

impl Pick {
    /// The candidate in slot `index` with weight 1.
    #[must_use]
    pub const fn plain(index: usize) -> Self {
        Self { index: index as u32, weight: 1.0 }
    }
}

/// What training says of one batch.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The batch's number over the whole run.
    pub batch: u64,
    /// Its samples in slot order; empty where the batch was dropped unreported. Of a super-batch that was not scored, those
    /// that were trained.
    pub rows: Vec<(Position, Signal)>,
    /// Which of the batch's samples were trained on, where a selector picked; empty where all were.
    pub picks: Vec<Pick>,
    /// What the selector asks to have reported of the candidates together
    /// ([`Selector::statistic`](crate::value::Selector::statistic)), where it does.
    pub statistic: Option<f64>,
}

impl Report {
    /// The report of a batch that was dropped unreported: no signal.
    #[must_use]
    pub const fn none(batch: u64) -> Self {
        Self::new(batch, Vec::new())
    }

    /// The report of a batch that was trained as a whole.
    #[must_use]
    pub const fn new(batch: u64, rows: Vec<(Position, Signal)>) -> Self {
        Self { batch, rows, picks: Vec::new(), statistic: None }
    }
}
