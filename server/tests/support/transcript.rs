//! Conversations in which every line is a command and the reply it must get.

use super::{Client, Value};

/// Runs `transcript`: lines of `command => reply`. The items of an array are joined by spaces,
/// an array without any is `(empty)`. A reply `about n` is a time in seconds that may have gone on a
/// little.
#[track_caller]
pub fn follow(client: &mut Client, transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" => ").expect("a command and its reply");
        let reply = client.run(command);
        match expected.strip_prefix("about ") {
            Some(seconds) => {
                let most: i64 = seconds.parse().expect("a number");
                let left: i64 = show(&reply).parse().expect("a number");
                assert!((most - 60..=most).contains(&left), "{line}: {reply:?}");
            }
            None => assert_eq!(show(&reply), expected, "{command}"),
        }
    }
}

/// The reply as a transcript has it.
pub fn show(reply: &Value) -> String {
    match reply {
        Value::Int(n) => n.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Array(items) if items.is_empty() => "(empty)".to_owned(),
        Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(" "),
        Value::Double(text) => format!(",{}", String::from_utf8_lossy(text)),
        null if null.is_null() => "nil".to_owned(),
        text => text.text(),
    }
}
