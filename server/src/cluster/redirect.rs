//! What a client is told whose command cannot run here. Redis's texts, which clients read.

use crate::commands::error::ReplyError;

/// Where a command has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It runs here.
    Here,
    /// It runs later, here or elsewhere.
    Wait,
    /// It does not run here.
    Away(ReplyError),
}

/// Its keys are of several slots.
pub const CROSS_SLOT: ReplyError =
    ReplyError::new("CROSSSLOT Keys in request don't hash to the same slot");
/// Nobody owns the slot.
pub const UNSERVED: ReplyError = ReplyError::new("CLUSTERDOWN Hash slot not served");
/// This node has no lease.
pub const DOWN: ReplyError = ReplyError::new("CLUSTERDOWN The cluster is down");
/// This node has no lease, and cluster-allow-reads-when-down.
pub const READS_ONLY: ReplyError =
    ReplyError::new("CLUSTERDOWN The cluster is down and only accepts read commands");

/// Whether an error sends the client elsewhere, or tells it to wait for the cluster.
#[must_use]
pub fn is_redirection(error: &ReplyError) -> bool {
    let kind = error.text().split(|byte| *byte == b' ').next();
    matches!(kind, Some(b"MOVED" | b"CROSSSLOT" | b"CLUSTERDOWN"))
}
