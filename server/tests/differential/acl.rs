//! Users and their rights: the same rules get the same replies, print alike and decide alike.
//!
//! The reference prints the rules about commands in another form: it finds some that give the same
//! set, the subject (as 7.2) repeats those that were given. So they are compared by what they allow:
//! ACL DRYRUN of many command lines, and the command lines themselves on a connection of the user.

use crate::support::{Client, Rng, Server, Value};
use crate::{Both, seed};

/// Users of the random part, each made of so many rules.
const USERS: u64 = 150;
const MAX_RULES: usize = 10;
/// Command lines each of them is asked about.
const PROBES: usize = 25;

/// DEBUG is a command without subcommands, for rules like `+debug|object`.
fn start() -> Option<Both> {
    let args = ["--enable-debug-command", "yes"];
    Some(Both { reference: Server::redis(&args)?, subject: Server::dunlin_unhurried(&args) })
}

fn clients(both: &Both) -> [Client; 2] {
    [both.reference.client(), both.subject.client()]
}

/// What the newer server words or prints otherwise, each for a reason.
fn normal(value: &Value) -> Value {
    match value {
        Value::Error(text) => Value::Error(normal_text(text)),
        Value::Bulk(text) => Value::Bulk(normal_text(text)),
        Value::Array(items) => {
            let kept = items.iter().filter(|item| **item != Value::bulk("sanitize-payload"));
            Value::Array(kept.map(normal).collect())
        }
        other => other.clone(),
    }
}

fn normal_text(text: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for (theirs, ours) in [
        // 7.2 names the user.
        (
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "NOPERM No permissions to access a key",
        ),
        ("NOPERM this user has no permissions", "NOPERM User u has no permissions"),
        ("This user has no permissions", "User u has no permissions"),
        // 7.2 always says whether payloads are checked.
        (" sanitize-payload", ""),
        // The reference prints a list that cannot be read back: a pattern after `~*`.
        ("%RW~* ", "~* "),
        (" %RW~*", " ~*"),
    ] {
        text = text.replace(theirs, ours);
    }
    text.into_bytes()
}

/// A user without its rules about commands.
fn without_commands(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let (open, rest) = word.strip_prefix('(').map_or(("", word), |rest| ("(", rest));
        let close = if rest.ends_with(')') { ")" } else { "" };
        match rest.starts_with(['+', '-']) {
            true => format!("{open}{close}"),
            false => word.to_owned(),
        }
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").replace(" )", ")")
}

#[track_caller]
fn same(pair: &mut [Client; 2], words: &[&str]) -> Value {
    let [reference, subject] = pair.each_mut().map(|client| normal(&client.call(words)));
    assert_eq!(subject, reference, "{words:?} (left: subject)");
    subject
}

/// The rest of GETUSER: all but the commands, whose rules are compared by what they allow.
#[track_caller]
fn same_user(pair: &mut [Client; 2], name: &str) {
    let show = |value: Value| -> Vec<Value> {
        let items = value.items();
        let mut shown: Vec<Value> = items
            .chunks(2)
            .filter(|pair| pair[0] != Value::bulk("commands"))
            .flat_map(|pair| pair.to_vec())
            .collect();
        if let Some(Value::Array(selectors)) = shown.last_mut() {
            for selector in selectors {
                let fields = selector.items();
                *selector = Value::Array(fields[2..].to_vec());
            }
        }
        shown
    };
    let [a, b] =
        pair.each_mut().map(|client| show(normal(&client.call(&["ACL", "GETUSER", name]))));
    assert_eq!(b, a, "GETUSER {name} (left: subject)");
    let [a, b] = pair.each_mut().map(|client| {
        let lines = client.call(&["ACL", "LIST"]).items();
        let lines = lines.iter().map(|line| without_commands(&normal(line).text()));
        lines.collect::<Vec<_>>()
    });
    assert_eq!(b, a, "LIST (left: subject)");
}

