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

use crate::cluster::stream::ranges::Ranges;
use bytes::Bytes;
use dunlin_storage::Key;
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
    /// All keys were removed.
    All,
}

#[derive(Clone, Debug)]
struct Mark {
    number: u64,
    /// The first of those that it stands for: a flush makes what was marked before it superfluous, but
    /// until it is sent the peer knows of none of that.
    since: u64,
    /// None: all keys were removed.
    key: Option<Name>,
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

    /// Marks changes in other slots from here on. What is marked of others is forgotten when it is
    /// taken out.
    pub fn set_slots(&mut self, slots: Ranges) {
        self.slots = slots;
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
        self.push(Some(name))
    }

    /// All keys were removed: what was marked does not matter any more. As [`Outbox::mark`].
    pub fn flush(&mut self) -> bool {
        if self.slots.is_empty() {
            return false;
        }
        let since = self.queue.front().map(|mark| mark.since);
        self.queue.clear();
        self.marked = HashTable::new();
        self.newest += 1;
        let number = self.newest;
        self.queue.push_back(Mark { number, since: since.unwrap_or(number), key: None });
        since.is_none()
    }

    fn push(&mut self, key: Option<Name>) -> bool {
        self.newest += 1;
        self.queue.push_back(Mark { number: self.newest, since: self.newest, key });
        self.queue.len() == 1
    }

    /// What was marked first, and is still to be taken out. None within: all keys were removed.
    #[must_use]
    pub fn first(&self) -> Option<Option<&Bytes>> {
        self.queue.front().map(|mark| mark.key.as_ref().map(|name| &name.bytes))
    }

    /// Takes out what was marked first. Its present state has to be read after this, and sent.
    pub fn pop(&mut self) -> Option<Changed> {
        let mark = self.queue.pop_front()?;
        let changed = match &mark.key {
            Some(name) => {
                let is = |other: &Name| other.hash == name.hash && other.bytes == name.bytes;
                if let Ok(entry) = self.marked.find_entry(name.hash, is) {
                    entry.remove();
                }
                Changed::Key(name.bytes.clone())
            }
            None => Changed::All,
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
        let since = again.front().map(|mark| mark.since);
        // What came before a flush does not matter.
        let from = again.iter().rposition(|mark| mark.key.is_none()).unwrap_or(0);
        for (at, mut mark) in again.into_iter().skip(from).enumerate() {
            if let (0, Some(since)) = (at, since) {
                mark.since = since;
            }
            let is_new = mark.key.as_ref().is_none_or(|name| self.enter(name));
            if is_new {
                self.queue.push_back(mark);
            }
        }
    }

    /// The peer gets a base of everything: what is marked up to here is part of it.
    pub fn restart(&mut self) {
        (self.queue, self.marked, self.sent) = Default::default();
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
