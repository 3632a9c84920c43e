//! How much a step on one row helps a trusted set, from the last layer alone.
//!
//! For a linear layer with input h and output error e = ∂l/∂z, gradients are e·hᵀ and, of the bias, e, so inner products
//! need no gradient: ⟨g_i, g_j⟩ = ⟨e_i, e_j⟩·(⟨h_i, h_j⟩ + 1) (Wang et al., NeurIPS 2024). With classes e is p − onehot(y).
//! It knows nothing of models: whoever ran one hands over plain numbers.

use crate::{Error, Result};

/// The last layer of several rows: their errors and inputs, one row after another.
#[derive(Clone, Copy, Debug)]
pub struct LastLayer<'a> {
    errors: &'a [f32],
    inputs: &'a [f32],
    rows: usize,
}

impl<'a> LastLayer<'a> {
    /// `errors` and `inputs` of `rows` rows, each as long for every row.
    ///
    /// # Errors
    /// [`Error::Recipe`] where one of them is not of so many rows.
    pub fn new(errors: &'a [f32], inputs: &'a [f32], rows: usize) -> Result<Self> {
        let whole = |numbers: &[f32]| rows > 0 && !numbers.is_empty() && numbers.len().is_multiple_of(rows);
        if whole(errors) && whole(inputs) {
            return Ok(Self { errors, inputs, rows });
        }
        let (errors, inputs) = (errors.len(), inputs.len());
        Err(Error::recipe(format!("{errors} errors and {inputs} inputs of a last layer are not those of {rows} rows")))
    }

    fn row(&self, index: usize) -> (&'a [f32], &'a [f32]) {
        let of = |numbers: &'a [f32]| {
            let width = numbers.len() / self.rows;
            &numbers[index * width..(index + 1) * width]
        };
        (of(self.errors), of(self.inputs))
    }

    /// ⟨g_i, g_j⟩ of two rows.
    fn inner(&self, i: usize, j: usize) -> f64 {
        let ((a, x), (b, y)) = (self.row(i), self.row(j));
        dot(a, b) * (dot(x, y) + 1.0)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The mean gradient of a trusted set at the last layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Trusted {
    /// Mean of e·hᵀ, by error, then input.
    weights: Vec<f64>,
    /// Mean of e.
    bias: Vec<f64>,
    norm: f64,
}

impl Trusted {
    /// Of the rows of a trusted set, as the model sees them now; make it again every few steps. Rows with a number that
    /// is not finite are left out.
    #[must_use]
    pub fn new(rows: &LastLayer<'_>) -> Self {
        let (outputs, inputs) = (rows.errors.len() / rows.rows, rows.inputs.len() / rows.rows);
        let (mut weights, mut bias, mut count) = (vec![0.0; outputs * inputs], vec![0.0; outputs], 0.0_f64);
        for (error, input) in (0..rows.rows).map(|row| rows.row(row)) {
            if error.iter().chain(input).any(|number| !number.is_finite()) {
                continue;
            }
            count += 1.0;
            for ((error, bias), weights) in error.iter().zip(&mut bias).zip(weights.chunks_mut(inputs)) {
                *bias += f64::from(*error);
                weights.iter_mut().zip(input).for_each(|(w, input)| *w += f64::from(*error) * f64::from(*input));
            }
        }
        let numbers = || weights.iter().chain(&bias);
        let square: f64 = numbers().map(|sum| sum * sum).sum();
        let count = count.max(1.0);
        let norm = libm::sqrt(square) / count;
        let mean = |sums: &[f64]| sums.iter().map(|sum| sum / count).collect();
        Self { weights: mean(&weights), bias: mean(&bias), norm }
    }

    /// The mean of e·hᵀ, by error, then input: errors × inputs numbers.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The mean of e, one number an error.
    #[must_use]
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// What alignments and [products](Self::gram) are divided by: ‖ḡ‖, or 1 where that is 0.
    #[must_use]
    pub const fn norm(&self) -> f64 {
        if self.norm > 0.0 { self.norm } else { 1.0 }
    }

    /// The numbers of a [`Gram`] of `rows`: ⟨g_i, g_j⟩/‖ḡ‖, as many as the square of the rows.
    #[must_use]
    pub fn gram(&self, rows: &LastLayer<'_>) -> Vec<f32> {
        let all = 0..rows.rows;
        all.clone().flat_map(|i| all.clone().map(move |j| (rows.inner(i, j) / self.norm()) as f32)).collect()
    }

    /// s_i = ⟨g_i, ḡ⟩/‖ḡ‖ of each row: how fast a step on it lowers the trusted loss, to first order; below 0 it raises it.
    /// Times the learning rate, and summed over the steps that a row is in, it is the first-order in-run data Shapley value
    /// (Wang et al., ICLR 2025), but for the norm.
    ///
    /// # Errors
    /// [`Error::Recipe`] where the rows are of another layer.
    pub fn alignments(&self, rows: &LastLayer<'_>) -> Result<Vec<f64>> {
        let inputs = self.weights.len() / self.bias.len();
        let (error, input) = rows.row(0);
        if error.len() != self.bias.len() || input.len() != inputs {
            let what = format!(
                "a last layer of {} by {} beside a trusted set's of {} by {inputs}",
                error.len(),
                input.len(),
                self.bias.len()
            );
            return Err(Error::recipe(what));
        }
        let of = |row: usize| {
            let (error, input) = rows.row(row);
            let each = error.iter().zip(self.weights.chunks(inputs).zip(&self.bias)).map(|(error, (weights, bias))| {
                let along: f64 = weights.iter().zip(input).map(|(w, input)| w * f64::from(*input)).sum();
                f64::from(*error) * (along + bias)
            });
            each.sum::<f64>() / self.norm()
        };
        Ok((0..rows.rows).map(of).collect())
    }
}

/// Inner products of the gradients of several rows, each with each, in the unit of [alignments](Trusted::alignments):
/// ⟨g_i, g_j⟩/‖ḡ‖.
#[derive(Clone, Copy, Debug)]
pub struct Gram<'a> {
    products: &'a [f32],
    rows: usize,
}

