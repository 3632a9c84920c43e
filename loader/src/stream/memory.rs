//! The byte budget: what a stream holds at once, whether that fits, and how many blocks a window opens where the recipe
//! leaves it open.
//!
//! What is counted: the blocks of the open window, decoded; the blocks on their way, decoded, and what reading them
//! takes besides; batches that are made and not yet taken; values, indexes and what it takes to wind these back; inner
//! products of candidates' gradients; the plan. Not counted is what a process takes before it reads anything and what its
//! allocator cannot give back, which `docs/formats.md` states as measured.

use super::picking::Known;
use crate::{
    Error, Plan, Recipe, Result,
    clean::{Cleaner, Extent, Undo},
    recipe::ByteSize,
    source::Source,
    value::{Beside, Policy},
};

/// Bytes of values a row: its trajectory, its class and its verdict.
const VALUE_BYTES: u64 = 32 + 4 + 1;
/// Batches that are made beside those in the queue: one that is being filled, and one that the user holds.
const BATCHES_IN_HAND: u64 = 2;
/// How often one row may be among the batches that are made at once.
const MOST_OFTEN: u64 = 2;

/// Batches of a window are gathered together up to so many bytes, or this part of the memory where that is less, and up to
/// so many batches.
const STRETCH_BYTES: u64 = 1 << 20;
const STRETCH_PART: u64 = 128;
const STRETCH_BATCHES: u64 = 32;
/// How many stretches are gathered in advance, and how many may be on their way to the user besides: in the queue, being
/// made, and in his hand.
const STRETCHES_AHEAD: u64 = 3;
const STRETCHES_HELD: u64 = 3;
/// A window that the recipe leaves open need not hold more than this many rows, if it has so many blocks: shuffled among
/// 262,144 rows, which is also what Mosaic's StreamingDataset takes, and with neighbours from eight places at least.
const ROWS_ENOUGH: u64 = 1 << 18;
const BLOCKS_ENOUGH: u64 = 8;

/// How batches are gathered: how many of a window together, and how many such stretches in advance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering {
    pub(super) batches: usize,
    pub(super) ahead: usize,
    /// What all made batches are counted as, in bytes.
    pub(super) bytes: u64,
}

/// Bytes of values a row that are kept beside those: a recent mean, rivals, what a reference model says.
pub(super) fn kept_beside(beside: Beside, known: &Known) -> u64 {
    const RECENT: u64 = 4;
    const RIVAL: u64 = 4;
    const REFERENCE: u64 = 8;
    let recent = if beside.recent.is_some() { RECENT } else { 0 };
    let rivals = if beside.rivals { RIVAL } else { 0 };
    recent + rivals + if matches!(known, Known::Table(_)) { REFERENCE } else { 0 }
}

/// Bytes of the inner products of a super-batch's gradients, where the selector needs them: the matrix, its two factors on
/// a device that shares this memory, and what is read of it.
pub(super) fn inner_products(policy: &dyn Policy) -> u64 {
    const PRODUCT: u64 = 4 * size_of::<f32>() as u64;
    let each_with_each = policy.selection().filter(|selection| selection.selector.needs().gram);
    let candidates = each_with_each.map_or(0, |selection| u64::from(selection.candidates));
    candidates.saturating_mul(candidates).saturating_mul(PRODUCT)
}

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
    /// How many batches are gathered together, and how many such stretches in advance.
    stretch: u64,
    ahead: u64,
    values: u64,
    products: u64,
    index: u64,
    /// What it takes to wind the indexes back over so many blocks.
    undo: Undo,
    /// The blocks beside a window's that were settled since the batch that the user holds.
    behind: u64,
    plan: u64,
}

