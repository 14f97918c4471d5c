//! Users: what they may do, what happens to their connections, where they come from.

use crate::support::process::{against_reference, scratch_dir};
use crate::support::{Client, Server, Value, eventually};
use std::fs;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

fn no_command(user: &str, command: &str) -> Value {
    Value::error(&format!("NOPERM User {user} has no permissions to run the '{command}' command"))
}

fn no_key() -> Value {
    Value::error("NOPERM No permissions to access a key")
}

fn login(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.call(&["AUTH", user, "pw"]), Value::ok());
    client
}

fn texts(value: &Value) -> Vec<String> {
    value.items().iter().map(Value::text).collect()
}

/// A field of a map that RESP2 sends as a flat array.
fn field(value: &Value, name: &str) -> Value {
    let items = value.items();
    let found = items.chunks(2).find(|pair| pair[0].text() == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {value:?}"))[1].clone()
}

#[test]
fn users_do_what_they_may() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    let line =
        "ACL SETUSER alice on >pw ~app:* %R~shared:* +@read +@write -getdel +client|id +select|0";
    assert_eq!(admin.run(line), Value::ok());
    assert_eq!(admin.run("SET shared:1 x"), Value::ok());
    let mut alice = login(&server, "alice");
    assert_eq!(alice.run("SET app:1 v"), Value::ok());
    assert_eq!(alice.run("GET app:1"), Value::bulk("v"));
    assert_eq!(alice.run("GET shared:1"), Value::bulk("x"));
    assert_eq!(alice.run("SET shared:1 y"), no_key());
    assert_eq!(alice.run("MGET app:1 other"), no_key());
    assert_eq!(alice.run("COPY shared:1 app:2"), Value::Int(1));
    assert_eq!(alice.run("COPY app:2 shared:1"), no_key());
    assert_eq!(alice.run("GETDEL app:1"), no_command("alice", "getdel"));
    assert!(!alice.run("CLIENT ID").is_error());
    assert_eq!(alice.run("CLIENT LIST"), no_command("alice", "client|list"));
    assert_eq!(alice.run("SELECT 0"), Value::ok());
    assert_eq!(alice.run("SELECT 1"), no_command("alice", "select"));
    assert_eq!(alice.run("PING"), no_command("alice", "ping"));
    assert_eq!(
        alice.run("NOSUCH"),
        Value::error("ERR unknown command 'NOSUCH', with args beginning with: ")
    );
    let arity = "ERR wrong number of arguments for 'get' command";
    assert_eq!(alice.run("GET"), Value::error(arity));
    assert_eq!(alice.run("RESET"), Value::Simple(b"RESET".to_vec()));
    assert_eq!(alice.run("ACL WHOAMI"), Value::bulk("default"));
}

#[test]
fn a_change_holds_for_connected_users_at_once() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER alice on >pw ~* +get +set"), Value::ok());
    let mut alice = login(&server, "alice");
    assert_eq!(alice.run("SET k v"), Value::ok());
    assert_eq!(admin.run("ACL SETUSER alice -set"), Value::ok());
    assert_eq!(alice.run("SET k w"), no_command("alice", "set"));
    assert_eq!(admin.run("ACL SETUSER alice resetkeys ~a"), Value::ok());
    assert_eq!(alice.run("GET k"), no_key());
    // Disabled users stay connected, but nobody else becomes one.
    assert_eq!(admin.run("ACL SETUSER alice off ~k"), Value::ok());
    assert_eq!(alice.run("GET k"), Value::bulk("v"));
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(server.client().run("AUTH alice pw"), Value::error(wrong));
    // In one pipeline: what the change allows, the next command may.
    assert_eq!(admin.run("ACL SETUSER boss on >pw ~* +acl +get"), Value::ok());
    let mut boss = login(&server, "boss");
    boss.send(b"SET a 1\r\nACL SETUSER boss +set\r\nSET a 2\r\nACL SETUSER boss -get\r\nGET a\r\n");
    assert_eq!(boss.recv(), no_command("boss", "set"));
    assert_eq!(boss.recv(), Value::ok());
    assert_eq!(boss.recv(), Value::ok());
    assert_eq!(boss.recv(), Value::ok());
    assert_eq!(boss.recv(), no_command("boss", "get"));
}