impl<'a> Gram<'a> {
    /// The products of `rows` rows, those of the first with all, then those of the second, and so on.
    ///
    /// # Errors
    /// [`Error::Recipe`] where they are not `rows`·`rows`.
    pub fn new(products: &'a [f32], rows: usize) -> Result<Self> {
        if rows.checked_mul(rows) == Some(products.len()) {
            return Ok(Self { products, rows });
        }
        let products = products.len();
        Err(Error::recipe(format!("{products} inner products are not those of {rows} gradients, each with each")))
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The products of row `index` with all; what is not finite counts as 0.
    fn of(&self, index: usize) -> impl Iterator<Item = f64> {
        let all = &self.products[index * self.rows..(index + 1) * self.rows];
        all.iter().map(|product| if product.is_finite() { f64::from(*product) } else { 0.0 })
    }

    /// The step η along the sum of `size` of `rows` at random that lowers the trusted loss most, to second order with a
    /// Hessian of 1, as [`greats`] has it: η·Σs − η²/2·Σ⟨g_i, g_j⟩ is highest there. 0 where no step lowers it. `alignments`
    /// are those of all rows.
    #[must_use]
    pub fn best_rate(&self, alignments: &[f64], rows: &[usize], size: usize) -> f64 {
        let count = rows.len() as f64;
        let size = size.min(rows.len()) as f64;
        let (mut alignment, mut own, mut others) = (0.0, 0.0, 0.0);
        for &row in rows {
            alignment += alignments[row] / count;
            let products: Vec<f64> = self.of(row).collect();
            own += products[row] / count;
            others += (rows.iter().map(|&other| products[other]).sum::<f64>() - products[row]) / count;
        }
        // Each of a row's others is among those that are drawn with it with probability (size − 1)/(count − 1).
        let beside = if count > 1.0 { others * (size - 1.0) / (count - 1.0) } else { 0.0 };
        let curvature = own + beside;
        if alignment > 0.0 && curvature > 0.0 { alignment / curvature } else { 0.0 }
    }
}

/// GREATS (Wang et al., NeurIPS 2024, algorithm 1): greedily the rows of the highest s, where after each pick j the others
/// lose η·⟨g_j, g_i⟩ of theirs, as what j has done need not be done again. `size` numbers in the order of picking; of equal
/// scores the earlier row, and rows whose score is no number last.
///
/// `alignments` are s_i = ⟨g_i, ḡ⟩/‖ḡ‖, one a row of `gram`, and `rate` is η.
#[must_use]
pub fn greats(alignments: &[f64], gram: &Gram<'_>, rate: f64, size: usize) -> Vec<usize> {
    let mut scores: Vec<f64> =
        alignments.iter().map(|score| if score.is_finite() { *score } else { f64::NEG_INFINITY }).collect();
    scores.truncate(gram.rows);
    let (mut taken, mut picks) = (vec![false; scores.len()], Vec::with_capacity(size.min(scores.len())));
    while picks.len() < size.min(scores.len()) {
        let mut best: Option<usize> = None;
        for index in (0..scores.len()).filter(|index| !taken[*index]) {
            if best.is_none_or(|best| scores[index] > scores[best]) {
                best = Some(index);
            }
        }
        let Some(pick) = best else { break };
        taken[pick] = true;
        picks.push(pick);
        scores.iter_mut().zip(gram.of(pick)).for_each(|(score, product)| *score -= rate * product);
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Purpose, Randomness};

    const ROWS: usize = 9;
    const OUTPUTS: usize = 3;
    const INPUTS: usize = 4;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut randomness = Randomness::new(seed, 0, 0, Purpose::Rows);
        (0..count).map(|_| randomness.unit() as f32 * 2.0 - 1.0).collect()
    }

