//! The choice of a batch's rows, for training on some of a larger batch.

use burn::tensor::{Int, Tensor, kind::Basic};

/// Something with rows, of which some can be chosen.
pub trait SelectRows {
    /// The rows with these numbers, in this order; a number may come more than once.
    ///
    /// # Panics
    ///
    /// If there is no row of a number.
    #[must_use]
    fn select_rows(self, rows: &[usize]) -> Self;
}

impl<const D: usize, K: Basic> SelectRows for Tensor<D, K> {
    fn select_rows(self, rows: &[usize]) -> Self {
        let rows: Vec<_> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &self.device());
        self.select(0, rows)
    }
}

impl<T: Clone> SelectRows for Vec<T> {
    fn select_rows(self, rows: &[usize]) -> Self {
        rows.iter().map(|&row| self[row].clone()).collect()
    }
}

impl<T: SelectRows> SelectRows for Option<T> {
    fn select_rows(self, rows: &[usize]) -> Self {
        self.map(|some| some.select_rows(rows))
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {$(
        impl<$($name: SelectRows),+> SelectRows for ($($name,)+) {
            #[allow(non_snake_case, reason = "the fields are named as their types are")]
            fn select_rows(self, rows: &[usize]) -> Self {
                let ($($name,)+) = self;
                ($($name.select_rows(rows),)+)
            }
        }
    )+};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
}
