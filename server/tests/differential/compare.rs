//! Which replies may differ, and by how much.

use crate::sequence::Step;
use crate::support::Value;
use crate::{coverage, scripts, sorting, streams};

/// How two replies to one command are compared. Errors always have to be the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// the same bytes
    Exact,
    /// the same items in any order
    Unordered,
    /// the same pairs in any order, as a map or as a flat array
    Pairs,
    /// cursor, then the same items in any order
    WholeScan,
    /// numbers that may differ by this much while both are positive
    Near(i64),
    /// the same type, and the same types inside
    Shape,
    /// only both an error or both none: the text or the type is the server's own
    Kind,
    /// numbers that differ by at most the keys which have expired but may still be counted
    Count,
    /// pending entries that were delivered at about the same time
    Pending,
    /// the same, but numbers may be written with more digits
    Digits,
    /// the same in any order, and numbers may be written with more digits
    UnorderedDigits,
    /// the same, but numbers may differ in their fourth decimal place
    Distances,
    /// the same names, and the same values of `proto`, `mode` and `role`
    Hello,
}

/// The rule of a command.
pub(crate) fn rule(step: &Step) -> Rule {
    if let Some(rule) =
        streams::rule(step).or_else(|| sorting::rule(step)).or_else(|| scripts::rule(step))
    {
        return rule;
    }
    match step.name().as_str() {
        "keys" | "smembers" | "sinter" | "sunion" | "sdiff" | "hkeys" | "hvals" => Rule::Unordered,
        "hgetall" => Rule::Pairs,
        "spop" => Rule::Unordered,
        "srandmember" | "hrandfield" | "zrandmember" => match step.word(2).as_str() {
            "100000" if step.name() == "zrandmember" => Rule::UnorderedDigits,
            "100000" => Rule::Unordered,
            _ => Rule::Shape,
        },
        "sscan" | "hscan" | "zscan" => {
            match (step.word(2).as_str(), step.has_pair("COUNT", "100000")) {
                ("0", true) => Rule::WholeScan,
                _ => Rule::Shape,
            }
        }
        "scan" => match (step.word(1).as_str(), step.has_pair("COUNT", "100000")) {
            ("0", true) => Rule::WholeScan,
            _ => Rule::Shape,
        },
        "geosearch" | "geodist" => Rule::Distances,
        name if name.starts_with("georadius") => Rule::Distances,
        name if name.starts_with('z') || name.starts_with("bz") => Rule::Digits,
        // They return scores, too.
        name if name.starts_with("eval") || name.starts_with("fcall") => Rule::Digits,
        "ttl" | "expiretime" => Rule::Near(2),
        "pttl" | "pexpiretime" => Rule::Near(3000),
        "randomkey" | "time" | "lastsave" | "dump" => Rule::Shape,
        "dbsize" => Rule::Count,
        "hello" => Rule::Hello,
        "info" | "lolwut" => Rule::Kind,
        "object" => match step.word(1).as_str() {
            "idletime" | "freq" | "refcount" => Rule::Shape,
            "help" => Rule::Kind,
            _ => Rule::Exact,
        },
        "client" => match step.word(1).as_str() {
            "id" => Rule::Shape,
            "info" | "list" | "help" => Rule::Kind,
            _ => Rule::Exact,
        },
        "memory" => match step.word(1).as_str() {
            "usage" => Rule::Shape,
            _ => Rule::Kind,
        },
        "command" => match step.word(1).as_str() {
            "info" if names_no_command(step) => Rule::Exact,
            "count" | "help" | "list" | "docs" | "info" | "" => Rule::Kind,
            _ => Rule::Exact,
        },
        "config" if step.word(1) == "get" => Rule::Pairs,
        "config" | "latency" | "slowlog" | "debug" | "acl" | "pubsub" | "function" | "script" => {
            match step.word(1).as_str() {
                "help" | "len" | "cat" | "genpass" | "log" => Rule::Kind,
                "get" if step.name() == "slowlog" => Rule::Kind,
                _ => Rule::Exact,
            }
        }
        _ => Rule::Exact,
    }
}

/// Whether COMMAND INFO is asked for what is no command, of which both know the same.
fn names_no_command(step: &Step) -> bool {
    step.args.len() > 2 && !(2..step.args.len()).any(|i| coverage::is_command(&step.word(i)))
}