    /// The whole gradient of a row, written out.
    fn gradient(rows: &LastLayer<'_>, row: usize) -> Vec<f64> {
        let (error, input) = rows.row(row);
        let with_bias: Vec<f64> = input.iter().map(|x| f64::from(*x)).chain([1.0]).collect();
        error.iter().flat_map(|e| with_bias.iter().map(|x| f64::from(*e) * x).collect::<Vec<_>>()).collect()
    }

    fn product(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn alignments_are_inner_products_of_whole_gradients() {
        let (errors, inputs) = (numbers(ROWS * OUTPUTS, 1), numbers(ROWS * INPUTS, 2));
        let rows = LastLayer::new(&errors, &inputs, ROWS).unwrap();
        let (errors, inputs) = (numbers(5 * OUTPUTS, 3), numbers(5 * INPUTS, 4));
        let trusted_rows = LastLayer::new(&errors, &inputs, 5).unwrap();
        let mut mean = vec![0.0; OUTPUTS * (INPUTS + 1)];
        for row in 0..5 {
            mean.iter_mut().zip(gradient(&trusted_rows, row)).for_each(|(mean, g)| *mean += g / 5.0);
        }
        let norm = product(&mean, &mean).sqrt();
        let found = Trusted::new(&trusted_rows).alignments(&rows).unwrap();
        for (row, found) in found.iter().enumerate() {
            assert!((found - product(&gradient(&rows, row), &mean) / norm).abs() < 1e-9);
            for other in 0..ROWS {
                let wanted = product(&gradient(&rows, row), &gradient(&rows, other));
                assert!((rows.inner(row, other) - wanted).abs() < 1e-9);
            }
        }
        assert!(Trusted::new(&trusted_rows).alignments(&LastLayer::new(&[0.0], &[0.0], 1).unwrap()).is_err());
        assert!(LastLayer::new(&[0.0; 5], &[0.0; 4], 2).is_err());
    }

    #[test]
    fn greats_is_the_greedy_ascent_of_the_second_order_gain() {
        let (errors, inputs) = (numbers(ROWS * OUTPUTS, 5), numbers(ROWS * INPUTS, 6));
        let rows = LastLayer::new(&errors, &inputs, ROWS).unwrap();
        let trusted = Trusted::new(&LastLayer::new(&errors[..OUTPUTS], &inputs[..INPUTS], 1).unwrap());
        let products = trusted.gram(&rows);
        let gram = Gram::new(&products, ROWS).unwrap();
        let scores: Vec<f64> = numbers(ROWS, 7).into_iter().map(f64::from).collect();
        // The gain of a set is Σs − η·Σ over pairs of ⟨g_i, g_j⟩, here of whole gradients; greedily, each pick is the one
        // that adds most.
        let norm = product(&gradient(&rows, 0), &gradient(&rows, 0)).sqrt();
        let gain = |set: &[usize]| {
            let pairs: f64 = set
                .iter()
                .enumerate()
                .flat_map(|(at, i)| set[..at].iter().map(move |j| (i, j)))
                .map(|(i, j)| product(&gradient(&rows, *i), &gradient(&rows, *j)) / norm)
                .sum();
            set.iter().map(|i| scores[*i]).sum::<f64>() - 0.3 * pairs
        };
        let picks = greats(&scores, &gram, 0.3, 5);
        for at in 0..5 {
            let chosen = gain(&picks[..=at]);
            for other in (0..ROWS).filter(|other| !picks[..at].contains(other)) {
                let mut set = picks[..at].to_vec();
                set.push(other);
                assert!(gain(&set) <= chosen + 1e-6);
            }
        }
        // Twins: the second one adds less than it would alone.
        let twins = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.7];
        let twins = Gram::new(&twins, 3).unwrap();
        assert_eq!(greats(&[1.0, 0.9, 0.5], &twins, 0.5, 2), [0, 2]);
        assert_eq!(greats(&[1.0, 0.9, 0.5], &twins, 0.0, 2), [0, 1]);
        assert_eq!(greats(&[f64::NAN, 0.9, 0.5], &twins, 0.0, 3), [1, 2, 0]);
        assert!(Gram::new(&products, 4).is_err());
    }

