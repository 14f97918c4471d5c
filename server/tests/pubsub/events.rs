//! Keyspace notifications: which commands tell what.

use crate::support::{Client, Server, Value, eventually};
use crate::{array, push, subscribed};
use std::time::Duration;

/// Commands in the order in which they run on an empty server, and the events of each as
/// `name=key`, with `1:` before those of database 1.
#[rustfmt::skip]
const EVENTS: &[(&str, &str)] = &[
    ("GET nokey", "keymiss=nokey"),
    ("SET a 1", "new=a set=a"),
    ("SET a 2", "set=a"),
    ("SET a 3 EX 100", "set=a expire=a"),
    ("SET a 3 KEEPTTL", "set=a"),
    ("SET b 1 GET", "keymiss=b new=b set=b"),
    ("SET b 1 GET NX", ""),
    ("SET c 1 XX", ""),
    ("SETNX n 1", "new=n set=n"),
    ("SETNX n 1", ""),
    ("SETEX se 100 1", "new=se set=se expire=se"),
    ("PSETEX se 100000 1", "set=se expire=se"),
    ("GETSET gs 1", "keymiss=gs new=gs set=gs"),
    ("GETSET gs 2", "set=gs"),
    ("GETDEL gs", "del=gs"),
    ("GETDEL gs", "keymiss=gs"),
    ("GETEX se", ""),
    ("GETEX se PERSIST", "persist=se"),
    ("GETEX se PERSIST", ""),
    ("GETEX se EX 100", "expire=se"),
    ("GETEX se EXAT 1", "del=se"),
    ("GETEX se EX 100", "keymiss=se"),
    ("INCR i", "new=i incrby=i"),
    ("INCR i", "incrby=i"),
    ("DECR i", "incrby=i"),
    ("DECRBY i 5", "incrby=i"),
    ("INCRBY i 5", "incrby=i"),
    ("INCRBYFLOAT i 1.5", "incrbyfloat=i"),
    ("INCR i", ""),
    ("APPEND ap 1", "new=ap append=ap"),
    ("APPEND ap 2", "append=ap"),
    ("APPEND ap \"\"", "append=ap"),
    ("SETRANGE sr 0 \"\"", ""),
    ("SETRANGE sr 5 abc", "new=sr setrange=sr"),
    ("SETRANGE sr 5 \"\"", ""),
    ("MSET m1 1 m2 2", "new=m1 set=m1 new=m2 set=m2"),
    ("MSETNX m1 1 m3 3", ""),
    ("MSETNX m4 1 m5 1", "new=m4 set=m4 new=m5 set=m5"),
    ("MGET m1 nokey other", "keymiss=nokey keymiss=other"),
    ("STRLEN nokey", "keymiss=nokey"),
    ("GETRANGE nokey 0 1", "keymiss=nokey"),
    ("LCS nokey m1", "keymiss=nokey"),
    ("SETBIT bt 7 0", "new=bt setbit=bt"),
    ("SETBIT bt 7 0", ""),
    ("SETBIT bt 7 1", "setbit=bt"),
    ("SETBIT bt 7 1", ""),
    ("SETBIT bt 100 0", "setbit=bt"),
    ("SET n 1", "set=n"),
    ("SETBIT n 7 1", ""),
    ("GETBIT nokey 1", "keymiss=nokey"),
    ("BITCOUNT nokey", "keymiss=nokey"),
    ("BITPOS nokey 1", "keymiss=nokey"),
    ("BITFIELD bf SET u8 0 0", "new=bf setbit=bf"),
    ("BITFIELD bf SET u8 0 0", ""),
    ("BITFIELD bf SET u8 0 1 SET u8 8 3", "setbit=bf"),
    ("BITFIELD bf GET u8 0", ""),
    ("BITFIELD nokey GET u8 0", "keymiss=nokey"),
    ("BITFIELD bf INCRBY u8 0 0", ""),
    ("BITFIELD bf OVERFLOW FAIL INCRBY u2 0 100", ""),
    ("BITOP AND dst m1 m2", "new=dst set=dst"),
    ("BITOP AND dst nokey nokey", "keymiss=nokey keymiss=nokey del=dst"),
    ("BITOP AND dst nokey nokey", "keymiss=nokey keymiss=nokey"),
    ("BITOP OR dst m1 nokey", "keymiss=nokey new=dst set=dst"),
    ("PFADD pf", "new=pf pfadd=pf"),
    ("PFADD pf", ""),
    ("PFADD pf a b c", "pfadd=pf"),
    ("PFADD pf a b", ""),
    ("PFCOUNT pf", ""),
    ("PFCOUNT pf nokey", "keymiss=nokey"),
    ("PFMERGE pf2 pf nokey", "keymiss=pf2 keymiss=nokey new=pf2 pfadd=pf2"),
    ("PFMERGE pf2", "pfadd=pf2"),
    ("PFDEBUG TODENSE pf2", ""),
    ("RPUSH so 2 1", "new=so rpush=so"),
    ("SORT so", ""),
    ("SORT nokey", "keymiss=nokey"),
    ("SORT so BY w_*", "keymiss=w_2 keymiss=w_1"),
    ("SORT so STORE sd", "new=sd sortstore=sd"),
    ("SORT so GET w_* STORE sd", "keymiss=w_1 keymiss=w_2 sortstore=sd"),
    ("SORT nokey STORE sd", "keymiss=nokey del=sd"),
    ("DEL m1 m2 nokey", "del=m1 del=m2"),
    ("UNLINK m4 m4", "del=m4"),
    ("EXISTS nokey", "keymiss=nokey"),
    ("TOUCH nokey", "keymiss=nokey"),
    ("TYPE nokey", "keymiss=nokey"),
    ("TTL nokey", "keymiss=nokey"),
    ("PTTL nokey", "keymiss=nokey"),
    ("EXPIRETIME nokey", "keymiss=nokey"),
    ("DUMP nokey", "keymiss=nokey"),
    ("OBJECT ENCODING nokey", ""),
    ("MEMORY USAGE nokey", ""),
    ("SET r1 1", "new=r1 set=r1"),
    ("SET r2 2", "new=r2 set=r2"),
    ("RENAME r1 r2", "new=r2 rename_from=r1 rename_to=r2"),
    ("RENAME r2 r3", "new=r3 rename_from=r2 rename_to=r3"),
    ("RENAME r3 r3", ""),
    ("RENAMENX r3 r4", "new=r4 rename_from=r3 rename_to=r4"),
    ("RENAME nokey r4", ""),
    ("SET r5 1", "new=r5 set=r5"),
    ("RENAMENX r4 r5", ""),
    ("COPY r4 r6", "new=r6 copy_to=r6"),
    ("COPY r4 r6", ""),
    ("COPY r4 r6 REPLACE", "new=r6 copy_to=r6"),
    ("COPY nokey r6", "keymiss=nokey"),
    ("COPY r4 r4 DB 1", "1:new=r4 1:copy_to=r4"),
    ("MOVE r6 1", "1:new=r6 move_from=r6 1:move_to=r6"),
    ("MOVE r6 1", ""),
    ("EXPIRE r4 100", "expire=r4"),
    ("EXPIRE r4 -1", "del=r4"),
    ("EXPIRE r4 100", ""),
    ("EXPIRE r5 100 XX", ""),
    ("PEXPIRE r5 100000", "expire=r5"),
    ("EXPIREAT r5 1", "del=r5"),
    ("SET r5 1 EX 100", "new=r5 set=r5 expire=r5"),
    ("PERSIST r5", "persist=r5"),
    ("PERSIST r5", ""),
    ("PEXPIREAT r5 99999999999999", "expire=r5"),
    ("EXPIRE r5 50 GT", ""),
    ("SWAPDB 0 1", ""),
    ("SELECT 1", ""),
    ("SET x 1", "1:new=x 1:set=x"),
    ("RENAME x y", "1:new=y 1:rename_from=x 1:rename_to=y"),
    ("FLUSHDB", ""),
    ("FLUSHALL", ""),
];

