//! Commands about the server and its connections, where the reference is older or knows other numbers.

use crate::support::process::scratch_dir;
use crate::support::{Client, Server, Value};

#[test]
fn of_a_command_that_is_none_nothing_is_known() {
    let server = Server::dunlin(&[]);
    let clients = [(server.client(), Value::NullBulk), (server.client3(), Value::Null)];
    for (mut client, null) in clients {
        let known = client.run("COMMAND INFO nosuch get client|nosuch").items();
        assert_eq!(known.len(), 3);
        assert_eq!([&known[0], &known[2]], [&null, &null]);
        assert_eq!(known[1].items()[0], Value::bulk("get"));
    }
}

#[test]
fn keys_are_asked_for_of_a_name_alone() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
        for (name, text) in [
            ("PING", "ERR The command has no key arguments"),
            ("GET", "ERR Invalid number of arguments specified for command"),
            ("NOSUCH", "ERR Invalid command specified"),
        ] {
            let line = format!("COMMAND {subcommand} {name}");
            assert_eq!(client.run(&line), Value::error(text), "{line}");
        }
        let full_name = subcommand.to_lowercase();
        let text = format!("ERR wrong number of arguments for 'command|{full_name}' command");
        assert_eq!(client.run(&format!("COMMAND {subcommand}")), Value::error(&text));
    }
}

#[test]
fn attributes_of_libraries_are_named_as_they_were() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let why = "cannot contain spaces, newlines or special characters.";
    for attribute in ["LIB-NAME", "lib-name", "Lib-Ver"] {
        let text = format!("ERR {attribute} {why}");
        let reply = client.call(&["CLIENT", "SETINFO", attribute, "a b"]);
        assert_eq!(reply, Value::error(&text));
        assert_eq!(client.call(&["CLIENT", "SETINFO", attribute, "a-b"]), Value::ok());
    }
    let unknown = Value::error("ERR Unrecognized option 'Lib'");
    assert_eq!(client.run("CLIENT SETINFO Lib x"), unknown);
}

#[test]
fn connections_are_listed_as_they_are_asked_for() {
    let server = Server::dunlin(&[]);
    let mut clients = [server.client(), server.client(), server.client()];
    let ids: Vec<i64> = clients.iter_mut().map(|client| client.run("CLIENT ID").int()).collect();
    let listed = |client: &mut Client, filters: &str| -> Vec<i64> {
        let text = client.run(&format!("CLIENT LIST {filters}")).text();
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
        text.lines().map(|line| id(line).expect("a line begins with the number")).collect()
    };
    let [one, two, three] = [ids[0], ids[1], ids[2]];
    let again = listed(&mut clients[0], &format!("ID {three} {one} 999999 {three} -1 {two}"));
    assert_eq!(again, [three, one, three, two]);
    assert_eq!(listed(&mut clients[0], &format!("ID {two} {one}")), [two, one]);
    assert!(listed(&mut clients[0], "ID 999999").is_empty());
}

#[test]
fn all_connections_from_an_address_are_killed() {
    let dir = scratch_dir("socket");
    let path = dir.join("dunlin.sock");
    let text = path.to_str().expect("a plain path").to_owned();
    let server = Server::dunlin(&["--unixsocket", &text]);
    let kill = format!("CLIENT KILL {text}:0");
    let mut clients = [(); 3].map(|()| Client::unix(&path).expect("it listens"));
    for client in &mut clients {
        assert_eq!(client.run("PING").text(), "PONG");
    }
    assert_eq!(server.client().run(&kill), Value::ok());
    assert!(clients.iter_mut().all(Client::is_closed));
    // Its own one, too, after the reply.
    let mut last = Client::unix(&path).expect("it listens");
    assert_eq!(last.run(&kill), Value::ok());
    assert!(last.is_closed());
    let _ = std::fs::remove_dir_all(dir);
}

#[test]
fn a_push_follows_the_reply_of_its_command() {
    let server = Server::dunlin(&["--enable-debug-command", "yes"]);
    let mut client = server.client3();
    let reply = client.run("DEBUG PROTOCOL PUSH");
    assert_eq!(reply, Value::bulk("Some real reply following the push reply"));
    let message = vec![Value::bulk("server-cpu-usage"), Value::Int(42)];
    assert_eq!(client.recv(), Value::Push(message));
    let refused = Value::error("ERR RESP2 is not supported by this command");
    assert_eq!(server.client().run("DEBUG PROTOCOL push"), refused);
}

#[test]
fn a_new_limit_of_arguments_counts_for_connections_that_are_there() {
    let server = Server::dunlin(&[]);
    let (mut client, mut admin) = (server.client(), server.client());
    assert_eq!(client.run("PING").text(), "PONG");
    assert_eq!(admin.run("CONFIG SET proto-max-bulk-len 1mb"), Value::ok());
    client.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n");
    assert_eq!(client.recv(), Value::error("ERR Protocol error: invalid bulk length"));
    assert!(client.is_closed());
    let mut client = server.client();
    assert_eq!(client.run("PING").text(), "PONG");
    assert_eq!(admin.run("CONFIG SET proto-max-bulk-len 2mb"), Value::ok());
    assert_eq!(client.call(&["SET", "k", &"x".repeat(1_500_000)]), Value::ok());
}
