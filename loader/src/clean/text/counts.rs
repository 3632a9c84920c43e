//! How often keys of 64 bits were seen: a table that is used for one text after another and allocates only to grow.
//!
//! Keys are hashes of texts, and two texts with one hash count as one: with a million n-grams in a text that happens by
//! chance once in some ten million texts.

/// Counts of keys.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// A power of two of them, at least twice the keys.
    slots: Vec<Slot>,
    /// Slots of earlier rounds are free.
    round: u32,
    mask: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    round: u32,
    count: u32,
}

impl Counts {
    /// Forgets all keys and makes room for `keys` of them.
    pub(super) fn clear(&mut self, keys: usize) {
        let wanted = (2 * keys).next_power_of_two().max(64);
        if self.slots.len() < wanted {
            self.slots = vec![Slot::default(); wanted];
            self.round = 0;
        }
        self.mask = wanted - 1;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots.fill(Slot::default());
            self.round = 1;
        }
    }

    /// Counts one more of `key`, and says how many there are now. No more keys than `clear` made room for.
    pub(super) fn add(&mut self, key: u64) -> u32 {
        let mut at = self.home(key);
        loop {
            let slot = &mut self.slots[at];
            if slot.round != self.round {
                *slot = Slot { key, round: self.round, count: 1 };
                return 1;
            }
            if slot.key == key {
                slot.count += 1;
                return slot.count;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// How often `key` was counted.
    pub(super) fn get(&self, key: u64) -> u32 {
        let mut at = self.home(key);
        loop {
            let slot = self.slots[at];
            if slot.round != self.round {
                return 0;
            }
            if slot.key == key {
                return slot.count;
            }
            at = (at + 1) & self.mask;
        }
    }

    fn home(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask
    }
}
