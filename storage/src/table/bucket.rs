//! One cache line: seven slot words and a word about the bucket.
//!
//! ```text
//! slot word   | ttl 1 | small 1 | frequency 2 | tag 12 | entry address 48 |     0 = empty
//! about word  | version 8 (later) | - 4 | overflow count 12 | min expiry 40 |     of a home bucket
//!             | address of the next bucket of the chain |                       of an overflow bucket
//! ```
//!
//! | word | written by | read by |
//! |---|---|---|
//! | slot | the writer role (Release); readers bump the frequency by CAS (Relaxed) | readers (Acquire) |
//! | about | the writer role (Release) | readers (Acquire), **before** the slots |
//!
//! A reader's CAS changes only the frequency of a word whose pointer is still there; the entry
//! behind it cannot be freed and its address not be reused while that reader is pinned, so the CAS
//! never revives a word that was replaced. A writer's plain store may lose a bump: harmless.

use crate::Millis;
use crate::entry::EntryPtr;
use crate::hash::TAG_HASH_BITS;
use crate::sync::{Alive, AtomicU64, Ordering};

/// Slots per bucket. Two under the model checker, so that overflow happens in tiny models.
pub(crate) const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };

const ADDRESS_MASK: u64 = (1 << 48) - 1;
const TAG_SHIFT: u32 = 48;
const TAG_MASK: u64 = 0xfff << TAG_SHIFT;
const FREQUENCY_SHIFT: u32 = 60;
const FREQUENCY_MASK: u64 = 3 << FREQUENCY_SHIFT;
const SMALL: u64 = 1 << 62;
const TTL: u64 = 1 << 63;

/// The highest frequency a slot can hold.
pub(crate) const FREQUENCY_MAX: u8 = 3;

/// What a slot says about its entry. All zero: empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) const EMPTY: Word = Word(0);

    pub(crate) fn new(entry: EntryPtr, tag: u16, has_ttl: bool) -> Self {
        let ttl = if has_ttl { TTL } else { 0 };
        Word(entry.addr() | u64::from(tag) << TAG_SHIFT | ttl)
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(crate) fn tag_is(self, tag: u16) -> bool {
        (self.0 ^ u64::from(tag) << TAG_SHIFT) & TAG_MASK == 0
    }

    /// Whether the tag is of one of the groups of slots that are set in `groups` (see
    /// [`crate::slots`]).
    #[inline(always)]
    pub(crate) fn is_in_groups(self, groups: u64) -> bool {
        groups >> (self.0 >> (TAG_SHIFT + TAG_HASH_BITS) & 63) & 1 != 0
    }

    #[inline(always)]
    pub(crate) fn entry(self) -> Option<EntryPtr> {
        EntryPtr::from_addr(self.0 & ADDRESS_MASK)
    }

    /// The entry's address, for prefetching only.
    pub(crate) fn address(self) -> *const u8 {
        std::ptr::without_provenance((self.0 & ADDRESS_MASK) as usize)
    }

    #[inline(always)]
    pub(crate) fn frequency(self) -> u8 {
        (self.0 >> FREQUENCY_SHIFT & 3) as u8
    }

    pub(crate) fn with_frequency(self, frequency: u8) -> Self {
        debug_assert!(frequency <= FREQUENCY_MAX);
        Word(self.0 & !FREQUENCY_MASK | u64::from(frequency) << FREQUENCY_SHIFT)
    }

    pub(crate) fn is_small(self) -> bool {
        self.0 & SMALL != 0
    }

    pub(crate) fn with_small(self, small: bool) -> Self {
        Word(if small { self.0 | SMALL } else { self.0 & !SMALL })
    }

    pub(crate) fn has_ttl(self) -> bool {
        self.0 & TTL != 0
    }

    /// The same item at another place in memory.
    pub(crate) fn moved_to(self, entry: EntryPtr) -> Self {
        Word(self.0 & !ADDRESS_MASK | entry.addr())
    }

    /// This entry in the place of `old`: keeps what is known about the use of the key, and counts
    /// as a use itself.
    pub(crate) fn replacing(self, old: Word) -> Self {
        let frequency = (old.frequency() + 1).min(FREQUENCY_MAX);
        self.with_frequency(frequency).with_small(old.is_small())
    }
}

const MIN_MASK: u64 = (1 << 40) - 1;
const COUNT_SHIFT: u32 = 40;
const COUNT_MAX: u64 = 0xfff;

/// What a home bucket says about itself. All zero: nothing special.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct About(pub(crate) u64);

impl About {
    /// How many items of this home live in its group's overflow chain.
    #[inline(always)]
    pub(crate) fn overflow(self) -> u64 {
        self.0 >> COUNT_SHIFT & COUNT_MAX
    }

