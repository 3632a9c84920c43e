//! Pages as the decoder asks for them, decompressed into memory that was used before.
//!
//! The decoder's own reader takes fresh memory for every page. This one stands in for it where a row group's pages are of
//! the first version and plain, zstd, snappy or raw LZ4: what today's writers write unless told otherwise. Which pages there are was
//! checked before ([`pages::check`](super::pages::check)); what else may be wrong with them is an error here too.

use super::pages::{self, Header};
use crate::buffers::{Buffers, Lent};
use ::parquet::{
    arrow::arrow_reader::RowGroups,
    basic::{Compression, Encoding},
    column::page::{Page, PageIterator, PageMetadata, PageReader},
    errors::{ParquetError, Result},
    file::metadata::{ParquetMetaData, RowGroupMetaData},
};
use bytes::Bytes;
use std::sync::Arc;

/// One row group, of which some columns are in memory.
pub(super) struct Group {
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) group: usize,
    /// The chunks that are there: leaf, bytes.
    pub(super) chunks: Vec<(usize, Bytes)>,
    pub(super) buffers: Buffers,
}

impl Group {
    fn about(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.group)
    }

    /// Whether chunks so compressed can be read here.
    pub(super) const fn reads(compression: Compression) -> bool {
        matches!(
            compression,
            Compression::UNCOMPRESSED | Compression::ZSTD(_) | Compression::SNAPPY | Compression::LZ4_RAW
        )
    }
}

impl RowGroups for Group {
    fn num_rows(&self) -> usize {
        usize::try_from(self.about().num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.chunks.iter().find(|(index, _)| *index == leaf);
        let (_, bytes) = chunk.ok_or_else(|| ParquetError::General(format!("column {leaf} was not read")))?;
        let decompressor = match self.about().column(leaf).compression() {
            Compression::UNCOMPRESSED => None,
            Compression::SNAPPY => Some(Decompressor::Snappy(snap::raw::Decoder::new())),
            Compression::LZ4_RAW => Some(Decompressor::Lz4),
            _ => Some(Decompressor::Zstd(zstd::bulk::Decompressor::new()?)),
        };
        let reader = Reader { rest: bytes.clone(), peeked: None, decompressor, buffers: self.buffers.clone() };
        Ok(Box::new(Once(Some(Box::new(reader)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.about()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// The pages of one row group's column.
struct Once(Option<Box<dyn PageReader>>);

impl Iterator for Once {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for Once {}

enum Decompressor {
    Zstd(zstd::bulk::Decompressor<'static>),
    Snappy(snap::raw::Decoder),
    Lz4,
}

impl Decompressor {
    /// Decompresses `body`, which becomes `size` bytes; how many it does become, if not more.
    fn run(&mut self, body: &[u8], size: usize, buffers: &Buffers) -> Result<(Lent, usize)> {
        let fault = |error: &dyn std::fmt::Display| ParquetError::General(error.to_string());
        Ok(match self {
            Self::Zstd(decompressor) => {
                let mut buffer = buffers.take(size);
                let found = decompressor.decompress_to_buffer(body, &mut buffer.bytes)?;
                (buffer, found)
            }
            Self::Snappy(decoder) => {
                let mut buffer = buffers.take_filled(size);
                let found = decoder.decompress(body, &mut buffer.bytes).map_err(|error| fault(&error))?;
                (buffer, found)
            }
            Self::Lz4 => {
                let mut buffer = buffers.take_filled(size);
                let found = lz4_flex::block::decompress_into(body, &mut buffer.bytes).map_err(|error| fault(&error))?;
                (buffer, found)
            }
        })
    }
}

struct Reader {
    /// What follows the pages that were given.
    rest: Bytes,
    /// The header of the next page, and its length.
    peeked: Option<(Header, usize)>,
    decompressor: Option<Decompressor>,
    buffers: Buffers,
}

impl Reader {
    /// The header of the next page that holds values or a dictionary, and its length.
    fn peek(&mut self) -> Result<Option<(Header, usize)>> {
        while self.peeked.is_none() && !self.rest.is_empty() {
            let (header, length) = pages::header(&self.rest).map_err(ParquetError::General)?;
            if matches!(header.kind, pages::DATA | pages::DICTIONARY) {
                self.peeked = Some((header, length));
            } else {
                self.body(length, header.compressed)?;
            }
        }
        Ok(self.peeked)
    }

    /// The stored bytes of a page, behind its header of `length` bytes; what follows them is next.
    fn body(&mut self, length: usize, size: i64) -> Result<Bytes> {
        let end = usize::try_from(size).ok().and_then(|size| length.checked_add(size));
        let end = end.filter(|end| *end <= self.rest.len());
        let end = end.ok_or_else(|| ParquetError::EOF(format!("a page of {size} bytes reaches beyond its column")))?;
        self.peeked = None;
        Ok(self.rest.split_to(end).slice(length..))
    }

    fn decompressed(&mut self, body: Bytes, size: i64) -> Result<Bytes> {
        let Some(decompressor) = &mut self.decompressor else { return Ok(body) };
        let size = usize::try_from(size).map_err(|_| ParquetError::General(format!("a page of {size} bytes")))?;
        if size == 0 {
            return Ok(Bytes::new());
        }
        let (buffer, found) = decompressor.run(&body, size, &self.buffers)?;
        // Whole blocks take milliseconds, for which systems that seldom interrupt a thread (Linux without preemption, as
        // servers have it) let one wait that was woken on the same core, be it the one that hands batches over.
        std::thread::yield_now();
        if found != size {
            return Err(ParquetError::General(format!("a page decompresses to {found} bytes where it says {size}")));
        }
        Ok(buffer.freeze())
    }
}

impl PageReader for Reader {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some((header, length)) = self.peek()? else { return Ok(None) };
        let body = self.body(length, header.compressed)?;
        let buf = self.decompressed(body, header.uncompressed)?;
        Ok(Some(if header.kind == pages::DICTIONARY {
            Page::DictionaryPage {
                buf,
                num_values: count(header.dictionary_values)?,
                encoding: encoding(header.dictionary_encoding)?,
                is_sorted: false,
            }
        } else {
            Page::DataPage {
                buf,
                num_values: count(header.values)?,
                encoding: encoding(header.encoding)?,
                def_level_encoding: encoding(header.definition_levels)?,
                rep_level_encoding: encoding(header.repetition_levels)?,
                statistics: None,
            }
        }))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let Some((header, _)) = self.peek()? else { return Ok(None) };
        let is_dict = header.kind == pages::DICTIONARY;
        let num_levels = if is_dict { None } else { Some(count(header.values)? as usize) };
        Ok(Some(PageMetadata { num_rows: None, num_levels, is_dict }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if let Some((header, length)) = self.peek()? {
            self.body(length, header.compressed)?;
        }
        Ok(())
    }
}

impl Iterator for Reader {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn count(values: i64) -> Result<u32> {
    u32::try_from(values).map_err(|_| ParquetError::General(format!("a page of {values} values")))
}

/// `Encoding` of `parquet.thrift`.
fn encoding(number: i64) -> Result<Encoding> {
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        #[expect(deprecated, reason = "old files have it")]
        4 => Encoding::BIT_PACKED,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return Err(ParquetError::General(format!("a page has the unknown encoding {number}"))),
    })
}
