//! The one pass over text files that plans them: where to cut, how many rows, which hashes, which schema.
//!
//! Files are read in order and cut between lines; blocks are looked at by several threads, and what they saw is put
//! together in order, so that the result does not depend on how many there are. Holds one block a thread.

use super::{
    super::{files::Opened, locate::Located, store::Store, threads},
    lines,
    shape::Shape,
};
use crate::{Error, Hash, Place, Result};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// A dataset has at most so many different names, at all depths together; more are data used as names.
const MAX_NAMES: usize = 10_000;
/// Offsets into a block's text have 31 bits.
const MAX_BLOCK: u64 = i32::MAX as u64;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Where blocks end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// A block ends after the line that reaches so many bytes,
    pub(super) bytes: u64,
    /// or so many lines.
    pub(super) lines: u64,
    /// No line may be longer than this.
    pub(super) longest_line: u64,
}

/// A block, as the scan saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Its first byte and its length.
    pub(super) bytes: (u64, u64),
    pub(super) rows: u32,
    pub(super) hash: Hash,
    /// Whether every row is a well-formed object.
    pub(super) clean: bool,
}

/// A file, as the scan saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct ScannedFile {
    pub(super) blocks: Vec<Scanned>,
    /// BLAKE3 of the whole file.
    pub(super) hash: Option<Hash>,
}

/// What a scan yields.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) files: Vec<ScannedFile>,
    pub(super) shape: Shape,
}

/// A block's text, cut and not yet looked at.
struct Text {
    offset: u64,
    bytes: Vec<u8>,
    /// What it should be, where that is known.
    recorded: Option<Scanned>,
}

