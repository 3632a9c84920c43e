//! `decodable`: an image, as the bytes of a PNG or a JPEG, that decodes to its end and is no bomb.
//!
//! Stands on a binary column, or on a struct with a binary field `bytes`, as Hugging Face datasets hold images. What
//! decodes is thrown away: this file knows nothing of what pixels show.

use super::{
    operator::{Flags, Operator, Rows},
    spec::{Built, Column, Settings},
};
use crate::{Error, Place, Result};
use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use image::{ImageDecoder, ImageFormat, ImageReader, Limits, guess_format};
use serde::Deserialize;
use std::{io::Cursor, panic::catch_unwind};

pub(super) const NAME: &str = "decodable";

/// The field of a struct that holds the image.
const FIELD: &str = "bytes";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "default_max_pixels")]
    max_pixels: u64,
}

/// About what a full-frame camera takes, and more than a scan of a page.
const fn default_max_pixels() -> u64 {
    100_000_000
}

struct Decodable {
    columns: Vec<Column>,
    max_pixels: u64,
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { max_pixels } = settings.read()?;
    if max_pixels == 0 {
        return Err("`max_pixels` = 0 leaves no image; give the most pixels that an image may have".to_owned());
    }
    let columns = settings.columns()?;
    for Column { name, data_type, .. } in &columns {
        let holds_images = match data_type {
            DataType::Struct(fields) => fields.find(FIELD).is_some_and(|(_, field)| is_binary(field.data_type())),
            other => is_binary(other),
        };
        if !holds_images {
            return Err(format!(
                "column `{name}` holds {data_type}; it judges images as binary, or as a struct with a binary `{FIELD}`"
            ));
        }
    }
    Ok(Built::Pure(Box::new(Decodable { columns, max_pixels })))
}

const fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

impl Operator for Decodable {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("columns = {columns:?}, max_pixels = {}", self.max_pixels)
    }

    fn reasons(&self) -> Vec<String> {
        self.columns.iter().map(|column| format!("undecodable:{}", column.name)).collect()
    }

    fn judge(&self, rows: &Rows<'_>, flags: &mut Flags) -> Result<()> {
        for (reason, column) in self.columns.iter().enumerate() {
            let whole = rows.data().column(column.index);
            let images = match whole.data_type() {
                DataType::Struct(_) => whole.as_struct().column_by_name(FIELD),
                _ => Some(whole),
            };
            let bytes = images.and_then(|images| bytes_of(images.as_ref())).ok_or_else(|| {
                let what = format!("`{NAME}` judges binary columns, found {}", whole.data_type());
                Error::data(Place::default().column(&column.name), what)
            })?;
            for row in rows.iter() {
                match bytes(row).filter(|_| whole.is_valid(row)).map(|image| judge_image(image, self.max_pixels)) {
                    Some(Judgement::Decodes) => {}
                    Some(Judgement::TooLarge(pixels)) => {
                        flags.measured(row, reason, pixels as f64, Some(self.max_pixels as f64));
                    }
                    None | Some(Judgement::Broken) => flags.add(row, reason),
                }
            }
        }
        Ok(())
    }
}

type Bytes<'a> = Box<dyn Fn(usize) -> Option<&'a [u8]> + 'a>;

/// The values of a binary column by row, `None` for null.
fn bytes_of(array: &dyn Array) -> Option<Bytes<'_>> {
    macro_rules! values {
        ($array:expr) => {{
            let array = $array;
            Box::new(move |row| array.is_valid(row).then(|| array.value(row)))
        }};
    }
    Some(match array.data_type() {
        DataType::Binary => values!(array.as_binary::<i32>()),
        DataType::LargeBinary => values!(array.as_binary::<i64>()),
        DataType::BinaryView => values!(array.as_binary_view()),
        _ => return None,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Decodes,
    /// No PNG or JPEG, or damaged.
    Broken,
    /// The header states so many pixels; nothing was decoded.
    TooLarge(u64),
}

fn judge_image(bytes: &[u8], max_pixels: u64) -> Judgement {
    // A decoder is third-party code on hostile input: its panic is a verdict on the image, not on the run.
    catch_unwind(|| decode(bytes, max_pixels)).ok().flatten().unwrap_or(Judgement::Broken)
}

/// Decodes one image; `None` where it cannot be.
fn decode(bytes: &[u8], max_pixels: u64) -> Option<Judgement> {
    /// What a pixel takes at most: four channels of 16 bits.
    const PIXEL: u64 = 8;
    /// What a decoder may take beside the pixels: rows, tables, profiles.
    const ALLOWANCE: u64 = 16 << 20;
    /// DEFLATE packs at most 1032 to 1 (258 bytes in 2 bits) and a pixel takes a bit at least. JPEG packs less: an
    /// 8 × 8 block takes a bit at least.
    const MOST_PIXELS_PER_BYTE: u64 = 1032 * 8;

    let format = guess_format(bytes).ok()?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return None;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels.saturating_mul(PIXEL).saturating_add(ALLOWANCE));
    reader.limits(limits);
    let decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > max_pixels {
        return Some(Judgement::TooLarge(pixels));
    }
    // What cannot be whole is not worth the memory that its header asks for.
    if pixels / MOST_PIXELS_PER_BYTE > bytes.len() as u64 || format == ImageFormat::Jpeg && !has_jpeg_end(bytes) {
        return None;
    }
    let mut buffer = vec![0; usize::try_from(decoder.total_bytes()).ok()?];
    decoder.read_image(&mut buffer).ok()?;
    Some(Judgement::Decodes)
}

