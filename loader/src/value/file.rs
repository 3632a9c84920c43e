//! Tables of values as Parquet: what a run learnt of its rows, to be read by any data tool and by the next run.
//!
//! A file has one line a row of the data. The row is named by its content (`content_id`, 16 bytes, the id that the
//! command line prints in hexadecimal) or by its position (`block`, `row`), or both; positions hold for one plan only,
//! whose hash stands in the file's metadata. Which rows of which data those are is for others to know.

use super::{rivals::Rival, selector::Reference, trajectory::Trajectory};
use crate::{Error, Hash, Place, Position, Result};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryBuilder, Float32Array, PrimitiveArray, RecordBatch,
        UInt8Array, UInt16Array, UInt32Array,
    },
    compute::cast,
    datatypes::{
        ArrowPrimitiveType, DataType, Field, Float32Type, Schema, SchemaRef, UInt8Type, UInt16Type, UInt32Type,
    },
};
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The key of the plan's hash in a file's metadata.
const PLAN: &str = "arable.plan";
/// Rows that are encoded at once.
const ROWS_A_PART: usize = 1 << 16;

/// What a file says of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRow {
    /// Where it stands in the plan that the file was written for.
    pub position: Option<Position>,
    /// The key of its content.
    pub content: Option<u128>,
    /// The statistics of its signals.
    pub trajectory: Option<Trajectory>,
    /// The class that its label is taken for; [`Rival::NONE`] where none is known.
    pub rival: Rival,
    /// The class of the model that it is the example of: its label is what the model calls so.
    pub example_of: Option<u32>,
    /// What a reference model says of it.
    pub reference: Option<Reference>,
}

impl ValueRow {
    /// A row of which nothing is said yet.
    #[must_use]
    pub const fn new(position: Option<Position>, content: Option<u128>) -> Self {
        Self { position, content, trajectory: None, rival: Rival::NONE, example_of: None, reference: None }
    }
}

/// What a file holds beside what names its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Trajectories, and the value that follows from each.
    Values,
    /// What a reference model says: `loss`, and `probability` of the label where there is one.
    References,
}

/// Writes one file.
#[derive(Debug)]
pub struct ValueWriter {
    path: PathBuf,
    holds: Holds,
    writer: ArrowWriter<File>,
    rows: Vec<ValueRow>,
    written: u64,
}

