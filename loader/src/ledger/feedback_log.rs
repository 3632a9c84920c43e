//! The feedback log: what training said, in columns, so that a run can be drawn again without its trainer.
//!
//! A log is a folder of segments, Arrow IPC streams with zstd, one for each time that the run was started. A segment is
//! named by the first batch that it may speak of; where two segments speak of the same batch, the later one counts
//! (a resumed run repeats batches that came after its checkpoint). A run that was killed leaves a segment without an
//! end: its whole parts count. A batch that no segment speaks of was never reported: no signal.

use crate::{ClassSignal, Error, Place, Position, Report, Result, Signal};
use arrow::{
    array::{Array, ArrayRef, Float32Array, RecordBatch, UInt32Array, UInt64Array},
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef, UInt32Type, UInt64Type},
    ipc::{CompressionType, reader::StreamReader, writer::IpcWriteOptions, writer::StreamWriter},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, BufWriter, Write},
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
    ];
    Arc::new(Schema::new(Vec::from(fields)))
}

/// Writes one segment.
pub struct FeedbackWriter {
    path: PathBuf,
    writer: StreamWriter<BufWriter<File>>,
    rows: Vec<(u64, Position, Signal)>,
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
        let file = File::create_new(&path).map_err(Error::io("create", path.clone()))?;
        let fault = |error: arrow::error::ArrowError| Error::io("write", path.clone())(std::io::Error::other(error));
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).map_err(fault)?;
        let writer = StreamWriter::try_new_with_options(BufWriter::new(file), &schema(), options).map_err(fault)?;
        Ok(Self { path, writer, rows: Vec::new() })
    }

    /// Takes down `report`. Reports come in batch order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn append(&mut self, report: &Report) -> Result<()> {
        self.rows.extend(report.rows.iter().map(|&(position, signal)| (report.batch, position, signal)));
        if self.rows.len() >= ROWS_A_PART { self.flush() } else { Ok(()) }
    }

    /// Writes what was taken down and hands it to the operating system.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<()> {
        let fault =
            |error: arrow::error::ArrowError| Error::io("write", self.path.clone())(std::io::Error::other(error));
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            let class = |value: fn(ClassSignal) -> f32| {
                Arc::new(rows.iter().map(|(_, _, signal)| signal.class.map(value)).collect::<Float32Array>())
                    as ArrayRef
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1.block))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1.row))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2.loss))),
                class(|class| class.logit_margin),
                class(|class| class.probability_margin),
                class(|class| class.probability),
            ];
            let part = RecordBatch::try_new(schema(), columns).map_err(fault)?;
            self.writer.write(&part).map_err(fault)?;
        }
        self.writer.get_mut().flush().map_err(Error::io("write", self.path.clone()))
    }
}

impl std::fmt::Debug for FeedbackWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedbackWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for FeedbackWriter {
    fn drop(&mut self) {
        // Without an end mark the whole parts still count; there is nobody left to tell.
        drop(self.flush().and_then(|()| {
            self.writer.finish().map_err(|error| Error::io("write", self.path.clone())(std::io::Error::other(error)))
        }));
    }
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
        Ok(log)
    }

    fn read_segment(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let place = || Place::shard(path.display().to_string());
        let reader = StreamReader::try_new(BufReader::new(file), None)
            .map_err(|error| Error::data(place(), format!("no feedback log: {error}")))?;
        if reader.schema() != schema() {
            return Err(Error::data(place(), "no feedback log: its columns are others"));
        }
        // The first part that cannot be read is where a killed run stopped.
        for part in reader.map_while(std::result::Result::ok) {
            self.take(&part).ok_or_else(|| Error::data(place(), "a part of the log has columns of other types"))?;
        }
        Ok(())
    }

    fn take(&mut self, part: &RecordBatch) -> Option<()> {
        use arrow::array::AsArray;
        let numbers = |column: usize| part.column(column).as_primitive_opt::<UInt32Type>();
        let floats = |column: usize| part.column(column).as_primitive_opt::<Float32Type>();
        let batches = part.column(0).as_primitive_opt::<UInt64Type>()?;
        let (blocks, rows) = (numbers(1)?, numbers(2)?);
        let (losses, logit, margin, probability) = (floats(3)?, floats(4)?, floats(5)?, floats(6)?);
        for i in 0..part.num_rows() {
            let class = logit.is_valid(i).then(|| ClassSignal {
                logit_margin: logit.value(i),
                probability_margin: margin.value(i),
                probability: probability.value(i),
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
        let class = |loss: f32| ClassSignal { logit_margin: loss, probability_margin: -loss, probability: 0.5 };
        let signal = |loss| Signal { loss, class: (loss != 3.0).then(|| class(loss)) };
        let rows = losses.iter().zip(0..).map(|(&loss, row)| (Position::new(7, row), signal(loss))).collect();
        Report { batch, rows }
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
        for length in 0..whole.len() {
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
    fn what_is_no_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(FeedbackLog::read(folder.path()).is_err());
        let path = folder.path().join("000000-from-00000000000000000000.arrows");
        std::fs::write(&path, b"not an Arrow file at all").unwrap();
        assert!(FeedbackLog::read(folder.path()).is_err());
    }
}
