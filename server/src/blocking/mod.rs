//! Commands that wait for keys: BLPOP and its relatives, XREAD and XREADGROUP with BLOCK.
//!
//! # The way of a wait
//!
//! ```text
//!  session runs BLPOP ----> nothing there: Outcome::Block(Wait)
//!        |                                                     roles of its keys still held
//!        v
//!  park: the session itself goes into a Waiter, and the Waiter into the queue of each key
//!        |                                                     roles released
//!        v
//!  LPUSH (any worker, role of the key) -> changed: the key is ready
//!        |    directly after the command, under the same roles
//!        v
//!  serve: the first waiter is claimed, its session runs BLPOP again, and goes home with the reply
//! ```
//!
//! A connection hands its session over to whoever holds a busy role; a wait is the same with more
//! patience. The command runs again as a whole, so rights, limits, pauses and types are looked at as
//! they are then, as in Redis 7.2, and the reply is written in the client's own protocol by the code
//! that writes it when nobody waits.
//!
//! # What is promised
//!
//! - **No wake-up is lost.** A waiter enters the queues under the roles of all its keys, under which
//!   its command has just found nothing. Whoever changes a key later holds its role and finds the
//!   waiter there.
//! - **Nothing is lost or delivered twice.** A session is in one place: who takes it out of its
//!   [`Waiter`](waiter::Waiter) has won, whether that is a writer, the deadline, CLIENT UNBLOCK, or
//!   the end of the connection. Only the winner runs the command or ends it.
//! - **The first who waits is served first**, per key. Waiters have tickets in the order in which they
//!   began; a queue is served in this order.
//! - **Nobody sees half of it.** Keys that a command has made ready are served before its roles are
//!   free again: whoever has seen the reply to LPUSH finds the element gone. To serve BLMOVE the role
//!   of the destination is needed as well; [`Queues::reach`](queues::Queues::reach) finds such
//!   destinations before the command runs, and dispatch takes their roles too.
//!
//! The keys are served in the order in which they became ready. A waiter of several keys is served
//! with the roles at hand: of its other keys it would have heard.

mod answer;
mod queues;
mod serve;
mod waiter;

use crate::Roles;
use crate::cluster::farewell::SlotTask;
use crate::cluster::stream::awaited::Awaited;
use crate::migrate::Delivery;
use crate::server::Server;
use crate::session::{Session, Turn};
use crate::snapshot::Job;
pub use answer::{Answer, Word};
use dunlin_protocol::Reply;
use dunlin_storage::value::stream::StreamId;
use dunlin_storage::{Kind, Millis};
pub use queues::Queues;
pub(crate) use serve::{ServeReady, serve};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;
pub(crate) use waiter::{End, Home, Leave, Waiter};

/// How a blocked command waits.
#[derive(Clone, Debug)]
pub struct Wait {
    /// When it ends by itself; `None`: never.
    pub deadline: Option<Millis>,
    /// Writes the reply at the deadline (or at CLIENT UNBLOCK ... TIMEOUT).
    pub on_timeout: fn(&mut Reply),
    /// The keys it waits for; `None`: nothing but the deadline ends it.
    pub on: Option<WaitKeys>,
    /// What is to be done or waited for meanwhile; then the command runs again.
    pub meanwhile: Option<Meanwhile>,
}

/// What happens while a command waits that does not wait for keys.
#[derive(Clone, Debug)]
pub enum Meanwhile {
    /// Keys go to another server.
    Delivery(Arc<Delivery>),
    /// A snapshot is written.
    Snapshot(Arc<Job>),
    /// Something is worked out elsewhere.
    Answer(Arc<Answer>),
    /// Backups get what was written.
    Copies(Arc<Awaited>),
    /// Something is done to slots of a cluster.
    Slots(Arc<SlotTask>),
}

impl Meanwhile {
    /// Until it is over.
    pub(crate) async fn run(&self, server: &'static Server) {
        match self {
            Meanwhile::Delivery(delivery) => {
                delivery.run(&server.sockets, || server.clock.now()).await;
            }
            Meanwhile::Snapshot(job) => job.ended().await,
            Meanwhile::Answer(answer) => answer.came().await,
            Meanwhile::Copies(awaited) => awaited.ended(server).await,
            Meanwhile::Slots(task) => task.run(server).await,
        }
    }
}

/// The keys that a command waits for.
#[derive(Clone, Debug)]
pub struct WaitKeys {
    /// The arguments that are the keys.
    pub at: Range<usize>,
    /// What they have to hold for the command to run again.
    pub kind: Kind,
    /// Whether it runs again also when one of them goes or becomes something else.
    pub any_change: bool,
    /// The argument with the key that gets what is taken from one of the others.
    pub destination: Option<usize>,
    /// Where XREAD was in each stream when it began to wait: what `$` stands for. `None`: in no fixed
    /// place (`+`, `>`).
    pub after: Vec<Option<StreamId>>,
}

impl WaitKeys {
    /// Waits for values of one kind.
    pub fn of(kind: Kind, at: Range<usize>) -> Self {
        WaitKeys { at, kind, any_change: false, destination: None, after: Vec::new() }
    }
}

/// What a connection keeps while its session is parked.
pub(crate) struct Parked {
    pub(crate) waiter: Arc<Waiter>,
    /// Where the session comes home.
    pub(crate) home: oneshot::Receiver<Home>,
    /// Replies that were not sent yet.
    pub(crate) outgoing: Reply,
    /// When the wait ends by itself.
    pub(crate) deadline: Option<Millis>,
    /// What the connection does meanwhile.
    pub(crate) meanwhile: Option<Meanwhile>,
}

/// A session after it has run: at home, or waiting.
pub(crate) enum Ran {
    Home(Box<Session>, Turn),
    /// In a box: a turn that does not wait would else carry the room for one that does.
    Parked(Box<Parked>),
}

/// Lets a session wait whose command has just found nothing. `writer` holds the roles of the keys
/// that it waits for.
pub(crate) fn park(
    server: &Server,
    mut session: Box<Session>,
    writer: Option<&mut Roles<'_>>,
) -> Ran {
    let Some(wait) = session.client.wait.as_ref() else {
        return Ran::Home(session, Turn::Yield);
    };
    if session.has_outlived_lease() {
        return Ran::Home(session, Turn::Yield);
    }
    let (deadline, meanwhile) = (wait.deadline, wait.meanwhile.clone());
    let shared = session.client.shared.clone();
    let waiter = Waiter::new(server, &session, server.interests.queues.ticket());
    session.publish(server.clock.now());
    let outgoing = session.take_reply();
    let (sender, home) = oneshot::channel();
    let waiter = Arc::new(waiter);
    waiter.park(session, sender);
    if let Some(writer) = writer {
        server.interests.wait(writer, &waiter);
        serve::note_seen(server, writer, &waiter);
    }
    shared.show_wait();
    Ran::Parked(Box::new(Parked { waiter, home, outgoing, deadline, meanwhile }))
}
