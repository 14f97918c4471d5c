//! A simulated node: agreement, and in place of the data plane somebody who does at once what the map
//! wants of this node. It fences what it hands over, as the data plane does.

use super::broken::Broken;
use super::network::Simulated;
use super::process::Time;
use dunlin::cluster::change::{Change, Life, Range, Verdict};
use dunlin::cluster::lease::Lease;
use dunlin::cluster::link::{Connection, Links, Secret, Transport, serve};
use dunlin::cluster::map::Map;
use dunlin::cluster::meta::{Agreement, Host, Later, Meta, Options, Unsettled};
use dunlin::cluster::node::{Endpoint, NodeId};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The port of links.
pub(crate) const PORT: u16 = 17_000;
/// Slots that are handed over at once.
const BATCH: u16 = 2048;
/// How long who is broken so waits for the outcome of a commit.
const IMPATIENCE: Duration = Duration::from_millis(50);

/// The clock of a node, which has nothing to do with those of others. It goes on while the process stands
/// still.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What it shows in the beginning.
    start: u64,
    /// It runs at half the speed.
    is_slow: bool,
    /// It stands still with the process.
    stands: bool,
    /// How long it has stood still, in nanoseconds, and since when it does; none: `u64::MAX`.
    stood: Arc<[AtomicU64; 2]>,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a short run")
}

impl Clock {
    /// It shows `start` in the beginning; `is_other`: it is one of those that may run slowly.
    pub(crate) fn new(start: u64, is_other: bool, broken: Option<Broken>) -> Self {
        let stood = Arc::new([AtomicU64::new(0), AtomicU64::new(u64::MAX)]);
        let is_slow = is_other && broken == Some(Broken::SlowClock);
        Clock { start, is_slow, stands: broken == Some(Broken::StandingClock), stood }
    }

    /// What it shows after so long, to a process that goes on at this moment.
    pub(crate) fn at(&self, elapsed: Duration) -> u64 {
        let [stood, since] = &*self.stood;
        let elapsed = nanoseconds(elapsed).min(since.load(Ordering::Relaxed));
        let elapsed = elapsed - stood.load(Ordering::Relaxed);
        self.start + if self.is_slow { elapsed / 2 } else { elapsed }
    }

    /// The process stands still.
    pub(crate) fn stop(&self, now: Duration) {
        if self.stands {
            self.stood[1].store(nanoseconds(now), Ordering::Relaxed);
        }
    }

    /// It goes on.
    pub(crate) fn go_on(&self, now: Duration) {
        let since = self.stood[1].swap(u64::MAX, Ordering::Relaxed);
        if self.stands {
            self.stood[0].fetch_add(nanoseconds(now) - since, Ordering::Relaxed);
        }
    }
}

/// A node that runs, as the checks see it.
pub(crate) struct Running {
    pub(crate) agreement: Arc<Agreement>,
    pub(crate) lease: Arc<Lease>,
    /// Slots that it is about to hand over, and does not serve.
    pub(crate) fenced: Arc<Mutex<Vec<Range>>>,
}

/// Where the checks find it.
pub(crate) type Place = Arc<Mutex<Option<Running>>>;

struct Simulation(Time);

impl Host for Simulation {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn has_keys(&self) -> bool {
        false
    }

    fn follows(&self, _: u64) -> Later<'_, ()> {
        // What it serves is read from the newest map.
        Box::pin(async {})
    }

    fn forget_everything(&self) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn rename(&self, _: NodeId) {}

    fn message(&self, _: NodeId, _: Vec<u8>) {}

    fn stream(&self, _: Connection) {}
}

/// What a node is.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) clock: Clock,
    pub(crate) zone: String,
    /// Where it is.
    pub(crate) ip: IpAddr,
    /// Whom it joins; nobody: it begins the cluster.
    pub(crate) join: Vec<IpAddr>,
    pub(crate) place: Place,
    pub(crate) broken: Option<Broken>,
}

