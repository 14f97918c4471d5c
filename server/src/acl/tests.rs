//! Tests of users as a whole: rules, their description, decisions.

use super::*;
use crate::commands::spec::KeyFlags;
use crate::commands::table::{Entry, table};
use dunlin_protocol::{Decoder, Limits, Request};
use proptest::prelude::*;

/// Runs `body` on a command line.
fn with_request<R>(words: &[&[u8]], body: impl FnOnce(&Entry, &Request<'_>) -> R) -> R {
    let mut decoder = Decoder::new(Limits::AUTHENTICATED);
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        wire.extend(format!("${}\r\n", word.len()).into_bytes());
        wire.extend_from_slice(word);
        wire.extend_from_slice(b"\r\n");
    }
    decoder.read_buf().extend_from_slice(&wire);
    assert_eq!(decoder.parse(1), 1);
    let request = decoder.request(0);
    let entry = table().get(request.arg(0)).expect("a command of the table");
    body(table().leaf(entry, request), &request)
}

fn check(user: &User, line: &str) -> Result<(), Denied> {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    with_request(&words, |entry, request| user.check(entry, request))
}

fn user(rules: &str) -> User {
    let rules: Vec<&str> = rules.split(' ').collect();
    User::declared(b"u", &rules, false).unwrap_or_else(|why| panic!("{rules:?}: {why}"))
}

fn described(rules: &str) -> String {
    String::from_utf8(user(rules).describe()).expect("text")
}

fn denied(reason: Reason, at: usize) -> Result<(), Denied> {
    Err(Denied { reason, at })
}

const HASH_OF_A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

#[test]
fn a_user_is_described_by_the_rules_that_make_it() {
    let a = format!("#{HASH_OF_A}");
    for (rules, wanted) in [
        ("", "off sanitize-payload resetchannels -@all".to_owned()),
        ("ON NoPass >a", format!("on sanitize-payload {a} resetchannels -@all")),
        ("on >a nopass", "on nopass sanitize-payload resetchannels -@all".into()),
        (">a >a >b <b", format!("off sanitize-payload {a} resetchannels -@all")),
        (&format!("#{HASH_OF_A} !{HASH_OF_A}"), "off sanitize-payload resetchannels -@all".into()),
        ("nopass resetpass", "off sanitize-payload resetchannels -@all".into()),
        ("skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all".into()),
        ("~a %R~b &c +get", "off sanitize-payload ~a %R~b resetchannels &c -@all +get".into()),
        ("allkeys allchannels allcommands", "off sanitize-payload ~* &* +@all".into()),
        (
            "(~a +get) ( &b  %W~c -@all +set ) +ping",
            "off sanitize-payload resetchannels -@all +ping (~a resetchannels -@all +get) \
             (%W~c resetchannels &b -@all +set)"
                .into(),
        ),
        ("() (~a) clearselectors", "off sanitize-payload resetchannels -@all".into()),
        (
            "on >a skip-sanitize-payload ~* &* +@all (~x) reset",
            "off sanitize-payload resetchannels -@all".into(),
        ),
    ] {
        assert_eq!(described(rules), wanted, "{rules}");
    }
    let open = User::declared(b"u", &["(+get)", "resetchannels", "()"], true).expect("rules");
    assert_eq!(
        String::from_utf8_lossy(&open.describe()),
        "off sanitize-payload resetchannels -@all (&* -@all +get) (&* -@all)"
    );
    assert_eq!(
        String::from_utf8_lossy(&User::default_user(0, b"").describe()),
        "on nopass sanitize-payload ~* &* +@all"
    );
}

