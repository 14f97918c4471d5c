//! The commands over a socket, beside redis-server where it is: the same lines to both, in order.

use crate::support::process::Server;
use crate::support::{Client, Value, eventually, redis_server};
use std::time::Duration;

/// Lines in words separated by `|`; `\n` stands for a line end.
const LINES: &[&str] = &[
    "EVAL|return 1|0",
    "EVAL|return KEYS[1] .. ARGV[1]|1|k|a",
    "EVAL|return 1|1",
    "EVAL|return 1|-1",
    "EVAL|return 1|x",
    "EVAL|return|0",
    "EVAL|return 1 x|0",
    "EVAL|return redis.call('set', KEYS[1], ARGV[1])|1|a|5",
    "EVAL|return redis.call('get', KEYS[1])|1|a",
    "EVAL|return redis.call('incr', KEYS[1])|1|a",
    "EVAL|return redis.call('set', KEYS[1], string.rep('x', 100000))|1|big",
    "EVAL|return #redis.call('get', KEYS[1])|1|big",
    "EVAL|return redis.call('mset', KEYS[1], 1, KEYS[2], 2)|2|m1|m2",
    "EVAL|return redis.call('mget', KEYS[1], KEYS[2], 'nokey')|2|m1|m2",
    "EVAL|return redis.call('incr', KEYS[1])|1|big",
    "EVAL|return redis.pcall('incr', KEYS[1])|1|big",
    "EVAL|return redis.call('nosuch')|0",
    "EVAL|return redis.call('get')|0",
    "EVAL|return redis.call('config', 'nosuch')|0",
    "EVAL|return redis.call('config', 'get', 'port')|0",
    "EVAL|return redis.call('eval', 'return 1', 0)|0",
    "EVAL|return redis.call('multi')|0",
    "EVAL|return redis.call('subscribe', 'x')|0",
    "EVAL|return redis.call('select', 5)|0",
    "EVAL|redis.call('select', 5) return redis.call('dbsize')|0",
    "CLIENT|INFO",
    "EVAL|return redis.call('ttl', KEYS[1])|1|a",
    "EVAL|return redis.call('type', KEYS[1])|1|a",
    "EVAL|return redis.call('exists', KEYS[1], KEYS[1])|1|a",
    "EVAL|redis.call('del', KEYS[1]) error('after a write')|1|a",
    "EXISTS|a",
    "EVAL_RO|return redis.call('get', KEYS[1])|1|m1",
    "EVAL_RO|return redis.call('set', KEYS[1], 1)|1|m1",
    "EVAL_RO|return redis.pcall('set', KEYS[1], 1)|1|m1",
    "EVAL|#!lua flags=no-writes\\nreturn redis.call('set', KEYS[1], 1)|1|m1",
    "EVAL_RO|#!lua\\nreturn 1|0",
    "EVAL_RO|#!lua flags=no-writes\\nreturn 1|0",
    "EVAL|#!lua flags=nosuch\\nreturn 1|0",
    "SCRIPT|LOAD|return ARGV[1]",
    "EVALSHA|098e0f0d1448c0a81dafe820f66d460eb09263da|0|x",
    "EVALSHA|098E0F0D1448C0A81DAFE820F66D460EB09263DA|0|x",
    "EVALSHA_RO|098e0f0d1448c0a81dafe820f66d460eb09263da|0|y",
    "EVALSHA|098e0f0d1448c0a81dafe820f66d460eb09263db|0",
    "EVALSHA|short|0",
    "SCRIPT|EXISTS|098e0f0d1448c0a81dafe820f66d460eb09263da|x|e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "SCRIPT|LOAD|return 1 x",
    "SCRIPT|LOAD|#!lua flags=nosuch\\n",
    "SCRIPT|FLUSH|nosuch",
    "SCRIPT|FLUSH|ASYNC",
    "SCRIPT|EXISTS|098e0f0d1448c0a81dafe820f66d460eb09263da",
    "EVALSHA|098e0f0d1448c0a81dafe820f66d460eb09263da|0|x",
    "SCRIPT|FLUSH|SYNC|x",
    "SCRIPT|KILL",
    "SCRIPT|DEBUG|NO",
    "SCRIPT|DEBUG|x",
    "SCRIPT|NOSUCH",
    "FUNCTION|LOAD|#!lua name=lib\\nredis.register_function('f', function(keys, args) return {keys, args} end)\\nredis.register_function{function_name='ro', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}}\\nredis.register_function('w', function(keys, args) return redis.call('set', keys[1], args[1]) end)",
    "FCALL|f|1|k|a|b",
    "FCALL|F|0",
    "FCALL|f|x",
    "FCALL|f|5",
    "FCALL|f|-1",
    "FCALL|nosuch|0",
    "FCALL|w|1|fk|v",
    "FCALL|ro|1|fk",
    "FCALL_RO|ro|1|fk",
    "FCALL_RO|w|1|fk|v",
    "FUNCTION|LOAD|#!lua name=lib\\nredis.register_function('g', function() end)",
    "FUNCTION|LOAD|#!lua name=other\\nredis.register_function('f', function() end)",
    "FUNCTION|LOAD|REPLACE|#!lua name=lib\\nredis.register_function('f', function() return 'new' end)",
    "FCALL|f|0",
    "FCALL|w|1|fk|v",
    "FUNCTION|LIST",
    "FUNCTION|LIST|WITHCODE",
    "FUNCTION|LIST|LIBRARYNAME|l*|WITHCODE",
    "FUNCTION|LIST|LIBRARYNAME|nosuch",
    "FUNCTION|LIST|LIBRARYNAME",
    "FUNCTION|LIST|nosuch",
    "FUNCTION|STATS",
    "FUNCTION|KILL",
    "FUNCTION|DUMP",
    "FUNCTION|RESTORE|garbage",
    "FUNCTION|RESTORE|garbage|nosuch",
    "FUNCTION|DELETE|nosuch",
    "FUNCTION|DELETE|lib",
    "FUNCTION|LIST",
    "FUNCTION|FLUSH|nosuch",
    "FUNCTION|FLUSH",
    "FUNCTION|LOAD",
    "FUNCTION|LOAD|nosuch|x",
    "FUNCTION|LOAD|REPLACE",
    "FUNCTION|NOSUCH",
];

