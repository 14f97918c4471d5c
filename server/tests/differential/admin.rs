//! Replies that describe the server: not the same values, but the same names, tables and shapes.
//!
//! What differs for a reason stands in the lists below; anything else fails the test.

use crate::support::{Client, Value};
use crate::{Both, start};
use std::collections::{BTreeMap, BTreeSet};

fn connect(both: &Both) -> [Client; 2] {
    [both.reference.client3(), both.subject.client3()]
}

/// Names the reference has and the subject lacks, apart from the listed ones.
fn missing(
    reference: &BTreeSet<String>,
    subject: &BTreeSet<String>,
    listed: &[&str],
) -> Vec<String> {
    let covered = |name: &&String| {
        listed.iter().any(|l| match l.split_once('*') {
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => **name == *l,
        })
    };
    reference.difference(subject).filter(|n| !covered(n)).cloned().collect()
}

/// Fields of INFO that describe what there is none of here.
const INFO_GAPS: &[&str] = &[
    // No forked child, no append-only file.
    "aof_*",
    "async_loading",
    "current_cow_*",
    "current_fork_perc",
    "module_fork_*",
    "latest_fork_usec",
    "total_forks",
    "mem_aof_buffer",
    // No replication.
    "mem_replication_backlog",
    "mem_total_replication_buffers",
    "mem_cluster_links",
    "mem_clients_slaves",
    "master_*",
    "repl_backlog_*",
    "second_repl_offset",
    "sync_*",
    "slave_expires_tracked_keys",
    // Of jemalloc and of the reference's build.
    "allocator_*",
    "rss_overhead_*",
    "active_defrag_*",
    "redis_git_*",
    "redis_build_id",
    "monotonic_clock",
    "atomicvar_api",
    "gcc_version",
    "multiplexing_api",
    // Of modules, and of later versions.
    "evicted_scripts",
    // No main thread: every worker is as good as the others.
    "used_cpu_*_main_thread",
];

fn info_fields(client: &mut Client, section: &str) -> BTreeSet<String> {
    let text = client.call(&["INFO", section]).text();
    let fields = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(':'));
    fields.map(|(name, _)| name.to_string()).collect()
}

#[test]
fn info_has_the_fields_of_the_reference() {
    let Some(both) = start() else { return };
    let [mut reference, mut subject] = connect(&both);
    let mut gaps = Vec::new();
    for section in ["server", "clients", "memory", "persistence", "stats", "replication", "cpu"] {
        let (a, b) = (info_fields(&mut reference, section), info_fields(&mut subject, section));
        gaps.extend(missing(&a, &b, INFO_GAPS).iter().map(|name| format!("{section}: {name}")));
    }
    for client in [&mut reference, &mut subject] {
        client.run("SET k v EX 1000");
        client.run("INCR k");
    }
    for (section, wanted) in [
        ("keyspace", "db0:keys=1,expires=1,avg_ttl="),
        ("commandstats", "cmdstat_incr:calls=1,usec="),
        ("errorstats", "errorstat_ERR:count=1"),
        ("latencystats", "latency_percentiles_usec_incr:p50="),
    ] {
        for client in [&mut reference, &mut subject] {
            let text = client.call(&["INFO", section]).text();
            if !text.contains(wanted) {
                gaps.push(format!("{section} without {wanted}: {text}"));
            }
        }
    }
    assert!(gaps.is_empty(), "INFO lacks:\n{}", gaps.join("\n"));
}

#[test]
fn clients_are_described_by_the_same_fields() {
    let Some(both) = start() else { return };
    let names = |line: &str| -> BTreeSet<String> {
        let fields = line.split_whitespace().filter_map(|f| f.split_once('='));
        fields.map(|(name, _)| name.to_string()).collect()
    };
    let [a, b] = connect(&both).map(|mut client| names(&client.run("CLIENT INFO").text()));
    assert_eq!(missing(&a, &b, &[]), Vec::<String>::new());
    let [a, b] = connect(&both).map(|mut client| {
        let list = client.run("CLIENT LIST").text();
        names(list.lines().next().unwrap_or_default())
    });
    assert_eq!(missing(&a, &b, &[]), Vec::<String>::new());
}

