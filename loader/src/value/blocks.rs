//! A column with one record for every row of a plan, dense by (block, row).
//!
//! A block's records come into being at its first write, so that a plan of 10⁸ rows opens at once; a copy is one
//! pointer a block, and a later write copies only the block that it touches. It knows nothing of what the records mean.

use crate::{Error, Position, Result};
use std::sync::Arc;

/// A record of fixed size.
pub(super) trait Record: Copy + PartialEq {
    /// Four letters at the head of the written column.
    const MAGIC: [u8; 4];
    /// Bytes of one record.
    const BYTES: usize;
    /// The record of a row that nothing has written.
    const BLANK: Self;
    /// Appends the record's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the record from exactly [`BYTES`](Self::BYTES) bytes.
    fn read(bytes: &[u8]) -> Result<Self>;
}

/// One record for every row of a plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blocks<T: Record> {
    rows: Arc<[u32]>,
    chunks: Vec<Option<Arc<Vec<T>>>>,
}

impl<T: Record> Blocks<T> {
    /// A blank column for blocks of `rows` rows each.
    pub(super) fn new(rows: &[u32]) -> Self {
        Self { rows: Arc::from(rows), chunks: vec![None; rows.len()] }
    }

    /// How many rows `block` has in the plan.
    pub(super) fn rows(&self, block: u32) -> Option<u32> {
        self.rows.get(block as usize).copied()
    }

    /// How many rows each block has.
    pub(super) fn all_rows(&self) -> &[u32] {
        &self.rows
    }

    /// Whether the plan has this row.
    pub(super) fn has(&self, position: Position) -> bool {
        self.rows(position.block).is_some_and(|rows| position.row < rows)
    }

    /// The row's record, if its block was ever written.
    pub(super) fn get(&self, position: Position) -> Option<&T> {
        self.chunks.get(position.block as usize)?.as_ref()?.get(position.row as usize)
    }

    /// The row's record, to write to; `None` where the plan has no such row.
    pub(super) fn get_mut(&mut self, position: Position) -> Option<&mut T> {
        if !self.has(position) {
            return None;
        }
        let rows = self.rows(position.block)? as usize;
        let chunk = self.chunks.get_mut(position.block as usize)?;
        let chunk = chunk.get_or_insert_with(|| Arc::new(vec![T::BLANK; rows]));
        Arc::make_mut(chunk).get_mut(position.row as usize)
    }

    /// Puts a whole block; `records` has one for each of its rows, which the caller has checked.
    pub(super) fn put(&mut self, block: u32, records: Vec<T>) {
        debug_assert_eq!(self.rows(block).map(|rows| rows as usize), Some(records.len()));
        if let Some(chunk) = self.chunks.get_mut(block as usize) {
            // A block of blanks is the same as no block, and is kept so that equal columns have equal bytes.
            *chunk = records.iter().any(|record| *record != T::BLANK).then(|| Arc::new(records));
        }
    }

    /// Every record that is not blank, in position order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Position, &T)> {
        self.chunks.iter().enumerate().flat_map(|(block, chunk)| {
            let records = chunk.as_ref().map_or(&[][..], |records| records.as_slice());
            let written = records.iter().enumerate().filter(|(_, record)| **record != T::BLANK);
            written.map(move |(row, record)| (Position::new(block as u32, row as u32), record))
        })
    }

    /// The column, canonically: magic, blocks of the plan, blocks written, then each of those as its index, its rows
    /// and its records. Integers are u32, little-endian.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let written = || self.chunks.iter().enumerate().filter_map(|(block, chunk)| Some((block, chunk.as_ref()?)));
        let body: usize = written().map(|(_, records)| 8 + records.len() * T::BYTES).sum();
        let mut out = Vec::with_capacity(HEAD + body);
        out.extend(T::MAGIC);
        out.extend((self.rows.len() as u32).to_le_bytes());
        out.extend((written().count() as u32).to_le_bytes());
        for (block, records) in written() {
            out.extend((block as u32).to_le_bytes());
            out.extend((records.len() as u32).to_le_bytes());
            records.iter().for_each(|record| record.write(&mut out));
        }
        out
    }

    /// The column of [`to_bytes`](Self::to_bytes), for a plan whose blocks have `rows` rows each. Memory is taken for
    /// what the plan says and the bytes hold, never for what they claim.
    pub(super) fn from_bytes(rows: &[u32], bytes: &[u8]) -> Result<Self> {
        match Self::read(rows, bytes)? {
            (column, []) => Ok(column),
            _ => Err(damaged("bytes are left over")),
        }
    }

    /// As [`from_bytes`](Self::from_bytes), with the bytes that follow the column.
    pub(super) fn read<'a>(rows: &[u32], bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut column = Self::new(rows);
        let mut reader = Reader(bytes);
        if reader.take(4)? != T::MAGIC {
            return Err(damaged("it does not begin as one"));
        }
        if reader.integer()? as usize != rows.len() {
            return Err(damaged("it is of another plan"));
        }
        let written = reader.integer()?;
        let mut next = 0;
        for _ in 0..written {
            let block = reader.integer()?;
            if block < next || column.rows(block) != Some(reader.integer()?) {
                return Err(damaged("a block is out of order or not as long as the plan says"));
            }
            next = block + 1;
            let length = rows[block as usize] as usize * T::BYTES;
            let records: Vec<T> = reader.take(length)?.chunks_exact(T::BYTES).map(T::read).collect::<Result<_>>()?;
            column.put(block, records);
            if column.chunks[block as usize].is_none() {
                return Err(damaged("a block was written that holds nothing"));
            }
        }
        Ok((column, reader.0))
    }
}

const HEAD: usize = 12;

fn damaged(how: &str) -> Error {
    Error::State(format!("a value column is damaged: {how}"))
}

/// Takes numbers off the front of bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("it ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn integer(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}
