//! What other threads see of a client, and do to it.

use super::signal::Signal;
use super::transaction;
use crate::acl::{DEFAULT_USER, User};
use crate::blocking::{End, Waiter};
use crate::config::{OutputLimit, OutputLimits};
use crate::inbox::Inbox;
use crate::overload::bytes::Reported;
use crate::pubsub::Figures;
use crate::session::Turn;
use crate::stats::Counter;
use crate::tracking::Redirect;
use dunlin_protocol::Reply;
use dunlin_storage::Millis;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Texts about a client which change rarely.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

/// What a client is to the limits of output, and to CLIENT LIST and KILL TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    /// An ordinary one.
    Normal,
    /// It has subscribed to something.
    PubSub,
}

impl ClientType {
    /// The limit of what may wait for such a client.
    pub fn limit(self, limits: &OutputLimits) -> &OutputLimit {
        match self {
            ClientType::Normal => &limits.normal,
            ClientType::PubSub => &limits.pubsub,
        }
    }
}

/// Which user a client is.
#[derive(Clone, Debug)]
pub struct ClientUser {
    /// Name of the user.
    pub name: Arc<[u8]>,
    /// Number of the user.
    pub id: u64,
}

impl From<&User> for ClientUser {
    fn from(user: &User) -> Self {
        ClientUser { name: user.name().clone(), id: user.id() }
    }
}

/// The part of a client that other threads see. All numbers are written by the client's own turn
/// with relaxed stores (they are figures, nothing is ordered by them); the request to close (`kill`)
/// is stored first and announced by `signal` after.
#[derive(Debug)]
pub struct ClientShared {
    /// Number, never used twice.
    pub id: u64,
    /// Peer address as CLIENT LIST prints it.
    pub addr: String,
    /// Local address.
    pub laddr: String,
    /// Came through the unix socket.
    pub unix: bool,
    /// File descriptor.
    pub fd: i32,
    /// Worker that serves the connection.
    worker: AtomicUsize,
    /// Worker that the connection is asked to go to + 1, 0 if it is not. Whoever swaps it out has
    /// the request.
    destination: AtomicUsize,
    /// Since when it is with its worker.
    pub placed: AtomicI64,
    /// Time of the connection.
    pub created: Millis,
    /// Names.
    labels: Mutex<Labels>,
    /// Their memory in bytes, stored with each change of them.
    label_bytes: AtomicU64,
    user: Mutex<ClientUser>,
    /// Selected database.
    pub db: AtomicU8,
    /// RESP version.
    pub resp: AtomicU8,
    /// Time of the last command, or when the client last took something of what waited for it.
    pub last_active: AtomicI64,
    /// Id of the last command + 1.
    pub last_command: AtomicU32,
    /// Bytes received and not yet executed.
    pub query_buffer: AtomicU64,
    /// Room of the query buffer.
    pub query_room: AtomicU64,
    /// Bytes of replies not yet sent.
    pub output: AtomicU64,
    /// Memory that these replies take.
    pub reply_room: AtomicU64,
    /// What the client's task has reported of its buffers.
    pub reported: Reported,
    /// Messages that others have sent to the client.
    pub inbox: Inbox,
    /// What the client has subscribed to.
    pub subscriptions: Figures,
    /// What waits for EXEC.
    pub transaction: transaction::Figures,
    /// Bytes of its interests in keys.
    pub interests: AtomicU64,
    /// Who gets its invalidations.
    pub tracking: Redirect,
    /// Bytes received.
    pub net_in: Counter,
    /// Bytes sent.
    pub net_out: Counter,
    /// Commands executed.
    pub commands: Counter,
    /// `ClientShared::*` bits below.
    pub flags: AtomicU32,
    /// It may have written since its last replies were sent: they wait for copies
    /// ([`crate::cluster::stream::hold`]). Set by whoever runs the session, before it writes, and taken
    /// back by its connection, both while they have the session: Relaxed.
    pub wrote: AtomicBool,
    /// Since when it has to authenticate; 0: it need not.
    pub stranger_since: AtomicI64,
    /// Since when [`ClientShared::unsent`] is above the soft limit; 0: it is not.
    pub over_soft_since: AtomicI64,
    /// The connection is to be closed at once.
    pub kill: AtomicBool,
    /// Where its session is while it waits in a blocking command.
    waiter: Mutex<Option<Arc<Waiter>>>,
    /// Wakes the connection's task.
    pub signal: Signal,
}

