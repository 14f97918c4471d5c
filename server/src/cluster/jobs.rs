//! Moves of slots as operators see them: those that somebody has asked for here, and those that this
//! node makes because the plan wants them.
//!
//! A move that was asked for is an entry of the log that changes the plan; what is done about it is the
//! keeper's, on the node that owns the slots. So this only remembers what was asked, and looks at the map
//! and at the keeper for how far it is.

use super::change::{Change, Range, Verdict};
use super::keeper::Streams;
use super::keeper::duty::{self, Phase};
use super::map::Map;
use super::meta::{Later, Meta, Unsettled};
use super::node::NodeId;
use super::operations::{Move, Moves, Stage};
use super::stream::ranges::Ranges;
use crate::server::Server;
use dunlin_storage::Millis;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// Jobs that are remembered, those that have ended included.
const MAX_JOBS: usize = 100;

/// The moves of this node.
pub(super) struct Jobs {
    server: &'static Server,
    meta: Arc<dyn Meta>,
    streams: Arc<Streams>,
    jobs: Mutex<Vec<Move>>,
}

impl Jobs {
    pub(super) fn new(server: &'static Server, meta: Arc<dyn Meta>, streams: Arc<Streams>) -> Jobs {
        Jobs { server, meta, streams, jobs: Mutex::default() }
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Move>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn want(&self, slots: Vec<Range>, owner: NodeId) -> Result<(), String> {
        match self.meta.propose(Change::Want { slots, owner }).await {
            Ok(Verdict::Done) => Ok(()),
            Ok(Verdict::Void(why)) => Err(why),
            Err(Unsettled::NotProposed(why) | Unsettled::Unknown(why)) => Err(why),
        }
    }

    /// Looks how far the jobs are.
    fn refresh(&self) {
        let map = Arc::clone(&self.meta.map().borrow());
        let moves = self.streams.moves();
        let now = self.server.clock.now();
        for job in self.jobs().iter_mut().filter(|job| !job.stage.is_over()) {
            let stage = stage(job, &map, &moves);
            if stage == job.stage {
                continue;
            }
            (job.stage, job.updated) = (stage, now);
            if job.started == 0 && stage != Stage::Waiting {
                job.started = now;
            }
            if stage.is_over() {
                job.ended = now;
            }
            if stage == Stage::Done {
                let paused = self.streams.fences().of(&job.slots);
                job.paused = Millis::try_from(paused.as_millis()).unwrap_or(Millis::MAX);
            }
            if stage == Stage::Cancelled {
                job.message = "the slots are planned to be elsewhere".to_owned();
            }
        }
    }

    /// Moves that nobody has asked for here.
    fn planned(&self, known: &[Move]) -> Vec<Move> {
        let (from, now) = (self.meta.me(), self.server.clock.now());
        let show = |work: duty::Move| {
            let slots = work.slots.as_slice().to_vec();
            let name = xxh3_128(format!("{}{slots:?}", work.to.node).as_bytes());
            Move {
                name: format!("{name:040x}"),
                slots,
                from,
                to: work.to.node,
                stage: stage_of(work.phase),
                message: String::new(),
                retries: 0,
                created: now,
                started: now,
                ended: 0,
                updated: now,
                heard: now,
                paused: 0,
                left: 0,
            }
        };
        let is_new = |work: &duty::Move| {
            let mut open = known.iter().filter(|job| !job.stage.is_over());
            !open.any(|job| overlaps(&job.slots, &work.slots))
        };
        self.streams.moves().into_iter().filter(is_new).map(show).collect()
    }
}

fn overlaps(slots: &[Range], other: &Ranges) -> bool {
    let overlap = |a: &Range, b: &Range| a.0 <= b.1 && b.0 <= a.1;
    slots.iter().any(|range| other.as_slice().iter().any(|one| overlap(range, one)))
}

fn stage_of(phase: Phase) -> Stage {
    match phase {
        Phase::Copy => Stage::Copying,
        Phase::Fence | Phase::Drain | Phase::Commit => Stage::HandingOver,
        Phase::Done => Stage::Done,
    }
}

fn stage(job: &Move, map: &Map, moves: &[duty::Move]) -> Stage {
    let slots: Ranges = job.slots.iter().copied().collect();
    if slots.slots().all(|slot| map.owner(slot) == Some(job.to)) {
        return Stage::Done;
    }
    if !slots.slots().all(|slot| map.goal.get(slot).owner == Some(job.to)) {
        return Stage::Cancelled;
    }
    let work = moves.iter().find(|work| overlaps(&job.slots, &work.slots));
    // The owner of the slots does it; somebody else sees only that it has begun.
    let begun = || slots.slots().any(|slot| map.owner(slot) == Some(job.to));
    match work {
        Some(work) if work.phase == Phase::Done => Stage::HandingOver,
        Some(work) => stage_of(work.phase),
        None if begun() => Stage::Copying,
        None => job.stage,
    }
}

impl Moves for Jobs {
    fn start(&self, slots: Vec<Range>, to: NodeId) -> Later<'_, Result<String, String>> {
        Box::pin(async move {
            let map = Arc::clone(&self.meta.map().borrow());
            let first = slots.first().ok_or("there are no slots to move")?.0;
            let from = map.owner(first).ok_or("nobody owns these slots")?;
            let mut name = NodeId::default();
            getrandom::fill(&mut name.0).map_err(|why| why.to_string())?;
            self.want(slots.clone(), to).await?;
            let now: Millis = self.server.clock.now();
            let mut jobs = self.jobs();
            if jobs.len() >= MAX_JOBS {
                let over = jobs.iter().position(|job| job.stage.is_over()).unwrap_or(0);
                jobs.remove(over);
            }
            jobs.push(Move {
                name: name.to_string(),
                slots,
                from,
                to,
                stage: Stage::Waiting,
                message: String::new(),
                retries: 0,
                created: now,
                started: 0,
                ended: 0,
                updated: now,
                heard: now,
                paused: 0,
                left: 0,
            });
            Ok(name.to_string())
        })
    }

    fn cancel(&self, name: Option<String>) -> Later<'_, Result<usize, String>> {
        Box::pin(async move {
            self.refresh();
            let is_meant = |job: &Move| name.as_ref().is_none_or(|name| *name == job.name);
            let known = self.jobs().clone();
            let planned = self.planned(&known);
            let open = known.into_iter().chain(planned).filter(|job| !job.stage.is_over());
            let meant: Vec<Move> = open.filter(is_meant).collect();
            for job in &meant {
                self.want(job.slots.clone(), job.from).await?;
                self.streams.cancel(job.slots.iter().copied().collect());
                let now = self.server.clock.now();
                if let Some(job) = self.jobs().iter_mut().find(|known| known.name == job.name) {
                    (job.stage, job.ended, job.updated) = (Stage::Cancelled, now, now);
                }
            }
            Ok(meant.len())
        })
    }

    fn status(&self) -> Vec<Move> {
        self.refresh();
        let known = self.jobs().clone();
        let (over, mut open): (Vec<Move>, Vec<Move>) =
            known.iter().cloned().partition(|job| job.stage.is_over());
        open.extend(self.planned(&known));
        open.extend(over.into_iter().rev());
        open
    }
}
