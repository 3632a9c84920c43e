//! Which texts are numbers, booleans, dates or times, and how a text that is nearly one is written properly.
//!
//! It reads one text at a time and knows no column.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

/// The longest text that is read as a value, in bytes.
const LONGEST: usize = 128;

/// What a text can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Type {
    Boolean,
    Integer,
    Float,
    Date,
    Datetime,
    Text,
}

impl Type {
    /// Those that can be found out by looking, the narrowest first.
    pub(super) const TELLING: [Self; 5] = [Self::Boolean, Self::Integer, Self::Float, Self::Date, Self::Datetime];
}

/// What a text is as a value of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It is one, written properly.
    Proper,
    /// It is one, and this is how it is written properly.
    Nearly(String),
    /// It is none.
    No,
}

/// Reads `text` as a value of type `of`. Dates and times are written properly in the first of `formats` (as chrono's
/// `strftime`), or in ISO 8601 where there is none; the other formats are read too.
pub(super) fn read(text: &str, of: Type, formats: &[String]) -> Read {
    let trimmed = text.trim();
    if trimmed.len() > LONGEST && of != Type::Text {
        return Read::No;
    }
    let proper = match of {
        Type::Text => return Read::Proper,
        Type::Boolean => boolean(trimmed).map(|value| value.to_string()),
        Type::Integer => integer(trimmed),
        Type::Float => float(trimmed),
        Type::Date => date(trimmed, formats),
        Type::Datetime => datetime(trimmed, formats),
    };
    match proper {
        Some(proper) if proper == text => Read::Proper,
        // Formats may leave digits open: `1/2/2020` is as good as `01/02/2020`.
        Some(_) if !formats.is_empty() && fits_format(text, of, &formats[0]) => Read::Proper,
        Some(proper) => Read::Nearly(proper),
        None => Read::No,
    }
}

/// The number that `text` is, if it is nothing else; finite.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plausible = text.len() <= LONGEST
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| plausible && number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Without commas between thousands, where they stand right.
fn without_separators(text: &str) -> Option<String> {
    if !text.contains(',') {
        return Some(text.to_owned());
    }
    let (whole, rest) = text.split_at(text.find(['.', 'e', 'E']).unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with(['-', '+'])));
    let mut groups = digits.split(',');
    let first = groups.next()?;
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let right = (1..=3).contains(&first.len())
        && is_digits(first)
        && groups.all(|group| group.len() == 3 && is_digits(group))
        && !rest.contains(',');
    right.then(|| format!("{sign}{}{rest}", digits.replace(',', "")))
}

fn integer(text: &str) -> Option<String> {
    let plain = without_separators(text)?;
    let (sign, digits) = plain.split_at(usize::from(plain.starts_with(['-', '+'])));
    let whole = match digits.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => digits,
    };
    let right = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| format!("{}{whole}", sign.trim_start_matches('+')))
}

fn float(text: &str) -> Option<String> {
    let plain = without_separators(text)?;
    number(&plain)?;
    Some(plain.strip_prefix('+').unwrap_or(&plain).to_owned())
}

/// Dates that are read whatever the formats: those that say which number is the month.
const DATES: [&str; 7] = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y"];

const DATETIMES: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// Whether a text may hold a year in full: chrono also takes `1/2/15` for the fifteenth of February in the year 1.
fn has_full_year(text: &str) -> bool {
    text.as_bytes().split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 4)
}

fn date(text: &str, formats: &[String]) -> Option<String> {
    let parse = |format: &str| NaiveDate::parse_from_str(text, format).ok();
    let usual = || DATES.into_iter().filter(|_| has_full_year(text)).find_map(parse);
    let value = formats.iter().map(String::as_str).find_map(parse).or_else(usual)?;
    written(&value.format(formats.first().map_or(DATES[0], String::as_str)))
}

fn datetime(text: &str, formats: &[String]) -> Option<String> {
    if formats.is_empty() && DateTime::parse_from_rfc3339(text).is_ok() {
        return Some(text.to_owned());
    }
    let parse = |format: &str| NaiveDateTime::parse_from_str(text, format).ok();
    let usual = || DATETIMES.into_iter().filter(|_| has_full_year(text)).find_map(parse);
    let value = formats.iter().map(String::as_str).find_map(parse).or_else(usual)?;
    written(&value.format(formats.first().map_or(DATETIMES[0], String::as_str)))
}

fn fits_format(text: &str, of: Type, format: &str) -> bool {
    match of {
        Type::Date => NaiveDate::parse_from_str(text, format).is_ok(),
        Type::Datetime => NaiveDateTime::parse_from_str(text, format).is_ok(),
        _ => false,
    }
}

