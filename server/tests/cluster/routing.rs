//! Where commands go that name keys.

use crate::support::client::Broken;
use crate::support::{Client, Server, Value, eventually};
use crate::{SLOTS, error, half, node, refused};
use std::time::Duration;

const MOVED: &str = "MOVED 12182 127.0.0.1:1";
const CROSS: &str = "CROSSSLOT Keys in request don't hash to the same slot";

fn blocked(server: &Server) -> bool {
    let Value::Bulk(info) = server.client().run("INFO clients") else { panic!("not a text") };
    String::from_utf8_lossy(&info).contains("blocked_clients:1\r\n")
}

#[track_caller]
fn until_blocked(server: &Server) {
    assert!(eventually(Duration::from_secs(20), || blocked(server)));
}

#[test]
fn a_fresh_node_owns_all_slots() {
    let server = node(&[]);
    let mut client = server.client();
    for (key, _) in SLOTS {
        assert_eq!(client.call(&["SET", key, "v"]), Value::ok());
    }
    assert_eq!(client.run("DBSIZE"), Value::Int(3));
    refused(&mut client, "MGET foo bar", CROSS);
    assert_eq!(client.run("MSET {t}a 1 {t}b 2"), Value::ok());
}

#[test]
fn without_clustering_nothing_is_different() {
    let server = Server::dunlin(&["--enable-debug-command", "local"]);
    let mut client = server.client();
    assert_eq!(client.run("MSET foo 1 bar 2"), Value::ok());
    assert_eq!(client.run("SELECT 1"), Value::ok());
    refused(&mut client, "DEBUG SLOTS FENCE 0 1", "ERR This instance has cluster support disabled");
}

#[test]
fn keys_of_other_nodes_are_elsewhere() {
    let server = half();
    let mut client = server.client();
    for line in
        ["GET foo", "SET foo 1", "MGET foo foo", "OBJECT ENCODING foo", "XREAD STREAMS foo 0"]
    {
        refused(&mut client, line, MOVED);
    }
    refused(&mut client, "EVALX", "ERR unknown command 'EVALX', with args beginning with: ");
    refused(&mut client, "MGET bar foo", CROSS);
    assert_eq!(client.run("SET bar 1"), Value::ok());
    // As many as the pipeline has.
    client.send(&b"GET foo\r\nGET bar\r\n".repeat(40));
    for _ in 0..40 {
        assert_eq!(error(client.recv()), MOVED);
        assert_eq!(client.recv(), Value::bulk("1"));
    }
    assert_eq!(client.run("DEBUG SLOTS NOBODY 12182 12182"), Value::ok());
    refused(&mut client, "GET foo", "CLUSTERDOWN Hash slot not served");
    assert_eq!(client.run("DEBUG SLOTS TAKE 12182 12182"), Value::ok());
    assert_eq!(client.run("SET foo 1"), Value::ok());
}

