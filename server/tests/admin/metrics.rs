//! `/metrics`: the grammar, and that the figures are those of what was done.

use crate::exposition::Exposition;
use crate::http::{get, request};
use crate::server;
use crate::support::Client;

fn scrape(port: u16) -> Exposition {
    let response = get(port, "/metrics");
    assert_eq!(response.status, 200);
    let kind = response.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::read(response.text(), false).unwrap_or_else(|why| panic!("{why}"))
}

fn some_traffic(client: &mut Client) {
    for n in 0..100 {
        assert!(!client.run(&format!("SET key:{n} value")).is_error());
    }
    for n in 0..200 {
        assert!(!client.run(&format!("GET key:{n}")).is_error());
    }
    client.run("EXPIRE key:1 1000");
    assert!(client.run("LPUSH key:1 x").is_error());
    assert!(client.run("GET").is_error());
}

#[test]
fn figures_are_those_of_what_was_done() {
    let (server, admin) = server(&["--workers", "2", "--shards", "16"]);
    let mut client = server.client();
    some_traffic(&mut client);
    let found = scrape(admin);
    let of = |name: &str, command: &str| found.value(name, &[("command", command)]);
    assert_eq!(of("dunlin_command_calls_total", "set"), 100.0);
    assert_eq!(of("dunlin_command_calls_total", "get"), 200.0);
    assert_eq!(of("dunlin_command_failed_total", "lpush"), 1.0);
    assert_eq!(of("dunlin_command_rejected_total", "get"), 1.0);
    assert!(of("dunlin_command_time_seconds_total", "get") > 0.0);
    assert_eq!(of("dunlin_command_duration_seconds_count", "get"), 200.0);
    assert_eq!(found.value("dunlin_error_replies_total", &[("error", "WRONGTYPE")]), 1.0);
    assert_eq!(found.value("dunlin_keyspace_hits_total", &[]), 100.0);
    assert_eq!(found.value("dunlin_keyspace_misses_total", &[]), 100.0);
    assert_eq!(found.value("dunlin_missed_keys_total", &[("cause", "never_set")]), 100.0);
    assert_eq!(found.sum("dunlin_missed_keys_total"), 100.0);
    assert_eq!(found.value("dunlin_keys", &[("db", "0")]), 100.0);
    assert_eq!(found.value("dunlin_keys_with_expiry", &[("db", "0")]), 1.0);
    assert_eq!(found.sum("dunlin_shard_keys"), 100.0);
    assert_eq!(found.count("dunlin_shard_keys"), 16);
    assert!(found.value("dunlin_memory_used_bytes", &[("class", "entries")]) > 1000.0);
    assert_eq!(found.sum("dunlin_shard_memory_bytes"), found.sum("dunlin_memory_store_bytes"));
    assert_eq!(found.value("dunlin_connected_clients", &[]), 1.0);
    assert_eq!(found.sum("dunlin_worker_connections"), 1.0);
    assert_eq!(found.sum("dunlin_worker_commands_total"), found.sum("dunlin_command_calls_total"));
    assert_eq!(found.value("dunlin_ready", &[]), 1.0);
    assert!(found.count("dunlin_prefix_accesses") > 0, "at least the others");
    assert!(found.value("dunlin_process_resident_memory_bytes", &[]) > 1e6);
    assert!(found.value("dunlin_process_open_fds", &[]) > 5.0);
    assert!(found.value("dunlin_start_time_seconds", &[]) > 1.7e9);
}

#[test]
fn counters_only_grow() {
    let (server, admin) = server(&[]);
    some_traffic(&mut server.client());
    let before = scrape(admin);
    some_traffic(&mut server.client());
    let after = scrape(admin);
    for sample in &before.samples {
        if before.kinds.get(&sample.name).is_some_and(|kind| kind == "counter") {
            let labels: Vec<_> = sample.labels.iter().map(|(k, v)| (&**k, &**v)).collect();
            let now = after.value(&sample.name, &labels);
            assert!(now >= sample.value, "{sample:?} has become {now}");
        }
    }
    assert_eq!(after.value("dunlin_command_calls_total", &[("command", "get")]), 400.0);
}

#[test]
fn openmetrics_is_answered_to_those_who_ask() {
    let (server, admin) = server(&[]);
    some_traffic(&mut server.client());
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2\r\n";
    let response = request(admin, "GET", "/metrics", accept);
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let found =
        Exposition::read(response.text(), true).unwrap_or_else(|why| panic!("OpenMetrics: {why}"));
    assert_eq!(found.value("dunlin_command_calls_total", &[("command", "get")]), 200.0);
    assert!(found.count("dunlin_build_info") == 1);
}

#[test]
fn error_words_of_clients_are_labels_like_others() {
    let (server, admin) = server(&[]);
    let mut client = server.client();
    let script = r#"return redis.error_reply('A"B\\C{}=, not nice')"#;
    assert!(client.call(&["EVAL", script, "0"]).is_error());
    let found = scrape(admin);
    assert_eq!(found.value("dunlin_error_replies_total", &[("error", "A\"B\\C{}=,")]), 1.0);
}

#[test]
fn many_shards_are_few_series() {
    let (server, admin) = server(&["--shards", "4096"]);
    some_traffic(&mut server.client());
    let found = scrape(admin);
    assert_eq!(found.count("dunlin_shard_keys"), 64);
    assert_eq!(found.sum("dunlin_shard_keys"), 100.0);
}
