//! Opening the sockets the server listens on.
//!
//! TCP: one listener per address of `bind`; an address with a leading `-` may be missing on this
//! machine or of an unsupported family, any other failure stops the start. IPv6 listeners never
//! take IPv4 connections, so `* -::*` can have both.
//!
//! Unix socket: permissions are set after `bind` and before `listen`. Until `listen` a connect is
//! refused, so there is no moment at which others get in (CVE-2023-45145 was that moment). A socket
//! file left by a server that crashed is removed, but only if nobody answers on it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::config::Settings;

/// What is wrong when there is nothing to listen on.
pub(crate) const NOWHERE: &str =
    "configured to listen nowhere: no port, no tls-port and no unixsocket";

/// A TCP listener, and the word of `bind` that it is for.
#[derive(Debug)]
pub struct Opened {
    /// The word.
    pub word: String,
    /// The listener.
    pub listener: TcpListener,
}

/// The open listeners; all non-blocking.
#[derive(Debug, Default)]
pub struct Listeners {
    /// TCP, in the order of `bind`.
    pub tcp: Vec<Opened>,
    /// TCP for TLS, in the order of `bind`.
    pub tls: Vec<Opened>,
    /// The unix socket.
    pub unix: Option<UnixSocket>,
    /// TCP sockets that the supervisor has opened, and whether they are for TLS.
    pub inherited: Vec<(bool, TcpListener)>,
    /// Optional addresses that could not be had, for the log.
    pub skipped: Vec<String>,
}

impl Listeners {
    /// Opens everything the settings name. With `port` and `tls-port` 0 and no unix socket there is
    /// nothing to listen on, which is an error.
    ///
    /// # Errors
    /// What could not be opened and why, for the operator.
    pub fn open(settings: &Settings) -> Result<Listeners, String> {
        let mut listeners = Listeners::default();
        if settings.port != 0 {
            let (bind, backlog) = (&settings.bind, settings.tcp_backlog);
            listeners.tcp = listeners.open_tcp(bind, settings.port, backlog)?;
        }
        if settings.tls.port != 0 {
            let (bind, backlog) = (&settings.bind, settings.tcp_backlog);
            listeners.tls = listeners.open_tcp(bind, settings.tls.port, backlog)?;
        }
        if let Some(path) = &settings.unixsocket {
            let socket = UnixSocket::open(path, settings.unixsocketperm, settings.tcp_backlog)
                .map_err(|e| format!("cannot listen on unix socket {}: {e}", path.display()))?;
            listeners.unix = Some(socket);
        }
        if listeners.tcp.is_empty() && listeners.tls.is_empty() && listeners.unix.is_none() {
            return Err(NOWHERE.into());
        }
        Ok(listeners)
    }

    /// Opens TCP listeners; port 0 here means any free one.
    ///
    /// # Errors
    /// What could not be opened and why.
    pub fn open_tcp(
        &mut self,
        bind: &[String],
        port: u16,
        backlog: u32,
    ) -> Result<Vec<Opened>, String> {
        let mut open = Vec::new();
        for word in bind {
            let (name, optional) = match word.strip_prefix('-') {
                Some(name) => (name, true),
                None => (word.as_str(), false),
            };
            match listen_tcp(name, port, backlog) {
                Ok(listener) => open.push(Opened { word: word.clone(), listener }),
                Err(e) if optional && is_missing(&e) => self.skipped.push(format!("{name}: {e}")),
                Err(e) => return Err(format!("cannot listen on {name} port {port}: {e}")),
            }
        }
        Ok(open)
    }
}

/// Errors that mean "this machine has no such address", as opposed to "it is taken".
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
        Errno::PFNOSUPPORT,
        Errno::NOPROTOOPT,
        Errno::PROTONOSUPPORT,
        Errno::SOCKTNOSUPPORT,
    ];
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error().is_some_and(|code| missing.iter().any(|e| e.raw_os_error() == code))
}

