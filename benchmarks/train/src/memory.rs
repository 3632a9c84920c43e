//! The same items as Arrow columns in memory, as a source of the stream: nothing is read, and nothing decoded.

use std::sync::Arc;

use arable_loader::{
    Block, Hash, Plan, Recipe, Result, Shard, Span, Stream,
    source::{Decoded, Request, Source},
};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
};

/// Rows of a block.
const ROWS: usize = 512;

#[derive(Debug)]
struct Memory {
    data: RecordBatch,
    plan: Plan,
}

/// A stream of `batch` rows a batch over `data`, of which an epoch of burn's has `steps` batches; it is shuffled, and has
/// no end that a measurement comes to.
pub(crate) fn stream(data: RecordBatch, batch: usize, steps: u64) -> Result<Stream> {
    let rows = data.num_rows();
    let block = |(first, index): (usize, u32)| Block {
        shard: 0,
        index,
        rows: ROWS.min(rows - first) as u32,
        bytes: 0,
        decoded_bytes: (data.get_array_memory_size() * ROWS / rows) as u64,
        working_bytes: 0,
        span: Span::RowGroup { group: 0, first_row: first as u32 },
        hashes: Vec::new(),
    };
    let blocks = (0..rows).step_by(ROWS).zip(0..).map(block).collect();
    let shard = Shard { path: "memory".into(), name: "memory".into(), bytes: 0, hash: Hash::ZERO };
    let plan = Plan { url: "memory".into(), schema: data.schema(), shards: vec![shard], blocks, domains: Vec::new() };
    let recipe = Recipe::new("memory").batch_size(batch as u32).epochs(10_000).epoch_batches(steps);
    Stream::builder(recipe).source(Arc::new(Memory { data, plan })).open()
}

impl Source for Memory {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let block = &self.plan.blocks[request.block as usize];
        let first = request.block as usize * ROWS;
        let mut data = self.data.slice(first, block.rows as usize);
        if let Some(keep) = request.rows {
            let mask: BooleanArray = (0..block.rows).map(|row| Some(keep.is_kept(row))).collect();
            data = filter_record_batch(&data, &mask)
                .map_err(|error| arable_loader::Error::data(self.plan.place(request.block), error.to_string()))?;
        }
        Ok(Decoded { data, hashes: Vec::new(), bad_rows: Vec::new() })
    }
}
