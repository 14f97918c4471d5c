//! Commands about the server and its connections, where the reference is older or knows other numbers.

use crate::support::{Server, Value};

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
