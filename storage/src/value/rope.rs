//! Big strings: immutable chunks of 32 KiB, shared by reference count.
//!
//! ```text
//! Rope -> Bytes                                    up to 32 KiB
//!
//! Rope -> Arc<[ Arc<Leaf>, Arc<Leaf>, .. ]>        root: one pointer per 2 MiB
//!                  |
//!                Leaf = [ Bytes; <= 64 ]           every chunk but the last is exactly 32 KiB
//! ```
//!
//! An update copies the root (8 bytes per 2 MiB), the touched leaf and the touched chunk; the rest
//! is shared with the old value, which its readers go on using. Cloning is one reference count.
//! Most ropes have one chunk: it is found without a root and a leaf, each a line in no cache.

use std::sync::Arc;

use bytes::Bytes;

/// Bytes per chunk.
pub const CHUNK: usize = 32 * 1024;
/// Chunks per leaf.
const FANOUT: usize = 64;
/// What a chunk costs beside its bytes: the `Bytes` handle, its shared count and its owner.
const CHUNK_OVERHEAD: usize = 80;
/// What the only chunk costs beside its bytes and the rope: its shared count.
const SHARED: usize = 32;

/// The chunk of gaps.
static ZEROS: [u8; CHUNK] = [0; CHUNK];

type Leaf = Vec<Bytes>;

/// An immutable big string in chunks of [`CHUNK`] bytes; clones share them.
#[derive(Clone, Debug)]
pub struct Rope {
    len: usize,
    chunks: Chunks,
}

#[derive(Clone, Debug)]
enum Chunks {
    /// At most one chunk; empty if there is none.
    One(Bytes),
    /// Two or more.
    Many(Arc<[Arc<Leaf>]>),
}

impl Chunks {
    fn new(leaves: Vec<Arc<Leaf>>) -> Self {
        match leaves.as_slice() {
            [] => Chunks::One(Bytes::new()),
            [leaf] if leaf.len() == 1 => Chunks::One(leaf[0].clone()),
            _ => Chunks::Many(leaves.into()),
        }
    }

    fn get(&self, index: usize) -> Option<&Bytes> {
        match self {
            Chunks::One(chunk) => (index == 0 && !chunk.is_empty()).then_some(chunk),
            Chunks::Many(leaves) => leaves.get(index / FANOUT)?.get(index % FANOUT),
        }
    }

    /// The leaves, to make changed ones of them.
    fn to_leaves(&self) -> Vec<Arc<Leaf>> {
        match self {
            Chunks::One(chunk) if chunk.is_empty() => Vec::new(),
            Chunks::One(chunk) => vec![Arc::new(vec![chunk.clone()])],
            Chunks::Many(leaves) => leaves.to_vec(),
        }
    }
}

impl Default for Rope {
    fn default() -> Self {
        Self { len: 0, chunks: Chunks::new(Vec::new()) }
    }
}

