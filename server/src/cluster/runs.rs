//! A table with a value for every slot, kept as runs of slots with equal values: that is how slots are
//! placed, planned, shown to clients and stored.

use super::slot::SLOTS;
use serde::{Deserialize, Serialize};

/// Consecutive slots with the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run<T> {
    /// The first of them.
    pub first: u16,
    /// The last of them.
    pub last: u16,
    /// What they have.
    pub value: T,
}

impl<T> Run<T> {
    /// How many slots.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.last - self.first + 1
    }
}

/// A value for every slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Runs<T> {
    /// In their order, without gaps; neighbours have different values.
    runs: Vec<Run<T>>,
}

impl<T: Default> Default for Runs<T> {
    fn default() -> Self {
        Runs { runs: vec![Run { first: 0, last: SLOTS - 1, value: T::default() }] }
    }
}

impl<T: Copy + PartialEq> Runs<T> {
    /// From pieces that cover all slots, in their order; neighbours may have equal values.
    ///
    /// # Panics
    /// If they do not.
    #[must_use]
    pub fn of(mut pieces: Vec<Run<T>>) -> Self {
        let ends = pieces.iter().map(|run| run.last + 1);
        let firsts = pieces.iter().skip(1).map(|run| run.first).chain([SLOTS]);
        let from_zero = pieces.first().is_some_and(|run| run.first == 0);
        assert!(from_zero && ends.eq(firsts), "pieces that are not all slots in order");
        join(&mut pieces);
        Runs { runs: pieces }
    }

    /// The value of a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn get(&self, slot: u16) -> T {
        self.runs[self.index(slot)].value
    }

    /// The runs in their order.
    #[must_use]
    pub fn runs(&self) -> &[Run<T>] {
        &self.runs
    }

    /// Gives the slots from `first` to `last` a value.
    pub fn set(&mut self, first: u16, last: u16, value: T) {
        let (from, to) = (self.index(first), self.index(last));
        let (head, tail) = (self.runs[from], self.runs[to]);
        let mut pieces = Vec::with_capacity(5);
        pieces.extend(from.checked_sub(1).map(|before| self.runs[before]));
        pieces.extend((head.first < first).then(|| Run { last: first - 1, ..head }));
        pieces.push(Run { first, last, value });
        pieces.extend((tail.last > last).then(|| Run { first: last + 1, ..tail }));
        pieces.extend(self.runs.get(to + 1).copied());
        join(&mut pieces);
        let end = (to + 2).min(self.runs.len());
        self.runs.splice(from.saturating_sub(1)..end, pieces);
    }

    /// Another table: what `value` makes of each value.
    pub fn map<U: Copy + PartialEq>(&self, mut value: impl FnMut(T) -> U) -> Runs<U> {
        let of = |run: &Run<T>| Run { first: run.first, last: run.last, value: value(run.value) };
        let mut runs = self.runs.iter().map(of).collect();
        join(&mut runs);
        Runs { runs }
    }

    /// The runs of both tables side by side, cut where either changes.
    pub fn zip<U: Copy + PartialEq>(&self, other: &Runs<U>) -> Vec<Run<(T, U)>> {
        let (mut left, mut right) = (self.runs.iter(), other.runs.iter());
        let (mut a, mut b) = (left.next(), right.next());
        let mut pieces = Vec::with_capacity(self.runs.len().max(other.runs.len()));
        let mut first = 0;
        while let (Some(x), Some(y)) = (a, b) {
            let last = x.last.min(y.last);
            pieces.push(Run { first, last, value: (x.value, y.value) });
            first = last.saturating_add(1);
            if x.last == last {
                a = left.next();
            }
            if y.last == last {
                b = right.next();
            }
        }
        pieces
    }

    /// The run that a slot is in.
    fn index(&self, slot: u16) -> usize {
        assert!(slot < SLOTS, "there is no slot {slot}");
        self.runs.partition_point(|run| run.last < slot)
    }
}

/// Makes one run of neighbours with equal values.
fn join<T: PartialEq>(runs: &mut Vec<Run<T>>) {
    runs.dedup_by(|run, before| {
        let same = run.value == before.value;
        if same {
            before.last = run.last;
        }
        same
    });
}

/// Runs from elsewhere have to be what [`Runs`] promises.
impl<'de, T: Copy + PartialEq + Deserialize<'de>> Deserialize<'de> for Runs<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut runs = Vec::<Run<T>>::deserialize(deserializer)?;
        let mut next = 0;
        for run in &runs {
            if run.first != next || run.last < run.first || run.last >= SLOTS {
                return Err(serde::de::Error::custom("runs of slots with gaps"));
            }
            next = run.last + 1;
        }
        if next != SLOTS {
            return Err(serde::de::Error::custom("runs that do not cover all slots"));
        }
        join(&mut runs);
        Ok(Runs { runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn like_an_array(changes in proptest::collection::vec((0..SLOTS, 0..SLOTS, 0..3_u8), 0..40)) {
            let mut runs = Runs::<u8>::default();
            let mut model = vec![0; usize::from(SLOTS)];
            for (a, b, value) in changes {
                let (first, last) = (a.min(b), a.max(b));
                runs.set(first, last, value);
                model[usize::from(first)..=usize::from(last)].fill(value);
            }
            for slot in 0..SLOTS {
                prop_assert_eq!(runs.get(slot), model[usize::from(slot)]);
            }
            let pairs = runs.runs().windows(2);
            prop_assert!(pairs.clone().all(|pair| pair[0].last + 1 == pair[1].first));
            prop_assert!(pairs.clone().all(|pair| pair[0].value != pair[1].value));
            let doubled = runs.map(|value| value / 2);
            prop_assert_eq!(doubled.get(77), model[77] / 2);
            let both = runs.zip(&doubled);
            let covered: u32 = both.iter().map(|run| u32::from(run.count())).sum();
            prop_assert_eq!(covered, u32::from(SLOTS));
            prop_assert!(both.iter().all(|run| run.value.0 / 2 == run.value.1));
            let mut pieces = both;
            pieces.iter_mut().for_each(|run| run.value.0 /= 2);
            let halves = pieces.iter().map(|run| Run { first: run.first, last: run.last, value: run.value.0 });
            prop_assert_eq!(Runs::of(halves.collect()), doubled);
            let text = serde_json::to_string(&runs).unwrap();
            prop_assert_eq!(serde_json::from_str::<Runs<u8>>(&text).unwrap(), runs);
        }
    }

    #[test]
    fn gaps_are_refused() {
        for text in
            ["[]", r#"[{"first":0,"last":5,"value":1}]"#, r#"[{"first":1,"last":16383,"value":1}]"#]
        {
            assert!(serde_json::from_str::<Runs<u8>>(text).is_err(), "{text}");
        }
    }
}
