//! DEBUG SLOTS: what a map of the cluster, a hand-over or the loss of the lease would do to this node, at
//! a moment that a test chooses. The others know nothing of it, and this node hears of them no more.

use crate::blocking::{Meanwhile, Wait};
use crate::cluster::Cluster;
use crate::cluster::farewell::SlotTask;
use crate::cluster::map::Holders;
use crate::cluster::node::{Endpoint, Member, NodeId};
use crate::cluster::slot::SLOTS;
use crate::commands::call::Call;
use crate::commands::error::{NOT_INTEGER, ReplyError, SYNTAX};
use crate::commands::spec::Outcome;
use dunlin_protocol::{Reply, number};
use dunlin_storage::SlotSet;
use std::net::IpAddr;
use std::sync::Arc;

const NO_CLUSTER: ReplyError = ReplyError::new("ERR This instance has cluster support disabled");
const NO_SLOT: ReplyError = ReplyError::new("ERR Invalid or out of range slot");

/// - `DEBUG SLOTS GIVE <first> <last> <ip> <port>`: another node owns them. Answers when their clients
///   have been sent away.
/// - `DEBUG SLOTS TAKE <first> <last>`: this node owns them; `NOBODY`: no node does.
/// - `DEBUG SLOTS FENCE <first> <last>`: answers when nothing touches them any more; `UNFENCE`.
/// - `DEBUG SLOTS LEASE <ms>`: the lease ends after so many milliseconds.
pub(super) fn run(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let cluster = call.server.cluster.clone().ok_or(NO_CLUSTER)?;
    if let Some(Meanwhile::Slots(_)) = call.client.wait.as_ref().and_then(|w| w.meanwhile.as_ref())
    {
        call.reply.ok();
        return Ok(Outcome::Done);
    }
    if call.is(2, "lease") && call.argc() == 4 {
        let millis = number::parse_i64(call.arg(3)).and_then(|n| u64::try_from(n).ok());
        let nanos = millis.ok_or(NOT_INTEGER)?.saturating_mul(1_000_000);
        cluster.lease.force(call.server.clock.monotonic_ns().saturating_add(nanos));
        // Nor does it hope for another one.
        cluster.be_young_until(0);
        call.reply.ok();
        return Ok(Outcome::Done);
    }
    if call.argc() < 5 {
        return Err(SYNTAX);
    }
    let (first, last) = (slot(call, 3)?, slot(call, 4)?);
    let slots: SlotSet = (first..=last).collect();
    let task = match call.arg(2).to_ascii_lowercase().as_slice() {
        b"fence" => {
            cluster.pretend(cluster.map());
            SlotTask::Fence(slots)
        }
        b"unfence" => {
            cluster.routes.unfence(&slots);
            SlotTask::LetGo(SlotSet::default())
        }
        b"take" => SlotTask::LetGo(assign(&cluster, (first, last), Some(cluster.me()))),
        b"nobody" => SlotTask::LetGo(assign(&cluster, (first, last), None)),
        b"give" if call.argc() == 7 => {
            let owner = introduce(&cluster, call.arg(5), call.arg(6)).ok_or(SYNTAX)?;
            SlotTask::LetGo(assign(&cluster, (first, last), Some(owner)))
        }
        _ => return Err(SYNTAX),
    };
    let meanwhile = Some(Meanwhile::Slots(Arc::new(task)));
    let on_timeout = |reply: &mut Reply| reply.error("ERR It goes on without its client");
    Ok(Outcome::Block(Wait { deadline: None, on_timeout, on: None, meanwhile }))
}

fn slot(call: &Call<'_, '_>, at: usize) -> Result<u16, ReplyError> {
    let slot = number::parse_i64(call.arg(at)).and_then(|slot| u16::try_from(slot).ok());
    slot.filter(|slot| *slot < SLOTS).ok_or(NO_SLOT)
}

/// Makes a member of an address; its identity is its port.
fn introduce(cluster: &Cluster, ip: &[u8], port: &[u8]) -> Option<NodeId> {
    let ip: IpAddr = std::str::from_utf8(ip).ok()?.parse().ok()?;
    let port = number::parse_i64(port).and_then(|port| u16::try_from(port).ok())?;
    let id = NodeId::from(u32::from(port));
    let mut map = (*cluster.map()).clone();
    let endpoint = Endpoint { ip, hostname: String::new(), port, tls_port: port, bus_port: port };
    let zone = String::new();
    map.members.insert(id, Member { endpoint, incarnation: 1, weight: 100, zone, leaving: false });
    cluster.pretend(Arc::new(map));
    Some(id)
}

/// Gives slots to a node; what this one has lost.
fn assign(cluster: &Cluster, (first, last): (u16, u16), owner: Option<NodeId>) -> SlotSet {
    let mut map = (*cluster.map()).clone();
    map.epoch += 1;
    if first <= last {
        map.slots.set(first, last, Holders { owner, ..Holders::default() });
    }
    cluster.pretend(Arc::new(map))
}
