//! The members of a large sorted set with their scores, in few allocations.
//!
//! ```text
//! id       | chunk, 22 bits | slot, 10 bits |
//!
//! chunk    | slot | slot | slot | ...              slots of one size; grows in steps, to 32 KiB
//! slot     | score f64 | spare u8 | member .. spare bytes .. |
//! large    | score f64 | pointer to the member |   a chunk for members that fit no slot
//! ```
//!
//! A slot's size is one of some thirty *classes*. The slots of a class are dense: when one is given
//! up, the last of its class is moved there, so memory follows the number of members both up and
//! down and nothing is ever searched for. The price is that an id may change when another is
//! given up, so [`Arena::remove`] tells whoever keeps ids.
//!
//! Chunks bound what growing copies. Only the list of chunks is one allocation: 32 bytes for 64
//! members at least.

use crate::memory::usable;

/// Bits of an id that name the slot in its chunk.
const SLOT_BITS: u32 = 10;
/// Most slots of a chunk.
const SLOTS_MAX: usize = 1 << SLOT_BITS;
/// A chunk with slots for members is at most this long.
const CHUNK_BYTES: usize = 32 * 1024;
/// A new chunk has room for this many slots,
const FIRST_SLOTS: usize = 8;
/// and grows by this fraction of itself.
const GROWTH_SHARE: usize = 2;
/// Bytes before the member: its score, and how many bytes of the slot are spare.
const HEADER: usize = size_of::<f64>() + 1;
/// Slots up to this size come in steps of [`STEP`] bytes, larger ones in four per doubling.
const EVEN: usize = 64;
/// See [`EVEN`].
const STEP: usize = 4;
/// Longer members have an allocation of their own.
const SLOT_MAX: usize = 512;
/// Number of the class for members that fit no slot.
const LARGE: usize = class_of(SLOT_MAX) + 1;
/// Number of classes.
const CLASSES: usize = LARGE + 1;

/// In place of a chunk's number: there is none.
const NONE: u32 = u32::MAX;

/// The scores and members of a sorted set, each under a number.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Chunk>,
    /// The last chunk of each class. All others of a class are full.
    last: [u32; CLASSES],
    /// The last chunk of those that hold nothing and will be used again.
    unused: u32,
    /// Bytes on the heap, apart from the list of chunks.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Chunk {
    slots: Slots,
    /// Size of a slot.
    size: u32,
    /// The chunk before, in its class or among the unused.
    previous: u32,
}

#[derive(Clone, Debug)]
enum Slots {
    /// Slots with members in them.
    Inline(Vec<u8>),
    /// Slots with pointers to members.
    Large(Vec<Large>),
}

#[derive(Clone, Debug)]
struct Large {
    score: f64,
    member: Box<[u8]>,
}

/// The class of slots of `size` bytes.
const fn class_of(size: usize) -> usize {
    if size <= EVEN {
        return size.div_ceil(STEP);
    }
    let doubling = (usize::BITS - 1 - (size - 1).leading_zeros()) as usize;
    let step = 1 << (doubling - 2);
    // The first step above `EVEN` follows the last one of the even classes.
    EVEN / STEP + (doubling - EVEN.ilog2() as usize) * 4 + size.div_ceil(step) - 4
}

/// The size of the slots of a class.
const fn size_of_class(class: usize) -> usize {
    let even = EVEN / STEP;
    if class <= even {
        return class * STEP;
    }
    let (doubling, part) = ((class - even - 1) / 4, (class - even - 1) % 4);
    (EVEN << doubling) / 4 * (part + 5)
}

/// The most slots of `size` bytes in one chunk.
const fn most_slots(size: usize) -> usize {
    let fit = CHUNK_BYTES / size;
    if fit < SLOTS_MAX { fit } else { SLOTS_MAX }
}

fn class_for(member: &[u8]) -> usize {
    match HEADER + member.len() {
        size if size <= SLOT_MAX => class_of(size),
        _ => LARGE,
    }
}

fn split(id: u32) -> (usize, usize) {
    ((id >> SLOT_BITS) as usize, id as usize % SLOTS_MAX)
}

/// The smallest id in chunk number `chunk`, plus `slot`.
///
/// # Panics
///
/// At 2^22 chunks, which hold more than 60 GiB.
fn join(chunk: u32, slot: usize) -> u32 {
    assert!(chunk >> (u32::BITS - SLOT_BITS) == 0, "a sorted set beyond what ids can number");
    (chunk << SLOT_BITS) + slot as u32
}

