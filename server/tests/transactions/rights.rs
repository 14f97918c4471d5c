//! Rights are looked at when a command is queued, and again at EXEC.

use crate::support::{Client, Server, Value};
use crate::{login, queue, queued};

fn changed(reason: &str) -> Value {
    Value::error(&format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the \
         EXEC call. This command is no longer allowed for the following reason: {reason}"
    ))
}

/// The field of the latest entry of ACL LOG.
fn logged(admin: &mut Client, name: &str) -> String {
    let entry = admin.run("ACL LOG 1").items()[0].items();
    let at = entry.iter().position(|item| *item == Value::bulk(name)).expect(name);
    entry[at + 1].text()
}

#[test]
fn what_is_denied_fails_the_transaction() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER u on >pw ~k* +@all -lpush"), Value::ok());
    let mut client = login(&server, "u");
    let aborted = Value::error("EXECABORT Transaction discarded because of previous errors.");
    for (line, reason, object) in [("SET z 1", "key", "z"), ("LPUSH k 1", "command", "lpush")] {
        queue(&mut client, &["SET k 1"]);
        assert!(client.run(line).error_text().expect(line).starts_with("NOPERM"));
        assert_eq!(client.run("SET k2 1"), queued());
        assert_eq!(client.run("EXEC"), aborted);
        assert!(client.run("GET k").is_null());
        let log = ["reason", "context", "object", "username"].map(|name| logged(&mut admin, name));
        assert_eq!(log, [reason, "multi", object, "u"]);
    }
    // Arguments of a command that is refused by its name are not even received.
    let big = vec![b'x'; 1 << 20];
    queue(&mut client, &["SET k 1"]);
    assert!(client.call(&[b"LPUSH".as_slice(), b"k", &big]).is_error());
    assert_eq!(client.run("EXEC"), aborted);
}

#[test]
fn exec_needs_a_right_too() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER u on >pw ~* +@all -exec"), Value::ok());
    let mut client = login(&server, "u");
    queue(&mut client, &["SET k 1"]);
    let text = "EXECABORT Transaction discarded because of: NOPERM User u has no permissions to \
                run the 'exec' command";
    assert_eq!(client.run("EXEC"), Value::error(text));
    assert_eq!(client.run("DISCARD"), Value::error("ERR DISCARD without MULTI"));
}

#[test]
fn rights_that_are_lost_before_exec_count() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    assert_eq!(admin.run("ACL SETUSER u on >pw ~* &* +@all"), Value::ok());
    let mut client = login(&server, "u");
    queue(&mut client, &["SET k 1", "PUBLISH c x", "PING", "GET other", "INCR other"]);
    let rules = "ACL SETUSER u resetkeys ~other resetchannels -ping";
    assert_eq!(admin.run(rules), Value::ok());
    let replies = client.run("EXEC").items();
    let expected = [
        changed("no permission to touch the specified keys"),
        changed("no permission to access one of the channels used as arguments"),
        changed("no permission to execute the command or subcommand"),
        Value::NullBulk,
        Value::Int(1),
    ];
    assert_eq!(replies, expected);
    let log = ["reason", "context", "object"].map(|name| logged(&mut admin, name));
    assert_eq!(log, ["command", "multi", "ping"]);
    assert!(admin.run("GET k").is_null());
}

#[test]
fn who_logs_in_within_a_transaction_goes_on_as_that_user() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    assert_eq!(client.run("ACL SETUSER u on >pw ~k* +@all"), Value::ok());
    queue(&mut client, &["SET z 1", "AUTH u pw", "SET k 1", "SET z 2"]);
    let replies = client.run("EXEC").items();
    assert_eq!(replies[..3], [Value::ok(), Value::ok(), Value::ok()]);
    assert_eq!(replies[3], changed("no permission to touch the specified keys"));
    assert_eq!(client.run("GET z"), Value::error("NOPERM No permissions to access a key"));
}
