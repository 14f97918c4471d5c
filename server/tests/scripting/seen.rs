//! What others see of the commands of a script: rights, MONITOR, WATCH, events, statistics.

use crate::support::{Client, Server, Value, eventually};
use std::time::Duration;

fn eval(client: &mut Client, script: &str) -> Value {
    client.call(&["EVAL", script, "1", "k"])
}

fn error(client: &mut Client, script: &str) -> String {
    eval(client, script).error_text().unwrap_or_else(|| panic!("{script}: no error"))
}

#[test]
fn a_script_may_do_what_its_user_may() {
    let server = Server::dunlin(&[]);
    let (mut admin, mut client) = (server.client(), server.client());
    let rule = "ACL SETUSER u on >pw ~k* &c* +@all -lpush -@dangerous";
    assert_eq!(admin.run(rule), Value::ok());
    assert_eq!(client.run("AUTH u pw"), Value::ok());
    assert_eq!(eval(&mut client, "return redis.call('set', KEYS[1], 1)"), Value::ok());
    for (script, why, object, reason) in [
        (
            "return redis.call('lpush', 'k1', 1)",
            "User u has no permissions to run the 'lpush' command",
            "lpush",
            "command",
        ),
        ("return redis.call('get', 'z')", "No permissions to access a key", "z", "key"),
        (
            "return redis.call('publish', 'z', 1)",
            "No permissions to access a channel",
            "z",
            "channel",
        ),
    ] {
        let text = error(&mut client, script);
        assert!(text.starts_with(&format!("NOPERM ACL failure in script: {why}")), "{text}");
        let entry = admin.run("ACL LOG 1").items()[0].items();
        for (name, value) in
            [("reason", reason), ("context", "lua"), ("object", object), ("username", "u")]
        {
            let at = entry.iter().position(|item| *item == Value::bulk(name)).expect(name);
            assert_eq!(entry[at + 1].text(), value, "{script}");
        }
    }
    for (command, may) in [("'get', 'k'", 1), ("'get', 'z'", 0), ("'lpush', 'k', 1", 0)] {
        let script = format!("return redis.acl_check_cmd({command}) and 1 or 0");
        assert_eq!(eval(&mut client, &script), Value::Int(may), "{command}");
    }
    // The keys that are named have to be allowed, too.
    let reply = client.call(&["EVAL", "return 1", "1", "z"]);
    assert_eq!(reply, Value::error("NOPERM No permissions to access a key"));
}

#[test]
fn a_script_does_not_wait() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("XADD s 1-1 a b");
    client.run("XGROUP CREATE s g $");
    for command in [
        "'blpop', KEYS[1], 0",
        "'blmove', 'a', 'b', 'left', 'right', 0",
        "'xread', 'block', 0, 'streams', 's', '$'",
        "'xreadgroup', 'group', 'g', 'c', 'block', 0, 'streams', 's', '>'",
    ] {
        assert!(eval(&mut client, &format!("return redis.call({command})")).is_null(), "{command}");
    }
    let entry = "return redis.call('xread', 'block', 0, 'streams', 's', '0')[1][2][1][1]";
    assert_eq!(eval(&mut client, entry), Value::bulk("1-1"));
    assert_eq!(eval(&mut client, "return redis.call('wait', 1, 0)"), Value::Int(0));
    let files = eval(&mut client, "return redis.call('waitaof', 0, 1, 0)");
    assert_eq!(files.items(), [Value::Int(0), Value::Int(0)]);
    for command in ["'subscribe', 'c'", "'monitor'", "'multi'", "'watch', 'k'", "'auth', 'x'"] {
        let text = error(&mut client, &format!("return redis.call({command})"));
        assert!(text.starts_with("ERR This Redis command is not allowed from script"), "{text}");
    }
}

/// Who waits is served when the script is over, whether or not it has named the key.
#[test]
fn who_waits_for_a_key_gets_what_a_script_brings() {
    let server = Server::dunlin(&["--workers", "2"]);
    let (mut waiter, mut client) = (server.client(), server.client());
    for (n, list) in ["k", "one", "two", "three", "four"].iter().enumerate() {
        // A script that is known to keep to its key until it has written and wants the list.
        let script = format!(
            "redis.call('rpush', KEYS[1], 'x') redis.call('del', KEYS[1])
             if ARGV[1] then redis.call('rpush', ARGV[1], 'a', 'b') end
             return redis.call('llen', ARGV[1] or KEYS[1]) -- {n}"
        );
        assert_eq!(eval(&mut client, &script), Value::Int(0));
        let id = waiter.run("CLIENT ID").int();
        waiter.send_command(&["BLPOP", list, "0"]);
        let flags = format!("CLIENT LIST ID {id}");
        let waits = || client.run(&flags).text().contains("flags=b");
        assert!(eventually(Duration::from_secs(10), waits));
        assert_eq!(client.call(&["EVAL", &script, "1", "k", list]), Value::Int(2), "not yet");
        assert_eq!(waiter.recv().items(), [Value::bulk(list), Value::bulk("a")]);
        assert_eq!(client.run(&format!("LLEN {list}")), Value::Int(1));
        client.run("FLUSHALL");
    }
}

#[test]
fn clients_that_track_remember_what_their_scripts_read() {
    let server = Server::dunlin(&[]);
    let (mut tracker, mut client) = (server.client3(), server.client());
    client.run("SET k 1");
    assert_eq!(tracker.run("CLIENT TRACKING ON"), Value::ok());
    assert_eq!(eval(&mut tracker, "return redis.call('get', KEYS[1])"), Value::bulk("1"));
    eval(&mut client, "return redis.call('set', KEYS[1], 2)");
    let push = tracker.recv();
    assert!(format!("{push:?}").contains("invalidate"), "{push:?}");
}

