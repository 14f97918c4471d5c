//! Scripts that take long, beside the other clients of the same worker: all servers here have one, or
//! as many as there are tests about their number.

use crate::support::client::command;
use crate::support::{Client, Server, Value, eventually};
use std::thread;
use std::time::Duration;

/// Long enough for whatever happens at all.
const SOON: Duration = Duration::from_secs(30);
/// Keeps to its key, reads and does not end.
const ENDLESS: &str = "while true do redis.call('get', KEYS[1]) end";
/// The same after a write.
const ENDLESS_WRITER: &str = "redis.call('set', KEYS[1], 'x') while true do end";

fn server(args: &[&str]) -> Server {
    Server::dunlin(&[&["--workers", "1"], args].concat())
}

fn keys() -> impl Iterator<Item = String> {
    (0..64).map(|i| format!("other:{i}"))
}

fn is_busy(reply: &Value) -> bool {
    reply.error_text().is_some_and(|text| text.starts_with("BUSY Redis is busy running a script"))
}

fn pong() -> Value {
    Value::Simple(b"PONG".to_vec())
}

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").int()
}

/// Begins a script that does not end, and waits until it runs: until it can be killed with the wrong
/// command, which changes nothing.
fn begin(client: &mut Client, other: &mut Client, line: &[&str]) {
    client.send_command(line);
    let runs = || is_busy(&other.run("FUNCTION KILL"));
    assert!(eventually(SOON, runs), "it does not run");
}

fn kill(client: &mut Client) {
    assert_eq!(client.run("SCRIPT KILL"), Value::ok());
}

fn was_killed(reply: &Value) -> bool {
    reply.error_text().is_some_and(|text| text.contains("Script killed by user with SCRIPT KILL"))
}

#[test]
fn an_endless_script_is_in_nobody_s_way_but_those_who_want_its_key() {
    let server = server(&["--busy-reply-threshold", "200"]);
    let (mut client, mut victim) = (server.client(), server.client());
    for key in keys() {
        assert_eq!(client.call(&["SET", &key, "1"]), Value::ok());
    }
    client.run("SET k 1");
    // Its first run: nothing is known of it but its text.
    begin(&mut victim, &mut client, &["EVAL", ENDLESS, "1", "k"]);
    // Some come before it is called busy, and are told so as well.
    let mut early: Vec<Client> = (0..5).map(|_| server.client()).collect();
    early[0].send_command(&["SET", "k", "2"]);
    early[1].send_command(&["MSET", "a", "2", "k", "2"]);
    early[2].send_command(&["EVAL", "return redis.call('set', KEYS[1], 2)", "1", "k"]);
    early[3].send(b"GET k\r\nINCR k\r\nPING\r\n");
    early[4].send_command(&["EVAL", ENDLESS, "1", "k"]);
    assert_eq!(early[3].recv(), Value::bulk("1"), "it has only read until now");
    for client in &mut early {
        let reply = client.recv();
        assert!(is_busy(&reply), "{reply:?}");
    }
    assert_eq!(early[3].recv(), pong());
    assert!(is_busy(&client.run("SET k 2")));
    let mut went = 0;
    for key in keys() {
        assert_eq!(client.call(&["GET", &key]), Value::bulk("1"));
        let reply = client.call(&["APPEND", &key, "1"]);
        assert!(is_busy(&reply) || reply == Value::Int(2), "{reply:?}");
        went += usize::from(!is_busy(&reply));
    }
    assert!(went > 32, "other shards go on: {went}");
    kill(&mut client);
    let reply = victim.recv();
    assert!(was_killed(&reply), "{reply:?}");
    assert_eq!(client.run("SET k 2"), Value::ok());
    assert_eq!(victim.run("GET k"), Value::bulk("2"));
}

