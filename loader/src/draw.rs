//! What a window emits: rows in order, with weights.

use crate::Position;

/// What a policy wants of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// v: which objective is trained. 1 is plain empirical risk, P(label is clean) cleaned risk.
    pub weight: f32,
    /// π: the expected number of times that the row is drawn in a data epoch.
    pub inclusion: f32,
}

impl Target {
    /// The row once, with weight 1.
    pub const PLAIN: Self = Self { weight: 1.0, inclusion: 1.0 };
}

/// One emission of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The row.
    pub position: Position,
    /// w: the factor on its loss, v/π.
    pub weight: f32,
}

/// The rows that a window emits, in order.
pub type Draw = Vec<Drawn>;