impl ValueWriter {
    /// A new file at `path` for rows of the plan with this hash; one that is there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, plan: Hash, holds: Holds) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        let level = ZstdLevel::try_new(3).map_err(|fault| failed("write", path, fault))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_key_value_metadata(Some(vec![KeyValue::new(PLAN.to_owned(), plan.to_string())]))
            .build();
        let writer = ArrowWriter::try_new(file, schema(holds), Some(properties))
            .map_err(|fault| failed("write", path, fault))?;
        Ok(Self { path: path.to_owned(), holds, writer, rows: Vec::new(), written: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn push(&mut self, row: ValueRow) -> Result<()> {
        self.rows.push(row);
        self.written += 1;
        if self.rows.len() < ROWS_A_PART { Ok(()) } else { self.flush() }
    }

    /// Ends the file; how many rows it has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.writer.close().map_err(|fault| failed("write", &self.path, fault))?;
        Ok(self.written)
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let fault = |fault: ParquetError| failed("write", &self.path, fault);
        let batch = encoded(&rows, self.holds).map_err(|arrow| fault(arrow.into()))?;
        self.writer.write(&batch).map_err(fault)
    }
}

fn failed(what: &'static str, path: &Path, fault: ParquetError) -> Error {
    Error::io(what, path)(std::io::Error::other(fault))
}

fn schema(holds: Holds) -> SchemaRef {
    let mut fields = vec![
        Field::new("content_id", DataType::FixedSizeBinary(16), true),
        Field::new("block", DataType::UInt32, true),
        Field::new("row", DataType::UInt32, true),
    ];
    let floats = |names: &[&str], nullable| -> Vec<Field> {
        names.iter().map(|name| Field::new(*name, DataType::Float32, nullable)).collect()
    };
    match holds {
        Holds::Values => {
            fields.push(Field::new("presentations", DataType::UInt16, false));
            fields.push(Field::new("forgettings", DataType::UInt8, false));
            fields.push(Field::new("flags", DataType::UInt8, false));
            fields.push(Field::new("ever_correct", DataType::Boolean, false));
            fields.push(Field::new("last_batch", DataType::UInt32, false));
            fields.extend(floats(&STATISTICS, false));
            fields.extend(floats(&["variability", "value"], false));
            fields.push(Field::new("rival", DataType::UInt32, true));
            fields.push(Field::new("rival_votes", DataType::UInt8, true));
            fields.push(Field::new("example_of", DataType::UInt32, true));
        }
        Holds::References => fields.extend(floats(&["loss", "probability"], true)),
    }
    Arc::new(Schema::new(fields))
}

/// The numbers of a trajectory, as [`Trajectory::floats`] orders them.
const STATISTICS: [&str; 6] =
    ["mean_loss", "last_loss", "mean_logit_margin", "mean_probability_margin", "mean_probability", "m2_probability"];

fn encoded(rows: &[ValueRow], holds: Holds) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let mut contents = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
    for row in rows {
        match row.content {
            Some(content) => contents.append_value(content.to_be_bytes())?,
            None => contents.append_null(),
        }
    }
    let number = |of: fn(Position) -> u32| {
        Arc::new(rows.iter().map(|row| row.position.map(of)).collect::<UInt32Array>()) as ArrayRef
    };
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(contents.finish()), number(|position| position.block), number(|position| position.row)];
    match holds {
        Holds::Values => {
            let of = |row: &ValueRow| row.trajectory.unwrap_or(Trajectory::NEW);
            columns.push(Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| of(row).presentations()))));
            columns.push(Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| of(row).forgettings()))));
            columns.push(Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| of(row).flags()))));
            columns.push(Arc::new(rows.iter().map(|row| Some(of(row).ever_correct())).collect::<BooleanArray>()));
            columns.push(Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| of(row).last_batch()))));
            for statistic in 0..STATISTICS.len() {
                let values = rows.iter().map(|row| of(row).floats()[statistic]);
                columns.push(Arc::new(Float32Array::from_iter_values(values)));
            }
            columns.push(Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| of(row).variability()))));
            columns.push(Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| of(row).value()))));
            let rivals = || rows.iter().map(|row| row.rival.class().map(|class| (class, row.rival.votes())));
            columns.push(Arc::new(rivals().map(|rival| Some(rival?.0)).collect::<UInt32Array>()));
            columns.push(Arc::new(rivals().map(|rival| Some(rival?.1)).collect::<UInt8Array>()));
            columns.push(Arc::new(rows.iter().map(|row| row.example_of).collect::<UInt32Array>()));
        }
        Holds::References => {
            let loss = rows.iter().map(|row| row.reference.map(|reference| reference.loss));
            columns.push(Arc::new(loss.collect::<Float32Array>()));
            let probability = rows.iter().map(|row| row.reference?.probability);
            columns.push(Arc::new(probability.collect::<Float32Array>()));
        }
    }
    RecordBatch::try_new(schema(holds), columns)
}

/// A file that can be read.
#[derive(Debug)]
pub struct ValueFile {
    path: PathBuf,
    plan: Option<Hash>,
    schema: SchemaRef,
}

impl ValueFile {
    /// Looks at the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] where it is no Parquet file, or names its rows neither by content nor by position.
    pub fn open(path: &Path) -> Result<Self> {
        let builder = reader(path)?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let plan = metadata.into_iter().flatten().find(|pair| pair.key == PLAN);
        let plan = plan.and_then(|pair| pair.value.as_deref()?.parse().ok());
        let file = Self { path: path.to_owned(), plan, schema: Arc::clone(builder.schema()) };
        if !file.has_contents() && !file.has_positions() {
            return Err(file.fault("it names no row: give it a column `content_id`, or `block` and `row`"));
        }
        Ok(file)
    }