#[test]
fn malformed_rules_get_the_errors_of_redis() {
    let acl = Acl::default();
    let syntax = "Syntax error";
    let deep = format!("{}~a{}", "(".repeat(10_000), ")".repeat(10_000));
    let long = format!("~{} ", "x".repeat(1 << 20));
    for (rule, why) in [
        ("%", syntax),
        ("%~", syntax),
        ("%~a", syntax),
        (")", syntax),
        ("(())", syntax),
        (" () ", syntax),
        ("foo", syntax),
        ("~a b", syntax),
        ("(~\"a b\")", syntax),
        ("(~\"a)", syntax),
        ("(on)", syntax),
        ("(>a)", syntax),
        ("(reset)", syntax),
        ("+get|", syntax),
        (&deep, syntax),
        (&long, syntax),
        ("+foo", RuleError::Unknown.text()),
        ("(+foo)", RuleError::Unknown.text()),
        ("+config|get|x", RuleError::ArgumentOfSubcommand.text()),
        ("<x", RuleError::NoSuchPassword.text()),
        ("#ab", RuleError::BadDigest.text()),
        ("!ab", RuleError::BadDigest.text()),
        ("(~* ~a)", RuleError::KeyAfterAll.text()),
        ("(&* &a)", RuleError::ChannelAfterAll.text()),
    ] {
        let wanted = format!("ERR Error in ACL SETUSER modifier '{rule}': {why}");
        let got = acl.set_user(b"u", &["on", rule]);
        assert_eq!(got.map_err(|e| e.text().to_vec()), Err(wanted.into_bytes()));
    }
    for rules in [&["("][..], &["(~"], &["(((("], &["on", "(~a", "+get"]] {
        let open = rules.iter().find(|rule| rule.starts_with('(')).expect("one that opens");
        let wanted = format!("ERR Unmatched parenthesis in acl selector starting at '{open}'.");
        let got = acl.set_user(b"u", rules);
        assert_eq!(got.map_err(|e| e.text().to_vec()), Err(wanted.into_bytes()));
    }
    assert!(acl.users().get(b"u").is_none(), "nothing was changed");
    for name in ["a b", "a\0", "\n"] {
        assert!(acl.set_user(name.as_bytes(), &["on"]).is_err());
    }
}

/// A description is a line of words, and a selector ends with the first that ends with a parenthesis.
#[test]
fn no_pattern_of_a_selector_ends_like_a_selector() {
    for rule in ["(+get ~a))", "(&a) +get)", "(%R~a) ~b)"] {
        assert!(User::declared(b"u", &[rule], false).is_err(), "{rule}");
    }
    let user = User::declared(b"u", &["~a)", "(+get ~(a)b)"], false).unwrap();
    let text = user.describe();
    let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
    assert_eq!(User::declared(b"u", &words, false).unwrap().describe(), text);
}

#[test]
fn one_selector_has_to_allow_all_of_it() {
    let both = user("+ping (+@write ~w*) (+@read ~r*) (+copy %R~r* %W~w*)");
    for (line, wanted) in [
        ("ping", Ok(())),
        ("echo x", denied(Reason::Command, 0)),
        ("get r1", Ok(())),
        ("get w1", denied(Reason::Key, 1)),
        ("set w1 v", Ok(())),
        ("set r1 v", denied(Reason::Key, 1)),
        ("mget r1 r2 w1", denied(Reason::Key, 3)),
        ("copy r1 w1", Ok(())),
        ("copy w1 r1", denied(Reason::Key, 2)),
        ("rename w1 x", denied(Reason::Key, 2)),
    ] {
        assert_eq!(check(&both, line), wanted, "{line}");
    }
    let apart = user("(%R~r* +@all) (%W~w* +@all)");
    assert!(check(&apart, "copy r w").is_err(), "rights of two selectors do not add up");
    assert_eq!(
        check(&user("+mget ~key (+mget ~key ~other)"), "mget other x"),
        denied(Reason::Key, 2)
    );
}

#[test]
fn keys_are_those_that_are_touched_and_how() {
    let rights = user("+@all %R~r* %W~w* ~b*");
    for (line, allowed) in [
        ("get r", true),
        ("get w", false),
        ("set w v", true),
        ("set r v", false),
        ("set w v get", false),
        ("set b v get", true),
        ("getdel r", false),
        ("getdel b", true),
        ("append w x", true),
        ("strlen r", true),
        ("strlen w", true),
        ("strlen x", false),
        ("exists r w b", true),
        ("exists r x", false),
        ("touch x", false),
        ("type w", true),
        ("memory usage w", true),
        ("memory usage x", false),
        ("object encoding x", false),
        ("bitfield r get u8 0", true),
        ("bitfield r set u8 0 1", false),
        ("bitop and w r r2", true),
        ("bitop and r r r2", false),
        ("mset w1 r w2 r", true),
        ("mset w1 r r w", false),
        ("rename b w", true),
        ("rename r w", false),
        // The handler refuses what does not fit; there is nothing to have a right to.
        ("mset w1", true),
        ("del x", false),
        ("ping x", true),
        ("keys *", true),
    ] {
        assert_eq!(check(&rights, line).is_ok(), allowed, "{line}");
    }
}

#[test]
fn commands_of_strangers_need_no_right() {
    let nobody = user("");
    for line in ["auth x", "hello 3", "quit", "reset"] {
        assert_eq!(check(&nobody, line), Ok(()), "{line}");
    }
}