/// Directives a cache without disk, replicas, scripts or modules does not know.
const CONFIG_GAPS: &[&str] = &[
    "aof-*",
    "append*",
    "auto-aof-*",
    "rdb-*",
    "rdbcompression",
    "rdbchecksum",
    "repl*",
    "slave*",
    "min-*",
    "master*",
    "cluster*",
    "active-defrag*",
    "activedefrag",
    "activerehashing",
    "hash-*",
    "list-*",
    "set-*",
    "zset-*",
    "hll-*",
    "stream-*",
    "jemalloc-*",
    "no-appendfsync-on-rewrite",
    "tls-*",
    "io-threads*",
    "sanitize-*",
    "sentinel*",
    "shutdown-on-*",
    "stop-writes-on-bgsave-error",
    "dbfilename",
    "dir",
    "daemonize",
    "pidfile",
    "supervised",
    "syslog-*",
    "crash-*",
    "use-exit-on-panic",
    "bio_cpulist",
    "aof_rewrite_cpulist",
    "bgsave_cpulist",
    "server_cpulist",
    "oom-score-*",
    "disable-thp",
    "dynamic-hz",
    "hz",
    "unixsocketperm",
    "proc-title-template",
    "set-proc-title",
    "always-show-logo",
    "enable-module-command",
    "ignore-warnings",
    "key-load-delay",
    "loading-process-events-*",
    "diskless-*",
    "socket-mark-id",
    "watchdog-period",
    "gopher-enabled",
    "propagation-*",
    "debug-*",
    "user",
    "loadmodule",
    "notify-keyspace-events",
    "tracking-table-max-keys",
    "bind-source-addr",
    "lfu-*",
    "lazyfree-*",
    "replica-*",
    "locale-collate",
    "databases",
];

#[test]
fn config_get_knows_the_directives_of_the_reference() {
    let Some(both) = start() else { return };
    let [a, b] = connect(&both).map(|mut client| {
        let items = client.call(&["CONFIG", "GET", "*"]).items();
        items.chunks(2).map(|pair| pair[0].text()).collect::<BTreeSet<String>>()
    });
    let gaps = missing(&a, &b, CONFIG_GAPS);
    assert!(gaps.is_empty(), "CONFIG GET * lacks {gaps:?}");
}

/// What an entry of COMMAND says before its subcommands.
const PARTS: [&str; 9] =
    ["name", "arity", "flags", "first", "last", "step", "categories", "tips", "keys"];

/// An entry of COMMAND as a table of its parts; lists whose order says nothing are sorted.
fn parts(entry: &Value) -> Vec<(&'static str, String)> {
    let entry = entry.items();
    let sorted = |value: &Value| {
        let mut items = value.items();
        items.sort();
        format!("{items:?}")
    };
    PARTS
        .iter()
        .zip(&entry)
        .map(|(name, value)| match *name {
            "flags" | "categories" | "tips" => (*name, sorted(value)),
            "keys" => {
                (*name, format!("{:?}", value.items().iter().map(key_spec).collect::<Vec<_>>()))
            }
            _ => (*name, format!("{value:?}")),
        })
        .collect()
}

fn key_spec(spec: &Value) -> BTreeMap<String, String> {
    let items = spec.items();
    let pairs = items.chunks(2).map(|pair| {
        let value = match &pair[1] {
            Value::Array(flags) | Value::Set(flags) => {
                let mut flags = flags.clone();
                flags.sort();
                format!("{flags:?}")
            }
            other => format!("{other:?}"),
        };
        (pair[0].text(), value)
    });
    // The prose is the server's own.
    pairs.filter(|(name, _)| name != "notes").collect()
}

