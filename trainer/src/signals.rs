//! What the outputs of a model say of its samples, outside the graph.

use arable_loader::{ClassPair, ClassSignal, value::Trusted};
use burn::tensor::{Bool, Int, Tensor, TensorData, activation::softmax};

/// Logits of a batch up to this many are read as they are: 16 KiB cost a GPU less than a dozen kernels, and a processor
/// less than a dozen tensors.
const FEW: usize = 4096;

/// What a step reports of its samples besides their losses.
#[derive(Clone, Debug)]
pub struct Signals {
    classes: Option<Classes>,
    gradient: Option<Gradient>,
    alignments: Option<Alignments>,
    last_layer: Option<LastLayer>,
}

/// How each sample's gradient stands to that of a trusted set, `[batch]`.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch, never a list of them")]
enum Alignments {
    /// As given.
    Host(Vec<f32>),
    /// Outside autodiff.
    Device(Tensor<1>),
}

/// What the gradients at the last layer are made of. Outside autodiff.
#[derive(Clone, Debug)]
struct LastLayer {
    /// `[batch, outputs]`.
    errors: Tensor<2>,
    /// `[batch, inputs]`.
    inputs: Tensor<2>,
    /// What inner products are divided by.
    norm: f64,
}

/// What the norm of the loss's gradient at the model's output follows from, where that is not what is sent back anyway.
/// Computed only where a selector asks for it.
/// Outside autodiff.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch, never a list of them")]
enum Gradient {
    /// Logits `[batch, classes]` and labels `[batch]`.
    Classes(Tensor<2>, Tensor<1, Int>),
    /// The gradients at the output, `[batch, outputs]`, as given.
    Output(Tensor<2>),
    /// `[batch]`, as given.
    Norm(Tensor<1>),
}

impl Gradient {
    /// ∂l/∂z, `[batch, outputs]`, where that is known: softmax(z) − onehot(y) of classes.
    fn errors(self) -> Option<Tensor<2>> {
        match self {
            Self::Norm(_) => None,
            Self::Output(errors) => Some(errors),
            Self::Classes(z, y) => {
                let [batch, classes] = z.dims();
                let is_label = is_label(&y.reshape([batch, 1]), classes).float();
                Some(softmax(z, 1) - is_label)
            }
        }
    }
}

/// What is sent back of classes. Outside autodiff.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch, never a list of them")]
pub(crate) enum Classes {
    /// `[batch, 3]`: logit margin, probability margin, probability of the label; labels `[batch]` and strongest rivals
    /// `[batch]`, as integers of their own, since half a float does not hold every class.
    Rows(Tensor<2>, Tensor<1, Int>, Tensor<1, Int>),
    /// Logits `[batch, classes]` and labels `[batch]`, of which [`of_row`] makes the same once they are read.
    Logits(Tensor<2>, Tensor<1, Int>),
}

impl Signals {
    /// Nothing besides the losses, where there are no classes.
    #[must_use]
    pub const fn none() -> Self {
        Self { classes: None, gradient: None, alignments: None, last_layer: None }
    }

    /// With how each sample's gradient stands to that of a trusted set
    /// ([`Trusted::alignments`](arable_loader::value::Trusted::alignments)), one number a sample: the policy `alignment`
    /// picks by it. [`with_last_layer`](Self::with_last_layer) computes it on the device.
    #[must_use]
    pub fn with_alignments(self, alignments: &[f64]) -> Self {
        let alignments = alignments.iter().map(|&alignment| alignment as f32).collect();
        Self { alignments: Some(Alignments::Host(alignments)), ..self }
    }

