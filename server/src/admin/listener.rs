//! Connections and their limits.
//!
//! Whoever reaches the listener can hold no more than [`MAX_CONNECTIONS`] connections, each with
//! [`MAX_BUFFER`] bytes of a request and for [`LIFETIME`]. With all of them taken the oldest one is
//! closed, not the newest refused: a probe's connection lives for a millisecond, and must get through
//! although somebody opens connections and says nothing.

use super::{Site, routes};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// For the whole head of a request, and so also for how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request's line and headers, and of what is read ahead.
const MAX_BUFFER: usize = 16 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// After this a connection ends with the response that it is at: whoever wants more connects anew.
const LIFETIME: Duration = Duration::from_secs(60);
/// For that response.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a failed accept (no descriptors left): the listener would be ready at once again.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The connections, oldest first; some may have ended.
#[derive(Default)]
struct Connections(RefCell<VecDeque<AbortHandle>>);

impl Connections {
    /// Makes room for one more.
    fn make_room(&self) {
        let mut open = self.0.borrow_mut();
        open.retain(|connection| !connection.is_finished());
        if open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
    }

    fn add(&self, connection: AbortHandle) {
        self.0.borrow_mut().push_back(connection);
    }
}

/// Accepts from all of them, on the runtime that this is called on.
pub(super) fn start(listeners: Vec<std::net::TcpListener>, site: &Rc<Site>) {
    let connections = Rc::new(Connections::default());
    for listener in listeners {
        let (site, connections) = (site.clone(), connections.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = accept(listener, site, &connections).await {
                tracing::error!(%error, "the admin listener has ended");
            }
        });
    }
}

async fn accept(
    listener: std::net::TcpListener,
    site: Rc<Site>,
    connections: &Connections,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.make_room();
                let task = tokio::task::spawn_local(serve(socket, site.clone()));
                connections.add(task.abort_handle());
            }
            Err(error) => {
                tracing::warn!(%error, "admin: cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve(socket: TcpStream, site: Rc<Site>) {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let local = socket.local_addr().map_or(unknown, |address| address.ip());
    let service = service_fn(|request: Request<Incoming>| {
        let response = routes::answer(&site, &request, local);
        std::future::ready(Ok::<Response<Full<Bytes>>, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    // How a connection ends is nobody's business: what is wrong was answered, or nobody is there.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = tokio::time::sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GRACE, connection).await;
        }
    }
}
