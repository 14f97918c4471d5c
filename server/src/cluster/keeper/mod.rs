//! The keeper: what this node does so that its slots are where the map wants them.
//!
//! [`duty`] decides, and knows nothing of how things are done. The [`Keeper`] is a task on the cluster's
//! thread: it tells the duty what happens, and does what it wants:
//!
//! ```text
//!   meta: new map ------.                                     .---> routes: fence, unfence
//!   peers: taken, ... --+--> events --> duty --> effects --+--+---> sources: begin, resume, fin
//!   time ---------------'                                  |  `---> taps: what is marked for whom
//!                                                          `------> meta: propose
//! ```
//!
//! A new map is followed in this order: first the copies (nobody but this node writes to its own slots any
//! more), then the view and the routes, then the duty. What is here of a slot but may not be shown is
//! removed before the slot is served.
mod act;
pub mod duty;
pub mod fences;
mod follow;
mod peer;
#[cfg(test)]
mod tests;

use super::Cluster;
use super::change::Life;
use super::lease;
use super::map::Map;
use super::meta::{Later, Meta};
use super::node::{Member, NodeId};
use super::slot::SLOTS;
use super::stream::awaited::Awaited;
use super::stream::connection::Wire;
use super::stream::copies::Copies;
use super::stream::hold::Hold;
use super::stream::ranges::Ranges;
use super::stream::role;
use super::stream::source::Totals;
use super::stream::taps::Taps;
use crate::server::Server;
use dunlin_storage::Millis;
use duty::{Duty, Event, Moment};
use fences::Fences;
use peer::Peer;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks at how far peers are.
const TICK: Duration = Duration::from_millis(20);
/// Between two looks for copies that nobody needs, in ticks.
const SWEEP: u32 = 50;

/// Connects to other nodes.
pub trait Dial: Send + Sync {
    /// A connection for data.
    fn dial(&self, to: NodeId, member: &Member) -> Later<'_, io::Result<Box<dyn Wire>>>;
}

/// What the keeper is told from outside.
enum Note {
    Event(Event),
    /// A connection to a peer is there, or its end.
    Peer(Life, peer::News),
    /// See [`super::stream::sink::Around::keep`].
    Keep(Life, Ranges, oneshot::Sender<bool>),
    Unkeep(Life, Ranges),
}

