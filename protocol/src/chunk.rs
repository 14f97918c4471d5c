//! The memory of big bulk strings: chunks of [`CHUNK`] bytes that are used again.
//!
//! Whoever stores values of 100 MB overwrites values of 100 MB. If their chunks went back to the
//! allocator, it would give them to the system in pieces of up to 32 MiB, milliseconds in front of
//! everybody's commands, and the next value would come page by page from the system. So a chunk
//! whose last user is gone waits for the next value:
//!
//! ```text
//! take -> [ the socket fills it ] -> freeze -> Bytes, shared by value and replies -> dropped
//!   ^                                                                                   |
//!   `----------------- free chunks, as many as may be kept <----------------------------'
//!                                      |
//!                           release: a few at a time
//! ```
//!
//! What nobody has [needed](unneeded) for a while the server [releases](release). All threads share
//! the free chunks, because a value is received by one and freed by another. Nobody waits for
//! anybody: who finds the list in use goes to the allocator.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use bytes::{Bytes, BytesMut};

use crate::limits::CHUNK;

static FREE: Mutex<Free> = Mutex::new(Free::new());

/// Free chunks of all threads.
#[derive(Debug)]
struct Free {
    /// The longest unused in front.
    chunks: VecDeque<BytesMut>,
    /// How many are kept; at first none.
    most: usize,
    /// The fewest that there were since somebody asked what is not needed.
    fewest: usize,
    /// How many have gone back to the allocator.
    released: u64,
}

impl Free {
    const fn new() -> Self {
        Self { chunks: VecDeque::new(), most: 0, fewest: 0, released: 0 }
    }

    fn take(&mut self) -> Option<BytesMut> {
        let chunk = self.chunks.pop_back();
        self.fewest = self.fewest.min(self.chunks.len());
        chunk
    }

    /// Whether there is room for one more.
    fn has_room(&self) -> bool {
        self.chunks.len() < self.most
    }

    fn put(&mut self, mut chunk: BytesMut) {
        chunk.clear();
        self.chunks.push_back(chunk);
    }

    /// Those that go if so many may stay.
    fn keep(&mut self, most: usize) -> Vec<BytesMut> {
        self.most = most;
        self.release(self.chunks.len().saturating_sub(most))
    }

    fn unneeded(&mut self) -> usize {
        std::mem::replace(&mut self.fewest, self.chunks.len())
    }

    fn release(&mut self, count: usize) -> Vec<BytesMut> {
        let gone: Vec<_> = self.chunks.drain(..count.min(self.chunks.len())).collect();
        self.fewest = self.fewest.min(self.chunks.len());
        self.released += gone.len() as u64;
        gone
    }
}

/// A chunk with its bytes; it is free again when it is dropped.
struct Full(BytesMut);

impl AsRef<[u8]> for Full {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        if let Some(mut free) = free_at_once()
            && free.has_room()
        {
            free.put(std::mem::take(&mut self.0));
        }
    }
}

/// An empty chunk with room for [`CHUNK`] bytes.
pub(crate) fn take() -> BytesMut {
    let used = free_at_once().and_then(|mut free| free.take());
    used.unwrap_or_else(|| BytesMut::with_capacity(CHUNK))
}

/// The bytes of a chunk, which is free again when the last of their clones is dropped.
pub(crate) fn freeze(chunk: BytesMut) -> Bytes {
    match chunk.capacity() {
        CHUNK => Bytes::from_owner(Full(chunk)),
        _ => chunk.freeze(),
    }
}

/// Keeps free chunks of up to so many bytes from now on. At first none are kept.
pub fn keep(bytes: u64) {
    let gone = free().keep(usize::try_from(bytes).unwrap_or(usize::MAX) / CHUNK);
    drop(gone);
}

/// Bytes of the chunks that are free.
pub fn free_bytes() -> u64 {
    free().chunks.len() as u64 * CHUNK as u64
}

/// How many of the free chunks nobody has needed since this was asked last.
pub fn unneeded() -> usize {
    free().unneeded()
}

/// Gives up to `count` free chunks to the allocator.
pub fn release(count: usize) {
    // The allocator may take its time: not while others look for chunks.
    let gone = free().release(count);
    drop(gone);
}

/// How many free chunks have ever been given to the allocator.
pub fn released() -> u64 {
    free().released
}

fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The free chunks, if nobody is at them.
fn free_at_once() -> Option<MutexGuard<'static, Free>> {
    match FREE.try_lock() {
        Ok(free) => Some(free),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(count: usize) -> Free {
        let mut free = Free::new();
        assert!(free.keep(count).is_empty());
        (0..count).for_each(|_| free.put(BytesMut::with_capacity(CHUNK)));
        free
    }

    #[test]
    fn the_chunk_that_was_used_last_is_used_next_and_the_oldest_goes() {
        let mut free = full(3);
        let places: Vec<*const u8> = free.chunks.iter().map(|chunk| chunk.as_ptr()).collect();
        let mut used = free.take().expect("there are three");
        assert_eq!(used.as_ptr(), places[2]);
        used.extend_from_slice(b"bytes");
        free.put(used);
        let gone = free.release(1);
        assert_eq!((gone.len(), gone[0].as_ptr()), (1, places[0]));
        let again = free.take().expect("two are left");
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (places[2], 0, CHUNK));
    }

    #[test]
    fn what_was_there_all_the_time_is_not_needed() {
        let mut free = full(10);
        assert_eq!(free.unneeded(), 0, "they have come just now");
        let used: Vec<BytesMut> = (0..4).filter_map(|_| free.take()).collect();
        used.into_iter().for_each(|chunk| free.put(chunk));
        assert_eq!(free.unneeded(), 6);
        assert_eq!(free.unneeded(), 10, "nobody has taken one since");
        assert_eq!(free.release(usize::MAX).len(), 10);
        assert_eq!(free.unneeded(), 0, "what has gone is not there");
        assert!(free.take().is_none());
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let mut free = full(8);
        assert!(!free.has_room());
        assert_eq!(free.keep(5).len(), 3);
        assert!(!free.has_room() && free.chunks.len() == 5);
        assert_eq!(free.keep(0).len(), 5);
    }
}
