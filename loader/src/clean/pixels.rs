//! Encoded images: where a column holds them, what their headers claim, and what is measured of their pixels.
//!
//! PNG and JPEG, in a binary column or in a struct with a binary field `bytes`, as Hugging Face datasets hold them. What
//! a header claims is checked before memory is taken for it.

mod measure;
mod perceptual;
mod resize;

use measure::{brightness_percentile, information, sharpness};
use perceptual::perceptual_hash;

use super::{Analysis, Rows, spec::Column};
use crate::{Error, Place, Result};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, guess_format};
use std::{io::Cursor, panic::catch_unwind};

/// The field of a struct that holds the image.
const FIELD: &str = "bytes";

/// About what a full-frame camera takes, and more than a scan of a page.
pub(super) const MAX_PIXELS: u64 = 100_000_000;

/// An image of 8 bits a channel, row by row; transparency is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    /// At least 1.
    pub(super) width: usize,
    /// At least 1.
    pub(super) height: usize,
    /// 1 for grey, 3 for red, green, blue.
    channels: usize,
    data: Vec<u8>,
}

impl Pixels {
    /// Luma as Pillow's conversion to mode `L` (ITU-R 601-2).
    fn grey(&self) -> Self {
        let luma = |pixel: &[u8]| match *pixel {
            [red, green, blue] => {
                ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
            }
            _ => pixel[0],
        };
        Self { channels: 1, data: self.data.chunks_exact(self.channels).map(luma).collect(), ..*self }
    }

    /// Of each pixel 241 R² + 691 G² + 68 B².
    fn squares(&self) -> impl Iterator<Item = u32> + '_ {
        let square = |value: u8| u32::from(value) * u32::from(value);
        self.data.chunks_exact(self.channels).map(move |pixel| match *pixel {
            [red, green, blue] => 241 * square(red) + 691 * square(green) + 68 * square(blue),
            _ => 1000 * square(pixel[0]),
        })
    }
}

/// What is wrong with a column that should hold images, if anything.
pub(super) fn check_column(Column { name, data_type, .. }: &Column) -> Result<(), String> {
    let holds_images = match data_type {
        DataType::Struct(fields) => fields.find(FIELD).is_some_and(|(_, field)| is_binary(field.data_type())),
        other => is_binary(other),
    };
    if holds_images {
        return Ok(());
    }
    Err(format!(
        "column `{name}` holds {data_type}; it judges images as binary, or as a struct with a binary `{FIELD}`"
    ))
}

const fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

type Bytes<'a> = Box<dyn Fn(usize) -> Option<&'a [u8]> + 'a>;

/// The encoded images of a column.
pub(super) struct Images<'a> {
    whole: &'a ArrayRef,
    bytes: Bytes<'a>,
}

impl<'a> Images<'a> {
    /// Those of `column`, for the operator `operator`.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the column holds no binary.
    pub(super) fn new(operator: &str, data: &'a RecordBatch, column: &Column) -> Result<Self> {
        Self::of_column(operator, data, column.index)
    }

    fn of_column(operator: &str, data: &'a RecordBatch, column: usize) -> Result<Self> {
        let place = || Place::default().column(data.schema_ref().field(column).name());
        let whole = data.column(column);
        let images = match whole.data_type() {
            DataType::Struct(_) => whole.as_struct().column_by_name(FIELD),
            _ => Some(whole),
        };
        let bytes = images.and_then(|images| bytes_of(images.as_ref())).ok_or_else(|| {
            let what = format!("`{operator}` judges binary columns, found {}", whole.data_type());
            Error::data(place(), what)
        })?;
        Ok(Self { whole, bytes })
    }

    /// The encoded image of a row; `None` for null.
    pub(super) fn get(&self, row: usize) -> Option<&'a [u8]> {
        (self.bytes)(row).filter(|_| self.whole.is_valid(row))
    }
}

/// The values of a binary column by row, `None` for null.
fn bytes_of(array: &dyn Array) -> Option<Bytes<'_>> {
    macro_rules! values {
        ($values:expr) => {{
            let values = $values;
            Box::new(move |row| values.is_valid(row).then(|| values.value(row)))
        }};
    }
    Some(match array.data_type() {
        DataType::Binary => values!(array.as_binary::<i32>()),
        DataType::LargeBinary => values!(array.as_binary::<i64>()),
        DataType::BinaryView => values!(array.as_binary_view()),
        _ => return None,
    })
}

/// What came of decoding an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Whole(Pixels),
    /// No PNG or JPEG, or damaged.
    Broken,
    /// The header states so many pixels; nothing was decoded.
    TooLarge(u64),
}

/// Width and height as the header states them, both at least 1; `None` where there is no header of a PNG or a JPEG.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    // A decoder is third-party code on hostile input: its panic is a verdict on the image, not on the run.
    let read = || Some(decoder(bytes, 0)?.1.dimensions()).filter(|&(width, height)| width > 0 && height > 0);
    catch_unwind(read).ok().flatten()
}

