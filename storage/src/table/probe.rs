//! Finding, placing and removing items.

use super::bucket::{Bucket, Due, SLOTS, Word};
use super::{Array, Table, TableCore};
use crate::Millis;
use crate::entry::{self, Entry, EntryPtr};
use crate::epoch::Guard;
use crate::hash::{Hasher, Spot};
use crate::sync::{AtomicU64, Ordering};

/// A found item, and where it was found.
#[derive(Clone, Copy)]
pub(crate) struct Hit<'g> {
    pub(crate) entry: Entry<'g>,
    pub(crate) word: Word,
    array: &'g Array,
    bucket: &'g Bucket,
    home: usize,
    slot: usize,
    spilled: bool,
}

impl<'g> Hit<'g> {
    pub(crate) fn slot(&self) -> &'g AtomicU64 {
        &self.bucket.slots[self.slot]
    }

    /// What is in its place now. Only under the role.
    pub(crate) fn successor(&self) -> Option<Entry<'g>> {
        entry_of(self.bucket.word(self.slot))
    }

    /// It was looked at: it stays, on the small ring or in the main queue, and its uses count anew. Only
    /// under the role, and before anything else in the table changes.
    pub(crate) fn settle(&self, small: bool) {
        let word = self.bucket.word(self.slot).with_small(small).with_frequency(0);
        self.bucket.set_word(self.slot, word);
    }
}

/// An entry about to be published, with what the figures need of it.
#[derive(Clone, Copy)]
pub(crate) struct Item {
    pub(crate) entry: EntryPtr,
    pub(crate) bytes: usize,
    pub(crate) expire_at: Option<Millis>,
    /// When the expiry walk has something to do: see [`Entry::due`].
    pub(crate) due: Option<Millis>,
    /// Starts in the small ring of the eviction.
    pub(crate) small: bool,
}

impl Item {
    pub(crate) fn word(&self, tag: u16) -> Word {
        Word::new(self.entry, tag, self.expire_at.is_some()).with_small(self.small)
    }
}

/// The overflow bucket of a group and the buckets chained to it.
pub(super) struct Chain<'a>(Option<&'a Bucket>);

impl<'a> Iterator for Chain<'a> {
    type Item = &'a Bucket;

    fn next(&mut self) -> Option<&'a Bucket> {
        let bucket = self.0?;
        // SAFETY: chained buckets are published whole and live as long as their array, which is
        // borrowed for `'a`.
        self.0 = unsafe { bucket.chained().as_ref() };
        Some(bucket)
    }
}

/// Whether two keys are the same. Most are short: a call of the general comparison would cost more
/// than the comparison.
#[inline(always)]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ends = |x: &[u8]| {
        Some((u64::from_le_bytes(*x.first_chunk()?), u64::from_le_bytes(*x.last_chunk()?)))
    };
    match a.len() {
        8..=16 => ends(a) == ends(b),
        _ => a == b,
    }
}

