//! BITOP: bitwise operations on several strings.
//!
//! The result is as long as the longest source; shorter ones count as padded with zeros. It is
//! computed chunk by chunk, in the chunks that will be stored.

use super::int;
use crate::commands::call::Call;
use crate::commands::docs::{Arg, Docs, Group};
use crate::commands::error::{ReplyError, SYNTAX};
use crate::commands::spec::{Arity, Command, KeySpec, Outcome};
use crate::commands::string::ONE_CHUNK;
use crate::notify::Class;
use bytes::Bytes;
use dunlin_storage::{NewValue, Rope, Str};

pub(super) const BITOP: Command = Command::new("bitop", Arity::at_least(4), bitop)
    .flags(flag_set!(WRITE | DENYOOM))
    .keys(&[KeySpec::one(2).overwrite(), KeySpec::span(3, -1, 1).read()])
    .docs(
        Docs::new(
            Group::Bitmap,
            "2.6.0",
            "O(N)",
            "Combines strings bit by bit and stores the result.",
        )
        .history(&[("8.2.0", "Added the `DIFF`, `DIFF1`, `ANDOR` and `ONE` operations.")])
        .args(&[
            Arg::one_of(
                "operation",
                &[
                    Arg::flag("and", "AND"),
                    Arg::flag("or", "OR"),
                    Arg::flag("xor", "XOR"),
                    Arg::flag("not", "NOT"),
                    Arg::flag("diff", "DIFF").since("8.2.0"),
                    Arg::flag("diff1", "DIFF1").since("8.2.0"),
                    Arg::flag("andor", "ANDOR").since("8.2.0"),
                    Arg::flag("one", "ONE").since("8.2.0"),
                ],
            ),
            Arg::key("destkey", 0),
            Arg::key("key", 1).multiple(),
        ]),
    );

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    And,
    Or,
    Xor,
    Not,
    /// The first without all others.
    Diff,
    /// All others without the first.
    Diff1,
    /// The first with any of the others.
    AndOr,
    /// In exactly one.
    One,
}

