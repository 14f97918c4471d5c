//! One allocation per key: header, expiry, key, value. Immutable once published.
//!
//! ```text
//! | flags 1 | klen varint | vlen varint | expiry 6 or 8 | key | value            |
//! | flags 1 | klen varint |             | expiry 6 or 8 | key | Box<Rope> 8      |   big strings
//!
//! flags: kind 4 bits | EXP6 | EXP8 | ROPE | RAW
//! ```
//!
//! The expiry is in unix milliseconds, in six bytes if it fits (until the year 10889). A 16-byte
//! key with a 64-byte value takes 83 bytes, 89 with an expiry: both are in the 96-byte class.
//!
//! Who may touch what: the writer role builds an entry before it publishes the pointer in a slot
//! word (Release); readers that loaded the word (Acquire) under a pinned epoch may read everything
//! until they unpin; nobody changes it; it is freed after its epoch, or by an owner that has never
//! published it.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::Millis;
use crate::memory::usable;
use crate::sync::Alive;
use crate::value::rope::Rope;
use crate::value::string::{BIG_VALUE, NewValue, Str};
use crate::value::{Kind, Value};

const KIND_MASK: u8 = 0x0f;
const KIND_STRING: u8 = 0;
const EXP6: u8 = 0x10;
const EXP8: u8 = 0x20;
const ROPE: u8 = 0x40;
const RAW: u8 = 0x80;

/// Longest header: flags, two five-byte varints, eight bytes of expiry.
const HEADER_MAX: usize = 1 + 5 + 5 + 8;
/// Bytes of the out-of-line pointer.
const POINTER: usize = 8;

/// Bytes in front of an entry: none, but under the model checker.
const FRONT: usize = size_of::<Alive>().next_multiple_of(8);

/// Largest key or inline value: what five varint bytes and the length arithmetic can take.
pub const ENTRY_PART_MAX: usize = 1 << 31;

/// An entry's address. Slot words hold its 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryPtr(NonNull<u8>);

// SAFETY: an entry is immutable and freed by whoever owns it, on any thread.
unsafe impl Send for EntryPtr {}

impl EntryPtr {
    pub(crate) fn addr(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    /// The address in the low 48 bits of a slot word.
    pub(crate) fn from_addr(addr: u64) -> Option<Self> {
        NonNull::new(std::ptr::with_exposed_provenance_mut(addr as usize)).map(Self)
    }
}

/// A key and its value, readable as long as the guard of `'g` is pinned.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'g> {
    base: NonNull<u8>,
    klen: u32,
    vlen: u32,
    flags: u8,
    key_at: u8,
    frequency: u8,
    life: PhantomData<&'g [u8]>,
}

/// What `key` and `value` need: `(total size, header, header length)`.
fn plan(key: &[u8], value: &NewValue<'_>, expire_at: Option<Millis>) -> ([u8; HEADER_MAX], usize) {
    let mut header = [0u8; HEADER_MAX];
    let mut flags = KIND_STRING;
    let mut at = varint(&mut header, 1, key.len());
    match value {
        NewValue::Rope(_) => flags |= ROPE | RAW,
        NewValue::Raw(bytes) => {
            flags |= RAW;
            at = varint(&mut header, at, bytes.len());
        }
        NewValue::Bytes(bytes) => at = varint(&mut header, at, bytes.len()),
    }
    if let Some(at_ms) = expire_at {
        let bytes = at_ms.to_le_bytes();
        let size = if bytes[6] == 0 && bytes[7] == 0 { 6 } else { 8 };
        flags |= if size == 6 { EXP6 } else { EXP8 };
        header[at..at + size].copy_from_slice(&bytes[..size]);
        at += size;
    }
    header[0] = flags;
    (header, at)
}

