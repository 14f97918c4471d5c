//! The thread that sends what this node owns to one peer, for as long as a connection lasts.
//!
//! ```text
//!            commands: Begin, Resume, Fin
//!                 |
//!  outboxes --> source --> frames --> connection      pop, read the present state, send
//!  base walk ---^  |
//!                  |-- credit: no byte is sent that the peer has no room for; then nothing is popped
//!                  `-- window: nor are changes, while the peer has enough of them to apply
//! ```
//!
//! One thread reads all states and sends them in the order in which it has read them; that is all the
//! order there is, and all that is needed ([`super::outbox`]). It takes a role only to read a large
//! collection, and then for a part at a time.
//!
//! When changes come one by one it looks once in [`NAP`] instead of being woken for each, which would cost
//! the writers more than the write.

use super::frame::Frame;
use super::outbox::Changed;
use super::pace::Pace;
use super::ranges::Ranges;
use super::taps::{Bell, Taps};
use super::window::Window;
use super::{present, role};
use crate::cluster::change::Life;
use crate::cluster::link::Faults;
use crate::server::Server;
use crate::snapshot::Failed;
use crate::snapshot::entry::Filler;
use crate::snapshot::format::Kind;
use dunlin_storage::{Guard, Handle, ShardId, SlotSet, Walk};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Changes of a lane that are taken at once.
const POP: usize = 64;
/// The longest that the epoch stays pinned by a base walk, in nanoseconds.
const SLICE_NS: u64 = 100_000;
/// Blocks that may wait to be sent before a slice ends.
const MAX_READY: usize = 2;
/// Frames are handed to the connection in pieces of about this size.
const PIECE: usize = 32 * 1024;
/// Between two looks for changes, while there are some and nobody waits for them. What a message costs on
/// its way, in four threads and two systems, is more than what a change costs.
const NAP: Duration = Duration::from_millis(2);
/// Looks in vain before it sleeps until it is woken.
const LOOKS: u32 = 4;
/// The longest sleep.
const SLEEP: Duration = Duration::from_millis(100);

/// Figures since the start.
#[derive(Debug, Default)]
pub struct Totals {
    /// Bytes that were sent.
    pub bytes: AtomicU64,
    /// States of keys that were sent.
    pub keys: AtomicU64,
    /// States of keys that others have sent, and that were stored.
    pub stored: AtomicU64,
    /// Slots that were handed over.
    pub slots: AtomicU64,
    /// What was wrong with what others have sent.
    pub faults: Faults,
}

/// What the thread and the connection share.
#[derive(Debug)]
pub struct Line {
    /// Bytes that may be sent.
    pub credit: AtomicI64,
    /// The connection is over.
    pub closed: AtomicBool,
    /// Wakes the thread.
    pub bell: Arc<Bell>,
    /// Frames that the peer has sent: it is alive.
    pub heard: AtomicU64,
    /// What is counted over all connections.
    pub totals: Arc<Totals>,
    /// Commands that were given.
    pub orders: AtomicU64,
}

impl Line {
    /// A connection that has begun.
    #[must_use]
    pub fn new(bell: Arc<Bell>, totals: Arc<Totals>) -> Self {
        Line {
            credit: AtomicI64::new(super::frame::CREDIT as i64),
            closed: AtomicBool::new(false),
            bell,
            heard: AtomicU64::new(0),
            totals,
            orders: AtomicU64::new(0),
        }
    }

    /// The connection is over.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// What the keeper wants to be sent.
#[derive(Debug)]
pub enum Command {
    /// A base of these slots, and what changes in them: that is marked already.
    Begin(u32, Ranges),
    /// What changes in these slots, which the peer has. They are not handed over.
    Resume(u32, Ranges),
    /// Nothing of these slots any more.
    Forget(Ranges),
    /// What is left of these slots, which nobody changes any more.
    Fin(u32, Ranges),
}

struct Base {
    group: u32,
    slots: Arc<SlotSet>,
    shards: VecDeque<ShardId>,
    walk: Option<Walk>,
}

/// What a look at the outboxes has found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// What was there was sent, or may not be sent yet: it is worth a look soon.
    Some,
    /// There is more that may be sent at once.
    Plenty,
}