impl Chunk {
    fn new(class: usize, previous: u32) -> Self {
        let (slots, size) = match class {
            LARGE => (Slots::Large(Vec::new()), size_of::<Large>()),
            _ => (Slots::Inline(Vec::new()), size_of_class(class)),
        };
        Chunk { slots, size: size as u32, previous }
    }

    fn size(&self) -> usize {
        self.size as usize
    }

    fn class(&self) -> usize {
        match self.slots {
            Slots::Inline(_) => class_of(self.size()),
            Slots::Large(_) => LARGE,
        }
    }

    fn len(&self) -> usize {
        match &self.slots {
            Slots::Inline(bytes) => bytes.len() / self.size(),
            Slots::Large(slots) => slots.len(),
        }
    }

    /// The most slots that the chunk may get.
    fn most(&self) -> usize {
        most_slots(self.size())
    }

    /// Bytes of the chunk itself.
    fn own_bytes(&self) -> usize {
        match &self.slots {
            Slots::Inline(bytes) => heap_bytes(bytes.capacity()),
            Slots::Large(slots) => heap_bytes(slots.capacity() * self.size()),
        }
    }

    fn push(&mut self, score: f64, member: &[u8]) {
        let (size, len) = (self.size(), self.len());
        // When it is full, the chunk gets room for some slots more, but not for many.
        let more = FIRST_SLOTS.max(len / GROWTH_SHARE).min(self.most() - len);
        match &mut self.slots {
            Slots::Inline(bytes) => {
                if bytes.len() == bytes.capacity() {
                    bytes.reserve_exact(more * size);
                }
                let spare = size - HEADER - member.len();
                bytes.extend_from_slice(&score.to_le_bytes());
                bytes.push(u8::try_from(spare).expect("classes are not that far apart"));
                bytes.extend_from_slice(member);
                bytes.resize(bytes.len() + spare, 0);
            }
            Slots::Large(slots) => {
                if slots.len() == slots.capacity() {
                    slots.reserve_exact(more);
                }
                slots.push(Large { score, member: member.into() });
            }
        }
    }

    /// Drops the last slot, and memory if few of those that there is room for are left.
    fn pop(&mut self) {
        let (size, len) = (self.size(), self.len().saturating_sub(1));
        let keep = len + len / GROWTH_SHARE + FIRST_SLOTS;
        match &mut self.slots {
            Slots::Inline(bytes) => {
                bytes.truncate(len * size);
                if bytes.capacity() > 2 * keep * size {
                    bytes.shrink_to(keep * size);
                }
            }
            Slots::Large(slots) => {
                slots.truncate(len);
                if slots.capacity() > 2 * keep {
                    slots.shrink_to(keep);
                }
            }
        }
    }
}

/// What an allocation takes, if it is one.
fn heap_bytes(size: usize) -> usize {
    if size == 0 { 0 } else { usable(size) }
}

impl Arena {
    pub(super) fn new() -> Self {
        Arena { chunks: Vec::new(), last: [NONE; CLASSES], unused: NONE, bytes: 0 }
    }

    /// The score and the member with the number `id`.
    ///
    /// # Panics
    ///
    /// If there is none. So do the others.
    #[inline]
    pub(super) fn get(&self, id: u32) -> (f64, &[u8]) {
        let (chunk, slot) = split(id);
        let chunk = &self.chunks[chunk];
        match &chunk.slots {
            Slots::Inline(bytes) => {
                let slot = &bytes[slot * chunk.size()..][..chunk.size()];
                let (score, rest) = slot.split_first_chunk().expect("a slot has a score");
                let (spare, member) = rest.split_first().expect("a slot has a length");
                (f64::from_le_bytes(*score), &member[..member.len() - usize::from(*spare)])
            }
            Slots::Large(slots) => (slots[slot].score, &slots[slot].member),
        }
    }

    #[inline]
    pub(super) fn score(&self, id: u32) -> f64 {
        self.get(id).0
    }

    #[inline]
    pub(super) fn member(&self, id: u32) -> &[u8] {
        self.get(id).1
    }

    pub(super) fn set_score(&mut self, id: u32, score: f64) {
        let (chunk, slot) = split(id);
        let chunk = &mut self.chunks[chunk];
        let start = slot * chunk.size();
        match &mut chunk.slots {
            Slots::Inline(bytes) => {
                bytes[start..start + size_of::<f64>()].copy_from_slice(&score.to_le_bytes());
            }
            Slots::Large(slots) => slots[slot].score = score,
        }
    }

