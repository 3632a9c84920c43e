//! The byte budget: what a stream holds at once, whether that fits, and how many blocks a window opens where the recipe
//! leaves it open.
//!
//! What is counted: the blocks of the open window, decoded; the blocks on their way, decoded, and what reading them
//! takes besides; batches that are made and not yet taken; values, indexes and the plan. Not counted is what a process
//! takes before it reads anything and what its allocator cannot give back, which `docs/formats.md` states as measured.

use crate::{Error, Plan, Recipe, Result, recipe::ByteSize, source::Source};

/// Bytes of values a row: its trajectory, its class and its verdict.
const VALUE_BYTES: u64 = 32 + 4 + 1;
/// Batches that are made beside those in the queue: one that is being filled, and one that the user holds.
const BATCHES_IN_HAND: u64 = 2;

/// What a stream needs, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    budget: u64,
    rows: u64,
    blocks: u64,
    /// The largest block, decoded.
    largest: u64,
    /// The most that a block takes while it is read, what it decodes to included.
    reading: u64,
    batches: u64,
    values: u64,
    index: u64,
    plan: u64,
}

impl Budget {
    /// What `recipe` needs over `source`, with duplicate indexes of `index` bytes.
    pub(super) fn new(recipe: &Recipe, source: &dyn Source, index: u64) -> Self {
        let plan = source.plan();
        let most = |of: &dyn Fn(&crate::Block) -> u64| plan.blocks.iter().map(of).max().unwrap_or(0);
        let row = most(&|block| block.decoded_bytes.div_ceil(u64::from(block.rows).max(1)));
        let batches = u64::from(recipe.stream.prefetch) + BATCHES_IN_HAND;
        // Where a policy picks inside the step, a batch is a super-batch of candidates.
        let candidates = recipe.policy.options.get("candidates").and_then(toml::Value::as_integer).unwrap_or(0);
        let batch_rows = u64::from(recipe.batch.size).max(u64::try_from(candidates).unwrap_or(0));
        let rows = plan.rows();
        Self {
            budget: recipe.stream.memory.0,
            rows,
            blocks: plan.blocks.len() as u64,
            largest: most(&|block| block.decoded_bytes),
            reading: most(&|block| block.decoded_bytes.saturating_add(block.working_bytes)),
            batches: row.saturating_mul(batch_rows.min(rows)).saturating_mul(batches),
            values: rows.saturating_mul(VALUE_BYTES),
            index,
            plan: held_by(plan).saturating_add(source.held_bytes()),
        }
    }

    /// What is left for blocks, open or on their way.
    pub(super) const fn for_blocks(&self) -> u64 {
        let beside = self.batches.saturating_add(self.values).saturating_add(self.index).saturating_add(self.plan);
        self.budget.saturating_sub(beside)
    }

    /// As many blocks as half of what is left for blocks holds: the other half is for those on their way.
    pub(super) fn window(&self) -> u32 {
        let budget = self.for_blocks();
        let fit = (budget.saturating_sub(self.reading).min(budget / 2) / self.largest.max(1)).max(1);
        u32::try_from(fit.min(self.blocks.max(1))).unwrap_or(u32::MAX)
    }

    /// The bytes to spare beside windows of so many blocks, one for each domain, that take `open` bytes together at most.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where there are none, with the arithmetic.
    pub(super) fn check(&self, windows: &[u32], open: u64) -> Result<u64> {
        let window: u32 = windows.iter().fold(0, |sum, blocks| sum.saturating_add(*blocks));
        if let Some(spare) = self.for_blocks().checked_sub(open.saturating_add(self.reading)) {
            return Ok(spare);
        }
        let size = |bytes: u64| ByteSize(bytes).to_string();
        let parts = [open, self.reading, self.batches, self.values, self.index, self.plan];
        let need = parts.into_iter().fold(0, u64::saturating_add);
        let index = if self.index > 0 { format!(" + duplicate index {}", size(self.index)) } else { String::new() };
        let domains = if windows.len() > 1 { format!(" of {} domains", windows.len()) } else { String::new() };
        Err(Error::recipe(format!(
            "[stream] memory = \"{}\" is too little: an open window of {window} blocks{domains} of up to {} ({}) + one block on its \
             way, of up to {} while it is read + batches that are made {} + values of {} rows {}{index} + the plan {} = \
             {}; give more memory{}",
            size(self.budget),
            size(self.largest),
            size(open),
            size(self.reading),
            size(self.batches),
            self.rows,
            size(self.values),
            size(self.plan),
            size(need),
            if window as usize > windows.len() { ", or a smaller window" } else { "" },
        )))
    }
}

/// What the plan itself takes.
fn held_by(plan: &Plan) -> u64 {
    let blocks = plan.blocks.iter().map(|block| (size_of::<crate::Block>() + size_of_val(&block.hashes[..])) as u64);
    let shards = plan.shards.iter().map(|shard| (size_of_val(shard) + shard.path.len() + shard.name.len()) as u64);
    blocks.sum::<u64>() + shards.sum::<u64>()
}
