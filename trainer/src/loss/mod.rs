//! Losses with one value a sample, for [`Curated::settle`](crate::Curated::settle) to weigh and report.
//!
//! burn's `CrossEntropyLoss` and `BinaryCrossEntropyLoss` have only the mean. Most of its other losses have
//! `forward_no_reduction`, which fits as it is where it gives one value a sample.

mod binary_cross_entropy;
mod cross_entropy;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::{CrossEntropy, cross_entropy};

use burn::tensor::Tensor;

/// One loss a sample, and how much of the mean each of them makes.
///
/// What a batch is trained on is Σ fᵢ lᵢ / Σ fᵢ: with factors f of 1 the plain mean, with the weights of the labels'
/// classes burn's weighted cross entropy, with the numbers of tokens the mean over all tokens. What is reported to the
/// loader is the loss l alone, so that samples stay comparable whatever their class or length.
#[derive(Clone, Debug)]
pub struct Losses {
    losses: Tensor<1>,
    factors: Option<Tensor<1>>,
}

impl Losses {
    /// Losses `[batch]` with factors `[batch]`, which are not negative and constant: no gradient flows through them.
    /// A sample whose factor is 0 is not trained on.
    #[must_use]
    pub fn with_factors(losses: Tensor<1>, factors: Tensor<1>) -> Self {
        Self { losses, factors: Some(factors.detach()) }
    }

    /// The losses, `[batch]`.
    #[must_use]
    pub fn per_sample(&self) -> Tensor<1> {
        self.losses.clone()
    }

    /// The factors, `[batch]`; `None` where all of them are 1.
    #[must_use]
    pub fn factors(&self) -> Option<Tensor<1>> {
        self.factors.clone()
    }

    /// How many losses there are, and factors where there are any.
    pub(crate) fn lengths(&self) -> (usize, Option<usize>) {
        let length = |tensor: &Tensor<1>| tensor.dims()[0];
        (length(&self.losses), self.factors.as_ref().map(length))
    }

    /// Σ fᵢ lᵢ / Σ fᵢ, `[1]`. Where all factors are 0 it is 0, with gradients of 0, and not NaN.
    #[must_use]
    pub fn mean(self) -> Tensor<1> {
        self.weighted_mean(None, false)
    }

    /// Σ wᵢ fᵢ lᵢ / Σ fᵢ, or / Σ wᵢ fᵢ where `by_weights` says so; `weights` are 1 where there are none.
    pub(crate) fn weighted_mean(self, weights: Option<Tensor<1>>, by_weights: bool) -> Tensor<1> {
        let Self { losses, factors } = self;
        let (products, sum) = match (factors, weights) {
            (None, None) => return losses.mean(),
            (None, Some(weights)) if !by_weights => return (losses * weights).mean(),
            (None, Some(weights)) => (weights.clone(), weights.sum()),
            (Some(factors), None) => (factors.clone(), factors.sum()),
            (Some(factors), Some(weights)) => {
                let products = factors.clone() * weights;
                let sum = if by_weights { products.clone().sum() } else { factors.sum() };
                (products, sum)
            }
        };
        // 0/0 would be NaN, and one batch of padding would end the training.
        let nothing = sum.clone().equal_scalar(0);
        (losses * products).sum() / sum.mask_fill(nothing, 1)
    }
}

impl From<Tensor<1>> for Losses {
    fn from(losses: Tensor<1>) -> Self {
        Self { losses, factors: None }
    }
}

/// Losses with their factors, as [`Losses::with_factors`] takes them.
impl From<(Tensor<1>, Tensor<1>)> for Losses {
    fn from((losses, factors): (Tensor<1>, Tensor<1>)) -> Self {
        Self::with_factors(losses, factors)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn tensor<const N: usize>(values: [f32; N]) -> Tensor<1> {
        Tensor::from_floats(values, &Device::default())
    }

    fn scalar(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar()
    }

    #[test]
    fn means_are_what_they_say() {
        let losses = || Losses::with_factors(tensor([1.0, 2.0, 4.0]), tensor([1.0, 3.0, 0.0]));
        let weights = || Some(tensor([0.5, 1.0, 9.0]));
        assert_eq!(scalar(losses().mean()), 7.0 / 4.0);
        assert_eq!(scalar(losses().weighted_mean(weights(), false)), 6.5 / 4.0);
        assert_eq!(scalar(losses().weighted_mean(weights(), true)), 6.5 / 3.5);
        let plain = || Losses::from(tensor([1.0, 2.0, 6.0]));
        assert_eq!(scalar(plain().mean()), 3.0);
        assert_eq!(scalar(plain().weighted_mean(Some(tensor([1.0, 1.0, 0.0])), false)), 1.0);
        assert_eq!(scalar(plain().weighted_mean(Some(tensor([1.0, 1.0, 0.0])), true)), 1.5);
    }

    #[test]
    fn a_batch_of_nothing_weighs_nothing() {
        let nothing = Losses::with_factors(tensor([1.0, 2.0]), tensor([0.0, 0.0]));
        assert_eq!(scalar(nothing.mean()), 0.0);
        assert_eq!(scalar(Losses::from(tensor([1.0])).weighted_mean(Some(tensor([0.0])), true)), 0.0);
    }
}
