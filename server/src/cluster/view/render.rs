//! The replies that show the map.

use super::{Kind, Preferred, View, port, shown};
use crate::cluster::node::{Member, NodeId};
use crate::cluster::runs::Run;
use bytes::Bytes;
use dunlin_protocol::{Proto, Reply};
use std::fmt::Write as _;

pub(super) fn reply(view: &View, kind: Kind, proto: Proto, tls: bool) -> Bytes {
    let mut reply = Reply::new(proto);
    match kind {
        Kind::Slots => slots(view, &mut reply, tls),
        Kind::Shards => shards(view, &mut reply),
        Kind::Nodes => reply.verbatim("txt", nodes(view, tls).as_bytes()),
    }
    Bytes::copy_from_slice(reply.contiguous().unwrap_or_default())
}

/// The slots of each member, in the order of the members.
fn by_owner(view: &View) -> Vec<Vec<Run<u16>>> {
    let mut by_owner = vec![Vec::new(); view.map.members.len()];
    for run in view.owned() {
        by_owner[usize::from(run.value)].push(run);
    }
    by_owner
}

/// ```text
/// [[first, last, [host, port, id, {what the host is not}]], ...]
/// ```
fn slots(view: &View, reply: &mut Reply, tls: bool) {
    let part = |(id, member): (&NodeId, &Member)| {
        let mut part = Reply::new(reply.proto());
        node_of_slots(view.preferred, &mut part, *id, member, tls);
        part.contiguous().unwrap_or_default().to_vec()
    };
    let parts: Vec<Vec<u8>> = view.map.members.iter().map(part).collect();
    let runs = view.owned();
    reply.array(runs.len());
    for run in runs {
        reply.array(3);
        reply.int(run.first.into());
        reply.int(run.last.into());
        reply.raw(&parts[usize::from(run.value)]);
    }
}

fn node_of_slots(preferred: Preferred, reply: &mut Reply, id: NodeId, member: &Member, tls: bool) {
    let endpoint = &member.endpoint;
    reply.array(4);
    match preferred {
        Preferred::UnknownEndpoint => reply.null(),
        Preferred::Ip | Preferred::Hostname => reply.bulk(preferred.of(endpoint).as_bytes()),
    }
    reply.int(port(endpoint, tls).into());
    reply.bulk(id.to_string().as_bytes());
    let ip = (preferred != Preferred::Ip).then(|| ("ip", shown(endpoint.ip)));
    let named = preferred != Preferred::Hostname && !endpoint.hostname.is_empty();
    let hostname = named.then(|| ("hostname", endpoint.hostname.clone()));
    reply.map(usize::from(ip.is_some()) + usize::from(hostname.is_some()));
    for (field, text) in ip.into_iter().chain(hostname) {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
}

/// ```text
/// [{slots: [first, last, ...], nodes: [{id, port, tls-port, ip, endpoint, ...}]}, ...]
/// ```
fn shards(view: &View, reply: &mut Reply) {
    reply.array(view.map.members.len());
    for ((id, member), runs) in view.map.members.iter().zip(by_owner(view)) {
        reply.map(2);
        reply.bulk(b"slots");
        reply.array(2 * runs.len());
        for run in runs {
            reply.int(run.first.into());
            reply.int(run.last.into());
        }
        reply.bulk(b"nodes");
        reply.array(1);
        node_of_shards(view.preferred, reply, *id, member);
    }
}

fn node_of_shards(preferred: Preferred, reply: &mut Reply, id: NodeId, member: &Member) {
    let endpoint = &member.endpoint;
    let ports = [("port", endpoint.port), ("tls-port", endpoint.tls_port)];
    let ports = ports.into_iter().filter(|(_, port)| *port != 0);
    let named = !endpoint.hostname.is_empty();
    reply.map(6 + ports.clone().count() + usize::from(named));
    let field = |reply: &mut Reply, name: &str, text: &str| {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    };
    field(reply, "id", &id.to_string());
    for (name, port) in ports {
        reply.bulk(name.as_bytes());
        reply.int(port.into());
    }
    field(reply, "ip", &shown(endpoint.ip));
    field(reply, "endpoint", &preferred.of(endpoint));
    if named {
        field(reply, "hostname", &endpoint.hostname);
    }
    field(reply, "role", "master");
    reply.bulk(b"replication-offset");
    reply.int(0);
    field(reply, "health", "online");
}

/// A line for each node, and at the end of each line a line feed, on which `redis-cli` insists:
///
/// ```text
/// id ip:port@bus[,name] flags master ping pong epoch link first-last ...
/// ```
fn nodes(view: &View, tls: bool) -> String {
    let mut text = String::new();
    for ((id, member), runs) in view.map.members.iter().zip(by_owner(view)) {
        let endpoint = &member.endpoint;
        let flags = if *id == view.me { "myself,master" } else { "master" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{id} {}:{}", shown(endpoint.ip), port(endpoint, tls));
        let _ = write!(text, "@{}", endpoint.bus_port);
        if !endpoint.hostname.is_empty() {
            let _ = write!(text, ",{}", endpoint.hostname);
        }
        let _ = write!(text, " {flags} - 0 0 {} connected", view.map.epoch);
        for run in runs {
            let _ = match run.count() {
                1 => write!(text, " {}", run.first),
                _ => write!(text, " {}-{}", run.first, run.last),
            };
        }
        text.push('\n');
    }
    if !view.is_member() {
        // Whoever asks has to find itself, though it has not come yet, or has left.
        let _ = writeln!(text, "{} :0@0 myself,master,noaddr - 0 0 0 connected", view.me);
    }
    text
}
