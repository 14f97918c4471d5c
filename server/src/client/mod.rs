//! The state of one connection: what its own task uses ([`Client`]), and what other threads may
//! see of it or do to it ([`ClientShared`], through the [`Registry`]).

pub mod line;
pub mod signal;
pub mod transaction;

use crate::acl::{Acl, DEFAULT_USER, Login, User};
use crate::blocking::{End, Wait, Waiter};
use crate::config::{OutputLimit, OutputLimits};
use crate::inbox::Inbox;
use crate::interest::Watched;
use crate::monitor::Monitoring;
use crate::overload::bytes::Reported;
use crate::pubsub::{Figures, Kind, Subscriptions};
use crate::session::Turn;
use crate::stats::Counter;
use crate::tracking::{Mode, Redirect, Tracking};
use bytes::Bytes;
use dunlin_protocol::{Mark, Reply};
use dunlin_storage::{DbId, Millis};
use signal::Signal;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use transaction::Transaction;

/// Up to here pending replies count as being in the connection's own buffer, which every client has,
/// and not against the limits of output.
pub const REPLY_BUFFER: u64 = 16 * 1024;

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// No replies.
    Off,
    /// The reply of the next command is dropped.
    SkipNext,
    /// The reply of this command is dropped.
    Skip,
}

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
    pub labels: Mutex<Labels>,
    user: Mutex<ClientUser>,
    /// Selected database.
    pub db: AtomicU8,
    /// RESP version.
    pub resp: AtomicU8,
    /// Time of the last command.
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
        let waits = Self::BLOCKED | Self::PAUSED | Self::POOLED;
        let listens = Self::MONITOR | Self::PUBSUB | Self::TRACKING;
        !self.has_flag(waits | listens | Self::CLOSING | Self::GONE)
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

    /// Bytes that the client holds: buffers, what it has subscribed to, what waits for EXEC, and keys
    /// that it is interested in.
    pub fn held(&self) -> u64 {
        let subscriptions = self.subscriptions.bytes.load(Ordering::Relaxed);
        let interests = self.interests.load(Ordering::Relaxed) + self.transaction.bytes();
        self.buffers() + self.inbox.waiting() + subscriptions + interests
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
        change(&mut self.labels.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Which user it is.
    pub fn user(&self) -> ClientUser {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

/// The state of a connection that only its own turn touches.
#[derive(Debug)]
pub struct Client {
    /// The part that others see.
    pub shared: Arc<ClientShared>,
    /// Selected database.
    pub db: DbId,
    /// May use more than the commands of strangers.
    pub authenticated: bool,
    /// Has logged in, or came when that was not needed.
    proven: bool,
    /// Whose rights it has.
    login: Login,
    /// Whether these rights have to be looked at.
    restricted: bool,
    /// Whether dispatch has to look at more than the command itself, see [`Client::settle`].
    special: bool,
    /// What waits for EXEC.
    transaction: Option<Box<Transaction>>,
    /// Commands that would wait must not: EXEC or a script runs them.
    pub deny_blocking: bool,
    /// What TIME answers to all commands of such a run: unix time in microseconds, once one has asked.
    pub instant_us: Option<i64>,
    /// The commands come from a script.
    pub in_script: bool,
    /// The script has begun before, and nothing of that counts: it runs anew.
    pub begins_anew: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// The blocking command that has begun to wait and has not ended. It may run again meanwhile.
    pub wait: Option<Wait>,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// MONITOR: receives the feed, sends nothing but QUIT/RESET.
    pub monitor: bool,
    /// Its part in what monitors receive.
    pub monitoring: Option<Monitoring>,
    /// What it has subscribed to.
    pub subscriptions: Subscriptions,
    /// The keys that it watches.
    pub watched: Watched,
    /// CLIENT TRACKING.
    pub tracking: Tracking,
    /// Messages that this turn has sent to others.
    pub deliveries: usize,
    /// Keys that the command looked for in vain, to be told to those who asked for such events.
    /// They wait until it is certain that the command does not have to run again.
    pub missed: Vec<Box<[u8]>>,
}

impl Client {
    /// The state of a new connection.
    pub fn new(shared: Arc<ClientShared>, subscriptions: Subscriptions, acl: &Acl) -> Client {
        let mut client = Client {
            shared,
            db: DbId(0),
            authenticated: false,
            proven: false,
            login: acl.default_login(),
            restricted: true,
            special: true,
            transaction: None,
            deny_blocking: false,
            reply_mode: ReplyMode::On,
            wait: None,
            instant_us: None,
            in_script: false,
            begins_anew: false,
            no_touch: false,
            monitor: false,
            monitoring: None,
            subscriptions,
            watched: Watched::default(),
            tracking: Tracking::default(),
            deliveries: 0,
            missed: Vec::new(),
        };
        client.log_out(acl);
        client
    }

    /// Becomes the user of `login`.
    pub fn log_in(&mut self, login: Login) {
        self.become_user(login);
        self.proven = true;
        self.authenticated = true;
        self.settle();
    }

    /// Becomes what a new connection is.
    pub fn log_out(&mut self, acl: &Acl) {
        self.become_user(acl.default_login());
        self.proven = acl.default_is_open();
        self.authenticated = self.proven;
        self.settle();
    }

    fn become_user(&mut self, login: Login) {
        *self.shared.user.lock().unwrap_or_else(PoisonError::into_inner) = (&*login.user).into();
        self.take_rights(login);
    }

    fn take_rights(&mut self, login: Login) {
        self.restricted = !login.user.is_unrestricted();
        self.login = login;
    }

    /// Takes over changes of its user, and what was taken away from it; once per turn. False: the user is gone, and nothing may be
    /// run for this connection any more.
    #[inline]
    #[must_use]
    pub fn follow(&mut self, acl: &Acl) -> bool {
        if self.special && self.shared.subscriptions.taken.load(Ordering::Acquire) {
            self.subscriptions.tidy_up();
            self.settle();
        }
        self.login.version() == acl.version() || self.follow_change(acl)
    }

    #[cold]
    fn follow_change(&mut self, acl: &Acl) -> bool {
        match acl.follow(&self.login) {
            Some(login) => {
                self.take_rights(login);
                // Who never had to log in has to when the default user gets a password, unless the
                // connection was there before.
                self.authenticated = self.proven || acl.default_is_open();
                self.settle();
                true
            }
            None => {
                self.log_out(acl);
                self.proven = false;
                self.authenticated = false;
                self.settle();
                false
            }
        }
    }

    /// Takes over changes of its user, as [`Client::follow`] does. False: the user is gone, or has
    /// lost the right to something that the client has subscribed to, and the connection has to end.
    #[must_use]
    pub fn keeps_subscriptions(&mut self, acl: &Acl) -> bool {
        if self.login.version() == acl.version() {
            return true;
        }
        let user_is_there = self.follow(acl);
        let user = &self.login.user;
        let may = |(kind, name): (Kind, &Bytes)| user.may_use_channel(name, kind == Kind::Pattern);
        user_is_there && self.subscriptions.names().all(may)
    }

    /// Whose rights it has.
    pub fn user(&self) -> &User {
        &self.login.user
    }

    /// Whether dispatch has to look at more than the command itself. Nearly no client is like this,
    /// so it is one flag.
    #[inline]
    pub fn is_special(&self) -> bool {
        debug_assert_eq!(self.special, self.looks_special(), "settle was forgotten");
        self.special
    }

    /// Sets what [`Client::is_special`] says; after everything that may have changed it, so after
    /// every command that has no keys.
    #[inline]
    pub fn settle(&mut self) {
        self.special = self.looks_special();
    }

    fn looks_special(&self) -> bool {
        !self.authenticated
            || self.restricted
            || self.monitor
            || self.transaction.is_some()
            || self.tracking.mode() != Mode::Off
            || self.shared.has_flag(ClientShared::PUBSUB)
    }

    /// Whether [`User::check`] can refuse it anything.
    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Number of the client.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Whether only commands about subscriptions are allowed: a RESP2 connection could not tell
    /// replies of others from messages.
    #[inline]
    pub fn in_subscriber_mode(&self) -> bool {
        self.shared.has_flag(ClientShared::PUBSUB) && self.shared.resp.load(Ordering::Relaxed) == 2
    }

    /// Writes the messages that wait for the client.
    #[inline]
    pub fn collect(&self, reply: &mut Reply) {
        self.shared.inbox.drain(reply, usize::MAX);
    }

    /// CLIENT REPLY OFF and SKIP: drops what a command has written since `mark`.
    pub fn silence(&mut self, reply: &mut Reply, mark: Mark) {
        // CLIENT REPLY ON itself is answered.
        if self.reply_mode != ReplyMode::On {
            reply.rollback(mark);
        }
        self.reply_mode = match self.reply_mode {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            mode => mode,
        };
    }

    /// Whether the command that runs now is answered (CLIENT REPLY).
    pub fn answers(&self) -> bool {
        !matches!(self.reply_mode, ReplyMode::Off | ReplyMode::Skip)
    }

    /// Whether a command that does not run is answered; it counts as the one that CLIENT REPLY SKIP
    /// means.
    pub fn wants_answer(&mut self) -> bool {
        match self.reply_mode {
            ReplyMode::On => true,
            ReplyMode::Off => false,
            ReplyMode::Skip | ReplyMode::SkipNext => {
                self.reply_mode = ReplyMode::On;
                false
            }
        }
    }

    /// Selects a database.
    pub fn select(&mut self, db: DbId) {
        self.db = db;
        self.shared.db.store(db.0, Ordering::Relaxed);
    }
}

/// All connected clients. Locked when one comes or goes and by CLIENT LIST/KILL, never by a
/// command on data.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<BTreeMap<u64, Arc<ClientShared>>>,
    next_id: AtomicU64,
}

impl Registry {
    /// A new client number, from 1.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<ClientShared>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a client.
    pub fn add(&self, client: Arc<ClientShared>) {
        self.lock().insert(client.id, client);
    }

    /// Removes a client.
    pub fn remove(&self, id: u64) {
        if let Some(client) = self.lock().remove(&id) {
            client.set_flag(ClientShared::GONE, true);
        }
    }

    /// The client `id`.
    pub fn get(&self, id: u64) -> Option<Arc<ClientShared>> {
        self.lock().get(&id).cloned()
    }

    /// All clients, by id.
    pub fn all(&self) -> Vec<Arc<ClientShared>> {
        self.lock().values().cloned().collect()
    }

    /// Up to `count` clients with numbers above `after`, by id: for a walk that locks briefly.
    pub fn page(&self, after: u64, count: usize) -> Vec<Arc<ClientShared>> {
        let above = (Bound::Excluded(after), Bound::Unbounded);
        self.lock().range(above).take(count).map(|(_, client)| client.clone()).collect()
    }

    /// Number of clients.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