type Entries = BTreeMap<String, Vec<(&'static str, String)>>;

fn entries(client: &mut Client) -> Entries {
    let mut out = Entries::new();
    for entry in client.call(&["COMMAND"]).items() {
        let fields = entry.items();
        out.insert(fields[0].text(), parts(&entry));
        for sub in fields.get(9).map(Value::items).unwrap_or_default() {
            out.insert(sub.items()[0].text(), parts(&sub));
        }
    }
    out
}

/// Command, part and reason of differences from the table of the reference.
const COMMAND_GAPS: &[(&str, &str, &str)] = &[
    ("acl|deluser", "tips", "7.2 adds them"),
    ("acl|save", "tips", "7.2 adds them"),
    ("acl|setuser", "tips", "7.2 adds them"),
    ("blmove", "flags", "7.2 allows it in scripts"),
    ("blpop", "flags", "7.2 allows it in scripts"),
    ("brpop", "flags", "7.2 allows it in scripts"),
    ("brpoplpush", "flags", "7.2 allows it in scripts"),
    ("bzpopmax", "flags", "7.2 allows it in scripts"),
    ("bzpopmin", "flags", "7.2 allows it in scripts"),
    ("cluster|info", "flags", "Valkey 8 answers it while a snapshot is loaded"),
    ("cluster|myid", "flags", "Valkey 8 answers it while a snapshot is loaded"),
    ("cluster|nodes", "flags", "Valkey 8 answers it while a snapshot is loaded"),
    ("cluster|shards", "flags", "Valkey 8 answers it while a snapshot is loaded"),
    ("cluster|slots", "flags", "Valkey 8 answers it while a snapshot is loaded"),
    ("command|getkeys", "arity", "7.2 takes a name without arguments"),
    ("command|getkeysandflags", "arity", "7.2 takes a name without arguments"),
    ("config|resetstat", "tips", "7.2 adds them"),
    ("config|rewrite", "tips", "7.2 adds them"),
    ("latency|reset", "tips", "7.2: the counts are summed"),
    ("msetnx", "tips", "7.2 takes them away: it cannot be split"),
    ("randomkey", "tips", "7.2 adds the response policy"),
    ("scan", "tips", "7.2 adds the response policy"),
    (
        "sinterstore",
        "keys",
        "the destination is overwritten, as of SUNIONSTORE; Valkey says so too",
    ),
    ("wait", "flags", "7.2 allows it in scripts"),
    ("zrank", "arity", "7.2 adds WITHSCORE"),
    ("zrevrank", "arity", "7.2 adds WITHSCORE"),
];

/// Subcommands of the reference that are not here.
const SUBCOMMAND_GAPS: &[&str] = &[];

#[test]
fn the_command_table_is_the_one_of_the_reference() {
    let Some(both) = start() else { return };
    let [a, b] = connect(&both).map(|mut client| entries(&mut client));
    let (mut found, mut accepted) = (Vec::new(), BTreeSet::new());
    let mut compared = 0;
    for (name, parts) in &b {
        let Some(reference) = a.get(name) else { continue };
        assert_eq!((parts.len(), reference.len()), (PARTS.len(), PARTS.len()), "{name}");
        compared += 1;
        for (theirs, ours) in reference.iter().zip(parts).filter(|(theirs, ours)| theirs != ours) {
            let gap = |(command, part, _): &&(&str, &str, &str)| command == name && *part == ours.0;
            match COMMAND_GAPS.iter().find(gap) {
                Some(gap) => _ = accepted.insert(gap),
                None => found.push(format!("{name} {}: {} / {}", ours.0, theirs.1, ours.1)),
            }
        }
    }
    println!("{compared} of {} commands and subcommands of the reference", a.len());
    for (name, part, reason) in &accepted {
        println!("  accepted: {name} {part}: {reason}");
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    let stale: Vec<_> = COMMAND_GAPS.iter().filter(|gap| !accepted.contains(gap)).collect();
    assert!(stale.is_empty(), "no differences any more: {stale:?}");
    // Subcommands of what is there are there, too. Which commands there are: `coverage.rs`.
    let missing: Vec<&String> = a
        .keys()
        .filter(|name| name.split_once('|').is_some_and(|(top, _)| b.contains_key(top)))
        .filter(|name| !b.contains_key(*name) && !SUBCOMMAND_GAPS.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are not there");
}

/// The arguments of COMMAND DOCS as one line: type, token, flags, inner arguments. Not their names:
/// 7.2 renamed most of them.
fn arguments(value: &Value) -> String {
    let mut out = Vec::new();
    for argument in value.items() {
        let items = argument.items();
        let field = |name: &str| {
            items.chunks(2).find(|pair| pair[0].text() == name).map(|pair| pair[1].clone())
        };
        let text = |name: &str| field(name).map(|v| v.text()).unwrap_or_default();
        let mut flags: Vec<String> =
            field("flags").map(|f| f.items().iter().map(Value::text).collect()).unwrap_or_default();
        flags.sort();
        let inner = field("arguments").map(|a| arguments(&a)).unwrap_or_default();
        let key = field("key_spec_index").map(|k| format!("#{}", k.int())).unwrap_or_default();
        out.push(format!(
            "{}{}{}{}{}",
            text("type"),
            if text("token").is_empty() { String::new() } else { format!("={}", text("token")) },
            if flags.is_empty() { String::new() } else { format!("{flags:?}") },
            if inner.is_empty() { String::new() } else { format!("({inner})") },
            key
        ));
    }
    out.join(" ")
}

fn docs(client: &mut Client) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut rest: Vec<Value> = client.call(&["COMMAND", "DOCS"]).items();
    while rest.len() >= 2 {
        let value = rest.pop().expect("two are left");
        let name = rest.pop().expect("one is left").text();
        let fields = value.items();
        let mut line = String::new();
        for pair in fields.chunks(2) {
            match pair[0].text().as_str() {
                "arguments" => line = arguments(&pair[1]),
                "subcommands" => rest.extend(pair[1].items()),
                _ => {}
            }
        }
        out.insert(name, line);
    }
    out
}

/// Commands whose documented arguments differ, and why.
const DOCS_GAPS: &[(&str, &str)] = &[
    ("set", "IFEQ and the other conditions are newer than the reference"),
    ("bitop", "DIFF, DIFF1, ANDOR and ONE are newer; the reference documents no operations"),
    ("bitcount", "the end of the range may be left out, as in Valkey 8"),
    ("command|getkeys", "the reference documents none of its arguments"),
    ("command|getkeysandflags", "the reference documents none of its arguments"),
    ("hscan", "NOVALUES is newer"),
    ("config|get", "a parameter is a string, as 7.2 says, not a block of one"),
    ("psubscribe", "a pattern is an argument, as 7.2 says, not a block of one"),
    ("client|list", "takes the filters of newer servers"),
    ("client|kill", "takes the filters of newer servers"),
    ("georadius", "STORE or STOREDIST, not both, as 7.2 says"),
    ("georadiusbymember", "STORE or STOREDIST, not both, as 7.2 says"),
    ("geohash", "members are optional, as 7.2 says"),
    ("geopos", "members are optional, as 7.2 says"),
    ("pfmerge", "sources are optional, as 7.2 says"),
    ("migrate", "how the key is left out, and that AUTH is optional as a whole, as 7.2 says"),
    ("zrank", "7.2 adds WITHSCORE"),
    ("zrevrank", "7.2 adds WITHSCORE"),
    ("xinfo|stream", "FULL is a word of its block, as 7.2 says, not the token before it"),
];

#[test]
fn documented_arguments_are_those_of_the_reference() {
    let Some(both) = start() else { return };
    let [a, b] = connect(&both).map(|mut client| docs(&mut client));
    let mut found = Vec::new();
    for (name, ours) in &b {
        let Some(theirs) = a.get(name) else { continue };
        if theirs != ours && !DOCS_GAPS.iter().any(|(command, _)| command == name) {
            found.push(format!("{name}\n  {theirs}\n  {ours}"));
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn acl_categories_are_those_of_the_reference() {
    let Some(both) = start() else { return };
    let [mut reference, mut subject] = connect(&both);
    let names = |client: &mut Client, args: &[&str]| -> BTreeSet<String> {
        client.call(args).items().iter().map(Value::text).collect()
    };
    let all = names(&mut reference, &["ACL", "CAT"]);
    assert_eq!(all, names(&mut subject, &["ACL", "CAT"]));
    let known: BTreeSet<String> = entries(&mut subject).into_keys().collect();
    for category in all {
        let theirs = names(&mut reference, &["ACL", "CAT", &category]);
        let ours = names(&mut subject, &["ACL", "CAT", &category]);
        let expected: BTreeSet<String> = theirs.intersection(&known).cloned().collect();
        let gaps: Vec<_> = expected.difference(&ours).collect();
        assert!(gaps.is_empty(), "{category} lacks {gaps:?}");
    }
}
