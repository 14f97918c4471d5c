//! The entries of a snapshot, and how they fill its blocks.

use super::format::{BLOCK, Kind};
use dunlin_storage::{DbId, Millis};
use std::collections::VecDeque;

/// Set in the first byte of an entry that has an expiry.
const WITH_EXPIRY: u8 = 0x80;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A key has this value.
    Value,
    /// A key's collection has these members, too. Without a value: these were all.
    Part,
    /// A key whose parts were written is not to be there.
    Void,
    /// There is this library of functions.
    Library,
}

impl What {
    const ALL: [What; 4] = [What::Value, What::Part, What::Void, What::Library];

    fn code(self) -> u8 {
        match self {
            What::Value => 1,
            What::Part => 2,
            What::Void => 3,
            What::Library => 4,
        }
    }
}

/// An entry without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// What it says.
    pub what: What,
    /// Of which database.
    pub db: DbId,
    /// The key.
    pub key: &'a [u8],
    /// When the key expires.
    pub expire_at: Option<Millis>,
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Everything but the value.
    pub head: Head<'a>,
    /// The value: a type and bytes as in an RDB file, or a text.
    pub value: &'a [u8],
}

/// Entries on their way into blocks. A block that is full waits in `ready` until somebody has time to
/// write it: entries are added under a pin of the epoch, or under a role, where nobody waits for a disk.
#[derive(Debug, Default)]
pub(crate) struct Filler {
    current: Vec<u8>,
    ready: VecDeque<(Kind, Vec<u8>)>,
    entries: u64,
}

