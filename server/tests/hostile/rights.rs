//! Rows 53 and 54: keys that are found while a command runs, and what nobody may set.

use crate::support::Value;
use crate::support::process::against_reference;
use crate::{Victim, error, expect};

#[test]
fn row_53_keys_outside_of_the_rules() {
    let victim = Victim::start(&[]);
    let mut admin = victim.client();
    for line in [
        "RPUSH mine 2 1",
        "SET other:1 secret",
        "GEOADD mine:g 13 38 p",
        "XADD mine:x 1-1 f v",
        "XADD other:x 1-1 f v",
        "ACL SETUSER u on nopass +@all ~mine*",
        "ACL SETUSER reader on nopass +@all %R~* %W~mine*",
    ] {
        assert!(!admin.run(line).is_error(), "{line}");
    }
    let mut client = victim.client();
    assert_eq!(client.run("AUTH u x"), Value::ok());
    let no_key = || {
        // 7.0 says which of the keys it is in another way.
        error(if against_reference() {
            "NOPERM this user has no permissions to access one of the keys used as arguments"
        } else {
            "NOPERM No permissions to access a key"
        })
    };
    let sort = |option: &str| {
        error(&format!("ERR {option} option of SORT denied due to insufficient ACL permissions."))
    };
    expect(
        &mut client,
        &[
            ("SORT other STORE mine", no_key()),
            ("SORT mine BY other:*", sort("BY")),
            ("SORT mine GET other:*", sort("GET")),
            ("SORT_RO mine GET other:*->f", sort("GET")),
            ("SORT mine BY nosort STORE other", no_key()),
            // The word STORE behind BY or GET is a pattern, the last STORE counts.
            ("SORT mine BY STORE STORE other", no_key()),
            ("SORT mine STORE mine:d STORE other", no_key()),
            ("GEORADIUS mine:g 13 38 100 km STORE other", no_key()),
            ("GEORADIUS mine:g 13 38 100 km STOREDIST other", no_key()),
            ("GEORADIUSBYMEMBER mine:g p 100 km STORE mine:d STORE other", no_key()),
            ("XREAD STREAMS mine:x other:x 0 0", no_key()),
            ("XREAD COUNT 1 STREAMS other:x mine:x 0 0", no_key()),
            ("PFMERGE mine:h other", no_key()),
            ("COPY other:1 mine:c", no_key()),
        ],
    );
    assert_eq!(client.run("AUTH reader x"), Value::ok());
    let secret = Value::Array(vec![Value::bulk("secret"), Value::NullBulk]);
    expect(
        &mut client,
        &[
            ("SORT mine GET other:*", secret),
            ("SORT mine GET other:* STORE mine:d", Value::Int(2)),
            ("SORT mine STORE other", no_key()),
            ("GEORADIUS mine:g 13 38 100 km STORE other", no_key()),
        ],
    );
    drop((client, admin));
    victim.assert_unharmed();
}

#[test]
fn row_54_protected_settings_and_debug() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    for name in ["dir", "dbfilename"] {
        let line = format!("CONFIG SET {name} /tmp/x");
        let text = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set protected \
             config"
        );
        assert_eq!(client.run(&line), error(&text), "{line}");
    }
    assert_eq!(client.run("CONFIG SET nosuch x"), error(unknown));
    // Neither is set if one of both cannot be.
    assert!(client.run("CONFIG SET timeout 77 dir /tmp/x").is_error());
    assert_eq!(client.run("CONFIG GET timeout").items()[1], Value::bulk("0"));
    for line in ["DEBUG SLEEP 10", "DEBUG HELP", "DEBUG NOSUCH", "DEBUG POPULATE 1000000000"] {
        let text = client.run(line).error_text().unwrap_or_default();
        assert!(text.starts_with("ERR DEBUG command not allowed. If the "), "{line}: {text}");
    }
    assert_eq!(client.run("DBSIZE"), Value::Int(0));
    drop(client);
    victim.assert_unharmed();
}
