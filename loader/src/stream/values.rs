//! What outlives a run: trajectories and a reference model's losses, written to Parquet and read again, for the same
//! plan by position, for any other by content.
//!
//! It composes the file's rows (`value`) with the data's contents (`source`, `clean`), and knows nothing of what a policy
//! makes of either.

use super::{Stream, block_rows, sweep::sweep};
use crate::{
    Error, Place, Position, Result,
    clean::content_keys,
    recipe::OnBad,
    source::Source,
    value::{Beside, Holds, References, Table, ValueFile, ValueRow, ValueWriter},
};
use std::{collections::HashMap, path::Path};

/// How a pass over the data for the sake of contents goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) threads: usize,
    /// Decoded bytes on their way.
    pub(super) budget: u64,
    pub(super) on_bad_block: OnBad,
}

impl Stream {
    /// Writes the trajectories, with every report that has come in so far, to a Parquet file at `path`: position,
    /// statistics, the value that follows from them ([`Trajectory::value`](crate::value::Trajectory::value)); with
    /// `contents` the id of each row's content too, over all columns that the stream carries, which takes one more pass
    /// over the blocks that were seen. How many rows it has: those that a signal has reached.
    ///
    /// With contents the table can start a run over other files, another order, or cleaned data (`values` under
    /// `[policy]`); without, only one over the same plan.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file cannot be written; with `contents`, as for reading the data.
    pub fn write_values(&self, path: &Path, contents: bool) -> Result<u64> {
        let table = self.values()?;
        let mut writer = ValueWriter::create(path, self.plan().hash(), Holds::Values)?;
        let examples: HashMap<Position, u32> = table.examples().map(|(class, row)| (row, class)).collect();
        let row = |position: Position, content| ValueRow {
            trajectory: table.get(position).copied(),
            rival: table.rival(position),
            example_of: examples.get(&position).copied(),
            ..ValueRow::new(Some(position), content)
        };
        if contents {
            let mut blocks: Vec<u32> = table.iter().map(|(position, _)| position.block).collect();
            blocks.dedup();
            self.contents(blocks, |position, key| {
                let known = table.get(position).is_some_and(|trajectory| trajectory.is_known());
                if known { writer.push(row(position, Some(key))) } else { Ok(()) }
            })?;
        } else {
            table.iter().try_for_each(|(position, _)| writer.push(row(position, None)))?;
        }
        writer.finish()
    }

    /// Nothing known yet of any row of this plan: to be filled with what a reference model says, and given to a stream
    /// over the same plan ([`StreamBuilder::references`](super::StreamBuilder::references)) or
    /// [written down](Self::write_references).
    #[must_use]
    pub fn blank_references(&self) -> References {
        References::new(&block_rows(self.plan()))
    }

    /// Writes what a reference model says to a Parquet file at `path`, as `reference` under `[policy]` names it:
    /// position, `loss`, `probability`; with `contents` the id of each row's content too, as
    /// [`write_values`](Self::write_values) does. How many rows it has.
    ///
    /// # Errors
    ///
    /// As [`write_values`](Self::write_values).
    pub fn write_references(&self, references: &References, path: &Path, contents: bool) -> Result<u64> {
        let mut writer = ValueWriter::create(path, self.plan().hash(), Holds::References)?;
        let row = |position, content, reference| ValueRow {
            reference: Some(reference),
            ..ValueRow::new(Some(position), content)
        };
        if contents {
            let mut blocks: Vec<u32> = references.iter().map(|(position, _)| position.block).collect();
            blocks.dedup();
            self.contents(blocks, |position, key| match references.get(position) {
                Some(reference) => writer.push(row(position, Some(key), reference)),
                None => Ok(()),
            })?;
        } else {
            references.iter().try_for_each(|(position, reference)| writer.push(row(position, None, reference)))?;
        }
        writer.finish()
    }

    fn contents(&self, blocks: Vec<u32>, each: impl FnMut(Position, u128) -> Result<()>) -> Result<()> {
        contents(self.shared.work.source.as_ref(), blocks.into_iter(), self.pass(), each)
    }