    /// Stores a member and gives it a number.
    pub(super) fn insert(&mut self, score: f64, member: &[u8]) -> u32 {
        let class = class_for(member);
        let last = self.last[class];
        let has_room = last != NONE && {
            let chunk = &self.chunks[last as usize];
            chunk.len() < chunk.most()
        };
        let at = if has_room { last } else { self.open(class) };
        let chunk = &mut self.chunks[at as usize];
        let id = join(at, chunk.len());
        self.bytes -= chunk.own_bytes();
        chunk.push(score, member);
        self.bytes += chunk.own_bytes();
        if class == LARGE {
            self.bytes += heap_bytes(member.len());
        }
        id
    }

    /// Gives a class another chunk.
    fn open(&mut self, class: usize) -> u32 {
        let chunk = Chunk::new(class, self.last[class]);
        let at = self.unused;
        if at == NONE {
            self.chunks.push(chunk);
            self.last[class] = u32::try_from(self.chunks.len() - 1).unwrap_or(NONE);
        } else {
            self.unused = self.chunks[at as usize].previous;
            self.chunks[at as usize] = chunk;
            self.last[class] = at;
        }
        self.last[class]
    }

    /// Gives up the members with the numbers `ids`, which nobody must know any more. Others get
    /// their numbers: each time `moving` is told, with the arena as it still is, the old number and
    /// the new one.
    pub(super) fn remove(&mut self, ids: &[u32], mut moving: impl FnMut(&Arena, u32, u32)) {
        for &id in ids {
            self.set_score(id, f64::NAN);
        }
        for &id in ids {
            while self.is_given_up(id) {
                let last = self.last_like(id);
                if last == id || self.is_given_up(last) {
                    self.pop(last);
                } else {
                    moving(self, last, id);
                    self.relocate(last, id);
                }
            }
        }
    }

    /// Whether the slot is there and waits to be filled or dropped: no score is NaN otherwise.
    fn is_given_up(&self, id: u32) -> bool {
        let (chunk, slot) = split(id);
        slot < self.chunks[chunk].len() && self.score(id).is_nan()
    }

    /// The number of the last slot of the same class.
    fn last_like(&self, id: u32) -> u32 {
        let last = self.last[self.chunks[split(id).0].class()];
        join(last, self.chunks[last as usize].len() - 1)
    }

    /// Moves the last slot of a class over another one of it.
    fn relocate(&mut self, last: u32, to: u32) {
        let ((source, from), (target, to)) = (split(last), split(to));
        let size = self.chunks[source].size();
        if source == target {
            match &mut self.chunks[source].slots {
                Slots::Inline(bytes) => {
                    bytes.copy_within(from * size..(from + 1) * size, to * size);
                }
                Slots::Large(slots) => slots.swap(from, to),
            }
        } else if let Ok([source, target]) = self.chunks.get_disjoint_mut([source, target]) {
            match (&mut source.slots, &mut target.slots) {
                (Slots::Inline(source), Slots::Inline(target)) => {
                    let slot = &source[from * size..(from + 1) * size];
                    target[to * size..(to + 1) * size].copy_from_slice(slot);
                }
                (Slots::Large(source), Slots::Large(target)) => {
                    std::mem::swap(&mut source[from], &mut target[to]);
                }
                _ => unreachable!("both are of one class"),
            }
        }
        self.pop(last);
    }

    /// Drops the last slot of a class.
    fn pop(&mut self, last: u32) {
        let (at, slot) = split(last);
        let chunk = &mut self.chunks[at];
        if let Slots::Large(slots) = &chunk.slots {
            self.bytes -= heap_bytes(slots[slot].member.len());
        }
        self.bytes -= chunk.own_bytes();
        chunk.pop();
        if chunk.len() == 0 {
            let class = chunk.class();
            self.last[class] = chunk.previous;
            *chunk = Chunk::new(class, self.unused);
            self.unused = last >> SLOT_BITS;
        }
        self.bytes += self.chunks[at].own_bytes();
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        heap_bytes(self.chunks.capacity() * size_of::<Chunk>()) + self.bytes
    }

