//! Personal and secret strings that datatrove does not look for: phone numbers, payment cards, bank accounts and keys.
//! Numbers with a check digit are found only where it is right.

use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// A pattern, and what of a match counts, from its beginning, in bytes.
pub(super) struct Kind {
    pattern: LazyLock<Option<Regex>>,
    checked: fn(&str) -> Option<usize>,
}

/// North American numbers and those with a country code, with separators: 3-3-4 digits.
pub(super) static PHONE: Kind = Kind {
    pattern: LazyLock::new(|| {
        Regex::new(r"(?:\+[0-9]{1,3}[ .-]?)?(?:\([0-9]{3}\)[ .-]?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}").ok()
    }),
    checked: |found| Some(found.len()),
};

/// 13 to 19 digits, in groups or not, that Luhn's check passes (ISO/IEC 7812-1).
pub(super) static CARD: Kind = Kind {
    pattern: LazyLock::new(|| Regex::new(r"[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}").ok()),
    checked: |found| {
        let digits = found.bytes().filter(u8::is_ascii_digit);
        let sum: u32 = digits
            .rev()
            .enumerate()
            .map(|(at, digit)| {
                let digit = u32::from(digit - b'0') << (at % 2);
                digit / 10 + digit % 10
            })
            .sum();
        sum.is_multiple_of(10).then_some(found.len())
    },
};

/// International bank account numbers, in groups of four or not, with the right remainder of 97 (ISO 13616).
pub(super) static IBAN: Kind = Kind {
    pattern: LazyLock::new(|| Regex::new(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?").ok()),
    checked: |found| {
        // A word that follows may look like a last group, so shorter ones are tried too; there are at most 42 bytes.
        let ends = (15..=found.len()).rev().filter(|&end| {
            !found[..end].ends_with(' ') && !found[end..].starts_with(|c: char| c.is_ascii_alphanumeric())
        });
        ends.into_iter().find(|&end| {
            let plain: Vec<u8> = found[..end].bytes().filter(|&byte| byte != b' ').collect();
            let moved = plain[4..].iter().chain(&plain[..4]);
            let remainder = moved.fold(0_u32, |remainder, &byte| match byte {
                b'0'..=b'9' => (10 * remainder + u32::from(byte - b'0')) % 97,
                _ => (100 * remainder + u32::from(byte - b'A') + 10) % 97,
            });
            plain.len() >= 15 && remainder == 1
        })
    },
};

/// Keys that are known by their beginning: AWS, GitHub, GitLab, Google, Slack, Stripe, JSON web tokens, private keys.
pub(super) static SECRET: Kind = Kind {
    pattern: LazyLock::new(|| {
        Regex::new(concat!(
            r"(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
            r"|glpat-[A-Za-z0-9_-]{20,64}|AIza[0-9A-Za-z_-]{35}|xox[abprs]-[A-Za-z0-9-]{10,255}",
            r"|[rs]k_live_[0-9A-Za-z]{24,255}|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
            r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[^-]+-----END (?:[A-Z]+ )*PRIVATE KEY-----",
        ))
        .ok()
    }),
    checked: |found| Some(found.len()),
};

impl Kind {
    /// The first one at or behind `from` that is not part of a longer number or word.
    pub(super) fn find(&self, text: &str, mut from: usize) -> Option<Range<usize>> {
        let pattern = self.pattern.as_ref()?;
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        loop {
            let found = pattern.find_at(text, from)?;
            from = found.end();
            let end = (self.checked)(found.as_str()).map(|length| found.start() + length);
            let free = |end: usize| {
                !is_part(text[..found.start()].chars().next_back()) && !is_part(text[end..].chars().next())
            };
            if let Some(end) = end.filter(|&end| free(end)) {
                return Some(found.start()..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_their_check_is_right() {
        let found = |kind: &Kind, text: &str| kind.find(text, 0).map(|range| text[range].to_owned());
        for (kind, text, expected) in [
            (&PHONE, "call (555) 123-4567 now", Some("(555) 123-4567")),
            (&PHONE, "call +1 555-123-4567.", Some("+1 555-123-4567")),
            (&PHONE, "1234567890, 2020-10-10, 11555-123-45678", None),
            (&CARD, "4111 1111 1111 1111!", Some("4111 1111 1111 1111")),
            (&CARD, "4111 1111 1111 1112!", None),
            (&CARD, "x4111111111111111", None),
            (&IBAN, "to GB82 WEST 1234 5698 7654 32 NOW", Some("GB82 WEST 1234 5698 7654 32")),
            (&IBAN, "DE89370400440532013000", Some("DE89370400440532013000")),
            (&IBAN, "DE89370400440532013001", None),
            (&SECRET, "key AKIAIOSFODNN7EXAMPLE.", Some("AKIAIOSFODNN7EXAMPLE")),
            (&SECRET, "AKIAIOSFODNN7EXAMPL", None),
        ] {
            assert_eq!(found(kind, text).as_deref(), expected, "{text}");
        }
    }
}
