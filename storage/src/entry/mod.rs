//! One allocation per key: header, expiry, key, value. Immutable once published.
//!
//! ```text
//! | flags 1 | klen varint | vlen varint | expiry 5 or 8 | key | value             |
//! | flags 1 | klen varint |             | expiry 5 or 8 | key | pointer 6, mark 2 |   OUT_OF_LINE
//! | flags 1 | klen varint |             | expiry 5 or 8 | key | pointer 8, len 8  |   the same, a string
//!
//! flags: kind 4 bits | EXP5 | EXP8 | OUT_OF_LINE | RAW (of a collection: its second packed form)
//! ```
//!
//! The expiry is in milliseconds: in five bytes since the year 2020 if it fits (until November 2054), or
//! else since 1970. A 16-byte key with a 64-byte value takes 83 bytes, 88 with an expiry, in blocks of
//! 84 and 88 ([`crate::slab`]).
//!
//! Who may touch what: the writer role builds an entry before it publishes the pointer in a slot
//! word (Release); readers that loaded the word (Acquire) under a pinned epoch may read everything
//! until they unpin; nobody changes it; it is freed after its epoch, or by an owner that has never
//! published it.

mod build;
mod dead;

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::sync::Alive;
use crate::value::hash::{Hash, HashRef};
use crate::value::object::{Object, Packed};
use crate::value::rope::Rope;
use crate::value::string::{NewValue, Str};
use crate::value::{Kind, Value};
use crate::{Millis, memory, slab};
pub(crate) use build::{Built, build, build_any, build_around, copy};
pub(crate) use dead::{Dead, dead, free};

const KIND_MASK: u8 = 0x0f;
const EXP5: u8 = 0x10;
const EXP8: u8 = 0x20;
const OUT_OF_LINE: u8 = 0x40;
const RAW: u8 = 0x80;

/// What an expiry of five bytes counts from: the beginning of 2020.
const EXPIRY_FROM: Millis = 1_577_836_800_000;
/// Such an expiry is less than this.
const EXPIRY_SPAN: Millis = 1 << 40;

/// Longest header: flags, two five-byte varints, eight bytes of expiry.
const HEADER_MAX: usize = 1 + 5 + 5 + 8;
/// Bytes of the out-of-line pointer.
const POINTER: usize = 8;
/// The same of a string with its length, which says what it takes without a look at it.
const POINTER_AND_LEN: usize = 2 * POINTER;

/// Bits of a pointer that are the address: a large collection has its mark above them.
const ADDRESS_BITS: u32 = 48;
const ADDRESS: u64 = (1 << ADDRESS_BITS) - 1;

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

    /// Whether it is on a page that is to become empty ([`slab::is_leaving`]).
    ///
    /// # Safety
    /// The entry is alive.
    pub(crate) unsafe fn is_leaving(self) -> bool {
        // SAFETY: by the contract of this function.
        unsafe { slab::is_leaving(self.0) }
    }

    /// Asks for what [`EntryPtr::is_leaving`] reads.
    pub(crate) fn prefetch_page(self) {
        slab::prefetch_page(self.0);
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

/// What hangs on an entry, out of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Rope(*mut Rope),
    Object(*mut Object),
}

fn code_of(kind: Kind) -> u8 {
    match kind {
        Kind::String => 0,
        Kind::List => 1,
        Kind::Set => 2,
        Kind::SortedSet => 3,
        Kind::Hash => 4,
        Kind::Stream => 5,
    }
}

fn kind_of(flags: u8) -> Kind {
    match flags & KIND_MASK {
        0 => Kind::String,
        1 => Kind::List,
        2 => Kind::Set,
        3 => Kind::SortedSet,
        4 => Kind::Hash,
        _ => Kind::Stream,
    }
}

/// The earlier of two times, of which each may be never.
fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    a.into_iter().chain(b).min()
}

/// Usable bytes of a rope of `len` bytes that hangs on an entry.
fn rope_bytes(len: usize) -> usize {
    Rope::memory_of(len) + memory::usable(size_of::<Rope>())
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
    let (vlen, at) = if flags & OUT_OF_LINE == 0 {
        // SAFETY: as above.
        unsafe { read_varint(base, at) }
    } else if flags & KIND_MASK == code_of(Kind::String) {
        (POINTER_AND_LEN as u32, at)
    } else {
        (POINTER as u32, at)
    };
    let expiry = match flags & (EXP5 | EXP8) {
        0 => 0,
        EXP5 => 5,
        _ => 8,
    };
    Entry { base, klen, vlen, flags, key_at: at + expiry, frequency, life: PhantomData }
}

