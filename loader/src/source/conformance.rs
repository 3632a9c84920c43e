//! What a stream relies on in a [`Source`], tried out: for the tests of whoever writes one.

use super::{Decoded, Ready, Request, Source};
use crate::{Error, Hash, Keep, Plan};
use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::{cast, filter_record_batch},
    datatypes::DataType,
};
use std::{collections::BTreeSet, sync::mpsc, thread, time::Duration};

/// How long a [`Source::fetch`] may take before it counts as one that never comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many threads read the same blocks at once.
const THREADS: usize = 4;
/// What a block may take beyond twice what its plan says, in bytes: offsets, validity and the like of tiny blocks.
const SLACK: u64 = 64 << 10;

/// What `source` breaks of what a stream relies on, a sentence each; nothing where it keeps to all of it.
///
/// For a test of a source of one's own, over data of a few blocks, with nulls, bad rows and an empty block where there can
/// be such: every block is read a dozen times.
///
/// ```
/// use arable_loader::source::{Options, broken_promises, open};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("rows.csv");
/// # std::fs::write(&path, "id,text\n1,a\n2,b\n")?;
/// let source = open(&Options::new(path.display().to_string()))?;
/// assert_eq!(broken_promises(source.as_ref()), [""; 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is tried: that the plan holds together and stays the same; that blocks have the plan's schema and number of rows,
/// in about the memory that it claims, and the same content at every reading, in any order and from several threads; that
/// a part of the rows is that part of the whole; that bad rows are named, ascending, and null; that the hashes of a
/// reading are those of the next, and that another hash is refused; that views hold what the columns hold; that a fetch
/// comes to an end; and that what cannot be asked for is an error.
#[must_use]
pub fn broken_promises(source: &dyn Source) -> Vec<String> {
    let mut broken = Broken(Vec::new());
    let plan = source.plan();
    broken.look_at(plan);
    let identity = plan.hash();
    let mut whole = Vec::new();
    for block in 0..plan.blocks.len() as u32 {
        broken.fetch(source, block);
        whole.push(broken.block(source, block));
    }
    broken.threads(source, &whole);
    broken.beyond(source);
    for range in source.in_order() {
        let shard = |block: u32| plan.blocks.get(block as usize).map(|block| block.shard);
        if range.is_empty() || range.clone().any(|block| shard(block).is_none() || shard(block) != shard(range.start)) {
            broken.say(format!("in_order: {range:?} are not the blocks of one shard"));
        }
    }
    if source.plan().hash() != identity {
        broken.say("the plan is another one after its blocks were read".to_owned());
    }
    broken.0
}

struct Broken(Vec<String>);

impl Broken {
    fn say(&mut self, what: String) {
        self.0.push(what);
    }

