//! What a cluster promises, checked while it changes.
//!
//! - **Registers.** Each key has one writer, who writes rising numbers. A read is a miss, if misses are
//!   allowed, or a number between the last one that was acknowledged before it began and the last one
//!   that was sent before it ended. In linear time, that is all there is to say about one writer.
//! - **Cells.** Several clients change the same keys, and what they see is linear ([`cells`]). That holds
//!   while no owner crashes.

use super::super::support::{Client, Rng, Value};
use super::cells::{self, Cells, Seen};
use super::client::Router;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Registers that a writer writes to at a time.
const KEYS: usize = 150;
/// Of two writers, one has the even registers and the other one the odd ones.
const WRITERS: usize = 2;
/// Registers that there are in a whole test.
const MOST: usize = 20_000;
/// How long one who insists tries to connect.
const INSISTS: Duration = Duration::from_secs(1);
/// Between two commands of a client: the machine is shared with the servers.
const PAUSE: Duration = Duration::from_micros(500);

/// What may happen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Faults {
    /// Nodes come and go as they should: nothing is lost.
    None,
    /// Nodes crash, and every acknowledged write has a copy: registers lose nothing.
    Copied,
    /// Memory of nodes is lost: reads may miss.
    Lost,
}

#[derive(Default)]
struct Register {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    /// Values up to this one are gone for ever.
    erased: AtomicU64,
    /// A miss is no fault while no later value than this one was acknowledged.
    missable: AtomicU64,
}

/// What is known of a register before it is read.
#[derive(Clone, Copy)]
struct Before {
    acknowledged: u64,
    erased: u64,
}

impl Register {
    fn before(&self) -> Before {
        let [acknowledged, erased] = [&self.acknowledged, &self.erased].map(|x| x.load(SeqCst));
        Before { acknowledged, erased }
    }
}

struct Shared {
    registers: Vec<Register>,
    /// Registers that each writer has begun to use.
    used: [AtomicUsize; WRITERS],
    faults: Faults,
    stop: AtomicBool,
    reads: AtomicU64,
    misses: AtomicU64,
    wrong: Mutex<Vec<String>>,
    /// What happens, for messages, and when all began.
    phase: Mutex<&'static str>,
    began: Instant,
}

impl Shared {
    /// Judges what a read has found.
    fn judge(&self, at: usize, before: Before, found: &Value, who: (&str, SocketAddr)) {
        self.reads.fetch_add(1, SeqCst);
        let register = &self.registers[at];
        let (low, high) = (before.acknowledged, register.sent.load(SeqCst));
        let fault = match found {
            Value::NullBulk => {
                self.misses.fetch_add(u64::from(low > 0), SeqCst);
                let is_missable = low <= register.missable.load(SeqCst);
                (!is_missable && self.faults != Faults::Lost).then(|| "a miss".to_owned())
            }
            Value::Bulk(text) => {
                let text = String::from_utf8_lossy(text);
                let value: u64 = text.parse().unwrap_or(u64::MAX);
                let is_right = (low..=high).contains(&value) && value > before.erased;
                (!is_right).then(|| format!("{text}"))
            }
            other => Some(format!("{other:?}")),
        };
        if let Some(fault) = fault {
            let phase = *self.phase.lock().expect("no panic with the lock");
            let (slot, erased) = (dunlin::cluster::slot::of(key(at).as_bytes()), before.erased);
            let ((who, node), time) = (who, self.began.elapsed().as_millis());
            let text = format!(
                "{phase}, {time} ms: {who} of {node}: key {at} in slot {slot} from {low} to {high}, \
                 up to {erased} erased: {fault}"
            );
            self.wrong.lock().expect("no panic with the lock").push(text);
        }
    }

    /// One of the registers in use.
    fn any(&self, rng: &mut Rng) -> usize {
        let writer = rng.below(WRITERS);
        rng.below(self.used[writer].load(SeqCst)) * WRITERS + writer
    }

    /// All registers in use.
    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        (0..WRITERS).flat_map(|writer| {
            (0..self.used[writer].load(SeqCst)).map(move |number| number * WRITERS + writer)
        })
    }

    fn goes_on(&self) -> bool {
        std::thread::sleep(PAUSE);
        !self.stop.load(SeqCst)
    }
}

fn key(at: usize) -> String {
    format!("register:{at}")
}

/// Clients at work.
pub(super) struct Checker {
    shared: Arc<Shared>,
    routers: Vec<JoinHandle<Router>>,
    cells: Vec<JoinHandle<Seen>>,
    others: Vec<JoinHandle<()>>,
    nodes: Vec<SocketAddr>,
}

/// How it went.
pub(super) struct Report {
    pub(super) reads: u64,
    pub(super) misses: u64,
    /// Commands on cells.
    pub(super) calls: usize,
    /// The longest that a client waited for one answer.
    pub(super) longest: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { reads, misses, calls, longest } = self;
        write!(f, "{reads} reads ({misses} misses), {calls} calls on cells, {longest:?} at most")
    }
}

impl Checker {
    /// Sets clients to work.
    pub(super) fn start(nodes: &[SocketAddr], faults: Faults) -> Self {
        let registers = (0..MOST).map(|_| Register::default()).collect();
        let shared = Arc::new(Shared {
            registers,
            used: std::array::from_fn(|_| AtomicUsize::new(KEYS)),
            faults,
            stop: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            wrong: Mutex::new(Vec::new()),
            phase: Mutex::new(""),
            began: Instant::now(),
        });
        let mut checker = Checker {
            shared,
            routers: Vec::new(),
            cells: Vec::new(),
            others: Vec::new(),
            nodes: nodes.to_vec(),
        };
        for seed in 0..WRITERS {
            checker.spawn(move |shared, router| write(&shared, router, seed));
            checker.spawn(move |shared, router| read(&shared, router, seed));
        }
        if faults == Faults::None {
            let cells = Arc::new(Cells::new());
            for seed in 0..3 {
                let (shared, router) = (Arc::clone(&checker.shared), Router::new(nodes));
                let cells = Arc::clone(&cells);
                let work = move || change(&shared, router, &cells, seed);
                checker.cells.push(std::thread::spawn(work));
            }
        }
        checker
    }

