//! Load of one client for cluster.py: redis-rs (blocking, or asynchronous) or fred. See cluster_load.py.

use fred::prelude::{Builder, ClientLike, Config, KeysInterface, ReconnectPolicy};
use std::collections::HashMap;
use std::io::BufRead as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many commands are under way at once, each for keys of its own.
const WORKERS: u64 = 4;
const KEYS: u64 = 250;
const PAUSE: Duration = Duration::from_millis(8);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
/// A command that has taken longer has met with trouble.
const SLOW: Duration = Duration::from_secs(1);

/// What was done in a phase.
#[derive(Default)]
struct Told {
    done: u64,
    errors: u64,
    limits: u64,
    wrong: u64,
    longest: f64,
    /// When the last command ended that failed or was slow.
    trouble: f64,
    first: Option<String>,
}

impl Told {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "done": self.done, "errors": self.errors, "wrong": self.wrong, "limits": self.limits,
            "longest": self.longest, "trouble": self.trouble, "first": self.first,
        })
    }
}

#[derive(Clone, Default)]
struct Board(Arc<Mutex<Told>>);

impl Board {
    fn with<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, took: Duration, outcome: &Outcome) {
        self.with(|told| {
            told.done += 1;
            told.longest = told.longest.max(took.as_secs_f64());
            if took > SLOW || matches!(outcome, Outcome::Error(_)) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                told.trouble = now.map_or(0.0, |now| now.as_secs_f64());
            }
            let text = match outcome {
                Outcome::Right => return,
                Outcome::Limit(text) => {
                    told.limits += 1;
                    text
                }
                Outcome::Error(text) => {
                    told.errors += 1;
                    text
                }
                Outcome::Wrong(text) => {
                    told.wrong += 1;
                    text
                }
            };
            told.first.get_or_insert_with(|| text.clone());
        });
    }
}

enum Outcome {
    Right,
    Error(String),
    /// The client's own, whoever serves.
    Limit(String),
    Wrong(String),
}

impl Outcome {
    fn has_failed(&self) -> bool {
        matches!(self, Outcome::Error(_) | Outcome::Limit(_))
    }
}

/// The blocking client of redis-rs forgets no node that has gone, if no MOVED came after its last slots
/// had: it reads the map anew only after MOVED, and gives up when one of its connections is dead then.
const DEAD: [&str; 4] = ["refused", "Broken pipe", "end of file", "reset by peer"];

/// What a worker does, and what it knows of its keys.
struct Work {
    worker: u64,
    count: u64,
    /// Values that were acknowledged; what a command that failed has done is not known.
    last: HashMap<String, u64>,
}

/// What is done next: with a value it is set.
struct Step {
    key: String,
    value: Option<u64>,
}

impl Work {
    fn new(worker: u64) -> Self {
        Work { worker, count: 0, last: HashMap::new() }
    }

    fn next(&mut self, name: &str) -> Step {
        self.count += 1;
        // All keys are set, and then read, in turns.
        let key = format!("{name}:{}:{}", self.worker, self.count * 7 % KEYS);
        let value = (self.count / KEYS).is_multiple_of(2).then_some(self.count);
        Step { key, value }
    }

    fn outcome(&mut self, step: Step, answer: Result<Option<u64>, String>) -> Outcome {
        let Step { key, value } = step;
        let verb = if value.is_some() { "SET" } else { "GET" };
        match (value, answer) {
            (_, Err(error)) => {
                if value.is_some() {
                    self.last.remove(&key);
                }
                let text = format!("{verb} {key}: {error}");
                match key.starts_with("redis-rs:") && DEAD.iter().any(|dead| error.contains(dead)) {
                    true => Outcome::Limit(text),
                    false => Outcome::Error(text),
                }
            }
            (Some(value), Ok(_)) => {
                self.last.insert(key, value);
                Outcome::Right
            }
            (None, Ok(got)) => match (self.last.get(&key), got) {
                (Some(known), Some(got)) if *known != got => {
                    Outcome::Wrong(format!("{key}: {got} for {known}"))
                }
                _ => Outcome::Right,
            },
        }
    }
}

