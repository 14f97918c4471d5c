//! What a worker does beside its connections: expiry, eviction and freeing for its share of the shards,
//! in slices between turns, and on the first worker what is done once for all.

use super::{FREED_PER_TURN, Round, TURNS, Worker};
use crate::blocking::ServeReady;
use crate::runtime::{chunks, sweep};
use crate::tracking::Tend;
use dunlin_protocol::chunk;
use dunlin_storage::{Millis, ShardId, SliceReport, memory};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks for work while no client does anything.
const IDLE_MILLIS: Millis = 1_000;
/// The longest time between two ticks of an idle process, beside the tick itself.
const DOZE: Duration = Duration::from_millis(400);
/// Without a read for this long, a worker gives free memory back.
const QUIET_MILLIS: Millis = 1_000;
/// How often it does. First the allocator takes back what others have freed, then it passes all on: what
/// it keeps for a while it would not think of again while this thread sleeps.
const RELEASES: u32 = 2;
/// Between the two, where nothing else calls for a longer time.
const RELEASE_STEP: Duration = Duration::from_millis(20);
/// Items of one slice of background work (expiry, eviction): about 100 us.
const SLICE_ITEMS: usize = 512;
/// How long freeing goes on before connections get their turns.
const FREEING_NS: u64 = 50_000;
/// Slices per tick and shard in which entries are moved together.
const COMPACTED_SLICES: usize = 8;
/// Slices per tick and shard in which tables go on that have no writes.
const TIDIED_SLICES: usize = 8;
/// Slices per tick and shard in which the table of tracked keys is tended.
const TENDED_SLICES: usize = 64;

impl Worker {
    /// Says that the worker comes round, as its background work does.
    pub(super) fn beat(&self) {
        self.server.heartbeats.beat(self.index, self.server.clock.now());
    }

    /// Expiry, eviction and freeing for this worker's shards, in slices between connections.
    pub(super) async fn background(self: Rc<Self>) {
        loop {
            self.beat();
            let settings = self.server.settings();
            if self.is_alone() && self.is_quiet() {
                self.doze().await;
            }
            tokio::time::sleep(Duration::from_secs(1) / settings.hz.max(1)).await;
            if !self.server.placement.needs(self.index) {
                self.rest().await;
            }
            if self.index == 0 {
                self.housekeeping();
                self.recall_the_impatient();
            }
            let ready = if self.is_quiet() { 0 } else { self.ready_at_once().await };
            self.load.saw_ready(ready, self.since_last_look(), settings.placement_window);
            if self.is_quiet() {
                continue;
            }
            // What a pause of writes holds still, expiry does not change either.
            let paused = self.server.pause.blocks(true, self.server.clock.now()).is_some();
            if !paused && self.server.active_expire.load(Ordering::Relaxed) {
                self.slices(Self::expire).await;
            }
            self.slices(Self::evict).await;
            self.compact().await;
            let is_tidy = self.tidy().await;
            self.serve_ready();
            if self.server.keyspace.limbo() > 0 {
                self.server.keyspace.flush_limbo(&self.epoch.pin());
            }
            while self.index == 0 && self.free_for_a_while() {
                self.beat();
                tokio::task::yield_now().await;
            }
            self.tend_tracking().await;
            self.look_around();
            self.pass_chunks_on();
            self.release_when_idle();
            self.note_quiet(is_tidy);
        }
    }

    /// Frees some of what was removed as a whole; true if there is more. One thread can at a time, so it is
    /// the first worker; how long a piece takes depends on what it is and where, so the time is bounded
    /// and not the number.
    fn free_for_a_while(&self) -> bool {
        let clock = &self.server.clock;
        let begun = clock.monotonic_ns();
        while self.server.keyspace.free_slice(FREED_PER_TURN) {
            if clock.monotonic_ns() - begun >= FREEING_NS {
                return true;
            }
        }
        false
    }

    /// Whether nothing can have come up since the last round of background work: nobody has sent or
    /// received anything, nothing can expire, nothing waits to be freed. Looking for work costs a walk over
    /// all tables, most of them out of the caches, and an idle server has better things to do ten times a
    /// second. Once a second it looks all the same.
    fn is_quiet(&self) -> bool {
        let Round { at, traffic, calm } = self.round.get();
        calm && traffic == self.traffic() && self.server.clock.now() - at < IDLE_MILLIS
    }