    /// How many these are at most: a count that is at its maximum says nothing more.
    pub(crate) fn overflow_most(self) -> u64 {
        match self.overflow() {
            COUNT_MAX => u64::MAX,
            count => count,
        }
    }

    /// One item more or less in the overflow chain. A count that ever reached its maximum stays
    /// there: it only costs readers a look.
    pub(crate) fn overflow_changed(self, more: bool) -> Self {
        match (self.overflow(), more) {
            (COUNT_MAX, _) => self,
            (_, true) => About(self.0 + (1 << COUNT_SHIFT)),
            (0, false) => unreachable!("an item left an empty overflow chain"),
            (_, false) => About(self.0 - (1 << COUNT_SHIFT)),
        }
    }

    /// The earliest expiry that may be in this bucket, as a due time; nothing = no expiry.
    pub(crate) fn due(self) -> Option<Due> {
        (self.0 & MIN_MASK).checked_sub(1).map(Due)
    }

    pub(crate) fn with_due(self, due: Option<Due>) -> Self {
        About(self.0 & !MIN_MASK | due.map_or(0, |due| due.0 + 1))
    }
}

/// A moment in 64-ms units, rounded down: a bucket is never visited too late, and at most 64 ms
/// too early.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Due(pub(crate) u64);

impl Due {
    pub(crate) fn at(expire_at: Millis) -> Self {
        Due(((expire_at.max(0) as u64) >> 6).min(MIN_MASK - 1))
    }
}

/// A cache line of slots. Homes and overflow buckets have the same shape.
#[repr(C, align(64))]
pub(crate) struct Bucket {
    pub(crate) slots: [AtomicU64; SLOTS],
    about: AtomicU64,
    pub(crate) alive: Alive,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bucket>() == 64);

/// A set of slots.
#[derive(Clone, Copy)]
pub(crate) struct Candidates(u32);

impl Candidates {
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Candidates {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (slot < SLOTS).then_some(slot)
    }
}

impl Bucket {
    pub(crate) fn new() -> Self {
        let slots = std::array::from_fn(|_| AtomicU64::new(0));
        Self { slots, about: AtomicU64::new(0), alive: Alive::new() }
    }

    #[inline(always)]
    pub(crate) fn word(&self, slot: usize) -> Word {
        self.alive.read();
        let word = Word(self.slots[slot].load(Ordering::Acquire));
        #[cfg(shuttle)]
        assert_ne!(word.0, crate::steps::FREED_WORD, "a freed bucket was read");
        word
    }

    /// The slots whose tag is `tag`, one bit each, found without a branch: which of the slots it is
    /// cannot be predicted. An empty slot fits tag 0.
    #[inline(always)]
    pub(crate) fn candidates(&self, tag: u16) -> Candidates {
        #[cfg(all(target_arch = "x86_64", not(any(loom, shuttle, miri))))]
        // SAFETY: SSE2 is part of x86-64.
        return Candidates(unsafe { wide::candidates(self, tag) });
        #[cfg(not(all(target_arch = "x86_64", not(any(loom, shuttle, miri)))))]
        {
            let fit = |slot| u32::from(self.word(slot).tag_is(tag)) << slot;
            Candidates((0..SLOTS).fold(0, |bits, slot| bits | fit(slot)))
        }
    }