    /// The plan that its positions belong to, where it says so.
    #[must_use]
    pub const fn plan(&self) -> Option<Hash> {
        self.plan
    }

    /// Whether it names rows by their content.
    #[must_use]
    pub fn has_contents(&self) -> bool {
        self.has("content_id")
    }

    /// Whether it names rows by their position.
    #[must_use]
    pub fn has_positions(&self) -> bool {
        self.has("block") && self.has("row")
    }

    fn has(&self, column: &str) -> bool {
        self.schema.index_of(column).is_ok()
    }

    fn fault(&self, what: impl Into<String>) -> Error {
        Error::data(Place::shard(self.path.display().to_string()), what)
    }

    /// Hands over what the file says, row by row.
    ///
    /// # Errors
    /// [`Error::Data`] where it lacks what `holds` says, or is damaged; whatever `each` returns.
    pub fn each(&self, holds: Holds, mut each: impl FnMut(ValueRow) -> Result<()>) -> Result<()> {
        let needed: &[&str] = match holds {
            Holds::Values => &["presentations", "mean_loss", "last_loss"],
            Holds::References => &["loss"],
        };
        if let Some(missing) = needed.iter().find(|column| !self.has(column)) {
            let columns: Vec<_> = self.schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
            return Err(self.fault(format!("it has no column `{missing}`; its columns are {}", columns.join(", "))));
        }
        let batches = reader(&self.path)?.build().map_err(|fault| self.fault(fault.to_string()))?;
        // What somebody else wrote is not trusted to be sound.
        let mut batches = batches.into_iter();
        loop {
            let next =
                catch_unwind(AssertUnwindSafe(|| batches.next())).map_err(|_| self.fault("it cannot be decoded"))?;
            let Some(batch) = next else { return Ok(()) };
            let batch = batch.map_err(|fault| self.fault(fault.to_string()))?;
            self.rows(&batch, holds)?.into_iter().try_for_each(&mut each)?;
        }
    }

    fn rows(&self, batch: &RecordBatch, holds: Holds) -> Result<Vec<ValueRow>> {
        let contents = self.contents(batch)?;
        let blocks = self.numbers::<UInt32Type>(batch, "block")?;
        let numbers = self.numbers::<UInt32Type>(batch, "row")?;
        let named = |i: usize| {
            let position = match (&blocks, &numbers) {
                (Some(blocks), Some(rows)) => get(blocks, i).zip(get(rows, i)).map(|(b, r)| Position::new(b, r)),
                _ => None,
            };
            let content = contents.as_ref().and_then(|contents| contents.get(i).copied().flatten());
            ValueRow::new(position, content)
        };
        let mut rows: Vec<ValueRow> = (0..batch.num_rows()).map(named).collect();
        match holds {
            Holds::References => {
                let loss = self.numbers::<Float32Type>(batch, "loss")?;
                let probability = self.numbers::<Float32Type>(batch, "probability")?;
                for (i, row) in rows.iter_mut().enumerate() {
                    let probability = probability.as_ref().and_then(|column| get(column, i));
                    let loss = loss.as_ref().and_then(|column| get(column, i));
                    row.reference = loss.map(|loss| Reference { loss, probability });
                }
            }
            Holds::Values => {
                let presentations = self.numbers::<UInt16Type>(batch, "presentations")?;
                let forgettings = self.numbers::<UInt8Type>(batch, "forgettings")?;
                let flags = self.numbers::<UInt8Type>(batch, "flags")?;
                let last_batch = self.numbers::<UInt32Type>(batch, "last_batch")?;
                let rivals = self.numbers::<UInt32Type>(batch, "rival")?;
                let votes = self.numbers::<UInt8Type>(batch, "rival_votes")?;
                let examples = self.numbers::<UInt32Type>(batch, "example_of")?;
                let statistics = STATISTICS.map(|name| self.numbers::<Float32Type>(batch, name));
                let [a, b, c, d, e, f] = statistics;
                let statistics = [a?, b?, c?, d?, e?, f?];
                let number = |column: &Option<PrimitiveArray<Float32Type>>, i| {
                    column.as_ref().and_then(|column| get(column, i)).unwrap_or(0.0)
                };
                for (i, row) in rows.iter_mut().enumerate() {
                    let floats = [0, 1, 2, 3, 4, 5].map(|index: usize| number(&statistics[index], i));
                    let counts = (
                        presentations.as_ref().and_then(|column| get(column, i)).unwrap_or(0),
                        forgettings.as_ref().and_then(|column| get(column, i)).unwrap_or(0),
                        flags.as_ref().and_then(|column| get(column, i)).unwrap_or(0),
                    );
                    let last_batch = last_batch.as_ref().and_then(|column| get(column, i)).unwrap_or(0);
                    let trajectory = Trajectory::from_parts(counts, last_batch, floats);
                    row.trajectory = Some(trajectory.map_err(|_| {
                        self.fault("it holds statistics that no training gives (not finite, or of a later version)")
                    })?);
                    let votes = votes.as_ref().and_then(|column| get(column, i)).unwrap_or(0);
                    let rival = rivals.as_ref().and_then(|column| get(column, i));
                    row.rival = rival.map_or(Rival::NONE, |class| Rival::new(class, votes));
                    row.example_of = examples.as_ref().and_then(|column| get(column, i));
                }
            }
        }
        Ok(rows)
    }

