//! How a node begins: first its directory and who it is in it, before there is a server; then, with the
//! server around it, the thread on which it takes part in the cluster.

use super::Cluster;
use super::announce::{self, BUS_OFFSET};
use super::jobs::Jobs;
use super::keeper::{Dial, Streams};
use super::link::{Connection, Kind, Links, Secret, Target, Tcp, Tls, Transport, serve};
use super::meta::{Agreement, Host, Later, Meta, Options, Orders};
use super::node::{Member, NodeId};
use super::operations::Operations;
use super::operators::{Operators, spread};
use super::runtime::Runtime;
use super::stream::connection::Wire;
use crate::config::Settings;
use crate::server::Server;
use crate::tls;
use dunlin_storage::DbId;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long commands wait for the lease of a node that has just been started.
const YOUNG_NS: u64 = 2_000_000_000;

/// Workers that have commands go before the thread that carries keys, and before those that it begins, which
/// send and take them and inherit this: on a node that joins they are many, and would get most of a
/// processor that is too small for all. A third of a worker's weight is left to each.
const DATA_NICE: i32 = 5;

/// A node that is about to begin.
#[derive(Debug)]
pub struct Beginning {
    agreement: Arc<Agreement>,
    orders: Orders,
    links: Arc<Links>,
    around: Arc<Around>,
    addresses: Vec<SocketAddr>,
    /// What it is in its cluster.
    pub cluster: Arc<Cluster>,
}

/// The server around the agreement, when it is there.
#[derive(Default)]
struct Around {
    server: OnceLock<(&'static Server, Arc<Streams>)>,
    cluster: OnceLock<Arc<Cluster>>,
    /// Where connections for data live.
    data: OnceLock<Handle>,
}

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
    }
}

impl Host for Around {
    fn now(&self) -> u64 {
        // Nothing asks before the server is there.
        self.server.get().map_or(0, |(server, _)| server.clock.monotonic_ns())
    }

    fn has_keys(&self) -> bool {
        self.server.get().is_some_and(|(server, _)| !server.keyspace.is_empty(DbId(0)))
    }

    fn follows(&self, epoch: u64) -> Later<'_, ()> {
        Box::pin(async move {
            if let Some(cluster) = self.cluster.get() {
                cluster.follows(epoch).await;
            }
        })
    }

    fn forget_everything(&self) -> Later<'_, ()> {
        Box::pin(async {
            if let Some((_, streams)) = self.server.get() {
                streams.forget_everything().await;
            }
        })
    }

    fn rename(&self, me: NodeId) {
        if let Some(cluster) = self.cluster.get() {
            cluster.view().rename(me);
        }
    }

    fn message(&self, _: NodeId, body: Vec<u8>) {
        if let (Some((server, _)), Some((channel, message))) =
            (self.server.get(), spread::parse(&body))
        {
            server.pubsub.publish(channel, message);
        }
    }

    fn stream(&self, connection: Connection) {
        if let (Some((_, streams)), Some(data)) = (self.server.get(), self.data.get()) {
            let _on = data.enter();
            streams.accept(Some(connection.peer.node), Box::new(connection.stream));
        }
    }
}

/// Connects to other nodes for data.
struct Dialer(Arc<Links>);

impl Dial for Dialer {
    fn dial(&self, to: NodeId, member: &Member) -> Later<'_, io::Result<Box<dyn Wire>>> {
        let target = Target { node: Some(to), address: member.endpoint.bus() };
        Box::pin(async move {
            let opened = self.0.open(target, Kind::Stream).await.map_err(io::Error::other)?;
            Ok(Box::new(opened.stream) as Box<dyn Wire>)
        })
    }
}

impl Beginning {
    /// Opens `cluster-dir`.
    ///
    /// # Errors
    /// If the directory or the files of `tls-cluster` cannot be used.
    pub fn open(settings: &Settings) -> io::Result<Beginning> {
        let tls = settings.cluster.tls.then(|| tls::between_nodes(&settings.tls));
        let tls: Option<Tls> = tls.transpose().map_err(io::Error::other)?;
        let secret = Secret::new(&settings.cluster.secret);
        if secret.is_empty() && tls.is_none() {
            tracing::warn!("no cluster-secret: only nodes of this machine are let in");
        }
        let links = Links::new(Arc::new(Tcp) as Arc<dyn Transport>, secret, tls);
        let around = Arc::new(Around::default());
        let (options, addresses) = describe(settings)?;
        let host = Arc::clone(&around) as Arc<dyn Host>;
        let lease = Arc::default();
        let (agreement, orders) =
            Agreement::open(options, host, Arc::clone(&links), Arc::clone(&lease))?;
        let cluster = Arc::new(Cluster::with_lease(agreement.me(), lease));
        let _ = around.cluster.set(Arc::clone(&cluster));
        Ok(Beginning { agreement, orders, links, around, addresses, cluster })
    }

