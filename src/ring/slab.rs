//! Slots for whatever the ring has operations on, each with a generation.

use super::token::GENERATION_MASK;

/// Slots of `T`; a freed slot is reused, under the next generation.
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Empty slots that have been used so often that the next uses of each wrap its generation.
    #[cfg(test)]
    pub(super) fn aged(slots: u32) -> Slab<T> {
        let slot = |_| Slot {
            generation: GENERATION_MASK - 1,
            value: None,
        };
        Slab {
            slots: (0..slots).map(slot).collect(),
            free: (0..slots).rev().collect(),
        }
    }

    /// Puts what `make` makes of its slot and generation into a free slot.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        debug_assert!(entry.value.is_none());
        entry.value = Some(make(slot, entry.generation));
    }

    /// What is in the slot, if it is still of that generation.
    pub(super) fn find(&self, slot: u32, generation: u32) -> Option<&T> {
        self.slots
            .get(slot as usize)
            .filter(|entry| entry.generation == generation)
            .and_then(|entry| entry.value.as_ref())
    }

    /// What is in the slot now, of whatever generation.
    pub(super) fn current(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.value.as_ref()
    }

    /// Empties the slot; whatever names it by the old generation finds nothing from now on.
    pub(super) fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        let entry = self.slots.get_mut(slot as usize)?;
        if entry.generation != generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & GENERATION_MASK;
        self.free.push(slot);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|entry| entry.value.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_is_not_found_by_its_old_generation() {
        let mut slab = Slab::new();
        let mut first = (0, 0);
        slab.insert_with(|slot, generation| {
            first = (slot, generation);
            "first"
        });
        assert_eq!(slab.remove(first.0, first.1), Some("first"));
        let mut second = (0, 0);
        slab.insert_with(|slot, generation| {
            second = (slot, generation);
            "second"
        });
        assert_eq!(first.0, second.0);
        assert_eq!(slab.find(first.0, first.1), None);
        assert_eq!(slab.remove(first.0, first.1), None);
        assert_eq!(slab.find(second.0, second.1), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }

    /// The generation that comes after the last one is the first: the token has room for no more.
    #[test]
    fn generations_wrap() {
        let mut slab = Slab::aged(1);
        let mut seen = Vec::new();
        for round in 0..4 {
            slab.insert_with(|slot, generation| {
                seen.push((slot, generation));
                round
            });
            let (slot, generation) = seen[round];
            for (old_slot, old) in &seen[..round] {
                assert_eq!(slab.find(*old_slot, *old), None);
                assert_eq!(slab.remove(*old_slot, *old), None);
            }
            assert_eq!(slab.find(slot, generation), Some(&round));
            assert_eq!(slab.remove(slot, generation), Some(round));
        }
        let generations = [GENERATION_MASK - 1, GENERATION_MASK, 0, 1];
        assert_eq!(seen, generations.map(|generation| (0, generation)));
    }
}
