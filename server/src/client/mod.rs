//! The state of one connection: what its own task uses ([`Client`]), and what other threads may
//! see of it or do to it ([`ClientShared`], through the [`Registry`]).

pub mod line;
mod registry;
mod shared;
pub mod signal;
pub mod transaction;

pub use registry::Registry;
pub use shared::{ClientShared, ClientType, ClientUser, Labels};

use crate::acl::{Acl, Login, User};
use crate::blocking::Wait;
use crate::interest::Watched;
use crate::monitor::Monitoring;
use crate::pubsub::{Kind, Subscriptions};
use crate::tracking::{Mode, Tracking};
use bytes::Bytes;
use dunlin_protocol::{Mark, Reply};
use dunlin_storage::DbId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
    /// That one removes all keys: it waits while slots are fenced.
    pub flushes: bool,
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
            flushes: false,
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
        self.shared.set_user(&login.user);
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
