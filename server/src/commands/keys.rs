//! Which arguments of a command line are keys, and what the command does with each of them.
//!
//! [`Command::each_key`] is enough to find the shards of a command. COMMAND GETKEYSANDFLAGS and the
//! access rules of users also have to know whether a key is read, written or both. That stands in
//! the row's key specifications, with two exceptions which are settled here: a finder
//! (`keys_by`) returns positions only, and the flags of some commands depend on their options.

use super::spec::{Begin, Command, Find, KeyFlags, KeySpec};
use dunlin_protocol::{ArgValue, Request};

/// The keys of `request` with what is done with them, in the order of the specifications; `None`:
/// the arguments do not fit the command.
pub fn of(command: &Command, request: &Request<'_>) -> Option<Vec<(usize, KeyFlags)>> {
    let mut keys = Vec::new();
    let mut fits = true;
    for spec in command.key_specs() {
        let flags = match spec.flags.has(KeyFlags::VARIABLE) {
            true => by_options(command, spec, request),
            false => spec.flags,
        };
        fits &= spec.each(request, &mut |at| keys.push((at, flags)));
    }
    let Some(finder) = command.keys_by else {
        return fits.then_some(keys);
    };
    // The finder knows better which arguments are keys. One that no specification covers is of the
    // specification that stands for those which cannot be described: of the last one, because an
    // earlier one stands for keys that are no arguments (BY and GET of SORT).
    let rest = rest_of(command.keys);
    let flags_at = |at: usize| {
        keys.iter().find(|(covered, _)| *covered == at).map_or(rest, |(_, flags)| *flags)
    };
    Some(finder(request)?.into_iter().map(|at| (at, flags_at(at))).collect())
}

/// The flags of keys that only a finder finds. A row that says nothing about them is taken for one
/// that reads and writes: a right too many is asked for rather than one too few.
fn rest_of(specs: &[KeySpec]) -> KeyFlags {
    let unknown = |spec: &&KeySpec| spec.begin == Begin::Unknown || spec.find == Find::Unknown;
    let both = KeySpec::unknown().update().with(KeyFlags::ACCESS);
    specs.iter().rev().find(unknown).unwrap_or(&both).flags
}

/// What a command does with its key where that depends on its options.
fn by_options(command: &Command, spec: &KeySpec, request: &Request<'_>) -> KeyFlags {
    let both = KeySpec::one(1).update().with(KeyFlags::ACCESS).flags;
    match command.name {
        // Wherever one of these words stands the old value may show, in the reply or by whether
        // the key is set.
        "set" if !has(request, 3, &["get", "ifeq", "ifne", "ifdeq", "ifdne"]) => {
            KeySpec::one(1).overwrite().flags
        }
        "bitfield" if only_gets(request) => KeySpec::one(1).read().flags,
        "delex" => match request.len() {
            2 => KeySpec::one(1).with(KeyFlags::RM).with(KeyFlags::DELETE).flags,
            _ => spec.with(KeyFlags::ACCESS).flags.without(KeyFlags::VARIABLE),
        },
        _ => both,
    }
}

/// Whether one of the arguments from `from` on is one of `words`.
fn has(request: &Request<'_>, from: usize, words: &[&str]) -> bool {
    (from..request.len()).any(|i| words.iter().any(|word| is(request, i, word)))
}

/// Whether argument `i` is `word`. Big values stay in their chunks.
fn is(request: &Request<'_>, i: usize, word: &str) -> bool {
    match request.value(i) {
        ArgValue::Slice(arg) => arg.eq_ignore_ascii_case(word.as_bytes()),
        ArgValue::Chunks { .. } => false,
    }
}

