//! One encapsulated message of Arrow IPC: where its metadata and its body lie, and whether what a record batch claims
//! of its buffers can be true. Reads no file and decodes nothing.

use super::super::shielded;
use arrow::ipc::{self, CompressionType, Message, MetadataVersion};

/// What precedes a message's length, but in files written before version 0.15 of Arrow.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];
/// A block has at most so many rows: the offsets of Arrow's lists have 31 bits.
const MAX_ROWS: i64 = i32::MAX as i64;
/// A record batch whose columns take no bytes has at most so many rows.
const MAX_ROWS_OF_NOTHING: u64 = 1 << 24;
/// In a compressed body, the length of a buffer that is stored as it is.
const NOT_COMPRESSED: i64 = -1;
/// Before each buffer of a compressed body, its uncompressed length.
const LENGTH_BYTES: u64 = 8;

/// What a record batch, or a dictionary, is when it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) rows: u32,
    /// The body, and what its compressed buffers decompress to.
    pub(super) decoded: u64,
}

/// The metadata of a whole message, and where its body begins.
pub(super) fn split(message: &[u8]) -> Result<(&[u8], usize), String> {
    let prefix = if message.starts_with(&CONTINUATION) { 8 } else { 4 };
    let claimed = message.get(prefix - 4..prefix).and_then(|bytes| bytes.try_into().ok()).map(i32::from_le_bytes);
    let end = claimed.and_then(|claimed| usize::try_from(claimed).ok()).and_then(|claimed| prefix.checked_add(claimed));
    let metadata = end.and_then(|end| Some((message.get(prefix..end)?, end)));
    metadata.ok_or_else(|| format!("its metadata claim {} bytes", claimed.unwrap_or_default()))
}

/// Runs `look` over a message's metadata, once they are verified.
pub(super) fn parsed<T>(metadata: &[u8], look: impl FnOnce(Message<'_>) -> Result<T, String>) -> Result<T, String> {
    shielded(|| {
        let message = ipc::root_as_message(metadata).map_err(|error| format!("its metadata are damaged: {error}"))?;
        check_version(message.version())?;
        look(message)
    })
}

pub(super) fn check_version(version: MetadataVersion) -> Result<(), String> {
    if [MetadataVersion::V4, MetadataVersion::V5].contains(&version) {
        return Ok(());
    }
    Err(format!("it has metadata of version {version:?}, which this version cannot read; write the file anew"))
}

/// Checks what `batch` claims of a body of `body` bytes. `number` reads the 8 bytes at a place in the body, the lowest
/// first.
pub(super) fn check(
    batch: ipc::RecordBatch<'_>,
    body: u64,
    mut number: impl FnMut(u64) -> Result<i64, String>,
) -> Result<Claims, String> {
    let claimed = batch.length();
    let rows = u32::try_from(claimed).ok().filter(|_| claimed <= MAX_ROWS);
    let rows = rows.ok_or_else(|| format!("it claims {claimed} rows, and a block has at most {MAX_ROWS}"))?;
    let (Some(_), Some(buffers)) = (batch.nodes(), batch.buffers()) else {
        return Err("its metadata lack its buffers".to_owned());
    };
    let compressed = match batch.compression() {
        None => false,
        Some(by) if [CompressionType::LZ4_FRAME, CompressionType::ZSTD].contains(&by.codec()) => true,
        Some(by) => return Err(format!("it is compressed with {:?}, which this version cannot read", by.codec())),
    };
    let (mut stored, mut decoded) = (0_u64, body);
    for buffer in buffers {
        let range = u64::try_from(buffer.offset()).ok().zip(u64::try_from(buffer.length()).ok());
        let within = range.filter(|(offset, length)| offset.checked_add(*length).is_some_and(|end| end <= body));
        let (offset, length) = within
            .ok_or_else(|| format!("a buffer claims {} bytes from {} of {body}", buffer.length(), buffer.offset()))?;
        stored = stored.saturating_add(length);
        if compressed && length > 0 {
            let claimed = if length < LENGTH_BYTES { i64::MIN } else { number(offset)? };
            match u64::try_from(claimed) {
                Ok(length) => decoded = decoded.saturating_add(length),
                Err(_) if claimed == NOT_COMPRESSED => {}
                Err(_) => return Err(format!("a compressed buffer of {length} bytes claims no length")),
            }
        }
    }
    // Buffers that overlap could each be copied, and so take many times what the file has.
    if stored > body {
        return Err(format!("its buffers claim {stored} bytes in all, and it has {body}"));
    }
    if u64::from(rows) > decoded.saturating_mul(8).max(MAX_ROWS_OF_NOTHING) {
        return Err(format!("it claims {rows} rows in {decoded} bytes"));
    }
    Ok(Claims { rows, decoded })
}

/// What an LZ4 frame decompresses to, in bytes; `None` if it is damaged or not whole. The decoder itself would go on
/// until memory ends.
///
/// Frames are those of "LZ4 Frame Format Description" 1.6, blocks those of "LZ4 Block Format Description".
pub(super) fn lz4_length(frame: &[u8]) -> Option<u64> {
    const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
    const BLOCK_CHECKSUM: u8 = 1 << 4;
    const CONTENT_SIZE: u8 = 1 << 3;
    const DICTIONARY: u8 = 1;
    const STORED: u32 = 1 << 31;
    let flags = *frame.strip_prefix(&MAGIC)?.first()?;
    if flags & DICTIONARY != 0 {
        return None;
    }
    let mut rest = frame.get(if flags & CONTENT_SIZE != 0 { 15 } else { 7 }..)?;
    let mut total = 0_u64;
    loop {
        let (size, blocks) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size);
        if size == 0 {
            return Some(total);
        }
        let (block, after) = blocks.split_at_checked((size & !STORED) as usize)?;
        total += if size & STORED != 0 { block.len() as u64 } else { lz4_block_length(block)? };
        rest = if flags & BLOCK_CHECKSUM != 0 { after.get(4..)? } else { after };
    }
}

fn lz4_block_length(block: &[u8]) -> Option<u64> {
    /// A length that goes on in the bytes that follow, each of 255 but the last.
    fn length(nibble: u8, rest: &mut &[u8]) -> Option<usize> {
        let mut length = usize::from(nibble);
        let mut more = nibble == 15;
        while more {
            let (byte, after) = rest.split_first()?;
            length += usize::from(*byte);
            more = *byte == 255;
            *rest = after;
        }
        Some(length)
    }
    let mut rest = block;
    let mut total = 0_u64;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let literals = length(token >> 4, &mut rest)?;
        rest = rest.get(literals..)?;
        total += literals as u64;
        if rest.is_empty() {
            break;
        }
        // The distance of a match, then its length, of which 4 go without saying.
        rest = rest.get(2..)?;
        total += length(token & 15, &mut rest)? as u64 + 4;
    }
    Some(total)
}
