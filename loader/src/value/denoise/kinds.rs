//! How many of the rows of one label and one rival are clean: what the company that a row keeps says of it.
//!
//! Where one class is taken for one other, most wrong labels are of a few such kinds, and a row's own margin is read with
//! its kind in mind. It knows nothing of gates, nor of targets.

use crate::{
    Position,
    value::{mixture::Mixture, table::Table},
};
use std::collections::BTreeMap;

/// How many rows the share of clean ones in the whole data counts for beside those of a kind: as in `suspicions`.
const ROWS_OF_ALL: f64 = 10.0;

/// A kind of fewer rows says next to nothing.
const LEAST_ROWS: usize = 10;

/// EM on shares alone, whose components stay as they are, comes to rest fast.
const STEPS: usize = 20;

/// Of each kind, the class that rows are labelled with and the one that they are taken for, the share of clean rows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Kinds(BTreeMap<(u32, u32), f64>);

impl Kinds {
    /// The shares that suit `rows`, each with its class and margin, where clean and wrong rows of every kind have margins
    /// as `mixture`'s components have them: by expectation–maximisation,
    /// c_k ← (Σᵢ P(clean | mᵢ, c_k) + 10·c) / (n_k + 10), c the mixture's own share.
    pub(super) fn fit(rows: impl Iterator<Item = (Position, u32, f64)>, table: &Table, mixture: &Mixture) -> Self {
        let mut margins: BTreeMap<(u32, u32), Vec<f64>> = BTreeMap::new();
        for (position, class, margin) in rows {
            if let Some(rival) = table.rival(position).class() {
                margins.entry((class, rival)).or_default().push(margin);
            }
        }
        let of_all = mixture.shares[1];
        let share = |margins: &[f64]| {
            (0..STEPS).fold(of_all, |share, _| {
                let clean: f64 = margins.iter().map(|margin| mixture.with_high(share).posterior_high(*margin)).sum();
                (clean + ROWS_OF_ALL * of_all) / (margins.len() as f64 + ROWS_OF_ALL)
            })
        };
        let told = margins.into_iter().filter(|(_, margins)| margins.len() >= LEAST_ROWS);
        Self(told.map(|(kind, margins)| (kind, share(&margins))).collect())
    }

    /// The share of clean rows among those of `class` that are taken for `rival`, where it is known.
    pub(super) fn share(&self, class: u32, rival: Option<u32>) -> Option<f64> {
        self.0.get(&(class, rival?)).copied()
    }

    /// Class, rival and share, kind by kind.
    pub(super) fn to_values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flat_map(|((class, rival), share)| [f64::from(*class), f64::from(*rival), *share])
    }

    /// What [`to_values`](Self::to_values) gave.
    pub(super) fn from_values(values: &[f64]) -> Self {
        Self(
            values
                .as_chunks::<3>()
                .0
                .iter()
                .map(|[class, rival, share]| ((*class as u32, *rival as u32), *share))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassPair, ClassSignal, Report, Signal, value::Beside};

    const MIXTURE: Mixture =
        Mixture { shares: [0.4, 0.6], means: [-0.5, 0.5], variances: [0.25; 2], log_likelihood: 0.0, count: 0 };

    /// The kinds of rows of one block, each of a class, taken for a rival, with a margin.
    fn fit(rows: &[(u32, u32, f64)]) -> Kinds {
        let beside = Beside { rivals: true, ..Beside::default() };
        let mut table = Table::new(&[rows.len() as u32]).keeping(beside);
        let positions = (0..).map(|row| Position::new(0, row));
        let signal = |&(label, rival, margin): &(u32, u32, f64)| {
            let margin = margin as f32;
            let pair = Some(ClassPair { label, rival });
            let class = ClassSignal { logit_margin: margin, probability_margin: margin, probability: 0.5, pair };
            Signal { loss: 1.0, class: Some(class) }
        };
        let reports = positions.clone().zip(rows).map(|(position, row)| (position, signal(row)));
        table.apply(&Report::new(0, reports.collect())).unwrap();
        let rows = positions.zip(rows).map(|(position, &(class, _, margin))| (position, class, margin));
        Kinds::fit(rows, &table, &MIXTURE)
    }

    #[test]
    fn a_share_is_where_em_comes_to_rest() {
        let margins: Vec<f64> = (0..40).map(|at| -1.1 + 0.045 * f64::from(at)).collect();
        let kinds = fit(&margins.iter().map(|&margin| (3, 1, margin)).collect::<Vec<_>>());
        let share = kinds.share(3, Some(1)).unwrap();
        // P(clean | m) = 1/(1 + e^{−4m}·(1 − c)/c) for these means and variances.
        let clean = |m: f64| 1.0 / (1.0 + (-4.0 * m).exp() * (1.0 - share) / share);
        let again = (margins.iter().map(|&m| clean(m)).sum::<f64>() + 10.0 * 0.6) / 50.0;
        assert!((share - again).abs() < 1e-3, "{share} {again}");
        assert!(share < 0.4 && margins.iter().any(|m| *m > 0.6), "{share}");
    }

    #[test]
    fn kinds_are_told_apart_and_few_rows_tell_nothing() {
        let rows = |label, rival, margin: f64, count: usize| {
            (0..count).map(move |at| (label, rival, margin + 0.01 * at as f64))
        };
        let kinds: Vec<_> = rows(0, 1, -0.8, 30)
            .chain(rows(0, 2, 0.4, 30))
            .chain(rows(1, 0, -0.8, 9))
            .chain(rows(2, 0, 0.0, 10))
            .collect();
        let kinds = fit(&kinds);
        let [wrong, right] = [1, 2].map(|rival| kinds.share(0, Some(rival)).unwrap());
        assert!(wrong < 0.3 && right > 0.8, "{wrong} {right}");
        assert_eq!([kinds.share(1, Some(0)), kinds.share(0, None), kinds.share(7, Some(1))], [None; 3]);
        assert!(kinds.share(2, Some(0)).is_some());
        assert_eq!(Kinds::from_values(&kinds.to_values().collect::<Vec<_>>()), kinds);
        assert_eq!(Kinds::from_values(&[]), Kinds::default());
    }
}