impl ClientShared {
    /// A client that has just connected.
    pub fn new(
        id: u64,
        addr: String,
        laddr: String,
        fd: i32,
        worker: usize,
        now: Millis,
    ) -> ClientShared {
        ClientShared {
            id,
            user: Mutex::new(ClientUser { name: DEFAULT_USER.into(), id: 0 }),
            unix: addr.starts_with('/'),
            addr,
            laddr,
            fd,
            worker: worker.into(),
            destination: Default::default(),
            placed: now.into(),
            created: now,
            labels: Default::default(),
            label_bytes: AtomicU64::new(0),
            db: Default::default(),
            resp: 2.into(),
            last_active: now.into(),
            last_command: Default::default(),
            query_buffer: Default::default(),
            query_room: Default::default(),
            output: Default::default(),
            reply_room: Default::default(),
            reported: Default::default(),
            inbox: Default::default(),
            subscriptions: Default::default(),
            transaction: Default::default(),
            interests: Default::default(),
            tracking: Default::default(),
            net_in: Default::default(),
            net_out: Default::default(),
            commands: Default::default(),
            flags: Default::default(),
            wrote: Default::default(),
            stranger_since: Default::default(),
            over_soft_since: Default::default(),
            kill: Default::default(),
            waiter: Default::default(),
            signal: Default::default(),
        }
    }

    /// Waits in a blocking command.
    pub const BLOCKED: u32 = 1;
    /// CLIENT NO-EVICT.
    pub const NO_EVICT: u32 = 2;
    /// CLIENT NO-TOUCH.
    pub const NO_TOUCH: u32 = 4;
    /// MONITOR.
    pub const MONITOR: u32 = 8;
    /// Closes once the reply is flushed.
    pub const CLOSING: u32 = 16;
    /// Has sent the beginning of a command.
    pub const HALF_COMMAND: u32 = 32;
    /// Waits for the end of CLIENT PAUSE.
    pub const PAUSED: u32 = 64;
    /// Has subscribed to a channel or pattern.
    pub const PUBSUB: u32 = 128;
    /// A key that it watches has changed. Set and cleared under the roles of the keys' shards.
    pub const DIRTY: u32 = 256;
    /// CLIENT TRACKING.
    pub const TRACKING: u32 = 512;
    /// It is told of all keys with certain prefixes (BCAST).
    pub const BROADCAST: u32 = 1024;
    /// It is not told of what it changes itself (NOLOOP).
    pub const NO_LOOP: u32 = 2048;
    /// The client that gets its invalidations is gone.
    pub const BROKEN_REDIRECT: u32 = 4096;
    /// Has tracked keys at some time.
    pub const TRACKED: u32 = 8192;
    /// The connection has ended.
    pub const GONE: u32 = 16384;
    /// Its command runs on the pool, or waits for that.
    pub const POOLED: u32 = 32768;
    /// It is not served until it reads what waits for it.
    pub const HELD_BACK: u32 = 65536;
    /// It came over TLS.
    pub const TLS: u32 = 131_072;
    /// It waits for something, and its session with it.
    pub const WAITS: u32 = Self::BLOCKED | Self::PAUSED | Self::POOLED;

    /// Sets or clears one of the bits.
    pub fn set_flag(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Whether any of these bits is set.
    #[inline]
    pub fn has_flag(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// The worker that serves it.
    pub fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed)
    }

    /// Worker `worker` serves it from now on.
    pub(crate) fn settle_at(&self, worker: usize, now: Millis) {
        self.worker.store(worker, Ordering::Relaxed);
        self.placed.store(now, Ordering::Relaxed);
    }

    /// Asks the connection to go to another worker between two commands, or to stay.
    pub(crate) fn set_destination(&self, worker: Option<usize>) {
        self.destination.store(worker.map_or(0, |worker| worker + 1), Ordering::Relaxed);
    }

    /// Whether it is asked to go somewhere.
    #[inline]
    pub(crate) fn is_asked_to_go(&self) -> bool {
        self.destination.load(Ordering::Relaxed) != 0
    }

    /// Where it is asked to go; asks once.
    pub(crate) fn take_destination(&self) -> Option<usize> {
        self.destination.swap(0, Ordering::Relaxed).checked_sub(1)
    }

