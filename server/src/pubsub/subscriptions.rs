//! What one client has subscribed to.

use super::{Kind, Registry};
use crate::client::ClientShared;
use crate::inbox::Feed;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a subscription besides its name, in both directions: an estimate.
const OVERHEAD: u64 = 192;

/// What others see of a client's subscriptions.
#[derive(Debug, Default)]
pub struct Figures {
    /// Channels.
    pub channels: AtomicU64,
    /// Patterns.
    pub patterns: AtomicU64,
    /// Sharded channels.
    pub shard_channels: AtomicU64,
    /// Bytes that all of them take.
    pub bytes: AtomicU64,
    /// Some were taken away ([`super::PubSub::take_away`]), and the client has not tidied up yet.
    pub taken: AtomicBool,
}

type Feeds = BTreeMap<Bytes, Arc<Feed>>;

/// The subscriptions of one client; dropping them ends them.
#[derive(Debug)]
pub struct Subscriptions {
    registry: Arc<Registry>,
    client: Arc<ClientShared>,
    channels: Feeds,
    patterns: Feeds,
    shard_channels: Feeds,
}

impl Subscriptions {
    pub(super) fn new(registry: Arc<Registry>, client: Arc<ClientShared>) -> Self {
        Subscriptions {
            registry,
            client,
            channels: Feeds::new(),
            patterns: Feeds::new(),
            shard_channels: Feeds::new(),
        }
    }

    fn of(&mut self, kind: Kind) -> &mut Feeds {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::ShardChannel => &mut self.shard_channels,
        }
    }

    /// Forgets what was taken away from the client.
    pub fn tidy_up(&mut self) {
        if !self.client.subscriptions.taken.swap(false, Ordering::Acquire) {
            return;
        }
        let bytes = &self.client.subscriptions.bytes;
        self.shard_channels.retain(|name, feed| {
            let stays = !feed.has_ended();
            if !stays {
                bytes.fetch_sub(OVERHEAD + name.len() as u64, Ordering::Relaxed);
            }
            stays
        });
        self.show();
    }

    /// Subscribes to `name`, if the client has not done so before.
    pub fn subscribe(&mut self, kind: Kind, name: &[u8]) {
        self.tidy_up();
        if self.of(kind).contains_key(name) {
            return;
        }
        let feed = Arc::new(Feed::new(Arc::clone(&self.client)));
        let name = self.registry.join(kind, name, &feed);
        let bytes = OVERHEAD + name.len() as u64;
        self.client.subscriptions.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.of(kind).insert(name, feed);
        self.show();
    }

    /// Ends the subscription to `name`, if there is one. Afterwards what it has received is in the
    /// client's inbox, and nothing more comes.
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8]) {
        let Some((name, feed)) = self.of(kind).remove_entry(name) else { return };
        self.registry.leave(kind, &name, self.client.id);
        feed.end();
        let bytes = OVERHEAD + name.len() as u64;
        self.client.subscriptions.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.show();
    }

    /// Ends up to `most` subscriptions of any kind; whether there are more.
    pub fn leave(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let next = self.names().next().map(|(kind, name)| (kind, name.clone()));
            let Some((kind, name)) = next else { return false };
            self.unsubscribe(kind, &name);
        }
        self.any()
    }

    /// Everything that the client has subscribed to.
    pub fn names(&self) -> impl Iterator<Item = (Kind, &Bytes)> {
        let of = |kind, feeds| std::iter::repeat(kind).zip(Feeds::keys(feeds));
        of(Kind::Channel, &self.channels)
            .chain(of(Kind::Pattern, &self.patterns))
            .chain(of(Kind::ShardChannel, &self.shard_channels))
    }

    /// The first name of this kind that the client has subscribed to.
    pub fn first(&mut self, kind: Kind) -> Option<Bytes> {
        self.of(kind).first_key_value().map(|(name, _)| name.clone())
    }

    /// Whether the client has subscribed to anything.
    #[inline]
    pub fn any(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty() || !self.shard_channels.is_empty()
    }

    /// The number that confirmations show: sharded channels are counted on their own.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.channels.len() + self.patterns.len(),
            Kind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Copies what others see.
    fn show(&self) {
        let client = &self.client;
        client.inbox.exclusively(|| {
            let figures = &client.subscriptions;
            // That is said under the same lock, and seldom: nobody counts through all for each of many.
            let taken = figures.taken.load(Ordering::Acquire);
            let count = |feeds: &Feeds| match taken {
                true => feeds.values().filter(|feed| !feed.has_ended()).count(),
                false => feeds.len(),
            };
            for (figure, feeds) in [
                (&figures.channels, &self.channels),
                (&figures.patterns, &self.patterns),
                (&figures.shard_channels, &self.shard_channels),
            ] {
                figure.store(count(feeds) as u64, Ordering::Relaxed);
            }
            // Without it, a RESP2 client gets no message that was made for it by others.
            client.set_flag(ClientShared::PUBSUB, self.any());
        });
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.leave(usize::MAX);
    }
}
