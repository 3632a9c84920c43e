//! The selectors, one a file, each by the name that a recipe's `[policy]` gives it, and the policy that stands behind all
//! of them: every row is drawn once, and what is trained on is chosen inside the step.

mod alignment;
mod importance;
mod jest;
mod progressive_dropout;
mod rho_loss;
mod selective_backprop;

pub use alignment::Alignment;
pub use importance::Importance;
pub use jest::Jest;
pub use progressive_dropout::ProgressiveDropout;
pub use rho_loss::RhoLoss;
pub use selective_backprop::SelectiveBackprop;

use super::{
    policy::Policy,
    selector::{Selector, SuperBatch, at_random},
};
use crate::{Error, Pick, Randomness, Result};
use std::sync::Arc;

/// How the rows of a super-batch are chosen.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Who chooses.
    pub selector: Arc<dyn Selector>,
    /// How many rows are scored for each batch that is trained.
    pub candidates: u32,
}

impl Selection {
    /// Which of the candidates of a super-batch of data epoch `epoch` are trained: `size` at most.
    pub fn pick(&self, epoch: u32, batch: &SuperBatch<'_>, size: usize, randomness: &mut Randomness) -> Vec<Pick> {
        self.unscored(epoch, batch.memory, batch.candidates.len(), size, randomness)
            .unwrap_or_else(|| self.selector.select(batch, size, randomness))
    }

    /// The same where the selector asks for no scores, since it [rests](Selector::rests) or they would not
    /// [pay](Selector::pays): `size` of the candidates at random. `None` where they have to be scored.
    pub fn unscored(
        &self,
        epoch: u32,
        memory: &[f64],
        candidates: usize,
        size: usize,
        randomness: &mut Randomness,
    ) -> Option<Vec<Pick>> {
        let scored = !self.selector.rests(epoch) && self.selector.pays(memory, candidates, size);
        (!scored).then(|| at_random(candidates, size, randomness))
    }
}

/// A policy that leaves the choice to a selector: v = 1, π = 1, in super-batches of `candidates` rows.
#[derive(Debug)]
pub(super) struct Selecting {
    name: &'static str,
    fingerprint: String,
    selection: Selection,
}

impl Selecting {
    /// The policy of a selector's name; `None` where no selector has that name.
    ///
    /// Beside the selector's own options it reads `candidates`.
    pub(super) fn from_options(name: &str, options: &toml::Table) -> Option<Result<Self>> {
        let place = format!("policy `{name}`");
        let mut own = options.clone();
        let candidates = own.remove("candidates");
        fn built<S: Selector + 'static>(
            name: &'static str,
            selector: S,
            fingerprint: fn(&S) -> String,
        ) -> (&'static str, String, Arc<dyn Selector>) {
            (name, fingerprint(&selector), Arc::new(selector))
        }
        let parts = match name {
            Alignment::NAME => Alignment::from_options(&place, &own)
                .map(|selector| built(Alignment::NAME, selector, Alignment::fingerprint)),
            Importance::NAME => Importance::from_options(&place, &own)
                .map(|selector| built(Importance::NAME, selector, Importance::fingerprint)),
            Jest::NAME => {
                Jest::from_options(&place, &own).map(|selector| built(Jest::NAME, selector, Jest::fingerprint))
            }
            ProgressiveDropout::NAME => ProgressiveDropout::from_options(&place, &own)
                .map(|selector| built(ProgressiveDropout::NAME, selector, ProgressiveDropout::fingerprint)),
            RhoLoss::NAME => {
                RhoLoss::from_options(&place, &own).map(|selector| built(RhoLoss::NAME, selector, RhoLoss::fingerprint))
            }
            SelectiveBackprop::NAME => SelectiveBackprop::from_options(&place, &own)
                .map(|selector| built(SelectiveBackprop::NAME, selector, SelectiveBackprop::fingerprint)),
            _ => return None,
        };
        Some(parts.and_then(|(name, fingerprint, selector)| {
            let candidates = read_candidates(&place, candidates)?;
            let fingerprint = format!("{fingerprint}(candidates={candidates})");
            Ok(Self { name, fingerprint, selection: Selection { selector, candidates } })
        }))
    }

    /// Every selector's name.
    pub(super) const NAMES: [&'static str; 6] = [
        Alignment::NAME,
        Importance::NAME,
        Jest::NAME,
        ProgressiveDropout::NAME,
        RhoLoss::NAME,
        SelectiveBackprop::NAME,
    ];
}

fn read_candidates(place: &str, value: Option<toml::Value>) -> Result<u32> {
    let wrong = |what: String| Error::recipe(format!("{place}: {what}"));
    match value {
        None => Err(wrong(
            "`candidates` is missing: say how many rows are scored for each batch that is trained, as 10 times [batch] \
             size does"
                .to_owned(),
        )),
        Some(toml::Value::Integer(count)) if (1..=1 << 24).contains(&count) => Ok(count as u32),
        Some(other) => Err(wrong(format!("`candidates` = {other}: must be a number from 1 to 16777216"))),
    }
}