#[test]
fn acl_commands_get_the_replies_of_the_reference() {
    let Some(both) = start() else { return };
    let mut pair = clients(&both);
    for line in [
        "ACL WHOAMI",
        "ACL USERS",
        "ACL",
        "ACL foo",
        "ACL SETUSER",
        "ACL SETUSER u",
        "ACL USERS",
        "ACL USERS x",
        "ACL GETUSER nobody",
        "ACL GETUSER",
        "ACL GETUSER a b",
        "ACL DELUSER",
        "ACL DELUSER nobody",
        "ACL DELUSER u u nobody",
        "ACL DELUSER nobody default",
        "ACL LIST x",
        "ACL CAT a b",
        "ACL CAT nosuch",
        "ACL GENPASS 0",
        "ACL GENPASS -1",
        "ACL GENPASS 4097",
        "ACL GENPASS x",
        "ACL GENPASS 1 2",
        "ACL LOG x",
        "ACL LOG -1",
        "ACL LOG 1 2",
        "ACL LOG RESET",
        "ACL LOAD",
        "ACL SAVE",
        "ACL LOAD x",
        "ACL DRYRUN",
        "ACL DRYRUN nobody get k",
        "ACL DRYRUN default nosuch",
        "ACL DRYRUN default get",
        "ACL DRYRUN default get a b",
        "ACL DRYRUN default config",
        "ACL DRYRUN default config nosuch",
        "ACL DRYRUN default config get",
        "ACL DRYRUN default config get x",
        "ACL HELP x",
        "ACL WHOAMI x",
        "AUTH a",
        "AUTH a b",
        "AUTH default b",
        "AUTH a b c",
        "AUTH",
        "CLIENT KILL USER nobody",
        "CONFIG GET acl-pubsub-default",
        "CONFIG GET aclfile",
        "CONFIG SET acl-pubsub-default maybe",
        "CONFIG SET aclfile x",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        same(&mut pair, &words);
    }
    for name in ["a b", "a\0b", "\t", ""] {
        same(&mut pair, &["ACL", "SETUSER", name]);
    }
    for (bits, len) in [("1", 1), ("4", 1), ("5", 2), ("4096", 1024)] {
        for client in &mut pair {
            assert_eq!(client.call(&["ACL", "GENPASS", bits]).text().len(), len);
        }
    }
}

#[test]
fn rules_get_the_errors_of_the_reference() {
    let Some(both) = start() else { return };
    let mut pair = clients(&both);
    let long = "x".repeat(10_000);
    let deep = format!("{}{}", "(".repeat(1000), ")".repeat(1000));
    let digest = "0123456789abcdef".repeat(4);
    let lists: Vec<Vec<&str>> = [
        "%",
        "%~",
        "%R",
        "%RW",
        "%RR~x",
        "%WRW~x",
        "%x~x",
        "%r~x",
        "%R ~x",
        "~",
        "~a b",
        "~a\tb",
        "&",
        "&a b",
        "(",
        "(~",
        ")",
        "((",
        "(())",
        "()",
        " () ",
        "( )",
        "(foo)",
        "(on)",
        "(>a)",
        "(reset)",
        "(())",
        "(()",
        "())",
        "+",
        "-",
        "+@",
        "-@",
        "+@foo",
        "-@foo",
        "+foo",
        "-foo",
        "+|x",
        "+get|",
        "+get|x",
        "-get|x",
        "+get|x|y",
        "+config|",
        "+config|x",
        "-config|x",
        "+config|get",
        "+config|get|x",
        "-config|get|x",
        "+GET",
        "+@ALL",
        "-@All",
        "+@all|x",
        "+@ALL ",
        "ON",
        "Off",
        "reset ",
        "foo",
        "",
        " ",
        "#",
        "#ab",
        "!ab",
        "<x",
        "<",
        ">",
        ">a b",
        "nopass ",
        "RESETPASS",
        "allkeys",
        "AllKeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "allcommands",
        "nocommands",
        "clearselectors",
        "skip-sanitize-payload",
        "(~* ~a)",
        "(&* &a)",
        "(+foo)",
        &deep,
        &long,
        &digest,
    ]
    .iter()
    .map(|rule| vec![*rule])
    .collect();
    let removal = format!("!{digest}");
    let addition = format!("#{digest}");
    let upper = addition.to_uppercase();
    let several = [
        vec!["~*", "~a"],
        vec!["~*", "%"],
        vec!["&*", "&a"],
        vec!["on", "foo", "off"],
        vec!["(~a", "+get)", "+set"],
        vec!["(", "~a", ")"],
        vec!["on", "(~a", "+get"],
        vec!["+PING", "(+SELECT", ")", ")", "+DEL"],
        vec![addition.as_str(), removal.as_str(), removal.as_str()],
        vec![upper.as_str()],
        vec![">a", ">a", "<a", "<a"],
    ];
    for rules in lists.into_iter().chain(several) {
        let words = [&["ACL", "SETUSER", "u"], rules.as_slice()].concat();
        same(&mut pair, &words);
        same_user(&mut pair, "default");
        same(&mut pair, &["ACL", "DELUSER", "u"]);
    }
}

