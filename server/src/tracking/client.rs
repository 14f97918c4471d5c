//! The tracking of one client, as its own commands see and change it.

use super::Tracker;
use crate::Roles;
use crate::client::ClientShared;
use crate::commands::spec::Flags;
use crate::commands::table::Entry;
use crate::interest::Interests;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a prefix besides its name, in both directions: an estimate.
const PREFIX_OVERHEAD: u64 = 192;

/// How a client finds out what to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does not.
    #[default]
    Off,
    /// It is told of the keys that it reads.
    Default,
    /// Only of those that it reads after CLIENT CACHING YES.
    OptIn,
    /// Not of those that it reads after CLIENT CACHING NO.
    OptOut,
    /// It is told of all keys with certain prefixes.
    Broadcast,
}

/// What CLIENT TRACKING ON asks for.
#[derive(Debug, Default)]
pub struct Options {
    /// The mode.
    pub mode: Mode,
    /// Not to be told of changes by the client itself.
    pub no_loop: bool,
    /// Who gets the messages.
    pub redirect: Option<Arc<ClientShared>>,
    /// New prefixes, for [`Mode::Broadcast`].
    pub prefixes: Vec<Bytes>,
}

/// The state of one client's tracking.
#[derive(Debug, Default)]
pub struct Tracking {
    mode: Mode,
    prefixes: BTreeSet<Bytes>,
    /// CLIENT CACHING was given: the next command is an exception.
    caching: bool,
}

impl Tracking {
    /// How it finds out what to keep.
    #[inline]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The prefixes that it has registered.
    pub fn prefixes(&self) -> &BTreeSet<Bytes> {
        &self.prefixes
    }

    /// Whether CLIENT CACHING is in force.
    pub fn caching(&self) -> bool {
        self.caching
    }

    /// CLIENT CACHING.
    pub fn set_caching(&mut self) {
        self.caching = true;
    }

    /// After a command, run or refused: CLIENT CACHING is for one command, or one transaction.
    pub(crate) fn command_done(&mut self, entry: Option<&Entry>, in_transaction: bool) {
        let is_client = || entry.is_some_and(|entry| entry.full_name.starts_with("client"));
        if self.caching && !in_transaction && !is_client() {
            self.caching = false;
        }
    }

    /// Whether the keys of a command are to be remembered. For a script those of its commands are.
    pub(crate) fn remembers(&self, entry: &Entry) -> bool {
        let tracks = match self.mode {
            Mode::Off | Mode::Broadcast => false,
            Mode::Default => true,
            Mode::OptIn => self.caching,
            Mode::OptOut => !self.caching,
        };
        tracks && entry.has(Flags::READONLY) && !entry.has(Flags::NOSCRIPT)
    }

    /// CLIENT TRACKING ON, also for a client that tracks already. `writer` holds all roles if the
    /// mode is to broadcast.
    pub fn start(
        &mut self,
        client: &Arc<ClientShared>,
        options: Options,
        interests: &Interests,
        writer: Option<&mut Roles<'_>>,
    ) {
        let broadcast = options.mode == Mode::Broadcast;
        self.mode = options.mode;
        client.tracking.set(options.redirect.as_ref());
        for (flag, on) in [
            (ClientShared::TRACKING, true),
            (ClientShared::TRACKED, true),
            (ClientShared::BROADCAST, broadcast),
            (ClientShared::NO_LOOP, options.no_loop),
            (ClientShared::BROKEN_REDIRECT, false),
        ] {
            client.set_flag(flag, on);
        }
        let mut prefixes = options.prefixes;
        if broadcast && prefixes.is_empty() {
            prefixes.push(Bytes::new());
        }
        interests.tracker().start(client, &prefixes, interests, writer);
        for prefix in prefixes {
            let bytes = PREFIX_OVERHEAD + prefix.len() as u64;
            if self.prefixes.insert(prefix) {
                client.interests.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// CLIENT TRACKING OFF. What the client has read stays remembered until it changes, as in Redis.
    pub fn stop(&mut self, tracker: &Tracker, client: &ClientShared) {
        while self.leave(tracker, client, usize::MAX) {}
        tracker.stop(client);
        (self.mode, self.caching) = (Mode::Off, false);
        client.tracking.set(None);
        for flag in [
            ClientShared::TRACKING,
            ClientShared::BROADCAST,
            ClientShared::NO_LOOP,
            ClientShared::BROKEN_REDIRECT,
        ] {
            client.set_flag(flag, false);
        }
    }

    /// Gives up to `most` prefixes back; whether there are more.
    pub(crate) fn leave(&mut self, tracker: &Tracker, client: &ClientShared, most: usize) -> bool {
        for _ in 0..most {
            let Some(prefix) = self.prefixes.pop_first() else { return false };
            tracker.leave_prefix(client, &prefix);
            let bytes = PREFIX_OVERHEAD + prefix.len() as u64;
            client.interests.fetch_sub(bytes, Ordering::Relaxed);
        }
        !self.prefixes.is_empty()
    }
}