#[test]
fn what_has_written_hides_its_key_until_it_ends() {
    let server = server(&["--busy-reply-threshold", "100"]);
    let (mut client, mut victim) = (server.client(), server.client());
    client.run("SET k 1");
    let script = "redis.call('set', KEYS[1], 2)
        for i = 1, 6e8 do end
        return redis.call('get', KEYS[1])";
    let (mut waiting, mut refused) = (server.client(), server.client());
    waiting.run("WATCH away");
    begin(&mut victim, &mut client, &["EVAL", script, "1", "k"]);
    for client in [&mut waiting, &mut refused] {
        client.run("MULTI");
        client.run("GET k");
        client.send_command(&["EXEC"]);
    }
    let reply = refused.recv();
    let text = reply.error_text().unwrap_or_else(|| panic!("{reply:?}"));
    let because =
        "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script.";
    assert!(text.starts_with(because), "{text}");
    assert_eq!(refused.run("PING"), pong(), "the transaction is over");
    assert!(eventually(SOON, || is_busy(&client.run("GET k"))));
    let reply = client.run("SCRIPT KILL");
    assert!(reply.error_text().is_some_and(|text| text.starts_with("UNKILLABLE")), "{reply:?}");
    assert_eq!(client.run("PING"), pong());
    assert_eq!(victim.recv(), Value::bulk("2"));
    assert_eq!(waiting.recv().items(), [Value::bulk("2")], "one that watches keys waits");
    assert_eq!(client.run("GET k"), Value::bulk("2"));
}

/// On the pool as elsewhere, with the commands that it calls.
#[test]
fn a_script_is_one_of_its_client_s_commands() {
    let server = server(&[]);
    let mut client = server.client();
    let mut commands = || {
        let info = client.run("CLIENT INFO").text();
        let count = info.split("tot-cmds=").nth(1).expect("the last field").trim().to_owned();
        assert_eq!(client.call(&["EVAL", "return redis.call('ping')", "0"]), pong());
        count.parse::<u64>().expect("a number")
    };
    let first = commands();
    assert_eq!([commands(), commands()], [first + 3, first + 6]);
}

#[test]
fn a_script_that_was_cheap_until_now_is_in_nobody_s_way_either() {
    let server = server(&[]);
    let (mut client, mut victim) = (server.client(), server.client());
    let count = "local n = 0 while n < tonumber(ARGV[1]) do n = n + 1 end return n";
    let library = "#!lua name=l
        redis.register_function('count', function(keys, args)
            local n = 0 while n < tonumber(args[1]) do n = n + 1 end return n end)";
    assert!(!client.call(&["FUNCTION", "LOAD", library]).is_error());
    for (line, ends) in [
        (&["EVAL", count, "1", "k"], "SCRIPT KILL"),
        (&["FCALL", "count", "1", "k"], "FUNCTION KILL"),
    ] {
        for n in ["1", "2", "3"] {
            assert_eq!(victim.call(&[line, [n].as_slice()].concat()).int().to_string(), n);
        }
        victim.send_command(&[line, ["1e300"].as_slice()].concat());
        // Of another worker there is none to ask.
        assert!(eventually(SOON, || client.run(ends) == Value::ok()));
        assert!(victim.recv().is_error());
        assert_eq!(victim.call(&[line, ["4"].as_slice()].concat()), Value::Int(4));
    }
}

#[test]
fn replies_keep_their_order() {
    let server = server(&[]);
    let mut client = server.client();
    let mut bytes = Vec::new();
    for round in 0..200 {
        let script = format!("return redis.call('incr', KEYS[1]) -- {round}");
        for line in [
            vec!["SET".to_owned(), "k".into(), round.to_string()],
            vec!["EVAL".to_owned(), script, "1".into(), "k".into()],
            vec!["GET".to_owned(), "k".into()],
            vec!["EVAL".to_owned(), "return 'cheap'".into(), "0".into()],
            vec!["ECHO".to_owned(), round.to_string()],
        ] {
            bytes.extend(command(&line));
        }
    }
    client.send(&bytes);
    for round in 0..200_i64 {
        assert_eq!(client.recv(), Value::ok());
        assert_eq!(client.recv(), Value::Int(round + 1));
        assert_eq!(client.recv().text(), (round + 1).to_string());
        assert_eq!(client.recv(), Value::bulk("cheap"));
        assert_eq!(client.recv().text(), round.to_string());
    }
}

