//! Which part of the data a row belongs to: a function of its content alone.
//!
//! Rows with equal content are in one part, so no copy of a row that is trained on is validated on; and a row stays in
//! its part whatever rows, files or domains are added, whatever the seed. It knows nothing of what is done with a part.

use crate::{
    Error, Recipe, Result,
    clean::content_keys,
    recipe::{Part, Split},
};
use arrow::{datatypes::Schema, record_batch::RecordBatch};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keys name contents for other uses too; with a seed of its own a split is independent of those.
const SEED: u64 = 0x7370_6c69_7420_3120;

/// How the parts of a dataset are told apart, and which one a stream is of.
#[derive(Clone, Debug)]
pub(super) struct Parting {
    split: Split,
    part: Part,
    /// The columns whose content decides, by index.
    columns: Vec<usize>,
}

impl Parting {
    /// As the recipe's `[split]` says, for the rows of `part`; `None` where nothing is kept out.
    ///
    /// The columns are those by which the recipe's first `exact_duplicate` tells copies, else all that are carried.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where the recipe keeps no such part.
    pub(super) fn of(recipe: &Recipe, part: Part, schema: &Schema) -> Result<Option<Self>> {
        let split = recipe.split;
        let share = match part {
            Part::Train => 1.0,
            Part::Valid => split.valid,
            Part::Holdout => split.holdout,
        };
        if share <= 0.0 {
            let name = part.name();
            return Err(Error::recipe(format!(
                "the recipe keeps no part `{name}` out of training: set `{name}` under [split] to a fraction above 0"
            )));
        }
        if !split.keeps_out() {
            return Ok(None);
        }
        let duplicates = recipe.clean.iter().find(|operator| operator.op == "exact_duplicate");
        let named = duplicates.and_then(|operator| match operator.options.get("column") {
            Some(column) => Some(vec![column.as_str()?]),
            None => operator.options.get("columns")?.as_array()?.iter().map(toml::Value::as_str).collect(),
        });
        let columns = match named {
            None => (0..schema.fields().len()).collect(),
            // That the columns are there was checked with the operator.
            Some(names) => names.into_iter().filter_map(|name| schema.index_of(name).ok()).collect(),
        };
        Ok(Some(Self { split, part, columns }))
    }

    /// The fraction of all contents that belong to the part.
    pub(super) fn fraction(&self) -> f64 {
        let Split { valid, holdout, .. } = self.split;
        match self.part {
            Part::Train => 1.0 - valid - holdout,
            Part::Valid => valid,
            Part::Holdout => holdout,
        }
    }

    /// The rows of `data` that belong to other parts, ascending. Rows that could not be read, `bad`, have no content; they
    /// are counted with the training data.
    ///
    /// # Errors
    ///
    /// As [`content_keys`].
    pub(super) fn others(&self, data: &RecordBatch, bad: &[u32]) -> Result<Vec<u32>> {
        let keys = content_keys(data, &self.columns)?;
        let part = |row: u32, key: &u128| {
            if bad.binary_search(&row).is_ok() { Part::Train } else { part_of(self.split, *key) }
        };
        Ok((0..).zip(&keys).filter(|(row, key)| part(*row, key) != self.part).map(|(row, _)| row).collect())
    }
}

/// The part of the rows whose content has the key `key`.
fn part_of(split: Split, key: u128) -> Part {
    let hash = xxh3_64_with_seed(&key.to_le_bytes(), SEED);
    // 53 bits are what an f64 holds exactly in [0, 1).
    let place = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    if place < split.valid {
        Part::Valid
    } else if place < split.valid + split.holdout {
        Part::Holdout
    } else {
        Part::Train
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_their_fractions() {
        let split = Split { valid: 0.1, holdout: 0.25, clean: false };
        let count = |part| (0..100_000_u128).filter(|key| part_of(split, *key) == part).count();
        // Five standard deviations of a binomial count are about 480 and 690.
        assert!(count(Part::Valid).abs_diff(10_000) < 480);
        assert!(count(Part::Holdout).abs_diff(25_000) < 690);
    }

    #[test]
    fn a_row_of_the_smaller_valid_part_is_in_the_larger_one_too() {
        let of = |valid| move |key: &u128| part_of(Split { valid, ..Split::default() }, *key) == Part::Valid;
        assert!((0..10_000_u128).filter(of(0.05)).all(|key| of(0.2)(&key)));
    }

    #[test]
    fn the_parts_are_the_same_on_every_machine_and_in_every_version() {
        let split = Split { valid: 0.3, holdout: 0.3, clean: false };
        let parts: String = (0..24_u128).map(|key| part_of(split, key).name().chars().next().unwrap()).collect();
        assert_eq!(parts, "hvvvvhhvhhthtvvhthvvtvhh");
    }
}
