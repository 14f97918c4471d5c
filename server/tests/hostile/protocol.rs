//! Rows 1 to 16: bytes that are not commands, or hardly.

use crate::support::client::Broken;
use crate::support::process::against_reference;
use crate::support::{Client, Value, alone, command, eventually};
use crate::{Victim, error};
use std::time::Duration;

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

#[test]
fn row_01_only_canonical_counts_of_arguments() {
    let victim = Victim::start(&[]);
    for header in ["*3000000000", "*2147483648", "*+1", "*01", "*-0", "*1x", "*", "* 1", "*1 "] {
        if against_reference() && header == "*" {
            continue;
        }
        let bytes = format!("{header}\r\n");
        victim.refuses(bytes.as_bytes(), "ERR Protocol error: invalid multibulk length");
    }
    victim.assert_unharmed();
}

#[test]
fn row_02_empty_requests_get_no_reply() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    for nothing in ["*0\r\n", "*-1\r\n", "*-10\r\n", "\r\n", "\n", "  \r\n"] {
        client.send(nothing.as_bytes());
        assert_eq!(client.call(&["PING"]), pong(), "{nothing:?}");
    }
    client.send(&b"\r\n".repeat(1_000_000));
    client.send(&b"*0\r\n".repeat(1_000_000));
    assert_eq!(client.call(&["PING"]), pong());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_03_only_canonical_lengths_of_arguments() {
    let victim = Victim::start(&[]);
    let lengths =
        ["-1", "-10", "536870913", "03", "blabla", "9223372036854775808", "+1", "1x", " 1"];
    for length in lengths {
        let bytes = format!("*1\r\n${length}\r\n");
        victim.refuses(bytes.as_bytes(), "ERR Protocol error: invalid bulk length");
        // The same as the second argument, when the first is complete.
        let bytes = format!("*2\r\n$4\r\nECHO\r\n${length}\r\n");
        victim.refuses(bytes.as_bytes(), "ERR Protocol error: invalid bulk length");
    }
    victim.assert_unharmed();
}

#[test]
fn row_04_an_argument_begins_with_a_dollar() {
    let victim = Victim::start(&[]);
    victim.refuses(b"*1\r\nfoo\r\n", "ERR Protocol error: expected '$', got 'f'");
    victim.refuses(b"*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'");
    victim.refuses(b"*2\r\n$4\r\nPING\r\n*1\r\n", "ERR Protocol error: expected '$', got '*'");
    // What came before a protocol error is answered first.
    let mut client = victim.client();
    client.send(b"PING\r\n*1\r\nfoo\r\n");
    assert_eq!(client.recv(), pong());
    assert_eq!(client.recv(), error("ERR Protocol error: expected '$', got 'f'"));
    assert!(client.is_closed());
    victim.assert_unharmed();
}

#[test]
fn row_05_lines_end_within_64_kib() {
    let victim = Victim::start(&[]);
    let long = "1".repeat(70 * 1024);
    victim.refuses(long.as_bytes(), "ERR Protocol error: too big inline request");
    let count = format!("*{long}");
    victim.refuses(count.as_bytes(), "ERR Protocol error: too big mbulk count string");
    let length = format!("*1\r\n${long}");
    victim.refuses(length.as_bytes(), "ERR Protocol error: too big bulk count string");
    victim.assert_unharmed();
}

#[test]
fn row_06_quotes_have_to_be_closed() {
    let victim = Victim::start(&[]);
    for line in ["set \"a", "set 'a", "set \"a\"b", "set 'a'b", "\"", "set \"\\x4"] {
        let bytes = format!("{line}\r\n");
        victim.refuses(bytes.as_bytes(), "ERR Protocol error: unbalanced quotes in request");
    }
    victim.assert_unharmed();
}

#[test]
fn row_07_nul_and_garbage_end_in_a_protocol_error() {
    let victim = Victim::start(&[]);
    for (start, text) in [
        ("\0", "ERR Protocol error: too big inline request"),
        ("*\0", "ERR Protocol error: too big mbulk count string"),
        ("$\0", "ERR Protocol error: too big inline request"),
    ] {
        let mut client = victim.client();
        client.send(start.as_bytes());
        // 1 KiB at a time, as a desynchronised client would.
        for _ in 0..70 {
            if client.try_send(&[b'A'; 1024]).is_err() {
                break;
            }
        }
        assert_eq!(client.try_recv(), Ok(error(text)), "{start:?}");
        assert!(client.is_closed());
    }
    victim.assert_unharmed();
}