struct Fin {
    group: u32,
    counts: Vec<(u16, u32)>,
    /// What has to be sent before.
    numbers: Vec<u64>,
}

/// See the [module documentation](self).
pub struct Source {
    server: &'static Server,
    handle: Rc<Handle>,
    taps: Arc<Taps>,
    peer: Life,
    line: Arc<Line>,
    commands: Receiver<Command>,
    out: Sender<Vec<u8>>,
    /// What each lane of the peer was told.
    told: Vec<u64>,
    window: Window,
    /// The lane that is looked at first: each has its turn when there is no room for all.
    first: usize,
    filler: Filler,
    frames: Vec<u8>,
    bases: VecDeque<Base>,
    fins: Vec<Fin>,
    pace: Pace,
    /// How much longer its last rest was than it should have been.
    late: Duration,
    /// By this number the taps know the connection.
    session: u64,
    /// The slots that this connection has begun or resumed: of others the peer takes nothing.
    open: Ranges,
    obeyed: u64,
}

impl Source {
    /// Sends until the connection is over.
    pub fn run(
        server: &'static Server,
        taps: Arc<Taps>,
        peer: Life,
        line: Arc<Line>,
        commands: Receiver<Command>,
        out: Sender<Vec<u8>>,
    ) {
        role::enter(server);
        let session = line.bell.is_mine();
        taps.reconnect(peer);
        let told = vec![0; taps.lanes()];
        let mut source = Source {
            server,
            handle: Rc::new(server.keyspace.handle()),
            taps,
            peer,
            line,
            commands,
            out,
            told,
            window: Window::default(),
            first: 0,
            filler: Filler::default(),
            frames: Vec::new(),
            bases: VecDeque::new(),
            fins: Vec::new(),
            pace: Pace::default(),
            late: Duration::ZERO,
            session,
            open: Ranges::default(),
            obeyed: 0,
        };
        let ended = source.send_all();
        if let Err(Failed::Error(why)) = ended {
            tracing::error!(peer = %source.peer.node, "sending to a node has failed: {why}");
        }
        source.line.close();
    }

    fn send_all(&mut self) -> Result<(), Failed> {
        let mut vain = 0;
        while !self.line.is_closed() {
            while let Ok(command) = self.commands.try_recv() {
                self.obeyed += 1;
                self.obey(command)?;
                vain = 0;
            }
            let found = self.send_changes()?;
            let began = self.server.clock.monotonic_ns();
            let has_based = self.send_base()?;
            self.close_block()?;
            self.send_fins();
            self.send()?;
            vain = if found == Found::Nothing && !has_based { vain + 1 } else { 0 };
            match found {
                _ if has_based => self.rest(began),
                Found::Plenty => {}
                Found::Some => self.line.bell.nap(NAP),
                Found::Nothing if vain < LOOKS => self.line.bell.nap(NAP),
                Found::Nothing => self.line.bell.sleep(SLEEP, || self.has_work()),
            }
        }
        Ok(())
    }

    /// After a slice of a base that began then; who waits for something cuts it short.
    fn rest(&mut self, began: u64) {
        let clock = &self.server.clock;
        let end = clock.monotonic_ns();
        let took = Duration::from_nanos(end.saturating_sub(began));
        let rest = self.pace.rest(took, self.late);
        self.line.bell.nap(rest);
        let rested = Duration::from_nanos(clock.monotonic_ns().saturating_sub(end));
        self.late = rested.saturating_sub(rest);
    }

    fn has_work(&self) -> bool {
        let line = &self.line;
        let may_send = || !self.bases.is_empty() || self.taps.has_work(self.peer, &self.open);
        line.is_closed()
            || line.orders.load(Ordering::SeqCst) != self.obeyed
            || self.has_credit() && may_send()
    }