impl Array {
    pub(super) fn chain(&self, home: usize) -> Chain<'_> {
        Chain(Some(self.overflow(home)))
    }

    /// Looks for `key` in this array only. The order of the looks is what makes it safe against
    /// moves: see the module above.
    #[inline]
    fn search<'g>(&'g self, spot: Spot, key: &[u8]) -> Option<Hit<'g>> {
        let home = self.home_of(spot);
        let bucket = self.home(home);
        let about = bucket.about();
        let in_home = self.search_bucket(bucket, home, spot, key, false);
        if in_home.is_some() || about.overflow() == 0 {
            return in_home;
        }
        self.search_spilled(home, spot, key)
    }

    #[cold]
    #[inline(never)]
    fn search_spilled<'g>(&'g self, home: usize, spot: Spot, key: &[u8]) -> Option<Hit<'g>> {
        for bucket in self.chain(home) {
            let hit = self.search_bucket(bucket, home, spot, key, true);
            if hit.is_some() {
                return hit;
            }
        }
        self.search_bucket(self.home(home), home, spot, key, false)
    }

    #[inline(always)]
    fn search_bucket<'g>(
        &'g self,
        bucket: &'g Bucket,
        home: usize,
        spot: Spot,
        key: &[u8],
        spilled: bool,
    ) -> Option<Hit<'g>> {
        for slot in bucket.candidates(spot.tag) {
            // Read again: what was there may have been replaced, or removed and moved, since. The
            // key decides.
            let word = bucket.word(slot);
            let Some(pointer) = word.entry() else {
                continue;
            };
            // SAFETY: the word was loaded (Acquire) under the guard or role that keeps `self`
            // borrowed for `'g`; entries are retired only after their word was replaced.
            let entry = unsafe { entry::view(pointer, word.frequency()) };
            if same(entry.key(), key) {
                return Some(Hit { entry, word, array: self, bucket, home, slot, spilled });
            }
        }
        None
    }

    /// A slot's item as if it had been looked up. Only under the role.
    pub(super) fn hit<'g>(
        &'g self,
        bucket: &'g Bucket,
        home: usize,
        slot: usize,
        spilled: bool,
    ) -> Option<Hit<'g>> {
        let word = bucket.word(slot);
        let entry = entry_of(word)?;
        Some(Hit { entry, word, array: self, bucket, home, slot, spilled })
    }

    /// Puts a word into its home, or into the overflow chain if the home is full. Returns the
    /// bytes a new chained bucket took. Only under the role.
    pub(super) fn place(&self, spot: Spot, word: Word) -> usize {
        let home = self.home_of(spot);
        let bucket = self.home(home);
        if let Some(slot) = bucket.free_slot() {
            bucket.set_word(slot, word);
            return 0;
        }
        // The count first: from the moment the word is there, every miss must look for it.
        bucket.set_about(bucket.about().overflow_changed(true));
        let mut last = self.overflow(home);
        for overflow in self.chain(home) {
            if let Some(slot) = overflow.free_slot() {
                overflow.set_word(slot, word);
                return 0;
            }
            last = overflow;
        }
        let fresh = Box::new(Bucket::new());
        fresh.set_word(0, word);
        last.set_chained(Box::into_raw(fresh));
        self.chained.store(self.chained.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        64
    }

    /// Brings one spilled item of `home` back into the home. Only under the role.
    fn pull_back(&self, home: usize, hasher: &Hasher) {
        let bucket = self.home(home);
        let Some(free) = bucket.free_slot() else {
            return;
        };
        if let Some((overflow, slot, word)) = self.spilled_of(home, hasher).next() {
            bucket.set_word(free, word);
            overflow.set_word(slot, Word::EMPTY);
            bucket.set_about(bucket.about().overflow_changed(false));
        }
    }

    /// The items of `home` in the overflow chain. Only under the role.
    pub(super) fn spilled_of<'a>(
        &'a self,
        home: usize,
        hasher: &'a Hasher,
    ) -> impl Iterator<Item = (&'a Bucket, usize, Word)> + 'a {
        self.chain(home).flat_map(move |bucket| {
            (0..SLOTS).filter_map(move |slot| {
                let word = bucket.word(slot);
                let key = key_of(word)?;
                (self.home_of(hasher.spot_of(key)) == home).then_some((bucket, slot, word))
            })
        })
    }
}

/// The key behind a word read from a live table.
pub(super) fn key_of<'a>(word: Word) -> Option<&'a [u8]> {
    Some(entry_of(word)?.key())
}

/// The entry behind a word read from a live table, under the role or a guard that outlives `'a`.
#[inline(always)]
pub(super) fn entry_of<'a>(word: Word) -> Option<Entry<'a>> {
    // SAFETY: private to the table, whose callers pass words they have just loaded under the role
    // or a pinned guard, and let the view go with it.
    Some(unsafe { entry::view(word.entry()?, word.frequency()) })
}