/// Runs a node for ever.
pub(crate) async fn run(plan: Plan, network: Simulated, time: Time) -> io::Result<()> {
    let ip = plan.ip;
    let endpoint =
        Endpoint { ip, hostname: String::new(), port: 7000, tls_port: 0, bus_port: PORT };
    let join = plan.join.iter().map(|ip| SocketAddr::new(*ip, PORT));
    let options = Options {
        directory: plan.directory,
        endpoint,
        address_is_unknown: false,
        weight: 100,
        zone: plan.zone,
        replicas: 1,
        join: join.map(|address| address.to_string()).collect(),
        removal: dunlin::cluster::lease::REMOVAL,
        linger: Duration::from_secs(1),
        simulated: true,
    };
    let transport: Arc<dyn Transport> = Arc::new(network);
    let links = Links::new(Arc::clone(&transport), Secret::new("simulated"), None);
    let lease = Arc::new(Lease::default());
    let host: Arc<dyn Host> = Arc::new(Simulation(time.clone()));
    let (agreement, orders) =
        Agreement::open(options, host, Arc::clone(&links), Arc::clone(&lease))?;
    let fenced = Arc::new(Mutex::new(Vec::new()));
    let running = Running {
        agreement: Arc::clone(&agreement),
        lease: Arc::clone(&lease),
        fenced: Arc::clone(&fenced),
    };
    *plan.place.lock().unwrap() = Some(running);
    let listener = transport.listen(SocketAddr::new(ip, PORT)).await?;
    tokio::spawn(serve(links, listener, Arc::clone(&agreement) as _));
    tokio::spawn(keep(Arc::clone(&agreement), fenced, plan.broken));
    if plan.broken == Some(Broken::LeaseWithoutEnd) {
        tokio::spawn(hold_on(lease, time));
    }
    agreement.run(orders).await;
    Ok(())
}

/// Has a lease that was granted once last for ever.
async fn hold_on(lease: Arc<Lease>, time: Time) {
    loop {
        if lease.until() > 0 {
            lease.extend(time.now() + 1_000_000_000);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Does what the map wants of this node.
async fn keep(agreement: Arc<Agreement>, fenced: Arc<Mutex<Vec<Range>>>, broken: Option<Broken>) {
    let maps = agreement.map();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let map = Arc::clone(&maps.borrow());
        let me = agreement.life();
        if map.members.get(&me.node).is_none_or(|member| member.incarnation != me.incarnation) {
            continue;
        }
        if let Some((slots, to)) = next_move(&map, me.node) {
            hand_over(&agreement, &fenced, me, to, slots, broken).await;
        } else if let Some(change) = next_sync(&map, me) {
            let _ = agreement.propose(change).await;
        }
    }
}

fn next_move(map: &Map, me: NodeId) -> Option<(Vec<Range>, Life)> {
    let run = map.slots.zip(&map.goal).into_iter().find(|run| {
        let (holders, goal) = run.value;
        holders.owner == Some(me) && goal.owner.is_some_and(|owner| owner != me)
    })?;
    let to = run.value.1.owner?;
    let incarnation = map.members.get(&to)?.incarnation;
    let last = run.last.min(run.first + (BATCH - 1));
    Some((vec![(run.first, last)], Life { node: to, incarnation }))
}

fn next_sync(map: &Map, me: Life) -> Option<Change> {
    map.slots.zip(&map.goal).into_iter().find_map(|run| {
        let (holders, goal) = run.value;
        if holders.owner != Some(me.node) {
            return None;
        }
        let in_sync = |node| holders.backups().any(|backup| backup.node == node && backup.in_sync);
        let node = goal.backups.into_iter().flatten().find(|node| !in_sync(*node))?;
        let incarnation = map.members.get(&node)?.incarnation;
        let (slots, backup) = (vec![(run.first, run.last)], Life { node, incarnation });
        Some(Change::Sync { slots, owner: me, backup, in_sync: true })
    })
}

/// From the proposal on the slots are not served before it is known how it ended.
async fn hand_over(
    agreement: &Agreement,
    fenced: &Mutex<Vec<Range>>,
    from: Life,
    to: Life,
    slots: Vec<Range>,
    broken: Option<Broken>,
) {
    if broken != Some(Broken::NoFence) {
        *fenced.lock().unwrap() = slots.clone();
    }
    loop {
        let commit = agreement.propose(Change::Commit { slots: slots.clone(), from, to });
        let outcome = match broken {
            Some(Broken::Impatience) => match tokio::time::timeout(IMPATIENCE, commit).await {
                Ok(outcome) => outcome,
                Err(_) => break,
            },
            _ => commit.await,
        };
        match outcome {
            Ok(Verdict::Done | Verdict::Void(_)) | Err(Unsettled::NotProposed(_)) => break,
            Err(Unsettled::Unknown(_)) if agreement.life() != from => break,
            Err(Unsettled::Unknown(_)) => {}
        }
    }
    fenced.lock().unwrap().clear();
}
