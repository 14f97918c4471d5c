//! The cluster clients of Rust, redis-rs and fred, through a join, a leave and a rolling restart: what
//! they give to their user is never an error. (Those of other languages: `.ci/clients/cluster.py`.)

use super::super::support::{Client, alone};
use super::nodes::Nodes;
use fred::prelude::*;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

/// Between two commands: the machine is shared with the servers.
const PAUSE: Duration = Duration::from_millis(1);
const KEYS: u64 = 500;

/// What one client does. Each has keys of its own, so it reads what it has written.
#[derive(Default)]
struct Work {
    name: &'static str,
    stop: AtomicBool,
    done: AtomicU64,
    /// What happens, for messages.
    phase: Mutex<String>,
}

impl Work {
    /// The next key and value, until the end.
    fn next(&self) -> Option<(String, u64)> {
        let count = self.done.fetch_add(1, SeqCst);
        (!self.stop.load(SeqCst)).then(|| (format!("{}:{}", self.name, count % KEYS), count))
    }

    fn of(name: &'static str) -> Self {
        Work { name, ..Work::default() }
    }

    fn begin(&self, phase: &str) {
        phase.clone_into(&mut self.phase.lock().expect("no panic with the lock"));
    }

    fn failed(&self, command: &str, key: &str, error: impl std::fmt::Display) -> String {
        format!("{}: {command} {key}: {error}", self.phase.lock().expect("no panic with the lock"))
    }
}

fn redis_rs<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope Work,
    nodes: &Nodes,
) -> ScopedJoinHandle<'scope, Result<(), String>> {
    let urls = nodes.addresses().into_iter().map(|address| format!("redis://{address}/"));
    let urls: Vec<String> = urls.collect();
    scope.spawn(move || {
        let client = redis::cluster::ClusterClient::new(urls).map_err(|e| e.to_string())?;
        let mut connection = client.get_connection().map_err(|e| e.to_string())?;
        while let Some((key, value)) = work.next() {
            let set = redis::cmd("SET").arg(&key).arg(value).exec(&mut connection);
            set.map_err(|error| work.failed("SET", &key, error))?;
            let got: Result<u64, _> = redis::cmd("GET").arg(&key).query(&mut connection);
            let got = got.map_err(|error| work.failed("GET", &key, error))?;
            assert_eq!(got, value, "{key}");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    })
}

fn fred<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope Work,
    nodes: &Nodes,
) -> ScopedJoinHandle<'scope, Result<(), String>> {
    let others = [1, 2].map(|at| format!("node={}", nodes.address(at))).join("&");
    let url = format!("redis-cluster://{}?{others}", nodes.address(0));
    scope.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(async {
            let config = Config::from_url(&url).map_err(|e| e.to_string())?;
            let policy = ReconnectPolicy::new_constant(0, 50);
            let client = Builder::from_config(config).set_policy(policy).build();
            let client = client.map_err(|e| e.to_string())?;
            client.init().await.map_err(|e| e.to_string())?;
            while let Some((key, value)) = work.next() {
                let set: Result<(), Error> = client.set(&key, value, None, None, false).await;
                set.map_err(|error| work.failed("SET", &key, error))?;
                let got: Result<u64, Error> = client.get(&key).await;
                let got = got.map_err(|error| work.failed("GET", &key, error))?;
                assert_eq!(got, value, "{key}");
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        })
    })
}

/// A fourth node comes, the first one goes, and all that stay are started anew, one after the other.
fn changes(nodes: &mut Nodes, begin: impl Fn(&str)) {
    begin("join");
    let fourth = nodes.start();
    nodes.tool(&["add-node", &nodes.address(fourth), &nodes.address(1)]);
    nodes.settle();
    begin("leave");
    nodes.tool(&["del-node", &nodes.address(0)]);
    nodes.settle_with(3);
    for at in 1..4 {
        begin(&format!("end of {at}"));
        nodes.end(at);
        begin(&format!("restart of {at}"));
        nodes.restart(at);
        nodes.settle_with(3);
    }
}

/// What the first connection is told that a node takes.
fn first_answer(address: SocketAddr) -> String {
    loop {
        let answer = Client::tcp(address)
            .ok()
            .and_then(|mut client| client.try_recv_after(b"CLUSTER NODES\r\n").ok());
        match answer {
            Some(answer) => return answer.text(),
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_node_that_is_started_again_knows_its_cluster_from_the_first_question() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &[]);
    for at in [0, 1, 2] {
        nodes.end(at);
        let address = nodes.nodes[at].address();
        let asker = std::thread::spawn(move || first_answer(address));
        nodes.restart(at);
        let told = asker.join().expect("an answer");
        assert!(told.contains("myself,master -") && told.lines().count() == 3, "{told}");
        nodes.settle();
    }
}

// Found so far: SIGTERM of a node whose slots did not move within shutdown-timeout.
#[ignore = "part of the long form"]
#[test]
fn redis_rs_and_fred_see_nothing_of_changes() {
    let _alone = alone();
    let mut nodes = Nodes::cluster(3, &["--cluster-linger", "5"]);
    let (one, other) = (Work::of("redis-rs"), Work::of("fred"));
    std::thread::scope(|scope| {
        let clients =
            [("redis-rs", redis_rs(scope, &one, &nodes)), ("fred", fred(scope, &other, &nodes))];
        // Also when it panics, so that the clients end.
        let begin = |phase: &str| [&one, &other].iter().for_each(|work| work.begin(phase));
        let changed =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| changes(&mut nodes, begin)));
        one.stop.store(true, SeqCst);
        other.stop.store(true, SeqCst);
        for (name, client) in clients {
            let outcome = client.join().expect("the client works");
            assert_eq!(outcome, Ok(()), "{name}");
        }
        assert!(changed.is_ok());
    });
    assert!(one.done.load(SeqCst) > 100 && other.done.load(SeqCst) > 100);
}
