//! Keyspace notifications: changes of keys as messages of two channels.
//!
//! An *event* has a class, a name, a key and a database. If `notify-keyspace-events` asks for its
//! class, it is published as `__keyspace@<db>__:<key>` with the name as the message, or as
//! `__keyevent@<db>__:<name>` with the key as the message, or both.
//!
//! # Who notifies
//!
//! - `Call`'s methods, for what always means the same: `new` when a key is added, `del` when one is
//!   removed, `expire` and `persist`, and `keymiss` when a read finds nothing.
//! - The handlers, for what they have done to a value: `call.notify(Class::STRING, "incrby", &key)`
//!   after the change. Names are Redis's, which are not always those of the commands.
//! - The store, for what it removes by itself, through [`crate::interest`]: `expired`, `evicted`,
//!   and `hexpired` when the expiry walk has removed fields of a hash (with `del`, if none is left).
//!
//! # What is promised
//!
//! An event is published after its change and before the reply to the command. The publisher holds
//! the writer role of the key, so the events of a key come in the order of its changes. While no
//! class is asked for, an event costs one relaxed load.

use crate::client::Client;
use crate::config::EVENT_CLASSES;
use crate::pubsub::PubSub;
use crate::server::Server;
use dunlin_storage::DbId;
use std::sync::atomic::{AtomicU16, Ordering};

/// A set of classes of events, or of the channels they are published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(u16);

impl Class {
    /// Keys of any type: `del`, `expire`, `rename_from`.
    pub const GENERIC: Class = Class::of(b'g');
    /// Strings.
    pub const STRING: Class = Class::of(b'$');
    /// Lists.
    pub const LIST: Class = Class::of(b'l');
    /// Sets.
    pub const SET: Class = Class::of(b's');
    /// Hashes.
    pub const HASH: Class = Class::of(b'h');
    /// Sorted sets.
    pub const ZSET: Class = Class::of(b'z');
    /// Removals of expired keys.
    pub const EXPIRED: Class = Class::of(b'x');
    /// Removals to make room.
    pub const EVICTED: Class = Class::of(b'e');
    /// Streams.
    pub const STREAM: Class = Class::of(b't');
    /// Keys that did not exist before.
    pub const NEW: Class = Class::of(b'n');
    /// Reads of keys that do not exist.
    pub const KEY_MISS: Class = Class::of(b'm');

    /// What can come of removals by the store itself.
    pub const REMOVALS: Class =
        Class(Self::EXPIRED.0 | Self::EVICTED.0 | Self::HASH.0 | Self::GENERIC.0);

    /// Events that only tell of what the store has changed, and so has told its observer of: strings
    /// are always stored anew.
    pub(crate) const STORED: Class = Class(Self::STRING.0 | Self::NEW.0 | Self::KEY_MISS.0);

    const KEYSPACE: Class = Class::of(b'K');
    const KEYEVENT: Class = Class::of(b'E');

    /// The class that the directive names with this letter.
    const fn of(letter: u8) -> Class {
        let mut i = 0;
        while EVENT_CLASSES[i] != letter {
            i += 1;
        }
        Class(1 << i)
    }

    /// The set that the directive's value stands for.
    pub const fn from_bits(bits: u16) -> Class {
        Class(bits)
    }

    /// Whether the sets have a class in common.
    #[inline]
    pub const fn any(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }
}

/// The way from events to messages.
#[derive(Debug)]
pub struct Notifier {
    /// The classes that are asked for.
    wanted: AtomicU16,
    pubsub: PubSub,
}

impl Notifier {
    /// Nothing is asked for yet.
    pub fn new(pubsub: PubSub) -> Self {
        Notifier { wanted: AtomicU16::new(0), pubsub }
    }

    /// Applies `notify-keyspace-events`.
    pub fn configure(&self, classes: u16) {
        self.wanted.store(classes, Ordering::Relaxed);
    }

    /// The classes that are asked for.
    #[inline]
    pub fn wanted(&self) -> Class {
        Class::from_bits(self.wanted.load(Ordering::Relaxed))
    }

    /// Publishes an event if its class is asked for. Returns how many messages were sent.
    #[inline]
    pub fn notify(&self, class: Class, event: &str, key: &[u8], db: DbId) -> usize {
        let wanted = self.wanted();
        if wanted.any(class) { self.publish(wanted, event, key, db) } else { 0 }
    }

    #[cold]
    fn publish(&self, wanted: Class, event: &str, key: &[u8], db: DbId) -> usize {
        if self.pubsub.is_idle() {
            return 0;
        }
        let mut sent = 0;
        if wanted.any(Class::KEYSPACE) {
            sent += self.pubsub.publish(&channel("keyspace", db, key), event.as_bytes());
        }
        if wanted.any(Class::KEYEVENT) {
            sent += self.pubsub.publish(&channel("keyevent", db, event.as_bytes()), key);
        }
        sent
    }
}

/// [`Notifier::notify`] of the server.
#[inline]
pub fn notify(server: &Server, class: Class, event: &str, key: &[u8], db: DbId) -> usize {
    server.notifier.notify(class, event, key, db)
}

/// Publishes the misses of a command whose reads stand.
#[cold]
pub fn tell_misses(server: &Server, client: &mut Client) {
    for key in std::mem::take(&mut client.missed) {
        client.deliveries += notify(server, Class::KEY_MISS, "keymiss", &key, client.db);
    }
}

/// `__keyspace@0__:name`
fn channel(space: &str, db: DbId, name: &[u8]) -> Vec<u8> {
    [format!("__{space}@{}__:", db.0).as_bytes(), name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_name_database_and_key_or_event() {
        assert_eq!(channel("keyspace", DbId(0), b"a\0b"), b"__keyspace@0__:a\0b");
        assert_eq!(channel("keyevent", DbId(15), b"set"), b"__keyevent@15__:set");
    }

    #[test]
    fn classes_are_the_letters_of_the_directive() {
        let all = EVENT_CLASSES.iter().fold(0, |bits, letter| bits | Class::of(*letter).0);
        assert_eq!(all.count_ones(), 14, "one bit each");
        assert!(Class::from_bits(all).any(Class::STRING));
        assert!(!Class::STRING.any(Class::LIST));
    }
}
