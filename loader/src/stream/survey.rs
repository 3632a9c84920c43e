//! What operators learn before the first judgement: one pass over the data in plan order, where any of them needs it.

use super::{split::Parting, sweep::sweep};
use crate::{Result, clean::Cleaner, recipe::OnBad, source::Source};

/// Fits `cleaner` to the data of `source`, if any of its operators asks for it and none has been fitted yet.
///
/// Only the part of the data that `parting` is of is looked at. Blocks and rows that cannot be read teach nothing where the recipe sets them aside, and are errors where it stops.
pub(super) fn fit(
    cleaner: &mut Cleaner,
    source: &dyn Source,
    seed: u64,
    threads: usize,
    budget: u64,
    on_bad_block: OnBad,
    parting: Option<&Parting>,
) -> Result<()> {
    let Some(mut surveys) = cleaner.surveys(seed) else { return Ok(()) };
    let blocks = u32::try_from(source.plan().blocks.len()).unwrap_or(u32::MAX);
    let picked: Vec<u32> = (0..blocks).filter(|&block| surveys.look_at(block)).collect();
    tracing::info!("operators learn from {} of {blocks} blocks", picked.len());
    let looking = cleaner.surveys(seed);
    let (looking, frozen) = (looking.as_ref(), &*cleaner);
    sweep(
        source,
        picked.into_iter(),
        threads,
        budget,
        |block, decoded| {
            let mut bad: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
            if let Some(parting) = parting {
                bad.extend(parting.others(&decoded.data, &bad)?);
                bad.sort_unstable();
            }
            looking.map(|looking| frozen.look(looking, block, &decoded.data, &bad)).transpose()
        },
        |_, parts| match parts {
            Ok(parts) => parts.map_or(Ok(()), |parts| surveys.add(parts)),
            Err(fault) if on_bad_block.sets_aside(&fault) => Ok(()),
            Err(fault) => Err(fault),
        },
    )?;
    cleaner.fit(surveys.fits()?)
}
