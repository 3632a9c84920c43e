//! The one pass over a file that plans it: its header, where to cut, how many rows, which hashes, which types. Holds
//! about one block.

use super::{
    super::{files::Opened, locate::Located, manifest::ShardHashes, store::Store},
    records::{self, End, Kind},
};
use crate::{Error, Hash, Place, Result};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What a field takes in a column beside its text, at most: eight bytes, and its validity.
const FIELD_BYTES: u64 = 9;

/// How files are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) delimiter: u8,
    /// A block ends after the record that reaches so many bytes.
    pub(super) bytes: u64,
    /// No record may be longer than this.
    pub(super) longest: u64,
    /// No two records stand in one block that together decode to more than this.
    pub(super) decoded: u64,
}

/// A block, as the scan saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) rows: u32,
    pub(super) hash: Hash,
}

/// A file, as the scan saw it.
#[derive(Clone, Debug)]
pub(super) struct ScannedFile {
    /// The columns' names.
    pub(super) header: Vec<String>,
    /// What their values are.
    pub(super) kinds: Vec<Kind>,
    pub(super) blocks: Vec<Scanned>,
    /// BLAKE3 of the whole file.
    pub(super) hash: Hash,
}

/// Scans `located`.
pub(super) fn scan(store: &Store, located: &Located, cut: Cut) -> Result<ScannedFile> {
    let mut reading = Reading::open(store, located, cut)?;
    let header = reading.header()?;
    reading.row_bytes = FIELD_BYTES * header.len() as u64;
    let mut kinds = vec![Kind::Empty; header.len()];
    let mut blocks = Vec::new();
    while let Some((offset, text)) = reading.next_block()? {
        let rows = observe(&text, cut.delimiter, &mut kinds);
        if rows > 0 {
            blocks.push(Scanned { offset, length: text.len() as u64, rows, hash: Hash::of(&text) });
        }
    }
    Ok(ScannedFile { header, kinds, blocks, hash: Hash(*reading.hasher.finalize().as_bytes()) })
}

/// The blocks that `known` recorded of `located`, whatever the file holds now; only those that are as recorded speak
/// for the types.
pub(super) fn scan_recorded(store: &Store, located: &Located, cut: Cut, known: &ShardHashes) -> Result<ScannedFile> {
    let changed = || {
        let what = format!(
            "its content is not what the manifest says (hash {}), and not in its blocks alone: it changed or is \
             damaged; restore it, or write the manifest anew",
            known.hash
        );
        Error::data(Place::shard(&located.path), what)
    };
    let mut reading = Reading::open(store, located, cut)?;
    let header = reading.header().map_err(|_| changed())?;
    let mut kinds = vec![Kind::Empty; header.len()];
    let (mut blocks, mut end, mut damaged) = (Vec::with_capacity(known.blocks.len()), 0, header != known.columns);
    for block in &known.blocks {
        let range = block.bytes.filter(|(offset, length)| {
            *offset >= end && *length <= cut.longest.max(cut.bytes) * 2 && offset.checked_add(*length).is_some()
        });
        let rows = u32::try_from(block.rows).ok();
        let (Some((offset, length)), Some(rows), [hash]) = (range, rows, &block.hashes[..]) else {
            return Err(changed());
        };
        let text = reading.file.read(offset, length)?;
        end = offset + length;
        if Hash::of(&text) == *hash {
            observe(&text, cut.delimiter, &mut kinds);
        } else {
            damaged = true;
        }
        if u64::from(rows) > length {
            return Err(changed());
        }
        blocks.push(Scanned { offset, length, rows, hash: *hash });
    }
    if !damaged || header != known.columns {
        return Err(changed());
    }
    Ok(ScannedFile { header, kinds, blocks, hash: known.hash })
}

/// Counts the records of a block, and widens `kinds` to those of its good ones.
fn observe(text: &[u8], delimiter: u8, kinds: &mut [Kind]) -> u32 {
    let mut rows = 0_u32;
    for record in records::records(text, delimiter) {
        rows += 1;
        let Ok(fields) = records::counted(record, delimiter, kinds.len()) else { continue };
        for (kind, field) in kinds.iter_mut().zip(&fields) {
            if *kind != Kind::Text {
                *kind = kind.or(Kind::of(field));
            }
        }
    }
    rows
}

