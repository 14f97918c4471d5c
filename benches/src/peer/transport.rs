//! The way from a load to a server: TCP, a unix socket, or TLS.
//!
//! Only closed loops ([`crate::load`]) go it. Settings, figures and open loops use TCP, which every
//! server listens for as well.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use super::Peer;
use crate::Outcome;
use crate::scratch::Scratch;
use crate::tls::{CERT, KEY, identity};

/// Which way all loads of a stage go.
#[derive(Clone, Debug)]
pub enum Way {
    /// TCP on 127.0.0.1.
    Tcp,
    /// A unix socket in a directory that goes with the stage.
    Unix(Files),
    /// TLS 1.3 on 127.0.0.1, with a certificate made for it.
    Tls(Files, Arc<ClientConfig>),
}

/// The files of a way, which go with its last copy.
#[derive(Clone, Debug)]
pub struct Files(Arc<Scratch>);

/// Where a load connects to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
    /// A port behind which TLS is spoken.
    Tls(SocketAddr, Arc<ClientConfig>),
}

impl Way {
    /// The names of [`Way::named`].
    pub const NAMES: [&str; 3] = ["tcp", "unix", "tls"];

    /// A way by name, with what it needs.
    ///
    /// # Errors
    ///
    /// When the name is unknown, or files cannot be written.
    pub fn named(name: &str) -> Outcome<Self> {
        let files = || Scratch::new().map(|scratch| Files(Arc::new(scratch)));
        match name {
            "tcp" => Ok(Self::Tcp),
            "unix" => Ok(Self::Unix(files()?)),
            "tls" => {
                let files = files()?;
                let config = identity(files.0.path())?;
                Ok(Self::Tls(files, config))
            }
            other => Err(format!("no transport named {other}").into()),
        }
    }

    /// The command line that makes `peer` listen this way, if there is one.
    pub(super) fn command(&self, peer: &Peer) -> Option<Vec<String>> {
        let (own, more) = match self {
            Self::Tcp => (None, Some("")),
            Self::Unix(_) => (Some("{socket}"), peer.unix),
            Self::Tls(..) => (Some("{tls-port}"), peer.tls),
        };
        let names = |place: &str| peer.command.iter().any(|word| word.contains(place));
        let own = own.is_some_and(names);
        if !own && (names("{socket}") || names("{tls-port}")) {
            return None;
        }
        let more = if own { "" } else { more? };
        let mut command = peer.command.clone();
        command.extend(more.split_whitespace().map(str::to_owned));
        Some(command)
    }

    /// Where the server that has the port `port` is to be reached.
    pub(super) fn target(
        &self,
        port: u16,
        another: impl FnOnce() -> Outcome<u16>,
    ) -> Outcome<Target> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(match self {
            Self::Tcp => Target::Tcp(local(port)),
            Self::Unix(files) => Target::Unix(files.0.path().join(format!("{port}.sock"))),
            Self::Tls(_, config) => Target::Tls(local(another()?), Arc::clone(config)),
        })
    }

    /// A word of a command line with what its places stand for.
    pub(super) fn fill(&self, word: &str, port: u16, target: &Target) -> String {
        let mut word = word.replace("{port}", &port.to_string());
        if let Target::Unix(path) = target {
            word = word.replace("{socket}", &path.to_string_lossy());
        }
        if let (Self::Tls(files, _), Target::Tls(addr, _)) = (self, target) {
            word = word.replace("{tls-port}", &addr.port().to_string());
            word = word.replace("{cert}", &files.0.file(CERT));
            word = word.replace("{key}", &files.0.file(KEY));
        }
        word
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Unix(_) => "a unix socket",
            Self::Tls(..) => "TLS",
        })
    }
}

impl Target {
    /// Whether somebody listens there besides the port, which others have asked.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
            Self::Tls(addr, _) => TcpStream::connect(addr).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Wire;

    fn words(way: &Way, peer: &Peer) -> Outcome<Option<String>> {
        let target = way.target(7, || Ok(8))?;
        let fill = |word: &String| way.fill(word, 7, &target);
        let command = way.command(peer);
        Ok(command.map(|words| words.iter().map(fill).collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn servers_are_told_where_to_listen() -> Outcome<()> {
        let peer = Peer::new("x", Wire::Resp, "x -p {port}").with_ways(super::super::UNIX, "-t");
        let plain = Peer::new("x", Wire::Resp, "x -p {port}");
        let own = Peer::new("x", Wire::Resp, "x -p {port} -s {socket}");
        assert_eq!(words(&Way::Tcp, &peer)?.as_deref(), Some("x -p 7"));
        assert_eq!(words(&Way::Tcp, &own)?, None);

        let unix = Way::named("unix")?;
        let Target::Unix(path) = unix.target(7, || Ok(8))? else {
            return Err("not a path".into());
        };
        let path = path.to_string_lossy().into_owned();
        assert_eq!(words(&unix, &peer)?, Some(format!("x -p 7 --unixsocket {path}")));
        assert_eq!(words(&unix, &own)?, Some(format!("x -p 7 -s {path}")));
        assert_eq!(words(&unix, &plain)?, None);
        Ok(())
    }

    #[test]
    fn servers_are_given_a_certificate() -> Outcome<()> {
        let tls = Way::named("tls")?;
        let own = Peer::new("x", Wire::Resp, "x {port} {tls-port} {cert} {key}");
        let text = words(&tls, &own)?.unwrap_or_default();
        let [_, "7", "8", cert, key] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(text.into());
        };
        assert!(std::fs::read_to_string(cert)?.contains("BEGIN CERTIFICATE"));
        assert!(std::fs::read_to_string(key)?.contains("PRIVATE KEY"));
        let (cert, socket) = (cert.to_owned(), Peer::new("x", Wire::Resp, "x {port} {socket}"));
        assert_eq!(words(&tls, &socket)?, None);
        drop(tls);
        assert!(std::fs::metadata(cert).is_err());
        Ok(())
    }

    #[test]
    fn names_are_those_of_the_option() {
        assert!(Way::NAMES.iter().all(|name| Way::named(name).is_ok()));
        assert!(Way::named("udp").is_err());
    }
}
