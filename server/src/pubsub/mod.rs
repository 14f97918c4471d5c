//! Publish/subscribe: who has subscribed to what, and the way of a message to all of them.
//!
//! # How it works
//!
//! Subscriptions are kept twice. A client has its own ([`Subscriptions`]), by name, so that it can
//! list, count and end them. The process has the other direction, from a name to the feeds of its
//! subscribers: one registry for channels, one for sharded channels (each in many shards with a
//! lock of their own, [`channels`]), and one list of patterns ([`patterns`]).
//!
//! ```text
//!  PUBLISH news hello
//!     |  1. who?  channels["news"] -> Arc of members      (a shard's lock, for one look-up)
//!     |           patterns         -> Arc of all patterns (a lock, for one reference count)
//!     |  2. "$4 news $5 hello", encoded once               (no lock from here on)
//!     |  3. feed.push for each member: message -> its inbox -> its connection's task
//!     `  4. reply: how many
//! ```
//!
//! What a look-up returns is a snapshot, the list itself and not a copy: lists are changed in place
//! while nobody reads them, and copied first while somebody does. So no lock is held while messages
//! are delivered, publishers never wait for each other, and those of channels in different shards
//! do not even touch the same memory. Without any subscriber, PUBLISH is a hash and two loads.
//!
//! A message is encoded once, whatever the number of subscribers, their protocol, and whether they
//! named the channel or a pattern: its forms differ only in what stands before the channel's name,
//! which is encoded when the subscription is made (see [`crate::inbox::Message`]).
//!
//! # What is promised
//!
//! - The number in PUBLISH's reply is the number of messages that were put into inboxes: one per
//!   subscription that matched. When the reply is sent all of them are there.
//! - A subscriber receives the messages of one publisher in the order in which they were
//!   published, and so too if publishers order themselves by waiting for replies. Messages that
//!   are published at the same time by different connections may reach different subscribers in
//!   different orders.
//! - A client that publishes to itself gets the message after PUBLISH's reply and before the reply
//!   of its next command, as in Redis 7.2.
//! - A message published after the reply to SUBSCRIBE is received; none arrives after the reply to
//!   UNSUBSCRIBE. (A snapshot taken before may still name a subscription that has ended since;
//!   [`Feed::end`](crate::inbox::Feed::end) is what keeps the promise.)
//! - A subscriber that does not read is closed at the limits of `client-output-buffer-limit pubsub`;
//!   it delays nobody.
//!
//! The cost of PUBLISH is in the number of subscribers and of patterns; a turn that delivers much
//! ends early so that others get theirs ([`crate::session::TURN_DELIVERIES`]).

mod channels;
mod patterns;
mod subscriptions;

use crate::client::ClientShared;
use crate::glob;
use crate::inbox::{Feed, Message};
use bytes::Bytes;
use dunlin_protocol::push_bulk;
use patterns::Patterns;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use channels::Channels;
pub use subscriptions::{Figures, Subscriptions};

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels that match a pattern.
    Pattern,
    /// A sharded channel: a name space of its own, without patterns.
    ShardChannel,
}

/// Begin of a message to the subscribers of a channel.
static MESSAGE: Bytes = Bytes::from_static(b"$7\r\nmessage\r\n");
/// Begin of a message to the subscribers of a sharded channel.
static SHARD_MESSAGE: Bytes = Bytes::from_static(b"$8\r\nsmessage\r\n");
/// Begin of the message that a subscription to a sharded channel was taken away.
static TAKEN_AWAY: Bytes = Bytes::from_static(b"$12\r\nsunsubscribe\r\n");

/// The subscribers of one name, by the number of the client.
#[derive(Clone, Debug, Default)]
struct Members(Vec<Arc<Feed>>);

impl Members {
    fn place(&self, client: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&client, |feed| feed.client_id())
    }

    /// A client has at most one subscription to a name.
    fn add(&mut self, feed: &Arc<Feed>) {
        if let Err(place) = self.place(feed.client_id()) {
            self.0.insert(place, Arc::clone(feed));
        }
    }

    /// Removes a client, if `is` says yes to its subscription; true: nobody is left.
    fn remove(&mut self, client: u64, is: impl FnOnce(&Arc<Feed>) -> bool) -> bool {
        if let Ok(place) = self.place(client)
            && is(&self.0[place])
        {
            self.0.remove(place);
        }
        self.0.is_empty()
    }
}

#[derive(Debug, Default)]
struct Registry {
    channels: Channels,
    shard_channels: Channels,
    patterns: Patterns,
    /// Hard limit of a subscriber's unsent bytes; 0: none.
    limit: AtomicU64,
}

impl Registry {
    /// Enters a subscription. Returns the name, shared with all who have subscribed to it.
    fn join(&self, kind: Kind, name: &[u8], feed: &Arc<Feed>) -> Bytes {
        match kind {
            Kind::Channel => self.channels.join(name, feed),
            Kind::Pattern => self.patterns.join(name, feed),
            Kind::ShardChannel => self.shard_channels.join(name, feed),
        }
    }