/// Tells the model checkers that an entry is being read.
///
/// # Safety
/// The entry is alive.
#[inline(always)]
unsafe fn reading(base: NonNull<u8>) {
    // SAFETY: `build` put the mark there.
    let mark = unsafe { base.sub(FRONT) }.cast::<Alive>();
    // SAFETY: as above.
    unsafe { mark.as_ref() }.read();
    #[cfg(shuttle)]
    {
        crate::steps::step();
        // SAFETY: as above. If it is not alive any more, the block is still there.
        assert_ne!(unsafe { base.read() }, slab::FREE, "a freed entry was read");
    }
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
        let (kind, second) = (self.kind(), self.flags & RAW != 0);
        match (kind, self.flags & OUT_OF_LINE != 0) {
            (Kind::String, false) => Value::Str(Str::Inline { bytes: self.tail(), raw: second }),
            (Kind::String, true) => {
                // SAFETY: made from a box in `build`; lives as long as the entry, and does not
                // change.
                Value::Str(Str::Rope(unsafe { &*self.pointer().cast() }))
            }
            (kind, false) => Value::Packed(Packed { kind, second, bytes: self.tail() }),
            (kind, true) => Value::Large(kind),
        }
    }

    /// The large collection behind the entry.
    ///
    /// # Safety
    /// The caller holds the role of the key's shard for as long as it uses the reference, and
    /// makes no other one that could be used to change it meanwhile.
    pub(crate) unsafe fn object(&self) -> Option<NonNull<Object>> {
        match self.behind()? {
            Behind::Rope(_) => None,
            Behind::Object(object) => NonNull::new(object),
        }
    }

    /// Tells the large collection behind the entry from those that were there before it, which its address
    /// alone does not: that is used again. It goes with the collection to other keys and expiries. (One
    /// that has the address of another, and 65,536 were made in between or a multiple of that, is not told
    /// from it.)
    #[must_use]
    pub fn large_id(&self) -> Option<u64> {
        matches!(self.value(), Value::Large(_)).then(|| self.word(0))
    }

    /// The part of that which is no address.
    fn mark(&self) -> u16 {
        (self.word(0) >> ADDRESS_BITS) as u16
    }

    /// When the key expires, in unix milliseconds.
    #[inline]
    #[must_use]
    pub fn expire_at(&self) -> Option<Millis> {
        let end = usize::from(self.key_at);
        let mut bytes = [0u8; 8];
        match self.flags & (EXP5 | EXP8) {
            0 => None,
            EXP5 => {
                bytes[..5].copy_from_slice(self.bytes(end - 5, 5));
                Some(EXPIRY_FROM + Millis::from_le_bytes(bytes))
            }
            _ => {
                bytes.copy_from_slice(self.bytes(end - 8, 8));
                Some(Millis::from_le_bytes(bytes))
            }
        }
    }

    /// True if the key is no longer there at `now`: its own time is over, or that of all fields of a
    /// small hash. The fields of a large one only the holder of the role can see, so its key is
    /// there until the expiry walk has removed it.
    #[inline]
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.flags & (EXP5 | EXP8 | RAW) != 0 && self.is_over(now)
    }

    /// The rest of [`Entry::is_expired`], for those that may have an expiry.
    fn is_over(&self, now: Millis) -> bool {
        if self.expire_at().is_some_and(|at| now > at) {
            return true;
        }
        let expiring = self.flags & (KIND_MASK | RAW) == code_of(Kind::Hash) | RAW;
        expiring && self.packed_hash().is_some_and(|hash| hash.is_empty(now))
    }

    /// When the expiry walk has something to do here: the key's own expiry or that of a field,
    /// whichever is first. Only under the role.
    pub(crate) fn due(&self) -> Option<Millis> {
        earlier(self.expire_at(), self.hash().and_then(HashRef::next_expiry))
    }

    /// As [`Entry::is_expired`], of large hashes as well. Only under the role.
    pub(crate) fn is_gone(&self, now: Millis) -> bool {
        self.is_expired(now) || self.hash().is_some_and(|hash| hash.is_empty(now))
    }

    /// The hash in it, if it is one. Only under the role.
    pub(crate) fn hash(&self) -> Option<HashRef<'g>> {
        if self.kind() != Kind::Hash {
            return None;
        }
        match self.behind() {
            None => self.packed_hash(),
            Some(Behind::Rope(_)) => None,
            // SAFETY: alive as long as the entry; the caller holds the role, and is done with the
            // hash before anything is changed.
            Some(Behind::Object(object)) => unsafe { &*object }.as_hash().map(Hash::view),
        }
    }

    fn packed_hash(&self) -> Option<HashRef<'g>> {
        let Value::Packed(packed) = self.value() else { return None };
        packed.hash()
    }

    /// What kind of value it is.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> Kind {
        kind_of(self.flags)
    }

    /// The memory the entry takes: usable size, the chunks of a big string, and its share of the
    /// table. What a large collection takes, only its writer can tell.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        let behind = match self.value() {
            Value::Str(Str::Rope(rope)) => rope_bytes(rope.len()),
            _ => 0,
        };
        self.class() + behind + crate::table::SLOT_SHARE
    }

    /// How often the key was read lately, 0 to 3.
    #[must_use]
    pub fn frequency(&self) -> u8 {
        self.frequency
    }

    /// Usable bytes of the entry and what hangs on it. Only under the role.
    #[inline(always)]
    pub(crate) fn allocated(&self) -> usize {
        match self.behind() {
            None => self.class(),
            // Its first line is in no cache, as a rule.
            Some(Behind::Rope(_)) => self.class() + rope_bytes(self.word(1) as usize),
            // SAFETY: alive as long as the entry; the caller holds the role.
            Some(Behind::Object(object)) => self.class() + unsafe { &*object }.memory_usage(),
        }
    }

    /// The value in the form that `build` takes, to make a changed copy of the entry; not of a large
    /// collection.
    #[must_use]
    pub fn to_new_value(self) -> Option<NewValue<'g>> {
        Some(match self.value() {
            Value::Str(Str::Rope(rope)) => NewValue::Rope(rope.clone()),
            Value::Str(Str::Inline { bytes, raw: true }) => NewValue::Raw(bytes),
            Value::Str(Str::Inline { bytes, raw: false }) => NewValue::Bytes(bytes),
            Value::Packed(packed) => NewValue::Packed(packed),
            Value::Large(_) => return None,
        })
    }

    /// Usable bytes of the entry itself.
    #[inline]
    pub(crate) fn class(&self) -> usize {
        slab::usable(FRONT + usize::from(self.key_at) + self.klen as usize + self.vlen as usize)
    }

    fn tail(&self) -> &'g [u8] {
        self.bytes(usize::from(self.key_at) + self.klen as usize, self.vlen as usize)
    }

    /// What the tail of an entry with something out of line says.
    fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut((self.word(0) & ADDRESS) as usize)
    }

    /// One of the numbers in the tail of an entry with something out of line.
    fn word(&self, index: usize) -> u64 {
        let mut bytes = [0u8; 8];
        bytes.copy_from_slice(&self.tail()[8 * index..][..8]);
        u64::from_le_bytes(bytes)
    }

    #[inline]
    fn behind(&self) -> Option<Behind> {
        if self.flags & OUT_OF_LINE == 0 {
            return None;
        }
        Some(match self.kind() {
            Kind::String => Behind::Rope(self.pointer().cast()),
            _ => Behind::Object(self.pointer().cast()),
        })
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
    use crate::slab::Returns;
    use crate::value::rope::CHUNK;
    use crate::value::string::BIG_VALUE;

    fn round(key: &[u8], value: NewValue<'_>, expire_at: Option<Millis>) -> usize {
        let wanted: Vec<u8> = match &value {
            NewValue::Bytes(bytes) | NewValue::Raw(bytes) => bytes.to_vec(),
            NewValue::Rope(rope) => rope.to_vec(),
            NewValue::Packed(_) | NewValue::Object(_) => unreachable!("strings only"),
        };
        let entry = build(key, value, expire_at, |_| None).entry;
        // SAFETY: built above, freed below.
        let view = unsafe { view(entry, 2) };
        assert!(view.key() == key);
        let Value::Str(text) = view.value() else { unreachable!() };
        assert!(text.eq_bytes(&wanted));
        assert_eq!(view.expire_at(), expire_at);
        assert_eq!(view.frequency(), 2);
        let allocated = view.allocated();
        // SAFETY: nobody else knows the entry.
        drop(unsafe { free(Dead::new(entry, &view, view.class()), &mut Returns::default()) });
        allocated
    }

    #[test]
    fn entries_keep_what_was_put_in() {
        let big = vec![7u8; 100_000];
        for key in [&b""[..], b"k", &[0u8; 127], &[1u8; 128], &[2u8; 20_000]] {
            let (first, end) = (EXPIRY_FROM, EXPIRY_FROM + EXPIRY_SPAN);
            let edges =
                [0, -5, 1 << 40, first - 1, first, first + 1, end - 1, end, i64::MAX, i64::MIN];
            for expire_at in edges.map(Some).into_iter().chain([None]) {
                for len in [
                    0,
                    1,
                    127,
                    128,
                    BIG_VALUE,
                    BIG_VALUE + 1,
                    16_383,
                    16_384,
                    CHUNK,
                    CHUNK + 1,
                    100_000,
                ] {
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
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 64]), None), 84);
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 64]), at), 88);
        assert_eq!(round(&[b'k'; 16], NewValue::Bytes(&[b'v'; 16]), at), 40);
    }

    #[test]
    fn the_expiry_itself_is_the_last_moment() {
        let entry = build(b"k", NewValue::Bytes(b"v"), Some(1000), |_| None).entry;
        // SAFETY: built above, freed below.
        let view = unsafe { view(entry, 0) };
        assert!(!view.is_expired(1000) && view.is_expired(1001));
        // SAFETY: nobody else knows the entry.
        drop(unsafe { free(Dead::new(entry, &view, view.class()), &mut Returns::default()) });
    }
}
