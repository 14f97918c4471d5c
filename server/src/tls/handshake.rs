//! Handshakes, which come before there is a client.
//!
//! A handshake costs a hundred times what a command does, and a server that is asked for more of
//! them than it can do must not begin them all and finish none in time. So per worker
//! `tls-handshakes` are under way; who comes when all places are taken waits, and the newest goes
//! first, because the oldest has the least patience left. Who has closed meanwhile costs nothing.
//!
//! A place is for work, not for waiting: a peer takes one for as long as its first message is worked
//! on, which is nearly all that there is to do, and what it sends later is looked at when it comes. Who has not finished after `tls-handshake-timeout` is dropped, and so is the oldest
//! when more than `tls-handshakes-open` are not finished. So connections that do nothing, or send one
//! message only, cost a descriptor for some seconds and hold up nobody, and however many they are, they
//! do not fill `maxclients`.
//!
//! The signature (0.1 ms with an elliptic curve, 1 ms and more with RSA) is made on the worker's
//! background threads, which run at a lower priority: the connections of the worker go on. A scheduler
//! may still let such a thread finish a slice of some milliseconds before it looks at a worker that was
//! woken, so the thread offers its processor before each piece of work.

use crate::connection::CLOSED;
use crate::connection::tls::{TlsStream, invalid, poll_pull, poll_push, push};
use crate::overload::arrivals::Handshakes as Figures;
use crate::server::Server;
use rustls::{ServerConfig, ServerConnection};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The handshakes of one worker.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    places: Rc<Places>,
    open: Open,
}

/// Why there is no connection.
#[derive(Debug)]
enum Failed {
    Error(io::Error),
    /// The peer had closed before it was its turn.
    GivenUp,
    /// Newer ones took its place.
    Dropped,
    Late,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Error(error)
    }
}

impl Handshakes {
    /// Makes the handshake of one connection.
    pub(crate) async fn run(&self, server: &Server, socket: TcpStream) -> io::Result<TlsStream> {
        let config = server.tls.config().ok_or(io::ErrorKind::NotConnected)?;
        let settings = server.settings().arrivals;
        let figures = &server.overload.arrivals.handshakes;
        let seconds = Duration::from_secs(u64::from(settings.handshake_timeout));
        let _counted = Counted::new(&figures.open);
        let (_ticket, dropped) = self.open.enter(settings.handshakes_open as usize);
        let made = tokio::select! {
            biased;
            _ = dropped => Err(Failed::Dropped),
            made = timeout(seconds, self.make(socket, config, settings.handshakes as usize, figures)) => {
                made.unwrap_or(Err(Failed::Late))
            }
        };
        let (counter, made) = match made {
            Ok(stream) => (&figures.completed, Ok(stream)),
            Err(Failed::Error(error)) => (&figures.failed, Err(error)),
            Err(Failed::GivenUp) => {
                (&figures.given_up, Err(io::ErrorKind::ConnectionAborted.into()))
            }
            Err(Failed::Dropped) => {
                (&figures.dropped, Err(io::Error::other("too many newer ones")))
            }
            Err(Failed::Late) => (&figures.late, Err(io::ErrorKind::TimedOut.into())),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        made
    }

    async fn make(
        &self,
        mut socket: TcpStream,
        config: Arc<ServerConfig>,
        places: usize,
        figures: &Figures,
    ) -> Result<TlsStream, Failed> {
        socket.readable().await?;
        let mut records = ServerConnection::new(config).map_err(invalid)?;
        let mut answered = false;
        while records.is_handshaking() {
            socket.readable().await?;
            if answered {
                (records, _) = step(&mut socket, records).await?;
            } else {
                let _place = self.place(&socket, places).await?;
                let _working = Counted::new(&figures.in_progress);
                (records, answered) = step(&mut socket, records).await?;
            }
        }
        Ok(TlsStream::new(socket, records))
    }

    /// Waits for a place, unless the peer gives up.
    async fn place(&self, socket: &TcpStream, places: usize) -> Result<Place, Failed> {
        tokio::select! {
            biased;
            // An error of the wait itself ends the connection too.
            _ = socket.ready(CLOSED) => Err(Failed::GivenUp),
            place = Places::take(&self.places, places) => Ok(place?),
        }
    }
}

/// Counted as long as it exists.
struct Counted<'f>(&'f AtomicU64);

