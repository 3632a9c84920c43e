//! Online selection: which rows of a super-batch are trained on, once the model has scored them all.
//!
//! A pick is a function of the scores, the reference, the seed, the batch's number and what the selector remembers. It
//! knows nothing of models, nor of how a report travels.

use super::batch::Scores;
use crate::{
    Error, Pick, Position, Purpose, Randomness, Result,
    value::{Candidate, Needs, Reference, References, Scored, Selection, SuperBatch},
};
use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Float32Type},
    record_batch::RecordBatch,
};
use std::sync::Arc;

/// How the rows of a run's super-batches are picked.
#[derive(Debug)]
pub(super) struct Picking {
    pub(super) policy: String,
    pub(super) selection: Selection,
    /// Rows that are trained of a full super-batch.
    pub(super) size: usize,
    pub(super) seed: u64,
    pub(super) known: Known,
}

/// Where what a reference model says comes from.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Nowhere: the selector asks for none.
    Nothing,
    /// Losses by position.
    Table(Arc<References>),
    /// A column of the batches that holds the losses.
    Column(String),
}

impl Picking {
    /// What is known of the rows of a super-batch; empty where nothing is needed.
    pub(super) fn references(&self, data: &RecordBatch, positions: &[Position]) -> Result<Vec<Option<Reference>>> {
        match &self.known {
            Known::Nothing => Ok(Vec::new()),
            Known::Table(references) => Ok(positions.iter().map(|&position| references.get(position)).collect()),
            Known::Column(name) => {
                let said = |loss: f32| loss.is_finite().then_some(Reference { loss, probability: None });
                Ok(numbers(data, name)?.into_iter().map(said).collect())
            }
        }
    }

    /// How many of `candidates` rows are trained: the size of a batch, of a super-batch that is not full in proportion.
    fn wanted(&self, candidates: usize) -> usize {
        let full = self.selection.candidates.max(1) as usize;
        (self.size * candidates).div_ceil(full).min(candidates)
    }

    /// How many numbers the selector remembers at most.
    pub(super) fn remembers(&self) -> usize {
        self.selection.selector.remembers()
    }

    /// Which rows of a super-batch are trained where none of them has to be scored.
    pub(super) fn unscored(&self, of: &Asked<'_>) -> Option<Vec<Pick>> {
        let candidates = of.positions.len();
        self.selection.unscored(of.epoch, of.memory, candidates, self.wanted(candidates), &mut self.randomness(of))
    }

    /// What has to be known of rows that are trained without a score: nothing where it is not remembered.
    pub(super) fn needs_of_trained(&self) -> Needs {
        let Needs { class, el2n, .. } = self.selection.selector.needs();
        if self.remembers() > 0 { Needs { class, el2n, ..Needs::default() } } else { Needs::default() }
    }

    /// What the selector has to say of a super-batch of which only the rows picked were scored, as they were trained.
    pub(super) fn statistic_of_trained(
        &self,
        of: &Asked<'_>,
        picks: &[Pick],
        scored: &[Scored],
    ) -> Result<Option<f64>> {
        let fault = |what: String| Error::Feedback { batch: of.batch, what };
        if scored.len() != picks.len() {
            return Err(fault(format!("{} scores for {} rows that were trained", scored.len(), picks.len())));
        }
        if !self.unscored(of).is_some_and(|rows| rows == picks) {
            return Err(fault("these are not the rows that are trained where no candidate is scored".into()));
        }
        let lacking = check_needs(self.needs_of_trained(), Scores::of(scored));
        lacking.map_err(|what| fault(format!("policy `{}` remembers {what}", self.policy)))?;
        Ok(self.statistic(&of.candidates(picks.iter().map(|pick| pick.index as usize).zip(scored))))
    }

    fn randomness(&self, of: &Asked<'_>) -> Randomness {
        Randomness::new(self.seed, of.epoch, of.batch, Purpose::Selection)
    }

    fn statistic(&self, candidates: &[Candidate]) -> Option<f64> {
        let statistic = if self.remembers() > 0 { self.selection.selector.statistic(candidates) } else { None };
        statistic.filter(|statistic| statistic.is_finite())
    }

