//! The other sources: the environment, files, users, and which of them wins.

use super::*;
use dunlin_storage::Policy;

#[test]
fn later_sources_win() {
    let dir = Directory::new("sources");
    let path = dir.file("c", "hz 20\ntimeout 20\ndatabases 20\nsave 1 1\nsave 2 2\n");
    let env = [("DUNLIN_TIMEOUT", "30"), ("DUNLIN_DATABASES", "30"), ("PATH", "/bin")];
    let config = load_with(&[&path, "--databases", "40"], &env).unwrap();
    let settings = config.settings();
    assert_eq!((settings.hz, settings.timeout, settings.databases), (20, 30, 40));
    assert_eq!(settings.tcp_backlog, 511);
    assert_eq!(value(&config, "save"), "1 1 2 2");
    assert_eq!(config.warnings(), &[] as &[String]);
}

#[test]
fn the_environment() {
    let env = [
        ("DUNLIN_MAXMEMORY_POLICY", "noeviction"),
        ("DUNLIN_BIND", "127.0.0.1 -::1"),
        ("DUNLIN_REQUIREPASS", "a b'\""),
        ("DUNLIN_SAVE", ""),
        ("DUNLIN_NO_SUCH", "1"),
    ];
    let config = load_with(&[], &env).unwrap();
    let settings = config.settings();
    assert_eq!(settings.maxmemory_policy, Policy::NoEviction);
    assert_eq!(settings.bind.len(), 2);
    assert_eq!(settings.requirepass, b"a b'\"", "one word, whatever it holds");
    assert_eq!(config.warnings().len(), 1, "{:?}", config.warnings());
    // What Kubernetes puts there for a Service of this name.
    let links = [
        ("DUNLIN_PORT", "tcp://10.0.0.1:6379"),
        ("DUNLIN_SERVICE_HOST", "10.0.0.1"),
        ("DUNLIN_PORT_6379_TCP", "tcp://10.0.0.1:6379"),
    ];
    let config = load_with(&[], &links).unwrap();
    assert_eq!(config.settings().port, 6379);
    assert!(config.warnings().is_empty());
    let wrong = load_with(&[], &[("DUNLIN_PORT", "x")]).unwrap_err().to_string();
    assert!(wrong.starts_with("DUNLIN_PORT: argument couldn't"), "{wrong}");
}

/// The active lines of the file Debian ships with redis-server 7.0.
const DEBIAN: &str = r#"
bind 127.0.0.1 -::1
protected-mode yes
port 6379
tcp-backlog 511
timeout 0
tcp-keepalive 300
daemonize yes
pidfile /run/redis/redis-server.pid
loglevel notice
logfile /var/log/redis/redis-server.log
databases 16
always-show-logo no
set-proc-title yes
proc-title-template "{title} {listen-addr} {server-mode}"
stop-writes-on-bgsave-error yes
rdbcompression yes
rdbchecksum yes
dbfilename dump.rdb
rdb-del-sync-files no
dir /var/lib/redis
replica-serve-stale-data yes
replica-read-only yes
repl-diskless-sync yes
repl-diskless-sync-delay 5
repl-diskless-sync-max-replicas 0
repl-diskless-load disabled
repl-disable-tcp-nodelay no
replica-priority 100
acllog-max-len 128
lazyfree-lazy-eviction no
lazyfree-lazy-expire no
lazyfree-lazy-server-del no
replica-lazy-flush no
lazyfree-lazy-user-del no
lazyfree-lazy-user-flush no
oom-score-adj no
oom-score-adj-values 0 200 800
disable-thp yes
appendonly no
appendfilename "appendonly.aof"
appenddirname "appendonlydir"
appendfsync everysec
no-appendfsync-on-rewrite no
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
aof-load-truncated yes
aof-use-rdb-preamble yes
aof-timestamp-enabled no
slowlog-log-slower-than 10000
slowlog-max-len 128
latency-monitor-threshold 0
notify-keyspace-events ""
hash-max-listpack-entries 512
hash-max-listpack-value 64
list-max-listpack-size -2
list-compress-depth 0
set-max-intset-entries 512
zset-max-listpack-entries 128
zset-max-listpack-value 64
hll-sparse-max-bytes 3000
stream-node-max-bytes 4096
stream-node-max-entries 100
activerehashing yes
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
client-output-buffer-limit pubsub 32mb 8mb 60
hz 10
dynamic-hz yes
aof-rewrite-incremental-fsync yes
rdb-save-incremental-fsync yes
jemalloc-bg-thread yes
"#;

#[test]
fn a_packaged_file_loads_with_warnings() {
    let dir = Directory::new("debian");
    let path = dir.file("redis.conf", DEBIAN);
    let config = load(&[&path, "--supervised", "systemd", "--daemonize", "no"]);
    assert_eq!(config.settings().pidfile, Some("/run/redis/redis-server.pid".into()));
    let missing = config.warnings().iter().filter(|w| w.contains("is not implemented")).count();
    assert!(missing > 10);
    assert_eq!(config.warnings().len(), missing + 1, "the other one is daemonize");
    let expected = format!("{path}:8: daemonize: Dunlin stays in the foreground");
    assert!(config.warnings()[0].starts_with(&expected), "{:?}", config.warnings()[0]);
}