/// How others talk to the keeper, and what they may read.
pub struct Streams {
    server: &'static Server,
    cluster: Arc<Cluster>,
    meta: Arc<dyn Meta>,
    taps: Arc<Taps>,
    copies: Arc<Copies>,
    /// Replies that wait for copies.
    pub hold: Hold,
    totals: Arc<Totals>,
    /// Changes that others have not acknowledged, when the keeper has looked last.
    lag: AtomicU64,
    notes: mpsc::UnboundedSender<Note>,
    /// The connection of each owner: a new one ends the one before.
    sinks: Mutex<BTreeMap<NodeId, tokio::task::AbortHandle>>,
    moves: Mutex<Vec<duty::Move>>,
    fences: Mutex<Fences>,
    clears: AtomicBool,
    /// What each thread that clears slots of this node's own is at.
    clearing: Mutex<Vec<Ranges>>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Streams {
    /// The streams of a node, and its keeper, which has to be [run](Keeper::run). Changes of keys are told
    /// from here on.
    pub fn new(
        server: &'static Server,
        cluster: Arc<Cluster>,
        meta: Arc<dyn Meta>,
        dial: Arc<dyn Dial>,
    ) -> (Arc<Streams>, Keeper) {
        let taps = Arc::new(Taps::new(server.keyspace.shards()));
        server.interests.tap(Arc::clone(&taps));
        let (sender, notes) = mpsc::unbounded_channel();
        let streams = Arc::new(Streams {
            server,
            cluster,
            meta: Arc::clone(&meta),
            hold: Hold::new(Arc::clone(&taps)),
            taps,
            copies: Arc::default(),
            totals: Arc::default(),
            lag: AtomicU64::new(0),
            notes: sender,
            sinks: Mutex::default(),
            moves: Mutex::default(),
            fences: Mutex::default(),
            clears: AtomicBool::new(false),
            clearing: Mutex::default(),
        });
        streams.cluster.set_streams(Arc::clone(&streams));
        let me = meta.me();
        let (duty, peers) = (Duty::new(me), BTreeMap::new());
        let keeper = Keeper {
            streams: Arc::clone(&streams),
            meta,
            dial,
            me,
            duty,
            notes,
            peers,
            catching_up: BTreeMap::new(),
            seen: None,
        };
        (streams, keeper)
    }

    /// Takes a connection of another node; `from`: which one it is, if that is known.
    pub fn accept(self: &Arc<Self>, from: Option<NodeId>, wire: Box<dyn Wire>) {
        peer::accept(self, from, wire);
    }

    /// Removes all keys: they belong to a life of the node that is over, and nobody may be shown them or
    /// be sent any of them.
    pub async fn forget_everything(self: &Arc<Self>) {
        let (streams, (done, all)) = (Arc::clone(self), oneshot::channel());
        self.copies.forget_everything();
        spawn("cluster-clear", move || {
            role::enter(streams.server);
            let handle = streams.server.keyspace.handle();
            let slots: Ranges = [(0, SLOTS - 1)].into_iter().collect();
            role::clear(streams.server, &handle, &slots, |_| true);
            let _ = done.send(());
        });
        // Without an answer the thread has panicked, and said so.
        let _ = all.await;
    }

    /// Begins to wait until `backups` of each slot have what was written until now; until `deadline` at
    /// most.
    #[must_use]
    pub fn awaited(&self, backups: i64, deadline: Option<Millis>) -> Awaited {
        Awaited::now(&self.taps, &self.cluster, backups, deadline)
    }

    /// Figures since the start.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Changes that other nodes have not acknowledged.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// The moves that are under way.
    #[must_use]
    pub fn moves(&self) -> Vec<duty::Move> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long commands had to wait for slots that were handed over.
    #[must_use]
    pub fn fences(&self) -> Fences {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An operator wants no moves of these slots.
    pub fn cancel(&self, slots: Ranges) {
        self.note(Note::Event(Event::Cancel(slots)));
    }

    fn clearings(&self) -> MutexGuard<'_, Vec<Ranges>> {
        self.clearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slots of this node's own that are neither served nor copied until what is here of them is removed.
    fn clearing(&self) -> Ranges {
        let clearings = self.clearings();
        clearings.iter().fold(Ranges::default(), |all, slots| all.with(slots))
    }

    fn note(&self, note: Note) {
        // The keeper ends with the process.
        let _ = self.notes.send(note);
    }

    /// This node in its present life, if the map is about that.
    fn me(&self, map: &Map) -> Option<Life> {
        let life = self.meta.life();
        let member = map.members.get(&life.node)?;
        (member.incarnation == life.incarnation).then_some(life)
    }
}

/// A thread for what takes long. Without one it is done here: late is better than never.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let taken = Arc::clone(&work);
    let run = move || {
        let work = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work();
        }
    };
    if std::thread::Builder::new().name(name.to_owned()).spawn(run).is_err()
        && let Some(work) = work.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        work();
    }
}

