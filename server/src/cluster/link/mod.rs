//! Connections between nodes, over the cluster bus.
//!
//! A connection is for one purpose, its [`Kind`], so that what is urgent does not wait behind what is
//! large. It begins with a [`handshake`] in which each side proves that it knows the cluster's secret;
//! after it come [`frame`]s, or, on a connection for data, whatever the stream part says.
//!
//! ```text
//!   Links::request(to, kind, body)           Links::open(to, Stream) -> Connection
//!        |                                        |
//!   caller: a task per (node, kind),         a connection of one's own
//!   connects, numbers requests,                   |
//!   hears replies                                 |
//!        |           handshake, frames            |
//!        v                                        v
//!   answerer: a task per connection          Service::stream(Connection)
//!        |
//!   Service::answer(peer, kind, body)
//! ```
//!
//! What goes over a connection is not encrypted unless `tls-cluster` is on: the secret keeps strangers
//! out, not those who can change what is on the wire.
//!
//! Sockets are behind [`Transport`], so that simulations bring their own.

mod answerer;
mod caller;
mod faults;
pub mod frame;
pub mod handshake;
mod register;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use super::meta::Later;
use super::node::NodeId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use answerer::serve;
pub use faults::{Fault, Faults};
pub use handshake::{ClusterId, Secret};
pub use register::Open;
pub use tls::Tls;
pub use transport::{Listener, Stream, Tcp, Transport};

/// How long it may take to be connected.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long it may take to be known to each other: up to four round trips with TLS.
pub const GREET_TIMEOUT: Duration = Duration::from_millis(2500);
/// A packet that asks for a connection is sent again after a second if it is lost, which is late: so
/// another one is asked for after this time.
const SECOND_TRY: Duration = Duration::from_millis(500);
/// How long nothing is tried after a connection has failed; what is asked meanwhile fails at once.
pub const RETRY: Duration = Duration::from_millis(100);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// Messages of Raft.
    Raft = 1,
    /// Leases.
    Renew = 2,
    /// Changes of the map, on their way to the leader.
    Propose = 3,
    /// Messages of PUBLISH.
    Publish = 4,
    /// Data, in the stream part's own words.
    Stream = 5,
    /// Between nodes that are not in one cluster yet: who are you, let me in.
    Meet = 6,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::Raft, Kind::Renew, Kind::Propose, Kind::Publish, Kind::Stream, Kind::Meet];

    /// As a part of the name of a figure.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Raft => "raft",
            Kind::Renew => "renew",
            Kind::Propose => "propose",
            Kind::Publish => "publish",
            Kind::Stream => "stream",
            Kind::Meet => "meet",
        }
    }

    fn index(self) -> usize {
        usize::from(self as u8 - 1)
    }

    fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It has not left this node: nothing has come of it.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Failure::NotSent(why) | Failure::Lost(why)) = self;
        f.write_str(why)
    }
}

/// Whom a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Who is expected there; none: whoever it is.
    pub node: Option<NodeId>,
    /// Where.
    pub address: SocketAddr,
}

/// Who this node is to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub node: NodeId,
    /// The cluster that it is in.
    pub cluster: ClusterId,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub node: NodeId,
    /// Where it is, as this side sees it.
    pub address: SocketAddr,
}

/// A connection whose two ends know each other.
pub struct Connection {
    /// Who is at the other end.
    pub peer: Peer,
    /// What it is for.
    pub kind: Kind,
    /// The bytes.
    pub stream: Box<dyn Stream>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} with {} at {}", self.kind, self.peer.node, self.peer.address)
    }
}

/// What this node does for others.
pub trait Service: Send + Sync + 'static {
    /// Answers a request, or not.
    fn answer(&self, peer: Peer, kind: Kind, body: Vec<u8>) -> Later<'_, Option<Vec<u8>>>;

    /// Takes a connection for data.
    fn stream(&self, connection: Connection);
}

