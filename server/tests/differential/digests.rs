//! DEBUG DIGEST and DIGEST-VALUE: the same bytes as redis-server's, so that a digest taken here can be
//! compared with one taken there.

use crate::support::{Client, Rng, Server, Value};

const SAME: &[&str] = &["--enable-debug-command", "yes"];

/// One value of each type and form under keys `k0`, `k1`, ..., and the same in both servers.
fn fill(clients: &mut [Client; 2], rng: &mut Rng) -> Vec<String> {
    let word = |rng: &mut Rng| match rng.below(4) {
        0 => rng.between(-1_000_000, 1_000_000).to_string(),
        1 => "x".repeat(rng.below(100)),
        _ => format!("w{}", rng.below(1000)),
    };
    // Not -0: whether its sign is kept depends on when the set outgrows its small form.
    const SCORES: &[&str] =
        &["0", "1", "1.5", "0.1", "3e20", "1e-7", "123456789.125", "inf", "-inf", "1e17"];
    let mut keys = Vec::new();
    for number in 0..60 {
        let key = format!("k{number}");
        let count = [1, 5, 40, 700][rng.below(4)];
        let mut command: Vec<String> = Vec::new();
        let name = ["SET", "RPUSH", "SADD", "HSET", "ZADD", "XADD"][number % 6];
        command.extend([name.to_owned(), key.clone()]);
        match name {
            "SET" => command.push(word(rng).repeat(count)),
            "XADD" => command.extend(["1-1".to_owned(), word(rng), word(rng)]),
            _ => {
                for _ in 0..count {
                    match name {
                        "HSET" => command.extend([word(rng), word(rng)]),
                        "ZADD" => command.extend([(*rng.pick(SCORES)).to_owned(), word(rng)]),
                        _ => command.push(word(rng)),
                    }
                }
            }
        }
        let mut commands = vec![command];
        if name == "XADD" {
            for id in 2..count.min(200) {
                let [field, value] = [word(rng), word(rng)];
                commands.push(
                    ["XADD", &key, &format!("{id}-3"), &field, &value].map(str::to_owned).to_vec(),
                );
            }
        }
        if rng.chance(1, 3) {
            commands.push(["EXPIRE", &key, "1000000"].map(str::to_owned).to_vec());
        }
        for client in clients.iter_mut() {
            commands.iter().for_each(|command| assert!(!client.call(command).is_error()));
        }
        keys.push(key);
    }
    keys
}

#[test]
fn digests_are_those_of_the_reference() {
    let Some(reference) = Server::redis(SAME) else { return };
    let subject = Server::dunlin_unhurried(SAME);
    let mut clients = [reference.client(), subject.client()];
    let seed = Rng::random_seed();
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let digest = |clients: &mut [Client; 2]| {
        let [theirs, ours] = clients.each_mut().map(|client| client.run("DEBUG DIGEST"));
        assert_eq!(theirs, ours);
        ours
    };
    let empty = digest(&mut clients);
    assert_eq!(empty, Value::Simple("0".repeat(40).into_bytes()));
    for db in [0, 3, 15] {
        for client in &mut clients {
            client.run(&format!("SELECT {db}"));
        }
        let keys = fill(&mut clients, &mut rng);
        let command: Vec<&str> = ["DEBUG", "DIGEST-VALUE", "nokey"]
            .into_iter()
            .chain(keys.iter().map(|k| &**k))
            .collect();
        let [theirs, ours] = clients.each_mut().map(|client| client.call(&command).items());
        for (i, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            assert_eq!(theirs, ours, "{} of database {db}", command[i + 2]);
        }
        assert_eq!(theirs.len(), ours.len());
        assert_ne!(digest(&mut clients), empty);
    }
    let before = digest(&mut clients);
    for client in &mut clients {
        assert_eq!(client.run("SWAPDB 3 4"), Value::ok());
    }
    assert_ne!(digest(&mut clients), before, "the database counts");
}

#[test]
fn the_same_is_answered_about_how_values_are_kept() {
    let Some(reference) = Server::redis(SAME) else { return };
    let subject = Server::dunlin_unhurried(SAME);
    let mut clients = [reference.client(), subject.client()];
    let big = "x".repeat(100);
    for line in [
        &format!("HSET large f {big}")[..],
        "ZADD small 1 a",
        "SET string 1",
        "DEBUG LISTPACK small",
        "DEBUG LISTPACK large",
        "DEBUG LISTPACK nokey",
        "DEBUG QUICKLIST small",
        "DEBUG QUICKLIST nokey",
        "DEBUG HTSTATS-KEY small",
        "DEBUG HTSTATS-KEY nokey",
        "DEBUG CHANGE-REPL-ID",
        "DEBUG HTSTATS 16",
        "DEBUG HTSTATS x",
        "DEBUG REPLYBUFFER RESIZING 0",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1",
        "RESTORE r 0 \0\u{1}a\n\0xxxxxxxx",
        "GET r",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 0",
        "RESTORE r2 0 \0\u{1}a\n\0xxxxxxxx",
        "DEBUG POPULATE 100 p 20",
        "DEBUG POPULATE 3",
        "DEBUG POPULATE -1",
        "DEBUG POPULATE x",
        "DBSIZE",
        "GET p:99",
        "GET key:2",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 100b",
        "DEBUG QUICKLIST-PACKED-THRESHOLD x",
        "DEBUG SET-ACTIVE-EXPIRE 1",
        "DEBUG DIGEST-VALUE",
        "DEBUG DIGEST x",
        "DEBUG NOSUCH",
    ] {
        let [theirs, ours] = clients.each_mut().map(|client| client.run(line));
        assert_eq!(theirs, ours, "{line}");
    }
    let stats = clients[1].run("DEBUG HTSTATS-KEY large").text();
    assert!(stats.contains("number of elements: 1\n"), "{stats}");
}
