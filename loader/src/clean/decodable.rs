//! `decodable`: an image, as the bytes of a PNG or a JPEG, that decodes to its end and is no bomb.
//!
//! What decodes is thrown away: this file knows nothing of what pixels show.

use super::{
    Findings, Operator, Rows, Rule,
    pixels::{Decoded, Images, MAX_PIXELS, check_column, decode},
    spec::{Built, Column, Settings},
};
use crate::Result;
use serde::Deserialize;

pub(super) const NAME: &str = "decodable";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "default_max_pixels")]
    max_pixels: u64,
}

const fn default_max_pixels() -> u64 {
    MAX_PIXELS
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
    columns.iter().try_for_each(check_column)?;
    Ok(Built::Pure(Box::new(Decodable { columns, max_pixels })))
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

    fn rules(&self) -> Vec<Rule> {
        self.columns.iter().map(|column| Rule::at_most(format!("undecodable:{}", column.name))).collect()
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        for (reason, column) in self.columns.iter().enumerate() {
            let images = Images::new(NAME, rows.data(), column)?;
            for row in rows.iter() {
                match images.get(row).map(|image| decode(image, self.max_pixels)) {
                    Some(Decoded::Whole(_)) => {}
                    Some(Decoded::TooLarge(pixels)) => {
                        findings.measured(row, reason, pixels as f64, Some(self.max_pixels as f64));
                    }
                    None | Some(Decoded::Broken) => findings.add(row, reason),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::clean::{
        Cleaner,
        pixels::{Decoded, MAX_PIXELS, decode, has_jpeg_end},
        spec::specs,
    };
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

    fn judged(bytes: &[u8]) -> Decoded {
        decode(bytes, MAX_PIXELS)
    }

    #[test]
    fn a_truncated_image_is_broken_wherever_it_is_cut() {
        for format in FORMATS {
            let image = encoded(format, 24, 20);
            assert!(matches!(judged(&image), Decoded::Whole(_)), "{format:?}");
            // A PNG's pixels end before its last chunk, which is 12 bytes long and says no more than that.
            let spare = if format == ImageFormat::Png { 12 } else { 0 };
            for length in 0..image.len() - spare {
                assert_eq!(judged(&image[..length]), Decoded::Broken, "{format:?} cut to {length}");
            }
        }
    }

    #[test]
    fn a_bomb_is_judged_by_its_header() {
        let png = encoded(ImageFormat::Png, 10, 10);
        assert!(matches!(decode(&png, 100), Decoded::Whole(_)));
        assert_eq!(decode(&png, 99), Decoded::TooLarge(100));
        assert_eq!(decode(&encoded(ImageFormat::Jpeg, 10, 10), 99), Decoded::TooLarge(100));
        let mut bomb = encoded(ImageFormat::Jpeg, 10, 10);
        let frame = bomb.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame header");
        bomb[frame + 5..frame + 9].fill(0xff);
        assert_eq!(judged(&bomb), Decoded::TooLarge(65_535 * 65_535));
        // Within the limit, and yet more than so few bytes can hold.
        bomb[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
        assert_eq!(judged(&bomb), Decoded::Broken);
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
            let settled = cleaner.settle(0, &cleaner.judge(&data, &[]).expect("a judgement"), &mut cleaner.memory());
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
            decode(&image, 1 << 20);
        }
    }
}
