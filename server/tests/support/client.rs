//! A blocking client that shows everything: exact replies, raw bytes, how a connection ended.

use super::resp::{Decoded, Value, decode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a test waits for a reply before it calls the server hung.
pub const PATIENCE: Duration = Duration::from_secs(20);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
            Stream::Tls(stream) => stream,
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// One connection.
pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
}

/// Why there was no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// the server closed the connection (a reset counts too)
    Closed,
    /// nothing came in time
    Timeout,
    /// the bytes are not RESP
    Garbage(String),
}

/// A command in the form clients send it: an array of bulk strings.
pub fn command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

impl Client {
    /// Connects over TCP.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Connects over TCP if that takes no longer than this.
    pub fn tcp_within(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, limit)?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: Stream::Tcp(stream), buffer: Vec::new(), start: 0 })
    }

    /// Connects over a unix socket.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream: Stream::Unix(stream), buffer: Vec::new(), start: 0 })
    }

    /// Connects over TLS. A server that refuses this client's certificate may say so only when it
    /// is first read from.
    pub fn tls(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        let stream = Box::new(StreamOwned::new(session, socket));
        Ok(Client { stream: Stream::Tls(stream), buffer: Vec::new(), start: 0 })
    }

    /// What TLS has agreed on.
    pub fn session(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tls(stream) => &stream.conn,
            Stream::Tcp(_) | Stream::Unix(_) => panic!("not TLS"),
        }
    }

    /// Ends TLS in its own words and leaves the socket open.
    pub fn say_goodbye(&mut self) {
        let Stream::Tls(stream) = &mut self.stream else { panic!("not TLS") };
        stream.conn.send_close_notify();
        stream.flush().expect("the server takes it");
    }

    /// The TCP stream itself.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
            Stream::Unix(_) => panic!("not TCP"),
        }
    }

    /// Sends nothing more, but still reads.
    pub fn finish_sending(&self) {
        let done = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => stream.sock.shutdown(Shutdown::Write),
        };
        done.expect("the socket is open");
    }

    /// Waits at most this long for each read and write.
    pub fn set_patience(&self, patience: Duration) {
        let set = |r: io::Result<()>| r.expect("a socket takes a timeout");
        match &self.stream {
            Stream::Tcp(_) | Stream::Tls(_) => {
                set(self.socket().set_read_timeout(Some(patience)));
                set(self.socket().set_write_timeout(Some(patience)));
            }
            Stream::Unix(s) => {
                set(s.set_read_timeout(Some(patience)));
                set(s.set_write_timeout(Some(patience)));
            }
        }
    }

    /// Sends bytes as they are.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.io().write_all(bytes)
    }

    /// Sends bytes as they are; the connection must take them.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server takes what is sent");
    }

    /// Sends one command.
    pub fn send_command<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send(&command(args));
    }

    fn fill(&mut self) -> Result<(), Broken> {
        if self.start > 0 && (self.start == self.buffer.len() || self.start > 1 << 20) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.io().read(&mut chunk) {
            Ok(0) => Err(Broken::Closed),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(Broken::Timeout)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(Broken::Closed),
        }
    }

    /// The next reply, if one comes.
    pub fn try_recv(&mut self) -> Result<Value, Broken> {
        loop {
            // A value that is still incomplete is decoded again only after half as much again has
            // come, so that a big one is not decoded thousands of times.
            let have = self.buffer.len() - self.start;
            match decode(&self.buffer[self.start..]).map_err(Broken::Garbage)? {
                Decoded::Value(value, used) => {
                    self.start += used;
                    return Ok(value);
                }
                Decoded::Partial if have > 256 * 1024 => self.fill_to(have + have / 8)?,
                Decoded::Partial => self.fill()?,
            }
        }
    }

    fn fill_to(&mut self, target: usize) -> Result<(), Broken> {
        while self.buffer.len() - self.start < target {
            match self.fill() {
                // The rest of the value may be shorter than the target.
                Ok(()) if matches!(decode(&self.buffer[self.start..]), Ok(Decoded::Value(..))) => {
                    return Ok(());
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// The next reply; its absence fails the test.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        match self.try_recv() {
            Ok(value) => value,
            Err(broken) => panic!("no reply: {broken:?}"),
        }
    }

    /// Sends a command and waits for its reply.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send_command(args);
        self.recv()
    }

    /// Sends bytes and waits for one reply, if one comes.
    pub fn try_recv_after(&mut self, bytes: &[u8]) -> Result<Value, Broken> {
        self.try_send(bytes).map_err(|_| Broken::Closed)?;
        self.try_recv()
    }

    /// Sends a command given as words.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Value {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.call(&words)
    }

    /// Everything until the server closes, or what came until `Timeout`.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(Broken::Closed) => {
                    let rest = self.buffer.split_off(self.start);
                    self.buffer.clear();
                    self.start = 0;
                    return Ok(rest);
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// True when the server has closed this connection (waits for it).
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(Broken::Closed) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Bytes that came and were not decoded yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}
