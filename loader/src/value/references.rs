//! What a reference model says of rows, kept beside the trajectories: it is computed once and stays for the run.
//!
//! It knows nothing of the model, nor of what a selector makes of its losses.

use super::{
    blocks::{Blocks, Record},
    selector::Reference,
};
use crate::{Error, Hash, Place, Position, Result};

/// A [`Reference`], by its bits: the loss, and the probability or NaN; both NaN where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stored([u32; 2]);

impl Record for Stored {
    const MAGIC: [u8; 4] = *b"ARF1";
    const BYTES: usize = 8;
    const BLANK: Self = Self([f32::NAN.to_bits(); 2]);

    fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|bits| out.extend(bits.to_le_bytes()));
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        match (words, rest) {
            ([loss, probability], []) => Ok(Self([u32::from_le_bytes(*loss), u32::from_le_bytes(*probability)])),
            _ => Err(Error::State("a reference of another length".into())),
        }
    }
}

/// What a reference model says of each row, dense by (block, row); 8 bytes for each row of the blocks that were set.
#[derive(Clone, Debug, PartialEq)]
pub struct References(Blocks<Stored>);

impl References {
    /// Nothing known, for a plan whose blocks have `block_rows` rows each.
    #[must_use]
    pub fn new(block_rows: &[u32]) -> Self {
        Self(Blocks::new(block_rows))
    }

    /// Sets what the model says of a row; what was said of it before is forgotten. A loss that is not finite counts as
    /// none.
    ///
    /// # Errors
    /// [`Error::Data`] if the plan has no such row.
    pub fn set(&mut self, position: Position, reference: Reference) -> Result<()> {
        let Some(stored) = self.0.get_mut(position) else {
            let place = Place::default().block(position.block).row(position.row);
            return Err(Error::data(place, "a reference speaks of a row that the plan does not have"));
        };
        let probability = reference.probability.filter(|probability| probability.is_finite()).unwrap_or(f32::NAN);
        *stored = match reference.loss.is_finite() {
            true => Stored([reference.loss.to_bits(), probability.to_bits()]),
            false => Stored::BLANK,
        };
        Ok(())
    }

    /// What the model says of the row; `None` where nothing is known.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<Reference> {
        let Stored([loss, probability]) = *self.0.get(position)?;
        let probability = f32::from_bits(probability);
        let loss = Some(f32::from_bits(loss)).filter(|loss| loss.is_finite())?;
        Some(Reference { loss, probability: Some(probability).filter(|probability| probability.is_finite()) })
    }

    /// Every row of which something is known, in position order.
    pub fn iter(&self) -> impl Iterator<Item = (Position, Reference)> {
        self.0.iter().filter_map(|(position, _)| Some((position, self.get(position)?)))
    }

    /// BLAKE3 over all that is known: a part of the identity of a stream whose selector reads it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for (position, Stored(bits)) in self.0.iter() {
            [position.block, position.row].iter().chain(bits).for_each(|number| {
                hasher.update(&number.to_le_bytes());
            });
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_known_and_nothing_else() {
        let mut references = References::new(&[2, 3]);
        let at = Position::new;
        let said = |loss, probability| Reference { loss, probability };
        references.set(at(1, 2), said(0.5, Some(0.6))).unwrap();
        references.set(at(0, 1), said(0.25, None)).unwrap();
        references.set(at(1, 0), said(f32::NAN, Some(0.5))).unwrap();
        references.set(at(1, 1), said(1.0, Some(f32::INFINITY))).unwrap();
        assert_eq!(references.get(at(1, 2)), Some(said(0.5, Some(0.6))));
        assert_eq!(references.get(at(1, 0)), None);
        assert_eq!(references.get(at(0, 0)), None);
        assert_eq!(references.get(at(7, 0)), None);
        let all: Vec<_> = references.iter().collect();
        let wanted = [(at(0, 1), said(0.25, None)), (at(1, 1), said(1.0, None)), (at(1, 2), said(0.5, Some(0.6)))];
        assert_eq!(all, wanted);
        assert!(matches!(references.set(at(0, 2), said(1.0, None)), Err(Error::Data { .. })));
    }

    #[test]
    fn equal_references_have_equal_hashes_however_they_came() {
        let of = |order: &[u32]| {
            let mut references = References::new(&[4]);
            for &row in order {
                let reference = Reference { loss: row as f32, probability: None };
                references.set(Position::new(0, row), reference).unwrap();
            }
            references.hash()
        };
        assert_eq!(of(&[0, 3, 1]), of(&[1, 0, 3]));
        assert_ne!(of(&[0, 3]), of(&[0, 3, 1]));
    }
}