/// Bytes that the system takes for a client beyond what is on its way to it. Linux takes four
/// megabytes otherwise; copying them for many who do not read keeps all others waiting, and what the
/// system holds is in nobody's budget.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 256 * 1024;

fn listen_tcp(name: &str, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let address = resolve(name, port)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    // Accepted sockets have it from the listener. A system without it keeps more.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    let ip = match name {
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        literal => match literal.parse() {
            Ok(ip) => ip,
            Err(_) => return resolve_name(name, port),
        },
    };
    Ok(SocketAddr::new(ip, port))
}

/// Where a client on this machine finds what listens on this word of `bind`.
///
/// # Errors
/// When it is a name that means nothing here.
pub(crate) fn reachable(word: &str, port: u16) -> io::Result<SocketAddr> {
    let mut address = resolve(word.strip_prefix('-').unwrap_or(word), port)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

fn resolve_name(name: &str, port: u16) -> io::Result<SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such host");
    (name, port).to_socket_addrs().map_err(|_| unknown())?.next().ok_or_else(unknown)
}

/// A unix socket's listener; its file is removed on drop.
#[derive(Debug)]
pub struct UnixSocket {
    /// The listener.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to remove no other one that has taken its place. `None`: the
    /// supervisor has made it, and will remove it.
    identity: Option<(u64, u64)>,
}

impl UnixSocket {
    /// Listens on `path` with these permissions.
    ///
    /// # Errors
    /// `AddrInUse` when a live server has the path, `AlreadyExists` when the file there is no
    /// socket; whatever the system says otherwise.
    pub fn open(path: &Path, permissions: u32, backlog: u32) -> io::Result<UnixSocket> {
        use std::os::unix::fs::MetadataExt as _;
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
        socket.set_nonblocking(true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let meta = fs::metadata(path)?;
        Ok(UnixSocket {
            listener: socket.into(),
            path: std::path::absolute(path)?,
            identity: Some((meta.dev(), meta.ino())),
        })
    }

    /// One that the supervisor has opened.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn inherited(listener: UnixListener) -> io::Result<UnixSocket> {
        listener.set_nonblocking(true)?;
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        Ok(UnixSocket { listener, path, identity: None })
    }

    /// Whether it stays open when we end.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.identity.is_none()
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        use std::os::unix::fs::MetadataExt as _;
        let own = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| Some((meta.dev(), meta.ino())) == self.identity);
        if own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is there",
        ));
    }
    // Non-blocking: a live server with a full queue must not hang this one's start.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens on it")),
        // A full queue or missing rights: somebody may well be there.
        Err(e) => Err(e),
    }
}

/// Prepares an accepted TCP connection: non-blocking, no delay for small replies, keep-alive probes
/// after `keepalive` seconds of silence (0 = none).
///
/// # Errors
/// When the system refuses; the connection is then of no use.
pub fn prepare_tcp<'s, S>(stream: &'s S, keepalive: u32) -> io::Result<()>
where
    SockRef<'s>: From<&'s S>,
{
    let socket = SockRef::from(stream);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    set_keepalive(stream, keepalive)
}

/// Sets the keep-alive probes as Redis does: after `seconds` of silence, then every third of it,
/// three times.
///
/// # Errors
/// When the system refuses.
pub fn set_keepalive<'s, S>(stream: &'s S, seconds: u32) -> io::Result<()>
where
    SockRef<'s>: From<&'s S>,
{
    let socket = SockRef::from(stream);
    if seconds == 0 {
        return socket.set_keepalive(false);
    }
    let idle = Duration::from_secs(u64::from(seconds.min(MAX_KEEPALIVE)));
    let interval = (idle / 3).max(Duration::from_secs(1));
    let probes = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&probes)
}

