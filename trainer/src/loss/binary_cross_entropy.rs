//! Binary cross entropy with one value a sample: of one label, and of several.

use burn::tensor::{Int, Tensor, activation::log_sigmoid};

/// Binary cross entropy of logits, with the settings of burn's `BinaryCrossEntropyLoss`, and one value a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BinaryCrossEntropy {
    smoothing: f32,
    weights: Option<Vec<f32>>,
}

impl BinaryCrossEntropy {
    /// Without smoothing or weights.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Labels 0 and 1 smoothed by `alpha` in 0 to 1: y (1 − α) + α / classes, where one label has two classes.
    ///
    /// # Panics
    ///
    /// If `alpha` is not within 0 to 1.
    #[must_use]
    pub fn with_smoothing(mut self, alpha: f32) -> Self {
        assert!((0.0..=1.0).contains(&alpha), "smoothing is a share from 0 to 1; got {alpha}");
        self.smoothing = alpha;
        self
    }

    /// Weights: for one label a sample those of the classes 0 and 1, for several labels one for each of them.
    ///
    /// # Panics
    ///
    /// If a weight is not a positive, finite number.
    #[must_use]
    pub fn with_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        let weights = weights.into();
        let wrong = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0));
        assert!(wrong.is_none(), "weights are positive, finite numbers; got {wrong:?}");
        self.weights = Some(weights);
        self
    }

    /// The loss of each sample, `[batch]`, of logits and labels (0 or 1) of one shape: `[batch]` for one label, or
    /// `[batch, labels]`, of which the mean over the labels is taken. The mean of what it returns is what burn's
    /// `BinaryCrossEntropyLoss` gives with `logits`, up to rounding.
    ///
    /// # Panics
    ///
    /// As burn's loss does: if the shapes do not match, or the weights are not as many as there must be.
    #[must_use]
    pub fn forward<const D: usize>(&self, logits: Tensor<D>, targets: Tensor<D, Int>) -> Tensor<1> {
        let shape = logits.dims();
        assert!(shape == targets.dims(), "logits {shape:?} and labels {:?} must have one shape", targets.dims());
        let mut smoothed = targets.clone().float();
        if self.smoothing > 0.0 {
            let classes = if D > 1 { shape[D - 1] } else { 2 };
            smoothed = smoothed * (1.0 - self.smoothing) + self.smoothing / classes as f32;
        }
        // −y log σ(z) − (1 − y) log(1 − σ(z)), with log(1 − σ(z)) = log σ(z) − z.
        let mut losses = (smoothed.neg() + 1.0) * logits.clone() - log_sigmoid(logits);
        if let Some(weights) = &self.weights {
            let labels = if D > 1 { shape[D - 1] } else { 2 };
            assert!(weights.len() == labels, "{} weights for {labels} labels", weights.len());
            let weights = Tensor::<1>::from_floats(weights.as_slice(), &losses.device());
            losses = losses
                * if D > 1 { weights.expand(shape) } else { weights.gather(0, targets.flatten(0, 0)).expand(shape) };
        }
        let batch = shape[0];
        let labels = shape.iter().skip(1).product::<usize>();
        losses.reshape([batch, labels]).mean_dim(1).reshape([batch])
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::loss::BinaryCrossEntropyLossConfig,
        tensor::{Device, Distribution},
    };

    use super::*;

    fn agrees<const D: usize>(logits: &Tensor<D>, targets: &Tensor<D, Int>, weights: &[f32]) {
        let device = logits.device();
        for smoothing in [None, Some(0.2)] {
            for weights in [None, Some(weights.to_vec())] {
                let mut ours = BinaryCrossEntropy::new().with_smoothing(smoothing.unwrap_or(0.0));
                if let Some(weights) = weights.clone() {
                    ours = ours.with_weights(weights);
                }
                let burns = BinaryCrossEntropyLossConfig::new()
                    .with_logits(true)
                    .with_smoothing(smoothing)
                    .with_weights(weights)
                    .init(&device)
                    .forward(logits.clone(), targets.clone())
                    .into_scalar::<f32>();
                let losses = ours.forward(logits.clone(), targets.clone());
                assert_eq!(losses.dims(), [logits.dims()[0]]);
                assert!((losses.mean().into_scalar::<f32>() - burns).abs() < 1e-5, "{ours:?}");
            }
        }
    }

    #[test]
    fn the_mean_is_burns_own_for_one_label_and_for_several() {
        let device = Device::default();
        let normal = Distribution::Normal(0.0, 4.0);
        agrees(
            &Tensor::<1>::random([6], normal, &device),
            &Tensor::from_ints([0, 1, 1, 0, 1, 0], &device),
            &[0.5, 2.0],
        );
        agrees(
            &Tensor::<2>::random([2, 3], normal, &device),
            &Tensor::from_ints([[0, 1, 1], [0, 0, 1]], &device),
            &[0.5, 2.0, 1.5],
        );
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let device = Device::default();
        let logits = Tensor::<1>::from_floats([1000.0, -1000.0], &device);
        let losses = BinaryCrossEntropy::new().forward(logits, Tensor::from_ints([0, 1], &device));
        assert_eq!(losses.try_into_vec_as::<f32>().unwrap(), [1000.0, 1000.0]);
    }
}
