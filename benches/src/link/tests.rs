use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Link, wait};
use crate::Outcome;
use crate::peer::Target;
use crate::scan::{Reply, Wire};
use crate::scratch::Scratch;
use crate::tls::{CERT, KEY, identity};

const LARGE: usize = 3 << 20;
const SMALL: usize = 100;

/// Sends back what comes, as a server whose replies are its requests.
fn echo(mut stream: impl Read + Write) {
    let mut room = vec![0; 100_000];
    while let Ok(n) = stream.read(&mut room) {
        if n == 0 || stream.write_all(&room[..n]).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// One large value, more than sockets and sessions hold at once, and small ones after it; twice, as
/// what the first batch leaves must not disturb the second.
fn there_and_back(target: &Target) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let mut link = Link::to(target, &poll, 0)?;
    let body: Vec<u8> = (0..LARGE).map(|i| b'a' + (i % 23) as u8).collect();
    let mut events = Events::with_capacity(8);
    for _ in 0..2 {
        link.clear_out();
        link.out.extend_from_slice(format!("${LARGE}\r\n").as_bytes());
        link.out.extend_from_slice(&body);
        link.out.extend_from_slice(&b"\r\n+OK\r\n"[..]);
        link.out.extend_from_slice(&b"+OK\r\n".repeat(SMALL - 1));
        link.flush()?;
        let (mut large, mut small) = (0, 0);
        while large + small < 1 + SMALL {
            wait(&mut poll, &mut events, Duration::from_secs(30))?;
            assert!(!events.is_empty(), "{large} and {small} replies, then none for 30 s");
            link.flush()?;
            let mut more = true;
            while more {
                more = link.receive()?;
                while let Some(reply) = link.next_reply(Wire::Resp)? {
                    match reply {
                        Reply::Value(value) => large += usize::from(value == body),
                        reply => small += usize::from(reply == Reply::Line(b"OK")),
                    }
                }
            }
        }
        assert_eq!((large, small, link.has_unsent()), (1, SMALL, false));
    }
    Ok(())
}

#[test]
fn tcp_carries_batches() -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = Target::Tcp(listener.local_addr()?);
    std::thread::spawn(move || listener.accept().map(|(stream, _)| echo(stream)));
    there_and_back(&target)
}

#[test]
fn a_unix_socket_carries_batches() -> Outcome<()> {
    let scratch = Scratch::new()?;
    let path = scratch.path().join("test.sock");
    let listener = UnixListener::bind(&path)?;
    std::thread::spawn(move || listener.accept().map(|(stream, _)| echo(stream)));
    there_and_back(&Target::Unix(path))
}

#[test]
fn tls_carries_batches() -> Outcome<()> {
    let scratch = Scratch::new()?;
    let client = identity(scratch.path())?;
    let cert = CertificateDer::from_pem_file(scratch.file(CERT))?;
    let key = PrivateKeyDer::from_pem_file(scratch.file(KEY))?;
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)?;
    let session = ServerConnection::new(Arc::new(server))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = Target::Tls(listener.local_addr()?, client);
    std::thread::spawn(move || {
        listener.accept().map(|(stream, _)| echo(StreamOwned::new(session, stream)))
    });
    there_and_back(&target)
}
