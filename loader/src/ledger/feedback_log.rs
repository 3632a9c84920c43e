//! The feedback log: what training said, in columns, so that a run can be drawn again without its trainer.
//!
//! A log is a folder of segments, one for each time that the run was started. A segment consists of parts, each with its
//! length, its BLAKE3 and an Arrow IPC stream with zstd. A run that was killed leaves a segment whose last part is cut
//! off: the whole parts count. A part that is damaged is an error. A segment is named by its number and the first batch
//! that it may speak of, and supersedes what earlier ones say from that batch on (a resumed run repeats the batches
//! after its checkpoint). A batch that no segment speaks of was never reported: no signal.

use crate::{ClassPair, ClassSignal, Error, Hash, Pick, Place, Position, Report, Result, Signal};
use arrow::{
    array::{Array, ArrayRef, Float32Array, Float64Array, RecordBatch, UInt32Array, UInt64Array},
    datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef, UInt32Type, UInt64Type},
    error::ArrowError,
    ipc::{CompressionType, reader::StreamReader, writer::IpcWriteOptions, writer::StreamWriter},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Rows that are gathered before they are written: enough for compression to bite, few enough to lose little.
const ROWS_A_PART: usize = 1 << 14;

fn schema() -> SchemaRef {
    let fields = [
        Field::new("batch", DataType::UInt64, false),
        Field::new("block", DataType::UInt32, false),
        Field::new("row", DataType::UInt32, false),
        Field::new("loss", DataType::Float32, false),
        Field::new("logit_margin", DataType::Float32, true),
        Field::new("probability_margin", DataType::Float32, true),
        Field::new("probability", DataType::Float32, true),
        Field::new("label", DataType::UInt32, true),
        Field::new("rival", DataType::UInt32, true),
    ];
    Arc::new(Schema::new(Vec::from(fields)))
}

/// That of the first version, which knew no classes by their numbers.
fn first_schema() -> SchemaRef {
    Arc::new(Schema::new(schema().fields()[..7].to_vec()))
}

/// What selectors picked: a part of its own, before that of the rows that it was picked from.
fn picks_schema() -> SchemaRef {
    let fields = [
        Field::new("batch", DataType::UInt64, false),
        Field::new("pick", DataType::UInt32, false),
        Field::new("weight", DataType::Float32, false),
    ];
    Arc::new(Schema::new(Vec::from(fields)))
}

/// What selectors said of all candidates of a super-batch together: a part of its own too.
fn statistics_schema() -> SchemaRef {
    let fields = [Field::new("batch", DataType::UInt64, false), Field::new("statistic", DataType::Float64, false)];
    Arc::new(Schema::new(Vec::from(fields)))
}

/// First bytes of a segment; the digit is the format's version.
const MAGIC: &[u8; 16] = b"arable feedback2";
/// Those of the first version, which is read too.
const FIRST_MAGIC: &[u8; 16] = b"arable feedback1";

/// Writes one segment.
#[derive(Debug)]
pub struct FeedbackWriter {
    path: PathBuf,
    file: File,
    rows: Vec<(u64, Position, Signal)>,
    picks: Vec<(u64, Pick)>,
    statistics: Vec<(u64, f64)>,
}

impl FeedbackWriter {
    /// A new segment in `folder`, for reports of batches from `first_batch` on. The folder is made where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn create(folder: &Path, first_batch: u64) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        // Segments are numbered in the order of their making, which is the order in which they supersede each other.
        let number = segments(folder)?.iter().filter_map(|path| numbered(path)).map(|(number, _)| number + 1).max();
        let path = folder.join(format!("{:06}-from-{first_batch:020}.arrows", number.unwrap_or(0)));
        let mut file = File::create_new(&path).map_err(Error::io("create", path.clone()))?;
        file.write_all(MAGIC).map_err(Error::io("write", path.clone()))?;
        Ok(Self { path, file, rows: Vec::new(), picks: Vec::new(), statistics: Vec::new() })
    }

    /// Takes down `report`. Reports come in batch order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn append(&mut self, report: &Report) -> Result<()> {
        self.rows.extend(report.rows.iter().map(|&(position, signal)| (report.batch, position, signal)));
        self.picks.extend(report.picks.iter().map(|&pick| (report.batch, pick)));
        self.statistics.extend(report.statistic.map(|statistic| (report.batch, statistic)));
        if self.rows.len() >= ROWS_A_PART { self.flush() } else { Ok(()) }
    }

    /// Writes what was taken down as a part, and hands it to the operating system.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (rows, picks) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.picks));
        let statistics = std::mem::take(&mut self.statistics);
        if !picks.is_empty() {
            self.part(encoded_picks(&picks))?;
        }
        if !statistics.is_empty() {
            self.part(encoded_statistics(&statistics))?;
        }
        self.part(encoded(&rows))
    }

    fn part(&mut self, stream: std::result::Result<Vec<u8>, ArrowError>) -> Result<()> {
        let stream = stream.map_err(|error| Error::io("write", self.path.clone())(std::io::Error::other(error)))?;
        let mut part = (stream.len() as u64).to_le_bytes().to_vec();
        part.extend_from_slice(&Hash::of(&stream).0);
        part.extend_from_slice(&stream);
        self.file.write_all(&part).map_err(Error::io("write", self.path.clone()))
    }
}

