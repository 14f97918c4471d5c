//! A peer as the keeper sees it: a connection that is made again and again, and the thread behind it; and
//! the other end, connections of owners.

use super::duty::Event;
use super::{Dial, Note, Streams, spawn};
use crate::cluster::change::Life;
use crate::cluster::link::Fault;
use crate::cluster::map::Map;
use crate::cluster::node::NodeId;
use crate::cluster::stream::connection::{self, HELLO, Hello, PIECES, Wire};
use crate::cluster::stream::frame::{Frame, Incoming, Why};
use crate::cluster::stream::ranges::Ranges;
use crate::cluster::stream::sink::{Around, Sink};
use crate::cluster::stream::source::{Command, Line, Source};
use crate::cluster::stream::taps::Bell;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(100);

/// News of a connection to a peer.
pub(super) enum News {
    Up(Arc<Line>, std::sync::mpsc::Sender<Command>),
    Event(Event),
    Down,
}

/// A peer that is sent to.
pub(super) struct Peer {
    pub(super) life: Life,
    pub(super) bell: Arc<Bell>,
    line: Option<(Arc<Line>, std::sync::mpsc::Sender<Command>)>,
    heard: u64,
    task: AbortHandle,
}

impl Peer {
    /// Connects from here on.
    pub(super) fn open(streams: &Arc<Streams>, dial: Arc<dyn Dial>, life: Life) -> Peer {
        let bell = Arc::new(Bell::default());
        let work = keep_connected(Arc::clone(streams), dial, life, Arc::clone(&bell));
        let task = tokio::spawn(work).abort_handle();
        Peer { life, bell, line: None, heard: 0, task }
    }

    pub(super) fn close(self) {
        self.task.abort();
        if let Some((line, _)) = self.line {
            line.close();
        }
    }

    pub(super) fn command(&self, command: Command) {
        if let Some((line, commands)) = &self.line {
            // A thread that has ended is followed by news of it.
            let _ = commands.send(command);
            line.orders.fetch_add(1, Ordering::SeqCst);
            line.bell.hurry();
        }
    }

    /// Whether it has said anything since the last question, or has no reason to.
    pub(super) fn acknowledges(&mut self, lag: usize) -> bool {
        let heard = self.line.as_ref().map_or(0, |(line, _)| line.heard.load(Ordering::Relaxed));
        let is_news = heard != std::mem::replace(&mut self.heard, heard);
        is_news || lag == 0
    }

    /// What the duty is to know of it.
    pub(super) fn hear(&mut self, news: News) -> Option<Event> {
        match news {
            News::Up(line, commands) => {
                self.line = Some((line, commands));
                Some(Event::Up(self.life.node))
            }
            News::Event(event) => Some(event),
            News::Down => {
                if let Some((line, _)) = self.line.take() {
                    line.close();
                }
                Some(Event::Down(self.life.node))
            }
        }
    }
}

