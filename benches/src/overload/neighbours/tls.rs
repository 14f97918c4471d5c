//! The TLS side of a storm: a certificate for the server, clients that trust it, and a ClientHello
//! to send by the thousand.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::net::TcpStream;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::Outcome;

/// Writes `cert.pem` and `key.pem` to `dir` and gives a client's settings for them.
///
/// An RSA key of 2048 bits: the most common sort, and the one whose handshakes cost a server
/// several times what they cost a client, so that one core of clients can overload one of a server.
pub(in crate::overload) fn identity(dir: &Path) -> Outcome<Arc<ClientConfig>> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    std::fs::write(dir.join("key.pem"), key.serialize_pem())?;
    std::fs::write(dir.join("cert.pem"), certificate.pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Every handshake a full one.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn connection(config: &Arc<ClientConfig>) -> Outcome<ClientConnection> {
    Ok(ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?)
}

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