    fn contents(&self, batch: &RecordBatch) -> Result<Option<Vec<Option<u128>>>> {
        let Some(column) = batch.column_by_name("content_id") else { return Ok(None) };
        let binary = column.as_fixed_size_binary_opt().filter(|column| column.value_length() == 16);
        let binary = binary.ok_or_else(|| {
            self.fault(format!("its `content_id` is {}, and has to be 16 bytes (FixedSizeBinary)", column.data_type()))
        })?;
        let key = |i| binary.is_valid(i).then(|| binary.value(i).try_into().map(u128::from_be_bytes).ok()).flatten();
        Ok(Some((0..binary.len()).map(key).collect()))
    }

    fn numbers<T: ArrowPrimitiveType>(&self, batch: &RecordBatch, name: &str) -> Result<Option<PrimitiveArray<T>>> {
        let Some(column) = batch.column_by_name(name) else { return Ok(None) };
        let fault = || self.fault(format!("its `{name}` is {}, and has to be {}", column.data_type(), T::DATA_TYPE));
        if !column.data_type().is_numeric() {
            return Err(fault());
        }
        let column = cast(column, &T::DATA_TYPE).map_err(|_| fault())?;
        Ok(Some(column.as_primitive::<T>().clone()))
    }
}

fn get<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, index: usize) -> Option<T::Native> {
    column.is_valid(index).then(|| column.value(index))
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let opened = catch_unwind(AssertUnwindSafe(|| ParquetRecordBatchReaderBuilder::try_new(file)));
    let fault = |what: String| Error::data(Place::shard(path.display().to_string()), what);
    let builder = opened.map_err(|_| fault("no Parquet file: it cannot be decoded".into()))?;
    builder.map_err(|cause| fault(format!("no Parquet file: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClassSignal, Signal};

    fn trajectory(seed: u32) -> Trajectory {
        let mut trajectory = Trajectory::NEW;
        for step in 0..seed % 7 + 1 {
            let p = ((seed * 31 + step * 17) % 97) as f32 / 97.0;
            let class = ClassSignal {
                logit_margin: p * 4.0 - 2.0,
                probability_margin: 2.0 * p - 1.0,
                probability: p,
                pair: None,
            };
            trajectory.update(u64::from(step), &Signal { loss: 1.0 - p, class: Some(class) });
        }
        trajectory
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.parquet");
        // More than one part.
        let rows: Vec<ValueRow> = (0..70_000_u32)
            .map(|row| ValueRow {
                position: Some(Position::new(row / 1000, row % 1000)),
                content: (row % 3 > 0).then(|| u128::from(row) << 70 | 5),
                trajectory: Some(trajectory(row)),
                rival: if row % 5 > 0 { Rival::new(row * 100, row as u8) } else { Rival::NONE },
                example_of: (row % 1000 == 7).then_some(row),
                reference: None,
            })
            .collect();
        let plan = Hash::of(b"plan");
        let mut writer = ValueWriter::create(&path, plan, Holds::Values).unwrap();
        rows.iter().for_each(|row| writer.push(*row).unwrap());
        assert_eq!(writer.finish().unwrap(), 70_000);
        let file = ValueFile::open(&path).unwrap();
        assert!(file.plan() == Some(plan) && file.has_contents() && file.has_positions());
        let mut read = Vec::new();
        let keep = |row| {
            read.push(row);
            Ok(())
        };
        file.each(Holds::Values, keep).unwrap();
        assert_eq!(read, rows);
        let missing = file.each(Holds::References, |_| Ok(())).unwrap_err().to_string();
        assert!(missing.contains("no column `loss`") && missing.contains("`mean_loss`"), "{missing}");
    }

    #[test]
    fn a_table_that_names_no_rivals_is_read_without_and_one_of_strange_numbers_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("earlier.parquet");
        let numbers = |values: Vec<i64>| Arc::new(arrow::array::Int64Array::from(values)) as ArrayRef;
        let floats = |value: f32| Arc::new(Float32Array::from(vec![value; 3])) as ArrayRef;
        let earlier = || {
            vec![
                ("block", numbers(vec![0; 3])),
                ("row", numbers(vec![0, 1, 2])),
                ("presentations", numbers(vec![2; 3])),
                ("mean_loss", floats(0.5)),
                ("last_loss", floats(0.25)),
            ]
        };
        let strange = [("rival", numbers(vec![-1, 1 << 40, 7])), ("rival_votes", numbers(vec![3, 3, 1_000]))];
        for (columns, expected) in [
            (earlier(), [Rival::NONE; 3]),
            (earlier().into_iter().chain(strange).collect(), [Rival::NONE, Rival::NONE, Rival::new(7, 0)]),
        ] {
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let mut read = Vec::new();
            let keep = |row: ValueRow| {
                assert_eq!(row.trajectory.unwrap().presentations(), 2);
                read.push(row.rival);
                Ok(())
            };
            ValueFile::open(&path).unwrap().each(Holds::Values, keep).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_table_of_references_may_be_anybodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("references.parquet");
        // Wider numbers than ours, as other tools write them.
        let block: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![0, 0, 2]));
        let row: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![0, 4, 1]));
        let loss: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![Some(0.5), None, Some(2.0)]));
        let batch = RecordBatch::try_from_iter([("block", block), ("row", row), ("loss", loss)]).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = ValueFile::open(&path).unwrap();
        assert_eq!(file.plan(), None);
        let mut read = Vec::new();
        let keep = |row: ValueRow| {
            read.push((row.position.unwrap(), row.reference));
            Ok(())
        };
        file.each(Holds::References, keep).unwrap();
        let said = |loss| Some(Reference { loss, probability: None });
        let at = Position::new;
        assert_eq!(read, [(at(0, 0), said(0.5)), (at(0, 4), None), (at(2, 1), said(2.0))]);
    }

    #[test]
    fn what_is_no_table_of_values_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, b"PAR1 and then nothing").unwrap();
        assert!(matches!(ValueFile::open(&path), Err(Error::Data { .. })));
        assert!(matches!(ValueFile::open(&folder.path().join("none")), Err(Error::Io { .. })));
        let loss: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
        let batch = RecordBatch::try_from_iter([("loss", loss)]).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let fault = ValueFile::open(&path).err().unwrap().to_string();
        assert!(fault.contains("it names no row"), "{fault}");
    }
}