/// See the [module documentation](self).
pub struct Keeper {
    streams: Arc<Streams>,
    meta: Arc<dyn Meta>,
    dial: Arc<dyn Dial>,
    me: NodeId,
    duty: Duty,
    notes: mpsc::UnboundedReceiver<Note>,
    peers: BTreeMap<NodeId, Peer>,
    /// Those that replies have begun to wait for, and what they had not acknowledged then.
    catching_up: BTreeMap<NodeId, Vec<u64>>,
    /// The map that was followed last.
    seen: Option<Arc<Map>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("duty", &self.duty).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Keeps at it until the process ends.
    pub async fn run(mut self) {
        let mut maps = self.meta.map();
        maps.mark_changed();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                changed = maps.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    maps.mark_unchanged();
                    self.catch_up();
                }
                note = self.notes.recv() => match note {
                    Some(note) => self.hear(note),
                    None => return,
                },
                _ = ticks.tick() => {
                    count = count.wrapping_add(1);
                    self.tick(count);
                }
            }
        }
    }

    /// Follows the newest map.
    fn catch_up(&mut self) {
        let map = Arc::clone(&self.meta.map().borrow());
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &map)) {
            return;
        }
        self.seen = Some(Arc::clone(&map));
        let me = self.meta.me();
        if me != self.me {
            // It has been reset, and everything of before is over.
            self.step(Event::Map(Arc::default()));
            (self.me, self.duty) = (me, Duty::new(me));
        }
        self.streams.follow(&map);
        self.duty.clearing = self.streams.clearing();
        let is_ours = self.streams.me(&map).is_some();
        self.step(Event::Map(if is_ours { map } else { Arc::default() }));
        self.look_for_thinned();
    }

    fn tick(&mut self, count: u32) {
        self.duty.clearing = self.streams.clearing();
        let lags: Vec<Event> = self
            .peers
            .iter_mut()
            .map(|(node, peer)| {
                let lag = self.streams.taps.lag(peer.life);
                Event::Lag(*node, lag, peer.acknowledges(lag))
            })
            .collect();
        let lag = |event: &Event| if let Event::Lag(_, lag, _) = event { *lag as u64 } else { 0 };
        self.streams.lag.store(lags.iter().map(lag).sum(), Ordering::Relaxed);
        lags.into_iter().for_each(|lag| self.step(lag));
        self.look_who_has_caught_up();
        self.look_for_thinned();
        self.streams.totals.slots.store(self.duty.handed_over, Ordering::Relaxed);
        self.step(Event::Heard(self.heard_leader()));
        self.step(Event::Tick);
        if count.is_multiple_of(SWEEP) {
            self.streams.sweep(&self.streams.cluster.map(), &self.duty.all_kept());
        }
        let moves = self.duty.moves().cloned().collect();
        *self.streams.moves.lock().unwrap_or_else(PoisonError::into_inner) = moves;
        let mut fences = self.streams.fences.lock().unwrap_or_else(PoisonError::into_inner);
        self.duty.fences.drain(..).for_each(|fence| fences.add(fence));
    }

    /// When this node has asked for the lease that it has, or before.
    fn heard_leader(&self) -> Moment {
        let until = Duration::from_nanos(self.streams.cluster.lease.until());
        until.saturating_sub(lease::LENGTH)
    }

    /// Of slots that have come to this node it may have evicted keys before, unnoticed.
    fn look_for_thinned(&mut self) {
        let slots = self.streams.cluster.routes.shown().take_thinned();
        if !slots.is_empty() {
            self.step(Event::Thinned(slots.iter().map(|slot| (slot, slot)).collect()));
        }
    }

    fn look_who_has_caught_up(&mut self) {
        let (streams, peers) = (&self.streams, &self.peers);
        let has = |node: &NodeId, numbers: &Vec<u64>| {
            let life = peers.get(node).map(|peer| peer.life);
            life.is_some_and(|life| streams.taps.has_acknowledged(life, numbers))
        };
        let done = self.catching_up.extract_if(.., |node, numbers| has(node, numbers));
        let done: Vec<NodeId> = done.map(|(node, _)| node).collect();
        done.into_iter().for_each(|node| self.step(Event::Held(node)));
    }

    fn hear(&mut self, note: Note) {
        match note {
            Note::Event(event) => {
                // A verdict is about a map that is there already.
                if matches!(event, Event::Settled(..)) {
                    self.catch_up();
                }
                self.step(event);
            }
            Note::Unkeep(owner, slots) => {
                // Those that are this node's own by now go on, whatever was meant.
                let slots = self.duty.kept(owner).both(&slots);
                if slots.is_empty() {
                    return;
                }
                self.streams.taps.remove(owner, &slots);
                self.streams.cluster.routes.unexpect(&slots.slots().collect());
                self.step(Event::Unkept(owner.node, slots));
            }
            Note::Keep(owner, slots, done) => self.keep(owner, slots, done),
            Note::Peer(life, news) => {
                let known = self.peers.get_mut(&life.node).filter(|peer| peer.life == life);
                if let Some(event) = known.and_then(|peer| peer.hear(news)) {
                    self.step(event);
                }
            }
        }
    }

    fn keep(&mut self, owner: Life, slots: Ranges, done: oneshot::Sender<bool>) {
        self.step(Event::Kept(owner, slots.clone()));
        let known = self.peers.get(&owner.node).filter(|peer| peer.life == owner);
        let Some(peer) = known else {
            let _ = done.send(false);
            return;
        };
        let streams = Arc::clone(&self.streams);
        let keyspace = &streams.server.keyspace;
        streams.taps.add(owner, &peer.bell, &slots, |slot| keyspace.shard_of_slot(slot));
        streams.expect(slots.slots().collect());
        // Roles may be busy: others go on meanwhile.
        spawn("cluster-keep", move || {
            role::enter(streams.server);
            let handle = streams.server.keyspace.handle();
            role::observe(streams.server, &handle, &slots);
            let _ = done.send(true);
        });
    }

    fn step(&mut self, event: Event) {
        let now = Duration::from_nanos(self.streams.server.clock.monotonic_ns());
        if !matches!(event, Event::Map(_) | Event::Lag(..) | Event::Heard(_) | Event::Tick) {
            tracing::trace!(?event, "to the keeper");
        }
        for effect in self.duty.step(event, now) {
            tracing::trace!(?effect, "from the keeper");
            self.act(effect);
        }
    }
}
