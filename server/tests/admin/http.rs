//! As much of an HTTP client as the tests need; it shares nothing with the server's library.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Takes a whole connection's bytes apart; none if there is no response in them.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Response> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        Some(Response { status, head, body: bytes[end + 4..].to_vec() })
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// A connection.
pub(crate) fn connect(port: u16) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).expect("the admin listener is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    stream
}

/// Reads until the server closes.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // A server that has not read everything resets the connection after its answer.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(bytes),
        other => other.map(|_| bytes),
    }
}

/// Sends these bytes and reads until the server closes.
pub(crate) fn exchange(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    // The server may have closed before it has read everything.
    let _ = stream.write_all(request);
    read_to_end(&mut stream).expect("the server closes in time")
}

/// A request with further header lines.
pub(crate) fn request(port: u16, method: &str, path: &str, headers: &str) -> Response {
    let host = format!("127.0.0.1:{port}");
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    let bytes = exchange(port, head.as_bytes());
    let shown = String::from_utf8_lossy(&bytes);
    Response::parse(&bytes).unwrap_or_else(|| panic!("no response: {shown}"))
}

pub(crate) fn get(port: u16, path: &str) -> Response {
    request(port, "GET", path, "")
}