#[test]
fn monitors_see_the_script_and_then_its_commands() {
    let server = Server::dunlin(&[]);
    let (mut monitor, mut client) = (server.client(), server.client());
    assert_eq!(monitor.run("MONITOR"), Value::ok());
    let script = "redis.call('select', 3) redis.call('set', KEYS[1], 1) return redis.pcall('x')";
    assert!(eval(&mut client, script).is_error());
    client.run("PING");
    let lines: Vec<String> = (0..4).map(|_| monitor.recv().text()).collect();
    let after = |line: &String| line.split_once('[').expect("a place").1.to_owned();
    let lines: Vec<String> = lines.iter().map(after).collect();
    assert!(lines[0].starts_with("0 127.0.0.1:") && lines[0].contains("\"EVAL\""), "{lines:?}");
    assert_eq!(lines[1], "3 lua] \"select\" \"3\"");
    assert_eq!(lines[2], "3 lua] \"set\" \"k\" \"1\"");
    assert!(lines[3].ends_with("] \"PING\""), "{lines:?}");
}

#[test]
fn what_a_script_changes_is_told_like_any_change() {
    let server = Server::dunlin(&["--notify-keyspace-events", "KA"]);
    let (mut watcher, mut subscriber, mut client) =
        (server.client(), server.client(), server.client());
    watcher.run("WATCH k");
    subscriber.run("SUBSCRIBE __keyspace@0__:k");
    eval(&mut client, "redis.call('set', KEYS[1], 1) redis.call('del', KEYS[1])");
    for event in ["set", "del"] {
        assert_eq!(subscriber.recv().items()[2], Value::bulk(event));
    }
    watcher.run("MULTI");
    watcher.run("GET k");
    assert!(watcher.run("EXEC").is_null());
    let stats = client.run("INFO commandstats").text();
    for name in ["eval", "set", "del"] {
        assert!(stats.contains(&format!("cmdstat_{name}:calls=1,")), "{stats}");
    }
    error(&mut client, "return redis.call('incr', KEYS[1], 1)");
    error(&mut client, "redis.call('set', KEYS[1], 'x') return redis.call('incr', KEYS[1])");
    let stats = client.run("INFO commandstats").text();
    let line = |name: &str| {
        let start = format!("cmdstat_{name}:");
        stats.lines().find(|line| line.starts_with(&start)).expect(name).to_owned()
    };
    assert!(line("incr").ends_with("rejected_calls=1,failed_calls=1"), "{stats}");
    assert!(line("eval").ends_with("rejected_calls=0,failed_calls=2"), "{stats}");
}

#[test]
fn scripts_obey_the_limit_of_memory() {
    let server = Server::dunlin(&["--maxmemory-policy", "noeviction"]);
    let mut client = server.client();
    client.run("SET k 1");
    client.run("SETRANGE big 4000000 x");
    client.run("CONFIG SET maxmemory 1mb");
    let text = error(&mut client, "return redis.call('set', KEYS[1], 1)");
    assert!(text.starts_with("OOM command not allowed when used memory > 'maxmemory'."), "{text}");
    assert_eq!(eval(&mut client, "return redis.call('get', KEYS[1])"), Value::bulk("1"));
    let text = error(&mut client, "#!lua\nreturn redis.call('get', KEYS[1])");
    assert!(text.starts_with("OOM allow-oom flag is not set on the script"), "{text}");
    let script = "#!lua flags=allow-oom\nreturn redis.call('set', KEYS[1], 2)";
    assert_eq!(eval(&mut client, script), Value::ok());
    assert_eq!(eval(&mut client, "return redis.call('del', KEYS[1])"), Value::Int(1));
}

#[test]
fn info_tells_of_scripts() {
    let server = Server::dunlin(&["--workers", "1"]);
    let mut client = server.client();
    let figure = |client: &mut Client, name: &str| -> u64 {
        let text = client.run("INFO memory").text();
        let start = format!("{name}:");
        let line = text.lines().find(|line| line.starts_with(&start)).expect(name);
        line[start.len()..].parse().expect(name)
    };
    assert_eq!(figure(&mut client, "used_memory_vm_total"), 0, "Lua begins with the first script");
    eval(&mut client, "return 1");
    client.call(&["SCRIPT", "LOAD", "return 2"]);
    let code = "#!lua name=l\nredis.register_function('f', function() end)
                redis.register_function('g', function() end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", code]), Value::bulk("l"));
    for (name, value) in
        [("number_of_cached_scripts", 2), ("number_of_functions", 2), ("number_of_libraries", 1)]
    {
        assert_eq!(figure(&mut client, name), value, "{name}");
    }
    for name in ["vm_eval", "vm_functions", "scripts_eval", "functions", "scripts", "lua"] {
        assert!(figure(&mut client, &format!("used_memory_{name}")) > 0, "{name}");
    }
    client.run("SCRIPT FLUSH");
    client.run("FUNCTION FLUSH");
    for name in ["number_of_cached_scripts", "used_memory_scripts"] {
        assert_eq!(figure(&mut client, name), 0, "{name}");
    }
    // That of other threads goes when they have nothing to do.
    let is_gone = || figure(&mut client, "used_memory_vm_eval") == 0;
    assert!(eventually(Duration::from_secs(20), is_gone));
}

/// Members of a set that are not sorted come to a script in an order that means something.
#[test]
fn scripts_get_sets_in_the_order_of_texts() {
    let server = Server::dunlin(&[]);
    let mut client = server.client();
    client.run("SADD k c a b 10 9");
    let script = "return redis.call('sort', KEYS[1], 'by', 'nosort')";
    let texts = ["10", "9", "a", "b", "c"].map(Value::bulk);
    assert_eq!(eval(&mut client, script).items(), texts);
}
