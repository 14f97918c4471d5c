//! Transactions under load: whoever looks sees all of one or nothing, and nothing is lost.

use crate::queued;
use crate::support::client::Broken;
use crate::support::{Client, Rng, Server, Value};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const ACCOUNTS: usize = 24;
const EACH: i64 = 1000;
const TOTAL: i64 = ACCOUNTS as i64 * EACH;
const TRANSFERS: usize = 400;

fn account(i: usize) -> String {
    format!("account:{i}")
}

fn fill(client: &mut Client) {
    for i in 0..ACCOUNTS {
        assert_eq!(client.run(&format!("SET {} {EACH}", account(i))), Value::ok());
    }
}

fn number(value: &Value) -> i64 {
    value.text().parse().unwrap_or_else(|_| panic!("{value:?}"))
}

/// Sends all lines at once and reads as many replies.
fn pipeline(client: &mut Client, lines: &[String]) -> Result<Vec<Value>, Broken> {
    let wire: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    client.try_send(wire.as_bytes()).map_err(|_| Broken::Closed)?;
    lines.iter().map(|_| client.try_recv()).collect()
}

/// Moves money by reading, calculating and writing, as WATCH allows it. True: it was done.
fn transfer_watched(client: &mut Client, rng: &mut Rng) -> Result<bool, Broken> {
    let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
    if from == to {
        return Ok(false);
    }
    let (from, to, amount) = (account(from), account(to), rng.between(1, 50));
    let read = ["WATCH", "MGET"].map(|word| format!("{word} {from} {to}"));
    let values = pipeline(client, &read)?[1].items();
    let (a, b) = (number(&values[0]) - amount, number(&values[1]) + amount);
    let write =
        ["MULTI".to_owned(), format!("SET {from} {a}"), format!("SET {to} {b}"), "EXEC".to_owned()];
    let replies = pipeline(client, &write)?;
    assert_eq!(replies[1..3], [queued(), queued()]);
    Ok(!replies[3].is_null())
}

/// Moves money blindly, through a state in which some of it is missing.
fn transfer_blind(client: &mut Client, rng: &mut Rng) -> Result<(), Broken> {
    let (from, to) = (account(rng.below(ACCOUNTS)), account(rng.below(ACCOUNTS)));
    let amount = rng.between(1, 50);
    let lines = [
        "MULTI".to_owned(),
        format!("DECRBY {from} {amount}"),
        format!("INCRBY {to} {amount}"),
        "EXEC".to_owned(),
    ];
    let replies = pipeline(client, &lines)?;
    assert_eq!(replies[3].items().len(), 2);
    Ok(())
}

/// The sum of all accounts by MGET.
fn sum_by_mget(client: &mut Client) -> i64 {
    let keys: Vec<String> = (0..ACCOUNTS).map(account).collect();
    client.run(&format!("MGET {}", keys.join(" "))).items().iter().map(number).sum()
}

/// The sum of all accounts by a transaction that reads them one by one.
fn sum_by_exec(client: &mut Client) -> i64 {
    let mut lines = vec!["MULTI".to_owned()];
    lines.extend((0..ACCOUNTS).map(|i| format!("GET {}", account(i))));
    lines.push("EXEC".to_owned());
    let replies = pipeline(client, &lines).expect("nobody kills a reader");
    replies[ACCOUNTS + 1].items().iter().map(number).sum()
}

