//! Fields of hashes that expire, which the reference of the differential test does not know:
//! transcripts of what their documentation promises, for both forms of a hash.

use crate::support::{Client, Server, Value, eventually, follow};
use std::time::Duration;

/// Long enough for everything that is not about time.
const SOON: Duration = Duration::from_secs(10);

/// More fields than a packed hash has.
const MANY: usize = 600;

/// Runs `check` with a client of a server whose hash `h` has fields a=1, b=2, c=3, and again with
/// many others beside them.
fn small_and_large(check: impl Fn(&mut Client)) {
    for others in [0, MANY] {
        let server = Server::dunlin(&[]);
        let mut client = server.client();
        client.run("hset h a 1 b 2 c 3");
        for n in 0..others {
            client.run(&format!("hset h other:{n} x"));
        }
        check(&mut client);
    }
}

#[test]
fn expiries_are_set_on_conditions() {
    small_and_large(|client| {
        follow(
            client,
            "
            hexpire h 1000 FIELDS 2 a nofield => 1 -2
            httl h FIELDS 1 a => about 1000
            httl h fields 2 b nofield => -1 -2
            hexpire h 2000 NX FIELDS 2 a b => 0 1
            hexpire h 3000 XX FIELDS 2 a c => 1 0
            hexpire h 2500 GT FIELDS 3 a b c => 0 1 0
            hexpire h 2700 LT FIELDS 3 a b c => 1 0 1
            httl h FIELDS 1 a => about 2700
            httl h FIELDS 1 b => about 2500
            hpersist h FIELDS 3 a a nofield => 1 -1 -2
            httl h FIELDS 1 a => -1
            hexpireat h 4000000000 FIELDS 1 a => 1
            hexpiretime h FIELDS 2 a nofield => 4000000000 -2
            ",
        );
    });
}

#[test]
fn times_come_back_as_they_were_set() {
    small_and_large(|client| {
        follow(
            client,
            "
            hexpireat h 4000000000 FIELDS 1 a => 1
            hexpiretime h FIELDS 2 a b => 4000000000 -1
            hpexpiretime h FIELDS 1 a => 4000000000000
            hpexpireat h 4000000000001 FIELDS 1 a => 1
            hexpiretime h FIELDS 1 a => 4000000001
            hpexpiretime h FIELDS 1 a => 4000000000001
            hpexpireat h 70368744177663 FIELDS 1 a => 1
            hpexpireat h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hpexpireat' command
            hset h a 5 => 0
            hpexpiretime h FIELDS 1 a => -1
            hexpireat h 4000000000 FIELDS 1 a => 1
            hincrby h a 2 => 7
            hincrbyfloat h a 0.5 => 7.5
            hexpiretime h FIELDS 1 a => 4000000000
            ",
        );
    });
}

#[test]
fn a_time_in_the_past_removes_the_field() {
    small_and_large(|client| {
        follow(
            client,
            "
            hexpire h 0 FIELDS 3 a nofield a => 2 -2 -2
            hget h a => nil
            hexpireat h 1 XX FIELDS 1 b => 0
            hpexpireat h 1 FIELDS 1 b => 2
            hmget h a b c => nil nil 3
            ",
        );
    });
    let server = Server::dunlin(&[]);
    follow(
        &mut server.client(),
        "
        hset h a 1 b 2 => 2
        hpexpireat h 1 FIELDS 2 a b => 2 2
        exists h => 0
        ",
    );
}

#[test]
fn a_field_is_gone_after_its_time() {
    small_and_large(|client| {
        let before = client.run("hlen h").int();
        assert_eq!(client.run("hpexpire h 20 FIELDS 1 a"), Value::Array(vec![Value::Int(1)]));
        assert!(eventually(SOON, || client.run("hget h a").is_null()));
        follow(
            client,
            "
            hexists h a => 0
            hstrlen h a => 0
            hmget h a b => nil 2
            httl h FIELDS 1 a => -2
            hexpire h 100 FIELDS 1 a => -2
            hdel h a => 0
            hincrby h a 1 => 1
            httl h FIELDS 1 a => -1
            ",
        );
        assert_eq!(client.run("hlen h").int(), before);
        assert_eq!(client.run("hgetall h").items().len() as i64, 2 * before);
    });
}