    /// Whether the client is in no state in which it stays with its worker: waiting, listening, in a
    /// transaction, about to end.
    pub(crate) fn may_move(&self) -> bool {
        let listens = Self::MONITOR | Self::PUBSUB | Self::TRACKING;
        !self.has_flag(Self::WAITS | listens | Self::CLOSING | Self::GONE)
            && !self.kill.load(Ordering::Relaxed)
            && !self.in_transaction()
            && self.transaction.watched() == 0
    }

    /// Whether the client connects from this machine: through the unix socket or a loopback address.
    pub fn is_local(&self) -> bool {
        let host = self.addr.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.unix || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
    }

    /// What the client is to limits and filters.
    pub fn kind(&self) -> ClientType {
        if self.has_flag(Self::PUBSUB) { ClientType::PubSub } else { ClientType::Normal }
    }

    /// Bytes that wait to be sent: replies, and messages that are to become some.
    pub fn unsent(&self) -> u64 {
        self.output.load(Ordering::Relaxed) + self.inbox.waiting()
    }

    /// Bytes that the client holds: buffers, what it has subscribed to, what waits for EXEC, keys
    /// that it is interested in, and its names.
    pub fn held(&self) -> u64 {
        let subscriptions = self.subscriptions.bytes.load(Ordering::Relaxed);
        let interests = self.interests.load(Ordering::Relaxed) + self.transaction.bytes();
        let names = self.label_bytes.load(Ordering::Relaxed);
        self.buffers() + self.inbox.waiting() + subscriptions + interests + names
    }

    /// Memory of the buffers that only its own task changes.
    #[inline]
    pub fn buffers(&self) -> u64 {
        self.query_room.load(Ordering::Relaxed) + self.reply_room.load(Ordering::Relaxed)
    }

    /// Publishes how much of the replies is left to send.
    #[inline]
    pub fn set_output(&self, reply: &Reply) {
        self.output.store(reply.pending() as u64, Ordering::Relaxed);
        self.reply_room.store(reply.capacity() as u64, Ordering::Relaxed);
    }

    /// A copy of the names.
    pub fn labels(&self) -> Labels {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the names.
    pub fn set_labels(&self, change: impl FnOnce(&mut Labels)) {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut labels);
        let bytes = [&labels.name, &labels.lib_name, &labels.lib_ver].map(String::capacity);
        self.label_bytes.store(bytes.iter().sum::<usize>() as u64, Ordering::Relaxed);
    }

    /// Which user it is.
    pub fn user(&self) -> ClientUser {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_user(&self, user: &User) {
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = user.into();
    }

    /// Asks the connection's task to close. If it waits in a blocking command, that has ended when
    /// this returns: nothing is given to it any more.
    pub fn kill(&self) {
        self.kill.store(true, Ordering::Release);
        self.end_blocking(End::Closed);
        self.signal.notify();
    }

    /// Ends the wait in a blocking command as its timeout would, or with an error; whether it waited.
    pub fn unblock(&self, with_error: bool) -> bool {
        self.end_blocking(if with_error { End::Unblocked } else { End::Timeout })
    }

    /// If it waits in a blocking command for a key of which `lost` says yes, the command runs again.
    pub(crate) fn run_again_if(&self, lost: impl Fn(&[u8]) -> bool) {
        let waiter = self.waiter().clone();
        if let Some(waiter) = waiter.filter(|waiter| waiter.waits_for(lost)) {
            waiter.end(End::Ran(Turn::Yield));
        }
    }

    fn end_blocking(&self, end: End) -> bool {
        let waiter = self.waiter().clone();
        waiter.is_some_and(|waiter| waiter.end(end))
    }

    fn waiter(&self) -> MutexGuard<'_, Option<Arc<Waiter>>> {
        self.waiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A blocking command begins to wait; false, and it must not, if the client is being closed. The
    /// lock decides between this and [`ClientShared::kill`].
    pub(crate) fn begin_wait(&self, waiter: &Arc<Waiter>) -> bool {
        let mut place = self.waiter();
        let may = !self.kill.load(Ordering::Acquire);
        if may {
            *place = Some(waiter.clone());
        }
        may
    }

    /// Shows that the client waits, if it still does: it stands in the queues now.
    pub(crate) fn show_wait(&self) {
        let place = self.waiter();
        self.set_flag(Self::BLOCKED, place.is_some());
    }

    /// A blocking command waits no more.
    pub(crate) fn end_wait(&self) {
        let mut place = self.waiter();
        *place = None;
        self.set_flag(Self::BLOCKED, false);
    }
}