impl Rope {
    /// Copies `bytes` into chunks.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.len() <= CHUNK {
            return Self { len: bytes.len(), chunks: Chunks::One(Bytes::copy_from_slice(bytes)) };
        }
        Self::from_chunks(bytes.chunks(CHUNK).map(Bytes::copy_from_slice).collect())
    }

    /// Takes chunks over as they are when all but the last have exactly [`CHUNK`] bytes; others are
    /// copied into that shape.
    #[must_use]
    pub fn from_chunks(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        let last = chunks.len().saturating_sub(1);
        let regular = chunks
            .iter()
            .enumerate()
            .all(|(i, chunk)| chunk.len() == CHUNK || (i == last && chunk.len() <= CHUNK));
        if !regular {
            chunks = rechunk(&chunks);
        }
        let len = chunks.iter().map(Bytes::len).sum();
        if chunks.len() <= 1 {
            return Self { len, chunks: Chunks::One(chunks.pop().unwrap_or_default()) };
        }
        let mut leaves = Vec::with_capacity(chunks.len().div_ceil(FANOUT));
        let mut rest = chunks.into_iter();
        loop {
            let leaf: Leaf = rest.by_ref().take(FANOUT).collect();
            if leaf.is_empty() {
                break;
            }
            leaves.push(Arc::new(leaf));
        }
        Self { len, chunks: Chunks::Many(leaves.into()) }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> + Clone {
        (0..self.chunk_count()).filter_map(|i| self.chunk(i))
    }

    /// The bytes if they are one chunk.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        match &self.chunks {
            Chunks::One(chunk) => Some(chunk),
            Chunks::Many(_) => None,
        }
    }

    /// The bytes from `start` (included) to `end` (not included) as shared slices of the chunks.
    /// What lies beyond the end is left out.
    pub fn slice(&self, start: usize, end: usize) -> impl Iterator<Item = Bytes> + '_ {
        let end = end.min(self.len);
        let start = start.min(end);
        let first = start / CHUNK;
        let last = end.div_ceil(CHUNK);
        (first..last).filter_map(move |i| {
            let chunk = self.chunk(i)?;
            let base = i * CHUNK;
            let from = start.saturating_sub(base);
            let to = (end - base).min(chunk.len());
            (from < to).then(|| chunk.slice(from..to))
        })
    }

    /// As [`Rope::slice`], borrowed.
    pub fn slices(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let end = end.min(self.len);
        let start = start.min(end);
        (start / CHUNK..end.div_ceil(CHUNK)).filter_map(move |i| {
            let chunk = self.chunk(i)?;
            let base = i * CHUNK;
            chunk
                .get(start.saturating_sub(base)..(end - base).min(chunk.len()))
                .filter(|part| !part.is_empty())
        })
    }

    /// The byte at `index`.
    #[must_use]
    pub fn byte(&self, index: usize) -> Option<u8> {
        self.chunk(index / CHUNK)?.get(index % CHUNK).copied()
    }

    /// A copy with `bytes` written at `offset`; a gap before it is filled with zeros. Copies only
    /// the chunks it touches.
    #[must_use]
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Self {
        if bytes.is_empty() && offset <= self.len {
            return self.clone();
        }
        let end = offset + bytes.len();
        let len = self.len.max(end);
        // The first chunk that changes: the written one, or the short last one if there is a gap.
        let first = offset.min(self.len) / CHUNK;
        let last = end.div_ceil(CHUNK);
        let mut leaves = self.chunks.to_leaves();
        for i in first..last {
            let base = i * CHUNK;
            let size = (len - base).min(CHUNK);
            let old = self.chunk(i);
            // A gap costs no memory: one bit far out in an empty string would clear 512 MiB.
            if old.is_none() && size == CHUNK && offset >= base + CHUNK {
                set_chunk(&mut leaves, i, Bytes::from_static(&ZEROS));
                continue;
            }
            let mut chunk = Vec::with_capacity(size);
            if let Some(old) = old {
                chunk.extend_from_slice(old);
            }
            chunk.resize(size, 0);
            let from = offset.max(base);
            let to = end.min(base + CHUNK);
            if from < to {
                chunk[from - base..to - base].copy_from_slice(&bytes[from - offset..to - offset]);
            }
            set_chunk(&mut leaves, i, Bytes::from(chunk));
        }
        Self { len, chunks: Chunks::new(leaves) }
    }

    /// A copy with `bytes` added at the end.
    #[must_use]
    pub fn append(&self, bytes: &[u8]) -> Self {
        self.write_at(self.len, bytes)
    }

    /// All bytes in one vector.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len);
        for chunk in self.chunks() {
            out.extend_from_slice(chunk);
        }
        out
    }

    /// The bytes of memory behind this rope, as if nothing of it were shared.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        Self::memory_of(self.len)
    }

    /// [`Rope::memory_usage`] of one of `len` bytes.
    #[must_use]
    pub fn memory_of(len: usize) -> usize {
        let bytes = crate::memory::usable(len);
        match len.div_ceil(CHUNK) {
            0 | 1 => bytes + SHARED,
            chunks => bytes + chunks * CHUNK_OVERHEAD + chunks.div_ceil(FANOUT) * 64,
        }
    }

    /// How much of [`Rope::memory_usage`] stays when this rope goes, because it is another one's as well.
    pub(crate) fn shared_with(&self, other: &Rope) -> usize {
        let (Chunks::Many(leaves), Chunks::Many(others)) = (&self.chunks, &other.chunks) else {
            return 0;
        };
        let leaf_bytes = FANOUT * CHUNK;
        let mut shared = 0;
        for (i, (leaf, theirs)) in leaves.iter().zip(others.iter()).enumerate() {
            // Of a common leaf without a look at its chunks: a long string has thousands.
            shared += match Arc::ptr_eq(leaf, theirs) {
                true => memory_of_chunks((self.len - i * leaf_bytes).min(leaf_bytes)),
                false => common_chunks(leaf, theirs),
            };
        }
        let own = memory_of_chunks(self.len) - shared;
        if shared == 0 { 0 } else { self.memory_usage() - own }
    }

    fn chunk(&self, index: usize) -> Option<&Bytes> {
        self.chunks.get(index)
    }

    /// How many chunks there are.
    pub(crate) fn chunk_count(&self) -> usize {
        self.len.div_ceil(CHUNK)
    }

    /// Gives up to `max` chunks back and says whether some are left. Chunks that other clones
    /// still use only lose a reference.
    pub(crate) fn shed(&mut self, max: usize) -> bool {
        let mut left = max;
        let Chunks::Many(root) = &mut self.chunks else {
            *self = Self::default();
            return false;
        };
        let Some(leaves) = Arc::get_mut(root) else {
            // Another clone owns the same root: dropping ours is one decrement.
            *self = Self::default();
            return false;
        };
        for leaf in leaves {
            if left == 0 {
                return true;
            }
            match Arc::get_mut(leaf) {
                Some(chunks) => {
                    let keep = chunks.len().saturating_sub(left);
                    left -= chunks.len() - keep;
                    chunks.truncate(keep);
                    if keep > 0 {
                        return true;
                    }
                }
                None => {
                    left -= 1;
                    *leaf = Arc::default();
                }
            }
        }
        false
    }
}

