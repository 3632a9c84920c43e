//! Which ranges are asked for where some are wanted, and those that have come.

use bytes::Bytes;
use std::ops::Range;

/// Ranges with less than this between them are asked for together: reading over 1 MiB costs less time than another
/// request does.
const GAP: u64 = 1 << 20;
/// The longest range of one request. Longer ones are asked for in parts, at once, so that one that fails is soon repeated.
pub(super) const PART: u64 = 8 << 20;

/// `ranges` in order, those that lie near one another as one.
pub(super) fn coalesced(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut wanted: Vec<Range<u64>> = ranges.iter().filter(|range| range.start < range.end).cloned().collect();
    wanted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(wanted.len());
    for range in wanted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// `range` in parts of at most [`PART`].
pub(super) fn parts(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = range.end;
    (range.start..end).step_by(PART as usize).map(move |start| start..end.min(start + PART))
}

/// Ranges of an object, in memory.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Held(Vec<(u64, Bytes)>);

impl Held {
    /// `bytes`, which begin at `start`.
    pub(in super::super) fn of(start: u64, bytes: Vec<u8>) -> Self {
        Self(vec![(start, bytes.into())])
    }

    pub(super) fn add(&mut self, start: u64, bytes: Bytes) {
        self.0.push((start, bytes));
    }

    /// `range`, if it lies within one of the ranges held.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        self.0.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
            (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
        })
    }

    /// Takes `range` out, where it is the whole of what is held of it: then its bytes need no copy.
    pub(in super::super) fn take(&mut self, range: &Range<u64>) -> Option<Vec<u8>> {
        let whole = |(start, bytes): &(u64, Bytes)| *start == range.start && bytes.len() as u64 == range.end - *start;
        match self.0.iter().position(whole) {
            Some(index) => Some(Vec::from(self.0.swap_remove(index).1)),
            None => self.get(range).map(|bytes| bytes.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coalesced_ranges_cover_what_is_wanted_and_little_more(
            starts in proptest::collection::vec((0_u64..1 << 26, 0_u64..1 << 22), 0..20)
        ) {
            let wanted: Vec<Range<u64>> = starts.iter().map(|(start, length)| *start..start + length).collect();
            let merged = coalesced(&wanted);
            for range in wanted.iter().filter(|range| !range.is_empty()) {
                prop_assert!(merged.iter().any(|of| of.start <= range.start && range.end <= of.end));
            }
            prop_assert!(merged.windows(2).all(|pair| pair[0].end + GAP < pair[1].start));
            let needed: u64 = wanted.iter().map(|range| range.end - range.start).sum();
            let asked: u64 = merged.iter().map(|range| range.end - range.start).sum();
            prop_assert!(asked <= needed + GAP * wanted.len() as u64);
        }

        #[test]
        fn parts_are_the_range(start in 0_u64..1 << 40, length in 0_u64..1 << 28) {
            let range = start..start + length;
            let parts: Vec<Range<u64>> = parts(&range).collect();
            prop_assert_eq!(parts.iter().map(|part| part.end - part.start).sum::<u64>(), length);
            prop_assert!(parts.iter().all(|part| part.end - part.start <= PART));
            prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn what_is_held_is_given_from_within_or_as_a_whole() {
        let mut held = Held::default();
        held.add(10, Bytes::from_static(b"abcdef"));
        assert_eq!(held.get(&(12..14)).unwrap(), "cd");
        assert_eq!(held.get(&(9..12)), None);
        assert_eq!(held.get(&(14..17)), None);
        assert_eq!(held.take(&(11..13)).unwrap(), b"bc");
        assert_eq!(held.take(&(10..16)).unwrap(), b"abcdef");
        assert_eq!(held.take(&(10..16)), None);
    }
}