#[test]
fn a_hash_is_gone_with_its_last_field() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("hset h a 1 b 2");
    client.run("hpexpire h 20 FIELDS 2 a b");
    assert!(eventually(SOON, || client.run("hgetall h").items().is_empty()));
    follow(
        &mut client,
        "
        exists h => 0
        type h => none
        hrandfield h => nil
        hrandfield h 5 => (empty)
        hscan h 0 => 0 (empty)
        hlen h => 0
        hsetnx h a 3 => 1
        hgetall h => a 3
        ",
    );
}

#[test]
fn values_are_taken_with_their_fields() {
    small_and_large(|client| {
        follow(
            client,
            "
            hgetex h FIELDS 2 a nofield => 1 nil
            hgetex h EX 1000 FIELDS 1 a => 1
            httl h FIELDS 1 a => about 1000
            hgetex h PERSIST FIELDS 2 a b => 1 2
            httl h FIELDS 1 a => -1
            hgetex h PXAT 4000000000000 FIELDS 1 b => 2
            hpexpiretime h FIELDS 1 b => 4000000000000
            hgetex h EXAT 1 FIELDS 2 a a => 1 nil
            hgetdel h FIELDS 3 b b nofield => 2 nil nil
            hmget h a b c => nil nil 3
            hgetex nokey FIELDS 2 a b => nil nil
            hgetdel nokey FIELDS 1 a => nil
            ",
        );
    });
    let server = Server::dunlin(&[]);
    follow(
        &mut server.client(),
        "
        hset h a 1 b 2 => 2
        hgetdel h FIELDS 2 a b => 1 2
        exists h => 0
        ",
    );
}

#[test]
fn fields_are_set_with_expiries_and_on_conditions() {
    small_and_large(|client| {
        follow(
            client,
            "
            hsetex h EX 1000 FIELDS 2 a 10 d 40 => 1
            hmget h a d => 10 40
            httl h FIELDS 1 d => about 1000
            hsetex h KEEPTTL FIELDS 2 d 41 e 50 => 1
            httl h FIELDS 1 d => about 1000
            httl h FIELDS 1 e => -1
            hsetex h FIELDS 1 d 42 => 1
            httl h FIELDS 1 d => -1
            hsetex h FNX FIELDS 2 f 1 a 1 => 0
            hsetex h FXX FIELDS 2 f 1 a 1 => 0
            hexists h f => 0
            hsetex h FNX PX 1000000 FIELDS 1 f 1 => 1
            httl h FIELDS 1 f => about 1000
            hsetex h PXAT 4000000000000 FXX FIELDS 1 f 2 => 1
            hpexpiretime h FIELDS 1 f => 4000000000000
            hsetex h EXAT 1 FIELDS 2 f 3 new 4 => 1
            hmget h f new => nil nil
            ",
        );
    });
    let server = Server::dunlin(&[]);
    follow(
        &mut server.client(),
        "
        hsetex h FXX FIELDS 1 a 1 => 0
        hsetex h EXAT 1 FIELDS 1 a 1 => 1
        exists h => 0
        ",
    );
}