    /// Whether no other worker serves, so that whatever a client sends comes by here.
    fn is_alone(&self) -> bool {
        self.index == 0 && self.server.placement.active() == 1
    }

    /// Waits for a turn of any connection, but not for long. Every tick of an idle process costs it a
    /// wake-up or two and the caches what they held.
    async fn doze(&self) {
        self.dozes.set(true);
        let _ = tokio::time::timeout(DOZE, self.stirred.notified()).await;
        self.dozes.set(false);
    }

    /// A round of background work is over. `is_tidy`: it has left no table as it should not be.
    fn note_quiet(&self, is_tidy: bool) {
        // First: who sends something meanwhile is seen by the next tick.
        let (at, traffic) = (self.server.clock.now(), self.traffic());
        let keyspace = &self.server.keyspace;
        let busy = keyspace.may_expire() || keyspace.is_compacting();
        let calm = keyspace.limbo() == 0 && !busy && is_tidy;
        self.round.set(Round { at, traffic, calm });
    }

    /// Reads and writes of all workers' sockets.
    fn traffic(&self) -> u64 {
        let stats = &self.server.stats;
        stats.sum(|worker| &worker.reads).wrapping_add(stats.sum(|worker| &worker.writes))
    }

    /// Parked: gives back what this thread keeps and waits to be called. Others do its share of the
    /// background work.
    async fn rest(&self) {
        self.server.keyspace.flush_limbo(&self.epoch.pin());
        self.load.rests();
        self.server.heartbeats.rest(self.index);
        let called = self.server.placement.called(self.index);
        tokio::pin!(called);
        loop {
            tokio::select! {
                () = &mut called => break,
                () = give_back() => {}
            }
        }
        self.beat();
    }

    /// Counts the connections that are ready at once: the turns from here until the system has been asked
    /// for events and those that were ready have had theirs.
    async fn ready_at_once(&self) -> u32 {
        let before = TURNS.get().0;
        tokio::task::yield_now().await;
        TURNS.get().0.wrapping_sub(before)
    }

    /// Milliseconds since this was asked last.
    fn since_last_look(&self) -> u64 {
        let now = self.server.clock.now();
        u64::try_from(now.saturating_sub(self.looked.replace(now))).unwrap_or(0)
    }

    /// Follows what is used and what it takes.
    fn look_around(&self) {
        let guard = self.epoch.pin();
        let mut surveyor = self.surveyor.borrow_mut();
        let (server, shards) = (self.server, self.own_shards());
        server.insight.tick(server, self.index, &mut surveyor, &shards, &guard);
        drop(guard);
        self.leftovers();
    }

    /// Calls back those who wait behind a script that takes its time: they are told so.
    fn recall_the_impatient(&self) {
        let Some(shards) = self.server.runs.busy_shards() else { return };
        let guard = self.epoch.pin();
        shards.iter().for_each(|shard| self.server.keyspace.recall(shard, &guard));
        drop(guard);
        self.leftovers();
    }

    /// Removes what clients that tracked keys have left behind, in slices under the roles.
    async fn tend_tracking(&self) {
        for shard in self.own_shards() {
            for _ in 0..TENDED_SLICES {
                if !self.server.tracker().wants_tending(shard) {
                    break;
                }
                let interests = Arc::clone(&self.server.interests);
                self.run_if_free(shard, Box::new(Tend { interests, shard }));
                tokio::task::yield_now().await;
            }
        }
    }

    /// The shards whose background work is this worker's. While workers are called or parked, two may
    /// think so of one, or nobody; both are over with the next tick.
    fn own_shards(&self) -> Vec<ShardId> {
        let active = self.server.placement.active().max(1);
        let first = if self.index < active { self.index } else { usize::MAX };
        (first..self.server.keyspace.shards())
            .step_by(active)
            .filter_map(|shard| u16::try_from(shard).ok().map(ShardId))
            .collect()
    }

    /// Chunks that have gone to the allocator stay with the thread that has made them until it asks for
    /// them; in each tick it does, so that there are never many.
    fn pass_chunks_on(&self) {
        let (seen, left) = self.passed_on.get();
        let gone = chunk::released();
        let left = if gone == seen { left } else { RELEASES };
        if left > 0 {
            memory::release_free(false);
        }
        self.passed_on.set((gone, left.saturating_sub(1)));
    }