struct Reading<'a> {
    file: Opened,
    located: &'a Located,
    cut: Cut,
    hasher: blake3::Hasher,
    /// Where `ahead` begins in the file.
    offset: u64,
    /// Read, and not yet part of a block.
    ahead: Vec<u8>,
    ended: bool,
    /// What a row takes besides its text, at most, once decoded.
    row_bytes: u64,
}

impl<'a> Reading<'a> {
    fn open(store: &Store, located: &'a Located, cut: Cut) -> Result<Self> {
        let file = store.open(&located.path)?.unchanged(located.bytes, &Place::shard(&located.path))?;
        let (hasher, ahead) = (blake3::Hasher::new(), Vec::new());
        let mut reading = Self { file, located, cut, hasher, offset: 0, ahead, ended: false, row_bytes: 0 };
        while reading.ahead.len() < BYTE_ORDER_MARK.len() && !reading.ended {
            reading.read_on()?;
        }
        if reading.ahead.starts_with(BYTE_ORDER_MARK) {
            reading.take(BYTE_ORDER_MARK.len());
        }
        Ok(reading)
    }

    fn read_on(&mut self) -> Result<()> {
        // Steps grow with what is held, so that a long record is not looked at again too often.
        let step = self.ahead.len().clamp(1 << 18, 1 << 22);
        let held = self.ahead.len();
        self.ahead.resize(held + step, 0);
        let read = self.file.read_some(&mut self.ahead[held..])?;
        self.ahead.truncate(held + read);
        self.hasher.update(&self.ahead[held..]);
        self.ended = read == 0;
        Ok(())
    }

    fn take(&mut self, end: usize) -> (u64, Vec<u8>) {
        let rest = self.ahead.split_off(end);
        let taken = std::mem::replace(&mut self.ahead, rest);
        let offset = self.offset;
        self.offset += taken.len() as u64;
        (offset, taken)
    }

    /// Past the record that begins at `from` in what is read ahead; `None` at the end of the file.
    fn record_end(&mut self, from: usize) -> Result<Option<usize>> {
        loop {
            let seen = records::end(&self.ahead, from, self.cut.delimiter);
            let end = match seen {
                // The quote before the end may be half of a doubled one: more has to be seen first, and is.
                End::At(end) => end,
                End::Open | End::Quoted if !self.ended => {
                    self.check(self.ahead.len() - from, from)?;
                    self.read_on()?;
                    continue;
                }
                End::Open => self.ahead.len(),
                End::Quoted => records::line_end(&self.ahead, from),
            };
            self.check(end - from, from)?;
            return Ok((end > from).then_some(end));
        }
    }

    fn check(&self, length: usize, from: usize) -> Result<()> {
        if length as u64 <= self.cut.longest {
            return Ok(());
        }
        Err(Error::recipe(format!(
            "shard `{}`: the record at byte {} has at least {length} bytes, and one may take {}; look for a quote that \
             is not closed, or give the stream more memory",
            self.located.path,
            self.offset + from as u64,
            self.cut.longest
        )))
    }

    fn header(&mut self) -> Result<Vec<String>> {
        let failed = |what: String| Error::data(Place::shard(&self.located.path), what);
        while let Some(end) = self.record_end(0)? {
            let (_, text) = self.take(end);
            let Some(record) = records::records(&text, self.cut.delimiter).next() else { continue };
            let path = &self.located.path;
            let header = records::fields(record, self.cut.delimiter);
            let header =
                header.map_err(|what| Error::data(Place::shard(path), format!("its header cannot be read: {what}")))?;
            let mut names: Vec<&str> = header.iter().map(String::as_str).collect();
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                let what = "its header has two columns of this name; rename one";
                return Err(Error::data(Place::shard(path).column(pair[0]), what));
            }
            return Ok(header);
        }
        Err(failed("it has no header, and the first record has to name the columns: restore the file, or take it out of the dataset"
                .to_owned(),
        ))
    }

    /// The next block's first byte and its text. It ends after a record, or with the file.
    fn next_block(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let (mut end, mut rows) = (0, 0_u64);
        while let Some(next) = self.record_end(end)? {
            rows += 1;
            // A record may have fewer bytes than the header has columns, and is a row of them all the same.
            let decoded = (next as u64).saturating_add(rows.saturating_mul(self.row_bytes));
            if end > 0 && decoded > self.cut.decoded {
                break;
            }
            end = next;
            if end as u64 >= self.cut.bytes {
                break;
            }
        }
        Ok((end > 0).then(|| self.take(end)))
    }
}
