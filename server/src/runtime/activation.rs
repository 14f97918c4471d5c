//! Sockets that the supervisor has opened before it started us (systemd's socket activation): their
//! queues outlive this process, so nobody is refused while it is started anew.
//!
//! They come as descriptors from 3 on, as many as `LISTEN_FDS` says if `LISTEN_PID` is us. If there are
//! any, they are what is served, instead of what `port`, `bind`, `tls-port` and `unixsocket` say. TLS is
//! spoken on those which `LISTEN_FDNAMES` calls `tls` (`FileDescriptorName=tls`) and on those of the
//! port that `tls-port` names.

use super::listen::{Listeners, UnixSocket};
use crate::config::Settings;
use listenfd::ListenFd;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// The name of a socket for TLS.
const TLS: &str = "tls";
/// Most sockets that are taken.
const MAX_SOCKETS: usize = 64;

/// Takes the sockets that this process was started with, if there are any.
///
/// # Errors
/// What cannot be used, for the operator.
pub fn take(settings: &Settings) -> Result<Option<Listeners>, String> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut sockets = ListenFd::from_env();
    if sockets.len() == 0 {
        return Ok(None);
    }
    if sockets.len() > MAX_SOCKETS {
        return Err(format!("more than {MAX_SOCKETS} sockets from the supervisor"));
    }
    let mut listeners = Listeners::default();
    let mut names = names.split(':');
    for index in 0..sockets.len() {
        let name = names.next().unwrap_or_default();
        let failed = |error: io::Error| format!("socket {index} ('{name}'): {error}");
        if let Ok(Some(listener)) = sockets.take_unix_listener(index) {
            if listeners.unix.is_some() {
                return Err("more than one unix socket from the supervisor".to_owned());
            }
            listeners.unix = Some(UnixSocket::inherited(listener).map_err(failed)?);
            continue;
        }
        let listener = sockets.take_tcp_listener(index).map_err(failed)?;
        let listener = listener.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        adopt(listener, name, settings, &mut listeners).map_err(failed)?;
    }
    Ok(Some(listeners))
}

/// The settings under which we would have opened such a socket, for protected mode.
#[must_use]
pub fn as_if(settings: &Settings, tls: bool, address: SocketAddr) -> Settings {
    let mut settings = settings.clone();
    settings.bind = vec![address.ip().to_string()];
    let port = address.port();
    (settings.port, settings.tls.port) = if tls { (0, port) } else { (port, 0) };
    settings
}

fn adopt(
    listener: TcpListener,
    name: &str,
    settings: &Settings,
    listeners: &mut Listeners,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let tls = name == TLS || port == settings.tls.port;
    listeners.inherited.push((tls, listener));
    Ok(())
}
