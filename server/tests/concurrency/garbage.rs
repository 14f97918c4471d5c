//! A thread that does not finish its turn keeps what others remove.

use super::support::{Client, Server, Value, eventually};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// It has written, so nothing ends it; how long it takes depends on the machine.
const LONG: &str = "redis.call('SET', KEYS[1], 'x') for i = 1, 3e8 do end return 7";
const WRITERS: usize = 6;

fn figure(client: &mut Client, section: &str, name: &str) -> u64 {
    let text = client.run(&format!("INFO {section}")).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().expect("a number")
}

#[test]
fn writes_wait_when_nothing_removed_comes_back() {
    let server = Server::dunlin(&["--workers", "2", "--maxmemory", "100mb"]);
    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let value = vec![b'v'; 256 * 1024];
    std::thread::scope(|scope| {
        for at in 0..WRITERS {
            let (mut client, value) = (server.client(), &value);
            client.set_patience(Duration::from_secs(120));
            let (over, written) = (&over, &written);
            scope.spawn(move || {
                let key = format!("key:{at}");
                while !over.load(Relaxed) {
                    let reply = client.call(&[b"SET", key.as_bytes(), value]);
                    assert_eq!(reply, Value::ok());
                    written.fetch_add(1, Relaxed);
                }
            });
        }
        let mut script = server.client();
        script.set_patience(Duration::from_secs(120));
        assert_eq!(script.call(&["EVAL", LONG, "1", "mine"]), Value::Int(7));
        over.store(true, Relaxed);
    });
    let mut client = server.client();
    assert!(written.load(Relaxed) > 200, "{written:?}");
    assert!(figure(&mut client, "overload", "garbage_holds") > 0);
    // What had waited is freed, and writes wait no more.
    let is_freed = || figure(&mut server.client(), "memory", "limbo_bytes") < 1 << 20;
    assert!(eventually(Duration::from_secs(60), is_freed));
    assert_eq!(client.run("SET foo bar"), Value::ok());
}
