//! Cross entropy with one value a sample: of classes, and of the tokens of a sequence.

use burn::tensor::{Bool, Int, Tensor, activation::log_softmax};

use super::Losses;

/// The cross entropy of each sample, −log softmax(z)_y, of logits `[batch, classes]` and labels `[batch]`.
///
/// Returns `[batch]`. Its mean is, bit for bit, what burn's `CrossEntropyLoss` gives for the same input.
/// [`CrossEntropy`] has smoothing, class weights, ignored labels and sequences.
///
/// # Panics
///
/// As burn's loss does: if the shapes do not match or a label is no class.
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    of_label(log_softmax(logits, 1), targets).neg()
}

/// Cross entropy with the settings of burn's `CrossEntropyLoss`, and one value a sample.
///
/// ```
/// use arable_trainer::loss::CrossEntropy;
/// use burn::tensor::{Device, Int, Tensor};
///
/// let device = Device::default();
/// let logits = Tensor::<3>::zeros([2, 4, 10], &device); // two sequences of four tokens, ten words
/// let targets = Tensor::<2, Int>::from_ints([[3, 7, 0, 0], [1, 2, 3, 4]], &device);
/// let losses = CrossEntropy::new().with_ignored([0]).of_sequences(logits, targets);
/// assert_eq!(losses.per_sample().dims(), [2]); // the mean over two tokens, and over four
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    smoothing: f32,
    class_weights: Option<Vec<f32>>,
    ignored: Vec<i64>,
}

impl CrossEntropy {
    /// Without smoothing, class weights or ignored labels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Labels smoothed by `alpha` in 0 to 1: 1 − α on the label, and α spread over all classes (Szegedy et al. 2016,
    /// section 7).
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

