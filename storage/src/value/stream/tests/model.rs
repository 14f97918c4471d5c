//! What a stream is, as naively as it can be said: a vector of entries and maps of groups.

use std::collections::BTreeMap;

use crate::value::stream::{Claim, Keep, NewId, StreamId, Swept, Trim};

pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry; a deleted one is kept as long as its block.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: StreamId,
    pub(super) fields: Fields,
    deleted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) consumer: Vec<u8>,
    pub(super) delivered_at: i64,
    pub(super) deliveries: u64,
}

/// When a consumer was seen and active.
pub(super) type Times = (i64, Option<i64>);

#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) last_id: StreamId,
    pub(super) read: Option<i64>,
    pub(super) pending: BTreeMap<StreamId, Pending>,
    pub(super) consumers: BTreeMap<Vec<u8>, Times>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    entries: Vec<Entry>,
    pub(super) last_id: StreamId,
    pub(super) max_deleted_id: StreamId,
    pub(super) added: u64,
    pub(super) groups: BTreeMap<Vec<u8>, Group>,
}

impl Model {
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = &Entry> + Clone {
        self.entries.iter().filter(|entry| !entry.deleted)
    }

    pub(super) fn len(&self) -> u64 {
        self.live().count() as u64
    }

    pub(super) fn first_id(&self) -> StreamId {
        self.live().next().map_or(StreamId::MIN, |entry| entry.id)
    }

    pub(super) fn has(&self, id: StreamId) -> bool {
        self.live().any(|entry| entry.id == id)
    }

    pub(super) fn append(&mut self, id: NewId, fields: Fields, now: u64) -> Option<StreamId> {
        let id = match id {
            NewId::Exactly(id) => id,
            NewId::Time(ms) if ms == self.last_id.ms => StreamId::new(ms, self.last_id.seq + 1),
            NewId::Time(ms) => StreamId::new(ms, 0),
            NewId::Auto if now > self.last_id.ms => StreamId::new(now, 0),
            NewId::Auto => StreamId::new(self.last_id.ms, self.last_id.seq + 1),
        };
        if id <= self.last_id {
            return None;
        }
        self.entries.push(Entry { id, fields, deleted: false });
        self.last_id = id;
        self.added += 1;
        Some(id)
    }