    pub(super) const fn pass(&self) -> Pass {
        let stream = &self.recipe.stream;
        Pass { threads: stream.threads as usize, budget: stream.memory.0 / 4, on_bad_block: stream.on_bad_block }
    }
}

/// The key of the content of each row of `blocks` that can be read, over all columns, in plan order.
fn contents(
    source: &dyn Source,
    blocks: impl Iterator<Item = u32>,
    pass: Pass,
    mut each: impl FnMut(Position, u128) -> Result<()>,
) -> Result<()> {
    let work = |_: u32, decoded: crate::source::Decoded| {
        let columns: Vec<usize> = (0..decoded.data.num_columns()).collect();
        let bad: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
        Ok((content_keys(&decoded.data, &columns)?, bad))
    };
    sweep(source, blocks, pass.threads, pass.budget, work, |block, outcome| {
        let (keys, bad) = match outcome {
            Err(fault) if pass.on_bad_block.sets_aside(&fault) => return Ok(()),
            outcome => outcome?,
        };
        let rows = (0..).zip(keys).filter(|(row, _)| !bad.contains(row));
        rows.into_iter().try_for_each(|(row, key)| each(Position::new(block, row), key))
    })
}

/// The trajectories in the file at `path`, for the plan of `source`, with what is kept `beside` them.
pub(super) fn read_values(source: &dyn Source, path: &Path, beside: Beside, pass: Pass) -> Result<Table> {
    let mut table = Table::new(&block_rows(source.plan())).keeping(beside);
    import(source, path, Holds::Values, pass, |position, row| match row.trajectory {
        Some(trajectory) => {
            table.set(position, trajectory)?;
            table.set_rival(position, row.rival, row.example_of)
        }
        None => Ok(()),
    })?;
    Ok(table)
}

/// What a reference model says, from the file at `path`, for the plan of `source`.
pub(super) fn read_references(source: &dyn Source, path: &Path, pass: Pass) -> Result<References> {
    let mut references = References::new(&block_rows(source.plan()));
    import(source, path, Holds::References, pass, |position, row| match row.reference {
        Some(reference) => references.set(position, reference),
        None => Ok(()),
    })?;
    Ok(references)
}

/// Hands over each row of the plan of `source` that the file speaks of: by position where the file was written for this
/// plan or names rows by position alone, else by content.
fn import(
    source: &dyn Source,
    path: &Path,
    holds: Holds,
    pass: Pass,
    mut each: impl FnMut(Position, ValueRow) -> Result<()>,
) -> Result<()> {
    let plan = source.plan();
    let file = ValueFile::open(path)?;
    let fault = |what: String| Error::data(Place::shard(path.display().to_string()), what);
    let same = file.plan().map_or(!file.has_contents(), |written| written == plan.hash());
    if file.has_positions() && same {
        return file.each(holds, |row| match row.position {
            Some(position) => each(position, row).map_err(|cause| fault(cause.to_string())),
            None => Ok(()),
        });
    }
    let mut known: HashMap<u128, ValueRow> = HashMap::new();
    file.each(holds, |row| {
        if let Some(content) = row.content {
            // Of rows with equal contents, the first speaks for all.
            known.entry(content).or_insert(row);
        }
        Ok(())
    })?;
    if known.is_empty() {
        return Err(fault(
            "it was written for another plan (other files or columns), and names no row by its content: write it with \
             content ids"
                .to_owned(),
        ));
    }
    let (mut found, blocks) = (0_u64, 0..plan.blocks.len() as u32);
    contents(source, blocks, pass, |position, key| match known.get(&key) {
        Some(row) => {
            found += 1;
            each(position, *row)
        }
        None => Ok(()),
    })?;
    if found == 0 {
        return Err(fault(format!(
            "none of its {} contents is in `{}`: content ids cover all columns that a stream carries, so carry the same \
             columns, in the same order",
            known.len(),
            plan.url
        )));
    }
    tracing::info!(found, rows = plan.rows(), file = %path.display(), "rows known from an earlier run");
    Ok(())
}
