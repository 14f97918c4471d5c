//! Nodes that agree over real sockets, in one process: they begin, join, come back and go.

use super::super::change::{Change, Gone, Life, Verdict};
use super::super::lease::Lease;
use super::super::link::{Connection, Links, Secret, Tcp, Transport, serve};
use super::super::map::Map;
use super::super::node::{Endpoint, NodeId};
use super::{Agreement, Host, Later, Meta, Options};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Nothing here takes this long; it is not what is tested.
const LONG: Duration = Duration::from_secs(60);

/// A server without anything.
struct Empty {
    start: Instant,
    has_keys: AtomicBool,
    forgotten: AtomicU32,
    renamed: AtomicU32,
    /// The epoch of the map that it acts on; a test says so.
    followed: watch::Sender<u64>,
}

impl Host for Empty {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap() + 1
    }

    fn has_keys(&self) -> bool {
        self.has_keys.load(Ordering::Relaxed)
    }

    fn follows(&self, epoch: u64) -> Later<'_, ()> {
        Box::pin(async move {
            let mut followed = self.followed.subscribe();
            followed.wait_for(|followed| *followed >= epoch).await.unwrap();
        })
    }

    fn forget_everything(&self) -> Later<'_, ()> {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {})
    }

    fn rename(&self, _: NodeId) {
        self.renamed.fetch_add(1, Ordering::Relaxed);
    }

    fn message(&self, _: NodeId, _: Vec<u8>) {}

    fn stream(&self, _: Connection) {}
}

