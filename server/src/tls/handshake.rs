//! Handshakes, which come before there is a client.
//!
//! A handshake costs a hundred times what a command does, and a server that is asked for more of
//! them than it can do must not begin them all and finish none in time. So per worker
//! [`PLACES`] are under way; who comes when all are taken waits, and the newest goes first, because
//! the oldest has the least patience left.
//!
//! A place is for work, not for waiting: a peer that has sent nothing takes none, and one that
//! takes longer than [`PATIENCE`] gives its place up and goes on without. Who has not finished
//! after [`DEADLINE`] is dropped. So connections that do nothing cost a descriptor for five
//! seconds and hold up nobody.
//!
//! The signature (0.1 ms with an elliptic curve, 1 ms and more with RSA) is made on the worker's
//! background threads, which run at a lower priority: the connections of the worker go on.

use crate::connection::tls::{TlsStream, invalid, poll_pull, poll_push, push};
use rustls::{ServerConfig, ServerConnection};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Handshakes in progress per worker.
const PLACES: usize = 4;
/// How long a handshake keeps its place.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a handshake may take, from the accepted connection on.
const DEADLINE: Duration = Duration::from_secs(5);

/// The handshakes of one worker.
#[derive(Debug)]
pub(crate) struct Handshakes {
    places: Rc<Places>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let places = Places { free: Cell::new(PLACES), waiting: RefCell::default() };
        Handshakes { places: Rc::new(places) }
    }
}

impl Handshakes {
    /// Makes the handshake of one connection.
    pub(crate) async fn run(
        &self,
        socket: TcpStream,
        config: Arc<ServerConfig>,
    ) -> io::Result<TlsStream> {
        let whole = async {
            socket.readable().await?;
            let place = Places::take(&self.places).await?;
            let mut steps = pin!(steps(socket, config));
            match timeout(PATIENCE, &mut steps).await {
                Ok(done) => done,
                Err(_elapsed) => {
                    drop(place);
                    steps.await
                }
            }
        };
        timeout(DEADLINE, whole).await.unwrap_or_else(|_elapsed| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "not finished in time"))
        })
    }
}

async fn steps(mut socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
    let mut records = ServerConnection::new(config).map_err(invalid)?;
    while records.is_handshaking() {
        let received = poll_fn(|cx| poll_pull(&mut records, &mut socket, cx)).await?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let background = tokio::task::spawn_blocking(move || {
            let processed = records.process_new_packets();
            (records, processed)
        });
        let (back, processed) = background.await.map_err(io::Error::other)?;
        records = back;
        if let Err(error) = processed {
            // The alert tells the peer why; a peer that does not take it is not waited for.
            let _ = push(&mut records, &socket);
            return Err(invalid(error));
        }
        poll_fn(|cx| poll_push(&mut records, &socket, cx)).await?;
    }
    Ok(TlsStream::new(socket, records))
}

/// The places and who waits for one.
#[derive(Debug)]
struct Places {
    free: Cell<usize>,
    /// The newest is last.
    waiting: RefCell<Vec<oneshot::Sender<Place>>>,
}

impl Places {
    async fn take(places: &Rc<Places>) -> io::Result<Place> {
        let free = places.free.get();
        if free > 0 {
            places.free.set(free - 1);
            return Ok(Place { places: Some(Rc::clone(places)) });
        }
        let (sender, place) = oneshot::channel();
        {
            let mut waiting = places.waiting.borrow_mut();
            if waiting.len() == waiting.capacity() {
                // Those who gave up are swept out before the list grows.
                waiting.retain(|sender| !sender.is_closed());
            }
            waiting.push(sender);
        }
        place.await.map_err(|_closed| io::ErrorKind::ConnectionAborted.into())
    }
}

/// A place; dropped, it goes to the newest who waits.
#[derive(Debug)]
struct Place {
    /// `None` once it has been passed on.
    places: Option<Rc<Places>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = self.places.take() else { return };
        let mut place = Place { places: Some(Rc::clone(&places)) };
        loop {
            let Some(next) = places.waiting.borrow_mut().pop() else { break };
            match next.send(place) {
                Ok(()) => return,
                Err(back) => place = back,
            }
        }
        place.places = None;
        places.free.set(places.free.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::LocalRuntime {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build_local(Default::default()).expect("a runtime")
    }

    #[test]
    fn the_newest_gets_the_next_place() {
        runtime().block_on(async {
            let places = Rc::new(Places { free: Cell::new(1), waiting: RefCell::default() });
            let first = Places::take(&places).await.expect("free");
            let order: Rc<RefCell<Vec<u32>>> = Rc::default();
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (places, order) = (Rc::clone(&places), Rc::clone(&order));
                tasks.push(tokio::task::spawn_local(async move {
                    let place = Places::take(&places).await.expect("a place");
                    order.borrow_mut().push(number);
                    tokio::task::yield_now().await;
                    drop(place);
                }));
            }
            tokio::task::yield_now().await;
            assert!(order.borrow().is_empty(), "one place only");
            drop(first);
            for task in tasks {
                task.await.expect("ends");
            }
            assert_eq!(*order.borrow(), [2, 1, 0]);
            assert_eq!(places.free.get(), 1);
        });
    }

    #[test]
    fn who_gives_up_is_passed_over() {
        runtime().block_on(async {
            let places = Rc::new(Places { free: Cell::new(1), waiting: RefCell::default() });
            let held = Places::take(&places).await.expect("free");
            for _ in 0..100 {
                let gone = timeout(Duration::ZERO, Places::take(&places)).await;
                assert!(gone.is_err());
            }
            assert!(places.waiting.borrow().len() < 10, "the list is swept");
            // One that is given a place and goes away without having looked loses none.
            let mut waiting = Box::pin(Places::take(&places));
            poll_fn(|cx| {
                assert!(waiting.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(held);
            assert_eq!(places.free.get(), 0);
            drop(waiting);
            assert_eq!(places.free.get(), 1);
        });
    }
}