/// Scans `files`. Where the blocks of a file are `recorded`, these are its blocks whatever the file holds, and only
/// those that are as recorded speak for the schema.
pub(super) fn scan(store: &Store, files: &[Located], cut: Cut, recorded: &[Option<Vec<Scanned>>]) -> Result<Scan> {
    let cutter = Mutex::new(Cutter::new(store, files, cut, recorded));
    let order = Mutex::new(Order { scan: Scan::default(), next: 0, waiting: BTreeMap::new(), failed: None });
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    thread::scope(|scope| {
        for _ in 0..threads(usize::try_from(bytes / cut.bytes.max(1)).unwrap_or(usize::MAX).saturating_add(1)) {
            scope.spawn(|| {
                loop {
                    let Some((number, file, text)) = lock(&cutter).next() else { break };
                    let seen = text.map(|text| look(&text));
                    lock(&order).add(number, file, files, seen);
                    if lock(&order).failed.is_some() {
                        break;
                    }
                }
            });
        }
    });
    let order = order.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = order.failed {
        return Err(error);
    }
    let cutter = cutter.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut scan = order.scan;
    scan.files.resize_with(files.len(), ScannedFile::default);
    for (file, hash) in scan.files.iter_mut().zip(cutter.hashes) {
        file.hash = Some(hash);
    }
    Ok(scan)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block with its number's worth of schema.
type Seen = Result<Option<(Scanned, Shape)>>;

/// Puts what was seen together in the order of the data.
struct Order {
    scan: Scan,
    next: u64,
    waiting: BTreeMap<u64, (usize, Seen)>,
    failed: Option<Error>,
}

impl Order {
    fn add(&mut self, number: u64, file: usize, files: &[Located], seen: Seen) {
        self.waiting.insert(number, (file, seen));
        while let Some((file, seen)) = self.waiting.remove(&self.next) {
            self.next += 1;
            match seen {
                Ok(None) => {}
                Ok(Some((block, shape))) => {
                    self.scan.files.resize_with(self.scan.files.len().max(file + 1), ScannedFile::default);
                    self.scan.files[file].blocks.push(block);
                    self.scan.shape.merge(shape);
                    if self.scan.shape.names() > MAX_NAMES {
                        let what = format!(
                            "up to here its objects have more than {MAX_NAMES} different names; names that are data \
                             make no columns, so write such an object as a list of pairs"
                        );
                        self.fail(Error::data(Place::shard(&files[file].path), what));
                    }
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Of several errors the first in the data.
    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }
}

/// Hashes a block, counts its rows, and finds its shape. `None` if it has no row.
fn look(text: &Text) -> Option<(Scanned, Shape)> {
    let hash = Hash::of(&text.bytes);
    if let Some(recorded) = text.recorded.as_ref().filter(|recorded| recorded.hash != hash) {
        return Some((recorded.clone(), Shape::default()));
    }
    let rows = lines::rows(&text.bytes).count();
    if rows == 0 {
        return None;
    }
    let mut shape = Shape::default();
    let mut all = lines::rows(&text.bytes);
    let clean = all.all(|line| lines::depth(line) <= lines::MAX_DEPTH && shape.observe(line).is_ok());
    if !clean {
        // A malformed line spoilt the shape half-way: look again, at the others.
        shape = Shape::default();
        for line in lines::rows(&text.bytes).filter(|line| lines::check(line).is_ok()) {
            // What the check lets pass is observed without an error.
            let _ = shape.observe(line);
        }
    }
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    Some((Scanned { bytes: (text.offset, text.bytes.len() as u64), rows, hash, clean }, shape))
}

/// Reads files in order and cuts them into blocks.
struct Cutter<'a> {
    store: &'a Store,
    files: &'a [Located],
    cut: Cut,
    recorded: &'a [Option<Vec<Scanned>>],
    /// How many blocks were cut.
    number: u64,
    /// The file that is being read, and which of its blocks comes next.
    file: usize,
    block: usize,
    open: Option<Reading>,
    hashes: Vec<Hash>,
    done: bool,
}

/// A file that is being read.
struct Reading {
    file: Opened,
    hasher: blake3::Hasher,
    /// Where `ahead` begins in the file.
    offset: u64,
    /// Read, and not yet part of a block.
    ahead: Vec<u8>,
    ended: bool,
}

impl<'a> Cutter<'a> {
    fn new(store: &'a Store, files: &'a [Located], cut: Cut, recorded: &'a [Option<Vec<Scanned>>]) -> Self {
        Self { store, files, cut, recorded, number: 0, file: 0, block: 0, open: None, hashes: Vec::new(), done: false }
    }

    /// The next block with its number and its file; `None` at the end of all files, and after an error.
    fn next(&mut self) -> Option<(u64, usize, Result<Text>)> {
        let number = self.number;
        self.number += 1;
        while !self.done && self.file < self.files.len() {
            match self.next_of_file().transpose() {
                None => self.file += 1,
                Some(text) => {
                    self.done = text.is_err();
                    return Some((number, self.file, text));
                }
            }
        }
        None
    }

    /// The next block of the file that is being read; `None` at its end.
    fn next_of_file(&mut self) -> Result<Option<Text>> {
        let located = &self.files[self.file];
        let reading = match &mut self.open {
            Some(reading) => reading,
            closed => closed.insert(Reading::open(self.store, located)?),
        };
        let recorded = self.recorded.get(self.file).and_then(Option::as_ref);
        let expected = recorded.and_then(|blocks| blocks.get(self.block)).cloned();
        let next = match (recorded, &expected) {
            (None, _) => reading.next_block(self.cut, located)?,
            (Some(_), None) => None,
            (Some(_), Some(block)) => Some((block.bytes.0, reading.file.read(block.bytes.0, block.bytes.1)?)),
        };
        self.block += 1;
        let Some((offset, bytes)) = next else {
            self.hashes.push(Hash(*reading.hasher.finalize().as_bytes()));
            self.open = None;
            self.block = 0;
            return Ok(None);
        };
        Ok(Some(Text { offset, bytes, recorded: expected }))
    }
}

impl Reading {
    fn open(store: &Store, located: &Located) -> Result<Self> {
        let file = store.open(&located.path)?.unchanged(located.bytes, &Place::shard(&located.path))?;
        let mut reading = Self { file, hasher: blake3::Hasher::new(), offset: 0, ahead: Vec::new(), ended: false };
        while reading.ahead.len() < BYTE_ORDER_MARK.len() && !reading.ended {
            reading.read_on()?;
        }
        if reading.ahead.starts_with(BYTE_ORDER_MARK) {
            reading.ahead.drain(..BYTE_ORDER_MARK.len());
            reading.offset = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(reading)
    }

    fn read_on(&mut self) -> Result<()> {
        const STEP: usize = 1 << 18;
        let held = self.ahead.len();
        self.ahead.resize(held + STEP, 0);
        let read = self.file.read_some(&mut self.ahead[held..])?;
        self.ahead.truncate(held + read);
        self.hasher.update(&self.ahead[held..]);
        self.ended = read == 0;
        Ok(())
    }

    /// The next block's first byte and its text. It ends after a newline, or with the file.
    fn next_block(&mut self, cut: Cut, located: &Located) -> Result<Option<(u64, Vec<u8>)>> {
        let (mut line_start, mut lines, mut looked) = (0_usize, 0_u64, 0_usize);
        loop {
            let newline = self.ahead[looked..].iter().position(|byte| *byte == b'\n');
            let end = match newline {
                Some(at) => looked + at + 1,
                None if self.ended => self.ahead.len(),
                None => {
                    looked = self.ahead.len();
                    self.check_line(looked - line_start, cut, located, self.offset + line_start as u64)?;
                    self.read_on()?;
                    continue;
                }
            };
            self.check_line(end - line_start, cut, located, self.offset + line_start as u64)?;
            let whole_file = newline.is_none();
            // A block that a line would make too long to be decoded ends before it.
            let before = line_start > 0 && end as u64 > MAX_BLOCK.min(cut.longest_line);
            let end = if before { line_start } else { end };
            lines += 1;
            if before || whole_file || end as u64 >= cut.bytes || lines >= cut.lines {
                let rest = self.ahead.split_off(end);
                let block = std::mem::replace(&mut self.ahead, rest);
                let offset = self.offset;
                self.offset += block.len() as u64;
                return Ok((!block.is_empty()).then_some((offset, block)));
            }
            line_start = end;
            looked = end;
        }
    }

    fn check_line(&self, length: usize, cut: Cut, located: &Located, offset: u64) -> Result<()> {
        let most = cut.longest_line.min(MAX_BLOCK);
        if length as u64 <= most {
            return Ok(());
        }
        Err(Error::recipe(format!(
            "shard `{}`: the line at byte {offset} has at least {length} bytes, and a block may take {most}; give the \
             stream more memory, or write the value shorter",
            located.path
        )))
    }
}