    /// Which rows of a super-batch with these scores are trained, and what the selector has to say of all of them.
    pub(super) fn pick(&self, of: &Asked<'_>, scores: Scores<'_>) -> Result<(Vec<Pick>, Option<f64>)> {
        let Asked { batch, epoch, positions, memory, .. } = *of;
        let Scores { rows: scored, gram } = scores;
        let fault = |what: String| Error::Feedback { batch, what };
        if scored.len() != positions.len() {
            let (found, wanted) = (scored.len(), positions.len());
            return Err(fault(format!("{found} scores for {wanted} candidates; score every row of the super-batch")));
        }
        check_needs(self.selection.selector.needs(), scores)
            .map_err(|what| fault(format!("policy `{}` picks by {what}", self.policy)))?;
        if let Some(gram) = gram.filter(|gram| gram.rows() != positions.len()) {
            let (found, wanted) = (gram.rows(), positions.len());
            return Err(fault(format!("inner products of {found} gradients for {wanted} candidates")));
        }
        let candidates = of.candidates(scored.iter().enumerate());
        let size = self.wanted(candidates.len());
        let super_batch = SuperBatch { candidates: &candidates, gram, memory };
        let picks = self.selection.pick(epoch, &super_batch, size, &mut self.randomness(of));
        check(batch, &picks, candidates.len()).and_then(|()| {
            if picks.is_empty() {
                return Err(fault(format!("policy `{}` picked no row: a step needs one at least", self.policy)));
            }
            if picks.len() > size {
                let (policy, count) = (&self.policy, picks.len());
                return Err(fault(format!("policy `{policy}` picked {count} rows where {size} are trained")));
            }
            Ok(())
        })?;
        // Whoever scores what need not be scored goes on as one who does not.
        let known = match self.unscored(of) {
            None => candidates,
            Some(picks) => picks.iter().map(|pick| candidates[pick.index as usize]).collect(),
        };
        Ok((picks, self.statistic(&known)))
    }
}

/// Says what is needed and no score has.
fn check_needs(needs: Needs, Scores { rows, gram }: Scores<'_>) -> std::result::Result<(), &'static str> {
    if needs.class && rows.iter().all(|row| row.signal.class.is_none()) {
        return Err("the label's probability, and no score has one");
    }
    if needs.el2n && rows.iter().all(|row| row.el2n.is_none()) {
        return Err("EL2N (the gradient's norm), and no score has it");
    }
    if needs.alignment && rows.iter().all(|row| row.alignment.is_none()) {
        return Err("alignment with a trusted set, and no score has it");
    }
    if needs.gram && gram.is_none() {
        return Err("the inner products of the candidates' gradients, and none were given: hand over the last layer");
    }
    Ok(())
}

/// The super-batch whose rows are to be picked, with what is known of it beside its scores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) batch: u64,
    pub(super) epoch: u32,
    pub(super) positions: &'a [Position],
    pub(super) references: &'a [Option<Reference>],
    /// What the selector remembers, as this super-batch may see it.
    pub(super) memory: &'a [f64],
}

impl Asked<'_> {
    /// The candidates in these slots, with their scores.
    fn candidates<'s>(&self, scored: impl Iterator<Item = (usize, &'s Scored)>) -> Vec<Candidate> {
        let candidate = |(slot, row): (usize, &Scored)| {
            Some(Candidate {
                position: *self.positions.get(slot)?,
                signal: row.signal,
                el2n: row.el2n,
                reference: self.references.get(slot).copied().flatten(),
                alignment: row.alignment,
            })
        };
        scored.filter_map(candidate).collect()
    }
}

/// Refuses picks that are no rows of a batch of `rows`, out of order, or of a weight that is none.
pub(super) fn check(batch: u64, picks: &[Pick], rows: usize) -> Result<()> {
    let sound = |pick: &Pick| (pick.index as usize) < rows && pick.weight.is_finite() && pick.weight >= 0.0;
    if picks.iter().all(sound) && picks.is_sorted_by_key(|pick| pick.index) {
        return Ok(());
    }
    let what = format!("picks must be slots of its {rows} rows in ascending order, with weights not below 0");
    Err(Error::Feedback { batch, what })
}

