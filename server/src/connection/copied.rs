//! cluster-replication sync: replies to writes wait until other nodes have what was written.

use super::Connection;
use crate::config::Replication;
use dunlin_protocol::{Proto, Reply};
use std::sync::atomic::Ordering;

impl Connection {
    /// Whether replies may have to wait.
    #[inline]
    pub(super) fn has_written(&self) -> bool {
        self.worker.server.cluster.is_some() && self.shared.wrote.load(Ordering::Relaxed)
    }

    /// Waits for copies of what was written, if that is wanted, for as long as this node has its lease;
    /// whether the replies may be sent. If they may not, nobody knows what has become of the writes, and
    /// the connection has to end.
    #[cold]
    pub(super) async fn copied(&self) -> bool {
        self.shared.wrote.store(false, Ordering::Relaxed);
        let server = self.worker.server;
        let Some(cluster) = server.cluster.as_deref() else { return true };
        if server.settings().cluster.replication != Replication::Sync {
            return true;
        }
        let Some(streams) = cluster.streams() else { return true };
        let Some(held) = streams.hold.begin() else { return true };
        let has_lease = || cluster.lease.lasts(server.clock.monotonic_ns());
        let copied = streams.hold.until_copied(held, has_lease);
        let mut nothing = Reply::new(Proto::Resp2);
        self.meanwhile(&mut nothing, copied, false).await == Some(true)
    }
}
