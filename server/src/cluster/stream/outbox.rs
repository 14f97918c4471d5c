//! What of one shard a peer has still to be told: the core of the stream, without sockets, time or
//! threads.
//!
//! Keys that have changed wait in a queue, each once, however often it changes meanwhile. Who takes a key
//! out sends the state that the key has **then**: its value, or that it is not there. So for each key in
//! the slots of the outbox, at any time:
//!
//! > the state that was sent last is the present one, or the key is in the queue, or the base walk
//! > has not come to it.
//!
//! That rests on order alone, and so nothing in the store has a version: a change is marked under the
//! shard's role directly after it was made, the state is read after the key was taken out, and states are
//! sent in the order in which they were read.
//!
//! ```text
//!            mark, flush                    pop                      acknowledge
//!   changes ------------> | k7 k3 k9 k1 | ------> | k4 k8 k2 | ------------------> forgotten
//!                              queue                  sent
//!                         `---- reconnect: what was sent and not acknowledged is queued again
//! ```
//!
//! Marks have rising numbers. When all marks up to S were taken out and sent, the peer is told `Upto(S)`;
//! once it has acknowledged that, it has for each key a state that the key had after the change
//! that S stands for.
//!
//! A flush is a mark with the slots that were flushed. Those of the outbox may be others by the time at
//! which it is taken out: a base of them, or what another node has of them, is not to be flushed.

use crate::cluster::slot;
use crate::cluster::stream::ranges::Ranges;
use bytes::Bytes;
use dunlin_storage::{Key, SlotSet};
use hashbrown::HashTable;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// The memory of a queue that was longer is given back when it is empty.
const KEEP: usize = 1024;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A key.
    Key(Bytes),
    /// All keys of these slots were removed.
    Slots(Ranges),
}

/// What becomes of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is sent.
    Goes,
    /// It is not wanted any more.
    Drops,
    /// The peer does not take it yet.
    Waits,
}

#[derive(Clone, Debug)]
struct Mark {
    number: u64,
    /// The first of those that it stands for: a flush makes what was marked before it superfluous, but
    /// until it is sent the peer knows of none of that.
    since: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Key(Name),
    Slots(Ranges),
}

impl What {
    /// Whether a flush of these slots says it, too.
    fn is_within(&self, flushed: &Ranges) -> bool {
        match self {
            What::Key(name) => flushed.contains(slot::of(&name.bytes)),
            What::Slots(slots) => slots.is_within(flushed),
        }
    }
}

/// A key's name with the store's hash of it.
#[derive(Clone, Debug)]
struct Name {
    hash: u64,
    bytes: Bytes,
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Outbox {
    /// In which slots changes are marked.
    slots: Ranges,
    /// Number of the newest mark.
    newest: u64,
    queue: VecDeque<Mark>,
    /// The keys in the queue.
    marked: HashTable<Name>,
    /// Taken out of the queue, and not acknowledged.
    sent: VecDeque<Mark>,
    /// The peer has acknowledged everything up to this number.
    acknowledged: u64,
}

impl Outbox {
    /// The slots of which changes are marked.
    #[must_use]
    pub fn slots(&self) -> &Ranges {
        &self.slots
    }

    /// Marks changes in these slots, too, from here on.
    pub fn add(&mut self, slots: &Ranges) {
        self.slots = self.slots.with(slots);
    }

    /// Marks no changes in these slots any more. A key of them that is marked is dropped when it is taken
    /// out. Of a flush nothing stays: when they are added again their base begins.
    pub fn remove(&mut self, slots: &Ranges) {
        self.slots = self.slots.without(slots);
        for mark in self.queue.iter_mut().chain(&mut self.sent) {
            if let What::Slots(flushed) = &mut mark.what {
                *flushed = flushed.without(slots);
            }
        }
    }

    /// A key in a slot has changed. True if the queue was empty until now: somebody may sleep.
    pub fn mark(&mut self, key: &Key<'_>, slot: u16) -> bool {
        if !self.slots.contains(slot) {
            return false;
        }
        let hash = key.hash.0;
        let is = |name: &Name| name.hash == hash && name.bytes == key.bytes;
        if self.marked.find(hash, is).is_some() {
            return false;
        }
        let name = Name { hash, bytes: Bytes::copy_from_slice(key.bytes) };
        self.marked.insert_unique(hash, name.clone(), |name| name.hash);
        self.newest += 1;
        let (number, what) = (self.newest, What::Key(name));
        self.queue.push_back(Mark { number, since: number, what });
        self.queue.len() == 1
    }

