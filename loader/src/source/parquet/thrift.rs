//! Walks Thrift's compact protocol as Parquet uses it, before the real decoder sees the bytes.
//!
//! The decoder trusts what a footer claims: it reserves memory for as many row groups and children as are claimed,
//! follows the schema's nesting on the stack, and reads a known field without looking at its declared type. So this
//! walk refuses whatever could be read in two ways, and hands the numbers that must be checked to its caller. Knows
//! the layout of Parquet's structures (parquet-format 2.11, `parquet.thrift`), not what they mean.

/// What a field of a structure holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Binary,
    Struct(&'static Layout),
    List(&'static Self),
}

/// The known fields of a structure, by id.
pub(super) type Layout = [(u8, Kind)];

use Kind::{Binary, Bool, Double, I8, I16, I32, I64, List, Struct};

const KEY_VALUE: &Layout = &[(1, Binary), (2, Binary)];
const STATISTICS: &Layout =
    &[(1, Binary), (2, Binary), (3, I64), (4, I64), (5, Binary), (6, Binary), (7, Bool), (8, Bool), (9, I64)];
const EMPTY: Kind = Struct(&[]);
const TIME: Kind = Struct(&[(1, Bool), (2, Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))]);
const LOGICAL_TYPE: &Layout = &[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, I8), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, I8)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
];
const SCHEMA_ELEMENT: &Layout = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, Struct(LOGICAL_TYPE)),
];
const BOUNDING_BOX: &Layout =
    &[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)];
const COLUMN_META: &Layout = &[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&Struct(KEY_VALUE))),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, Struct(STATISTICS)),
    (13, List(&Struct(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
    (17, Struct(&[(1, Struct(BOUNDING_BOX)), (2, List(&I32))])),
];
const COLUMN_CHUNK: &Layout =
    &[(1, Binary), (2, I64), (3, Struct(COLUMN_META)), (4, I64), (5, I32), (6, I64), (7, I32)];
const ROW_GROUP: &Layout = &[
    (1, List(&Struct(COLUMN_CHUNK))),
    (2, I64),
    (3, I64),
    (4, List(&Struct(&[(1, I32), (2, Bool), (3, Bool)]))),
    (5, I64),
    (6, I64),
    (7, I16),
];

/// `FileMetaData`, a file's footer.
pub(super) const FILE_META: &Layout = &[
    (1, I32),
    (2, List(&Struct(SCHEMA_ELEMENT))),
    (3, I64),
    (4, List(&Struct(ROW_GROUP))),
    (5, List(&Struct(KEY_VALUE))),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY)]))),
];

/// `PageHeader`.
pub(super) const PAGE_HEADER: &Layout = &[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, Struct(STATISTICS))])),
    (6, EMPTY),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (8, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, I32), (6, I32), (7, Bool), (8, Struct(STATISTICS))])),
];

