//! What both servers hold at the end of a sequence: keys, values, lifetimes, encodings.
//!
//! It is asked for in few exchanges: key by key it would take longer than the sequence itself.

use crate::accepted::accepted;
use crate::compare::agree;
use crate::run::{Connection, Mismatch, mismatch};
use crate::sequence::Step;
use crate::support::{Value, eventually};
use std::iter;
use std::time::Duration;

const DATABASES: usize = 16;

/// What is asked about each key.
const LOOKS: &[&str] = &["TYPE key", "PTTL key", "OBJECT ENCODING key"];

/// And then, by its type.
const VALUES: &[(&str, &str)] = &[
    ("string", "GET key"),
    ("list", "LRANGE key 0 -1"),
    ("set", "SMEMBERS key"),
    ("zset", "ZRANGE key 0 -1 WITHSCORES"),
    ("hash", "HGETALL key"),
    ("stream", "XRANGE key - +"),
];

/// Compares the states; `admin` is a connection that no sequence has used.
pub(crate) fn compare_states(admin: &mut Connection) -> Result<(), Box<Mismatch>> {
    let mut looks = Vec::new();
    for (db, [theirs, ours]) in in_each(admin, "SCAN 0 COUNT 1000000")?.into_iter().enumerate() {
        let [theirs, ours] = [keys(&theirs), keys(&ours)];
        if theirs != ours {
            let (theirs, ours) = (Value::Array(theirs), Value::Array(ours));
            return Err(mismatch(state(db, "keys"), "state keys", &theirs, &ours));
        }
        looks.push(Step::words(&format!("SELECT {db}")));
        let keys = theirs.iter().filter_map(Value::bytes);
        looks.extend(keys.flat_map(|key| LOOKS.iter().map(|look| look_at(look, key))));
    }
    let replies = compare_replies(admin, &looks)?;
    let values: Vec<Step> = iter::zip(looks, &replies).filter_map(value).collect();
    compare_replies(admin, &values)?;
    compare_sizes(admin)
}

/// The keys that only one of them has, as text.
pub(crate) fn different_keys(admin: &mut Connection) -> String {
    let Ok(found) = in_each(admin, "SCAN 0 COUNT 1000000") else { return String::new() };
    let databases = found.iter().map(|[theirs, ours]| [keys(theirs), keys(ours)]).enumerate();
    let mut text = String::new();
    for (db, [theirs, ours]) in databases {
        for (who, these, others) in [("reference", &theirs, &ours), ("subject", &ours, &theirs)] {
            for key in these.iter().filter(|key| !others.contains(key)) {
                text += &format!("{who} {db} {key:?} ");
            }
        }
    }
    text
}

/// What follows a look: SELECT again, the value after its type, or nothing.
fn value((look, reply): (Step, &Value)) -> Option<Step> {
    match look.name().as_str() {
        "select" => Some(look),
        // Of a key that has expired since there is no value.
        "type" if reply.text() != "none" => {
            let row = VALUES.iter().find(|(kind, _)| *kind == reply.text());
            let (_, command) = row.expect("every type is in the table");
            Some(look_at(command, &look.args[1]))
        }
        _ => None,
    }
}

fn state(db: usize, what: &str) -> String {
    format!("final state of database {db}: {what}")
}

/// What both reply to a command in each database.
fn in_each(admin: &mut Connection, command: &str) -> Result<Vec<[Value; 2]>, Box<Mismatch>> {
    let steps = (0..DATABASES).flat_map(|db| [format!("SELECT {db}"), command.to_owned()]);
    let steps: Vec<Step> = steps.map(|line| Step::words(&line)).collect();
    let [theirs, ours] = admin.ask(&steps)?;
    let replies = iter::zip(theirs, ours).skip(1).step_by(2);
    Ok(replies.map(|(theirs, ours)| [theirs, ours]).collect())
}

/// What a SCAN of everything has found, sorted, each key once.
fn keys(reply: &Value) -> Vec<Value> {
    let reply = reply.items();
    assert_eq!(reply[0], Value::bulk("0"), "one step takes all keys");
    let mut keys = reply[1].items();
    keys.sort();
    keys.dedup();
    keys
}

/// The reference's replies, if the subject's agree.
fn compare_replies(admin: &mut Connection, steps: &[Step]) -> Result<Vec<Value>, Box<Mismatch>> {
    let [theirs, ours] = admin.ask(steps)?;
    for ((step, theirs), ours) in steps.iter().zip(&theirs).zip(&ours) {
        let accepted = || step.name() == "object" && accepted(step, theirs, ours).is_some();
        if !agree(step, theirs, ours, 0) && !accepted() {
            let (what, class) =
                (format!("final state: {step:?}"), format!("state {}", step.name()));
            return Err(mismatch(what, &class, theirs, ours));
        }
    }
    Ok(theirs)
}

fn look_at(look: &str, key: &[u8]) -> Step {
    let words = look.split(' ').map(|word| if word == "key" { key } else { word.as_bytes() });
    Step::of(&words.collect::<Vec<_>>())
}

/// What has expired may still be counted for a while.
fn compare_sizes(admin: &mut Connection) -> Result<(), Box<Mismatch>> {
    let mut found = Ok(());
    eventually(Duration::from_secs(3), || {
        found = sizes_agree(admin);
        found.is_ok()
    });
    found
}

fn sizes_agree(admin: &mut Connection) -> Result<(), Box<Mismatch>> {
    let sizes = in_each(admin, "DBSIZE")?.into_iter().enumerate();
    match sizes.into_iter().find(|(_, [theirs, ours])| theirs != ours) {
        Some((db, [theirs, ours])) => {
            Err(mismatch(state(db, "DBSIZE"), "state DBSIZE", &theirs, &ours))
        }
        None => Ok(()),
    }
}

#[test]
fn whatever_differs_at_the_end_is_found() {
    use crate::run::Pair;
    use crate::support::Server;
    let (Some(reference), Some(subject)) = (Server::redis(&[]), Server::redis(&[])) else { return };
    let addresses = (reference.address(), subject.address());
    let pair = Pair { reference: addresses.0, subject: addresses.1, tamper: None };
    let mut clients = [reference.client(), subject.client()];
    let mut found = |commands: [&str; 2]| {
        for (client, command) in iter::zip(&mut clients, commands) {
            for line in ["FLUSHALL", "SELECT 15", command] {
                assert!(!client.run(line).is_error(), "{line}");
            }
        }
        compare_states(&mut pair.connect()).map_err(|found| found.class)
    };
    for (theirs, ours, class) in [
        ("SET k 1", "PING", "state keys: "),
        ("SET k 1", "RPUSH k 1", "state type: "),
        ("SET k 1", "SET k 1 EX 100", "state pttl: "),
        ("SET k 1", "SETRANGE k 0 1", "state object: "),
        ("SET k 1", "SET k 2", "state get: "),
        ("RPUSH k 1 2", "RPUSH k 2 1", "state lrange: "),
        ("SADD k 1", "SADD k 2", "state smembers: "),
        ("ZADD k 1 a", "ZADD k 2 a", "state zrange: "),
        ("HSET k f 1", "HSET k f 2", "state hgetall: "),
        ("XADD k 1-1 f 1", "XADD k 1-2 f 1", "state xrange: "),
    ] {
        let differs = found([theirs, ours]).expect_err(theirs);
        assert!(differs.starts_with(class), "{theirs} and {ours}: {differs}");
        assert_eq!(found([theirs, theirs]), Ok(()), "{theirs}");
    }
}
