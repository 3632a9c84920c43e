//! Alignment: what would lower the loss on a trusted set is trained on.

use crate::{
    Error, Pick, Randomness, Result, strict,
    value::{
        alignment::greats,
        policy::within,
        selector::{Candidate, Needs, Selector, SuperBatch, highest},
    },
};
use serde::Deserialize;

/// The selector `alignment` (Wang et al., NeurIPS 2024): the `size` candidates that lower the loss on a trusted set most,
/// with weight 1. It is biased by design.
///
/// By the `method` "first_order" these are the ones whose gradients point most along that of the trusted set: the highest
/// s_i = ⟨g_i, ḡ⟩/‖ḡ‖. By "greats" they are picked one after the other (GREATS, algorithm 1), and after each pick j the
/// others lose η·⟨g_j, g_i⟩/‖ḡ‖ of their score, as what j does need not be done again: of twins one is picked. The paper's
/// η is the learning rate, which `rate` gives; without it η is the step that fits the super-batch, as
/// [`Gram::best_rate`](crate::value::Gram::best_rate) finds it, which knows nothing of the optimiser.
///
/// The trainer hands the alignments over with the scores, and for "greats" the gradients' inner products too:
/// [`Trusted`](crate::value::Trusted) makes them of the last layer. With `positive`, rows that would raise the trusted loss
/// (s ≤ 0) are not trained on, though a step has one row at least.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alignment {
    method: Method,
    positive: bool,
    rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    #[default]
    FirstOrder,
    Greats,
}

impl Default for Alignment {
    fn default() -> Self {
        Self { method: Method::default(), positive: true, rate: None }
    }
}

impl Alignment {
    pub(in crate::value) const NAME: &'static str = "alignment";

    /// Options: `method`, "first_order" or "greats"; `positive`; with "greats", `rate` (0 to 1,000,000).
    pub(in crate::value) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let selector: Self = strict::from_table(place, options)?;
        if let (Method::FirstOrder, Some(rate)) = (selector.method, selector.rate) {
            let what = "picks do not interact to first order: leave it out, or say `method = \"greats\"`";
            return Err(Error::recipe(format!("{place}: `rate` = {rate}: {what}")));
        }
        within(place, "rate", selector.rate.unwrap_or(0.0), 0.0..=1e6)?;
        Ok(selector)
    }

    pub(in crate::value) fn fingerprint(&self) -> String {
        let Self { method, positive, rate } = self;
        format!("{}/2(method={method:?},positive={positive},rate={rate:?})", Self::NAME)
    }
}

impl Selector for Alignment {
    fn needs(&self) -> Needs {
        Needs { alignment: true, gram: self.method == Method::Greats, ..Needs::default() }
    }

    fn unbiased(&self) -> bool {
        false
    }

    fn select(&self, batch: &SuperBatch<'_>, size: usize, _: &mut Randomness) -> Vec<Pick> {
        let score = |candidate: &Candidate| {
            let known = candidate.alignment.filter(|score| score.is_finite() && candidate.signal.loss.is_finite());
            known.map_or(f64::NAN, f64::from)
        };
        let mut scores: Vec<f64> = batch.candidates.iter().map(score).collect();
        let may = |score: f64| score.is_finite() && (!self.positive || score > 0.0);
        let eligible: Vec<usize> = (0..scores.len()).filter(|row| may(scores[*row])).collect();
        let most = if self.positive { size.min(eligible.len().max(1)) } else { size };
        let gram = batch.gram.filter(|gram| self.method == Method::Greats && gram.rows() == scores.len());
        let Some(gram) = gram.filter(|_| !eligible.is_empty()) else { return highest(&scores, most) };
        let rate = self.rate.unwrap_or_else(|| gram.best_rate(&scores, &eligible, most));
        for score in scores.iter_mut().filter(|score| !may(**score)) {
            *score = f64::NAN;
        }
        let mut picks = greats(&scores, &gram, rate, most);
        picks.sort_unstable();
        picks.into_iter().map(Pick::plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{
        Gram,
        selector::tests::{candidate, randomness},
    };

    fn with_scores(scores: &[f32]) -> Vec<Candidate> {
        let candidate =
            |(score, row): (&f32, u32)| Candidate { alignment: Some(*score), ..candidate(row, 1.0, 0.5, None) };
        scores.iter().zip(0..).map(candidate).collect()
    }

    fn picks(selector: Alignment, batch: &SuperBatch<'_>, size: usize) -> Vec<u32> {
        selector.select(batch, size, &mut randomness(0)).iter().map(|pick| pick.index).collect()
    }

    #[test]
    fn what_helps_most_is_picked_and_what_harms_is_not() {
        let candidates = with_scores(&[0.5, -1.0, 2.0, f32::NAN, 0.1, f32::INFINITY]);
        let of =
            |positive, size| picks(Alignment { positive, ..Alignment::default() }, &SuperBatch::new(&candidates), size);
        assert_eq!(of(true, 2), [0, 2]);
        assert_eq!(of(true, 5), [0, 2, 4]);
        assert_eq!(of(false, 4), [0, 1, 2, 4]);
        let harmful = with_scores(&[-1.0]);
        assert_eq!(picks(Alignment::default(), &SuperBatch::new(&harmful), 1).len(), 1);
    }

    #[test]
    fn of_twins_one_is_picked() {
        // Rows 0 and 1 are twins, 2 stands across them, 3 does harm.
        let candidates = with_scores(&[1.0, 0.9, 0.5, -0.2, f32::NAN]);
        let mut products = [0.0; 25];
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3)] {
            products[5 * i + j] = 1.0;
        }
        products[4] = f32::NAN;
        let batch = SuperBatch { gram: Some(Gram::new(&products, 5).unwrap()), ..SuperBatch::new(&candidates) };
        let greats = Alignment { method: Method::Greats, ..Alignment::default() };
        for rate in [None, Some(0.6)] {
            let of = |positive, size| picks(Alignment { positive, rate, ..greats }, &batch, size);
            assert_eq!(of(true, 2), [0, 2], "{rate:?}");
            // The twin is still a helpful row, where there is room for it.
            assert_eq!(of(true, 5), [0, 1, 2], "{rate:?}");
            assert_eq!(of(false, 4), [0, 1, 2, 3], "{rate:?}");
        }
        // To first order, and where interaction counts nothing, both are.
        assert_eq!(picks(Alignment::default(), &batch, 2), [0, 1]);
        assert_eq!(picks(Alignment { rate: Some(0.0), ..greats }, &batch, 2), [0, 1]);
        let harmful = with_scores(&[-1.0, -0.5, f32::NAN, -2.0, -3.0]);
        assert_eq!(picks(greats, &SuperBatch { candidates: &harmful, ..batch }, 2), [1]);
    }

    #[test]
    fn a_rate_is_of_greats() {
        let from = |options: &str| Alignment::from_options("policy `alignment`", &options.parse().unwrap());
        assert!(from("rate = 0.1").unwrap_err().to_string().contains("greats"));
        assert!(from("method = 'greats'\nrate = -1").unwrap_err().to_string().contains("`rate`"));
        assert_ne!(from("method = 'greats'").unwrap().fingerprint(), from("").unwrap().fingerprint());
        assert_eq!(
            from("method = 'greats'\nrate = 0.1").unwrap().needs(),
            Needs { alignment: true, gram: true, ..Needs::default() }
        );
    }
}