    fn leave(&self, kind: Kind, name: &[u8], client: u64) {
        match kind {
            Kind::Channel => self.channels.leave(name, client),
            Kind::Pattern => self.patterns.leave(name, client),
            Kind::ShardChannel => self.shard_channels.leave(name, client),
        }
    }
}

/// The subscriptions of all clients; a clone is another way to them.
#[derive(Clone, Debug, Default)]
pub struct PubSub(Arc<Registry>);

impl PubSub {
    /// The subscriptions of a new client.
    pub fn open(&self, client: Arc<ClientShared>) -> Subscriptions {
        Subscriptions::new(Arc::clone(&self.0), client)
    }

    /// Applies the hard limit of `client-output-buffer-limit pubsub`; 0 = none.
    pub fn configure(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Hard limit of a subscriber's unsent bytes, 0 = none.
    pub fn output_limit(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Whether nobody has subscribed to a channel or pattern.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.patterns.len() == 0 && self.0.channels.is_empty()
    }

    /// Sends a message to the subscribers of `channel` and of the patterns that match it; returns
    /// how many it was sent to.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut post = Post::new(channel, message, self.output_limit());
        if let Some(members) = self.0.channels.members(channel) {
            post.deliver(&members, 3, &MESSAGE);
        }
        if let Some(patterns) = self.0.patterns.snapshot() {
            for (pattern, group) in patterns.iter() {
                if glob::matches(pattern, channel) {
                    post.deliver(&group.members, 4, &group.head);
                }
            }
        }
        post.receivers
    }

    /// Sends a message to the subscribers of a sharded channel; returns how many it was sent to.
    pub fn publish_sharded(&self, channel: &[u8], message: &[u8]) -> usize {
        let mut post = Post::new(channel, message, self.output_limit());
        if let Some(members) = self.0.shard_channels.members(channel) {
            post.deliver(&members, 3, &SHARD_MESSAGE);
        }
        post.receivers
    }

    /// Takes sharded channels away from their subscribers: other nodes have them now. The subscribers
    /// get the message that would confirm SUNSUBSCRIBE, and messages that came before it.
    pub fn take_away(&self, is_gone: impl Fn(&[u8]) -> bool) {
        let limit = self.output_limit();
        for name in self.0.shard_channels.names(is_gone) {
            let members = self.0.shard_channels.members(&name);
            for feed in members.iter().flat_map(|members| &members.0) {
                self.0.shard_channels.leave_with(&name, feed);
                let figures = &feed.client().subscriptions;
                feed.end_with(limit, || {
                    // Counts change under the inbox's lock, which is held.
                    let left = figures.shard_channels.load(Ordering::Relaxed).saturating_sub(1);
                    figures.shard_channels.store(left, Ordering::Relaxed);
                    figures.taken.store(true, Ordering::Release);
                    let mut tail = Vec::new();
                    push_bulk(&mut tail, &name);
                    tail.extend_from_slice(format!(":{left}\r\n").as_bytes());
                    Message::Push { elements: 3, head: TAKEN_AWAY.clone(), tail: tail.into() }
                });
            }
        }
    }

    /// Closes the connections of all subscribers for whom `may` is false: it is asked for each
    /// subscription, with the client, the name, and whether that is a pattern.
    pub fn close_unless(&self, may: impl Fn(&ClientShared, &[u8], bool) -> bool) {
        let close = |name: &[u8], members: &Members, is_pattern: bool| {
            let clients = members.0.iter().map(|feed| feed.client());
            clients.filter(|client| !may(client, name, is_pattern)).for_each(ClientShared::kill);
        };
        for channels in [&self.0.channels, &self.0.shard_channels] {
            channels.each(|name, members| close(name, members, false));
        }
        for (pattern, group) in self.0.patterns.snapshot().iter().flat_map(|groups| groups.iter()) {
            close(pattern, &group.members, true);
        }
    }

    /// The channels that somebody has subscribed to.
    pub fn channels(&self) -> &Channels {
        &self.0.channels
    }

    /// The sharded channels that somebody has subscribed to.
    pub fn shard_channels(&self) -> &Channels {
        &self.0.shard_channels
    }

    /// Number of patterns that somebody has subscribed to.
    pub fn patterns(&self) -> usize {
        self.0.patterns.len()
    }
}

/// One message on its way to its receivers.
struct Post<'a> {
    channel: &'a [u8],
    message: &'a [u8],
    limit: u64,
    /// Channel and message, encoded when the first receiver is found.
    encoded: Option<Bytes>,
    receivers: usize,
}

impl<'a> Post<'a> {
    fn new(channel: &'a [u8], message: &'a [u8], limit: u64) -> Self {
        Post { channel, message, limit, encoded: None, receivers: 0 }
    }

    fn deliver(&mut self, members: &Members, elements: usize, head: &Bytes) {
        let tail = self.encoded.get_or_insert_with(|| {
            let mut text = Vec::new();
            push_bulk(&mut text, self.channel);
            push_bulk(&mut text, self.message);
            Bytes::from(text)
        });
        for feed in &members.0 {
            let message = Message::Push { elements, head: head.clone(), tail: tail.clone() };
            self.receivers += usize::from(feed.push(message, self.limit));
        }
    }
}

#[cfg(test)]
mod tests;
