//! How long commands had to wait because slots were being handed over.
//!
//! A fence is counted from the decision for it until the slots are somebody else's on this node's own map,
//! or are served here again. Clients notice as much, and the way to the new owner.

use crate::cluster::change::Range;
use crate::cluster::stream::ranges::Ranges;
use std::collections::VecDeque;
use std::time::Duration;

/// Fences that are remembered one by one.
const REMEMBERED: usize = 128;

/// A fence that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Of which slots.
    pub slots: Ranges,
    /// How long it has lasted.
    pub lasted: Duration,
    /// They were handed over; else they are served here again.
    pub given: bool,
}

/// All of them since the start.
#[derive(Clone, Debug, Default)]
pub struct Fences {
    /// How many there were.
    pub count: u64,
    /// How many of them came to nothing.
    pub vain: u64,
    /// The longest.
    pub longest: Duration,
    latest: VecDeque<Fence>,
}

impl Fences {
    /// One is over.
    pub fn add(&mut self, fence: Fence) {
        self.count += 1;
        self.vain += u64::from(!fence.given);
        self.longest = self.longest.max(fence.lasted);
        if self.latest.len() >= REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(fence);
    }

    /// How long the last one has lasted.
    #[must_use]
    pub fn last(&self) -> Duration {
        self.latest.back().map_or(Duration::ZERO, |fence| fence.lasted)
    }

    /// The longest for which commands for one of these slots have waited when it was handed over, as far
    /// as that is remembered.
    #[must_use]
    pub fn of(&self, slots: &[Range]) -> Duration {
        let slots: Ranges = slots.iter().copied().collect();
        let touches = |fence: &&Fence| fence.given && !fence.slots.both(&slots).is_empty();
        self.latest.iter().filter(touches).map(|fence| fence.lasted).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_those_of_some_slots() {
        let mut fences = Fences::default();
        let mut add = |first: u16, millis: u64, given: bool| {
            let slots = [(first, first + 9)].into_iter().collect();
            fences.add(Fence { slots, lasted: Duration::from_millis(millis), given });
        };
        (0..200).for_each(|n| add(n * 10, u64::from(n), true));
        add(1990, 900, false);
        add(5000, 3, true);
        assert_eq!((fences.count, fences.vain), (202, 1));
        assert_eq!(fences.longest.as_millis(), 900);
        assert_eq!(fences.last().as_millis(), 3);
        assert_eq!(fences.of(&[(1985, 1995)]).as_millis(), 199);
        assert_eq!(fences.of(&[(5009, 5010)]).as_millis(), 3);
        assert_eq!(fences.of(&[(0, 9)]), Duration::ZERO);
        assert_eq!(fences.latest.len(), REMEMBERED);
    }
}