/// Commands that the reference does not know, or whose events come at another time there.
#[rustfmt::skip]
const OWN_EVENTS: &[(&str, &str)] = &[
    ("SET past 1 EXAT 1", "new=past set=past expire=past expired=past"),
    ("SET past 1", "new=past set=past"),
    ("SET past 1 EXAT 1", "set=past expire=past expired=past"),
    ("MSETEX 2 a 1 b 2 EX 100", "new=a set=a expire=a new=b set=b expire=b"),
    ("MSETEX 1 a 1 KEEPTTL", "set=a"),
    ("DELEX a IFEQ 2", ""),
    ("DELEX a IFEQ 1", "del=a"),
    ("DELIFEQ b 1", ""),
    ("DELIFEQ b 2", "del=b"),
    ("INCREX c BYINT 5 EX 100", "new=c incrby=c expire=c"),
    ("INCREX c BYINT 5 EX 100 ENX", "incrby=c"),
    ("INCREX c BYFLOAT 0.5", "incrbyfloat=c"),
    ("INCREX c BYFLOAT 0.5 PERSIST", "incrbyfloat=c persist=c"),
    ("INCREX c BYFLOAT 0.5 UBOUND 0", ""),
];

/// Runs commands and collects their events from a second connection.
pub(crate) struct Listener {
    pub(crate) commands: Client,
    events: Client,
}

