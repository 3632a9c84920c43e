//! Against the peers' own numbers: cleanvision 0.3.7 and ImageHash 4.3.2 on generated images, and on real ones where
//! `ARABLE_PEERS` names a folder of them.

use super::{Decoded, MAX_PIXELS, Measures, decode, dimensions};
use serde_json::Value;

fn measures(bytes: &[u8]) -> Measures {
    match decode(bytes, MAX_PIXELS) {
        Decoded::Whole(pixels) => Measures::of(&pixels),
        other => panic!("{other:?}"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).expect("hex")).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn generated_images_measure_what_the_peers_measure() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).expect("cases");
    for case in cases {
        let (name, expected) = (&case["name"], &case["expected"]);
        let found = measures(&bytes(case["png"].as_str().expect("a PNG")));
        let scores = [found.brightness_99, found.brightness_5, found.information, found.sharpness];
        for (at, score) in scores.into_iter().enumerate() {
            let expected = expected[at].as_f64().expect("a score");
            assert!((score - expected).abs() < 1e-9, "{name}, score {at}: {score}, {expected} expected");
        }
        let hash = u64::from_str_radix(expected[4].as_str().expect("a hash"), 16).expect("hexadecimal");
        // Of a smooth image many coefficients are zero but for rounding, and so are their bits a matter of rounding.
        let rounding = if name == "tall_soft" { 8 } else { 0 };
        assert!((found.hash ^ hash).count_ones() <= rounding, "{name}: {:016x}, {hash:016x} expected", found.hash);
    }
}

#[test]
fn a_header_is_read_without_its_pixels() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).expect("cases");
    let wide = bytes(cases[5]["png"].as_str().expect("a PNG"));
    assert_eq!(dimensions(&wide), Some((200, 90)));
    assert_eq!(dimensions(&wide[..wide.len() - 200]), Some((200, 90)));
    assert_eq!(dimensions(&wide[..20]), None);
    assert_eq!(dimensions(b"GIF89a"), None);
}

/// cleanvision's own test of brightness.
#[test]
fn plain_colours_are_as_bright_as_cleanvision_says() {
    for (colour, expected) in [
        ([0, 0, 0], 0.0),
        ([255, 255, 255], 1.0),
        ([255, 0, 0], 0.49092),
        ([0, 255, 0], 0.83126),
        ([0, 0, 255], 0.26077),
    ] {
        let mut png = std::io::Cursor::new(Vec::new());
        let plain = image::RgbImage::from_pixel(200, 200, image::Rgb(colour));
        plain.write_to(&mut png, image::ImageFormat::Png).expect("memory");
        let found = measures(png.get_ref());
        for brightness in [found.brightness_5, found.brightness_99] {
            assert!((brightness - expected).abs() < 1e-5, "{colour:?}: {brightness}");
        }
    }
}