    /// Begins. Its threads run as long as the process.
    ///
    /// # Errors
    /// If there are no threads, or the port for other nodes is taken.
    pub fn go(self, server: &'static Server) -> io::Result<()> {
        let Beginning { agreement, orders, links, around, addresses, cluster } = self;
        cluster.be_young_until(server.clock.monotonic_ns() + YOUNG_NS);
        let runtime = Runtime::start("cluster", 0)?;
        let data = Runtime::start("cluster-data", DATA_NICE)?;
        links.run_on(runtime.handle().clone());
        let meta = Arc::clone(&agreement) as Arc<dyn Meta>;
        let dial = Arc::new(Dialer(Arc::clone(&links)));
        let (streams, keeper) = Streams::new(server, Arc::clone(&cluster), Arc::clone(&meta), dial);
        let _ = around.server.set((server, Arc::clone(&streams)));
        let _ = around.data.set(data.handle().clone());
        let (service, bus) = (Arc::clone(&agreement), Arc::clone(&links));
        runtime.wait_for(async move {
            for address in addresses {
                let listener = Tcp.listen(address).await.map_err(|error| {
                    io::Error::new(error.kind(), format!("cluster bus, {address}: {error}"))
                })?;
                tokio::spawn(serve(Arc::clone(&bus), listener, Arc::clone(&service) as _));
            }
            Ok::<(), io::Error>(())
        })??;
        let operators = Arc::new(Operators { server, agreement: Arc::clone(&agreement), links });
        cluster.set_operations(Operations {
            moves: Arc::new(Jobs::new(server, Arc::clone(&meta), streams)),
            meta,
            admin: Arc::clone(&operators) as _,
            spread: operators,
            thread: runtime.handle().clone(),
        });
        runtime.handle().spawn(agreement.run(orders));
        data.handle().spawn(keeper.run());
        runtime.run_for_ever();
        data.run_for_ever();
        Ok(())
    }
}

/// What the settings say of this node, and where it listens for others.
fn describe(settings: &Settings) -> io::Result<(Options, Vec<SocketAddr>)> {
    let cluster = &settings.cluster;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let mut endpoint = announce::endpoint(settings).map_err(invalid)?;
    let base = if settings.port == 0 { settings.tls.port } else { settings.port };
    let bus_port = match cluster.port {
        0 => base.checked_add(BUS_OFFSET).ok_or_else(|| {
            invalid(format!("port {base} leaves no room for the cluster bus: give a cluster-port"))
        })?,
        port => port,
    };
    if cluster.announce_bus_port == 0 {
        endpoint.bus_port = bus_port;
    }
    let words = settings.bind.iter().map(|word| word.trim_start_matches('-'));
    let bound: Vec<IpAddr> = words.filter_map(|word| word.parse().ok()).collect();
    let addresses = match bound.is_empty() {
        true => vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), bus_port)],
        false => bound.iter().map(|ip| SocketAddr::new(*ip, bus_port)).collect(),
    };
    let is_everywhere = bound.iter().all(IpAddr::is_unspecified);
    let options = Options {
        directory: settings.dir.join(&cluster.dir),
        address_is_unknown: cluster.announce_ip.is_empty() && is_everywhere,
        endpoint,
        weight: cluster.weight,
        zone: cluster.zone.clone(),
        replicas: cluster.replicas,
        join: join(&cluster.join)?,
        removal: Duration::from_millis(cluster.node_timeout.into()),
        linger: Duration::from_secs(cluster.linger.into()),
        simulated: false,
    };
    Ok((options, addresses))
}

/// Bus addresses of the nodes to join, which are given by their ports for clients:
/// `host:port`, or `host:port@bus-port`.
fn join(words: &[String]) -> io::Result<Vec<String>> {
    let bad = |word: &str| {
        let why = format!("cluster-join: '{word}' is no host:port");
        io::Error::new(io::ErrorKind::InvalidInput, why)
    };
    let words = words.iter().filter(|word| !word.is_empty());
    words.map(|word| bus_address(word).ok_or_else(|| bad(word))).collect()
}

fn bus_address(word: &str) -> Option<String> {
    let (place, bus) = match word.split_once('@') {
        Some((place, bus)) => (place, Some(bus.parse::<u16>().ok()?)),
        None => (word, None),
    };
    let (host, port) = place.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bus = bus.or_else(|| port.checked_add(BUS_OFFSET))?;
    Some(format!("{host}:{bus}"))
}

/// The bus address of a node as CLUSTER MEET names it.
///
/// # Errors
/// If there is no such port.
pub(super) fn bus_address_of(host: &str, port: u16, bus: Option<u16>) -> Result<String, String> {
    let bus = bus.or_else(|| port.checked_add(BUS_OFFSET));
    let bus = bus.ok_or_else(|| format!("Invalid bus port for port {port}"))?;
    let is_v6 = host.contains(':') && !host.starts_with('[');
    Ok(if is_v6 { format!("[{host}]:{bus}") } else { format!("{host}:{bus}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_join() {
        for (word, address) in [
            ("a.example:7000", Some("a.example:17000")),
            ("10.0.0.1:7000@7777", Some("10.0.0.1:7777")),
            ("[::1]:7000", Some("[::1]:17000")),
            ("a.example", None),
            ("a.example:60000", None),
            ("a.example:x", None),
            ("a.example:1@x", None),
        ] {
            assert_eq!(bus_address(word).as_deref(), address, "{word}");
        }
        assert!(join(&[String::new()]).unwrap().is_empty());
        assert!(join(&["x".to_owned()]).is_err());
        assert_eq!(bus_address_of("::1", 7000, None).as_deref(), Ok("[::1]:17000"));
        assert_eq!(bus_address_of("h", 7000, Some(9)).as_deref(), Ok("h:9"));
        assert!(bus_address_of("h", 65_535, None).is_err());
    }
}
