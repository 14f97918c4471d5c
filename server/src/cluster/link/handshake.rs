//! How two nodes find out that they belong together.
//!
//! ```text
//!   client                                            server
//!     hello: version, kind, cluster, node, nonce  -->
//!                          <--  hello: version, 0, cluster, node, nonce
//!                          <--  proof: HMAC(secret, "server", both hellos)
//!     proof: HMAC(secret, "client", both hellos)  -->
//!                          <--  a zero, or why not
//! ```
//!
//! Both nonces are new each time and part of both proofs, so what was recorded proves nothing, and the
//! two proofs differ, so none can be sent back to whom it came from. The secret itself never goes over
//! the wire. Without one (`cluster-secret` is empty) the proofs prove nothing, and only peers on this
//! machine, or those whose certificates were checked, are let in.
//!
//! A refusal says why, in text, where that tells a stranger nothing: versions, and that clusters or
//! nodes are not who was expected, which is said only after the proof.

use super::super::node::NodeId;
use super::{Identity, Kind};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Version of the protocol between nodes. Nodes of different versions do not talk to each other.
pub const VERSION: u16 = 1;

/// The longest text of a refusal.
const MAX_REFUSAL: usize = 255;

const MAGIC: [u8; 4] = *b"DNLN";
const NONCE: usize = 32;
const HELLO: usize = MAGIC.len() + 2 + 1 + 16 + 20 + NONCE;
const PROOF: usize = 32;

/// Which cluster: 128 random bits, drawn by the node that began it. Zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// None.
    pub const NONE: ClusterId = ClusterId([0; 16]);
}

/// What all nodes of a cluster know (`cluster-secret`).
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// These bytes are the secret; none: there is none.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Secret {
        Secret(bytes.as_ref().to_vec())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn mac(&self, role: &[u8], hellos: [&[u8; HELLO]; 2]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(role);
        hellos.iter().for_each(|hello| mac.update(&hello[..]));
        Some(mac)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "no secret" } else { "a secret" })
    }
}

/// Why a connection is not to be.
#[derive(Debug)]
pub enum Refusal {
    /// The connection failed, or what came was no handshake.
    Broken(std::io::Error),
    /// The other side is not to be trusted, or does not trust this one.
    Refused(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Broken(error) => write!(f, "the handshake failed: {error}"),
            Refusal::Refused(why) => f.write_str(why),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Refusal::Broken(error)
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Refused(why.into()))
}

/// What this side is and whom it trusts.
#[derive(Debug)]
pub struct Trust<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// Who this is.
    pub identity: Identity,
    /// Whether somebody may be let in without a secret: from this machine, or with a certificate.
    pub stranger_is_welcome: bool,
}

impl Trust<'_> {
    fn check_secret(&self) -> Result<(), Refusal> {
        if self.secret.is_empty() && !self.stranger_is_welcome {
            return refused("without cluster-secret only nodes of this machine are let in");
        }
        Ok(())
    }

    fn hello(&self, kind: u8) -> Result<[u8; HELLO], Refusal> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| Refusal::Refused(error.to_string()))?;
        let mut bytes = [0; HELLO];
        let parts: [&[u8]; 6] = [
            &MAGIC,
            &VERSION.to_be_bytes(),
            &[kind],
            &self.identity.cluster.0,
            &self.identity.node.0,
            &nonce,
        ];
        let source = parts.into_iter().flatten().copied();
        bytes.iter_mut().zip(source).for_each(|(to, from)| *to = from);
        Ok(bytes)
    }
}

/// What the other side has said of itself.
struct Hello {
    version: u16,
    kind: u8,
    cluster: ClusterId,
    node: NodeId,
}

impl Hello {
    fn parse(bytes: &[u8; HELLO]) -> Option<Hello> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (version, rest) = rest.split_first_chunk::<2>()?;
        let (kind, rest) = rest.split_first()?;
        let (cluster, rest) = rest.split_first_chunk::<16>()?;
        let (node, _) = rest.split_first_chunk::<20>()?;
        let version = u16::from_be_bytes(*version);
        Some(Hello { version, kind: *kind, cluster: ClusterId(*cluster), node: NodeId(*node) })
    }
}

