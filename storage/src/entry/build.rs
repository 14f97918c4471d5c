//! How entries are built.

use std::ptr::NonNull;

use super::{
    ADDRESS_BITS, ENTRY_PART_MAX, EXP5, EXP8, EXPIRY_FROM, EXPIRY_SPAN, Entry, EntryPtr, FRONT,
    HEADER_MAX, OUT_OF_LINE, POINTER, POINTER_AND_LEN, RAW, code_of, earlier, rope_bytes,
};
use crate::Millis;
use crate::slab::{self, Block, usable};
#[cfg(loom)]
use crate::sync::Alive;
use crate::value::hash::HashRef;
use crate::value::object::Object;
use crate::value::rope::Rope;
use crate::value::string::{BIG_VALUE, NewValue};

/// A value in the form in which it goes into an entry.
enum Form<'a> {
    /// Bytes in the entry.
    Inline(&'a [u8]),
    /// A pointer to it, and its length.
    Rope(Box<Rope>),
    /// A pointer to it, and its mark. The caller owns it, or holds the role.
    Object(*mut Object, u16),
}

/// The flags and the header behind them: `(header, length)`.
fn plan(
    key: &[u8],
    flags: u8,
    form: &Form<'_>,
    expire_at: Option<Millis>,
) -> ([u8; HEADER_MAX], usize) {
    let mut header = [0u8; HEADER_MAX];
    let mut flags = flags;
    let mut at = varint(&mut header, 1, key.len());
    match form {
        Form::Inline(bytes) => at = varint(&mut header, at, bytes.len()),
        Form::Rope(_) | Form::Object(..) => flags |= OUT_OF_LINE,
    }
    if let Some(at_ms) = expire_at {
        let since = at_ms.checked_sub(EXPIRY_FROM).filter(|since| (0..EXPIRY_SPAN).contains(since));
        let (size, flag) = if since.is_some() { (5, EXP5) } else { (8, EXP8) };
        let bytes = since.unwrap_or(at_ms).to_le_bytes();
        header[at..at + size].copy_from_slice(&bytes[..size]);
        flags |= flag;
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
#[inline(always)]
pub(crate) fn build(
    key: &[u8],
    value: NewValue<'_>,
    expire_at: Option<Millis>,
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    // By reference: a copy of what the caller has just put together would wait for its stores.
    match &value {
        NewValue::Bytes(bytes)
            if key.len() < SHORT && bytes.len() < SHORT && expire_at.is_none() =>
        {
            assemble_short(key, 0, bytes, spare)
        }
        _ => build_any(key, value, expire_at, spare),
    }
}

/// [`build`] where it is not worth its own copy of the code for the usual.
pub(crate) fn build_any(
    key: &[u8],
    value: NewValue<'_>,
    expire_at: Option<Millis>,
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    match value {
        NewValue::Bytes(bytes) if bytes.len() <= BIG_VALUE => {
            assemble(key, 0, Form::Inline(bytes), expire_at, spare)
        }
        NewValue::Raw(bytes) if bytes.len() <= BIG_VALUE => {
            assemble(key, RAW, Form::Inline(bytes), expire_at, spare)
        }
        NewValue::Bytes(bytes) | NewValue::Raw(bytes) => {
            build_any(key, NewValue::Rope(Rope::from_bytes(bytes)), expire_at, spare)
        }
        NewValue::Rope(rope) if rope.len() <= BIG_VALUE => {
            build_any(key, NewValue::Raw(&rope.to_vec()), expire_at, spare)
        }
        NewValue::Rope(rope) => assemble(key, RAW, Form::Rope(Box::new(rope)), expire_at, spare),
        NewValue::Packed(packed) => {
            let flags = code_of(packed.kind) | if packed.second { RAW } else { 0 };
            let fields = packed.hash().and_then(HashRef::next_expiry);
            assemble(key, flags, Form::Inline(packed.bytes), expire_at, spare).due_with(fields)
        }
        NewValue::Object(object) => match object.packed() {
            Some(packed) => build_any(key, NewValue::Packed(packed), expire_at, spare),
            None => {
                let flags = code_of(object.kind());
                let fields = object.as_hash().and_then(|hash| hash.view().next_expiry());
                let object = Form::Object(Box::into_raw(object), next_mark());
                assemble(key, flags, object, expire_at, spare).due_with(fields)
            }
        },
    }
}

/// A mark for a large collection: see [`Entry::large_id`].
fn next_mark() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    // Not one of `sync`: it orders nothing, and a model's could not be a static.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Builds an entry that takes over the large collection of another, which must be retired with
/// [`Dead::without_object`]. Only under the role.
pub(crate) fn build_around(
    key: &[u8],
    old: &Entry<'_>,
    expire_at: Option<Millis>,
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    let object = Form::Object(old.pointer().cast(), old.mark());
    let fields = old.hash().and_then(HashRef::next_expiry);
    assemble(key, code_of(old.kind()), object, expire_at, spare).due_with(fields)
}

fn assemble(
    key: &[u8],
    flags: u8,
    form: Form<'_>,
    expire_at: Option<Millis>,
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    assert!(key.len() <= ENTRY_PART_MAX, "key longer than the protocol can carry");
    if let (Form::Inline(value), None) = (&form, expire_at)
        && key.len() < SHORT
        && value.len() < SHORT
    {
        return assemble_short(key, flags, value, spare);
    }
    let (header, header_len) = plan(key, flags, &form, expire_at);
    let tail = match form {
        Form::Inline(bytes) => bytes.len(),
        Form::Rope(_) => POINTER_AND_LEN,
        Form::Object(..) => POINTER,
    };
    let size = header_len + key.len() + tail;
    let class = usable(FRONT + size);
    let base = place(spare(class), class);
    let mut at = 0;
    let mut push = |bytes: &[u8]| {
        debug_assert!(at + bytes.len() <= size);
        // SAFETY: the parts add up to `size`, which fits the class of the fresh allocation.
        let target = unsafe { base.as_ptr().add(at) };
        // SAFETY: as above; source and target cannot overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        at += bytes.len();
    };
    push(&header[..header_len]);
    push(key);
    let mut bytes = class;
    match form {
        Form::Inline(bytes) => push(bytes),
        Form::Rope(rope) => {
            let len = rope.len();
            bytes += rope_bytes(len);
            push(&(Box::into_raw(rope).expose_provenance() as u64).to_le_bytes());
            push(&(len as u64).to_le_bytes());
        }
        Form::Object(object, mark) => {
            // SAFETY: the caller owns what it hangs on its entry, or holds the role.
            bytes += unsafe { &*object }.memory_usage();
            let address = object.expose_provenance() as u64;
            assert!(address >> ADDRESS_BITS == 0, "no room for a mark");
            push(&(u64::from(mark) << ADDRESS_BITS | address).to_le_bytes());
        }
    }
    let entry = EntryPtr(base);
    assert!(entry.addr() >> 48 == 0, "the machine hands out addresses above 48 bits");
    Built { entry, bytes, due: expire_at }
}

/// Lengths of one byte each.
const SHORT: usize = 0x80;

/// [`assemble`] of what most entries are: a short key with a short value, for ever.
#[inline(always)]
fn assemble_short(
    key: &[u8],
    flags: u8,
    value: &[u8],
    spare: impl FnOnce(usize) -> Option<Block>,
) -> Built {
    const HEADER: usize = 3;
    let class = usable(FRONT + HEADER + key.len() + value.len());
    let base = place(spare(class), class);
    // SAFETY: the parts fit the class of the fresh allocation, one behind the other.
    unsafe { base.cast().write([flags, key.len() as u8, value.len() as u8]) };
    let mut at = HEADER;
    for part in [key, value] {
        // SAFETY: as above.
        let target = unsafe { base.as_ptr().add(at) };
        // SAFETY: as above; source and target cannot overlap.
        unsafe { copy_short(part, target) };
        at += part.len();
    }
    let entry = EntryPtr(base);
    assert!(entry.addr() >> 48 == 0, "the machine hands out addresses above 48 bits");
    Built { entry, bytes: class, due: None }
}

/// Copies a few bytes; without a call if they are 8 to 16.
///
/// # Safety
/// `target` is valid for writing as many bytes, and does not overlap them.
#[inline(always)]
unsafe fn copy_short(from: &[u8], target: *mut u8) {
    if let (8..=16, Some(first), Some(last)) = (from.len(), from.first_chunk(), from.last_chunk()) {
        // SAFETY: by the contract of this function: 8 bytes at the front.
        unsafe { target.cast::<[u8; 8]>().write_unaligned(*first) };
        // SAFETY: as above: 8 bytes at the end.
        let end = unsafe { target.add(from.len() - 8) };
        // SAFETY: as above.
        unsafe { end.cast::<[u8; 8]>().write_unaligned(*last) };
    } else {
        // SAFETY: by the contract of this function.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), target, from.len()) };
    }
}

/// An entry that is not published yet, and the usable bytes it takes.
pub(crate) struct Built {
    pub(crate) entry: EntryPtr,
    pub(crate) bytes: usize,
    /// See [`Entry::due`].
    pub(crate) due: Option<Millis>,
}

impl Built {
    /// With fields of which the first expires then.
    fn due_with(self, fields: Option<Millis>) -> Self {
        Self { due: earlier(self.due, fields), ..self }
    }
}

/// Copies an entry into another block of its class; the copy takes over what hangs on it, so the old one
/// must be retired with [`Dead::without_object`](super::Dead::without_object). Only under the role.
pub(crate) fn copy(old: &Entry<'_>, block: Block) -> EntryPtr {
    let target = place(Some(block), old.class());
    let size = usize::from(old.key_at) + old.klen as usize + old.vlen as usize;
    // SAFETY: the entry is alive, its parts are so many bytes in a row, and the block has room for
    // them and is nobody else's.
    unsafe { std::ptr::copy_nonoverlapping(old.base.as_ptr(), target.as_ptr(), size) };
    EntryPtr(target)
}

/// Where an entry of a class begins, in a block of that class.
#[inline(always)]
fn place(spare: Option<Block>, class: usize) -> NonNull<u8> {
    let base = spare.unwrap_or_else(|| slab::allocate(0, class)).0;
    #[cfg(loom)]
    // SAFETY: the class has room for the mark in front of the entry.
    unsafe {
        base.cast::<Alive>().write(Alive::new());
    }
    // SAFETY: as above.
    unsafe { base.add(FRONT) }
}