impl Filler {
    /// Adds an entry.
    pub(crate) fn add(&mut self, head: &Head<'_>, value: &[u8]) {
        let Ok(()) = self.add_in_chunks(head, value.len(), std::iter::once(value), |_| {
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Adds an entry whose value of `length` bytes comes in chunks, after each of which there is time to
    /// write what is ready.
    pub(crate) fn add_in_chunks<'c, E>(
        &mut self,
        head: &Head<'_>,
        length: usize,
        chunks: impl Iterator<Item = &'c [u8]>,
        mut write: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.entries += 1;
        let whole = put_head(head, length);
        let total = whole.len().saturating_add(length);
        if total > BLOCK {
            self.close();
            self.piece(&whole);
            for chunk in chunks {
                self.piece(chunk);
                write(self)?;
            }
            let last = std::mem::take(&mut self.current);
            self.ready.push_back((Kind::LastPiece, last));
            return Ok(());
        }
        if self.current.len() + total > BLOCK {
            self.close();
        }
        self.current.extend_from_slice(&whole);
        chunks.for_each(|chunk| self.current.extend_from_slice(chunk));
        Ok(())
    }

    /// Adds a chunk of a long entry, of which all pieces are full but the last.
    fn piece(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            if self.current.len() == BLOCK {
                let piece = std::mem::take(&mut self.current);
                self.ready.push_back((Kind::Piece, piece));
            }
            let room = BLOCK - self.current.len();
            let (part, rest) = chunk.split_at(room.min(chunk.len()));
            self.current.extend_from_slice(part);
            chunk = rest;
        }
    }

    /// Ends the block that is being filled.
    pub(crate) fn close(&mut self) {
        if !self.current.is_empty() {
            let block = std::mem::take(&mut self.current);
            self.ready.push_back((Kind::Entries, block));
        }
    }

    /// A block that is ready to be written.
    pub(crate) fn pop(&mut self) -> Option<(Kind, Vec<u8>)> {
        self.ready.pop_front()
    }

    /// Blocks that are ready to be written.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Entries added so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }
}

/// Everything of an entry that is before its value of so many bytes.
fn put_head(head: &Head<'_>, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + head.key.len());
    let expiry = if head.expire_at.is_some() { WITH_EXPIRY } else { 0 };
    out.extend([head.what.code() | expiry, head.db.0]);
    out.extend(head.expire_at.iter().flat_map(|at| at.to_le_bytes()));
    // A key is shorter than 4 GiB: the store keeps its length in 32 bits.
    out.extend(u32::try_from(head.key.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(head.key);
    out.extend((length as u64).to_le_bytes());
    out
}

/// The entries in the bytes of a block, or of all pieces of a long one. An error is the last item.
pub(crate) struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// Reads from the front.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Entries(bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let [code, db] = self.array()?;
        let what = What::ALL.into_iter().find(|what| what.code() == code & !WITH_EXPIRY)?;
        let expire_at = match code & WITH_EXPIRY {
            0 => None,
            _ => Some(Millis::from_le_bytes(self.array()?)),
        };
        let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
        let key = self.take(length)?;
        let length = usize::try_from(u64::from_le_bytes(self.array()?)).ok()?;
        let value = self.take(length)?;
        Some(Entry { head: Head { what, db: DbId(db), key, expire_at }, value })
    }
}

/// Bytes that are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.0 = &[];
        }
        Some(entry.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(key: &[u8]) -> Head<'_> {
        Head { what: What::Value, db: DbId(3), key, expire_at: Some(-7) }
    }

    /// All entries, with pieces put together.
    fn read(mut filler: Filler) -> Vec<(Vec<u8>, Vec<u8>)> {
        filler.close();
        let (mut long, mut entries) = (Vec::new(), Vec::new());
        while let Some((kind, bytes)) = filler.pop() {
            assert!(bytes.len() <= BLOCK);
            long.extend(bytes);
            if kind != Kind::Piece {
                for entry in Entries::new(&long) {
                    let Entry { head, value } = entry.expect("it is well-formed");
                    assert_eq!(
                        (head.what, head.db, head.expire_at),
                        (What::Value, DbId(3), Some(-7))
                    );
                    entries.push((head.key.to_vec(), value.to_vec()));
                }
                long.clear();
            }
        }
        entries
    }

    #[test]
    fn entries_of_every_length_come_back() {
        let lengths = [0, 1, 100, BLOCK / 2, BLOCK - 30, BLOCK, BLOCK + 1, 3 * BLOCK, 7, 0];
        let (mut filler, mut wanted) = (Filler::default(), Vec::new());
        for (i, length) in lengths.into_iter().enumerate() {
            let (key, value) = (format!("key {i}").into_bytes(), vec![b'0' + i as u8; length]);
            let chunks = value.chunks(1000);
            let Ok(()) = filler.add_in_chunks(&head(&key), length, chunks, |_| {
                Ok::<(), std::convert::Infallible>(())
            });
            wanted.push((key, value));
        }
        assert_eq!(filler.entries(), lengths.len() as u64);
        assert_eq!(read(filler), wanted);
    }

    #[test]
    fn malformed_entries_are_refused() {
        let mut filler = Filler::default();
        filler.add(&head(b"key"), b"value");
        filler.close();
        let (_, bytes) = filler.pop().expect("a block");
        fn last(bytes: &[u8]) -> Option<Result<Entry<'_>, Malformed>> {
            Entries::new(bytes).last()
        }
        for at in 1..bytes.len() {
            assert_eq!(last(&bytes[..at]), Some(Err(Malformed)), "cut at {at}");
        }
        let mut huge = bytes.clone();
        huge[17..25].copy_from_slice(&(1_u64 << 63).to_le_bytes());
        assert_eq!(last(&huge), Some(Err(Malformed)));
        let mut unknown = bytes;
        unknown[0] = 9;
        assert_eq!(last(&unknown), Some(Err(Malformed)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(
            bytes in proptest::collection::vec(
                proptest::prop_oneof![0_u8..5, proptest::prelude::any::<u8>()],
                0..200,
            ),
        ) {
            let found: Vec<_> = Entries::new(&bytes).collect();
            // Every entry takes bytes, so there are no more than that, and an error is the last one.
            proptest::prop_assert!(found.len() <= bytes.len());
            let errors = found.iter().filter(|entry| entry.is_err()).count();
            proptest::prop_assert!(errors == usize::from(found.last().is_some_and(Result::is_err)));
        }
    }
}
