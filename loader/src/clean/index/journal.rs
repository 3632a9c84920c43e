//! Which bits of a filter were set lately, by visit, so that they can be unset again.
//!
//! A document sets some 150 bits, so their places are packed: sorted, a stretch at a time, as the gaps between them, in
//! about two bytes each.

use std::collections::VecDeque;

/// The places that were set since the oldest visit that may have to be undone.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    /// What was set in visits before this one is never asked for.
    from: u32,
    visits: VecDeque<Change>,
    packed: VecDeque<Packed>,
    /// The latest places, of the last visit.
    open: Vec<u64>,
    /// How many places are packed together.
    stretch: usize,
}

/// A visit that changed something.
#[derive(Clone, Copy, Debug)]
struct Change {
    visit: u32,
    /// How many keys there were before it.
    keys: u64,
}

/// A stretch of places that one visit set: the gap from each to the next in groups of seven bits, the least first, all
/// but the last of a number with the eighth bit set.
#[derive(Clone, Debug)]
struct Packed {
    visit: u32,
    gaps: Box<[u8]>,
}

/// How many places are packed together, of a filter of so many bits.
fn stretch(bits: u64) -> u64 {
    (bits / 256).clamp(64, 1 << 17)
}

/// What the places that wait to be packed take at most, in bytes, and they while they are packed.
pub(super) fn waiting_bytes(bits: u64) -> u64 {
    // A vector that grows may have twice the room that it needs.
    const EACH: u64 = 2 * size_of::<u64>() as u64 + 2;
    EACH * stretch(bits)
}

/// What `places` places that one visit set come to, in bytes, in a filter of so many bits.
///
/// Places are hashes, so the gaps in a stretch of s places are as good as exponential with a mean m of bits / s: one takes
/// a byte, another one if it is 2⁷ or more, another one from 2¹⁴ on, and so forth: 1 + e^(−2⁷/m) + e^(−2¹⁴/m) + … bytes.
pub(super) fn packed_bytes(bits: u64, places: u64) -> u64 {
    // A stretch's place in its list, which may have twice the room that it needs, and the visit's.
    const LISTED: u64 = 2 * (size_of::<Packed>() + size_of::<Change>()) as u64;
    let of = |places: u64| match places {
        0 => 0,
        some => {
            let longer = (1..9).map(|byte| libm::exp(-libm::exp2(f64::from(7 * byte)) * some as f64 / bits as f64));
            LISTED + (some as f64 * (1.0 + longer.sum::<f64>())).ceil() as u64
        }
    };
    let stretch = stretch(bits);
    (places / stretch).saturating_mul(of(stretch)).saturating_add(of(places % stretch))
}

impl Journal {
    /// Of a filter of so many bits, where no visit before `from` is ever to be undone.
    pub(super) fn new(bits: u64, from: u32) -> Self {
        Self { from, stretch: stretch(bits) as usize, ..Self::default() }
    }

    /// `visit`, which is not before any earlier one, sets `place`; before the visit there were `keys` keys.
    pub(super) fn set(&mut self, visit: u32, keys: u64, place: u64) {
        if visit < self.from {
            return;
        }
        if self.visits.back().is_none_or(|last| last.visit != visit) {
            self.pack();
            self.visits.push_back(Change { visit, keys });
        }
        self.open.push(place);
        if self.open.len() >= self.stretch {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let Some(Change { visit, .. }) = self.visits.back().filter(|_| !self.open.is_empty()).copied() else { return };
        self.open.sort_unstable();
        let (mut gaps, mut last) = (Vec::with_capacity(2 * self.open.len()), 0);
        for place in self.open.drain(..) {
            let mut gap = place - last;
            last = place;
            while gap >= 0x80 {
                gaps.push(gap as u8 | 0x80);
                gap >>= 7;
            }
            gaps.push(gap as u8);
        }
        self.packed.push_back(Packed { visit, gaps: gaps.into_boxed_slice() });
    }

    /// Visits before `visit` will not be undone, now or later.
    pub(super) fn release(&mut self, visit: u32) {
        self.from = self.from.max(visit);
        while self.visits.pop_front_if(|first| first.visit < visit).is_some() {}
        while self.packed.pop_front_if(|first| first.visit < visit).is_some() {}
        if self.visits.is_empty() {
            self.open = Vec::new();
        }
    }

    /// How many keys there were before `visit`, if that or a later one changed anything.
    pub(super) fn keys_before(&self, visit: u32) -> Option<u64> {
        Some(self.visits.iter().find(|change| change.visit >= visit)?.keys)
    }

    /// Calls `unset` with each place that was set in `visit` and later.
    pub(super) fn since(&self, visit: u32, mut unset: impl FnMut(u64)) {
        for packed in self.packed.iter().filter(|packed| packed.visit >= visit) {
            let (mut place, mut gap, mut shift) = (0, 0, 0);
            for &byte in &packed.gaps {
                gap |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    place += gap;
                    unset(place);
                    (gap, shift) = (0, 0);
                }
            }
        }
        if self.visits.back().is_some_and(|last| last.visit >= visit) {
            self.open.iter().copied().for_each(unset);
        }
    }

    /// The heap that it takes, in bytes.
    pub(super) fn bytes_in_memory(&self) -> usize {
        let packed: usize = self.packed.iter().map(|packed| packed.gaps.len()).sum();
        packed
            + self.packed.capacity() * size_of::<Packed>()
            + self.visits.capacity() * size_of::<Change>()
            + self.open.capacity() * size_of::<u64>()
    }
}