    fn obey(&mut self, command: Command) -> Result<(), Failed> {
        let shard_of = |slot| self.server.keyspace.shard_of_slot(slot);
        match command {
            Command::Begin(group, slots) => {
                role::observe(self.server, &self.handle, &slots);
                self.open = self.open.with(&slots);
                let set: SlotSet = slots.slots().collect();
                let shards: std::collections::BTreeSet<_> = slots.slots().map(shard_of).collect();
                self.frame(&Frame::Begin { group, slots })?;
                let shards = shards.into_iter().collect();
                self.bases.push_back(Base { group, slots: Arc::new(set), shards, walk: None });
            }
            Command::Resume(group, slots) => {
                self.open = self.open.with(&slots);
                self.end_fins(&slots);
                self.frame(&Frame::Resume { group, slots })?;
            }
            Command::Forget(slots) => {
                self.open = self.open.without(&slots);
                self.end_fins(&slots);
                self.bases.retain(|base| slots.slots().all(|slot| !base.slots.contains(slot)));
                self.frame(&Frame::Forget(slots))?;
            }
            Command::Fin(group, slots) => {
                // Keys go still, by expiry or eviction: what is not counted any more was marked before.
                let keys = |slot| u32::try_from(self.server.keyspace.keys_in_slot(slot));
                let count = |slot| (slot, keys(slot).unwrap_or(u32::MAX));
                let counts = slots.slots().map(count).collect();
                let numbers = self.taps.newest(self.peer);
                self.fins.push(Fin { group, counts, numbers });
            }
        }
        Ok(())
    }

    /// Sends the states of keys that have changed.
    fn send_changes(&mut self) -> Result<Found, Failed> {
        let (mut more, mut taken, mut under_way) = (false, 0, 0);
        let (lanes, room) = (self.taps.lanes(), self.window.room());
        self.first = (self.first + 1) % lanes.max(1);
        for lane in (self.first..lanes).chain(0..self.first) {
            let most = if self.has_credit() { POP.min(room - taken) } else { 0 };
            let popped = self.taps.pop(lane, self.peer, self.session, &self.open, most);
            let Some(popped) = popped else { continue };
            more |= popped.count == POP;
            taken += popped.count;
            under_way += popped.under_way;
            for changed in popped.changed {
                match changed {
                    Changed::Key(name) => self.add(&name)?,
                    Changed::Slots(slots) => {
                        self.close_block()?;
                        self.frame(&Frame::Flush(slots))?;
                    }
                }
            }
            if let Some(told) = self.told.get_mut(lane)
                && *told < popped.taken
            {
                *told = popped.taken;
                self.close_block()?;
                self.frame(&Frame::Upto { lane: lane as u16, number: popped.taken })?;
            }
        }
        self.window.look(taken, under_way, self.server.clock.monotonic_ns());
        Ok(match () {
            () if !self.has_credit() => Found::Nothing,
            () if more && self.window.room() > 0 => Found::Plenty,
            () if taken > 0 || room == 0 => Found::Some,
            () => Found::Nothing,
        })
    }

    fn add(&mut self, name: &[u8]) -> Result<(), Failed> {
        self.line.totals.keys.fetch_add(1, Ordering::Relaxed);
        let mut filler = std::mem::take(&mut self.filler);
        let (server, handle) = (self.server, Rc::clone(&self.handle));
        let added =
            present::add_key(server, &handle, &mut filler, name, |filler| self.write_ready(filler));
        let added = added.and_then(|()| self.write_ready(&mut filler));
        self.filler = filler;
        added
    }

    /// Goes on with the base; whether there is one.
    fn send_base(&mut self) -> Result<bool, Failed> {
        if self.bases.is_empty() {
            return Ok(false);
        }
        if !self.has_credit() {
            return Ok(false);
        }
        let (mut later, mut filler) = (Vec::new(), std::mem::take(&mut self.filler));
        let more = self.slice(&mut filler, &mut later);
        let (server, handle) = (self.server, Rc::clone(&self.handle));
        for later in later {
            let write = |filler: &mut Filler| self.write_ready(filler);
            present::add_later(server, &handle, &mut filler, later, write)?;
        }
        self.write_ready(&mut filler)?;
        self.filler = filler;
        if !more && let Some(base) = self.bases.pop_front() {
            self.close_block()?;
            self.frame(&Frame::Based { group: base.group })?;
        }
        Ok(true)
    }