fn words(line: &str) -> Vec<String> {
    line.split('|').map(|word| word.replace("\\n", "\n")).collect()
}

#[test]
fn the_commands_do_what_redis_s_do() {
    let ours = Server::dunlin_unhurried(&[]);
    let Some(_) = redis_server() else { return };
    let theirs = Server::redis(&[]).expect("it starts");
    for (mut ours, mut theirs) in
        [(ours.client(), theirs.client()), (ours.client3(), theirs.client3())]
    {
        for client in [&mut ours, &mut theirs] {
            client.run("FLUSHALL");
            client.run("FUNCTION FLUSH");
            client.run("SCRIPT FLUSH");
        }
        let mut wrong = Vec::new();
        for line in LINES {
            let words = words(line);
            let (here, there) = (ours.call(&words), theirs.call(&words));
            if words[0] == "CLIENT" {
                assert!(here.text().contains(" db=0 "), "the script's database is the client's");
            } else if here != there {
                wrong.push(format!("{line}\n  redis: {there:?}\n  here:  {here:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn dumps_of_functions_travel_both_ways() {
    let ours = Server::dunlin_unhurried(&[]);
    let Some(_) = redis_server() else { return };
    let theirs = Server::redis(&[]).expect("it starts");
    let (mut ours, mut theirs) = (ours.client(), theirs.client());
    let code = |name: &str, function: &str| {
        format!(
            "#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)"
        )
    };
    let dump = |client: &mut Client| client.run("FUNCTION DUMP").bytes().expect("bytes").to_vec();
    ours.call(&["FUNCTION", "LOAD", &code("one", "f1")]);
    ours.call(&["FUNCTION", "LOAD", &code("two", "f2")]);
    let payload = dump(&mut ours);
    assert_eq!(theirs.call(&[b"FUNCTION".as_slice(), b"RESTORE", &payload]), Value::ok());
    assert_eq!(theirs.run("FCALL f2 0"), Value::bulk("two"));
    theirs.call(&["FUNCTION", "LOAD", &code("three", "f3")]);
    let payload = dump(&mut theirs);
    let restore = |policy: &'static str| {
        [b"FUNCTION".to_vec(), b"RESTORE".to_vec(), payload.clone(), policy.into()]
    };
    let taken = ours.call(&restore("APPEND"));
    assert!(taken.error_text().is_some_and(|text| text.contains("already exists")), "{taken:?}");
    assert!(ours.run("FCALL f3 0").is_error());
    assert_eq!(ours.call(&restore("REPLACE")), Value::ok());
    assert_eq!(ours.run("FCALL f3 0"), Value::bulk("three"));
    ours.call(&["FUNCTION", "LOAD", &code("four", "f4")]);
    assert_eq!(ours.call(&restore("FLUSH")), Value::ok());
    assert!(ours.run("FCALL f4 0").is_error());
    for at in [0, payload.len() / 2, payload.len() - 1] {
        let mut damaged = payload.clone();
        damaged[at] ^= 1;
        let reply = ours.call(&[b"FUNCTION".as_slice(), b"RESTORE", &damaged]);
        assert_eq!(reply, Value::error("ERR DUMP payload version or checksum are wrong"));
    }
}

#[test]
fn scripts_and_functions_can_be_killed() {
    let server = Server::dunlin_unhurried(&["--workers", "2"]);
    let mut admin = server.client();
    let code = "#!lua name=l\nredis.register_function('forever', function() while true do pcall(redis.call, 'ping') end end)";
    assert!(!admin.call(&["FUNCTION", "LOAD", code]).is_error());
    for (start, kill, wrong) in [
        (&["EVAL", "while true do pcall(error) end", "0"], "SCRIPT KILL", "FUNCTION KILL"),
        (&["FCALL", "forever", "0"], "FUNCTION KILL", "SCRIPT KILL"),
    ] {
        let mut victim = server.client();
        // The killer has to be on the other worker.
        let mut killers: Vec<Client> = (0..4).map(|_| server.client()).collect();
        victim.send_command(start);
        let killed = eventually(Duration::from_secs(10), || {
            killers.iter_mut().any(|killer| {
                killer.set_patience(Duration::from_millis(500));
                let refused = killer.try_recv_after(format!("{wrong}\r\n").as_bytes());
                if !refused.as_ref().is_ok_and(|reply| {
                    reply.error_text().is_some_and(|text| text.starts_with("BUSY"))
                }) {
                    return false;
                }
                killer.try_recv_after(format!("{kill}\r\n").as_bytes()) == Ok(Value::ok())
            })
        });
        assert!(killed, "{kill}");
        let text = victim.recv().error_text().expect("an error");
        assert!(text.contains(&format!("Script killed by user with {kill}.")), "{text}");
        assert_eq!(victim.run("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn valkeys_name_of_the_api_is_there_too() {
    let server = Server::dunlin_unhurried(&[]);
    let mut client = server.client();
    client.run("SET k v");
    let script = "return {server.call('get', KEYS[1]), tostring(server == redis)}";
    let expected = [Value::bulk("v"), Value::bulk("true")];
    assert_eq!(client.call(&["EVAL", script, "1", "k"]).items(), expected);
    let library = "#!lua name=valkey
        server.register_function('answer', function() return server.sha1hex('') end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]), Value::bulk("valkey"));
    let sha = Value::bulk("da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(client.run("FCALL answer 0"), sha);
}

#[test]
fn a_script_need_not_have_keys() {
    let server = Server::dunlin_unhurried(&[]);
    let mut client = server.client();
    for line in ["EVAL x 0", "EVAL x y", "EVAL x 3 a", "FCALL f 0", "EVALSHA_RO x 0"] {
        for command in ["COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS"] {
            let line = format!("{command} {line}");
            assert_eq!(client.run(&line), Value::Array(Vec::new()), "{line}");
        }
    }
    assert_eq!(client.run("COMMAND GETKEYS EVAL x 1 k a").items(), [Value::bulk("k")]);
    let text = client.run("COMMAND GETKEYS ZUNION 0 a").error_text();
    assert_eq!(text.as_deref(), Some("ERR Invalid arguments specified for command"));
}

#[test]
fn a_script_that_declares_no_writes_runs_in_a_pause_of_writes() {
    let server = Server::dunlin_unhurried(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let reads = "#!lua flags=no-writes\nreturn 'read'";
    let sha = client.call(&["SCRIPT", "LOAD", "#!lua flags=no-writes\nreturn 'known'"]).text();
    let library = "#!lua name=l
        redis.register_function{
            function_name='f', callback=function() return 'called' end, flags={'no-writes'}}";
    client.call(&["FUNCTION", "LOAD", library]);
    assert_eq!(other.run("CLIENT PAUSE 600000 WRITE"), Value::ok());
    for (call, reply) in [
        (&["EVAL", reads, "0"][..], "read"),
        (&["EVAL", reads, "0"], "read"),
        (&["EVALSHA", &sha, "0"], "known"),
        (&["FCALL", "f", "0"], "called"),
    ] {
        assert_eq!(client.call(call), Value::bulk(reply), "{call:?}");
    }
    client.run("MULTI");
    client.call(&["EVAL", reads, "0"]);
    assert_eq!(client.run("EXEC").items(), [Value::bulk("read")]);
    // One that does not say so waits.
    client.send_command(&["EVAL", "return 'late'", "0"]);
    let waits = || other.run("INFO clients").text().contains("blocked_clients:1\r\n");
    assert!(eventually(Duration::from_secs(20), waits), "it has not waited");
    assert_eq!(other.run("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(client.recv(), Value::bulk("late"));
}

#[test]
fn large_tables_are_answered_and_encoded() {
    let server = Server::dunlin_unhurried(&[]);
    let mut client = server.client3();
    let fill = "local t = {} for i = 1, 20000 do t[PLACE] = 'x' .. i end ";
    let list = fill.replace("PLACE", "i");
    let map = fill.replace("PLACE", "'k' .. i");
    let mut eval = |body: &str| client.call(&["EVAL", body, "0"]);
    let reply = eval(&format!("{list} return t"));
    assert_eq!(reply.items().len(), 20_000);
    assert_eq!(reply.items()[19_999], Value::bulk("x20000"));
    let Value::Map(pairs) = eval(&format!("{map} return {{map = t}}")) else { panic!("no map") };
    assert_eq!(pairs.len(), 20_000);
    for encoding in ["cjson.decode(cjson.encode(t))", "cmsgpack.unpack(cmsgpack.pack(t))"] {
        for (table, key) in [(&list, "20000"), (&map, "'k20000'")] {
            let body = format!("{table} local u = {encoding} return u[{key}]");
            assert_eq!(eval(&body), Value::bulk("x20000"), "{body}");
        }
    }
}

/// Every type of reply in a script, and back: DEBUG may be called if tests want it.
#[test]
fn scripts_get_and_give_every_type_of_reply() {
    const TYPES: [&str; 12] = [
        "string", "integer", "double", "bignum", "null", "array", "set", "map", "attrib",
        "verbatim", "true", "false",
    ];
    let args = ["--enable-debug-command", "yes"];
    let dunlin = Server::dunlin_unhurried(&args);
    let mut ours = [dunlin.client(), dunlin.client3()];
    let redis = Server::redis(&args);
    let mut theirs = redis.as_ref().map(|redis| [redis.client(), redis.client3()]);
    for client in ours.iter_mut().chain(theirs.iter_mut().flatten()).step_by(2) {
        let denied = client.run("EVAL return{redis.pcall('debug','protocol','map')} 0").items();
        let text = denied[0].error_text().expect("not before it is allowed");
        assert!(text.starts_with("ERR This Redis command is not allowed from script"), "{text}");
        assert_eq!(client.run("DEBUG SET-DISABLE-DENY-SCRIPTS 1"), Value::ok());
    }
    for proto in [2, 3] {
        for kind in TYPES {
            let script =
                format!("redis.setresp({proto}); return redis.call('debug','protocol','{kind}')");
            let shape = format!(
                "redis.setresp({proto}); local r = redis.call('debug','protocol','{kind}'); \
                 local t = {{type(r)}}; if t[1] == 'table' then for k, v in pairs(r) do \
                 t[#t+1] = tostring(k)..type(v) end end; table.sort(t); return t"
            );
            for script in [script, shape] {
                for i in 0..2 {
                    let got = ours[i].call(&["EVAL", &script, "0"]);
                    assert!(!got.is_error(), "{script}: {got:?}");
                    let Some(theirs) = &mut theirs else { continue };
                    assert_eq!(got, theirs[i].call(&["EVAL", &script, "0"]), "{script}, {i}");
                }
            }
        }
    }
    // Nothing but DEBUG.
    let text = ours[0].run("EVAL return{redis.pcall('multi')} 0").items()[0].error_text();
    assert!(text.is_some_and(|text| text.starts_with("ERR This Redis command is not allowed")));
}
