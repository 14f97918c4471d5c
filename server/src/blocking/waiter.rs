//! One client that waits, and the race for its session.
//!
//! ```text
//!            park                   claim: a writer runs the command
//!  (new) ------------> PARKED ------------------------------------> AWAY
//!                       |  ^                                         |
//!    end: deadline,     |  |   put_back: it still waits              |  finish: it has a reply
//!    UNBLOCK, KILL,     |  `-----------------------------------------+
//!    hang-up            v                                            v
//!                     ENDED <----------------------------------------'
//! ```
//!
//! The session lies in the place. Taking it out is the decision: a writer that finds it there may run
//! it, and whoever ends the wait sends it home without a reply. Both sides hold the lock for a few
//! instructions.
//!
//! Who comes while the session is away leaves a note. A command that goes on waiting is put back
//! only if there is none: an end that came meanwhile is carried out then, and if another writer
//! found the session away, its key may be what the command waits for, so it goes home to run there
//! again. This can happen to readers of streams only: lists and sorted sets are claimed when they have
//! what the command wants, and then it ends.

use crate::Roles;
use crate::client::ClientShared;
use crate::server::Server;
use crate::session::{Session, Turn};
use dunlin_storage::{DbId, Guard, Job, Kind, ShardId, ShardSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How a wait has ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The command has run, or is to run again; how the connection goes on.
    Ran(Turn),
    /// Time is over.
    Timeout,
    /// CLIENT UNBLOCK ... ERROR.
    Unblocked,
    /// The connection ends.
    Closed,
}

/// A session that comes home.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) session: Box<Session>,
    pub(crate) end: End,
}

/// A session that waits, and the way home.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Box<Session>,
    home: oneshot::Sender<Home>,
}

/// Notes for a session that is away.
#[derive(Debug, Default)]
struct Notes {
    /// Another key has become ready.
    missed: bool,
    /// The wait is to end.
    end: Option<End>,
}

#[derive(Debug)]
enum Place {
    Parked(Held),
    Away(Notes),
    Ended,
}

/// A key that is waited for.
#[derive(Debug)]
pub(super) struct WaitedKey {
    pub(super) shard: ShardId,
    pub(super) bytes: Box<[u8]>,
}

/// A client that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Its number: who began earlier has a lower one.
    pub(super) ticket: u64,
    pub(super) db: DbId,
    /// The keys, each once.
    pub(super) keys: Vec<WaitedKey>,
    /// What they have to hold.
    pub(super) kind: Kind,
    /// Whether it is to hear of every change.
    pub(super) any_change: bool,
    /// The key that gets what is taken.
    pub(super) destination: Option<WaitedKey>,
    pub(super) client: Arc<ClientShared>,
    place: Mutex<Place>,
    /// Queues in which it stands. Changed under the roles of their shards.
    pub(super) standing: AtomicUsize,
}