    fn unless(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.say(what());
        }
    }

    fn look_at(&mut self, plan: &Plan) {
        let names: BTreeSet<&str> = plan.schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.unless(names.len() == plan.schema.fields().len(), || "plan: two columns have one name".to_owned());
        let mut before = None;
        for (number, block) in plan.blocks.iter().enumerate() {
            self.unless((block.shard as usize) < plan.shards.len(), || {
                format!("plan: block {number} is of shard {}, and there are {}", block.shard, plan.shards.len())
            });
            let follows = match before {
                Some((shard, index)) if shard == block.shard => block.index == index + 1,
                Some((shard, _)) => block.shard > shard && block.index == 0,
                None => block.index == 0,
            };
            self.unless(follows, || {
                format!("plan: block {number} is number {} of shard {}, out of order", block.index, block.shard)
            });
            before = Some((block.shard, block.index));
        }
        let ranges = plan.ranges();
        let covered = ranges.windows(2).all(|pair| matches!(pair, [a, b] if a.end == b.start))
            && ranges.first().is_some_and(|range| range.start == 0)
            && ranges.last().is_some_and(|range| range.end as usize == plan.blocks.len());
        self.unless(covered, || "plan: the domains are not its blocks, one after another".to_owned());
    }

    fn fetch(&mut self, source: &dyn Source, block: u32) {
        let (done, comes) = mpsc::channel();
        source.fetch(block, Ready::new(move || done.send(()).unwrap_or_default()));
        self.unless(comes.recv_timeout(PATIENCE).is_ok(), || {
            format!("block {block}: `fetch` kept its `ready` for a minute and neither called nor dropped it")
        });
    }

    /// Reads one block in every way; what a plain read gave of it.
    fn block(&mut self, source: &dyn Source, block: u32) -> Option<Decoded> {
        let plan = source.plan();
        let planned = plan.blocks.get(block as usize)?;
        let expected = &planned.hashes[..];
        let decoded = match source.read(Request { block, rows: None, expected }) {
            Ok(decoded) => decoded,
            Err(fault) => {
                self.say(format!("block {block}: cannot be read: {fault}"));
                return None;
            }
        };
        let data = &decoded.data;
        self.unless(data.schema_ref() == &plan.schema, || {
            format!("block {block}: its schema is {:?}, and the plan's is {:?}", data.schema(), plan.schema)
        });
        self.unless(data.num_rows() == planned.rows as usize, || {
            format!("block {block}: {} rows, and the plan says {}", data.num_rows(), planned.rows)
        });
        let bytes: u64 = data.columns().iter().map(|column| held(column.as_ref())).sum();
        let claimed = planned.decoded_bytes;
        self.unless(bytes <= claimed.saturating_mul(2).saturating_add(SLACK), || {
            format!("block {block}: {bytes} bytes decoded, more than twice the plan's {claimed}")
        });
        self.unless(expected.is_empty() || expected == decoded.hashes, || {
            format!("block {block}: its hashes are not those of the plan")
        });
        self.bad_rows(block, &decoded);

        self.compare(source, block, &decoded, None);
        let rows = planned.rows;
        for (name, keep) in [
            ("no row", Keep::from_fn(rows, |_| false)),
            ("every row", Keep::from_fn(rows, |_| true)),
            ("the first row", Keep::from_fn(rows, |row| row == 0)),
            ("the last row", Keep::from_fn(rows, |row| row + 1 == rows)),
            ("every third row", Keep::from_fn(rows, |row| row % 3 == 1)),
            ("all but every third row", Keep::from_fn(rows, |row| row % 3 != 1)),
            ("the second half", Keep::from_fn(rows, |row| row >= rows / 2)),
        ] {
            self.compare(source, block, &decoded, Some((name, &keep)));
        }
        if let Some((first, rest)) = decoded.hashes.split_first() {
            let mut other = first.0;
            other[31] ^= 1;
            let other: Vec<Hash> = [Hash(other)].into_iter().chain(rest.iter().copied()).collect();
            match source.read(Request { block, rows: None, expected: &other }) {
                Ok(_) => self.say(format!("block {block}: is read although another hash is expected")),
                Err(Error::Data { place, .. }) => self.unless(place.block == Some(block), || {
                    format!("block {block}: that another hash is expected is said of {:?}", place.block)
                }),
                Err(other) => self.say(format!("block {block}: another hash than expected is no Error::Data: {other}")),
            }
        }
        let beyond = Keep::from_fn(rows.saturating_add(1), |_| true);
        self.unless(source.read(Request { block, rows: Some(&beyond), expected }).is_err(), || {
            format!("block {block}: gives one row more than it has")
        });
        Some(decoded)
    }

    fn bad_rows(&mut self, block: u32, decoded: &Decoded) {
        let rows: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
        self.unless(rows.is_sorted_by(|a, b| a < b), || format!("block {block}: bad rows out of order: {rows:?}"));
        for &row in &rows {
            let holds = decoded.data.columns().iter().find(|column| {
                let row = row as usize;
                row >= column.len() || (column.is_valid(row) && *column.data_type() != DataType::Null)
            });
            self.unless(holds.is_none(), || format!("block {block}: the bad row {row} is not null in every column"));
        }
    }

    /// Compares `decoded`, all of `block`, with what `keep` of it gives, or with all of it once more.
    fn compare(&mut self, source: &dyn Source, block: u32, decoded: &Decoded, keep: Option<(&str, &Keep)>) {
        let (name, rows) = keep.map_or(("all rows, again", None), |(name, keep)| (name, Some(keep)));
        let request = Request { block, rows, expected: &decoded.hashes };
        let mask: BooleanArray =
            (0..decoded.data.num_rows() as u32).map(|row| Some(rows.is_none_or(|keep| keep.is_kept(row)))).collect();
        let wanted = match filter_record_batch(&decoded.data, &mask) {
            Ok(wanted) => wanted,
            Err(fault) => return self.say(format!("block {block}, {name}: {fault}")),
        };
        for (how, read) in [("read", source.read(request)), ("read_views", source.read_views(request))] {
            let again = match read {
                Ok(again) => again,
                Err(fault) => {
                    self.say(format!("block {block}, {name}: {how}: {fault}"));
                    continue;
                }
            };
            let same = if how == "read" {
                again.data.columns() == wanted.columns()
            } else {
                as_types_of(&again.data, &wanted).is_some_and(|columns| columns == wanted.columns())
            };
            self.unless(same && again.data.num_rows() == wanted.num_rows(), || {
                format!("block {block}, {name}: {how} gives other rows than a plain reading of the whole")
            });
            let bad: Vec<_> =
                decoded.bad_rows.iter().filter(|bad| rows.is_none_or(|keep| keep.is_kept(bad.row))).collect();
            self.unless(again.bad_rows.iter().eq(bad), || {
                format!("block {block}, {name}: {how} names other bad rows: {:?}", again.bad_rows)
            });
            self.unless(again.hashes == decoded.hashes, || {
                format!("block {block}, {name}: {how} gives other hashes than the first reading")
            });
        }
    }

    /// All blocks from several threads at once, each in another order.
    fn threads(&mut self, source: &dyn Source, whole: &[Option<Decoded>]) {
        let read = |thread: usize| {
            let mut differ = Vec::new();
            for step in 0..whole.len() {
                let index = if thread.is_multiple_of(2) { step } else { whole.len() - 1 - step };
                let Some(Some(first)) = whole.get(index) else { continue };
                let block = index as u32;
                match source.read(Request { block, rows: None, expected: &first.hashes }) {
                    Ok(again) if again.data.columns() == first.data.columns() => {}
                    Ok(_) => differ.push(format!("block {block}: other rows where several threads read")),
                    Err(fault) => differ.push(format!("block {block}: where several threads read: {fault}")),
                }
            }
            differ
        };
        let differ: Vec<Vec<String>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || read(thread))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| vec!["a reading panicked".into()]))
                .collect()
        });
        self.0.extend(differ.into_iter().flatten());
    }

    fn beyond(&mut self, source: &dyn Source) {
        let block = source.plan().blocks.len() as u32;
        self.unless(source.read(Request { block, rows: None, expected: &[] }).is_err(), || {
            format!("block {block} is read, and the plan has no such block")
        });
    }
}

