//! Where this node says that it is: to clients, and to other members.

use super::node::Endpoint;
use crate::config::Settings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The bus port is so much above the port for clients, unless it is given.
pub(super) const BUS_OFFSET: u16 = 10_000;
/// Longest name of a node.
const MAX_HOSTNAME: usize = 255;
/// An address that belongs to nobody (RFC 5737): the way to it is the way out of this machine.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The endpoint that the settings describe.
///
/// # Errors
/// If what is to be announced is none.
pub fn endpoint(settings: &Settings) -> Result<Endpoint, String> {
    let cluster = &settings.cluster;
    let announced = |port: u16, own: u16| if port == 0 { own } else { port };
    let port = announced(cluster.announce_port, settings.port);
    let tls_port = announced(cluster.announce_tls_port, settings.tls.port);
    let first = if port == 0 { tls_port } else { port };
    let bus_port = match cluster.announce_bus_port {
        0 => first.checked_add(BUS_OFFSET).ok_or_else(|| {
            format!(
                "cluster-announce-bus-port has to be set if the port is above {}",
                u16::MAX - BUS_OFFSET
            )
        })?,
        port => port,
    };
    let hostname = cluster.announce_hostname.clone();
    if !is_hostname(&hostname) {
        return Err(format!("cluster-announce-hostname: {hostname} is no name of a host"));
    }
    let ip = match cluster.announce_ip.as_str() {
        "" => own_address(&settings.bind),
        text => text.parse().map_err(|_| format!("cluster-announce-ip: {text} is no address"))?,
    };
    Ok(Endpoint { ip, hostname, port, tls_port, bus_port })
}

/// As in Redis; a name may be missing.
fn is_hostname(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    name.len() <= MAX_HOSTNAME && name.chars().all(fits)
}

/// An address of this machine at which it listens: one that is listened on, or else, if that is all of
/// them, the one by which it reaches others.
fn own_address(bind: &[String]) -> IpAddr {
    let words = bind.iter().map(|word| word.strip_prefix('-').unwrap_or(word));
    let mut addresses = words.filter_map(|word| word.parse::<IpAddr>().ok());
    let listened_on = addresses.find(|ip| !ip.is_unspecified());
    listened_on.or_else(way_out).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Nothing is sent: the system only chooses the way.
fn way_out() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClusterSettings;

    fn settings(bind: &[&str], cluster: ClusterSettings) -> Settings {
        let mut settings = Settings::default();
        settings.bind = bind.iter().map(|word| (*word).to_owned()).collect();
        (settings.port, settings.cluster) = (7000, cluster);
        settings
    }

    #[test]
    fn what_is_listened_on_is_announced() {
        let of = |bind: &[&str]| {
            endpoint(&settings(bind, ClusterSettings::default())).expect("an endpoint")
        };
        let one = of(&["-::", "*", "10.0.0.7", "10.0.0.8"]);
        assert_eq!((one.ip, one.port, one.tls_port), ([10, 0, 0, 7].into(), 7000, 0));
        assert_eq!((one.bus_port, one.hostname.as_str()), (17_000, ""));
        assert_eq!(of(&["-::1"]).ip, IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1]));
        assert!(!of(&["*"]).ip.is_unspecified());
    }

    #[test]
    fn what_is_given_comes_first() {
        let cluster = ClusterSettings {
            announce_ip: "192.0.2.9".into(),
            announce_hostname: "a-1.example".into(),
            announce_port: 1,
            announce_tls_port: 2,
            announce_bus_port: 3,
            ..ClusterSettings::default()
        };
        let given = endpoint(&settings(&["127.0.0.1"], cluster)).expect("an endpoint");
        assert_eq!((given.ip, given.hostname.as_str()), ([192, 0, 2, 9].into(), "a-1.example"));
        assert_eq!((given.port, given.tls_port, given.bus_port), (1, 2, 3));
    }

    #[test]
    fn what_cannot_be_announced_is_refused() {
        let refused = |cluster| endpoint(&settings(&[], cluster)).expect_err("no endpoint");
        let with = ClusterSettings::default;
        assert!(refused(ClusterSettings { announce_ip: "here".into(), ..with() }).contains("here"));
        let name = ClusterSettings { announce_hostname: "a b".into(), ..with() };
        assert!(refused(name).contains("a b"));
        let mut high = settings(&[], with());
        high.port = 60_000;
        assert!(endpoint(&high).expect_err("no bus port").contains("55535"));
    }
}