/// Writes `value` at `at`, seven bits per byte, and returns the place behind it.
fn varint(out: &mut [u8], mut at: usize, mut value: usize) -> usize {
    while value >= 0x80 {
        out[at] = (value & 0x7f) as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    out[at] = value as u8;
    at + 1
}

/// Builds an entry, in a block that `spare` gives for its class, or else a new one. The caller owns
/// it until it publishes or frees it.
pub(crate) fn build(
    key: &[u8],
    value: NewValue<'_>,
    expire_at: Option<Millis>,
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    let value = match value {
        NewValue::Bytes(bytes) | NewValue::Raw(bytes) if bytes.len() > BIG_VALUE => {
            NewValue::Rope(Rope::from_bytes(bytes))
        }
        NewValue::Rope(rope) if rope.len() <= BIG_VALUE => {
            return build(key, NewValue::Raw(&rope.to_vec()), expire_at, spare);
        }
        other => other,
    };
    assert!(key.len() <= ENTRY_PART_MAX, "key longer than the protocol can carry");
    let (header, header_len) = plan(key, &value, expire_at);
    let tail = if matches!(value, NewValue::Rope(_)) { POINTER } else { value.len() };
    let size = header_len + key.len() + tail;
    let class = usable(FRONT + size);
    let base = spare(class).map_or_else(|| allocate(class), |block| block.0);
    let mut at = 0;
    let mut push = |bytes: &[u8]| {
        debug_assert!(at + bytes.len() <= size);
        // SAFETY: the parts add up to `size`, the length of the fresh allocation.
        let target = unsafe { base.as_ptr().add(at) };
        // SAFETY: as above; source and target cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        at += bytes.len();
    };
    push(&header[..header_len]);
    push(key);
    let mut bytes = class;
    match value {
        NewValue::Bytes(bytes) | NewValue::Raw(bytes) => push(bytes),
        NewValue::Rope(rope) => {
            bytes += out_of_line(&rope);
            let pointer = Box::into_raw(Box::new(rope)).expose_provenance() as u64;
            push(&pointer.to_le_bytes());
        }
    }
    let entry = EntryPtr(base);
    assert!(entry.addr() >> 48 == 0, "the machine hands out addresses above 48 bits");
    Built { entry, bytes }
}

/// An entry that is not published yet, and the usable bytes it takes.
pub(crate) struct Built {
    pub(crate) entry: EntryPtr,
    pub(crate) bytes: usize,
}

/// Usable bytes that hang on an entry.
fn out_of_line(rope: &Rope) -> usize {
    usable(std::mem::size_of::<Rope>()) + rope.memory_usage()
}

fn allocate(class: usize) -> NonNull<u8> {
    let layout = layout(class);
    // SAFETY: the size is not zero: an entry has at least two bytes of header.
    let base = unsafe { alloc(layout) };
    let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
    // SAFETY: the layout has room for the mark in front of the entry.
    unsafe { base.cast::<Alive>().write(Alive::new()) };
    // SAFETY: as above.
    unsafe { base.add(FRONT) }
}

/// The whole class is asked for, so that a block can serve again for any size of its class.
fn layout(class: usize) -> Layout {
    Layout::from_size_align(class, 8).expect("entries are far smaller than the address space")
}

/// The memory of an entry that nobody uses any more.
pub(crate) struct Block(NonNull<u8>);

/// An entry that was taken out of the table, with what freeing it needs to know: its header may be
/// far away by then.
pub(crate) struct Dead {
    entry: EntryPtr,
    class: u32,
    rope: bool,
}

impl Dead {
    #[inline]
    pub(crate) fn new(entry: EntryPtr, view: &Entry<'_>) -> Self {
        Self { entry, class: view.class() as u32, rope: view.flags & ROPE != 0 }
    }

    /// Asks for the line that freeing or using it again writes to.
    pub(crate) fn prefetch(&self) {
        crate::sync::prefetch(self.entry.0.as_ptr());
    }

    /// Usable bytes of the entry itself, without what hangs on it.
    #[inline]
    pub(crate) fn class(&self) -> usize {
        self.class as usize
    }

    pub(crate) fn has_rope(&self) -> bool {
        self.rope
    }

    /// Gives up the entry and keeps its memory.
    ///
    /// # Safety
    /// The caller owns the entry, as for [`free`], and nothing hangs on it.
    pub(crate) unsafe fn into_block(self) -> Block {
        debug_assert!(!self.rope);
        Block(self.entry.0)
    }
}

/// Frees an entry; a big string comes back, to be freed in slices.
///
/// # Safety
/// The caller owns the entry: no slot holds it and no pinned reader can still reach it.
pub(crate) unsafe fn free(dead: Dead) -> Option<Box<Rope>> {
    let rope = dead.rope.then(|| {
        // SAFETY: the caller owns a live entry.
        let view = unsafe { view(dead.entry, 0) };
        // SAFETY: the pointer came from `Box::into_raw` in `build`, and the entry that held it is
        // being freed, so this is the only owner.
        unsafe { Box::from_raw(view.rope_ptr()) }
    });
    let layout = layout(dead.class as usize);
    // SAFETY: the mark is in front of the entry, in the same allocation.
    let start = unsafe { dead.entry.0.sub(FRONT) };
    #[cfg(not(loom))]
    // SAFETY: allocated in `build` with the same layout.
    unsafe {
        std::alloc::dealloc(start.as_ptr(), layout);
    }
    #[cfg(loom)]
    {
        // SAFETY: as above.
        unsafe { start.cast::<Alive>().as_ref() }.free();
        crate::model::bury(start.as_ptr(), layout);
    }
    rope
}

/// What freeing an entry needs to know, read from the entry.
///
/// # Safety
/// The caller owns the entry.
pub(crate) unsafe fn dead(entry: EntryPtr) -> Dead {
    // SAFETY: by the contract of this function.
    let view = unsafe { view(entry, 0) };
    Dead::new(entry, &view)
}

/// Reads the header of an entry.
///
/// # Safety
/// The entry is alive for `'g`: the caller holds a guard pinned before it loaded the slot word, or
/// owns the entry.
#[inline]
pub(crate) unsafe fn view<'g>(entry: EntryPtr, frequency: u8) -> Entry<'g> {
    let base = entry.0;
    // SAFETY: by the contract of this function.
    unsafe { reading(base) };
    // SAFETY: an entry has at least a flags byte and one varint byte.
    let flags = unsafe { base.read() };
    // SAFETY: the header is well formed: `build` wrote it.
    let (klen, at) = unsafe { read_varint(base, 1) };
    let (vlen, at) = if flags & ROPE == 0 {
        // SAFETY: as above.
        unsafe { read_varint(base, at) }
    } else {
        (POINTER as u32, at)
    };
    let expiry = match flags & (EXP6 | EXP8) {
        0 => 0,
        EXP6 => 6,
        _ => 8,
    };
    Entry { base, klen, vlen, flags, key_at: at + expiry, frequency, life: PhantomData }
}

/// Tells the model checker that an entry is being read.
///
/// # Safety
/// The entry is alive.
#[inline(always)]
unsafe fn reading(base: NonNull<u8>) {
    // SAFETY: `build` put the mark there.
    let mark = unsafe { base.sub(FRONT) }.cast::<Alive>();
    // SAFETY: as above.
    unsafe { mark.as_ref() }.read();
}

/// # Safety
/// `base + at` lies in a live entry.
#[inline(always)]
unsafe fn byte_at(base: NonNull<u8>, at: u8) -> u8 {
    // SAFETY: by the contract of this function.
    let address = unsafe { base.add(usize::from(at)) };
    // SAFETY: as above.
    unsafe { address.read() }
}

/// # Safety
/// `base + at` is where `build` put a varint.
#[inline]
unsafe fn read_varint(base: NonNull<u8>, at: u8) -> (u32, u8) {
    // SAFETY: by the contract of this function.
    let first = unsafe { byte_at(base, at) };
    if first < 0x80 {
        return (u32::from(first), at + 1);
    }
    let mut value = u32::from(first & 0x7f);
    let mut next = at + 1;
    let mut shift = 7;
    loop {
        // SAFETY: the previous byte said that one more follows.
        let byte = unsafe { byte_at(base, next) };
        value |= u32::from(byte & 0x7f) << shift;
        next += 1;
        shift += 7;
        if byte < 0x80 {
            return (value, next);
        }
    }
}

impl<'g> Entry<'g> {
    /// The key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &'g [u8] {
        self.bytes(usize::from(self.key_at), self.klen as usize)
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Value<'g> {
        if self.flags & ROPE != 0 {
            // SAFETY: the pointer was made from a box in `build` and lives as long as the entry.
            return Value::Str(Str::Rope(unsafe { &*self.rope_ptr() }));
        }
        Value::Str(Str::Inline { bytes: self.tail(), raw: self.flags & RAW != 0 })
    }

    /// When the key expires, in unix milliseconds.
    #[inline]
    #[must_use]
    pub fn expire_at(&self) -> Option<Millis> {
        let size = match self.flags & (EXP6 | EXP8) {
            0 => return None,
            EXP6 => 6,
            _ => 8,
        };
        let mut bytes = [0u8; 8];
        bytes[..size].copy_from_slice(self.bytes(usize::from(self.key_at) - size, size));
        Some(i64::from_le_bytes(bytes))
    }

    /// True if the key is no longer there at `now`.
    #[inline]
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.flags & (EXP6 | EXP8) != 0 && self.expire_at().is_some_and(|at| now > at)
    }

    /// What kind of value it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        debug_assert_eq!(self.flags & KIND_MASK, KIND_STRING);
        Kind::String
    }

    /// The memory the entry takes: usable size, out-of-line chunks, and its share of the table.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.allocated() + crate::table::SLOT_SHARE
    }

    /// How often the key was read lately, 0 to 3.
    #[must_use]
    pub fn frequency(&self) -> u8 {
        self.frequency
    }

    /// Usable bytes of the entry and what hangs on it.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        if self.flags & ROPE == 0 {
            return self.class();
        }
        // SAFETY: as in `value`.
        self.class() + out_of_line(unsafe { &*self.rope_ptr() })
    }

    /// The value in the form that `build` takes, to make a changed copy of the entry.
    #[must_use]
    pub fn to_new_value(self) -> NewValue<'g> {
        match self.value() {
            Value::Str(Str::Rope(rope)) => NewValue::Rope(rope.clone()),
            Value::Str(Str::Inline { bytes, raw: true }) => NewValue::Raw(bytes),
            Value::Str(Str::Inline { bytes, raw: false }) => NewValue::Bytes(bytes),
        }
    }

    /// Usable bytes of the allocation.
    #[inline]
    fn class(&self) -> usize {
        usable(FRONT + usize::from(self.key_at) + self.klen as usize + self.vlen as usize)
    }

    fn tail(&self) -> &'g [u8] {
        self.bytes(usize::from(self.key_at) + self.klen as usize, self.vlen as usize)
    }

    fn rope_ptr(&self) -> *mut Rope {
        let mut bytes = [0u8; POINTER];
        bytes.copy_from_slice(self.tail());
        std::ptr::with_exposed_provenance_mut(u64::from_le_bytes(bytes) as usize)
    }

    #[inline]
    fn bytes(&self, at: usize, len: usize) -> &'g [u8] {
        // SAFETY: the entry lives for `'g`.
        unsafe { reading(self.base) };
        // SAFETY: `at` and `len` come from the header and lie inside the allocation, which lives
        // for `'g` and does not change.
        let start = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(key: &[u8], value: NewValue<'_>, expire_at: Option<Millis>) -> usize {
        let wanted: Vec<u8> = match &value {
            NewValue::Bytes(bytes) | NewValue::Raw(bytes) => bytes.to_vec(),
            NewValue::Rope(rope) => rope.to_vec(),
        };
        let entry = build(key, value, expire_at, |_| None).entry;
        // SAFETY: built above, freed below.
        let view = unsafe { view(entry, 2) };
        assert!(view.key() == key);
        let Value::Str(text) = view.value();
        assert!(text.eq_bytes(&wanted));
        assert_eq!(view.expire_at(), expire_at);
        assert_eq!(view.frequency(), 2);
        let allocated = view.allocated();
        // SAFETY: nobody else knows the entry.
        drop(unsafe { free(Dead::new(entry, &view)) });
        allocated
    }

    #[test]
    fn entries_keep_what_was_put_in() {
        let big = vec![7u8; 100_000];
        for key in [&b""[..], b"k", &[0u8; 127], &[1u8; 128], &[2u8; 20_000]] {
            for expire_at in [None, Some(0), Some(1 << 40), Some(i64::MAX), Some(-5)] {
                for len in [0, 1, 127, 128, 16_383, 16_384, BIG_VALUE, BIG_VALUE + 1, 100_000] {
                    round(key, NewValue::Bytes(&big[..len]), expire_at);
                    round(key, NewValue::Raw(&big[..len]), expire_at);
                    round(key, NewValue::Rope(Rope::from_bytes(&big[..len])), expire_at);
                }
            }
        }
    }

    #[test]
    fn small_entries_stay_in_their_class() {
        let at = Some(1_800_000_000_000);
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 64]), None), 96);
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 64]), at), 96);
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 16]), at), 48);
    }

    #[test]
    fn the_expiry_itself_is_the_last_moment() {
        let entry = build(b"k", NewValue::Bytes(b"v"), Some(1000), |_| None).entry;
        // SAFETY: built above, freed below.
        let view = unsafe { view(entry, 0) };
        assert!(!view.is_expired(1000) && view.is_expired(1001));
        // SAFETY: nobody else knows the entry.
        drop(unsafe { free(Dead::new(entry, &view)) });
    }
}
