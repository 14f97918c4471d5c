//! Giving entries to consumers: new ones, and again those that are pending.

use super::group::Group;
use super::id::StreamId;
use super::log::Log;
use crate::Millis;

impl Group {
    /// Delivers the next entries, at most `count` of them (0: all), to a consumer that was seen.
    /// Unless `acknowledged`, they are pending then. Returns the first and the last: the entries of
    /// the log between them are those that were delivered.
    pub fn deliver(
        &mut self,
        log: &Log,
        consumer: &[u8],
        count: u64,
        acknowledged: bool,
        now: Millis,
    ) -> Option<(StreamId, StreamId)> {
        let name = self.name(consumer)?;
        let mut first = None;
        let mut delivered = 0;
        for entry in log.range(self.last_id.next()?, StreamId::MAX) {
            self.advance(log, entry.id());
            first.get_or_insert(entry.id());
            if !acknowledged {
                // An administrator may have moved the group back: then somebody has it already.
                self.assign(entry.id(), &name, now, 1);
            }
            delivered += 1;
            if delivered == count {
                break;
            }
        }
        if first.is_some() && !acknowledged {
            self.note_active(consumer, now);
        }
        first.map(|first| (first, self.last_id))
    }

    /// Moves the group to its next entry, and its count if that is known there.
    fn advance(&mut self, log: &Log, id: StreamId) {
        match self.entries_read {
            Some(read) if !log.has_gap_from(id) => self.entries_read = Some(read.wrapping_add(1)),
            _ if log.entries_added() > 0 => self.entries_read = log.added_up_to(id),
            _ => {}
        }
        self.last_id = id;
    }

    /// Delivers once more the pending entries of a consumer after `after`, at most `count` of them
    /// (0: all). Returns their identifiers; those that are not in the log any more are among them.
    pub fn deliver_again(
        &mut self,
        log: &Log,
        consumer: &[u8],
        after: StreamId,
        count: u64,
        now: Millis,
    ) -> Vec<StreamId> {
        let (Some(consumer), Some(start)) = (self.consumers.get(consumer), after.next()) else {
            return Vec::new();
        };
        let most =
            if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
        let ids: Vec<StreamId> = consumer.pending.range(start..).take(most).copied().collect();
        for id in ids.iter().filter(|id| log.get(**id).is_some()) {
            if let Some(pending) = self.pending.get_mut(id) {
                pending.delivered_at = now;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            }
        }
        ids
    }

    /// Notes that a consumer got something.
    pub(super) fn note_active(&mut self, consumer: &[u8], now: Millis) {
        if let Some(consumer) = self.consumers.get_mut(consumer) {
            consumer.active_at = Some(now);
        }
    }
}
