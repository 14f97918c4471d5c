//! The heaviest of a stream of names, in a bounded table: Space-Saving.
//!
//! ```text
//! heap by count (the lightest first):   | name, count, error, value | ...   at most `most`
//! a new name when the table is full:    takes the place of the lightest, whose count is its error
//! ```
//!
//! A count is never less than the truth and never more than `error` above it; whatever makes up more
//! than one part in `most` of everything is in the table. Names that come once push each other out and
//! nobody else, so random names do not grow it. (A. Metwally, D. Agrawal, A. El Abbadi, *Efficient
//! Computation of Frequent and Top-k Elements in Data Streams*, ICDT 2005.)
//!
//! Each name carries a value, figures that are exact since it came in; who is pushed out gives them
//! back, so that they can be counted with all others.

use ahash::AHashMap;

/// Bytes of a name that are kept; names are told apart by their hashes.
pub(super) const NAME_MAX: usize = 512;

/// A name in the table.
#[derive(Clone, Debug)]
pub(super) struct Item<V> {
    pub(super) name: Box<[u8]>,
    pub(super) id: u64,
    /// At most by `error` too high.
    pub(super) count: f64,
    pub(super) error: f64,
    pub(super) value: V,
}

impl<V> Item<V> {
    /// What it certainly has.
    pub(super) fn least(&self) -> f64 {
        self.count - self.error
    }
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct TopK<V> {
    most: usize,
    heap: Vec<Item<V>>,
    places: AHashMap<u64, usize>,
}

impl<V: Default> TopK<V> {
    /// For so many names; takes no memory yet.
    pub(super) fn new(most: usize) -> Self {
        TopK { most: most.max(1), heap: Vec::new(), places: AHashMap::new() }
    }

    /// Counts a name, of which `id` is a hash, and lets `change` change its value. The value of whom
    /// it has pushed out.
    pub(super) fn add(
        &mut self,
        id: u64,
        name: &[u8],
        weight: f64,
        change: impl FnOnce(&mut V),
    ) -> Option<V> {
        let (place, out) = match self.places.get(&id) {
            Some(&place) => (place, None),
            None => self.admit(id, name),
        };
        let item = &mut self.heap[place];
        item.count += weight;
        change(&mut item.value);
        self.sink(place);
        out
    }

    /// Makes a place for a new name.
    fn admit(&mut self, id: u64, name: &[u8]) -> (usize, Option<V>) {
        let name = name[..name.len().min(NAME_MAX)].into();
        if self.heap.len() < self.most {
            let item = Item { name, id, count: 0.0, error: 0.0, value: V::default() };
            self.heap.push(item);
            let place = self.rise(self.heap.len() - 1);
            self.places.insert(id, place);
            return (place, None);
        }
        let lightest = &mut self.heap[0];
        self.places.remove(&lightest.id);
        lightest.id = id;
        lightest.name = name;
        lightest.error = lightest.count;
        self.places.insert(id, 0);
        (0, Some(std::mem::take(&mut lightest.value)))
    }