#[test]
fn what_was_answered_before_is_sent_and_messages_come_behind_the_reply() {
    let server = server(&[]);
    let (mut client, mut victim) = (server.client(), server.client3());
    victim.run("SUBSCRIBE c");
    let line = command(&["EVAL", ENDLESS, "1", "k"]);
    victim.send(&[b"ECHO before\r\n".as_slice(), &line, b"ECHO after\r\n"].concat());
    assert_eq!(victim.recv(), Value::bulk("before"));
    assert_eq!(client.run("PUBLISH c message"), Value::Int(1));
    let list = client.run("CLIENT LIST").text();
    assert!(list.contains("cmd=eval "), "{list}");
    assert!(eventually(SOON, || client.run("SCRIPT KILL") == Value::ok()));
    assert!(was_killed(&victim.recv()));
    let message = |reply: Value| {
        let Value::Push(push) = reply else { panic!("no message: {reply:?}") };
        push[2].clone()
    };
    assert_eq!(message(victim.recv()), Value::bulk("message"));
    assert_eq!(victim.recv(), Value::bulk("after"));
    // So do those that a script causes itself.
    let script = "redis.call('publish', 'c', 'own') for i = 1, 3000000 do end return 'reply'";
    assert_eq!(victim.call(&["EVAL", script, "0"]), Value::bulk("reply"));
    assert_eq!(message(victim.recv()), Value::bulk("own"));
}

#[test]
fn who_has_finished_sending_gets_the_replies() {
    let server = server(&[]);
    let mut client = server.client();
    let script = "for i = 1, 3000000 do end return 'done'";
    client.send_command(&["EVAL", script, "0"]);
    client.send_command(&["PING"]);
    client.finish_sending();
    assert_eq!((client.recv(), client.recv()), (Value::bulk("done"), pong()));
    assert!(client.is_closed());
}

#[test]
fn a_script_ends_with_its_client_unless_it_has_written() {
    let server = server(&["--busy-reply-threshold", "0"]);
    let (mut client, mut victim) = (server.client(), server.client());
    let number = id(&mut victim);
    begin(&mut victim, &mut client, &["EVAL", ENDLESS, "1", "k"]);
    assert!(is_busy(&client.run("SET k 1")));
    assert_eq!(client.run(&format!("CLIENT KILL ID {number}")), Value::Int(1));
    assert!(victim.is_closed());
    assert!(eventually(SOON, || client.run("SET k 1") == Value::ok()));
    let gone = || client.run(&format!("CLIENT LIST ID {number}")).text().is_empty();
    assert!(eventually(SOON, gone));
    // One that has written goes on, and what it does afterwards is done.
    let script = "redis.call('set', KEYS[1], 'begun') for i = 1, 20000000 do end
        return redis.call('set', KEYS[1], 'done')";
    let mut victim = server.client();
    let number = id(&mut victim);
    begin(&mut victim, &mut client, &["EVAL", script, "1", "k"]);
    client.run(&format!("CLIENT KILL ID {number}"));
    assert!(victim.is_closed());
    assert!(eventually(SOON, || client.run("GET k") == Value::bulk("done")));
}

#[test]
fn a_client_that_waits_for_a_script_can_be_killed() {
    let server = server(&[]);
    let (mut client, mut victim, mut waiting) = (server.client(), server.client(), server.client());
    let number = id(&mut waiting);
    begin(&mut victim, &mut client, &["EVAL", ENDLESS, "1", "k"]);
    waiting.send_command(&["EVAL", ENDLESS, "1", "k"]);
    client.run(&format!("CLIENT KILL ID {number}"));
    assert!(waiting.is_closed());
    kill(&mut client);
    assert!(was_killed(&victim.recv()));
    assert!(eventually(SOON, || client.run("SET k 1") == Value::ok()));
}

