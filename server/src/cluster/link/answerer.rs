//! Takes connections of other nodes and answers what they ask.

use super::frame::{self, Frame, What};
use super::handshake::{self, Refusal};
use super::{Connection, Fault, GREET_TIMEOUT, Kind, Links, Listener, Peer, Service, Stream};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Connections at most that are not yet known: with one more the oldest is closed.
const STRANGERS: usize = 64;
/// Connections of nodes at most.
const CONNECTIONS: usize = 2048;
/// Requests of one connection at most that are answered at the same time.
const REQUESTS: usize = 64;
/// A peer that takes none of its replies for this long is closed.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing is accepted after that has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves other nodes for ever.
pub async fn serve(links: Arc<Links>, listener: Box<dyn Listener>, service: Arc<dyn Service>) {
    let mut strangers: VecDeque<oneshot::Sender<()>> = VecDeque::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cluster bus: cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else { continue };
        // Who says nothing makes room for who comes later: a member needs less time than so many others
        // need to come.
        strangers.retain(|stranger| !stranger.is_closed());
        if strangers.len() >= STRANGERS {
            strangers.pop_front();
        }
        let (stranger, pushed_out) = oneshot::channel();
        strangers.push_back(stranger);
        let (links, service) = (Arc::clone(&links), Arc::clone(&service));
        tokio::spawn(async move {
            let welcomed = tokio::select! {
                biased;
                welcomed = timeout(GREET_TIMEOUT, welcome(&links, stream, address)) => welcomed.ok(),
                _ = pushed_out => None,
            };
            let faults = links.faults();
            match welcomed {
                Some(Ok(connection)) if connection.kind == Kind::Stream => {
                    service.stream(connection);
                }
                Some(Ok(connection)) => answer(&links, connection, service).await,
                Some(Err(refusal)) => {
                    faults.count_refusal(&refusal);
                    match refusal {
                        Refusal::Refused(why) => {
                            tracing::warn!(%address, why, "cluster bus: refused");
                        }
                        Refusal::Broken(error) => {
                            tracing::debug!(%address, %error, "cluster bus: no handshake");
                        }
                    }
                }
                None => {
                    faults.count(Fault::Truncated);
                    tracing::debug!(%address, "cluster bus: no handshake in time");
                }
            }
            drop(place);
        });
    }
}

async fn welcome(
    links: &Links,
    mut stream: Box<dyn Stream>,
    address: SocketAddr,
) -> Result<Connection, Refusal> {
    if let Some(tls) = &links.tls {
        stream = tls.accept(stream).await?;
    }
    let trust = handshake::Trust {
        secret: &links.secret,
        identity: links.identity(),
        stranger_is_welcome: links.tls.is_some() || address.ip().is_loopback(),
    };
    let (node, kind) = handshake::welcome(&mut stream, &trust).await?;
    Ok(Connection { peer: Peer { node, address }, kind, stream })
}

/// Answers the requests of one connection, several at a time, as long as this node is who it was when
/// the connection began.
async fn answer(links: &Links, connection: Connection, service: Arc<dyn Service>) {
    let mut identity = links.identity.subscribe();
    let _entry = links.register.enter(false, connection.peer.node);
    let Connection { peer, kind, stream } = connection;
    let (mut read, mut write) = tokio::io::split(stream);
    let (replies, mut ready) = mpsc::channel::<Frame>(REQUESTS);
    let writer = tokio::spawn(async move {
        while let Some(frame) = ready.recv().await {
            let sent = timeout(SEND_TIMEOUT, frame::write(&mut write, &frame)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    let places = Arc::new(Semaphore::new(REQUESTS));
    while !writer.is_finished() {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let frame = tokio::select! {
            biased;
            _ = identity.changed() => break,
            frame = frame::read(&mut read) => frame,
        };
        let frame = match frame {
            Ok(Some(frame @ Frame { what: What::Request, .. })) => frame,
            Ok(None) => break,
            Ok(Some(_)) => {
                links.faults().count(Fault::Malformed);
                break;
            }
            Err(error) => {
                links.faults().count_error(&error);
                tracing::debug!(peer = %peer.node, %error, "cluster bus: no request");
                break;
            }
        };
        links.register.count(kind, false);
        let (service, replies) = (Arc::clone(&service), replies.clone());
        let register = Arc::clone(&links.register);
        tokio::spawn(async move {
            if let Some(body) = service.answer(peer, kind, frame.body).await {
                let reply = Frame { what: What::Reply, number: frame.number, body };
                register.count(kind, true);
                let _ = replies.send(reply).await;
            }
            drop(place);
        });
    }
}
