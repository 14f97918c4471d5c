//! openraft's network, on our links. What goes wrong is always "unreachable": with anything else
//! openraft tries again at once, without a pause.
//!
//! openraft 0.9 lets the tasks that send a leader's log go on when the node leads no more. What they have yet
//! to send they read from the log then, where there may be entries of the next leader by now, and they send it
//! in the name of the old one, as what comes after an entry that is not there any more. A node that has not
//! heard of the next leader would have a log that nobody else has. So a node sends nothing of a log in the
//! name of a leader that it is not: it is looked after the entries were read, and a vote is saved before a
//! log is changed because of it.

use super::super::link::{Kind, Links, Target};
use super::super::map::Map;
use super::super::node::NodeId;
use super::agreement::Agreement;
use super::store::Store;
use super::types::{LogId, Raft, Types, Vote};
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a node that could not be reached is left alone.
const BACKOFF: Duration = Duration::from_millis(200);

/// What one Raft says to another.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<NodeId>),
    Snapshot(InstallSnapshotRequest<Types>),
    /// Would you vote for a node whose log ends so ([`super::election`])? Raft knows nothing of this.
    WouldYou(Option<LogId>),
}

type Answer<T, E> = Result<T, RaftError<NodeId, E>>;
type Failed<E> = RPCError<NodeId, BasicNode, RaftError<NodeId, E>>;

/// Makes clients.
pub(super) struct Network {
    pub links: Arc<Links>,
    pub map: watch::Receiver<Arc<Map>>,
    pub store: Store,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Client {
        let (links, map) = (Arc::clone(&self.links), self.map.clone());
        Client { links, map, store: self.store.clone(), target, address: node.addr.parse().ok() }
    }
}

/// A way to one node.
pub(super) struct Client {
    links: Arc<Links>,
    map: watch::Receiver<Arc<Map>>,
    /// Where entries come from.
    store: Store,
    target: NodeId,
    /// Where it was when it came.
    address: Option<SocketAddr>,
}

fn unreachable<E: Error>(error: &std::io::Error) -> Failed<E> {
    RPCError::Unreachable(Unreachable::new(error))
}

impl Client {
    /// Whether the leader of that vote is this node still.
    fn leads(&self, vote: &Vote) -> bool {
        let saved = self.store.disk().vote();
        saved.is_some_and(|saved| saved.leader_id() == vote.leader_id())
    }

    /// [`Client::ask`] in the name of a leader.
    async fn tell<T: DeserializeOwned, E: Error + DeserializeOwned>(
        &self,
        vote: Vote,
        message: &Message,
        option: &RPCOption,
    ) -> Result<T, Failed<E>> {
        if !self.leads(&vote) {
            return Err(unreachable(&std::io::Error::other("this node does not lead any more")));
        }
        self.ask(message, option).await
    }

    async fn ask<T: DeserializeOwned, E: Error + DeserializeOwned>(
        &self,
        message: &Message,
        option: &RPCOption,
    ) -> Result<T, Failed<E>> {
        let member = self.map.borrow().members.get(&self.target).map(|m| m.endpoint.bus());
        let address = member.or(self.address);
        let address = address.ok_or_else(|| unreachable(&std::io::Error::other("no address")))?;
        let target = Target { node: Some(self.target), address };
        let body = serde_json::to_vec(message).map_err(|error| unreachable(&error.into()))?;
        let reply = self.links.request(target, Kind::Raft, body, option.hard_ttl()).await;
        let reply = reply.map_err(|why| unreachable(&std::io::Error::other(why.to_string())))?;
        let answer: Answer<T, E> =
            serde_json::from_slice(&reply).map_err(|error| unreachable(&error.into()))?;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target, error)))
    }
}