/// What the chunks of so many bytes cost, and nothing else.
fn memory_of_chunks(bytes: usize) -> usize {
    bytes + bytes.div_ceil(CHUNK) * CHUNK_OVERHEAD
}

/// What those chunks cost that two leaves have in common.
fn common_chunks(leaf: &[Bytes], other: &[Bytes]) -> usize {
    let pairs = leaf.iter().zip(other);
    let common = pairs.filter(|(a, b)| a.as_ptr() == b.as_ptr() && a.len() == b.len());
    common.map(|(chunk, _)| memory_of_chunks(chunk.len())).sum()
}

/// Chunks of odd sizes, copied into regular ones.
fn rechunk(chunks: &[Bytes]) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut current = Vec::with_capacity(CHUNK);
    for chunk in chunks {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let take = rest.len().min(CHUNK - current.len());
            current.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
            if current.len() == CHUNK {
                out.push(Bytes::from(std::mem::replace(&mut current, Vec::with_capacity(CHUNK))));
            }
        }
    }
    if !current.is_empty() {
        out.push(Bytes::from(current));
    }
    out
}

/// Puts chunk `index` in place, which is at most one past the last.
fn set_chunk(leaves: &mut Vec<Arc<Leaf>>, index: usize, chunk: Bytes) {
    let (at, slot) = (index / FANOUT, index % FANOUT);
    if at == leaves.len() {
        leaves.push(Arc::default());
    }
    let leaf = Arc::make_mut(&mut leaves[at]);
    if slot == leaf.len() {
        leaf.push(chunk);
    } else {
        leaf[slot] = chunk;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn writes_and_reads_agree_with_a_vector() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, FANOUT * CHUNK + 5] {
            let mut model = pattern(len);
            let rope = Rope::from_bytes(&model);
            assert_eq!(rope.to_vec(), model);
            for (offset, size) in [(0, 5), (len, 3), (len + CHUNK * 2 + 9, 4), (len / 2, CHUNK + 3)]
            {
                let bytes = vec![0xEE; size];
                let updated = rope.write_at(offset, &bytes);
                let mut expected = model.clone();
                if expected.len() < offset + size {
                    expected.resize(offset + size, 0);
                }
                expected[offset..offset + size].copy_from_slice(&bytes);
                assert_eq!(updated.len(), expected.len());
                assert!(updated.to_vec() == expected, "len {len} offset {offset}");
                assert!(updated.chunks().rev_check());
            }
            assert_eq!(rope.to_vec(), model, "the original is untouched");
            let part: Vec<u8> = rope.slice(1, len.saturating_sub(1)).flatten().collect();
            let part2: Vec<u8> = rope.slices(1, len.saturating_sub(1)).flatten().copied().collect();
            let wanted = if len > 2 { model[1..len - 1].to_vec() } else { Vec::new() };
            assert!(part == wanted && part2 == wanted);
            model.extend_from_slice(b"tail");
            assert!(rope.append(b"tail").to_vec() == model);
        }
    }

    trait RevCheck {
        fn rev_check(self) -> bool;
    }
    impl<'a, I: Iterator<Item = &'a Bytes>> RevCheck for I {
        /// Every chunk but the last is full.
        fn rev_check(self) -> bool {
            let sizes: Vec<usize> = self.map(Bytes::len).collect();
            sizes.iter().rev().skip(1).all(|&size| size == CHUNK)
        }
    }

    #[test]
    fn odd_chunks_are_made_regular() {
        let chunks = vec![Bytes::from(vec![1; 10]), Bytes::from(vec![2; CHUNK]), Bytes::new()];
        let rope = Rope::from_chunks(chunks);
        assert_eq!(rope.len(), CHUNK + 10);
        assert_eq!(rope.chunks().next().map(Bytes::len), Some(CHUNK));
        assert_eq!(rope.byte(9), Some(1));
        assert_eq!(rope.byte(10), Some(2));
        assert_eq!(rope.byte(CHUNK + 10), None);
    }

    #[test]
    fn what_a_copy_shares_does_not_count_as_gone() {
        let rope = Rope::from_bytes(&pattern(200 * CHUNK + 5));
        let own = |rope: &Rope, other: &Rope| rope.memory_usage() - rope.shared_with(other);
        let changed = rope.write_at(100 * CHUNK, b"x");
        assert_eq!(own(&rope, &changed), CHUNK + CHUNK_OVERHEAD);
        assert_eq!(own(&changed, &rope), CHUNK + CHUNK_OVERHEAD);
        assert_eq!(own(&rope, &rope.append(b"tail")), 5 + CHUNK_OVERHEAD);
        assert_eq!(own(&rope, &rope.clone()), 0);
        for other in [Rope::from_bytes(&pattern(200 * CHUNK + 5)), Rope::from_bytes(b"short")] {
            assert_eq!((rope.shared_with(&other), other.shared_with(&rope)), (0, 0));
        }
    }

    #[test]
    fn shedding_frees_in_bounded_steps() {
        let mut rope = Rope::from_bytes(&pattern(200 * CHUNK));
        let keep = rope.clone();
        assert!(!rope.shed(1), "a shared root goes at once");
        let mut rope = keep;
        let mut steps = 1;
        while rope.shed(16) {
            steps += 1;
        }
        assert!((13..=18).contains(&steps), "{steps}");
    }
}
