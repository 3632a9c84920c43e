//! Encoded images with labels, from Parquet files.

use crate::{
    Result,
    dirt::Rows,
    sample::{Image, Sample},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Int64Type},
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};
use std::{fs::File, path::Path, sync::Arc};

/// One encoded image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// PNG or JPEG.
    #[serde(with = "serde_bytes")]
    pub image: Vec<u8>,
    /// The class.
    pub label: Option<i64>,
}

impl Sample for Picture {
    const CONTENT: &'static str = "image";
    fn fields(&self) -> Vec<FieldRef> {
        vec![
            Arc::new(Field::new("image", DataType::LargeBinary, false)),
            Arc::new(Field::new("label", DataType::Int64, true)),
        ]
    }

    fn label(&self) -> Option<i64> {
        self.label
    }

    fn set_label(&mut self, label: Option<i64>) {
        self.label = label;
    }

    fn spoil(&mut self) {
        self.image.truncate(self.image.len() / 3);
    }

    fn is_sound(&self) -> bool {
        self.decode().is_some()
    }
}

impl Image for Picture {
    const ENCODED: bool = true;

    fn pixels(&self) -> Option<Vec<f32>> {
        self.decode().map(|(pixels, _)| pixels)
    }
}

impl Picture {
    /// The pixels, channel by channel, in [0, 1], and their shape (channels, height, width).
    #[must_use]
    pub fn decode(&self) -> Option<(Vec<f32>, [usize; 3])> {
        let image = image::load_from_memory(&self.image).ok()?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        let scale = |byte: u8| f32::from(byte) / 255.0;
        if image.color().has_color() {
            let bytes = image.into_rgb8().into_raw();
            let channel =
                |channel: usize| bytes.iter().skip(channel).step_by(3).map(|&byte| scale(byte)).collect::<Vec<_>>();
            Some(((0..3).flat_map(channel).collect(), [3, height, width]))
        } else {
            Some((image.into_luma8().into_raw().into_iter().map(scale).collect(), [1, height, width]))
        }
    }
}

/// The first of `names` that is a column of the Parquet file at `path`.
///
/// # Errors
///
/// A file that cannot be read, or that has none of them.
pub fn first_column<'a>(path: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let builder = open(path)?;
    let columns: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let found = names.iter().find(|name| columns.contains(name));
    found.map(ToString::to_string).ok_or_else(|| {
        format!("`{}` has none of the columns {}; there are {}", path.display(), names.join(", "), columns.join(", "))
            .into()
    })
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file);
    builder.map_err(|error| format!("`{}` is no Parquet file: {error}", path.display()).into())
}

/// Reads the columns `image`, `label` and, where it is named, `truth` of a Parquet file; at most `limit` rows.
///
/// Without a truth column the labels are taken for true.
///
/// # Errors
///
/// A file that cannot be read, or a column that is missing or of another kind.
pub fn read(path: &Path, image: &str, label: &str, truth: Option<&str>, limit: usize) -> Result<Rows<Picture>> {
    let builder = open(path)?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let wanted: Vec<&str> = [image, label].into_iter().chain(truth).collect();
    for name in &wanted {
        if !names.iter().any(|known| known == name) {
            return Err(format!("`{}` has no column `{name}`; there are {}", path.display(), names.join(", ")).into());
        }
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.iter().copied());
    let mut rows = Rows { rows: Vec::new(), truth: Vec::new() };
    for batch in builder.with_projection(mask).with_limit(limit).build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is gone"));
        let numbers = |name: &str| -> Result<ArrayRef> {
            cast(column(name)?, &DataType::Int64)
                .map_err(|error| format!("column `{name}` holds no class numbers: {error}").into())
        };
        let images = cast(bytes_of(column(image)?), &DataType::LargeBinary)
            .map_err(|error| format!("column `{image}` holds no encoded images: {error}"))?;
        let (images, labels) = (images.as_binary::<i64>(), numbers(label)?);
        let truths = numbers(truth.unwrap_or(label))?;
        let (labels, truths) = (labels.as_primitive::<Int64Type>(), truths.as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let image = if images.is_null(row) { Vec::new() } else { images.value(row).to_vec() };
            rows.rows.push(Picture { image, label: labels.is_valid(row).then(|| labels.value(row)) });
            rows.truth.push(truths.is_valid(row).then(|| truths.value(row)));
        }
    }
    Ok(rows)
}

/// The binary column itself, or the `bytes` of the struct that some writers put images into.
fn bytes_of(column: &ArrayRef) -> &ArrayRef {
    column.as_struct_opt().and_then(|image| image.column_by_name("bytes")).unwrap_or(column)
}
