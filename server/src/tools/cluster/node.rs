//! A connection to one server.

use super::{Refused, tls};
use bytes::Bytes;
use dunlin_protocol::Proto;
use dunlin_protocol::client::{ReplyDecoder, Value};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// How long a server may take to take a connection.
const CONNECTING: Duration = Duration::from_secs(5);
/// How often a server that may have just been started is tried, and how long apart.
const TRIES: u32 = 50;
const AGAIN: Duration = Duration::from_millis(100);
/// How long it may take to answer: some answers wait for the agreement of all members.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = String;

    /// `host:port`; the last colon counts, and brackets around the host are taken off.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("HOST:PORT is wanted")?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| format!("no port: {text}"))?;
        if host.is_empty() {
            return Err(format!("no host: {text}"));
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

/// How to get in.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// A byte stream, with or without TLS.
pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A server that answers.
pub(super) struct Node {
    pub(super) address: Address,
    ip: IpAddr,
    stream: Box<dyn Stream>,
    replies: ReplyDecoder,
}

impl Node {
    /// Connects and logs in.
    pub(super) fn open(address: &Address, access: &Access) -> Result<Self, Refused> {
        Self::over(connect(address), address, access)
    }

    /// The same for a server that is to become a member: whoever has started it in the line before may be
    /// here before it listens.
    pub(super) fn open_new(address: &Address, access: &Access) -> Result<Self, Refused> {
        let is_early = |tried: &io::Result<TcpStream>| {
            tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        let mut tried = connect(address);
        for _ in 0..TRIES {
            if !is_early(&tried) {
                break;
            }
            std::thread::sleep(AGAIN);
            tried = connect(address);
        }
        Self::over(tried, address, access)
    }

    fn over(
        socket: io::Result<TcpStream>,
        address: &Address,
        access: &Access,
    ) -> Result<Self, Refused> {
        let shown = |error: io::Error| format!("{address}: {error}");
        let socket = socket.map_err(shown)?;
        let ip = socket.peer_addr().map_err(shown)?.ip();
        let stream: Box<dyn Stream> = match access.tls {
            true => Box::new(tls::shake_hands(socket, &address.host, access).map_err(shown)?),
            false => Box::new(socket),
        };
        let replies = ReplyDecoder::new(Proto::Resp2);
        let mut node = Node { address: address.clone(), ip, stream, replies };
        if let Some(password) = &access.password {
            match &access.user {
                Some(user) => node.done(&["AUTH", user, password])?,
                None => node.done(&["AUTH", password])?,
            }
        }
        Ok(node)
    }

    /// The address that it has for us.
    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Sends a command and reads its answer.
    pub(super) fn ask(&mut self, command: &[&str]) -> Result<Value, Refused> {
        let answer = self.converse(command);
        match answer.map_err(|error| format!("{}: {}", self.address, late(&error)))? {
            Value::Error(text) => {
                Err(format!("{}: {}", self.address, String::from_utf8_lossy(&text)))
            }
            value => Ok(value),
        }
    }

    /// Sends a command whose answer is OK.
    pub(super) fn done(&mut self, command: &[&str]) -> Result<(), Refused> {
        self.ask(command).map(drop)
    }

    /// Sends a command whose answer is text.
    pub(super) fn text(&mut self, command: &[&str]) -> Result<String, Refused> {
        match self.ask(command)? {
            Value::Bulk(text) | Value::Simple(text) => Ok(shown(&text)),
            _ => Err(format!("{}: {} is answered otherwise", self.address, command.join(" "))),
        }
    }

    /// How many seconds it stays when it has given its slots away; 0 if it does not say.
    pub(super) fn linger(&mut self) -> u32 {
        match self.ask(&["CONFIG", "GET", "cluster-linger"]) {
            Ok(Value::Array(pair)) => match pair.get(1) {
                Some(Value::Bulk(text)) => shown(text).parse().unwrap_or(0),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// How many keys it owns.
    pub(super) fn keys(&mut self) -> Result<i64, Refused> {
        match self.ask(&["DBSIZE"])? {
            Value::Int(keys) => Ok(keys),
            _ => Err(format!("{}: DBSIZE is answered otherwise", self.address)),
        }
    }

    /// Refuses a server that has keys: it would lose them.
    pub(super) fn keyless(&mut self) -> Result<(), Refused> {
        match self.keys()? {
            0 => Ok(()),
            keys => Err(format!("{}: it has {keys} keys, which it would lose", self.address)),
        }
    }

    fn converse(&mut self, command: &[&str]) -> io::Result<Value> {
        let mut question = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            question.extend(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.write_all(&question)?;
        self.stream.flush()?;
        let mut room = vec![0; CHUNK];
        loop {
            if let Some(value) = self.replies.decode().map_err(io::Error::other)? {
                return Ok(value);
            }
            let came = match self.stream.read(&mut room) {
                // The process was stopped for a while.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                came => came?,
            };
            if came == 0 {
                return Err(io::Error::other("the server has closed the connection"));
            }
            self.replies.read_buf().extend_from_slice(&room[..came]);
        }
    }
}

/// Text from the network, for people.
pub(super) fn shown(text: &Bytes) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// What a limit of time says differs between systems.
fn late(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

/// Connects to the first address of a host that takes it.
fn connect(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name stands for no address");
    for at in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&at, CONNECTING) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