fn redis_rs(name: &'static str, urls: &[String], board: &Board) {
    let client = redis::cluster::ClusterClient::new(urls.to_vec()).expect("a client");
    for worker in 0..WORKERS {
        let mut connection = client.get_connection().expect("a connection");
        let (mut work, board) = (Work::new(worker), board.clone());
        std::thread::spawn(move || {
            loop {
                let step = work.next(name);
                let began = Instant::now();
                let answer: Result<Option<u64>, _> = match step.value {
                    Some(value) => redis::cmd("SET")
                        .arg(&step.key)
                        .arg(value)
                        .exec(&mut connection)
                        .map(|()| None),
                    None => redis::cmd("GET").arg(&step.key).query(&mut connection),
                };
                let outcome = work.outcome(step, answer.map_err(|error| error.to_string()));
                board.tell(began.elapsed(), &outcome);
                std::thread::sleep(pause(&outcome));
            }
        });
    }
}

async fn redis_rs_async(name: &'static str, urls: &[String], board: &Board) {
    let client = redis::cluster::ClusterClient::new(urls.to_vec()).expect("a client");
    let connection = client.get_async_connection().await.expect("a connection");
    for worker in 0..WORKERS {
        let (mut work, board, mut connection) =
            (Work::new(worker), board.clone(), connection.clone());
        tokio::spawn(async move {
            loop {
                let step = work.next(name);
                let began = Instant::now();
                let answer: Result<Option<u64>, _> = match step.value {
                    Some(value) => {
                        let set = redis::cmd("SET").arg(&step.key).arg(value).clone();
                        set.exec_async(&mut connection).await.map(|()| None)
                    }
                    None => redis::cmd("GET").arg(&step.key).query_async(&mut connection).await,
                };
                let outcome = work.outcome(step, answer.map_err(|error| error.to_string()));
                board.tell(began.elapsed(), &outcome);
                tokio::time::sleep(pause(&outcome)).await;
            }
        });
    }
}

async fn fred(name: &'static str, ports: &[String], board: &Board) {
    let (first, others) = ports.split_first().expect("a port");
    let others: Vec<String> = others.iter().map(|port| format!("node=127.0.0.1:{port}")).collect();
    let url = format!("redis-cluster://127.0.0.1:{first}?{}", others.join("&"));
    let config = Config::from_url(&url).expect("an address");
    let policy = ReconnectPolicy::new_constant(0, 50);
    let client = Builder::from_config(config)
        .set_policy(policy)
        // As the others; by itself it gives up after three.
        .with_connection_config(|config| config.max_command_attempts = 16)
        .build()
        .expect("a client");
    client.init().await.expect("a connection");
    for worker in 0..WORKERS {
        let (mut work, board, client) = (Work::new(worker), board.clone(), client.clone());
        tokio::spawn(async move {
            loop {
                let step = work.next(name);
                let began = Instant::now();
                let answer: Result<Option<u64>, _> = match step.value {
                    Some(value) => {
                        let set = client.set::<(), _, _>(&step.key, value, None, None, false);
                        set.await.map(|()| None)
                    }
                    None => client.get(&step.key).await,
                };
                let outcome = work.outcome(step, answer.map_err(|error| error.to_string()));
                board.tell(began.elapsed(), &outcome);
                tokio::time::sleep(pause(&outcome)).await;
            }
        });
    }
}

fn pause(outcome: &Outcome) -> Duration {
    if outcome.has_failed() { PAUSE_AFTER_ERROR } else { PAUSE }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("the name of a client");
    let ports: Vec<String> = args.collect();
    let urls: Vec<String> = ports.iter().map(|port| format!("redis://127.0.0.1:{port}/")).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let board = Board::default();
    match name.as_str() {
        "redis-rs" => redis_rs("redis-rs", &urls, &board),
        "redis-rs-async" => runtime.block_on(redis_rs_async("redis-rs-async", &urls, &board)),
        "fred" => runtime.block_on(fred("fred", &ports, &board)),
        _ => panic!("no such client: {name}"),
    }
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "" => println!("{}", board.with(|told| told.json())),
            _ => board.with(|told| *told = Told::default()),
        }
    }
    // The workers have no end of their own.
    std::process::exit(0);
}
