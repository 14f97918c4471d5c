//! What is due when slots have gone to another node, to clients who rely on what this one tells them.

use super::routes::passed;
use super::slot;
use crate::server::Server;
use dunlin_storage::SlotSet;

/// After a map was [adopted](super::Cluster::adopt) that takes slots away. First everybody has to have
/// seen it, so that nobody begins to rely on these slots any more. Then
///
/// - a client that waits for a key in them has to wait elsewhere: its command runs again, and is sent
///   there;
/// - a client that watches a key in them cannot be sure that it does not change;
/// - a client that has subscribed to a sharded channel of them has to do so elsewhere;
/// - clients that keep copies of values will not hear of changes.
pub async fn let_go(server: &'static Server, lost: &SlotSet) {
    if lost.is_empty() {
        return;
    }
    passed(&server.keyspace).await;
    let is_lost = |key: &[u8]| lost.contains(slot::of(key));
    server.interests.lost(is_lost);
    server.pubsub.take_away(is_lost);
    for client in server.clients.all() {
        client.run_again_if(is_lost);
    }
}

/// What a command waits for that does something to slots.
#[derive(Debug)]
pub enum SlotTask {
    /// They are [fenced](super::routes::Routes::fence).
    Fence(SlotSet),
    /// They have gone ([`let_go`]).
    LetGo(SlotSet),
}

impl SlotTask {
    /// Until it is done.
    pub(crate) async fn run(&self, server: &'static Server) {
        match (self, &server.cluster) {
            (SlotTask::Fence(slots), Some(node)) => {
                node.routes.fence(&server.keyspace, slots).await;
            }
            (SlotTask::LetGo(slots), _) => let_go(server, slots).await,
            (SlotTask::Fence(_), None) => {}
        }
    }
}