/// Whether the replies agree under the command's rule. `pending` is the number of keys that may have
/// expired without being gone.
pub(crate) fn agree(step: &Step, reference: &Value, subject: &Value, pending: i64) -> bool {
    if reference == subject {
        return true;
    }
    if reference.is_error() || subject.is_error() {
        return false;
    }
    match rule(step) {
        Rule::Exact => false,
        Rule::Unordered => sorted(reference) == sorted(subject),
        Rule::UnorderedDigits => sorted(&plain(reference)) == sorted(&plain(subject)),
        Rule::Pairs => pairs(reference).is_some() && pairs(reference) == pairs(subject),
        Rule::WholeScan => match (reference, subject) {
            (Value::Array(a), Value::Array(b)) if a.len() == 2 && b.len() == 2 => {
                a[0] == b[0] && sorted(&plain(&a[1])) == sorted(&plain(&b[1]))
            }
            _ => false,
        },
        Rule::Near(by) => match (reference, subject) {
            (Value::Int(a), Value::Int(b)) => *a > 0 && *b > 0 && (a - b).abs() <= by,
            _ => false,
        },
        Rule::Count => match (reference, subject) {
            (Value::Int(a), Value::Int(b)) => (a - b).abs() <= pending,
            _ => false,
        },
        Rule::Shape => same_shape(reference, subject),
        Rule::Kind => same_type(reference, subject),
        Rule::Pending => streams::same_pending(reference, subject),
        Rule::Digits => plain(reference) == plain(subject),
        Rule::Distances => near(reference, subject),
        Rule::Hello => hello(reference) == hello(subject),
    }
}

/// Every number in its shortest form, and zero without its sign: 7.2 drops it in a listpack, 7.0 does not.
fn plain(value: &Value) -> Value {
    let shortest = |text: &Vec<u8>| match number(text) {
        Some(number) => format!("{:?}", number + 0.0).into_bytes(),
        None => text.clone(),
    };
    match value {
        Value::Bulk(text) => Value::Bulk(shortest(text)),
        Value::Double(text) => Value::Double(shortest(text)),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// A number that is not just a word like `inf` or `nan`.
fn number(text: &[u8]) -> Option<f64> {
    let digits = text.iter().any(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
        }
        (Value::Bulk(x), Value::Bulk(y)) if x != y => match (number(x), number(y)) {
            (Some(x), Some(y)) => (x - y).abs() < 1.01e-4,
            _ => false,
        },
        _ => a == b,
    }
}

fn sorted(value: &Value) -> Option<(u8, Vec<Value>)> {
    let (kind, items) = match value {
        Value::Array(items) => (0, items),
        Value::Set(items) => (1, items),
        _ => return None,
    };
    let mut items = items.clone();
    items.sort();
    Some((kind, items))
}

fn pairs(value: &Value) -> Option<(bool, Vec<Vec<Value>>)> {
    let (Value::Map(_) | Value::Array(_)) = value else {
        return None;
    };
    let mut pairs: Vec<Vec<Value>> = value.items().chunks(2).map(<[Value]>::to_vec).collect();
    pairs.sort();
    Some((matches!(value, Value::Map(_)), pairs))
}

fn same_type(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            // Of a step of a scan even the number of keys may differ.
            let same = a.iter().zip(b).all(|(a, b)| same_shape(a, b));
            same && (a.len() == b.len() || a.iter().chain(b).all(|v| v.bytes().is_some()))
        }
        _ => same_type(a, b),
    }
}

fn hello(value: &Value) -> (bool, Vec<(Value, Option<Value>)>) {
    let kept: [&[u8]; 3] = [b"proto", b"mode", b"role"];
    let flat = match value {
        Value::Map(_) | Value::Array(_) => value.items(),
        _ => return (false, vec![(value.clone(), None)]),
    };
    let pairs = flat
        .chunks(2)
        .map(|pair| {
            let keep = pair[0].bytes().is_some_and(|b| kept.contains(&b));
            (pair[0].clone(), keep.then(|| pair[1].clone()))
        })
        .collect();
    (matches!(value, Value::Map(_)), pairs)
}
