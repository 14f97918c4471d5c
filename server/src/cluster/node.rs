//! Who is in the cluster: identities, addresses, members.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The identity of a node: 160 random bits, written as 40 hexadecimal digits. It is drawn when the node
/// begins with an empty `cluster-dir` and never used again once that is lost.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNodeId;

impl FromStr for NodeId {
    type Err = NoNodeId;

    fn from_str(text: &str) -> Result<Self, NoNodeId> {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16).map(|d| d as u8)).collect();
        if text.len() != 40 || digits.len() != 40 {
            return Err(NoNodeId);
        }
        let mut id = NodeId::default();
        for (byte, pair) in id.0.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Ok(id)
    }
}

/// A small number as an identity, for tests and comparisons.
impl From<u32> for NodeId {
    fn from(number: u32) -> Self {
        let mut id = NodeId::default();
        id.0[16..].copy_from_slice(&number.to_be_bytes());
        id
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|NoNodeId| serde::de::Error::custom("not a node id"))
    }
}

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address for clients and members.
    pub ip: IpAddr,
    /// Its name for clients (`cluster-announce-hostname`); empty: none.
    pub hostname: String,
    /// Port for clients without TLS; 0: none.
    pub port: u16,
    /// Port for clients with TLS; 0: none.
    pub tls_port: u16,
    /// Port for members (the cluster bus).
    pub bus_port: u16,
}

impl Endpoint {
    /// Where members reach it.
    #[must_use]
    pub fn bus(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.bus_port)
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Which start of the process this is: it rises with each, and a rise means that what the node had in
    /// memory is gone.
    pub incarnation: u64,
    /// How many slots it takes in proportion to the others.
    pub weight: u32,
    /// What fails together with it: a rack or data centre; empty: nothing is known. The backups of a slot
    /// are elsewhere if they can be.
    pub zone: String,
    /// It gives its slots away and goes (CLUSTER LEAVE, or its end by SIGTERM).
    pub leaving: bool,
}