    /// With how each sample's gradient at the last layer stands to that of a trusted set, and to those of the others, for
    /// the policy `alignment`: s_i = e_iᵀ(M h_i + mean e)/‖ḡ‖, and, where picks interact (`method = "greats"`),
    /// ⟨e_i, e_j⟩·(⟨h_i, h_j⟩ + 1)/‖ḡ‖ of each with each. `inputs` h is what the last, linear, layer gets,
    /// `[batch, inputs]`, and `trusted` has M, the mean of e hᵀ, and ‖ḡ‖.
    ///
    /// The errors e are those of [`classification`](Self::classification), or the
    /// [output gradients](Self::with_output_gradients) that were given: say them first; without them nothing is known of
    /// the last layer. Nothing is read back here. The inner products are `[batch, batch]`, on the device and then on the
    /// host, and two matrix products for them; they are computed where the policy needs them.
    ///
    /// # Panics
    ///
    /// If the last layer is another than that of the trusted set, by its inputs or outputs, or there are not as many inputs
    /// as samples.
    #[must_use]
    pub fn with_last_layer(self, inputs: &Tensor<2>, trusted: &Trusted) -> Self {
        let Some(errors) = self.gradient().and_then(Gradient::errors) else { return self };
        let inputs = inputs.clone().without_autodiff();
        let ([batch, outputs], [rows, width]) = (errors.dims(), inputs.dims());
        assert!(rows == batch, "a last layer's inputs {:?} and errors {:?}", inputs.dims(), errors.dims());
        let of_trusted = (trusted.bias().len(), trusted.weights().len() / trusted.bias().len().max(1));
        assert!(
            of_trusted == (outputs, width),
            "a last layer of {outputs} by {width}, the trusted set's is {of_trusted:?}"
        );
        let constant = |numbers: &[f64], shape: [usize; 2]| {
            let numbers: Vec<f32> = numbers.iter().map(|number| (number / trusted.norm()) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(numbers, shape), (&errors.device(), errors.dtype()))
        };
        let weights = constant(trusted.weights(), [outputs, width]);
        let bias = constant(trusted.bias(), [outputs, 1]);
        let along = (errors.clone().matmul(weights) * inputs.clone()).sum_dim(1) + errors.clone().matmul(bias);
        let alignments = Some(Alignments::Device(along.reshape([batch])));
        Self { alignments, last_layer: Some(LastLayer { errors, inputs, norm: trusted.norm() }), ..self }
    }

    /// With the gradients of each sample's loss at the model's output, ∂l/∂z, `[batch, outputs]`, for models without
    /// classes: ŷ − y for half the squared error. Their norms are what `importance` needs, and
    /// [`with_last_layer`](Self::with_last_layer) takes them for its errors.
    #[must_use]
    pub fn with_output_gradients(self, gradients: &Tensor<2>) -> Self {
        Self { gradient: Some(Gradient::Output(gradients.clone().without_autodiff())), ..self }
    }

    /// With the norm of the loss's gradient at the model's output, `[batch]`, for models without classes: |ŷ − y| for
    /// squared errors. The policy `importance` needs it; for classes it follows from the logits.
    #[must_use]
    pub fn with_gradient_norms(self, norms: &Tensor<1>) -> Self {
        Self { gradient: Some(Gradient::Norm(norms.clone().without_autodiff())), ..self }
    }