#[test]
fn row_08_a_length_after_an_empty_request_is_an_inline_command() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    client.send(b"*0\r\n$4\r\nPING\r\n");
    let unknown = error("ERR unknown command '$4', with args beginning with: ");
    assert_eq!(client.recv(), unknown);
    assert_eq!(client.recv(), pong());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_09_any_two_bytes_end_an_argument() {
    // As Redis does; documented, because a strict parser would be as right.
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    client.send(b"*1\r\n$4\r\nPINGxx");
    assert_eq!(client.recv(), pong());
    assert_eq!(client.call(&["PING"]), pong());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_10_tight_limits_before_authentication() {
    let victim = Victim::start(&["--requirepass", "secret"]);
    victim.refuses(b"*11\r\n", "ERR Protocol error: unauthenticated multibulk length");
    victim.refuses(b"*1\r\n$16385\r\n", "ERR Protocol error: unauthenticated bulk length");
    let mut client = victim.client();
    assert_eq!(client.call(&["AUTH", "secret"]), Value::ok());
    let many = ["EXISTS"; 20];
    assert_eq!(client.call(&many), Value::Int(0));
    let long = vec![b'x'; 20_000];
    assert_eq!(client.call(&[b"ECHO", long.as_slice()]), Value::Bulk(long.clone()));
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_11_before_authentication_nothing_runs_and_little_waits() {
    let victim = Victim::start(&["--requirepass", "secret"]);
    let mut client = victim.client();
    let refused = error("NOAUTH Authentication required.");
    for line in ["GET a", "PING", "INFO", "COMMAND", "CLIENT LIST", "FLUSHALL", "CONFIG GET *"] {
        assert_eq!(client.run(line), refused, "{line}");
    }
    // Replies that nobody reads end the connection instead of filling memory.
    if !against_reference() {
        let mut flood = victim.client();
        flood.set_patience(Duration::from_secs(5));
        let packet = b"GET a\r\n".repeat(10_000);
        let closed = (0..400).any(|_| flood.try_send(&packet).is_err());
        assert!(closed, "the flood goes on");
    }
    assert_eq!(client.run("GET a"), refused);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_11_strangers_are_not_kept() {
    if against_reference() {
        return;
    }
    let victim = Victim::start(&["--requirepass", "secret", "--auth-timeout", "2"]);
    let mut member = victim.client();
    assert_eq!(member.call(&["AUTH", "secret"]), Value::ok());
    let says = [&b""[..], b"GET a\r\n", b"AUTH wrong\r\n", b"*2\r\n$4\r\nAUTH\r\n$6\r\nsec"];
    let mut strangers = says.map(|bytes| {
        let mut client = victim.client();
        client.send(bytes);
        client
    });
    for (client, bytes) in strangers.iter_mut().zip(says) {
        assert!(client.is_closed(), "{}", bytes.escape_ascii());
    }
    assert_eq!(member.run("PING"), pong());
    // Who becomes a stranger again has all the time again.
    assert_eq!(member.run("RESET"), Value::Simple(b"RESET".to_vec()));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(member.call(&["AUTH", "secret"]), Value::ok());
    assert_eq!(member.run("RESET"), Value::Simple(b"RESET".to_vec()));
    assert!(member.is_closed());
    drop((member, strangers));
    victim.assert_unharmed();
}

#[test]
fn row_12_a_web_browser_gets_nothing() {
    let victim = Victim::start(&[]);
    for request in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n", "Host: x\r\nFLUSHALL\r\n"] {
        assert_eq!(victim.client().call(&["SET", "kept", "1"]), Value::ok());
        let mut client = victim.client();
        client.send(request.as_bytes());
        assert_eq!(client.read_to_close(), Ok(Vec::new()), "{request:?}");
        assert_eq!(victim.client().call(&["EXISTS", "kept"]), Value::Int(1));
    }
    victim.assert_unharmed();
}

/// As many connections as the limits of this process allow, at most `wanted`.
fn connections(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default();
    let soft = line.split_whitespace().nth(3).and_then(|n| n.parse().ok()).unwrap_or(1024);
    wanted.min(usize::max(soft, 300) - 200)
}

#[test]
fn row_13_an_announced_length_reserves_nothing() {
    let _alone = alone();
    let victim = Victim::start(&["--maxclients", "5000"]);
    let count = connections(1000);
    let mut silent: Vec<Client> = (0..count).map(|_| victim.client()).collect();
    for client in &mut silent {
        client.send(b"*1\r\n$536870912\r\n");
    }
    assert_eq!(victim.client().call(&["PING"]), pong());
    let most = victim.rss + count as u64 * 64 * 1024;
    // Twice, so that what arrived has been read.
    assert!(victim.server.rss() <= most, "{} MiB", victim.server.rss() >> 20);
    assert_eq!(victim.client().call(&["PING"]), pong());
    assert!(victim.server.rss() <= most, "{} MiB", victim.server.rss() >> 20);
    drop(silent);
    victim.assert_unharmed();
}

#[test]
fn row_13_the_rest_of_a_command_is_not_waited_for_forever() {
    if against_reference() {
        return;
    }
    let victim = Victim::start(&["--partial-command-timeout", "2"]);
    let mut idle = victim.client();
    assert_eq!(idle.run("PING"), pong());
    // As slow as it likes, if only something comes.
    let mut slow = victim.client();
    let parts: [&[u8]; 11] = [
        b"PIN",
        b"*",
        b"*1\r\n",
        b"*1\r\n$536870912\r\n",
        b"*2\r\n$4\r\nECHO\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\nabc",
        b"*2\r\n$4\r\nECHO\r\n$3\r\nabc\r",
        b"*2\r\n$4\r\nECHO\r\n$100000\r\nabc",
        b"*1048577\r\n$6\r\nEXISTS\r\n",
        b"PING\r\nPING\r\nPIN",
    ];
    let mut silent = parts.map(|part| {
        let mut client = victim.client();
        client.send(part);
        client
    });
    for byte in b"*2\r\n$4\r\nECHO\r\n$12\r\nnot yet dead\r\n" {
        slow.send(&[*byte]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(slow.recv(), Value::bulk("not yet dead"));
    for (client, part) in silent.iter_mut().zip(parts) {
        assert!(client.is_closed(), "{}", part.escape_ascii());
    }
    assert_eq!(idle.run("PING"), pong());
    drop((idle, slow, silent));
    victim.assert_unharmed();
}

#[test]
fn row_14_a_million_arguments_one_by_one() {
    let _alone = alone();
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let mut bytes = b"*1048577\r\n$6\r\nEXISTS\r\n".to_vec();
    bytes.extend(b"$1\r\nk\r\n".repeat(1_048_576));
    for part in bytes.chunks(10_007) {
        client.send(part);
    }
    assert_eq!(client.recv(), Value::Int(0));
    // A header alone is cheap.
    let mut announced: Vec<Client> = (0..50).map(|_| victim.client()).collect();
    announced.iter_mut().for_each(|c| c.send(b"*1048577\r\n"));
    assert_eq!(client.call(&["PING"]), pong());
    drop((client, announced));
    victim.assert_unharmed();
}

#[test]
fn row_15_packets_of_one_byte_and_sudden_ends() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let mut wire = command(&["SET", "k", "value"]);
    wire.extend(b"GET k\r\n");
    for byte in wire {
        client.send(&[byte]);
    }
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), Value::bulk("value"));
    // Reset in the middle of an argument: unread data in our buffer turns the close into a reset.
    for _ in 0..50 {
        let mut client = victim.client();
        client.send(b"PING\r\n*2\r\n$4\r\nECHO\r\n$100000\r\nabc");
        drop(client);
    }
    // Our side closed after whole commands: they run and are answered.
    let mut last = victim.client();
    last.send(&b"INCR n\r\n".repeat(1000));
    last.finish_sending();
    for n in 1..=1000 {
        assert_eq!(last.recv(), Value::Int(n));
    }
    assert_eq!(last.try_recv(), Err(Broken::Closed));
    drop((client, last));
    victim.assert_unharmed();
}

#[test]
fn row_16_unknown_commands_are_quoted_short_and_on_one_line() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let long = vec![b'x'; 1 << 20];
    let text = format!(
        "ERR unknown command '{}', with args beginning with: '{}' ",
        "x".repeat(128),
        "x".repeat(128)
    );
    assert_eq!(client.call(&[&long, &long]), error(&text));
    let lines = error("ERR unknown command 'a  b', with args beginning with: 'c d' ");
    assert_eq!(client.call(&["a\r\nb", "c\nd"]), lines);
    let reply = client.call(&["a\0b", "\0"]);
    assert!(
        reply.error_text().is_some_and(|t| t.starts_with("ERR unknown command 'a")),
        "{reply:?}"
    );
    assert_eq!(client.call(&["PING"]), pong());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn commands_that_come_with_a_broken_one_are_not_lost() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let mut wire = command(&["SET", "before", "1"]);
    wire.extend(b"*1\r\n$-5\r\n");
    wire.extend(command(&["SET", "after", "1"]));
    client.send(&wire);
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.recv(), error("ERR Protocol error: invalid bulk length"));
    assert!(client.is_closed());
    let mut client = victim.client();
    assert!(eventually(Duration::from_secs(2), || {
        client.call(&["EXISTS", "before"]) == Value::Int(1)
    }));
    assert_eq!(client.call(&["EXISTS", "after"]), Value::Int(0));
    drop(client);
    victim.assert_unharmed();
}