impl Drop for FeedbackWriter {
    fn drop(&mut self) {
        // There is nobody left to tell; what was written before still counts.
        drop(self.flush());
    }
}

/// Rows as an Arrow IPC stream.
fn encoded(rows: &[(u64, Position, Signal)]) -> std::result::Result<Vec<u8>, ArrowError> {
    let class = |value: fn(ClassSignal) -> f32| {
        Arc::new(rows.iter().map(|(_, _, signal)| signal.class.map(value)).collect::<Float32Array>()) as ArrayRef
    };
    let pair = |number: fn(ClassPair) -> u32| {
        let pairs = rows.iter().map(|(_, _, signal)| signal.class?.pair.map(number));
        Arc::new(pairs.collect::<UInt32Array>()) as ArrayRef
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1.block))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1.row))),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2.loss))),
        class(|class| class.logit_margin),
        class(|class| class.probability_margin),
        class(|class| class.probability),
        pair(|pair| pair.label),
        pair(|pair| pair.rival),
    ];
    ipc(schema(), columns)
}

fn encoded_picks(picks: &[(u64, Pick)]) -> std::result::Result<Vec<u8>, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(picks.iter().map(|pick| pick.0))),
        Arc::new(UInt32Array::from_iter_values(picks.iter().map(|pick| pick.1.index))),
        Arc::new(Float32Array::from_iter_values(picks.iter().map(|pick| pick.1.weight))),
    ];
    ipc(picks_schema(), columns)
}

fn encoded_statistics(statistics: &[(u64, f64)]) -> std::result::Result<Vec<u8>, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(statistics.iter().map(|of| of.0))),
        Arc::new(Float64Array::from_iter_values(statistics.iter().map(|of| of.1))),
    ];
    ipc(statistics_schema(), columns)
}

fn ipc(schema: SchemaRef, columns: Vec<ArrayRef>) -> std::result::Result<Vec<u8>, ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.into_inner()
}

/// A recorded log, read whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedbackLog {
    reports: BTreeMap<u64, Report>,
}

impl FeedbackLog {
    /// Reads the segment, or the folder of segments, at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Data`] if something is no feedback log.
    pub fn read(path: &Path) -> Result<Self> {
        let segments = if path.is_dir() { segments(path)? } else { vec![path.to_path_buf()] };
        if segments.is_empty() {
            let place = Place::shard(path.display().to_string());
            return Err(Error::data(place, "no segment (`*.arrows`) of a feedback log here"));
        }
        let mut log = Self::default();
        for segment in &segments {
            if let Some((_, first)) = numbered(segment) {
                log.reports.split_off(&first);
            }
            log.read_segment(segment)?;
        }
        // A killed run may have written what was picked, and not of what.
        log.reports.retain(|_, report| !report.rows.is_empty());
        Ok(log)
    }

