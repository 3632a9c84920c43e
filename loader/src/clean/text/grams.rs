//! The items of a text, such as the words between white space, and how often runs of n of them occur.
//!
//! Items are known by hashes of 64 bits, as [`Counts`] says.

use super::counts::Counts;
use xxhash_rust::xxh3::xxh3_64;

/// An item of a text.
#[derive(Clone, Copy, Debug)]
struct Item {
    hash: u64,
    /// Where it stands, in bytes.
    start: usize,
    end: usize,
    /// How long it is, in the unit that the rules count in.
    length: usize,
}

/// The items of one text after another.
#[derive(Debug, Default)]
pub(super) struct Grams {
    items: Vec<Item>,
    /// By start, the hash of the run that was counted last.
    runs: Vec<u64>,
    counts: Counts,
}

impl Grams {
    /// Takes in the items of `text`, which are stretches of it in order; `length` says how long one is.
    pub(super) fn take_in<'t>(
        &mut self,
        text: &'t str,
        items: impl Iterator<Item = &'t str>,
        length: impl Fn(&str) -> usize,
    ) {
        self.items.clear();
        let origin = text.as_ptr().addr();
        self.items.extend(items.map(|item| {
            let start = item.as_ptr().addr() - origin;
            Item { hash: xxh3_64(item.as_bytes()), start, end: start + item.len(), length: length(item) }
        }));
    }

    /// How many items there are.
    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }

    /// The length of all items.
    pub(super) fn length(&self) -> usize {
        self.lengths(0, self.len())
    }

    /// The length of the items from `from` to `to`.
    pub(super) fn lengths(&self, from: usize, to: usize) -> usize {
        self.items[from..to].iter().map(|item| item.length).sum()
    }

    /// Items without their copies: how many, and their length.
    pub(super) fn distinct(&mut self) -> (usize, usize) {
        self.counts.clear(self.items.len());
        let (mut number, mut length) = (0, 0);
        for item in &self.items {
            if self.counts.add(item.hash) == 1 {
                number += 1;
                length += item.length;
            }
        }
        (number, length)
    }

    /// Counts the runs of `n` items, and says how many there are. The calls below speak of them.
    pub(super) fn count(&mut self, n: usize) -> usize {
        let runs = (self.items.len() + 1).saturating_sub(n);
        self.runs.clear();
        self.counts.clear(runs);
        for at in 0..runs {
            let run = self.items[at..at + n].iter().fold(0, |hash, item| mix(hash, item.hash));
            self.runs.push(run);
            self.counts.add(run);
        }
        runs
    }

    /// How often the run at `at` occurs.
    pub(super) fn occurs(&self, at: usize) -> usize {
        self.counts.get(self.runs[at]) as usize
    }

    /// Where the most frequent run of those that were counted begins, of equally frequent ones the first, and how often
    /// it occurs.
    pub(super) fn most_frequent(&self) -> Option<(usize, usize)> {
        let mut most = None;
        for at in 0..self.runs.len() {
            let times = self.occurs(at);
            if most.is_none_or(|(_, best)| times > best) {
                most = Some((at, times));
            }
        }
        most
    }

    /// The same, of equally frequent runs of `n` items the longest.
    pub(super) fn longest_most_frequent(&self, n: usize) -> Option<(usize, usize)> {
        let rank = |at: usize| (self.occurs(at), self.lengths(at, at + n));
        let mut most: Option<(usize, (usize, usize))> = None;
        for at in 0..self.runs.len() {
            let rank = rank(at);
            if most.is_none_or(|(_, best)| rank > best) {
                most = Some((at, rank));
            }
        }
        most.map(|(at, (times, _))| (at, times))
    }

    /// Calls `each` for every run of `n` items, with where it begins and whether it stood earlier.
    pub(super) fn walk(&mut self, n: usize, mut each: impl FnMut(&Self, usize, bool)) {
        let runs = self.count(n);
        self.counts.clear(runs);
        for at in 0..runs {
            let again = self.counts.add(self.runs[at]) > 1;
            each(self, at, again);
        }
    }

    /// The length of all items that lie in a run of `n` of which `counts` says so, each item once; the runs are those
    /// that were counted last.
    pub(super) fn covered(&self, n: usize, counts: impl Fn(usize) -> bool) -> usize {
        let (mut covered, mut length) = (0, 0);
        for at in (0..self.runs.len()).filter(|&at| counts(at)) {
            length += self.lengths(covered.max(at), at + n);
            covered = at + n;
        }
        length
    }

    /// Whether the runs at `one` and `other` are equal.
    pub(super) fn equal(&self, one: usize, other: usize) -> bool {
        self.runs[one] == self.runs[other]
    }

    /// From where to where the run of `n` items at `at` stands in its text, in bytes.
    pub(super) fn place(&self, at: usize, n: usize) -> std::ops::Range<usize> {
        self.items[at].start..self.items[at + n - 1].end
    }
}

/// Two hashes in order as one.
pub(super) const fn mix(one: u64, next: u64) -> u64 {
    let product = (one ^ 0xa076_1d64_78bd_642f) as u128 * (next ^ 0xe703_7ed1_a0b4_28db) as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_found() {
        let text = "a b a b  cc";
        let mut grams = Grams::default();
        grams.take_in(text, text.split_whitespace(), str::len);
        assert_eq!((grams.len(), grams.length(), grams.distinct()), (5, 6, (3, 4)));
        assert_eq!(grams.count(2), 4);
        assert_eq!(grams.most_frequent(), Some((0, 2)));
        assert_eq!(&text[grams.place(0, 2)], "a b");
        assert!(grams.equal(0, 2) && !grams.equal(0, 1));
        assert_eq!(grams.covered(2, |at| grams.occurs(at) > 1), 4);
        let mut again = Vec::new();
        grams.walk(1, |_, at, earlier| again.push((at, earlier)));
        assert_eq!(again, [(0, false), (1, false), (2, true), (3, true), (4, false)]);
        assert_eq!(grams.count(6), 0);
        assert_eq!(grams.most_frequent(), None);
    }
}
