//! The receive buffer: how much room a read gets, when memory is given back.

use bytes::BytesMut;

use crate::limits::{READ_ROOM, READ_ROOM_MAX, SHRINK_AFTER};

/// Received bytes. Offsets into it hold until [`Input::forget`] or [`Input::make_room`].
#[derive(Debug)]
pub(super) struct Input {
    bytes: BytesMut,
    /// Room for the next read: [`READ_ROOM`], or [`READ_ROOM_MAX`] while reads fill it.
    room: usize,
    /// Drained batches in a row that would have fitted [`READ_ROOM`].
    small_batches: u32,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), room: READ_ROOM, small_batches: 0 }
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Notes that a read may have filled the buffer: the sender is faster than our reads.
    #[inline]
    pub(super) fn note_read(&mut self) {
        if self.bytes.len() == self.bytes.capacity() && !self.bytes.is_empty() {
            self.room = READ_ROOM_MAX;
            self.small_batches = 0;
        }
    }

    /// Makes room for the next read, which must be able to take `need` bytes in the long run.
    /// Offsets hold: nothing moves. At least half the room is free afterwards.
    pub(super) fn make_room(&mut self, need: usize) {
        let room = self.room.max(need.min(READ_ROOM_MAX));
        if self.bytes.capacity() - self.bytes.len() >= room / 2 {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes = BytesMut::with_capacity(room);
        } else {
            self.bytes.reserve(room);
        }
    }

    /// Moves what starts at `from` to the front; offsets shrink by `from`.
    pub(super) fn discard(&mut self, from: usize) {
        let rest = self.bytes.len() - from;
        self.bytes.copy_within(from.., 0);
        self.bytes.truncate(rest);
    }

    /// Forgets everything: a batch was the last of what was received.
    pub(super) fn forget(&mut self) {
        let used = self.bytes.len();
        self.bytes.clear();
        if self.bytes.capacity() <= READ_ROOM {
            return;
        }
        if used > READ_ROOM {
            self.small_batches = 0;
        } else {
            self.small_batches += 1;
        }
        if self.small_batches >= SHRINK_AFTER {
            self.room = READ_ROOM;
        }
        if self.small_batches >= SHRINK_AFTER || self.bytes.capacity() > 2 * READ_ROOM_MAX {
            self.small_batches = 0;
            self.bytes = BytesMut::new();
        }
    }

    /// Gives memory back that holds nothing: all of it if nothing is held.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        } else if self.bytes.capacity() > 2 * self.bytes.len() + READ_ROOM {
            self.bytes = BytesMut::from(&self.bytes[..]);
        }
    }
}