    fn spawn(&mut self, work: impl FnOnce(Arc<Shared>, Router) -> Router + Send + 'static) {
        let (shared, router) = (Arc::clone(&self.shared), Router::new(&self.nodes));
        self.routers.push(std::thread::spawn(move || work(shared, router)));
    }

    /// One more client reads from one node only, on one connection for as long as that lasts, whatever
    /// others say of the node.
    pub(super) fn insist(&mut self, node: SocketAddr) {
        let shared = Arc::clone(&self.shared);
        self.others.push(std::thread::spawn(move || insist(&shared, node)));
    }

    /// Does what erases all keys: what was acknowledged before it may not be seen after it. Registers
    /// only; cells know nothing of it.
    pub(super) fn erase(&self, erase: impl FnOnce()) {
        let all: Vec<usize> = self.shared.all().collect();
        let register = |at: usize| &self.shared.registers[at];
        let before: Vec<u64> = all.iter().map(|at| register(*at).before().acknowledged).collect();
        all.iter().for_each(|at| register(*at).missable.store(u64::MAX, SeqCst));
        erase();
        for (at, before) in all.iter().zip(before) {
            register(*at).erased.store(before, SeqCst);
            register(*at).missable.store(register(*at).sent.load(SeqCst), SeqCst);
        }
    }

    /// What happens from now on, for messages.
    pub(super) fn phase(&self, name: &'static str) {
        println!("{} ms: {name}", self.shared.began.elapsed().as_millis());
        *self.shared.phase.lock().expect("no panic with the lock") = name;
    }

    /// Lets them work for a while.
    pub(super) fn work(&self, while_: Duration) {
        std::thread::sleep(while_);
    }

    /// Ends the work; nothing may have been wrong.
    #[track_caller]
    pub(super) fn end(self) -> Report {
        self.shared.stop.store(true, SeqCst);
        let mut longest = Duration::ZERO;
        for router in self.routers {
            longest = longest.max(router.join().expect("a client works").longest);
        }
        for other in self.others {
            other.join().expect("a client works");
        }
        let seen: Vec<Seen> =
            self.cells.into_iter().map(|one| one.join().expect("a client works")).collect();
        let mut router = Router::new(&self.nodes);
        for at in self.shared.all() {
            let before = self.shared.registers[at].before();
            let found = router.repeat(&["GET", &key(at)]);
            self.shared.judge(at, before, &found, ("at the end", router.asked));
        }
        let calls = seen.iter().map(Vec::len).sum();
        let mut wrong = cells::judge(seen);
        wrong.append(&mut self.shared.wrong.lock().expect("no panic with the lock"));
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), first(&wrong));
        let (reads, misses) = (self.shared.reads.load(SeqCst), self.shared.misses.load(SeqCst));
        assert!(reads > 100, "only {reads} reads");
        let report = Report { reads, misses, calls, longest };
        println!("{report}");
        report
    }
}

fn first(wrong: &[String]) -> String {
    wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
}

/// A write without an answer may still be on its way to a server that is slow, so nothing more is
/// written to its key; there is another one instead.
fn write(shared: &Shared, mut router: Router, seed: usize) -> Router {
    let mut rng = Rng::new(seed as u64);
    let mut numbers: Vec<usize> = (0..KEYS).collect();
    while shared.goes_on() {
        let place = rng.below(KEYS);
        let at = numbers[place] * WRITERS + seed;
        let register = &shared.registers[at];
        let value = register.sent.fetch_add(1, SeqCst) + 1;
        match router.once(&["SET", &key(at), &value.to_string()]) {
            Ok(reply) if reply == Value::ok() => register.acknowledged.store(value, SeqCst),
            Ok(other) => panic!("{other:?}"),
            Err(_) => numbers[place] = shared.used[seed].fetch_add(1, SeqCst),
        }
    }
    router
}

fn read(shared: &Shared, mut router: Router, seed: usize) -> Router {
    let mut rng = Rng::new(100 + seed as u64);
    while shared.goes_on() {
        let at = shared.any(&mut rng);
        let before = shared.registers[at].before();
        let found = router.repeat(&["GET", &key(at)]);
        shared.judge(at, before, &found, ("a reader", router.asked));
    }
    router
}

fn insist(shared: &Shared, node: SocketAddr) {
    let (mut rng, mut connection) = (Rng::new(u64::from(node.port())), None);
    while shared.goes_on() {
        let Some(client) = connection.as_mut() else {
            connection = Client::tcp_within(node, INSISTS).ok();
            continue;
        };
        let at = shared.any(&mut rng);
        let before = shared.registers[at].before();
        let get = format!("GET {}\r\n", key(at));
        match Client::try_recv_after(client, get.as_bytes()) {
            Ok(Value::Error(_)) => {}
            Ok(found) => shared.judge(at, before, &found, ("one who insists", node)),
            Err(_) => connection = None,
        }
    }
}

fn change(shared: &Shared, mut router: Router, cells: &Cells, seed: u64) -> Seen {
    let (mut rng, mut seen) = (Rng::new(200 + seed), Vec::new());
    while shared.goes_on() {
        cells.step(&mut router, &mut rng, &mut seen);
    }
    seen
}
