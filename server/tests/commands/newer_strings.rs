//! Commands that came after Redis 7.2, which the reference of the differential test does not know:
//! transcripts of what their documentation promises.

use crate::support::{Server, Value, follow, show};

/// SET, DELEX and DELIFEQ on the condition that the old string compares as said.
const CONDITIONS: &str = "
    set k hello => OK
    set k world IFEQ hello => OK
    set k x ifeq nope => nil
    get k => world
    set m v ifeq a => nil
    exists m => 0
    set m v ifne a => OK
    set m v2 ifne v => nil
    set m v2 ifne z get => v
    get m => v2
    set m v3 ifeq zz get => v2
    get m => v2
    set n v ifdne 1 => OK
    set n v ifdeq 1 => -ERR must be exactly 16 hexadecimal characters
    del n => 1
    set n v ifdeq 1 => nil
    set n v ifeq a get => nil
    exists n => 0
    set d hello => OK
    set d world ifdeq 9555E8555C62DCFD => OK
    set d w2 ifdeq 9555e8555c62dcfd => nil
    set d w2 IFDNE 9555e8555c62dcfd EX 100 => OK
    ttl d => about 100
    set d x ifeq w2 nx => -ERR syntax error
    set d x ifeq => -ERR syntax error
    set d x ifeq a ifne b => -ERR syntax error
    set d x keepttl ifeq w2 => OK
    ttl d => about 100
    digest nokey => nil
    digest => -ERR wrong number of arguments for 'digest' command
    delex d ifeq zz => 0
    delex d ifne x => 0
    delex d foo x => -ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
    delex d ifeq => -ERR wrong number of arguments for 'delex' command
    delex nokey ifdeq 1 => 0
    delex d ifeq x => 1
    exists d => 0
    delex m => 1
    delex m => 0
    set d hello => OK
    delex d ifdne 9555e8555c62dcfd => 0
    delex d ifdeq 9555e8555c62dcfd => 1
    set d hello => OK
    delifeq d x => 0
    delifeq d hello => 1
    delifeq d hello => 0
";

/// MSETEX.
const PAIRS: &str = "
    msetex 2 a 1 b 2 => 1
    mget a b => 1 2
    msetex 2 a 3 b 4 nx => 0
    msetex 2 a 3 zz 4 xx => 0
    msetex 2 a 3 b 4 xx ex 100 => 1
    ttl a => about 100
    msetex 1 a 5 keepttl => 1
    ttl a => about 100
    msetex 1 a 6 => 1
    ttl a => -1
    msetex a b c => -ERR invalid numkeys value
    msetex 0 b c => -ERR invalid numkeys value
    msetex 2147483648 b c => -ERR invalid numkeys value
    msetex 2147483647 b c => -ERR wrong number of key-value pairs
    msetex 2 a b c => -ERR wrong number of key-value pairs
    msetex 1 a b foo => -ERR syntax error
    msetex 1 a b nx xx => -ERR syntax error
    msetex 1 a b ex 1 px 1 => -ERR syntax error
    msetex 1 a b ex => -ERR syntax error
    msetex 1 a b ex 0 => -ERR invalid expire time in 'msetex' command
    msetex 1 a b persist => -ERR syntax error
    msetex 1 a b ifeq b => -ERR syntax error
    msetex 1 a 7 exat 1 => 1
    exists a => 0
    msetex -1 a b => -ERR invalid numkeys value
";

/// INCREX: bounds, conditions, expire times, and what it refuses.
const COUNTER: &str = "
    increx c => 1 1
    increx c byint 5 => 6 5
    increx c byint -10 => -4 -10
    set c 50 => OK
    increx c byint 100 ubound 80 saturate => 80 30
    increx c byint 100 ubound 80 => 80 0
    increx c byint -100 lbound 0 saturate => 0 -80
    set c 9223372036854775800 => OK
    increx c byint 9223372036854775800 => 9223372036854775800 0
    increx c byint 1 saturate ubound -9223372036854775808 => -ERR applied increment would overflow
    increx c byint 9223372036854775800 saturate => 9223372036854775807 7
    set f 1.5 => OK
    increx f byfloat 0.25 => 1.75 0.25
    increx f byfloat 100 ubound 42.5 saturate => 42.5 40.75
    increx f byfloat 1 ubound 42.5 => 42.5 0
    increx f byfloat +inf => -ERR BYFLOAT increment cannot be Infinity
    set f inf => OK
    increx f byfloat 1 => -ERR value cannot be Infinity
    increx f byfloat 1.0 ubound -inf => -ERR LBOUND can't be greater than UBOUND
    increx f byfloat 1.0 lbound inf => -ERR LBOUND can't be greater than UBOUND
    set f 10 => OK
    increx f byfloat 1.0 ubound inf => 11 1
    set f 10 => OK
    increx f byfloat 1.0 lbound inf ubound inf => 10 0
    increx f byfloat 1.0 lbound inf ubound inf saturate => -ERR applied increment would be Infinity
    set f 1e4932 => OK
    set f -1e4932 => OK
    increx f byfloat 1e4932 lbound 1e4932 saturate => -ERR applied increment would be Infinity
    del nk => 0
    increx nk byint 5 lbound 10 => 0 0
    exists nk => 0
    increx nk lbound 5 saturate => 5 5
    del nk => 1
    increx nk xx => 0 0
    increx nk xx byfloat 1.5 => 0 0
    increx nk nx => 1 1
    increx nk nx => 1 0
    increx nk nx xx => -ERR syntax error
    increx nk enx => -ERR ENX flag requires an expiration
    increx nk persist enx => -ERR syntax error
    increx nk ex 10 ex 20 => -ERR syntax error
    increx nk byint 1 byint 2 => -ERR syntax error
    increx nk byint 1 byfloat 2 => -ERR syntax error
    increx nk saturate saturate => -ERR syntax error
    increx nk foo => -ERR syntax error
    increx nk byint => -ERR syntax error
    increx nk keepttl => -ERR syntax error
    increx nk byint abc => -ERR Increment is not an integer or out of range
    increx nk byfloat abc => -ERR Increment is not a valid float
    increx nk ubound 1.5 => -ERR UBOUND is not an integer or out of range
    increx nk byfloat 1 lbound x => -ERR LBOUND is not a valid float
    increx nk lbound 2 ubound 1 => -ERR LBOUND can't be greater than UBOUND
    increx nk ex 0 => -ERR invalid expire time in 'increx' command
    set s abc => OK
    increx s => -ERR value is not an integer or out of range
    increx s byfloat 1 => -ERR value is not a valid float
    set c 10 => OK
    increx c ex 100 enx => 11 1
    ttl c => about 100
    increx c ex 500 enx => 12 1
    ttl c => about 100
    increx c ex 500 => 13 1
    ttl c => about 500
    increx c => 14 1
    ttl c => about 500
    increx c exat 1 enx => 15 1
    ttl c => about 500
    increx c persist => 16 1
    ttl c => -1
    increx c byint 5 ubound 5 ex 100 => 16 0
    ttl c => -1
    increx c exat 1 => 17 1
    exists c => 0
    increx c exat 1 => 1 1
    exists c => 0
    set c 1 => OK
    append c 2 => 2
    object encoding c => raw
    increx c => 13 1
    object encoding c => int