#[test]
fn mistakes_in_the_file_are_shown_where_they_are() {
    let dir = Directory::new("mistakes");
    for (line, why) in [
        ("foo bar", "Bad directive or wrong number of arguments"),
        ("port abc", "argument couldn't be parsed into an integer"),
        ("appendonly yes maybe", "wrong number of arguments"),
        ("appendonly maybe", "argument must be 'yes' or 'no'"),
        ("maxmemory 1x", "argument must be a memory value"),
        ("hz", "wrong number of arguments"),
        ("port \"7012", "Unbalanced quotes in configuration line"),
        (
            "client-output-buffer-limit normal 0",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        ("save 60", "Invalid save parameters"),
        ("unixsocketperm 999", "argument couldn't be parsed as an octal number"),
        ("include", "Bad directive or wrong number of arguments"),
        (
            "rename-command FLUSHALL \"\"",
            "renaming commands is not supported: ignoring it would leave them open",
        ),
    ] {
        let path = dir.file("c", &format!("# one\n\n{line}\n"));
        let expected = format!(
            "*** FATAL CONFIG FILE ERROR (Dunlin {}) ***\nReading the configuration file {path}, \
             at line 3\n>>> '{line}'\n{why}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(refused(&[&path]), expected);
    }
    let path = dir.file("c", "requirepass geheim zwei\n");
    let shown = refused(&[&path]);
    assert!(shown.contains("'requirepass ...'") && !shown.contains("geheim"), "{shown}");
    assert!(refused(&[dir.0.to_str().unwrap()]).ends_with("Is a directory"));
    let harmless = dir.file("c", "tls-replication no\nreplicaof no one\n");
    assert_eq!(load(&[&harmless]).warnings().len(), 2);
}

fn users(config: &Config) -> Vec<String> {
    let text = |(name, rules): &Declaration| {
        let words: Vec<_> = std::iter::once(name).chain(rules).cloned().collect();
        String::from_utf8_lossy(&words.join(&b' ')).into_owned()
    };
    config.users().iter().map(text).collect()
}

#[test]
fn users_are_declared_in_every_source() {
    let dir = Directory::new("users");
    let path = dir.file("c", "user alice on >a ~x\nUSER bob on (~a +get)\nuser carol\n");
    let env = [("DUNLIN_USER", "bob off")];
    let config = load_with(&[&path, "--user", "carol", "on", "--user", "dave"], &env).unwrap();
    assert_eq!(users(&config), ["alice on >a ~x", "bob off", "carol on", "dave"]);
    assert!(config.get(&["user"]).is_empty());
    for (line, why) in [
        ("user alice on >secret +foo", "'+foo': Unknown command or category name in ACL"),
        ("user alice #secret", "'#': The password hash must be exactly 64 characters"),
        ("user alice on (~secret", "'(~secret': Unmatched parenthesis"),
        ("user alice\nuser alice", "'alice': Duplicate user found."),
    ] {
        let refused = refused(&[&dir.file("c", line)]);
        assert!(refused.contains(&format!("Error in user declaration {why}")), "{refused}");
        let shown = refused.contains("secret") && !line.contains("(~secret");
        assert!(refused.contains(">>> 'user ...'") && !shown, "{refused}");
    }
    let nameless = refused(&[&dir.file("c", "user")]);
    assert!(nameless.ends_with("Bad directive or wrong number of arguments"), "{nameless}");
    let spaces = refused(&[&dir.file("c", "user \"a b\" on")]);
    assert!(spaces.ends_with("Spaces not allowed in ACL usernames"), "{spaces}");
    let twice = refused(&["--user", "foo", "--user", "foo"]);
    assert!(twice.contains("Duplicate user found"), "{twice}");
}

#[test]
fn a_relative_aclfile_is_in_the_directory() {
    let path = |args: &[&str]| load(args).settings().acl_path();
    assert_eq!(path(&[]), None);
    assert_eq!(path(&["--aclfile", "a"]), Some("a".into()));
    assert_eq!(path(&["--aclfile", "a", "--dir", "/x"]), Some("/x/a".into()));
    assert_eq!(path(&["--aclfile", "/b/a", "--dir", "/x"]), Some("/b/a".into()));
}

#[test]
fn files_include_files() {
    let dir = Directory::new("include");
    let inner = dir.file("inner", "hz 33\ntimeout 1\n");
    let outer = dir.file("outer", &format!("timeout 9\n  include \"{inner}\"  \nhz 44"));
    let settings = load(&[&outer]).settings();
    assert_eq!((settings.hz, settings.timeout), (44, 1));
    let path = dir.0.join("loop").to_str().unwrap().to_owned();
    let circle = dir.file("loop", &format!("include {path}\n"));
    assert!(refused(&[&circle]).contains("too many nested includes"));
}