impl Budget {
    /// What `recipe` needs over `source`, cleaned by `cleaner`, with what is [kept beside](kept_beside) each row's values,
    /// and what [inner products](inner_products) take.
    pub(super) fn new(recipe: &Recipe, source: &dyn Source, cleaner: &Cleaner, (beside, products): (u64, u64)) -> Self {
        let plan = source.plan();
        let most = |of: &dyn Fn(&crate::Block) -> u64| plan.blocks.iter().map(of).max().unwrap_or(0);
        let rows = plan.rows();
        let memory = recipe.stream.memory.0;
        // Where a policy picks inside the step, a batch is a super-batch of candidates.
        let candidates = recipe.policy.options.get("candidates").and_then(toml::Value::as_integer).unwrap_or(0);
        let batch_rows = u64::from(recipe.batch.size).max(u64::try_from(candidates).unwrap_or(0)).min(rows);
        let decoded = plan.blocks.iter().fold(0, |sum: u64, block| sum.saturating_add(block.decoded_bytes));
        let batch = (decoded / rows.max(1)).max(1).saturating_mul(batch_rows).max(1);
        let stretch = (STRETCH_BYTES.min(memory / STRETCH_PART) / batch).clamp(1, STRETCH_BATCHES);
        let (ahead, held) = match stretch {
            // A large batch is a stretch of its own, and takes no more room than it would without.
            1 => (1 + u64::from(batch <= memory / STRETCH_PART), 0),
            _ => (STRETCHES_AHEAD, STRETCHES_HELD),
        };
        let batches = u64::from(recipe.stream.prefetch) + BATCHES_IN_HAND + stretch * (ahead - 1 + held);
        let made = batch_rows.saturating_mul(batches);
        let block = Extent { rows: most(&|block| block.rows.into()), bytes: most(&|block| block.decoded_bytes) };
        // A window opens once all but so many batches before it are in the user's hands.
        let not_taken = (u64::from(recipe.stream.prefetch) + 1) * u64::from(recipe.world);
        let blocks = plan.blocks.len() as u64;
        Self {
            budget: memory,
            rows,
            blocks,
            largest: block.bytes,
            reading: most(&|block| block.decoded_bytes.saturating_add(block.working_bytes)),
            batches: largest_rows(plan, made),
            stretch,
            ahead,
            values: rows.saturating_mul(VALUE_BYTES + beside),
            products,
            index: cleaner.index_bytes(rows),
            undo: cleaner.undo(block, Extent { rows, bytes: decoded }),
            behind: batch_rows.saturating_mul(not_taken).saturating_mul(blocks).div_ceil(rows.max(1)),
            plan: held_by(plan).saturating_add(source.held_bytes()),
        }
    }

    /// The blocks that indexes may have to be wound back over, where a window has `window` blocks.
    fn wound_back(&self, window: u32) -> u64 {
        self.behind.saturating_add(window.into()).min(self.blocks)
    }

    /// Whether there is anything that is kept so that indexes can be wound back.
    pub(super) fn winds_back(&self) -> bool {
        self.undo != Undo::default()
    }

    fn undo(&self, window: u32) -> u64 {
        self.undo.fixed.saturating_add(self.undo.block.saturating_mul(self.wound_back(window)))
    }

    /// What is left for blocks, open or on their way, beside windows of `window` blocks in all.
    pub(super) fn for_blocks(&self, window: u32) -> u64 {
        let beside = [self.batches, self.values, self.products, self.index, self.plan, self.undo(window)];
        self.budget.saturating_sub(beside.into_iter().fold(0, u64::saturating_add))
    }

    /// How batches are gathered. It follows from the recipe and the plan, and decides nothing of what is emitted.
    pub(super) const fn gathering(&self) -> Gathering {
        Gathering { batches: self.stretch as usize, ahead: self.ahead as usize, bytes: self.batches }
    }

    /// As many blocks as half of what is left for blocks holds, since the other half is for those on their way; but no
    /// more than are enough to shuffle well, however much memory there is: a first batch waits for a whole window.
    pub(super) fn window(&self) -> u32 {
        let (budget, block, undo) = (self.for_blocks(0), self.largest.max(1), self.undo.block);
        let fit = |budget: u64, block: u64| budget / block.saturating_add(undo);
        let fit = fit(budget.saturating_sub(self.reading), block).min(fit(budget, block.saturating_mul(2))).max(1);
        let enough = (ROWS_ENOUGH.saturating_mul(self.blocks)).div_ceil(self.rows.max(1)).max(BLOCKS_ENOUGH);
        u32::try_from(fit.min(enough).min(self.blocks.max(1))).unwrap_or(u32::MAX)
    }