    fn read_segment(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fault = |what: String| Error::data(Place::shard(path.display().to_string()), what);
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            return Ok(());
        }
        let mut rest = (bytes.strip_prefix(MAGIC).or_else(|| bytes.strip_prefix(FIRST_MAGIC)))
            .ok_or_else(|| fault("no feedback log, or one of a later version".into()))?;
        // A part that is cut off is where a killed run stopped.
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let Some((hash, after)) = after.split_first_chunk::<32>() else { break };
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((stream, after)) = after.split_at_checked(length) else { break };
            let at = bytes.len() - rest.len();
            if Hash::of(stream).0 != *hash {
                return Err(fault(format!("the part at byte {at} is damaged: its hash does not fit")));
            }
            // The hash says that it was written so; the decoder is not trusted with what somebody else wrote.
            let read = catch_unwind(AssertUnwindSafe(|| self.read_part(stream)));
            read.ok().flatten().ok_or_else(|| fault(format!("the part at byte {at} is no part of a feedback log")))?;
            rest = after;
        }
        Ok(())
    }

    fn read_part(&mut self, stream: &[u8]) -> Option<()> {
        let reader = StreamReader::try_new(stream, None).ok()?;
        let take: fn(&mut Self, &RecordBatch) -> Option<()> = match reader.schema() {
            of if of == schema() || of == first_schema() => Self::take,
            of if of == picks_schema() => Self::take_picks,
            of if of == statistics_schema() => Self::take_statistics,
            _ => return None,
        };
        for rows in reader {
            take(self, &rows.ok()?)?;
        }
        Some(())
    }

    fn take_statistics(&mut self, part: &RecordBatch) -> Option<()> {
        use arrow::array::AsArray;
        let batches = part.column(0).as_primitive_opt::<UInt64Type>()?;
        let statistics = part.column(1).as_primitive_opt::<Float64Type>()?;
        for (&batch, &statistic) in batches.values().iter().zip(statistics.values()) {
            self.reports.entry(batch).or_insert_with(|| Report::none(batch)).statistic = Some(statistic);
        }
        Some(())
    }

    fn take_picks(&mut self, part: &RecordBatch) -> Option<()> {
        use arrow::array::AsArray;
        let batches = part.column(0).as_primitive_opt::<UInt64Type>()?;
        let indices = part.column(1).as_primitive_opt::<UInt32Type>()?;
        let weights = part.column(2).as_primitive_opt::<Float32Type>()?;
        for i in 0..part.num_rows() {
            let batch = batches.value(i);
            let report = self.reports.entry(batch).or_insert_with(|| Report::none(batch));
            report.picks.push(Pick { index: indices.value(i), weight: weights.value(i) });
        }
        Some(())
    }

    fn take(&mut self, part: &RecordBatch) -> Option<()> {
        use arrow::array::AsArray;
        let numbers = |column: usize| part.column(column).as_primitive_opt::<UInt32Type>();
        let floats = |column: usize| part.column(column).as_primitive_opt::<Float32Type>();
        let batches = part.column(0).as_primitive_opt::<UInt64Type>()?;
        let (blocks, rows) = (numbers(1)?, numbers(2)?);
        let (losses, logit, margin, probability) = (floats(3)?, floats(4)?, floats(5)?, floats(6)?);
        let pairs = if part.num_columns() > 7 { Some((numbers(7)?, numbers(8)?)) } else { None };
        for i in 0..part.num_rows() {
            let pair = pairs.filter(|(label, rival)| label.is_valid(i) && rival.is_valid(i));
            let class = logit.is_valid(i).then(|| ClassSignal {
                logit_margin: logit.value(i),
                probability_margin: margin.value(i),
                probability: probability.value(i),
                pair: pair.map(|(label, rival)| ClassPair { label: label.value(i), rival: rival.value(i) }),
            });
            let batch = batches.value(i);
            let report = self.reports.entry(batch).or_insert_with(|| Report::none(batch));
            report.rows.push((Position::new(blocks.value(i), rows.value(i)), Signal { loss: losses.value(i), class }));
        }
        Some(())
    }

    /// What was reported of `batch`.
    #[must_use]
    pub fn get(&self, batch: u64) -> Option<&Report> {
        self.reports.get(&batch)
    }

    /// All reports, in batch order.
    pub fn iter(&self) -> impl Iterator<Item = &Report> {
        self.reports.values()
    }
}

/// The segments in `folder`, in the order of their making.
fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|ending| ending == "arrows") {
            segments.push(path);
        }
    }
    segments.sort_by_key(|segment| (numbered(segment), segment.clone()));
    Ok(segments)
}

