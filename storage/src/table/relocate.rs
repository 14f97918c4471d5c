//! Moving entries to other places in memory.

use super::bucket::{Bucket, SLOTS};
use super::iter::{POSITION_END, bucket_end};
use super::probe::entry_of;
use super::{Array, HOMES, Table};
use crate::entry::{Entry, EntryPtr};
use crate::epoch::Guard;

impl Table {
    /// Visits the entries at positions from `from` to the end of that bucket, of all arrays, and puts
    /// what `place` makes of those that are on a leaving page in their place. Returns the position to go
    /// on with ([`POSITION_END`] at the end) and how many slots it has looked at. Only under the role.
    ///
    /// An item keeps its slot, and readers find the old entry or the new one, which are the same. What
    /// has spilled is visited with the last home of its group.
    pub(crate) fn relocate<'g>(
        &self,
        from: u64,
        guard: &'g Guard,
        place: &mut dyn FnMut(EntryPtr, Entry<'g>) -> EntryPtr,
    ) -> (u64, usize) {
        let Some(head) = self.head(guard) else { return (POSITION_END, 0) };
        let arrays = || std::iter::successors(Some(head), |array| array.next());
        let to = arrays().map(|array| bucket_end(array, from)).max().unwrap_or(POSITION_END);
        let mut looked = 0;
        for array in arrays() {
            for home in array.home_at(from)..=array.home_at(to - 1) {
                looked += array.relocate(home, place);
            }
        }
        (to, looked)
    }
}

impl Array {
    fn relocate<'g>(
        &'g self,
        home: usize,
        place: &mut dyn FnMut(EntryPtr, Entry<'g>) -> EntryPtr,
    ) -> usize {
        let mut looked = self.home(home).relocate(place);
        if home % HOMES == HOMES - 1 {
            looked += self.chain(home).map(|bucket| bucket.relocate(place)).sum::<usize>();
        }
        looked
    }
}

impl Bucket {
    fn relocate<'g>(&self, place: &mut dyn FnMut(EntryPtr, Entry<'g>) -> EntryPtr) -> usize {
        let entries = || (0..SLOTS).filter_map(|slot| Some((slot, self.word(slot).entry()?)));
        entries().for_each(|(_, pointer)| pointer.prefetch_page());
        for (slot, pointer) in entries() {
            let word = self.word(slot);
            // SAFETY: the caller holds the role, so what is in a slot is alive.
            if unsafe { pointer.is_leaving() }
                && let Some(entry) = entry_of(word)
            {
                self.set_word(slot, word.moved_to(place(pointer, entry)));
            }
        }
        SLOTS
    }
}
