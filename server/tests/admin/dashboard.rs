//! The dashboard: the page, and what it asks for.

use crate::http::{get, request};
use crate::support::Client;
use crate::{eventually, server};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn stats(port: u16, since: u64) -> Value {
    let response = get(port, &format!("/api/stats?since={since}"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_slice(&response.body).expect("valid JSON")
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name}"))
}

#[test]
fn the_page_needs_nothing_else_and_may_do_nothing_else() {
    let (_server, admin) = server(&[]);
    let page = get(admin, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for fetched in [" src=", "<link rel=\"stylesheet", "@import", "url("] {
        assert!(!page.text().contains(fetched), "{fetched}");
    }
    assert_eq!(request(admin, "HEAD", "/", "").body.len(), 0);
    assert_eq!(request(admin, "POST", "/", "").status, 405);
}

#[test]
fn samples_come_once_a_second_and_are_asked_for_by_number() {
    let (server, admin) = server(&["--workers", "2"]);
    let mut client = server.client();
    let has_work = |samples: &[Value]| {
        samples.iter().any(|sample| {
            list(sample, "ops").iter().filter_map(Value::as_f64).sum::<f64>() > 0.0
                && sample["hits"].as_f64().is_some_and(|rate| rate > 0.0)
                && sample["latency"]["p99"].as_u64().is_some_and(|nanos| nanos > 0)
        })
    };
    client.run("SET a 1");
    let mut report = Value::Null;
    assert!(eventually(PATIENCE, || {
        client.run("GET a");
        report = stats(admin, 0);
        list(&report, "samples").len() >= 3 && has_work(list(&report, "samples"))
    }));
    let sample = list(&report, "samples").last().expect("there are some");
    assert_eq!(list(sample, "ops").len(), list(&report, "kinds").len());
    assert_eq!(list(sample, "memory").len(), list(&report, "classes").len());
    assert_eq!(list(sample, "workers").len(), list(&report, "workers").len());
    let next = report["next"].as_u64().expect("a number");
    assert_eq!(list(&report, "samples").len() as u64, next, "none is forgotten yet");
    let later = stats(admin, next);
    assert!(list(&later, "samples").len() as u64 == later["next"].as_u64().unwrap_or(0) - next);
    assert!(list(&stats(admin, u64::MAX), "samples").is_empty());
}

#[test]
fn the_report_names_what_there_is() {
    let (server, admin) = server(&["--workers", "2", "--shards", "32"]);
    let mut client = server.client();
    client.run("CLIENT SETNAME tester");
    client.run("SET a 1 EX 100");
    client.run("SELECT 3");
    client.run("SET b 1");
    let report = stats(admin, 0);
    assert_eq!(report["server"]["phase"], "serving");
    assert_eq!(report["server"]["port"], u64::from(server.port()));
    assert_eq!(list(&report, "shards").len(), 32);
    let keys: u64 = list(&report, "shards").iter().filter_map(|s| s["keys"].as_u64()).sum();
    assert_eq!(keys, 2);
    let databases: Vec<_> = list(&report, "databases").iter().map(|d| d["db"].as_u64()).collect();
    assert_eq!(databases, [Some(0), Some(3)]);
    assert!(list(&report, "commands").iter().any(|c| c["name"] == "set" && c["calls"] == 2));
    let found = list(&report, "clients").iter().find(|c| c["name"] == "tester");
    assert_eq!(found.expect("the client is listed")["db"], 3);
}

#[test]
fn keys_are_known_by_their_size_and_prefix() {
    let (server, admin) = server(&[]);
    let mut client = server.client();
    client.call(&[&b"SET"[..], b"big:<b>1</b>", &vec![b'x'; 200_000]]);
    let mut report = Value::Null;
    assert!(eventually(PATIENCE, || {
        client.run("GET small:1");
        report = stats(admin, u64::MAX);
        let is_big =
            |key: &Value| key["name"] == "big:<b>1</b>" && key["bytes"].as_u64() > Some(200_000);
        list(&report["keys"], "big").iter().any(is_big)
            && list(&report["keys"], "prefixes").iter().any(|p| p["name"] == "big")
    }));
}

/// Names that break what is careless: markup, quotes, bytes that are no text, controls, length.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        &b"<img src=x onerror=alert(1)>"[..],
        b"</script><script>alert(1)</script>",
        b"\"quotes\" and \\ backslash",
        b"\x00\x01\x1f\x7f\xff\xfe\xc3\x28",
        "bidi \u{202e} turned \u{2028} line".as_bytes(),
        "ключ 鍵 🔑".as_bytes(),
        b"line\r\nbreak",
    ]
    .map(<[u8]>::to_vec)
    .into();
    names.push(vec![b'x'; 10_000]);
    names.push(vec![0xff; 10_000]);
    names
}

fn use_odd_names(client: &mut Client) {
    for name in odd_names() {
        assert!(!client.call(&[&b"SET"[..], &name, b"1"]).is_error());
        assert!(!client.call(&[&b"GET"[..], &name]).is_error());
    }
}

#[test]
fn odd_names_are_text_that_is_cut() {
    let (server, admin) = server(&["--slowlog-log-slower-than", "0"]);
    let mut client = server.client();
    use_odd_names(&mut client);
    client.call(&["CLIENT", "SETNAME", "<b>bold</b>"]);
    let response = get(admin, "/api/stats");
    let report: Value = serde_json::from_slice(&response.body).expect("valid JSON");
    let raw = response.text();
    assert!(raw.chars().all(|c| !c.is_control() && c != '\u{202e}' && c != '\u{2028}'));
    assert!(raw.len() < 200_000, "{} bytes", raw.len());
    let lines: Vec<&str> =
        list(&report["slowlog"], "entries").iter().filter_map(|e| e["line"].as_str()).collect();
    for part in ["<img src=x onerror=alert(1)>", r"\x00\x01\x1f", "ключ 鍵 🔑", r"line\r\nbreak"]
    {
        assert!(lines.iter().any(|line| line.contains(part)), "{part} is not in {lines:?}");
    }
    assert!(lines.iter().all(|line| line.chars().count() < 1_100));
    assert!(list(&report, "clients").iter().any(|c| c["name"] == "<b>bold</b>"));
}

#[test]
fn names_of_keys_can_be_kept_private() {
    let (server, admin) = server(&["--slowlog-log-slower-than", "0", "--admin-show-keys", "no"]);
    let mut client = server.client();
    client.run("SET very-private 1");
    client.run("GET very-private");
    let response = get(admin, "/api/stats");
    let report: Value = serde_json::from_slice(&response.body).expect("valid JSON");
    assert!(!response.text().contains("very-private"));
    let entries = list(&report["slowlog"], "entries");
    assert!(entries.iter().any(|entry| entry["line"] == "SET (2 arguments)"), "{entries:?}");
    for what in ["hot", "big", "prefixes"] {
        assert!(list(&report["keys"], what).is_empty(), "{what}");
    }
    client.run("CONFIG SET admin-show-keys yes");
    assert!(get(admin, "/api/stats").text().contains("very-private"));
}