impl RaftNetwork<Types> for Client {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed<openraft::error::Infallible>> {
        self.tell(rpc.vote, &Message::Append(rpc), &option).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<InstallSnapshotError>> {
        self.tell(rpc.vote, &Message::Snapshot(rpc), &option).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failed<openraft::error::Infallible>> {
        self.ask(&Message::Vote(rpc), &option).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

/// The question of who would vote for this node.
pub(super) fn would_you(last: Option<LogId>) -> Option<Vec<u8>> {
    serde_json::to_vec(&Message::WouldYou(last)).ok()
}

/// Asks it. Who does not answer would not.
pub(super) async fn would(
    links: &Arc<Links>,
    target: Target,
    question: Vec<u8>,
    limit: Duration,
) -> bool {
    let reply = links.request(target, Kind::Raft, question, limit).await;
    reply.is_ok_and(|reply| serde_json::from_slice(&reply).unwrap_or(false))
}

impl Agreement {
    /// Gives a message to this node's Raft. No reply if it is none.
    pub(super) async fn answer_raft(&self, body: &[u8]) -> Option<Vec<u8>> {
        let raft = self.raft()?;
        let message: Message = serde_json::from_slice(body).ok()?;
        let reply = match message {
            Message::Append(rpc) => {
                let leader = rpc.vote.leader_id.node_id;
                let appended = raft.append_entries(rpc).await;
                if !matches!(appended, Err(_) | Ok(AppendEntriesResponse::HigherVote(_))) {
                    self.hear(leader);
                }
                serde_json::to_vec(&appended)
            }
            Message::Vote(_) if self.holds_to_leader() => {
                serde_json::to_vec(&Ok::<_, RaftError<NodeId>>(self.no_vote(&raft)))
            }
            Message::Vote(rpc) => {
                let voted = raft.vote(rpc).await;
                if voted.as_ref().is_ok_and(|reply| reply.vote_granted) {
                    self.loyalty().vote(self.host.now());
                }
                serde_json::to_vec(&voted)
            }
            Message::Snapshot(rpc) => {
                let (leader, vote) = (rpc.vote.leader_id.node_id, rpc.vote);
                let installed = raft.install_snapshot(rpc).await;
                if installed.as_ref().is_ok_and(|reply| reply.vote <= vote) {
                    self.hear(leader);
                }
                serde_json::to_vec(&installed)
            }
            Message::WouldYou(last) => serde_json::to_vec(&self.would_vote(last)),
        };
        reply.ok()
    }

    /// What a candidate is told by who holds to its leader.
    fn no_vote(&self, raft: &Raft) -> VoteResponse<NodeId> {
        let vote = raft.metrics().borrow().vote;
        VoteResponse { vote, vote_granted: false, last_log_id: self.store.disk().last() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::link::{Secret, Tcp, Transport};
    use super::super::disk::Disk;
    use super::*;
    use std::sync::Mutex;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn nothing_is_sent_for_a_leader_of_before() {
        let [me, next] = [1, 2].map(NodeId::from);
        let path = std::env::temp_dir().join(format!("dunlin-network-{}", std::process::id()));
        let store = Store(Arc::new(Mutex::new(Disk::open(&path, false).unwrap())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let links = Links::new(Arc::new(Tcp) as Arc<dyn Transport>, Secret::new("s"), None);
        let (_maps, map) = watch::channel(Arc::default());
        let mut network = Network { links, map, store: store.clone() };
        let node = BasicNode::new(listener.local_addr().unwrap());
        let mut client = network.new_client(next, &node).await;
        let (vote, limit) = (Vote::new_committed(1, me), Duration::from_millis(200));
        let rpc = || AppendEntriesRequest {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        store.disk().save_vote(Vote::new(1, me)).unwrap();
        let sent = client.append_entries(rpc(), RPCOption::new(limit));
        let (sent, heard) = tokio::join!(sent, listener.accept());
        assert!(sent.is_err() && heard.is_ok(), "it tries, and nobody answers");
        store.disk().save_vote(Vote::new(2, next)).unwrap();
        let error = client.append_entries(rpc(), RPCOption::new(limit)).await.unwrap_err();
        assert!(error.to_string().contains("does not lead"), "{error}");
        let _ = std::fs::remove_dir_all(&path);
    }
}
