//! Rows 46, 50 to 52: clients that do not read, names, logins, rules of users.

use crate::support::{Value, alone, command};
use crate::{Victim, error};
use std::time::Duration;

/// Memory one client that does not read may hold: the output a connection may have pending, and the
/// sockets' buffers, which belong to the kernel, not to the server.
const UNREAD: u64 = 96 << 20;

#[test]
fn row_46_a_client_that_never_reads_holds_little_memory() {
    let _alone = alone();
    let victim = Victim::start(&["--client-output-buffer-limit", "normal 64mb 32mb 10"]);
    let mut client = victim.client();
    let value = vec![b'v'; 1 << 20];
    assert_eq!(client.call(&[b"SET".as_slice(), b"big", &value]), Value::ok());
    let mut deaf = victim.client();
    deaf.set_patience(Duration::from_secs(3));
    // 10 GB of replies.
    let packet = command(&["GET", "big"]).repeat(100);
    let mut highest = 0;
    for _ in 0..100 {
        if deaf.try_send(&packet).is_err() {
            break;
        }
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        highest = highest.max(victim.server.rss());
    }
    for _ in 0..50 {
        assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
        highest = highest.max(victim.server.rss());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(highest <= victim.rss + UNREAD, "{} MiB", highest >> 20);
    drop(deaf);
    assert_eq!(client.run("FLUSHALL"), Value::ok());
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_50_names_of_clients() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    for name in ["a b\n", "a b", "\n", "a\r", "a\0", "\u{e4}", "\x7f"] {
        assert_eq!(client.call(&["CLIENT", "SETNAME", name]), error(text), "{name:?}");
        let hello = client.call(&["HELLO", "3", "SETNAME", name]);
        assert_eq!(hello, error(text), "{name:?}");
    }
    assert!(client.run("CLIENT GETNAME").is_null());
    assert_eq!(client.call(&["CLIENT", "SETNAME", "a~!"]), Value::ok());
    assert_eq!(client.run("CLIENT GETNAME"), Value::bulk("a~!"));
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_51_hello_and_auth() {
    let victim = Victim::start(&["--requirepass", "secret"]);
    let mut client = victim.client();
    let wrong = error("WRONGPASS invalid username-password pair or user is disabled.");
    let version = error("NOPROTO unsupported protocol version");
    for line in ["HELLO 4", "HELLO 1", "HELLO 0", "HELLO -1", "HELLO 9223372036854775807"] {
        assert_eq!(client.run(line), version, "{line}");
    }
    assert!(client.run("HELLO x").is_error());
    assert_eq!(client.run("HELLO 3 AUTH"), error("ERR Syntax error in HELLO option 'AUTH'"));
    assert_eq!(client.run("HELLO 3 AUTH default bad"), wrong);
    assert_eq!(client.call(&["AUTH", "sec\0ret"]), wrong);
    assert_eq!(client.call(&["AUTH", "secret\0"]), wrong);
    assert_eq!(client.call(&["AUTH", ""]), wrong);
    assert_eq!(client.call(&["AUTH", "default", "bad"]), wrong);
    assert_eq!(client.call(&["AUTH", "nobody", "secret"]), wrong);
    assert_eq!(client.call(&["AUTH", &"x".repeat(16_000)]), wrong);
    assert_eq!(client.run("PING"), error("NOAUTH Authentication required."));
    let noauth = client.run("HELLO 3").error_text().unwrap_or_default();
    assert!(noauth.starts_with("NOAUTH HELLO must be called with the client already"), "{noauth}");
    assert_eq!(client.call(&["AUTH", "secret"]), Value::ok());
    // Long passwords are read only from those who already have one.
    assert_eq!(client.call(&["AUTH", &"x".repeat(1 << 20)]), wrong);
    assert_eq!(client.run("PING"), Value::Simple(b"PONG".to_vec()));
    drop(client);
    let mut client = victim.client();
    assert!(!client.run("HELLO 3 AUTH default secret").is_error());
    assert_eq!(client.run("GET nokey"), Value::Null);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_52_rules_of_users() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let set = |client: &mut crate::support::Client, rules: &[&str]| {
        client.call(&[&["ACL", "SETUSER", "u", "on"], rules].concat())
    };
    let nested = "(".repeat(10_000);
    let closed = format!("{nested}{}", ")".repeat(10_000));
    let many: Vec<&str> = vec!["(~a"; 10_000];
    let long = format!("+{}", "x".repeat(1 << 20));
    for rule in ["%", "%~", ")", "(())", "(%)", "(%~)", "%RR~a", &closed] {
        let text = format!("ERR Error in ACL SETUSER modifier '{rule}': Syntax error");
        assert_eq!(set(&mut client, &[rule]), error(&text));
    }
    for rules in [&["("][..], &["(~"], &[&nested], &many] {
        let text = format!("ERR Unmatched parenthesis in acl selector starting at '{}'.", rules[0]);
        assert_eq!(set(&mut client, rules), error(&text));
    }
    let text = format!(
        "ERR Error in ACL SETUSER modifier '{long}': Unknown command or category name in ACL"
    );
    assert_eq!(set(&mut client, &[&long]), error(&text));
    assert_eq!(
        set(&mut client, &["~\0"]),
        error("ERR Error in ACL SETUSER modifier '~': Syntax error")
    );
    assert!(client.run("ACL GETUSER u").is_null());
    // Long patterns are good rules; matching one takes linear time per star.
    let pattern = format!("~{}b", "a*".repeat(500));
    assert_eq!(set(&mut client, &["nopass", "+get", &pattern]), Value::ok());
    let mut user = victim.client();
    assert_eq!(user.run("AUTH u x"), Value::ok());
    let denied = error("NOPERM No permissions to access a key");
    assert_eq!(user.call(&["GET", &"a".repeat(10_000)]), denied);
    assert_eq!(client.run("ACL DELUSER u"), Value::Int(1));
    assert_eq!(client.run("ACL LOG RESET"), Value::ok());
    drop((client, user));
    victim.assert_unharmed();
}

/// Names may be as long as arguments; what is kept of them elsewhere is short.
#[test]
fn long_names_of_clients_are_counted_and_not_multiplied() {
    let victim = Victim::start(&["--slowlog-log-slower-than", "0"]);
    let mut client = victim.client();
    let name = "n".repeat(1 << 20);
    assert_eq!(client.call(&["CLIENT", "SETNAME", &name]), Value::ok());
    assert_eq!(client.call(&["CLIENT", "SETINFO", "LIB-NAME", &name]), Value::ok());
    let line = victim.client().run("CLIENT LIST").text();
    let total = |rest: &str| rest.split(' ').next()?.parse::<u64>().ok();
    let most = line.split("tot-mem=").skip(1).filter_map(total).max();
    assert!(most > Some(2 << 20), "of both names: {most:?}");
    assert_eq!(client.run("ACL SETUSER few on nopass ~* +@all -get"), Value::ok());
    assert!(!client.run("AUTH few x").is_error());
    assert!(client.run("GET a").is_error());
    let mut admin = victim.client();
    let refusals = admin.run("ACL LOG");
    assert!(format!("{refusals:?}").len() < 256 << 10, "one refusal");
    let slow = admin.run("SLOWLOG GET -1");
    assert!(slow.items().len() >= 4 && format!("{slow:?}").len() < 256 << 10, "some commands");
    drop((client, admin));
    victim.assert_unharmed();
}

/// A script chooses the text of its errors; INFO counts them by their first word.
#[test]
fn long_words_of_errors_are_not_kept() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    for script in [
        "return {err = string.rep('x', 100000) .. ARGV[1]}",
        "return redis.error_reply('-' .. string.rep('y', 100000) .. ARGV[1] .. ' why')",
    ] {
        for i in 0..8 {
            assert!(client.call(&["EVAL", script, "0", &i.to_string()]).is_error());
        }
    }
    let stats = client.run("INFO errorstats").text();
    assert!(stats.contains("errorstat_ERR:count=16\r\n") && stats.len() < 1000, "{stats}");
    drop(client);
    victim.assert_unharmed();
}