async fn read_hello(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<([u8; HELLO], Hello), Refusal> {
    let mut bytes = [0; HELLO];
    // What does not begin like a node is told from the first bytes.
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    stream.read_exact(magic).await?;
    if *magic != MAGIC {
        return refused("this is no node of a cluster");
    }
    stream.read_exact(rest).await?;
    let Some(hello) = Hello::parse(&bytes) else { return refused("this is no hello") };
    Ok((bytes, hello))
}

async fn refuse<T>(stream: &mut (impl AsyncWrite + Unpin), why: String) -> Result<T, Refusal> {
    let text = why.as_bytes().get(..MAX_REFUSAL).unwrap_or(why.as_bytes());
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![length];
    bytes.extend_from_slice(text);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Err(Refusal::Refused(why))
}

/// The client's side: who is at the other end.
///
/// # Errors
/// If one of the two refuses the other, or the connection fails.
pub async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    trust: &Trust<'_>,
    expected: Option<NodeId>,
    kind: Kind,
) -> Result<NodeId, Refusal> {
    trust.check_secret()?;
    let mine = trust.hello(kind as u8)?;
    stream.write_all(&mine).await?;
    stream.flush().await?;
    let (theirs, hello) = read_hello(stream).await?;
    if hello.version != VERSION {
        return refused(format!("the node has version {}, not {VERSION}", hello.version));
    }
    let mut proof = [0; PROOF];
    stream.read_exact(&mut proof).await?;
    let hellos = [&mine, &theirs];
    let proven =
        trust.secret.mac(b"server", hellos).is_some_and(|mac| mac.verify_slice(&proof).is_ok());
    if !proven {
        return refused("the node does not know the cluster's secret");
    }
    if expected.is_some_and(|expected| expected != hello.node) {
        return refused(format!("node {} is there", hello.node));
    }
    let Some(mac) = trust.secret.mac(b"client", hellos) else { return refused("no proof") };
    stream.write_all(&mac.finalize().into_bytes()).await?;
    stream.flush().await?;
    let length = stream.read_u8().await?;
    if length == 0 {
        return Ok(hello.node);
    }
    let mut why = Vec::new();
    stream.take(length.into()).read_to_end(&mut why).await?;
    refused(format!("the node refuses this one: {}", String::from_utf8_lossy(&why).escape_debug()))
}

/// The server's side: who is there, and for what.
///
/// # Errors
/// If one of the two refuses the other, or the connection fails.
pub async fn welcome(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    trust: &Trust<'_>,
) -> Result<(NodeId, Kind), Refusal> {
    let (theirs, hello) = read_hello(stream).await?;
    let mine = trust.hello(0)?;
    let hellos = [&theirs, &mine];
    let Some(mac) = trust.secret.mac(b"server", hellos) else { return refused("no proof") };
    let mut bytes = mine.to_vec();
    bytes.extend_from_slice(&mac.finalize().into_bytes());
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    if hello.version != VERSION {
        return refused(format!("the node has version {}, not {VERSION}", hello.version));
    }
    let mut proof = [0; PROOF];
    stream.read_exact(&mut proof).await?;
    let proven =
        trust.secret.mac(b"client", hellos).is_some_and(|mac| mac.verify_slice(&proof).is_ok());
    if !proven {
        return refuse(stream, "wrong secret".to_owned()).await;
    }
    if let Err(Refusal::Refused(why)) = trust.check_secret() {
        return refuse(stream, why).await;
    }
    let Some(kind) = Kind::from_byte(hello.kind) else {
        return refuse(stream, format!("there are no connections of kind {}", hello.kind)).await;
    };
    let together = hello.cluster == trust.identity.cluster && hello.cluster != ClusterId::NONE;
    if kind != Kind::Meet && !together {
        return refuse(stream, "not in this cluster".to_owned()).await;
    }
    stream.write_all(&[0]).await?;
    stream.flush().await?;
    Ok((hello.node, kind))
}
