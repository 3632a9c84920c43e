//! Rows of numbers with a label, wrong labels planted in them, and the files that a stream reads them from.

use crate::{Result, pictures::features};
use arable_examples::images;
use arrow::{
    array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array},
    datatypes::{DataType, Field},
    record_batch::RecordBatch,
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{fs::File, path::Path, sync::Arc};

/// Rows of a row group.
const GROUP: usize = 1_000;

/// Wrong labels to plant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// The share of the rows.
    pub(crate) share: f64,
    /// Whether each class is taken for the next one, rather than for any other alike.
    pub(crate) pair: bool,
}

impl Noise {
    pub(crate) fn new(kind: &str, share: f64) -> Result<Self> {
        let pair = match kind {
            "symmetric" => false,
            "pair" => true,
            _ => return Err(format!("noise is `symmetric` or `pair`, not `{kind}`").into()),
        };
        if !(0.0..1.0).contains(&share) {
            return Err(format!("a share of wrong labels is from 0 to below 1, not {share}").into());
        }
        Ok(Self { share, pair })
    }

    pub(crate) const fn kind(self) -> &'static str {
        if self.pair { "pair" } else { "symmetric" }
    }
}

/// Rows of equal width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) width: usize,
    pub(crate) classes: usize,
    /// Row after row.
    pub(crate) features: Vec<f32>,
    /// As a training sees them.
    pub(crate) labels: Vec<i64>,
    /// As they are.
    pub(crate) truth: Vec<i64>,
}

impl Rows {
    /// Reads lines of numbers with commas between them, the label last.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let (numbers, width) = numbers(path)?;
        let mut rows = Self { width: width - 1, ..Self::default() };
        for row in numbers.chunks(width) {
            rows.features.extend(row[..width - 1].iter().map(|number| *number as f32));
            rows.labels.push(row[width - 1] as i64);
        }
        rows.classes = rows.labels.iter().max().map_or(0, |label| *label as usize + 1);
        rows.truth.clone_from(&rows.labels);
        Ok(rows)
    }

    /// Reads encoded images with their labels, which are taken for true; at most `limit`.
    pub(crate) fn images(path: &Path, limit: usize) -> Result<Self> {
        let label = images::first_column(path, ["label", "clean_label"])?;
        Self::labelled_images(path, &label, &label, limit)
    }

    /// As [`images`](Self::images), with the labels of one column and the truth of another. Grey images are their pixels,
    /// those with colours what [`features`] makes of them.
    pub(crate) fn labelled_images(path: &Path, label: &str, truth: &str, limit: usize) -> Result<Self> {
        let read = images::read(path, "image", label, Some(truth), limit)?;
        let mut rows = Self::default();
        for (picture, truth) in read.rows.iter().zip(&read.truth) {
            let (pixels, shape) = picture.decode().ok_or("an image cannot be decoded")?;
            let features = if shape[0] == 3 { features(&pixels, shape) } else { pixels };
            rows.width = features.len();
            rows.features.extend(features);
            rows.labels.push(picture.label.ok_or("an image has no label")?);
            rows.truth.push(truth.ok_or("an image has no true label")?);
        }
        rows.classes = rows.truth.iter().max().map_or(0, |label| *label as usize + 1);
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.width..(row + 1) * self.width]
    }

    /// The rows of `order`, in that order.
    pub(crate) fn pick(&self, order: &[usize]) -> Self {
        Self {
            width: self.width,
            classes: self.classes,
            features: order.iter().flat_map(|row| self.row(*row)).copied().collect(),
            labels: order.iter().map(|row| self.labels[*row]).collect(),
            truth: order.iter().map(|row| self.truth[*row]).collect(),
        }
    }

    /// `most` rows at random, or all of them, shuffled.
    pub(crate) fn sample(&self, most: usize, random: &mut ChaCha8Rng) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(random);
        order.truncate(most);
        self.pick(&order)
    }

    /// Makes exactly the share of `noise` of the labels wrong.
    pub(crate) fn plant(&mut self, noise: Noise, random: &mut ChaCha8Rng) {
        let classes = self.classes as i64;
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(random);
        order.truncate((self.len() as f64 * noise.share).round() as usize);
        for row in order {
            let step = if noise.pair { 1 } else { random.random_range(1..classes) };
            self.labels[row] = (self.truth[row] + step) % classes;
        }
    }

    /// Writes one Parquet file of `features` and `label` into `folder`, in order.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let item = Arc::new(Field::new("element", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(self.features.clone()));
        let features = FixedSizeListArray::try_new(item, self.width as i32, values, None)?;
        let columns: [(&str, ArrayRef); 2] =
            [("features", Arc::new(features)), ("label", Arc::new(Int64Array::from(self.labels.clone())))];
        let batch = RecordBatch::try_from_iter(columns)?;
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
        let file = File::create(folder.join("rows.parquet"))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    }
}

/// The numbers of a file of lines of equally many, and how many those are.
pub(crate) fn numbers(path: &Path) -> Result<(Vec<f64>, usize)> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let mut numbers = Vec::new();
    let mut width = 0;
    for line in text.lines() {
        let before = numbers.len();
        for word in line.split(',') {
            numbers.push(word.trim().parse::<f64>()?);
        }
        let found = numbers.len() - before;
        if width != 0 && found != width {
            return Err(format!("`{}`: a line has {found} numbers, the first {width}", path.display()).into());
        }
        width = found;
    }
    if width < 2 {
        return Err(format!("`{}` has no rows of features and a label", path.display()).into());
    }
    Ok((numbers, width))
}

/// Randomness for one purpose of one seed.
pub(crate) fn random(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(purpose);
    random
}