    /// The bytes to spare beside windows of so many blocks, one for each domain, that take `open` bytes together at most.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where there are none, with the arithmetic.
    pub(super) fn check(&self, windows: &[u32], open: u64) -> Result<u64> {
        let window: u32 = windows.iter().fold(0, |sum, blocks| sum.saturating_add(*blocks));
        if let Some(spare) = self.for_blocks(window).checked_sub(open.saturating_add(self.reading)) {
            return Ok(spare);
        }
        let undo = self.undo(window);
        let parts = [open, self.reading, self.batches, self.values, self.products, self.index, undo, self.plan];
        let need = parts.into_iter().fold(0, u64::saturating_add);
        let products = match self.products {
            0 => String::new(),
            bytes => format!(" + the inner products of the candidates' gradients, each with each, {}", size(bytes)),
        };
        let index = if self.index > 0 { format!(" + duplicate index {}", size(self.index)) } else { String::new() };
        let undo = if undo > 0 {
            format!(
                " + what it takes to wind that back over up to {} blocks {} ({} for each, and {})",
                self.wound_back(window),
                size(undo),
                size(self.undo.block),
                size(self.undo.fixed)
            )
        } else {
            String::new()
        };
        let domains = if windows.len() > 1 { format!(" of {} domains", windows.len()) } else { String::new() };
        Err(Error::recipe(format!(
            "[stream] memory = \"{}\" is too little: an open window of {window} blocks{domains} of up to {} ({}) + one block on its \
             way, of up to {} while it is read + batches that are made {} + values of {} rows {}{products}{index}{undo} + the plan {} = \
             {}; give more memory{}",
            ByteSize(self.budget),
            size(self.largest),
            size(open),
            size(self.reading),
            size(self.batches),
            self.rows,
            size(self.values),
            size(self.plan),
            size(need),
            match (self.products, window as usize > windows.len()) {
                (0, false) => "",
                (0, true) => ", or a smaller window",
                _ => ", or fewer `candidates`",
            },
        )))
    }
}

/// What `count` rows take at most, decoded, as far as the plan knows: each row as the mean of its block, and none more
/// than twice, as where an epoch ends and the next begins. So one row of uncommon size costs its own size and no more.
fn largest_rows(plan: &Plan, count: u64) -> u64 {
    let of_block = |block: &crate::Block| {
        let rows = u64::from(block.rows);
        (block.decoded_bytes.div_ceil(rows.max(1)), rows)
    };
    let mut blocks: Vec<(u64, u64)> = plan.blocks.iter().map(of_block).collect();
    blocks.sort_unstable_by(|a, b| b.cmp(a));
    let mut left = count;
    let mut bytes = 0_u64;
    for (row, rows) in blocks {
        let taken = rows.saturating_mul(MOST_OFTEN).min(left);
        bytes = bytes.saturating_add(row.saturating_mul(taken));
        left -= taken;
        if left == 0 {
            break;
        }
    }
    bytes
}

/// Bytes for a person, who adds them up: in MiB, or in KiB where there is less than one.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB {
        format!("{:.1} KiB", bytes as f64 / 1024.0)
    } else {
        format!("{:.1} MiB", bytes as f64 / MIB as f64)
    }
}

/// What the plan itself takes.
fn held_by(plan: &Plan) -> u64 {
    let blocks = plan.blocks.iter().map(|block| (size_of::<crate::Block>() + size_of_val(&block.hashes[..])) as u64);
    let shards = plan.shards.iter().map(|shard| (size_of_val(shard) + shard.path.len() + shard.name.len()) as u64);
    blocks.sum::<u64>() + shards.sum::<u64>()
}
