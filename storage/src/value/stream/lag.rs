//! How far a group has come, as a number of entries.
//!
//! A group counts the entries it has read. While none of the entries before it are missing, that is
//! also the place of its last entry among all that were ever added, and the difference to their
//! number is its **lag**. Deletions ahead of the group break this; then the place is known only
//! for identifiers at the ends of the stream, and for others the lag is unknown. The rules are those
//! of Redis 7.2, gaps included: clients compare.

use super::id::StreamId;
use super::log::Log;

impl Log {
    /// How many entries were added up to and including `id`, if that can be told.
    #[must_use]
    pub fn added_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added().cast_signed();
        let len = self.len().cast_signed();
        if added == 0 || id == self.last_id() || (len == 0 && id < self.last_id()) {
            return Some(added);
        }
        if id > self.last_id() {
            return None;
        }
        let whole =
            self.max_deleted_id() == StreamId::MIN || self.max_deleted_id() < self.first_id();
        if !whole || id > self.first_id() {
            return None;
        }
        Some(added.wrapping_sub(len).wrapping_add(i64::from(id == self.first_id())))
    }

    /// Whether an entry from `start` on was deleted, as far as the one greatest deleted identifier
    /// tells.
    #[must_use]
    pub(super) fn has_gap_from(&self, start: StreamId) -> bool {
        let deleted = self.max_deleted_id();
        !self.is_empty()
            && deleted != StreamId::MIN
            && self.first_id() <= deleted
            && start <= deleted
    }

    /// How many entries a group has not read yet that has come to `last_id` after reading
    /// `entries_read`, if that can be told.
    #[must_use]
    pub fn lag(&self, last_id: StreamId, entries_read: Option<i64>) -> Option<i64> {
        let added = self.entries_added().cast_signed();
        if added == 0 {
            return Some(0);
        }
        let counted = entries_read.filter(|_| !self.has_gap_from(last_id));
        let read = counted.or_else(|| self.added_up_to(last_id))?;
        Some(added.wrapping_sub(read))
    }
}