#[test]
fn the_first_words_may_tell_that_a_command_is_denied() {
    for (rules, line, wanted) in [
        ("+get", "set", false),
        ("+get", "set k v", false),
        ("+get", "get", true),
        ("+@all -config|set", "config set", false),
        ("+select|0", "select", true),
        ("+select|0", "select 1", false),
        ("(+set) (+get)", "get", true),
        ("", "auth", true),
    ] {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let user = user(rules);
        let may = with_request(&words, |entry, request| user.may_begin(entry, request));
        assert_eq!(may, wanted, "{rules} / {line}");
    }
}

#[test]
fn texts_of_refusals() {
    let nobody = user("+get");
    with_request(&[b"config", b"set", b"x", b"y"], |entry, request| {
        let denied = nobody.check(entry, request).expect_err("no right");
        let text = denied.error(&nobody, entry);
        assert_eq!(
            text.text(),
            b"NOPERM User u has no permissions to run the 'config|set' command"
        );
        let text = denied.explain(&nobody, entry, request);
        assert_eq!(text, b"User u has no permissions to run the 'config|set' command");
    });
    with_request(&[b"get", b"secret"], |entry, request| {
        let denied = nobody.check(entry, request).expect_err("no right");
        assert_eq!(denied.error(&nobody, entry).text(), b"NOPERM No permissions to access a key");
        let text = denied.explain(&nobody, entry, request);
        assert_eq!(text, b"User u has no permissions to access the 'secret' key");
    });
    let denied = Denied { reason: Reason::Channel, at: 1 };
    with_request(&[b"get", b"c"], |entry, request| {
        let text = denied.error(&nobody, entry);
        assert_eq!(text.text(), b"NOPERM No permissions to access a channel");
        let text = denied.explain(&nobody, entry, request);
        assert_eq!(text, b"User u has no permissions to access the 'c' channel");
    });
}

#[test]
fn keys_that_are_found_while_a_command_runs() {
    let allowed = |rules: &str, flags: KeyFlags| {
        let user = user(rules);
        with_request(&[b"get", b"k"], |entry, request| user.check_any_key(entry, request, flags))
    };
    let read = KeyFlags::ACCESS;
    assert!(allowed("+get ~*", read));
    assert!(allowed("+get ~k %R~*", read));
    assert!(!allowed("+get ~k %W~*", read));
    assert!(!allowed("+get ~k ~v*", read));
    assert!(!allowed("+get ~k (%R~*)", read), "with the same rights");
    assert!(allowed("+get ~k (%R~* +get)", read));
}

#[test]
fn channels() {
    let rights = user("&a* (&b)");
    for (channel, is_pattern, allowed) in [
        ("a1", false, true),
        ("b", false, true),
        ("c", false, false),
        ("a*", true, true),
        ("a1", true, false),
        ("*", true, false),
    ] {
        assert_eq!(rights.may_use_channel(channel.as_bytes(), is_pattern), allowed, "{channel}");
    }
}

#[test]
fn commands_about_channels_say_so() {
    for name in ["publish", "spublish", "subscribe", "ssubscribe", "psubscribe"] {
        let Some(entry) = table().get(name.as_bytes()) else { continue };
        let channels = entry.command.channels;
        assert!(channels != crate::commands::spec::Channels::None, "{name}");
    }
}

// ---- the users of a server

fn names(acl: &Acl) -> Vec<String> {
    let users = acl.users();
    users.all().map(|user| String::from_utf8_lossy(user.name()).into_owned()).collect()
}

#[test]
fn users_log_in() {
    let acl = Acl::default();
    acl.set_user(b"alice", &["on", ">one", ">two"]).expect("rules");
    acl.set_user(b"bob", &["on", "nopass"]).expect("rules");
    acl.set_user(b"carol", &[">one"]).expect("rules");
    acl.set_user(b"dave", &["on"]).expect("rules");
    for (name, password, allowed) in [
        ("alice", "one", true),
        ("alice", "two", true),
        ("alice", "three", false),
        ("alice", "", false),
        ("alice", "one\0", false),
        ("Alice", "one", false),
        ("bob", "anything", true),
        ("carol", "one", false),
        ("dave", "", false),
        ("nobody", "", false),
        ("default", "x", true),
    ] {
        let login = acl.log_in(name.as_bytes(), password.as_bytes());
        assert_eq!(login.is_some(), allowed, "{name} {password}");
    }
}

