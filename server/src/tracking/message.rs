//! What a tracking client is sent, and where to: to itself, or to the one it redirects to.
//!
//! ```text
//! RESP3                        >2 invalidate [k1 k2]
//! RESP2, redirected to, and    *3 message __redis__:invalidate [k1 k2]
//!   subscribed to something
//! RESP2 otherwise              nothing: it could not tell a message from a reply
//! ```

use crate::client::{ClientShared, ClientType};
use crate::inbox::{self, Message};
use bytes::Bytes;
use dunlin_protocol::{push_bulk, push_header};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

static INVALIDATE: Bytes = Bytes::from_static(b"$10\r\ninvalidate\r\n");
static CHANNEL: Bytes = Bytes::from_static(b"$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n");
static BROKEN: Bytes = Bytes::from_static(b"$21\r\ntracking-redir-broken\r\n");
static NULL: Bytes = Bytes::from_static(b"_\r\n");
static NULL_2: Bytes = Bytes::from_static(b"$-1\r\n");

/// Hard limits of what may wait to be sent to a client; 0: none.
#[derive(Debug, Default)]
pub(super) struct Limits {
    normal: AtomicU64,
    pubsub: AtomicU64,
}

impl Limits {
    pub(super) fn configure(&self, normal: u64, pubsub: u64) {
        self.normal.store(normal, Ordering::Relaxed);
        self.pubsub.store(pubsub, Ordering::Relaxed);
    }

    fn of(&self, client: &ClientShared) -> u64 {
        match client.kind() {
            ClientType::Normal => self.normal.load(Ordering::Relaxed),
            ClientType::PubSub => self.pubsub.load(Ordering::Relaxed),
        }
    }
}

/// Who gets the messages of a tracking client instead of it, if anybody does.
#[derive(Debug, Default)]
pub struct Redirect {
    /// Number of the client; 0: none.
    id: AtomicU64,
    target: Mutex<Weak<ClientShared>>,
}

impl Redirect {
    /// Number of the client; 0: none.
    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, target: Option<&Arc<ClientShared>>) {
        let weak = target.map_or_else(Weak::new, Arc::downgrade);
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = weak;
        self.id.store(target.map_or(0, |target| target.id), Ordering::Relaxed);
    }

    /// The client, if it is there.
    fn target(&self) -> Option<Arc<ClientShared>> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        target.filter(|target| !target.has_flag(ClientShared::GONE))
    }
}

/// Names of keys, as an array.
pub(super) fn keys(names: &[&[u8]]) -> Bytes {
    let mut text = Vec::new();
    push_header(&mut text, b'*', i64::try_from(names.len()).unwrap_or(i64::MAX));
    names.iter().for_each(|name| push_bulk(&mut text, name));
    text.into()
}

/// Tells a tracking client that all keys have changed.
pub(super) fn send_flush(client: &ClientShared, limits: &Limits) {
    // In the client's own protocol, whoever receives it, as in Redis.
    let is_3 = client.resp.load(Ordering::Relaxed) > 2;
    send(client, if is_3 { &NULL } else { &NULL_2 }, limits);
}

/// Tells a tracking client what has changed.
pub(super) fn send(client: &ClientShared, what: &Bytes, limits: &Limits) {
    let id = client.tracking.id();
    if id == 0 {
        push(client, limits, || invalidation(client, what, false));
    } else if let Some(target) = client.tracking.target() {
        push(&target, limits, || invalidation(&target, what, true));
    } else {
        client.set_flag(ClientShared::BROKEN_REDIRECT, true);
        let mut tail = Vec::new();
        push_header(&mut tail, b':', i64::try_from(id).unwrap_or(i64::MAX));
        let message = Message::Push3 { head: BROKEN.clone(), tail: tail.into() };
        push(client, limits, || is_resp3(client).then_some(message));
    }
}

fn push(client: &ClientShared, limits: &Limits, message: impl FnOnce() -> Option<Message>) {
    if !client.has_flag(ClientShared::GONE) {
        inbox::offer(client, limits.of(client), message);
    }
}

fn is_resp3(client: &ClientShared) -> bool {
    client.resp.load(Ordering::Relaxed) > 2
}

fn invalidation(receiver: &ClientShared, what: &Bytes, redirected: bool) -> Option<Message> {
    let tail = what.clone();
    if is_resp3(receiver) {
        Some(Message::Push3 { head: INVALIDATE.clone(), tail })
    } else if redirected && receiver.has_flag(ClientShared::PUBSUB) {
        Some(Message::Push { elements: 3, head: CHANNEL.clone(), tail })
    } else {
        None
    }
}