/// Decodes one image of at most `max_pixels` pixels.
pub(super) fn decode(bytes: &[u8], max_pixels: u64) -> Decoded {
    catch_unwind(|| try_decode(bytes, max_pixels)).ok().flatten().unwrap_or(Decoded::Broken)
}

/// A decoder that has read the header, and takes no more memory than an image of `max_pixels` pixels needs.
fn decoder(bytes: &[u8], max_pixels: u64) -> Option<(ImageFormat, impl ImageDecoder + '_)> {
    /// What a pixel takes at most: four channels of 16 bits.
    const PIXEL: u64 = 8;
    /// What a decoder may take beside the pixels: rows, tables, profiles.
    const ALLOWANCE: u64 = 16 << 20;
    let format = guess_format(bytes).ok()?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return None;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(PIXEL).saturating_add(ALLOWANCE));
    reader.limits(limits);
    Some((format, reader.into_decoder().ok()?))
}

/// `None` where the image cannot be decoded.
fn try_decode(bytes: &[u8], max_pixels: u64) -> Option<Decoded> {
    /// DEFLATE packs at most 1032 to 1 (258 bytes in 2 bits) and a pixel takes a bit at least. JPEG packs less: an
    /// 8 × 8 block takes a bit at least.
    const MOST_PIXELS_PER_BYTE: u64 = 1032 * 8;

    let (format, decoder) = decoder(bytes, max_pixels)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Some(Decoded::TooLarge(pixels));
    }
    // What cannot be whole is not worth the memory that its header asks for.
    if pixels / MOST_PIXELS_PER_BYTE > bytes.len() as u64 || format == ImageFormat::Jpeg && !has_jpeg_end(bytes) {
        return None;
    }
    let image = DynamicImage::from_decoder(decoder).ok()?;
    let (channels, data) = match image {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_) => (1, image.into_luma8().into_raw()),
        image => (3, image.into_rgb8().into_raw()),
    };
    let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
    (width > 0 && height > 0).then_some(Decoded::Whole(Pixels { width, height, channels, data }))
}

/// Whether a JPEG's segments lead to its end marker.
///
/// The decoder fills what a truncated file lacks with grey and calls it an image; a training would see it. So the
/// segments are walked here: from marker to marker by their lengths, and through entropy-coded data to the next marker
/// (ITU-T T.81, annex B.1.1).
pub(super) fn has_jpeg_end(bytes: &[u8]) -> bool {
    const START: u8 = 0xd8;
    const END: u8 = 0xd9;
    let mut rest = bytes;
    loop {
        // Between segments, and in entropy-coded data, anything but 0xFF and a code is passed over.
        let Some(at) = rest.iter().position(|&byte| byte == 0xff) else { return false };
        let Some(&code) = rest.get(at + 1) else { return false };
        match code {
            END => return true,
            // A fill byte: the next 0xFF may begin the marker.
            0xff => rest = &rest[at + 1..],
            // A stuffed 0xFF, TEM, a restart marker, the start of the image: no length follows.
            0x00 | 0x01 | 0xd0..=START => rest = &rest[at + 2..],
            _ => {
                let length = match rest.get(at + 2..at + 4) {
                    Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
                    _ => return false,
                };
                let Some(behind) = rest.get(at + 2 + length.max(2)..) else { return false };
                rest = behind;
            }
        }
    }
}

/// What the operators on images want to know of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measures {
    /// The brightness below which 99 and 5 per cent of the pixels lie.
    pub(super) brightness_99: f64,
    pub(super) brightness_5: f64,
    pub(super) information: f64,
    pub(super) sharpness: f64,
    pub(super) hash: u64,
}

impl Measures {
    pub(super) fn of(pixels: &Pixels) -> Self {
        Self {
            brightness_99: brightness_percentile(pixels, 99.0),
            brightness_5: brightness_percentile(pixels, 5.0),
            information: information(pixels),
            sharpness: sharpness(pixels),
            hash: perceptual_hash(pixels),
        }
    }
}

/// The measures of a column's images: one decoding for all operators behind one another. `None` for what is null,
/// damaged or too large, which `decodable` speaks of.
#[derive(Debug)]
pub(super) struct Measured(Vec<Option<Measures>>);

impl Measured {
    /// Those of the image of `row`.
    pub(super) fn get(&self, row: usize) -> Option<&Measures> {
        self.0.get(row)?.as_ref()
    }
}

impl Analysis for Measured {
    fn of(rows: &Rows<'_>, column: usize) -> Result<Self> {
        let images = Images::of_column("an operator on images", rows.data(), column)?;
        let mut measured = vec![None; rows.len()];
        for row in rows.iter() {
            if let Some(Decoded::Whole(pixels)) = images.get(row).map(|bytes| decode(bytes, MAX_PIXELS)) {
                measured[row] = Some(Measures::of(&pixels));
            }
        }
        Ok(Self(measured))
    }
}

#[cfg(test)]
mod tests;