impl Waiter {
    /// A waiter for a session whose command is to wait; not in any queue yet.
    pub(super) fn new(server: &Server, session: &Session, ticket: u64) -> Waiter {
        let keyspace = &server.keyspace;
        let request = session.current();
        let waited = |at: usize| {
            let bytes = request.get(at).unwrap_or_default();
            WaitedKey { shard: keyspace.shard_of(keyspace.key(bytes).hash), bytes: bytes.into() }
        };
        let mut waiter = Waiter {
            ticket,
            db: session.client.db,
            keys: Vec::new(),
            kind: Kind::String,
            any_change: false,
            destination: None,
            client: session.client.shared.clone(),
            place: Mutex::new(Place::Ended),
            standing: AtomicUsize::new(0),
        };
        if let Some(on) = session.client.wait.as_ref().and_then(|wait| wait.on.as_ref()) {
            waiter.keys = on.at.clone().map(waited).collect();
            waiter.keys.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes));
            waiter.keys.dedup_by(|a, b| a.bytes == b.bytes);
            waiter.kind = on.kind;
            waiter.any_change = on.any_change;
            waiter.destination = on.destination.map(waited);
        }
        waiter
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the session in. If the client is being closed it goes home at once.
    pub(super) fn park(self: &Arc<Self>, session: Box<Session>, home: oneshot::Sender<Home>) {
        *self.lock() = Place::Parked(Held { session, home });
        if !self.client.begin_wait(self) {
            self.end(End::Closed);
        }
    }

    /// Takes the session out, to run its command. `None`: the wait has ended, or somebody else runs
    /// it and is told.
    pub(super) fn claim(&self) -> Option<Held> {
        let mut place = self.lock();
        match std::mem::replace(&mut *place, Place::Ended) {
            Place::Parked(held) => {
                *place = Place::Away(Notes::default());
                Some(held)
            }
            Place::Away(notes) => {
                *place = Place::Away(Notes { missed: true, ..notes });
                None
            }
            Place::Ended => None,
        }
    }

    /// Does something for the connection that must not happen while somebody runs the command, or
    /// after that: sending messages, which the command may cause itself, before its reply is there.
    pub(crate) fn while_parked(&self, act: impl FnOnce()) {
        let place = self.lock();
        if matches!(*place, Place::Parked(_)) {
            act();
        }
    }

    /// Gives back a session whose command has to wait on.
    pub(super) fn put_back(&self, held: Held) {
        let mut place = self.lock();
        let end = match std::mem::replace(&mut *place, Place::Ended) {
            Place::Away(Notes { missed: false, end: None }) => {
                *place = Place::Parked(held);
                drop(place);
                // Messages that came meanwhile.
                self.client.signal.notify();
                return;
            }
            Place::Away(Notes { end: Some(end), .. }) => end,
            Place::Away(_) | Place::Parked(_) | Place::Ended => End::Ran(Turn::Yield),
        };
        drop(place);
        self.send_home(held, end);
    }

    /// Sends a session home whose command has ended, or has to be run there again.
    pub(super) fn finish(&self, held: Held, turn: Turn) {
        *self.lock() = Place::Ended;
        self.send_home(held, End::Ran(turn));
    }

    /// Ends the wait, unless it has ended or is about to; whether it did.
    pub(crate) fn end(&self, how: End) -> bool {
        let mut place = self.lock();
        match std::mem::replace(&mut *place, Place::Ended) {
            Place::Parked(held) => {
                drop(place);
                self.send_home(held, how);
                true
            }
            Place::Away(mut notes) => {
                if notes.end.is_none() || matches!(how, End::Closed) {
                    notes.end = Some(how);
                }
                *place = Place::Away(notes);
                // Others than readers of streams are claimed only to be served.
                self.kind == Kind::Stream
            }
            Place::Ended => false,
        }
    }

    fn send_home(&self, held: Held, end: End) {
        self.client.end_wait();
        let Held { session, home } = held;
        // A connection that is gone needs no session.
        let _ = home.send(Home { session, end });
    }

    /// Visits the shards of its keys.
    pub(crate) fn each_shard(&self, visit: impl FnMut(ShardId)) {
        let shards: ShardSet = self.keys.iter().map(|key| key.shard).collect();
        shards.iter().for_each(visit);
    }

    /// Whether one of its keys is one of which `is` says yes.
    pub(crate) fn waits_for(&self, is: impl Fn(&[u8]) -> bool) -> bool {
        self.keys.iter().chain(&self.destination).any(|key| is(&key.bytes))
    }

    /// The shards in whose queues it may still stand.
    pub(crate) fn shards(&self) -> ShardSet {
        match self.standing.load(Ordering::Acquire) {
            0 => std::iter::empty().collect(),
            _ => self.keys.iter().map(|key| key.shard).collect(),
        }
    }
}

/// Takes a waiter out of the queues of one shard.
pub(crate) struct Leave {
    pub(crate) waiter: Arc<Waiter>,
    pub(crate) server: &'static Server,
}