impl Listener {
    pub(crate) fn start(server: &Server, classes: &str, patterns: &str) -> Listener {
        let mut commands = server.client();
        assert_eq!(
            commands.run(&format!("CONFIG SET notify-keyspace-events {classes}")),
            Value::ok()
        );
        // A listener of before may not have been missed yet.
        let nobody = |commands: &mut Client| {
            commands.run("PUBSUB NUMSUB end").items().last() == Some(&Value::Int(0))
        };
        assert!(eventually(Duration::from_secs(60), || nobody(&mut commands)));
        let mut events = subscribed(server, patterns);
        events.run("SUBSCRIBE end");
        Listener { commands, events }
    }

    /// Every message that `line` causes: those before the one which the same client publishes next.
    fn messages(&mut self, line: &str) -> Vec<Vec<String>> {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
        self.commands.call(&words);
        assert_eq!(self.commands.run("PUBLISH end x"), Value::Int(1));
        let mut messages = Vec::new();
        loop {
            let message: Vec<String> = self.events.recv().items().iter().map(Value::text).collect();
            if message == ["message", "end", "x"] {
                return messages;
            }
            messages.push(message);
        }
    }

    /// The events of `line`, from the channels `__keyevent@db__:name`.
    pub(crate) fn events(&mut self, line: &str) -> String {
        let messages = self.messages(line);
        messages.iter().map(|message| event(message)).collect::<Vec<_>>().join(" ")
    }

    /// The next `count` events, whenever they come, in the order of the alphabet.
    pub(crate) fn next(&mut self, count: usize) -> String {
        let mut events = Vec::new();
        for _ in 0..count {
            let message: Vec<String> = self.events.recv().items().iter().map(Value::text).collect();
            events.push(event(&message));
        }
        events.sort();
        events.join(" ")
    }
}

/// A message of a channel `__keyevent@db__:name`, as `name=key`.
fn event(message: &[String]) -> String {
    let [_, _, channel, key] = message else { panic!("{message:?}") };
    let name = channel.strip_prefix("__keyevent@").expect("the channel of an event");
    let (db, name) = name.split_once("__:").expect("database and name");
    if db == "0" { format!("{name}={key}") } else { format!("{db}:{name}={key}") }
}

fn check(server: &Server, events: &[(&str, &str)]) {
    let mut listener = Listener::start(server, "EAmn", "PSUBSCRIBE __key*__:*");
    for (line, wanted) in events {
        assert_eq!(listener.events(line), *wanted, "{line}");
    }
}

#[test]
fn every_command_tells_what_it_has_done() {
    check(&Server::dunlin(&[]), EVENTS);
    let own = Server::dunlin(&[]);
    if !crate::support::process::against_reference() {
        check(&own, OWN_EVENTS);
    }
}

#[test]
fn the_reference_tells_the_same() {
    if let Some(reference) = Server::redis(&[]) {
        check(&reference, EVENTS);
    }
}

#[test]
fn restore_tells_of_itself() {
    let dunlin = Server::dunlin(&[]);
    for server in [Some(dunlin), Server::redis(&[])].into_iter().flatten() {
        let mut listener = Listener::start(&server, "EAn", "PSUBSCRIBE __key*__:*");
        listener.events("SET a hello");
        let dump = listener.commands.run("DUMP a");
        let payload = dump.bytes().expect("a payload").to_vec();
        let mut restore = |args: &[&[u8]]| {
            listener
                .commands
                .call(&[&[b"RESTORE", args[0], args[1], &payload], &args[2..]].concat());
            listener.events("PING")
        };
        assert_eq!(restore(&[b"a", b"0"]), "");
        assert_eq!(restore(&[b"a", b"0", b"REPLACE"]), "new=a restore=a");
        assert_eq!(restore(&[b"b", b"100000"]), "new=b restore=b");
        assert_eq!(restore(&[b"b", b"1", b"REPLACE", b"ABSTTL"]), "del=b");
        assert_eq!(restore(&[b"b", b"1", b"ABSTTL"]), "");
    }
}