    #[test]
    fn the_best_rate_is_the_best_step_along_what_is_drawn_at_random() {
        const SIZE: usize = 3;
        let (errors, inputs) = (numbers(ROWS * OUTPUTS, 8), numbers(ROWS * INPUTS, 9));
        let rows = LastLayer::new(&errors, &inputs, ROWS).unwrap();
        let trusted = Trusted::new(&rows);
        let (alignments, products) = (trusted.alignments(&rows).unwrap(), trusted.gram(&rows));
        let gram = Gram::new(&products, ROWS).unwrap();
        // By brute force: the mean, over all sets of three of the rows that may be picked, of s and of the sum's square.
        let allowed = [0, 2, 3, 5, 6, 8];
        let (mut gain, mut square) = (0.0, 0.0);
        for (at, i) in allowed.iter().enumerate() {
            for (next, j) in allowed.iter().enumerate().skip(at + 1) {
                for k in &allowed[next + 1..] {
                    let set = [*i, *j, *k];
                    gain += set.iter().map(|row| alignments[*row]).sum::<f64>();
                    let sum: Vec<f64> = (0..OUTPUTS * (INPUTS + 1))
                        .map(|at| set.iter().map(|row| gradient(&rows, *row)[at]).sum())
                        .collect();
                    square += product(&sum, &sum) / trusted.norm();
                }
            }
        }
        let rate = gram.best_rate(&alignments, &allowed, SIZE);
        assert!(gain > 0.0 && (rate - gain / square).abs() < 1e-5 * rate, "{rate} in place of {}", gain / square);
        let against: Vec<f64> = alignments.iter().map(|alignment| -alignment).collect();
        assert_eq!(gram.best_rate(&against, &allowed, SIZE), 0.0);
        assert!(gram.best_rate(&alignments, &allowed[..1], 1).is_finite());
        assert_eq!(gram.best_rate(&alignments, &[], 1), 0.0);
    }
}
