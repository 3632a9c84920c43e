//! A look at a dataset: its plan, and a profile of rows from blocks spread over it.

use arable_loader::{
    Error, Result,
    report::{Profile, Progress, ProgressMode},
    source::{self, Request, Source},
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Decoded bytes of a block; what `[stream] memory = "1GiB"` would give.
const BLOCK_LIMIT: u64 = 256 << 20;

/// Bad rows that are told of, at most.
const MOST_TOLD: usize = 5;

/// What was seen of a dataset.
pub(crate) struct Look {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) profile: Profile,
    /// How many rows were profiled.
    pub(crate) rows: u64,
    /// How many of them could not be read.
    pub(crate) bad_rows: u64,
    /// What is wrong with the first of those, with their places.
    pub(crate) bad: Vec<String>,
    /// The blocks that could not be read.
    pub(crate) faults: Vec<String>,
    /// The first block, where it can be read.
    pub(crate) first: Option<RecordBatch>,
}

/// How to open the dataset at `url`.
pub(crate) fn options(url: &str, format: Option<&str>, cache: Option<&str>) -> Result<source::Options> {
    Ok(source::Options {
        format: format.map(str::parse).transpose()?,
        block_limit: BLOCK_LIMIT,
        access: source::Access {
            cache: cache.map_or(source::Cache::Unpacked, source::Cache::named),
            ..source::Access::default()
        },
        ..source::Options::new(url)
    })
}

impl Look {
    /// Profiles about `most` rows of the dataset, by whole blocks.
    pub(crate) fn at(options: &source::Options, most: u64, mode: ProgressMode) -> Result<Self> {
        let source = source::open(options)?;
        let plan = source.plan();
        let mut look = Self {
            profile: Profile::new(&plan.schema),
            rows: 0,
            bad_rows: 0,
            bad: Vec::new(),
            faults: Vec::new(),
            first: None,
            source: Arc::clone(&source),
        };
        let progress = Progress::new(mode, "profile", Some(plan.rows().min(most)), "rows");
        for block in spread(plan.blocks.len()) {
            if look.rows >= most {
                break;
            }
            let expected = plan.blocks.get(block as usize).map_or(&[][..], |block| &block.hashes);
            match source.read(Request { block, rows: None, expected }) {
                Ok(decoded) => {
                    look.profile.push(&decoded.data);
                    look.bad_rows += decoded.bad_rows.len() as u64;
                    for row in decoded.bad_rows.into_iter().take(MOST_TOLD.saturating_sub(look.bad.len())) {
                        let mut place = plan.place(block).row(row.row);
                        place.column = row.column;
                        look.bad.push(Error::data(place, row.what).to_string());
                    }
                    look.rows += decoded.data.num_rows() as u64;
                    progress.advance(decoded.data.num_rows() as u64);
                    if block == 0 {
                        look.first = Some(decoded.data);
                    }
                }
                Err(fault @ (Error::Data { .. } | Error::Io { .. })) => look.faults.push(fault.to_string()),
                Err(fault) => return Err(fault),
            }
        }
        progress.finish();
        Ok(look)
    }
}

/// All blocks, the first one first and the others so that any beginning of the list is spread over the dataset: by the
/// bits of their index, reversed (the van der Corput sequence).
fn spread(blocks: usize) -> impl Iterator<Item = u32> {
    let count = u32::try_from(blocks).unwrap_or(u32::MAX);
    let bits = count.next_power_of_two().trailing_zeros();
    let reversed = move |index: u32| if bits == 0 { 0 } else { index.reverse_bits() >> (32 - bits) };
    (0..count.next_power_of_two()).map(reversed).filter(move |&block| block < count)
}