    /// Frees at least `max` members, and at most a chunk of small ones more; whether some are left.
    /// Nobody may know any of them.
    pub(super) fn shed(&mut self, max: usize) -> bool {
        let mut freed = 0;
        while freed < max.max(1) {
            let Some(mut chunk) = self.chunks.pop() else { return false };
            self.bytes -= chunk.own_bytes();
            match &mut chunk.slots {
                Slots::Inline(_) => freed += chunk.len(),
                Slots::Large(slots) => {
                    // Every large member is an allocation; the small ones are one together.
                    let going = slots.len().min(max.max(1) - freed);
                    for gone in slots.drain(slots.len() - going..) {
                        self.bytes -= heap_bytes(gone.member.len());
                    }
                    freed += going;
                }
            }
            if chunk.len() > 0 && matches!(chunk.slots, Slots::Large(_)) {
                self.bytes += chunk.own_bytes();
                self.chunks.push(chunk);
            }
        }
        !self.chunks.is_empty()
    }

    /// Bytes on the heap, apart from the list of chunks, counted one by one.
    fn recount(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| match &chunk.slots {
            Slots::Inline(_) => chunk.own_bytes(),
            Slots::Large(slots) => {
                let members = slots.iter().map(|slot| heap_bytes(slot.member.len()));
                chunk.own_bytes() + members.sum::<usize>()
            }
        });
        chunks.sum()
    }
}

impl Clone for Arena {
    fn clone(&self) -> Self {
        // A copy has no spare room, so it may take less memory.
        let copy = Self { chunks: self.chunks.clone(), ..*self };
        Self { bytes: copy.recount(), ..copy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_close_and_complete() {
        for size in HEADER..=SLOT_MAX {
            let class = class_of(size);
            let slot = size_of_class(class);
            assert!(slot >= size && slot - size <= usize::from(u8::MAX), "{size}");
            assert!(size_of_class(class - 1) < size, "{size} fits a smaller class");
            assert!(most_slots(slot) <= SLOTS_MAX && most_slots(slot) >= 64);
        }
        assert_eq!(size_of_class(LARGE - 1), SLOT_MAX);
    }

    fn member(n: usize) -> Vec<u8> {
        // Of many classes, every thirteenth large.
        let len = if n.is_multiple_of(13) { 600 + n % 7 } else { n * 7 % 90 };
        let mut bytes = vec![b'x'; len];
        bytes.extend_from_slice(n.to_string().as_bytes());
        bytes
    }

    /// What every number means, and that memory is counted right.
    fn check(arena: &Arena, model: &[(u32, f64, Vec<u8>)]) {
        for (id, score, member) in model {
            assert_eq!(arena.get(*id), (*score, &member[..]));
        }
        assert_eq!(arena.bytes, arena.recount());
        let slots: usize = arena.chunks.iter().map(Chunk::len).sum();
        assert_eq!(slots, model.len(), "no slot is empty");
    }

    #[test]
    fn slots_stay_dense() {
        let mut arena = Arena::new();
        let mut model: Vec<(u32, f64, Vec<u8>)> = Vec::new();
        let mut state = 7_usize;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(11);
            (state >> 33) % below.max(1)
        };
        for round in 0..60 {
            for n in 0..random(800) {
                let (score, member) = (n as f64, member(random(10_000)));
                let id = arena.insert(score, &member);
                assert!(model.iter().all(|(other, ..)| *other != id));
                model.push((id, score, member));
            }
            let count = random(if round % 10 == 9 { model.len() + 1 } else { 500 });
            let ids: Vec<u32> = (0..count.min(model.len()))
                .map(|_| model.swap_remove(random(model.len())).0)
                .collect();
            arena.remove(&ids, |before, old, new| {
                let moved = model.iter_mut().find(|(id, ..)| *id == old).expect("known");
                assert_eq!(before.get(old), (moved.1, &moved.2[..]));
                moved.0 = new;
            });
            check(&arena, &model);
        }
        check(&arena.clone(), &model);
        let all: Vec<u32> = model.iter().map(|(id, ..)| *id).collect();
        arena.remove(&all, |_, _, _| unreachable!("nothing is left to move"));
        assert_eq!(arena.bytes, 0);
    }

    #[test]
    fn shedding_frees_in_bounded_steps() {
        let mut arena = Arena::new();
        for n in 0..20_000 {
            arena.insert(0.0, &member(n));
        }
        let mut steps = 1;
        while arena.shed(100) {
            steps += 1;
        }
        assert!(steps > 30, "{steps}");
        assert_eq!(arena.bytes, 0);
    }
}
