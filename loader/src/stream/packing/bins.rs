//! The slots of one batch while it is being packed: how much room each has, and which is the first with enough.

use super::Fit;

/// A batch's slots. Knows lengths only.
#[derive(Debug)]
pub(in crate::stream) struct Bins {
    fit: Fit,
    length: u32,
    /// A tree of maxima over the slots' room: leaves from `leaves` on, the root at 1, so that the first slot with enough
    /// room is found in logarithmic time.
    room: Vec<u32>,
    leaves: usize,
}

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stream) struct Place {
    pub(in crate::stream) slot: u32,
    pub(in crate::stream) start: u32,
    pub(in crate::stream) length: u32,
}

impl Bins {
    /// `slots` empty slots of `length` items.
    pub(in crate::stream) fn new(fit: Fit, slots: usize, length: u32) -> Self {
        let leaves = slots.next_power_of_two();
        let mut room = vec![0; 2 * leaves];
        room[leaves..leaves + slots].fill(length);
        for node in (1..leaves).rev() {
            room[node] = room[2 * node].max(room[2 * node + 1]);
        }
        Self { fit, length, room, leaves }
    }

    /// A place for the next piece of a row that has `rest` items left, or none where the batch is to be closed.
    ///
    /// With first fit a piece is all that is left, or a whole slot where that is less; with concat-and-cut it is what the
    /// first slot with room takes.
    pub(in crate::stream) fn place(&mut self, rest: u32) -> Option<Place> {
        let whole = rest.min(self.length);
        let need = match self.fit {
            Fit::FirstFit => whole,
            Fit::ConcatAndCut => 1,
        };
        if need == 0 || self.room[1] < need {
            return None;
        }
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if self.room[node] < need {
                node += 1;
            }
        }
        let start = self.length - self.room[node];
        let length = whole.min(self.room[node]);
        let slot = (node - self.leaves) as u32;
        self.room[node] -= length;
        while node > 1 {
            node /= 2;
            self.room[node] = self.room[2 * node].max(self.room[2 * node + 1]);
        }
        Some(Place { slot, start, length })
    }

    /// Whether no slot has any room.
    pub(in crate::stream) fn full(&self) -> bool {
        self.room[1] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packs whole rows until the batch closes; what was placed, row by row.
    fn pack(fit: Fit, slots: usize, length: u32, rows: &[u32]) -> Vec<(usize, Place)> {
        let mut bins = Bins::new(fit, slots, length);
        let mut placed = Vec::new();
        for (row, &items) in rows.iter().enumerate() {
            let mut rest = items;
            while rest > 0 {
                let Some(place) = bins.place(rest) else { return placed };
                rest -= place.length;
                placed.push((row, place));
            }
        }
        placed
    }

    proptest! {
        #[test]
        fn pieces_lie_side_by_side_and_never_over_the_end(
            first_fit: bool,
            slots in 1_usize..20,
            length in 1_u32..50,
            rows in prop::collection::vec(1_u32..120, 0..60),
        ) {
            let fit = if first_fit { Fit::FirstFit } else { Fit::ConcatAndCut };
            let placed = pack(fit, slots, length, &rows);
            let mut filled = vec![0; slots];
            for (_, place) in &placed {
                let slot = &mut filled[place.slot as usize];
                prop_assert_eq!(*slot, place.start);
                *slot += place.length;
                prop_assert!(place.length > 0 && *slot <= length);
            }
            // The batch closes early only where nothing more fits.
            let offered: u32 = rows.iter().sum();
            let taken: u32 = placed.iter().map(|(_, place)| place.length).sum();
            if taken < offered {
                let row = placed.last().map_or(0, |(row, _)| *row);
                let of_row: u32 = placed.iter().filter(|(of, _)| *of == row).map(|(_, place)| place.length).sum();
                let rest = if of_row == rows[row] { rows[row + 1] } else { rows[row] - of_row };
                let need = if first_fit { rest.min(length) } else { 1 };
                prop_assert!(filled.iter().all(|filled| length - filled < need));
            }
        }

        #[test]
        fn first_fit_is_the_first_slot_with_room_and_cuts_only_what_is_longer_than_a_slot(
            slots in 1_usize..20,
            length in 1_u32..50,
            rows in prop::collection::vec(1_u32..120, 0..60),
        ) {
            let mut room = vec![length; slots];
            for (row, place) in pack(Fit::FirstFit, slots, length, &rows) {
                let first = room.iter().position(|room| *room >= place.length).unwrap();
                prop_assert_eq!(first, place.slot as usize);
                room[first] -= place.length;
                prop_assert!(place.length == length || rows[row] % length == place.length);
            }
        }
    }

    /// Of batches of 32 slots of 2048 items, the share that is left empty; rows have 1 to `longest` items, all lengths
    /// alike.
    fn wasted(longest: u64) -> f64 {
        let mut randomness = crate::Randomness::new(1, 0, longest, crate::Purpose::Rows);
        let mut bins = Bins::new(Fit::FirstFit, 32, 2048);
        let (mut batches, mut items) = (0, 0);
        while batches < 100 {
            let mut rest = randomness.below(longest) as u32 + 1;
            while rest > 0 {
                match bins.place(rest) {
                    Some(place) => {
                        rest -= place.length;
                        items += u64::from(place.length);
                    }
                    None => {
                        batches += 1;
                        bins = Bins::new(Fit::FirstFit, 32, 2048);
                    }
                }
            }
        }
        // The last batch that was begun holds less than one row.
        1.0 - items as f64 / (f64::from(batches) * 32.0 * 2048.0)
    }

    #[test]
    fn first_fit_wastes_little_where_rows_are_short() {
        // Measured: 0.0003, 0.003, 0.010, 0.036 and 0.116.
        for (longest, most) in [(64, 0.0005), (256, 0.004), (512, 0.013), (1024, 0.045), (2048, 0.14)] {
            let wasted = wasted(longest);
            assert!(wasted < most, "rows of up to {longest} items: {wasted}");
        }
    }

    #[test]
    fn concat_and_cut_leaves_no_room_before_the_last_piece() {
        let placed = pack(Fit::ConcatAndCut, 3, 4, &[3, 3, 3, 9]);
        let lengths: Vec<_> = placed.iter().map(|(row, place)| (*row, place.slot, place.start, place.length)).collect();
        assert_eq!(lengths, [(0, 0, 0, 3), (1, 0, 3, 1), (1, 1, 0, 2), (2, 1, 2, 2), (2, 2, 0, 1), (3, 2, 1, 3)]);
    }
}