    /// Walks on for as long as the epoch may be pinned; whether there is more of this base.
    fn slice(&mut self, filler: &mut Filler, later: &mut Vec<present::Later>) -> bool {
        let (server, line) = (self.server, &self.line);
        let Some(base) = self.bases.front_mut() else { return false };
        let guard: Guard = self.handle.pin();
        let until = server.clock.monotonic_ns().saturating_add(SLICE_NS);
        loop {
            let Some(walk) = &mut base.walk else {
                let Some(shard) = base.shards.pop_front() else { return false };
                base.walk = Some(server.keyspace.walk_slots(shard, Arc::clone(&base.slots)));
                continue;
            };
            let now = server.clock.now();
            let more = walk.step(&server.keyspace, &guard, &mut |_, entry| {
                if !entry.is_expired(now) {
                    line.totals.keys.fetch_add(1, Ordering::Relaxed);
                    later.extend(present::add(server, filler, &entry).err());
                }
            });
            if !more {
                base.walk = None;
            }
            let is_over = !later.is_empty()
                || filler.ready() >= MAX_READY
                || server.clock.monotonic_ns() >= until;
            if is_over {
                return base.walk.is_some() || !base.shards.is_empty();
            }
        }
    }

    fn send_fins(&mut self) {
        let told = std::mem::take(&mut self.told);
        let is_due = |fin: &Fin| fin.numbers.iter().zip(&told).all(|(number, told)| told >= number);
        let (due, rest) = std::mem::take(&mut self.fins).into_iter().partition(is_due);
        (self.told, self.fins) = (told, rest);
        let due: Vec<Fin> = due;
        for Fin { group, counts, .. } in due {
            Frame::Fin { group, counts }.encode(&mut self.frames);
        }
    }

    /// Nobody wants these slots to be confirmed any more.
    fn end_fins(&mut self, slots: &Ranges) {
        self.fins.retain(|fin| !fin.counts.iter().any(|(slot, _)| slots.contains(*slot)));
    }

    fn has_credit(&self) -> bool {
        self.line.credit.load(Ordering::Acquire) > 0
    }

    /// Makes frames of what is ready.
    fn write_ready(&mut self, filler: &mut Filler) -> Result<(), Failed> {
        while let Some((kind, bytes)) = filler.pop() {
            let frame = match kind {
                Kind::Piece => Frame::Piece(&bytes),
                Kind::LastPiece => Frame::LastPiece(&bytes),
                Kind::Entries | Kind::End => Frame::Entries(&bytes),
            };
            self.frame(&frame)?;
            while !self.has_credit() {
                self.send()?;
                if self.line.is_closed() {
                    return Err(Failed::Cancelled);
                }
                let line = &self.line;
                line.bell
                    .sleep(SLEEP, || line.is_closed() || line.credit.load(Ordering::Acquire) > 0);
            }
        }
        Ok(())
    }

    /// Whatever is in the block that is being filled goes before what comes next.
    fn close_block(&mut self) -> Result<(), Failed> {
        let mut filler = std::mem::take(&mut self.filler);
        filler.close();
        let written = self.write_ready(&mut filler);
        self.filler = filler;
        written
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Failed> {
        frame.encode(&mut self.frames);
        if self.frames.len() >= PIECE { self.send() } else { Ok(()) }
    }

    /// Hands the frames to the connection.
    fn send(&mut self) -> Result<(), Failed> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.frames);
        self.line.credit.fetch_sub(frames.len() as i64, Ordering::AcqRel);
        self.line.totals.bytes.fetch_add(frames.len() as u64, Ordering::Relaxed);
        self.out.blocking_send(frames).map_err(|_closed| Failed::Cancelled)
    }
}