#[test]
fn both_channels_with_event_and_key() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("CONFIG SET notify-keyspace-events KEA");
    let mut two = subscribed(&server, "PSUBSCRIBE *");
    let mut three = server.client3();
    three.run("SUBSCRIBE __keyspace@3__:k");
    assert_eq!(client.run("SELECT 3"), Value::ok());
    assert_eq!(client.run("SET k v"), Value::ok());
    assert_eq!(two.recv(), array("pmessage * __keyspace@3__:k set"));
    assert_eq!(two.recv(), array("pmessage * __keyevent@3__:set k"));
    assert_eq!(three.recv(), push("message __keyspace@3__:k set"));
    // Keys are any bytes.
    let key = b"\0\r\n\xff".as_slice();
    client.call(&[b"SET".as_slice(), key, b"v"]);
    let message = two.recv().items();
    assert_eq!(message[2], Value::bulk([b"__keyspace@3__:".as_slice(), key].concat()));
    assert_eq!(two.recv().items()[3], Value::bulk(key));
}

#[test]
fn only_the_classes_that_are_asked_for() {
    let server = Server::dunlin(&[]);
    for (classes, wanted) in [
        ("E$", "set"),
        ("Eg", "expire del"),
        ("E$g", "set expire del"),
        ("Em", "keymiss"),
        ("En", "new"),
        ("EA", "set expire del"),
        ("Elshzxetd", ""),
        ("A", ""),
        ("K", ""),
        ("\"\"", ""),
    ] {
        let classes = if classes == "\"\"" { "" } else { classes };
        let mut client = server.client();
        let set = client.call(&["CONFIG", "SET", "notify-keyspace-events", classes]);
        assert_eq!(set, Value::ok());
        let mut listener =
            Listener { commands: client, events: subscribed(&server, "PSUBSCRIBE __*") };
        listener.events.run("SUBSCRIBE end");
        let mut names = Vec::new();
        for line in ["SET k v EX 100", "DEL k", "GET k"] {
            for message in listener.messages(line) {
                names.push(message[2].rsplit(':').next().unwrap_or_default().to_owned());
            }
        }
        assert_eq!(names.join(" "), wanted, "{classes}");
    }
}

#[test]
fn a_miss_of_a_read_that_had_to_run_again_is_told_once() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut listener = Listener::start(&server, "Em", "PSUBSCRIBE __key*__:*");
    // Writers over several shards make readers start again.
    let mut writers: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let pairs: String = (0..40).map(|i| format!(" w{i} v")).collect();
    listener.commands.run(&format!("MSET{pairs}"));
    for writer in &mut writers {
        writer.send(format!("MSET{pairs}\r\n").repeat(300).as_bytes());
    }
    for _ in 0..300 {
        let misses = listener.events("MGET w1 nokey w2 other");
        assert_eq!(misses, "keymiss=nokey keymiss=other");
        assert_eq!(listener.events("GET nokey"), "keymiss=nokey");
    }
}

#[test]
fn the_setting_can_be_given_at_the_start_and_is_shown() {
    let server = Server::dunlin(&["--notify-keyspace-events", "KEA"]);
    let mut client = server.client();
    let shown = client.run("CONFIG GET notify-keyspace-events").items();
    assert_eq!(shown[1], Value::bulk("AKE"));
    let mut subscriber = subscribed(&server, "SUBSCRIBE __keyevent@0__:set");
    client.run("SET k v");
    assert_eq!(subscriber.recv(), array("message __keyevent@0__:set k"));
    let wrong = client.run("CONFIG SET notify-keyspace-events KEy");
    assert!(wrong.error_text().is_some_and(|text| text.contains("Invalid event class")));
}

#[test]
fn events_of_a_key_come_in_the_order_of_its_changes() {
    let server = Server::dunlin(&["--workers", "2"]);
    let mut client = server.client();
    client.run("CONFIG SET notify-keyspace-events E$g");
    let mut subscriber = subscribed(&server, "SUBSCRIBE __keyevent@0__:incrby __keyevent@0__:del");
    let mut writers: Vec<Client> = (0..4).map(|_| server.client()).collect();
    let rounds = 200;
    for writer in &mut writers {
        writer.send(b"INCR k\r\nDEL k\r\n".repeat(rounds).as_slice());
    }
    let (mut made, mut removed) = (0, 0);
    for writer in &mut writers {
        for _ in 0..rounds {
            made += i64::from(writer.recv().int() > 0);
            removed += writer.recv().int();
        }
    }
    let mut exists = false;
    for _ in 0..made + removed {
        let event = subscriber.recv().items()[1].text();
        if event.ends_with("del") {
            assert!(exists, "removed before it was there");
            exists = false;
        } else {
            exists = true;
        }
    }
    assert!(
        !exists || eventually(Duration::from_secs(1), || client.run("EXISTS k") == Value::Int(1))
    );
}
