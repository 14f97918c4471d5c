//! The accepted differences, each with its reason.
//!
//! The reference is the redis-server of the distribution (7.0), the goal is compatibility with 7.2:
//! most rows are changes that Redis itself made between the two.

use crate::coverage;
use crate::sequence::Step;
use crate::streams;
use crate::support::Value;

/// One accepted difference.
pub(crate) struct Accepted {
    pub(crate) reason: &'static str,
    pub(crate) applies: fn(&Step, &Value, &Value) -> bool,
    /// the data differs from here on: the sequence cannot go on
    pub(crate) ends: bool,
}

/// The list.
pub(crate) const ACCEPTED: &[Accepted] = &[
    Accepted {
        reason: "EXEC: a write that changes only the form of a watched key counts as a change \
                 (SETBIT to the value that the bit has, commands about large collections)",
        applies: |step, reference, subject| {
            step.name() == "exec" && matches!(reference, Value::Array(_)) && subject.is_null()
        },
        ends: true,
    },
    Accepted {
        reason: "EXEC: of the queued commands one was refused by one server only, which is \
                 accepted above or below, or else was found when it was queued",
        applies: |step, reference, subject| {
            let aborted = |value: &Value| {
                value.error_text().is_some_and(|text| text.starts_with("EXECABORT"))
            };
            step.name() == "exec" && aborted(reference) != aborted(subject)
        },
        ends: true,
    },
    Accepted {
        reason: "An error of the Lua compiler shows a byte that is no UTF-8 as a replacement character",
        applies: |_, reference, subject| {
            let compiler = |value: &Value| {
                value.error_text().is_some_and(|text| text.starts_with("ERR Error compiling"))
            };
            compiler(reference)
                && compiler(subject)
                && subject.error_text().is_some_and(|text| text.contains('\u{fffd}'))
        },
        ends: false,
    },
    Accepted {
        reason: "COMMAND GETKEYS: the reference takes as a number of keys whatever begins with one",
        applies: |step, reference, subject| {
            let runs = ["eval", "fcall"].iter().any(|name| step.word(2).starts_with(name));
            let count = step.word(4);
            // It reads as C does: up to what is no digit, and 32 bits of it.
            let is_number = count.parse::<i32>().is_ok_and(|n| n.to_string() == count);
            step.name() == "command"
                && step.word(1) == "getkeys"
                && runs
                && !is_number
                && matches!(reference, Value::Array(_))
                && *subject == Value::Array(Vec::new())
        },
        ends: false,
    },
    Accepted {
        reason: "COMMAND GETKEYS: of a command that is not to be here only the reference knows its keys",
        applies: |step, _, subject| {
            step.name() == "command"
                && step.word(1).starts_with("getkeys")
                && coverage::is_out_of_scope(&step.word(2))
                && *subject == Value::error("ERR Invalid command specified")
        },
        ends: false,
    },
    Accepted {
        reason: "COMMAND GETKEYS: a name without arguments may be asked about, as in 7.2",
        applies: |step, reference, _| {
            let text = reference.error_text().unwrap_or_default();
            step.name() == "command"
                && step.word(1).starts_with("getkeys")
                && step.args.len() == 3
                && text.starts_with("ERR wrong number of arguments for 'command|getkeys")
        },
        ends: false,
    },
    Accepted {
        reason: "COMMAND GETKEYS SORT: the reference takes a destination that is called STORE for the word \
                 before one",
        applies: |step, _, _| {
            let store = |i: usize| step.word(i) == "store";
            step.name() == "command"
                && step.word(1).starts_with("getkeys")
                && step.word(2).starts_with("sort")
                && (4..step.args.len()).any(|i| store(i) && store(i + 1))
        },
        ends: false,
    },
    Accepted {
        reason: "GEOSEARCH and GEORADIUS: which of several members at the same distance come first, and so \
                 which of them come at all with COUNT, is left to the reference's quicksort",
        applies: |step, reference, subject| {
            let (Value::Array(theirs), Value::Array(ours)) = (reference, subject) else {
                return false;
            };
            // Few are at the same distance, unless scores are small numbers: those of a RESTORE.
            let common = ours.iter().filter(|item| theirs.contains(item)).count();
            step.name().starts_with("geo")
                && theirs.len() == ours.len()
                && common >= ours.len().div_ceil(2)
        },
        ends: false,
    },
    Accepted {
        reason: "RESTORE: the reference reads a string that is too long into the checksum; a body \
                 has to end where the version begins",
        applies: |step, reference, subject| {
            step.name() == "restore"
                && *reference == Value::ok()
                && *subject == Value::error("ERR Bad data format")
        },
        ends: true,
    },
    Accepted {
        reason: "ACL DRYRUN: of a command that Dunlin does not have yet nothing can be said",
        applies: |step, _, subject| {
            let text = subject.error_text().unwrap_or_default();
            step.name() == "acl"
                && step.word(1) == "dryrun"
                && text.starts_with("ERR Command '")
                && text.ends_with("' not found")
        },
        ends: false,
    },
    Accepted {
        reason: "OBJECT ENCODING: a whole number that INCRBYFLOAT wrote is an int like any other \
                 string of digits; the reference keeps it as text until it is written again",
        applies: |step, reference, subject| {
            step.name() == "object"
                && *reference == Value::bulk("embstr")
                && *subject == Value::bulk("int")
        },
        ends: false,
    },
    Accepted {
        reason: "OBJECT ENCODING: small sets of strings and small lists are listpacks, as in 7.2",
        applies: |step, reference, subject| {
            step.name() == "object"
                && ["hashtable", "quicklist"].map(Value::bulk).contains(reference)
                && *subject == Value::bulk("listpack")
        },
        ends: false,
    },
    Accepted {
        reason: "OBJECT ENCODING: SORT only reads; the reference makes a skiplist of the sorted set",
        applies: |step, reference, subject| {
            step.name() == "object"
                && *reference == Value::bulk("skiplist")
                && *subject == Value::bulk("listpack")
        },
        ends: false,
    },
    Accepted {
        reason: "SORT: the reference takes a number for one out of range if the last one that an \
                 earlier command has read was",
        applies: |step, reference, subject| {
            let text = "ERR One or more scores can't be converted into double";
            step.name().starts_with("sort")
                && *reference == Value::error(text)
                && matches!(subject, Value::Array(_) | Value::Int(_))
        },
        ends: true,
    },
    Accepted {
        reason: "ZRANK and ZREVRANK take WITHSCORE, as in 7.2",
        applies: |step, reference, subject| {
            let text = reference.error_text().unwrap_or_default();
            ["zrank", "zrevrank"].contains(&step.name().as_str())
                && step.args.len() > 3
                && text.starts_with("ERR wrong number of arguments")
                && *subject != *reference
        },
        ends: false,
    },
    Accepted {
        reason: "LPOS: RANK is not as low as it gets, as in 7.2",
        applies: |step, reference, subject| {
            step.name() == "lpos" && step.has("-9223372036854775808") && subject != reference
        },
        ends: false,
    },
    Accepted {
        reason: "HELLO reads all its options before it authenticates, as 7.2 does",
        applies: |step, reference, _| {
            let text = reference.error_text().unwrap_or_default();
            step.name() == "hello" && step.args.len() > 5 && text.starts_with("WRONGPASS")
        },
        ends: true,
    },
    Accepted {
        reason: "BITFIELD: the reference multiplies #offset and width without a check and takes \
                 what is left of the product",
        applies: |step, reference, subject| {
            let huge = |arg: &Vec<u8>| arg.starts_with(b"#") && arg.len() > 17;
            step.name().starts_with("bitfield")
                && step.args.iter().any(huge)
                && reference != subject
                && *subject == Value::error("ERR bit offset is not an integer or out of range")
        },
        ends: true,
    },
    Accepted {
        reason: "BITCOUNT and BITPOS read their range before they look at the key, as in 7.4, and the \
                 end of BITCOUNT's may be left out, as in Valkey 8",
        applies: |step, reference, subject| {
            let text = subject.error_text().unwrap_or_default();
            let newer = match subject {
                Value::Int(_) => *reference == Value::error("ERR syntax error"),
                _ => {
                    text.starts_with("ERR syntax")
                        || text.starts_with("ERR value is not an integer")
                }
            };
            ["bitcount", "bitpos"].contains(&step.name().as_str()) && reference != subject && newer
        },
        ends: false,
    },
    Accepted {
        reason: "CONFIG SET: an unknown name that is no text is echoed with replacement characters",
        applies: |step, reference, subject| {
            let start = "ERR Unknown option or number of arguments for CONFIG SET - '";
            let both = [reference, subject].map(|v| v.error_text().unwrap_or_default());
            step.name() == "config"
                && both.iter().all(|text| text.starts_with(start))
                && step.args.iter().any(|arg| std::str::from_utf8(arg).is_err())
        },
        ends: false,
    },
    Accepted {
        reason: "MEMORY USAGE: the reference measures keys that have expired and were not removed",
        applies: |step, reference, subject| {
            step.name() == "memory" && matches!(reference, Value::Int(_)) && subject.is_null()
        },
        ends: false,
    },
    Accepted {
        reason: "WAIT: a timeout that does not fit a time is an error, as in 7.2",
        applies: |step, reference, subject| {
            step.name() == "wait"
                && *reference == Value::Int(0)
                && *subject == Value::error("ERR timeout is out of range")
        },
        ends: false,
    },
    Accepted {
        reason: "CLIENT LIST and KILL take the filters of newer servers",
        applies: |step, reference, subject| {
            step.name() == "client"
                && ["list", "kill"].contains(&step.word(1).as_str())
                && ["ERR syntax error", "ERR Invalid client ID"]
                    .iter()
                    .any(|error| *reference == Value::error(error))
                && *subject != *reference
        },
        ends: false,
    },
    Accepted {
        reason: "XREADGROUP, XCLAIM and XAUTOCLAIM add the consumer although they give it nothing, \
                 as in 7.2",
        applies: |step, reference, subject| match step.name().as_str() {
            "xinfo" => step.word(1) == "groups" && streams::same_groups(reference, subject),
            "xgroup" => {
                step.word(1) == "createconsumer"
                    && (reference, subject) == (&Value::Int(1), &Value::Int(0))
            }
            _ => false,
        },
        ends: false,
    },
    Accepted {
        reason: "XREAD and XREADGROUP name themselves when the list of streams is unbalanced, as in 7.2",
        applies: |_, reference, subject| {
            let both = [reference, subject].map(|v| v.error_text().unwrap_or_default());
            both.iter().all(|text| text.starts_with("ERR Unbalanced "))
        },
        ends: false,
    },
    Accepted {
        reason: "XREAD takes + for the last entry, as in 7.4",
        applies: |step, reference, _| {
            let text = "ERR Invalid stream ID specified as stream command argument";
            step.name() == "xread" && step.has("+") && *reference == Value::error(text)
        },
        ends: false,
    },
    Accepted {
        reason: "XSETID does not go back to before an entry that was deleted, as in 7.2",
        applies: |step, _, subject| {
            let text =
                "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
            step.name() == "xsetid" && *subject == Value::error(text)
        },
        ends: true,
    },
    Accepted {
        reason: "XAUTOCLAIM needs no memory for as many identifiers as COUNT says",
        applies: |step, reference, _| {
            let text = reference.error_text().unwrap_or_default();
            step.name() == "xautoclaim" && text.starts_with("ERR Insufficient memory")
        },
        ends: true,
    },
];

/// The accepted difference that covers these replies.
pub(crate) fn accepted(step: &Step, reference: &Value, subject: &Value) -> Option<usize> {
    ACCEPTED.iter().position(|row| (row.applies)(step, reference, subject))
}
