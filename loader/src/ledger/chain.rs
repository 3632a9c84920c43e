//! The hash chain: append-only JSON lines, each of which commits to all before it.
//!
//! A line is `{"hash":"…","record":{…}}`, where hash = BLAKE3(hash of the line before ‖ the record's bytes as written); before
//! the first line stands [`Hash::ZERO`]. A run that was killed may leave half a line at the end: it is no record, and
//! is cut off when the ledger is opened again.

use super::{Account, Record};
use crate::{Error, Hash, Result};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The longest line that is taken for a record. Records are a few hundred bytes; hostile files are not read into memory.
const LONGEST_LINE: u64 = 16 << 20;

#[derive(serde::Serialize, serde::Deserialize)]
struct Line<'a> {
    hash: Hash,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// A chain's head: what the next record is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The hash of the last record.
    pub head: Hash,
    /// How many records there are.
    pub length: u64,
}

impl Chain {
    /// A chain without records.
    pub const EMPTY: Self = Self { head: Hash::ZERO, length: 0 };

    fn extend(&mut self, record: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.head.0);
        hasher.update(record);
        self.head = Hash(*hasher.finalize().as_bytes());
        self.length += 1;
    }
}

/// The ledger of a run: a chain, and the file that it is written to.
#[derive(Debug)]
pub struct Ledger {
    chain: Chain,
    path: PathBuf,
    file: BufWriter<File>,
}