    /// What logits z `[batch, classes]` say of labels y `[batch]`, with p = softmax(z): the margins
    /// z_y − max over k ≠ y of z_k and p_y − max over k ≠ y of p_k, p_y, and which k that is.
    ///
    /// Nothing is read back here. A small batch's logits are sent back as they are, and of a large one's a few operations
    /// without autodiff make these numbers on the device. Logits that are not finite give signals that are not
    /// finite. With a single class the logit margin is infinite and both probabilities are 1. Where two rivals are level,
    /// either may be named.
    ///
    /// # Panics
    ///
    /// If there are not as many labels as rows of logits.
    #[must_use]
    pub fn classification(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Self {
        let [batch, classes] = logits.dims();
        assert!(targets.dims() == [batch], "logits {:?} and labels {:?}", logits.dims(), targets.dims());
        let (z, y) = (logits.clone().without_autodiff(), targets.clone().without_autodiff());
        if batch * classes <= FEW {
            return Self { classes: Some(Classes::Logits(z, y)), ..Self::none() };
        }
        let gradient = Some(Gradient::Classes(z.clone(), y.clone()));
        Self { classes: Some(rows(z, y)), gradient, ..Self::none() }
    }

    /// ‖softmax(z) − onehot(y)‖₂ of each sample (EL2N; Paul et al. 2021), or the norms that were given; `[batch]`.
    pub(crate) fn gradient_norms(&self) -> Option<Tensor<1>> {
        match self.gradient()? {
            Gradient::Norm(norms) => Some(norms),
            gradient => {
                let errors = gradient.errors()?;
                let [batch, _] = errors.dims();
                Some(errors.powi_scalar(2).sum_dim(1).sqrt().reshape([batch]))
            }
        }
    }

    /// What gradients at the output follow from: what is sent back, where that says it.
    fn gradient(&self) -> Option<Gradient> {
        self.gradient.clone().or_else(|| match &self.classes {
            Some(Classes::Logits(z, y)) => Some(Gradient::Classes(z.clone(), y.clone())),
            _ => None,
        })
    }

    /// The alignments that lie on the host, and those that have to be read.
    pub(crate) fn alignments(&self) -> (Option<Vec<f32>>, Option<Tensor<1>>) {
        match self.alignments.clone() {
            None => (None, None),
            Some(Alignments::Host(alignments)) => (Some(alignments), None),
            Some(Alignments::Device(alignments)) => (None, Some(alignments)),
        }
    }

    /// The inner products of the gradients at the last layer, each with each, row by row: `[batch · batch]`.
    pub(crate) fn gram(&self) -> Option<Tensor<1>> {
        let LastLayer { errors, inputs, norm } = self.last_layer.clone()?;
        let [batch, _] = errors.dims();
        let of_errors = errors.clone().matmul(errors.transpose());
        let of_inputs = inputs.clone().matmul(inputs.transpose());
        Some((of_errors * (of_inputs + 1.0)).div_scalar(norm).reshape([batch * batch]))
    }

    /// How many samples they speak of; none where there is nothing besides the losses.
    pub(crate) fn len(&self) -> Option<usize> {
        self.classes.as_ref().map(|classes| match classes {
            Classes::Rows(rows, ..) => rows.dims()[0],
            Classes::Logits(_, labels) => labels.dims()[0],
        })
    }

    pub(crate) fn into_classes(self) -> Option<Classes> {
        self.classes
    }
}

/// Where the labels `[batch, 1]` lie among the classes.
fn is_label(labels: &Tensor<2, Int>, classes: usize) -> Tensor<2, Bool> {
    let all = Tensor::<1, Int>::arange(0..i64::try_from(classes).unwrap_or(i64::MAX), &labels.device());
    labels.clone().equal(all.reshape([1, classes]))
}

/// The numbers of each row, computed where the logits are.
fn rows(z: Tensor<2>, labels: Tensor<1, Int>) -> Classes {
    let [batch, classes] = z.dims();
    let y = labels.clone().reshape([batch, 1]);
    let is_label = is_label(&y, classes);
    let of_label = z.clone().gather(1, y);
    let (of_rival, rivals) = z.clone().mask_fill(is_label, f32::NEG_INFINITY).max_dim_with_indices(1);

    // softmax is monotone, so the rival is the same on both scales, and only the row's normaliser is missing.
    let top = of_label.clone().max_pair(of_rival.clone());
    let sum = (z - top.clone()).exp().sum_dim(1);
    let p = (of_label.clone() - top.clone()).exp() / sum.clone();
    let p_rival = (of_rival.clone() - top).exp() / sum;
    let rows = Tensor::cat(vec![of_label - of_rival, p.clone() - p_rival, p], 1);
    Classes::Rows(rows, labels, rivals.reshape([batch]))
}

/// What [`Classes::Rows`] say of one row, once they are read.
pub(crate) fn of_numbers(numbers: [f32; 3], label: i64, rival: i64) -> ClassSignal {
    let [logit_margin, probability_margin, probability] = numbers;
    let named = u32::try_from(label).ok().zip(u32::try_from(rival).ok());
    // With a single class the highest of none is the label itself.
    let pair = named.filter(|(label, rival)| label != rival).map(|(label, rival)| ClassPair { label, rival });
    ClassSignal { logit_margin, probability_margin, probability, pair }
}

/// The same of one row whose logits were read; none if the label is no class.
pub(crate) fn of_row(z: &[f32], label: i64) -> Option<ClassSignal> {
    let at = usize::try_from(label).ok()?;
    let of_label = *z.get(at)?;
    let (mut rival, mut of_rival) = (label, f32::NEG_INFINITY);
    for (class, &z) in z.iter().enumerate() {
        if class != at && (z > of_rival || rival == label) {
            (rival, of_rival) = (class as i64, of_rival.max(z));
        }
    }
    let top = of_label.max(of_rival);
    let sum: f32 = z.iter().map(|z| (z - top).exp()).sum();
    let (p, p_rival) = ((of_label - top).exp() / sum, (of_rival - top).exp() / sum);
    Some(of_numbers([of_label - of_rival, p - p_rival, p], label, rival))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// What is read of rows computed on the device.
    fn read(classes: &Classes) -> Vec<ClassSignal> {
        let Classes::Rows(rows, labels, rivals) = classes else { panic!("these are many") };
        assert!(!rows.is_autodiff() && !rivals.is_autodiff());
        let integers = |tensor: &Tensor<1, Int>| tensor.clone().try_into_vec_as::<i64>().unwrap();
        let pairs = integers(labels).into_iter().zip(integers(rivals));
        let rows = rows.clone().try_into_vec_as::<f32>().unwrap();
        rows.as_chunks().0.iter().zip(pairs).map(|(&row, (label, rival))| of_numbers(row, label, rival)).collect()
    }

    const fn numbers(signal: &ClassSignal) -> [f32; 3] {
        [signal.logit_margin, signal.probability_margin, signal.probability]
    }

    /// The signals of each row, which are to be the same on either way.
    fn classification<const B: usize, const C: usize>(logits: [[f32; C]; B], targets: [i64; B]) -> Vec<ClassSignal> {
        let device = Device::default().autodiff();
        let on_device = Tensor::from_floats(logits, &device).require_grad();
        let labels = Tensor::from_ints(targets, &device);
        let Some(Classes::Logits(z, y)) = Signals::classification(&on_device, &labels).into_classes() else {
            panic!("these are few");
        };
        assert!(!z.is_autodiff());
        let computed = read(&rows(z, y));
        let read: Vec<_> = logits.iter().zip(targets).map(|(z, y)| of_row(z, y).unwrap()).collect();
        for (row, other) in computed.iter().zip(&read) {
            let mut finite = true;
            for (one, other) in numbers(row).into_iter().zip(numbers(other)) {
                let close = (one - other).abs() < 1e-5 || one == other;
                assert!(close || !one.is_finite() && !other.is_finite(), "{row:?} and {other}");
                finite &= one.is_finite();
            }
            assert!(row.pair == other.pair || !finite, "{row:?} and {other:?}");
        }
        read
    }

    #[test]
    fn many_logits_are_made_signals_of_on_the_device() {
        let device = Device::default().autodiff();
        // The rivals are classes that half a float does not hold.
        let mut logits = vec![0.0_f32; 3 * FEW];
        [3001, FEW + 4095, 2 * FEW + 2049].into_iter().for_each(|at| logits[at] = 1.0);
        let logits = Tensor::<1>::from_floats(logits.as_slice(), &device).reshape([3, FEW]).require_grad();
        let signals = Signals::classification(&logits, &Tensor::from_ints([0, 1, 2], &device));
        assert_eq!(signals.len(), Some(3));
        let pairs: Vec<_> = read(&signals.into_classes().unwrap()).iter().map(|row| row.pair.unwrap()).collect();
        let expected = [(0, 3001), (1, 4095), (2, 2049)].map(|(label, rival)| ClassPair { label, rival });
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_label_that_is_no_class_has_no_signal() {
        assert_eq!(of_row(&[1.0, 2.0], 2), None);
        assert_eq!(of_row(&[1.0, 2.0], -1), None);
    }

    #[test]
    fn the_signals_are_those_of_a_plain_computation() {
        let logits = [[1.0, -2.0, 0.5], [3.0, 3.0, -1.0], [-4.0, 90.0, 2.0]];
        let targets = [0, 1, 2];
        for (row, (z, y)) in classification(logits, targets).into_iter().zip(logits.iter().zip(targets)) {
            let y = y as usize;
            let sum: f64 = z.iter().map(|z| f64::from(*z).exp()).sum();
            let p = z.map(|z| f64::from(z).exp() / sum);
            let rival = (0..3).filter(|k| *k != y).max_by(|a, b| z[*a].total_cmp(&z[*b])).unwrap();
            let expected = [f64::from(z[y] - z[rival]), p[y] - p[rival], p[y]];
            assert_eq!(row.pair, Some(ClassPair { label: y as u32, rival: rival as u32 }));
            for (found, expected) in numbers(&row).into_iter().zip(expected) {
                assert!((f64::from(found) - expected).abs() < 1e-5, "{row:?} is not {expected:?}");
            }
        }
    }

    #[test]
    fn a_tie_is_not_correct() {
        let signal = classification([[2.0, 2.0]], [1])[0];
        assert_eq!((signal.logit_margin, signal.probability_margin, signal.correct()), (0.0, 0.0, false));
    }

    #[test]
    fn logits_that_are_no_numbers_spoil_their_own_row_only() {
        let rows = classification([[f32::NAN, 1.0], [f32::INFINITY, 0.0], [1.0, 0.0]], [0, 0, 0]);
        assert!(rows[0].probability.is_nan());
        assert!(!numbers(&rows[1]).iter().all(|x| x.is_finite()));
        assert!(numbers(&rows[2]).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_single_class_is_certain() {
        let certain =
            ClassSignal { logit_margin: f32::INFINITY, probability_margin: 1.0, probability: 1.0, pair: None };
        assert_eq!(classification([[-3.0]], [0]), [certain]);
    }
}
