//! What the outputs of a model say of its samples, computed on the device beside the loss, outside the graph.

use burn::tensor::{Bool, Int, Tensor};

/// What a step reports of its samples besides their losses.
#[derive(Clone, Debug)]
pub struct Signals {
    /// `[batch, 3]`: logit margin, probability margin, probability of the label. Outside autodiff.
    rows: Option<Tensor<2>>,
    gradient: Option<Gradient>,
    /// `[batch]`, on the host.
    pub(crate) alignments: Option<Vec<f32>>,
}

/// What the norm of the loss's gradient at the model's output follows from. Computed only where a selector asks for it.
#[derive(Clone, Debug)]
enum Gradient {
    /// `[batch, classes]`: e^(z − max z), and `[batch, 1]`: their sums; where the label is.
    Classes { exponentials: Tensor<2>, sums: Tensor<2>, is_label: Tensor<2, Bool> },
    /// `[batch]`, as given.
    Norm(Tensor<1>),
}

impl Signals {
    /// Nothing besides the losses, where there are no classes.
    #[must_use]
    pub const fn none() -> Self {
        Self { rows: None, gradient: None, alignments: None }
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
    /// A few operations without autodiff; nothing is read back here. Logits that are not finite give signals that are
    /// not finite. With a single class the logit margin is infinite and both probabilities are 1.
    ///
    /// # Panics
    ///
    /// As the loss does: if the shapes do not match or a label is no class.
    #[must_use]
    pub fn classification(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Self {
        let z = logits.clone().without_autodiff();
        let [batch, classes] = z.dims();
        let y = targets.clone().without_autodiff().reshape([batch, 1]);

        let all = Tensor::<1, Int>::arange(0..i64::try_from(classes).unwrap_or(i64::MAX), &z.device());
        let is_label = y.clone().equal(all.reshape([1, classes]));
        let of_label = z.clone().gather(1, y);
        let of_rival = z.clone().mask_fill(is_label.clone(), f32::NEG_INFINITY).max_dim(1);

        // softmax is monotone, so the rival is the same on both scales, and only the row's normaliser is missing.
        let top = of_label.clone().max_pair(of_rival.clone());
        let exponentials = (z - top.clone()).exp();
        let sum = exponentials.clone().sum_dim(1);
        let p = (of_label.clone() - top.clone()).exp() / sum.clone();
        let p_rival = (of_rival.clone() - top).exp() / sum.clone();
        let gradient = Some(Gradient::Classes { exponentials, sums: sum, is_label });

        Self {
            rows: Some(Tensor::cat(vec![of_label - of_rival, p.clone() - p_rival, p], 1)),
            gradient,
            alignments: None,
        }
    }

    /// ‖softmax(z) − onehot(y)‖₂ of each sample (EL2N; Paul et al. 2021), or the norms that were given; `[batch]`.
    pub(crate) fn gradient_norms(&self) -> Option<Tensor<1>> {
        match self.gradient.clone()? {
            Gradient::Norm(norms) => Some(norms),
            Gradient::Classes { exponentials, sums, is_label } => {
                let [batch, _] = exponentials.dims();
                let errors = exponentials / sums - is_label.float();
                Some(errors.powi_scalar(2).sum_dim(1).sqrt().reshape([batch]))
            }
        }
    }

    /// How many samples they speak of; none where there is nothing besides the losses.
    pub(crate) fn len(&self) -> Option<usize> {
        self.rows.as_ref().map(|rows| rows.dims()[0])
    }

    pub(crate) fn into_rows(self) -> Option<Tensor<2>> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn classification<const B: usize, const C: usize>(logits: [[f32; C]; B], targets: [i64; B]) -> Vec<[f32; 3]> {
        let device = Device::default().autodiff();
        let logits = Tensor::from_floats(logits, &device).require_grad();
        let rows = Signals::classification(&logits, &Tensor::from_ints(targets, &device)).into_rows().unwrap();
        assert!(!rows.is_autodiff());
        let data = rows.try_into_vec_as::<f32>().unwrap();
        data.chunks_exact(3).map(|row| [row[0], row[1], row[2]]).collect()
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