    /// All keys of these slots were removed: what was marked of them does not matter any more. As
    /// [`Outbox::mark`].
    pub fn flush(&mut self, flushed: &SlotSet) -> bool {
        let slots = self.slots.slots().filter(|slot| flushed.contains(*slot));
        let slots: Ranges = slots.map(|slot| (slot, slot)).collect();
        if slots.is_empty() {
            return false;
        }
        let was_empty = self.queue.is_empty();
        self.newest += 1;
        let number = self.newest;
        let since = self.supersede(&slots).unwrap_or(number);
        self.queue.push_back(Mark { number, since, what: What::Slots(slots) });
        was_empty
    }

    /// Forgets the marks that a flush of these slots makes superfluous. It stands for them, from the number
    /// that comes back on; and so do those that stay among them, because they are sent before it.
    fn supersede(&mut self, flushed: &Ranges) -> Option<u64> {
        let mut since = None;
        self.queue.retain_mut(|mark| {
            let is_superfluous = mark.what.is_within(flushed);
            match is_superfluous {
                true => since = since.or(Some(mark.since)),
                false => mark.since = since.unwrap_or(mark.since),
            }
            !is_superfluous
        });
        self.marked.retain(|name| !flushed.contains(slot::of(&name.bytes)));
        since
    }

    /// What becomes of what was marked first, and is still to be taken out. `open`: the slots of which the
    /// peer takes anything.
    #[must_use]
    pub fn turn(&self, open: &Ranges) -> Option<Turn> {
        let (is_wanted, is_open) = match &self.queue.front()?.what {
            What::Key(name) => {
                let slot = slot::of(&name.bytes);
                (self.slots.contains(slot), open.contains(slot))
            }
            What::Slots(slots) => (!slots.is_empty(), slots.is_within(open)),
        };
        Some(match (is_wanted, is_open) {
            (false, _) => Turn::Drops,
            (true, true) => Turn::Goes,
            (true, false) => Turn::Waits,
        })
    }

    /// Takes out what was marked first. Its present state has to be read after this, and sent.
    pub fn pop(&mut self) -> Option<Changed> {
        let mark = self.queue.pop_front()?;
        let changed = match &mark.what {
            What::Key(name) => {
                let is = |other: &Name| other.hash == name.hash && other.bytes == name.bytes;
                if let Ok(entry) = self.marked.find_entry(name.hash, is) {
                    entry.remove();
                }
                Changed::Key(name.bytes.clone())
            }
            What::Slots(slots) => Changed::Slots(slots.clone()),
        };
        if self.queue.is_empty() && self.queue.capacity() > KEEP {
            (self.queue, self.marked) = Default::default();
        }
        self.sent.push_back(mark);
        Some(changed)
    }

    /// Up to which number everything was taken out.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.queue.front().map_or(self.newest, |mark| mark.since - 1)
    }

    /// How many were taken out and are not acknowledged.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.sent.len()
    }

    /// The number of the newest mark.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Up to which number the peer has everything.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How much the peer has not acknowledged.
    #[must_use]
    pub fn lag(&self) -> usize {
        self.queue.len() + self.sent.len()
    }

    /// The peer has everything up to `number`. A number that was never told changes nothing.
    pub fn acknowledge(&mut self, number: u64) {
        if number > self.taken() {
            return;
        }
        while self.sent.front().is_some_and(|mark| mark.number <= number) {
            self.sent.pop_front();
        }
        if self.sent.is_empty() && self.sent.capacity() > KEEP {
            self.sent = VecDeque::new();
        }
        self.acknowledged = self.acknowledged.max(number);
    }

    /// A new connection to the same peer, which has kept what it has: whatever it has not acknowledged
    /// may be lost, and is queued again, before what is queued.
    pub fn reconnect(&mut self) {
        let mut again = std::mem::take(&mut self.sent);
        again.append(&mut self.queue);
        self.marked = HashTable::new();
        for mut mark in again {
            let is_new = match &mark.what {
                What::Key(name) => self.enter(name),
                What::Slots(slots) => {
                    mark.since = self.supersede(slots).unwrap_or(mark.since);
                    true
                }
            };
            if is_new {
                self.queue.push_back(mark);
            }
        }
    }

    /// Notes that a key is in the queue; false if it is already.
    fn enter(&mut self, name: &Name) -> bool {
        let is = |other: &Name| other.hash == name.hash && other.bytes == name.bytes;
        if self.marked.find(name.hash, is).is_some() {
            return false;
        }
        self.marked.insert_unique(name.hash, name.clone(), |name| name.hash);
        true
    }
}
