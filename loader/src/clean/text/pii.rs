//! Personal data in texts: e-mail addresses and IPv4 addresses as datatrove finds and replaces them, and what it does
//! not look for.
//!
//! datatrove goes through its replacements from text to text, so that its output depends on the order and the sharding
//! of a corpus. Here every text begins with the first one, as it does for the first text of datatrove's.

use super::{
    filter::{Filter, Row, on_column},
    personal_numbers::{CARD, IBAN, PHONE, SECRET},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use regex::Regex;
use serde::Deserialize;
use std::{net::Ipv4Addr, ops::Range, sync::LazyLock};

/// What stands in for e-mail addresses, in turn.
const EMAILS: [&str; 2] = ["email@example.com", "firstname.lastname@example.org"];
/// What stands in for IPv4 addresses, in turn: ones that did not answer when datatrove's authors drew them.
const ADDRESSES: [&str; 6] =
    ["22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168"];

/// Replaces what `next` finds, from left to right: it is given where to begin and answers with a byte range and what is
/// to stand there. `None` where nothing is replaced.
fn replace<'r>(text: &str, mut next: impl FnMut(usize) -> Option<(Range<usize>, &'r str)>) -> Option<String> {
    let mut out: Option<String> = None;
    let mut from = 0;
    let mut at = 0;
    while let Some((found, by)) = next(at) {
        let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
        out.push_str(text.get(from..found.start)?);
        out.push_str(by);
        from = found.end;
        at = found.end;
    }
    let mut out = out?;
    out.push_str(text.get(from..)?);
    Some(out)
}

/// The e-mail address that comes first in `text` at or behind `from`: atoms of RFC 5322 joined by single full stops,
/// "@", and at least two labels or an address in brackets. `from` is 0 or the end of the address before.
fn email(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut after = from;
    loop {
        let at = after + memchr::memchr(b'@', &bytes[after..])?;
        after = at + 1;
        let local = local_part(text, from, at);
        if let (Some(start), Some(end)) = (local, domain(bytes, after).or_else(|| literal(bytes, after))) {
            return Some(start..end);
        }
    }
}

const fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
                | b'-'
        )
}

/// Where the local part begins that ends at `at`: the first border of a word within the atoms before it.
fn local_part(text: &str, from: usize, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut start = at;
    while start > from {
        let byte = bytes[start - 1];
        // A full stop stands between two atoms: not before "@", nor before another one.
        if is_atom(byte) || byte == b'.' && start < at && bytes[start] != b'.' {
            start -= 1;
        } else {
            break;
        }
    }
    let table = super::characters::Characters::table();
    let is_word = |c: char| table.is(c, super::characters::WORD);
    let mut before = text[..start].chars().next_back().is_some_and(is_word);
    for (place, &byte) in bytes.iter().enumerate().take(at).skip(start) {
        let word = is_word(char::from(byte));
        if word != before && byte != b'.' {
            return Some(place);
        }
        before = word;
    }
    None
}

/// The end of at least two labels joined by full stops.
fn domain(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut end = None;
    let mut labels = 0;
    loop {
        let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
        if run == 0 || bytes[at] == b'-' {
            return end;
        }
        let hyphens = bytes[at..at + run].iter().rev().take_while(|&&byte| byte == b'-').count();
        if labels > 0 {
            end = Some(at + run - hyphens);
        }
        if hyphens > 0 || bytes.get(at + run) != Some(&b'.') {
            return end;
        }
        labels += 1;
        at += run + 1;
    }
}

/// The end of an address in brackets: four octets, or three and a tag with a colon.
fn literal(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?.strip_prefix(b"[")?;
    for _ in 0..3 {
        let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        if !is_octet(&rest[..digits]) {
            return None;
        }
        rest = rest[digits..].strip_prefix(b".")?;
    }
    let run = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let rest = if is_octet(&rest[..run]) && rest.get(run) == Some(&b']') {
        &rest[run..]
    } else {
        let last = rest[..run].last()?;
        last.is_ascii_alphanumeric().then_some(())?;
        rest[run..].strip_prefix(b":")?
    };
    let rest = rest.strip_prefix(b"]")?;
    Some(bytes.len() - rest.len())
}

