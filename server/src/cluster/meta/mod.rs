//! Agreement: what the members of the cluster know in common, and for how long a node may act on it.
//!
//! The rest of the server sees the trait [`Meta`] only. So simulations run the data plane without
//! consensus and the consensus without sockets, and another engine can take openraft's place.
//!
//! ```text
//!   propose ---> [propose] ---- link ----> [lead], on the leader ---> openraft: log of all voters
//!                                                                          |
//!   map, applied <--- [store] <--- [machine]: Map::apply <-----------------+   on every node
//!                        |
//!                     [disk]: log, vote, snapshot
//!
//!   lease <--- [renew] --------- link ----> [lead]: [grants], quorum
//! ```
//!
//! - [`agreement`](Agreement): a node's part, all in one place. [`life`]: joining, coming back, going.
//! - [`machine`]: what the log comes to; a proposal that is made again counts once. [`types`]: what
//!   openraft is told about us.
//! - [`election`]: who leads when nobody does. [`lead`]: the leader's duties. Pure parts: [`grants`], who may have a lease and who may be removed;
//!   [`voters`], who votes.
//! - [`propose`], [`renew`]: the way to the leader. [`network`]: that of Raft's own messages. [`wire`]:
//!   what is said.
//!
//! # Times
//!
//! ```text
//!   lease 2.5 s  >  2 x (silence 0.8 s + spread 0.3 s) : a leader that dies is followed in time
//!   removal 3 s  >  lease                              : nobody follows within a lease
//! ```
//!
//! A member that dies is followed 3 s after it was last heard of, which was up to 0.25 s before. A leader
//! that dies, too, by whoever leads after it, who knows when it has heard the leader; but not before 2.5 s
//! of its own time, because it cannot know until when the one before has granted leases.
//!
//! openraft takes the interval of heartbeats as the limit of each message, too, and so it is longer than
//! a slow network's round trip (0.4 s is borne). Voters hear their leader more often all the same: eight
//! times a second it asks them whether it leads.

mod agreement;
mod disk;
mod election;
mod grants;
mod identity;
mod lead;
mod life;
mod machine;
mod network;
mod propose;
mod renew;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod voters;
mod wire;

pub use agreement::{Agreement, Host, Options, Orders};
pub use types::Random;

use super::change::{Change, Life, Verdict};
use super::map::Map;
use super::node::NodeId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// What comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a proposal has no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// It was not made: there is no leader to be had. It has no effect now or later.
    NotProposed(String),
    /// It was made, and may be decided on still: whoever must know watches the map.
    Unknown(String),
}

/// What an operator wants to know of this node's part in Raft.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `leader`, `candidate`, `follower` or `learner`.
    pub role: &'static str,
    /// Term of the log.
    pub term: u64,
    /// Last entry that was applied here.
    pub applied: u64,
    /// Last entry that is known to be committed.
    pub committed: u64,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
}

/// Agreement among the members.
pub trait Meta: Send + Sync {
    /// This node.
    fn me(&self) -> NodeId;

    /// This node in its present life. While a map has another incarnation of it, it is about what the node
    /// was before, and nothing of that is here.
    fn life(&self) -> Life {
        let node = self.me();
        let member = self.map().borrow().members.get(&node).map(|member| member.incarnation);
        Life { node, incarnation: member.unwrap_or(0) }
    }

    /// The newest map that this node has applied. Every new one is announced; some may be skipped.
    fn map(&self) -> watch::Receiver<Arc<Map>>;

    /// Proposes a change, wherever the leader is. When it comes back with a verdict this node's own
    /// map shows it.
    fn propose(&self, change: Change) -> Later<'_, Result<Verdict, Unsettled>>;

    /// The state of Raft.
    fn status(&self) -> Status;
}

/// For how long openraft holds to a leader that it has heard, in milliseconds.
const ELECTION_MAX: u64 = 700;

/// How Raft is set up.
fn raft_config() -> openraft::Config {
    openraft::Config {
        cluster_name: "dunlin".to_owned(),
        heartbeat_interval: 650,
        election_timeout_min: ELECTION_MAX - 20,
        election_timeout_max: ELECTION_MAX,
        enable_elect: false,
        install_snapshot_timeout: 5000,
        snapshot_max_chunk_size: 1024 * 1024,
        snapshot_policy: openraft::SnapshotPolicy::LogsSinceLast(500),
        replication_lag_threshold: 1000,
        max_in_snapshot_log_to_keep: 100,
        max_payload_entries: 100,
        ..openraft::Config::default()
    }
}
