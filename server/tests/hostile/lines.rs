//! Rows 59 and 60: replies that a client sends, and lines about commands that are very long.

use crate::support::client::PATIENCE;
use crate::support::{Value, alone, command, eventually};
use crate::{Victim, error};

#[test]
fn row_59_pushes_attributes_and_other_replies_are_no_commands() {
    let victim = Victim::start(&[]);
    // A line that does not begin with an asterisk is an inline command.
    for (bytes, name) in [
        (">2\r\n", ">2"),
        ("|1\r\n", "|1"),
        ("%1\r\n", "%1"),
        ("~1\r\n", "~1"),
        ("+OK\r\n", "+OK"),
        ("-ERR\r\n", "-ERR"),
        (":1\r\n", ":1"),
        ("_\r\n", "_"),
        ("#t\r\n", "#t"),
        (",1.5\r\n", ",1.5"),
        ("(123\r\n", "(123"),
        ("=1\r\n", "=1"),
        ("!1\r\n", "!1"),
        ("$1\r\n", "$1"),
    ] {
        let mut client = victim.client();
        client.send(bytes.as_bytes());
        let text = format!("ERR unknown command '{name}', with args beginning with: ");
        assert_eq!(client.recv(), error(&text), "{bytes:?}");
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()), "{bytes:?}");
    }
    // Inside of a command only strings.
    for kind in b">|%~+-:_#,(=!*" {
        let sign = char::from(*kind);
        let text = format!("ERR Protocol error: expected '$', got '{sign}'");
        victim.refuses(format!("*2\r\n{sign}1\r\n").as_bytes(), &text);
    }
    victim.assert_unharmed();
}

#[test]
fn row_60_lines_about_huge_commands_are_short_and_escaped() {
    let _alone = alone();
    let victim = Victim::start(&["--slowlog-log-slower-than", "0"]);
    let (mut client, mut monitor) = (victim.client(), victim.client());
    assert_eq!(monitor.run("MONITOR"), Value::ok());
    let mut value = vec![0_u8; 256 << 20];
    value[..7].copy_from_slice(b"\"\r\n\x1b[2J");
    assert_eq!(client.call(&[b"SET".as_slice(), b"big\r\n", &value]), Value::ok());
    let line = monitor.recv().text();
    assert!(line.len() < 5 * 64 * 1024, "{}", line.len());
    assert!(line.contains(r#""SET" "big\r\n" "\"\r\n\x1b[2J\x00"#), "{:.200}", line);
    let left = value.len() + "SET".len() + "big\r\n".len() - 64 * 1024;
    assert!(
        line.ends_with(&format!("... ({left} more bytes)\"")),
        "{:?}",
        &line[line.len() - 60..]
    );
    drop(value);

    let keys: Vec<String> = (0..100_000).map(|i| format!("k{i}\n")).collect();
    let mut exists = vec!["EXISTS"];
    exists.extend(keys.iter().map(String::as_str));
    client.send(&command(&exists));
    assert_eq!(client.recv(), Value::Int(0));
    let line = monitor.recv().text();
    assert!(line.len() < 5 * 64 * 1024 && !line.contains('\n'), "{}", line.len());
    assert!(line.ends_with("more arguments)"), "{:?}", &line[line.len() - 60..]);

    assert_eq!(
        client.run("NOSUCH"),
        error("ERR unknown command 'NOSUCH', with args beginning with: ")
    );
    let Value::Array(log) = client.run("SLOWLOG GET -1") else { panic!("an array") };
    for entry in &log {
        let Value::Array(fields) = entry else { panic!("{entry:?}") };
        let Value::Array(args) = &fields[3] else { panic!("{entry:?}") };
        let longest = args.iter().map(|arg| arg.text().len()).max();
        assert!(args.len() <= 32 && longest <= Some(160), "{} {longest:?}", args.len());
    }
    // Keys and values are nobody's business in the log of the server.
    let log = victim.server.log();
    assert!(!log.contains("k99999") && !log.contains("big"), "{log}");
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    drop((client, monitor));
    assert!(eventually(PATIENCE, || victim.server.answers()));
    victim.assert_unharmed();
}