/// One to three digits up to 255; zeros may lead.
fn is_octet(digits: &[u8]) -> bool {
    (1..=3).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0, |number, digit| 10 * number + u32::from(digit - b'0')) <= 255
}

static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)").ok()
});

/// The next IPv4 address at or behind `from` that parses and, if `public_only`, is globally reachable as Python's
/// `ipaddress` has it. It may stand within a longer number: the peer asks for no border.
fn address(text: &str, mut from: usize, public_only: bool) -> Option<Range<usize>> {
    loop {
        let found = ADDRESS.as_ref()?.find_at(text, from)?;
        from = found.end();
        // Leading zeros do not parse.
        if found.as_str().parse::<Ipv4Addr>().is_ok_and(|address| !public_only || is_global(address)) {
            return Some(found.range());
        }
    }
}

fn is_global(address: Ipv4Addr) -> bool {
    let within = |network: [u8; 4], bits: u32| {
        (address.to_bits() ^ Ipv4Addr::from(network).to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
    };
    let private = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 29),
        ([192, 0, 0, 170], 31),
        ([192, 0, 2, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([240, 0, 0, 0], 4),
    ];
    !private.into_iter().any(|(network, bits)| within(network, bits))
}

/// The text as datatrove's `PIIFormatter` leaves it; `None` where it stays as it is.
#[cfg(test)]
pub(super) fn datatrove(text: &str) -> Option<String> {
    Options::default().replace(text).0
}

pub(in crate::clean) const NAME: &str = "pii";

/// What is replaced.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    emails: bool,
    ips: bool,
    /// Whether addresses of private networks stay.
    only_public_ips: bool,
    phones: bool,
    cards: bool,
    ibans: bool,
    secrets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            emails: true,
            ips: true,
            only_public_ips: true,
            phones: false,
            cards: false,
            ibans: false,
            secrets: false,
        }
    }
}

/// The first one of a kind at or behind a place.
type Find<'f> = dyn Fn(&str, usize) -> Option<Range<usize>> + 'f;

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let options: Options = settings.read()?;
    if !(options.emails || options.ips || options.phones || options.cards || options.ibans || options.secrets) {
        return Err("it has nothing to look for".to_owned());
    }
    on_column(settings, options)
}

impl Options {
    /// The text with everything replaced, and how much of each kind was; `None` where nothing was.
    fn replace(&self, text: &str) -> (Option<String>, [usize; 6]) {
        let mut counts = [0; 6];
        let mut whole: Option<String> = None;
        let public_only = self.only_public_ips;
        // Secrets go first: what is in them looks like much else.
        let passes: [(bool, usize, &[&str], &Find<'_>); 6] = [
            (self.secrets, 5, &["[SECRET]"], &|text, from| SECRET.find(text, from)),
            (self.emails, 0, &EMAILS, &email),
            (self.ips, 1, &ADDRESSES, &|text, from| address(text, from, public_only)),
            (self.ibans, 4, &["[IBAN]"], &|text, from| IBAN.find(text, from)),
            (self.cards, 3, &["[CARD]"], &|text, from| CARD.find(text, from)),
            (self.phones, 2, &["[PHONE]"], &|text, from| PHONE.find(text, from)),
        ];
        for (asked, kind, by, find) in passes {
            if asked {
                let text = whole.as_deref().unwrap_or(text);
                let mut by = by.iter().cycle();
                let next = replace(text, |from| {
                    let found = find(text, from)?;
                    counts[kind] += 1;
                    Some((found, *by.next()?))
                });
                whole = next.or(whole);
            }
        }
        (whole, counts)
    }
}

impl Filter for Options {
    const NAME: &'static str = NAME;
    const REWRITES: bool = true;
    type Scratch = ();

    fn options(&self) -> String {
        format!("{self:?}")
    }

    fn rules(&self) -> Vec<Rule> {
        ["email", "ip", "phone", "card", "iban", "secret"].map(Rule::note).to_vec()
    }

    fn judge(&self, text: &str, _: &[Word], (): &mut (), row: &mut Row<'_>) {
        let (replaced, counts) = self.replace(text);
        for (rule, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            row.measured(rule, count as f64, None);
        }
        if let Some(text) = replaced {
            row.rewrite(text);
        }
    }
}