/// The columns of `views` as the types of `plain`; `None` where they are no views of these types.
fn as_types_of(views: &RecordBatch, plain: &RecordBatch) -> Option<Vec<arrow::array::ArrayRef>> {
    let columns = views.columns().iter().zip(plain.columns()).map(|(view, plain)| {
        let (from, to) = (view.data_type(), plain.data_type());
        let allowed = from == to
            || matches!(
                (from, to),
                (DataType::Utf8View, DataType::Utf8 | DataType::LargeUtf8)
                    | (DataType::BinaryView, DataType::Binary | DataType::LargeBinary)
            );
        if allowed { cast(view, to).ok() } else { None }
    });
    let columns: Vec<_> = columns.collect::<Option<_>>()?;
    (columns.len() == plain.num_columns()).then_some(columns)
}

/// What the values of `array` take, without what its buffers have to spare.
fn held(array: &dyn Array) -> u64 {
    array.to_data().get_slice_memory_size().map_or(0, |bytes| bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Result,
        source::{BadRow, Options, open},
    };
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    /// A source that keeps its word, and what it may be told to do to one reading in `every`.
    #[derive(Debug)]
    struct Liar {
        of: Arc<dyn Source>,
        reads: AtomicU32,
        every: u32,
        lie: fn(Decoded) -> Decoded,
    }

    impl Source for Liar {
        fn plan(&self) -> &Plan {
            self.of.plan()
        }

        fn read(&self, request: Request<'_>) -> Result<Decoded> {
            let lies = self.reads.fetch_add(1, Ordering::Relaxed) % self.every == self.every - 1;
            let decoded = self.of.read(request)?;
            Ok(if lies { (self.lie)(decoded) } else { decoded })
        }
    }

    fn said(every: u32, lie: fn(Decoded) -> Decoded) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "{\"id\":1}\nnot json\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n{\"id\":5}\n").unwrap();
        let of = open(&Options::new(path.display().to_string())).unwrap();
        assert_eq!(broken_promises(of.as_ref()), [""; 0]);
        broken_promises(&Liar { of, reads: AtomicU32::new(0), every, lie }).join("\n")
    }

    #[test]
    fn each_promise_that_is_broken_is_named() {
        let shorter =
            |decoded: Decoded| Decoded { data: decoded.data.slice(0, decoded.data.num_rows() / 2), ..decoded };
        assert!(said(1, shorter).contains("3 rows, and the plan says 6"), "{}", said(1, shorter));
        assert!(said(3, shorter).contains("gives other rows"));
        let hashed = |decoded: Decoded| Decoded { hashes: vec![Hash::of(b"other")], ..decoded };
        assert!(said(1, hashed).contains("not those of the plan"));
        let innocent = |decoded: Decoded| Decoded { bad_rows: Vec::new(), ..decoded };
        assert!(said(2, innocent).contains("names other bad rows"));
        let slander = |decoded: Decoded| Decoded {
            bad_rows: vec![BadRow { row: 0, column: None, what: String::new() }],
            ..decoded
        };
        assert!(said(1, slander).contains("bad row 0 is not null"));
    }
}
