//! Planted dirt: wrong labels, exact duplicates and broken rows, from a seed, with the truth kept beside.
//!
//! Duplicates are planted after the wrong labels and copy them; broken rows come last.

use crate::{Result, sample::Sample};
use arable_loader::arrow::{
    array::{ArrayRef, Int64Array},
    datatypes::{DataType, Field, Schema},
    record_batch::RecordBatch,
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::{fs::File, path::Path, sync::Arc};

/// The seed of the split that no run's seed changes.
const SPLIT: u64 = 10;

/// How much dirt to plant, as shares of the rows that are there before each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dirt {
    /// Rows whose label is replaced by another class, every other class alike (symmetric noise).
    pub noise: f64,
    /// Rows that are added as exact copies of others, wrong labels included.
    pub duplicates: f64,
    /// Rows that are made unusable: a third without a label, a third with one out of range, a third with spoilt content.
    pub broken: f64,
}

impl Dirt {
    /// No dirt.
    pub const NONE: Self = Self { noise: 0.0, duplicates: 0.0, broken: 0.0 };

    /// What was planted, in a sentence.
    #[must_use]
    pub fn said(&self, seed: u64) -> String {
        if !self.is_planted() {
            return "No dirt was planted: what is wrong here came with the data.".to_owned();
        }
        let share = |share: f64| format!("{:.0} %", 100.0 * share);
        let (noise, duplicates, broken) = (share(self.noise), share(self.duplicates), share(self.broken));
        format!(
            "The dirt is PLANTED, from seed {seed}: {noise} wrong labels, {duplicates} exact duplicates, {broken} broken rows."
        )
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_planted(&self) -> bool {
        *self != Self::NONE
    }
}

/// Rows with their true labels, where those are known and the row is not broken.
#[derive(Clone, Debug)]
pub struct Rows<S> {
    /// The rows, as a training sees them.
    pub rows: Vec<S>,
    /// The true label of each.
    pub truth: Vec<Option<i64>>,
}

impl<S: Sample> Rows<S> {
    /// Plants `dirt` in rows whose labels are true, and shuffles them.
    #[must_use]
    pub fn plant(mut self, dirt: Dirt, classes: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6469_7274);
        let share = |rows: usize, share: f64| ((rows as f64 * share).round() as usize).min(rows);
        let pick = |rows: usize, count: usize, random: &mut ChaCha8Rng| {
            let mut order: Vec<usize> = (0..rows).collect();
            order.shuffle(random);
            order.truncate(count);
            order
        };
        let wrong = share(self.rows.len(), if classes > 1 { dirt.noise } else { 0.0 });
        for row in pick(self.rows.len(), wrong, &mut random) {
            if let Some(label) = self.rows[row].label() {
                let other = (label + random.random_range(1..classes as i64)) % classes as i64;
                self.rows[row].set_label(Some(other));
            }
        }
        let copies = share(self.rows.len(), dirt.duplicates);
        for row in pick(self.rows.len(), copies, &mut random) {
            self.rows.push(self.rows[row].clone());
            self.truth.push(self.truth[row]);
        }
        let broken = share(self.rows.len(), dirt.broken);
        for (kind, row) in pick(self.rows.len(), broken, &mut random).into_iter().enumerate() {
            match kind % 3 {
                0 => self.rows[row].set_label(None),
                1 => self.rows[row].set_label(Some(classes as i64 + random.random_range(0..90))),
                _ => self.rows[row].spoil(),
            }
            self.truth[row] = None;
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.shuffle(&mut random);
        Self {
            rows: order.iter().map(|&row| self.rows[row].clone()).collect(),
            truth: order.iter().map(|&row| self.truth[row]).collect(),
        }
    }

    /// Takes out a tenth of the rows, picked once and for all whatever the seed of a run.
    #[must_use]
    pub fn split_off_tenth(&mut self) -> Self {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT));
        let (taken, left) = order.split_at_mut(self.rows.len() / 10);
        // In the order of the file, as the rows that are left.
        taken.sort_unstable();
        left.sort_unstable();
        let pick = |order: &[usize]| Self {
            rows: order.iter().map(|&row| self.rows[row].clone()).collect(),
            truth: order.iter().map(|&row| self.truth[row]).collect(),
        };
        let (tenth, rest) = (pick(taken), pick(left));
        *self = rest;
        tenth
    }

    /// Writes the rows to `shards` Parquet files in `folder`, in order, with row groups of `group` rows. Beside the
    /// content and the `label` stands a column `truth`, which no training carries.
    ///
    /// # Errors
    ///
    /// Whatever keeps a file from being written.
    pub fn write(&self, folder: &Path, shards: usize, group: usize) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let Some(first) = self.rows.first() else { return Err("there is no row to write".into()) };
        let fields = first.fields();
        let size = self.rows.len().div_ceil(shards.max(1));
        for (shard, (rows, truth)) in self.rows.chunks(size).zip(self.truth.chunks(size)).enumerate() {
            let batch = serde_arrow::to_record_batch(&fields, &rows)?;
            let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
            columns.push(Arc::new(Int64Array::from(truth.to_vec())));
            let mut all = batch.schema().fields().to_vec();
            all.push(Arc::new(Field::new("truth", DataType::Int64, true)));
            let batch = RecordBatch::try_new(Arc::new(Schema::new(all)), columns)?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::try_new(1)?))
                .set_max_row_group_row_count(Some(group))
                .build();
            let file = File::create(folder.join(format!("part-{shard:03}.parquet")))?;
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
            writer.write(&batch)?;
            writer.close()?;
        }
        Ok(())
    }
}
