//! The plan: the ordered list of blocks that a dataset consists of. Small, immutable, made once.

use crate::{Hash, Place};
use arrow::datatypes::SchemaRef;
use std::ops::Range;

/// One file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// How to open it.
    pub path: String,
    /// Its name below the dataset's folder: what the plan's hash covers, so that a dataset may be moved.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 over what the plan read of it: a Parquet footer; an Arrow file's footer and the hashes of its dictionaries;
    /// the hashes of an Arrow stream's messages; or the whole of a text file.
    pub hash: Hash,
}

/// Where a block lies within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Rows of a Parquet row group; all of them, unless the group would decode to too much at once.
    RowGroup {
        /// The row group's index in its file.
        group: u32,
        /// The first row of the block within the row group.
        first_row: u32,
    },
    /// A range of bytes: of a text file, cut between records, or an Arrow record batch with its metadata.
    Bytes {
        /// The first byte.
        offset: u64,
        /// The length in bytes.
        length: u64,
    },
    /// Rows of an Arrow record batch that would decode to too much at once.
    Batch {
        /// The first byte of the whole batch with its metadata.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// The first row of the block within the batch.
        first_row: u32,
    },
}

/// What is read, hashed, verified and cleaned at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index into [`Plan::shards`].
    pub shard: u32,
    /// Which block of its shard it is, counted from 0.
    pub index: u32,
    /// How many rows it holds.
    pub rows: u32,
    /// Its length as stored, in bytes.
    pub bytes: u64,
    /// Its length decoded into Arrow, in bytes; an estimate for text formats.
    pub decoded_bytes: u64,
    /// What reading it takes in memory besides, at most, in bytes: what is stored, and what a decoder holds.
    pub working_bytes: u64,
    /// Where it lies.
    pub span: Span,
    /// Content hashes, where they are known before reading (from a manifest, or from the scan of a text file or of an
    /// Arrow stream): one a leaf column for Parquet, in file order, one in all for the others. Empty where they are
    /// learned at the first read.
    pub hashes: Vec<Hash>,
}

/// A named dataset of a mixture: a range of the plan's blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its blocks.
    pub blocks: Range<u32>,
}

/// The ordered list of a dataset's blocks.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The URL pattern that it was made from.
    pub url: String,
    /// The columns that the stream carries, in order.
    pub schema: SchemaRef,
    /// The files, in order of their names.
    pub shards: Vec<Shard>,
    /// The blocks, in order of file and place.
    pub blocks: Vec<Block>,
    /// The domains of a mixture, one after another; none where there is but one dataset.
    pub domains: Vec<Domain>,
}

impl Span {
    /// First byte and length of the piece of a file that is read for it; `None` for a row group, which lies in several.
    #[must_use]
    pub const fn piece(self) -> Option<(u64, u64)> {
        match self {
            Self::RowGroup { .. } => None,
            Self::Bytes { offset, length } | Self::Batch { offset, length, .. } => Some((offset, length)),
        }
    }
}

impl Plan {
    /// The blocks of each domain, one after another; all blocks where there is but one dataset.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<u32>> {
        if self.domains.is_empty() {
            return std::iter::once(0..u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)).collect();
        }
        self.domains.iter().map(|domain| domain.blocks.clone()).collect()
    }

    /// Which domain `block` belongs to, counted from 0; 0 where there is but one dataset.
    #[must_use]
    pub fn domain_of(&self, block: u32) -> usize {
        self.domains.partition_point(|domain| domain.blocks.end <= block)
    }

    /// How many rows the blocks of `range` hold together.
    #[must_use]
    pub fn rows_of(&self, range: &Range<u32>) -> u64 {
        let blocks = self.blocks.get(range.start as usize..range.end as usize).unwrap_or_default();
        blocks.iter().map(|block| u64::from(block.rows)).sum()
    }

    /// The [`working_bytes`](Block::working_bytes) of `block`; 0 of one that is not there.
    #[must_use]
    pub fn working_bytes(&self, block: u32) -> u64 {
        self.blocks.get(block as usize).map_or(0, |block| block.working_bytes)
    }

    /// How many rows all blocks hold together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.rows)).sum()
    }

    /// How many bytes all shards hold together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// The place of `block`, for messages.
    #[must_use]
    pub fn place(&self, block: u32) -> Place {
        let shard = self
            .blocks
            .get(block as usize)
            .and_then(|block| self.shards.get(block.shard as usize))
            .map(|shard| shard.path.clone());
        let domain = self.domains.get(self.domain_of(block)).map(|domain| domain.name.clone());
        let dataset = domain.or_else(|| (!self.url.is_empty()).then(|| self.url.clone()));
        Place { dataset, shard, block: Some(block), ..Place::default() }
    }

    /// The dataset's identity: shards by name, length and hash, blocks by place and rows, the columns carried, and the
    /// domains of a mixture by name and range.
    ///
    /// Content hashes that were learned elsewhere (a manifest) are not part of it, so that writing a manifest does
    /// not make another dataset of the same files.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"arable plan 2");
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        for field in self.schema.fields() {
            text(field.name());
            text(&field.data_type().to_string());
            text(if field.is_nullable() { "nullable" } else { "" });
        }
        for shard in &self.shards {
            text(&shard.name);
            text(&shard.hash.to_string());
            text(&shard.bytes.to_string());
        }
        for block in &self.blocks {
            let (kind, a, b, first) = match block.span {
                Span::RowGroup { group, first_row } => (0_u64, u64::from(group), u64::from(first_row), 0),
                Span::Bytes { offset, length } => (1, offset, length, 0),
                Span::Batch { offset, length, first_row } => (2, offset, length, first_row),
            };
            for number in [u64::from(block.shard), u64::from(block.rows), kind, a, b, first.into()] {
                hasher.update(&number.to_le_bytes());
            }
        }
        for domain in &self.domains {
            hasher.update(&(domain.name.len() as u64).to_le_bytes());
            hasher.update(domain.name.as_bytes());
            hasher.update(&domain.blocks.start.to_le_bytes());
            hasher.update(&domain.blocks.end.to_le_bytes());
        }
        Hash(*hasher.finalize().as_bytes())
    }
}
