//! Consumer groups: who has been given which entry and has not acknowledged it yet.
//!
//! ```text
//! Groups: name -> Group
//!                   last_id, entries_read
//!                   pending:   id -> Pending { consumer, delivered_at, deliveries }
//!                   consumers: name -> Consumer { seen_at, active_at, pending: { id, .. } }
//! ```
//!
//! Every pending entry is in the group's list and in the list of exactly one consumer. Neither says
//! that the entry is still in the stream: whoever reads a pending entry looks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::id::StreamId;
use super::slot_bytes;
use crate::Millis;
use crate::memory::usable;

/// Name of a consumer, shared by its pending entries.
pub(super) type Name = Arc<[u8]>;

/// What a pending entry costs in both lists.
const PENDING_BYTES: usize =
    slot_bytes(size_of::<(StreamId, Pending)>()) + slot_bytes(size_of::<StreamId>());
/// What a consumer costs beside its name.
const CONSUMER_BYTES: usize = slot_bytes(size_of::<(Name, Consumer)>());
/// What a group costs beside its name and what is in it.
const GROUP_BYTES: usize = slot_bytes(size_of::<(Box<[u8]>, Group)>());
/// The counters before a shared name.
const SHARED_HEADER: usize = 2 * size_of::<usize>();

/// A delivered entry that was not acknowledged yet.
#[derive(Clone, Debug)]
pub struct Pending {
    pub(super) consumer: Name,
    pub(super) delivered_at: Millis,
    pub(super) deliveries: u64,
}

impl Pending {
    /// Name of the consumer that has it.
    #[must_use]
    pub fn consumer(&self) -> &[u8] {
        &self.consumer
    }

    /// When it was last delivered.
    #[must_use]
    pub fn delivered_at(&self) -> Millis {
        self.delivered_at
    }

    /// How often it was delivered.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// How long ago it was delivered.
    #[must_use]
    pub fn idle(&self, now: Millis) -> Millis {
        now.saturating_sub(self.delivered_at)
    }
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) seen_at: Millis,
    pub(super) active_at: Option<Millis>,
    pub(super) pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// When it last asked for something.
    #[must_use]
    pub fn seen_at(&self) -> Millis {
        self.seen_at
    }

    /// When it last got something, if it ever did.
    #[must_use]
    pub fn active_at(&self) -> Option<Millis> {
        self.active_at
    }

    /// Identifiers of its pending entries.
    #[must_use]
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    pub(super) last_id: StreamId,
    pub(super) entries_read: Option<i64>,
    pub(super) pending: BTreeMap<StreamId, Pending>,
    pub(super) consumers: BTreeMap<Name, Consumer>,
    name_bytes: usize,
}

