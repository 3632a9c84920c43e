//! Datasets that operators name beside the one that is cleaned: evaluation sets, examples of what is wanted.
//!
//! They are read once, before the first batch, in plan order and on one thread, by the ways and means of the recipe's
//! own data. A row of theirs that cannot be read is an error, whatever the recipe does with its own bad rows: a set that
//! is looked for in part would be trusted as a whole.

use super::data;
use crate::{
    Error, Recipe, Result,
    clean::Datasets,
    recipe::Dataset,
    source::{self, Request},
};
use arrow::record_batch::RecordBatch;

/// What the recipe's operators name.
pub(super) struct Named<'a> {
    recipe: &'a Recipe,
    /// Decoded bytes of a block, at most.
    block_limit: u64,
}

impl<'a> Named<'a> {
    pub(super) const fn new(recipe: &'a Recipe, block_limit: u64) -> Self {
        Self { recipe, block_limit }
    }
}

impl Datasets for Named<'_> {
    fn read(&self, url: &str, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        let dataset = Dataset { url: url.to_owned(), format: None, columns: None, label: None, manifest: None };
        let source = source::open(&data::options(&dataset, &self.recipe.stream, self.block_limit)?)?;
        let plan = source.plan();
        for (block, planned) in (0..).zip(&plan.blocks) {
            let decoded = source.read(Request { block, rows: None, expected: &planned.hashes })?;
            if let Some(bad) = decoded.bad_rows.first() {
                return Err(Error::data(plan.place(block).row(bad.row), bad.what.clone()));
            }
            each(&decoded.data)?;
        }
        Ok(())
    }
}