#[test]
fn connections_end_with_their_user() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    for user in ["alice", "bob"] {
        admin.call(&["ACL", "SETUSER", user, "on", ">pw", "+@all", "~*"]);
    }
    let mut alice = login(&server, "alice");
    let mut bob = login(&server, "bob");
    assert_eq!(admin.run("ACL DELUSER alice nobody"), Value::Int(1));
    assert!(alice.is_closed());
    assert_eq!(bob.run("PING"), pong());
    // Who deletes itself gets the reply, and nothing after it.
    bob.send(b"ACL DELUSER bob\r\nSET after 1\r\n");
    assert_eq!(bob.recv(), Value::Int(1));
    assert!(bob.is_closed());
    assert!(admin.run("GET after").is_null());
    let error = "ERR The 'default' user cannot be removed";
    assert_eq!(admin.run("ACL DELUSER default"), Value::error(error));
    assert_eq!(texts(&admin.run("ACL USERS")), ["default"]);
}

#[test]
fn the_next_user_of_a_name_does_not_inherit_connections() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    admin.run("ACL SETUSER alice on >pw +ping");
    let mut alice = login(&server, "alice");
    admin.send(b"ACL DELUSER alice\r\nACL SETUSER alice on nopass +@all ~*\r\nPING\r\n");
    alice.send(b"SET k v\r\n");
    (0..3).for_each(|_| drop(admin.recv()));
    let reply = alice.try_recv();
    let before_it_was_deleted = Ok(no_command("alice", "set"));
    assert!(reply.is_err() || reply == before_it_was_deleted, "{reply:?}");
    assert!(alice.is_closed());
    assert!(admin.run("GET k").is_null());
}

#[test]
fn clients_are_listed_and_killed_by_user() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    admin.run("ACL SETUSER alice on >pw +ping");
    let mut alice = login(&server, "alice");
    assert_eq!(
        alice.run("AUTH alice bad"),
        Value::error("WRONGPASS invalid username-password pair or user is disabled.")
    );
    assert!(admin.run("CLIENT LIST").text().contains(" user=alice "));
    assert!(admin.run("CLIENT INFO").text().contains(" user=default "));
    assert_eq!(alice.run("PING"), pong());
    assert_eq!(admin.run("CLIENT KILL USER nobody"), Value::error("ERR No such user 'nobody'"));
    assert_eq!(admin.run("CLIENT KILL USER alice"), Value::Int(1));
    assert!(alice.is_closed());
    assert_eq!(admin.run("PING"), pong());
}

#[test]
fn the_default_user_decides_who_has_to_log_in() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER default >secret"), Value::ok());
    let no_auth = Value::error("NOAUTH Authentication required.");
    let mut early = server.client();
    assert_eq!(early.run("PING"), no_auth);
    assert_eq!(admin.run("PING"), pong(), "who was there before stays in");
    assert_eq!(admin.run("ACL SETUSER default nopass"), Value::ok());
    assert_eq!(early.run("PING"), pong());
    assert_eq!(admin.run("ACL SETUSER default off"), Value::ok());
    assert_eq!(early.run("PING"), no_auth, "it has never logged in");
    assert_eq!(server.client().run("PING"), no_auth);
    assert_eq!(admin.run("ACL SETUSER default on -@all +ping"), Value::ok());
    let mut stranger = server.client();
    assert_eq!(stranger.run("GET a"), no_command("default", "get"));
    assert!(!stranger.run("HELLO 3").is_error(), "needs no right");
}

#[test]
fn hello_logs_in_and_the_last_login_counts() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    for user in ["alice", "bob"] {
        admin.call(&["ACL", "SETUSER", user, "on", &format!(">{user}"), "+@all"]);
    }
    let mut client = server.client();
    let hello = client.run("HELLO 3 AUTH nobody x AUTH alice alice SETNAME me");
    assert!(!hello.is_error() || against_reference(), "{hello:?}");
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    let hello = client.run("HELLO 3 AUTH alice alice AUTH bob alice SETNAME other");
    assert_eq!(hello, Value::error(wrong));
    client.run("HELLO 3 AUTH alice alice SETNAME me");
    assert_eq!(client.run("ACL WHOAMI"), Value::bulk("alice"));
    assert_eq!(client.run("CLIENT GETNAME"), Value::bulk("me"));
}