/// (number, first batch), from a segment's name.
fn numbered(segment: &Path) -> Option<(u64, u64)> {
    let (number, first) = segment.file_stem()?.to_str()?.split_once("-from-")?;
    Some((number.parse().ok()?, first.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(batch: u64, losses: &[f32]) -> Report {
        let pair = |loss: f32| (loss != 2.0).then_some(ClassPair { label: loss as u32, rival: u32::MAX });
        let class = |loss: f32| ClassSignal {
            logit_margin: loss,
            probability_margin: -loss,
            probability: 0.5,
            pair: pair(loss),
        };
        let signal = |loss| Signal { loss, class: (loss != 3.0).then(|| class(loss)) };
        let rows = losses.iter().zip(0..).map(|(&loss, row)| (Position::new(7, row), signal(loss))).collect();
        Report::new(batch, rows)
    }

    fn write(folder: &Path, first: u64, reports: &[Report]) {
        let mut writer = FeedbackWriter::create(folder, first).unwrap();
        reports.iter().for_each(|report| writer.append(report).unwrap());
    }

    #[test]
    fn what_was_reported_is_read_back_and_silence_stays_silence() {
        let folder = tempfile::tempdir().unwrap();
        let reports = [report(0, &[1.0, 3.0]), Report::none(1), report(2, &[f32::INFINITY, -0.0])];
        write(folder.path(), 0, &reports);
        let log = FeedbackLog::read(folder.path()).unwrap();
        assert_eq!(log.get(0), Some(&reports[0]));
        assert_eq!(log.get(1), None);
        assert_eq!(log.get(2), Some(&reports[2]));
    }

    #[test]
    fn what_was_picked_is_read_back_with_the_rows_that_it_was_picked_from() {
        let folder = tempfile::tempdir().unwrap();
        let picks = vec![Pick { index: 0, weight: 1.5 }, Pick { index: 0, weight: 1.5 }, Pick::plain(1)];
        let picked = Report { picks, statistic: Some(1.5), ..report(0, &[1.0, 3.0]) };
        let reports = [picked, report(1, &[2.0])];
        write(folder.path(), 0, &reports);
        let log = FeedbackLog::read(folder.path()).unwrap();
        assert!(log.iter().eq(&reports));
    }

    #[test]
    fn a_log_of_the_first_version_is_read_and_names_no_classes() {
        let reports = [report(0, &[1.0, 3.0]), Report { picks: vec![Pick::plain(1)], ..report(1, &[4.0, 2.0]) }];
        let rows: Vec<_> =
            reports.iter().flat_map(|report| report.rows.iter().map(|row| (report.batch, *row))).collect();
        let rows: Vec<_> = rows.into_iter().map(|(batch, (position, signal))| (batch, position, signal)).collect();
        // That version's columns are the first of those of today.
        let today = StreamReader::try_new(&encoded(&rows).unwrap()[..], None).unwrap().next().unwrap().unwrap();
        let parts = [
            ipc(first_schema(), today.columns()[..7].to_vec()).unwrap(),
            encoded_picks(&[(1, Pick::plain(1))]).unwrap(),
        ];
        let mut segment = FIRST_MAGIC.to_vec();
        for part in parts {
            segment.extend((part.len() as u64).to_le_bytes());
            segment.extend(Hash::of(&part).0);
            segment.extend(part);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000000-from-00000000000000000000.arrows");
        std::fs::write(&path, &segment).unwrap();
        let forget = |mut report: Report| {
            report.rows.iter_mut().filter_map(|row| row.1.class.as_mut()).for_each(|class| class.pair = None);
            report
        };
        let log = FeedbackLog::read(&path).unwrap();
        assert!(log.iter().cloned().eq(reports.map(forget)));
        segment[15] = b'9';
        std::fs::write(&path, &segment).unwrap();
        assert!(FeedbackLog::read(&path).unwrap_err().to_string().contains("later version"));
    }

    #[test]
    fn a_later_segment_supersedes_everything_from_its_first_batch_on() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, &[report(0, &[1.0]), report(1, &[1.0]), report(2, &[1.0])]);
        write(folder.path(), 1, &[report(1, &[2.0])]);
        let log = FeedbackLog::read(folder.path()).unwrap();
        let batches: Vec<_> = log.iter().map(|report| (report.batch, report.rows[0].1.loss)).collect();
        assert_eq!(batches, [(0, 1.0), (1, 2.0)]);
    }

    #[test]
    fn the_whole_parts_of_a_torn_segment_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FeedbackWriter::create(folder.path(), 0).unwrap();
        for batch in 0..4 {
            writer.append(&report(batch, &[batch as f32])).unwrap();
            writer.flush().unwrap();
        }
        drop(writer);
        let path = segments(folder.path()).unwrap().remove(0);
        let whole = std::fs::read(&path).unwrap();
        let mut seen = 0;
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            if let Ok(log) = FeedbackLog::read(&path) {
                let count = log.iter().count();
                assert!(count >= seen, "a longer file never says less");
                assert!(log.iter().zip(0..).all(|(report, batch)| report.batch == batch));
                seen = count;
            }
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn a_damaged_part_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, &[report(0, &[1.0, 2.0]), report(1, &[4.0])]);
        let path = segments(folder.path()).unwrap().remove(0);
        let whole = std::fs::read(&path).unwrap();
        // The length of the part is left alone: a longer one cannot be told from a part that is cut off.
        for at in (0..MAGIC.len()).chain(MAGIC.len() + 8..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            std::fs::write(&path, &damaged).unwrap();
            assert!(FeedbackLog::read(&path).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FeedbackLog::read(folder.path()).is_err());
        let path = folder.path().join("000000-from-00000000000000000000.arrows");
        std::fs::write(&path, b"not an Arrow file at all").unwrap();
        assert!(FeedbackLog::read(folder.path()).is_err());
    }
}