#[test]
fn a_transaction_is_for_one_slot_and_ends_with_a_redirection() {
    let server = half();
    let mut client = server.client();
    client.run("MULTI");
    refused(&mut client, "GET foo", MOVED);
    refused(&mut client, "EXEC", "EXECABORT Transaction discarded because of previous errors.");
    client.run("MULTI");
    for line in ["SET bar 1", "SET hello 1"] {
        assert_eq!(client.run(line), Value::Simple(b"QUEUED".to_vec()));
    }
    refused(&mut client, "EXEC", CROSS);
    refused(&mut client, "EXEC", "ERR EXEC without MULTI");
    assert_eq!(client.run("EXISTS bar"), Value::Int(0));
    // The slot goes between the last command and EXEC.
    client.run("MULTI");
    client.run("SET bar 1");
    assert_eq!(server.client().run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
    refused(&mut client, "EXEC", "MOVED 5061 127.0.0.1:1");
    refused(&mut client, "EXEC", "ERR EXEC without MULTI");
}

#[test]
fn a_watched_key_that_goes_has_changed() {
    let server = half();
    let mut client = server.client();
    let watch = |client: &mut Client| {
        assert_eq!(client.run("WATCH bar"), Value::ok());
        client.run("MULTI");
        client.run("SET hello 1");
    };
    watch(&mut client);
    let mut other = server.client();
    assert_eq!(other.run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
    assert_eq!(other.run("DEBUG SLOTS TAKE 5061 5061"), Value::ok());
    assert_eq!(client.run("EXEC"), Value::NullArray);
    watch(&mut client);
    assert_eq!(client.run("EXEC"), Value::Array(vec![Value::ok()]));
}

#[test]
fn a_client_that_waits_is_sent_where_its_slot_has_gone() {
    let server = half();
    for command in ["BLPOP bar 0", "XREAD BLOCK 0 STREAMS bar $", "BLMOVE bar bar LEFT LEFT 0"] {
        let (mut waits, mut other) = (server.client(), server.client());
        waits.send_command(&command.split(' ').collect::<Vec<_>>());
        until_blocked(&server);
        // Other slots are nothing to it.
        assert_eq!(other.run("DEBUG SLOTS GIVE 866 866 127.0.0.1 1"), Value::ok());
        assert!(blocked(&server));
        assert_eq!(other.run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
        assert_eq!(error(waits.recv()), "MOVED 5061 127.0.0.1:1", "{command}");
        assert_eq!(other.run("DEBUG SLOTS TAKE 0 8191"), Value::ok());
        assert_eq!(waits.run("SET bar 1"), Value::ok());
        assert_eq!(waits.run("DEL bar"), Value::Int(1));
    }
}

#[test]
fn clients_that_keep_copies_hear_that_they_will_not_hear() {
    let server = half();
    let mut client = server.client3();
    assert_eq!(client.run("CLIENT TRACKING ON"), Value::ok());
    assert_eq!(client.run("GET bar"), Value::Null);
    assert_eq!(server.client().run("DEBUG SLOTS GIVE 5061 5061 127.0.0.1 1"), Value::ok());
    let told = Value::Push(vec![Value::bulk("invalidate"), Value::Null]);
    assert_eq!(client.recv(), told);
}

#[test]
fn without_a_lease_the_cluster_is_down() {
    const DOWN: &str = "CLUSTERDOWN The cluster is down";
    let server = half();
    let (mut client, mut waits) = (server.client(), server.client());
    assert_eq!(client.run("SET bar 1"), Value::ok());
    waits.send_command(&["BLPOP", "hello", "0"]);
    until_blocked(&server);
    assert_eq!(client.run("DEBUG SLOTS LEASE 200"), Value::ok());
    assert_eq!(error(waits.recv()), DOWN);
    for line in ["GET bar", "SET bar 2", "GET foo", "EVAL 1 1 bar"] {
        refused(&mut client, line, DOWN);
    }
    let call = client.call(&["EVAL", "return redis.pcall('get', 'bar').err", "0"]);
    let text = "ERR Script attempted to execute a command while the cluster is down";
    assert_eq!(call, Value::bulk(text));
    assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    refused(&mut client, "MGET bar hello", CROSS);
    assert_eq!(client.run("CONFIG SET cluster-allow-reads-when-down yes"), Value::ok());
    assert_eq!(client.run("GET bar"), Value::bulk("1"));
    refused(
        &mut client,
        "SET bar 2",
        "CLUSTERDOWN The cluster is down and only accepts read commands",
    );
    refused(&mut client, "GET foo", MOVED);
    assert_eq!(client.run("DEBUG SLOTS LEASE 60000"), Value::ok());
    assert_eq!(client.run("SET bar 2"), Value::ok());
}

#[test]
fn what_ran_when_the_lease_ended_is_not_answered() {
    let server = half();
    assert_eq!(server.client().run("SET bar 1"), Value::ok());
    let slow = "local t = os.clock() while os.clock() - t < 1.2 do end return 1";
    let closed = (0..5).any(|_| {
        let mut client = server.client3();
        assert_eq!(client.run("CLIENT TRACKING ON BCAST"), Value::ok());
        assert_eq!(server.client().run("DEBUG SLOTS LEASE 800"), Value::ok());
        // It runs longer than that, on the pool.
        client.send_command(&["EVAL", slow, "1", "bar"]);
        match client.try_recv() {
            Err(Broken::Closed) => true,
            // It came too late to begin.
            Ok(reply) => {
                assert_eq!(error(reply), "CLUSTERDOWN The cluster is down");
                false
            }
            Err(other) => panic!("{other:?}"),
        }
    });
    assert!(closed, "neither an old value nor a lost write");
    // Who was closed is gone as a whole.
    let gone = || {
        let info = server.client().run("INFO stats").text();
        info.contains("tracking_total_prefixes:0\r\n")
    };
    assert!(eventually(Duration::from_secs(20), gone), "its prefix is still there");
}

#[test]
fn hot_keys_of_some_slots() {
    let server = half();
    let mut client = server.client();
    let start = |client: &mut Client, slots: &str| {
        client.run(&format!("HOTKEYS START METRICS 1 NET SLOTS {slots}"))
    };
    for (slots, text) in [
        ("0", "SLOTS count must be between 1 and 16384"),
        ("2 1", "not enough slot numbers provided"),
        ("1 16384", "Invalid or out of range slot"),
        ("1 12182", "slot 12182 not handled by this node"),
        ("2 866 866", "duplicate slot number"),
        ("1 866 SLOTS 1 867", "SLOTS parameter already specified"),
        ("1 866 867", "syntax error"),
    ] {
        assert_eq!(error(start(&mut client, slots)), format!("ERR {text}"), "{slots}");
    }
    assert_eq!(start(&mut client, "3 867 866 9"), Value::ok());
    for line in ["SET hello 1", "SET bar 1"] {
        assert_eq!(client.run(line), Value::ok());
    }
    assert_eq!(client.run("HOTKEYS STOP"), Value::ok());
    let Value::Array(nodes) = client.run("HOTKEYS GET") else { panic!("no array") };
    let [Value::Array(fields)] = &nodes[..] else { panic!("not one: {nodes:?}") };
    let field = |name: &str| {
        let at = fields.iter().position(|field| *field == Value::bulk(name));
        fields[at.unwrap_or_else(|| panic!("no {name}")) + 1].clone()
    };
    let slots = vec![
        Value::Array(vec![Value::Int(9)]),
        Value::Array(vec![Value::Int(866), Value::Int(867)]),
    ];
    assert_eq!(field("selected-slots"), Value::Array(slots));
    let Value::Array(keys) = field("by-net-bytes") else { panic!("no keys") };
    assert_eq!((keys.len(), &keys[0]), (2, &Value::bulk("hello")));
    assert_eq!(field("net-bytes-all-commands-selected-slots"), keys[1]);
    assert_eq!(client.run("HOTKEYS RESET"), Value::ok());
}
