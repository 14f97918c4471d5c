//! Clients that keep what they read until they are told otherwise, while others write: when all is
//! quiet, nobody has kept what is not there any more.

use crate::support::{Client, Rng, Server, Value};
use crate::until;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const KEYS: usize = 60;
const WRITES: usize = 6_000;

fn key(rng: &mut Rng) -> String {
    let kind = rng.pick(&["s", "l", "h", "big"]);
    format!("{kind}{}", rng.below(KEYS))
}

/// The command that reads a key as a whole.
fn read(key: &str) -> String {
    match &key[..1] {
        "s" => format!("GET {key}"),
        "l" => format!("LRANGE {key} 0 -1"),
        "h" => format!("HGETALL {key}"),
        _ => format!("SCARD {key}"),
    }
}

/// A client with a cache that only messages empty.
struct Cache {
    client: Client,
    values: HashMap<String, Value>,
    opt_in: bool,
    no_loop: bool,
    /// Names and prefixes of what it was told.
    told: u64,
}

impl Cache {
    fn new(server: &Server, options: &str) -> Cache {
        let mut client = server.client3();
        assert_eq!(client.run(&format!("CLIENT TRACKING ON {options}")), Value::ok());
        let (opt_in, no_loop) = (options.contains("OPTIN"), options.contains("NOLOOP"));
        Cache { client, values: HashMap::new(), opt_in, no_loop, told: 0 }
    }

    /// The next reply; messages before it are heeded.
    fn reply(&mut self) -> Value {
        loop {
            match self.client.recv() {
                Value::Push(items) if items[1].is_null() => {
                    self.values.clear();
                    self.told += 1;
                }
                Value::Push(items) => {
                    for name in items[1].items() {
                        self.values.remove(&name.text());
                        self.told += 1;
                    }
                }
                reply => return reply,
            }
        }
    }

    /// Reads keys in one pipeline, some twice, some in a transaction.
    fn read(&mut self, keys: &[String], in_transaction: bool) {
        let mut text = String::new();
        let optional = if self.opt_in { "CLIENT CACHING YES\r\n" } else { "" };
        if in_transaction {
            text.push_str(&format!("{optional}MULTI\r\n"));
        }
        for key in keys {
            let optional = if in_transaction { "" } else { optional };
            text.push_str(&format!("{optional}{}\r\n", read(key)));
        }
        if in_transaction {
            text.push_str("EXEC\r\n");
        }
        self.client.send(text.as_bytes());
        if in_transaction {
            let queued = keys.len() + 1 + usize::from(self.opt_in);
            (0..queued).for_each(|_| drop(self.reply()));
            let values = self.reply().items();
            self.values.extend(keys.iter().cloned().zip(values));
            return;
        }
        for key in keys {
            if self.opt_in {
                self.reply();
            }
            let value = self.reply();
            self.values.insert(key.clone(), value);
        }
    }

    /// Writes a key itself: with NOLOOP it has to forget it by itself.
    fn write(&mut self, rng: &mut Rng) {
        let key = format!("s{}", rng.below(KEYS));
        self.client.send(format!("SET {key} {}\r\n", rng.next()).as_bytes());
        self.reply();
        if self.no_loop {
            self.values.remove(&key);
        }
    }

    fn run(&mut self, mut rng: Rng, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let keys: Vec<String> = (0..1 + rng.below(8)).map(|_| key(&mut rng)).collect();
            self.read(&keys, rng.chance(1, 5));
            if rng.chance(1, 10) {
                self.write(&mut rng);
            }
        }
    }

    /// What it has kept that is not so. What it was sent has come when PING is answered.
    fn stale(&mut self, control: &mut Client) -> Vec<String> {
        self.client.send(b"PING\r\n");
        self.reply();
        let is_stale = |(key, value): (&String, &Value)| {
            let now = control.run(&read(key));
            (now != *value).then(|| format!("{key}: {value:?} instead of {now:?}"))
        };
        self.values.iter().filter_map(is_stale).collect()
    }
}