#[test]
fn refusals_are_logged_and_counted() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    admin.run("ACL SETUSER alice on >pw ~a +get +set");
    let mut alice = login(&server, "alice");
    for _ in 0..3 {
        alice.run("GET b");
    }
    alice.run("CONFIG GET x");
    alice.run("auth alice bad");
    let entries = admin.run("ACL LOG").items();
    let wanted = [
        ("auth", "auth", 1, "cmd=auth"),
        ("command", "config|get", 1, "cmd=config|get"),
        ("key", "b", 3, "cmd=get"),
    ];
    assert_eq!(entries.len(), wanted.len());
    for (entry, (reason, object, count, command)) in entries.iter().zip(wanted) {
        assert_eq!(field(entry, "reason"), Value::bulk(reason));
        assert_eq!(field(entry, "object"), Value::bulk(object));
        assert_eq!(field(entry, "count"), Value::Int(count));
        assert_eq!(field(entry, "context"), Value::bulk("toplevel"));
        assert_eq!(field(entry, "username"), Value::bulk("alice"));
        assert!(field(entry, "client-info").text().contains(command), "{entry:?}");
        let age: f64 = field(entry, "age-seconds").text().parse().expect("a number");
        assert!((0.0..60.0).contains(&age));
    }
    let ids: Vec<i64> = entries.iter().map(|entry| field(entry, "entry-id").int()).collect();
    assert_eq!(ids, [2, 1, 0]);
    assert_eq!(admin.run("ACL LOG 1").items().len(), 1);
    assert_eq!(admin.run("ACL LOG -1").items().len(), 0);
    let stats = admin.run("INFO stats").text();
    for line in ["auth:1", "cmd:1", "key:3", "channel:0"] {
        assert!(stats.contains(&format!("acl_access_denied_{line}\r\n")), "{stats}");
    }
    assert!(
        admin
            .run("INFO commandstats")
            .text()
            .contains("cmdstat_config|get:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1")
    );
    assert_eq!(admin.run("CONFIG SET acllog-max-len 2"), Value::ok());
    assert_eq!(admin.run("ACL LOG").items().len(), 3);
    alice.run("PING");
    assert_eq!(admin.run("ACL LOG").items().len(), 2);
    assert_eq!(admin.run("ACL LOG RESET"), Value::ok());
    assert_eq!(admin.run("ACL LOG").items().len(), 0);
    assert_eq!(admin.run("CONFIG RESETSTAT"), Value::ok());
    assert!(admin.run("INFO stats").text().contains("acl_access_denied_key:0\r\n"));
}

#[test]
fn maps_in_resp3() {
    let server = Server::dunlin(&[]);
    let mut client = server.client3();
    client.run("ACL SETUSER alice on >pw ~a (~b +get)");
    let Value::Map(user) = client.run("ACL GETUSER alice") else { panic!("no map") };
    let names: Vec<String> = user.iter().map(|(name, _)| name.text()).collect();
    assert_eq!(names, ["flags", "passwords", "commands", "keys", "channels", "selectors"]);
    assert!(matches!(&user[0].1, Value::Set(flags) if flags[0] == Value::bulk("on")));
    assert!(matches!(&user[5].1, Value::Array(list) if matches!(&list[0], Value::Map(_))));
    assert!(client.run("ACL GETUSER nobody").is_null());
    client.run("AUTH alice bad");
    let log = client.run("ACL LOG").items();
    assert!(matches!(&log[0], Value::Map(entry) if matches!(&entry[5].1, Value::Double(_))));
}