/// Directories of a test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        Directory(std::env::temp_dir().join(format!("dunlin-meta-{name}-{}", std::process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Node {
    agreement: Arc<Agreement>,
    lease: Arc<Lease>,
    host: Arc<Empty>,
    address: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    async fn start(directory: &Directory, name: &str, change: impl FnOnce(&mut Options)) -> Node {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (ip, hostname) = (address.ip(), String::new());
        let endpoint = Endpoint { ip, hostname, port: 1, tls_port: 0, bus_port: address.port() };
        let mut options = Options {
            directory: directory.0.join(name),
            endpoint,
            address_is_unknown: false,
            weight: 100,
            zone: String::new(),
            replicas: 1,
            join: Vec::new(),
            removal: Duration::from_secs(3),
            linger: Duration::ZERO,
            simulated: false,
        };
        change(&mut options);
        let (has_keys, forgotten, renamed) = Default::default();
        let (start, followed) = (Instant::now(), watch::Sender::new(u64::MAX));
        let host = Arc::new(Empty { start, has_keys, forgotten, renamed, followed });
        let links = Links::new(Arc::new(Tcp) as Arc<dyn Transport>, Secret::new("s"), None);
        let lease = Arc::new(Lease::default());
        let served: Arc<dyn Host> = Arc::clone(&host) as Arc<dyn Host>;
        let opened = Agreement::open(options, served, Arc::clone(&links), Arc::clone(&lease));
        let (agreement, orders) = opened.unwrap();
        let service = Arc::clone(&agreement);
        let tasks = vec![
            tokio::spawn(serve(links, Box::new(socket), service)),
            tokio::spawn(Arc::clone(&agreement).run(orders)),
        ];
        Node { agreement, lease, host, address: address.to_string(), tasks }
    }

    fn id(&self) -> NodeId {
        self.agreement.me()
    }

    fn life(&self) -> Life {
        self.agreement.life()
    }

    /// Waits until the map is as it should be.
    async fn sees(&self, what: &str, is: impl FnMut(&Arc<Map>) -> bool) -> Arc<Map> {
        let mut map = self.agreement.map();
        let seen = timeout(LONG, map.wait_for(is)).await;
        let Ok(Ok(map)) = seen else {
            panic!("never: {what}: {:?}", self.agreement.map().borrow())
        };
        Arc::clone(&map)
    }

    async fn sees_members(&self, count: usize) -> Arc<Map> {
        self.sees(&format!("{count} members"), |map| map.members.len() == count).await
    }

    /// Waits for a lease, or that there is none.
    async fn has_lease(&self, is: bool) {
        let deadline = Instant::now() + LONG;
        while self.lease.lasts(self.host.now()) != is {
            assert!(Instant::now() < deadline, "lease: never {is}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many vote.
    async fn has_voters(&self, count: usize) {
        let deadline = Instant::now() + LONG;
        while self.agreement.voters() != count {
            assert!(Instant::now() < deadline, "never {count} voters");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn propose(&self, change: Change) -> Verdict {
        self.agreement.propose(change).await.unwrap()
    }

    /// Ends it like a kill: nothing is said to anybody.
    async fn kill(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
        self.agreement.kill().await;
    }
}

/// With `DUNLIN_LOG` set: what the nodes log.
fn log() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    if std::env::var_os("DUNLIN_LOG").is_some() {
        let levels = Targets::new().with_default(LevelFilter::TRACE);
        let levels = levels.with_target("openraft", LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer().with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(levels).with(lines);
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

fn run(future: impl Future<Output = ()>) {
    log();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// Three nodes that are members and may serve.
async fn three(directory: &Directory) -> [Node; 3] {
    let one = Node::start(directory, "one", |_| ()).await;
    one.sees_members(1).await;
    let (first, second) = (one.address.clone(), one.address.clone());
    let two = Node::start(directory, "two", |options| options.join = vec![first]).await;
    let three = Node::start(directory, "three", |options| options.join = vec![second]).await;
    for node in [&one, &two, &three] {
        node.sees_members(3).await;
        node.has_lease(true).await;
    }
    [one, two, three]
}

#[test]
fn one_node_owns_everything_and_comes_back_empty() {
    run(async {
        let directory = Directory::new("alone");
        let node = Node::start(&directory, "one", |_| ()).await;
        let map = node.sees_members(1).await;
        assert_eq!((map.owner(0), map.replicas), (Some(node.id()), 1));
        node.has_lease(true).await;
        let (id, life) = (node.id(), node.life());
        assert_eq!(node.propose(Change::Weight { node: id, weight: 7 }).await, Verdict::Done);
        assert_eq!(node.agreement.map().borrow().members[&id].weight, 7, "it is seen at once");
        let void = node.propose(Change::Weight { node: NodeId::default(), weight: 7 }).await;
        assert!(matches!(void, Verdict::Void(_)));
        node.kill().await;
        let node = Node::start(&directory, "one", |_| ()).await;
        assert_eq!(node.id(), id);
        assert!(node.life() > life);
        let incarnation = node.life().incarnation;
        let is_back = |map: &Arc<Map>| {
            map.members.get(&id).is_some_and(|member| member.incarnation == incarnation)
        };
        let map = node.sees("its next life", is_back).await;
        assert_eq!(map.members[&id].weight, 7, "what it was told holds");
        assert!(map.slots.get(0).empty_since > 1);
    });
}

#[test]
fn nodes_join_are_missed_and_come_back() {
    run(async {
        let directory = Directory::new("three");
        let [one, two, three] = three(&directory).await;
        assert!(one.agreement.map().borrow().is_moving());
        // Everybody may propose; the leader decides.
        for node in [&one, &two, &three] {
            let change = Change::Weight { node: node.id(), weight: 50 };
            assert_eq!(node.propose(change).await, Verdict::Done);
        }
        // Whoever is not there any more is removed, when its lease is over for certain.
        let gone = three.life();
        let granted = three.lease.until().saturating_sub(three.host.now());
        assert!(granted > 0);
        three.kill().await;
        let map = one.sees_members(2).await;
        assert_eq!(map.former[&gone.node].why, Gone::Silent);
        // It comes back as the same node in its next life.
        let address = one.address.clone();
        let three = Node::start(&directory, "three", |options| options.join = vec![address]).await;
        assert_eq!(three.id(), gone.node);
        two.sees_members(3).await;
        three.has_lease(true).await;
        // The one that began the cluster goes, and the others, who vote by now, go on.
        two.has_voters(3).await;
        let first = one.life();
        one.kill().await;
        let map = two.sees_members(2).await;
        assert!(map.former.contains_key(&first.node));
        two.has_lease(true).await;
        let change = Change::Weight { node: two.id(), weight: 60 };
        assert_eq!(three.propose(change).await, Verdict::Done);
    });
}

#[test]
fn nodes_meet_leave_and_are_forgotten() {
    run(async {
        let directory = Directory::new("meet");
        let one = Node::start(&directory, "one", |_| ()).await;
        let two = Node::start(&directory, "two", |_| ()).await;
        let three = Node::start(&directory, "three", |_| ()).await;
        for node in [&one, &two, &three] {
            node.sees_members(1).await;
        }
        assert!(one.agreement.meet("127.0.0.1:1".to_owned()).await.is_err());
        assert!(one.agreement.meet(one.address.clone()).await.is_err());
        // A node with keys does not join others, but they join it.
        one.host.has_keys.store(true, Ordering::Relaxed);
        one.agreement.meet(two.address.clone()).await.unwrap();
        one.sees_members(2).await;
        assert_eq!(two.host.forgotten.load(Ordering::Relaxed), 1);
        assert_eq!(one.host.forgotten.load(Ordering::Relaxed), 0);
        three.agreement.meet(two.address.clone()).await.unwrap();
        assert_eq!(three.agreement.map().borrow().members.len(), 3);
        three.agreement.meet(one.address.clone()).await.unwrap();
        // Who gives everything away may stay.
        three.has_lease(true).await;
        let leave = Change::Leave { node: three.id(), leaving: true };
        three.agreement.stay(true);
        assert_eq!(three.propose(leave.clone()).await, Verdict::Done);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(one.agreement.map().borrow().members[&three.id()].leaving);
        // Who leaves and owns nothing goes, and is out.
        three.agreement.stay(false);
        assert_eq!(three.propose(leave).await, Verdict::Done);
        let map = one.sees_members(2).await;
        assert_eq!(map.former[&three.id()].why, Gone::Left);
        three.has_lease(false).await;
        // Who was forgotten does not come back by itself.
        let remove = Change::Remove { life: two.life(), why: Gone::Forgotten };
        let lease = two.lease.until();
        assert!(two.lease.lasts(two.host.now()) && lease > 0);
        assert_eq!(one.propose(remove).await, Verdict::Done);
        assert!(!two.lease.lasts(two.host.now()), "not before its lease was over");
        two.has_lease(false).await;
        one.sees_members(1).await;
        // Both are of use again after a reset.
        let old = three.id();
        three.agreement.reset(true).await.unwrap();
        let map = three.sees_members(1).await;
        assert!(three.id() != old && map.members.contains_key(&three.id()));
        assert!(three.host.renamed.load(Ordering::Relaxed) > 0);
        three.has_lease(true).await;
        assert_eq!(three.lease.until(), u64::MAX, "it votes alone");
        let deadline = Instant::now() + LONG;
        while let Err(why) = two.agreement.reset(false).await {
            assert!(Instant::now() < deadline, "{why}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        two.sees_members(1).await;
        two.agreement.meet(one.address.clone()).await.unwrap();
        one.sees_members(2).await;
        two.has_lease(true).await;
        // After a hard reset it is somebody else, also when it starts again.
        let new = three.id();
        three.kill().await;
        let three = Node::start(&directory, "three", |_| ()).await;
        assert_eq!(three.id(), new);
    });
}

#[test]
fn an_owner_that_is_reset_is_followed_when_its_lease_is_over() {
    run(async {
        let directory = Directory::new("reset");
        let [one, _two, three] = three(&directory).await;
        let (from, to) = (one.life(), three.life());
        let commit = Change::Commit { slots: vec![(0, 0)], from, to };
        assert_eq!(one.propose(commit).await, Verdict::Done);
        three.sees("its slot", |map| map.owner(0) == Some(to.node)).await;
        three.has_lease(true).await;
        // It gives it up, and may be granted another before the leader hears that it goes.
        let until = three.lease.until();
        three.agreement.reset(false).await.unwrap();
        assert!(three.host.now() > until, "it could serve still");
    });
}

#[test]
fn a_node_that_votes_alone_needs_no_lease_until_others_vote() {
    run(async {
        let directory = Directory::new("lease");
        let one = Node::start(&directory, "one", |_| ()).await;
        one.sees_members(1).await;
        one.has_lease(true).await;
        assert_eq!(one.lease.until(), u64::MAX);
        let address = one.address.clone();
        let (first, second) = (address.clone(), address);
        let two = Node::start(&directory, "two", |options| options.join = vec![first]).await;
        let three = Node::start(&directory, "three", |options| options.join = vec![second]).await;
        one.has_voters(3).await;
        assert!(one.lease.until() < u64::MAX, "the others can elect another leader");
        // Nobody but the others can say now for how long it may serve.
        one.has_lease(true).await;
        two.kill().await;
        three.kill().await;
        one.has_lease(false).await;
    });
}

#[test]
fn a_lease_is_for_the_map_that_is_acted_on() {
    run(async {
        let directory = Directory::new("followed");
        let [one, two, three] = three(&directory).await;
        // It goes on with what it knew, and the leader counts on more.
        let epoch = three.agreement.map().borrow().epoch;
        three.host.followed.send_replace(epoch);
        let slots = vec![(0, 0)];
        let change = Change::Commit { slots, from: one.life(), to: two.life() };
        let grown = |map: &Arc<Map>| map.epoch > epoch;
        assert_eq!(one.propose(change).await, Verdict::Done);
        let newer = one.sees("a newer map", grown).await.epoch;
        three.has_lease(false).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!three.lease.lasts(three.host.now()));
        three.host.followed.send_replace(newer);
        three.has_lease(true).await;
    });
}

#[test]
fn who_knows_nobody_else_asks_the_one_it_was_told_of_again() {
    run(async {
        let directory = Directory::new("told");
        let nobody = |options: &mut Options| options.join = vec!["127.0.0.1:1".to_owned()];
        let node = Node::start(&directory, "one", nobody).await;
        let (told, address) = (NodeId::from(7), "127.0.0.1:2".parse().unwrap());
        node.agreement.look_elsewhere(Some((told, address)));
        // It did not answer in time.
        node.agreement.look_elsewhere(None);
        let target = node.agreement.leader().unwrap();
        assert_eq!((target.node, target.address), (Some(told), address));
    });
}

#[test]
fn who_comes_back_does_not_disturb_the_leader() {
    run(async {
        let directory = Directory::new("disturb");
        let [one, two, mut three] = three(&directory).await;
        one.has_voters(3).await;
        let term = one.agreement.status().term;
        for is_missed in [true, false] {
            let address = one.address.clone();
            three.kill().await;
            if is_missed {
                one.sees_members(2).await;
                // Its former self thinks that it votes, the others do not.
                one.has_voters(1).await;
            }
            three = Node::start(&directory, "three", |options| options.join = vec![address]).await;
            let life = three.life();
            let is_back = |map: &Arc<Map>| {
                map.members.get(&life.node).is_some_and(|me| me.incarnation == life.incarnation)
            };
            two.sees("it is back", is_back).await;
            three.has_lease(true).await;
            one.has_voters(3).await;
        }
        let status = one.agreement.status();
        assert_eq!((status.term, status.role), (term, "leader"));
    });
}

#[test]
fn without_a_quorum_nothing_is_decided_and_leases_end() {
    run(async {
        let directory = Directory::new("quorum");
        let [one, two, three] = three(&directory).await;
        one.has_voters(3).await;
        two.kill().await;
        three.kill().await;
        one.has_lease(false).await;
        let change = Change::Weight { node: one.id(), weight: 1 };
        assert!(one.agreement.propose(change).await.is_err());
        assert_eq!(one.agreement.map().borrow().members.len(), 3);
    });
}
