//! Losses with one value a sample, for [`Curated::settle`](crate::Curated::settle) to weigh and report.
//!
//! burn's own `CrossEntropyLoss` has only the mean. Most of its other losses have `forward_no_reduction`, which fits as
//! it is where it gives one value a sample.

use burn::tensor::{Int, Tensor, activation::log_softmax};

/// The cross entropy of each sample, −log softmax(z)_y, of logits `[batch, classes]` and labels `[batch]`.
///
/// Returns `[batch]`. Its mean is, bit for bit, what burn's `CrossEntropyLoss` gives for the same input.
///
/// # Panics
///
/// As burn's loss does: if the shapes do not match or a label is no class.
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    of_label(log_softmax(logits, 1), targets).neg()
}

/// The cross entropy of each sample against smoothed labels: 1 − α on the label, and α spread over all classes
/// (Szegedy et al. 2016, section 7).
///
/// Returns `[batch]`. Its mean is what burn's `CrossEntropyLoss` gives with `smoothing` α, up to rounding.
///
/// # Panics
///
/// As [`cross_entropy`] does.
#[must_use]
pub fn smoothed_cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, alpha: f32) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    let everywhere = log_p.clone().mean_dim(1).squeeze_dim(1);
    (of_label(log_p, targets) * (1.0 - alpha) + everywhere * alpha).neg()
}

/// The entry of each row that its label names: `[batch, classes]` to `[batch]`.
fn of_label(rows: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let [batch] = targets.dims();
    rows.gather(1, targets.reshape([batch, 1])).reshape([batch])
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::loss::CrossEntropyLossConfig,
        tensor::{Device, Distribution},
    };

    use super::*;

    fn example(device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let logits = Tensor::random([7, 5], Distribution::Normal(0.0, 3.0), device);
        (logits, Tensor::from_ints([0, 1, 2, 3, 4, 0, 3], device))
    }

    #[test]
    fn the_mean_of_cross_entropy_and_its_gradient_are_burns_own_bit_for_bit() {
        let device = Device::default().autodiff();
        let (logits, targets) = example(&device);
        let run = |loss: &dyn Fn(Tensor<2>) -> Tensor<1>| {
            let logits = logits.clone().detach().require_grad();
            let loss = loss(logits.clone());
            let grads = loss.backward();
            (loss.into_data(), logits.grad(&grads).unwrap().into_data())
        };
        let ours = run(&|z| cross_entropy(z, targets.clone()).mean());
        let burns = run(&|z| CrossEntropyLossConfig::new().init(&device).forward(z, targets.clone()));
        assert_eq!(ours, burns);
    }

    #[test]
    fn the_mean_of_smoothed_cross_entropy_is_burns_own() {
        let device = Device::default();
        let (logits, targets) = example(&device);
        let burns = CrossEntropyLossConfig::new()
            .with_smoothing(Some(0.1))
            .init(&device)
            .forward(logits.clone(), targets.clone())
            .into_scalar::<f32>();
        let ours = smoothed_cross_entropy(logits, targets, 0.1);
        assert_eq!(ours.dims(), [7]);
        assert!((ours.mean().into_scalar::<f32>() - burns).abs() < 1e-5);
    }
}
