//! Connections change the same keys, by pipelines, while the store grows and evicts. What they saw of each
//! key is [`linear`].
//!
//! `DUNLIN_LINEAR_COMMANDS` is how many commands there are; `DUNLIN_LINEAR_SEED` is where they come from.

use super::linear::{self, Call, Op};
use super::support::{Client, Rng, Server, Value, command};
use std::collections::BTreeMap;
use std::time::Instant;

/// Commands if it is not said how many.
const COMMANDS: u64 = 320_000;
const CONNECTIONS: usize = 8;
/// Keys at a time.
const KEYS: usize = 32;
/// Commands that are sent at once.
const PIPELINE: usize = 8;
/// Pipelines of a connection until there are other keys: a history is checked when it has ended.
const ROUND: usize = 250;
/// The longest of the values that fill the store.
const FILLING: usize = 4_000;

/// A call, and on which key.
type Seen = (usize, Call);

struct Hand<'a> {
    client: &'a mut Client,
    rng: Rng,
    began: Instant,
    round: u64,
}

impl Hand<'_> {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test is short")
    }

    /// One pipeline, and a value that nobody looks at.
    fn step(&mut self, seen: &mut Vec<Seen>) {
        let calls: Vec<(usize, Op)> =
            (0..PIPELINE).map(|_| (self.rng.below(KEYS), Op::any(&mut self.rng))).collect();
        let mut bytes = Vec::new();
        for (key, op) in &calls {
            bytes.extend(command(&op.words(&format!("key:{}:{key}", self.round))));
        }
        let (name, length) = (format!("filling:{}", self.rng.next()), self.rng.below(FILLING));
        bytes.extend(command(&[b"SET", name.as_bytes(), &self.rng.bytes(length)]));
        let invoked = self.now();
        self.client.send(&bytes);
        for (key, op) in calls {
            let answer = op.answer(&self.client.recv());
            seen.push((key, Call { op, invoked, answered: Some((self.now(), answer)) }));
        }
        assert_eq!(self.client.recv(), Value::ok());
    }
}

/// All connections for a while, on keys that nobody has used before; what they saw of each.
fn round(clients: &mut [Client], seed: u64, round: u64) -> BTreeMap<usize, Vec<Call>> {
    let began = Instant::now();
    let seen: Vec<Vec<Seen>> = std::thread::scope(|scope| {
        let hands: Vec<_> = (round * 1000..)
            .zip(clients)
            .map(|(number, client)| {
                let rng = Rng::part(seed, number);
                let mut hand = Hand { client, rng, began, round };
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    (0..ROUND).for_each(|_| hand.step(&mut seen));
                    seen
                })
            })
            .collect();
        hands.into_iter().map(|hand| hand.join().expect("a client works")).collect()
    });
    let mut histories: BTreeMap<usize, Vec<Call>> = BTreeMap::new();
    for (key, call) in seen.into_iter().flatten() {
        histories.entry(key).or_default().push(call);
    }
    histories
}

#[test]
fn what_is_seen_of_a_key_has_an_order() {
    let asked = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let commands = asked("DUNLIN_LINEAR_COMMANDS").unwrap_or(COMMANDS);
    let seed = asked("DUNLIN_LINEAR_SEED").unwrap_or_else(Rng::random_seed);
    println!("DUNLIN_LINEAR_SEED={seed}");
    let args = ["--maxmemory", "16mb", "--maxmemory-policy", "allkeys-random"];
    let server = Server::dunlin(&args);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect();
    let rounds = commands.div_ceil((CONNECTIONS * PIPELINE * ROUND) as u64);
    for number in 0..rounds {
        for (key, calls) in round(&mut clients, seed, number) {
            let checked = linear::check(&calls, true);
            assert_eq!(checked, Ok(()), "key:{number}:{key}, seed {seed}");
        }
    }
    let evicted = server.client().run("INFO stats");
    let text = evicted.text();
    assert!(!text.contains("evicted_keys:0\r"), "nothing was evicted");
}
