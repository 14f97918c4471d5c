//! Tests of the configuration as a whole: sources, CONFIG GET/SET/REWRITE, and the table itself.

use super::*;
use dunlin_storage::Policy;
use std::ffi::OsString;
use std::fs;

const MEMORY: u64 = 1000 << 20;

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Config, LoadError> {
    let args = std::iter::once("dunlin").chain(args.iter().copied()).map(OsString::from);
    let env = env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    match Task::read_for(args, env, MEMORY)? {
        Task::Serve(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn load(args: &[&str]) -> Config {
    load_with(args, &[]).unwrap()
}

fn refused(args: &[&str]) -> String {
    load_with(args, &[]).unwrap_err().to_string()
}

fn value(config: &Config, name: &str) -> String {
    let found = config.get(&[name]);
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    String::from_utf8(found[0].1.clone()).unwrap()
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<Vec<Applied>, String> {
    config.set(pairs, Origin::Remote)
}

/// A directory of its own for each test, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let dir = std::env::temp_dir().join(format!("dunlin-config-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Directory(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- the table

#[test]
fn names_are_unique_lower_case_and_not_also_missing() {
    let mut seen = BTreeSet::new();
    for row in DIRECTIVES {
        for name in std::iter::once(&row.name).chain(row.aliases) {
            assert!(seen.insert(*name), "{name} twice");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'), "{name}");
            assert!(!directives::MISSING.contains(name), "{name} is implemented");
        }
        assert!(!row.help.is_empty() && !row.help.contains('\n'));
    }
    let refused = directives::REFUSED.iter().map(|(name, _)| name);
    for name in directives::MISSING.iter().chain(refused) {
        assert!(seen.insert(name), "{name} twice");
    }
}

#[test]
fn a_directive_without_a_field_says_that_it_has_no_effect() {
    for row in DIRECTIVES {
        let fixed = matches!(row.kind, Kind::Never(_));
        assert!(row.apply.is_some() || fixed || !row.has_effect(), "{}", row.name);
    }
}

#[test]
fn every_value_is_printed_as_it_is_read() {
    let config = Config::defaults(MEMORY);
    for (row, default) in DIRECTIVES.iter().zip(&config.settings().values) {
        let again = parse_one(row, &default.print(), default, MEMORY).unwrap();
        assert_eq!(again, *default, "{}", row.name);
    }
}

#[test]
fn defaults_suit_a_cache() {
    let settings = Config::defaults(MEMORY).settings();
    assert_eq!(settings.maxmemory, MEMORY / 10 * 7);
    assert_eq!(settings.maxmemory_clients, MEMORY / 10);
    assert_eq!(settings.maxmemory_policy, Policy::AllKeysAuto);
    assert_eq!(settings.bind, ["127.0.0.1", "-::1"]);
    assert_eq!((settings.port, settings.databases, settings.maxclients), (6379, 16, 10_000));
    assert_eq!(settings.unixsocketperm, 0o600);
    assert_eq!(settings.proto_max_bulk_len, 512 << 20);
    assert_eq!(settings.output_limits.pubsub.hard, 32 << 20);
    assert!(settings.protected_mode && settings.requirepass.is_empty());
    assert_eq!(settings.enable_debug_command, Access::No);
    // redis-benchmark reads these two.
    let config = Config::defaults(MEMORY);
    assert_eq!(value(&config, "save"), "");
    assert_eq!(value(&config, "appendonly"), "no");
}

#[test]
fn access_of_dangerous_facilities() {
    assert!(!Access::No.allows(true));
    assert!(Access::Yes.allows(false));
    assert!(Access::Local.allows(true) && !Access::Local.allows(false));
}

// ---- sources

#[test]
fn the_command_line_reads_like_lines_of_the_file() {
    let config = load(&[
        "--port",
        "7000",
        "--bind",
        "127.0.0.1",
        "-::1",
        "--save",
        "60",
        "1",
        "--save",
        "30",
        "2",
        "--slowlog-log-slower-than",
        "-1",
        "--maxmemory=64mb",
        "--requirepass",
        "a b\"c",
        "--client-output-buffer-limit",
        "normal",
        "1mb",
        "2kb",
        "5",
        "--LogLevel",
        "Warning",
        "--unixsocket",
        "",
    ]);
    let settings = config.settings();
    assert_eq!(settings.port, 7000);
    assert_eq!(settings.bind, ["127.0.0.1", "-::1"]);
    assert_eq!(value(&config, "save"), "60 1 30 2");
    assert_eq!(settings.slowlog_log_slower_than, -1);
    assert_eq!(settings.maxmemory, 64 << 20);
    assert_eq!(settings.requirepass, b"a b\"c");
    assert_eq!(settings.output_limits.normal.soft, 2048);
    assert_eq!(settings.output_limits.pubsub.hard, 32 << 20, "classes not named keep theirs");
    assert_eq!(settings.loglevel, LogLevel::Warning);
    assert_eq!(settings.unixsocket, None);
    assert_eq!(value(&load(&["--save", ""]), "save"), "");
    assert_eq!(value(&load(&["--save", "60 1"]), "save"), "60 1");
    assert_eq!(value(&load(&["--slave-read-only", "no"]), "replica-read-only"), "no");
    assert!(!load(&["--insecure"]).settings().protected_mode);
    assert!(!load(&["--insecure", "--port", "0"]).settings().protected_mode);
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    assert!(refused(&["--prot", "1"]).contains("'--port'"), "a suggestion");
    assert_eq!(refused(&["--port"]), "--port: wrong number of arguments");
    assert_eq!(refused(&["--port", "1", "2"]), "--port: wrong number of arguments");
    assert!(refused(&["--hz", "x"]).starts_with("--hz: argument couldn't be parsed"));
    assert!(refused(&["--daemonize", "yes"]).contains("foreground"));
    assert!(refused(&["--replicaof", "h", "1"]).contains("not supported"));
    assert_eq!(load(&["--tcp-keepalive", "1", "--syslog-enabled", "no"]).warnings().len(), 1);
    let nowhere = load_with(&["/no/such/file"], &[]).unwrap_err();
    assert_eq!(nowhere.exit_code(), 1);
    let expected = "Fatal error, can't open config file '/no/such/file': No such file or directory";
    assert_eq!(nowhere.to_string(), expected);
}

#[test]
fn help_and_version_are_no_failures() {
    for flag in ["--help", "-h"] {
        let help = load_with(&[flag], &[]).unwrap_err();
        assert_eq!(help.exit_code(), 0);
        let text = help.to_string();
        for row in DIRECTIVES {
            assert!(text.contains(&format!("--{} ", row.name)), "{}", row.name);
        }
    }
    for flag in ["--version", "-v", "-V"] {
        let version = load_with(&[flag], &[]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert!(version.to_string().starts_with("dunlin "), "{version}");
    }
}

#[test]
fn completions_and_the_manual_know_every_directive() {
    for args in [&["--man"][..], &["--completions", "bash"], &["--completions=zsh"]] {
        let page = load_with(args, &[]).unwrap_err();
        assert_eq!(page.exit_code(), 0);
        let text = page.to_string().replace("\\-", "-");
        for row in DIRECTIVES {
            assert!(text.contains(&format!("--{}", row.name)), "{args:?}: {}", row.name);
        }
        assert!(text.contains("ping") && text.contains("--check-config"), "{args:?}");
        assert!(!text.contains("--rename-command"), "{args:?}: what is refused is not offered");
    }
    let unknown = load_with(&["--completions", "csh"], &[]).unwrap_err();
    assert_eq!(
        (unknown.exit_code(), &*unknown.to_string()),
        (1, "--completions: no such shell: 'csh'")
    );
}

#[test]
fn a_check_finds_every_fault() {
    let dir = Directory::new("check");
    let inner = dir.file("inner", "hz many\n");
    let path = dir.file(
        "c",
        &format!("port 7\nport x\nnosuch 1\nrequirepass geheim 2\ninclude {inner}\n\"\nhz 20\ninclude /no\n"),
    );
    let args = ["dunlin", &path, "--check-config", "--timeout", "soon"].map(OsString::from);
    let env = [(OsString::from("DUNLIN_DATABASES"), OsString::from("0"))];
    let Ok(Task::Check { config, faults }) = Task::read_for(args, env, MEMORY) else {
        panic!("no check")
    };
    assert_eq!((config.settings().port, config.settings().hz), (7, 20), "the rest is read");
    let begin = |at: &str| at.to_owned();
    let begins = [
        format!("{path}:2: port: "),
        format!("{path}:3: nosuch: Bad directive"),
        format!("{path}:4: requirepass: "),
        format!("{inner}:1: hz: "),
        format!("{path}:6: \": Unbalanced quotes"),
        begin("Fatal error, can't open config file '/no'"),
        begin("DUNLIN_DATABASES: "),
        begin("--timeout: "),
    ];
    assert_eq!(faults.len(), begins.len(), "{faults:#?}");
    for (fault, begin) in faults.iter().zip(begins) {
        assert!(fault.starts_with(&begin) && !fault.contains("geheim"), "{fault}");
    }
}

#[test]
fn a_ping_reads_the_same_sources_and_says_where() {
    let dir = Directory::new("ping");
    let path = dir.file("c", "port 7\nunixsocket /s\n");
    let ping = |args: &[&str]| {
        let args =
            ["dunlin", "ping", &path].into_iter().chain(args.iter().copied()).map(OsString::from);
        let env = [(OsString::from("DUNLIN_REQUIREPASS"), OsString::from("geheim"))];
        match Task::read_for(args, env, MEMORY) {
            Ok(Task::Ping { config, place }) => Ok((config.settings(), place)),
            other => Err(format!("{other:?}")),
        }
    };
    let (settings, place) = ping(&[]).unwrap();
    assert_eq!((settings.port, place), (7, None));
    assert_eq!(settings.requirepass, b"geheim");
    assert_eq!(settings.unixsocket.as_deref(), Some(Path::new("/s")));
    let (settings, place) = ping(&["-p", "8"]).unwrap();
    assert_eq!((settings.port, place), (8, Some("port")));
    let (settings, place) = ping(&["-s", "/t", "--tls-port", "9"]).unwrap();
    assert_eq!((settings.tls.port, place), (9, Some("unixsocket")));
    assert_eq!(settings.unixsocket.as_deref(), Some(Path::new("/t")));
    assert!(ping(&["--maxmemory", "1"]).is_err(), "nothing that says how to serve");
    // Elsewhere -s and -p are words, and a file may have any name.
    assert_eq!(value(&load(&["--requirepass", "-p"]), "requirepass"), "-p");
    assert!(refused(&["./ping"]).contains("can't open config file './ping'"));
}

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

// ---- CONFIG GET and SET

#[test]
fn get_takes_patterns_and_old_names() {
    let config = Config::defaults(MEMORY);
    let names = |patterns: &[&str]| -> Vec<_> {
        config.get(patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&["no-such", "neither*"]), [] as [&str; 0]);
    assert_eq!(names(&["TIMEOUT"]), ["timeout"]);
    assert_eq!(
        names(&["*listpack-size", "*ziplist-size"]),
        ["list-max-listpack-size", "list-max-ziplist-size"]
    );
    assert_eq!(names(&["timeout", "time*", "[t]imeout"]), ["timeout"], "once");
    assert!(names(&["*"]).len() > DIRECTIVES.len());
}

#[test]
fn errors_are_worded_as_in_redis() {
    let config = Config::defaults(MEMORY);
    for (name, text, why) in [
        ("protected-mode", "maybe", "argument must be 'yes' or 'no'"),
        ("maxmemory", "abc", "argument must be a memory value"),
        ("maxmemory", "-1", "argument must be a memory value"),
        ("maxmemory", "1.5gb", "argument must be a memory value"),
        ("maxmemory", "10%", "argument must be a memory value"),
        ("maxmemory-clients", "150%", "percentage argument must be less or equal to 100"),
        ("maxclients", "0", "argument must be between 1 and 4294967295 inclusive"),
        ("maxclients", "abc", "argument couldn't be parsed into an integer"),
        ("hz", "+5", "argument couldn't be parsed into an integer"),
        ("hz", "010", "argument couldn't be parsed into an integer"),
        ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
        (
            "slowlog-log-slower-than",
            "-5",
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        (
            "client-query-buffer-limit",
            "1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            "loglevel",
            "foo",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("databases", "4", "can't set immutable config"),
        ("dir", "/tmp", "can't set protected config"),
        ("notify-keyspace-events", "ZZ", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("save", "60", "Invalid save parameters"),
        ("save", "1 2 3", "Invalid save parameters"),
        (
            "client-output-buffer-limit",
            "normal 1 2",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "foo 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "client-output-buffer-limit",
            "normal 1mb 2 x",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "latency-tracking-info-percentiles",
            "50 abc",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "latency-tracking-info-percentiles",
            "50 101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "latency-tracking-info-percentiles",
            "nan",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        ("appendonly", "yes", "Append-only files are not supported"),
    ] {
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        assert_eq!(set(&config, &[(name, text)]), Err(expected));
    }
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'No-Such'";
    assert_eq!(set(&config, &[("maxmemory", "x"), ("No-Such", "1")]), Err(unknown.into()));
    assert_eq!(config.generation(), 0);
}

#[test]
fn names_are_checked_in_order_before_values() {
    let config = Config::defaults(MEMORY);
    let immutable = "ERR CONFIG SET failed (possibly related to argument 'DATABASES') - can't set immutable config";
    assert_eq!(
        set(&config, &[("hz", "x"), ("DATABASES", "1"), ("no-such", "1")]),
        Err(immutable.into())
    );
    let twice = "ERR CONFIG SET failed (possibly related to argument 'hZ') - duplicate parameter";
    assert_eq!(set(&config, &[("HZ", "x"), ("hZ", "4")]), Err(twice.into()));
    let value = "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be \
                 parsed into an integer";
    assert_eq!(set(&config, &[("HZ", "x")]), Err(value.into()), "values by the canonical name");
}

#[test]
fn values_print_as_in_redis() {
    let config = Config::defaults(MEMORY);
    for (name, text, shown) in [
        ("MAXMEMORY", "1MB", "1048576"),
        ("maxmemory", "1m", "1000000"),
        ("maxmemory", "0", "0"),
        ("maxmemory", "99999999999999999999", "18446744073709551615"),
        ("maxmemory", "auto", "734003200"),
        ("maxmemory-clients", "10%", "10%"),
        ("hz", "1000", "500"),
        ("loglevel", "Nothing", "nothing"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "gxE", "gxE"),
        ("notify-keyspace-events", "Emn", "nEm"),
        // Redis leaves the n out, and so loses it at CONFIG REWRITE.
        ("notify-keyspace-events", "KnA", "AnK"),
        ("notify-keyspace-events", "", ""),
        ("save", "3600 1 300 100", "3600 1 300 100"),
        ("save", "", ""),
        ("latency-tracking-info-percentiles", "50 99.95 100 .5", "50 99.95 100 0.5"),
        ("latency-tracking-info-percentiles", "", ""),
        (
            "client-output-buffer-limit",
            "normal 1mb 2kb 5 replica 1 2 3",
            "normal 1048576 2048 5 slave 1 2 3 pubsub 33554432 8388608 60",
        ),
        ("maxmemory-policy", "ALLKEYS-LRM", "allkeys-lrm"),
    ] {
        set(&config, &[(name, text)]).unwrap();
        assert_eq!(value(&config, name), shown, "{name} {text}");
    }
    set(&config, &[("maxmemory", "1000"), ("maxmemory-clients", "10%")]).unwrap();
    assert_eq!(config.settings().maxmemory_clients, 100);
    set(&config, &[("maxmemory", "2000")]).unwrap();
    assert_eq!(config.settings().maxmemory_clients, 200, "a share follows what it is a share of");
}

#[test]
fn the_policies_are_those_of_the_store() {
    let config = Config::defaults(MEMORY);
    let refused = set(&config, &[("maxmemory-policy", "best")]).unwrap_err();
    for policy in Policy::all() {
        set(&config, &[("maxmemory-policy", &policy.name().to_uppercase())]).unwrap();
        assert_eq!(config.settings().maxmemory_policy, policy);
        assert_eq!(value(&config, "maxmemory-policy"), policy.name());
        assert!(refused.contains(policy.name()), "{refused}");
    }
}

#[test]
fn a_change_is_all_or_nothing() {
    let config = Config::defaults(MEMORY);
    assert!(set(&config, &[("timeout", "5"), ("hz", "x")]).is_err());
    assert_eq!((config.settings().timeout, config.generation()), (0, 0));
    let hook =
        |_: &Settings, _: &Settings, _: &[Applied]| Err(("maxclients", "too many".to_owned()));
    let refused = config.set_with(&[("timeout", "5"), ("maxclients", "9")], Origin::Remote, hook);
    let expected = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - too many";
    assert_eq!(refused, Err(expected.into()));
    assert_eq!((config.settings().timeout, config.generation()), (0, 0));
    let changed = config.set_with(
        &[("timeout", "5"), ("hz", "10"), ("maxclients", "9")],
        Origin::Remote,
        |old, new, changed| {
            assert_eq!((old.timeout, new.timeout, new.maxclients), (0, 5, 9));
            assert_eq!(changed, ["timeout", "maxclients"]);
            Ok(())
        },
    );
    assert_eq!(changed, Ok(vec!["timeout", "maxclients"]), "hz was 10 already");
    assert_eq!(config.generation(), 1);
}

#[test]
fn a_cached_copy_follows_changes() {
    let config = Config::defaults(MEMORY);
    let mut cached = config.cached();
    assert!(!cached.refresh(&config));
    set(&config, &[("timeout", "5")]).unwrap();
    assert_eq!(cached.timeout, 0);
    assert!(cached.refresh(&config));
    assert_eq!(cached.timeout, 5);
    assert!(!cached.refresh(&config));
    assert_eq!(set(&config, &[("timeout", "5")]), Ok(vec![]));
    assert!(!cached.refresh(&config), "nothing changed");
}

#[test]
fn protected_settings_open_to_whom_they_are_opened() {
    for (access, remote, local) in
        [("no", false, false), ("yes", true, true), ("local", false, true)]
    {
        let config = load(&["--enable-protected-configs", access]);
        assert_eq!(config.set(&[("dir", "/x")], Origin::Remote).is_ok(), remote, "{access}");
        assert_eq!(config.set(&[("dir", "/y")], Origin::Local).is_ok(), local, "{access}");
    }
}

#[test]
fn passwords_may_be_any_bytes() {
    let config = Config::defaults(MEMORY);
    config.set(&[("requirepass", &b"\xff\x00\n"[..])], Origin::Remote).unwrap();
    assert_eq!(config.settings().requirepass, b"\xff\x00\n");
}

// ---- CONFIG REWRITE

#[test]
fn without_a_file_there_is_nothing_to_rewrite() {
    let expected = "ERR The server is running without a config file";
    assert_eq!(load(&["--port", "0"]).rewrite(&[]), Err(expected.into()));
}

#[test]
fn rewriting_keeps_comments_order_and_true_lines() {
    let dir = Directory::new("rewrite");
    let text = "# comment 1\nport 7012\n\n# about hz\nhz 10\nHZ 11\nmaxmemory   100mb\nsave 60 1\n\
                save 90 2\n  loglevel   notice\nsyslog-enabled no\ntimeout 0";
    let path = dir.file("c", text);
    let config = load(&[&path, "--maxclients", "500"]);
    set(
        &config,
        &[
            ("hz", "20"),
            ("timeout", "7"),
            ("requirepass", "a b\"c"),
            ("slowlog-max-len", "5"),
            ("client-output-buffer-limit", "pubsub 1 2 3"),
            ("notify-keyspace-events", "KEA"),
            ("save", "90 2"),
        ],
    )
    .unwrap();
    config.rewrite(&[]).unwrap();
    let expected = "# comment 1\nport 7012\n\n# about hz\nhz 20\nmaxmemory   100mb\nsave 90 2\n  \
                    loglevel   notice\nsyslog-enabled no\ntimeout 7\n\n\
                    # Generated by CONFIG REWRITE\nmaxclients 500\nrequirepass \"a b\\\"c\"\n\
                    client-output-buffer-limit pubsub 1 2 3\nslowlog-max-len 5\n\
                    notify-keyspace-events AKE\n";
    let written = fs::read_to_string(&path).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let tail = lines.iter().position(|l| l.starts_with("# Generated")).unwrap();
        lines[tail..].sort();
        lines
    };
    assert_eq!(sorted(&written), sorted(expected), "{written}");
    let again = load(&[&path]);
    assert_eq!(again.settings().values, config.settings().values);
    again.rewrite(&[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), written, "a second rewrite changes nothing");
    set(&again, &[("timeout", "8"), ("lfu-decay-time", "9"), ("save", "1 1 2 2")]).unwrap();
    again.rewrite(&[]).unwrap();
    let third = fs::read_to_string(&path).unwrap();
    assert_eq!(third.matches("# Generated").count(), 1);
    assert!(third.contains("save 1 1\nsave 2 2\n"), "{third}");
    assert_eq!(load(&[&path]).settings().values, again.settings().values);
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn rewriting_reads_back_whatever_the_values() {
    let dir = Directory::new("roundtrip");
    let path = dir.file("c", "");
    let config = load(&[&path]);
    config
        .set(
            &[("requirepass", &b"\x00\xff'\"\\ #"[..]), ("maxmemory-clients", b"7%")],
            Origin::Remote,
        )
        .unwrap();
    set(&config, &[("latency-tracking-info-percentiles", ""), ("maxmemory", "0")]).unwrap();
    config.rewrite(&[]).unwrap();
    let again = load(&[&path]);
    assert_eq!(again.settings().values, config.settings().values);
}

#[test]
fn secrets_of_the_environment_stay_out_of_the_file() {
    let dir = Directory::new("secret");
    let path = dir.file("c", "");
    let env = [("DUNLIN_REQUIREPASS", "geheim"), ("DUNLIN_TIMEOUT", "4")];
    let config = load_with(&[&path], &env).unwrap();
    config.rewrite(&[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    set(&config, &[("requirepass", "neu")]).unwrap();
    config.rewrite(&[]).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("requirepass neu") && !text.contains("timeout"), "{text}");
}

#[test]
fn rewriting_brings_user_lines_up_to_date() {
    let dir = Directory::new("rewrite-users");
    let path = dir.file("c", "user  alice   on >a ~x &#1\nhz 10\nuser bob on\nuser carol on\n");
    let user = |name: &str, rules: &[&str]| {
        Arc::new(crate::acl::User::declared(name.as_bytes(), rules, false).unwrap())
    };
    let alice = user("alice", &["on", ">a", "~x", "&#1"]);
    let config = load(&[&path]);
    let now = [
        alice,
        user("bob", &["on", "nopass", "(~b +get)"]),
        user("dave", &["~\"q'\\", "%R~\u{e4}"]),
    ];
    config.rewrite(&now).unwrap();
    let expected = "user  alice   on >a ~x &#1\nhz 10\nuser bob on nopass sanitize-payload \
                    resetchannels -@all (~b resetchannels -@all +get)\n\n\
                    # Generated by CONFIG REWRITE\nuser dave off sanitize-payload \"~\\\"q'\\\\\" \
                    \"%R~\\xc3\\xa4\" resetchannels -@all\n";
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, expected);
    let again = load(&[&path]);
    for (declared, user) in again.users().iter().zip(&now) {
        let read = crate::acl::User::declared(&declared.0, &declared.1, false).unwrap();
        assert_eq!(read.describe(), user.describe());
    }
    again.rewrite(&now).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), written, "a second rewrite changes nothing");
    again.rewrite(&[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "hz 10\n\n# Generated by CONFIG REWRITE\n");
}

#[test]
fn rewriting_keeps_permissions_and_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = Directory::new("mode");
    let path = dir.file("c", "hz 10\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = dir.0.join("link");
    symlink(&path, &link).unwrap();
    let config = load(&[link.to_str().unwrap()]);
    set(&config, &[("hz", "50")]).unwrap();
    config.rewrite(&[]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "hz 50\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
}

#[test]
fn a_failed_rewrite_says_why_and_leaves_the_file() {
    let dir = Directory::new("failed");
    let path = dir.file("c", "hz 10\n");
    let config = load(&[&path]);
    set(&config, &[("hz", "50")]).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let why = config.rewrite(&[]).unwrap_err();
    assert_eq!(why, "ERR Rewriting config file: Is a directory");
}

/// What is shown and written has no quotes around them.
#[test]
fn addresses_are_plain_words() {
    let read = |word: &str| Kind::Words.parse(&[word], &Value::Words(Vec::new()), MEMORY);
    for word in ["a b", "\0", "a\"b", "a\\b", "a'b", "a\nb"] {
        assert!(read(word).is_err(), "{word:?}");
    }
    for word in ["::1", "-::1", "fe80::1%eth0", "10.0.0.1:16379", "*", "a-b.example"] {
        assert_eq!(read(word).unwrap(), Value::Words(vec![word.to_owned()]));
    }
}