    /// Only under the role.
    pub(crate) fn set_word(&self, slot: usize, word: Word) {
        #[cfg(loom)]
        if crate::model::readers_bump() {
            // The checker lets a store come before an exchange that the stored word has overtaken,
            // which no machine does: the exchange would have failed.
            self.slots[slot].swap(word.0, Ordering::Release);
            return;
        }
        self.slots[slot].store(word.0, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn about(&self) -> About {
        self.alive.read();
        About(self.about.load(Ordering::Acquire))
    }

    /// Only under the role.
    pub(crate) fn set_about(&self, about: About) {
        self.about.store(about.0, Ordering::Release);
    }

    /// The next bucket of an overflow chain.
    #[inline]
    pub(crate) fn chained(&self) -> *mut Bucket {
        self.alive.read();
        std::ptr::with_exposed_provenance_mut(self.about.load(Ordering::Acquire) as usize)
    }

    /// The about word of a bucket that has been freed.
    #[cfg(loom)]
    pub(crate) fn about_word(&self) -> u64 {
        self.about.load(Ordering::Relaxed)
    }

    /// Only under the role, and only for overflow buckets.
    pub(crate) fn set_chained(&self, next: *mut Bucket) {
        self.about.store(next.expose_provenance() as u64, Ordering::Release);
    }

    /// The first free slot. Only under the role.
    pub(crate) fn free_slot(&self) -> Option<usize> {
        (0..SLOTS).find(|&slot| self.word(slot).is_empty())
    }
}

/// A reader's mark that an item is in use. Costs a shared write only until it is saturated.
#[inline]
pub(crate) fn bump(slot: &AtomicU64, word: Word) {
    let frequency = word.frequency();
    if frequency < FREQUENCY_MAX {
        let next = word.with_frequency(frequency + 1);
        // A lost race means that the item was used or replaced at this moment.
        let _ = slot.compare_exchange(word.0, next.0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The tags of a bucket compared two words at a time.
#[cfg(all(target_arch = "x86_64", not(any(loom, shuttle, miri))))]
mod wide {
    use core::arch::asm;
    use core::arch::x86_64::{
        __m128i, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32,
        _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32, _mm_setzero_si128,
        _mm_shuffle_ps,
    };

    use super::{Bucket, SLOTS, TAG_MASK, TAG_SHIFT};

    /// Where the tag is in the upper half of a word.
    const SHIFT: u32 = TAG_SHIFT - 32;
    const MASK: i32 = (TAG_MASK >> 32) as i32;
    /// The upper halves of the words of two registers.
    const UPPER: i32 = 0b11_01_11_01;

    /// The words of slots `AT` and `AT + 1` (the last one is the about word).
    #[inline(always)]
    fn pair<const AT: usize>(bucket: &Bucket) -> __m128i {
        const { assert!(AT.is_multiple_of(2) && AT < SLOTS + 1) };
        let words: __m128i;
        // Not a plain load: the writer may be storing a word. To the compiler this is an access it
        // knows nothing about, and the order of others around it stays; to the processor it is two
        // loads of aligned words, each whole, with the order that all loads have (Acquire).
        // SAFETY: a bucket is eight words, aligned to its size.
        unsafe {
            asm!(
                "movdqa {words}, [{bucket} + {at}]",
                words = out(xmm_reg) words,
                bucket = in(reg) core::ptr::from_ref(bucket),
                at = const AT * 8,
                options(nostack, preserves_flags),
            );
        }
        words
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn upper(a: __m128i, b: __m128i) -> __m128i {
        _mm_castps_si128(_mm_shuffle_ps::<UPPER>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn candidates(bucket: &Bucket, tag: u16) -> u32 {
        let low = upper(pair::<0>(bucket), pair::<2>(bucket));
        let high = upper(pair::<4>(bucket), pair::<6>(bucket));
        let wanted = _mm_set1_epi32(i32::from(tag) << SHIFT);
        let mask = _mm_set1_epi32(MASK);
        let low = _mm_cmpeq_epi32(_mm_and_si128(low, mask), wanted);
        let high = _mm_cmpeq_epi32(_mm_and_si128(high, mask), wanted);
        let bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
        _mm_movemask_epi8(bytes) as u32 & ((1 << SLOTS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_the_slots_with_the_tag() {
        let entry = EntryPtr::from_addr(0x1234_5678_9abc).expect("not null");
        let bucket = Bucket::new();
        bucket.set_about(About(u64::MAX));
        for fill in 0..1 << SLOTS {
            for (tag, other) in [(0xabc, 0xabd), (1, 0), (0xfff, 0x7ff)] {
                for slot in 0..SLOTS {
                    let tag = if fill >> slot & 1 == 1 { tag } else { other };
                    bucket.set_word(slot, Word::new(entry, tag, slot % 2 == 0).with_frequency(3));
                }
                let wanted: Vec<usize> = (0..SLOTS).filter(|slot| fill >> slot & 1 == 1).collect();
                assert_eq!(bucket.candidates(tag).collect::<Vec<_>>(), wanted);
            }
        }
    }

    #[test]
    fn about_keeps_its_parts_apart() {
        let about = About(0);
        assert_eq!(about.due(), None);
        let about = about.with_due(Some(Due::at(0))).overflow_changed(true);
        assert_eq!((about.due(), about.overflow()), (Some(Due(0)), 1));
        let about = about.with_due(Some(Due::at(i64::MAX)));
        assert_eq!((about.due(), about.overflow()), (Some(Due(MIN_MASK - 1)), 1));
        assert_eq!(about.with_due(None).overflow_changed(false), About(0));
    }

    #[test]
    fn due_times_round_down_and_saturate() {
        assert_eq!(Due::at(12_345), Due(192));
        assert_eq!(Due::at(-7), Due(0));
        assert_eq!(Due::at(i64::MAX), Due(MIN_MASK - 1));
    }
}