#[test]
fn a_login_follows_its_user_and_no_other() {
    let acl = Acl::default();
    acl.set_user(b"alice", &["on", "nopass"]).expect("rules");
    let login = acl.log_in(b"alice", b"").expect("no password");
    assert_eq!(login.version(), acl.version());
    acl.set_user(b"alice", &["+get"]).expect("rules");
    assert!(login.version() != acl.version());
    let now = acl.follow(&login).expect("she is still there");
    assert!(now.user.describe().ends_with(b"+get") && !login.user.describe().ends_with(b"+get"));
    assert_eq!(acl.delete_users(&[b"alice", b"nobody", DEFAULT_USER]), [now.user.id()]);
    assert!(acl.follow(&now).is_none());
    acl.set_user(b"alice", &["on", "nopass", "+@all"]).expect("rules");
    assert!(acl.follow(&now).is_none(), "another user of the same name");
    assert_eq!(names(&acl), ["alice", "default"]);
}

#[test]
fn requirepass_is_the_default_users_password() {
    let acl = Acl::default();
    assert!(acl.default_is_open());
    let mut settings = Settings::defaults(0);
    settings.requirepass = b"secret".to_vec();
    acl.apply(&settings);
    assert!(!acl.default_is_open());
    assert!(acl.log_in(DEFAULT_USER, b"secret").is_some());
    assert!(acl.log_in(DEFAULT_USER, b"").is_none());
    acl.set_user(DEFAULT_USER, &[">other"]).expect("rules");
    acl.apply(&settings);
    assert!(acl.log_in(DEFAULT_USER, b"other").is_some(), "only a change replaces passwords");
    settings.requirepass = b"new".to_vec();
    acl.apply(&settings);
    assert!(acl.log_in(DEFAULT_USER, b"other").is_none());
    settings.requirepass.clear();
    acl.apply(&settings);
    assert!(acl.default_is_open());
    acl.set_user(DEFAULT_USER, &["off"]).expect("rules");
    assert!(!acl.default_is_open());
}

#[test]
fn a_default_user_that_requirepass_makes_is_not_declared() {
    let acl = Acl::default();
    let declared = |acl: &Acl| acl.to_declare().len();
    assert_eq!(declared(&acl), 0);
    let mut settings = Settings::defaults(0);
    settings.requirepass = b"secret".to_vec();
    acl.apply(&settings);
    assert_eq!(declared(&acl), 0);
    acl.set_user(DEFAULT_USER, &["-flushall"]).expect("rules");
    assert_eq!(declared(&acl), 1);
    acl.set_user(b"alice", &["on"]).expect("rules");
    assert_eq!(declared(&acl), 2);
}

