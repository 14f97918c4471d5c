//! Pipelines of which every reply is checked, while their connections move and workers come and go.

use crate::support::{Client, Rng, Value, command};
use crate::{field, id, number, start};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Commands of the short form; `DUNLIN_PLACEMENT_COMMANDS` asks for more.
const COMMANDS: u64 = 400_000;
const CONNECTIONS: u64 = 24;
/// Milliseconds of a window: a hundred times as often as usual.
const WINDOW: u32 = 5;

fn wanted() -> u64 {
    let given = std::env::var("DUNLIN_PLACEMENT_COMMANDS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(COMMANDS)
}

/// One connection's pipelines and what they must be answered.
struct Talker {
    client: Client,
    rng: Rng,
    key: String,
    count: i64,
    value: Vec<u8>,
}

impl Talker {
    /// Sends a pipeline in pieces and checks its replies one by one; how many there were.
    fn talk(&mut self) -> u64 {
        let length = match self.rng.below(8) {
            0 => 1 + self.rng.below(2_000),
            1..3 => 1,
            _ => 1 + self.rng.below(100),
        };
        let (mut bytes, mut answers) = (Vec::new(), Vec::with_capacity(length));
        for _ in 0..length {
            let (command, answer) = self.next();
            bytes.extend(command);
            answers.push(answer);
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // Pieces end anywhere, so connections move with half commands.
            let cut =
                if self.rng.below(4) == 0 { 1 + self.rng.below(rest.len()) } else { rest.len() };
            self.client.send(&rest[..cut]);
            rest = &rest[cut..];
        }
        for answer in &answers {
            assert_eq!(&self.client.recv(), answer, "{}", self.key);
        }
        length as u64
    }

    fn next(&mut self) -> (Vec<u8>, Value) {
        match self.rng.below(16) {
            0..8 => {
                self.count += 1;
                (command(&["INCR", &self.key]), Value::Int(self.count))
            }
            8..11 => {
                let text = format!("{}-{}", self.key, self.rng.next());
                (command(&["ECHO", &text]), Value::bulk(text))
            }
            11..13 => {
                let long = if self.rng.below(200) == 0 { 60_000 } else { 40 };
                self.value = vec![b'a' + self.rng.below(26) as u8; 1 + self.rng.below(long)];
                let key = format!("{}:value", self.key);
                (command(&[b"SET", key.as_bytes(), &self.value]), Value::ok())
            }
            _ => {
                let key = format!("{}:value", self.key);
                (command(&["GET", &key]), Value::bulk(&self.value))
            }
        }
    }
}

/// Moves everybody somewhere else, as fast as it can, until told to stop.
fn move_everybody(mut admin: Client, ids: &[String], stop: &AtomicBool) {
    let mut rng = Rng::new(7);
    while !stop.load(Ordering::Relaxed) {
        let mut lines = Vec::new();
        for id in ids {
            let worker = rng.below(4).to_string();
            lines.extend(command(&["DEBUG", "MOVE-CLIENT", id, &worker]));
        }
        admin.send(&lines);
        for _ in ids {
            assert_eq!(admin.recv(), Value::ok());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn no_reply_is_lost_or_out_of_order() {
    let window = WINDOW.to_string();
    let settings = ["--placement-window", &window, "--placement-gap", "0", "--hz", "500"];
    let server = start(&settings);
    let mut talkers: Vec<Talker> = (0..CONNECTIONS)
        .map(|n| {
            let mut client = server.client();
            let key = format!("counter:{n}");
            client.run(&format!("SET {key}:value x"));
            Talker { client, rng: Rng::part(4, n), key, count: 0, value: b"x".to_vec() }
        })
        .collect();
    let ids: Vec<String> = talkers.iter_mut().map(|talker| id(&mut talker.client)).collect();
    let (done, stop, wanted) = (AtomicU64::new(0), AtomicBool::new(false), wanted());
    let (begun, mut admin) = (Instant::now(), server.client());
    thread::scope(|scope| {
        scope.spawn(|| move_everybody(server.client(), &ids, &stop));
        let talking: Vec<_> = talkers
            .iter_mut()
            .map(|talker| {
                let (done, begun) = (&done, &begun);
                scope.spawn(move || {
                    while done.load(Ordering::Relaxed) < wanted {
                        done.fetch_add(talker.talk(), Ordering::Relaxed);
                        // Now and then all are silent for so long that workers are parked.
                        let at = begun.elapsed().as_millis() % 2_000;
                        if at > 1_600 {
                            thread::sleep(Duration::from_millis(2_000 - at as u64));
                        }
                    }
                })
            })
            .collect();
        let failed = talking.into_iter().filter_map(|thread| thread.join().err()).count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(failed, 0, "connections whose replies were not what they must be");
    });
    let windows = begun.elapsed().as_millis() as i64 / i64::from(WINDOW) + 1;
    for talker in &mut talkers {
        assert_eq!(
            talker.client.run(&format!("GET {}", talker.key)).text(),
            talker.count.to_string()
        );
    }
    let moved = number(&mut admin, "connections_moved");
    let (added, removed) =
        (number(&mut admin, "workers_added"), number(&mut admin, "workers_removed"));
    println!(
        "{} commands, {moved} moves, {added} workers added, {removed} removed, {:?}\n{}",
        done.into_inner(),
        begun.elapsed(),
        field(&mut admin, "worker_0"),
    );
    assert!(moved > 100, "{moved} moves");
    // One worker is parked at a time, at most once in 60 windows.
    assert!(removed <= windows / 60 + 1, "{removed} removed in {windows} windows");
}
