//! A simulated node: agreement, and in place of the data plane somebody who does at once what the map
//! wants of this node. It fences what it hands over, as the data plane does.

use super::broken::Broken;
use super::network::Simulated;
use dunlin::cluster::change::{Change, Life, Range, Verdict};
use dunlin::cluster::lease::Lease;
use dunlin::cluster::link::{Connection, Links, Secret, Transport, serve};
use dunlin::cluster::map::Map;
use dunlin::cluster::meta::{Agreement, Host, Later, Meta, Options, Unsettled};
use dunlin::cluster::node::{Endpoint, NodeId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The port of links.
pub(crate) const PORT: u16 = 17_000;
/// Slots that are handed over at once.
const BATCH: u16 = 2048;
/// How long who is broken so waits for the outcome of a commit.
const IMPATIENCE: Duration = Duration::from_millis(50);

/// The clock of a node, which has nothing to do with those of others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What it shows in the beginning.
    pub(crate) start: u64,
    /// It runs at half the speed.
    pub(crate) is_slow: bool,
}

impl Clock {
    /// What it shows after so long.
    pub(crate) fn at(self, elapsed: Duration) -> u64 {
        let elapsed = u64::try_from(elapsed.as_nanos()).expect("a short run");
        self.start + if self.is_slow { elapsed / 2 } else { elapsed }
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

struct Simulation(Clock);

impl Host for Simulation {
    fn now(&self) -> u64 {
        self.0.at(turmoil::sim_elapsed().expect("within the simulation"))
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
    /// Whom it joins; nobody: it begins the cluster.
    pub(crate) join: Vec<String>,
    pub(crate) place: Place,
    pub(crate) broken: Option<Broken>,
}

/// Runs a node for ever.
pub(crate) async fn run(plan: Plan) -> turmoil::Result {
    let ip = turmoil::lookup(plan.name.as_str());
    let endpoint =
        Endpoint { ip, hostname: String::new(), port: 7000, tls_port: 0, bus_port: PORT };
    let join = plan.join.iter().map(|name| SocketAddr::new(turmoil::lookup(name.as_str()), PORT));
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
    let transport: Arc<dyn Transport> = Arc::new(Simulated);
    let links = Links::new(Arc::clone(&transport), Secret::new("simulated"), None);
    let lease = Arc::new(Lease::default());
    let host: Arc<dyn Host> = Arc::new(Simulation(plan.clock));
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
        tokio::spawn(hold_on(lease, plan.clock));
    }
    agreement.run(orders).await;
    Ok(())
}

/// Has a lease that was granted once last for ever.
async fn hold_on(lease: Arc<Lease>, clock: Clock) {
    loop {
        if lease.until() > 0 {
            let now = clock.at(turmoil::sim_elapsed().expect("within the simulation"));
            lease.extend(now + 1_000_000_000);
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