impl Table {
    /// Finds a key, expired or not.
    pub(crate) fn find<'g>(&self, spot: Spot, key: &[u8], guard: &'g Guard) -> Option<Hit<'g>> {
        let mut array = self.head(guard)?;
        loop {
            let hit = array.search(spot, key);
            if hit.is_some() {
                return hit;
            }
            array = array.next()?;
        }
    }

    /// Finds a key where most keys are: in its home in the oldest array. If it is not there, it may
    /// still be where [`Table::find`] looks.
    #[inline(always)]
    pub(crate) fn find_home<'g>(
        &self,
        spot: Spot,
        key: &[u8],
        guard: &'g Guard,
    ) -> Option<Hit<'g>> {
        let array = self.head(guard)?;
        let home = array.home_of(spot);
        array.search_bucket(array.home(home), home, spot, key, false)
    }

    /// Finds a key for a reader: its slot, the word that was read there, and the entry.
    #[inline(always)]
    pub(crate) fn look<'g>(
        &self,
        spot: Spot,
        key: &[u8],
        guard: &'g Guard,
    ) -> Option<(&'g AtomicU64, Word, Entry<'g>)> {
        if let Some(hit) = self.find_home(spot, key, guard) {
            return Some((hit.slot(), hit.word, hit.entry));
        }
        let (slot, word) = self.look_further(spot, key, guard)?;
        Some((slot, word, entry_of(word)?))
    }

    #[inline(never)]
    fn look_further<'g>(
        &self,
        spot: Spot,
        key: &[u8],
        guard: &'g Guard,
    ) -> Option<(&'g AtomicU64, Word)> {
        self.find(spot, key, guard).map(|hit| (hit.slot(), hit.word))
    }

    /// Puts an item that is not there yet. Only under the role.
    pub(crate) fn insert(
        &self,
        core: &mut TableCore,
        spot: Spot,
        item: Item,
        cx: &super::resize::Context<'_>,
    ) {
        self.make_room(core, cx);
        let Some(array) = self.newest(cx.guard) else {
            unreachable!("make_room leaves an array");
        };
        self.note_due(array, array.home_of(spot), item.due, item.expire_at);
        let bytes = array.place(spot, item.word(spot.tag));
        super::add(&self.figures.table_bytes, bytes as u64);
        self.figures.entry_added(item.bytes, item.expire_at);
    }

    /// Puts `item` in the place of a found one that takes `was` bytes; returns that. Only under the
    /// role.
    #[inline(always)]
    pub(crate) fn replace(&self, hit: &Hit<'_>, was: usize, tag: u16, item: Item) -> EntryPtr {
        self.note_due(hit.array, hit.home, item.due, item.expire_at);
        // The word as it is now: readers may have bumped it since.
        let old = hit.bucket.word(hit.slot);
        hit.bucket.set_word(hit.slot, item.word(tag).replacing(old));
        let expired_at = hit.entry.expire_at();
        // Most overwrites change neither: then the figures' line stays untouched.
        if was != item.bytes || expired_at != item.expire_at {
            self.figures.entry_changed(was, expired_at, false);
            self.figures.entry_changed(item.bytes, item.expire_at, true);
        }
        old.entry().expect("a hit's slot holds its entry until the role changes it")
    }

    /// A found collection was changed where it is: fields may expire earlier than before. Only under
    /// the role.
    pub(crate) fn note_fields(&self, hit: &Hit<'_>) {
        self.note_due(hit.array, hit.home, hit.entry.due(), hit.entry.expire_at());
    }

    #[inline]
    fn note_due(&self, array: &Array, home: usize, due: Option<Millis>, expire_at: Option<Millis>) {
        let Some(at) = due else { return };
        array.note_due(home, Due::at(at));
        if due != expire_at {
            self.figures.fields_expire();
        }
    }

    /// Removes a found item that takes `bytes`; returns it. Only under the role.
    pub(crate) fn remove(&self, hit: &Hit<'_>, bytes: usize, hasher: &Hasher) -> EntryPtr {
        let old = hit.bucket.word(hit.slot);
        hit.bucket.set_word(hit.slot, Word::EMPTY);
        let home = hit.array.home(hit.home);
        if hit.spilled {
            home.set_about(home.about().overflow_changed(false));
        } else if home.about().overflow() > 0 {
            hit.array.pull_back(hit.home, hasher);
        }
        self.figures.entry_removed(bytes, hit.entry.expire_at());
        old.entry().expect("a hit's slot holds its entry until the role changes it")
    }
}
