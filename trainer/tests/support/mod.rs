//! Streams whose rows lie in memory and whose weights are given: what is real in them is everything but the files.

#![allow(dead_code, reason = "each test binary compiles this file and uses its part of it")]

use std::{path::Path, sync::Arc};

use arable_loader::{
    Block, Error, Hash, Plan, Recipe, Report, Result, Shard, Span, Stream, Target,
    arrow::{
        array::{BooleanArray, RecordBatch},
        compute::filter_record_batch,
    },
    ledger::FeedbackLog,
    source::{Decoded, Request, Source},
    stream::StreamBuilder,
    value::{Classes, Parameters, Policy, Table, WindowRows},
};

/// A dataset in memory, in blocks of equal length.
#[derive(Debug)]
pub(crate) struct Memory {
    data: RecordBatch,
    plan: Plan,
    broken: Option<u32>,
}

impl Memory {
    /// All rows in one block, so that a row's number in `data` is that of its position.
    pub(crate) fn new(data: RecordBatch) -> Self {
        let rows = data.num_rows();
        Self::in_blocks(data, rows)
    }

    /// Blocks of `rows` rows, the last one of what is left.
    pub(crate) fn in_blocks(data: RecordBatch, rows: usize) -> Self {
        let all = data.num_rows();
        let blocks = (0..all).step_by(rows).zip(0..).map(|(first, index)| Block {
            shard: 0,
            index,
            rows: rows.min(all - first) as u32,
            bytes: 0,
            decoded_bytes: 1 << 10,
            working_bytes: 0,
            span: Span::RowGroup { group: 0, first_row: first as u32 },
            hashes: Vec::new(),
        });
        let shard = Shard { path: "memory".into(), name: "memory".into(), bytes: 0, hash: Hash::ZERO };
        let blocks = blocks.collect();
        let plan =
            Plan { url: "memory".into(), schema: data.schema(), shards: vec![shard], blocks, domains: Vec::new() };
        Self { data, plan, broken: None }
    }

    /// The same, but `block` cannot be read.
    pub(crate) fn broken_at(self, block: u32) -> Self {
        Self { broken: Some(block), ..self }
    }

    /// A stream of `recipe` over these rows, to be opened.
    pub(crate) fn builder(self, recipe: Recipe) -> StreamBuilder {
        Stream::builder(recipe).source(Arc::new(self))
    }

    /// A stream of batches of `batch` rows over `epochs` passes.
    pub(crate) fn stream(self, batch: usize, epochs: usize) -> Stream {
        self.builder(recipe(batch, epochs)).open().unwrap()
    }

    /// The same, recorded in `folder`; the row at position 0:i has the weight `weights[i]`.
    pub(crate) fn weighted(self, weights: &[f32], batch: usize, epochs: usize, folder: &Path) -> Stream {
        let policy = Arc::new(Weights(weights.to_vec()));
        self.builder(recipe(batch, epochs)).policy(policy).record(folder).open().unwrap()
    }
}

pub(crate) fn recipe(batch: usize, epochs: usize) -> Recipe {
    Recipe::new("memory").batch_size(batch as u32).epochs(epochs as u32)
}

impl Source for Memory {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        if self.broken == Some(request.block) {
            return Err(Error::data(self.plan.place(request.block), "it is broken"));
        }
        let block = &self.plan.blocks[request.block as usize];
        let Span::RowGroup { first_row, .. } = block.span else { panic!("this source has row groups only") };
        let mut data = self.data.slice(first_row as usize, block.rows as usize);
        if let Some(keep) = request.rows {
            let mask: BooleanArray = (0..block.rows).map(|row| Some(keep.is_kept(row))).collect();
            data = filter_record_batch(&data, &mask).unwrap();
        }
        Ok(Decoded { data, hashes: Vec::new(), bad_rows: Vec::new() })
    }
}

/// Every row once a data epoch, with the weight given for it. A policy is not told positions, so there must be one
/// block, of which every row is kept: then the window's order is that of the rows.
#[derive(Debug)]
struct Weights(Vec<f32>);

impl Policy for Weights {
    fn name(&self) -> &str {
        "weights"
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        format!("weights{:?}", self.0)
    }

    fn reads_signals(&self) -> bool {
        false
    }

    fn fit(&self, _: &Table, _: &Classes, _: u32) -> Parameters {
        Parameters::default()
    }

    fn targets(&self, _: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        assert_eq!(rows.len(), self.0.len());
        out.extend(self.0.iter().map(|&weight| Target { weight, inclusion: 1.0 }));
    }
}

/// What the run recorded in `folder` was told, in batch order, without the batches of which it was told nothing. The
/// run must be over.
pub(crate) fn reports(folder: &Path) -> Vec<Report> {
    FeedbackLog::read(&folder.join("feedback")).unwrap().iter().cloned().collect()
}