/// As how many different dates `text` can be read that is three numbers between slashes, hyphens or dots: day, month or
/// year first, as far as the numbers allow it; a year has four digits, or its last one or two. 0 where it is none.
pub(super) fn dates(text: &str) -> usize {
    let text = text.trim();
    let Some(separator) = text.chars().find(|character| matches!(character, '/' | '-' | '.')) else { return 0 };
    let fields: Vec<&str> = text.split(separator).collect();
    let [first, second, third] = fields[..] else { return 0 };
    let digits = |field: &str| field.bytes().all(|byte| byte.is_ascii_digit()).then_some(field.len());
    let year = |field: &str| {
        let number = field.parse::<i32>().ok()?;
        match digits(field)? {
            1 | 2 => Some(2000 + number),
            4 => Some(number),
            _ => None,
        }
    };
    let part = |field: &str| field.parse::<u32>().ok().filter(|_| digits(field).is_some_and(|digits| digits <= 2));
    let date = |y: &str, m: &str, d: &str| NaiveDate::from_ymd_opt(year(y)?, part(m)?, part(d)?);
    let readings = [date(third, second, first), date(third, first, second), date(first, second, third)];
    let readings: std::collections::BTreeSet<NaiveDate> = readings.into_iter().flatten().collect();
    readings.len()
}

/// A format that asks for what a value has not is no format for it.
fn written(value: &impl std::fmt::Display) -> Option<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    write!(text, "{value}").ok()?;
    Some(text)
}

/// The shape of a text: its runs of letters as `a`, of digits as `9`, of white space as one space, other characters as
/// they are; the first 64 characters of that.
pub(super) fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut last = None;
    let mut length = 0;
    for character in text.chars() {
        let class = match character {
            _ if character.is_alphabetic() => 'a',
            _ if character.is_numeric() => '9',
            _ if character.is_whitespace() => ' ',
            other => other,
        };
        if last != Some(class) {
            shape.push(class);
            length += 1;
        }
        if length == 64 {
            break;
        }
        last = Some(class);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::{Read, Type, dates, number, read, shape};
    use proptest::prelude::*;

    fn nearly(text: &str) -> Read {
        Read::Nearly(text.to_owned())
    }

    #[test]
    fn values_are_read_and_written_properly() {
        for (text, of, expected) in [
            ("12", Type::Integer, Read::Proper),
            ("-007", Type::Integer, Read::Proper),
            (" 12 ", Type::Integer, nearly("12")),
            ("+1,234,567", Type::Integer, nearly("1234567")),
            ("12.0", Type::Integer, nearly("12")),
            ("12.5", Type::Integer, Read::No),
            ("1,23", Type::Integer, Read::No),
            ("", Type::Integer, Read::No),
            ("12.0 oz", Type::Float, Read::No),
            ("1,234.5", Type::Float, nearly("1234.5")),
            ("1e3", Type::Float, Read::Proper),
            ("inf", Type::Float, Read::No),
            ("NaN", Type::Float, Read::No),
            ("1e999", Type::Float, Read::No),
            ("true", Type::Boolean, Read::Proper),
            ("YES", Type::Boolean, nearly("true")),
            ("maybe", Type::Boolean, Read::No),
            ("2024-02-29", Type::Date, Read::Proper),
            ("2023-02-29", Type::Date, Read::No),
            ("29 Feb 2024", Type::Date, nearly("2024-02-29")),
            ("02/03/2024", Type::Date, Read::No),
            ("1/2/15", Type::Date, Read::No),
            ("29 Feb 24", Type::Date, Read::No),
            ("2024/2/9", Type::Date, nearly("2024-02-09")),
            ("20240229", Type::Date, nearly("2024-02-29")),
            ("1-1-15 12:00", Type::Datetime, Read::No),
            ("2024-02-29T12:00:00Z", Type::Datetime, Read::Proper),
            ("2024-02-29 12:00", Type::Datetime, nearly("2024-02-29T12:00:00")),
            ("anything", Type::Text, Read::Proper),
        ] {
            assert_eq!(read(text, of, &[]), expected, "{text:?} as {of:?}");
        }
        let formats = ["%d/%m/%Y".to_owned()];
        assert_eq!(read("02/03/2024", Type::Date, &formats), Read::Proper);
        assert_eq!(read("2/3/2024", Type::Date, &formats), Read::Proper);
        assert_eq!(read("2024-03-02", Type::Date, &formats), nearly("02/03/2024"));
    }

    #[test]
    fn dates_are_counted_in_every_order_that_fits() {
        for (text, count) in [
            ("2024-02-03", 1),
            ("02/03/2024", 2),
            ("13/02/2024", 1),
            ("2/2/2024", 1),
            ("8/31/10", 1),
            ("10/11/12", 3),
            ("1.2.99", 2),
            ("31/31/2024", 0),
            ("1/2", 0),
            ("1/2-3", 0),
            ("10.5", 0),
            ("1/2/3/4", 0),
            ("a/b/c", 0),
            ("1/1/15", 2),
            ("01/01/01", 1),
            ("", 0),
        ] {
            assert_eq!(dates(text), count, "{text}");
        }
    }

    #[test]
    fn shapes_forget_letters_and_digits() {
        assert_eq!(shape("12.0 oz."), "9.9 a.");
        assert_eq!(shape(&"a1".repeat(1000)).len(), 64);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_read(text in any::<String>(), format in "[%a-zA-Z0-9 ]{0,12}") {
            for of in [Type::Boolean, Type::Integer, Type::Float, Type::Date, Type::Datetime, Type::Text] {
                if let Read::Nearly(proper) = read(&text, of, &[]) {
                    prop_assert_eq!(read(&proper, of, &[]), Read::Proper);
                }
                let _ = read(&text, of, std::slice::from_ref(&format));
            }
            prop_assert!(number(&text).is_none_or(f64::is_finite));
            prop_assert!(dates(&text) <= 3);
        }
    }
}