async fn keep_connected(streams: Arc<Streams>, dial: Arc<dyn Dial>, life: Life, bell: Arc<Bell>) {
    loop {
        let map = streams.cluster.map();
        let (me, member) = (streams.me(&map), map.members.get(&life.node));
        if let (Some(me), Some(member)) = (me, member) {
            let connected = async {
                let mut wire = dial.dial(life.node, member).await?;
                let hello = Frame::Hello { owner: me, to: life, epoch: map.epoch };
                connection::say(&mut wire, &hello).await?;
                let mut incoming = Incoming::default();
                let is_welcome = |frame: &Frame<'_>| *frame == Frame::Welcome;
                match connection::next(&mut wire, &mut incoming, is_welcome).await? {
                    true => Ok((wire, incoming)),
                    false => Err(io::Error::other("it is not the one who is meant")),
                }
            };
            match tokio::time::timeout(HELLO, connected).await {
                Ok(Ok((wire, incoming))) => {
                    converse(&streams, life, &bell, wire, incoming).await;
                    streams.note(Note::Peer(life, News::Down));
                }
                Ok(Err(error)) => {
                    streams.totals.faults.count_error(&error);
                    tracing::debug!(peer = %life.node, %error, "no connection for data");
                }
                Err(_) => tracing::debug!(peer = %life.node, "no connection for data in time"),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Ends the thread of a connection, however the task ends.
struct Closing(Arc<Line>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn converse(
    streams: &Arc<Streams>,
    life: Life,
    bell: &Arc<Bell>,
    wire: Box<dyn Wire>,
    mut incoming: Incoming,
) {
    let (mut read, write) = tokio::io::split(wire);
    let (out, pieces) = mpsc::channel(PIECES);
    let writer = tokio::spawn(connection::write_all(write, pieces)).abort_handle();
    let line = Arc::new(Line::new(Arc::clone(bell), Arc::clone(&streams.totals)));
    let _closing = Closing(Arc::clone(&line));
    let (commands, orders) = std::sync::mpsc::channel();
    let (server, taps, shared) = (streams.server, Arc::clone(&streams.taps), Arc::clone(&line));
    let (ended, end) = oneshot::channel::<()>();
    spawn("cluster-source", move || {
        Source::run(server, taps, life, shared, orders, out);
        drop(ended);
    });
    streams.note(Note::Peer(life, News::Up(Arc::clone(&line), commands)));
    let heard = hear(streams, life, &line, &mut read, &mut incoming);
    tokio::select! {
        heard = heard => {
            if let Err(error) = heard {
                line.totals.faults.count_error(&error);
                tracing::debug!(peer = %life.node, %error, "a connection for data has ended");
            }
        }
        _ = end => {}
    }
    writer.abort();
}

/// Hears what a peer says, until the connection is over.
async fn hear(
    streams: &Streams,
    life: Life,
    line: &Line,
    read: &mut (impl AsyncRead + Unpin),
    incoming: &mut Incoming,
) -> io::Result<()> {
    let peer = life.node;
    loop {
        let event = connection::next(read, incoming, |frame| {
            line.heard.fetch_add(1, Ordering::Relaxed);
            match *frame {
                Frame::Credit(bytes) => {
                    line.credit.fetch_add(i64::from(bytes), Ordering::AcqRel);
                    line.bell.ring();
                    Ok(None)
                }
                Frame::Applied { lane, number } => {
                    streams.taps.acknowledge(life, lane, number);
                    streams.hold.acknowledged();
                    Ok(None)
                }
                Frame::Taken { group } => Ok(Some(Event::Taken(peer, group))),
                Frame::Confirm { group } => Ok(Some(Event::Confirmed(peer, group))),
                Frame::Refuse { why, group } => {
                    tracing::info!(%peer, ?why, "a node does not take copies");
                    Ok(Some(Event::Refused(peer, group, why)))
                }
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an unexpected frame")),
            }
        })
        .await??;
        if let Some(event) = event {
            let is_end = matches!(event, Event::Refused(..));
            streams.note(Note::Peer(life, News::Event(event)));
            if is_end {
                return Ok(());
            }
        }
    }
}

/// What a sink may know and do.
struct Neighbourhood(Arc<Streams>);

impl Around for Neighbourhood {
    fn map(&self) -> Arc<Map> {
        self.0.cluster.map()
    }

    fn has_lease(&self) -> bool {
        self.0.cluster.lease.lasts(self.0.server.clock.monotonic_ns())
    }

    fn keep(&self, owner: Life, slots: &Ranges) -> bool {
        let (done, kept) = oneshot::channel();
        self.0.note(Note::Keep(owner, slots.clone(), done));
        kept.blocking_recv().unwrap_or(false)
    }

    fn unkeep(&self, owner: Life, slots: &Ranges) {
        self.0.note(Note::Unkeep(owner, slots.clone()));
    }

    fn stored(&self, keys: usize) {
        self.0.totals.stored.fetch_add(keys as u64, Ordering::Relaxed);
    }

    fn fault(&self, fault: Fault) {
        self.0.totals.faults.count(fault);
    }
}

/// Takes a connection of an owner.
pub(super) fn accept(streams: &Arc<Streams>, from: Option<NodeId>, wire: Box<dyn Wire>) {
    let streams = Arc::clone(streams);
    tokio::spawn(async move {
        match tokio::time::timeout(HELLO, welcome(&streams, from, wire)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                streams.totals.faults.count_error(&error);
                tracing::debug!(%error, "a connection for data was refused");
            }
            Err(_) => {
                streams.totals.faults.count(Fault::Truncated);
                tracing::debug!("a connection for data has said nothing");
            }
        }
    });
}

async fn welcome(
    streams: &Arc<Streams>,
    from: Option<NodeId>,
    mut wire: Box<dyn Wire>,
) -> io::Result<()> {
    let mut incoming = Incoming::default();
    let hello = connection::next(&mut wire, &mut incoming, |frame| match *frame {
        Frame::Hello { owner, to, epoch } => Some(Hello { owner, to, epoch }),
        _ => None,
    });
    let hello = hello.await?.ok_or_else(|| io::Error::other("it says no hello"))?;
    let map = streams.cluster.map();
    let member = map.members.get(&hello.owner.node);
    let is_known = member.is_some_and(|member| member.incarnation == hello.owner.incarnation);
    if from.is_some_and(|from| from != hello.owner.node) {
        let why = "it says that it is another node";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    if !is_known || streams.me(&map) != Some(hello.to) {
        connection::say(&mut wire, &Frame::Refuse { why: Why::Old, group: 0 }).await?;
        return Err(io::Error::other("it is of another time"));
    }
    connection::say(&mut wire, &Frame::Welcome).await?;
    let (read, write) = tokio::io::split(wire);
    let (pieces, chunks) = mpsc::channel(PIECES);
    let (replies, outgoing) = mpsc::unbounded_channel();
    let reader = connection::read_all(read, incoming.rest().to_vec(), pieces);
    let reader = tokio::spawn(reader).abort_handle();
    tokio::spawn(connection::write_replies(write, outgoing));
    let mut sinks = streams.sinks.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = sinks.insert(hello.owner.node, reader) {
        before.abort();
    }
    drop(sinks);
    let (server, copies) = (streams.server, Arc::clone(&streams.copies));
    let around = Neighbourhood(Arc::clone(streams));
    spawn("cluster-sink", move || {
        Sink::run(server, copies, around, hello.owner, chunks, replies);
    });
    Ok(())
}
