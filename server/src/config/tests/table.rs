//! The table of directives, its defaults and its kinds.

use super::*;
use dunlin_storage::Policy;

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
