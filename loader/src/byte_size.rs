//! A number of bytes as people write it: `"1GiB"`, `"512 MiB"`, `"4MB"`, `1048576`. Exact: nothing is rounded.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Unexpected, Visitor},
};
use std::{fmt, str::FromStr};

/// A number of bytes, at most 2⁶³ − 1.
///
/// Written as a whole number of bytes, or as a number with a unit: `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) or
/// `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), upper or lower case, with or without a space. A fraction is allowed
/// where it gives whole bytes (`"1.5GiB"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Units and their bytes; a size is shown in the first one that divides it.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

impl ByteSize {
    /// `count` × 2²⁰ bytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// `count` × 2³⁰ bytes.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) =
            UNITS.into_iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim()).map(Self)
    }
}

fn parse(text: &str) -> Result<u64, String> {
    // Nobody's number of bytes is longer, and a fraction of more digits would not fit the arithmetic below.
    const LONGEST: usize = 32;
    let wrong = || {
        let shown: String = text.chars().take(LONGEST).collect();
        format!(
            "\"{}\" is no number of bytes; write it like \"512MiB\", \"1GiB\", \"4MB\" or 1048576",
            shown.escape_debug()
        )
    };
    if text.len() > LONGEST {
        return Err(wrong());
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim_start();
    let unit = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, bytes)) => *bytes,
        None if unit.is_empty() => 1,
        None => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    // Nine digits are a billionth: below a byte for every unit but the largest, whose fractions nobody writes so long.
    if fraction.len() > 9 {
        return Err(wrong());
    }
    let scale = 10_u128.pow(fraction.len() as u32);
    let parts: u64 = fraction.parse().map_err(|_| wrong())?;
    let bytes = (u128::from(whole) * scale + u128::from(parts)) * u128::from(unit);
    if !bytes.is_multiple_of(scale) {
        return Err(format!("\"{text}\" is no whole number of bytes"));
    }
    match u64::try_from(bytes / scale) {
        Ok(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        _ => Err(format!("\"{text}\" is more than 2^63 - 1 bytes")),
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes like \"1GiB\" or 1048576")
            }

            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))?;
                Ok(ByteSize(bytes))
            }

            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1GiB", 1 << 30),
            ("512 MiB", 512 << 20),
            ("4MB", 4_000_000),
            ("4 mb", 4_000_000),
            ("1048576", 1 << 20),
            ("1.5GiB", 3 << 29),
            ("0.001kB", 1),
            ("7 B", 7),
            (" 2TiB ", 2 << 40),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for text in
            ["", "GiB", "1G", "1 GiBB", "-1MB", "1.", ".5GiB", "1..5MB", "1e9", "1_000", "ten", "1.0000000001GiB"]
        {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.contains("write it like"), "{text}: {error}");
        }
        assert_eq!("1.5B".parse::<ByteSize>(), Err("\"1.5B\" is no whole number of bytes".to_owned()));
        assert_eq!(
            "9223372036854775808".parse::<ByteSize>().unwrap_err(),
            "\"9223372036854775808\" is more than 2^63 - 1 bytes"
        );
        assert_eq!(
            "18446744073709551615TiB".parse::<ByteSize>().unwrap_err(),
            "\"18446744073709551615TiB\" is more than 2^63 - 1 bytes"
        );
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_is_exact() {
        let shown: Vec<String> =
            [0, 1, 1000, 1024, 1025, 1 << 30, 4_000_000, 3 << 29].map(|b| ByteSize(b).to_string()).into();
        assert_eq!(shown, ["0B", "1B", "1kB", "1KiB", "1025B", "1GiB", "4MB", "1536MiB"]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(bytes in 0..=i64::MAX as u64, zeros in 0_u32..40) {
            let size = ByteSize(bytes >> zeros << zeros);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