";

#[test]
fn comparing_conditions() {
    let server = Server::dunlin(&[]);
    follow(&mut server.client(), CONDITIONS);
}

#[test]
fn several_keys_with_an_expire_time() {
    let server = Server::dunlin(&[]);
    follow(&mut server.client(), PAIRS);
}

#[test]
fn counters_with_bounds() {
    let server = Server::dunlin(&[]);
    follow(&mut server.client(), COUNTER);
    let mut client = server.client3();
    follow(
        &mut client,
        "del x => 0
         increx x byfloat 2.5 => ,2.5 ,2.5
         increx x byfloat 1 ubound 3 => ,2.5 ,0
         increx y => 1 1",
    );
}

#[test]
fn the_largest_float_is_a_bound() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("set f 1e4932");
    let refused = client.run("increx f byfloat 1e4932").items();
    assert_eq!(refused[1], Value::bulk("0"));
    assert_eq!(client.run("get f"), Value::bulk("1e4932"));
    let largest = client.run("increx f byfloat 1e4932 saturate").items();
    assert_eq!(client.run("get f"), largest[0]);
    assert!(largest[0].text().starts_with("11897314953572317650"), "{largest:?}");
}

#[test]
fn bit_operations_of_three_sources() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.call(&[&b"MSET"[..], b"x", b"\xf0", b"y", b"\x3c", b"z", b"\x0f"]);
    for (operation, result) in [("DIFF", 0xc0), ("DIFF1", 0x0f), ("ANDOR", 0x30), ("ONE", 0xc3)] {
        assert_eq!(client.run(&format!("bitop {operation} r x y z")), Value::Int(1));
        assert_eq!(client.run("get r"), Value::bulk([result]), "{operation}");
    }
    follow(
        &mut client,
        "bitop diff r x => -ERR BITOP DIFF must be called with at least two source keys.
         bitop diff1 r x => -ERR BITOP DIFF1 must be called with at least two source keys.
         bitop andor r x => -ERR BITOP ANDOR must be called with at least two source keys.
         bitop one r x => 1
         bitop one r nokey => 0
         exists r => 0",
    );
}

/// Keys, options and numbers may be as big as values.
#[test]
fn big_arguments_in_every_place() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    let (key, value) = (vec![b'k'; 40_000], vec![b'v'; 100_000]);
    let mut run = |args: &[&[u8]]| show(&client.call(args));
    assert_eq!(run(&[b"SET", &key, b"1"]), "OK");
    assert_eq!(run(&[b"SET", &key, &value]), "OK");
    assert_eq!(run(&[b"GET", &key]).as_bytes(), value);
    assert_eq!(run(&[b"SET", b"a", b"1", &value]), "-ERR syntax error");
    let not_integer = "-ERR value is not an integer or out of range";
    assert_eq!(run(&[b"SET", b"a", b"1", b"EX", &value]), not_integer);
    assert_eq!(run(&[b"SETEX", b"a", &value, b"1"]), not_integer);
    assert_eq!(run(&[b"MSET", &key, &value, b"b", &value]), "OK");
    assert_eq!(run(&[b"SET", &key, b"new", b"IFEQ", &value]), "OK");
    assert_eq!(run(&[b"GET", &key]), "new");
    assert_eq!(run(&[b"SET", b"b", b"new", b"IFNE", &value]), "nil");
    assert_eq!(run(&[b"DELIFEQ", b"b", &value]), "1");
    assert!(run(&[&value, b"a"]).starts_with("-ERR unknown command 'vvv"));
}