/// What a walk comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// An integer that is a known field; the ids of the fields that lead to it.
    Int(&'a [u8], i64),
    /// The end of a structure; the ids of the fields that lead to it, none for the outermost.
    End(&'a [u8]),
}

/// How deep unknown fields may nest. The format's own structures nest six deep.
const MAX_DEPTH: u32 = 16;
/// The fewest bytes of a structure in a list: all that Parquet lists have a required field.
const LEAST_STRUCT: usize = 3;

/// Walks the structure at the beginning of `bytes`; returns its length.
pub(super) fn walk(
    bytes: &[u8],
    layout: &'static Layout,
    see: &mut dyn FnMut(Event<'_>) -> Result<(), String>,
) -> Result<usize, String> {
    let mut walk = Walk { bytes, at: 0, path: Vec::new(), see };
    walk.structure(layout)?;
    Ok(walk.at)
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    path: Vec<u8>,
    see: &'a mut dyn FnMut(Event<'_>) -> Result<(), String>,
}

impl Walk<'_> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or("it ends in the middle of a structure")?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, length: u64) -> Result<(), String> {
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => {
                self.at += length;
                Ok(())
            }
            _ => Err(format!("a field claims {length} bytes where {} are left", self.left())),
        }
    }

    /// An unsigned LEB128 integer of at most 64 bits.
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer has more than 64 bits".to_owned())
    }

    fn zigzag(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn structure(&mut self, layout: &'static Layout) -> Result<(), String> {
        let mut last = 0_u8;
        while let Some((id, wire)) = self.field(last)? {
            last = id;
            self.path.push(id);
            match layout.iter().find(|(known, _)| *known == id) {
                Some((_, kind)) => self.known(*kind, wire)?,
                None => self.unknown(wire, MAX_DEPTH)?,
            }
            self.path.pop();
        }
        (self.see)(Event::End(&self.path))
    }

    /// The next field's id and type; `None` at the end of the structure. Ids must rise: writers order fields, and a
    /// field that came twice would be read twice.
    fn field(&mut self, last: u8) -> Result<Option<(u8, u8)>, String> {
        let header = self.byte()?;
        let (delta, wire) = (header >> 4, header & 0x0f);
        if header == 0 {
            return Ok(None);
        }
        // A step of more than 15 is written as a whole id instead.
        let id = if delta == 0 { u8::try_from(self.zigzag()?).ok() } else { last.checked_add(delta) };
        let id = id.filter(|id| *id > last);
        id.map(|id| Some((id, wire))).ok_or_else(|| "the fields of a structure are out of order".to_owned())
    }

    fn known(&mut self, kind: Kind, wire: u8) -> Result<(), String> {
        let fits = match kind {
            Bool => matches!(wire, 1 | 2),
            I8 => wire == 3,
            I16 => wire == 4,
            I32 => wire == 5,
            I64 => wire == 6,
            Double => wire == 7,
            Binary => wire == 8,
            List(_) => wire == 9,
            Struct(_) => wire == 12,
        };
        if !fits {
            return Err(format!("field {:?} has type {wire} where {kind:?} belongs", self.path));
        }
        match kind {
            Bool => Ok(()),
            List(element) => self.list(*element),
            kind => self.value(kind),
        }
    }

    /// A value whose type was checked.
    fn value(&mut self, kind: Kind) -> Result<(), String> {
        match kind {
            I8 => self.byte().map(|_| ()),
            I16 | I32 | I64 => {
                let value = self.zigzag()?;
                let fits = match kind {
                    I16 => i16::try_from(value).is_ok(),
                    I32 => i32::try_from(value).is_ok(),
                    _ => true,
                };
                if !fits {
                    return Err(format!("field {:?} holds {value}, which is too large for its type", self.path));
                }
                (self.see)(Event::Int(&self.path, value))
            }
            Double => self.skip(8),
            Binary => {
                let length = self.varint()?;
                self.skip(length)
            }
            Struct(layout) => self.structure(layout),
            Bool | List(_) => Err("a list holds what Parquet never lists".to_owned()),
        }
    }

    /// A list's element type and length. A length that cannot fit into what is left is refused.
    fn list_header(&mut self, least: usize) -> Result<(u8, u64), String> {
        let header = self.byte()?;
        let (short, wire) = (header >> 4, header & 0x0f);
        let count = if short == 15 { self.varint()? } else { u64::from(short) };
        let most = (self.left() / least) as u64;
        if count > most {
            return Err(format!("a list claims {count} elements where {} bytes are left", self.left()));
        }
        Ok((wire, count))
    }

    fn list(&mut self, element: Kind) -> Result<(), String> {
        let (belongs, least) = match element {
            Struct(_) => (12, LEAST_STRUCT),
            I32 => (5, 1),
            I64 => (6, 1),
            Binary => (8, 1),
            _ => return Err("a list holds what Parquet never lists".to_owned()),
        };
        let (wire, count) = self.list_header(least)?;
        if count > 0 && wire != belongs {
            return Err(format!("list {:?} has elements of type {wire} where {belongs} belongs", self.path));
        }
        for _ in 0..count {
            self.value(element)?;
        }
        Ok(())
    }

    /// A field of a later version of the format.
    fn unknown(&mut self, wire: u8, depth: u32) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("its fields nest too deep")?;
        match wire {
            1 | 2 => Ok(()),
            3 => self.skip(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 => {
                let (wire, count) = self.list_header(1)?;
                // How wide a listed truth value is differs between readers.
                if count > 0 && matches!(wire, 1 | 2) {
                    return Err("an unknown field lists truth values".to_owned());
                }
                for _ in 0..count {
                    self.unknown(wire, depth)?;
                }
                Ok(())
            }
            12 => {
                let mut last = 0;
                while let Some((id, wire)) = self.field(last)? {
                    last = id;
                    self.unknown(wire, depth)?;
                }
                Ok(())
            }
            _ => Err(format!("an unknown field has type {wire}, which Parquet does not use")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Integers = Vec<(Vec<u8>, i64)>;

    fn page(bytes: &[u8]) -> Result<(usize, Integers), String> {
        let mut seen = Vec::new();
        let length = walk(bytes, PAGE_HEADER, &mut |event| {
            if let Event::Int(path, value) = event {
                seen.push((path.to_vec(), value));
            }
            Ok(())
        })?;
        Ok((length, seen))
    }

    #[test]
    fn a_page_header_is_walked_to_its_end() {
        // type 0, uncompressed 5, compressed 3, data page { values 7 }, then other bytes.
        let bytes = [0x15, 0, 0x15, 10, 0x15, 6, 0x2c, 0x15, 14, 0, 0, 99, 99];
        let (length, seen) = page(&bytes).unwrap();
        assert_eq!(length, 11);
        assert_eq!(seen, [(vec![1], 0), (vec![2], 5), (vec![3], 3), (vec![5, 1], 7)]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = |bytes: &[u8], why: &str| {
            let error = page(bytes).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(&[0x18, 1, 0, 0], "where I32 belongs");
        refused(&[0x15, 0, 0x05, 2, 0, 0], "out of order");
        refused(&[0x15, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], "too large");
        refused(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], "64 bits");
        refused(&[0xd9, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07], "claims 2147483647 elements");
        refused(&[0xd9, 0x21, 1, 1, 0], "truth values");
        refused(&[0xd8, 0xff, 0xff, 0xff, 0xff, 0x0f], "claims 4294967295 bytes");
        refused(&[0x15], "ends in the middle");
        refused(&[0xdc].into_iter().chain([0x1c; 100]).collect::<Vec<_>>(), "too deep");
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_within_themselves(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for layout in [PAGE_HEADER, FILE_META] {
                if let Ok(length) = walk(&bytes, layout, &mut |_| Ok(())) {
                    prop_assert!(length <= bytes.len());
                }
            }
        }
    }
}
