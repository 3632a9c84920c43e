//! What becomes of a row that an operator speaks against, and how much less it counts where its weight is lowered.

/// What becomes of a row that an operator speaks against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// It is left out, and later operators never see it.
    Drop,
    /// It goes on, with a target weight v that is multiplied by a factor between `floor` and 1, by the rule's margin.
    Weigh {
        /// The least factor, above 0 and at most 1.
        floor: f64,
    },
    /// It is counted, and goes on.
    Annotate,
}

/// What `weigh_floor` is where the recipe does not say.
pub(super) const DEFAULT_FLOOR: f64 = 0.1;

/// The least weight that any number of operators leave a row: it stays a number that can be divided by.
pub(super) const LEAST_WEIGHT: f64 = 1e-6;

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Weigh { .. } => "weigh",
            Self::Annotate => "annotate",
        }
    }

    /// In a canonical text, for the fingerprint.
    pub(super) fn options(self) -> String {
        match self {
            Self::Weigh { floor } => format!("weigh_floor = {floor:?}"),
            Self::Drop | Self::Annotate => String::new(),
        }
    }
}

/// How far beyond its threshold a rule measured: |measured − threshold| over the larger of the two in magnitude, at
/// most 1. `None` where one of them is missing.
///
/// It has no unit, so that the margins of different rules can be held against each other: half of what is needed, or
/// twice of what is allowed, are both ½.
#[must_use]
pub fn margin(measured: Option<f64>, threshold: Option<f64>) -> Option<f64> {
    let (measured, threshold) = (measured?, threshold?);
    let scale = measured.abs().max(threshold.abs());
    let margin = (measured - threshold).abs() / scale;
    Some(match margin {
        _ if scale == 0.0 => 0.0,
        margin if margin.is_nan() => 1.0,
        margin => margin.min(1.0),
    })
}

/// The factor floor + (1 − floor) · (1 − margin) by which a rule lowers a weight: 1 at the threshold, `floor` far beyond it, and
/// `floor` too where the rule has no margin.
#[must_use]
pub fn weight_factor(margin: Option<f64>, floor: f64) -> f64 {
    floor + (1.0 - floor) * (1.0 - margin.unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::{margin, weight_factor};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_factor_lies_between_its_floor_and_one_and_falls_with_the_distance(
            threshold in -1e3_f64..1e3, near in 0.0_f64..1e3, more in 0.0_f64..1e3, floor in 0.001_f64..=1.0
        ) {
            let factor = |distance: f64| {
                weight_factor(margin(Some(threshold + distance), Some(threshold)), floor)
            };
            for distance in [near, -near] {
                prop_assert!((floor - 1e-12..=1.0 + 1e-12).contains(&factor(distance)));
            }
            // Beyond an upper bound that is not negative, farther is never heavier.
            if threshold >= 0.0 {
                prop_assert!(factor(near + more) <= factor(near) + 1e-12);
            }
        }
    }

    #[test]
    fn half_of_what_is_needed_and_twice_of_what_is_allowed_are_both_a_half() {
        assert_eq!(margin(Some(25.0), Some(50.0)), Some(0.5));
        assert_eq!(margin(Some(0.6), Some(0.3)), Some(0.5));
        assert_eq!(margin(Some(0.0), Some(0.0)), Some(0.0));
        assert_eq!(margin(Some(-3.0), Some(0.0)), Some(1.0));
        assert_eq!(margin(Some(f64::INFINITY), Some(1.0)), Some(1.0));
        assert_eq!(margin(None, Some(1.0)), None);
        assert_eq!(weight_factor(None, 0.2), 0.2);
        assert_eq!(weight_factor(Some(0.5), 0.25), 0.625);
    }
}
