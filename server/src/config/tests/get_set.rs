//! CONFIG GET and SET.

use super::*;
use dunlin_storage::Policy;

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