fn pick(rng: &mut Rng, words: &[&'static str]) -> &'static str {
    words[rng.below(words.len())]
}

fn selector_rule(rng: &mut Rng) -> String {
    const PATTERNS: &[&str] = &["a*", "b*", "ab", "?b", "[ab]c", "*", "c", "[^a]*", "a\\*"];
    const NAMES: &[&str] = &[
        "get",
        "set",
        "mget",
        "mset",
        "copy",
        "del",
        "rename",
        "config",
        "config|get",
        "config|set",
        "client",
        "client|id",
        "client|list",
        "select",
        "ping",
        "object",
        "object|encoding",
        "memory",
        "memory|usage",
        "acl|whoami",
        "flushall",
        "debug",
        "@all",
        "@read",
        "@write",
        "@string",
        "@keyspace",
        "@fast",
        "@slow",
        "@connection",
        "@dangerous",
        "@admin",
        "@bitmap",
    ];
    match rng.below(12) {
        0..3 => format!("{}{}", pick(rng, &["~", "%R~", "%W~", "%RW~"]), pick(rng, PATTERNS)),
        3 => format!("&{}", pick(rng, PATTERNS)),
        4..10 => format!("{}{}", pick(rng, &["+", "-"]), pick(rng, NAMES)),
        10 => pick(rng, &["+select|0", "+select|1", "+debug|object", "+get|a"]).to_owned(),
        _ => pick(
            rng,
            &["allkeys", "resetkeys", "allchannels", "resetchannels", "allcommands", "nocommands"],
        )
        .to_owned(),
    }
}

fn rule(rng: &mut Rng) -> String {
    match rng.below(12) {
        0..9 => selector_rule(rng),
        9 => {
            let rules: Vec<_> = (0..rng.below(4)).map(|_| selector_rule(rng)).collect();
            format!("({})", rules.join(" "))
        }
        10 => pick(rng, &[">a", ">b", "<a", "nopass", "resetpass", "off", "on", "clearselectors"])
            .to_owned(),
        _ => pick(rng, &["reset", "skip-sanitize-payload", "sanitize-payload", "+foo", "%~", "("])
            .to_owned(),
    }
}

fn probe(rng: &mut Rng) -> Vec<String> {
    const KEYS: &[&str] = &["a", "ab", "bb", "ac", "c", "a*", "x"];
    const LINES: &[&str] = &[
        "get K",
        "strlen K",
        "set K v",
        "set K v get",
        "set K v ex 9",
        "getdel K",
        "getset K v",
        "append K v",
        "mget K K",
        "mset K v K v",
        "copy K K",
        "rename K K",
        "del K K",
        "exists K",
        "touch K",
        "type K",
        "expire K 100",
        "ttl K",
        "dump K",
        "bitfield K get u8 0",
        "bitfield K set u8 0 1",
        "bitop and K K K",
        "setbit K 0 1",
        "getbit K 0",
        "object encoding K",
        "memory usage K",
        "config get hz",
        "config set hz 10",
        "client id",
        "client list",
        "client getname",
        "select 0",
        "select 1",
        "ping",
        "echo K",
        "keys K",
        "dbsize",
        "acl whoami",
        "command count",
        "debug object K",
        "lcs K K",
        "getrange K 0 1",
        "mset K v K",
    ];
    let line = pick(rng, LINES).split(' ');
    line.map(|word| if word == "K" { pick(rng, KEYS) } else { word }.to_owned()).collect()
}

#[test]
fn random_users_are_decided_about_alike() {
    let Some(both) = start() else { return };
    let mut pair = clients(&both);
    let (seed, only) = seed();
    println!("users: DUNLIN_DIFF_SEED={seed}");
    let users = only.map_or(0..USERS, |index| index..index + 1);
    for index in users {
        let mut rng = Rng::part(seed, index);
        same(&mut pair, &["ACL", "SETUSER", "u", "reset"]);
        let mut given = Vec::new();
        for _ in 0..rng.below(MAX_RULES) {
            let rule = rule(&mut rng);
            given.push(rule.clone());
            let replies =
                pair.each_mut().map(|client| normal(&client.call(&["ACL", "SETUSER", "u", &rule])));
            assert_eq!(replies[1], replies[0], "seed {seed}:{index} {given:?}");
        }
        println!("{index}: {given:?}");
        same_user(&mut pair, "u");
        same(&mut pair, &["ACL", "SETUSER", "u", "on", "nopass"]);
        let mut logged_in = clients(&both);
        same(&mut logged_in, &["AUTH", "u", "x"]);
        for _ in 0..PROBES {
            let line = probe(&mut rng);
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let dry = same(&mut pair, &[&["ACL", "DRYRUN", "u"], line.as_slice()].concat());
            let refused = logged_in.each_mut().map(|client| {
                let text = client.call(&line).error_text().unwrap_or_default();
                let refused = text.starts_with("NOPERM");
                refused.then(|| normal(&Value::error(&text)))
            });
            assert_eq!(refused[1], refused[0], "seed {seed}:{index} {given:?} {line:?}");
            // What does not fit is refused before rights are looked at.
            if !dry.is_error() {
                assert_eq!(refused[1].is_some(), dry != Value::ok(), "{line:?}");
            }
        }
        same(&mut pair, &["ACL", "DELUSER", "u"]);
    }
}

#[test]
fn refusals_are_logged_as_by_the_reference() {
    let Some(both) = start() else { return };
    let mut pair = clients(&both);
    same(&mut pair, &["ACL", "SETUSER", "u", "on", ">pw", "~a*", "+get", "+mget", "(+set ~b)"]);
    let mut user = clients(&both);
    same(&mut user, &["AUTH", "u", "pw"]);
    for line in [
        "get b",
        "get b",
        "set a v",
        "set b v",
        "mget a1 b c",
        "ping",
        "config get x",
        "auth u bad",
        "AUTH u bad",
        "hello 3 auth u bad",
        "get b",
        "auth nobody x",
        "auth nobody x",
    ] {
        same(&mut user, &line.split(' ').collect::<Vec<_>>());
    }
    for count in ["100", "3", "0"] {
        let [a, b] = pair.each_mut().map(|client| {
            let entries = client.call(&["ACL", "LOG", count]).items();
            let of = |entry: &Value| {
                let fields = entry.items();
                let kept = ["count", "reason", "context", "object", "username"];
                let pairs = fields.chunks(2).filter(|p| kept.contains(&p[0].text().as_str()));
                pairs.map(<[Value]>::to_vec).collect::<Vec<_>>()
            };
            entries.iter().map(of).collect::<Vec<_>>()
        });
        assert_eq!(b, a, "ACL LOG {count} (left: subject)");
    }
}