impl Group {
    /// A group that has come to `last_id`; `entries_read` is its place there, if known.
    #[must_use]
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Self {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            consumers: BTreeMap::new(),
            name_bytes: 0,
        }
    }

    /// The last entry that was delivered.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many entries were read up to there, if that is known.
    #[must_use]
    pub fn entries_read(&self) -> Option<i64> {
        self.entries_read
    }

    /// Moves the group.
    pub fn set_id(&mut self, last_id: StreamId, entries_read: Option<i64>) {
        self.last_id = last_id;
        self.entries_read = entries_read;
    }

    /// All pending entries, by identifier.
    #[must_use]
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// The pending entries in a range, of one consumer or of all. `None` is a consumer that does
    /// not exist.
    pub fn pending_in(
        &self,
        range: RangeInclusive<StreamId>,
        consumer: Option<&[u8]>,
    ) -> Option<impl Iterator<Item = (StreamId, &Pending)>> {
        let own = match consumer {
            Some(name) => Some(&self.consumers.get(name)?.pending),
            None => None,
        };
        // A range that ends before it starts is empty, but the maps do not know it.
        let range = (range.start() <= range.end()).then_some(range);
        let all = range.clone().filter(|_| own.is_none());
        let all = all.into_iter().flat_map(|range| self.pending.range(range));
        let own = own.zip(range).into_iter().flat_map(|(own, range)| own.range(range));
        let own = own.filter_map(|id| self.pending.get_key_value(id));
        Some(all.chain(own).map(|(id, pending)| (*id, pending)))
    }

    /// The consumers by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (&[u8], &Consumer)> {
        self.consumers.iter().map(|(name, consumer)| (&**name, consumer))
    }

    /// The consumer with this name.
    #[must_use]
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// Adds a consumer; false if there is one with this name.
    pub fn create_consumer(&mut self, name: &[u8], now: Millis) -> bool {
        self.restore_consumer(name, now, None)
    }

    /// Notes that a consumer asks for something, and adds it if there is none with this name;
    /// whether that was so.
    pub fn see_consumer(&mut self, name: &[u8], now: Millis) -> bool {
        match self.consumers.get_mut(name) {
            Some(consumer) => {
                consumer.seen_at = now;
                false
            }
            None => self.create_consumer(name, now),
        }
    }

    /// Removes a consumer with its pending entries; returns how many those were.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(name)?;
        self.name_bytes -= name_bytes(name);
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// Takes an entry off the lists; whether it was pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }

    /// Makes an entry pending for the consumer `name`, whoever had it before.
    pub(super) fn assign(
        &mut self,
        id: StreamId,
        name: &Name,
        delivered_at: Millis,
        deliveries: u64,
    ) {
        let pending = Pending { consumer: Arc::clone(name), delivered_at, deliveries };
        let before = self.pending.insert(id, pending).map(|pending| pending.consumer);
        if before.as_ref() == Some(name) {
            return;
        }
        if let Some(consumer) = before.and_then(|before| self.consumers.get_mut(&before)) {
            consumer.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(name) {
            consumer.pending.insert(id);
        }
    }

    /// The shared form of a consumer's name.
    pub(super) fn name(&self, name: &[u8]) -> Option<Name> {
        self.consumers.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// Adds a consumer of a payload; false if there is one with this name.
    pub fn restore_consumer(
        &mut self,
        name: &[u8],
        seen_at: Millis,
        active_at: Option<Millis>,
    ) -> bool {
        if self.consumers.contains_key(name) {
            return false;
        }
        let consumer = Consumer { seen_at, active_at, pending: BTreeSet::new() };
        self.consumers.insert(name.into(), consumer);
        self.name_bytes += name_bytes(name);
        true
    }

    /// Adds a pending entry of a payload; false if it is there already, or there is no such
    /// consumer.
    #[must_use]
    pub fn restore_pending(
        &mut self,
        id: StreamId,
        consumer: &[u8],
        delivered_at: Millis,
        deliveries: u64,
    ) -> bool {
        let Some(name) = self.name(consumer).filter(|_| !self.pending.contains_key(&id)) else {
            return false;
        };
        self.assign(id, &name, delivered_at, deliveries);
        true
    }

    /// The bytes of memory behind the group, its name not included.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        GROUP_BYTES
            + self.name_bytes
            + self.consumers.len() * CONSUMER_BYTES
            + self.pending.len() * PENDING_BYTES
    }

    /// Frees up to `max` pending entries and consumers; whether there are more. Until that is over
    /// nothing but the memory may be asked for.
    pub fn shed(&mut self, max: usize) -> bool {
        !self.drain(&mut { max })
    }

    /// Frees `left` things at most and counts them down; true if there are no more.
    fn drain(&mut self, left: &mut usize) -> bool {
        while *left > 0 {
            *left -= 1;
            let Some(mut consumer) = self.consumers.last_entry() else {
                match self.pending.pop_last() {
                    Some(_) => continue,
                    None => return true,
                }
            };
            if consumer.get_mut().pending.pop_last().is_none() {
                let (name, _) = consumer.remove_entry();
                self.name_bytes -= name_bytes(&name);
            }
        }
        false
    }
}

/// What a shared name takes.
fn name_bytes(name: &[u8]) -> usize {
    usable(SHARED_HEADER + name.len())
}

/// The groups of a stream.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Memory behind the groups and their names.
    bytes: usize,
}

impl Groups {
    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True if there are no groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The group with this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Changes the group with this name, if there is one.
    pub fn edit<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = self.groups.get_mut(name)?;
        let before = group.memory_usage();
        let result = change(group);
        self.bytes = self.bytes - before + group.memory_usage();
        Some(result)
    }

    /// Adds a group; false if there is one with this name.
    pub fn insert(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.bytes += usable(name.len()) + group.memory_usage();
        self.groups.insert(name.into(), group);
        true
    }

    /// Takes a group out. A big one is to be freed in steps ([`Group::shed`]).
    pub fn remove(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.groups.remove(name)?;
        self.bytes -= usable(name.len()) + group.memory_usage();
        Some(group)
    }

    /// The bytes of memory behind the groups.
    #[must_use]
    pub fn memory_usage(&self) -> usize {
        self.bytes
    }

    /// Frees `left` things at most and counts them down; true if there are no more.
    pub(super) fn drain(&mut self, left: &mut usize) -> bool {
        while *left > 0 {
            let Some(mut last) = self.groups.last_entry() else { return true };
            let group = last.get_mut();
            let before = group.memory_usage();
            let empty = group.drain(left);
            self.bytes = self.bytes - before + group.memory_usage();
            if empty {
                let (name, group) = last.remove_entry();
                self.bytes -= usable(name.len()) + group.memory_usage();
            }
        }
        false
    }
}