/// How to reach other nodes.
pub struct Links {
    transport: Arc<dyn Transport>,
    secret: Secret,
    tls: Option<Tls>,
    identity: watch::Sender<Identity>,
    register: Arc<register::Register>,
    /// Where connections live, whoever asks something.
    runtime: OnceLock<Handle>,
    callers: Mutex<BTreeMap<(Target, Kind), caller::Caller>>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("identity", &self.identity()).finish_non_exhaustive()
    }
}

impl Links {
    /// Links over `transport`; with TLS if `tls` is there.
    pub fn new(transport: Arc<dyn Transport>, secret: Secret, tls: Option<Tls>) -> Arc<Links> {
        let (identity, register, runtime, callers) = Default::default();
        Arc::new(Links { transport, secret, tls, identity, register, runtime, callers })
    }

    /// Connections for requests live on this runtime; else on that of whoever asks first.
    pub fn run_on(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Connections for requests, to and from other nodes.
    pub fn open_connections(&self) -> Vec<Open> {
        self.register.open()
    }

    /// Frames of each kind that were sent and received, replies included.
    pub fn traffic(&self) -> Vec<(Kind, u64, u64)> {
        self.register.counts()
    }

    /// What was wrong with what came.
    pub fn faults(&self) -> &Faults {
        &self.register.faults
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        *self.identity.borrow()
    }

    /// This node is somebody else from here on: connections of before are closed.
    pub fn set_identity(&self, identity: Identity) {
        let is_news = self.identity.send_if_modified(|current| {
            let is_news = *current != identity;
            *current = identity;
            is_news
        });
        if is_news {
            self.callers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If it cannot be had, or whoever is there does not belong to this cluster.
    pub async fn open(&self, target: Target, kind: Kind) -> Result<Connection, String> {
        let limit = |what| move |_| format!("{what} {} took too long", target.address);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(target.address))
            .await
            .map_err(limit("connecting to"))?
            .map_err(|error| format!("cannot connect to {}: {error}", target.address))?;
        let greet = async {
            let mut stream = match &self.tls {
                Some(tls) => tls.connect(stream).await?,
                None => stream,
            };
            let trust = handshake::Trust {
                secret: &self.secret,
                identity: self.identity(),
                stranger_is_welcome: self.tls.is_some() || target.address.ip().is_loopback(),
            };
            let node = handshake::greet(&mut stream, &trust, target.node, kind).await?;
            Ok(Connection { peer: Peer { node, address: target.address }, kind, stream })
        };
        tokio::time::timeout(GREET_TIMEOUT, greet)
            .await
            .map_err(limit("the handshake with"))?
            .map_err(|why: handshake::Refusal| format!("{}: {why}", target.address))
    }

    /// The first of two connections that is there.
    async fn connect(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let mut first = self.transport.connect(address);
        if let Ok(connected) = tokio::time::timeout(SECOND_TRY, &mut first).await {
            return connected;
        }
        tokio::select! {
            biased;
            connected = first => connected,
            connected = self.transport.connect(address) => connected,
        }
    }

    /// Sends a node a message that has no reply. It does not wait, and drops what is too much.
    pub fn send(self: &Arc<Self>, target: Target, kind: Kind, body: Bytes) {
        self.caller(target, kind).send(body);
    }

    /// Asks a node something, over the connection for this kind, which is opened if it has to be.
    ///
    /// # Errors
    /// If there is no reply within `timeout`.
    pub async fn request(
        self: &Arc<Self>,
        target: Target,
        kind: Kind,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, Failure> {
        self.caller(target, kind).call(body.into(), timeout).await
    }

    fn caller(self: &Arc<Self>, target: Target, kind: Kind) -> caller::Caller {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, caller| caller.is_alive());
        let start = || caller::Caller::start(self, target, kind);
        callers.entry((target, kind)).or_insert_with(start).clone()
    }
}