    /// Moves an item towards the root until what is above it is lighter; where it comes to rest.
    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above].count <= self.heap[place].count {
                break;
            }
            self.swap(above, place);
            place = above;
        }
        place
    }

    /// Moves an item away from the root until what is below it is heavier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = place * 2 + 1..(place * 2 + 3).min(self.heap.len());
            let lightest = below.min_by(|a, b| self.heap[*a].count.total_cmp(&self.heap[*b].count));
            match lightest {
                Some(child) if self.heap[child].count < self.heap[place].count => {
                    self.swap(child, place);
                    place = child;
                }
                _ => return,
            }
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places.insert(self.heap[a].id, a);
        self.places.insert(self.heap[b].id, b);
    }

    /// Multiplies all counts.
    pub(super) fn scale(&mut self, factor: f64) {
        for item in &mut self.heap {
            item.count *= factor;
            item.error *= factor;
        }
    }

    /// All that is in it, in no order.
    pub(super) fn items(&self) -> &[Item<V>] {
        &self.heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Draws from a Zipf distribution over `n` names.
    fn zipf(n: usize, exponent: f64) -> impl FnMut() -> u64 {
        let mut sums = Vec::new();
        let mut sum = 0.0;
        for rank in 1..=n {
            sum += (rank as f64).powf(-exponent);
            sums.push(sum);
        }
        let mut state = 7_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 11) as f64 / (1_u64 << 53) as f64 * sum;
            sums.partition_point(|s| *s < at) as u64
        }
    }

    /// The heaviest names by what they certainly have.
    fn heaviest<V: Default>(top: &TopK<V>, count: usize) -> Vec<&Item<V>> {
        let mut items: Vec<_> = top.items().iter().collect();
        items.sort_by(|a, b| b.least().total_cmp(&a.least()));
        items.truncate(count);
        items
    }

    fn id(name: u64) -> u64 {
        name.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn the_heaviest_of_a_skewed_stream_are_found_in_order() {
        let mut draw = zipf(100_000, 1.0);
        let mut top: TopK<u64> = TopK::new(512);
        let mut exact: HashMap<u64, u64> = HashMap::new();
        for _ in 0..300_000 {
            let name = draw();
            *exact.entry(name).or_default() += 1;
            top.add(id(name), &name.to_le_bytes(), 1.0, |value| *value += 1);
        }
        let mut truth: Vec<_> = exact.iter().map(|(name, count)| (*count, *name)).collect();
        truth.sort_unstable_by(|a, b| b.cmp(a));
        let found: Vec<u64> = heaviest(&top, 10).iter().map(|item| item.id).collect();
        let wanted: Vec<u64> = truth[..10].iter().map(|(_, name)| id(*name)).collect();
        assert_eq!(found, wanted);
        let heaviest = heaviest(&top, 1)[0];
        assert_eq!(heaviest.value, truth[0].0, "it was there from the start");
    }

    proptest! {
        #[test]
        fn counts_keep_their_promise(
            stream in proptest::collection::vec((0_u64..60, 1_u32..50), 1..800),
            most in 1_usize..40,
        ) {
            let mut top: TopK<f64> = TopK::new(most);
            let mut exact: HashMap<u64, f64> = HashMap::new();
            let (mut all, mut out) = (0.0, 0.0);
            for (name, weight) in stream {
                let weight = f64::from(weight);
                *exact.entry(name).or_default() += weight;
                all += weight;
                let pushed = top.add(id(name), &name.to_le_bytes(), weight, |value| *value += weight);
                out += pushed.unwrap_or_default();
            }
            prop_assert!(top.items().len() <= most);
            let by_id: HashMap<u64, f64> = exact.iter().map(|(n, c)| (id(*n), *c)).collect();
            for item in top.items() {
                let truth = by_id[&item.id];
                prop_assert!(item.least() <= truth && truth <= item.count);
                prop_assert!(item.value <= truth && item.value >= item.least());
            }
            for (id, truth) in &by_id {
                let there = top.items().iter().any(|item| item.id == *id);
                prop_assert!(there || *truth <= all / most as f64);
            }
            let inside: f64 = top.items().iter().map(|item| item.value).sum();
            prop_assert_eq!(inside + out, all, "nothing is lost");
        }
    }

    #[test]
    fn random_names_push_out_each_other_only() {
        let mut top: TopK<()> = TopK::new(64);
        for i in 0..100_000 {
            top.add(1, b"heavy", 1.0, |()| ());
            top.add(id(i + 2), b"random", 1.0, |()| ());
        }
        assert_eq!(top.items().len(), 64);
        assert_eq!(&*heaviest(&top, 1)[0].name, b"heavy");
        let long = vec![b'k'; 100_000];
        top.add(0, &long, 1e9, |()| ());
        assert_eq!(heaviest(&top, 1)[0].name.len(), NAME_MAX, "long names are cut");
    }
}