#[test]
fn secrets_stay_out_of_the_slow_log() {
    let server = Server::dunlin(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.client();
    client.run("ACL SETUSER alice on >geheim ~a");
    client.run("ACL GETUSER alice");
    client.run("ACL DELUSER alice");
    let log = format!("{:?}", client.run("SLOWLOG GET 100"));
    assert!(!log.contains("geheim") && !log.contains("alice"), "{log}");
}

#[test]
fn users_of_the_configuration() {
    let args = [
        "--user",
        "alice",
        "on",
        ">pw",
        "+get",
        "~*",
        "--user",
        "default",
        "on",
        "nopass",
        "+@all",
        "~*",
        "-flushall",
    ];
    let server = Server::dunlin(&args);
    let mut client = server.client();
    assert_eq!(client.run("FLUSHALL"), no_command("default", "flushall"));
    assert_eq!(texts(&client.run("ACL USERS")), ["alice", "default"]);
    let error = "ERR This Redis instance is not configured to use an ACL file.";
    for line in ["ACL LOAD", "ACL SAVE"] {
        let text = client.run(line).error_text().unwrap_or_default();
        assert!(text.starts_with(error), "{text}");
    }
}

#[test]
fn users_survive_a_rewrite_of_the_configuration() {
    let dir = scratch_dir("acl-rewrite");
    let path = dir.join("conf");
    fs::write(&path, "user alice on >pw +get ~*\n").expect("the file");
    let path = path.to_str().expect("text");
    let list = {
        let server = Server::dunlin_with_file(path);
        let mut client = server.client();
        client.run("ACL SETUSER bob on >pw (~a* +@read) &x");
        client.run("ACL SETUSER alice -get +set");
        client.run("ACL SETUSER default -flushall");
        assert_eq!(client.run("CONFIG REWRITE"), Value::ok());
        client.run("ACL LIST")
    };
    let text = fs::read_to_string(path).expect("the file");
    assert!(!text.contains(">pw"), "{text}");
    let server = Server::dunlin_with_file(path);
    let mut client = server.client();
    assert_eq!(client.run("ACL LIST"), list);
    assert_eq!(client.run("FLUSHALL"), no_command("default", "flushall"));
    assert_eq!(client.run("ACL DELUSER alice bob"), Value::Int(2));
    assert_eq!(client.run("ACL SETUSER default +flushall"), Value::ok());
    assert_eq!(client.run("CONFIG REWRITE"), Value::ok());
    let text = fs::read_to_string(path).expect("the file");
    assert!(!text.contains("alice") && !text.contains("bob"), "{text}");
}

#[test]
fn users_of_a_file() {
    let dir = scratch_dir("acl-file");
    let path = dir.join("users.acl");
    let text = "user alice on nopass ~* &* +@all\nuser bob on >pw -@all +@string +acl ~s*\n";
    fs::write(&path, text).expect("the file");
    let dir_name = dir.to_str().expect("text");
    let server = Server::dunlin(&["--dir", dir_name, "--aclfile", "users.acl"]);
    let mut admin = login(&server, "alice");
    let mut bob = login(&server, "bob");
    assert_eq!(texts(&admin.run("ACL USERS")), ["alice", "bob", "default"]);
    assert_eq!(bob.run("SET s1 v"), Value::ok());
    assert_eq!(bob.run("SET x v"), no_key());
    // What is in memory only is gone after LOAD, and so are its connections; others stay.
    admin.run("ACL SETUSER carol on >pw +@all");
    let mut carol = login(&server, "carol");
    admin.run("ACL SETUSER bob ~x");
    assert_eq!(bob.run("SET x v"), Value::ok());
    assert_eq!(admin.run("ACL LOAD"), Value::ok());
    assert!(carol.is_closed());
    assert_eq!(bob.run("SET x v"), no_key());
    assert_eq!(admin.run("PING"), pong());
    // SAVE and LOAD are inverse.
    admin.run("ACL SETUSER eve on >pw (~e +get) +acl");
    assert_eq!(admin.run("ACL SAVE"), Value::ok());
    let list = admin.run("ACL LIST");
    assert_eq!(admin.run("ACL LOAD"), Value::ok());
    assert_eq!(admin.run("ACL LIST"), list);
    // A file with a mistake changes nothing.
    let saved = fs::read_to_string(&path).expect("the file");
    fs::write(&path, format!("{saved}user alice on\n# comment\n")).expect("the file");
    let error = admin.run("ACL LOAD").error_text().unwrap_or_default();
    assert!(error.starts_with("ERR WARNING: Duplicate user 'alice' found on line 5. "), "{error}");
    assert!(
        error.contains(":6 should start with user keyword followed by the username. "),
        "{error}"
    );
    assert_eq!(admin.run("ACL LIST"), list);
    // The user who loads may be gone itself.
    fs::write(&path, "user bob on nopass +@all\n").expect("the file");
    assert_eq!(admin.run("ACL LOAD"), Value::ok());
    assert!(admin.is_closed());
    assert!(eventually(PATIENCE, || server.client().run("CLIENT LIST").text().lines().count() <= 2));
}

#[test]
fn a_denied_command_costs_no_memory() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    admin.run("ACL SETUSER alice on >pw +ping ~*");
    let mut alice = login(&server, "alice");
    let before = server.rss();
    let chunk = vec![b'x'; 1 << 20];
    alice.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 256 << 20).as_bytes());
    let mut highest = 0;
    for _ in 0..256 {
        alice.send(&chunk);
        highest = highest.max(server.rss());
    }
    alice.send(b"\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(alice.recv(), no_command("alice", "set"));
    assert_eq!(alice.recv(), pong());
    if !against_reference() {
        assert!(highest < before + (64 << 20), "{} MiB more", (highest - before) >> 20);
    }
    let log = admin.run("ACL LOG").items();
    assert_eq!(field(&log[0], "object"), Value::bulk("set"));
}