    /// A weight for each class, by which a sample of that class counts.
    ///
    /// # Panics
    ///
    /// If a weight is not a positive, finite number.
    #[must_use]
    pub fn with_class_weights(mut self, weights: impl Into<Vec<f32>>) -> Self {
        let weights = weights.into();
        let wrong = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0));
        assert!(wrong.is_none(), "class weights are positive, finite numbers; got {wrong:?}");
        self.class_weights = Some(weights);
        self
    }

    /// Labels that stand for nothing, such as the padding of sequences. They must be classes all the same.
    #[must_use]
    pub fn with_ignored(mut self, labels: impl Into<Vec<i64>>) -> Self {
        self.ignored = labels.into();
        self
    }

    /// The losses of logits `[batch, classes]` and labels `[batch]`. Their [`mean`](Losses::mean) is what burn's
    /// `CrossEntropyLoss` gives for the same input, up to rounding, except that a batch whose labels are all ignored
    /// gives 0 and not NaN.
    ///
    /// A sample's factor is the weight of its label's class, and 0 where the label is ignored; then its loss is 0 too.
    ///
    /// # Panics
    ///
    /// As burn's loss does: if the shapes do not match, a label is no class, or there is not one weight for each class.
    #[must_use]
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Losses {
        let ignored = self.ignored(&targets);
        let [batch, classes] = logits.dims();
        let log_p = log_softmax(logits, 1);
        let Some(weights) = &self.class_weights else {
            let losses = self.unweighted(log_p, targets);
            return match ignored {
                None => losses.into(),
                Some(ignored) => {
                    let counted = ignored.clone().bool_not().float();
                    Losses::with_factors(losses.mask_fill(ignored, 0), counted)
                }
            };
        };
        let weights = Tensor::<1>::from_floats(weights.as_slice(), &log_p.device());
        let of_label_weight = weights.clone().gather(0, targets.clone());
        let mut losses = of_label(log_p.clone(), targets).neg();
        if self.smoothing > 0.0 {
            // burn weighs every class's share of a smoothed label by that class's weight.
            let spread = (log_p * weights.reshape([1, classes])).mean_dim(1).reshape([batch]).neg();
            losses = losses * (1.0 - self.smoothing) + spread * self.smoothing / of_label_weight.clone();
        }
        match ignored {
            None => Losses::with_factors(losses, of_label_weight),
            Some(ignored) => {
                Losses::with_factors(losses.mask_fill(ignored.clone(), 0), of_label_weight.mask_fill(ignored, 0))
            }
        }
    }

    /// The losses of sequences: logits `[batch, tokens, classes]`, or `[batch · tokens, classes]`, and labels
    /// `[batch, tokens]`. Each sample's loss is the mean over its tokens that are not ignored (weighted by class where there are class weights), and its factor what
    /// these count together. So the [`mean`](Losses::mean) is that over all tokens of the batch, as burn's
    /// `CrossEntropyLoss` gives it for the flattened tensors, up to rounding.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward) does.
    #[must_use]
    pub fn of_sequences<const D: usize>(&self, logits: Tensor<D>, targets: Tensor<2, Int>) -> Losses {
        let [batch, tokens] = targets.dims();
        let (losses, factors) = self.of_tokens(logits, targets);
        let sums = (losses * factors.clone()).sum_dim(1).reshape([batch]);
        let counts = factors.sum_dim(1).reshape([batch]);
        debug_assert!(tokens > 0 || batch == 0, "a sequence without tokens has no loss");
        let empty = counts.clone().equal_scalar(0);
        Losses::with_factors(sums / counts.clone().mask_fill(empty, 1), counts)
    }

    /// The loss of every token, and what it counts: both `[batch, tokens]`, from logits `[batch, tokens, classes]`, or
    /// `[batch · tokens, classes]`, and labels `[batch, tokens]`.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward) does.
    #[must_use]
    pub fn of_tokens<const D: usize>(&self, logits: Tensor<D>, targets: Tensor<2, Int>) -> (Tensor<2>, Tensor<2>) {
        let [batch, tokens] = targets.dims();
        let shape = logits.dims();
        let classes = shape[D - 1];
        let matches = shape[..D - 1] == [batch, tokens] || shape[..D - 1] == [batch * tokens];
        assert!(matches, "logits {shape:?} and labels {:?}", [batch, tokens]);
        let flat = self.forward(logits.reshape([batch * tokens, classes]), targets.reshape([batch * tokens]));
        let factors = flat.factors().unwrap_or_else(|| flat.per_sample().ones_like().detach());
        (flat.per_sample().reshape([batch, tokens]), factors.reshape([batch, tokens]))
    }

    fn unweighted(&self, log_p: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        if self.smoothing == 0.0 {
            return of_label(log_p, targets).neg();
        }
        let everywhere = log_p.clone().mean_dim(1).squeeze_dim(1);
        (of_label(log_p, targets) * (1.0 - self.smoothing) + everywhere * self.smoothing).neg()
    }

    /// Which labels are ignored; `None` where none can be.
    fn ignored(&self, targets: &Tensor<1, Int>) -> Option<Tensor<1, Bool>> {
        let masks = self.ignored.iter().map(|label| targets.clone().equal_scalar(*label));
        masks.reduce(|mask, other| mask.bool_or(other))
    }
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

    const WEIGHTS: [f32; 5] = [0.2, 1.0, 3.0, 0.5, 2.0];

    fn example(device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let logits = Tensor::random([7, 5], Distribution::Normal(0.0, 3.0), device);
        (logits, Tensor::from_ints([0, 1, 2, 3, 4, 0, 3], device))
    }

    /// Every combination of the settings, here and at burn's.
    fn settings() -> Vec<(CrossEntropy, CrossEntropyLossConfig)> {
        let mut settings = Vec::new();
        for smoothing in [None, Some(0.1), Some(1.0)] {
            for weights in [None, Some(WEIGHTS.to_vec())] {
                for pad in [None, Some(vec![0, 3])] {
                    let mut ours = CrossEntropy::new().with_smoothing(smoothing.unwrap_or(0.0));
                    if let Some(weights) = weights.clone() {
                        ours = ours.with_class_weights(weights);
                    }
                    if let Some(pad) = &pad {
                        ours = ours.with_ignored(pad.iter().map(|label| *label as i64).collect::<Vec<_>>());
                    }
                    let burns = CrossEntropyLossConfig::new()
                        .with_smoothing(smoothing)
                        .with_weights(weights.clone())
                        .with_pad_tokens(pad);
                    settings.push((ours, burns));
                }
            }
        }
        settings
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
    fn with_any_settings_the_mean_and_its_gradient_are_burns_own_to_rounding() {
        let device = Device::default().autodiff();
        let (logits, targets) = example(&device);
        for (ours, burns) in settings() {
            let run = |loss: &dyn Fn(Tensor<2>) -> Tensor<1>| {
                let logits = logits.clone().detach().require_grad();
                let loss = loss(logits.clone());
                let gradient = logits.grad(&loss.backward()).unwrap();
                (loss.into_scalar::<f32>(), gradient)
            };
            let (our_loss, our_gradient) = run(&|z| ours.forward(z, targets.clone()).mean());
            let (burn_loss, burn_gradient) = run(&|z| burns.init(&device).forward(z, targets.clone()));
            assert!((our_loss - burn_loss).abs() < 1e-5, "{ours:?}: {our_loss} and {burn_loss}");
            assert!((our_gradient - burn_gradient).abs().max().into_scalar::<f32>() < 1e-6, "{ours:?}");
        }
    }

    #[test]
    fn the_mean_over_sequences_is_burns_own_over_all_tokens() {
        let device = Device::default();
        let logits = Tensor::<3>::random([3, 7, 5], Distribution::Normal(0.0, 2.0), &device);
        let targets =
            Tensor::<2, Int>::from_ints([[0, 1, 2, 3, 4, 0, 3], [1, 1, 2, 4, 2, 0, 0], [4, 0, 0, 0, 0, 0, 0]], &device);
        for (ours, burns) in settings() {
            let losses = ours.of_sequences(logits.clone(), targets.clone());
            let [batch, tokens, classes] = logits.dims();
            let flat = ours.of_sequences(logits.clone().reshape([batch * tokens, classes]), targets.clone());
            flat.per_sample().into_data().assert_eq(&losses.per_sample().into_data(), true);
            let flat = burns.init(&device).forward(logits.clone().reshape([21, 5]), targets.clone().reshape([21]));
            let (mean, wanted) = (losses.clone().mean().into_scalar::<f32>(), flat.into_scalar::<f32>());
            assert!((mean - wanted).abs() < 1e-5, "{ours:?}: {mean} and {wanted}");
            // A sequence's loss is its own: that of a batch of it alone.
            for row in 0..3 {
                let alone = ours.of_sequences(logits.clone().narrow(0, row, 1), targets.clone().narrow(0, row, 1));
                let of_batch = losses.per_sample().narrow(0, row, 1);
                assert!((of_batch - alone.per_sample()).abs().into_scalar::<f32>() < 1e-5);
            }
        }
    }

    #[test]
    fn ignored_samples_weigh_nothing_and_a_batch_of_them_is_zero() {
        let device = Device::default().autodiff();
        let (logits, _) = example(&device);
        let logits = logits.require_grad();
        let losses = CrossEntropy::new().with_ignored([2]).forward(logits.clone(), Tensor::from_ints([2; 7], &device));
        let loss = losses.mean();
        let gradient = logits.grad(&loss.backward()).unwrap();
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
        assert_eq!(gradient.abs().max().into_scalar::<f32>(), 0.0);
    }

    #[test]
    #[should_panic(expected = "a share from 0 to 1")]
    fn a_smoothing_beyond_one_is_refused() {
        let _ = CrossEntropy::new().with_smoothing(1.5);
    }
}