/// Linux keeps the seconds in 16 bits, minus one.
const MAX_KEEPALIVE: u32 = 32_767;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("dunlin-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn tcp(bind: &[&str]) -> Result<Listeners, String> {
        let bind: Vec<String> = bind.iter().map(|word| (*word).to_owned()).collect();
        let mut listeners = Listeners::default();
        listeners.tcp = listeners.open_tcp(&bind, 0, 16)?;
        Ok(listeners)
    }

    #[test]
    fn tcp_listeners_accept_and_never_block() {
        let listeners = tcp(&["127.0.0.1"]).unwrap();
        let listener = &listeners.tcp[0].listener;
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        prepare_tcp(&accepted, 300).unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(300));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(100));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        set_keepalive(&accepted, 1).unwrap();
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(1));
        set_keepalive(&accepted, u32::MAX).unwrap();
        set_keepalive(&accepted, 0).unwrap();
        assert!(!socket.keepalive().unwrap());
        drop(client);
    }

    #[test]
    fn only_optional_addresses_may_be_missing() {
        // TEST-NET-1: no machine has it.
        let listeners = tcp(&["127.0.0.1", "-192.0.2.1"]).unwrap();
        assert_eq!((listeners.tcp.len(), listeners.skipped.len()), (1, 1));
        assert!(tcp(&["192.0.2.1"]).unwrap_err().contains("192.0.2.1"));
        assert!(tcp(&["no such host"]).is_err());
        let port = listeners.tcp[0].listener.local_addr().unwrap().port();
        let mut second = Listeners::default();
        let taken = second.open_tcp(&["-127.0.0.1".into()], port, 16);
        assert!(taken.is_err(), "a taken port is an error even for an optional address");
    }

    #[test]
    fn whatever_it_listens_on_is_reachable_from_here() {
        let at = |word| reachable(word, 7).map(|address| address.to_string());
        for (word, address) in [
            ("*", "127.0.0.1:7"),
            ("0.0.0.0", "127.0.0.1:7"),
            ("-::*", "[::1]:7"),
            ("192.0.2.1", "192.0.2.1:7"),
        ] {
            assert_eq!(at(word).unwrap(), address);
        }
    }

    #[test]
    fn nowhere_to_listen_is_an_error() {
        let mut settings = Settings::defaults(0);
        settings.port = 0;
        assert!(Listeners::open(&settings).unwrap_err().contains("nowhere"));
        settings.bind = vec!["127.0.0.1".into()];
        // Any port will do; the test of a taken one is elsewhere.
        let free = tcp(&["127.0.0.1"]).unwrap().tcp[0].listener.local_addr().unwrap().port();
        settings.tls.port = free;
        let listeners = Listeners::open(&settings).unwrap();
        assert_eq!((listeners.tcp.len(), listeners.tls.len()), (0, 1));
    }

    #[test]
    fn a_unix_socket_is_private_and_cleaned_up() {
        let dir = directory("unix");
        let path = dir.join("s");
        let socket = UnixSocket::open(&path, 0o600, 16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let _client = UnixStream::connect(&path).unwrap();
        socket.listener.accept().unwrap();
        let busy = UnixSocket::open(&path, 0o600, 16).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = directory("stale");
        let path = dir.join("s");
        // A std listener leaves its file behind, as a crashed server does.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = UnixSocket::open(&path, 0o660, 16).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(socket);
        assert_eq!(fs::read(&path).unwrap(), b"precious", "no longer ours");
        let refused = UnixSocket::open(&path, 0o600, 16).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_live_server_with_a_full_queue_is_respected() {
        let dir = directory("full");
        let path = dir.join("s");
        let socket = UnixSocket::open(&path, 0o600, 0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            if client.connect(&SockAddr::unix(&path).unwrap()).is_err() {
                break;
            }
            waiting.push(client);
        }
        assert!(UnixSocket::open(&path, 0o600, 16).is_err());
        assert!(path.exists());
        drop(socket);
        fs::remove_dir_all(dir).unwrap();
    }
}