#[test]
fn a_file_replaces_all_users_or_none() {
    let dir = std::env::temp_dir().join(format!("dunlin-acl-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("users.acl");
    let acl = Acl::default();
    acl.set_user(b"alice", &["on", ">a", "~a*", "+get", "(~b +set)"]).expect("rules");
    acl.set_user(b"bob", &["on"]).expect("rules");
    let before = acl.users();
    acl.save(&path).expect("a file");
    let text = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(text.lines().count(), 3);
    acl.set_user(b"alice", &["reset"]).expect("rules");
    acl.set_user(b"carol", &["on"]).expect("rules");
    let carol = acl.find(b"carol").expect("she is there").user.id();
    assert_eq!(acl.load(&path), Ok(vec![carol]));
    assert!(acl.users().all().eq(before.all()), "the same users, under the same numbers");
    std::fs::write(&path, format!("{text}user dave +nocommand\n")).expect("the file");
    let why = acl.load(&path).expect_err("an unknown command");
    assert!(why.contains(":4: Error in applying operation '+nocommand'"), "{why}");
    assert_eq!(names(&acl), ["alice", "bob", "default"]);
    std::fs::write(&path, "user alice on\n").expect("the file");
    acl.load(&path).expect("a good file");
    assert!(acl.default_is_open(), "a file without the default user has the one of the start");
    let missing = acl.load(&dir.join("nowhere")).expect_err("no file");
    assert!(missing.ends_with("No such file or directory"), "{missing}");
    std::fs::remove_dir_all(&dir).expect("the directory");
}

// ---- whatever the rules

/// A rule of a selector; patterns and channels overlap with [`line`]'s keys.
fn selector_rule() -> impl Strategy<Value = String> {
    let pattern = "[abc?*]{1,3}";
    let command = prop_oneof![
        Just("get"),
        Just("set"),
        Just("mget"),
        Just("copy"),
        Just("config"),
        Just("config|get"),
        Just("config|set"),
        Just("client|id"),
        Just("client"),
        Just("select"),
        Just("@all"),
        Just("@read"),
        Just("@write"),
        Just("@string"),
        Just("@slow"),
        Just("@fast"),
        Just("@connection"),
        Just("@dangerous"),
    ];
    prop_oneof![
        3 => (prop_oneof![Just("~"), Just("%R~"), Just("%W~"), Just("%RW~")], pattern)
            .prop_map(|(kind, pattern)| format!("{kind}{pattern}")),
        1 => pattern.prop_map(|pattern| format!("&{pattern}")),
        6 => (prop_oneof![Just("+"), Just("-")], command)
            .prop_map(|(sign, command)| format!("{sign}{command}")),
        1 => "[01]".prop_map(|db| format!("+select|{db}")),
        1 => prop_oneof![
            Just("allkeys"),
            Just("resetkeys"),
            Just("allchannels"),
            Just("resetchannels"),
            Just("allcommands"),
            Just("nocommands"),
        ]
        .prop_map(str::to_owned),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => selector_rule(),
        1 => prop::collection::vec(selector_rule(), 0..5)
            .prop_map(|rules| format!("({})", rules.join(" "))),
        1 => prop_oneof![
            Just("on"),
            Just("off"),
            Just("nopass"),
            Just("resetpass"),
            Just(">a"),
            Just(">b"),
            Just("<a"),
            Just("clearselectors"),
            Just("skip-sanitize-payload"),
            Just("reset"),
        ]
        .prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = Vec<String>> {
    let key = || "[abc]{1,3}";
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    prop_oneof![
        key().prop_map(|a| vec!["get".into(), a]),
        key().prop_map(|a| vec!["strlen".into(), a]),
        key().prop_map(|a| vec!["set".into(), a, "v".into()]),
        key().prop_map(|a| vec!["set".into(), a, "v".into(), "get".into()]),
        (key(), key()).prop_map(|(a, b)| vec!["mget".into(), a, b]),
        (key(), key()).prop_map(|(a, b)| vec!["copy".into(), a, b]),
        (key(), key()).prop_map(|(a, b)| vec!["rename".into(), a, b]),
        Just(words(&["config", "get", "x"])),
        Just(words(&["config", "set", "x", "y"])),
        Just(words(&["client", "id"])),
        Just(words(&["client", "list"])),
        Just(words(&["select", "0"])),
        Just(words(&["select", "1"])),
        Just(words(&["ping"])),
        Just(words(&["flushall"])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// SETUSER -> LIST -> SETUSER: the same text, and the same answer to every command line.
    #[test]
    fn a_described_user_is_the_same_user(
        rules in prop::collection::vec(rule(), 0..14),
        lines in prop::collection::vec(line(), 24),
        channels in prop::collection::vec("[abc*]{1,3}", 4),
        all_channels: bool,
    ) {
        let mut user = User::new(b"u", 0, all_channels);
        for rule in &rules {
            // One that is refused leaves the user as it was.
            let mut changed = user.clone();
            if changed.apply(rule.as_bytes(), all_channels).is_ok() {
                user = changed;
            }
        }
        let text = user.describe();
        let words: Vec<&[u8]> = text.split(|c| *c == b' ').collect();
        let again = User::declared(b"u", &words, false).map_err(TestCaseError::fail)?;
        prop_assert_eq!(again.describe(), text);
        prop_assert_eq!(&again.passwords, &user.passwords);
        for line in &lines {
            let words: Vec<&[u8]> = line.iter().map(String::as_bytes).collect();
            let [a, b] = [&user, &again]
                .map(|user| with_request(&words, |entry, request| user.check(entry, request)));
            prop_assert_eq!(a, b, "{:?}", line);
            if user.is_unrestricted() {
                prop_assert_eq!(a, Ok(()), "a user who is not checked would have been allowed");
            }
        }
        for channel in &channels {
            for is_pattern in [false, true] {
                let [a, b] = [&user, &again]
                    .map(|user| user.may_use_channel(channel.as_bytes(), is_pattern));
                prop_assert_eq!(a, b, "{:?}", channel);
            }
        }
    }

    /// Bytes of any kind are a rule or an error, and an error changes nothing.
    #[test]
    fn any_bytes_are_a_rule_or_an_error(
        rules in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                "[()~%&+@|RWaget\\-\" ]{0,10}".prop_map(String::into_bytes),
            ],
            0..6,
        ),
    ) {
        let acl = Acl::default();
        if acl.set_user(b"u", &rules).is_ok() {
            let login = acl.find(b"u").expect("it was made");
            prop_assert!(!login.user.describe().contains(&0));
            prop_assert_eq!(acl.users().all().len(), 2);
        } else {
            prop_assert!(acl.find(b"u").is_none());
        }
    }
}