impl Op {
    const NAMES: [(&'static str, Op); 8] = [
        ("AND", Op::And),
        ("OR", Op::Or),
        ("XOR", Op::Xor),
        ("NOT", Op::Not),
        ("DIFF", Op::Diff),
        ("DIFF1", Op::Diff1),
        ("ANDOR", Op::AndOr),
        ("ONE", Op::One),
    ];
}

fn bitop(call: &mut Call<'_, '_>) -> Result<Outcome, ReplyError> {
    let named = Op::NAMES.iter().find(|(name, _)| call.is(1, name));
    let (name, op) = named.ok_or(SYNTAX)?;
    let count = call.argc() - 3;
    if *op == Op::Not && count != 1 {
        return Err("ERR BITOP NOT must be called with a single source key.".into());
    }
    if matches!(op, Op::Diff | Op::Diff1 | Op::AndOr) && count < 2 {
        return Err(
            format!("ERR BITOP {name} must be called with at least two source keys.").into()
        );
    }
    let mut sources = Vec::with_capacity(count);
    for i in 3..call.argc() {
        let key = call.key(i);
        let empty = Str::Inline { bytes: b"", raw: false };
        sources.push(call.lookup_str(&key)?.unwrap_or(empty));
    }
    let len = sources.iter().map(Str::len).max().unwrap_or(0);
    let target = call.key(2);
    if len == 0 {
        call.remove(&target);
    } else if len <= ONE_CHUNK {
        let result = window(*op, &sources, 0, len);
        call.put(&target, NewValue::Raw(&result), None);
    } else {
        let chunks = (0..len)
            .step_by(ONE_CHUNK)
            .map(|start| Bytes::from(window(*op, &sources, start, len.min(start + ONE_CHUNK))))
            .collect();
        call.put(&target, NewValue::Rope(Rope::from_chunks(chunks)), None);
    }
    if len > 0 {
        call.notify(Class::STRING, "set", &target);
    }
    call.reply.int(int(len));
    Ok(Outcome::Done)
}

/// The bytes of the result from `start` to `end`.
fn window(op: Op, sources: &[Str<'_>], start: usize, end: usize) -> Vec<u8> {
    let mut result = vec![0; end - start];
    match op {
        Op::Or => merge_all(&mut result, sources, start, |a, b| a | b),
        Op::Xor => merge_all(&mut result, sources, start, |a, b| a ^ b),
        Op::And => {
            result.fill(0xff);
            for source in sources {
                let have = merge(&mut result, source, start, |a, b| a & b);
                result[have..].fill(0);
            }
        }
        Op::Not => {
            merge_all(&mut result, sources, start, |a, b| a | b);
            result.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Op::Diff | Op::Diff1 | Op::AndOr => {
            let Some((first, others)) = sources.split_first() else {
                return result;
            };
            merge_all(&mut result, others, start, |a, b| a | b);
            let mut head = vec![0; end - start];
            merge(&mut head, first, start, |a, b| a | b);
            for (any, x) in result.iter_mut().zip(&head) {
                *any = match op {
                    Op::Diff => x & !*any,
                    Op::Diff1 => *any & !x,
                    _ => x & *any,
                };
            }
        }
        Op::One => {
            let mut twice = vec![0; end - start];
            for source in sources {
                let mut at = 0;
                for part in source.range(start, end) {
                    let any = &mut result[at..at + part.len()];
                    let twice = &mut twice[at..at + part.len()];
                    for ((any, twice), byte) in any.iter_mut().zip(twice).zip(part) {
                        *twice |= *any & byte;
                        *any |= byte;
                    }
                    at += part.len();
                }
            }
            result.iter_mut().zip(&twice).for_each(|(any, twice)| *any &= !twice);
        }
    }
    result
}

fn merge_all(
    result: &mut [u8],
    sources: &[Str<'_>],
    start: usize,
    combine: impl Fn(u8, u8) -> u8 + Copy,
) {
    for source in sources {
        merge(result, source, start, combine);
    }
}

/// Combines `result` with the bytes of `source` from `start` on; returns how many it had.
fn merge(
    result: &mut [u8],
    source: &Str<'_>,
    start: usize,
    combine: impl Fn(u8, u8) -> u8,
) -> usize {
    let mut at = 0;
    for part in source.range(start, start + result.len()) {
        for (byte, other) in result[at..at + part.len()].iter_mut().zip(part) {
            *byte = combine(*byte, *other);
        }
        at += part.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One bit of the result, as the operations are documented.
    fn naive(op: Op, bits: &[bool]) -> bool {
        let others = bits[1..].iter().any(|bit| *bit);
        match op {
            Op::And => bits.iter().all(|bit| *bit),
            Op::Or => bits.iter().any(|bit| *bit),
            Op::Xor => bits.iter().filter(|bit| **bit).count() % 2 == 1,
            Op::Not => !bits[0],
            Op::Diff => bits[0] && !others,
            Op::Diff1 => !bits[0] && others,
            Op::AndOr => bits[0] && others,
            Op::One => bits.iter().filter(|bit| **bit).count() == 1,
        }
    }

    proptest! {
        #[test]
        fn agree_with_single_bits(
            sources in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40), 2..5),
            split in 0..40_usize,
        ) {
            for (_, op) in Op::NAMES {
                let used = if op == Op::Not { &sources[..1] } else { &sources[..] };
                let views: Vec<Str<'_>> =
                    used.iter().map(|bytes| Str::Inline { bytes, raw: false }).collect();
                let len = used.iter().map(Vec::len).max().unwrap_or(0);
                let split = split.min(len);
                let mut result = window(op, &views, 0, split);
                result.extend(window(op, &views, split, len));
                prop_assert_eq!(result.len(), len);
                for at in 0..len * 8 {
                    let bit = |bytes: &[u8]| {
                        bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
                    };
                    let bits: Vec<bool> = used.iter().map(|bytes| bit(bytes)).collect();
                    prop_assert_eq!(bit(&result), naive(op, &bits), "{:?} bit {}", op, at);
                }
            }
        }
    }

    #[test]
    fn ropes_are_read_across_chunks() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let rope = Rope::from_bytes(&bytes);
        let result = window(Op::Not, &[Str::Rope(&rope)], 30_000, 70_000);
        let expected: Vec<u8> = bytes[30_000..70_000].iter().map(|byte| !byte).collect();
        assert!(result == expected);
    }
}
