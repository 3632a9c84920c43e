//! Checks the pages of a column chunk against what its footer claims, before they are decoded: a decoder reserves
//! what a page header asks for. Knows nothing of columns' types.

use super::thrift::{self, Event};

/// What decoding a column chunk's pages takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// The length of the longest page, decompressed.
    pub(super) longest: u64,
    /// Whether values are stored as prefixes of others, so that a few bytes may stand for a value as long as a page.
    pub(super) prefixes: bool,
    /// Whether there are data pages of the second version.
    pub(super) second: bool,
}

/// What the footer claims of a column chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims {
    /// How many values its data pages hold, nulls counted.
    pub(super) values: u64,
    /// How many bytes its pages decompress to, headers counted.
    pub(super) uncompressed: u64,
}

pub(super) const DATA: i64 = 0;
pub(super) const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;
/// `Encoding::DELTA_BYTE_ARRAY`.
const PREFIXES: i64 = 7;

/// One page's header, as far as it is checked or needed to read it. What it lacks is -1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: i64,
    pub(super) uncompressed: i64,
    pub(super) compressed: i64,
    pub(super) values: i64,
    pub(super) encoding: i64,
    pub(super) definition_levels: i64,
    pub(super) repetition_levels: i64,
    pub(super) dictionary_values: i64,
    pub(super) dictionary_encoding: i64,
    values_v2: i64,
    encoding_v2: i64,
}

/// The page header at the beginning of `bytes`, and its length.
pub(super) fn header(bytes: &[u8]) -> Result<(Header, usize), String> {
    let mut header = Header {
        kind: -1,
        uncompressed: -1,
        compressed: -1,
        values: -1,
        encoding: -1,
        definition_levels: -1,
        repetition_levels: -1,
        dictionary_values: -1,
        dictionary_encoding: -1,
        values_v2: -1,
        encoding_v2: -1,
    };
    let length = thrift::walk(bytes, thrift::PAGE_HEADER, &mut |event| {
        let (field, value) = match event {
            Event::Int([1], value) => (&mut header.kind, value),
            Event::Int([2], value) => (&mut header.uncompressed, value),
            Event::Int([3], value) => (&mut header.compressed, value),
            Event::Int([5, 1], value) => (&mut header.values, value),
            Event::Int([5, 2], value) => (&mut header.encoding, value),
            Event::Int([5, 3], value) => (&mut header.definition_levels, value),
            Event::Int([5, 4], value) => (&mut header.repetition_levels, value),
            Event::Int([7, 1], value) => (&mut header.dictionary_values, value),
            Event::Int([7, 2], value) => (&mut header.dictionary_encoding, value),
            Event::Int([8, 1], value) => (&mut header.values_v2, value),
            Event::Int([8, 4], value) => (&mut header.encoding_v2, value),
            _ => return Ok(()),
        };
        *field = value;
        Ok(())
    })?;
    Ok((header, length))
}

/// Walks the page headers of `chunk`.
pub(super) fn check(chunk: &[u8], claims: Claims) -> Result<Pages, String> {
    let mut at = 0;
    let mut values = 0_u64;
    let mut pages = Pages::default();
    while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
        let (header, length) =
            header(rest).map_err(|what| format!("the page header at its byte {at} is damaged: {what}"))?;
        pages.prefixes |= [header.encoding, header.encoding_v2].contains(&PREFIXES);
        pages.second |= header.kind == DATA_V2;
        let wrong = |what: String| format!("the page at its byte {at} {what}");
        let left = rest.len() - length;
        let compressed = usize::try_from(header.compressed).ok().filter(|size| *size <= left);
        let compressed =
            compressed.ok_or_else(|| wrong(format!("claims {} bytes where {left} are left", header.compressed)))?;
        let uncompressed = u64::try_from(header.uncompressed).ok().filter(|size| *size <= claims.uncompressed);
        let uncompressed = uncompressed.ok_or_else(|| {
            let (page, chunk) = (header.uncompressed, claims.uncompressed);
            wrong(format!("claims to decompress to {page} bytes where the footer has {chunk} for the whole column"))
        })?;
        pages.longest = pages.longest.max(uncompressed);
        let held = match header.kind {
            DATA => header.values,
            DATA_V2 => header.values_v2,
            // Every value of a dictionary takes at least a byte.
            DICTIONARY if header.dictionary_values > header.uncompressed => {
                return Err(wrong(format!("claims {} values in {uncompressed} bytes", header.dictionary_values)));
            }
            _ => 0,
        };
        values = values.saturating_add(u64::try_from(held).map_err(|_| wrong(format!("claims {held} values")))?);
        if values > claims.values {
            return Err(wrong(format!("brings its values to {values} where the footer has {}", claims.values)));
        }
        at += length + compressed;
    }
    if values == claims.values {
        Ok(pages)
    } else {
        Err(format!("its pages hold {values} values where the footer has {}", claims.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of `values` values and three bytes, which claims to decompress to `uncompressed`.
    fn page(values: u8, uncompressed: u8) -> Vec<u8> {
        vec![0x15, 0, 0x15, uncompressed * 2, 0x15, 6, 0x2c, 0x15, values * 2, 0, 0, 1, 2, 3]
    }

    #[test]
    fn pages_that_agree_with_the_footer_pass() {
        let chunk = [page(3, 9), page(4, 11)].concat();
        assert_eq!(
            check(&chunk, Claims { values: 7, uncompressed: 50 }),
            Ok(Pages { longest: 11, ..Pages::default() })
        );
        assert_eq!(check(&[], Claims { values: 0, uncompressed: 0 }), Ok(Pages::default()));
    }

    #[test]
    fn pages_that_ask_for_more_than_the_footer_are_refused() {
        let refused = |chunk: &[u8], values, uncompressed, why: &str| {
            let error = check(chunk, Claims { values, uncompressed }).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(&page(3, 9), 2, 50, "brings its values to 3");
        refused(&page(3, 9), 4, 50, "hold 3 values");
        refused(&page(3, 9), 3, 8, "decompress to 9 bytes");
        refused(&page(3, 9)[..13], 3, 50, "claims 3 bytes where 2");
        // A dictionary page of 100 values in 4 bytes.
        refused(&[0x15, 4, 0x15, 8, 0x15, 0, 0x4c, 0x15, 0xc8, 1, 0, 0], 0, 50, "claims 100 values in 4 bytes");
    }
}