/// What is wrong with a command line, in the order in which it is noticed.
const MISTAKES: &str = "
    hexpire h x FIELDS 1 a => -ERR value is not an integer or out of range
    hexpire h -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
    hexpire h 70368744177 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command
    hexpire h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command
    hpexpire h 70368744177663 FIELDS 1 a => -ERR invalid expire time in 'hpexpire' command
    hexpireat h 70368744178 FIELDS 1 a => -ERR invalid expire time in 'hexpireat' command
    hexpire h 1 FOO FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
    hexpire h 1 NX XX FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
    hexpire h 1 FIELDS 0 a => -ERR Parameter `numFields` should be greater than 0
    hexpire h 1 FIELDS x a => -ERR Parameter `numFields` should be greater than 0
    hexpire h 1 FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
    hexpire h 1 NX FIELDS 1 => -ERR The `numfields` parameter must match the number of arguments
    hexpire h 1 FIELDS 1 => -ERR wrong number of arguments for 'hexpire' command
    httl h FOO 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
    httl h FIELDS 0 a => -ERR Number of fields must be a positive integer
    httl h FIELDS 2 a => -ERR The `numfields` parameter must match the number of arguments
    httl h FIELDS 1 => -ERR wrong number of arguments for 'httl' command
    hpersist h FIELDS -1 a => -ERR Number of fields must be a positive integer
    hpersist h FIELDS 1 a b => -ERR The `numfields` parameter must match the number of arguments
    hgetdel h FIELDS x a => -ERR Number of fields must be a positive integer
    hgetdel h FIELD 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
    hgetex h KEEPTTL FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
    hgetex h EX x FIELDS 1 a => -ERR value is not an integer or out of range
    hgetex h PX -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
    hgetex h EX 70368744178 FIELDS 1 a => -ERR invalid expire time in 'hgetex' command
    hgetex h EX 10 FIELDS => -ERR wrong number of arguments for 'hgetex' command
    hgetex h PERSIST a FIELDS => -ERR Mandatory argument FIELDS is missing or not at the right position
    hgetex h FIELDS 9223372036854775808 a => -ERR Number of fields must be a positive integer
    hsetex h FOO FIELDS 1 a 1 => -ERR unknown argument: FOO
    hsetex h FNX FXX FIELDS 1 a 1 => -ERR Only one of FXX or FNX arguments can be specified
    hsetex h FXX FXX FIELDS 1 a 1 => -ERR Only one of FXX or FNX arguments can be specified
    hsetex h EX 1 KEEPTTL FIELDS 1 a 1 => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
    hsetex h EX 1 EX 1 FIELDS 1 a 1 => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
    hsetex h EX FIELDS 1 a 1 => -ERR value is not an integer or out of range
    hsetex h FXX KEEPTTL a b => -ERR unknown argument: a
    hsetex h FXX EX 100 KEEPTTL => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
    hsetex h FXX KEEPTTL FNX EX => -ERR Only one of FXX or FNX arguments can be specified
    hsetex h EX 100 FXX FIELDS => -ERR wrong number of arguments for 'hsetex' command
    hsetex h FIELDS 2 a 1 => -ERR wrong number of arguments for 'hsetex' command
    hsetex h FIELDS 1 a 1 b 2 => -ERR wrong number of arguments for 'hsetex' command
    hsetex h FIELDS 0 a 1 => -ERR invalid number of fields
    hsetex h FIELDS x a 1 => -ERR invalid number of fields
    set s v => OK
    hexpire s x FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
    hpersist s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
    hpttl s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
    hgetex s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
    hgetdel s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
    hsetex s FIELDS 1 a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
    hexpire nokey 1 FIELDS 2 a b => -2 -2
    hpttl nokey FIELDS 2 a b => -2 -2
    hpersist nokey FIELDS 1 a => -2
";

#[test]
fn mistakes_have_their_texts() {
    small_and_large(|client| {
        follow(client, MISTAKES);
        assert_eq!(
            client.run("hmget h a b c"),
            Value::Array(["1", "2", "3"].map(Value::bulk).into())
        );
    });
}

#[test]
fn walks_leave_out_what_has_expired() {
    small_and_large(|client| {
        client.run("hpexpire h 10 FIELDS 2 a b");
        assert!(eventually(SOON, || client.run("hget h b").is_null()));
        let mut cursor = "0".to_owned();
        let mut seen = Vec::new();
        loop {
            let reply = client.run(&format!("hscan h {cursor} count 50 novalues")).items();
            cursor = reply[0].text();
            seen.extend(reply[1].items().iter().map(Value::text));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len() as i64, client.run("hlen h").int());
        assert!(seen.contains(&"c".to_owned()) && !seen.iter().any(|f| f == "a" || f == "b"));
        let picked = client.run("hrandfield h -200").items();
        assert!(picked.len() == 200 && picked.iter().all(|f| f.text() != "a" && f.text() != "b"));
    });
}
