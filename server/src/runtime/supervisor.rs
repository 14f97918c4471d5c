//! What the supervisor is told: that the server is ready, that it ends, and, if it wants to know, that
//! it has not stopped working (systemd's sd_notify).
//!
//! A message is one datagram of lines `NAME=value` to the unix socket that `NOTIFY_SOCKET` names; a
//! name that begins with `@` is in Linux's abstract namespace. A supervisor that does not read loses
//! its messages: nobody waits for it.

use crate::config::Supervision;
use std::env;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the supervisor, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Looks into the environment, as far as the directive `supervised` allows.
    ///
    /// # Errors
    /// When it should be there and is not.
    pub fn find(supervised: Supervision) -> Result<Supervisor, String> {
        let name = match supervised {
            Supervision::No | Supervision::Upstart => None,
            Supervision::Systemd | Supervision::Auto => env::var_os("NOTIFY_SOCKET"),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return match supervised {
                Supervision::Systemd => Err("supervised systemd: there is no NOTIFY_SOCKET".into()),
                _ => Ok(Supervisor::default()),
            };
        };
        let socket = open(name.as_bytes())
            .map_err(|error| format!("NOTIFY_SOCKET {}: {error}", name.display()))?;
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && ours);
        Ok(Supervisor { socket: Some(socket), watchdog: watchdog.map(Duration::from_micros) })
    }

    /// Its name as INFO shows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.socket.is_some() { "systemd" } else { "no" }
    }

    /// How often it wants to hear that the server works.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Clients are served.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ending");
    }

    /// All is well.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket {
            // A supervisor that is gone, or too busy to take it, is none of our business.
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }
}

fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = match name {
        [b'@', name @ ..] => abstract_address(name)?,
        name => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    Ok((socket, address))
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_and_nobody_is_waited_for() {
        let path = env::temp_dir().join(format!("dunlin-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let theirs = UnixDatagram::bind(&path).expect("a socket");
        let socket = open(path.as_os_str().as_bytes()).expect("an address");
        let supervisor = Supervisor { socket: Some(socket), watchdog: None };
        supervisor.ready();
        supervisor.stopping();
        let heard = || {
            let mut room = [0; 64];
            let came = theirs.recv(&mut room).expect("a message");
            String::from_utf8_lossy(&room[..came]).into_owned()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=serving");
        assert_eq!(heard(), "STOPPING=1\nSTATUS=ending");
        // The queue is full at some time.
        (0..100_000).for_each(|_| supervisor.alive());
        drop(theirs);
        supervisor.alive();
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(supervisor.name(), "systemd");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn names_may_be_abstract() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("dunlin-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let theirs = UnixDatagram::bind_addr(&address).expect("a socket");
        let socket = open(format!("@{name}").as_bytes()).expect("an address");
        Supervisor { socket: Some(socket), watchdog: None }.alive();
        let mut room = [0; 64];
        let came = theirs.recv(&mut room).expect("a message");
        assert_eq!(&room[..came], b"WATCHDOG=1");
    }
}
