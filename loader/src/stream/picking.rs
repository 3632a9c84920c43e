//! Online selection: which rows of a super-batch are trained on, once the model has scored them all.
//!
//! A pick is a function of the scores, the reference, the seed and the batch's number, so it can be made again from the
//! feedback log. It knows nothing of models, nor of how a report travels.

use crate::{
    Error, Pick, Position, Purpose, Randomness, Result,
    value::{Candidate, Needs, Reference, References, Scored, Selection},
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

    /// Which rows of batch `batch` are trained, of its `positions` with these scores.
    pub(super) fn pick(
        &self,
        (batch, epoch): (u64, u32),
        positions: &[Position],
        references: &[Option<Reference>],
        scored: &[Scored],
    ) -> Result<Vec<Pick>> {
        let fault = |what: String| Error::Feedback { batch, what };
        if scored.len() != positions.len() {
            let (found, wanted) = (scored.len(), positions.len());
            return Err(fault(format!("{found} scores for {wanted} candidates; score every row of the super-batch")));
        }
        let Needs { class, el2n, alignment, .. } = self.selection.selector.needs();
        if class && scored.iter().all(|row| row.signal.class.is_none()) {
            let policy = &self.policy;
            return Err(fault(format!("policy `{policy}` picks by the label's probability, and no score has one")));
        }
        if el2n && scored.iter().all(|row| row.el2n.is_none()) {
            let policy = &self.policy;
            return Err(fault(format!("policy `{policy}` picks by EL2N (the gradient's norm), and no score has it")));
        }
        if alignment && scored.iter().all(|row| row.alignment.is_none()) {
            let policy = &self.policy;
            return Err(fault(format!("policy `{policy}` picks by alignment with a trusted set, and no score has it")));
        }
        let candidates: Vec<Candidate> = (positions.iter().zip(scored).enumerate())
            .map(|(slot, (&position, row))| Candidate {
                position,
                signal: row.signal,
                el2n: row.el2n,
                reference: references.get(slot).copied().flatten(),
                alignment: row.alignment,
            })
            .collect();
        let size = self.wanted(candidates.len());
        let mut randomness = Randomness::new(self.seed, epoch, batch, Purpose::Selection);
        let picks = self.selection.pick(epoch, &candidates, size, &mut randomness);
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
        Ok(picks)
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
        value::{PolicySpec, policy},
    };

    fn picking(name: &str, size: usize, known: Known) -> Picking {
        let options = "candidates = 8".parse().unwrap();
        let policy = policy(&PolicySpec { name: name.into(), options }).unwrap();
        let selection = policy.selection().unwrap().clone();
        Picking { policy: name.into(), selection, size, seed: 7, known }
    }

    fn rows(count: u32) -> (Vec<Position>, Vec<Scored>) {
        let positions = (0..count).map(|row| Position::new(0, row)).collect();
        let score = |row: u32| Scored { signal: Signal { loss: row as f32, class: None }, el2n: None, alignment: None };
        (positions, (0..count).map(score).collect())
    }

    #[test]
    fn a_super_batch_that_is_not_full_is_thinned_out_in_proportion() {
        let picking = picking("selective_backprop", 2, Known::Nothing);
        for (candidates, wanted) in [(8, 2), (7, 2), (5, 2), (4, 1), (1, 1)] {
            let (positions, scored) = rows(candidates);
            assert_eq!(picking.pick((3, 0), &positions, &[], &scored).unwrap().len(), wanted, "{candidates}");
        }
    }

    #[test]
    fn picks_are_a_function_of_the_batch_and_its_scores() {
        let picking = picking("selective_backprop", 2, Known::Nothing);
        let (positions, scored) = rows(8);
        let of = |batch| picking.pick((batch, 0), &positions, &[], &scored).unwrap();
        assert_eq!(of(1), of(1));
        assert!((0..20).any(|batch| of(batch) != of(1)));
    }

    #[test]
    fn what_a_selector_needs_and_does_not_get_is_named() {
        let (positions, scored) = rows(8);
        for (name, what) in [("progressive_dropout", "probability"), ("importance", "EL2N"), ("alignment", "trusted")] {
            let fault = picking(name, 2, Known::Nothing).pick((3, 0), &positions, &[], &scored).unwrap_err();
            assert!(fault.to_string().contains(what), "{fault}");
        }
        let fault = picking("jest", 2, Known::Nothing).pick((3, 0), &positions, &[], &scored[1..]).unwrap_err();
        assert!(fault.to_string().contains("7 scores for 8 candidates"), "{fault}");
    }
}