fn write(client: &mut Client, rng: &mut Rng, number: u64) {
    let (i, j) = (rng.below(KEYS), rng.below(KEYS));
    let lines = match rng.below(24) {
        0..6 => format!("SET s{i} {number}"),
        6 => format!("SET s{i} {number} PX {}", 1 + rng.below(50)),
        7 => format!("MSET s{i} {number} s{j} {number}"),
        8 => format!("DEL s{i} l{i} h{j} big{j}"),
        9 => format!("RENAME s{i} s{j}"),
        10 => format!("PEXPIRE l{i} {}", rng.below(50)),
        11..14 => format!("LPUSH l{i} {number}"),
        14 => format!("LPOP l{i} 2"),
        15..18 => format!("HSET h{i} f{} {number}", rng.below(20)),
        18 => format!("HPEXPIRE h{i} {} FIELDS 2 f1 f2", 1 + rng.below(50)),
        19 => format!(
            "SADD big{i} {}",
            (0..50).map(|_| rng.next().to_string()).collect::<Vec<_>>().join(" ")
        ),
        20 => format!("SPOP big{i} 10"),
        21 => format!(
            "MULTI\r\nSET s{i} {number}\r\nDEL s{j}\r\nSET s{j} {number}\r\nLPUSH l{i} 1\r\nEXEC"
        ),
        22 if rng.chance(1, 100) => "FLUSHDB".to_owned(),
        22 => format!("APPEND s{i} x"),
        _ => format!("SET filler:{} {}", rng.next(), "f".repeat(2000)),
    };
    client.send(format!("{lines}\r\n").as_bytes());
    (0..lines.lines().count()).for_each(|_| drop(client.recv()));
}

fn caches_hold_what_is_there(args: &[&str]) {
    let server = &Server::dunlin_unhurried(args);
    let seed = Rng::random_seed();
    println!("seed {seed}");
    let options = [
        "",
        "NOLOOP",
        "OPTIN",
        "OPTOUT NOLOOP",
        "BCAST",
        "BCAST NOLOOP PREFIX s PREFIX l PREFIX h PREFIX big",
    ];
    let mut caches: Vec<Cache> = options.iter().map(|line| Cache::new(server, line)).collect();
    let (stop, number) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (i, cache) in caches.iter_mut().enumerate() {
            let stop = &stop;
            scope.spawn(move || cache.run(Rng::part(seed, i as u64), stop));
        }
        let writers: Vec<_> = (0..3)
            .map(|i| {
                let (mut client, mut rng) = (server.client(), Rng::part(seed, 100 + i));
                let number = &number;
                scope.spawn(move || {
                    for _ in 0..WRITES {
                        write(&mut client, &mut rng, number.fetch_add(1, Ordering::Relaxed));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        stop.store(true, Ordering::Relaxed);
    });
    let mut control = server.client();
    control.run("HELLO 3");
    for (cache, options) in caches.iter_mut().zip(options) {
        let mut stale = Vec::new();
        // A key whose time is over is gone to readers at once, and to caches when it is removed.
        until(&format!("{options}: nothing is stale"), || {
            stale = cache.stale(&mut control);
            stale.iter().for_each(|one| println!("{options}: {one}"));
            stale.is_empty()
        });
        assert!(cache.told > 100 && !cache.values.is_empty(), "{options}: {}", cache.told);
    }
}

#[test]
fn caches_of_many_writers_on_few_shards() {
    caches_hold_what_is_there(&["--workers", "4", "--shards", "2"]);
}

#[test]
fn caches_of_a_store_that_evicts_and_a_table_that_forgets() {
    let args = [
        "--workers",
        "4",
        "--maxmemory",
        "10mb",
        "--maxmemory-policy",
        "allkeys-random",
        "--tracking-table-max-keys",
        "150",
    ];
    caches_hold_what_is_there(&args);
}
