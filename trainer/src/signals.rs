//! What the outputs of a model say of its samples, outside the graph.

use burn::tensor::{Bool, Int, Tensor, activation::softmax};

/// Logits of a batch up to this many are read as they are: 16 KiB cost a GPU less than a dozen kernels, and a processor
/// less than a dozen tensors.
const FEW: usize = 4096;

/// What a step reports of its samples besides their losses.
#[derive(Clone, Debug)]
pub struct Signals {
    classes: Option<Classes>,
    gradient: Option<Gradient>,
    /// `[batch]`, on the host.
    pub(crate) alignments: Option<Vec<f32>>,
}

/// What the norm of the loss's gradient at the model's output follows from, where that is not what is sent back anyway.
/// Computed only where a selector asks for it.
/// Outside autodiff.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch, never a list of them")]
enum Gradient {
    /// Logits `[batch, classes]` and labels `[batch]`.
    Classes(Tensor<2>, Tensor<1, Int>),
    /// `[batch]`, as given.
    Norm(Tensor<1>),
}

/// What is sent back of classes. Outside autodiff.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a batch, never a list of them")]
pub(crate) enum Classes {
    /// `[batch, 3]`: logit margin, probability margin, probability of the label.
    Rows(Tensor<2>),
    /// Logits `[batch, classes]` and labels `[batch]`, of which [`of_row`] makes the same once they are read.
    Logits(Tensor<2>, Tensor<1, Int>),
}

impl Signals {
    /// Nothing besides the losses, where there are no classes.
    #[must_use]
    pub const fn none() -> Self {
        Self { classes: None, gradient: None, alignments: None }
    }

    /// With how each sample's gradient stands to that of a trusted set
    /// ([`Trusted::alignments`](arable_loader::value::Trusted::alignments)), one number a sample: the policy `alignment`
    /// picks by it.
    #[must_use]
    pub fn with_alignments(self, alignments: &[f64]) -> Self {
        Self { alignments: Some(alignments.iter().map(|&alignment| alignment as f32).collect()), ..self }
    }

    /// With the norm of the loss's gradient at the model's output, `[batch]`, for models without classes: |ŷ − y| for
    /// squared errors. The policy `importance` needs it; for classes it follows from the logits.
    #[must_use]
    pub fn with_gradient_norms(self, norms: &Tensor<1>) -> Self {
        Self { gradient: Some(Gradient::Norm(norms.clone().without_autodiff())), ..self }
    }