#[test]
fn the_process_ends_although_scripts_run() {
    for script in [ENDLESS, ENDLESS_WRITER] {
        for how in ["", "SHUTDOWN", "SHUTDOWN NOSAVE"] {
            let mut server = server(&["--shutdown-timeout", "60"]);
            let (mut client, mut victim) = (server.client(), server.client());
            begin(&mut victim, &mut client, &["EVAL", script, "1", "k"]);
            let mut waiting = server.client();
            waiting.send_command(&["INCR", "k"]);
            match how {
                "" => server.signal("TERM"),
                command => client.send(format!("{command}\r\n").as_bytes()),
            }
            let status = server.wait(SOON);
            assert!(status.is_some_and(|status| status.success()), "{script} {how}: {status:?}");
        }
    }
}

#[test]
fn a_script_that_ends_in_time_is_answered_before_the_process_ends() {
    let mut server = server(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let script = "local n = 0 repeat n = n + 1 until n == 5000000 return 'done'";
    begin(&mut client, &mut other, &["EVAL", script, "1", "k"]);
    server.signal("TERM");
    let reply = client.recv();
    let killed = reply.error_text().is_some_and(|text| text.contains("killed by shutdown"));
    assert!(killed || reply == Value::bulk("done"), "{reply:?}");
    assert!(client.is_closed());
    assert!(server.wait(SOON).is_some_and(|status| status.success()));
}

#[test]
fn many_clients_with_many_scripts_lose_nothing() {
    const CLIENTS: usize = 40;
    const ROUNDS: usize = 60;
    for workers in ["1", "2"] {
        let server = Server::dunlin(&["--workers", workers]);
        thread::scope(|scope| {
            for n in 0..CLIENTS {
                let mut client = server.client();
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Some of them are known by then, some are not, some want one more key.
                        let own = format!("{n}:{}", round / 3);
                        let script = format!(
                            "local n = redis.call('incr', KEYS[1])
                             redis.call('incr', ARGV[1] or KEYS[1]) return n -- {own}"
                        );
                        let (near, far) = (format!("near:{}", n % 5), format!("far:{}", n % 7));
                        let mut line = vec!["EVAL", &script, "1", &near];
                        if round % 4 == 0 {
                            line = vec!["EVAL", &script, "2", &near, &far, &far];
                        }
                        let reply = client.call(&line);
                        assert!(!reply.is_error(), "{reply:?}");
                        assert!(!client.call(&["INCR", &near]).is_error());
                    }
                });
            }
        });
        let mut client = server.client();
        let names = (0..5).map(|n| format!("near:{n}")).chain((0..7).map(|n| format!("far:{n}")));
        let total: i64 =
            names.map(|name| client.call(&["GET", &name]).text().parse::<i64>().unwrap()).sum();
        assert_eq!(total, (CLIENTS * ROUNDS * 3) as i64, "{workers} workers");
    }
}

#[test]
fn more_long_scripts_than_threads_come_to_their_turn() {
    const CLIENTS: usize = 100;
    let server = server(&[]);
    let script = "for i = 1, 100000 do end return redis.call('incr', KEYS[1])";
    thread::scope(|scope| {
        for n in 0..CLIENTS {
            let mut client = server.client();
            scope.spawn(move || {
                let key = format!("k{n}");
                for round in 1..4 {
                    assert_eq!(client.call(&["EVAL", script, "1", &key]), Value::Int(round));
                }
            });
        }
    });
}

#[test]
fn transactions_with_long_scripts_are_in_nobody_s_way() {
    let server = server(&["--busy-reply-threshold", "0"]);
    let (mut client, mut victim) = (server.client(), server.client());
    for round in 0..3 {
        victim.run("SET k 1");
        victim.run("MULTI");
        victim.run("INCR k");
        let script = format!("while true do redis.call('get', KEYS[1]) end -- {round}");
        victim.call(&["EVAL", &script, "1", "k"]);
        victim.run("INCR k");
        begin(&mut victim, &mut client, &["EXEC"]);
        assert!(is_busy(&client.run("GET k")), "it has written");
        assert_eq!(client.run("PING"), pong());
        kill(&mut client);
        let replies = victim.recv().items();
        assert_eq!((&replies[0], &replies[2]), (&Value::Int(2), &Value::Int(3)));
        assert!(was_killed(&replies[1]), "{replies:?}");
    }
    // What they change of the connection stays changed.
    victim.run("MULTI");
    victim.run("HELLO 3");
    victim.call(&["EVAL", "return 'not seen at all'", "0"]);
    victim.run("EXEC");
    assert!(matches!(victim.run("HGETALL nokey"), Value::Map(_)));
    victim.run("HELLO 2");
    // What is watched counts there, too.
    victim.run("WATCH k");
    client.run("SET k 5");
    victim.run("MULTI");
    victim.call(&["EVAL", "return 'not seen before'", "0"]);
    assert!(victim.run("EXEC").is_null());
    victim.run("MULTI");
    victim.call(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('f', function() return 'f' end)",
    ]);
    victim.run("FCALL f 0");
    assert_eq!(victim.run("EXEC").items(), [Value::bulk("l"), Value::bulk("f")]);
}

