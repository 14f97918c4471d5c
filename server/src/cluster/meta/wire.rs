//! What nodes say to each other about the cluster, beside Raft's own messages.

use super::super::change::{Gone, Life, Verdict};
use super::super::link::ClusterId;
use super::super::node::{Endpoint, NodeId};
use super::types::Proposal;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A node, and where it is: whoever is told of a leader may know only an older map.
pub(super) type Whereabouts = (NodeId, SocketAddr);

/// To the leader ([`Kind::Propose`](super::super::link::Kind)).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Propose this.
    Propose(Proposal),
    /// Let this node in, or in again.
    Admit(Admit),
}

/// Who wants to be a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Admit {
    pub life: Life,
    pub endpoint: Endpoint,
    pub weight: u32,
    pub zone: String,
    pub seen: u64,
    /// It comes without anything that it may have known of this cluster's log.
    pub fresh: bool,
}

/// The leader's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// This was decided, in this entry of the log.
    Decided(Verdict, u64),
    /// The node is a member now, or is about to be.
    Admitted(ClusterId),
    /// Nothing was done: the node does not lead; maybe that one does.
    NotLeader(Option<Whereabouts>),
    /// Nothing was done: it has to be tried again.
    Later(String),
    /// Nothing was done, and nothing will be: why, and if it is because the node is gone, how.
    Refused(String, Option<Gone>),
    /// Something may come of it.
    Unknown(String),
}

/// For a lease ([`Kind::Renew`](super::super::link::Kind)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Granted {
    /// For so many nanoseconds, counted from when it was asked for, once this entry is applied.
    For(u64, u64),
    /// Not now.
    NotNow,
    /// The node is no member in this life.
    Out,
    /// The node that was asked does not lead; maybe that one does.
    NotLeader(Option<Whereabouts>),
}

/// Between nodes that are not in one cluster yet ([`Kind::Meet`](super::super::link::Kind)).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Meet {
    /// Who are you? Where the node that is asked is, as the one that asks sees it.
    Who(IpAddr),
    /// Let me in.
    Admit(Admit),
    /// Come into the cluster that is there.
    Come(SocketAddr),
}

/// The reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Met {
    /// Who the node is.
    Me {
        node: NodeId,
        cluster: ClusterId,
        /// It is in no cluster or the only member of one.
        alone: bool,
        /// Where the node that asks is, as this one sees it.
        you: IpAddr,
    },
    /// What the leader says.
    Leader(Reply),
    /// What has come of the invitation.
    Came(Result<(), String>),
}