    /// What logits z `[batch, classes]` say of labels y `[batch]`, with p = softmax(z): the margins
    /// z_y − max over k ≠ y of z_k and p_y − max over k ≠ y of p_k, and p_y.
    ///
    /// Nothing is read back here. A small batch's logits are sent back as they are, and of a large one's a few operations
    /// without autodiff make the three numbers on the device. Logits that are not finite give signals that are not
    /// finite. With a single class the logit margin is infinite and both probabilities are 1.
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
        Self { classes: Some(Classes::Rows(rows(z, y))), gradient, alignments: None }
    }

    /// ‖softmax(z) − onehot(y)‖₂ of each sample (EL2N; Paul et al. 2021), or the norms that were given; `[batch]`.
    pub(crate) fn gradient_norms(&self) -> Option<Tensor<1>> {
        let gradient = self.gradient.clone().or_else(|| match &self.classes {
            Some(Classes::Logits(z, y)) => Some(Gradient::Classes(z.clone(), y.clone())),
            _ => None,
        });
        match gradient? {
            Gradient::Norm(norms) => Some(norms),
            Gradient::Classes(z, y) => {
                let [batch, classes] = z.dims();
                let is_label = is_label(&y.reshape([batch, 1]), classes).float();
                let errors = softmax(z, 1) - is_label;
                Some(errors.powi_scalar(2).sum_dim(1).sqrt().reshape([batch]))
            }
        }
    }

    /// How many samples they speak of; none where there is nothing besides the losses.
    pub(crate) fn len(&self) -> Option<usize> {
        self.classes.as_ref().map(|classes| match classes {
            Classes::Rows(rows) => rows.dims()[0],
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

/// The three numbers of each row, computed where the logits are.
fn rows(z: Tensor<2>, y: Tensor<1, Int>) -> Tensor<2> {
    let [batch, classes] = z.dims();
    let y = y.reshape([batch, 1]);
    let is_label = is_label(&y, classes);
    let of_label = z.clone().gather(1, y);
    let of_rival = z.clone().mask_fill(is_label, f32::NEG_INFINITY).max_dim(1);

    // softmax is monotone, so the rival is the same on both scales, and only the row's normaliser is missing.
    let top = of_label.clone().max_pair(of_rival.clone());
    let sum = (z - top.clone()).exp().sum_dim(1);
    let p = (of_label.clone() - top.clone()).exp() / sum.clone();
    let p_rival = (of_rival.clone() - top).exp() / sum;
    Tensor::cat(vec![of_label - of_rival, p.clone() - p_rival, p], 1)
}

/// The same three numbers of one row that was read; none if the label is no class.
pub(crate) fn of_row(z: &[f32], label: i64) -> Option<[f32; 3]> {
    let label = usize::try_from(label).ok()?;
    let of_label = *z.get(label)?;
    let rivals = z.iter().enumerate().filter(|&(class, _)| class != label);
    let of_rival = rivals.fold(f32::NEG_INFINITY, |most, (_, &z)| most.max(z));
    let top = of_label.max(of_rival);
    let sum: f32 = z.iter().map(|z| (z - top).exp()).sum();
    let (p, p_rival) = ((of_label - top).exp() / sum, (of_rival - top).exp() / sum);
    Some([of_label - of_rival, p - p_rival, p])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// The signals of each row, which are to be the same on either way.
    fn classification<const B: usize, const C: usize>(logits: [[f32; C]; B], targets: [i64; B]) -> Vec<[f32; 3]> {
        let device = Device::default().autodiff();
        let on_device = Tensor::from_floats(logits, &device).require_grad();
        let labels = Tensor::from_ints(targets, &device);
        let Some(Classes::Logits(z, y)) = Signals::classification(&on_device, &labels).into_classes() else {
            panic!("these are few");
        };
        assert!(!z.is_autodiff());
        let data = rows(z, y).try_into_vec_as::<f32>().unwrap();
        let read: Vec<_> = logits.iter().zip(targets).map(|(z, y)| of_row(z, y).unwrap()).collect();
        for (row, other) in data.chunks_exact(3).zip(&read) {
            for (one, other) in row.iter().zip(other) {
                let close = (one - other).abs() < 1e-5 || one == other;
                assert!(close || !one.is_finite() && !other.is_finite(), "{row:?} and {other}");
            }
        }
        read
    }

    #[test]
    fn many_logits_are_made_signals_of_on_the_device() {
        let device = Device::default().autodiff();
        let logits = Tensor::zeros([3, FEW], &device).require_grad();
        let signals = Signals::classification(&logits, &Tensor::from_ints([0, 1, 2], &device));
        assert_eq!(signals.len(), Some(3));
        let Some(Classes::Rows(rows)) = signals.into_classes() else { panic!("these are many") };
        assert!(!rows.is_autodiff());
        assert_eq!(rows.dims(), [3, 3]);
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
            for (found, expected) in row.into_iter().zip(expected) {
                assert!((f64::from(found) - expected).abs() < 1e-5, "{row:?} is not {expected:?}");
            }
        }
    }

    #[test]
    fn a_tie_is_not_correct() {
        assert_eq!(classification([[2.0, 2.0]], [1])[0][..2], [0.0, 0.0]);
    }

    #[test]
    fn logits_that_are_no_numbers_spoil_their_own_row_only() {
        let rows = classification([[f32::NAN, 1.0], [f32::INFINITY, 0.0], [1.0, 0.0]], [0, 0, 0]);
        assert!(rows[0][2].is_nan());
        assert!(!rows[1].iter().all(|x| x.is_finite()));
        assert!(rows[2].iter().all(|x| x.is_finite()));
    }

    #[test]
    fn a_single_class_is_certain() {
        assert_eq!(classification([[-3.0]], [0])[0], [f32::INFINITY, 1.0, 1.0]);
    }
}