/// Whether a JPEG's segments lead to its end marker.
///
/// The decoder fills what a truncated file lacks with grey and calls it an image; a training would see it. So the
/// segments are walked here: from marker to marker by their lengths, and through entropy-coded data to the next marker
/// (ITU-T T.81, annex B.1.1).
fn has_jpeg_end(bytes: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::{Judgement, default_max_pixels, has_jpeg_end, judge_image};
    use crate::clean::{Cleaner, Memory, spec::specs};
    use arrow::{
        array::{ArrayRef, BinaryArray, BinaryViewArray, LargeBinaryArray, RecordBatch, StringArray, StructArray},
        buffer::NullBuffer,
        datatypes::{DataType, Field},
    };
    use image::{DynamicImage, ImageFormat, RgbImage};
    use proptest::prelude::*;
    use std::{io::Cursor, sync::Arc};

    fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let pixel = |x: u32, y: u32| image::Rgb([(x * 7) as u8, (y * 13) as u8, (x * y) as u8]);
        let image = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, pixel));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("an image");
        bytes.into_inner()
    }

    const FORMATS: [ImageFormat; 2] = [ImageFormat::Png, ImageFormat::Jpeg];

    fn judged(bytes: &[u8]) -> Judgement {
        judge_image(bytes, default_max_pixels())
    }

    #[test]
    fn a_truncated_image_is_broken_wherever_it_is_cut() {
        for format in FORMATS {
            let image = encoded(format, 24, 20);
            assert_eq!(judged(&image), Judgement::Decodes, "{format:?}");
            // A PNG's pixels end before its last chunk, which is 12 bytes long and says no more than that.
            let spare = if format == ImageFormat::Png { 12 } else { 0 };
            for length in 0..image.len() - spare {
                assert_eq!(judged(&image[..length]), Judgement::Broken, "{format:?} cut to {length}");
            }
        }
    }

    #[test]
    fn a_bomb_is_judged_by_its_header() {
        let png = encoded(ImageFormat::Png, 10, 10);
        assert_eq!(judge_image(&png, 100), Judgement::Decodes);
        assert_eq!(judge_image(&png, 99), Judgement::TooLarge(100));
        assert_eq!(judge_image(&encoded(ImageFormat::Jpeg, 10, 10), 99), Judgement::TooLarge(100));
        let mut bomb = encoded(ImageFormat::Jpeg, 10, 10);
        let frame = bomb.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame header");
        bomb[frame + 5..frame + 9].fill(0xff);
        assert_eq!(judged(&bomb), Judgement::TooLarge(65_535 * 65_535));
        // Within the limit, and yet more than so few bytes can hold.
        bomb[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
        assert_eq!(judged(&bomb), Judgement::Broken);
    }

    #[test]
    fn a_jpeg_ends_at_its_marker_and_not_at_one_inside_a_segment() {
        assert!(has_jpeg_end(&[0xff, 0xd8, 0xff, 0xfe, 0, 4, 1, 2, 0xff, 0xff, 0xd9]));
        assert!(!has_jpeg_end(&[0xff, 0xd8, 0xff, 0xfe, 0, 4, 0xff, 0xd9]), "a comment holds the end");
        assert!(!has_jpeg_end(&[0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0x00, 0xd9]), "a stuffed byte");
        assert!(!has_jpeg_end(&[0xff, 0xd8, 0xff, 0xfe, 0, 0]), "a length of nothing");
    }

    #[test]
    fn nulls_and_other_bytes_are_undecodable_in_every_layout() {
        let (png, jpeg) = (encoded(ImageFormat::Png, 3, 3), encoded(ImageFormat::Jpeg, 3, 3));
        let images = [Some(png.as_slice()), None, Some(b"GIF89a"), Some(b""), Some(&jpeg), Some(&png)];
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(images));
        let paths: ArrayRef = Arc::new(StringArray::from(vec!["x"; images.len()]));
        let fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
        let present = NullBuffer::from(vec![true, true, true, true, true, false]);
        let structs = StructArray::new(fields.into(), vec![Arc::clone(&bytes), paths], Some(present));
        let columns: [(ArrayRef, Vec<u32>); 4] = [
            (bytes, vec![0, 4, 5]),
            (Arc::new(LargeBinaryArray::from_iter(images)), vec![0, 4, 5]),
            (Arc::new(BinaryViewArray::from_iter(images)), vec![0, 4, 5]),
            (Arc::new(structs), vec![0, 4]),
        ];
        for (column, expected) in columns {
            let data = RecordBatch::try_from_iter_with_nullable([("image", column, true)]).expect("a batch");
            let recipe = "[[clean]]\nop = 'decodable'\ncolumn = 'image'\nmax_pixels = 9";
            let cleaner = Cleaner::new(&specs(recipe), &data.schema()).expect("a recipe");
            let settled = cleaner.settle(&cleaner.judge(&data, &[]).expect("a judgement"), &mut Memory::default());
            assert_eq!(settled.keep.kept().collect::<Vec<_>>(), expected);
            assert_eq!(settled.dropped, [("undecodable:image".to_owned(), 6 - expected.len() as u64)]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn damage_never_gets_out_of_the_operator(
            format in prop::sample::select(FORMATS.to_vec()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut image = encoded(format, 16, 16);
            for (at, byte) in damage {
                let at = at.index(image.len());
                image[at] = byte;
            }
            // Any verdict will do, at a cost that the limit bounds.
            judge_image(&image, 1 << 20);
        }
    }
}
