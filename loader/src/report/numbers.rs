//! Numbers as a person reads them: three significant digits, a unit, a space between the two.

use std::time::Duration;

/// Stands where there is no number.
const NONE: &str = "–";

/// A count, exactly: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in powers of 1024: `234 bytes`, `12.3 MiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    match value {
        1 => "1 byte".to_owned(),
        0..1024 => format!("{value} bytes"),
        _ => scaled(value as f64, 1024.0, &["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]),
    }
}

/// A stretch of time: `123 µs`, `45.6 ms`, `4.56 s`, `2 min 05 s`, `1 h 02 min`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    // The borders lie where rounding to three digits would reach the next unit.
    if seconds < 999.5e-6 {
        format!("{} µs", digits(seconds * 1e6))
    } else if seconds < 0.9995 {
        format!("{} ms", digits(seconds * 1e3))
    } else if seconds < 59.95 {
        format!("{} s", digits(seconds))
    } else if seconds < 3599.5 {
        let seconds = seconds.round() as u64;
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {:02} min", count(minutes / 60), minutes % 60)
    }
}

/// How many of `unit` in a second: `853 rows/s`, `1.20 M rows/s`.
#[must_use]
pub fn rate(per_second: f64, unit: &str) -> String {
    if !per_second.is_finite() {
        return format!("{NONE} {unit}/s");
    }
    let separator = if per_second.abs() < 999.5 { "" } else { " " };
    format!("{}{separator}{unit}/s", scaled(per_second, 1000.0, &["", "k", "M", "G", "T"]))
}

/// How many bytes in a second: `12.3 MiB/s`.
#[must_use]
pub fn byte_rate(per_second: f64) -> String {
    // The cast saturates; a rate below one byte is no rate.
    if per_second.is_finite() { format!("{}/s", bytes(per_second as u64)) } else { format!("{NONE} bytes/s") }
}

/// A share: `12.3 %`. Only nothing is `0 %`, and only all of it is `100 %`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    match part {
        0 => "0 %".to_owned(),
        part if part == whole => "100 %".to_owned(),
        _ if share < 0.05 => "<0.1 %".to_owned(),
        part if share >= 99.95 && part < whole => ">99.9 %".to_owned(),
        _ => format!("{share:.1} %"),
    }
}

/// Any number, to six significant digits: `0.3`, `-12.25`, `1.5e300`.
#[must_use]
pub fn number(value: f64) -> String {
    /// 2⁵³: below it every whole number is an f64 of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() {
        return value.to_string();
    }
    if value == value.trunc() && value.abs() < EXACT {
        // Not `{value}`, which shows a negative zero.
        return (value as i64).to_string();
    }
    let scientific = format!("{value:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-5..6).contains(&exponent) {
        let places = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{value:.places$}"))
    } else {
        format!("{}e{exponent}", trim(mantissa))
    }
}

/// Three significant digits of a number below about a thousand.
fn digits(value: f64) -> String {
    match value.abs() {
        small if small < 9.995 => format!("{value:.2}"),
        middle if middle < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // Half a digit early, so that rounding never shows the base itself.
    while value.abs() >= base - 0.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{} {}", digits(value), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_have_thousands() {
        let shown = [0, 7, 999, 1000, 1_234_567, u64::MAX].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn bytes_have_a_unit_and_three_digits() {
        let shown = [0, 1, 1023, 1024, 12_900_000, (1 << 20) - 1, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 bytes", "1 byte", "1023 bytes", "1.00 KiB", "12.3 MiB", "1.00 MiB", "16.0 EiB"]);
    }

    #[test]
    fn times_have_a_unit_that_fits() {
        let shown = [0.0, 1.234e-4, 9.999e-4, 0.0456, 0.99999, 4.561, 59.99, 125.0, 3599.9, 3725.0, 360_000.0]
            .map(|seconds| duration(Duration::from_secs_f64(seconds)));
        let expected = [
            "0.00 µs",
            "123 µs",
            "1.00 ms",
            "45.6 ms",
            "1.00 s",
            "4.56 s",
            "1 min 00 s",
            "2 min 05 s",
            "1 h 00 min",
            "1 h 02 min",
            "100 h 00 min",
        ];
        assert_eq!(shown, expected);
        assert!(duration(Duration::MAX).starts_with("5,124,095,576,030,43"));
    }

    #[test]
    fn rates_have_a_unit_and_a_second() {
        let shown = [0.0, 0.5, 853.2, 999.7, 12_345.0, 1_200_000.0, f64::INFINITY, f64::NAN].map(|r| rate(r, "rows"));
        let expected = [
            "0.00 rows/s",
            "0.50 rows/s",
            "853 rows/s",
            "1.00 k rows/s",
            "12.3 k rows/s",
            "1.20 M rows/s",
            "– rows/s",
            "– rows/s",
        ];
        assert_eq!(shown, expected);
        assert_eq!(byte_rate(12_900_000.7), "12.3 MiB/s");
        assert_eq!(byte_rate(f64::INFINITY), "– bytes/s");
    }

    #[test]
    fn only_nothing_is_zero_and_only_all_is_a_hundred_percent() {
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(10, 10), "100 %");
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(999_999, 1_000_000), ">99.9 %");
        assert_eq!(percent(123, 1000), "12.3 %");
        assert_eq!(percent(30, 10), "300.0 %");
        assert_eq!(percent(0, 0), "–");
    }

    #[test]
    fn numbers_are_short_and_recognisable() {
        let shown = [
            0.0,
            -0.0,
            1.0,
            0.1 + 0.2,
            -12.25,
            1e300,
            1.234_567_89e-7,
            255.0,
            9.007e15,
            1e15,
            123_456.78,
            0.000_05,
            f64::NAN,
        ]
        .map(number);
        let expected = [
            "0",
            "0",
            "1",
            "0.3",
            "-12.25",
            "1e300",
            "1.23457e-7",
            "255",
            "9007000000000000",
            "1000000000000000",
            "123457",
            "0.00005",
            "NaN",
        ];
        assert_eq!(shown, expected);
    }

    proptest! {
        #[test]
        fn a_number_is_shown_to_six_digits(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let text = number(value);
            let read: f64 = text.parse().unwrap();
            prop_assert!((read - value).abs() <= value.abs() * 5.01e-6 + 1e-320, "{value} as {text}");
            prop_assert!(text.len() <= 17, "{text}");
        }
    }
}