/// The numbers of column `name`, NaN where it is null.
pub(super) fn numbers(data: &RecordBatch, name: &str) -> Result<Vec<f32>> {
    let column = data.column_by_name(name).ok_or_else(|| {
        let columns: Vec<_> = data.schema_ref().fields().iter().map(|field| format!("`{}`", field.name())).collect();
        Error::recipe(format!("[policy]: no column `{name}` is carried; there are {}", columns.join(", ")))
    })?;
    if !column.data_type().is_numeric() && *column.data_type() != DataType::Boolean {
        return Err(Error::recipe(format!("[policy]: column `{name}` holds {}, no numbers", column.data_type())));
    }
    let floats = cast(column, &DataType::Float32)
        .map_err(|fault| Error::recipe(format!("[policy]: column `{name}` cannot be read as numbers: {fault}")))?;
    let floats = floats.as_primitive::<Float32Type>();
    Ok((0..floats.len()).map(|row| if floats.is_valid(row) { floats.value(row) } else { f32::NAN }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Signal,
        value::{Gram, PolicySpec, policy},
    };

    fn picking(name: &str, options: &str, size: usize) -> Picking {
        let options = format!("candidates = 8\n{options}").parse().unwrap();
        let policy = policy(&PolicySpec { name: name.into(), options }).unwrap();
        let selection = policy.selection().unwrap().clone();
        Picking { policy: name.into(), selection, size, seed: 7, known: Known::Nothing }
    }

    fn rows(count: u32) -> (Vec<Position>, Vec<Scored>) {
        let positions = (0..count).map(|row| Position::new(0, row)).collect();
        let score = |row: u32| Scored { signal: Signal { loss: row as f32, class: None }, el2n: None, alignment: None };
        (positions, (0..count).map(score).collect())
    }

    fn pick(picking: &Picking, batch: u64, positions: &[Position], scores: Scores<'_>) -> Result<Vec<Pick>> {
        let asked = Asked { batch, epoch: 0, positions, references: &[], memory: &[] };
        picking.pick(&asked, scores).map(|(picks, _)| picks)
    }

    #[test]
    fn a_super_batch_that_is_not_full_is_thinned_out_in_proportion() {
        let picking = picking("selective_backprop", "", 2);
        for (candidates, wanted) in [(8, 2), (7, 2), (5, 2), (4, 1), (1, 1)] {
            let (positions, scored) = rows(candidates);
            assert_eq!(pick(&picking, 3, &positions, Scores::of(&scored)).unwrap().len(), wanted, "{candidates}");
        }
    }

    #[test]
    fn picks_are_a_function_of_the_batch_and_its_scores() {
        let picking = picking("selective_backprop", "", 2);
        let (positions, scored) = rows(8);
        let of = |batch| pick(&picking, batch, &positions, Scores::of(&scored)).unwrap();
        assert_eq!(of(1), of(1));
        assert!((0..20).any(|batch| of(batch) != of(1)));
    }

    #[test]
    fn rows_that_are_trained_without_a_score_are_those_that_any_scores_give_and_answer_for_themselves() {
        let picking = picking("importance", "threshold = 0.7", 2);
        let (positions, plain) = rows(8);
        let scored: Vec<Scored> =
            (0_u8..).zip(&plain).map(|(row, of)| Scored { el2n: Some(row.into()), ..*of }).collect();
        let asked = |memory| Asked { batch: 3, epoch: 0, positions: &positions, references: &[], memory };
        let (pays, not) = (asked(&[0.71]), asked(&[0.69]));
        assert_eq!(picking.unscored(&pays), None);
        let picks = picking.unscored(&not).unwrap();
        let (of_scores, of_all) = picking.pick(&not, Scores::of(&scored)).unwrap();
        assert_eq!(of_scores, picks);
        let trained: Vec<Scored> = picks.iter().map(|pick| scored[pick.index as usize]).collect();
        let of_trained = picking.statistic_of_trained(&not, &picks, &trained).unwrap();
        assert!(of_trained.is_some() && of_trained == of_all, "{of_trained:?} {of_all:?}");
        assert_ne!(picking.pick(&pays, Scores::of(&scored)).unwrap().1, of_all, "that of all candidates");

        let fault = |asked: &Asked<'_>, picks: &[Pick], scores: &[Scored]| {
            picking.statistic_of_trained(asked, picks, scores).unwrap_err().to_string()
        };
        assert!(fault(&pays, &picks, &trained).contains("not the rows"));
        let others = (0..8).filter(|row| picks.iter().all(|pick| pick.index != *row as u32));
        let others: Vec<Pick> = others.take(2).map(Pick::plain).collect();
        assert!(fault(&not, &others, &trained).contains("not the rows"));
        assert!(fault(&not, &picks, &scored).contains("8 scores for 2 rows"));
        assert!(fault(&not, &picks, &plain[..2]).contains("EL2N"));
    }

    #[test]
    fn what_a_selector_needs_and_does_not_get_is_named() {
        let (positions, scored) = rows(8);
        for (name, what) in [("progressive_dropout", "probability"), ("importance", "EL2N"), ("alignment", "trusted")] {
            let fault = pick(&picking(name, "", 2), 3, &positions, Scores::of(&scored)).unwrap_err();
            assert!(fault.to_string().contains(what), "{fault}");
        }
        let fault = pick(&picking("jest", "", 2), 3, &positions, Scores::of(&scored[1..])).unwrap_err();
        assert!(fault.to_string().contains("7 scores for 8 candidates"), "{fault}");
        let aligned: Vec<Scored> = scored.iter().map(|row| Scored { alignment: Some(1.0), ..*row }).collect();
        let greats = picking("alignment", "method = 'greats'", 2);
        let fault = pick(&greats, 3, &positions, Scores::of(&aligned)).unwrap_err();
        assert!(fault.to_string().contains("last layer"), "{fault}");
        let gram = Gram::new(&[1.0; 49], 7).unwrap();
        let fault = pick(&greats, 3, &positions, Scores::of(&aligned).with_gram(gram)).unwrap_err();
        assert!(fault.to_string().contains("7 gradients for 8 candidates"), "{fault}");
    }
}
