//! The keys of a load: only those of certain slots.

use dunlin::cluster::slot;

use crate::rng::key;

/// Numbers of keys, each with its slot.
#[derive(Clone, Debug)]
pub(super) struct Keys(Vec<(u64, u16)>);

impl Keys {
    /// The first `count` keys in slots that `wanted` names, which must not be none.
    pub(super) fn of(count: usize, wanted: impl Fn(u16) -> bool) -> Self {
        let numbered = (0..).map(|number| (number, slot::of(&key(number))));
        Self(numbered.filter(|(_, slot)| wanted(*slot)).take(count).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Number and slot.
    pub(super) fn get(&self, at: usize) -> (u64, u16) {
        self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_the_slots() {
        let keys = Keys::of(100, |slot| slot < 1000);
        assert_eq!(keys.len(), 100);
        let fits = |(number, slot)| slot < 1000 && slot == slot::of(&key(number));
        assert!((0..100).all(|at| fits(keys.get(at))));
    }
}
