//! requirepass, AUTH, HELLO AUTH, RESET.

use crate::support::{Server, Value};

const NO_AUTH: &str = "NOAUTH Authentication required.";
const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

#[test]
fn a_password_is_asked_for_and_taken() {
    let server = Server::dunlin(&["--requirepass", "secret"]);
    let mut client = server.client();
    assert_eq!(client.run("GET a"), Value::error(NO_AUTH));
    assert_eq!(client.run("AUTH wrong"), Value::error(WRONG));
    assert_eq!(client.run("GET a"), Value::error(NO_AUTH));
    assert_eq!(client.run("AUTH secret"), Value::ok());
    assert_eq!(client.run("SET a 1"), Value::ok());
    assert_eq!(client.run("AUTH default secret"), Value::ok());
    // A failed login does not end one that succeeded.
    assert_eq!(client.run("AUTH wrong"), Value::error(WRONG));
    assert_eq!(client.run("GET a"), Value::bulk("1"));
    assert_eq!(client.run("RESET"), Value::Simple(b"RESET".to_vec()));
    assert_eq!(client.run("GET a"), Value::error(NO_AUTH));
    let hello = client.run("HELLO 3 AUTH default secret SETNAME me");
    assert!(!hello.is_error(), "{hello:?}");
    assert_eq!(client.run("CLIENT GETNAME"), Value::bulk("me"));
}

#[test]
fn a_pipeline_behind_auth_runs_and_one_before_it_does_not() {
    let server = Server::dunlin(&["--requirepass", "secret"]);
    let mut client = server.client();
    client.send(b"SET a 1\r\nAUTH secret\r\nSET a 2\r\nGET a\r\n");
    assert_eq!(client.recv(), Value::error(NO_AUTH));
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), Value::bulk("2"));
}

#[test]
fn the_password_can_be_changed_while_running() {
    let server = Server::dunlin(&[]);
    let mut admin = server.client();
    let unset = "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?";
    assert_eq!(admin.run("AUTH x"), Value::error(unset));
    assert_eq!(admin.run("CONFIG SET requirepass new"), Value::ok());
    assert_eq!(server.client().run("PING"), Value::error(NO_AUTH));
    // Those who are in stay in.
    assert_eq!(admin.run("PING"), Value::Simple(b"PONG".to_vec()));
    let mut client = server.client();
    assert_eq!(client.run("AUTH new"), Value::ok());
    assert_eq!(client.call(&["CONFIG", "SET", "requirepass", ""]), Value::ok());
    assert_eq!(server.client().run("PING"), Value::Simple(b"PONG".to_vec()));
}