impl Job for Leave {
    fn run<'g>(self: Box<Self>, writer: &mut Roles<'g>, _: &'g Guard) {
        self.server.interests.leave_queues(writer, &self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Acl;
    use crate::client::Client;
    use crate::pubsub::PubSub;
    use dunlin_protocol::Limits;

    fn session() -> Box<Session> {
        let shared = Arc::new(ClientShared::new(1, "a:1".into(), String::new(), 0, 0, 0));
        let subscriptions = PubSub::default().open(shared.clone());
        let client = Client::new(shared, subscriptions, &Acl::default());
        Box::new(Session::new(client, Limits::AUTHENTICATED))
    }

    /// A parked waiter, and where its session comes home.
    fn parked(kind: Kind) -> (Arc<Waiter>, oneshot::Receiver<Home>) {
        let session = session();
        let waiter = Arc::new(Waiter {
            ticket: 1,
            db: DbId(0),
            keys: Vec::new(),
            kind,
            any_change: false,
            destination: None,
            client: session.client.shared.clone(),
            place: Mutex::new(Place::Ended),
            standing: AtomicUsize::new(0),
        });
        let (sender, home) = oneshot::channel();
        waiter.park(session, sender);
        waiter.client.show_wait();
        (waiter, home)
    }

    fn end_of(mut home: oneshot::Receiver<Home>) -> Option<End> {
        home.try_recv().ok().map(|home| home.end)
    }

    fn is_blocked(waiter: &Waiter) -> bool {
        waiter.client.has_flag(ClientShared::BLOCKED)
    }

    #[test]
    fn who_takes_the_session_has_won() {
        let (waiter, home) = parked(Kind::List);
        assert!(is_blocked(&waiter));
        let held = waiter.claim().expect("it is there");
        assert!(waiter.claim().is_none());
        assert!(!waiter.end(End::Timeout), "it is being served");
        waiter.finish(held, Turn::Yield);
        assert!(!is_blocked(&waiter) && !waiter.end(End::Timeout) && waiter.claim().is_none());
        assert!(matches!(end_of(home), Some(End::Ran(Turn::Yield))));

        let (waiter, home) = parked(Kind::List);
        assert!(waiter.client.unblock(true));
        assert!(!waiter.client.unblock(false) && waiter.claim().is_none() && !is_blocked(&waiter));
        assert!(matches!(end_of(home), Some(End::Unblocked)));
    }

    #[test]
    fn an_end_that_comes_while_the_session_is_away_is_carried_out_later() {
        let (waiter, mut home) = parked(Kind::Stream);
        let held = waiter.claim().expect("it is there");
        waiter.put_back(held);
        assert!(home.try_recv().is_err() && is_blocked(&waiter), "it waits on");
        let held = waiter.claim().expect("it is there again");
        assert!(waiter.end(End::Timeout) && home.try_recv().is_err());
        assert!(waiter.end(End::Closed), "this comes first");
        waiter.put_back(held);
        assert!(!is_blocked(&waiter) && matches!(end_of(home), Some(End::Closed)));
    }

    #[test]
    fn a_key_that_becomes_ready_meanwhile_is_not_missed() {
        let (waiter, home) = parked(Kind::Stream);
        let held = waiter.claim().expect("it is there");
        assert!(waiter.claim().is_none(), "by the writer of another key");
        waiter.put_back(held);
        assert!(matches!(end_of(home), Some(End::Ran(Turn::Yield))), "it runs again at home");
    }

    #[test]
    fn a_client_that_was_killed_does_not_begin_to_wait() {
        let (waiter, home) = parked(Kind::List);
        waiter.client.kill();
        assert!(matches!(end_of(home), Some(End::Closed)) && !is_blocked(&waiter));
        let (sender, home) = oneshot::channel();
        waiter.park(session(), sender);
        waiter.client.show_wait();
        assert!(matches!(end_of(home), Some(End::Closed)) && !is_blocked(&waiter));
    }
}
