//! What a batch holds before it has a way back, and how it is made of drawn rows: gathered, transformed, laid out.

use super::{
    buckets::Buckets,
    packing::{Packer, Packing, SampleSpan},
    transform::{BadSample, Chain, Outcome, Transform},
};
use crate::{Drawn, Error, Position, Result};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use std::sync::Arc;

/// What becomes of rows once they are drawn.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) chain: Chain,
    pub(super) layout: Layout,
    /// The columns of every batch.
    pub(super) schema: SchemaRef,
}

impl Finish {
    /// The transforms in order, then packing or bucketing, each checked against the columns that rows then have; `carried`
    /// are those that they are drawn with.
    pub(super) fn new(
        transforms: Vec<Arc<dyn Transform>>,
        pack: Option<Packing>,
        bucket: Option<Buckets>,
        carried: &SchemaRef,
        seed: u64,
    ) -> Result<Self> {
        let chain = Chain::new(transforms, carried, seed)?;
        let schema = chain.schema(carried);
        let (layout, schema) = match (pack, bucket) {
            (None, None) => (Layout::Plain, schema),
            (None, Some(buckets)) => {
                let column = buckets.column_of(&schema)?;
                (Layout::Bucketed(buckets, column), schema)
            }
            (Some(packing), None) => {
                let packer = packing.packer(&schema)?;
                let packed = Arc::clone(&packer.schema);
                (Layout::Packed(packer), packed)
            }
            (Some(_), Some(_)) => {
                let what = "rows can be packed or bucketed, not both: packed slots are equally long already";
                return Err(Error::recipe(what));
            }
        };
        Ok(Self { chain, layout, schema })
    }

    /// All that decides here what is emitted, canonically; nothing for a plain stream.
    pub(super) fn fingerprints(&self) -> Vec<String> {
        let mut fingerprints = self.chain.fingerprints();
        match &self.layout {
            Layout::Plain => {}
            Layout::Bucketed(buckets, _) => fingerprints.push(buckets.fingerprint()),
            Layout::Packed(packer) => fingerprints.push(packer.options.fingerprint()),
        }
        fingerprints
    }
}

/// How rows become the slots of batches.
#[derive(Debug)]
pub(super) enum Layout {
    /// One row a slot, in the order of the draw.
    Plain,
    /// One row a slot, rows of like length together; the index of the column whose length counts.
    Bucketed(Buckets, usize),
    /// Several rows a slot.
    Packed(Packer),
}

/// A row that a transform could not take: nothing is emitted in its place.
#[derive(Debug)]
pub(super) struct Hole {
    pub(super) position: Position,
    pub(super) column: Option<String>,
    pub(super) what: String,
}

impl Hole {
    pub(super) fn new(position: Position, bad: BadSample) -> Self {
        Self { position, column: bad.column, what: bad.what }
    }
}

/// What a batch holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) data: RecordBatch,
    /// One a sample, in slot order.
    pub(super) positions: Arc<[Position]>,
    pub(super) weights: Vec<f32>,
    /// Where each sample lies, where that is not the slot of its number.
    pub(super) spans: Option<Arc<[SampleSpan]>>,
    pub(super) holes: Vec<Hole>,
}

impl Contents {
    /// Gathered rows, one a slot, as they come out of the transforms.
    pub(super) fn of_rows(finish: &Finish, epoch: u32, data: RecordBatch, drawn: &[Drawn]) -> Result<Self> {
        let (positions, weights): (Vec<Position>, Vec<f32>) =
            drawn.iter().map(|drawn| (drawn.position, drawn.weight)).unzip();
        if finish.chain.is_empty() {
            return Ok(Self { data, positions: positions.into(), weights, spans: None, holes: Vec::new() });
        }
        let Outcome { data, good, bad } = finish.chain.run(data, &positions, &weights, epoch)?;
        let holes = bad.into_iter().map(|bad| Hole::new(positions[bad.index], bad)).collect();
        if good.len() == positions.len() {
            return Ok(Self { data, positions: positions.into(), weights, spans: None, holes });
        }
        Ok(Self {
            data,
            positions: good.iter().map(|&row| positions[row]).collect(),
            weights: good.iter().map(|&row| weights[row]).collect(),
            spans: None,
            holes,
        })
    }
}