#[test]
fn money_is_never_seen_on_its_way() {
    let server = Server::dunlin(&["--workers", "4"]);
    fill(&mut server.client());
    let (busy, done) = (AtomicBool::new(true), AtomicU64::new(0));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|part| {
                let (server, done) = (&server, &done);
                scope.spawn(move || {
                    let (mut client, mut rng) = (server.client(), Rng::part(1, part));
                    for _ in 0..TRANSFERS {
                        if part % 2 == 0 {
                            transfer_blind(&mut client, &mut rng).expect("nobody kills a writer");
                            done.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        let moved = transfer_watched(&mut client, &mut rng);
                        done.fetch_add(u64::from(moved.expect("a reply")), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for sum in [sum_by_mget, sum_by_exec] {
            let (server, busy) = (&server, &busy);
            scope.spawn(move || {
                let mut client = server.client();
                while busy.load(Ordering::Relaxed) {
                    assert_eq!(sum(&mut client), TOTAL);
                }
            });
        }
        let failed = writers.into_iter().any(|writer| writer.join().is_err());
        busy.store(false, Ordering::Relaxed);
        assert!(!failed);
    });
    assert_eq!(sum_by_mget(&mut server.client()), TOTAL);
    assert!(done.load(Ordering::Relaxed) > 3 * TRANSFERS as u64, "most transfers are done");
}

#[test]
fn killed_clients_leave_no_half_of_a_transaction() {
    let server = Server::dunlin(&["--workers", "4"]);
    fill(&mut server.client());
    let busy = AtomicBool::new(true);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|part| {
                let server = &server;
                scope.spawn(move || {
                    let (mut client, mut rng) = (server.client(), Rng::part(2, part));
                    for _ in 0..TRANSFERS {
                        let result = match part % 2 {
                            0 => transfer_blind(&mut client, &mut rng),
                            _ => transfer_watched(&mut client, &mut rng).map(|_| ()),
                        };
                        if result.is_err() {
                            client = server.client();
                        }
                    }
                })
            })
            .collect();
        let (server, busy) = (&server, &busy);
        scope.spawn(move || {
            let (mut admin, mut rng) = (server.client(), Rng::new(3));
            while busy.load(Ordering::Relaxed) {
                let list = admin.run("CLIENT LIST").text();
                let ids: Vec<&str> = list.lines().filter_map(|l| l.split(' ').next()).collect();
                let id = rng.pick(&ids).trim_start_matches("id=").to_owned();
                let killed = admin.run(&format!("CLIENT KILL ID {id} SKIPME yes"));
                assert!(matches!(killed, Value::Int(0 | 1)), "{killed:?}");
                assert_eq!(sum_by_mget(&mut admin), TOTAL);
            }
        });
        let failed = writers.into_iter().any(|writer| writer.join().is_err());
        busy.store(false, Ordering::Relaxed);
        assert!(!failed);
    });
    assert_eq!(sum_by_mget(&mut server.client()), TOTAL);
}

#[test]
fn keys_of_one_shard_change_together_for_who_reads_them_one_by_one() {
    // With one shard all keys are in the same one.
    let server = Server::dunlin(&["--workers", "2", "--shards", "1"]);
    let busy = AtomicBool::new(true);
    assert_eq!(server.client().run("MSET a 0 b 0 c 0"), Value::ok());
    thread::scope(|scope| {
        let (server, busy) = (&server, &busy);
        let reader = scope.spawn(move || {
            let mut client = server.client();
            while busy.load(Ordering::Relaxed) {
                // Of what is read later nothing may be older.
                let mut newest = 0;
                for key in ["a", "b", "c", "b", "a"] {
                    let value = number(&client.run(&format!("GET {key}")));
                    assert!(value >= newest, "{key} is {value} after {newest}");
                    assert!(value % 2 == 0, "{key} is {value}, which is never left behind");
                    newest = value;
                }
            }
        });
        let mut client = server.client();
        for i in 1..=2000 {
            let mut lines = vec!["MULTI".to_owned()];
            for key in ["a", "b", "c"] {
                lines.push(format!("SET {key} {}", 2 * i - 1));
            }
            for key in ["c", "b", "a"] {
                lines.push(format!("SET {key} {}", 2 * i));
            }
            lines.push("EXEC".to_owned());
            let replies = pipeline(&mut client, &lines).expect("replies");
            assert_eq!(replies[7], Value::Array(vec![Value::ok(); 6]));
        }
        busy.store(false, Ordering::Relaxed);
        reader.join().expect("the reader has seen nothing odd");
    });
}

/// Each of two clients sets its flag only if the other's is not set. Without the role of the watched
/// key both could look before either writes.
#[test]
fn neither_of_two_overlooks_the_other() {
    let server = Server::dunlin(&["--workers", "2"]);
    let barrier = Barrier::new(2);
    let rounds = 1500;
    let run = |own: &str, other: &str| {
        let mut client = server.client();
        let mut set = 0;
        for round in 0..rounds {
            let (own, other) = (format!("{own}:{round}"), format!("{other}:{round}"));
            barrier.wait();
            let look = [format!("WATCH {other}"), format!("GET {other}")];
            let seen = pipeline(&mut client, &look).expect("replies");
            if !seen[1].is_null() {
                assert_eq!(client.run("UNWATCH"), Value::ok());
                continue;
            }
            let lines = ["MULTI".to_owned(), format!("SET {own} 1"), "EXEC".to_owned()];
            let replies = pipeline(&mut client, &lines).expect("replies");
            set += usize::from(!replies[2].is_null());
        }
        set
    };
    let (a, b) = thread::scope(|scope| {
        let one = scope.spawn(|| run("a", "b"));
        let two = scope.spawn(|| run("b", "a"));
        (one.join().expect("replies"), two.join().expect("replies"))
    });
    assert!(a + b > 0);
    let mut client = server.client();
    for round in 0..rounds {
        let both = client.run(&format!("EXISTS a:{round} b:{round}"));
        assert_ne!(both, Value::Int(2), "round {round}");
    }
}