    /// A second after the last work the allocator gives back what this thread has freed, or others of
    /// what it had allocated. Large pieces do not wait for that.
    fn release_when_idle(&self) {
        let now = self.server.clock.now();
        let work = self.stats().reads.get().wrapping_add(chunk::released());
        let (since, seen, released) = self.quiet.get();
        if work != seen {
            self.quiet.set((now, work, 0));
            if now - self.reminded.get() >= QUIET_MILLIS {
                self.reminded.set(now);
                memory::remind();
            }
        } else if released < RELEASES && now - since >= QUIET_MILLIS {
            memory::release_free(released + 1 == RELEASES);
            self.quiet.set((since, seen, released + 1));
        }
    }

    /// Runs one kind of slice on each of this worker's shards in turn, as long as there is
    /// anything to do. A shard whose role is taken has to wait for the next tick.
    async fn slices(&self, slice: fn(&Self, ShardId) -> SliceReport) {
        let mut shards = self.own_shards();
        while !shards.is_empty() {
            let mut left = Vec::new();
            for shard in shards {
                let report = slice(self, shard);
                if report.more && !report.busy {
                    left.push(shard);
                }
                if report.removed > 0 || report.more {
                    self.beat();
                    self.leftovers();
                    tokio::task::yield_now().await;
                }
            }
            shards = left;
        }
    }

    /// Serves clients that wait for what has expired or was evicted on this worker's shards.
    fn serve_ready(&self) {
        for shard in self
            .own_shards()
            .into_iter()
            .filter(|shard| self.server.interests.queues.has_ready(*shard))
        {
            self.run_if_free(shard, Box::new(ServeReady { server: self.server }));
        }
    }

    /// The shards of which this worker does the background work.
    fn expire(&self, shard: ShardId) -> SliceReport {
        let now = self.server.clock.now();
        self.server.keyspace.expire_slice(shard, now, SLICE_ITEMS, &self.epoch.pin())
    }

    fn evict(&self, shard: ShardId) -> SliceReport {
        let now = self.server.clock.now();
        self.server.keyspace.evict_slice(shard, SLICE_ITEMS, now, &self.epoch.pin())
    }

    /// Moves entries together where memory is much larger than what is in it, for a share of the time.
    async fn compact(&self) {
        let keyspace = &self.server.keyspace;
        while self.index == 0 && keyspace.choose_slice() {
            self.beat();
            tokio::task::yield_now().await;
        }
        if !keyspace.is_compacting() {
            return;
        }
        for shard in self.own_shards() {
            for _ in 0..COMPACTED_SLICES {
                let report = keyspace.compact_slice(shard, SLICE_ITEMS, &self.epoch.pin());
                self.beat();
                self.leftovers();
                if !report.more || report.busy {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Goes on with resizes of tables, for a share of the time; whether all are over.
    async fn tidy(&self) -> bool {
        let mut is_tidy = true;
        for shard in self.own_shards() {
            let mut more = true;
            for _ in 0..TIDIED_SLICES {
                let report = self.server.keyspace.tidy_slice(shard, &self.epoch.pin());
                more = report.more;
                if !more || report.busy {
                    break;
                }
                self.beat();
                self.leftovers();
                tokio::task::yield_now().await;
            }
            is_tidy &= !more;
        }
        is_tidy
    }

    /// Once per tick on the first worker: clock, idle clients, peaks.
    fn housekeeping(&self) {
        let server = self.server;
        server.clock.resync();
        let now = server.clock.now();
        server.rates.tick(now, &server.stats);
        // While nothing is read or written, what a sweep looks for comes with the seconds.
        let (swept, seen) = self.swept.get();
        let traffic = self.traffic();
        if traffic != seen || now - swept >= IDLE_MILLIS {
            self.swept.set((now, traffic));
            server.peak_memory.fetch_max(server.keyspace.used_bytes(), Ordering::Relaxed);
            sweep::sweep(server);
        }
    }
}

/// Gives back what this thread has freed, or others of what it had allocated; ends when there may be more.
async fn give_back() {
    let more = chunks::given_back();
    for released in 1..=RELEASES {
        memory::release_free(released == RELEASES);
        tokio::time::sleep(RELEASE_STEP).await;
    }
    more.await;
}
