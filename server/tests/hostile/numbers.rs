//! Rows 18 to 23, 27 and 30, 31: numbers at and past every border.

use crate::support::Value;
use crate::{Victim, error, expect};

const MAX: &str = "9223372036854775807";
const INT_RANGE: &str = "ERR value is out of range, value must between -2147483648 and 2147483647";
const MIN: &str = "-9223372036854775808";

#[test]
fn row_18_setrange_at_a_negative_offset() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let refused = error("ERR offset is out of range");
    expect(
        &mut client,
        &[
            ("SETRANGE k -1 x", refused.clone()),
            (&format!("SETRANGE k {MIN} x"), refused),
            ("EXISTS k", Value::Int(0)),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_19_strings_past_the_maximum() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let refused = error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    expect(
        &mut client,
        &[
            ("SETRANGE k 536870912 x", refused.clone()),
            (&format!("SETRANGE k {MAX} x"), refused.clone()),
            ("SETRANGE nokey 999999999999 \"\"", Value::Int(0)),
            ("EXISTS k nokey", Value::Int(0)),
            ("CONFIG SET proto-max-bulk-len 1048576", Value::ok()),
        ],
    );
    let half = vec![b'x'; 600_000];
    assert_eq!(client.call(&[b"APPEND", b"k".as_slice(), &half]), Value::Int(600_000));
    assert_eq!(client.call(&[b"APPEND", b"k".as_slice(), &half]), refused);
    expect(&mut client, &[("STRLEN k", Value::Int(600_000)), ("DEL k", Value::Int(1))]);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_20_bit_offsets() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let refused = error("ERR bit offset is not an integer or out of range");
    for line in [
        "SETBIT k 4294967296 1",
        "SETBIT k -1 1",
        "GETBIT k -1",
        "GETBIT k 4294967296",
        "BITFIELD k GET i64 #9223372036854775807",
        "BITFIELD k SET u8 #576460752303423488 1",
        "BITFIELD k GET u1 4294967296",
        "BITFIELD k GET u1 -1",
        "BITFIELD_RO k GET i64 #9223372036854775807",
    ] {
        expect(&mut client, &[(line, refused.clone())]);
    }
    expect(&mut client, &[("EXISTS k", Value::Int(0))]);
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_21_increments_that_overflow() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let overflow = error("ERR increment or decrement would overflow");
    expect(
        &mut client,
        &[
            (&format!("SET k {MAX}"), Value::ok()),
            ("INCR k", overflow.clone()),
            ("INCRBY k 1", overflow.clone()),
            (&format!("INCRBY k {MAX}"), overflow.clone()),
            (&format!("DECRBY k {MIN}"), error("ERR decrement would overflow")),
            (&format!("SET k {MIN}"), Value::ok()),
            ("DECR k", overflow.clone()),
            (&format!("INCRBY k {MIN}"), overflow),
            (&format!("INCRBY k {MAX}"), Value::Int(-1)),
            ("INCRBY k 9223372036854775808", error("ERR value is not an integer or out of range")),
            ("DEL k", Value::Int(1)),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_22_floats_that_are_no_numbers() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    let infinite = error("ERR increment would produce NaN or Infinity");
    let invalid = error("ERR value is not a valid float");
    expect(
        &mut client,
        &[
            ("INCRBYFLOAT k inf", infinite.clone()),
            ("INCRBYFLOAT k -inf", infinite),
            ("INCRBYFLOAT k nan", invalid.clone()),
            ("INCRBYFLOAT k 1x", invalid.clone()),
            ("INCRBYFLOAT k \"\"", invalid),
            ("EXISTS k", Value::Int(0)),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_23_lifetimes() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    client.call(&["SET", "k", "v"]);
    let refused = |name: &str| error(&format!("ERR invalid expire time in '{name}' command"));
    for (line, name) in [
        (format!("EXPIRE k {MAX}"), "expire"),
        (format!("EXPIRE k {MIN}"), "expire"),
        (format!("EXPIRE k -{MAX}"), "expire"),
        (format!("PEXPIRE k {MAX}"), "pexpire"),
        (format!("EXPIREAT k {MAX}"), "expireat"),
        ("SET k v EX 0".into(), "set"),
        ("SET k v PX 0".into(), "set"),
        ("SET k v EX -1".into(), "set"),
        (format!("SET k v EX {MAX}"), "set"),
        (format!("SET k v PX {MAX}"), "set"),
        ("SETEX k 0 v".into(), "setex"),
        (format!("SETEX k {MAX} v"), "setex"),
        ("PSETEX k -1 v".into(), "psetex"),
        ("GETEX k EX 0".into(), "getex"),
        (format!("GETEX k EX {MAX}"), "getex"),
    ] {
        expect(&mut client, &[(&line, refused(name))]);
    }
    expect(
        &mut client,
        &[
            ("TTL k", Value::Int(-1)),
            ("GET k", Value::bulk("v")),
            ("EXPIRE k -1", Value::Int(1)),
            ("EXISTS k", Value::Int(0)),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_27_ranges_from_end_to_end() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    expect(
        &mut client,
        &[
            ("SET k hello", Value::ok()),
            (&format!("GETRANGE k {MAX} {MIN}"), Value::bulk("")),
            (&format!("GETRANGE k {MIN} {MAX}"), Value::bulk("hello")),
            (&format!("BITCOUNT k {MIN} {MAX}"), Value::Int(21)),
            (&format!("BITCOUNT k {MIN} {MAX} BIT"), Value::Int(21)),
            (&format!("BITPOS k 1 {MIN} {MAX}"), Value::Int(1)),
            ("DEL k", Value::Int(1)),
        ],
    );
    drop(client);
    victim.assert_unharmed();
}

#[test]
fn row_30_and_31_cursors_and_databases() {
    let victim = Victim::start(&[]);
    let mut client = victim.client();
    expect(
        &mut client,
        &[
            ("SCAN 18446744073709551616", error("ERR invalid cursor")),
            ("SCAN -1x", error("ERR invalid cursor")),
            ("SCAN abc", error("ERR invalid cursor")),
            ("SELECT -1", error("ERR DB index is out of range")),
            ("SELECT 16", error("ERR DB index is out of range")),
            (&format!("SELECT {MAX}"), error(INT_RANGE)),
            ("SELECT 99999", error("ERR DB index is out of range")),
        ],
    );
    for cursor in ["9223372036854775808", "18446744073709551615"] {
        let reply = client.call(&["SCAN", cursor]).items();
        assert_eq!(reply.len(), 2, "any cursor of 64 bits is taken");
    }
    drop(client);
    victim.assert_unharmed();
}