    pub(super) fn delete(&mut self, id: StreamId, bases: &[StreamId]) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id && !entry.deleted)
        else {
            return false;
        };
        entry.deleted = true;
        self.max_deleted_id = self.max_deleted_id.max(id);
        let block = base_of(id, bases);
        if self.entries.iter().all(|entry| base_of(entry.id, bases) != block || entry.deleted) {
            self.entries.retain(|entry| base_of(entry.id, bases) != block);
        }
        true
    }

    /// Trims; the bases say which entries are in one block.
    pub(super) fn trim(&mut self, how: Trim, bases: &[StreamId]) -> u64 {
        let before = self.len();
        for base in bases {
            let in_block = |entry: &Entry| base_of(entry.id, bases) == Some(*base);
            let live = self.live().filter(|entry| in_block(entry)).count() as u64;
            let last = self.entries.iter().rfind(|entry| in_block(entry)).map(|entry| entry.id);
            let gone = before - self.len();
            if matches!(how.keep, Keep::Last(keep) if self.len() <= keep)
                || (how.limit > 0 && gone + live > how.limit)
            {
                break;
            }
            let whole = match how.keep {
                Keep::Last(keep) => self.len() - live >= keep,
                Keep::From(from) => last < Some(from),
            };
            if whole {
                self.entries.retain(|entry| !in_block(entry));
                continue;
            }
            if !how.approximate {
                let surplus = match how.keep {
                    Keep::Last(keep) => self.len().saturating_sub(keep),
                    Keep::From(_) => live,
                };
                let kept = |entry: &Entry| matches!(how.keep, Keep::From(id) if entry.id >= id);
                let doomed = self.entries.iter_mut().filter(|entry| !entry.deleted);
                doomed
                    .take_while(|entry| !kept(entry))
                    .take(surplus as usize)
                    .for_each(|entry| entry.deleted = true);
            }
            break;
        }
        before - self.len()
    }

    /// How many entries were added up to an identifier, by the rules of Redis.
    pub(super) fn added_up_to(&self, id: StreamId) -> Option<i64> {
        let (added, len) = (self.added as i64, self.len() as i64);
        let whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id();
        match () {
            () if added == 0 => Some(0),
            () if len == 0 && id <= self.last_id => Some(added),
            () if id == self.last_id => Some(added),
            () if id > self.last_id => None,
            () if whole && id < self.first_id() => Some(added - len),
            () if whole && id == self.first_id() => Some(added - len + 1),
            () => None,
        }
    }

    fn has_gap_from(&self, id: StreamId) -> bool {
        let deleted = self.max_deleted_id;
        self.len() > 0 && deleted != StreamId::MIN && deleted >= self.first_id() && deleted >= id
    }

    pub(super) fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.added as i64;
        match group.read {
            _ if added == 0 => Some(0),
            Some(read) if !self.has_gap_from(group.last_id) => Some(added - read),
            _ => self.added_up_to(group.last_id).map(|read| added - read),
        }
    }

    pub(super) fn deliver(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        count: u64,
        acknowledged: bool,
        now: i64,
    ) -> Vec<StreamId> {
        let mut changed = self.groups[group].clone();
        let most = if count == 0 { usize::MAX } else { count as usize };
        let new = self.live().map(|entry| entry.id).filter(|id| *id > changed.last_id);
        let ids: Vec<StreamId> = new.take(most).collect();
        for id in &ids {
            changed.read = match changed.read {
                Some(read) if !self.has_gap_from(*id) => Some(read + 1),
                _ => self.added_up_to(*id),
            };
            changed.last_id = *id;
            if !acknowledged {
                let name = consumer.to_vec();
                let pending = Pending { consumer: name, delivered_at: now, deliveries: 1 };
                changed.pending.insert(*id, pending);
                changed.active(consumer, now);
            }
        }
        self.groups.insert(group.to_vec(), changed);
        ids
    }

    pub(super) fn deliver_again(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        after: StreamId,
        count: u64,
        now: i64,
    ) -> Vec<StreamId> {
        let most = if count == 0 { usize::MAX } else { count as usize };
        let own = self.groups[group].pending.iter();
        let own = own.filter(|(id, pending)| **id > after && pending.consumer == consumer);
        let ids: Vec<StreamId> = own.map(|(id, _)| *id).take(most).collect();
        for id in ids.iter().filter(|id| self.has(**id)).copied().collect::<Vec<_>>() {
            let group = self.groups.get_mut(group).expect("the group is there");
            let pending = group.pending.get_mut(&id).expect("it is pending");
            pending.delivered_at = now;
            pending.deliveries += 1;
        }
        ids
    }

    pub(super) fn claim(&mut self, group: &[u8], id: StreamId, how: &Claim<'_>, now: i64) -> bool {
        let exists = self.has(id);
        let group = self.groups.get_mut(group).expect("the group is there");
        if !exists {
            group.pending.remove(&id);
            return false;
        }
        let before = group.pending.get(&id).cloned();
        if before.as_ref().is_some_and(|p| how.min_idle > 0 && now - p.delivered_at < how.min_idle)
        {
            return false;
        }
        let before = match before {
            Some(pending) => pending.deliveries,
            None if how.force => 1,
            None => return false,
        };
        let deliveries = how.deliveries.unwrap_or(before + u64::from(!how.just_id));
        let consumer = how.consumer.to_vec();
        let pending = Pending { consumer, delivered_at: how.delivered_at, deliveries };
        group.pending.insert(id, pending);
        group.active(how.consumer, now);
        true
    }

    pub(super) fn sweep(
        &mut self,
        group: &[u8],
        start: StreamId,
        count: u64,
        how: &Claim<'_>,
        now: i64,
    ) -> Swept {
        let mut swept = Swept::default();
        let ids = self.groups[group].pending.keys().filter(|id| **id >= start).copied();
        let mut ids = ids.collect::<Vec<_>>().into_iter();
        for looks in 0.. {
            let found = (swept.claimed.len() + swept.deleted.len()) as u64;
            let Some(id) = ids.next() else { break };
            if looks == count * 10 || found == count {
                swept.next = id;
                break;
            }
            if !self.has(id) {
                swept.deleted.push(id);
            }
            if self.claim(group, id, how, now) {
                swept.claimed.push(id);
            }
        }
        swept
    }
}

impl Group {
    fn active(&mut self, consumer: &[u8], now: i64) {
        if let Some((_, active)) = self.consumers.get_mut(consumer) {
            *active = Some(now);
        }
    }

    pub(super) fn see(&mut self, consumer: &[u8], now: i64) -> bool {
        let new = !self.consumers.contains_key(consumer);
        self.consumers.entry(consumer.to_vec()).or_insert((now, None)).0 = now;
        new
    }

    pub(super) fn remove_consumer(&mut self, consumer: &[u8]) -> Option<usize> {
        self.consumers.remove(consumer)?;
        let before = self.pending.len();
        self.pending.retain(|_, pending| pending.consumer != consumer);
        Some(before - self.pending.len())
    }
}

/// The block that an entry is in.
fn base_of(id: StreamId, bases: &[StreamId]) -> Option<StreamId> {
    bases.iter().rfind(|base| **base <= id).copied()
}