#[test]
fn who_waits_for_an_element_gets_it_from_a_script_on_the_pool() {
    let server = server(&[]);
    let mut client = server.client();
    for round in 0..20 {
        let mut waiting: Vec<Client> = (0..3).map(|_| server.client()).collect();
        for (n, waiter) in waiting.iter_mut().enumerate() {
            waiter.send_command(&["BLPOP", "list", "0"]);
            let blocked = format!("blocked_clients:{}\r\n", n + 1);
            let waits = || client.run("INFO clients").text().contains(&blocked);
            assert!(eventually(SOON, waits));
        }
        let script = format!(
            "redis.call('rpush', KEYS[1], 'a', 'b') return redis.call('rpush', KEYS[1], 'c', 'd') -- {round}"
        );
        assert_eq!(client.call(&["EVAL", &script, "1", "list"]), Value::Int(4));
        for (waiter, element) in waiting.iter_mut().zip(["a", "b", "c"]) {
            assert_eq!(waiter.recv().items(), [Value::bulk("list"), Value::bulk(element)]);
        }
        assert_eq!(client.run("LRANGE list 0 -1").items(), [Value::bulk("d")]);
        client.run("DEL list");
    }
}

#[test]
fn a_pause_holds_scripts_back_wherever_they_run() {
    let server = server(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(other.run("CLIENT PAUSE 600000 ALL"), Value::ok());
    client.send_command(&["EVAL", "return redis.call('set', KEYS[1], 1)", "1", "k"]);
    let mut third = server.client();
    third.set_patience(Duration::from_millis(300));
    assert!(third.try_recv_after(b"GET k\r\n").is_err());
    client.set_patience(SOON);
    assert_eq!(other.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(client.recv(), Value::ok());
    assert_eq!(client.run("GET k"), Value::bulk("1"));
}

#[test]
fn replies_that_are_not_wanted_are_not_sent() {
    let server = server(&[]);
    let mut client = server.client();
    for round in 0..5 {
        let script = format!("return 'reply' -- {round}");
        let line = command(&["EVAL", &script, "0"]);
        client.send(&[b"CLIENT REPLY SKIP\r\n".as_slice(), &line, b"ECHO heard\r\n"].concat());
        assert_eq!(client.recv(), Value::bulk("heard"));
        let script = format!("return 'reply' -- off {round}");
        let line = command(&["EVAL", &script, "0"]);
        let on = b"CLIENT REPLY ON\r\n";
        client.send(&[b"CLIENT REPLY OFF\r\n".as_slice(), &line, on].concat());
        assert_eq!(client.recv(), Value::ok());
    }
}

#[test]
fn statistics_tell_of_long_runs_once() {
    // It may be ended before it has taken long.
    let server = server(&["--slowlog-log-slower-than", "0", "--slowlog-max-len", "10000"]);
    let (mut client, mut victim, mut monitor) = (server.client(), server.client(), server.client());
    // Cheap at first, so that it begins in front of the others and then again on the pool.
    let script = "for i = 1, ARGV[1] do end return 1";
    for _ in 0..2 {
        assert_eq!(client.call(&["EVAL", script, "0", "1"]), Value::Int(1));
    }
    monitor.run("MONITOR");
    victim.send_command(&["EVAL", script, "0", "1e15"]);
    assert!(eventually(SOON, || client.run("SCRIPT KILL") == Value::ok()));
    assert!(was_killed(&victim.recv()));
    let stats = client.run("INFO commandstats").text();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_eval:")).expect("eval");
    assert!(line.contains("calls=3,") && line.contains("failed_calls=1"), "{line}");
    let entries = client.run("SLOWLOG GET -1").items();
    let of_it = |entry: &Value| {
        entry.items()[3].items().last().is_some_and(|arg| *arg == Value::bulk("1e15"))
    };
    assert_eq!(entries.iter().filter(|entry| of_it(entry)).count(), 1);
    client.run("PING");
    let mut seen = 0;
    loop {
        let line = monitor.recv().text();
        seen += usize::from(line.contains("1e15"));
        if line.contains("PING") {
            break;
        }
    }
    assert_eq!(seen, 1, "how often monitors have seen it");
}

#[test]
fn functions_run_on_the_pool_too_and_tell_of_it() {
    let server = server(&["--busy-reply-threshold", "0"]);
    let (mut client, mut victim) = (server.client(), server.client());
    let library = "#!lua name=l
        redis.register_function('forever', function(keys)
            while true do redis.call('get', keys[1]) end end)";
    assert!(!client.call(&["FUNCTION", "LOAD", library]).is_error());
    victim.send_command(&["FCALL", "forever", "1", "k"]);
    let mut shown = Value::NullBulk;
    let runs = || {
        shown = client.run("FUNCTION STATS").items()[1].clone();
        !shown.is_null()
    };
    assert!(eventually(SOON, runs));
    let shown = shown.items();
    assert_eq!((&shown[0], &shown[1]), (&Value::bulk("name"), &Value::bulk("forever")));
    assert_eq!(shown[3].items().len(), 4);
    assert!(is_busy(&client.run("SET k 1")) && is_busy(&client.run("SCRIPT KILL")));
    assert_eq!(client.run("FUNCTION KILL"), Value::ok());
    assert!(victim.recv().is_error());
    // A library whose text does not end when it is loaded is ended by the server, and is in nobody's way.
    let endless = "#!lua name=m\nwhile true do end";
    victim.send_command(&["FUNCTION", "LOAD", endless]);
    for _ in 0..50 {
        assert_eq!(client.run("PING"), pong());
    }
    let text = victim.recv().error_text().expect("an error");
    assert!(text.contains("FUNCTION LOAD timeout"), "{text}");
}

/// Scripts that are told to stop from the only worker there is, whatever they do to go on.
#[test]
fn whatever_does_not_end_can_be_ended() {
    let server = server(&[]);
    let (mut client, mut victim) = (server.client(), server.client());
    for script in crate::limits::ENDLESS {
        victim.send_command(&["EVAL", script, "0"]);
        assert!(eventually(SOON, || client.run("SCRIPT KILL") == Value::ok()), "{script}");
        assert!(victim.recv().is_error(), "{script}");
    }
}

#[test]
fn a_script_that_keeps_too_much_memory_from_being_freed_is_ended() {
    let server = server(&["--busy-reply-threshold", "50", "--maxmemory", "256mb"]);
    let (mut client, mut victim) = (server.client(), server.client());
    begin(&mut victim, &mut client, &["EVAL", ENDLESS, "1", "k"]);
    assert!(eventually(SOON, || is_busy(&client.run("SET k 2"))));
    let key =
        keys().find(|key| client.call(&["SET", key, "1"]) == Value::ok()).expect("a free shard");
    let value = vec![b'v'; 1 << 20];
    let overwrites = || {
        for _ in 0..16 {
            let reply = client.call(&[b"SET".as_slice(), key.as_bytes(), &value]);
            assert_eq!(reply, Value::ok());
        }
        client.run("SET k 2") == Value::ok()
    };
    assert!(eventually(SOON, overwrites), "it still runs");
    let reply = victim.recv();
    assert!(
        reply.error_text().is_some_and(|text| text.contains("could not be freed")),
        "{reply:?}"
    );
}