impl Ledger {
    /// A new ledger at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] if there is one already: a ledger is never overwritten. [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                Error::recipe(format!(
                    "`{}` is the ledger of another run, which is never overwritten: resume that run, or record this one elsewhere",
                    path.display()
                ))
            } else {
                Error::io("create", path)(error)
            }
        })?;
        Ok(Self { chain: Chain::EMPTY, path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Opens the ledger at `path` for a run that goes on from a checkpoint whose chain had the head `head`.
    ///
    /// What follows that head stays in the file; the caller appends [`Record::Resumed`], which supersedes it.
    ///
    /// # Errors
    ///
    /// [`Error::Ledger`] if the chain is broken, or has no record with that hash. [`Error::Io`].
    pub fn resume(path: &Path, head: Hash) -> Result<Self> {
        let verified = verify(path)?;
        if head != Hash::ZERO && !verified.heads.contains(&head) {
            let what = format!(
                "no record that counts has the hash {head} that the checkpoint names: it belongs to another run, or to a \
                 part of this one that a resume from an earlier checkpoint has superseded"
            );
            return Err(Error::Ledger { path: path.to_path_buf(), line: verified.chain.length, what });
        }
        let mut file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
        file.set_len(verified.bytes).map_err(Error::io("cut the torn end of", path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("seek in", path))?;
        Ok(Self { chain: verified.chain, path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Appends `record`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let record = serde_json::value::to_raw_value(record)
            .map_err(|error| Error::io("write", self.path.as_path())(error.into()))?;
        self.chain.extend(record.get().as_bytes());
        let line = serde_json::to_string(&Line { hash: self.chain.head, record: &record })
            .map_err(|error| Error::io("write", self.path.as_path())(error.into()))?;
        writeln!(self.file, "{line}").map_err(Error::io("write", self.path.as_path()))
    }

    /// Hands what was appended to the operating system, so that it outlives this process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", self.path.as_path()))
    }

    /// The chain as it stands.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }
}

/// What a ledger holds, once its chain has been checked.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The records that count, in order: those that no resume superseded.
    pub records: Vec<Record>,
    /// The chain over all records, superseded ones included.
    pub chain: Chain,
    /// How many records are superseded.
    pub superseded: u64,
    /// Bytes of whole records; what follows them in the file is half a line that a killed run left.
    pub bytes: u64,
    /// The chain's head after each of `records`.
    heads: Vec<Hash>,
}

impl Verified {
    /// The counts over all blocks that the run visited.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut sum = Account::default();
        let mut spoilt = HashSet::new();
        for record in &self.records {
            match record {
                Record::Block { account, .. } => sum += account,
                Record::Spoilt { block, row, .. } => drop(spoilt.insert((*block, *row))),
                _ => {}
            }
        }
        sum.set_aside(spoilt.len() as u64);
        sum
    }
}

/// Checks the ledger at `path` against itself: the chain, and that every block's rows add up.
///
/// # Errors
///
/// [`Error::Ledger`] with the line where it breaks; [`Error::Io`].
pub fn verify(path: &Path) -> Result<Verified> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut reader = BufReader::new(file);
    let mut verified =
        Verified { records: Vec::new(), chain: Chain::EMPTY, superseded: 0, bytes: 0, heads: Vec::new() };
    // How many records counted up to each head, so that a resume can go back to it.
    let mut places: HashMap<Hash, usize> = HashMap::from([(Hash::ZERO, 0)]);
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = std::io::Read::take(&mut reader, LONGEST_LINE)
            .read_until(b'\n', &mut text)
            .map_err(Error::io("read", path))?;
        let number = verified.chain.length + 1;
        let broken = |what: String| Error::Ledger { path: path.to_path_buf(), line: number, what };
        if text.last() != Some(&b'\n') {
            if text.len() as u64 >= LONGEST_LINE {
                return Err(broken(format!("a line of more than {LONGEST_LINE} bytes is no record")));
            }
            return Ok(verified);
        }
        let line: Line<'_> = serde_json::from_slice(&text).map_err(|error| broken(format!("no record: {error}")))?;
        verified.chain.extend(line.record.get().as_bytes());
        if verified.chain.head != line.hash {
            return Err(broken(format!(
                "the chain breaks: the record hashes to {}, the line says {}; this line or one before it was changed",
                verified.chain.head, line.hash
            )));
        }
        let record: Record = serde_json::from_str(line.record.get())
            .map_err(|error| broken(format!("no record that this version knows: {error}")))?;
        match &record {
            Record::Block { account, .. } if !account.balances() => {
                return Err(broken("the block's rows do not add up: read ≠ kept + dropped + quarantined".into()));
            }
            Record::Resumed { head, .. } => {
                let keep = *places
                    .get(head)
                    .ok_or_else(|| broken(format!("it resumes from {head}, which no record that counts has")))?;
                verified.superseded += (verified.records.len() - keep) as u64;
                for superseded in verified.heads.drain(keep..) {
                    places.remove(&superseded);
                }
                verified.records.truncate(keep);
            }
            _ => {}
        }
        verified.heads.push(line.hash);
        verified.records.push(record);
        places.insert(line.hash, verified.records.len());
        verified.bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(block: u32, read: u64, kept: u64) -> Record {
        let dropped = [("missing:label".to_owned(), read - kept)].into();
        Record::Block {
            block,
            content: Some(Hash::of(b"x")),
            account: Account { read, kept, dropped, quarantined: 0, held_out: 0 },
            fault: None,
        }
    }

    fn written(records: &[Record]) -> (tempfile::TempDir, PathBuf, Chain) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let mut ledger = Ledger::create(&path).unwrap();
        for record in records {
            ledger.append(record).unwrap();
        }
        ledger.flush().unwrap();
        let chain = ledger.chain();
        (folder, path, chain)
    }

    #[test]
    fn what_was_appended_is_read_back_with_the_same_head() {
        let records = [block(3, 10, 7), block(1, 5, 5), Record::Closed { batches: 2, trained: 12 }];
        let (_folder, path, chain) = written(&records);
        let verified = verify(&path).unwrap();
        assert_eq!(verified.records, records);
        assert_eq!(verified.chain, chain);
        assert_eq!((verified.account().read, verified.account().kept), (15, 12));
    }

    #[test]
    fn any_changed_byte_is_found_at_its_line() {
        let (_folder, path, _) = written(&[block(0, 10, 7), block(1, 10, 7), block(2, 10, 7)]);
        let text = std::fs::read(&path).unwrap();
        let first = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let second = first + text[first..].iter().position(|&byte| byte == b'\n').unwrap();
        for at in first..second {
            let mut changed = text.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            let error = verify(&path).unwrap_err();
            assert!(matches!(error, Error::Ledger { line: 2, .. }), "byte {at}: {error}");
        }
    }

    #[test]
    fn a_removed_or_swapped_record_breaks_the_chain() {
        let (_folder, path, _) = written(&[block(0, 10, 7), block(1, 10, 7), block(2, 10, 7)]);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for order in [vec![0, 2], vec![1, 2], vec![0, 2, 1]] {
            let other: String = order.iter().map(|&i| format!("{}\n", lines[i])).collect();
            std::fs::write(&path, other).unwrap();
            assert!(verify(&path).is_err(), "{order:?}");
        }
    }

    #[test]
    fn a_torn_end_is_no_record_and_is_cut_off_at_resume() {
        let (_folder, path, chain) = written(&[block(0, 10, 7), block(1, 10, 7)]);
        let whole = std::fs::read(&path).unwrap();
        for extra in ["{", "{\"hash\":\"00", "x"] {
            let mut torn = whole.clone();
            torn.extend_from_slice(extra.as_bytes());
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(verify(&path).unwrap().records.len(), 2);
            drop(Ledger::resume(&path, chain.head).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_resume_supersedes_what_followed_its_checkpoint_and_nothing_else() {
        let (_folder, path, chain) = written(&[block(0, 10, 7)]);
        let mut ledger = Ledger::resume(&path, chain.head).unwrap();
        ledger.append(&block(1, 10, 7)).unwrap();
        drop(ledger);
        let mut ledger = Ledger::resume(&path, chain.head).unwrap();
        ledger.append(&Record::Resumed { head: chain.head, batch: 4 }).unwrap();
        ledger.append(&block(1, 10, 7)).unwrap();
        ledger.flush().unwrap();
        let verified = verify(&path).unwrap();
        assert_eq!(verified.superseded, 1);
        assert_eq!(verified.records.len(), 3);
        assert_eq!(verified.account().read, 20);
        assert!(Ledger::resume(&path, Hash::of(b"another run")).is_err());
        // What is superseded is not revived: its records would count again without standing in the chain again.
        let text = std::fs::read_to_string(&path).unwrap();
        let superseded: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert!(Ledger::resume(&path, superseded["hash"].as_str().unwrap().parse().unwrap()).is_err());
    }

    #[test]
    fn a_ledger_is_never_overwritten() {
        let (_folder, path, _) = written(&[]);
        assert!(Ledger::create(&path).unwrap_err().is_usage());
    }

    #[test]
    fn a_block_whose_rows_do_not_add_up_is_refused() {
        let mut record = block(0, 10, 7);
        if let Record::Block { account, .. } = &mut record {
            account.kept += 1;
        }
        let (_folder, path, _) = written(&[record]);
        assert!(verify(&path).is_err());
    }
}