impl Policy for Selecting {
    fn name(&self) -> &str {
        self.name
    }

    fn unbiased(&self) -> bool {
        self.selection.selector.unbiased()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn reads_signals(&self) -> bool {
        false
    }

    fn selection(&self) -> Option<&Selection> {
        Some(&self.selection)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ClassSignal, Pick, Position, Purpose, Randomness, Report, Signal,
        value::{
            Candidate, Classes, Gram, LastLayer, Parameters, Policy, PolicySpec, Reference, SuperBatch, Table, Trusted,
            WindowRows, policy,
        },
    };
    use serde::Deserialize;
    use std::sync::Arc;

    /// What was computed apart from this code: see `testdata/selectors.py`.
    #[derive(Deserialize)]
    struct Golden {
        seed: u64,
        epoch: u32,
        cases: Vec<Case>,
        remembering: Vec<Run>,
        greats: Vec<Greats>,
        weighted: Weights,
    }

    #[derive(Deserialize)]
    struct Run {
        name: String,
        options: String,
        batches: Vec<Remembering>,
    }

    /// A super-batch, what is remembered when it comes, and what it says itself.
    #[derive(Deserialize)]
    struct Remembering {
        batch: u64,
        size: usize,
        candidates: Numbers,
        memory: Vec<f64>,
        statistic: Option<f64>,
        picks: Vec<(u32, f32)>,
    }

    /// Picks of twelve rows beside five trusted ones: errors and inputs of either.
    #[derive(Deserialize)]
    struct Greats {
        options: String,
        layers: [Vec<f32>; 4],
        size: usize,
        picks: Vec<u32>,
    }

    #[derive(Deserialize)]
    struct Case {
        batch: u64,
        size: usize,
        candidates: Numbers,
        selectors: Vec<Picks>,
    }

    /// One number a candidate; null is no number.
    #[derive(Deserialize)]
    struct Numbers {
        loss: Vec<Option<f32>>,
        probability: Vec<f32>,
        el2n: Vec<f32>,
        reference_loss: Vec<f32>,
        reference_probability: Vec<f32>,
        alignment: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Picks {
        name: String,
        options: String,
        picks: Vec<(u32, f32)>,
    }

    #[derive(Deserialize)]
    struct Weights {
        numbers: Vec<Option<f32>>,
        options: String,
        weights: Vec<f32>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../testdata/selectors.json")).unwrap()
    }

    fn candidates(numbers: &Numbers) -> Vec<Candidate> {
        let candidate = |row: usize| {
            let probability = numbers.probability[row];
            let class =
                ClassSignal { logit_margin: 0.0, probability_margin: 2.0 * probability - 1.0, probability, pair: None };
            Candidate {
                position: Position::new(0, row as u32),
                signal: Signal { loss: numbers.loss[row].unwrap_or(f32::NAN), class: Some(class) },
                el2n: Some(numbers.el2n[row]),
                reference: Some(Reference {
                    loss: numbers.reference_loss[row],
                    probability: Some(numbers.reference_probability[row]),
                }),
                alignment: Some(numbers.alignment[row]),
            }
        };
        (0..numbers.loss.len()).map(candidate).collect()
    }

    fn named(name: &str, options: &str) -> Arc<dyn Policy> {
        let options = format!("candidates = 999\n{options}").parse().unwrap();
        policy(&PolicySpec { name: name.into(), options }).unwrap()
    }

    fn assert_picks(found: &[Pick], expected: &[(u32, f32)], of: &str) {
        let rows: Vec<u32> = found.iter().map(|pick| pick.index).collect();
        assert_eq!(rows, expected.iter().map(|pick| pick.0).collect::<Vec<_>>(), "{of}");
        for (pick, (_, weight)) in found.iter().zip(expected) {
            assert!((pick.weight - weight).abs() < 1e-6 * weight, "{of}: {pick:?} in place of {weight}");
        }
    }

    #[test]
    fn picks_are_those_of_the_papers_formulas_computed_apart() {
        let golden = golden();
        let mut compared = 0;
        for case in &golden.cases {
            let candidates = candidates(&case.candidates);
            for expected in &case.selectors {
                let policy = named(&expected.name, &expected.options);
                let mut randomness = Randomness::new(golden.seed, golden.epoch, case.batch, Purpose::Selection);
                let selector = &policy.selection().unwrap().selector;
                let found = selector.select(&SuperBatch::new(&candidates), case.size, &mut randomness);
                let of = format!("{} {} of {}, {}", expected.name, expected.options, candidates.len(), case.size);
                assert_picks(&found, &expected.picks, &of);
                compared += 1;
            }
        }
        assert_eq!(compared, 7 * golden.cases.len());
        let pays = |case: &Case| case.selectors.iter().any(|of| of.picks.iter().any(|pick| pick.1 != 1.0));
        assert!(
            golden.cases.iter().any(pays) && !golden.cases.iter().all(pays),
            "importance on both sides of its gate"
        );
    }

    #[test]
    fn what_is_remembered_and_picked_by_it_is_what_was_computed_apart() {
        let golden = golden();
        for Run { name, options, batches } in &golden.remembering {
            let policy = named(name, options);
            let selection = policy.selection().unwrap();
            let selector = &selection.selector;
            let mut memory = Vec::new();
            let (mut turned, mut blind) = (0, 0);
            for expected in batches {
                let of = format!("{name}, batch {}", expected.batch);
                let near = |a: &f64, b: &f64| (a - b).abs() <= 1e-12 * b.abs();
                let same = memory.len() == expected.memory.len()
                    && memory.iter().zip(&expected.memory).all(|(a, b)| near(a, b));
                assert!(
                    same && memory.len() <= selector.remembers(),
                    "{of}: {memory:?} in place of {:?}",
                    expected.memory
                );
                let candidates = candidates(&expected.candidates);
                let randomness = || Randomness::new(golden.seed, golden.epoch, expected.batch, Purpose::Selection);
                let pick = |memory: &[f64]| {
                    let batch = SuperBatch { memory, ..SuperBatch::new(&candidates) };
                    selection.pick(golden.epoch, &batch, expected.size, &mut randomness())
                };
                assert_picks(&pick(&memory), &expected.picks, &of);
                turned += usize::from(pick(&[]) != pick(&memory));
                let (count, size) = (candidates.len(), expected.size);
                let unscored = selection.unscored(golden.epoch, &memory, count, size, &mut randomness());
                blind += usize::from(unscored.is_some());
                let known: Vec<Candidate> = match unscored {
                    None => candidates,
                    Some(picks) => picks.iter().map(|pick| candidates[pick.index as usize]).collect(),
                };
                let statistic = selector.statistic(&known);
                match (statistic, expected.statistic) {
                    (Some(found), Some(expected)) => assert!(near(&found, &expected), "{of}: {found} for {expected}"),
                    (found, expected) => assert_eq!(found, expected, "{of}"),
                }
                let rows = known.iter().map(|candidate| (candidate.position, candidate.signal)).collect();
                selector.fold(&mut memory, &Report { statistic, ..Report::new(expected.batch, rows) });
            }
            assert!((1..batches.len()).contains(&turned), "{name}: memory turned {turned} of {}", batches.len());
            assert_eq!(blind > 0, name == "importance", "{name}: {blind} of {} were not scored", batches.len());
        }
    }

    #[test]
    fn picks_of_greats_are_those_on_whole_gradients_computed_apart() {
        for Greats { options, layers: [errors, inputs, own_errors, own_inputs], size, picks } in golden().greats {
            let rows = LastLayer::new(&errors, &inputs, 12).unwrap();
            let trusted = Trusted::new(&LastLayer::new(&own_errors, &own_inputs, 5).unwrap());
            let products = trusted.gram(&rows);
            let candidates: Vec<Candidate> = (0..)
                .zip(trusted.alignments(&rows).unwrap())
                .map(|(row, alignment)| Candidate {
                    position: Position::new(0, row),
                    signal: Signal { loss: 1.0, class: None },
                    el2n: None,
                    reference: None,
                    alignment: Some(alignment as f32),
                })
                .collect();
            let batch = SuperBatch { gram: Some(Gram::new(&products, 12).unwrap()), ..SuperBatch::new(&candidates) };
            let policy = named("alignment", &options);
            let mut randomness = Randomness::new(1, 0, 0, Purpose::Selection);
            let found = policy.selection().unwrap().selector.select(&batch, size, &mut randomness);
            assert_eq!(found.iter().map(|pick| pick.index).collect::<Vec<_>>(), picks, "{options}, {size}");
        }
    }

    #[test]
    fn targets_of_weighted_are_those_computed_apart() {
        let Weights { numbers, options, weights } = golden().weighted;
        let column: Vec<f32> = numbers.iter().map(|number| number.unwrap_or(f32::NAN)).collect();
        let blocks = [column.len() as u32];
        let positions: Vec<Position> = (0..blocks[0]).map(|row| Position::new(0, row)).collect();
        let (table, classes) = (Table::new(&blocks), Classes::new(&blocks));
        let rows = WindowRows::new(&positions, &table, &classes).with_column(&column);
        for (by, drawn) in [("draw", true), ("loss", false)] {
            let options = format!("column = \"x\"\nby = \"{by}\"\n{options}").parse().unwrap();
            let mut targets = Vec::new();
            let policy = policy(&PolicySpec { name: "weighted".into(), options }).unwrap();
            policy.targets(&Parameters::default(), &rows, &mut targets);
            let found: Vec<(f32, f32)> = targets.iter().map(|target| (target.weight, target.inclusion)).collect();
            let expected: Vec<(f32, f32)> = weights.iter().map(|&v| (v, if drawn { v } else { 1.0 })).collect();
            assert_eq!(found, expected, "{by}");
        }
    }
}
