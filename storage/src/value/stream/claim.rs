//! Pending entries that change hands.

use super::group::{Group, Name};
use super::id::StreamId;
use super::log::Log;
use crate::Millis;

/// How many pending entries a sweep looks at for each one that it may claim.
const LOOKS_PER_CLAIM: u64 = 10;

/// On what conditions entries are claimed, and how they are marked.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who claims; it was seen before.
    pub consumer: &'a [u8],
    /// How long they must not have been delivered.
    pub min_idle: Millis,
    /// When they were delivered from now on.
    pub delivered_at: Millis,
    /// How often they were; if not given, once more, or as often if only the identifiers are
    /// wanted.
    pub deliveries: Option<u64>,
    /// Only the identifiers are wanted.
    pub just_id: bool,
    /// Entries that are not pending become so.
    pub force: bool,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Where the next sweep begins; `0-0` at the end.
    pub next: StreamId,
    /// What was claimed.
    pub claimed: Vec<StreamId>,
    /// What was pending, but is not in the log any more. It is not pending now.
    pub deleted: Vec<StreamId>,
}

impl Group {
    /// Claims one entry; whether that was possible. An entry that is not in the log is not pending
    /// after that.
    pub fn claim(&mut self, log: &Log, id: StreamId, how: &Claim<'_>, now: Millis) -> bool {
        if log.get(id).is_none() {
            self.acknowledge(id);
            return false;
        }
        let Some(name) = self.name(how.consumer) else { return false };
        let deliveries = match self.pending.get(&id) {
            Some(pending) if how.min_idle > 0 && pending.idle(now) < how.min_idle => return false,
            Some(pending) => pending.deliveries,
            // Made as if it were delivered, then claimed.
            None if how.force => 1,
            None => return false,
        };
        self.take(id, &name, deliveries, how, now);
        true
    }

    /// Claims up to `count` pending entries from `start` on. It ends earlier if it has looked at too
    /// many that cannot be claimed; those that are no longer in the log count as claimed.
    pub fn sweep(
        &mut self,
        log: &Log,
        start: StreamId,
        count: u64,
        how: &Claim<'_>,
        now: Millis,
    ) -> Swept {
        let mut swept = Swept::default();
        let Some(name) = self.name(how.consumer) else { return swept };
        let mut next = self.pending_from(start);
        let mut left = count;
        let mut looks = count.saturating_mul(LOOKS_PER_CLAIM);
        while let Some((id, delivered_at, deliveries)) = next.filter(|_| looks > 0 && left > 0) {
            looks -= 1;
            if log.get(id).is_none() {
                self.acknowledge(id);
                swept.deleted.push(id);
                left -= 1;
            } else if how.min_idle <= 0 || now.saturating_sub(delivered_at) >= how.min_idle {
                self.take(id, &name, deliveries, how, now);
                swept.claimed.push(id);
                left -= 1;
            }
            next = id.next().and_then(|id| self.pending_from(id));
        }
        swept.next = next.map_or(StreamId::MIN, |(id, ..)| id);
        swept
    }

    /// The first pending entry from `start` on: identifier, time and number of deliveries.
    fn pending_from(&self, start: StreamId) -> Option<(StreamId, Millis, u64)> {
        let (id, pending) = self.pending.range(start..).next()?;
        Some((*id, pending.delivered_at, pending.deliveries))
    }

    /// Gives an entry to a consumer.
    fn take(&mut self, id: StreamId, name: &Name, before: u64, how: &Claim<'_>, now: Millis) {
        let more = u64::from(!how.just_id);
        let deliveries = how.deliveries.unwrap_or(before.wrapping_add(more));
        self.assign(id, name, how.delivered_at, deliveries);
        self.note_active(name, now);
    }
}