/// Whether BITFIELD has no operation but GET (and OVERFLOW); a line that is no BITFIELD may write.
fn only_gets(request: &Request<'_>) -> bool {
    let mut at = 2;
    while at < request.len() {
        let left = request.len() - 1 - at;
        if is(request, at, "get") && left >= 2 {
            at += 3;
        } else if is(request, at, "overflow") && left >= 1 {
            at += 2;
        } else {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::table;
    use dunlin_protocol::{Decoder, Limits};

    /// The keys of an inline command line, as `index flags`.
    fn keys_of(line: &str) -> Option<Vec<String>> {
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(format!("{line}\r\n").as_bytes());
        assert_eq!(decoder.parse(1), 1, "{line}");
        let request = decoder.request(0);
        let entry = table().get(request.arg(0)).expect("a command of the table");
        let keys = of(table().leaf(entry, request).command, &request)?;
        let names = |flags: KeyFlags| {
            let printed = KeyFlags::PRINTED.iter().filter(|(flag, _)| flags.has(*flag));
            printed.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
        };
        Some(keys.into_iter().map(|(at, flags)| format!("{at} {}", names(flags))).collect())
    }

    #[test]
    fn flags_of_keys() {
        for (line, wanted) in [
            ("get k", Some(&["1 RO access"][..])),
            ("copy a b", Some(&["1 RO access", "2 OW update"])),
            ("mset a 1 b 2", Some(&["1 OW update", "3 OW update"])),
            ("ping", Some(&[])),
            ("set k v", Some(&["1 OW update"])),
            ("set k v ex 10 nx", Some(&["1 OW update"])),
            ("set k get", Some(&["1 OW update"])),
            ("set k v GET", Some(&["1 RW access update"])),
            ("set k v ex get", Some(&["1 RW access update"])),
            ("set k v IFEQ x", Some(&["1 RW access update"])),
            ("bitfield k get u8 0 overflow wrap", Some(&["1 RO access"])),
            ("bitfield k get u8 0 set u8 0 1", Some(&["1 RW access update"])),
            ("bitfield k get u8", Some(&["1 RW access update"])),
            ("bitfield k", Some(&["1 RO access"])),
            ("delex k", Some(&["1 RM delete"])),
            ("delex k ifeq v", Some(&["1 RW access delete"])),
            ("memory usage k", Some(&["2 RO"])),
            ("sort k by w* get a limit 1 2 store d", Some(&["1 RO access", "10 OW update"])),
            ("sort k store a store b", Some(&["1 RO access", "5 OW update"])),
            ("sort k get store", Some(&["1 RO access"])),
            ("sort_ro k store d", Some(&["1 RO access"])),
        ] {
            let wanted = wanted.map(|list| list.iter().map(|s| (*s).to_owned()).collect());
            assert_eq!(keys_of(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_finder_gets_the_flags_of_the_specifications() {
        const SPECS: &[KeySpec] =
            &[KeySpec::one(1).read(), KeySpec::unknown().overwrite().with(KeyFlags::INCOMPLETE)];
        let row = |keys: &'static [KeySpec]| {
            let handler: super::super::spec::Handler = |_| unreachable!("not called");
            Command::new("x", super::super::spec::Arity::at_least(1), handler)
                .keys(keys)
                .keys_by(|request| (request.len() > 2).then(|| vec![1, 2]))
        };
        let mut decoder = Decoder::new(Limits::AUTHENTICATED);
        decoder.read_buf().extend_from_slice(b"x a b\r\nx a\r\n");
        assert_eq!(decoder.parse(2), 2);
        let found = of(&row(SPECS), &decoder.request(0)).expect("it fits");
        assert!(found[0].0 == 1 && found[0].1 == SPECS[0].flags);
        assert!(found[1].0 == 2 && found[1].1 == SPECS[1].flags);
        assert_eq!(of(&row(SPECS), &decoder.request(1)), None);
        let silent = of(&row(&[]), &decoder.request(0)).expect("it fits");
        assert!(silent.iter().all(|(_, f)| f.has(KeyFlags::ACCESS) && f.has(KeyFlags::UPDATE)));
    }
}