impl<'f> Counted<'f> {
    fn new(figure: &'f AtomicU64) -> Self {
        figure.fetch_add(1, Ordering::Relaxed);
        Counted(figure)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Those that are not finished, by age.
#[derive(Debug, Default)]
struct Open {
    next: Cell<u64>,
    all: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// One that is not finished.
struct Ticket<'o> {
    open: &'o Open,
    number: u64,
}

impl Open {
    /// One more; with more than `max` the oldest is dropped. The receiver is ready when that is this one.
    fn enter(&self, max: usize) -> (Ticket<'_>, oneshot::Receiver<()>) {
        let number = self.next.get();
        self.next.set(number + 1);
        let (sender, dropped) = oneshot::channel();
        let mut all = self.all.borrow_mut();
        all.insert(number, sender);
        while all.len() > max.max(1) {
            all.pop_first();
        }
        (Ticket { open: self, number }, dropped)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.open.all.borrow_mut().remove(&self.number);
    }
}

/// Takes what the peer has sent, and answers it if it is all that is needed for an answer.
async fn step(
    socket: &mut TcpStream,
    mut records: ServerConnection,
) -> io::Result<(ServerConnection, bool)> {
    let received = poll_fn(|cx| poll_pull(&mut records, socket, cx)).await?;
    if received == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let background = tokio::task::spawn_blocking(move || {
        std::thread::yield_now();
        let processed = records.process_new_packets();
        (records, processed)
    });
    let (mut records, processed) = background.await.map_err(io::Error::other)?;
    if let Err(error) = processed {
        // The alert tells the peer why; a peer that does not take it is not waited for.
        let _ = push(&mut records, socket);
        return Err(invalid(error));
    }
    let answers = records.wants_write();
    poll_fn(|cx| poll_push(&mut records, socket, cx)).await?;
    Ok((records, answers))
}

/// The places and who waits for one.
#[derive(Debug, Default)]
struct Places {
    taken: Cell<usize>,
    /// The newest is last.
    waiting: RefCell<Vec<oneshot::Sender<Place>>>,
}

impl Places {
    /// Takes one of `count` places.
    async fn take(places: &Rc<Places>, count: usize) -> io::Result<Place> {
        let taken = places.taken.get();
        if taken < count {
            places.taken.set(taken + 1);
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
        places.taken.set(places.taken.get().saturating_sub(1));
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
            let places = Rc::<Places>::default();
            let first = Places::take(&places, 1).await.expect("free");
            let order: Rc<RefCell<Vec<u32>>> = Rc::default();
            let mut tasks = Vec::new();
            for number in 0..3 {
                let (places, order) = (Rc::clone(&places), Rc::clone(&order));
                tasks.push(tokio::task::spawn_local(async move {
                    let place = Places::take(&places, 1).await.expect("a place");
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
            assert_eq!(places.taken.get(), 0);
        });
    }

    #[test]
    fn who_gives_up_is_passed_over() {
        runtime().block_on(async {
            let places = Rc::<Places>::default();
            let held = Places::take(&places, 1).await.expect("free");
            for _ in 0..100 {
                let gone = timeout(Duration::ZERO, Places::take(&places, 1)).await;
                assert!(gone.is_err());
            }
            assert!(places.waiting.borrow().len() < 10, "the list is swept");
            // One that is given a place and goes away without having looked loses none.
            let mut waiting = Box::pin(Places::take(&places, 1));
            poll_fn(|cx| {
                assert!(waiting.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            drop(held);
            assert_eq!(places.taken.get(), 1);
            drop(waiting);
            assert_eq!(places.taken.get(), 0);
        });
    }
    #[test]
    fn with_too_many_the_oldest_is_dropped() {
        let open = Open::default();
        let (first, mut first_dropped) = open.enter(2);
        let (second, mut second_dropped) = open.enter(2);
        drop(first);
        let (_third, mut third_dropped) = open.enter(2);
        assert!(second_dropped.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        let _fourth = open.enter(2);
        let closed = oneshot::error::TryRecvError::Closed;
        assert_eq!(second_dropped.try_recv(), Err(closed.clone()), "it is the oldest now");
        assert_eq!(first_dropped.try_recv(), Err(closed), "it is not in the list any more");
        assert_eq!(third_dropped.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(second);
        assert_eq!(open.all.borrow().len(), 2);
    }
}
