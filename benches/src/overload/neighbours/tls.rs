//! The TLS side of a storm: clients that shake hands, and a ClientHello to send by the thousand.

use std::io::{Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};

use crate::Outcome;
use crate::tls::connection;

/// A client's first message, to be sent without going on.
#[derive(Clone, Debug)]
pub(in crate::overload) struct Hello(pub(super) Vec<u8>);

impl Hello {
    /// The message of a client with these settings.
    pub(in crate::overload) fn of(config: &Arc<ClientConfig>) -> Outcome<Self> {
        let mut bytes = Vec::new();
        connection(config)?.write_tls(&mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A client that shakes hands, then asks for one reply.
pub(in crate::overload) struct TlsClient {
    tls: ClientConnection,
    asked: bool,
}

/// How far a client has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits.
    Waiting,
    /// It has its reply.
    Done,
    /// The server closed, or spoke nonsense.
    Failed,
}

impl TlsClient {
    /// A client about to begin.
    pub(super) fn new(config: &Arc<ClientConfig>) -> Outcome<Self> {
        Ok(Self { tls: connection(config)?, asked: false })
    }

    /// Goes on as far as the socket allows.
    pub(super) fn go_on(&mut self, stream: &mut TcpStream) -> Progress {
        loop {
            if !self.asked && !self.tls.is_handshaking() {
                self.asked = self.tls.writer().write_all(b"PING\r\n").is_ok();
            }
            let mut moved = false;
            while self.tls.wants_write() {
                match self.tls.write_tls(stream) {
                    Ok(_) => moved = true,
                    Err(e) if is_later(&e) => break,
                    Err(_) => return Progress::Failed,
                }
            }
            match self.tls.read_tls(stream) {
                Ok(0) => return Progress::Failed,
                Ok(_) => moved = true,
                Err(e) if is_later(&e) => {}
                Err(_) => return Progress::Failed,
            }
            if self.tls.process_new_packets().is_err() {
                return Progress::Failed;
            }
            let mut reply = [0; 16];
            if let Ok(n) = self.tls.reader().read(&mut reply) {
                return if reply[..n] == *b"+PONG\r\n" { Progress::Done } else { Progress::Failed };
            }
            if !moved {
                return Progress::Waiting;
            }
        }
    }
}

fn is_later(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected)
}
